// Active: the current sessions.

import * as api from "./api.js";
import { button, fill, foreign, h, notify } from "./dom.js";
import { confirm, edit, titled } from "./form.js";
import { counted } from "./format.js";
import { spark, sparkline } from "./plot.js";
import { LiveTable, linked } from "./table.js";
import { trace } from "./trace.js";

export const title = "Active";
export const needs = ["GET", "/sessions"];

const KEPT = 60;
const ONE = "/sessions/{session_id}";

// Make the buttons for a session that the operator may use. item: returns the session now.
export function sessionButtons(item, done = () => {}) {
  const user = () => foreign(item().user);
  const where = () => `/sessions${api.path(item().session_id)}`;
  const end = () => confirm(["End the session of ", user(), "?"], `The call from ${item().caller} is hung up.`, "End session", async () => {
    await api.send("DELETE", where());
    notify(`The session of ${item().user} ends.`);
    await done();
  });
  const change = () => edit(titled("Change the session of", item().user), api.bodyOf("PATCH", ONE), item().limits, "Change", async (values) => {
    await api.send("PATCH", where(), values);
    notify(`The session of ${item().user} is changed.`);
    await done();
  });
  return [
    api.may("PATCH", ONE) ? button("Change", change, { class: "minor" }) : null,
    api.may("GET", "/trace") ? button("Trace", () => trace(item()), { class: "minor" }) : null,
    api.may("GET", `${ONE}/capture`) ? h("a", { class: "button minor", download: `${item().session_id}.pcapng`, href: api.href(`${where()}/capture`) }, "Capture") : null,
    api.may("DELETE", ONE) ? button("End", end, { class: "grave" }) : null,
  ];
}

export function show(main, route, signal) {
  const history = new Map();
  const table = new LiveTable(route, signal, {
    title,
    path: "/sessions",
    key: (one) => one.session_id,
    columns: ["user", "caller", "tunnel", "addresses", "uptime_seconds", "rate_received", "rate_sent", "rates", "octets_received", "octets_sent"],
    minor: ["caller", "tunnel", "encryption", "octets_received", "octets_sent", "rates"],
    sorts: { addresses: "address", networks: "network", started: null, encryption: null, path: null, discards: null, limits: null, rates: null },
    extra: { rates: { description: "The rates of the last two minutes, from and to the user." } },
    labels: { rate_received: "Rate in", rate_sent: "Rate out", octets_received: "In", octets_sent: "Out" },
    search: "user",
    nothing: "No session matches.",
    cells: {
      user: linked((one) => [one.user || one.session_id, `#/session${api.path(one.session_id)}`]),
      rates: (cell, one) => {
        if (!cell.firstChild) cell.append(spark());
        sparkline(cell.firstChild, history.get(one.session_id) ?? []);
      },
    },
    seen: (items) => {
      const kept = new Set(items.map((one) => one.session_id));
      for (const key of history.keys()) if (!kept.has(key)) history.delete(key);
      for (const one of items) {
        const points = history.get(one.session_id) ?? [];
        points.push([one.rate_received ?? 0, one.rate_sent ?? 0]);
        history.set(one.session_id, points.slice(-KEPT));
      }
    },
    actions: (item) => sessionButtons(item, () => table.load()),
    tools: [api.may("DELETE", "/sessions") ? button("End all that match", () => endAll(table), { class: "grave" }) : null],
  });
  fill(main, h("h1", {}, title), table.element);
  if (api.may("GET", "/calls")) fill(main, ...main.childNodes, ...calls(route, signal));
}

function endAll(table) {
  const query = table.query;
  const filter = Object.entries(query).map(([name, text]) => `${name} ${text}`).join(", ");
  const words = filter ? `They are the sessions with ${filter}.` : "They are the sessions of all users.";
  confirm(`End ${counted(table.total, "session", "sessions")}?`, words, "End them", async () => {
    const ended = await api.send("DELETE", "/sessions", undefined, filter ? query : { user: "*" });
    notify(`${counted(ended.session_ids.length, "session ends", "sessions end")}.`);
    await table.load();
  });
}

function calls(route, signal) {
  const table = new LiveTable({ query: {} }, signal, {
    title: "Callers that are being set up",
    path: "/calls",
    key: (one) => one.session_id,
    columns: ["caller", "called", "tunnel", "phase", "user", "age_seconds"],
    minor: ["called"],
    isPlain: true,
    nothing: "Nobody is being set up.",
  });
  return [h("h2", {}, "Callers that are being set up"), table.element];
}

// Events: what happens, as it happens.

import * as api from "./api.js";
import { fill, foreign, h } from "./dom.js";
import { clock, duration, label, octets, shown, time } from "./format.js";

export const title = "Events";
export const needs = ["GET", "/events"];

const KEPT = 500;

const WORDS = {
  "session-started": (one) => `session begins from ${one.caller} over ${one.tunnel}, by ${one.authentication}`,
  "session-changed": (one) => `session: ${one.protocol ? `${one.protocol} ${one.change}` : `other ${one.change}`} ${shown("", one.networks)}`,
  "session-ended": (one) =>
    `session from ${one.caller} over ${one.tunnel} ends after ${duration(one.uptime_seconds)}, ${octets(one.octets_received)} in, ${octets(one.octets_sent)} out: ${one.cause}`,
  "caller-refused": (one) => `caller from ${one.caller} over ${one.tunnel} is refused: ${one.reason}`,
  "call-attacked": (one) => `call from ${one.caller} over ${one.tunnel} shows signs of an attack, and is ended: ${one.reason}`,
  "lockout-began": (one) => `the ${one.of} ${one.subject} is locked out until ${time(one.until)}, after ${one.failures} failures`,
  "radius-server-changed": (one) => `the RADIUS server ${one.server} (${one.service}) ${one.alive ? "answers again" : "answers no more"}`,
  reloaded: (one) =>
    one.error ? `reload failed: ${one.error}` : `reloaded: ${one.applied.join(", ") || "nothing"} applied; ${one.kept.join(", ") || "nothing"} needs a restart`,
  "drain-changed": (one) => (one.drain ? `draining${one.drain.drained ? ": no call is left" : ""}` : "takes calls again"),
  "faults-changed": (one) => one.faults.join("; ") || "no fault any more",
  gap: () => "events are missing here",
};

// Kinds that an operator should look at.
const GRAVE = new Set(["caller-refused", "call-attacked", "lockout-began"]);

const isGrave = (one) =>
  GRAVE.has(one.kind) || (one.kind === "radius-server-changed" && !one.alive) || (one.kind === "faults-changed" && one.faults.length > 0) || (one.kind === "reloaded" && one.error !== "");

// Make the row of an event.
export function row(one) {
  const words = WORDS[one.kind]?.(one) ?? Object.entries(one).filter(([name]) => !["kind", "time"].includes(name)).map(([name, value]) => `${label(name)} ${shown(name, value)}`).join(", ");
  return h("tr", { class: isGrave(one) ? "bad" : null },
    h("td", {}, one.time ? h("time", { title: time(one.time) }, clock(one.time)) : ""),
    h("td", { class: "minor" }, `${isGrave(one) ? "! " : ""}${one.kind.replaceAll("-", " ")}`),
    h("td", {}, one.user ? foreign(one.user) : ""), h("td", {}, foreign(words)));
}

export const heads = () => h("thead", {}, h("tr", {}, ["Time", "Kind", "User", "What"].map((text) => h("th", { scope: "col", class: text === "Kind" ? "minor" : null }, text))));

export function show(main, route, signal) {
  const body = h("tbody");
  let stop = new AbortController();
  signal.addEventListener("abort", () => stop.abort());
  const kinds = Object.keys(WORDS).filter((kind) => kind !== "gap");
  const kind = h("select", { id: "kind" }, h("option", { value: "" }, "all"), kinds.map((one) => h("option", { value: one }, one.replaceAll("-", " "))));
  const user = h("input", { id: "user", type: "search", dir: "auto", placeholder: "* is anything" });
  const begin = () => {
    stop.abort();
    stop = new AbortController();
    fill(body);
    api.events({ kind: kind.value, user: user.value.trim(), last: KEPT }, stop.signal, (one) => {
      body.prepend(row(one));
      if (body.childElementCount > KEPT) body.lastChild.remove();
    });
  };
  kind.addEventListener("change", begin);
  user.addEventListener("change", begin);
  fill(main, h("h1", {}, title),
    h("div", { class: "tools", role: "search" }, h("label", { for: "kind" }, "Kind"), kind, h("label", { for: "user" }, "User"), user),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title }, h("table", { "aria-label": title }, heads(), body)));
  begin();
}

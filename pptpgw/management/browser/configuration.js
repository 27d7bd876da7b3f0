// Configuration: what is in force, what a reload would change, draining, and the log.

import * as api from "./api.js";
import { button, every, fill, h, notify, setText } from "./dom.js";
import { confirm, edit } from "./form.js";
import { counted, time } from "./format.js";
import { LiveTable, smallTable } from "./table.js";

export const title = "Configuration";
export const needs = ["GET", "/reload"];

const EFFECTS = { new: "calls to come", live: "current sessions too", restart: "needs a restart" };

export function show(main, route, signal) {
  const changes = h("section");
  const drain = h("section");
  const whole = h("section");
  fill(main, h("h1", {}, title), drain, changes, whole);
  if (api.may("GET", "/configuration")) fill(whole, ...inForce(route, signal));
  if (api.may("PUT", "/log")) logging(whole);
  const load = async () => {
    const status = await api.get("/status");
    draining(drain, status, load);
    let found;
    try {
      found = (await api.get("/reload")).changes;
    } catch (error) {
      if (error.isSaid) throw error;
      reloading(changes, status, h("p", { class: "fault" }, error.message), load);
      return;
    }
    const rows = found.map((one) => [one.key, EFFECTS[one.effect] ?? one.effect, one.reason ?? ""]);
    const table = rows.length
      ? smallTable("What a reload would change", ["Key", "Applies to", "Why"], rows)
      : h("p", {}, "The file says what is in force: a reload would change nothing.");
    reloading(changes, status, table, load);
  };
  every(5, signal, load);
}

function inForce(route, signal) {
  const words = (value) => (typeof value === "string" ? value : JSON.stringify(value));
  const table = new LiveTable(route, signal, {
    title: "In force",
    path: "/configuration",
    seconds: 10,
    key: (one) => `${one.section} ${one.key}`,
    columns: ["section", "key", "value", "default", "effect", "allowed"],
    minor: ["default", "allowed", "effect"],
    labels: { effect: "A reload applies it to" },
    sorts: { value: null, default: null, allowed: null, reason: null },
    search: "key",
    wide: ["value", "default", "allowed", "reason"],
    nothing: "No key matches.",
    cells: {
      value: (cell, one) => setText(cell, one.value === null ? "" : words(one.value)),
      default: (cell, one) => setText(cell, one.default === null ? "" : words(one.default)),
      effect: (cell, one) => setText(cell, EFFECTS[one.effect] ?? one.effect),
    },
  });
  return [h("h2", {}, "In force"), table.element];
}

// Let an administrator choose which lines the log has.
async function logging(place) {
  const { level } = await api.get("/log");
  const levels = api.bodyOf("PUT", "/log").properties.level.enum;
  const choice = h("select", { id: "level", change: async () => {
    try {
      await api.send("PUT", "/log", { level: choice.value });
      notify(`The log has lines from the level ${choice.value} on.`);
    } catch (error) {
      notify(error.message);
    }
  } }, levels.map((one) => h("option", { selected: one === level }, one)));
  place.append(h("h2", {}, "Log"), h("p", {}, h("label", { for: "level" }, "Lines from this level on "), choice));
}

function keep(place, ...children) {
  // A button that has the focus keeps it when its section is shown anew.
  const had = place.contains(document.activeElement) ? document.activeElement.textContent : null;
  fill(place, ...children);
  if (had !== null) [...place.querySelectorAll("button")].find((one) => one.textContent === had)?.focus();
}

function reloading(place, status, table, load) {
  const last = status.last_reload;
  const act = () => confirm("Reload the configuration?", "The file is read again, and put in force as far as possible.", "Reload", async () => {
    const { changes } = await api.send("POST", "/reload");
    const kept = changes.filter((one) => one.effect === "restart").length;
    notify(`Reloaded: ${changes.length - kept} keys are applied, ${kept} need a restart.`);
    await load();
  });
  keep(place, h("h2", {}, "What a reload would change"), table,
    last ? h("p", { class: last.error ? "fault" : null }, `The last reload was on ${time(last.time)}${last.error ? ` and failed: ${last.error}` : "."}`) : null,
    api.may("POST", "/reload") ? h("p", {}, button("Reload", act, { class: "main" })) : null);
}

function draining(place, status, load) {
  const drain = status.drain;
  const begin = () => edit("Drain the gateway", api.bodyOf("PUT", "/drain"), {}, "Drain", async (values) => {
    await api.send("PUT", "/drain", values);
    notify("The gateway takes no more calls.");
    await load();
  });
  const end = async () => {
    try {
      await api.send("DELETE", "/drain");
      notify("The gateway takes calls again.");
    } catch (error) {
      notify(error.message);
    }
    await load();
  };
  const words = drain === null ? "The gateway takes calls."
    : `The gateway has taken no calls since ${time(drain.since)}. ${drain.drained ? "No call is left." : `${counted(status.sessions, "session is", "sessions are")} left.`}${
      drain.deadline === null ? "" : ` They are ended at ${time(drain.deadline)}.`}${drain.stop ? " Then the gateway stops." : ""}`;
  keep(place, h("h2", {}, "Calls"), h("p", {}, words),
    status.faults.length ? h("p", { class: "fault" }, status.faults.join("; ")) : null,
    drain === null && api.may("PUT", "/drain") ? h("p", {}, button("Drain", begin)) : null,
    drain !== null && api.may("DELETE", "/drain") ? h("p", {}, button("Undrain", end, { class: "main" })) : null);
}

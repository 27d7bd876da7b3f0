// Overview: the state of the gateway on one screen.

import * as api from "./api.js";
import { every, facts, fill, h } from "./dom.js";
import { bits, count, duration, octets, time } from "./format.js";
import { heads, row } from "./events.js";
import { Plot } from "./plot.js";
import { servers } from "./radius.js";
import { smallTable } from "./table.js";

export const title = "Overview";
export const needs = ["GET", "/status"];

const EVENTS = 12;

// How many seconds each series has, and how often it is asked for.
const RANGES = {
  "10m": ["10 minutes", 600, 5],
  "24h": ["24 hours", 86400, 60],
  "30d": ["30 days", 30 * 86400, 300],
};

const percent = (value) => `${value.toFixed(value < 10 ? 1 : 0)} %`;

const STATES = { serving: "✓ serving", faulty: "✗ faulty", draining: "… draining", drained: "… drained" };

// The plots: title, format, and the figures of each line, with what they are multiplied by to be
// in its unit; minute stands for what makes a number in a step one in a minute.
const PLOTS = [
  ["Sessions", count, { sessions: ["now", 1] }],
  ["Traffic", bits, { octets_received: ["from users", 8], octets_sent: ["to users", 8] }],
  ["Calls a minute", count, { calls: ["calls", "minute"], refusals: ["refused", "minute"] }],
  ["Set-up time", duration, { setup_p50_seconds: ["median", 1], setup_p95_seconds: ["95 %", 1] }],
  ["Processor", percent, { cpu: ["of a core", 100] }],
  ["Reactor delay", duration, { reactor_delay_seconds: ["at worst", 1] }],
];

export function show(main, route, signal) {
  const now = h("section", { "aria-label": "Now" });
  const plots = PLOTS.map(([name, format, lines]) => [new Plot(name, { format, series: Object.values(lines).map((one) => one[0]) }), lines]);
  const tables = h("div", { class: "contents" });
  const more = h("div", { class: "contents" });
  const last = h("tbody");
  fill(main, h("h1", { class: "unseen" }, title), now, api.may("GET", "/history") ? history(plots, signal) : null,
    h("div", { class: "columns" }, tables, more),
    api.may("GET", "/events") ? h("section", {}, h("h2", {}, "Last events"),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Last events" }, h("table", { "aria-label": "Last events" }, heads(), last))) : null);
  let before = null;
  every(2, signal, async () => {
    const status = await api.get("/status");
    const recent = { at: performance.now() / 1000, refusals: status.refusals };
    const samples = before && before.started === status.started ? before.samples.filter((one) => one.at > recent.at - 60) : [];
    before = { started: status.started, samples: [...samples, recent] };
    fill(now, ...state(status));
    fill(tables, ...details(status, before.samples[0]));
  });
  every(5, signal, async () => {
    const parts = [];
    if (api.may("GET", "/pools")) parts.push(pools((await api.get("/pools")).items));
    const radius = api.may("GET", "/radius") ? await api.get("/radius") : { servers: [] };
    if (radius.servers.length) parts.push(h("section", {}, h("h2", {}, "RADIUS"), servers(radius)));
    fill(more, ...parts);
  });
  if (api.may("GET", "/events")) {
    api.events({ last: EVENTS }, signal, (one) => {
      last.prepend(row(one));
      if (last.childElementCount > EVENTS) last.lastChild.remove();
    });
  }
}

// The plots, and the choice of how much time they show.
function history(plots, signal) {
  let stop = new AbortController();
  signal.addEventListener("abort", () => stop.abort());
  const begin = (range) => {
    stop.abort();
    stop = new AbortController();
    const [, seconds, interval] = RANGES[range];
    every(interval, stop.signal, async () => {
      const found = await api.get("/history", { range });
      for (const [plot, lines] of plots) plot.set(pointsOf(found, lines), seconds);
    });
  };
  const choice = h("select", { id: "range", change: (event) => begin(event.target.value) },
    Object.entries(RANGES).map(([range, [words]]) => h("option", { value: range }, words)));
  begin("10m");
  return [h("p", { class: "tools" }, h("label", { for: "range" }, "The last"), choice),
    h("div", { class: "plots" }, plots.map(([plot]) => plot.element))];
}

function pointsOf(found, lines) {
  const factors = Object.entries(lines).map(([name, [, factor]]) => [found[name], factor === "minute" ? 60 / found.step_seconds : factor]);
  const points = [];
  found.time.forEach((when, at) => {
    const before = points.length ? points[points.length - 1][0] : when;
    // While the gateway was down there were no figures.
    if (when - before > 2.5 * found.step_seconds) points.push([before + found.step_seconds, ...factors.map(() => null)]);
    points.push([when, ...factors.map(([values, factor]) => (values[at] === null ? null : values[at] * factor))]);
  });
  return points;
}

function pools(items) {
  const rows = items.map((one) => [`${one.network} ${one.name}`, `${count(one.used)} of ${count(one.size)}`,
    h("meter", { min: 0, max: one.size || 1, value: one.used, "aria-label": `${one.network} ${one.name} used` })]);
  return h("section", {}, h("h2", {}, "Pools"), rows.length ? smallTable("Pools", ["Pool", "In use", "Share"], rows) : h("p", { class: "empty" }, "None."));
}

function state(status) {
  const most = status.max_sessions;
  const sessions = most === null ? count(status.sessions)
    : h("span", {}, `${count(status.sessions)} of ${count(most)} `, h("meter", { min: 0, max: most, value: status.sessions, "aria-label": "Sessions, of as many as there may be" }));
  return [
    facts([
      ["State", h("b", { class: status.state === "serving" ? "good" : "bad" }, STATES[status.state])],
      ["Sessions", sessions],
      ["Being set up", status.max_setups === null ? count(status.calls) : `${count(status.calls)} of ${count(status.max_setups)}`],
      ["Uptime", duration(status.uptime_seconds)],
      ["Started", status.started === null ? "not yet" : time(status.started)],
      ["Memory, at most", octets(status.memory_octets)],
      ["Version", status.version],
      ["MPPE", status.mppe],
    ]),
    status.faults.length ? h("p", { class: "fault" }, status.faults.join("; ")) : null,
  ];
}

function details(status, before) {
  const numbers = (table) => Object.entries(table).sort((one, other) => other[1] - one[1]).map(([name, value]) => [name, count(value)]);
  const section = (words, columns, rows) => h("section", {}, h("h2", {}, words), rows.length ? smallTable(words, columns, rows) : h("p", { class: "empty" }, "None."));
  return [
    section("Listens", ["Tunnel", "At"], Object.entries(status.tunnels).map(([name, places]) => [name, places.join(", ") || "nowhere"])),
    section("Sessions by tunnel", ["Tunnel", "Sessions"], numbers(status.sessions_by_tunnel).map(([name, words]) =>
      [h("a", { href: `#/active?tunnel=${encodeURIComponent(name)}` }, name), words])),
    section("Sessions by network", ["Network", "Sessions"], numbers(status.sessions_by_network)),
    section("Refusals", ["Cause", "Since the start", "In the last minute"], numbers(status.refusals).map(([name, words]) =>
      [name.replaceAll("_", " "), words, count(status.refusals[name] - (before.refusals[name] ?? 0))])),
    section("Discards", ["Reason", "Packets"], numbers(status.discards)),
    section("Since the start", ["Of", "From users", "To users"], [
      ["Octets", octets(status.octets_received), octets(status.octets_sent)],
      ["Packets", count(status.packets_received), count(status.packets_sent)],
    ]),
  ];
}

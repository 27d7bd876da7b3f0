// Session: one session in full.

import * as api from "./api.js";
import { sessionButtons } from "./active.js";
import { every, facts, fill, foreign, h } from "./dom.js";
import { bits, count, duration, octets, shown, time } from "./format.js";
import { Plot } from "./plot.js";
import { smallTable } from "./table.js";
import { frames, stages } from "./why.js";

export const title = "Session";
export const needs = ["GET", "/sessions/{session_id}"];
export const isHidden = true;
export const of = "active";

export function show(main, route, signal) {
  const [identifier] = route.parts;
  const plot = new Plot("Traffic", { format: bits, series: ["from the user", "to the user"] });
  const heading = h("h1", {}, "Session ", foreign(identifier));
  const over = h("p", { class: "over", role: "status" });
  const actions = h("p", { class: "buttons" });
  const table = h("div", { class: "columns" });
  const set = h("div");
  let session = null;
  fill(main, heading, over, actions, plot.element, table, set);
  const leaving = new AbortController();
  signal.addEventListener("abort", () => leaving.abort());
  every(2, leaving.signal, async () => {
    try {
      session = await api.get(`/sessions${api.path(identifier)}`);
    } catch (error) {
      if (error.status !== 404) throw error;
      fill(over, session ? "This session is over." : "There is no such session now.");
      fill(actions);
      leaving.abort();
      if (api.may("GET", "/attempts/{attempt_id}")) await attempt(set, identifier);
      return;
    }
    if (!actions.hasChildNodes()) {
      fill(heading, foreign(session.user), session.direction === "out" ? ` to ${session.called}` : ` from ${session.caller}`);
      fill(actions, sessionButtons(() => session));
      if (api.may("GET", "/attempts/{attempt_id}")) await attempt(set, identifier);
    }
    plot.add(Date.now() / 1000, [session.rate_received, session.rate_sent]);
    fill(table, about(session), used(session), protocols(session), options(session));
  });
}

function about(one) {
  return h("section", {}, h("h2", {}, "Call"), facts([
    ["User", foreign(one.user)],
    ["Placed by", one.direction === "out" ? "this gateway" : "the other end"],
    ["From", one.caller],
    ["At", one.called],
    ...numbers(one),
    ["Tunnel", one.tunnel],
    ["Began", time(one.started)],
    ["Lasts", duration(one.uptime_seconds)],
    ["Authentication", one.authentication],
    ["Encryption", one.encryption || "none"],
    ["Packets pass by", one.path],
    ["Own interface", one.interface || "none"],
    ["From the user", `${octets(one.octets_received)}, ${count(one.packets_received)} packets`],
    ["To the user", `${octets(one.octets_sent)}, ${count(one.packets_sent)} packets`],
    ...quality(one.quality),
    ["Discards", shown("discards", one.discards) || "none"],
    ["Identifier", one.session_id],
    ["Number", String(one.number)],
  ]));
}

// What Link-Quality-Reports have shown, if there are any.
function quality(reported) {
  if (!reported) return [];
  const part = (loss) => `${(100 * loss).toFixed(1)} %`;
  return [
    ["Lost from the user", `${part(reported.loss_received)}, ${count(reported.packets_received_lost)} packets in all`],
    ["Lost to the user", `${part(reported.loss_sent)}, ${count(reported.packets_sent_lost)} packets in all`],
  ];
}

// What an access concentrator tells of the call, and the host name that was called.
function numbers(one) {
  return [
    ["Calling number", one.calling_station],
    ["Called number or name", one.called_station],
    ["Subaddress", one.subaddress],
    ["Told by", one.concentrator],
    ["Private group", one.private_group],
    ["Channel", one.physical_channel],
  ].filter(([, text]) => text);
}

// The limits, and how much of each is used.
function used(one) {
  const limits = one.limits;
  const rows = [
    ["Time", one.uptime_seconds, limits.session_timeout_seconds, duration],
    ["Volume", one.octets_received + one.octets_sent, limits.volume_octets, octets],
    ["Rate from the user", one.rate_received, limits.receive_rate, bits],
    ["Rate to the user", one.rate_sent, limits.send_rate, bits],
  ];
  return h("section", {}, h("h2", {}, "Limits"), facts([
    ...rows.map(([name, now, most, words]) => [name, share(name, now, most, words)]),
    ["Idle time", limits.idle_timeout_seconds === null ? "no limit" : duration(limits.idle_timeout_seconds)],
    ["Filter", limits.filter || "none"],
  ]));
}

function share(name, now, most, words) {
  const current = now === null ? "unknown" : words(now);
  if (most === null) return `${current}, no limit`;
  const meter = h("meter", { min: 0, max: most, value: Math.min(now ?? 0, most), "aria-label": `${name} used` });
  return h("span", {}, `${current} of ${words(most)} `, meter);
}

function protocols(one) {
  const rows = Object.entries(one.networks).map(([name, addresses]) => [name, addresses.join(", ") || "open"]);
  return h("section", {}, h("h2", {}, "Network protocols"), smallTable("Network protocols", ["Protocol", "Addresses"], rows));
}

// The options of each protocol that were agreed on, in both directions.
function options(one) {
  const values = (some) => foreign(some.map((value) => value || "yes").join(", "));
  const rows = one.protocols.flatMap(({ name, options }) =>
    options.map((option) => [name, option.name, values(option.ours), values(option.peers)]));
  return h("section", {}, h("h2", {}, "Options agreed"), smallTable("Options agreed", ["Protocol", "Option", "Ours", "Peer's"], rows));
}

// Show how the session was set up, as far as the gateway remembers it.
async function attempt(place, identifier) {
  try {
    const found = await api.get(`/attempts${api.path(identifier)}`);
    fill(place, h("h2", {}, "How it was set up"), stages(found), frames(found.frames));
  } catch (error) {
    if (error.status !== 404) throw error;
  }
}

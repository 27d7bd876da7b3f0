// RADIUS: the servers, whether they answer and how fast, and what waits for them.

import * as api from "./api.js";
import { every, facts, fill, h } from "./dom.js";
import { count, duration, octets, time } from "./format.js";
import { smallTable } from "./table.js";

export const title = "RADIUS";
export const needs = ["GET", "/radius"];

const HEADS = ["Server", "Service", "By", "State", "Weight", "Under way", "Accepts", "Rejects", "Challenges", "Responses", "Unanswered", "Cancelled", "Mean", "Last"];

export function show(main, route, signal) {
  const place = h("div");
  fill(main, h("h1", {}, title), place);
  every(2, signal, async () => fill(place, ...servers(await api.get("/radius"))));
}

// Make the tables of the servers and of what waits for them.
export function servers(radius) {
  if (!radius.servers.length) return [h("p", { class: "empty" }, "The gateway asks no RADIUS server.")];
  const rows = radius.servers.map((one) => [
    `${one.host} port ${one.port}`, one.service, one.transport, state(one), count(one.weight),
    `${one.under_way} of ${one.max_under_way}`, ...["accept", "reject", "challenge", "response", "unanswered", "cancelled"].map((name) => count(one.requests[name])),
    one.mean_seconds === null ? "" : duration(one.mean_seconds), one.last_seconds === null ? "" : duration(one.last_seconds),
  ]);
  const spool = radius.spool;
  return [
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Servers" }, smallTable("Servers", HEADS, rows)),
    facts([
      ["Requests that wait for a server", count(radius.waiting)],
      spool && ["Accounting records in the spool", count(spool.records)],
      spool && ["Size of the spool", `${octets(spool.octets)} of ${octets(spool.max_octets)}`],
      spool && ["Kept over a restart", spool.durable ? "yes" : "no"],
      spool && ["Servers for them", spool.waiting ? "✗ none answers" : "✓ answering"],
    ]),
  ];
}

function state(one) {
  if (one.dead_since === null) return h("span", { class: "good" }, "✓ alive");
  return h("span", { class: "bad" }, `✗ dead since ${time(one.dead_since)}${one.probing ? ", probed" : ""}`);
}

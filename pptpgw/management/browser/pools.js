// Pools: the addresses that callers are given, and who holds which.

import * as api from "./api.js";
import { fill, h } from "./dom.js";
import { LiveTable, linked } from "./table.js";

export const title = "Pools";
export const needs = ["GET", "/pools"];

export function show(main, route, signal) {
  const table = new LiveTable({ query: {} }, signal, {
    title,
    path: "/pools",
    seconds: 5,
    key: (one) => JSON.stringify([one.network, one.name]),
    columns: ["network", "name", "size", "used", "share", "reserved", "free", "next"],
    minor: ["reserved", "next"],
    sorts: { share: null },
    extra: { share: { description: "How much of the pool callers have." } },
    cells: {
      share: (cell, one) => {
        if (!cell.firstChild) cell.append(h("meter", { min: 0, "aria-label": `${one.name} used` }));
        cell.firstChild.max = one.size || 1;
        cell.firstChild.value = one.used;
      },
    },
    isPlain: true,
    nothing: "No network hands out addresses.",
  });
  fill(main, h("h1", {}, title), table.element);
  if (!api.may("GET", "/addresses")) return;
  const holders = new LiveTable(route, signal, {
    title: "Who has which address",
    path: "/addresses",
    seconds: 5,
    key: (one) => `${one.session_id} ${one.address}`,
    columns: ["address", "network", "pool", "user"],
    search: "address",
    nothing: "Nobody has an address, or none that matches.",
    cells: { user: linked((one) => [one.user, `#/session${api.path(one.session_id)}`]) },
  });
  fill(main, ...main.childNodes, h("h2", {}, "Who has which address"), holders.element);
}

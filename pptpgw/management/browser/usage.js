// Usage: who has used which tunnel.

import { fill, h, setText } from "./dom.js";
import { LiveTable, linked } from "./table.js";

export const title = "Usage";
export const needs = ["GET", "/usage"];

export function show(main, route, signal) {
  const table = new LiveTable(route, signal, {
    title,
    path: "/usage",
    seconds: 30,
    sort: "-last_day",
    key: (one) => `${one.tunnel} ${one.user}`,
    columns: ["user", "tunnel", "sessions", "seconds", "last_day", "octets_received", "octets_sent"],
    minor: ["seconds", "octets_received"],
    search: "user",
    nothing: "No session is recorded, or none that matches.",
    cells: {
      user: linked((one) => [one.user, `#/users?name=${encodeURIComponent(one.user)}`]),
      tunnel: (cell, one) => setText(cell, one.tunnel ?? "unknown"),
    },
  });
  fill(main, h("h1", {}, title), table.element);
}

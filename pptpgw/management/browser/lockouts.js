// Lockouts: who is refused after wrong passwords.

import * as api from "./api.js";
import { button, fill, h, notify } from "./dom.js";
import { LiveTable } from "./table.js";

export const title = "Lockouts";
export const needs = ["GET", "/lockouts"];

const ONE = "/lockouts/{kind}/{subject}";

export function show(main, route, signal) {
  const table = new LiveTable(route, signal, {
    title,
    path: "/lockouts",
    sort: "-until",
    key: (one) => `${one.kind} ${one.subject}`,
    columns: ["kind", "subject", "failures", "until", "remaining_seconds", "enforced"],
    minor: ["until", "enforced"],
    search: "subject",
    nothing: "Nobody is locked out.",
    actions: (item) => [api.may("DELETE", ONE) ? button("Clear", () => clear(item())) : null],
  });
  const clear = async (one) => {
    try {
      await api.send("DELETE", `/lockouts${api.path(one.kind, one.subject)}`);
      notify(`The ${one.kind} ${one.subject} may try again.`);
    } catch (error) {
      notify(error.message);
    }
    await table.load();
  };
  fill(main, h("h1", {}, title), table.element);
}

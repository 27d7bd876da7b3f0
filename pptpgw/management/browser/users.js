// Users: the accounts in the gateway's store. RouterOS calls them secrets.

import * as api from "./api.js";
import { adder, changer, disabler, remover } from "./accounts.js";
import { fill, h } from "./dom.js";
import { LiveTable, linked } from "./table.js";

export const title = "Users";
export const needs = ["GET", "/users"];

const ONE = "/users/{name}";

export function show(main, route, signal) {
  const load = () => table.load();
  const where = (one) => `/users${api.path(one.name)}`;
  const table = new LiveTable(route, signal, {
    title,
    path: "/users",
    seconds: 5,
    sort: "name",
    key: (one) => one.name,
    columns: ["name", "state", "profile", "attributes", "sessions", "expires"],
    minor: ["attributes", "profile", "expires"],
    sorts: { attributes: null },
    wide: ["attributes"],
    nothing: "There is no user, or none that matches.",
    cells: {
      sessions: linked((one) => [String(one.sessions), `#/active?user=${encodeURIComponent(one.name)}`]),
    },
    tools: [adder("/users", "Add a user", load), api.may("POST", "/import") ? h("a", { class: "button", href: "#/import" }, "Import") : null],
    state: (one) => one.state,
    actions: (item) => [
      disabler(ONE, where, item, item().state === "disabled", load),
      changer("PATCH", ONE, where, "Change", "Change", (one) => ({ ...one, disabled: one.state === "disabled" }), item, load),
      changer("PUT", `${ONE}/password`, (one) => `${where(one)}/password`, "Password", "Another password of", () => ({}), item, load),
      api.may("GET", "/why/{user}") ? h("a", { class: "button", href: `#/why?why=${encodeURIComponent(item().name)}` }, "Why?") : null,
      remover(ONE, where, item, load),
    ],
  });
  fill(main, h("h1", {}, title), table.element);
}

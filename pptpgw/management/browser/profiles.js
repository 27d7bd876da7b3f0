// Profiles: attributes that users share.

import * as api from "./api.js";
import { adder, changer, remover } from "./accounts.js";
import { fill, h } from "./dom.js";
import { LiveTable, linked } from "./table.js";

export const title = "Profiles";
export const needs = ["GET", "/profiles"];

const ONE = "/profiles/{name}";

export function show(main, route, signal) {
  const load = () => table.load();
  const where = (one) => `/profiles${api.path(one.name)}`;
  const table = new LiveTable(route, signal, {
    title,
    path: "/profiles",
    seconds: 5,
    sort: "name",
    key: (one) => one.name,
    columns: ["name", "attributes", "users"],
    sorts: { attributes: null },
    wide: ["attributes"],
    nothing: "There is no profile, or none that matches.",
    cells: {
      users: linked((one) => [String(one.users), `#/users?profile=${encodeURIComponent(one.name)}`]),
    },
    tools: [adder("/profiles", "Add a profile", load)],
    actions: (item) => [
      changer("PATCH", ONE, where, "Change", "Change", (one) => one, item, load),
      remover(ONE, where, item, load),
    ],
  });
  fill(main, h("h1", {}, title), table.element);
}

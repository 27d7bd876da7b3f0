// Operators: who may see and steer the gateway, and the tokens of each.

import * as api from "./api.js";
import { adder, changer, disabler, remover } from "./accounts.js";
import { fill, h } from "./dom.js";
import { reveal, titled } from "./form.js";
import { LiveTable, linked } from "./table.js";

export const title = "Operators";
export const needs = ["GET", "/operators"];

const ONE = "/operators/{name}";
const TOKENS = `${ONE}/tokens`;
// Each look is in the audit, as only admins may have one.
const SECONDS = 60;

export function show(main, route, signal) {
  const [name] = route.parts;
  if (name === undefined) showAll(main, route, signal);
  else showTokens(main, route, signal, name);
}

function showAll(main, route, signal) {
  const load = () => table.load();
  const where = (one) => `/operators${api.path(one.name)}`;
  const table = new LiveTable(route, signal, {
    title,
    path: "/operators",
    seconds: SECONDS,
    sort: "name",
    key: (one) => one.name,
    columns: ["name", "role", "disabled", "has_password", "changed"],
    minor: ["has_password", "changed"],
    nothing: "There is no operator, or none that matches.",
    cells: { name: linked((one) => [one.name, `#/operators/${encodeURIComponent(one.name)}`]) },
    tools: [adder("/operators", "Add an operator", load)],
    state: (one) => String(one.disabled),
    actions: (item) => [
      disabler(ONE, where, item, item().disabled, load),
      changer("PATCH", ONE, where, "Change", "Change", (one) => one, item, load),
      remover(ONE, where, item, load),
    ],
  });
  fill(main, h("h1", {}, title), table.element);
}

function showTokens(main, route, signal, name) {
  const path = `/operators${api.path(name)}/tokens`;
  const where = (one) => path + api.path(one.name);
  const load = () => table.load();
  const made = async ({ token }) => {
    await load();
    return () => reveal("The token", "It isn't shown again. Programs send it in the header Authorization: Bearer TOKEN.", token);
  };
  const table = new LiveTable(route, signal, {
    title: "Tokens",
    path: TOKENS,
    where: path,
    seconds: SECONDS,
    sort: "name",
    key: (one) => one.name,
    columns: ["name", "created", "used", "expires"],
    minor: ["created"],
    nothing: "The operator has no token, or none that matches.",
    tools: [adder(TOKENS, "Add a token", made, path)],
    actions: (item) => [remover(`${TOKENS}/{token}`, where, item, load)],
  });
  fill(main, h("h1", {}, titled("Tokens of", name)), h("p", {}, h("a", { href: "#/operators" }, "All operators")), table.element);
}

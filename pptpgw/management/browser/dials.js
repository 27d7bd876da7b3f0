// Dials: the calls that the gateway dials.

import * as api from "./api.js";
import { button, fill, h, notify } from "./dom.js";
import { LiveTable } from "./table.js";

export const title = "Dials";
export const needs = ["GET", "/dials"];

const CALL = "/dials/{name}/call";

export function show(main, route, signal) {
  const table = new LiveTable(route, signal, {
    title,
    path: "/dials",
    seconds: 2,
    key: (one) => one.name,
    columns: ["name", "tunnel", "address", "state", "state_seconds", "next_seconds", "failures", "reason"],
    minor: ["tunnel", "failures"],
    search: "name",
    nothing: "The configuration has no [[dial]], or none that matches.",
    actions: (item) => [
      api.may("PUT", CALL) ? button("Up", () => steer("PUT", item()), { class: "minor" }) : null,
      api.may("DELETE", CALL) ? button("Down", () => steer("DELETE", item()), { class: "grave" }) : null,
    ],
  });
  const steer = async (method, one) => {
    try {
      const found = await api.send(method, `/dials${api.path(one.name)}/call`);
      notify(`${one.name} is ${found.state}.`);
    } catch (error) {
      notify(error.message);
    }
    await table.load();
  };
  fill(main, h("h1", {}, title), table.element);
}

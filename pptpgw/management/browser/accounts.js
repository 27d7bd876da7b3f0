// What the pages of users and of profiles have in common.

import * as api from "./api.js";
import { button, notify } from "./dom.js";
import { edit, titled } from "./form.js";

// The question that every change asks: what becomes of the current sessions.
const NOW = {
  properties: { now: { type: "boolean", description: "Change or end the current sessions too." } },
};

// Say what became of the current sessions.
export function tell(what, answer) {
  const words = [what];
  if (answer?.ended?.length) words.push(`${answer.ended.length} sessions end.`);
  if (answer?.changed?.length) words.push(`${answer.changed.length} sessions are changed.`);
  if (answer?.sessions) words.push(`${answer.sessions} sessions go on as they are.`);
  notify(words.join(" "));
}

// Make the button that adds to a list; null if the operator may not.
export function adder(template, words, done) {
  if (!api.may("POST", template)) return null;
  return button(words, () => edit(words, api.bodyOf("POST", template), {}, "Add", async (values) => {
    await api.send("POST", template, values);
    notify(`${values.name} is added.`);
    await done();
  }), { class: "main" });
}

// Make a button that changes one of a list by a form; null if the operator may not.
export function changer(method, template, where, words, title, valuesOf, item, done) {
  if (!api.may(method, template)) return null;
  const act = () => edit(titled(title, item().name), api.bodyOf(method, template), valuesOf(item()), "Change", async (values, more) => {
    tell(`${item().name} is changed.`, await api.send(method, where(item()), values, more));
    await done();
  }, NOW);
  return button(words, act);
}

// Make the button that removes one of a list; null if the operator may not.
export function remover(template, where, item, done) {
  if (!api.may("DELETE", template)) return null;
  const hasNow = api.operation("DELETE", template).parameters.some((one) => one.name === "now");
  const act = () => edit(titled("Remove", item().name), { properties: {} }, {}, "Remove", async (_, more) => {
    tell(`${item().name} is removed.`, await api.send("DELETE", where(item()), undefined, more));
    await done();
  }, hasNow ? NOW : null);
  return button("Remove", act, { class: "grave" });
}

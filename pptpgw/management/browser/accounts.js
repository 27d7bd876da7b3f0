// What the pages of users, profiles and operators have in common.

import * as api from "./api.js";
import { button, notify } from "./dom.js";
import { edit, titled } from "./form.js";
import { counted } from "./format.js";

// The question that every change asks: what becomes of the current sessions.
const NOW = {
  properties: { now: { type: "boolean", description: "Change or end the current sessions too." } },
};

// Say what became of the current sessions.
export function tell(what, answer) {
  const words = [what];
  if (answer?.ended?.length) words.push(`${counted(answer.ended.length, "session ends", "sessions end")}.`);
  if (answer?.changed?.length) words.push(`${counted(answer.changed.length, "session is", "sessions are")} changed.`);
  if (answer?.sessions) words.push(`${counted(answer.sessions, "session goes on as it is", "sessions go on as they are")}.`);
  notify(words.join(" "));
}

// The question if the operation takes it.
const nowOf = (method, template) => (api.operation(method, template).parameters.some((one) => one.name === "now") ? NOW : null);

// Make the button that adds to a list; null if the operator may not. The answer is passed to done.
export function adder(template, words, done, where = template) {
  if (!api.may("POST", template)) return null;
  return button(words, () => edit(words, api.bodyOf("POST", template), {}, "Add", async (values) => {
    const answer = await api.send("POST", where, values);
    notify(`${values.name} is added.`);
    return done(answer);
  }), { class: "main" });
}

// Make the button that disables one of a list or enables it again; null if the operator may not.
export function disabler(template, where, item, isDisabled, done) {
  if (!api.may("PATCH", template)) return null;
  const act = async () => {
    try {
      const answer = await api.send("PATCH", where(item()), { disabled: !isDisabled });
      tell(`${item().name} is ${isDisabled ? "enabled" : "disabled"}.`, answer);
    } catch (error) {
      tell(error.message);
    }
    await done();
  };
  return button(isDisabled ? "Enable" : "Disable", act);
}

// Make a button that changes one of a list by a form; null if the operator may not.
export function changer(method, template, where, words, title, valuesOf, item, done) {
  if (!api.may(method, template)) return null;
  const act = () => edit(titled(title, item().name), api.bodyOf(method, template), valuesOf(item()), "Change", async (values, more) => {
    tell(`${item().name} is changed.`, await api.send(method, where(item()), values, more));
    await done();
  }, nowOf(method, template));
  return button(words, act);
}

// Make the button that removes one of a list; null if the operator may not.
export function remover(template, where, item, done) {
  if (!api.may("DELETE", template)) return null;
  const act = () => edit(titled("Remove", item().name), { properties: {} }, {}, "Remove", async (_, more) => {
    tell(`${item().name} is removed.`, await api.send("DELETE", where(item()), undefined, more));
    await done();
  }, nowOf("DELETE", template));
  return button("Remove", act, { class: "grave" });
}

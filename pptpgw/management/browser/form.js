// Dialogs: a question, and a form that is made from the schema of what an operation takes.

import { resolved } from "./api.js";
import { button, foreign, h, setText } from "./dom.js";
import { isTime, label } from "./format.js";

let number = 0;

// act: done before the dialog closes, and a function that it returns after that; null if there is
// nothing to do.
function open(title, content, actText, act, isGrave) {
  number += 1;
  const opener = document.activeElement;
  const fault = h("p", { class: "fault", role: "alert" });
  const doing = h("button", { type: "submit", class: isGrave ? "grave" : "main" }, actText);
  const form = h("form", { novalidate: false }, h("h2", { id: `dialog${number}` }, title), content, fault,
    h("p", { class: "buttons" }, doing, act ? button("Cancel", () => dialog.close()) : null));
  const dialog = h("dialog", { "aria-labelledby": `dialog${number}` }, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    doing.disabled = true;
    setText(fault, "");
    try {
      const then = await act?.();
      dialog.close();
      if (typeof then === "function") then();
    } catch (error) {
      setText(fault, error.message);
    } finally {
      doing.disabled = false;
    }
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (opener?.isConnected) opener.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

// Ask whether to do something that can't be undone.
export function confirm(title, words, actText, act) {
  open(title, h("p", {}, words), actText, act, true);
}

// Show a secret that can't be shown again.
export function reveal(title, words, secret) {
  const id = `field${(number += 1)}`;
  const text = h("input", { id, readonly: true, value: secret });
  open(title, h("p", { class: "field" }, h("label", { for: id }, words), text), "Close", null, false);
  text.select();
}

// The schema without null and what stands for it, and whether null was allowed.
function core(schema) {
  const whole = resolved(schema);
  const options = (whole.anyOf ?? [whole]).map(resolved);
  const types = options.flatMap((one) => (Array.isArray(one.type) ? one.type : [one.type]));
  const found = options.find((one) => one.type !== "null") ?? {};
  return { ...found, types: types.filter((one) => one !== "null"), isNullable: types.includes("null") };
}

function localTime(value) {
  const when = new Date(value * 1000 - new Date(value * 1000).getTimezoneOffset() * 60000);
  return when.toISOString().slice(0, 16);
}

// A field of a form: its element, and a function that returns its value.
function field(name, schema, value, isRequired) {
  const kind = core(schema);
  const about = { id: `field${(number += 1)}`, required: isRequired, name };
  const words = schema.description ?? resolved(schema).description ?? "";
  const isPlain = words.toLowerCase() === `the ${label(name).toLowerCase()}.`;
  const hint = words && !isPlain ? h("small", { id: `${about.id}hint` }, words) : null;
  if (hint) about["aria-describedby"] = hint.id;
  if (kind.properties) {
    const inner = fieldsOf(kind, value ?? {});
    const legend = h("legend", {}, label(name));
    return { element: h("fieldset", {}, legend, inner.elements), read: () => (Object.keys(inner.read()).length ? inner.read() : undefined) };
  }
  let input;
  let read;
  if (kind.type === "boolean") {
    input = h("input", { ...about, required: false, type: "checkbox", checked: value === true });
    read = () => input.checked;
    return { element: h("p", { class: "field check" }, h("label", { for: about.id }, input, ` ${label(name)}`), hint), read, was: value ?? false };
  }
  if (kind.enum) {
    const chosen = value ?? schema.default;
    const isEmpty = !isRequired && (chosen === undefined || kind.isNullable);
    input = h("select", about, isEmpty ? h("option", { value: "" }) : [], kind.enum.map((one) => h("option", { selected: one === chosen }, one)));
    read = () => input.value || null;
  } else if (isTime(name)) {
    input = h("input", { ...about, type: "datetime-local", value: value ? localTime(value) : "" });
    read = () => (input.value ? new Date(input.value).getTime() / 1000 : null);
  } else if (kind.type === "array") {
    input = h("textarea", { ...about, rows: "3" });
    input.value = (value ?? []).join("\n");
    read = () => input.value.split("\n").map((one) => one.trim()).filter(Boolean);
  } else if (kind.types.includes("string")) {
    const type = name === "password" ? "password" : "text";
    const isMixed = kind.types.includes("integer") || kind.types.includes("number");
    input = h("input", { ...about, type, value: value ?? "", dir: "auto", spellcheck: "false",
      autocomplete: name === "password" ? "new-password" : "off" });
    read = () => {
      const text = input.value;
      if (text === "" && kind.isNullable) return null;
      return isMixed && /^\d+$/.test(text) ? Number(text) : text;
    };
  } else {
    input = h("input", { ...about, type: "number", min: kind.minimum, step: kind.type === "integer" ? "1" : "any", value: value ?? "" });
    read = () => (input.value === "" ? null : Number(input.value));
  }
  const unit = /_seconds$/.test(name) ? " (seconds)" : /_octets$/.test(name) ? " (octets)" : /_rate$/.test(name) ? " (bits a second)" : "";
  const element = h("p", { class: "field" }, h("label", { for: about.id }, label(name) + unit), input, hint);
  return { element, read };
}

// The fields for a value of the schema, and a function that returns what was changed of it.
export function fieldsOf(schema, values) {
  const required = schema.required ?? [];
  const fields = Object.entries(schema.properties).map(([name, one]) => [name, field(name, one, values[name], required.includes(name))]);
  const before = Object.fromEntries(fields.map(([name, one]) => [name, JSON.stringify(one.read())]));
  return {
    elements: fields.map(([, one]) => one.element),
    // Only what was changed, and what must be there.
    read: () => Object.fromEntries(fields
      .map(([name, one]) => [name, one.read()])
      .filter(([name, value]) => value !== undefined && (required.includes(name) || JSON.stringify(value) !== before[name]))),
  };
}

// Open a form for a value of the schema, which begins with values. Whatever was changed is passed
// to act. extra: more fields, as a schema of their own, whose values are passed second.
export function edit(title, schema, values, actText, act, extra = null) {
  const fields = fieldsOf(schema, values);
  const more = extra ? fieldsOf(extra, {}) : { elements: [], read: () => ({}) };
  const dialog = open(title, h("div", { class: "fields" }, fields.elements, more.elements), actText, () => act(fields.read(), more.read()), false);
  dialog.querySelector("input, select, textarea")?.focus();
}

// Return a title with a name in it.
export const titled = (words, name) => [words, " ", foreign(name)];

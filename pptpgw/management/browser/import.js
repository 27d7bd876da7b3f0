// Import: users from a file of this or another program. What would become of each is shown first.

import * as api from "./api.js";
import { tell } from "./accounts.js";
import { button, fill, foreign, h, setText } from "./dom.js";
import { fieldsOf } from "./form.js";
import { count, counted, shown } from "./format.js";

export const title = "Import users";
export const needs = ["POST", "/import"];
export const isHidden = true;
export const of = "users";

export function show(main) {
  const { content, ...others } = api.bodyOf(...needs).properties;
  // In base64 four characters stand for three octets.
  const largest = Math.floor(content.maxLength / 4) * 3;
  const fields = fieldsOf({ properties: others }, {});
  const file = h("input", { id: "file", type: "file", required: true, "aria-describedby": "filehint" });
  const fault = h("p", { class: "fault", role: "alert" });
  const result = h("section");
  const preview = h("button", { class: "main" }, "Preview");
  const form = h("form", { class: "narrow" },
    h("p", { class: "field" }, h("label", { for: "file" }, "File"), file,
      h("small", { id: "filehint" }, "The chap-secrets of pppd or accel-ppp, the output of /ppp secret export show-sensitive of RouterOS, the users of FreeRADIUS, or what pptpgw export writes. "
        + `It has up to ${count(largest)} octets; the command pptpgw import takes larger ones.`)),
    fields.elements, fault,
    h("p", { class: "buttons" }, preview, h("a", { class: "button", href: "#/users" }, "Back to the users")));
  let asked = null;

  const send = async (isDry, pressed) => {
    const mine = (asked = {});
    const [one] = file.files;
    setText(fault, "");
    pressed.disabled = true;
    try {
      if (one.size > largest) throw new Error(`${one.name} has ${count(one.size)} octets, more than ${count(largest)}.`);
      const body = { content: await base64(one), ...fields.read() };
      const answer = await api.send(...needs, body, { dry_run: isDry });
      if (mine === asked) report(answer, body.skip_errors);
    } catch (error) {
      if (!error.isSaid) setText(fault, error.message);
    } finally {
      pressed.disabled = false;
    }
  };

  const report = (answer, isSkipping) => {
    const taken = answer.added + answer.changed;
    const isTaking = !answer.done && taken > 0 && (isSkipping || !answer.left_out);
    const words = wordsOf(answer);
    const heading = h("h2", { tabindex: "-1" }, answer.done ? "Imported" : "Preview");
    const doing = button(`Import ${counted(taken, "user", "users")}`, () => send(false, doing), { class: "main" });
    if (answer.done) tell(words, answer);
    fill(result, heading, h("p", {}, words),
      answer.done || isSkipping || !answer.left_out ? null
        : h("p", { class: "fault" }, "No user is imported unless Skip errors is chosen."),
      isTaking ? h("p", { class: "buttons" }, doing) : null,
      answer.users.length ? each(answer) : null);
    heading.focus();
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(true, preview);
  });
  // What is shown is what is imported: another choice needs another preview.
  form.addEventListener("input", () => {
    asked = null;
    fill(result);
  });
  fill(main, h("h1", {}, title), form, result);
}

function wordsOf(answer) {
  const words = answer.done ? ["user is", "users are"] : ["user would be", "users would be"];
  return `Format ${answer.format}: ${counted(answer.added, ...words)} added, ${count(answer.changed)} changed, ${count(answer.left_out)} left out.`;
}

// Make the table of what becomes of each user.
function each(answer) {
  const total = answer.added + answer.changed + answer.left_out;
  const name = "What becomes of each user";
  const rows = answer.users.map((one) => h("tr", { class: one.outcome === "left out" ? "bad" : null },
    h("td", { class: "number" }, String(one.line)), h("td", {}, foreign(one.name)), h("td", {}, one.outcome),
    h("td", { class: "wide" }, foreign(about(one)))));
  return h("div", {},
    total > rows.length ? h("p", { class: "hint" }, `The first ${count(rows.length)} of ${count(total)}, those that are left out before the others.`) : null,
    h("div", { class: "scroll list", tabindex: "0", role: "region", "aria-label": name },
      h("table", { "aria-label": name },
        h("thead", {}, h("tr", {}, ["Line", "Name", "Outcome", "About"].map((one) => h("th", { scope: "col", class: one === "Line" ? "number" : null }, one)))),
        h("tbody", {}, rows))));
}

function about(one) {
  const profile = one.profile ? `profile ${one.profile}` : "";
  return [one.why, profile, shown("attributes", one.attributes), ...one.notes].filter(Boolean).join("; ");
}

function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result.slice(reader.result.indexOf(",") + 1)));
    reader.addEventListener("error", () => reject(new Error(`${file.name} can't be read.`)));
    reader.readAsDataURL(file);
  });
}

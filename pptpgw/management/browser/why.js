// Why?: what became of the last calls, and why a user can't call.

import * as api from "./api.js";
import { button, every, fill, foreign, h } from "./dom.js";
import { duration, time } from "./format.js";
import { titled } from "./form.js";
import { bar } from "./plot.js";
import { LiveTable, linked } from "./table.js";

export const title = "Why?";
export const needs = ["GET", "/attempts"];

export function show(main, route, signal) {
  if (route.parts.length) {
    one(main, route.parts[0], signal);
    return;
  }
  const name = h("input", { id: "user", type: "search", dir: "auto", value: route.query.why ?? "" });
  const answer = h("div", { role: "status" });
  const form = h("form", { class: "tools" }, h("label", { for: "user" }, "Why can't this user call?"), name, h("button", { class: "main" }, "Ask"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (name.value.trim()) ask(answer, name.value.trim());
  });
  const table = new LiveTable(route, signal, {
    title: "The last calls and callers",
    path: "/attempts",
    key: (attempt) => attempt.attempt_id,
    columns: ["started", "user", "caller", "tunnel", "outcome", "stages", "cause", "duration_seconds", "repeats"],
    minor: ["caller", "tunnel", "duration_seconds", "repeats"],
    sorts: { stages: null, cause: null, repeats: null },
    search: "user",
    wide: ["stages", "cause"],
    nothing: "No call was tried yet, or none that matches.",
    cells: {
      user: linked((attempt) => [attempt.user || "(no name)", `#/why${api.path(attempt.attempt_id)}`]),
      outcome: (cell, attempt) => fill(cell, mark(attempt.outcome)),
      stages: (cell, attempt) => fill(cell, line(attempt)),
    },
  });
  const asks = api.may("GET", "/why/{user}");
  fill(main, h("h1", {}, title), asks ? [form, answer] : [], h("h2", {}, "The last calls and callers"), table.element);
  if (asks && name.value) ask(answer, name.value);
}

async function ask(place, user) {
  try {
    const { findings } = await api.get(`/why${api.path(user)}`);
    fill(place, h("h2", {}, titled("About", user)), h("ul", { class: "findings" }, findings.map((finding) =>
      h("li", { class: finding.problem ? "bad" : "good" },
        h("b", {}, finding.problem ? "Problem: " : "Fine: "), foreign(finding.text),
        finding.advice ? h("div", { class: "advice" }, finding.advice) : null))));
  } catch (error) {
    fill(place, h("p", { class: "fault" }, error.message));
  }
}

function one(main, identifier, signal) {
  const heading = h("h1", {}, "Attempt ", foreign(identifier));
  const place = h("div");
  fill(main, heading, h("p", {}, h("a", { href: "#/why" }, "All attempts")), place);
  const watching = new AbortController();
  signal.addEventListener("abort", () => watching.abort());
  every(2, watching.signal, async () => {
    try {
      const found = await api.get(`/attempts${api.path(identifier)}`);
      if (signal.aborted) return;
      fill(heading, foreign(found.user || "A caller without a name"), ` from ${found.caller} by ${found.tunnel}`);
      fill(place, h("p", {}, mark(found.outcome), ` on ${time(found.started)}, after ${duration(found.duration_seconds)}`,
        found.cause ? [": ", foreign(found.cause)] : null),
        found.advice ? h("p", { class: "advice" }, h("b", {}, "What to do: "), found.advice) : null,
        found.user && api.may("GET", "/why/{user}") ? h("p", {}, h("a", { href: `#/why?why=${encodeURIComponent(found.user)}` }, "Why can't this user call?")) : null,
        stages(found), frames(found.frames));
      // What is over doesn't change any more.
      if (!["setting-up", "up"].includes(found.outcome)) watching.abort();
    } catch (error) {
      if (error.status !== 404) throw error;
      fill(place, h("p", {}, "The gateway remembers no such attempt."));
      watching.abort();
    }
  });
}

const WORDS = { "setting-up": "being set up", up: "up", ended: "was up", failed: "failed", refused: "refused" };

function mark(outcome) {
  const isBad = outcome === "failed" || outcome === "refused";
  return h("span", { class: isBad ? "mark bad" : "mark good" }, `${isBad ? "✗" : "✓"} ${WORDS[outcome] ?? outcome}`);
}

// The stages of an attempt in one line, for a row of a table.
function line(attempt) {
  return h("span", { class: "stages" }, attempt.stages.map((stage) =>
    h("span", { class: stage.failure ? "mark bad" : "mark good", title: stage.failure || `passed after ${duration(stage.seconds)}` },
      stage.failure ? "✗ " : "✓ ", stage.name, h("span", { class: "unseen" }, stage.failure ? " failed" : " passed"))),
  attempt.stage && !attempt.stages.some((stage) => stage.name === attempt.stage)
    ? h("span", { class: "mark" }, `… ${attempt.stage}`) : null);
}

// The stages of an attempt as a timeline.
export function stages(attempt) {
  const whole = Math.max(...attempt.stages.map((stage) => stage.seconds), 0.001);
  let before = 0;
  const rows = attempt.stages.map((stage) => {
    const kind = stage.failure ? "bad" : "good";
    const part = bar(before / whole, stage.seconds / whole, kind);
    const took = stage.seconds - before;
    before = stage.seconds;
    return h("tr", { class: kind },
      h("th", { scope: "row" }, stage.name),
      h("td", {}, h("span", { class: stage.failure ? "mark bad" : "mark good" }, stage.failure ? "✗ failed" : "✓ passed")),
      h("td", { class: "number" }, duration(stage.seconds)), h("td", { class: "number" }, duration(took)), h("td", { class: "minor" }, part),
      h("td", {}, foreign(stage.failure ?? "")));
  });
  return h("table", { class: "small timeline", "aria-label": "Stages" },
    h("thead", {}, h("tr", {}, ["Stage", "Result", "After", "Took"].map((text) => h("th", { scope: "col" }, text)),
      h("th", { scope: "col", class: "minor" }, "Timeline"), h("th", { scope: "col" }, "Why"))),
    h("tbody", {}, rows));
}

// The control frames of an attempt.
export function frames(some) {
  if (!some.length) return h("p", { class: "hint" }, "No control frames are kept of it.");
  const text = some.map((one) => `${one.seconds.toFixed(3).padStart(9)} ${one.text}`).join("\n");
  return h("details", { open: true }, h("summary", {}, `The last ${some.length} control frames`),
    h("p", {}, button("Copy", () => navigator.clipboard?.writeText(text))),
    h("ol", { class: "frames", tabindex: "0", "aria-label": "Control frames" }, some.map((one) =>
      h("li", { dir: "auto" }, `${one.seconds.toFixed(3).padStart(9)} ${one.text}`))));
}


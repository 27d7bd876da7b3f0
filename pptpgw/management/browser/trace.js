// A trace: what a caller negotiates, as it happens.

import * as api from "./api.js";
import { button, h, setText } from "./dom.js";
import { titled } from "./form.js";
import { clock } from "./format.js";

const LINES = 2000;
const SECONDS = 300;

export function trace(session) {
  const ending = new AbortController();
  const text = h("ol", { class: "frames", tabindex: "0", "aria-label": "Frames" });
  const state = h("p", { role: "status" }, `Frames appear as they come, for ${SECONDS / 60} minutes at most.`);
  const dialog = h("dialog", { class: "wide", "aria-labelledby": "trace" },
    h("h2", { id: "trace" }, titled("Trace of", session.user)), state, text,
    h("p", { class: "buttons" }, button("Close", () => dialog.close())));
  dialog.addEventListener("close", () => {
    ending.abort();
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
  api.follow("/trace", { session: session.session_id, for: SECONDS }, ending.signal, (line) => {
    const words = line.kind === "gap" ? "… lines are missing here" : `${clock(line.time)} ${line.text}`;
    text.append(h("li", { dir: "auto" }, words));
    if (text.childElementCount > LINES) text.firstChild.remove();
    text.scrollTop = text.scrollHeight;
  }).then(() => setText(state, "The trace is over."), (error) => setText(state, error.message));
}

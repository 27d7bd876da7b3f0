// Elements of the page. All texts are set as texts: what users are called is never markup.

const READ_SECONDS = 8;
let forgetting = null;
let loading = 0;

// Make an element. A function is the listener of an event, true an attribute without a value;
// null, undefined and false leave an attribute or a child out.
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  fill(element, ...children);
  return element;
}

// Replace the children of an element.
export function fill(element, ...children) {
  element.replaceChildren(
    ...children.flat().filter((one) => one !== null && one !== undefined && one !== false),
  );
  return element;
}

// Make an element for a text that somebody else has written, in whatever script.
export function foreign(text) {
  return h("bdi", { dir: "auto" }, String(text));
}

// Set the text of an element if it differs.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function button(text, act, attributes = {}) {
  return h("button", { type: "button", click: act, ...attributes }, text);
}

// Tell the operator what was done. A screen reader reads it.
export function notify(text) {
  setText(document.getElementById("notice"), text);
  clearTimeout(forgetting);
  forgetting = setTimeout(() => notify(""), READ_SECONDS * 1000);
}

// Make a list of terms and values; a value is a text or an element.
export function facts(pairs) {
  return h(
    "dl",
    { class: "facts" },
    pairs
      .filter((pair) => pair)
      .map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value))),
  );
}

// Do something now and then every so many seconds, a number or a function that returns one, until
// the signal is aborted. While nobody looks at the page it waits. What fails is tried again.
export function every(seconds, signal, act) {
  const main = document.getElementById("main");
  let timer = null;
  let isFirst = true;
  const done = () => {
    if (!isFirst) return;
    isFirst = false;
    loading -= 1;
    if (!loading) main.removeAttribute("aria-busy");
  };
  loading += 1;
  main.setAttribute("aria-busy", "true");
  const run = async () => {
    timer = null;
    if (!signal.aborted && !document.hidden) {
      try {
        await act();
      } catch (error) {
        if (!signal.aborted && !error.isSaid) notify(error.message);
      }
    }
    done();
    if (!signal.aborted) timer = setTimeout(run, (typeof seconds === "function" ? seconds() : seconds) * 1000);
  };
  const look = () => {
    if (!document.hidden && timer !== null) {
      clearTimeout(timer);
      run();
    }
  };
  document.addEventListener("visibilitychange", look, { signal });
  signal.addEventListener("abort", () => clearTimeout(timer));
  run();
}

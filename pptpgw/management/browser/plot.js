// A plot of figures over time, with axes, units and a cursor that a mouse or the arrow keys move.

import { fill, h, setText } from "./dom.js";
import { clock, time } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const [LEFT, RIGHT, TOP, BOTTOM] = [64, 8, 8, 20];
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 604800];

function shape(tag, attributes, text = null) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== null) element.textContent = text;
  return element;
}

// Return the greatest tick and the distance between ticks for figures from 0 to most.
function scale(most, base) {
  if (!(most > 0)) return [1, 1];
  const power = base === 2 ? 1024 ** Math.floor(Math.log(most) / Math.log(1024)) : 1;
  const ten = 10 ** Math.floor(Math.log10(most / power));
  const step = [0.2, 0.5, 1, 2, 5].map((one) => one * ten * power).find((one) => most / one <= 5);
  return [Math.ceil(most / step) * step, step];
}

export class Plot {
  // title: what is plotted. format: puts a figure into words with its unit. series: the names of
  // the lines. seconds: how much time is shown.
  constructor(title, { format, series, seconds = 600, base = 10, height = 130 }) {
    Object.assign(this, { title, format, series, seconds, base, height });
    this.points = [];
    this.chosen = null;
    this.svg = shape("svg", { role: "img", tabindex: "0", height, "aria-label": title });
    this.values = series.map(() => h("span", { class: "figure" }));
    this.when = h("span", { class: "when" });
    const legend = series.map((name, index) =>
      h("span", { class: "key" }, h("i", { class: `swatch line${index}` }), `${name} `, this.values[index]),
    );
    this.element = h("figure", { class: "plot" }, h("figcaption", {}, h("b", {}, title), legend, this.when), this.svg);
    this.svg.addEventListener("pointermove", (event) => this.point(event.offsetX));
    this.svg.addEventListener("pointerleave", () => this.choose(null));
    this.svg.addEventListener("blur", () => this.choose(null));
    this.svg.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  // Add the figures of a moment; null for one that isn't known.
  add(when, values) {
    this.points.push([when, ...values]);
    const first = when - this.seconds;
    while (this.points[0][0] < first) this.points.shift();
    this.draw();
  }

  // Replace all figures.
  set(points, seconds = this.seconds) {
    this.points = points;
    this.seconds = seconds;
    this.draw();
  }

  point(x) {
    const when = this.end - ((this.width - RIGHT - x) / (this.width - LEFT - RIGHT)) * this.seconds;
    let best = null;
    this.points.forEach((one, index) => {
      if (best === null || Math.abs(one[0] - when) < Math.abs(this.points[best][0] - when)) best = index;
    });
    this.choose(best);
  }

  key(event) {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!move || !this.points.length) return;
    event.preventDefault();
    const last = this.points.length - 1;
    const index = this.chosen === null ? last : this.points.findIndex((one) => one[0] === this.chosen) + move;
    this.choose(Math.min(last, Math.max(0, index)));
    const [when, ...values] = this.points[Math.min(last, Math.max(0, index))];
    const words = this.series.map((name, one) => `${name} ${this.word(values[one])}`);
    this.svg.setAttribute("aria-label", `${this.title}, ${time(when)}: ${words.join(", ")}`);
  }

  choose(index) {
    this.chosen = index === null ? null : this.points[index]?.[0] ?? null;
    this.draw();
  }

  word(value) {
    return value === null || value === undefined ? "unknown" : this.format(value);
  }

  draw() {
    this.width = this.element.clientWidth;
    if (this.width < LEFT + RIGHT + 10) return;
    const { width, height, seconds, points } = this;
    this.end = points.length ? points[points.length - 1][0] : Date.now() / 1000;
    const most = Math.max(0, ...points.flatMap((one) => one.slice(1).filter((value) => value !== null)));
    const [top, step] = scale(most, this.base);
    const x = (when) => width - RIGHT - ((this.end - when) / seconds) * (width - LEFT - RIGHT);
    const y = (value) => height - BOTTOM - (value / top) * (height - TOP - BOTTOM);
    const shapes = [];
    for (let value = 0; value <= top * 1.001; value += step) {
      shapes.push(shape("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }));
      shapes.push(shape("text", { x: LEFT - 4, y: y(value) + 4, "text-anchor": "end" }, this.format(value)));
    }
    const apart = STEPS.find((one) => (one / seconds) * (width - LEFT - RIGHT) >= 70) ?? seconds;
    const shift = new Date(this.end * 1000).getTimezoneOffset() * 60;
    for (let when = Math.floor((this.end - shift) / apart) * apart + shift; when >= this.end - seconds; when -= apart) {
      const text = apart >= 86400 ? time(when).slice(5, 10) : apart >= 60 ? clock(when).slice(0, 5) : clock(when);
      const [at, anchor] = x(when) > width - RIGHT - 20 ? [width - RIGHT, "end"] : [x(when), "middle"];
      shapes.push(shape("text", { x: at, y: height - 5, "text-anchor": anchor }, text));
      shapes.push(shape("line", { class: "grid", x1: x(when), x2: x(when), y1: TOP, y2: height - BOTTOM }));
    }
    this.series.forEach((_, index) => {
      let isDown = false;
      let line = "";
      for (const one of points) {
        const value = one[index + 1];
        // A point alone is a line so short that its round ends make it a dot.
        if (value !== null) line += `${isDown ? "L" : "M"}${x(one[0]).toFixed(1)} ${y(value).toFixed(1)}${isDown ? "" : "h1"}`;
        isDown = value !== null;
      }
      shapes.push(shape("path", { class: `line line${index}`, d: line }));
    });
    const shown = this.chosen === null ? points[points.length - 1] : points.find((one) => one[0] === this.chosen);
    if (shown && this.chosen !== null) {
      shapes.push(shape("line", { class: "cursor", x1: x(shown[0]), x2: x(shown[0]), y1: TOP, y2: height - BOTTOM }));
    }
    this.values.forEach((element, index) => setText(element, shown ? this.word(shown[index + 1]) : ""));
    setText(this.when, shown && this.chosen !== null ? time(shown[0]) : "");
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    fill(this.svg, ...shapes);
  }
}

// Make a bar from one part of a whole to another, for a timeline.
export function bar(from, to, kind) {
  const svg = shape("svg", { class: "until", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" });
  svg.append(shape("rect", { y: 4, width: 100, height: 1 }));
  svg.append(shape("rect", { class: kind, x: 100 * from, y: 0, width: Math.max(1, 100 * (to - from)), height: 9 }));
  return svg;
}

// Draw two small lines without axes, for a row of a table.
export function sparkline(svg, points) {
  const most = Math.max(1, ...points.flat());
  const paths = [0, 1].map((index) => {
    const line = points
      .map((one, at) => `${at ? "L" : "M"}${(100 * (at + 60 - points.length)) / 60} ${(19 - (18 * one[index]) / most).toFixed(1)}`)
      .join("");
    return shape("path", { class: `line line${index}`, d: line });
  });
  fill(svg, ...paths);
}

export function spark() {
  return shape("svg", { class: "spark", viewBox: "0 0 100 20", preserveAspectRatio: "none", "aria-hidden": "true" });
}

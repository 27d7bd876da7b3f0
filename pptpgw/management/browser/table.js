// A list of the gateway as a table that stays up to date. The gateway filters, orders and pages it.
// Rows and cells remain and only their texts change, so that neither focus nor selection is lost.

import * as api from "./api.js";
import { button, every, fill, foreign, h, setText } from "./dom.js";
import { count, label, shown } from "./format.js";

const LONG = 1000;
const SIZES = [25, 50, 100, 250];

function remembered(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export class LiveTable {
  // path: the path of the list's operation; where: the list's own, if that has open parts.
  // key: makes the key of a row from its item.
  // columns: the fields that are shown at first; minor: those that a narrow screen leaves out.
  // wide: those whose texts may have several lines.
  // sorts: by which column a field is ordered if it isn't its own; null if it can't be.
  // cells: functions that put something other than text in the cell of a field: (cell, item).
  // labels: other headings than the names of the fields. search: the column to search in first.
  // isPlain: whether there are no tools to search, choose and turn pages.
  // actions: makes the buttons of a row from a function that returns its item now; again whenever
  // the state of the item differs.
  // fixed: values of the query that always apply. tools: more elements above the table.
  constructor(route, signal, options) {
    const defaults = { seconds: 2, minor: [], sorts: {}, cells: {}, actions: null, fixed: {}, tools: [], sort: "", extra: {}, labels: {}, state: () => "", search: "name", isPlain: false, wide: [] };
    Object.assign(this, defaults, { where: options.path }, options, { route, signal });
    this.properties = { ...api.itemOf(this.path).properties, ...this.extra };
    this.filters = api.filtersOf(this.path).filter((name) => !(name in this.fixed));
    // What operators look for most comes first.
    this.filters.sort((one, other) => (other === this.search) - (one === this.search));
    this.chosen = remembered(`columns${this.path}`, this.columns).filter((name) => name in this.properties);
    this.sort = route.query.sort ?? this.sort;
    this.offset = Number(route.query.offset ?? 0);
    this.limit = remembered("rows", 50);
    this.filter = Object.fromEntries(this.filters.filter((name) => name in route.query).map((name) => [name, route.query[name]]));
    this.rows = new Map();
    this.items = [];
    this.total = null;
    this.build();
    // A long list costs the gateway more, and is asked for less often.
    every(() => (this.total > LONG ? 2 : 1) * this.seconds, signal, () => this.load());
  }

  build() {
    const [first = this.filters[0]] = Object.keys(this.filter);
    this.field = h("select", { "aria-label": "Column to search in", change: () => this.find() },
      this.filters.map((name) => h("option", { value: name, selected: name === first }, this.labelOf(name))));
    this.text = h("input", { type: "search", "aria-label": "Search", placeholder: "search; * is anything", value: this.filter[first] ?? "" });
    let wait = null;
    this.text.addEventListener("input", () => {
      clearTimeout(wait);
      wait = setTimeout(() => this.find(), 300);
    });
    this.number = h("span", { class: "total" });
    this.size = h("select", { "aria-label": "Rows on a page", change: () => this.resize() },
      SIZES.map((one) => h("option", { selected: one === this.limit }, String(one))));
    this.back = button("‹", () => this.turn(-1), { "aria-label": "Page before", disabled: true });
    this.next = button("›", () => this.turn(1), { "aria-label": "Next page", disabled: true });
    this.chooser = h("details", { class: "chooser" }, h("summary", {}, "Columns"),
      h("div", {}, Object.entries(this.properties).map(([name, schema]) =>
        h("label", { title: schema.description ?? "" },
          h("input", { type: "checkbox", checked: this.chosen.includes(name), change: (event) => this.choose(name, event.target.checked) }),
          ` ${this.labelOf(name)}`))));
    this.head = h("tr");
    this.body = h("tbody");
    this.empty = h("p", { class: "empty", hidden: true }, this.nothing ?? "Nothing to show.");
    this.table = h("table", { "aria-label": this.title }, h("thead", {}, this.head), this.body);
    this.element = h("section", { class: "list" },
      this.isPlain ? [] : h("div", { class: "tools", role: "search" },
        this.filters.length ? [this.field, this.text] : [], this.tools, h("span", { class: "gap" }),
        this.chooser, this.number, this.size, this.back, this.next),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": this.title }, this.table),
      this.empty);
    this.heads();
  }

  labelOf(name) {
    return this.labels[name] ?? label(name);
  }

  sortOf(name) {
    return name in this.sorts ? this.sorts[name] : name;
  }

  heads() {
    const cells = this.chosen.map((name) => {
      const by = this.sortOf(name);
      const isSorted = by !== null && this.sort.replace("-", "") === by;
      const order = isSorted ? (this.sort.startsWith("-") ? "descending" : "ascending") : null;
      const title = this.properties[name].description ?? "";
      const attributes = { scope: "col", "aria-sort": order, class: this.classOf(name), title };
      if (by === null) return h("th", attributes, this.labelOf(name));
      return h("th", attributes, button(this.labelOf(name), () => this.order(by), { class: "sort" }));
    });
    if (this.actions) cells.push(h("th", { scope: "col" }, h("span", { class: "unseen" }, "Actions")));
    // The focus stays on the heading that was pressed.
    const at = [...this.head.children].findIndex((one) => one.contains(document.activeElement));
    fill(this.head, cells);
    if (at >= 0) this.head.children[at]?.querySelector("button")?.focus();
  }

  classOf(name) {
    const { type, anyOf = [] } = this.properties[name];
    const isNumber = [type, ...anyOf.map((one) => one.type)].some((one) => one === "number" || one === "integer");
    return [isNumber ? "number" : "", this.minor.includes(name) ? "minor" : "", this.wide.includes(name) ? "wide" : ""].join(" ").trim() || null;
  }

  order(by) {
    this.sort = this.sort === by ? `-${by}` : by;
    this.offset = 0;
    this.heads();
    this.now();
  }

  find() {
    const text = this.text.value.trim();
    this.filter = text ? { [this.field.value]: /[*?]/.test(text) ? text : `*${text}*` } : {};
    this.offset = 0;
    this.now();
  }

  resize() {
    this.limit = Number(this.size.value);
    localStorage.setItem("rows", JSON.stringify(this.limit));
    this.offset = Math.floor(this.offset / this.limit) * this.limit;
    this.now();
  }

  turn(pages) {
    this.offset = Math.max(0, this.offset + pages * this.limit);
    this.now();
  }

  choose(name, isChosen) {
    const wanted = new Set(this.chosen);
    if (isChosen) wanted.add(name);
    else wanted.delete(name);
    // Those that are shown at first keep their order.
    this.chosen = [...this.columns, ...Object.keys(this.properties)].filter(
      (one, at, all) => wanted.has(one) && all.indexOf(one) === at,
    );
    localStorage.setItem(`columns${this.path}`, JSON.stringify(this.chosen));
    this.rows.clear();
    this.body.replaceChildren();
    this.heads();
    this.show();
  }

  // Load the list at once, and remember what is asked for in the page's address.
  now() {
    const values = { ...this.filter, sort: this.sort, offset: this.offset || "" };
    const given = Object.entries(values).filter(([, one]) => one !== "");
    const query = given.length ? `?${new URLSearchParams(given)}` : "";
    history.replaceState(null, "", `${location.hash.split("?")[0]}${query}`);
    return this.load().catch((error) => {
      if (!error.isSaid) setText(this.number, error.message);
    });
  }

  get query() {
    return { ...this.fixed, ...this.filter };
  }

  async load() {
    const asked = (this.asked = {});
    const answer = await api.get(this.where, { ...this.query, sort: this.sort, limit: this.limit, offset: this.offset });
    if (asked !== this.asked || this.signal.aborted) return;
    Object.assign(this, answer);
    if (this.offset && this.offset >= this.total) {
      this.offset = Math.max(0, Math.floor((this.total - 1) / this.limit) * this.limit);
      await this.load();
      return;
    }
    this.seen?.(this.items);
    this.show();
  }

  show() {
    const kept = new Set(this.items.map(this.key));
    for (const [key, row] of this.rows) {
      if (kept.has(key)) continue;
      row.element.remove();
      this.rows.delete(key);
    }
    let at = this.body.firstChild;
    for (const item of this.items) {
      const row = this.rowOf(item);
      if (row.element === at) at = at.nextSibling;
      else this.body.insertBefore(row.element, at);
    }
    const end = Math.min(this.total ?? 0, this.offset + this.items.length);
    const part = this.items.length ? `${this.offset + 1} to ${end} of ` : "";
    setText(this.number, this.total === null ? "" : `${part}${count(this.total)}`);
    this.empty.hidden = this.total !== 0;
    this.back.disabled = this.offset === 0;
    this.next.disabled = end >= (this.total ?? 0);
  }

  rowOf(item) {
    const key = this.key(item);
    let row = this.rows.get(key);
    if (!row) {
      row = { item, cells: this.chosen.map((name) => h("td", { class: this.classOf(name) })) };
      row.actions = this.actions ? h("td", { class: "actions" }) : null;
      row.element = h("tr", {}, row.cells, row.actions ?? []);
      this.rows.set(key, row);
    }
    row.item = item;
    const state = this.state(item);
    if (row.actions && row.state !== state) fill(row.actions, this.actions(() => row.item));
    row.state = state;
    this.chosen.forEach((name, index) => this.write(row.cells[index], name, item));
    return row;
  }

  write(cell, name, item) {
    if (this.cells[name]) {
      this.cells[name](cell, item);
      return;
    }
    const text = shown(name, item[name]);
    if (typeof item[name] !== "string") setText(cell, text);
    else if (!cell.firstChild) cell.append(foreign(text));
    else setText(cell.firstChild, text);
  }
}

// Put a link in a cell whose text is the name of somebody or something.
export function linked(where) {
  return (cell, item) => {
    const [text, href] = where(item);
    if (!cell.firstChild) cell.append(h("a", {}, foreign("")));
    setText(cell.firstChild.firstChild, text);
    if (cell.firstChild.getAttribute("href") !== href) cell.firstChild.setAttribute("href", href);
  };
}

// Make a table of a few names and figures.
export function smallTable(title, heads, rows) {
  return h("table", { class: "small", "aria-label": title },
    h("thead", {}, h("tr", {}, heads.map((one) => h("th", { scope: "col" }, one)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((one, at) =>
      h(at ? "td" : "th", { class: /^-?[\d.,]+( \S+)?$/.test(one) ? "number" : null, scope: at ? null : "row" }, one))))));
}

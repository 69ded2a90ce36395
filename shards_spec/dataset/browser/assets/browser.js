// Sorts, searches and filters the table of a page; shows the frame that belongs to the audio.
// All texts become text nodes: none of them is ever parsed as HTML.
"use strict";

const ROWS_PER_PAGE = 100;

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function dataOf(id) {
  const block = document.getElementById(id);
  return block ? JSON.parse(block.textContent) : null;
}

function clock(seconds) {
  const tenths = Math.round(seconds * 10);
  const pad = (value) => String(value).padStart(2, "0");
  const hours = Math.floor(tenths / 36000), minutes = Math.floor(tenths / 600) % 60;
  const rest = `${pad(Math.floor(tenths / 10) % 60)}.${tenths % 10}`;
  return hours ? `${hours}:${pad(minutes)}:${rest}` : `${minutes}:${rest}`;
}

// An unknown number is null and shown as nothing; zero is a number like any other.
const FORMATS = {
  clock,
  seconds: (value) => value ? `${value.toFixed(2)} s` : "0",
  count: (value) => value.toLocaleString("en-US"),
};

// Only what scrolls is a tab stop.
function markScrolling() {
  for (const region of document.querySelectorAll(".scroll, .wide")) {
    if (region.scrollWidth > region.clientWidth) region.tabIndex = 0;
    else region.removeAttribute("tabindex");
  }
}

class SortableTable {
  constructor(data, room) {
    this.data = data;
    this.room = room;
    this.texts = data.rows.map((row) =>
      row.slice(0, -1).flat(2).filter((value) => typeof value === "string").join("\n").toLowerCase());
    this.start();
    addEventListener("hashchange", () => this.start());
  }

  // The address says what is shown, so that it can be linked to and bookmarked.
  start() {
    const state = new URLSearchParams(location.hash.slice(1));
    const isFilter = this.data.filters.some((item) => item.name === state.get("filter"));
    this.query = state.get("search") || "";
    this.filter = isFilter ? state.get("filter") : "";
    this.sort = this.data.columns[state.get("sort")] ? Number(state.get("sort")) : 0;
    this.isDescending = state.get("order") === "down";
    this.page = 0;
    this.build();
    this.show();
  }

  build() {
    const search = element("input", { type: "search", id: "search", autocomplete: "off" });
    search.value = this.query;
    search.addEventListener("input", () => this.change({ query: search.value }));
    const filter = element("select", { id: "filter" },
      element("option", { value: "" }, `all ${this.data.noun}`),
      ...this.data.filters.map((item) => element("option", { value: item.name }, item.label)));
    filter.value = this.filter;
    filter.addEventListener("change", () => this.change({ filter: filter.value }));
    this.status = element("p", { role: "status" });
    this.heads = this.data.columns.map((column, number) => {
      const button = element("button", { type: "button" }, column.label);
      button.addEventListener("click", () => this.change({
        sort: number,
        isDescending: this.sort === number ? !this.isDescending : this.isNumber(number),
      }));
      return element("th", { scope: "col", "aria-sort": "none" }, button);
    });
    this.body = element("tbody");
    const table = element("table", { class: "stacked", "aria-label": this.data.noun },
      element("thead", {}, element("tr", {}, ...this.heads)), this.body);
    const step = (label, change) => {
      const button = element("button", { type: "button" }, label);
      button.addEventListener("click", () => { this.page += change; this.show(); });
      return button;
    };
    this.back = step("Previous page", -1);
    this.ahead = step("Next page", 1);
    this.room.replaceChildren(
      element("div", { class: "controls", role: "search" },
        element("label", {}, "Search", search),
        element("label", {}, "Show", filter)),
      this.status,
      element("div", { class: "scroll", role: "group", "aria-label": this.data.noun },
        table),
      element("div", { class: "controls" }, this.back, this.ahead));
  }

  isNumber(number) {
    return this.data.columns[number].type in FORMATS;
  }

  change(values) {
    Object.assign(this, values);
    this.page = 0;
    const state = new URLSearchParams();
    if (this.query) state.set("search", this.query);
    if (this.filter) state.set("filter", this.filter);
    if (this.sort) state.set("sort", this.sort);
    if (this.isDescending) state.set("order", "down");
    history.replaceState(null, "", `#${state}`);
    this.show();
  }

  found() {
    const words = this.query.toLowerCase().split(/\s+/).filter(Boolean);
    const numbers = [];
    this.data.rows.forEach((row, number) => {
      const passes = !this.filter || row[row.length - 1].includes(this.filter);
      if (passes && words.every((word) => this.texts[number].includes(word))) numbers.push(number);
    });
    const rows = this.data.rows, column = this.sort, sign = this.isDescending ? -1 : 1;
    const compare = new Intl.Collator("en", { numeric: true }).compare;
    const order = this.isNumber(column)
      ? (a, b) => rows[a][column] - rows[b][column]
      : (a, b) => compare(rows[a][column], rows[b][column]);
    return numbers.sort((a, b) => sign * order(a, b) || a - b);
  }

  show() {
    const found = this.found(), pages = Math.max(1, Math.ceil(found.length / ROWS_PER_PAGE));
    this.page = Math.min(Math.max(this.page, 0), pages - 1);
    const first = this.page * ROWS_PER_PAGE;
    const shown = found.slice(first, first + ROWS_PER_PAGE);
    this.body.replaceChildren(...shown.map((number) => this.row(this.data.rows[number])));
    if (!shown.length) {
      this.body.append(element("tr", {}, element("td", { colspan: this.heads.length },
        `No ${this.data.noun} match.`)));
    }
    markScrolling();
    this.heads.forEach((head, number) => head.setAttribute("aria-sort",
      number !== this.sort ? "none" : this.isDescending ? "descending" : "ascending"));
    const total = this.data.rows.length.toLocaleString("en-US");
    const part = pages > 1 ? `, page ${this.page + 1} of ${pages}` : "";
    this.status.textContent =
      `${found.length.toLocaleString("en-US")} of ${total} ${this.data.noun}${part}`;
    this.back.disabled = this.page === 0;
    this.ahead.disabled = this.page === pages - 1;
    this.back.hidden = this.ahead.hidden = pages === 1;
  }

  row(values) {
    const flags = values[values.length - 1];
    const cells = this.data.columns.map((column, number) => {
      const value = values[number];
      if (column.type === "movie") {
        return element("th", { scope: "row" },
          flags.includes("unlinked") ? value : this.link(value));
      }
      if (column.type === "badge") {
        return element("td", {}, element("span", { class: `badge ${value}` }, value));
      }
      if (column.type === "links") {
        const items = value.map(([name, note]) =>
          element("span", { class: "item" }, this.link(name), `, ${note}`));
        return element("td", {}, ...items);
      }
      if (column.type === "long") return element("td", { class: "long" }, value);
      const format = FORMATS[column.type];
      return format
        ? element("td", { class: value ? "number" : "number dim" }, value === null ? "" : format(value))
        : element("td", {}, value);
    });
    // Narrow screens show rows one below the other, with these labels.
    cells.forEach((cell, number) => { cell.dataset.label = this.data.columns[number].label; });
    return element("tr", {}, ...cells);
  }

  link(name) {
    const [before, after] = this.data.href;
    return element("a", { href: before + encodeURIComponent(name) + after }, name);
  }
}

function startPlayer(settings) {
  const audio = document.getElementById("audio"), screen = document.getElementById("screen");
  const frames = [...document.querySelectorAll(".strip li")];
  const source = document.querySelector(".strip image");
  if (!audio || !screen || !source) return;
  const strip = new Image(), context = screen.getContext("2d");
  let shown = -1;
  const draw = () => {
    const number = Math.min(settings.frames - 1, Math.floor(audio.currentTime * settings.fps + 1e-6));
    if (number !== shown && strip.complete) {
      const { w, h } = settings;
      context.drawImage(strip, 0, number * h, w, h, 0, 0, w, h);
      frames.forEach((frame, place) => frame.classList.toggle("now", place === number));
      shown = number;
    }
    if (!audio.paused) requestAnimationFrame(draw);
  };
  strip.addEventListener("load", draw);
  for (const event of ["play", "seeking", "seeked", "timeupdate"]) audio.addEventListener(event, draw);
  strip.src = source.getAttribute("href");
}

const table = dataOf("table-data"), room = document.getElementById("table");
if (table && room) new SortableTable(table, room);
markScrolling();
addEventListener("resize", markScrolling);
addEventListener("toggle", markScrolling, true);
const player = dataOf("player-data");
if (player) startPlayer(player);

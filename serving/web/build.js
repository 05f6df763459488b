"use strict";
// Elements, tables, times and numbers. Text goes in as text nodes alone: whatever an id or a reason holds, it is text.

const byId = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined && value !== false)
      node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}
const el = (name, attributes, ...children) => filled(document.createElement(name), attributes, children);
const svg = (name, attributes, ...children) => filled(document.createElementNS(SVG, name), attributes, children);

// Columns: {name, of: row => text or element, number, text: of any length, head: it names the row, plain: a phone shows
// no name}.
function table(caption, columns, rows, kind) {
  const cell = (column, row) =>
    el(
      column.head ? "th" : "td",
      {
        scope: column.head ? "row" : null,
        role: column.head ? "rowheader" : "cell",
        "data-name": column.name,
        class:
          [column.number ? "number" : "", column.plain ? "plain" : "", column.text ? "text" : ""].join(" ").trim() ||
          null,
      },
      column.of(row),
    );
  const heads = columns.map((column) =>
    el("th", { scope: "col", role: "columnheader", class: column.number ? "number" : null }, column.name),
  );
  return el(
    "table",
    { role: "table", class: kind || null },
    el("caption", null, caption),
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, heads)),
    el(
      "tbody",
      { role: "rowgroup" },
      rows.map((row) =>
        el(
          "tr",
          { role: "row" },
          columns.map((column) => cell(column, row)),
        ),
      ),
    ),
  );
}
// A table that may be wider than a phone: it is scrolled by itself, by keyboard too.
const scrolled = (label, made) =>
  el("div", { class: "wide-table", tabindex: "0", role: "region", "aria-label": label }, made);
const folded = (id, title, ...children) => el("details", { id }, el("summary", null, title), children);
const facts = (pairs) =>
  el(
    "dl",
    null,
    pairs
      .filter(Boolean)
      .map(([name, value, kind]) => el("div", { class: kind || null }, el("dt", null, name), el("dd", null, value))),
  );
const sentences = (lines) =>
  el(
    "ul",
    null,
    lines.map((line) => el("li", null, line)),
  );

const named = (id) => el("span", { class: "id" }, id);

const count = (number) => (number === null || number === undefined ? "–" : number.toLocaleString("en-US"));
const share = (hits, clicks) => (clicks ? (hits / clicks).toFixed(3) : "–");
const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
const stamp = (ms) => new Date(ms).toISOString();

function timeFrom(ms, first) {
  if (!ms || ms < 0 || ms > 8e15) return "–";
  return el("time", { datetime: stamp(ms), title: stamp(ms) }, stamp(ms).slice(first, 16).replace("T", " "));
}
const time = (ms) => timeFrom(ms, 0);
const brief = (ms) => timeFrom(ms, "2025-".length); // where there is little room
const clock = (ms) => stamp(ms).slice(11, 16);

function span(ms) {
  if (ms === null || ms === undefined) return "–";
  const seconds = Math.round(Math.abs(ms) / 1000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(1)} h`;
  return seconds < 63072000 ? `${Math.round(seconds / 86400)} days` : `${Math.round(seconds / 31536000)} years`;
}

// What the views of the system are made of.

import { make } from "../elements.js";

/** A number that stands out, with what it is. */
export function figure(name, value, more = "") {
  return make(
    "div",
    { className: "figure" },
    make("dt", {}, name),
    make("dd", {}, make("strong", {}, value), more ? make("span", { className: "hint" }, more) : ""),
  );
}

/** How much of something is taken, from 0 to 1. */
export function gauge(name, part, words) {
  const level = part > 0.9 ? "bad" : part > 0.75 ? "wait" : "good";
  const meter = make("div", {
    className: "gauge",
    role: "meter",
    ariaLabel: name,
    ariaValueNow: String(Math.round(part * 100)),
    ariaValueMin: "0",
    ariaValueMax: "100",
    ariaValueText: words,
    dataset: { level },
  });
  meter.append(make("span", { style: { width: `${Math.min(100, part * 100)}%` } }));
  return meter;
}

/** A table; cells are elements or texts, and an array is several of them in one cell. */
export function table(name, columns, rows) {
  const cells = (tag, values) =>
    values.map((value, index) => {
      const column = columns[index];
      const cell = make(tag, { className: column.className ?? "" }, ...[value].flat());
      if (tag === "td") {
        cell.dataset.name = column.name;
      } else {
        cell.scope = "col";
      }
      return cell;
    });
  return make(
    "table",
    { className: "table", ariaLabel: name },
    make("thead", {}, make("tr", {}, ...cells("th", columns.map((column) => column.name)))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...cells("td", row)))),
  );
}

/** Put these in place of what is there, unless they are the same: what somebody marks or has the focus on stays. */
export function replace(box, ...children) {
  const [fresh, there] = [make("div", {}, ...children), [...box.childNodes]];
  if (fresh.childNodes.length !== there.length || there.some((node, index) => !node.isEqualNode(fresh.childNodes[index]))) {
    const { id } = document.activeElement ?? {};
    box.replaceChildren(...fresh.childNodes);
    if (id) {
      document.getElementById(id)?.focus({ preventScroll: true });
    }
  }
}

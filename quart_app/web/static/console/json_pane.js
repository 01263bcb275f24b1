// JSON for people to read and to take along.

import { readable } from "../client/json.js";
import { copyButton } from "../copying.js";
import { make } from "../elements.js";

/** A value, a text as it is, with a name and a button that copies it. */
export function pane(title, value) {
  const text = readable(value, 2) ?? "";
  const head = make("div", { className: "pane-head" }, make("h3", {}, title), copyButton(() => text));
  return make("div", { className: "pane" }, head, make("pre", { className: "code", tabIndex: 0, ariaLabel: title }, text));
}

/** An object by its keys; those that are not in `shown` are marked. Without `shown` all are. */
export function marked(value, shown) {
  const lines = Object.entries(value).map(([key, part]) => {
    const unshown = !shown || !(key in shown);
    const line = make("div", { className: unshown ? "code-line unshown" : "code-line" });
    line.append(make("span", { className: "code-key" }, `"${key}": `), JSON.stringify(part, null, 2));
    if (unshown) {
      line.title = "Not shown to the client";
      line.append(make("span", { className: "unseen" }, " (not shown to the client)"));
    }
    return line;
  });
  return make("div", { className: "code", tabIndex: 0, role: "group", ariaLabel: "Event as JSON" }, ...lines);
}

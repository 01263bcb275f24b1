// JSON for people to read and to take along.

import { readable } from "../client/json.js";
import { make } from "../elements.js";

const COPIED = 1500; // milliseconds for which a button says so

/** A button that copies what `text()` gives. */
export function copyButton(text, name = "Copy") {
  const button = make("button", { type: "button", className: "quiet small" }, name);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text()); // in secure contexts only
      button.textContent = "Copied";
    } catch {
      button.textContent = copyOld(text()) ? "Copied" : "Not allowed";
    }
    setTimeout(() => (button.textContent = name), COPIED);
  });
  return button;
}

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

// Where a page is plain HTTP, browsers copy only what is selected.
function copyOld(text) {
  const field = make("textarea", { value: text, className: "unseen" });
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  return done;
}

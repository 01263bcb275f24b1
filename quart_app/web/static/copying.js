// Buttons that take a text along.

import { make } from "./elements.js";

const TOLD = 1500; // milliseconds for which a button says what it did

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
    setTimeout(() => (button.textContent = name), TOLD);
  });
  return button;
}

/** A button that saves what `text()` gives in a file of the name that `file()` gives. */
export function saveButton(text, file) {
  const button = make("button", { type: "button", className: "quiet small" }, "Download");
  button.addEventListener("click", () => {
    const href = URL.createObjectURL(new Blob([text()], { type: "text/plain" }));
    make("a", { href, download: file() }).click();
    setTimeout(() => URL.revokeObjectURL(href));
  });
  return button;
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

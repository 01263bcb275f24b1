// A text that may be long, and may still grow.

import { many } from "./amounts.js";
import { copyButton, saveButton } from "./copying.js";
import { make } from "./elements.js";

const NEARLY = 8; // pixels from the end of a text within which a reader is at its end
const FOLDED = { lines: 12, characters: 1000 }; // what is longer gets a button that unfolds it

export class LongText {
  #shown = "";
  #title;
  #unfold = make("button", { type: "button", className: "quiet small" });

  /** `name` is a class of the box, which `element` has in it; `file()`, if given, names the file of one who saves it. */
  constructor(name, file = null) {
    this.#title = make("h3");
    this.box = make("div", { className: `long ${name}`, tabIndex: 0 });
    this.box.setAttribute("role", "group");
    const text = () => this.#shown;
    const take = [copyButton(text), file && saveButton(text, file)];
    const head = make("div", { className: "long-head" }, this.#title, this.#unfold, ...take);
    this.element = make("div", { hidden: true }, head, this.box);
    this.#unfold.addEventListener("click", () => {
      this.box.classList.toggle("whole");
      this.#offer();
    });
  }

  /** Show a text; nothing with "". One that grows keeps its reader's place, and what is marked in it. */
  show(title, text, writing = false) {
    this.element.hidden = !text && !writing;
    this.#title.textContent = this.box.ariaLabel = title;
    this.box.classList.toggle("writing", writing);
    if (text === this.#shown) {
      return;
    }
    const { box } = this;
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < NEARLY;
    const grown = this.#shown && text.startsWith(this.#shown);
    if (grown) {
      box.firstChild.appendData(text.slice(this.#shown.length));
    } else {
      box.textContent = text;
    }
    this.#shown = text;
    box.classList.toggle("lines", text.includes("\n"));
    if (atEnd && (grown || writing)) {
      box.scrollTop = box.scrollHeight;
    }
    this.#offer();
  }

  #offer() {
    const lines = this.#shown.split("\n").length;
    const whole = this.box.classList.contains("whole");
    this.#unfold.hidden = lines <= FOLDED.lines && this.#shown.length <= FOLDED.characters;
    this.#unfold.ariaExpanded = String(whole);
    this.#unfold.textContent = whole ? "Show less" : lines > FOLDED.lines ? `Show all ${many(lines, "line")}` : "Show all";
  }
}

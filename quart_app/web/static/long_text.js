// A text that may be long, and may still grow.

import { many } from "./amounts.js";
import { copyButton, saveButton } from "./copying.js";
import { make } from "./elements.js";

const NEARLY = 8; // pixels from the end of a text within which a reader is at its end
const FOLDED = { lines: 12, characters: 1000 }; // what is longer gets a button that unfolds it
const WRITTEN = { lines: 6, characters: 500 }; // the same of what came while it was looked at

export class LongText {
  #shown = "";
  #title;
  #unfold = make("button", { type: "button", className: "quiet small" });

  /** `name` is a class of the box, which `element` has in it; `file()`, if given, names the file of one who saves it. */
  constructor(name, file = null) {
    this.#title = make("h3");
    this.box = make("div", { className: `long ${name}`, dir: "auto", tabIndex: 0 });
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

  /**
   * Show a text; nothing with "", or room for it where it is `awaited`. One that grows, while it is `writing`, keeps its
   * reader's place, and what is marked in it.
   */
  show(title, text, { awaited = false, writing = false } = {}) {
    this.element.hidden = !text && !awaited;
    this.box.classList.toggle("awaited", !text);
    this.#title.textContent = this.box.ariaLabel = title;
    this.box.classList.toggle("writing", writing);
    this.box.classList.toggle("wrote", writing || this.box.classList.contains("wrote"));
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
    const most = this.box.classList.contains("wrote") ? WRITTEN : FOLDED;
    this.#unfold.hidden = lines <= most.lines && this.#shown.length <= most.characters;
    this.#unfold.ariaExpanded = String(whole);
    this.#unfold.textContent = whole ? "Show less" : lines > most.lines ? `Show all ${many(lines, "line")}` : "Show all";
  }
}

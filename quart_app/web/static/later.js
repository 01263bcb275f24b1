// The field that says when a job is to begin, if not at once. It is folded away until somebody wants it.

import { recall, remember } from "./storage.js";
import { coming } from "./times.js";

const NOT_WHOLE = "This is no whole date and time. Complete it, or empty it to run the job at once.";
const PASSED = "This time has passed. Choose one that is still to come, or empty the field to run the job at once.";
const DAY = 86_400; // seconds

export class LaterField {
  #box;
  #input;
  #sent = { ref: null, value: "" }; // the job that was submitted last

  /** `box` is a `details` with the field in it; its `data-most-ahead` says in how many seconds a job may begin. */
  constructor(box) {
    this.#box = box;
    this.#input = box.querySelector("input");
    this.#input.addEventListener("input", () => {
      this.#refuse("");
      this.#tell();
    });
    this.#input.addEventListener("invalid", (event) => {
      event.preventDefault(); // a browser cannot show what is wrong in a box that is shut
      this.#refuse(NOT_WHOLE);
    });
    this.#input.value = recall("later") ?? "";
    this.#tell();
  }

  /** The time in RFC 3339, or null for at once; undefined when it cannot be, which is shown then. */
  read() {
    const { value } = this.#input;
    const wrong = value && this.#wrong();
    this.#refuse(wrong);
    return wrong ? undefined : value ? this.#time.toISOString() : null;
  }

  /** A job was submitted: the next one is for now, unless that is said again. */
  submitted(ref) {
    this.#sent = { ref, value: this.#input.value };
    this.#input.value = "";
    this.#box.open = false;
    this.#tell();
  }

  /** Show what the server says is wrong with the time of the job that was submitted last. */
  refused(ref, items) {
    const about = ({ type, loc }) => type === "too_far_ahead" || loc?.includes("not_before");
    const wrong = ref === this.#sent.ref && Array.isArray(items) && items.find(about);
    if (wrong) {
      this.#input.value ||= this.#sent.value;
      this.#tell();
      this.#refuse(wrong.msg);
    }
  }

  get #time() {
    return new Date(this.#input.value); // in the reader's time zone
  }

  #wrong() {
    const seconds = (this.#time - Date.now()) / 1000;
    const most = Number(this.#box.dataset.mostAhead);
    if (seconds <= 0) {
      return PASSED;
    }
    // Not a number is a year of five digits.
    return seconds <= most ? "" : `This is too far ahead: a job may begin ${most / DAY} days from now at the latest.`;
  }

  #refuse(text) {
    const error = this.#box.querySelector(".field-error");
    error.textContent = text;
    error.hidden = !text;
    if (text) {
      this.#box.open = true;
      this.#input.setAttribute("aria-invalid", "true");
      this.#input.focus();
    } else {
      this.#input.removeAttribute("aria-invalid");
    }
  }

  // A time in a box that is shut again still counts, so it is told.
  #tell() {
    remember("later", this.#input.value || null); // over a reload
    const known = this.#input.value && !Number.isNaN(this.#time.valueOf());
    this.#box.querySelector("[data-field=chosen]").textContent = known ? `: ${coming(this.#time)}` : "";
  }
}

// Which jobs are to be seen: by state, by type, and by what they say.

import { count } from "./amounts.js";
import { element, make } from "./elements.js";
import { readable } from "./client/json.js";
import { LABELS, outcome, written } from "./words.js";

const ALWAYS = ["Running", "Queued", "Done", "Failed"]; // the others are there with the first job that is so
const CHIPS = [...new Set([...ALWAYS, ...Object.values(LABELS)])];

export class JobFilter {
  #label = ""; // as LABELS has it; "" for all
  #chips = new Map();
  #form = element("filter");
  #type = element("filter-type");
  #text = element("filter-text");

  /** `changed()` is called when other jobs are to be seen. */
  constructor(changed) {
    this.changed = changed;
    for (const label of ["", ...CHIPS]) {
      const chip = make("button", { type: "button", className: "chip" }, label || "All", make("span"));
      chip.addEventListener("click", () => {
        this.#label = label;
        changed();
      });
      this.#chips.set(label, chip);
    }
    element("filter-states").append(...this.#chips.values());
    this.#form.addEventListener("submit", (event) => event.preventDefault());
    this.#form.addEventListener("input", () => changed());
  }

  /** Whether a job is to be seen. */
  has(job) {
    const { state, taskType } = job;
    const text = this.#text.value.trim().toLowerCase();
    return (
      (!this.#label || LABELS[state] === this.#label) &&
      (!this.#type.value || taskType === this.#type.value) &&
      (!text || [job.id, taskType, readable(job.content), outcome(job), written(job)].join("\n").toLowerCase().includes(text))
    );
  }

  /** See all again. */
  clear() {
    this.#label = this.#type.value = this.#text.value = "";
    this.changed();
  }

  /** Show how many of these jobs are in which state, and which types there are; nothing where none is, nor expected. */
  draw(jobs, expected) {
    this.#form.hidden = element("filter-states").hidden = !jobs.length && !expected;
    const numbers = new Map([["", jobs.length]]);
    jobs.forEach(({ state }) => numbers.set(LABELS[state], (numbers.get(LABELS[state]) ?? 0) + 1));
    for (const [label, chip] of this.#chips) {
      const number = numbers.get(label) ?? 0;
      chip.hidden = !number && label !== this.#label && label !== "" && !ALWAYS.includes(label);
      chip.ariaPressed = String(label === this.#label);
      chip.lastChild.textContent = count.format(number);
    }
    const types = [...new Set(jobs.map(({ taskType }) => taskType))].sort();
    if (types.join() !== [...this.#type.options].slice(1).map(({ value }) => value).join()) {
      const { value } = this.#type;
      this.#type.replaceChildren(new Option("All types", ""), ...types.map((type) => new Option(type, type)));
      this.#type.value = types.includes(value) ? value : "";
    }
  }
}

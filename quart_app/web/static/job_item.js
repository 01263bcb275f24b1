// A job in the list: a row of one height, and below it, when it is open, everything that is known.

import { fill, made } from "./elements.js";
import { JobDetail } from "./job_detail.js";
import { readable } from "./client/json.js";
import { coming, past, show } from "./times.js";
import { attempts, due, isOpen, LABELS, mayRepeat, name, outcome, took, written } from "./words.js";

const LONGEST_BRIEF = 200; // characters of a row's texts
let numbered = 0;

/** Text from outside goes through `textContent` only. */
export class JobItem {
  #job;
  #part; // elements by name
  #detail = null;

  /** `on` hears `cancel(job)`, `repeat(job)` and `opened(job, open)`; without it there are no buttons. */
  constructor(job, on) {
    this.#job = job;
    this.on = on;
    this.element = made("job-template");
    const part = (selector) => this.element.querySelector(selector);
    this.#part = {
      line: part(".job-line"),
      open: part(".job-open"),
      took: part(".job-took"),
      bar: part("progress"),
      when: part("time"),
      cancel: part("[data-action=cancel]"),
      repeat: part("[data-action=repeat]"),
    };
    const { open, bar, cancel, repeat } = this.#part;
    fill(this.element, { type: job.taskType, content: brief(readable(job.content)) || "(empty)" });
    open.ariaLabel = `${open.textContent}, ${job.taskType}`; // who speaks to the computer says what is seen
    open.setAttribute("aria-controls", `job-${(numbered += 1)}`);
    bar.ariaLabel = `Progress: ${name(job)}`;
    open.addEventListener("click", () => this.open(!this.isOpen));
    cancel.addEventListener("click", () => this.#job.cancelling || this.on.cancel(this.#job));
    repeat.addEventListener("click", () => this.on.repeat(this.#job));
    this.draw();
  }

  get isOpen() {
    return Boolean(this.#detail);
  }

  /** Let it have the focus, wherever the page is scrolled to. */
  focus() {
    this.#part.open.focus({ preventScroll: true });
  }

  /** Show everything, or the row alone. */
  open(wanted) {
    if (wanted === this.isOpen) {
      return;
    }
    if (wanted) {
      this.#detail = new JobDetail(this.#part.open.getAttribute("aria-controls"));
      this.element.append(this.#detail.element);
      this.#detail.draw(this.#job);
    } else {
      this.#detail.element.remove();
      this.#detail = null;
    }
    this.element.toggleAttribute("data-open", wanted);
    this.#part.open.ariaExpanded = String(wanted);
    this.on?.opened?.(this.#job, wanted);
  }

  /** Show the job as it is now. */
  draw() {
    const job = this.#job;
    const { state } = job;
    this.element.dataset.phase = state;
    fill(this.element, {
      state: LABELS[state],
      attempt: attempts(job),
      brief: brief(state === "scheduled" ? coming(job.notBefore) : outcome(job) || job.progress?.message || written(job)),
    });
    show(this.#part.when, job.submittedAt, past);
    this.#progress();
    this.#buttons();
    this.tick();
    this.#detail?.draw(job);
  }

  /** Show times as they are now. */
  tick() {
    this.#part.took.textContent = took(this.#job) || due(this.#job);
    this.#detail?.tick(this.#job);
  }

  #progress() {
    const { state, progress } = this.#job;
    const { bar } = this.#part;
    bar.hidden = state !== "started" || progress?.value == null;
    bar.value = progress?.value ?? 0;
  }

  #buttons() {
    const { cancel, repeat } = this.#part;
    const { state, cancelling } = this.#job;
    cancel.textContent = cancelling ? "Cancelling…" : "Cancel";
    cancel.ariaDisabled = String(Boolean(cancelling)); // not disabled: that would take the focus away
    this.#offer(cancel, isOpen(state));
    repeat.textContent = { done: "Run again", unsent: "Try again" }[state] ?? "Retry";
    this.#offer(repeat, mayRepeat(state));
  }

  #offer(button, wanted) {
    button.ariaLabel = `${button.textContent}: ${name(this.#job)}`;
    if (!(wanted && this.on) && document.activeElement === button) {
      this.#part.open.focus(); // a hidden button would take the focus with it
    }
    button.hidden = !(wanted && this.on);
  }
}

function brief(text) {
  return text.trimStart().slice(0, LONGEST_BRIEF);
}

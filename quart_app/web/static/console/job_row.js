// A job as a row of the list.

import { make } from "../elements.js";
import { past } from "../times.js";
import { away, going, span } from "../amounts.js";
import { href, jobHref } from "./route.js";
import { badge, ENDED } from "./states.js";

export const COLUMNS = ["", "State", "Type", "Content and result", "Client", "Took", "Submitted"];

/** An element that shows one row after another, as the list is scrolled. `id` makes it known to a screen reader. */
export class JobRow {
  #row; // what it shows; null while that is not known
  #marks = ""; // what else it shows

  constructor(id) {
    const cell = (name, ...children) => make("div", { className: `job-row-${name}`, role: "gridcell" }, ...children);
    this.pick = make("input", { type: "checkbox", tabIndex: -1 });
    this.type = make("strong");
    this.attempt = make("span", { className: "hint" });
    this.content = make("a", { tabIndex: -1 });
    this.text = make("span", { className: "job-row-text" });
    this.client = make("a", { tabIndex: -1 });
    this.state = cell("state");
    this.took = cell("took");
    this.when = make("time");
    this.element = make(
      "div",
      { id, className: "job-row", role: "row" },
      cell("pick", this.pick),
      this.state,
      cell("type", this.type, this.attempt),
      cell("what", this.content, this.text),
      cell("client", this.client),
      this.took,
      cell("when", this.when),
    );
  }

  get row() {
    return this.#row;
  }

  /** Show a row, or that it is on its way with undefined, at this index. `clientHref(id)` leads to a client's jobs. */
  show(row, { index, top, selected, active, clientHref }) {
    const marks = `${index} ${top} ${selected} ${active}`;
    if (marks !== this.#marks) {
      this.#marks = marks;
      this.element.style.transform = `translateY(${top}px)`;
      this.element.ariaRowIndex = String(index + 2); // the first has the names of the columns
      this.element.ariaSelected = String(selected);
      this.element.classList.toggle("active", active);
      this.element.classList.toggle("odd", index % 2 === 1);
      this.pick.checked = selected;
    }
    if (row !== this.#row) {
      this.#row = row;
      this.element.classList.toggle("coming", !row);
      this.element.ariaBusy = String(!row);
      this.#fill(row, clientHref);
    }
    this.tick();
  }

  /** Show times as they are now. */
  tick() {
    const row = this.#row;
    if (row) {
      this.took.textContent = took(row);
      this.when.textContent = away(Date.now() - new Date(row.queued_at));
    }
  }

  #fill(row, clientHref) {
    this.state.replaceChildren(...(row ? [badge(row.state)] : []));
    this.type.textContent = row?.task_type ?? "";
    this.attempt.textContent = [row?.retry_of && "retry", row?.attempt > 1 && `attempt ${row.attempt}`]
      .filter(Boolean)
      .join(", ");
    this.content.textContent = row?.content || (row ? "(empty)" : "");
    this.text.textContent = row?.text ?? "";
    this.text.dataset.state = row?.state ?? "";
    this.client.textContent = row?.client_id ?? "";
    this.client.title = row ? `Jobs of client ${row.client_id}` : "";
    this.pick.ariaLabel = row ? `Select job ${row.job_id}` : "";
    this.pick.disabled = !row;
    if (row) {
      this.content.href = jobHref(row);
      this.client.href = clientHref(row.client_id);
      this.when.dateTime = row.queued_at;
      this.when.title = past(new Date(row.queued_at));
    } else {
      this.content.href = this.client.href = href("jobs");
      this.took.textContent = this.when.textContent = "";
    }
  }
}

// How long it ran, or waits.
function took({ state, queued_at: queued, started_at: started, last_at: last, not_before: notBefore }) {
  const now = Date.now();
  if (ENDED.has(state)) {
    return started ? span(new Date(last) - new Date(started)) : "–";
  }
  if (state === "scheduled" && notBefore) {
    return away(now - new Date(notBefore));
  }
  const since = new Date(state === "job_started" && started ? started : queued);
  return `${state === "job_started" ? "" : "waits "}${going(now - since)}`;
}

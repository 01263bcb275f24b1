// What is known of a job.

import { span } from "./amounts.js";
import { copyButton } from "./copying.js";
import { make } from "./elements.js";
import { readable } from "./client/json.js";
import { LongText } from "./long_text.js";
import { coming, exact } from "./times.js";
import { outcome, reasons, took, written } from "./words.js";

export class JobDetail {
  #facts = make("dl", { className: "facts" });
  #told = ""; // what the facts say
  #took = make("span");
  #note = make("p", { className: "job-note" });
  #reasons = make("p", { className: "hint job-reasons" });
  #content = new LongText("job-content");
  #text = new LongText("job-text", () => `job-${this.#job.id}.txt`);
  #job;

  constructor(id) {
    const parts = [this.#note, this.#reasons, this.#text.element, this.#content.element, this.#facts];
    this.element = make("div", { id, className: "job-detail" }, ...parts);
  }

  draw(job) {
    this.#job = job;
    const { state } = job;
    const running = state === "started";
    const text = written(job);
    this.#note.textContent = outcome(job);
    this.#note.className = state === "failed" || state === "refused" ? "job-reason" : "job-note";
    this.#reasons.textContent = reasons(job);
    this.#text.show(state === "done" ? "Result" : "Written so far", text, running && Boolean(text));
    this.#content.show("Content", readable(job.content, 2));
    this.tick(job);
    this.#tell(job);
  }

  tick(job) {
    this.#took.textContent = took(job);
  }

  // What is read or marked is not replaced by its like.
  #tell(job) {
    const { attempt, endedAt, id, notBefore, retryOf, startedAt, state, submittedAt } = job;
    const told = JSON.stringify([attempt, endedAt, id, notBefore, retryOf, startedAt, state, submittedAt]);
    if (told !== this.#told) {
      this.#told = told;
      this.#facts.replaceChildren(...facts(job, this.#took));
      [this.#note, this.#reasons].forEach((part) => (part.hidden = !part.textContent));
    }
  }
}

function* facts({ attempt, endedAt, id, notBefore, retryOf, startedAt, state, submittedAt }, tookNow) {
  yield fact("Submitted", time(submittedAt));
  if (notBefore) {
    yield fact(state === "scheduled" ? "Scheduled for" : "Not before", time(notBefore, coming));
  }
  if (startedAt) {
    yield fact("Started", time(startedAt), ` after ${span(startedAt - submittedAt)}`);
  }
  if (endedAt) {
    yield fact("Ended", time(endedAt));
  }
  if (startedAt) {
    yield fact("Took", tookNow);
  }
  if (attempt) {
    yield fact("Attempt", String(attempt));
  }
  if (retryOf) {
    yield fact("Retry of", make("code", {}, retryOf));
  }
  if (id) {
    yield fact("Job", make("code", { className: "job-id" }, id), " ", copyButton(() => id));
  }
}

function fact(term, ...values) {
  return make("div", {}, make("dt", {}, term), make("dd", {}, ...values));
}

function time(at, words = exact) {
  return make("time", { dateTime: at.toISOString() }, words(at));
}

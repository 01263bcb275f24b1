// What is known of a job.

import { span } from "./amounts.js";
import { copyButton } from "./copying.js";
import { make } from "./elements.js";
import { readable } from "./client/json.js";
import { LongText } from "./long_text.js";
import { coming, exact } from "./times.js";
import { outcome, progressed, reasons, took, written } from "./words.js";

const COMING = new Set(["sending", "queued", "started"]); // states after which there will soon be a result

export class JobDetail {
  #facts = make("dl", { className: "facts" });
  #told = ""; // what the facts say
  #took = make("span");
  #progress = make("span");
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
    const text = written(job);
    this.#note.textContent = outcome(job);
    this.#note.className = state === "failed" || state === "refused" ? "job-reason" : "job-note";
    this.#note.classList.toggle("lines", state === "failed" && this.#note.textContent.includes("\n"));
    this.#reasons.textContent = reasons(job);
    this.#text.show(text && state !== "done" ? "Written so far" : "Result", text, {
      awaited: COMING.has(state),
      writing: state === "started" && Boolean(text),
    });
    this.#content.show("Content", readable(job.content, 2));
    this.tick(job);
    this.#tell(job);
  }

  tick(job) {
    this.#took.textContent = took(job) || "—";
    this.#progress.textContent = progressed(job);
  }

  // What is read or marked is not replaced by its like.
  #tell(job) {
    const { attempt, endedAt, id, notBefore, progress, retryOf, startedAt, state, submittedAt } = job;
    const told = JSON.stringify([attempt, endedAt, id, notBefore, !progress, retryOf, startedAt, state, submittedAt]);
    if (told !== this.#told) {
      this.#told = told;
      this.#facts.replaceChildren(...facts(job, this.#took, this.#progress));
      [this.#note, this.#reasons].forEach((part) => (part.hidden = !part.textContent));
    }
  }
}

// The same ones in the same places, whatever has happened by now: what comes moves nothing.
function* facts({ attempt, endedAt, id, notBefore, progress, retryOf, startedAt, state, submittedAt }, tookNow, progressNow) {
  yield fact("Submitted", time(submittedAt));
  if (notBefore) {
    yield fact(state === "scheduled" ? "Scheduled for" : "Not before", time(notBefore, coming));
  }
  yield fact("Started", startedAt && time(startedAt));
  yield progress && !endedAt ? fact("Progress", progressNow) : fact("Ended", endedAt && time(endedAt));
  yield fact("Waited", startedAt && span(startedAt - submittedAt));
  yield fact(endedAt ? "Took" : "Running for", tookNow);
  yield fact("Attempt", attempt && String(attempt));
  if (retryOf) {
    yield fact("Retry of", make("code", {}, retryOf));
  }
  if (id) {
    yield fact("Job", make("code", { className: "job-id" }, id), " ", copyButton(() => id));
  }
}

function fact(term, ...values) {
  const known = values.some(Boolean);
  return make("div", {}, make("dt", {}, term), make("dd", {}, ...(known ? values : ["—"])));
}

function time(at, words = exact) {
  return make("time", { dateTime: at.toISOString() }, words(at));
}

// One job: its life, what can be done with it, its events as they are stored and as its client saw them.

import { span } from "../amounts.js";
import { createJobs } from "../client/jobs.js";
import { copyButton } from "../copying.js";
import { element, make } from "../elements.js";
import { JobItem } from "../job_item.js";
import { coming, past } from "../times.js";
import { pane } from "./json_pane.js";
import { JobStory } from "./job_story.js";
import { href, jobHref } from "./route.js";
import { badge } from "./states.js";
import { StoredEvents } from "./stored_events.js";
import { timeline } from "./timeline.js";

const SECOND = 1000;

export class JobView {
  cameFrom = false; // whether the list is where somebody was before
  #ask;
  #acting;
  #events = new StoredEvents(element("stored-events"));
  #story = new JobStory();
  #jobs;
  #job = null; // {client_id, job_id}
  #ticking = 0;
  #drawn = {}; // what the panes show

  constructor({ ask, acting }) {
    this.#ask = ask;
    this.#acting = acting;
    element("job-back").addEventListener("click", (event) => {
      if (this.cameFrom && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
        event.preventDefault();
        history.back(); // to the same place in the list, filtered as it was
      }
    });
    element("job-cancel").addEventListener("click", () => this.#cancel());
    element("job-retry").addEventListener("click", () => this.#act("retry"));
  }

  get title() {
    return `Job ${this.#job?.job_id ?? ""}`;
  }

  show({ path: [client = "", job = ""] }) {
    this.#job = { client_id: client, job_id: job };
    this.#begin();
    element("job-page").hidden = true;
    this.#tell("Loading…");
    element("job-new").hidden = true;
    this.#watch();
    this.#ticking = setInterval(() => document.hidden || this.#story.ended || this.#draw(), SECOND);
  }

  hide() {
    clearInterval(this.#ticking);
    this.#job = null;
    this.#ask("unwatch_job").catch(() => {}); // has no answer, and offline nothing is watched
  }

  connection(phase) {
    if (phase.name === "connected" && this.#job) {
      this.#watch();
    }
  }

  take({ client_id, job_id, first, events, cut }) {
    if (this.#job?.job_id !== job_id || this.#job.client_id !== client_id) {
      return;
    }
    if (first) {
      this.#begin();
    }
    for (const event of events) {
      this.#events.add(event);
      this.#story.take(event);
      if (event.shown) {
        this.#jobs.take({ at: event.at, ...event.shown });
      }
    }
    if (!events.length && first) {
      return; // they follow
    }
    this.#tell("");
    element("job-page").hidden = false;
    element("output-cut").hidden = !cut;
    this.#draw();
  }

  #begin() {
    this.#events.clear();
    this.#story = new JobStory();
    this.#drawn = {};
    element("client-side").replaceChildren();
    this.#jobs = createJobs();
    this.#jobs.list.subscribe(({ type, job }) => {
      if (type === "added") {
        const item = new JobItem(job);
        item.open(true);
        job.subscribe(() => item.draw());
        element("client-side").prepend(item.element);
      }
    });
  }

  async #watch() {
    const job = this.#job;
    try {
      const { payload } = await this.#ask("watch_job", job);
      this.take(payload);
    } catch (error) {
      const unknown = error.is?.("unknown_job");
      if (job === this.#job && (unknown || element("job-page").hidden)) {
        element("job-page").hidden = unknown || element("job-page").hidden;
        this.#tell(unknown ? `There is no such job: ${error.message}. Its events may be older than the stream keeps.` : error.message);
      }
    }
  }

  #tell(text) {
    element("job-trouble").textContent = text;
    element("job-trouble").hidden = !text;
  }

  #draw() {
    const story = this.#story;
    const state = story.scheduled ? "scheduled" : story.state;
    element("job-title").replaceChildren(badge(state), make("span", {}, story.type));
    element("job-times").replaceChildren(...timeline(story));
    this.#once("facts", JSON.stringify([story, this.#job]), () => {
      element("job-facts").replaceChildren(...this.#facts());
    });
    this.#once("content", JSON.stringify(story.content), () => {
      element("job-content").replaceChildren(pane("Content", story.content));
    });
    const ended = story.state === "job_result";
    this.#once("result", JSON.stringify([ended, story.result]), () => {
      element("job-result").replaceChildren(...(ended ? [pane("Result", story.result)] : []));
    });
    element("job-cancel").hidden = story.ended;
    element("job-retry").hidden = !story.ended;
  }

  // What is read, marked or copied is not replaced by its like.
  #once(name, value, draw) {
    if (this.#drawn[name] !== value) {
      this.#drawn[name] = value;
      draw();
    }
  }

  *#facts() {
    const { client_id: client, job_id: id } = this.#job;
    const { attempts, by, endedAt, notBefore, queuedAt, retryOf } = this.#story;
    yield fact("Job", make("code", {}, id), copyButton(() => id));
    const link = make("a", { href: href("jobs", [], { client }) }, make("code", {}, client));
    yield fact("Client", link, copyButton(() => client));
    yield fact("Submitted", past(queuedAt));
    if (notBefore) {
      yield fact("Not before", coming(new Date(notBefore)));
    }
    if (attempts.length) {
      const { number, instance } = attempts.at(-1);
      yield fact("Attempt", String(number));
      if (instance) {
        yield fact("Worker process", make("code", {}, instance));
      }
    }
    if (endedAt) {
      yield fact("Ended", past(endedAt), `after ${span(endedAt - queuedAt)}`);
    }
    if (by) {
      yield fact("Cancelled by", by);
    }
    if (retryOf) {
      const job = { client_id: client, job_id: retryOf };
      yield fact("Retry of", make("a", { href: jobHref(job) }, make("code", {}, retryOf)));
    }
  }

  async #cancel() {
    const text = "It runs now, and will be stopped. What it has written stays readable. This cannot be taken back.";
    const running = this.#story.state === "job_started";
    if (!running || (await this.#acting.confirm({ title: "Cancel this job?", text, yes: "Cancel the job" }))) {
      this.#act("cancel");
    }
  }

  async #act(verb) {
    const job = this.#job;
    const acted = await this.#acting.some(verb, [job]);
    const [again] = acted?.retried ?? [];
    if (again && job === this.#job) {
      const link = make("a", { href: jobHref({ ...job, job_id: again.new_job_id }) }, again.new_job_id);
      element("job-new").replaceChildren("It is done again as job ", link, ".");
      element("job-new").hidden = false;
    }
  }
}

function fact(name, ...values) {
  const spaced = values.flatMap((value) => [value, " "]);
  return make("div", {}, make("dt", {}, name), make("dd", {}, ...spaced));
}

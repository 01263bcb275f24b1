// One job, as the frames about it tell.

import { JobCancelled, JobFailed } from "./errors.js";
import { readable } from "./json.js";
import { Listeners } from "./observable.js";

/** The state of a job after each of its events. */
export const STATES = {
  job_queued: "queued",
  job_started: "started",
  job_progress: "started",
  job_retrying: "retrying",
  job_output: "started",
  job_result: "done",
  job_failed: "failed",
  job_cancelled: "cancelled",
};

// A job never steps back: a reply may overtake the events that led to what it says. Each attempt ranks above the one
// before it, running and then waiting for the next.
const ENDED = Infinity;
const RANK = {
  sending: 0,
  unsent: 0,
  interrupted: 0,
  scheduled: 1,
  queued: 1,
  done: ENDED,
  failed: ENDED,
  cancelled: ENDED,
  refused: ENDED,
};

const OMITTED = "\n[…]\n"; // where pieces are missing because history was cut
const MOST_REASONS = 20;
const DAY = 86_400_000; // milliseconds

const BLANK = {
  id: null,
  key: "",
  taskType: "job",
  content: "",
  runs: null,
  state: "sending",
  ended: false,
  attempt: 0,
  progress: null,
  text: "",
  value: undefined,
  reason: "",
  reasons: Object.freeze([]),
  error: null,
  submittedAt: null,
  startedAt: null,
  endedAt: null,
  notBefore: null,
  nextAt: null,
  retryOf: null,
  cancelling: false,
};

/** What is told of it is in the properties that BLANK lists; each change makes a new `snapshot()` of them. */
export class Job {
  #owner;
  #data;
  #listeners = new Listeners();
  #result = null; // a deferred promise, once somebody has asked for it
  #changed = null; // the same, for those who wait for the next change
  #written = { attempt: 0, next: 0 }; // which attempt has written `text`, and the index of its next piece
  #timer = 0;

  static {
    for (const name of Object.keys(BLANK)) {
      Object.defineProperty(this.prototype, name, { get() { return this.#data[name]; } }); // prettier-ignore
    }
  }

  /** `owner` has the verbs `send(job)`, `cancel(job)`, `retry(job)` and `submit(taskType, content)`. */
  constructor(owner, data) {
    this.#owner = owner;
    this.#data = Object.freeze({ ...BLANK, ...data });
    this.subscribe = (f) => this.#listeners.add(f); // bound, to be handed on
    this.snapshot = () => this.#data;
    this.#awaitTime();
  }

  get result() {
    if (!this.#result) {
      this.#result = deferred();
      this.#result.promise.catch(() => {}); // nobody has to await it
      this.#settle();
    }
    return this.#result.promise;
  }

  get output() {
    return { [Symbol.asyncIterator]: () => this.#pieces() };
  }

  cancel() {
    if (!this.ended && !this.cancelling) {
      this.#owner.cancel(this);
    }
  }

  retry() {
    if (this.state === "unsent") {
      this.change({ state: "sending", reason: "", error: null });
      this.#owner.send(this);
      return this;
    }
    if (!this.ended || !this.id) {
      throw new Error(`Only a job that has ended can be done again; this one is ${this.state}.`);
    }
    return this.#owner.retry(this);
  }

  again() {
    return this.#owner.submit(this.taskType, this.content);
  }

  /** Take a frame about this job; `at` is when it happened, null if that is not known. */
  take(frame, at) {
    const { action, job_id: id = this.id, attempt = this.attempt, runs = this.runs, not_before: time } = frame;
    const notBefore = time ? new Date(time) : this.notBefore;
    const state = action === "job_queued" && notBefore > Date.now() ? "scheduled" : STATES[action];
    const to = rank(state, attempt);
    const from = rank(this.state, this.attempt);
    const changes = { id, runs, notBefore, reasons: this.#explained(frame) };
    if (to > from || (to === from && state === "retrying")) {
      Object.assign(changes, this.#stepped(state, attempt, frame, at));
    }
    if (to >= from && state === "started") {
      Object.assign(changes, this.#running(attempt, frame, at));
    }
    this.change(changes);
  }

  /** Set some properties, and tell of those that are others now. */
  change(changes) {
    const keys = Object.keys(changes).filter((key) => changes[key] !== this.#data[key]);
    if (!keys.length) {
      return;
    }
    const state = changes.state ?? this.state;
    if (this.error && changes.error === null) {
      this.#result = null; // it goes on: who asks from now on gets another promise
    }
    this.#data = Object.freeze({ ...this.#data, ...changes, ended: RANK[state] === ENDED });
    this.#settle();
    this.#awaitTime();
    this.#changed?.resolve();
    this.#changed = null;
    this.#listeners.tell(keys);
    if (keys.includes("state")) {
      this.#owner.changed(this);
    }
  }

  /** Be the job that another object stood for until now. */
  adopt(other) {
    this.#written = other.#written;
    other.release();
    this.change({ ...other.#data, key: this.key });
  }

  /** Nobody looks at it any more. */
  release() {
    clearTimeout(this.#timer);
  }

  #stepped(state, attempt, { action, payload, reason = payload, next_at: nextAt, by = null }, at) {
    const changes = { state, attempt, reason: "", error: null, nextAt: null };
    if (action === "job_queued" && at) {
      changes.submittedAt = at;
    }
    if (state === "retrying") {
      return { ...changes, reason, nextAt: nextAt ? new Date(nextAt) : null };
    }
    if (RANK[state] !== ENDED) {
      return changes;
    }
    Object.assign(changes, { endedAt: at, progress: null, cancelling: false });
    if (state === "done") {
      return { ...changes, value: payload, text: readable(payload, 2) };
    }
    const error = state === "failed" ? new JobFailed(reason, attempt) : new JobCancelled(by);
    return { ...changes, error, reason: error.message };
  }

  #running(attempt, { action, index, payload, message = "" }, at) {
    const changes = {};
    if (attempt > this.#written.attempt) {
      this.#written = { attempt, next: 0 }; // what an earlier attempt has written means nothing any more
      Object.assign(changes, { text: "", progress: null });
    }
    if (action === "job_started") {
      changes.startedAt = at;
    } else if (action === "job_progress") {
      changes.progress = Object.freeze({ value: payload, message });
    } else if (action === "job_output" && index >= this.#written.next) {
      const gap = index > this.#written.next ? OMITTED : "";
      changes.text = (changes.text ?? this.text) + gap + payload;
      this.#written = { attempt, next: index + 1 };
    }
    return changes;
  }

  #explained({ action, attempt, reason, attempts = [] }) {
    const told = attempts.map(({ attempt, reason }) => ({ attempt, reason }));
    if (action === "job_retrying") {
      told.push({ attempt, reason });
    } else if (action === "job_started" && attempt > 1) {
      told.push({ attempt: attempt - 1, reason: "its worker was lost" }); // if nothing else was said
    }
    const news = told.filter((one) => one.reason && !this.reasons.some((known) => known.attempt === one.attempt));
    const all = [...this.reasons, ...news].sort((one, other) => one.attempt - other.attempt);
    return news.length ? Object.freeze(all.slice(-MOST_REASONS)) : this.reasons;
  }

  #settle() {
    if (this.state === "done") {
      this.#result?.resolve(this.value);
    } else if (this.error) {
      this.#result?.reject(this.error);
    }
  }

  // Pieces do not queue up for a slow reader: it gets what was added to the text since it looked last.
  async *#pieces() {
    let read = { attempt: 0, text: "" };
    for (;;) {
      const { text, state, value, error } = this.#data;
      const { attempt, next } = this.#written;
      const otherThanText = state === "done" && next && typeof value !== "string"; // then what was written is all of it
      if (text !== read.text && !otherThanText) {
        const reset = Boolean(read.text) && (attempt !== read.attempt || !text.startsWith(read.text));
        const piece = reset ? text : text.slice(read.text.length);
        read = { attempt, text };
        yield { text: piece, attempt: this.attempt, reset };
      } else if (error) {
        throw error;
      } else if (state === "done") {
        return;
      } else {
        this.#changed ??= deferred();
        await this.#changed.promise;
      }
    }
  }

  // Nobody tells that its time has come.
  #awaitTime() {
    clearTimeout(this.#timer);
    if (this.state === "scheduled") {
      const left = this.notBefore - Date.now();
      const come = () => this.#awaitTime();
      this.#timer = left > 0 ? setTimeout(come, Math.min(left, DAY)) : 0;
      if (left <= 0) {
        this.change({ state: "queued" });
      }
    }
  }
}

function rank(state, attempt) {
  return RANK[state] ?? 2 * (attempt || 1) + (state === "retrying" ? 1 : 0);
}

function deferred() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}

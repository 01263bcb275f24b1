// The jobs of this tab as the frames tell them; knows neither sockets nor elements.

import { readable } from "./json.js";
import { clock, midnight } from "./times.js";

const MOST_JOBS = 200; // open ones are always shown

/** The phase of a job after each of its events. */
export const STEPS = {
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

function rank(phase, attempt) {
  return RANK[phase] ?? 2 * (attempt || 1) + (phase === "retrying" ? 1 : 0);
}

const UNSEEN = "The server no longer has the history of this job. It may have ended unseen.";

// Errors after which the same frame may do.
const PASSING = new Set([
  "bus_unavailable",
  "busy",
  "internal_error",
  "stream_full",
  "too_fast",
  "too_many_bytes",
  "too_many_jobs",
]);

/**
 * A job is `{ref, id, type, content, notBefore, phase, text, attempt, reasons, progress, message, output, cancelling,
 * retryOf, at}`. Its `ref` is also its idempotency key, so that it may be sent as often as needed. `notBefore` is when it
 * may begin, in RFC 3339, or null; until then it is scheduled. `reasons` are why attempts failed, by attempt; `output` is
 * `{text, attempt, next}`, what it has written while it runs, and the index of the next piece. `watcher` hears of every
 * change.
 */
export class Jobs {
  #all = new Set();
  #byRef = new Map();
  #byId = new Map();

  constructor(watcher) {
    this.watcher = watcher;
  }

  get counts() {
    const ended = [...this.#all].filter(({ phase }) => RANK[phase] === ENDED || phase === "interrupted").length;
    return { open: this.#all.size - ended, ended };
  }

  /** What the server has not confirmed: on its way, or not accepted for now. */
  get unconfirmed() {
    return [...this.#all].filter(({ phase }) => phase === "sending" || phase === "unsent");
  }

  get scheduled() {
    return [...this.#all].filter(({ phase }) => phase === "scheduled");
  }

  get cancelling() {
    return [...this.#all].filter((job) => job.cancelling);
  }

  /** A job that is on its way to the server. */
  add({ ref, type, content, notBefore = null, retryOf = null, phase = "sending", text = "" }) {
    return this.#add({ ref, id: null, type, content, notBefore, retryOf, phase, text, at: new Date() });
  }

  /** Send it once more. */
  resend(job) {
    this.#change(job, { phase: "sending", text: "", at: new Date() });
  }

  cancel(job) {
    this.#change(job, { cancelling: true });
  }

  /** Take a frame about a job; returns an error's text when it belongs to none. `at` is when it happened. */
  take(frame, at) {
    if (frame.action in STEPS) {
      this.#step(frame, at);
    } else if (frame.action === "job_status") {
      const { job_id: id, state, text, attempt, attempts = [] } = frame.payload;
      const job = this.#byId.get(id) ?? this.#byRef.get(frame.ref);
      if (job) {
        attempts.forEach(({ attempt, reason }) => this.#explain(job, attempt, reason));
        this.#advance(job, id, STEPS[state], text, at, attempt);
      }
    } else if (frame.action === "error") {
      return this.#error(frame);
    }
    return "";
  }

  /** History was cut: what was open may have ended unseen. Events that still come put it right. */
  interrupt(sameClient) {
    for (const job of this.#all) {
      if (job.phase === "scheduled" && sameClient) {
        continue; // it still waits, unless it was called off: that can be asked
      } else if (job.id && RANK[job.phase] !== ENDED) {
        this.#change(job, { phase: "interrupted", text: UNSEEN, cancelling: false });
      } else if (job.phase === "sending" && !sameClient) {
        const text =
          "The connection was lost before the server confirmed this job, and the server no longer knows this page. " +
          "The job may still run: try again only if running it twice does no harm.";
        this.#change(job, { phase: "unsent", text });
      }
    }
  }

  #step(frame, at) {
    const { job_id: id, ref, action, task_type: type = "job", content = "", retry_of: retryOf = null } = frame;
    const { not_before: notBefore = null } = frame;
    let job = this.#byId.get(id) ?? this.#byRef.get(ref);
    if (!job) {
      if (action === "job_progress") {
        return;
      }
      const phase = isAhead(notBefore) ? "scheduled" : "queued";
      job = this.#add({ ref: ref ?? id, id, type, content, notBefore, retryOf, phase, text: "", at });
      this.#awaitTime(job);
    }
    if (action === "job_retrying") {
      this.#explain(job, frame.attempt, frame.reason);
    } else if (action === "job_started" && frame.attempt > 1) {
      this.#explain(job, frame.attempt - 1, "its worker was lost"); // if nothing else was said
    }
    this.#advance(job, id, STEPS[action], waiting(frame), at, frame.attempt ?? job.attempt);
    if (job.phase === "started" && action === "job_started") {
      this.#change(job, { attempt: frame.attempt, progress: null, message: "" });
      this.#beginOutput(job, frame.attempt);
    } else if (job.phase === "started" && action === "job_output") {
      this.#beginOutput(job, frame.attempt);
      this.#write(job, frame);
    } else if (job.phase === "started" && action === "job_progress") {
      this.#change(job, { progress: frame.payload, message: frame.message ?? "" });
    }
  }

  // What an earlier attempt has written means nothing any more.
  #beginOutput(job, attempt) {
    if (attempt > (job.output?.attempt ?? 0)) {
      this.#change(job, { output: { text: "", attempt, next: 0 } });
    }
  }

  #write(job, { attempt, index, payload }) {
    const { output } = job;
    if (attempt === output.attempt && index >= output.next) {
      const text = output.text + (index > output.next ? OMITTED : "") + payload;
      this.#change(job, { output: { text, attempt, next: index + 1 } });
    }
  }

  #advance(job, id, phase, text, at, attempt) {
    job.id = id;
    this.#byId.set(id, job);
    if (phase === "queued" && isAhead(job.notBefore)) {
      phase = "scheduled";
    }
    const [to, from] = [rank(phase, attempt), rank(job.phase, job.attempt)];
    if (to > from || (to === from && phase === "retrying")) {
      const ended = to === ENDED;
      const shown = ended || phase === "retrying" ? readable(text, 2) : "";
      const output = phase === "done" ? null : job.output; // the text is all of it
      const cancelling = job.cancelling && !ended;
      this.#change(job, { phase, text: shown, output, at, attempt: attempt || job.attempt, cancelling });
      this.#awaitTime(job);
    }
  }

  // Nobody tells that its time has come; and what is tomorrow now is today after midnight.
  #awaitTime(job) {
    if (job.phase !== "scheduled") {
      return;
    }
    const time = new Date(job.notBefore);
    const next = () => {
      if (job.phase !== "scheduled") {
        return;
      }
      if (isAhead(job.notBefore)) {
        this.#change(job, { notBefore: job.notBefore });
        this.#awaitTime(job);
      } else {
        this.#change(job, { phase: "queued", at: time });
      }
    };
    setTimeout(next, Math.min(time, midnight()) - Date.now());
  }

  #explain(job, attempt, reason) {
    if (reason && !job.reasons?.[attempt]) {
      this.#change(job, { reasons: { ...job.reasons, [attempt]: reason } });
    }
  }

  #error({ payload, ref }) {
    const items = Array.isArray(payload) ? payload : [];
    const text =
      items.map(({ loc, msg }) => (loc?.length > 1 ? `${msg} (${loc.join(" › ")})` : msg)).join("\n") ||
      "The server reported an error without saying which.";
    const called = this.#byId.get(ref); // cancel_job and get_job have the job's id for their ref
    const job = this.#byRef.get(ref);
    if (called?.cancelling) {
      this.#change(called, { cancelling: false });
    } else if (called?.phase === "scheduled" && items.some(({ type }) => type === "unknown_job")) {
      this.#change(called, { phase: "interrupted", text: UNSEEN });
      return "";
    } else if (job && RANK[job.phase] === 0) {
      this.#change(job, { phase: items.every(({ type }) => PASSING.has(type)) ? "unsent" : "refused", text });
      return "";
    }
    return text;
  }

  #add(job) {
    this.#all.add(job);
    this.#byRef.set(job.ref, job);
    this.watcher.added(job);
    this.#makeRoom();
    return job;
  }

  #change(job, changes) {
    Object.assign(job, changes);
    this.watcher.changed(job, Object.keys(changes));
    this.#makeRoom();
  }

  #makeRoom() {
    const oldest = this.#all.size > MOST_JOBS && [...this.#all].find(({ phase }) => RANK[phase] === ENDED);
    if (oldest) {
      this.#all.delete(oldest);
      this.#byRef.delete(oldest.ref);
      this.#byId.delete(oldest.id);
      this.watcher.removed(oldest);
    }
  }
}

function isAhead(time) {
  return time !== null && new Date(time) > Date.now();
}

// What a job waits for, in words; of any other step its payload.
function waiting({ action, payload, reason, attempt, next_at: at }) {
  if (action !== "job_retrying") {
    return payload;
  }
  const next = `attempt ${attempt + 1} ${at ? `at ${clock.format(new Date(at))}` : "when a worker is free"}`;
  return `Waiting to be tried again: ${reason}, ${next}`;
}

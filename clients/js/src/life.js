// A job's life: what each frame about it changes.

import { JobCancelled, JobFailed } from "./errors.js";
import { readable } from "./json.js";
import { date } from "./times.js";

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
// before it, running and then waiting for the next. What is not here ranks lowest.
const ENDED = Infinity;
const RANK = {
  scheduled: 1,
  queued: 1,
  started: 2,
  retrying: 3,
  done: ENDED,
  failed: ENDED,
  cancelled: ENDED,
  refused: ENDED,
};
const rank = (state, attempt) => (RANK[state] ?? -ENDED) + 2 * attempt;

const OMITTED = "\n[…]\n"; // where pieces are missing because history was cut
const MOST_REASONS = 20;

/** Whether no more comes of a job in this state. */
export const hasEnded = (state) => RANK[state] === ENDED;

/** What is other about a job after a frame; `at` is when it happened, null if that is not known. */
export const changesBy = (frame, job, at) => {
  const { action, payload, attempt = job.attempt, reason, index } = frame;
  const notBefore = date(frame.not_before) ?? job.notBefore;
  const state = action === "job_queued" && notBefore > Date.now() ? "scheduled" : STATES[action];
  const changes = { id: frame.job_id ?? job.id, runs: frame.runs ?? job.runs, notBefore, reasons: reasonsAfter(frame, job) };
  if (job.ended || !state || rank(state, attempt) < rank(job.state, job.attempt)) {
    return changes;
  }
  changes.state = state;
  changes.attempt = attempt;
  changes.reason = reason ?? "";
  changes.error = null;
  changes.nextAt = date(frame.next_at);
  if (action === "job_queued" && at) {
    changes.submittedAt = at;
  }
  if (hasEnded(state)) {
    changes.endedAt = at;
    changes.progress = null;
    changes.cancelling = false;
    if (state === "done") {
      changes.value = payload;
      changes.text = readable(payload, 2);
    } else {
      // Events of older versions have no reason: it is their text, also where a reply has that.
      changes.error =
        state === "failed" ? new JobFailed(reason ?? frame.text ?? payload, attempt) : new JobCancelled(frame.by);
      changes.reason = changes.error.message;
    }
  }
  if (state === "started") {
    let { text, pieces } = job;
    if (attempt > job.attempt) {
      changes.progress = null;
      changes.text = text = ""; // what an earlier attempt wrote means nothing any more
      changes.pieces = pieces = 0;
    }
    if (action === "job_started") {
      changes.startedAt = at;
    } else if (action === "job_progress") {
      changes.progress = { value: payload, message: frame.message ?? "" };
    } else if (index >= pieces) {
      changes.text = text + (index > pieces ? OMITTED : "") + payload;
      changes.pieces = index + 1;
    }
  }
  return changes;
};

const reasonsAfter = ({ action, attempt, reason, attempts = [] }, { reasons }) => {
  const known = {}; // by attempt, which is their order
  const add = (attempt, reason) => reason && (known[attempt] ??= { attempt, reason });
  [...reasons, ...attempts].forEach((told) => add(told.attempt, told.reason));
  if (action === "job_retrying") {
    add(attempt, reason);
  } else if (action === "job_started" && attempt > 1) {
    add(attempt - 1, "its worker was lost"); // if nothing else was said
  }
  const all = Object.values(known);
  return all.length > reasons.length ? all.slice(-MOST_REASONS) : reasons;
};

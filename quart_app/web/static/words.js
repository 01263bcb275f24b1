// A job in words.

import { away, going, share, span } from "./amounts.js";
import { readable } from "./client/json.js";
import { clock } from "./times.js";

const LONGEST_NAME = 60; // characters of a job's content in the names of its buttons
const MOST_REASONS = 5; // attempts of a job of which the latest are shown

/** By state. */
export const LABELS = {
  sending: "Sending",
  scheduled: "Scheduled",
  queued: "Queued",
  started: "Running",
  retrying: "Waiting",
  done: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
  refused: "Not accepted",
  unsent: "Not accepted",
  interrupted: "Interrupted",
};

/** Why earlier attempts failed; why the latest did, the job's text says. */
export function reasons(job) {
  const earlier = job.reasons.filter(({ attempt }) => attempt < job.attempt);
  return earlier.map(({ attempt, reason }) => `Attempt ${attempt} failed: ${reason}`).slice(-MOST_REASONS).join("\n");
}

/** What it is called, where its content is too long. */
export function name({ taskType, content }) {
  return readable(content).slice(0, LONGEST_NAME) || taskType;
}

/** What it has written, while it runs, and afterwards as a whole. */
export function written({ text, value }) {
  return value === undefined ? text : readable(value, 2);
}

/** Why it is as it is, where its state alone does not say it. */
export function outcome({ attempt, error, nextAt, reason, state }) {
  if (state === "cancelled") {
    return error?.by ? `By ${error.by}` : "";
  }
  if (state !== "retrying") {
    return reason;
  }
  return `${reason}, attempt ${attempt + 1} ${nextAt ? `at ${clock.format(nextAt)}` : "when a worker is free"}`;
}

/** How far it is. */
export function progressed({ progress }) {
  return progress ? [progress.value == null ? "" : share(progress.value), progress.message].filter(Boolean).join(": ") : "";
}

/** How often it was tried. */
export function attempts({ attempt, retryOf }) {
  return [retryOf && "retry", attempt > 1 && `attempt ${attempt}`].filter(Boolean).join(", ");
}

/** How long it runs or ran; nothing before it does. */
export function took({ state, startedAt, endedAt }) {
  const ran = startedAt && (endedAt || state === "started");
  return ran ? (endedAt ? span(endedAt - startedAt) : going(Date.now() - startedAt)) : "";
}

/** In how long it begins, or is tried again. */
export function due({ state, notBefore, nextAt }) {
  const at = { scheduled: notBefore, retrying: nextAt }[state];
  return at > Date.now() ? away(Date.now() - at) : "";
}

/** Whether it has not ended, and can be called off. */
export const isOpen = (state) => ["sending", "scheduled", "queued", "started", "retrying"].includes(state);

/** Whether it can be done once more. */
export const mayRepeat = (state) => ["unsent", "done", "failed", "cancelled"].includes(state);

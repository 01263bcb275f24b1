// A job in words.

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

/** Why earlier attempts failed; why the latest did, `why` says. */
export function reasons({ attempt, reasons }) {
  const earlier = reasons.filter((one) => one.attempt < attempt);
  return earlier.map((one) => `Attempt ${one.attempt} failed: ${one.reason}`).slice(-MOST_REASONS).join("\n");
}

/** Why a job is as it is, where that needs a reason; else nothing. */
export function why({ state, reason, attempt, nextAt }) {
  if (state !== "retrying") {
    return reason;
  }
  const next = nextAt ? `at ${clock.format(nextAt)}` : "when a worker is free";
  return `Waiting to be tried again: ${reason}, attempt ${attempt + 1} ${next}`;
}

/** What it is called, where its content is too long. */
export function name({ taskType, content }) {
  return readable(content).slice(0, LONGEST_NAME) || taskType;
}

// A job in words.

import { readable } from "./json.js";

const LONGEST_NAME = 60; // characters of a job's content in the names of its buttons
const MOST_REASONS = 5; // attempts of a job of which the latest are shown

/** By phase. */
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
export function reasons({ attempt, reasons = {} }) {
  const earlier = Object.entries(reasons).filter(([number]) => Number(number) < attempt);
  return earlier.map(([number, reason]) => `Attempt ${number} failed: ${reason}`).slice(-MOST_REASONS).join("\n");
}

/** What it is called, where its content is too long. */
export function name({ type, content }) {
  return readable(content).slice(0, LONGEST_NAME) || type;
}

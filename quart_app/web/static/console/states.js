// The states of a job as the list has them.

import { make } from "../elements.js";
import { STATES as STEPS } from "../client/life.js";
import { LABELS } from "../words.js";

/** In the order of a job's life. */
export const STATES = [
  "scheduled",
  "job_queued",
  "job_started",
  "job_retrying",
  "job_result",
  "job_failed",
  "job_cancelled",
];
export const ENDED = new Set(["job_result", "job_failed", "job_cancelled"]);

/** As the system page has it. */
export const phase = (state) => STEPS[state] ?? state;
export const label = (state) => LABELS[phase(state)] ?? state;

export function badge(state) {
  return make("span", { className: "badge state", dataset: { phase: phase(state) } }, label(state));
}

// What the server has not confirmed is kept over a reload: jobs, and the wish to cancel one.

import { Disconnected } from "./errors.js";
import { date } from "./times.js";

const NAME = "unconfirmed"; // in the memory
const TIMES = ["notBefore", "submittedAt", "startedAt", "nextAt"];

/** Jobs that a page before this one has kept; what is in `list` is kept from then on. */
export const recallUnconfirmed = ({ recall, remember }, list) => {
  const jobs = recall(NAME) ?? [];
  let saving = null;
  const save = () => {
    saving = null;
    const all = [...list].map((job) => job.snapshot());
    const kept = all.filter(({ id, ended, cancelling }) => !ended && (!id || cancelling)).reverse();
    remember(NAME, kept.length ? kept : null);
  };
  list.subscribe(() => (saving ??= Promise.resolve().then(save))); // once for all that happens now
  save();
  for (const job of jobs) {
    TIMES.forEach((name) => (job[name] = date(job[name])));
    job.error &&= new Disconnected(job.reason);
  }
  return jobs;
};

// What the server has not confirmed is kept over a reload.

import { Disconnected } from "./errors.js";
import { date } from "./times.js";

const NAME = "unconfirmed"; // in the memory

/** Jobs that a page before this one has kept; what is in `list` is kept from then on. */
export const recallUnconfirmed = ({ recall, remember }, list) => {
  const jobs = recall(NAME) ?? [];
  let saving = null;
  const save = () => {
    saving = null;
    const all = [...list].map((job) => job.snapshot());
    const kept = all.filter(({ id, ended }) => !id && !ended).reverse();
    remember(NAME, kept.length ? kept : null);
  };
  list.subscribe(() => (saving ??= Promise.resolve().then(save))); // once for all that happens now
  save();
  return jobs.map((job) => ({
    ...job,
    notBefore: date(job.notBefore),
    submittedAt: date(job.submittedAt),
    error: job.error && new Disconnected(job.reason),
  }));
};

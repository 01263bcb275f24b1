// What the server has not confirmed is kept over a reload: jobs, and the wish to cancel one.

import { Disconnected } from "./errors.js";
import { date } from "./times.js";

const NAME = "unconfirmed"; // in the memory
const TIME = /(At|Before)$/; // the names of times

/** Jobs that a page before this one has kept; what is in `list` is kept from then on. */
export const recallUnconfirmed = ({ recall, remember }, list, add) => {
  let saving;
  const save = () => {
    saving = null;
    const kept = [];
    for (const job of list) {
      if (!job.ended && (!job.id || job.cancelling)) {
        kept.unshift(job.snapshot()); // the list has the newest first
      }
    }
    remember(NAME, kept[0] ? kept : null);
  };
  for (const job of recall(NAME) ?? []) {
    for (const name in job) {
      if (TIME.test(name)) {
        job[name] = date(job[name]);
      }
    }
    job.error &&= new Disconnected(job.reason);
    add(job);
  }
  list.subscribe(() => (saving ??= Promise.resolve().then(save))); // once for all that happens now
  save();
};

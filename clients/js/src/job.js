// One job: what is told of it, what it gives, and what can be done with it.

import { hasEnded } from "./life.js";
import { createListeners } from "./observable.js";
import { callAt } from "./times.js";

const BLANK = {
  id: null,
  runs: null,
  state: "sending",
  ended: false,
  attempt: 0,
  progress: null,
  text: "",
  pieces: 0,
  reason: "",
  reasons: [],
  error: null,
  startedAt: null,
  endedAt: null,
  notBefore: null,
  delayed: false,
  nextAt: null,
  cancelling: false,
};

const STEP = /^(state|cancelling)$/; // of what `stepped` hears
const CHANGE = Symbol();

/** Set some properties of a job, and tell of those that are others now. */
export const change = (job, changes) => job[CHANGE](changes);

/** `submit(taskType, content, options)` and `cancel(job)` are the client's; `stepped(job)` hears of each new state, and of
 * the wish to cancel it. */
export const createJob = (data, submit, cancel, stepped) => {
  const [subscribe, tell] = createListeners();
  let told = { ...BLANK, ...data };
  let result; // once somebody has asked for it

  const set = (changes) => {
    const now = { ...told, ...changes };
    now.ended = hasEnded(now.state);
    const keys = Object.keys(now).filter((key) => now[key] !== told[key]);
    if (!keys.length) {
      return;
    }
    if (told.error && !now.error) {
      result = null; // it goes on: who asks from now on gets another promise
    }
    Object.assign(job, (told = now));
    tell(keys);
    if (keys.some((key) => STEP.test(key))) {
      stepped(job);
    }
    if (now.state === "scheduled") {
      callAt(now.notBefore, () => told.state === "scheduled" && set({ state: "queued" })); // which nobody tells
    }
  };

  const nextChange = () =>
    new Promise((resolve) => {
      const off = subscribe(() => resolve(off()));
    });

  const isDone = () => {
    if (told.error) {
      throw told.error;
    }
    return told.state === "done";
  };

  const outcome = async () => {
    while (!isDone()) {
      await nextChange();
    }
    return told.value;
  };

  // Pieces do not queue up for a slow reader: it gets what was added to the text since it looked last.
  async function* read() {
    let known = "";
    for (;;) {
      const { text, pieces, state, value, attempt } = told;
      const otherThanText = state === "done" && pieces && typeof value !== "string"; // then what was written is all of it
      if (text !== known && !otherThanText) {
        const reset = !text.startsWith(known); // a new attempt has begun
        yield { text: text.slice(reset ? 0 : known.length), attempt, reset };
        known = text;
      } else if (isDone()) {
        return;
      } else {
        await nextChange();
      }
    }
  }

  const anew = (options) => submit(told.taskType, told.content, options);

  const job = {
    ...told,
    [CHANGE]: set,
    subscribe,
    snapshot: () => told,
    get result() {
      result ??= outcome();
      result.catch(() => {}); // nobody has to await it
      return result;
    },
    output: { [Symbol.asyncIterator]: read },
    cancel() {
      if (!told.ended) {
        cancel(job);
      }
    },
    retry() {
      if (told.state === "unsent") {
        set({ state: "sending", reason: "", error: null, cancelling: false });
        return job;
      }
      if (!told.ended) {
        throw new Error(`A ${told.state} job cannot be done again.`);
      }
      return anew({ retryOf: told.id ?? told.retryOf });
    },
    again: () => anew(),
  };
  return job;
};

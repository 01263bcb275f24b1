// Which tab this is.
//
// A browser copies sessionStorage when a tab is duplicated, and for window.open(). Each tab holds a lock as long as its
// client is not closed: whoever remembers an id whose lock another tab holds is a copy, and begins as a tab of its own.

import { storageOfTab } from "./memory.js";
import { newKey } from "./keys.js";

const RELEASED_WITHIN = 2_000; // milliseconds; a page that is loaded again may ask before its former self is gone

// Hold a tab's lock until `end` has come, or this document is gone; false when another one does.
const hold = (id, end) =>
  new Promise((resolve) => {
    navigator.locks
      .request(`busctl.${id}`, { signal: AbortSignal.timeout(RELEASED_WITHIN) }, () => {
        resolve(true);
        return end;
      })
      .catch(({ name }) => resolve(name !== "TimeoutError")); // a browser that forbids locks is no other tab
  });

/** Resolves when what this tab remembers is its own, until the signal is aborted: a copy of another tab's is forgotten. */
export const beOneTab = async (storage, prefix, { recall, remember }, signal) => {
  if (!storage || storage !== storageOfTab() || !navigator.locks) {
    return; // what all tabs share is nobody's copy; in a page over plain HTTP a copy cannot be told from its original
  }
  const end = new Promise((resolve) => (signal.onabort = resolve));
  let id = recall("tab");
  while (!id || !(await hold(id, end))) {
    if (id) {
      Object.keys(storage).forEach((key) => key.startsWith(prefix) && storage.removeItem(key));
    }
    remember("tab", (id = newKey()));
  }
};

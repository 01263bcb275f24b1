// Which tab this is.
//
// A browser copies sessionStorage when a tab is duplicated, and for window.open(). Each tab holds a lock as long as it
// lives: whoever remembers an id whose lock another tab holds is a copy, and begins as a tab of its own.

import { storageOfTab } from "./memory.js";
import { newKey } from "./keys.js";

const RELEASED_WITHIN = 2_000; // milliseconds; a page that is loaded again may ask before its former self is gone

/** Resolves when what this tab remembers is its own: what is a copy of another tab's is forgotten. */
export async function beOneTab(memory) {
  if (!memory.storage || memory.storage !== storageOfTab() || !globalThis.navigator?.locks) {
    return; // what all tabs share is nobody's copy; in a page over plain HTTP a copy cannot be told from its original
  }
  const known = memory.recall("tab");
  if (known && !(await hold(known))) {
    memory.forgetAll();
  } else if (known) {
    return;
  }
  const id = newKey();
  memory.remember("tab", id);
  await hold(id);
}

// Hold a tab's lock until this document is gone; false when another one does.
function hold(id) {
  return new Promise((resolve) => {
    const granted = () => {
      resolve(true);
      return new Promise(() => {});
    };
    navigator.locks
      .request(`busctl.tab.${id}`, { signal: AbortSignal.timeout(RELEASED_WITHIN) }, granted)
      .catch(({ name }) => resolve(name !== "TimeoutError")); // a browser that forbids locks is no other tab
  });
}

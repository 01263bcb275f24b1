// What this tab remembers across a reload.
//
// sessionStorage, not localStorage: a tab is a client. Its jobs are there again after a reload, two tabs do not mix
// theirs up (see tab.js for a tab that is a copy), and who next sits at a shared computer opens a tab that knows nothing.

import { parse } from "./json.js";

const PREFIX = "busctl.";

/** The value remembered under `name`; null when there is none, or the browser forbids to look. */
export function recall(name) {
  try {
    return parse(sessionStorage.getItem(PREFIX + name));
  } catch {
    return null;
  }
}

/** Remember a value, or forget it with null. A browser that forbids or is full costs the reload, not the page. */
export function remember(name, value) {
  try {
    if (value === null) {
      sessionStorage.removeItem(PREFIX + name);
    } else {
      sessionStorage.setItem(PREFIX + name, JSON.stringify(value));
    }
  } catch (error) {
    console.warn(`cannot remember ${name} across a reload`, error);
  }
}

/** Forget everything. */
export function forgetAll() {
  for (const name of Object.keys(sessionStorage).filter((key) => key.startsWith(PREFIX))) {
    sessionStorage.removeItem(name);
  }
}

// What a client remembers across a reload.
//
// By default in sessionStorage, not localStorage: a tab is a client. Its jobs are there again after a reload, two tabs do
// not mix theirs up (see tab.js for a tab that is a copy), and who next sits at a shared computer opens a tab that knows
// nothing.

import { parse } from "./json.js";

/** The storage of a tab; null where there is none, or the browser forbids it. */
export function storageOfTab() {
  try {
    return globalThis.sessionStorage ?? null;
  } catch {
    return null;
  }
}

/** Values by name in a `Storage`, or nowhere with null. */
export class Memory {
  constructor(storage, prefix) {
    this.storage = storage;
    this.prefix = prefix;
  }

  /** The value remembered under `name`; null when there is none, or it may not be read. */
  recall(name) {
    try {
      return parse(this.storage?.getItem(this.prefix + name) ?? null);
    } catch {
      return null;
    }
  }

  /** Remember a value, or forget it with null. A storage that forbids it or is full costs the reload, not the page. */
  remember(name, value) {
    try {
      if (value === null) {
        this.storage?.removeItem(this.prefix + name);
      } else {
        this.storage?.setItem(this.prefix + name, JSON.stringify(value));
      }
    } catch (error) {
      console.warn(`cannot remember ${name} across a reload`, error);
    }
  }

  forgetAll() {
    for (const key of Object.keys(this.storage).filter((key) => key.startsWith(this.prefix))) {
      this.storage.removeItem(key);
    }
  }
}

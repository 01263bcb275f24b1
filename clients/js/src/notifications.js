// Announcements that still hold.

import { ObservableList } from "./observable.js";

const MOST = 100;
const MINUTE = 60_000; // milliseconds

export class Notifications extends ObservableList {
  #timers = new Map();

  constructor() {
    super("notification");
  }

  take(frame) {
    this._add(frame);
    if (frame.expires_at) {
      this.#expire(frame, until(frame));
    }
    if (this.size > MOST) {
      this.dismiss(this.snapshot().at(-1));
    }
  }

  /** It has been read. */
  dismiss(frame) {
    clearTimeout(this.#timers.get(frame));
    this.#timers.delete(frame);
    this._remove(frame);
  }

  release() {
    this.#timers.forEach(clearTimeout);
  }

  // In steps: a timer has a longest time, and stands still while the computer sleeps.
  #expire(frame, time) {
    const left = time - Date.now();
    if (left <= 0) {
      this.dismiss(frame);
    } else {
      this.#timers.set(frame, setTimeout(() => this.#expire(frame, time), Math.min(left, MINUTE)));
    }
  }
}

// The server shows what has not expired by its clock. A wrong one here takes nothing away at once, nor keeps it for long.
function until({ expires_at: expires, at }) {
  const now = Date.now();
  const left = Date.parse(expires) - now;
  return now + Math.min(left > 0 ? left : MINUTE, Date.parse(expires) - (Date.parse(at) || now));
}

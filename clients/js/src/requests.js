// Questions and their answers: a frame with a `ref`, and the frame that repeats it.

import { Disconnected, Refused } from "./errors.js";

const OFFLINE = "Not connected: nothing was sent. Try again when the connection is back.";
const LOST = "The connection was lost before the server answered. It may have been done.";

export class Requests {
  #waiting = new Map(); // ref -> {resolve, reject, timer}
  #number = 0;

  /** Resolves with the frame that answers; `send(frame)` returns false when nobody is connected. */
  ask(send, action, payload, within) {
    const ref = `request-${(this.#number += 1)}`;
    return new Promise((resolve, reject) => {
      if (!send({ action, payload, ref })) {
        reject(new Disconnected(OFFLINE));
        return;
      }
      const late = () => this.#give(ref).reject(new DOMException("The server did not answer. Try again.", "TimeoutError"));
      this.#waiting.set(ref, { resolve, reject, timer: setTimeout(late, within) });
    });
  }

  /** Whether this frame answers a question, or refuses it. */
  take(frame) {
    const asked = this.#give(frame.ref);
    if (asked && frame.action === "error") {
      asked.reject(new Refused(frame.payload));
    } else {
      asked?.resolve(frame);
    }
    return Boolean(asked);
  }

  /** The connection is gone, and with it what would have answered. */
  lost() {
    for (const ref of [...this.#waiting.keys()]) {
      this.#give(ref).reject(new Disconnected(LOST));
    }
  }

  #give(ref) {
    const asked = this.#waiting.get(ref);
    clearTimeout(asked?.timer);
    this.#waiting.delete(ref);
    return asked;
  }
}

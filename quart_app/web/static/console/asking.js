// Questions and their answers: a frame with a `ref`, and the frame that repeats it.

const WITHIN = 20_000; // milliseconds
export const OFFLINE = "Not connected: nothing was sent. Try again when the connection is back.";

/** The server does not do what it was asked; `items` say why, as an `error` frame has them. */
export class Refusal extends Error {
  constructor(items) {
    super(items.map(({ loc, msg }) => (loc?.length > 2 ? `${msg} (${loc.slice(2).join(" › ")})` : msg)).join("\n"));
    this.items = items;
  }

  is(type) {
    return this.items.some((item) => item.type === type);
  }
}

export class Asking {
  #send;
  #waiting = new Map(); // ref -> {resolve, reject, timer}
  #number = 0;

  /** `send(frame)` sends it, and returns false when nobody is connected. */
  constructor(send) {
    this.#send = send;
  }

  /** Resolves with the frame that answers; raises `Refusal`, or `Error` when no answer comes. */
  ask(action, payload = null) {
    const ref = `console-${(this.#number += 1)}`;
    return new Promise((resolve, reject) => {
      if (!this.#send({ action, payload, ref })) {
        reject(new Error(OFFLINE));
        return;
      }
      const timer = setTimeout(() => this.#give(ref)?.reject(new Error("The server did not answer. Try again.")), WITHIN);
      this.#waiting.set(ref, { resolve, reject, timer });
    });
  }

  /** Whether this frame answers a question, or refuses it. */
  take(frame) {
    const asked = this.#give(frame.ref);
    if (!asked) {
      return false;
    }
    if (frame.action === "error") {
      const items = Array.isArray(frame.payload) ? frame.payload : [];
      asked.reject(new Refusal(items.length ? items : [{ msg: "The server reported an error without saying which." }]));
    } else {
      asked.resolve(frame);
    }
    return true;
  }

  /** The connection is gone, and with it what would have answered. */
  lost() {
    for (const ref of [...this.#waiting.keys()]) {
      this.#give(ref).reject(new Error("The connection was lost before the server answered. It may have been done."));
    }
  }

  #give(ref) {
    const asked = this.#waiting.get(ref);
    if (asked) {
      clearTimeout(asked.timer);
      this.#waiting.delete(ref);
    }
    return asked;
  }
}

// Who the console was on its last connection of a subprotocol, and what it saw: so that it can come back.

export class LastClient {
  #session = {};

  /** The payload of a `connect` with which it comes back, or comes for the first time. */
  get payload() {
    return structuredClone(this.#session);
  }

  /** Learn from a frame that the server has sent. */
  take({ action, payload, seq, group = "client" }) {
    if (action === "welcome") {
      this.#session = { resume: payload.resume, cursors: payload.cursors };
    } else if (action === "resume_token") {
      this.#session.resume = payload.resume;
    }
    if (seq !== undefined && this.#session.cursors) {
      this.#session.cursors[group] = Math.max(seq, this.#session.cursors[group] ?? 0);
    }
  }
}

// Frames that may wait, at a rate that a server takes: past its limit it closes the connection.

const MOST = 50; // a second

export class Pace {
  #send;
  #waiting = new Map(); // key -> what makes the frame when it is its turn; null when it is not needed any more
  #room = MOST;
  #timer = 0;

  constructor(send) {
    this.#send = send;
  }

  /** Send what `frame()` gives, soon; in place of what waits under the same key. */
  put(key, frame) {
    this.#waiting.set(key, frame);
    this.#go();
  }

  /** There is nobody to send to any more. */
  clear() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#room = MOST;
    this.#waiting.clear();
  }

  #go() {
    for (const [key, make] of this.#waiting) {
      if (!this.#room) {
        break;
      }
      this.#waiting.delete(key);
      const frame = make();
      if (frame) {
        this.#send(frame);
        this.#room -= 1;
      }
    }
    if (this.#room < MOST) {
      this.#timer ||= setTimeout(() => {
        this.#timer = 0;
        this.#room = MOST;
        this.#go();
      }, 1000);
    }
  }
}

// How the whole system stands, asked again and again while somebody looks.

const OFTEN = 2_000; // milliseconds, while it is what is looked at
const SELDOM = 10_000; // else, for faults are told on every view

export class SystemWatch {
  state = null; // the last `system_state`
  #ask;
  #changed;
  #timer = 0;
  #closely = false;

  /** `ask` as `Asking` has it; `changed(state)` hears of each answer. */
  constructor({ ask, changed }) {
    this.#ask = ask;
    this.#changed = changed;
    document.addEventListener("visibilitychange", () => document.hidden || this.look());
  }

  /** Whether this is what somebody looks at. */
  set closely(wanted) {
    this.#closely = wanted;
    if (wanted) {
      this.look();
    }
  }

  /** Ask now, and from now on. */
  async look() {
    clearTimeout(this.#timer);
    try {
      const { payload } = await this.#ask("get_system");
      this.state = payload;
      this.#changed(payload);
    } catch {
      // Offline, which is told, or too busy to answer: the next one is soon.
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => document.hidden || this.look(), this.#closely ? OFTEN : SELDOM);
  }
}

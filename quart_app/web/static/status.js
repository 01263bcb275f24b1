// How the connection stands, in words, with a button that does not wait.

import { element } from "./elements.js";

const NOT_SIGNED_IN = 4401;

export class Status {
  #countdown = 0;
  #say;
  #focus;
  #explain;

  /**
   * `onReconnect`: somebody does not want to wait; `say(text)` tells a screen reader; `focus` when the button is gone.
   * `explain(text)`, where it is given, shows why it is closed, in more words than there is room for here; "" for nothing.
   */
  constructor({ onReconnect, say, focus, explain }) {
    this.#say = say;
    this.#focus = focus;
    this.#explain = explain;
    element("reconnect").addEventListener("click", onReconnect);
  }

  /** Show a phase as `Connection` tells it. */
  show(phase) {
    clearInterval(this.#countdown);
    const box = element("connection");
    const changed = box.dataset.phase !== phase.name;
    box.dataset.phase = phase.name;
    this.#offer(phase.name === "waiting" || (phase.name === "closed" && !this.#explain));
    if (phase.name === "waiting") {
      const tick = () => {
        const seconds = Math.max(1, Math.ceil((phase.until - Date.now()) / 1000));
        element("connection-text").textContent = `${phase.offline ? "Offline, next try" : "Reconnecting"} in ${seconds} s…`;
      };
      tick();
      this.#countdown = setInterval(tick, 250);
      if (changed) {
        this.#say(phase.offline ? "Connection lost: this device is offline." : "Connection lost. Reconnecting.");
      }
      return;
    }
    const signIn = phase.code === NOT_SIGNED_IN;
    const why = signIn
      ? `You are not signed in: ${phase.reason}`
      : `Closed by the server: ${phase.reason} (code ${phase.code})`;
    const closed = this.#explain ? (signIn ? "Not signed in" : "Closed") : why;
    const words = { connecting: "Connecting…", connected: "Connected", closed }[phase.name];
    element("connection-text").textContent = words;
    this.#explain?.(phase.name === "closed" ? why : "");
    if (phase.name === "connected" || (phase.name === "closed" && !this.#explain)) {
      this.#say(words);
    }
  }

  #offer(wanted) {
    const button = element("reconnect");
    const focused = document.activeElement === button;
    button.hidden = !wanted;
    if (focused && button.hidden) {
      this.#focus();
    }
  }
}

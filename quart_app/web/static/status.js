// How the connection stands, in words, with a button that does not wait.

import { NOT_SIGNED_IN } from "./client/connection.js";
import { element } from "./elements.js";

export class Status {
  #countdown = 0;
  #say;
  #focus;

  /** `onReconnect`: somebody does not want to wait; `say(text)` tells a screen reader; `focus` when the button is gone. */
  constructor({ onReconnect, say, focus }) {
    this.#say = say;
    this.#focus = focus;
    element("reconnect").addEventListener("click", onReconnect);
  }

  /** Show the state of a client. */
  show(phase) {
    clearInterval(this.#countdown);
    const box = element("connection");
    const changed = box.dataset.phase !== phase.name;
    box.dataset.phase = phase.name;
    this.#offer(phase.name === "waiting" || phase.name === "closed");
    if (phase.name === "waiting") {
      const tick = () => {
        const seconds = Math.max(1, Math.ceil((phase.until - Date.now()) / 1000));
        element("connection-text").textContent = `Reconnecting in ${seconds} s…`;
      };
      tick();
      this.#countdown = setInterval(tick, 250);
      if (changed) {
        this.#say("Connection lost. Reconnecting.");
      }
      return;
    }
    const words = {
      connecting: () => "Connecting…",
      connected: () => "Connected",
      closed: () =>
        phase.code === NOT_SIGNED_IN
          ? `You are not signed in: ${phase.reason}`
          : `Closed by the server: ${phase.reason} (code ${phase.code})`,
    }[phase.name]();
    element("connection-text").textContent = words;
    if (phase.name !== "connecting") {
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

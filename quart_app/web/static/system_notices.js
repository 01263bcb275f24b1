// Announcements as notifications of the person's system, while the tab is in the background; if the person wants that.

import { element } from "./elements.js";
import { recall, remember } from "./storage.js";

const DENIED = "Your browser does not allow it for this site. Its settings can.";
const TITLES = { warning: "Warning", critical: "Critical" };

export class SystemNotices {
  #button = element("notify");
  #wanted = recall("notify") ?? false;

  constructor() {
    this.#button.hidden = !("Notification" in window && isSecureContext);
    this.#button.addEventListener("click", () => this.#toggle());
    this.#draw();
  }

  /** Show an announcement, unless it can be seen in the page. */
  show({ payload, level, seq }) {
    if (this.#on && document.hidden) {
      try {
        const shown = new Notification(TITLES[level] ?? "Announcement", { body: String(payload), tag: `busctl.${seq}` });
        shown.addEventListener("click", () => window.focus());
      } catch (error) {
        console.info("this browser shows notifications of service workers only", error);
      }
    }
  }

  get #on() {
    return this.#wanted && Notification.permission === "granted";
  }

  async #toggle() {
    this.#wanted = !this.#on;
    if (this.#wanted && (await Notification.requestPermission()) !== "granted") {
      this.#wanted = false;
      element("notify-told").textContent = DENIED;
    }
    remember("notify", this.#wanted || null);
    this.#draw();
  }

  #draw() {
    this.#button.ariaPressed = String(!this.#button.hidden && this.#on);
  }
}

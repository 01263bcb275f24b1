// Announcements in the document: all in a list, and what is critical above everything else until it is dismissed.

import { recall, remember } from "./storage.js";
import { past, show } from "./times.js";
import { element, fill, made, trim } from "./view.js";

const MOST_NOTICES = 100;
const MOST_BANNERS = 5; // the list has all of them
const MOST_DISMISSED = 100;
const LONGEST_NAME = 60; // characters of an announcement in the name of its button
const MINUTE = 60_000;

const LEVELS = { warning: "Warning", critical: "Critical" };

/** Text from outside goes through `textContent` only. */
export class Notices {
  #dismissed = recall("dismissed") ?? []; // as `keyOf` has them: a reload must not bring them back
  #keys = new WeakMap(); // banner -> of the announcements that it stands for: a repeated text has one banner
  #onFocusLost;

  /** `onFocusLost` is called when what had the focus is gone. */
  constructor({ onFocusLost }) {
    this.#onFocusLost = onFocusLost;
  }

  /** Show an announcement that was stored at this time, until it expires. */
  show(frame, at) {
    const shown = [this.#list(frame, at)];
    if (frame.level === "critical" && !this.#dismissed.includes(keyOf(frame))) {
      shown.push(this.#raise(frame, at));
    }
    if (frame.expires_at) {
      this.#removeAt(until(new Date(frame.expires_at), at), shown);
    }
  }

  #list({ payload, level }, at) {
    const item = filled("notice-template", { payload, level }, at);
    item.dataset.level = level ?? "info";
    if (level === "critical") {
      item.ariaLive = "off"; // its banner has said it
    }
    element("notices").prepend(item);
    trim(element("notices"), MOST_NOTICES, "lastElementChild");
    element("notices-log").hidden = false;
    element("notices-empty").hidden = true;
    return item;
  }

  #raise(frame, at) {
    const banner = filled("banner-template", frame, at);
    const text = String(frame.payload);
    const others = [...element("banners").children];
    const repeated = others.filter((other) => other.querySelector("[data-field=text]").textContent === text);
    const keys = [...repeated.flatMap((other) => this.#keys.get(other)), keyOf(frame)];
    this.#keys.set(banner, keys.slice(-MOST_DISMISSED));
    const button = banner.querySelector("button");
    button.ariaLabel = `Dismiss: ${text.slice(0, LONGEST_NAME)}`;
    button.addEventListener("click", () => this.#dismiss(banner));
    element("banners").prepend(banner);
    [...repeated, ...others.slice(MOST_BANNERS - 1)].forEach((other) => this.#remove(other));
    return banner;
  }

  #dismiss(banner) {
    this.#dismissed = [...this.#dismissed, ...this.#keys.get(banner)].slice(-MOST_DISMISSED);
    remember("dismissed", this.#dismissed);
    this.#remove(banner);
  }

  // In steps: a timer has a longest time, and stands still while the computer sleeps.
  #removeAt(time, items) {
    const left = time - Date.now();
    if (left <= 0) {
      items.forEach((item) => this.#remove(item));
    } else if (items.some((item) => item.isConnected)) {
      setTimeout(() => this.#removeAt(time, items), Math.min(left, MINUTE));
    }
  }

  #remove(item) {
    const focused = item.contains(document.activeElement);
    item.remove();
    if (!element("notices").childElementCount) {
      element("notices-empty").textContent = "Nothing that was announced still holds.";
      element("notices-empty").hidden = false;
      element("notices-log").hidden = true;
    }
    if (focused) {
      const next = element("banners").querySelector("button");
      next ? next.focus() : this.#onFocusLost();
    }
  }
}

function filled(template, { payload, level }, at) {
  const item = made(template);
  fill(item, { text: String(payload), level: LEVELS[level] ?? "" });
  show(item.querySelector("time"), at, past);
  return item;
}

// The server shows what has not expired by its clock. A wrong one here takes nothing away at once, nor keeps it for long.
function until(expires, at) {
  const now = Date.now();
  const left = expires > now ? expires - now : MINUTE;
  return now + Math.min(left, expires - at);
}

function keyOf({ seq, at }) {
  return `${seq} ${at}`; // sequences begin again in a stream that was made anew
}

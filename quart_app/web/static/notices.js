// Announcements in the document: all in a list, and what is critical above everything else until it is dismissed.

import { element, fill, made, trim } from "./elements.js";
import { linked } from "./links.js";
import { recall, remember } from "./storage.js";
import { past, show } from "./times.js";

const MOST_NOTICES = 100;
const MOST_BANNERS = 5; // the list has all of them
const MOST_DISMISSED = 100;
const LONGEST_NAME = 60; // characters of an announcement in the name of its button
const LONG = { characters: 240, lines: 5 }; // what is longer is folded
const MINUTE = 60_000;

const LEVELS = { warning: "Warning", critical: "Critical" };

/** Text from outside goes through `textContent` only. */
export class Notices {
  #dismissed = recall("dismissed") ?? []; // as `keyOf` has them: a reload must not bring them back
  #keys = new WeakMap(); // banner -> of the announcements that it stands for: a repeated text has one banner
  #onFocusLost;
  #place;

  /**
   * `onFocusLost` is called when what had the focus is gone. `place` says where else they are than at the elements of
   * these ids: `list` in `log`, `empty` in place of that, `banners`; a `link` that leads there, while that is out of sight, says
   * how many there are.
   */
  constructor({ onFocusLost = () => {}, place = {} }) {
    this.#onFocusLost = onFocusLost;
    this.#place = {
      list: element("notices"),
      log: element("notices-log"),
      empty: element("notices-empty"),
      banners: element("banners"),
      ...place,
    };
    if (place.link) {
      const seen = ([{ isIntersecting }]) => place.link.classList.toggle("in-view", isIntersecting);
      new IntersectionObserver(seen).observe(element(place.link.hash.slice(1)));
    }
  }

  /** Take all of them away again. */
  clear() {
    [...this.#place.banners.children, ...this.#place.list.children].forEach((item) => item.remove());
    this.#fit("");
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
    this.#place.list.prepend(item);
    trim(this.#place.list, MOST_NOTICES, "lastElementChild");
    this.#fit("");
    return item;
  }

  #raise(frame, at) {
    const banner = filled("banner-template", frame, at);
    const text = String(frame.payload);
    const others = [...this.#place.banners.children];
    const repeated = others.filter((other) => other.querySelector("[data-field=text]").textContent === text);
    const keys = [...repeated.flatMap((other) => this.#keys.get(other)), keyOf(frame)];
    this.#keys.set(banner, keys.slice(-MOST_DISMISSED));
    const button = banner.querySelector("[data-action=dismiss]");
    button.ariaLabel = `Dismiss: ${text.slice(0, LONGEST_NAME)}`;
    button.addEventListener("click", () => this.#dismiss(banner));
    this.#place.banners.prepend(banner);
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
    this.#fit("Nothing that was announced still holds.");
    if (focused) {
      const next = this.#place.banners.querySelector("[data-action=dismiss]");
      next ? next.focus() : this.#onFocusLost();
    }
  }

  #fit(words) {
    const { list, log, empty } = this.#place;
    const none = !list.childElementCount;
    log.hidden = none;
    if (this.#place.link) {
      this.#place.link.hidden = none;
      this.#place.link.textContent = `${list.childElementCount} announced`;
    }
    empty.hidden = !none;
    if (none && words) {
      empty.textContent = words;
    }
  }
}

function filled(template, { payload, level }, at) {
  const item = made(template);
  const text = String(payload);
  fill(item, { level: LEVELS[level] ?? "" });
  item.querySelector("[data-field=text]").append(...linked(text));
  const unfold = item.querySelector("[data-action=unfold]");
  unfold.hidden = text.length <= LONG.characters && text.split("\n").length <= LONG.lines;
  item.classList.toggle("folded", !unfold.hidden);
  requestAnimationFrame(() => {
    const { clientHeight, scrollHeight } = unfold.parentElement.querySelector("p");
    if (clientHeight && scrollHeight <= clientHeight) {
      item.classList.remove("folded"); // there is room for all of it
      unfold.hidden = true;
    }
  });
  unfold.addEventListener("click", () => {
    const folded = item.classList.toggle("folded");
    unfold.ariaExpanded = String(!folded);
    unfold.textContent = folded ? "Show all" : "Show less";
  });
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

// "Under the hood": every frame as it goes and comes, and ways to try what the system promises.

import { bytes } from "./amounts.js";
import { copyButton } from "./copying.js";
import { element, make, trim } from "./elements.js";
import { recall, remember } from "./storage.js";

const MOST_FRAMES = 200;
const NEARLY = 8; // pixels from the end of the frames within which a reader is at their end
const LONGEST = 20_000; // characters of a frame that are shown
const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });

export class Drawer {
  #frames = []; // as they are shown: {sent, text, at}
  #waiting = []; // those that are not in the document yet
  #paused = false;
  #frame = 0;
  #list = element("frames");

  /** `drop()` loses the connection. */
  constructor({ drop }) {
    const act = (id, action) => element(id).addEventListener("click", action);
    act("drawer-open", () => this.#show(element("drawer").hidden));
    act("drawer-close", () => this.#show(false));
    element("drawer").addEventListener("keydown", ({ key }) => key === "Escape" && this.#show(false));
    act("frames-pause", () => this.#pause());
    act("frames-clear", () => this.#clear());
    element("frames-clear").before(copyButton(() => this.#frames.map(line).join("\n"), "Copy all"));
    act("try-drop", () => {
      drop();
      this.#tell("The connection was dropped: the page comes back by itself, and misses nothing.");
    });
    act("try-reload", () => location.reload());
    if (recall("drawer")) {
      this.#show(true); // it was there before the reload
    }
    document.querySelectorAll("[data-fault]").forEach((button) => button.addEventListener("click", () => this.#try(button)));
  }

  /** Show a frame as the client tells it. */
  take({ sent, frame, at }) {
    if (this.#paused) {
      return;
    }
    this.#waiting = [...this.#waiting, { sent, text: JSON.stringify(frame), action: frame.action, at }].slice(-MOST_FRAMES);
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  #show(wanted) {
    element("drawer").hidden = !wanted;
    element("drawer-open").ariaExpanded = String(wanted);
    document.body.classList.toggle("with-drawer", wanted);
    element(wanted ? "drawer-close" : "drawer-open").focus();
    remember("drawer", wanted || null);
    this.#list.scrollTop = this.#list.scrollHeight;
  }

  #draw() {
    this.#frame = 0;
    this.#frames = [...this.#frames, ...this.#waiting].slice(-MOST_FRAMES);
    this.#following(() => {
      this.#list.append(...this.#waiting.map(item));
      trim(this.#list, MOST_FRAMES, "firstElementChild");
    });
    this.#waiting = [];
  }

  // Who is at the end of the frames stays there, whether there are more of them or less room.
  #following(change) {
    const { scrollHeight, scrollTop, clientHeight } = this.#list;
    change();
    if (scrollHeight - scrollTop - clientHeight < NEARLY) {
      this.#list.scrollTop = this.#list.scrollHeight;
    }
  }

  #pause() {
    this.#paused = !this.#paused;
    element("frames-pause").textContent = this.#paused ? "Go on" : "Pause";
  }

  #clear() {
    this.#frames = this.#waiting = [];
    this.#list.replaceChildren();
  }

  async #try(button) {
    button.disabled = true;
    try {
      const answer = await fetch(button.dataset.fault, { method: "POST", signal: AbortSignal.timeout(10_000) });
      this.#tell(`${answer.ok ? "busctl dev " : "Not done: "}${await answer.text()}`);
    } catch ({ message }) {
      this.#tell(`Not done: ${message}`);
    }
    button.disabled = false;
  }

  #tell(text) {
    this.#following(() => (element("try-told").textContent = text));
  }
}

function line({ sent, text, at }) {
  return `${at.toISOString()} ${sent ? "sent" : "received"} ${text}`;
}

function item({ sent, text, action, at }) {
  const way = make("span", { className: "frame-way", ariaHidden: "true" }, sent ? "↑" : "↓");
  const said = make("span", { className: "unseen" }, sent ? "sent" : "received");
  const head = make("summary", {}, way, said, make("time", {}, time.format(at)), make("strong", {}, action), make("span", {}, text), bytes(text.length));
  const whole = make("pre");
  const frame = make("details", { className: "frame" }, head, whole);
  frame.addEventListener("toggle", () => {
    whole.textContent = frame.open ? JSON.stringify(JSON.parse(text), null, 2).slice(0, LONGEST) : "";
  });
  return make("li", {}, frame);
}

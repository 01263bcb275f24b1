// What goes over the socket, as a list in which each frame unfolds.

import { copyButton } from "../copying.js";
import { make, trim } from "../elements.js";

const MOST_SHOWN = 200; // frames
const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const WAYS = { client: ["↑", "sent"], server: ["↓", "received"] };

export class FrameLog {
  #list;
  #empty;

  constructor(list, empty) {
    this.#list = list;
    this.#empty = empty;
  }

  clear() {
    this.#list.replaceChildren();
    this.#empty.hidden = false;
  }

  /** Show a frame that "client" or "server" has sent. */
  frame(by, text) {
    const [arrow, told] = WAYS[by];
    const { frame, whole } = parsed(text);
    const way = make("span", { className: "frame-way", ariaHidden: "true" }, arrow);
    const head = make("summary", {}, way, make("span", { className: "unseen" }, told), clock(), make("strong", {}, String(frame?.action ?? "")), make("span", {}, text));
    const copy = copyButton(() => whole);
    copy.classList.add("api-copy");
    const pre = make("pre", {}, copy, make("code", {}, whole));
    this.#add(make("li", { className: `api-${by}` }, make("details", { className: "frame" }, head, pre)));
  }

  /** Say what has happened to the connection. */
  note(text) {
    this.#add(make("li", { className: "api-note" }, clock(), " ", text));
  }

  #add(item) {
    const atEnd = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 8;
    this.#empty.hidden = true;
    this.#list.append(item);
    trim(this.#list, MOST_SHOWN, "firstElementChild");
    if (atEnd) {
      this.#list.scrollTop = this.#list.scrollHeight; // whoever reads further up stays there
    }
  }
}

function clock() {
  return make("time", {}, time.format(new Date()));
}

function parsed(text) {
  try {
    const frame = JSON.parse(text);
    return { frame, whole: JSON.stringify(frame, null, 2) };
  } catch {
    return { frame: null, whole: text };
  }
}

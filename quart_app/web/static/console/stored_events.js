// The events of a job as they are stored: each opens to its JSON, and what clients are not shown is marked.

import { copyButton } from "../copying.js";
import { make } from "../elements.js";
import { past } from "../times.js";
import { bytes, count, many, span } from "../amounts.js";
import { marked } from "./json_pane.js";

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

export class StoredEvents {
  #list;
  #last = null; // when the event before was stored
  #pieces = null; // of output, which are one entry while nothing else comes between: {entry, events}

  constructor(list) {
    this.#list = list;
  }

  clear() {
    this.#list.replaceChildren();
    this.#last = this.#pieces = null;
  }

  add(event) {
    const { seq, at, stored, shown, size } = event;
    if (seq === null) {
      return; // progress is not stored
    }
    const time = new Date(at);
    const since = this.#last === null ? "" : `+${span(time - this.#last)}`;
    this.#last = time;
    const action = stored?.action ?? shown?.action ?? "event";
    if (action === "job_output") {
      this.#addPiece(event, since);
      return;
    }
    this.#pieces = null;
    const entry = this.#entry({ seq, time, since, action, size, hidden: shown === null });
    this.#list.append(entry);
    entry.addEventListener("toggle", () => entry.open && entry.childElementCount < 2 && entry.append(body(event)));
  }

  #addPiece(event, since) {
    if (this.#pieces === null) {
      const { seq, at, size } = event;
      const entry = this.#entry({ seq, time: new Date(at), since, action: "job_output", size, hidden: false });
      const pieces = { entry, events: [], size: 0 };
      entry.addEventListener("toggle", () => this.#showPieces(pieces));
      this.#list.append(entry);
      this.#pieces = pieces;
    }
    const pieces = this.#pieces;
    pieces.events.push(event);
    pieces.size += event.size;
    pieces.entry.querySelector(".event-action").textContent = `job_output × ${count.format(pieces.events.length)}`;
    pieces.entry.querySelector(".event-size").textContent = bytes(pieces.size);
    this.#showPieces(pieces);
  }

  #showPieces({ entry, events }) {
    if (entry.open) {
      const list = entry.querySelector("ol") ?? entry.appendChild(make("ol", { className: "event-pieces" }));
      for (const { seq, shown, stored } of events.slice(list.childElementCount)) {
        const { attempt, index, payload } = shown ?? stored ?? {};
        list.append(make("li", { title: `Sequence ${seq}, attempt ${attempt}` }, `${index}: ${JSON.stringify(payload)}`));
      }
    }
  }

  #entry({ seq, time, since, action, size, hidden }) {
    return make(
      "details",
      { className: "event", dataset: { action } },
      make(
        "summary",
        {},
        make("span", { className: "event-seq", title: "Sequence in the stream" }, String(seq)),
        make("time", { dateTime: time.toISOString(), title: past(time) }, clock.format(time)),
        make("span", { className: "event-since" }, since),
        make("span", { className: "event-action" }, action),
        hidden ? make("span", { className: "event-hidden" }, "not shown to the client") : "",
        make("span", { className: "event-size" }, bytes(size)),
      ),
    );
  }
}

function body({ stored, shown, size }) {
  if (stored === null) {
    return make("p", { className: "hint event-body" }, `Too large to show here: ${many(size, "byte")}.`);
  }
  const copy = copyButton(() => JSON.stringify(stored, null, 2));
  return make("div", { className: "event-body" }, marked(stored, shown), copy);
}

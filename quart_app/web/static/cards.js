// Jobs in the document, a card for each.

import { readable } from "./client/json.js";
import { fill, made } from "./elements.js";
import { coming, past, show } from "./times.js";
import { LABELS, name, reasons, why } from "./words.js";

const NEARLY = 8; // pixels from the end of a text within which a reader is at its end

/** Shows jobs as a client has them. Text from outside goes through `textContent` only. */
export class Cards {
  #list;
  #items = new Map();
  #writing = new Set(); // jobs whose output has grown since the last frame

  /** In this list; without `onCancel` and `onRetry` a card has no buttons. */
  constructor(list, { onCancel, onRetry } = {}) {
    this.#list = list;
    this.onCancel = onCancel;
    this.onRetry = onRetry;
  }

  added(job) {
    const item = made("job-template");
    this.#items.set(job, item);
    this.#list.prepend(item);
    fill(item, { type: job.taskType, content: readable(job.content) });
    item.querySelector("progress").ariaLabel = `Progress: ${name(job)}`;
    item.querySelector("[data-action=cancel]").addEventListener("click", () => job.cancelling || this.onCancel(job));
    item.querySelector("[data-action=retry]").addEventListener("click", () => this.onRetry(job));
    this.changed(job, ["state"]);
  }

  /** Show a job again of which these `keys` have changed. */
  changed(job, keys) {
    if (keys.every((key) => key === "text")) {
      this.#writeSoon(job);
      return;
    }
    const item = this.#items.get(job);
    item.dataset.phase = job.state;
    fill(item, {
      phase: LABELS[job.state],
      attempt: [job.retryOf && "retry", job.attempt > 1 && `attempt ${job.attempt}`].filter(Boolean).join(", "),
      reasons: reasons(job),
      id: job.id ?? "",
      reason: job.text ? why(job) : "",
      message: job.progress?.message ?? "",
    });
    this.#write(job);
    this.#scheduled(item, job);
    show(item.querySelector("[data-field=time]"), job.endedAt ?? job.startedAt ?? job.submittedAt, past);
    this.#buttons(item, job);
  }

  removed(job) {
    this.#writing.delete(job);
    this.#items.get(job).remove();
    this.#items.delete(job);
  }

  // Once a frame, however many pieces have come: no reader sees more, and each needs a layout.
  #writeSoon(job) {
    if (!this.#writing.size) {
      requestAnimationFrame(() => this.#writing.forEach((grown) => this.#write(grown)));
    }
    this.#writing.add(job);
  }

  // A result that is what was written changes nothing: neither the place of a reader in it, nor what is marked.
  #write(job) {
    this.#writing.delete(job);
    const item = this.#items.get(job);
    const box = item.querySelector("[data-field=text]");
    const text = job.text || why(job);
    const shown = box.textContent;
    if (text !== shown) {
      const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < NEARLY;
      const grown = shown && text.startsWith(shown);
      if (grown) {
        box.firstChild.appendData(text.slice(shown.length));
      } else {
        box.textContent = text;
      }
      if (atEnd && (grown || job.state === "started")) {
        box.scrollTop = box.scrollHeight;
      }
    }
    this.#progress(item, job);
  }

  #scheduled(item, job) {
    const line = item.querySelector("[data-field=scheduled]");
    line.hidden = job.state !== "scheduled";
    if (!line.hidden) {
      show(line.querySelector("time"), job.notBefore, coming);
    }
  }

  #progress(item, job) {
    const bar = item.querySelector("progress");
    const told = job.progress || !job.text; // else the text shows that it goes on
    item.querySelector("[data-field=progress]").hidden = job.state !== "started" || !told;
    const value = job.progress?.value ?? null;
    if (value === null) {
      bar.removeAttribute("value"); // moves without saying how far
    } else {
      bar.value = value;
    }
  }

  #buttons(item, job) {
    const cancel = item.querySelector("[data-action=cancel]");
    cancel.textContent = job.cancelling ? "Cancelling…" : "Cancel";
    cancel.ariaDisabled = String(Boolean(job.cancelling)); // not disabled: that would take the focus away
    const open = ["scheduled", "queued", "started", "retrying"].includes(job.state);
    this.#offer(item, job, cancel, this.onCancel && open);
    const retry = item.querySelector("[data-action=retry]");
    retry.textContent = job.state === "unsent" ? "Try again" : "Retry";
    this.#offer(item, job, retry, this.onRetry && ["unsent", "failed", "cancelled"].includes(job.state));
  }

  #offer(item, job, button, wanted) {
    button.ariaLabel = `${button.textContent}: ${name(job)}`;
    if (!wanted && document.activeElement === button) {
      item.focus(); // a hidden button would take the focus with it
    }
    button.hidden = !wanted;
  }
}

// The document: shows jobs and the connection, and says in words what it shows. `notices.js` shows announcements.

import { NOT_SIGNED_IN } from "./connection.js";
import { ContentForm } from "./form.js";
import { readable } from "./json.js";
import { LaterField } from "./later.js";
import { coming, past, show } from "./times.js";
import { LABELS, name, reasons } from "./words.js";

const MOST_SPOKEN = 20;
const NEARLY = 8; // pixels from the end of a text within which a reader is at its end
const LONGEST_SPOKEN = 200; // characters; a screen reader's user reads the rest in the list

export const element = (id) => document.getElementById(id);

/** Text from outside goes through `textContent` only. */
export class View {
  #items = new Map();
  #writing = new Set(); // jobs whose output has grown since the last frame
  #countdown = 0;
  #opened = false; // whether it was connected once: what is there from before the page was opened is no news

  constructor({ onSubmit, onCancel, onRetry, onReconnect }) {
    this.onCancel = onCancel;
    this.onRetry = onRetry;
    this.form = element("submit");
    this.content = element("content");
    this.fields = new ContentForm(this.form, this.content);
    this.later = new LaterField(element("later"));
    this.button = element("submit-button");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      const notBefore = this.later.read();
      const content = this.fields.read(); // last, for it takes the focus if both are wrong
      if (content !== undefined && notBefore !== undefined) {
        onSubmit(this.fields.type, content, notBefore);
      }
    });
    this.content.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        if (!this.button.disabled) {
          this.form.requestSubmit();
        }
      }
    });
    this.content.addEventListener("input", () => this.refuse(""));
    element("reconnect").addEventListener("click", onReconnect);
    element("alert-dismiss").addEventListener("click", () => this.alert(""));
    element("history-dismiss").addEventListener("click", () => this.history(""));
  }

  connection(phase) {
    clearInterval(this.#countdown);
    const box = element("connection");
    const changed = box.dataset.phase !== phase.name;
    box.dataset.phase = phase.name;
    const connected = phase.name === "connected";
    this.#hold(connected ? "" : "Not connected: what you type is kept, to be submitted when the connection is back.");
    const button = element("reconnect");
    const focused = document.activeElement === button;
    button.hidden = connected || phase.name === "connecting";
    if (focused && button.hidden) {
      this.fields.focus();
    }
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
    this.#opened ||= connected;
    if (phase.name !== "connecting") {
      this.#say(words);
    }
  }

  /** Say why the form was not sent; nothing with "". */
  refuse(text) {
    const error = element("content-error");
    error.textContent = text;
    error.hidden = !text;
    if (text) {
      this.content.setAttribute("aria-invalid", "true");
      this.fields.focus();
    } else {
      this.content.removeAttribute("aria-invalid");
    }
  }

  submitted({ ref }) {
    this.later.submitted(ref);
    this.fields.submitted(ref);
    this.refuse("");
  }

  /** Show at the fields of a job what is wrong with its content, or with its time. */
  misfit({ ref, payload }) {
    this.later.refused(ref, payload);
    this.fields.refused(ref, payload);
  }

  added(job) {
    const item = made("job-template");
    this.#items.set(job, item);
    element("jobs").prepend(item);
    element("jobs-empty").hidden = true;
    fill(item, { type: job.type, content: readable(job.content) });
    item.querySelector("progress").ariaLabel = `Progress: ${name(job)}`;
    item.querySelector("[data-action=cancel]").addEventListener("click", () => job.cancelling || this.onCancel(job));
    item.querySelector("[data-action=retry]").addEventListener("click", () => this.onRetry(job));
    this.changed(job, ["text"]);
  }

  /** Show a job again of which these `keys` have changed. */
  changed(job, keys) {
    if (keys.every((key) => key === "output")) {
      this.#writeSoon(job);
      return;
    }
    const item = this.#items.get(job);
    item.dataset.phase = job.phase;
    fill(item, {
      phase: LABELS[job.phase],
      attempt: [job.retryOf && "retry", job.attempt > 1 && `attempt ${job.attempt}`].filter(Boolean).join(", "),
      reasons: reasons(job),
      id: job.id ?? "",
      reason: job.phase !== "done" && job.output?.text ? job.text : "",
      message: job.message ?? "",
    });
    this.#write(job);
    this.#scheduled(item, job);
    show(item.querySelector("[data-field=time]"), job.at, past);
    this.#buttons(item, job);
    if (job.text && keys.includes("text") && this.#opened) {
      this.#say(`${LABELS[job.phase]}: ${job.text}`);
    } else if (job.phase === "scheduled" && keys.includes("phase") && this.#opened) {
      this.#say(`Scheduled for ${coming(new Date(job.notBefore))}: ${name(job)}`);
    }
  }

  removed(job) {
    this.#writing.delete(job);
    this.#items.get(job).remove();
    this.#items.delete(job);
  }

  counted({ open, ended }) {
    element("jobs-count").textContent = open + ended ? `${open} open, ${ended} ended` : "";
  }

  alert(text) {
    element("alert-text").textContent = text;
    element("alert").hidden = !text;
  }

  /** Say that some of the past is out of reach; nothing with "". */
  history(text) {
    element("history-text").textContent = text;
    element("history").hidden = !text;
    if (text) {
      this.#say(text);
    }
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
    const text = (job.phase !== "done" && job.output?.text) || job.text;
    const shown = box.textContent;
    if (text !== shown) {
      const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < NEARLY;
      const grown = shown && text.startsWith(shown);
      if (grown) {
        box.firstChild.appendData(text.slice(shown.length));
      } else {
        box.textContent = text;
      }
      if (atEnd && (grown || job.phase === "started")) {
        box.scrollTop = box.scrollHeight;
      }
    }
    this.#progress(item, job);
  }

  #scheduled(item, job) {
    const line = item.querySelector("[data-field=scheduled]");
    line.hidden = job.phase !== "scheduled";
    if (!line.hidden) {
      show(line.querySelector("time"), new Date(job.notBefore), coming);
    }
  }

  #progress(item, job) {
    const bar = item.querySelector("progress");
    const told = job.progress != null || job.message || !job.output?.text; // else the text shows that it goes on
    item.querySelector("[data-field=progress]").hidden = job.phase !== "started" || !told;
    if (job.progress == null) {
      bar.removeAttribute("value"); // moves without saying how far
    } else {
      bar.value = job.progress;
    }
  }

  #buttons(item, job) {
    const cancel = item.querySelector("[data-action=cancel]");
    cancel.textContent = job.cancelling ? "Cancelling…" : "Cancel";
    cancel.ariaDisabled = String(Boolean(job.cancelling)); // not disabled: that would take the focus away
    this.#offer(item, job, cancel, ["scheduled", "queued", "started", "retrying"].includes(job.phase));
    const retry = item.querySelector("[data-action=retry]");
    retry.textContent = job.phase === "unsent" ? "Try again" : "Retry";
    this.#offer(item, job, retry, ["unsent", "failed", "cancelled"].includes(job.phase));
  }

  #offer(item, job, button, wanted) {
    button.ariaLabel = `${button.textContent}: ${name(job)}`;
    if (!wanted && document.activeElement === button) {
      item.focus(); // a hidden button would take the focus with it
    }
    button.hidden = !wanted;
  }

  #hold(reason) {
    if (reason && document.activeElement === this.button) {
      this.fields.focus(); // a disabled button would take the focus with it
    }
    this.button.disabled = Boolean(reason);
    element("submit-reason").textContent = reason;
  }

  #say(text) {
    const line = document.createElement("p");
    line.textContent = text.slice(0, LONGEST_SPOKEN);
    element("spoken").append(line);
    trim(element("spoken"), MOST_SPOKEN, "firstElementChild");
  }
}

/** Write texts into the parts of an item that are made for them. */
export function fill(item, fields) {
  for (const [name, text] of Object.entries(fields)) {
    item.querySelector(`[data-field=${name}]`).textContent = text;
  }
}

/** A new item as a template has it. */
export function made(template) {
  return element(template).content.firstElementChild.cloneNode(true);
}

/** Keep so many items of a list: remove from this end, "firstElementChild" or "lastElementChild". */
export function trim(list, most, end) {
  while (list.childElementCount > most) {
    list[end].remove();
  }
}

// The system page's document: its form, its jobs and how the connection stands; and in words what it shows.
// `notices.js` shows announcements.

import { Cards } from "./cards.js";
import { element, trim } from "./elements.js";
import { ContentForm } from "./form.js";
import { LaterField } from "./later.js";
import { Status } from "./status.js";
import { coming } from "./times.js";
import { LABELS, name, why } from "./words.js";

const MOST_SPOKEN = 20;
const LONGEST_SPOKEN = 200; // characters; a screen reader's user reads the rest in the list

/** Text from outside goes through `textContent` only. */
export class View {
  #cards;
  #status;
  #opened = false; // whether it was connected once: what is there from before the page was opened is no news

  constructor({ onSubmit, onCancel, onRetry, onReconnect }) {
    this.#cards = new Cards(element("jobs"), { onCancel, onRetry });
    this.#status = new Status({ onReconnect, say: (text) => this.#say(text), focus: () => this.fields.focus() });
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
    element("alert-dismiss").addEventListener("click", () => this.alert(""));
    element("history-dismiss").addEventListener("click", () => this.history(""));
  }

  connection(state) {
    const connected = state.name === "connected";
    this.#opened ||= connected;
    this.#hold(connected ? "" : "Not connected: what you type is kept, to be submitted when the connection is back.");
    this.#status.show(state);
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

  submitted({ key }) {
    this.later.submitted(key);
    this.fields.submitted(key);
    this.refuse("");
  }

  /** Show at the fields of a job what is wrong with its content, or with its time. */
  misfit({ key, error }) {
    this.later.refused(key, error.items);
    this.fields.refused(key, error.items);
  }

  added(job) {
    element("jobs-empty").hidden = true;
    this.#cards.added(job);
    this.#tell(job, ["state"]);
  }

  /** Show a job again of which these `keys` have changed. */
  changed(job, keys) {
    this.#cards.changed(job, keys);
    this.#tell(job, keys);
  }

  removed(job) {
    this.#cards.removed(job);
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

  #tell(job, keys) {
    if (!keys.includes("state") || !this.#opened) {
      return;
    }
    const text = job.state === "done" ? job.text : why(job);
    if (text) {
      this.#say(`${LABELS[job.state]}: ${text}`);
    } else if (job.state === "scheduled") {
      this.#say(`Scheduled for ${coming(job.notBefore)}: ${name(job)}`);
    }
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

// The system page's document: its form, its jobs and how the connection stands; and in words what it shows.
// `notices.js` shows announcements.

import { many } from "./amounts.js";
import { element } from "./elements.js";
import { ContentForm } from "./form.js";
import { JobList } from "./job_list.js";
import { LaterField } from "./later.js";
import { Speaker } from "./speaker.js";
import { Status } from "./status.js";
import { coming } from "./times.js";
import { LABELS, name, outcome, written } from "./words.js";

const KEPT = "Not connected: a job that you submit now is kept in this tab, and sent when the connection is back.";
const CLOSED = "Not connected: a job that you submit now is kept in this tab, and sent once you have connected again.";
const CUT = "Older history is no longer kept: jobs and announcements from before may be missing here.";
const STRANGER = "The server no longer knows this page: jobs that it submitted before are not followed any more.";
const TOLD = 10_000; // milliseconds
const touched = matchMedia("(pointer: coarse)");

/** Text from outside goes through `textContent` only. */
export class View {
  #status;
  #speaker = new Speaker();
  #missed = 0; // events that came when the page was back
  #resumed = 0; // the timer that takes away what is said of that
  #opened = false; // whether it was connected once: what is there from before the page was opened is no news

  constructor({ onSubmit, onCancel, onRepeat, onReconnect }) {
    this.jobs = new JobList({ cancel: onCancel, repeat: onRepeat });
    this.#status = new Status({
      onReconnect,
      say: (text) => this.#speaker.say(text),
      focus: () => this.fields.focus(),
      explain: (text) => tell("closed", text),
    });
    this.form = element("submit");
    this.content = element("content");
    const { content } = this;
    this.fields = new ContentForm(this.form, { type: element("task-type"), summary: element("task-summary"), content });
    this.later = new LaterField(element("later"));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      const notBefore = this.later.read();
      const content = this.fields.read(); // last, for it takes the focus if both are wrong
      if (content !== undefined && notBefore !== undefined) {
        onSubmit(this.fields.type, content, notBefore);
      }
    });
    content.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.form.requestSubmit();
      }
    });
    content.addEventListener("input", () => this.refuse(""));
    element("closed-reconnect").addEventListener("click", onReconnect);
    element("alert-dismiss").addEventListener("click", () => this.alert(""));
    element("history-dismiss").addEventListener("click", () => this.history(""));
  }

  connection(state) {
    if (state.name === "connected") {
      this.#back();
      this.#opened = true;
      this.jobs.loaded();
    } else if (state.name !== "connecting") {
      this.jobs.loaded(); // there is nothing to wait for
    }
    const away = { connected: "", closed: CLOSED, waiting: KEPT }; // while it connects, what held before does
    element("submit-reason").textContent = away[state.name] ?? element("submit-reason").textContent;
    this.#status.show(state);
  }

  /** What the server has said of what was missed, as the client tells it. */
  welcome({ sameClient, recovered, replayed }) {
    this.#missed = replayed;
    if (!recovered) {
      this.history(sameClient ? CUT : STRANGER);
    }
  }

  #back() {
    if (this.#opened && element("history").hidden) {
      const words = this.#missed ? `caught up with ${many(this.#missed, "event")}` : "nothing was missed";
      element("resumed").textContent = `Back again, ${words}`;
      clearTimeout(this.#resumed);
      this.#resumed = setTimeout(() => (element("resumed").textContent = ""), TOLD);
    }
  }

  /** Say why the form was not sent; nothing with "". */
  refuse(text) {
    tell("content-error", text);
    if (text) {
      this.content.setAttribute("aria-invalid", "true");
      this.fields.focus();
    } else {
      this.content.removeAttribute("aria-invalid");
    }
  }

  submitted(job) {
    this.later.submitted(job.key);
    this.fields.submitted(job.key);
    this.refuse("");
    if (touched.matches) {
      document.activeElement.blur(); // the keyboard on the screen would cover the job
    } else {
      this.fields.focus();
    }
    this.jobs.submitted(job);
  }

  /** A job has another state: tell it in words, and at the form's fields what was wrong there. */
  changed(job) {
    const { error, key, notBefore, state } = job;
    if (state === "refused") {
      this.later.refused(key, error.items);
      this.fields.refused(key, error.items);
    }
    if (!this.#opened) {
      return;
    }
    if (state === "scheduled") {
      this.#speaker.tell(LABELS.scheduled, `Scheduled for ${coming(notBefore)}: ${name(job)}`);
    } else if (!["sending", "queued", "started"].includes(state)) {
      const [line] = (outcome(job) || written(job) || name(job)).trim().split("\n");
      this.#speaker.tell(LABELS[state], `${LABELS[state]}: ${line}`);
    }
  }

  alert(text) {
    tell("alert", text);
  }

  /** Say that some of the past is out of reach; nothing with "". */
  history(text) {
    tell("history", text);
    if (text) {
      this.#speaker.say(text);
    }
  }
}

// Show a text in its place; nothing with "".
function tell(place, text) {
  (element(`${place}-text`) ?? element(place)).textContent = text;
  element(place).hidden = !text;
}

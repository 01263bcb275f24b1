// What the events of a job tell of it.

const ENDS = new Set(["job_result", "job_failed", "job_cancelled"]);

/** A job as its events have it so far; knows no elements. */
export class JobStory {
  state = "job_queued";
  type = "";
  content = undefined;
  result = undefined;
  retryOf = null;
  notBefore = null;
  queuedAt = null; // times are dates
  endedAt = null;
  by = null; // who called it off
  attempts = []; // {number, from, to, outcome, reason, instance}

  take({ at, stored, shown }) {
    const event = { ...stored, ...shown };
    const request = stored?.request ?? {};
    const time = new Date(at);
    const running = this.attempts.at(-1);
    if (event.action === "job_queued") {
      this.queuedAt ??= time;
      this.type = event.task_type ?? request.task_type ?? "job";
      this.content = event.content ?? request.content;
      this.retryOf = event.retry_of ?? request.retry_of ?? null;
      this.notBefore = event.not_before ?? request.not_before ?? null;
    } else if (event.action === "job_started") {
      this.#end(time, "lost", "its worker was lost");
      const { attempt: number, instance = null } = event;
      this.attempts.push({ number, from: time, to: null, outcome: "", reason: "", instance });
      this.state = "job_started";
    } else if (event.action === "job_retrying") {
      this.#end(time, "failed", event.reason);
      this.state = "job_retrying";
    } else if (ENDS.has(event.action)) {
      const reason = event.action === "job_failed" ? (event.reason ?? event.payload) : "";
      this.#end(time, event.action.slice(4), reason);
      this.state = event.action;
      this.endedAt = time;
      this.result = event.payload;
      this.by = event.by ?? null;
    }
    this.type ||= event.task_type ?? running?.type ?? "";
    this.queuedAt ??= time;
  }

  get ended() {
    return this.endedAt !== null;
  }

  /** Whether it waits for a time that is still to come. */
  get scheduled() {
    return this.state === "job_queued" && this.notBefore !== null && new Date(this.notBefore) > Date.now();
  }

  /** Its life in parts, one after the other: {kind, words, from, to, reason}; the last has no `to` while it goes on. */
  get parts() {
    const parts = [];
    let from = this.queuedAt;
    const due = this.notBefore === null ? null : new Date(this.notBefore);
    if (due > from) {
      const to = this.attempts[0]?.from < due || this.endedAt < due ? (this.attempts[0]?.from ?? this.endedAt) : due;
      parts.push({ kind: "scheduled", words: "Scheduled", from, to: to && to <= new Date() ? to : null });
      from = to;
      if (parts[0].to === null) {
        return parts;
      }
    }
    for (const { number, from: began, to, outcome, reason } of this.attempts) {
      parts.push({ kind: "waited", words: number > 1 ? "Waited" : "Queued", from, to: began });
      parts.push({ kind: outcome || "running", words: `Attempt ${number}`, from: began, to, reason });
      from = to;
    }
    if (from !== null && !(this.ended && this.attempts.length && this.attempts.at(-1).to >= this.endedAt)) {
      parts.push({ kind: "waited", words: this.attempts.length ? "Waiting" : "Queued", from, to: this.endedAt });
    }
    return parts;
  }

  #end(time, outcome, reason) {
    const attempt = this.attempts.at(-1);
    if (attempt && attempt.to === null) {
      Object.assign(attempt, { to: time, outcome, reason: reason ?? "" });
    }
  }
}

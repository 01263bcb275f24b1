// The jobs of a client as the frames tell them; knows no sockets.

import { Disconnected, JobLost, Refused } from "./errors.js";
import { Job, STATES } from "./job.js";
import { ObservableList } from "./observable.js";

const MOST_JOBS = 200; // open ones are always listed
const ALONE = { send() {}, cancel() {} }; // of jobs that are only looked at

const UNCONFIRMED =
  "The connection was lost before the server confirmed this job, and the server no longer knows this page. " +
  "The job may still run: try again only if running it twice does no harm.";

export class Jobs extends ObservableList {
  #byKey = new Map();
  #byId = new Map();
  #doubtful = new Set(); // may have ended unseen; the server can be asked
  #owner;
  #most;

  /** `owner` has the verbs of a job, see there. */
  constructor(owner = ALONE, most = MOST_JOBS) {
    super("job");
    this.#owner = { ...owner, changed: (job) => this.#changed(job) };
    this.#most = most;
  }

  get(idOrKey) {
    return this.#byId.get(idOrKey) ?? this.#byKey.get(idOrKey);
  }

  clearEnded() {
    this.snapshot().forEach((job) => job.ended && this.#forget(job));
  }

  /** What the server has not confirmed: on its way, or not accepted for now. */
  get unconfirmed() {
    return [...this].filter(isUnconfirmed).reverse();
  }

  get cancelling() {
    return [...this].filter(({ id, cancelling }) => id && cancelling);
  }

  get doubtful() {
    return [...this.#doubtful];
  }

  isDoubtful(job) {
    return this.#doubtful.has(job);
  }

  /** List a job that this client submits. */
  add(data) {
    return this.#list(new Job(this.#owner, data));
  }

  /** Take a frame; returns whether it is about a job alone, so that nobody else has to be told of an error. */
  take(frame) {
    const { action, ref, payload } = frame;
    if (action === "error") {
      return this.#refuse(ref, new Refused(payload));
    }
    if (action in STATES) {
      const at = new Date(frame.at ?? Date.now());
      this.#step(frame.job_id, frame, at);
    } else if (action === "job_status") {
      this.#stand(payload, ref);
    }
    return action in STATES;
  }

  /** History was cut: what was open may have ended unseen. Events that still come put it right. */
  interrupt(sameClient) {
    for (const job of this) {
      if (job.id && !job.ended) {
        if (sameClient) {
          this.#doubtful.add(job);
        }
        if (job.state !== "scheduled" || !sameClient) {
          this.#lose(job, sameClient ? null : new JobLost());
        }
      } else if (job.state === "sending" && !sameClient) {
        this.#unsend(job, UNCONFIRMED);
      }
    }
  }

  /** The server has closed the connection because of a frame that it cannot take: do not send that again. */
  holdBack(reason) {
    this.unconfirmed.forEach((job) => job.state === "sending" && this.#unsend(job, reason));
  }

  /** Nothing more is heard of open jobs; with null it is again. */
  disconnected(error) {
    for (const job of this) {
      if (!job.ended && job.state !== "unsent" && (error ? !job.error : job.error instanceof Disconnected)) {
        job.change({ error });
      }
    }
  }

  release() {
    this.snapshot().forEach((job) => job.release());
  }

  #step(id, frame, at) {
    const job = this.#find(id, frame.ref);
    if (!job) {
      if (frame.action !== "job_progress") {
        this.#list(this.#made(id, frame, at));
      }
      return;
    }
    const confirms = !job.id;
    if (confirms && job.state === "cancelled") {
      // It was called off while nobody knew whether it was accepted, and it was.
      job.change({ state: "sending", cancelling: true, reason: "", error: null, endedAt: null });
    }
    this.#doubtful.delete(job);
    this.#byId.set(id, job);
    job.take(frame, at);
    if (confirms && job.cancelling) {
      this.#owner.cancel(job);
    }
  }

  // A job that was submitted elsewhere, or before a reload.
  #made(id, frame, at) {
    const { ref: key = id, task_type: taskType = "job", content = "", retry_of: retryOf = null } = frame;
    const job = new Job(this.#owner, { id, key, taskType, content, retryOf, submittedAt: at });
    job.take(frame, at);
    return job;
  }

  #list(job) {
    this.#byKey.set(job.key, job);
    if (job.id) {
      this.#byId.set(job.id, job);
    }
    this._add(job);
    this.#makeRoom();
    return job;
  }

  #stand({ job_id: id, state: action, text, attempt, attempts = [], not_before }, ref) {
    const last = attempts.at(-1);
    const reason = last?.reason ?? text;
    if (this.#find(id, ref)) {
      this.#step(id, { action, ref, payload: text, reason, attempt, attempts, not_before }, null);
    }
  }

  #find(id, ref) {
    const known = this.#byId.get(id);
    const sent = this.#byKey.get(ref);
    if (known && sent && !sent.id) {
      this.#forget(known); // the same key was used elsewhere, with another ref: who holds this one goes on with it
      sent.adopt(known);
      return sent;
    }
    return known ?? sent;
  }

  #refuse(ref, error) {
    const called = this.#byId.get(ref); // cancel_job and get_job have the job's id for their ref
    const sent = this.#byKey.get(ref);
    if (called?.cancelling) {
      called.change({ cancelling: false });
    } else if (this.#doubtful.has(called)) {
      if (error.is("unknown_job")) {
        this.#doubtful.delete(called);
        this.#lose(called, new JobLost());
      }
      return true;
    } else if (sent && !sent.id && !sent.ended) {
      sent.change({ state: error.again ? "unsent" : "refused", reason: error.message, error });
      return true;
    }
    return false;
  }

  #lose(job, error) {
    job.change({ state: "interrupted", reason: new JobLost().message, error, cancelling: false });
  }

  #unsend(job, reason) {
    job.change({ state: "unsent", reason, error: new Disconnected(reason) });
  }

  #changed(job) {
    if (this.#byKey.get(job.key) === job) {
      this._tell("changed", job);
      this.#makeRoom();
    }
  }

  #makeRoom() {
    const oldest = this.size > this.#most && this.snapshot().findLast(({ ended }) => ended);
    if (oldest) {
      this.#forget(oldest);
    }
  }

  #forget(job) {
    job.release();
    this.#byKey.delete(job.key);
    this.#byId.delete(job.id);
    this.#doubtful.delete(job);
    this._remove(job);
  }
}

/** Whether the server has not said yet that it has taken the job. */
export function isUnconfirmed({ state }) {
  return state === "sending" || state === "unsent";
}

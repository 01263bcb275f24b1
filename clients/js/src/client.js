// A client: its connection, its jobs, and what it hears.

import { Connection } from "./connection.js";
import { Disconnected, Refused } from "./errors.js";
import { isUnconfirmed, Jobs } from "./jobs.js";
import { newKey } from "./keys.js";
import { Memory, storageOfTab } from "./memory.js";
import { Notifications } from "./notifications.js";
import { Listeners } from "./observable.js";
import { Pace } from "./pace.js";
import { Requests } from "./requests.js";
import { Session } from "./session.js";
import { beOneTab } from "./tab.js";
import { onWake } from "./wake.js";

const PATH = "/ws/system";
const ANSWER_WITHIN = 20_000; // milliseconds
const REFRESH_AGAIN = 5_000; // milliseconds after which a newer token is asked for once more
const TOO_BIG = 1009;
const CLOSED = "this client was closed";
const count = new Intl.NumberFormat("en");

/** Connect, and stay connected until `close()`. The options are in README.md. */
export function connect(options = {}) {
  return new Client(options);
}

class Client {
  #state = Object.freeze({ name: "connecting" });
  #id = null;
  #memory;
  #connection;
  #jobs;
  #notifications = new Notifications();
  #requests = new Requests();
  #pace = new Pace((frame) => this.send(frame));
  #listeners = new Map(); // by name of the event
  #sent = new WeakSet(); // jobs that the server may have heard of, though it has not confirmed them
  #delayed = new WeakSet(); // jobs of which a delay was said, not a time: the clock here may be wrong
  #kept = new Set(); // jobs that are remembered
  #keeping = true; // whether that is about to be done again, or has to wait for what a page before this one kept
  #token; // what the server was shown last
  #refresh = 0; // a timer
  #closed = new AbortController();
  #maxFrameBytes;

  constructor({
    url = PATH,
    token,
    storage = storageOfTab(),
    prefix = "busctl.",
    cursors = { client: 0 },
    mostJobs,
    maxFrameBytes = 65_536,
    timings,
    WebSocket = globalThis.WebSocket,
  }) {
    if (!WebSocket) {
      throw new TypeError("There is no WebSocket here: use connect({ WebSocket }), or Node 22.");
    }
    this.#maxFrameBytes = maxFrameBytes;
    this.#memory = new Memory(storage, prefix);
    this.#jobs = new Jobs(
      {
        send: (job) => this.#send(job),
        cancel: (job) => this.#cancel(job),
        retry: ({ id, taskType, content }) => this.#add({ taskType, content, retryOf: id }),
        submit: (taskType, content) => this.submit(taskType, content),
      },
      mostJobs,
    );
    this.#jobs.subscribe(({ job }) => (isUnconfirmed(job) || this.#kept.has(job)) && this.#keepSoon());
    this.#begin({ url: addressOf(url), WebSocket, token, cursors, timings });
  }

  get state() {
    return this.#state;
  }

  get id() {
    return this.#id;
  }

  get jobs() {
    return this.#jobs;
  }

  get notifications() {
    return this.#notifications;
  }

  submit(taskType, content, { key = newKey(), notBefore = null, delay = null } = {}) {
    const known = this.#jobs.get(key);
    if (known) {
      return known;
    }
    const due = delay === null ? notBefore : Date.now() + delay * 1000;
    return this.#add({ key, taskType, content, notBefore: due === null ? null : new Date(due) }, delay !== null);
  }

  on(name, f) {
    this.#listeners.has(name) || this.#listeners.set(name, new Listeners());
    return this.#listeners.get(name).add(f);
  }

  request(action, payload = null, { timeout = ANSWER_WITHIN } = {}) {
    return this.#requests.ask((frame) => this.send(frame), action, payload, timeout);
  }

  send(frame) {
    if (this.#connection?.connected) {
      this.#connection.send(frame);
      return true;
    }
    return false;
  }

  reconnect() {
    this.#closed.signal.aborted || this.#connection?.open();
  }

  drop() {
    this.#connection?.lose();
  }

  wake() {
    this.#connection?.wake();
  }

  close() {
    this.#closed.abort();
    this.#connection?.close(CLOSED);
    this.#jobs.release();
    this.#notifications.release();
  }

  async #begin({ url, WebSocket, token, cursors, timings }) {
    await beOneTab(this.#memory); // before anything is recalled
    const session = new Session(this.#memory, cursors);
    const kept = this.#memory.recall("unconfirmed") ?? [];
    kept.filter(({ key }) => key && !this.#jobs.get(key)).forEach((job) => this.#recall(job));
    this.#keep(); // with what was submitted meanwhile
    this.#connection = new Connection({
      url,
      WebSocket,
      timings,
      token: async () => (this.#token = await (typeof token === "function" ? token() : token)),
      session,
      onState: (state) => this.#enter(state),
      onWelcome: (welcome) => this.#welcome(welcome),
      onFrame: (frame) => this.#hear(frame, token),
      onRaw: (sent, frame) => this.#tell("frame", { sent, frame, at: new Date() }),
    });
    onWake(() => this.wake(), this.#closed.signal);
    if (this.#closed.signal.aborted) {
      this.#connection.close(CLOSED);
    } else {
      this.#connection.open();
    }
  }

  #enter(state) {
    const lost = this.#state.name === "connected";
    this.#state = state;
    if (lost) {
      clearTimeout(this.#refresh);
      this.#pace.clear();
      this.#requests.lost();
    }
    if (state.name === "connected") {
      this.#jobs.disconnected(null);
      // What the replay did not confirm may never have arrived. Both frames may be sent twice.
      this.#jobs.unconfirmed.forEach((job) => this.#send(job));
      this.#jobs.cancelling.forEach((job) => this.#cancel(job));
      this.#jobs.doubtful.forEach((job) => this.#ask(job));
    } else if (state.name === "closed") {
      if (state.code === TOO_BIG) {
        this.#jobs.holdBack(state.reason);
      }
      this.#jobs.disconnected(new Disconnected(state.reason, state.code));
    }
    this.#tell("state", state);
  }

  #welcome(welcome) {
    this.#id = welcome.clientId;
    if (!welcome.recovered) {
      this.#jobs.interrupt(welcome.sameClient);
    }
    this.#tell("welcome", welcome);
  }

  #hear(frame, token) {
    const { action } = frame;
    const answered = this.#requests.take(frame);
    if (action === "error") {
      answered || this.#jobs.take(frame) || this.#tell("error", frame, new Refused(frame.payload));
      return;
    }
    this.#jobs.take(frame);
    if (action === "system_notification") {
      this.#notifications.take(frame);
    } else if (action === "token_expiring" && typeof token === "function") {
      this.#renew(token);
    }
    if (!answered || frame.seq !== undefined) {
      this.#tell(action, frame);
    }
  }

  // Until there is a token that the server takes, or the connection is lost.
  async #renew(token) {
    try {
      const newer = await token();
      if (newer === this.#token) {
        throw new Error("the token is the same as before");
      }
      await this.request("refresh_token", { token: newer });
      this.#token = newer;
    } catch {
      clearTimeout(this.#refresh);
      if (this.#state.name === "connected") {
        this.#refresh = setTimeout(() => this.#renew(token), REFRESH_AGAIN);
      }
    }
  }

  #add(data, delayed = false) {
    if (this.#closed.signal.aborted) {
      throw new Disconnected(CLOSED);
    }
    const job = { key: newKey(), submittedAt: new Date(), ...data };
    const size = new TextEncoder().encode(JSON.stringify(jobFrame(job, delayed))).length;
    if (size > this.#maxFrameBytes) {
      const most = this.#maxFrameBytes;
      throw new RangeError(
        `This is too long: as a message it has ${count.format(size)} bytes, and the server takes at most ` +
          `${count.format(most)}. Shorten it by ${count.format(size - most)} bytes.`,
      );
    }
    const added = this.#jobs.add(job);
    if (delayed) {
      this.#delayed.add(added);
    }
    this.#send(added);
    return added;
  }

  #send(job) {
    if (job.state === "sending" && this.#connection?.connected) {
      this.#pace.put(job, () => {
        if (job.state !== "sending") {
          return null;
        }
        this.#sent.add(job);
        return jobFrame(job, this.#delayed.has(job));
      });
    }
  }

  #cancel(job) {
    if (!job.id && !this.#sent.has(job)) {
      job.take({ action: "job_cancelled" }, new Date());
      return;
    }
    job.change({ cancelling: true });
    if (job.id && this.#connection?.connected) {
      this.#pace.put(`cancel ${job.id}`, () => ({ action: "cancel_job", payload: { job_id: job.id }, ref: job.id }));
    }
  }

  #ask(job) {
    this.#pace.put(`ask ${job.id}`, () => {
      const ask = { action: "get_job", payload: { job_id: job.id }, ref: job.id };
      return this.#jobs.isDoubtful(job) ? ask : null;
    });
  }

  // A reload must not lose what the server has not confirmed.
  #keepSoon() {
    if (!this.#keeping) {
      this.#keeping = true;
      queueMicrotask(() => this.#keep());
    }
  }

  #keep() {
    this.#keeping = false;
    this.#kept = new Set(this.#jobs.unconfirmed);
    const kept = [...this.#kept].map((job) => {
      const { key, taskType, content, notBefore, retryOf, state, reason, error } = job;
      const delayed = this.#delayed.has(job);
      return { key, taskType, content, notBefore, delayed, retryOf, state, reason, items: error?.items };
    });
    this.#memory.remember("unconfirmed", kept.length ? kept : null);
  }

  #recall({ notBefore, delayed, items, ...kept }) {
    const unsent = kept.state === "unsent";
    const error = unsent ? (items ? new Refused(items) : new Disconnected(kept.reason)) : null;
    const job = this.#jobs.add({ ...kept, error, notBefore: notBefore && new Date(notBefore), submittedAt: new Date() });
    this.#sent.add(job);
    if (delayed) {
      this.#delayed.add(job);
    }
  }

  #tell(name, ...args) {
    this.#listeners.get(name)?.tell(...args);
  }
}

function jobFrame({ key, taskType, content, notBefore, retryOf }, delayed) {
  if (retryOf) {
    return { action: "retry_job", payload: { job_id: retryOf }, ref: key, key };
  }
  const when = delayed
    ? { delay: Math.max(0, notBefore - Date.now()) / 1000 }
    : { not_before: notBefore?.toISOString() };
  return { action: "system_message", payload: { task_type: taskType, content }, ...when, ref: key, key };
}


function addressOf(url) {
  return new URL(url, globalThis.location?.href).href.replace(/^http/, "ws");
}

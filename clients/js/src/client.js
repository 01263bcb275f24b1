// A client: its connection, its jobs, and what it hears.

import { CLOSED, CONNECTED, CONNECTING, createConnection, TOO_BIG } from "./connection.js";
import { Disconnected, isUnsure, Refused } from "./errors.js";
import { encode } from "./frame.js";
import { change } from "./job.js";
import { createJobs, isDoubtful } from "./jobs.js";
import { newKey } from "./keys.js";
import { changesBy } from "./life.js";
import { createMemory, storageOfTab } from "./memory.js";
import { createListeners } from "./observable.js";
import { createPace } from "./pace.js";
import { createSession } from "./session.js";
import { submission } from "./submission.js";
import { beOneTab } from "./tab.js";
import { date } from "./times.js";
import { createTokens } from "./tokens.js";
import { recallUnconfirmed } from "./unconfirmed.js";
import { onWake } from "./wake.js";

const OWN = /^(state|welcome|frame)$/; // events of the client, not of a server
const WAS_CLOSED = "the client was closed";

/**
 * Connect, and stay connected until `close()`. The options, and what the client can do, are in README.md. Its functions
 * need no `this`: `const { submit } = client` is fine.
 */
export const connect = ({
  url = "/ws/system",
  token,
  storage = storageOfTab(),
  prefix = "busctl.",
  cursors = { client: 0 },
  mostJobs,
  maxFrameBytes = 65_536,
  timings,
  parse = JSON.parse,
  WebSocket = globalThis.WebSocket,
} = {}) => {
  if (!WebSocket) {
    throw new TypeError("No WebSocket: use connect({ WebSocket }).");
  }
  const address = new URL(url, globalThis.location).href.replace(/^http/, "ws");
  const memory = createMemory(storage, prefix, parse);
  const [subscribe, tell] = createListeners();
  const sent = new WeakSet(); // jobs that the server may have heard of, though it has not confirmed them
  const closing = new AbortController();
  const { signal } = closing;

  const on = (name, f) => subscribe((told, ...args) => told === name && f(...args));

  const submit = (taskType, content, { key, notBefore, delay = null, retryOf = null } = {}) => {
    key ??= newKey();
    if (!key.match?.(/^\P{Cs}{1,128}$/u)) {
      throw new TypeError("A key is text of 1 to 128 characters.");
    }
    const known = list.get(key);
    if (known) {
      return known;
    }
    if (signal.aborted) {
      throw new Disconnected(WAS_CLOSED);
    }
    const delayed = delay !== null;
    const due = date(delayed ? Date.now() + delay * 1000 : notBefore);
    const data = { key, taskType, content, notBefore: due, delayed, retryOf, submittedAt: new Date() };
    const excess = new Blob([encode(submission(data))]).size - maxFrameBytes;
    if (excess > 0) {
      throw new RangeError(`This is ${excess} bytes too long: at most ${maxFrameBytes} can be sent.`);
    }
    return jobs.add(data);
  };

  const cancel = (job) => {
    if (isUnsure(job.error)) {
      job.retry(); // the answer to the same job tells which one to cancel
    }
    const mayRun = job.id || (job.state === "sending" && sent.has(job));
    change(job, mayRun ? { cancelling: true } : changesBy({ action: "job_cancelled" }, job, new Date()));
  };

  // Send what the server has to hear of a job; it may hear it twice.
  const sendAbout = (job) => {
    const { id, state, cancelling } = job;
    const action = id && cancelling ? "cancel_job" : isDoubtful(job) && "get_job";
    const frame = state === "sending" ? submission(job) : action && { action, payload: { job_id: id }, ref: id };
    const isSent = frame && send(frame);
    if (isSent) {
      sent.add(job);
    }
    return isSent;
  };

  on("state", (state) => {
    const { name, code, reason } = state;
    client.state = state;
    if (code === TOO_BIG) {
      jobs.hold(reason); // it cannot take one of these
    }
    jobs.fail(name === CLOSED ? new Disconnected(reason, code) : null);
    if (name === CONNECTED) {
      [...list].reverse().forEach(soon); // what the replay did not confirm may never have arrived
    }
  });

  on("welcome", ({ clientId, recovered, sameClient }) => {
    client.id = clientId;
    if (!recovered) {
      jobs.cut(sameClient);
    }
  });

  const hear = (frame) => {
    const { action, payload, ref, seq } = frame;
    const error = action === "error" && new Refused(payload);
    // What is answered to somebody's own question (requests.js), "frame" alone tells.
    if (!jobs.take(frame, error) && (seq || ref?.[0] !== "?") && !OWN.test(action)) {
      tell(action, frame, error);
    }
  };

  const jobs = createJobs(submit, cancel, mostJobs);
  const { list } = jobs;
  const soon = createPace(sendAbout);
  const connection = createConnection({
    dial: () => new WebSocket(address, ["bus.v1"]),
    parse,
    token: () => tokens(),
    session: createSession(memory, cursors),
    timings,
    tell,
    hear,
  });
  const { send, wake } = connection;
  const tokens = createTokens(token, send, on);

  const begun = beOneTab(storage, prefix, memory, signal).then(() => {
    recallUnconfirmed(memory, list, (data) => list.get(data.key) ?? sent.add(jobs.add(data)));
    onWake(wake, signal);
  });
  const reconnect = () => begun.then(() => signal.aborted || connection.open());

  const client = {
    state: { name: CONNECTING },
    id: null,
    jobs: list,
    submit,
    on,
    send,
    reconnect,
    drop: connection.lose,
    wake,
    close() {
      closing.abort();
      connection.close(WAS_CLOSED);
    },
  };
  // Who cancels a job that is not confirmed has nothing to send yet: the same again could be done after it was refused.
  list.subscribe(({ job }) => (job.id || !job.cancelling) && soon(job));
  reconnect();
  return client;
};

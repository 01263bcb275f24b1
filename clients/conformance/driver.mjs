// Drives clients/js as README.md says: commands as lines of JSON on standard input, what happens on standard output.

import { createInterface } from "node:readline";

import { connect } from "../js/src/index.js";

const HEARD = [
  "job_queued",
  "job_started",
  "job_retrying",
  "job_progress",
  "job_output",
  "job_result",
  "job_failed",
  "job_cancelled",
  "job_status",
  "system_notification",
];

const clients = new Map();
const tokens = new Map();
const jobs = new Map();

function tell(line) {
  process.stdout.write(JSON.stringify(line) + "\n");
}

function milliseconds(timings) {
  const camel = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(timings).map(([name, seconds]) => [camel(name), seconds * 1000]));
}

const verbs = {
  connect({ client: name, url, timings, tokens: given }) {
    tokens.set(name, given);
    // One after the other, and the last one for ever.
    const give = () => {
      const left = tokens.get(name);
      if (!left.length) {
        throw new Error("nobody is signed in");
      }
      return left.length > 1 ? left.shift() : left[0];
    };
    const made = connect({
      url: url + "/ws/system",
      storage: null,
      token: given.length ? give : undefined,
      timings: milliseconds(timings),
    });
    clients.set(name, made);
    for (const action of HEARD) {
      made.on(action, (frame) => tell({ client: name, event: "frame", frame }));
    }
    made.on("error", (frame) => tell({ client: name, event: "frame", frame }));
    // The answer to a frame that the client has sent by itself is told to nobody else.
    made.on("frame", ({ frame }) => frame.action === "token_refreshed" && tell({ client: name, event: "frame", frame }));
    made.on("state", ({ name: state, code = null }) => tell({ client: name, event: "state", name: state, code }));
    made.on("welcome", ({ clientId: id, first, sameClient, recovered }) => {
      tell({ client: name, event: "welcome", id, first, same_client: sameClient, recovered });
    });
  },

  tokens({ client, tokens: given }) {
    tokens.set(client, given);
  },

  submit({ client, job, type, content, key, delay }) {
    jobs.set(job, clients.get(client).submit(type, content, { key, delay }));
  },

  result({ job }) {
    return jobs.get(job).result;
  },

  async output({ job }) {
    const pieces = [];
    for await (const { text, reset } of jobs.get(job).output) {
      pieces.push({ text, reset });
    }
    return pieces;
  },

  job({ job }) {
    const { id, state, attempt, text, progress, retryOf, runs } = jobs.get(job);
    return { id, state, attempt, text, progress: progress?.value ?? null, retry_of: retryOf, runs };
  },

  async cancel({ job }) {
    const known = jobs.get(job);
    known.cancel();
    await known.result.catch(() => {});
  },

  async retry({ job, as_job: name }) {
    const again = jobs.get(job).retry();
    jobs.set(name, again);
    while (again.state === "sending") {
      await new Promise((resolve) => {
        const off = again.subscribe(() => (off(), resolve()));
      });
    }
    if (again.error?.name === "Refused") {
      throw again.error;
    }
  },

  jobs({ client }) {
    return [...clients.get(client).jobs].map(({ id, state }) => ({ id, state }));
  },

  reconnect({ client }) {
    clients.get(client).reconnect();
  },

  close({ client }) {
    clients.get(client).close();
    return clients.get(client).id;
  },
};

async function answer({ id, do: verb, ...command }) {
  try {
    tell({ id, value: (await verbs[verb](command)) ?? null });
  } catch (error) {
    const { name, message, code = null, reason = "", by = null, items = [], again = null } = error;
    tell({ id, error: { name, message, code, reason, by, again, types: items.map(({ type }) => type) } });
  }
}

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => answer(JSON.parse(line)));
lines.on("close", () => {
  clients.forEach((client) => client.close());
  process.exit(0);
});

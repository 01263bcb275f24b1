// The system page: submit jobs, see their results and the announcements.
//
//   Connection  the WebSocket: opens it, greets, notices that it is gone, opens it again
//   Session     who this tab is, and which events it has; beOneTab sees that no other tab is the same
//   Jobs        the jobs as the frames tell them
//   View        the document, with Cards for its jobs and the Status of the connection
//   Notices     the announcements in it

import { Connection } from "./connection.js";
import { element } from "./elements.js";
import { Jobs } from "./jobs.js";
import { Notices } from "./notices.js";
import { Session } from "./session.js";
import { recall, remember } from "./storage.js";
import { beOneTab } from "./tab.js";
import { View } from "./view.js";
import { onWake } from "./wake.js";

const { socket, maxFrameBytes, noReconnect } = element("system").dataset;
const count = new Intl.NumberFormat("en");

const CUT = "Older history is no longer kept: jobs and announcements from before may be missing here.";
const STRANGER = "The server no longer knows this page: jobs that it submitted before are not followed any more.";

const MOST_ASKED = 50; // jobs a second, within the rate of frames that a server takes

let doubtful = []; // jobs that may have been called off unseen; the server is asked
let asking = 0; // the timer until it is asked of more

await beOneTab(); // before anything is recalled

const view = new View({
  onSubmit: submit,
  onCancel: (job) => {
    jobs.cancel(job);
    sendCancel(job);
  },
  onRetry: (job) => {
    if (job.phase === "unsent") {
      jobs.resend(job);
      sendJob(job);
    } else {
      const { id, type, content } = job;
      sendJob(jobs.add({ ref: newKey(), type, content, retryOf: id }));
    }
  },
  onReconnect: () => connection.open(),
});

const notices = new Notices({ onFocusLost: () => view.fields.focus() });

const jobs = new Jobs({
  added: (job) => {
    view.added(job);
    view.counted(jobs.counts);
    keepUnconfirmed();
  },
  changed: (job, keys) => {
    view.changed(job, keys);
    if (keys.includes("phase")) {
      view.counted(jobs.counts);
      keepUnconfirmed();
    }
  },
  removed: (job) => {
    view.removed(job);
    view.counted(jobs.counts);
  },
});

const connection = new Connection(new URL(socket, location.href.replace(/^http/, "ws")), new Session(), {
  noReconnect: JSON.parse(noReconnect),
  onPhase: (phase) => {
    view.connection(phase);
    if (phase.name === "connected") {
      // What the replay did not confirm may never have arrived. Both frames may be sent twice.
      jobs.unconfirmed.filter(({ phase }) => phase === "sending").forEach(sendJob);
      jobs.cancelling.forEach(sendCancel);
      askDoubtful();
    }
  },
  onWelcome: ({ sameClient, recovered }) => {
    if (!recovered) {
      jobs.interrupt(sameClient);
      doubtful = sameClient ? jobs.scheduled : [];
      view.history(sameClient ? CUT : STRANGER);
    }
  },
  onFrame: (frame) => {
    const at = frame.at ? new Date(frame.at) : new Date(); // a reply is of now
    if (frame.action === "system_notification") {
      notices.show(frame, at);
      return;
    }
    const error = jobs.take(frame, at);
    if (error) {
      view.alert(error);
    }
    if (frame.action === "error") {
      view.misfit(frame);
    }
  },
});

function submit(type, content, notBefore) {
  if (!connection.connected) {
    return;
  }
  const job = { ref: newKey(), type, content, notBefore };
  const size = new TextEncoder().encode(JSON.stringify(jobFrame(job))).length;
  if (size > maxFrameBytes) {
    const excess = count.format(size - maxFrameBytes);
    view.refuse(
      `This is too long: as a message it has ${count.format(size)} bytes, and the server takes at most ` +
        `${count.format(maxFrameBytes)}. Shorten it by ${excess} bytes.`,
    );
    return;
  }
  sendJob(jobs.add(job));
  view.submitted(job);
}

function sendJob(job) {
  if (connection.connected) {
    connection.send(jobFrame(job));
  }
}

function jobFrame({ ref, type, content, notBefore, retryOf }) {
  if (retryOf) {
    return { action: "retry_job", payload: { job_id: retryOf }, ref, key: ref };
  }
  const payload = { task_type: type, content };
  return { action: "system_message", payload, not_before: notBefore ?? undefined, ref, key: ref };
}

function sendCancel({ id }) {
  if (connection.connected) {
    connection.send({ action: "cancel_job", payload: { job_id: id }, ref: id });
  }
}

function askDoubtful() {
  clearTimeout(asking);
  doubtful = doubtful.filter(({ phase }) => phase === "scheduled");
  if (connection.connected && doubtful.length) {
    doubtful.splice(0, MOST_ASKED).forEach(sendAsk);
    asking = setTimeout(askDoubtful, 1000);
  }
}

function sendAsk({ id }) {
  connection.send({ action: "get_job", payload: { job_id: id }, ref: id });
}

// A reload must not lose what the server has not confirmed.
function keepUnconfirmed() {
  const kept = jobs.unconfirmed.map(({ ref, type, content, notBefore, retryOf, phase, text }) => {
    return { ref, type, content, notBefore, retryOf, phase, text };
  });
  remember("unconfirmed", kept.length ? kept : null);
}

// crypto.randomUUID() exists in secure contexts only, and a page over plain HTTP is none.
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

(recall("unconfirmed") ?? []).forEach((job) => jobs.add(job));
onWake(() => connection.wake());
connection.open();

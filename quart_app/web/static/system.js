// The system page: submit jobs, see their results and the announcements.
//
//   client/   what anybody can import: the connection, the jobs, what this tab remembers (clients/js)
//   View      the document, with Cards for its jobs and the Status of the connection
//   Notices   the announcements in it

import { connect } from "./client/index.js";
import { element } from "./elements.js";
import { Notices } from "./notices.js";
import { midnight } from "./times.js";
import { View } from "./view.js";

const { socket, maxFrameBytes } = element("system").dataset;

const CUT = "Older history is no longer kept: jobs and announcements from before may be missing here.";
const STRANGER = "The server no longer knows this page: jobs that it submitted before are not followed any more.";

const view = new View({
  onSubmit: submit,
  onCancel: (job) => job.cancel(),
  onRetry: (job) => job.retry(),
  onReconnect: () => client.reconnect(),
});
const notices = new Notices({ onFocusLost: () => view.fields.focus() });
const client = connect({ url: socket, maxFrameBytes: Number(maxFrameBytes) });

client.on("state", (state) => view.connection(state));
client.on("welcome", ({ sameClient, recovered }) => recovered || view.history(sameClient ? CUT : STRANGER));
client.on("system_notification", (frame) => notices.show(frame, new Date(frame.at)));
client.on("error", (frame, error) => view.alert(error.message));
client.jobs.subscribe(({ type, job }) => {
  if (type === "added") {
    view.added(job);
    job.subscribe((keys) => changed(job, keys));
  } else if (type === "removed") {
    view.removed(job);
  }
  const ended = [...client.jobs].filter((job) => job.ended || job.state === "interrupted").length;
  view.counted({ open: client.jobs.size - ended, ended });
});

function changed(job, keys) {
  view.changed(job, keys);
  if (keys.includes("error") && job.error?.items) {
    view.misfit(job);
  }
}

function submit(type, content, notBefore) {
  if (client.state.name !== "connected") {
    return;
  }
  try {
    view.submitted(client.submit(type, content, { notBefore }));
  } catch (error) {
    if (!(error instanceof RangeError)) {
      throw error;
    }
    view.refuse(error.message);
  }
}

// What is tomorrow now is today after midnight.
function tellTheDay() {
  [...client.jobs].filter(({ state }) => state === "scheduled").forEach((job) => view.changed(job, ["notBefore"]));
  setTimeout(tellTheDay, midnight() - Date.now());
}

tellTheDay();

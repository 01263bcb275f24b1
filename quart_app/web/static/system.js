// The system page: submit jobs, see their results and the announcements.

import { connect } from "./client/index.js";
import { parse } from "./client/json.js";
import { element } from "./elements.js";
import { Drawer } from "./drawer.js";
import { Notices } from "./notices.js";
import { SystemNotices } from "./system_notices.js";
import { View } from "./view.js";

const { socket, maxFrameBytes } = element("system").dataset;

const MOST_JOBS = 1000;

const client = connect({
  url: socket,
  maxFrameBytes: Number(maxFrameBytes),
  mostJobs: MOST_JOBS,
  parse,
});
const view = new View({
  onSubmit: submit,
  onCancel: (job) => job.cancel(),
  onRepeat: (job) => view.jobs.submitted(job.state === "done" ? job.again() : job.retry()),
  onReconnect: () => client.reconnect(),
});
const notices = new Notices({ onFocusLost: () => view.fields.focus(), place: { link: element("to-notices") } });
const systemNotices = new SystemNotices();
const drawer = new Drawer({ drop: () => client.drop() });

client.on("frame", (frame) => drawer.take(frame));
client.on("state", (state) => view.connection(state));
client.on("welcome", (welcome) => view.welcome(welcome));
client.on("system_notification", (frame) => {
  notices.show(frame, new Date(frame.at));
  if (client.state.name === "connected") {
    systemNotices.show(frame); // what came while the page was away is no news
  }
});
client.on("error", (frame, { message }) => view.alert(message));
client.jobs.subscribe(({ type, job }) => {
  view.jobs.show(client.jobs);
  if (type === "added") {
    view.changed(job);
    job.subscribe((keys) => {
      view.jobs.changed(job);
      if (keys.includes("state")) {
        view.changed(job);
      }
    });
  }
});

function submit(type, content, notBefore) {
  let job;
  try {
    job = client.submit(type, content, { notBefore });
  } catch (error) {
    if (!(error instanceof RangeError)) {
      throw error;
    }
    view.refuse(error.message);
    return;
  }
  view.submitted(job);
}

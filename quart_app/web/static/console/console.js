// The operator's console: every job, what runs them, and what people are told.
//
//   client/      the connection, and questions to the server with their answers (clients/js)
//   route        which view is shown, and of what: the fragment of the address
//   JobsView     the list of jobs (Filter, FilterBar, JobRows, JobList), JobView one of them (JobStory, StoredEvents)
//   WorkersView, WebView, StreamView    what SystemWatch finds
//   AnnounceView announcements; Acting cancels and retries; SignIn asks who somebody is

import { connect } from "../client/index.js";
import { parse } from "../client/json.js";
import { requestsOf } from "../client/requests.js";
import { element, trim } from "../elements.js";
import { Status } from "../status.js";
import { clock } from "../times.js";
import { Acting } from "./acting.js";
import { AnnounceView } from "./announce_view.js";
import { JobView } from "./job_view.js";
import { JobsView } from "./jobs_view.js";
import { current } from "./route.js";
import { SignIn, token } from "./sign_in.js";
import { StreamView } from "./stream_view.js";
import { SystemWatch } from "./system_watch.js";
import { WebView } from "./web_view.js";
import { WorkersView } from "./workers_view.js";

const MOST_SPOKEN = 20;
const { socket } = element("console").dataset;

// Every announcement that is still kept, each time the page is opened.
const client = connect({ url: socket, prefix: "busctl.console-", token, cursors: { client: 0, system: 0 }, parse });
const ask = requestsOf(client);
const acting = new Acting({ ask, say });
const views = {
  jobs: new JobsView({ ask, acting }),
  job: new JobView({ ask, acting }),
  workers: new WorkersView(),
  web: new WebView({ ask }),
  stream: new StreamView(),
  announce: new AnnounceView({ ask, acting, say }),
};
const system = new SystemWatch({ ask, changed: showSystem });
const signIn = new SignIn({ ask, onToken: () => client.reconnect() });
const status = new Status({ onReconnect: () => client.reconnect(), say, focus: () => element("main").focus() });
let shown = null; // name of the view

client.on("jobs_page", ({ payload }) => views.jobs.take(payload));
client.on("job_events", ({ payload }) => views.job.take(payload));
client.on("jobs_acted", ({ payload }) => acting.take(payload));
client.on("system_notification", (frame) => views.announce.notices.show(frame, new Date(frame.at)));
client.on("token_expiring", ({ payload }) => signIn.expiring(payload));
client.on("error", (frame, error) => alarm(error.message));
client.on("state", showState);

function showState(state) {
  const connected = state.name === "connected";
  const asksWho = signIn.show(state);
  const root = element("console");
  element("views").hidden = asksWho;
  root.dataset.offline = String(!connected);
  for (const button of root.querySelectorAll("[data-act]")) {
    button.disabled = !connected;
  }
  const away = state.name === "waiting" || (state.name === "closed" && !asksWho);
  if (away && element("offline").hidden) {
    element("offline-text").textContent =
      `Not connected. What you see is as it was at ${clock.format(new Date())}; it goes on by itself.`;
  }
  element("offline").hidden = !away && !(state.name === "connecting" && !element("offline").hidden);
  if (!connected) {
    acting.lost();
  }
  status.show(state);
  Object.values(views).forEach((view) => view.connection(state));
  if (connected) {
    system.look();
  }
}

function showSystem(state) {
  element("faults").hidden = !state.faults.length;
  if (element("faults-text").textContent !== state.faults.join("; ")) {
    element("faults-text").textContent = state.faults.join("; ");
  }
  for (const view of Object.values(views)) {
    view.system?.(state);
  }
}

function showRoute() {
  const route = current();
  const name = route.view;
  if (shown !== null) {
    views[shown].hide();
  }
  for (const view of Object.keys(views)) {
    element(`view-${view}`).hidden = view !== name;
  }
  for (const link of document.querySelectorAll(".tabs a")) {
    const here = link.dataset.views.split(" ").includes(name);
    here ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  }
  const another = shown !== null && shown !== name;
  views.job.cameFrom = shown === "jobs" && name === "job";
  shown = name;
  system.closely = ["workers", "web", "stream"].includes(name);
  views[name].show(route);
  document.title = `${views[name].title} · Console · busctl`;
  if (another) {
    element(`view-${name}`).focus({ preventScroll: true });
  }
}

function alarm(text) {
  element("alert-text").textContent = text;
  element("alert").hidden = !text;
}

// Only what matters: rows that come and go are not read out.
function say(text) {
  const line = document.createElement("p");
  line.textContent = text;
  element("spoken").append(line);
  trim(element("spoken"), MOST_SPOKEN, "firstElementChild");
}

element("alert-dismiss").addEventListener("click", () => alarm(""));
addEventListener("hashchange", showRoute);
showRoute();

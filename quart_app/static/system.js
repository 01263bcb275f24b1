// The system page: hand in jobs, see their results and the announcements.
//
//   Connection  the WebSocket: opens it, notices that it is gone, opens it again
//   State       jobs and announcements as the frames tell them; knows neither sockets nor elements
//   View        the document: shows both, and says in words what it shows
//
// The last lines wire the three together.

// --- Connection ------------------------------------------------------------------------------------------

const OPEN_WITHIN = 10_000; // milliseconds, as all times here
const PING_AFTER = 25_000; // of silence
const PONG_WITHIN = 10_000;
const FIRST_DELAY = 1_000;
const LONGEST_DELAY = 30_000;
const LASTED = 5_000; // a connection that lived this long was a good one: delays begin small again

/**
 * One WebSocket at a time. `onPhase` gets `{name}`: connecting, connected, waiting (`until`) or closed (`code`,
 * `reason`).
 * To add a handshake, send its frame in `#handshake` and enter "connected" when its answer is heard.
 */
class Connection {
  #socket = null;
  #timer = 0; // the one thing being waited for: an opening, silence, a pong, or the end of a delay
  #attempts = 0;
  #connectedAt = 0;
  #phase = "closed";

  constructor(url, { noReconnect, onPhase, onFrame }) {
    this.url = url;
    this.noReconnect = noReconnect; // code -> reason
    this.onPhase = onPhase;
    this.onFrame = onFrame;
  }

  get connected() {
    return this.#phase === "connected";
  }

  get waiting() {
    return this.#phase === "waiting";
  }

  /** Connect now, whatever was being waited for. */
  open() {
    this.#drop();
    const socket = new WebSocket(this.url);
    socket.onopen = () => this.#handshake();
    socket.onmessage = ({ data }) => this.#heard(data);
    socket.onclose = ({ code, reason }) => this.#lost(code, reason);
    this.#socket = socket;
    this.#after(OPEN_WITHIN, () => this.#lost());
    this.#enter({ name: "connecting" });
  }

  send(text) {
    this.#socket.send(text);
  }

  // Plain mode has no handshake: an open socket is a connection.
  #handshake() {
    this.#connectedAt = Date.now();
    this.#watch();
    this.#enter({ name: "connected" });
  }

  #heard(data) {
    this.#watch();
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      console.warn("the server sent a frame that is no JSON; it is not shown", data);
      return;
    }
    if (frame.action !== "pong") {
      this.onFrame(frame);
    }
  }

  // A browser is not told when its network vanishes: silence is answered with a ping, a missing pong with a new
  // connection.
  #watch() {
    this.#after(PING_AFTER, () => {
      this.send('{"action":"ping"}');
      this.#after(PONG_WITHIN, () => this.#lost());
    });
  }

  #lost(code, reason) {
    this.#drop();
    if (code in this.noReconnect) {
      this.#enter({ name: "closed", code, reason: reason || this.noReconnect[code] });
      return;
    }
    if (this.#connectedAt && Date.now() - this.#connectedAt > LASTED) {
      this.#attempts = 0;
    }
    this.#connectedAt = 0;
    const ceiling = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.#attempts);
    const delay = (ceiling * (1 + Math.random())) / 2;
    this.#attempts += 1;
    this.#after(delay, () => this.open());
    this.#enter({ name: "waiting", until: Date.now() + delay });
  }

  #drop() {
    clearTimeout(this.#timer);
    if (this.#socket) {
      this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
      this.#socket.close();
      this.#socket = null;
    }
  }

  #after(milliseconds, action) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(action, milliseconds);
  }

  #enter(phase) {
    this.#phase = phase.name;
    this.onPhase(phase);
  }
}

// --- State -----------------------------------------------------------------------------------------------

const MOST_JOBS = 200;

const PHASES = {
  job_queued: "queued",
  job_started: "started",
  job_result: "done",
  job_failed: "failed",
  job_cancelled: "cancelled",
};
const ENDED = new Set(["done", "failed", "cancelled", "refused"]);

/** A job is `{ref, id, type, content, phase, text, at}`; `watcher` hears of every change. */
class State {
  #jobs = new Set();
  #byRef = new Map();
  #byId = new Map();
  #seen = new Map(); // scope (a group, or "" for this client) -> the last sequence seen
  #prefix = Array.from(crypto.getRandomValues(new Uint32Array(2)), (number) => number.toString(36)).join("");
  #submitted = 0;

  constructor(watcher) {
    this.watcher = watcher;
  }

  newRef() {
    this.#submitted += 1;
    return `${this.#prefix}-${this.#submitted}`;
  }

  /** A job that is on its way to the server. */
  sending(ref, type, content) {
    this.#add({ ref, id: null, type, content, phase: "sending", text: "", at: new Date() });
  }

  /** What the server sent. */
  take(frame) {
    if (!this.#isNew(frame)) {
      return;
    }
    if (frame.action in PHASES) {
      this.#step(frame);
    } else if (frame.action === "system_notification") {
      this.watcher.notice(String(frame.payload), new Date());
    } else if (frame.action === "error") {
      this.#error(frame);
    }
  }

  /** In plain mode every connection is a new client: the last one's jobs are silent, and sequences start anew. */
  newClient() {
    this.#seen.clear();
    for (const job of this.#jobs) {
      if (!ENDED.has(job.phase) && job.phase !== "interrupted") {
        const lost = job.phase === "sending" ? "the server confirmed this job; it may still run" : "its result came";
        this.#change(job, "interrupted", `The connection was lost before ${lost}. Submit it again to see a result.`);
      }
    }
  }

  counts() {
    const ended = [...this.#jobs].filter((job) => ENDED.has(job.phase) || job.phase === "interrupted").length;
    return { open: this.#jobs.size - ended, ended };
  }

  #isNew({ seq, group = "" }) {
    if (seq === undefined) {
      return true;
    }
    if (seq <= (this.#seen.get(group) ?? 0)) {
      return false;
    }
    this.#seen.set(group, seq);
    return true;
  }

  #step(frame) {
    const id = frame.job_id;
    let job = this.#byId.get(id) ?? this.#byRef.get(frame.ref);
    if (!job && frame.ref?.startsWith(this.#prefix)) {
      return; // one of ours that made room for newer ones
    }
    if (!job) {
      job = { ref: frame.ref, id, type: "job", content: "", phase: "queued", text: "", at: new Date() };
      this.#add(job);
    }
    if (!ENDED.has(job.phase)) {
      job.id = id;
      this.#byId.set(id, job);
      const phase = PHASES[frame.action];
      this.#change(job, phase, ENDED.has(phase) ? String(frame.payload) : "");
    }
  }

  #error({ payload, ref }) {
    const items = Array.isArray(payload) ? payload : [];
    const text = items.map(({ loc, msg }) => (loc?.length > 1 ? `${msg} (${loc.join(" › ")})` : msg)).join("\n");
    const job = this.#byRef.get(ref);
    if (job && !ENDED.has(job.phase)) {
      this.#change(job, "refused", text);
    } else {
      this.watcher.alert(text || "The server reported an error without saying which.");
    }
  }

  #add(job) {
    this.#jobs.add(job);
    this.#byRef.set(job.ref, job);
    if (this.#jobs.size > MOST_JOBS) {
      const [oldest] = this.#jobs;
      this.#jobs.delete(oldest);
      this.#byRef.delete(oldest.ref);
      this.#byId.delete(oldest.id);
      this.watcher.removed(oldest);
    }
    this.watcher.added(job);
  }

  #change(job, phase, text) {
    job.phase = phase;
    job.text = text;
    job.at = new Date();
    this.watcher.changed(job);
  }
}

// --- View ------------------------------------------------------------------------------------------------

const MOST_NOTICES = 100;
const MOST_SPOKEN = 20;
const LONGEST_SPOKEN = 200; // characters; a screen reader's user reads the rest in the list

const LABELS = {
  sending: "Sending",
  queued: "Queued",
  started: "Running",
  done: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
  refused: "Not accepted",
  interrupted: "Interrupted",
};

const element = (id) => document.getElementById(id);
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const count = new Intl.NumberFormat("en");

/** Text from outside goes through `textContent` only. */
class View {
  #items = new Map();
  #countdown = 0;

  constructor({ onSubmit, onReconnect }) {
    this.form = element("submit");
    this.content = element("content");
    this.button = element("submit-button");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      onSubmit(this.form.elements.task_type.value, this.content.value);
    });
    this.content.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        if (!this.button.disabled) {
          this.form.requestSubmit();
        }
      }
    });
    this.content.addEventListener("input", () => this.refuse(""));
    element("reconnect").addEventListener("click", onReconnect);
    element("alert-dismiss").addEventListener("click", () => this.alert(""));
  }

  connection(phase) {
    clearInterval(this.#countdown);
    const box = element("connection");
    const changed = box.dataset.phase !== phase.name;
    box.dataset.phase = phase.name;
    const connected = phase.name === "connected";
    this.#hold(connected ? "" : "Not connected: what you type is kept, to be submitted when the connection is back.");
    const button = element("reconnect");
    const focused = document.activeElement === button;
    button.hidden = connected || phase.name === "connecting";
    if (focused && button.hidden) {
      this.content.focus();
    }
    if (phase.name === "waiting") {
      const tick = () => {
        const seconds = Math.max(1, Math.ceil((phase.until - Date.now()) / 1000));
        element("connection-text").textContent = `Reconnecting in ${seconds} s…`;
      };
      tick();
      this.#countdown = setInterval(tick, 250);
      if (changed) {
        this.#say("Connection lost. Reconnecting.");
      }
      return;
    }
    const words = {
      connecting: () => "Connecting…",
      connected: () => "Connected",
      closed: () => `Closed by the server: ${phase.reason} (code ${phase.code})`,
    }[phase.name]();
    element("connection-text").textContent = words;
    if (phase.name !== "connecting") {
      this.#say(words);
    }
  }

  /** Say why the form was not sent; nothing with "". */
  refuse(text) {
    const error = element("content-error");
    error.textContent = text;
    error.hidden = !text;
    if (text) {
      this.content.setAttribute("aria-invalid", "true");
      this.content.focus();
    } else {
      this.content.removeAttribute("aria-invalid");
    }
  }

  submitted() {
    this.content.value = "";
    this.content.focus();
    this.refuse("");
  }

  added(job) {
    const item = element("job-template").content.firstElementChild.cloneNode(true);
    this.#items.set(job, item);
    element("jobs").prepend(item);
    element("jobs-empty").hidden = true;
    this.#fill(item, { type: job.type, content: job.content });
    this.changed(job);
  }

  changed(job) {
    const item = this.#items.get(job);
    item.dataset.phase = job.phase;
    this.#fill(item, { phase: LABELS[job.phase], id: job.id ?? "", text: job.text });
    this.#time(item, job.at);
    if (job.text) {
      this.#say(`${LABELS[job.phase]}: ${job.text}`);
    }
  }

  removed(job) {
    this.#items.get(job).remove();
    this.#items.delete(job);
  }

  counted({ open, ended }) {
    element("jobs-count").textContent = open + ended ? `${open} open, ${ended} ended` : "";
  }

  notice(text, at) {
    const item = element("notice-template").content.firstElementChild.cloneNode(true);
    this.#fill(item, { text });
    this.#time(item, at);
    const list = element("notices");
    list.prepend(item);
    element("notices-log").hidden = false;
    element("notices-empty").hidden = true;
    trim(list, MOST_NOTICES, "lastElementChild");
  }

  alert(text) {
    element("alert-text").textContent = text;
    element("alert").hidden = !text;
  }

  #hold(reason) {
    if (reason && document.activeElement === this.button) {
      this.content.focus(); // a disabled button would take the focus with it
    }
    this.button.disabled = Boolean(reason);
    element("submit-reason").textContent = reason;
  }

  #fill(item, fields) {
    for (const [name, text] of Object.entries(fields)) {
      item.querySelector(`[data-field=${name}]`).textContent = text;
    }
  }

  #time(item, at) {
    const time = item.querySelector("time");
    time.dateTime = at.toISOString();
    time.textContent = clock.format(at);
  }

  #say(text) {
    const line = document.createElement("p");
    line.textContent = text.slice(0, LONGEST_SPOKEN);
    element("spoken").append(line);
    trim(element("spoken"), MOST_SPOKEN, "firstElementChild");
  }
}

function trim(list, most, end) {
  while (list.childElementCount > most) {
    list[end].remove();
  }
}

// --- Wiring ----------------------------------------------------------------------------------------------

const { socket, maxFrameBytes, noReconnect } = element("system").dataset;

const view = new View({
  onSubmit: submit,
  onReconnect: () => connection.open(),
});

const state = new State({
  added: (job) => (view.added(job), view.counted(state.counts())),
  changed: (job) => (view.changed(job), view.counted(state.counts())),
  removed: (job) => view.removed(job),
  notice: (text, at) => view.notice(text, at),
  alert: (text) => view.alert(text),
});

const connection = new Connection(new URL(socket, location.href.replace(/^http/, "ws")), {
  noReconnect: JSON.parse(noReconnect),
  onFrame: (frame) => state.take(frame),
  onPhase: (phase) => {
    view.connection(phase);
    if (phase.name !== "connected") {
      state.newClient();
    }
  },
});

function submit(type, content) {
  if (!connection.connected) {
    return;
  }
  const ref = state.newRef();
  const frame = JSON.stringify({ action: "system_message", payload: { task_type: type, content }, ref });
  const size = new TextEncoder().encode(frame).length;
  if (size > maxFrameBytes) {
    const excess = count.format(size - maxFrameBytes);
    view.refuse(
      `This text is too long: as a message it has ${count.format(size)} bytes, and the server takes at most ` +
        `${count.format(maxFrameBytes)}. Shorten it by ${excess} bytes.`,
    );
    return;
  }
  connection.send(frame);
  state.sending(ref, type, content);
  view.submitted();
}

addEventListener("online", () => connection.waiting && connection.open());
connection.open();

// "Try it": a frame of any message, as fields and as JSON, and a socket to send it on.

import { parse } from "../client/json.js";
import { element, make } from "../elements.js";
import { FrameForm } from "./frame_form.js";
import { FrameLog } from "./frame_log.js";
import { LastClient } from "./last_client.js";
import { TrialSocket } from "./trial_socket.js";

const HANDSHAKE = "connect"; // the first frame of a mode that is a subprotocol

export class Trial {
  #fields; // the elements of the form, by name
  #wire = null; // what the document says; null until it is there
  #frame = {}; // as the fields and the JSON show it
  #drawn = ""; // which message and kind the fields are for
  #socket = null;
  #client = new LastClient();
  #form;
  #log;
  #load;
  #wanted = null; // what to open once the document is there

  /** `load()` asks for a `DescribedWire`. */
  constructor(form, mode, load) {
    this.#fields = form.elements;
    this.#load = load;
    this.#log = new FrameLog(element("api-log"), element("api-log-empty"));
    this.#form = new FrameForm(element("api-fields"), (path, value) => this.#typed(path, value));
    this.#fields.mode.value = mode;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    element("api-connect").addEventListener("click", () => (this.#socket ? this.#socket.close() : this.#connect()));
    element("api-clear").addEventListener("click", () => this.#log.clear());
    this.#fields.frame.addEventListener("input", () => this.#written());
    const { channel, mode: modes, message, kind } = this.#fields;
    channel.addEventListener("change", () => this.#offer());
    modes.addEventListener("change", () => this.#offer(message.value, kind.value));
    message.addEventListener("change", () => this.#begin());
    kind.addEventListener("change", () => this.#begin(kind.value));
    [channel, message, kind].forEach((one) => one.addEventListener("change", () => this.#address()));
    this.#tell("closed");
    this.#describe();
  }

  /** Show a message in the form, and go there; the mode that has it is chosen. */
  open({ channel, action, kind }) {
    element("try").scrollIntoView();
    this.#wanted = { channel, action, kind };
    if (this.#wire) {
      this.#show();
    }
  }

  /** Examples are read in this mode now; an open socket keeps its own. */
  takeMode(mode) {
    if (!this.#socket) {
      this.#fields.mode.value = mode;
      this.#offer(this.#fields.message.value, this.#fields.kind.value);
    }
  }

  // Where the page leads to, so that it can be handed on.
  #address() {
    const { channel, message, kind } = this.#fields;
    const place = ["try", channel.value, message.value, kind.value].filter(Boolean).map(encodeURIComponent);
    history.replaceState(null, "", `#${place.join("/")}`);
  }

  async #describe() {
    this.#form.clear(make("p", { className: "hint" }, "Loading what the fields are made from…"));
    try {
      this.#wire = await this.#load();
    } catch ({ message }) {
      const again = make("button", { type: "button", className: "quiet small" }, "Try again");
      again.addEventListener("click", () => this.#describe());
      this.#form.clear(make("p", { className: "field-error" }, `There are no fields, since the AsyncAPI document did not come: ${message}. JSON can be sent all the same.`), again);
      this.#fields.message.disabled = true;
      this.#fields.frame.value ||= '{ "action": "ping" }';
      return;
    }
    this.#fields.message.disabled = false;
    this.#offer();
    if (this.#wanted) {
      this.#show();
    }
  }

  #show() {
    const { channel, action, kind } = this.#wanted;
    this.#wanted = null;
    if (this.#socket && channel !== this.#fields.channel.value) {
      this.#socket.close();
    }
    this.#fields.channel.value = channel;
    const message = this.#wire.messages(this.#fields.channel.value).find((one) => one.action === action);
    if (message && !this.#socket && !message.modes.includes(this.#fields.mode.value)) {
      this.#fields.mode.value = message.modes[0];
    }
    this.#offer(action, kind);
    this.#fields.message.focus();
    if (message && this.#fields.message.value !== action) {
      this.#wrong(`${action} is there with ${message.modes.join(" and ")} only: disconnect first.`);
    }
  }

  // The messages of this channel that the mode has.
  #offer(action, kind) {
    if (!this.#wire) {
      return;
    }
    const offered = this.#wire.messages(this.#fields.channel.value).filter(({ modes }) => modes.includes(this.#fields.mode.value));
    this.#fields.message.replaceChildren(...offered.map((one) => new Option(one.action, one.action)));
    this.#fields.message.value = offered.some((one) => one.action === action) ? action : offered[0]?.action;
    this.#begin(kind);
  }

  // What `connect` says to prove who somebody is.
  get #token() {
    const token = this.#fields.token?.value;
    return token ? { token } : {};
  }

  get #message() {
    return this.#wire?.messages(this.#fields.channel.value).find(({ action }) => action === this.#fields.message.value);
  }

  // A frame of the chosen message, of the kind of this name or else of the first.
  #begin(name) {
    const message = this.#message;
    if (!message) {
      return;
    }
    const { kinds } = message;
    const kind = kinds.find((one) => one.name === name) ?? kinds[0];
    this.#frame = message.example(this.#fields.mode.value, kind);
    if (message.action === HANDSHAKE) {
      this.#frame.payload = { ...this.#token, ...this.#client.payload };
    }
    this.#draw(message);
    this.#put();
  }

  #draw(message) {
    element("api-fields").disabled = false;
    const kind = message.kindOf(this.#frame.payload);
    const { kinds } = message;
    element("api-kind").hidden = !kinds.length;
    element("api-kind").firstElementChild.textContent = message.kindsAre;
    this.#fields.kind.replaceChildren(...kinds.map(({ name }) => new Option(name, name)), ...(kind ? [] : [new Option("as in the frame", "")]));
    this.#fields.kind.value = kind?.name ?? "";
    element("api-about").textContent = message.summary.replaceAll("`", "");
    this.#form.draw(message, this.#frame.payload, Object.keys(kind?.keys ?? {}));
    this.#form.write(this.#frame);
    this.#drawn = place(message, kind);
    this.#wrong("");
  }

  // A field says something else: so does the JSON.
  #typed(path, value) {
    if (path) {
      set(this.#frame, path, value);
      this.#put();
    }
  }

  #put() {
    this.#fields.frame.value = JSON.stringify(this.#frame, null, 2);
    this.#wrong("");
  }

  // The JSON says something else: so do the fields, which may be others now.
  #written() {
    const frame = this.#read();
    element("api-fields").disabled = !isObject(frame);
    if (!isObject(frame)) {
      return;
    }
    this.#wrong("");
    this.#frame = frame;
    const named = this.#wire?.messages(this.#fields.channel.value).find(({ action }) => action === frame?.action);
    if (named && [...this.#fields.message.options].some(({ value }) => value === named.action)) {
      this.#fields.message.value = named.action;
    }
    const message = this.#message;
    if (message && place(message, message.kindOf(frame?.payload)) !== this.#drawn) {
      this.#draw(message);
    } else {
      this.#form.write(frame);
    }
  }

  // What the JSON says; undefined where it is none, which is told.
  #read() {
    try {
      return parse(this.#fields.frame.value);
    } catch ({ message }) {
      this.#wrong(`This is no JSON, and is not sent: ${message}`);
      return undefined;
    }
  }

  #connect() {
    const { channel, mode } = this.#fields;
    this.#tell("connecting");
    this.#socket = new TrialSocket(channel.selectedOptions[0].dataset.address, mode.value, {
      onopen: () => {
        this.#tell("connected");
        if (mode.value !== "plain" && this.#fields.message.value !== HANDSHAKE) {
          this.#pass({ action: HANDSHAKE, payload: this.#token });
        }
      },
      onframe: (text) => this.#receive(text),
      onclose: (why) => {
        this.#socket = null;
        this.#log.note(why);
        this.#tell("closed");
      },
    });
  }

  #send() {
    const frame = this.#read();
    if (!this.#socket?.open) {
      this.#wrong("Not sent: connect first.");
    } else if (frame !== undefined && this.#form.readable()) {
      this.#wrong("");
      element("api-hint").textContent = "";
      this.#form.write(frame);
      this.#pass(frame);
    }
  }

  #pass(frame) {
    const text = JSON.stringify(frame);
    this.#socket.send(text);
    this.#log.frame("client", text);
  }

  #receive(text) {
    this.#log.frame("server", text);
    const frame = JSON.parse(text);
    this.#client.take(frame);
    if (frame.action === "error") {
      this.#refused(frame.payload);
    }
  }

  // What the server found wrong stands at its field, if the frame is still there, and beside the button that sent it.
  #refused(items) {
    const rest = items.filter(({ loc, msg }) => loc?.[0] !== this.#frame?.action || !this.#form.refuse(loc.slice(1), msg));
    this.#wrong(rest.map(({ loc, msg }) => [...(loc ?? []), msg].join(": ")).join("\n"));
    const places = items.map(({ loc }) => loc?.slice(1).join(" › ")).filter(Boolean);
    element("api-hint").textContent = `The server refused it${places.length ? `: see ${places.join(", ")}` : ""}.`;
  }

  #wrong(text) {
    element("api-wrong").textContent = text;
    this.#fields.frame.toggleAttribute("aria-invalid", text !== "");
  }

  #tell(phase) {
    const { channel, mode, token } = this.#fields;
    element("api-state").dataset.phase = phase;
    element("api-state").firstElementChild.textContent = { connecting: "connecting…", closed: "not connected" }[phase] ?? phase;
    element("api-connect").textContent = phase === "closed" ? "Connect" : "Disconnect";
    element("api-send").setAttribute("aria-disabled", String(phase !== "connected"));
    element("api-hint").textContent = phase === "connected" ? "" : "Connect first.";
    for (const one of [channel, mode, token]) {
      one && (one.disabled = phase !== "closed"); // a connection keeps them
    }
  }
}

function isObject(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

function place({ action }, kind) {
  return `${action}/${kind?.name ?? ""}`;
}

function set(frame, path, value) {
  const [key, ...rest] = path;
  if (rest.length) {
    if (!isObject(frame[key])) {
      frame[key] = {};
    }
    set(frame[key], rest, value);
  } else if (value === undefined) {
    delete frame[key];
  } else {
    frame[key] = value;
  }
}

// The WebSocket: opens it, greets, notices that it is gone, opens it again.

import { parse } from "./json.js";

const SUBPROTOCOL = "bus.v1";
const AWAKE_WITHIN = 1_500; // milliseconds, as all times here: for a pong when somebody looks at the page again
const TIMINGS = {
  open: 10_000,
  welcome: 20_000, // the server may wait for its bus
  pingAfter: 25_000, // of silence
  pongWithin: 10_000,
  firstDelay: 1_000,
  longestDelay: 30_000,
  lasted: 5_000, // a connection that lived this long was a good one: delays begin small again
};

export const NOT_SIGNED_IN = 4401;
/** After these nothing is gained by connecting again: docs/reference/close-codes.md. */
export const NO_RECONNECT = [1002, 1007, 1009, 4400, NOT_SIGNED_IN, 4403];

/**
 * One WebSocket at a time. `token()` gives, or promises, what proves who this is. `onState` gets `{name}`: connecting,
 * connected (welcomed, and the replay has arrived), waiting (`until`) or closed (`code`, `reason`); `onWelcome` what the
 * session makes of the welcome; `onFrame` every other frame that is new; `onRaw` everything, as it goes and comes.
 */
export class Connection {
  #socket = null;
  #timer = 0; // the one thing being waited for: an opening, silence, a pong, or the end of a delay
  #attempts = 0;
  #connectedAt = 0;
  #welcomed = false;
  #state = "closed";
  #opening = null; // the latest open(): one that waits for a token may be overtaken
  #timings;

  constructor({ url, WebSocket, token, session, timings, onState, onWelcome, onFrame, onRaw }) {
    this.#timings = { ...TIMINGS, ...timings };
    Object.assign(this, { url, WebSocket, token, session, onState, onWelcome, onFrame, onRaw });
  }

  get connected() {
    return this.#state === "connected";
  }

  /** Connect now, whatever was being waited for. */
  async open() {
    this.#drop();
    const opening = (this.#opening = {});
    this.#after(this.#timings.open, () => this.#lost());
    this.#enter({ name: "connecting" });
    try {
      const token = await this.token();
      if (opening === this.#opening) {
        this.#dial(token);
      }
    } catch (error) {
      if (opening === this.#opening) {
        this.#lost(undefined, error.message);
      }
    }
  }

  /** Somebody looks at the page again: see at once whether there is a connection still, and open one if not. */
  wake() {
    if (this.#state === "waiting") {
      this.open();
    } else if (this.connected) {
      this.#ping(AWAKE_WITHIN, () => this.open());
    }
  }

  /** Be as if the network had broken. */
  lose() {
    if (this.#socket) {
      this.#lost();
    }
  }

  close(reason) {
    this.#drop();
    this.#enter({ name: "closed", reason });
  }

  send(frame) {
    this.onRaw(true, frame);
    this.#socket.send(JSON.stringify(frame));
  }

  #dial(token) {
    const socket = new this.WebSocket(this.url, [SUBPROTOCOL]);
    socket.onopen = () => this.#greet(token);
    socket.onmessage = ({ data }) => this.#heard(data);
    socket.onclose = ({ code, reason }) => this.#lost(code, reason);
    socket.onerror = () => {}; // its close follows
    this.#socket = socket;
  }

  #greet(token) {
    this.send(this.session.connect(token));
    this.#after(this.#timings.welcome, () => this.#lost());
  }

  #heard(data) {
    let frame;
    try {
      frame = parse(data);
    } catch {
      console.warn("the server sent a frame that is no JSON; it is not shown", data);
      return;
    }
    this.onRaw(false, frame);
    const socket = this.#socket;
    if (frame.action === "welcome" && !this.#welcomed) {
      this.#welcomed = true;
      this.#connectedAt = Date.now();
      this.onWelcome(this.session.welcome(frame.payload));
    } else if (frame.action === "resume_token" && this.#welcomed) {
      this.session.renew(frame.payload.resume);
    } else if (this.session.isNew(frame)) {
      this.onFrame(frame);
    }
    if (this.#welcomed && socket === this.#socket) {
      this.#watch();
      if (!this.connected && !this.session.replaying) {
        this.#enter({ name: "connected" });
      }
    }
  }

  // A browser is not told when its network vanishes: silence is answered with a ping, a missing pong with a new
  // connection.
  #watch() {
    const { pingAfter, pongWithin } = this.#timings;
    this.#after(pingAfter, () => this.#ping(pongWithin, () => this.#lost()));
  }

  #ping(within, onSilence) {
    this.send({ action: "ping" });
    this.#after(within, onSilence);
  }

  #lost(code, reason) {
    const welcomed = this.#welcomed;
    this.#drop();
    // A token that has expired may have been renewed meanwhile, in a cookie or by `token()`: that is worth one attempt.
    if (NO_RECONNECT.includes(code) && !(code === NOT_SIGNED_IN && welcomed)) {
      if (!welcomed && code !== NOT_SIGNED_IN) {
        this.session.forget();
      }
      this.#enter({ name: "closed", code, reason: reason || "the server has closed the connection" });
      return;
    }
    const { firstDelay, longestDelay, lasted } = this.#timings;
    if (this.#connectedAt && Date.now() - this.#connectedAt > lasted) {
      this.#attempts = 0;
    }
    this.#connectedAt = 0;
    const ceiling = Math.min(longestDelay, firstDelay * 2 ** this.#attempts);
    const delay = (ceiling * (1 + Math.random())) / 2;
    this.#attempts += 1;
    this.#after(delay, () => this.open());
    const offline = globalThis.navigator?.onLine === false;
    this.#enter({ name: "waiting", until: Date.now() + delay, code, reason, offline });
  }

  #drop() {
    clearTimeout(this.#timer);
    this.#opening = null;
    this.#welcomed = false;
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

  #enter(state) {
    this.#state = state.name;
    this.onState(Object.freeze(state));
  }
}

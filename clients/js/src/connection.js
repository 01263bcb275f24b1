// The WebSocket: opens it, greets, notices that it is gone, opens it again.

import { encode } from "./frame.js";
import { guard } from "./observable.js";

// The names of its states.
export const CONNECTING = "connecting";
export const CONNECTED = "connected"; // welcomed, and the replay has arrived
export const CLOSED = "closed";
const WAITING = "waiting";

export const NOT_SIGNED_IN = 4401;
export const TOO_BIG = 1009;
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

/** After these nothing is gained by connecting again: docs/reference/close-codes.md. */
const NO_RECONNECT = [1002, 1007, TOO_BIG, 4400, NOT_SIGNED_IN, 4403];

/**
 * One WebSocket at a time, made by `dial()`. `token()` promises what proves who this is. `tell(name, told)` gets the events
 * of a client: "state" with each new one, `{name}`, of which waiting has `until`, and closed `code` and `reason`; "welcome"
 * with what the session makes of it; "frame" with everything, as it goes and comes. `hear` gets every other frame that is
 * new.
 */
export const createConnection = ({ dial, parse, token, session, timings, tell, hear }) => {
  const times = { ...TIMINGS, ...timings };
  let socket;
  let timer; // the one thing being waited for: an opening, silence, a pong, or the end of a delay
  let attempts = 0;
  let welcomedAt; // milliseconds; 0 until the server has answered `connect`
  let state;

  const become = (name, more) => tell("state", { name: (state = name), ...more });
  const raw = (sent, frame) => tell("frame", { sent, frame, at: new Date() });

  const after = (milliseconds, action) => {
    clearTimeout(timer);
    timer = setTimeout(action, milliseconds);
  };

  const send = (frame) => {
    raw(true, frame);
    socket.send(encode(frame));
    return true;
  };

  const ping = (within, onSilence) => {
    send({ action: "ping" });
    after(within, onSilence);
  };

  const drop = () => {
    clearTimeout(timer);
    timer = null;
    welcomedAt = 0;
    socket?.close();
    socket = null;
  };

  // Now, whatever was being waited for.
  const open = () => {
    drop();
    after(times.open, lost);
    const mine = timer; // who waits for a token may be overtaken
    become(CONNECTING);
    token()
      .then((shown) => mine === timer && greet(shown))
      .catch(({ message }) => mine === timer && lost({ reason: message }));
  };

  const greet = (shown) => {
    const dialled = (socket = dial());
    const current = (f) => (event) => dialled === socket && guard(f, event);
    socket.onopen = current(() => {
      send(session.connect(shown));
      after(times.welcome, lost);
    });
    socket.onmessage = current(heard);
    socket.onclose = current(lost);
    socket.onerror = () => {}; // its close follows
  };

  const heard = ({ data }) => {
    const frame = parse(data);
    const { action, payload } = frame;
    raw(false, frame);
    if (action === "welcome" && !welcomedAt) {
      welcomedAt = Date.now();
      tell("welcome", session.welcome(payload));
    } else if (action === "resume_token") {
      session.renew(payload.resume);
    } else if (session.isNew(frame)) {
      hear(frame);
    }
    if (welcomedAt) {
      // A browser is not told when its network vanishes: silence is answered with a ping, a missing pong with a new
      // connection.
      after(times.pingAfter, () => ping(times.pongWithin, lost));
      if (state !== CONNECTED && !session.missing()) {
        become(CONNECTED);
      }
    }
  };

  const lost = ({ code, reason } = {}) => {
    const since = welcomedAt;
    drop();
    // A token that has expired may have been renewed meanwhile, in a cookie or by `token()`: that is worth one attempt.
    if (NO_RECONNECT.includes(code) && !(since && code === NOT_SIGNED_IN)) {
      if (!since && code !== NOT_SIGNED_IN) {
        session.forget();
      }
      become(CLOSED, { code, reason: reason || "closed by the server" });
      return;
    }
    if (since && Date.now() - since > times.lasted) {
      attempts = 0;
    }
    const delay = (Math.min(times.longestDelay, times.firstDelay * 2 ** attempts) * (1 + Math.random())) / 2;
    attempts += 1;
    after(delay, open);
    become(WAITING, { until: Date.now() + delay, code, reason, offline: globalThis.navigator?.onLine === false });
  };

  return {
    open,

    /** Somebody looks at the page again: see at once whether there is a connection still, and open one if not. */
    wake() {
      if (state === WAITING) {
        open();
      } else if (state === CONNECTED) {
        ping(AWAKE_WITHIN, open);
      }
    },

    /** Be as if the network had broken. */
    lose: () => socket && lost(),

    close(reason) {
      drop();
      become(CLOSED, { reason });
    },

    /** False when there is no connection. */
    send: (frame) => state === CONNECTED && send(frame),
  };
};

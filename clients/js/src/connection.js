// The WebSocket: opens it, greets, notices that it is gone, opens it again.

import { encode } from "./frame.js";

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
 * One WebSocket at a time, made by `dial()`. `token()` promises what proves who this is. `enter` gets each new state,
 * `{name}`: connecting, connected (welcomed, and the replay has arrived), waiting (`until`) or closed (`code`, `reason`);
 * `welcome` what the session makes of the welcome; `hear` every other frame that is new; `raw` everything, as it goes and
 * comes.
 */
export const createConnection = ({ dial, parse, token, session, timings, enter, welcome, hear, raw }) => {
  const times = { ...TIMINGS, ...timings };
  let socket = null;
  let timer = null; // the one thing being waited for: an opening, silence, a pong, or the end of a delay
  let attempts = 0;
  let connectedAt = 0;
  let welcomed = false;
  let state = "";

  const become = (name, more) => enter({ name: (state = name), ...more });

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
    welcomed = false;
    socket?.close();
    socket = null;
  };

  // Now, whatever was being waited for.
  const open = () => {
    drop();
    after(times.open, lost);
    const mine = timer; // who waits for a token may be overtaken
    become("connecting");
    token()
      .then((shown) => mine === timer && greet(dial(), shown))
      .catch(({ message }) => mine === timer && lost({ reason: message }));
  };

  const greet = (dialled, shown) => {
    const current = (f) => (event) => dialled === socket && f(event);
    socket = dialled;
    socket.onopen = current(() => {
      send(session.connect(shown));
      after(times.welcome, lost);
    });
    socket.onmessage = current(heard);
    socket.onclose = current(lost);
    socket.onerror = () => {}; // its close follows
  };

  const heard = ({ data }) => {
    let frame;
    try {
      frame = parse(data);
    } catch {
      console.warn("no JSON:", data);
      return;
    }
    const { action, payload } = frame;
    raw(false, frame);
    if (action === "welcome" && !welcomed) {
      welcomed = true;
      connectedAt = Date.now();
      welcome(session.welcome(payload));
    } else if (action === "resume_token") {
      session.renew(payload.resume);
    } else if (session.isNew(frame)) {
      hear(frame);
    }
    if (welcomed) {
      // A browser is not told when its network vanishes: silence is answered with a ping, a missing pong with a new
      // connection.
      after(times.pingAfter, () => ping(times.pongWithin, lost));
      if (state !== "connected" && !session.missing()) {
        become("connected");
      }
    }
  };

  const lost = ({ code, reason } = {}) => {
    const stranger = !welcomed;
    drop();
    // A token that has expired may have been renewed meanwhile, in a cookie or by `token()`: that is worth one attempt.
    if (NO_RECONNECT.includes(code) && (stranger || code !== NOT_SIGNED_IN)) {
      if (stranger && code !== NOT_SIGNED_IN) {
        session.forget();
      }
      become("closed", { code, reason: reason || "closed by the server" });
      return;
    }
    if (!stranger && Date.now() - connectedAt > times.lasted) {
      attempts = 0;
    }
    const delay = (Math.min(times.longestDelay, times.firstDelay * 2 ** attempts) * (1 + Math.random())) / 2;
    attempts += 1;
    after(delay, open);
    become("waiting", { until: Date.now() + delay, code, reason, offline: globalThis.navigator?.onLine === false });
  };

  return {
    open,

    /** Somebody looks at the page again: see at once whether there is a connection still, and open one if not. */
    wake() {
      if (state === "waiting") {
        open();
      } else if (state === "connected") {
        ping(AWAKE_WITHIN, open);
      }
    },

    /** Be as if the network had broken. */
    lose: () => socket && lost(),

    close(reason) {
      drop();
      become("closed", { reason });
    },

    /** False when there is no connection. */
    send: (frame) => state === "connected" && send(frame),
  };
};

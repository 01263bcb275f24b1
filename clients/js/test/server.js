// A server within this process: what a client sends is in `sent`, what `say` gives it hears, or `hear` as text.

import { afterEach } from "node:test";

import { connect } from "../src/index.js";

const WELCOME = { client_id: "ann", epoch: "one", resume: "r", recovered: true, replayed: 0, cursors: { client: 0 } };

const clients = [];
afterEach(() => clients.splice(0).forEach((client) => client.close()));

/** A client that is connected, unless `welcome` is null. */
export const served = async ({ welcome = {}, ...options } = {}) => {
  const sent = [];
  let socket;
  let opened;
  class WebSocket {
    constructor() {
      socket = this;
    }
    send(text) {
      sent.push(JSON.parse(text));
    }
    close() {}
  }
  const hear = (data) => socket.onmessage({ data });
  const say = (frame) => hear(JSON.stringify(frame));
  const open = async (more) => {
    while (!socket?.onopen || socket === opened) {
      await new Promise(setImmediate);
    }
    opened = socket;
    socket.onopen();
    say({ action: "welcome", payload: { ...WELCOME, ...more } });
  };
  const client = connect({ url: "ws://nowhere.test/", WebSocket, storage: null, ...options });
  clients.push(client);
  if (welcome) {
    await open(welcome);
  }
  return {
    client,
    sent,
    say,
    hear,
    open,
    close: (code, reason = "") => socket.onclose({ code, reason }),
    /** The frames of an action that were sent. */
    all: (action) => sent.filter((frame) => frame.action === action),
  };
};

/** A `Storage` that outlives a page. */
export const storage = () => {
  const items = new Map();
  return {
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => items.set(key, value),
    removeItem: (key) => items.delete(key),
  };
};

// Sessions: which events are new, where a client begins when it comes back, and what it is told of history.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createMemory } from "../src/memory.js";
import { createSession } from "../src/session.js";
import { storage } from "./server.js";

const welcome = ({ client = 0, system = 0, ...more } = {}) => ({
  client_id: "ann",
  epoch: "one",
  resume: "resume",
  recovered: true,
  replayed: 0,
  cursors: { client, system },
  ...more,
});
const remembering = (memory = createMemory(storage(), "", JSON.parse)) => {
  const session = createSession(memory, { client: 0 });
  session.connect();
  return session;
};
const hear = (session, sequences, group) => sequences.map((seq) => session.isNew({ action: "x", seq, group }));
const cursors = (session) => session.connect().payload.cursors;

test("an event is new once for each scope, one that comes late too, and what is not counted always", () => {
  const session = remembering();
  session.welcome(welcome({ client: 4, system: 4 }));
  assert.deepEqual(hear(session, [4, 5, 5, 9, 8, 9, 8]), [false, true, false, true, true, false, false]);
  assert.deepEqual(hear(session, [4, 6, 6], "system"), [false, true, false]);
  assert.deepEqual(hear(session, [undefined, undefined]), [true, true]);
  assert.deepEqual(cursors(session), { client: 8, system: 6 });
});

test("a connection lost in the middle of a replay costs no event", () => {
  const session = remembering();
  session.welcome(welcome({ replayed: 3, client: 30, system: 30 }));
  hear(session, [10, 20]);
  assert.equal(session.missing(), 1);
  assert.equal(cursors(session).client, 20);
  session.welcome(welcome({ replayed: 1, client: 30, system: 30 }));
  assert.deepEqual(hear(session, [30]), [true]);
  assert.equal(session.missing(), 0);
  assert.deepEqual(cursors(session), { client: 30, system: 30 });
});

test("a replay with an event that is known ends all the same", () => {
  const session = remembering();
  session.welcome(welcome());
  hear(session, [9, 8]); // so that it comes back after 8
  session.welcome(welcome({ replayed: 1, client: 9 }));
  assert.deepEqual(hear(session, [9]), [false]);
  assert.equal(session.missing(), 0);
});

test("a stream that was made anew, or put back, gives its sequences again", () => {
  const session = remembering();
  session.welcome(welcome());
  hear(session, [50, 60]);
  session.welcome(welcome({ client: 40 }));
  assert.equal(cursors(session).client, 40);
  assert.deepEqual(hear(session, [50]), [true]);
  const told = session.welcome(welcome({ epoch: "two" }));
  assert.deepEqual([told.sameClient, told.recovered], [true, false]);
  assert.deepEqual(hear(session, [50]), [true]);
});

test("of a group that it is not in any more it keeps no place", () => {
  const session = remembering();
  session.welcome(welcome({ cursors: { client: 4, system: 4, admins: 4 } }));
  hear(session, [5], "admins");
  assert.deepEqual(cursors(session), { client: 4, system: 4, admins: 5 });
  session.welcome(welcome({ client: 6, system: 6 }));
  assert.deepEqual(cursors(session), { client: 6, system: 6 });
  session.welcome(welcome({ cursors: { client: 8, system: 8, admins: 8 } }));
  assert.deepEqual(cursors(session), { client: 8, system: 8, admins: 8 });
});

test("of groups that it joins it keeps no more places than a server takes", () => {
  const session = remembering();
  session.welcome(welcome({ client: 4, system: 4 }));
  for (let seq = 5; seq < 500; seq += 1) {
    assert.deepEqual(hear(session, [seq, seq], `room-${seq}`), [true, false]);
  }
  assert.deepEqual(hear(session, [500]), [true]);
  const { client, system, ...rooms } = cursors(session);
  assert.deepEqual([client, system, Object.keys(rooms).length], [500, 4, 62]);
});

test("a later page is the same client and hears of its jobs again; one that the server does not take is a stranger", () => {
  const memory = createMemory(storage(), "", JSON.parse);
  const session = remembering(memory);
  session.welcome(welcome({ client: 4, system: 4 }));
  hear(session, [5]);
  session.renew("newer");
  const later = createSession(memory, { client: 0 });
  assert.deepEqual(later.connect("a token").payload, {
    token: "a token",
    resume: "newer",
    cursors: { client: 0, system: 4 },
  });
  assert.equal(later.welcome(welcome({ recovered: false })).recovered, false);
  later.forget();
  assert.deepEqual(later.connect().payload, { token: undefined, resume: null, cursors: {} });
  const told = later.welcome(welcome({ client_id: "bob" }));
  assert.deepEqual([told.first, told.sameClient, told.recovered], [false, false, false]);
});

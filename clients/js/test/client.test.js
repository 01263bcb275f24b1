// A client and a server within this process: what is hard to come by with a real one.

import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { Disconnected, JobLost, Refused } from "../src/index.js";
import { notificationsOf } from "../src/notifications.js";
import { requestsOf } from "../src/requests.js";
import { served, storage } from "./server.js";

const event = (action, seq, more) => ({ action, seq, at: "2030-01-01T00:00:00Z", job_id: "1", payload: "", ...more });
const error = (type, ref) => ({ action: "error", ref, payload: [{ type, loc: [], msg: type }] });

test("a job that was cancelled while nobody knew whether it was accepted is called off as soon as that is known", async () => {
  const { client, say, close, all, open } = await served();
  const job = client.submit("default", "x", { key: "k" });
  assert.deepEqual(all("system_message").map(({ key }) => key), ["k"]);
  close(1006);
  job.cancel();
  assert.deepEqual([job.state, job.cancelling], ["sending", true]);
  client.reconnect();
  await open({ replayed: 1 });
  say(event("job_queued", 5, { ref: "k" }));
  assert.deepEqual(all("cancel_job").map(({ payload }) => payload.job_id), ["1"]);
  say(event("job_cancelled", 6));
  await assert.rejects(job.result, { name: "JobCancelled", by: null });
});

test("a job that may have ended unseen is asked for, and one that the server does not know is lost", async () => {
  const { client, say, close, all, open } = await served();
  const job = client.submit("default", "x", { key: "k" });
  const other = client.submit("default", "y", { key: "l" });
  say(event("job_queued", 1, { ref: "k" }));
  say(event("job_queued", 2, { ref: "l", job_id: "2" }));
  close(1006);
  client.reconnect();
  await open({ recovered: false });
  assert.deepEqual([job.state, job.error], ["interrupted", null]);
  assert.deepEqual(all("get_job").map(({ ref }) => ref), ["1", "2"]);
  const stands = { job_id: "1", state: "job_result", text: "X", attempt: 2, attempts: [], not_before: null };
  say({ action: "job_status", ref: "1", payload: stands });
  say(error("unknown_job", "2"));
  assert.equal(await job.result, "X");
  assert.equal(other.state, "interrupted");
  await assert.rejects(other.result, JobLost);
});

test("what the server says of a job that has ended unseen is what its end would have said", async () => {
  const { client, say, close, open } = await served();
  const jobs = ["1", "2", "3", "4", "5"].map((key) => client.submit("default", "x", { key }));
  jobs.forEach((_, index) => say(event("job_queued", index + 1, { ref: String(index + 1), job_id: String(index + 1) })));
  close(1006);
  client.reconnect();
  await open({ recovered: false });
  const stands = { attempt: 1, attempts: [], not_before: null, result: null, reason: null, by: null };
  const status = (ref, more) => say({ action: "job_status", ref, payload: { job_id: ref, ...stands, ...more } });
  status("1", { state: "job_result", text: '{"sum":6}', result: { sum: 6 } });
  status("2", { state: "job_result", text: "null" });
  status("3", { state: "job_failed", text: "The job failed: no paper", reason: "no paper" });
  status("4", { state: "job_cancelled", text: "The job was cancelled by ann", by: "ann" });
  status("5", { state: "job_failed", text: "The job failed" }); // by an event of an older version
  assert.deepEqual(await Promise.all([jobs[0].result, jobs[1].result]), [{ sum: 6 }, null]);
  assert.equal(jobs[0].text, '{\n  "sum": 6\n}');
  await assert.rejects(jobs[2].result, { name: "JobFailed", reason: "no paper" });
  await assert.rejects(jobs[3].result, { name: "JobCancelled", by: "ann" });
  await assert.rejects(jobs[4].result, { name: "JobFailed", reason: "The job failed" });
});

test("jobs of somebody who uses one ref for all are jobs of their own", async () => {
  const { client, say } = await served();
  say(event("job_queued", 1, { ref: "same", content: "one" }));
  say(event("job_queued", 2, { ref: "same", job_id: "2", content: "two" }));
  assert.deepEqual([...client.jobs].map(({ id, content }) => [id, content]), [["2", "two"], ["1", "one"]]); // prettier-ignore
});

test("a job whose key was used elsewhere goes on as the one that is held here", async () => {
  const { client, say } = await served();
  say(event("job_queued", 1));
  say(event("job_output", 2, { payload: "so far", attempt: 1, index: 0 }));
  const job = client.submit("default", "x", { key: "k" });
  const stands = { job_id: "1", state: "job_started", text: "", attempt: 1, attempts: [], not_before: null };
  say({ action: "job_status", ref: "k", payload: stands });
  say(event("job_output", 3, { payload: ", and on", attempt: 1, index: 1 }));
  assert.deepEqual([job.text, client.jobs.size, client.jobs.get("1")], ["so far, and on", 1, job]);
});

test("what the server has not confirmed is there after a reload, as it was", async () => {
  const kept = storage();
  const before = await served({ storage: kept });
  before.client.submit("default", "refused for now", { key: "k" });
  before.client.submit("default", "on its way", { key: "l", delay: 60 });
  before.say(error("busy", "k"));
  await new Promise(setImmediate);
  const { client, sent } = await served({ storage: kept });
  const [onItsWay, refused] = client.jobs;
  assert.deepEqual([refused.key, refused.state, refused.error.message], ["k", "unsent", "busy"]);
  assert.ok(onItsWay.submittedAt instanceof Date);
  assert.deepEqual(sent.slice(1).map(({ key, delay }) => [key, delay > 59]), [["l", true]]); // prettier-ignore
  refused.retry();
  assert.equal(sent.at(-1).key, "k");
});

test("who cancels a job and loads the page again has cancelled it, whether it was confirmed or runs", async () => {
  const kept = storage();
  const before = await served({ storage: kept });
  const changes = [];
  const jobs = ["k", "l"].map((key) => before.client.submit("default", "x", { key }));
  before.say(event("job_queued", 1, { ref: "l", job_id: "2" }));
  before.say(event("job_started", 2, { job_id: "2", attempt: 1 }));
  before.close(1006);
  before.client.jobs.subscribe(({ type, job }) => changes.push([type, job.key, job.cancelling]));
  jobs.forEach((job) => job.cancel());
  assert.deepEqual(changes, [["changed", "k", true], ["changed", "l", true]]); // prettier-ignore
  await new Promise(setImmediate);
  const { client, say, all } = await served({ storage: kept });
  const cancelled = () => all("cancel_job").map(({ payload }) => payload.job_id);
  const [runs, unconfirmed] = client.jobs;
  assert.deepEqual([runs.state, runs.cancelling, runs.startedAt instanceof Date], ["started", true, true]);
  assert.deepEqual([unconfirmed.state, unconfirmed.cancelling, cancelled()], ["sending", true, ["2"]]);
  say(event("job_queued", 3, { ref: "k" }));
  assert.deepEqual(cancelled(), ["2", "1"]);
  say(event("job_cancelled", 4));
  say(event("job_cancelled", 5, { job_id: "2" }));
  await new Promise(setImmediate);
  assert.deepEqual([...client.jobs].map(({ state }) => state), ["cancelled", "cancelled"]);
  assert.equal(kept.getItem("busctl.unconfirmed"), null);
});

test("a job that is cancelled and was not accepted ends, and who tries again wants it done", async () => {
  const { client, say, all } = await served();
  const [sending, unsent, unsure] = ["k", "l", "m"].map((key) => client.submit("default", "x", { key }));
  sending.cancel();
  say(error("too_many_jobs", "k")); // so the server does not have it
  say(error("too_many_jobs", "l"));
  assert.deepEqual([sending.state, unsent.state], ["cancelled", "unsent"]);
  unsent.cancel();
  assert.equal(unsent.state, "cancelled");
  const again = () => all("system_message").filter(({ key }) => key === "m").length;
  unsure.cancel();
  say(error("bus_unavailable", "m"));
  assert.deepEqual([unsure.state, unsure.cancelling, again()], ["unsent", true, 1]);
  unsure.cancel(); // whether there is such a job, only the answer to the same one tells
  assert.deepEqual([unsure.state, unsure.cancelling, again()], ["sending", true, 2]);
  say(error("bus_unavailable", "m"));
  assert.equal(unsure.retry(), unsure);
  say(event("job_queued", 1, { ref: "m" }));
  assert.deepEqual([unsure.state, unsure.cancelling, again(), all("cancel_job")], ["queued", false, 3, []]);
});

test("a job that is cancelled and is too big for the server ends, and one that is not is told of", async () => {
  const { client, close } = await served();
  const [cancelled, held] = [client.submit("default", "x"), client.submit("default", "y")];
  cancelled.cancel();
  close(1009, "too big");
  assert.deepEqual([cancelled.state, held.state, held.reason], ["cancelled", "unsent", "too big"]);
  await assert.rejects(held.result, Disconnected);
});

test("a job that the server never had is done again as one of its own", async () => {
  const { client, close, all, open } = await served();
  close(1006);
  const jobs = [client.submit("default", "x"), client.submit("default", "y", { retryOf: "ended" })];
  jobs.forEach((job) => job.cancel());
  assert.deepEqual(jobs.map((job) => job.retry().retryOf), [null, "ended"]);
  client.reconnect();
  await open();
  assert.deepEqual(all("system_message").map(({ payload }) => payload.content), ["x"]);
  assert.deepEqual(all("retry_job").map(({ payload }) => payload.job_id), ["ended"]);
});

test("a job that may have been stored, and was cancelled, is called off when that shows", async () => {
  const { client, say, all } = await served();
  const job = client.submit("default", "x", { key: "k" });
  job.cancel();
  say(error("internal_error", "k"));
  say(event("job_queued", 1, { ref: "k" }));
  assert.deepEqual(all("cancel_job").map(({ payload }) => payload.job_id), ["1"]);
});

test("what a listener raises, or no frame, is reported, and stops neither the others nor the program", async () => {
  const reported = mock.method(console, "error", () => {});
  try {
    const { client, say, hear } = await served();
    const fault = new Error("a listener's own fault");
    const heard = [];
    client.on("pong", () => {
      throw fault;
    });
    client.on("pong", ({ action }) => heard.push(action));
    hear("no JSON");
    say({ action: "pong", payload: null });
    await new Promise(setImmediate);
    const [[noJson], ...others] = reported.mock.calls.map(({ arguments: errors }) => errors);
    assert.deepEqual([heard, noJson.name, others], [["pong"], "SyntaxError", [[fault]]]);
  } finally {
    reported.mock.restore();
  }
});

test("half a character is made readable, and a key that is none is refused at once", async () => {
  const { client, sent } = await served();
  client.submit("default", { text: ["half \ud83d", "whole 😀", "no \\ud83d", null, 1, ""] });
  assert.deepEqual(sent.at(-1).payload.content, { text: ["half \ufffd", "whole 😀", "no \\ud83d", null, 1, ""] });
  requestsOf(client)("mine", "half \udc00").catch(() => {});
  assert.equal(sent.at(-1).payload, "half \ufffd");
  for (const key of [17, "", "k".repeat(129), "\ud83d"]) {
    assert.throws(() => client.submit("default", "x", { key }), TypeError);
  }
  assert.equal(client.submit("default", "x", { key: "😀".repeat(128) }).state, "sending");
  assert.ok(client.submit("default", "x", { key: null }).key);
  assert.equal(client.jobs.size, 3);
});

test("what a server cannot read is refused with its reason, a job and a request", async () => {
  const { client, say, close, open, all } = await served();
  const nested = (levels) => (levels ? [nested(levels - 1)] : "x");
  const jobs = [nested(1000), { "\ud83d": "half a character in a name" }].map((content) => client.submit("default", content));
  const asked = requestsOf(client)("mine", nested(1000));
  [...jobs.map(({ key }) => key), all("mine")[0].ref].forEach((ref) => say(error("json_invalid", ref)));
  await assert.rejects(asked, Refused);
  for (const job of jobs) {
    assert.deepEqual([job.state, job.reason], ["refused", "json_invalid"]);
    await assert.rejects(job.result, Refused);
  }
  close(1006);
  client.reconnect();
  await open();
  assert.equal(all("system_message").length, 2); // it is not sent again
});

test("a frame that is named as an event of the client is told as a frame alone", async () => {
  const { client, say, all } = await served();
  const answer = requestsOf(client)("ping");
  const heard = [];
  for (const name of ["state", "welcome", "frame"]) {
    client.on(name, ({ frame }) => heard.push([name, frame?.action]));
    say({ action: name, payload: {}, seq: heard.length + 1 });
  }
  say({ action: "pong", payload: null, ref: all("ping")[0].ref });
  assert.equal((await answer).action, "pong");
  assert.deepEqual(heard, [["frame", "frame"], ["frame", "pong"]]); // prettier-ignore
});

test("clients of one program share nothing, though it may have the storage of a tab", async () => {
  const had = Object.getOwnPropertyDescriptor(globalThis, "sessionStorage");
  Object.defineProperty(globalThis, "sessionStorage", { value: storage(), configurable: true });
  try {
    const { client } = await served({ storage: undefined });
    assert.equal(client.id, "ann");
    assert.equal(sessionStorage.getItem("busctl.session"), null);
  } finally {
    delete globalThis.sessionStorage;
    if (had) {
      Object.defineProperty(globalThis, "sessionStorage", had);
    }
  }
});

test("a request has an answer, an error or an end, and nobody else hears of it", async () => {
  const { client, say, sent, close } = await served();
  const request = requestsOf(client);
  const heard = [];
  client.on("error", (frame) => heard.push(frame));
  client.on("pong", (frame) => heard.push(frame));
  const [asked, refused, lost] = [request("ping"), request("ping"), request("ping")];
  const [first, second] = sent.slice(-3).map(({ ref }) => ref);
  say({ action: "pong", payload: null, ref: first });
  say(error("too_fast", second));
  assert.equal((await asked).action, "pong");
  await assert.rejects(refused, Refused);
  close(1006);
  await assert.rejects(lost, Disconnected);
  await assert.rejects(request("ping"), Disconnected);
  assert.deepEqual(heard, []);
});

test("no more frames a second than a server takes, however many jobs there are", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    const { client, all } = await served();
    for (let number = 0; number < 60; number += 1) {
      client.submit("default", String(number));
    }
    assert.equal(all("system_message").length, 50);
    mock.timers.tick(1000);
    const contents = all("system_message").map(({ payload }) => Number(payload.content));
    assert.deepEqual(contents, [...Array(60).keys()]);
  } finally {
    mock.timers.reset();
  }
});

test("a newer token is asked for until the server takes it", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    const tokens = ["old", "old", "new", "never"];
    const { client, say, all } = await served({ token: () => tokens.shift() });
    const errors = [];
    client.on("error", (frame) => errors.push(frame));
    say({ action: "token_expiring", payload: {} });
    await new Promise(setImmediate);
    assert.deepEqual(all("refresh_token"), []); // it is the one that the server knows
    mock.timers.tick(5000);
    await new Promise(setImmediate);
    const [{ payload, ref }] = all("refresh_token");
    assert.equal(payload.token, "new");
    say(error("unauthorized", ref));
    say({ action: "token_refreshed", payload: {}, ref });
    mock.timers.tick(5000);
    assert.deepEqual([tokens, errors], [["never"], []]);
  } finally {
    mock.timers.reset();
  }
});

test("announcements are listed until they expire", async () => {
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  try {
    const { client, say } = await served();
    const list = notificationsOf(client);
    const at = (milliseconds) => new Date(milliseconds).toISOString();
    const announced = { action: "system_notification", group: "system", at: at(0) };
    say({ ...announced, seq: 1, payload: "stays" });
    say({ ...announced, seq: 2, payload: "goes", expires_at: at(150_000) });
    assert.deepEqual(list.snapshot().map(({ payload }) => payload), ["goes", "stays"]);
    mock.timers.tick(60_000);
    mock.timers.tick(60_000);
    assert.equal(list.size, 2);
    mock.timers.tick(30_000);
    assert.deepEqual(list.snapshot().map(({ payload }) => payload), ["stays"]);
    list.dismiss(list.snapshot()[0]);
    assert.deepEqual([list.size, notificationsOf(client)], [0, list]);
  } finally {
    mock.timers.reset();
  }
});

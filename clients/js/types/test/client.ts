// What the compiler accepts, and what it does not: `npm run check`.

import { connect, Refused, type AnyJobs, type Job } from "busctl-client";
import { parse } from "busctl-client/json";
import { notificationsOf } from "busctl-client/notifications";
import { requestsOf } from "busctl-client/requests";

const client = connect({ url: "/ws/system", token: async () => "…", timings: { open: 5_000 }, parse });

const job = client.submit("translate", "hello", { delay: 5 });
const text: string = await job.result;
for await (const { text, reset } of job.output) {
  const piece: string = reset ? text : text.trim();
}
// @ts-expect-error: translate takes text
client.submit("translate", 5);
// @ts-expect-error: there is no such job
client.submit("transalte", "hello");
// @ts-expect-error: translate gives text
const number: number = await job.result;
// @ts-expect-error: what is told of a job is not to be written
job.state = "done";

client.on("system_notification", ({ payload, level }) => {
  const shown: "info" | "warning" | "critical" | undefined = level;
  const told: string = payload;
});
const levels = notificationsOf(client).snapshot().map(({ level }) => level);
const pong: string = (await requestsOf(client)("ping", null, { timeout: 1_000 })).action;
client.on("error", (frame, error) => error instanceof Refused && error.is("too_many_jobs"));
client.on("room_message", (frame) => frame.payload);
// @ts-expect-error: progress is a number or null
client.on("job_progress", ({ payload }) => payload.length);

const off: () => void = client.jobs.subscribe(({ type, job }) => type === "added" && job.cancel());
const jobs: readonly Job[] = client.jobs.snapshot();
if (client.state.name === "waiting") {
  const seconds: number = client.state.until - Date.now();
}

// Jobs of one's own, as `npx busctl-client types` makes them.
interface Jobs {
  resize: { content: { width: number; height?: number | null }; result: { files: string[] } };
}
const own = connect<Jobs>();
const files: string[] = (await own.submit("resize", { width: 640 }).result).files;
// @ts-expect-error: the width is missing
own.submit("resize", { height: 480 });
// @ts-expect-error: this server has no such job
own.submit("translate", "hello");

connect<AnyJobs>().submit("whatever", [1, 2, 3]);

export { files, jobs, levels, number, off, pong, text };

// Workers, what runs there, and queues.

import { element, make } from "../elements.js";
import { count, many, span } from "../amounts.js";
import { jobHref } from "./route.js";
import { figure, gauge, replace, table } from "./system_parts.js";

const MOST_LINKED = 50; // jobs of one worker

export class WorkersView {
  title = "Workers";

  show() {}

  hide() {}

  connection() {}

  /** Show a `system_state`. */
  system({ workers, redis, open_jobs: open }) {
    element("workers-wait").hidden = true;
    const room = workers.reduce((sum, { concurrency }) => sum + concurrency, 0);
    const running = workers.reduce((sum, worker) => sum + worker.running.length, 0);
    const queues = Object.entries(redis.queues ?? {});
    const waiting = queues.reduce((sum, [, length]) => sum + length, 0);
    replace(
      element("workers-figures"),
      figure("Workers", count.format(workers.length)),
      figure("Running", count.format(running), `of ${many(room, "place")}`),
      figure("Tasks waiting", redis.error ? "?" : count.format(waiting), redis.error ? "Redis does not answer" : ""),
      figure("Tasks taken", redis.error ? "?" : count.format(redis.taken ?? 0)),
      figure("Open jobs", open ? count.format(Object.values(open).reduce((sum, one) => sum + one, 0)) : "?"),
    );
    element("workers-none").hidden = workers.length > 0;
    replace(element("workers"), ...workers.map((worker) => card(worker)));
    replace(
      element("queues"),
      queues.length
        ? table(
            "Queues",
            [{ name: "Queue" }, { name: "Tasks waiting", className: "number" }, { name: "Workers", className: "number" }],
            queues.map(([name, length]) => [
              make("code", {}, name),
              count.format(length),
              count.format(workers.filter((worker) => worker.queues.includes(name)).length),
            ]),
          )
        : make("p", { className: "empty" }, redis.error ? `Redis does not answer: ${redis.error}` : "No queue is known."),
    );
  }
}

function card({ id, name, host, pid, version, up, concurrency, queues, running }) {
  const used = concurrency ? running.length / concurrency : 0;
  const words = `${running.length} of ${concurrency} in use`;
  const jobs = running.slice(0, MOST_LINKED).map(({ type, client_id, job_id, seconds }) =>
    make(
      "li",
      {},
      make("a", { id: `runs-${job_id}`, href: jobHref({ client_id, job_id }) }, make("strong", {}, type), ` ${job_id}`),
      make("span", { className: "hint" }, seconds === null ? "" : span(seconds * 1000)),
    ),
  );
  return make(
    "article",
    { className: "panel process", ariaLabel: `Worker ${name || id}` },
    make("div", { className: "process-head" }, make("h3", {}, name || `${host}:${pid}`), facts({ host, pid, version, up })),
    make("div", { className: "process-use" }, gauge("Places in use", used, words), make("span", {}, words)),
    make("p", { className: "hint" }, "Queues ", ...queues.map((queue) => make("code", { className: "chip" }, queue))),
    jobs.length
      ? make("ol", { className: "running" }, ...jobs)
      : make("p", { className: "hint" }, "Nothing runs here now."),
    running.length > MOST_LINKED ? make("p", { className: "hint" }, `and ${running.length - MOST_LINKED} more`) : "",
  );
}

/** Where a process is, and since when. */
export function facts({ host, pid, version, up }) {
  const since = up === null ? "" : ` · up ${span(Math.floor(up) * 1000)}`;
  return make("p", { className: "hint" }, `${host}, process ${pid} · ${version}${since}`);
}

// The stream, NATS and Redis: what they hold, for how long, and how full they are.

import { element, make } from "../elements.js";
import { past } from "../times.js";
import { away, bytes, count, many, share, span } from "../amounts.js";
import { href } from "./route.js";
import { figure, gauge, replace } from "./system_parts.js";

const OPEN = [
  ["running", "Running", "job_started"],
  ["queued", "Queued", "job_queued"],
  ["waiting", "Waiting", "job_retrying"],
  ["scheduled", "Scheduled", "scheduled"],
];

export class StreamView {
  title = "Stream";

  show() {}

  hide() {}

  connection() {}

  /** Show a `system_state`. */
  system({ nats, stream, redis, open_jobs: open }) {
    element("stream-wait").hidden = true;
    replace(element("stream"), ...(stream.error && stream.events === undefined ? [trouble(stream.error)] : about(stream)));
    replace(
      element("open-jobs"),
      ...(open
        ? OPEN.map(([key, name, state]) =>
            figure(make("a", { id: `open-${key}`, href: href("jobs", [], { state }) }, name), count.format(open[key] ?? 0)),
          )
        : [make("p", { className: "empty" }, "Not counted: no worker tells how many are open.")]),
    );
    const answer = nats.seconds === null ? "" : `, answers in ${(1000 * nats.seconds).toFixed(1)} ms`;
    replace(
      element("nats"),
      ...(nats.error
        ? [trouble(nats.error)]
        : [
            figure("Version", nats.version ?? "?"),
            figure("Server", nats.server ?? "?", nats.cluster ? `of cluster ${nats.cluster}` : ""),
            figure("Address", make("code", {}, nats.url), answer.slice(2)),
          ]),
    );
    replace(element("redis"), ...(redis.error ? [trouble(redis.error)] : aboutRedis(redis)));
  }
}

function about(stream) {
  const { error, events, bytes: used, max_bytes: most, share: part, max_age: age, oldest, replicas, leader, lagging } = stream;
  const room = most === null ? `${bytes(used)}, without a limit` : `${bytes(used)} of ${bytes(most)} (${share(part)})`;
  const behind = lagging.length ? `not up to date: ${lagging.join(", ")}` : leader ? "all are up to date" : "";
  return [
    error ? trouble(error) : "",
    make(
      "div",
      { className: "fill" },
      make("div", { className: "fill-words" }, make("strong", {}, room), make("span", { className: "hint" }, "Bytes kept")),
      most === null ? "" : gauge("How full the stream is", part, room),
    ),
    make(
      "dl",
      { className: "figures" },
      figure("Events", count.format(events)),
      figure("Kept for", age ? span(age * 1000) : "ever"),
      figure("Oldest event", oldest ? away(Date.now() - new Date(oldest)) : "–", oldest ? past(new Date(oldest)) : ""),
      figure("Replicas", count.format(replicas), [leader && `leader ${leader}`, behind].filter(Boolean).join(", ")),
    ),
  ];
}

function aboutRedis({ url, refuses, kind, version, role, policy, bytes: used, max_bytes: most, queues, taken }) {
  const evicts = policy && policy !== "noeviction" ? "tasks can be lost: set it to noeviction" : "";
  return [
    refuses ? trouble(`It takes no tasks: ${refuses}`) : "",
    figure("Version", `${kind} ${version}`.trim(), role ?? ""),
    figure("Memory", bytes(used ?? 0), most ? `of ${bytes(most)}` : ""),
    figure("Eviction policy", policy || "?", evicts),
    figure("Tasks", many(Object.values(queues ?? {}).reduce((sum, one) => sum + one, 0), "task"), `${count.format(taken ?? 0)} taken`),
    figure("Address", make("code", {}, url)),
  ];
}

const trouble = (text) => make("p", { className: "trouble" }, text);

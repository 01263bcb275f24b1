// A job's life as a bar, and in words.

import { make } from "../elements.js";
import { clock, past } from "../times.js";
import { going, span } from "../amounts.js";

const LEAST = 2; // percent of the bar, so that what was short can be seen

const OUTCOMES = {
  failed: "failed",
  lost: "worker lost",
  result: "done",
  cancelled: "cancelled",
  running: "running",
};

/** The elements that show a `JobStory`, as it is now. */
export function timeline(story) {
  const now = new Date();
  const parts = story.parts.map((part) => ({ ...part, took: Math.max(0, (part.to ?? now) - part.from) }));
  const whole = Math.max(
    1,
    parts.reduce((sum, { took }) => sum + took, 0),
  );
  const bar = parts.map(({ kind, words, took }) =>
    make("span", {
      className: "time-part",
      dataset: { kind },
      title: `${words}: ${span(took)}`,
      style: { flexGrow: String(Math.max(LEAST, (100 * took) / whole)) },
    }),
  );
  const rows = parts.map(({ kind, words, from, took, reason, to }) => {
    const outcome = OUTCOMES[kind] ? ` ${OUTCOMES[kind]}` : "";
    return make(
      "li",
      { dataset: { kind } },
      make("time", { dateTime: from.toISOString(), title: past(from) }, clock.format(from)),
      make("span", {}, `${words}${outcome}`, reason ? make("span", { className: "time-reason" }, reason) : ""),
      make("span", { className: "time-took" }, to ? span(took) : `${going(took)}…`),
    );
  });
  return [
    make("div", { className: "time-bar", role: "presentation" }, ...bar),
    make("ol", { className: "time-parts", ariaLabel: "Timings" }, ...rows),
  ];
}

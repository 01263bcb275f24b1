// Which jobs are listed: as the address has it, as the server is asked, and in words.

import { past } from "../times.js";
import { many } from "../amounts.js";
import { ENDED, label, STATES } from "./states.js";

const MINUTE = 60_000;

/** Lengths of time before now, as the address has them. */
export const RECENT = new Map([
  ["15m", { milliseconds: 15 * MINUTE, words: "the last 15 minutes" }],
  ["1h", { milliseconds: 60 * MINUTE, words: "the last hour" }],
  ["24h", { milliseconds: 1440 * MINUTE, words: "the last 24 hours" }],
]);

export class Filter {
  /** `states`; `type`, `client`, `text`; `since`, a key of `RECENT` or a time in RFC 3339, and `before`. */
  constructor({ states = [], type = "", client = "", text = "", since = "", before = "" } = {}) {
    Object.assign(this, { states, type, client, text, since, before });
  }

  static read(query) {
    const [type, client, text] = ["type", "client", "text"].map((name) => query.get(name) ?? "");
    const states = (query.get("state") ?? "").split(",").filter((state) => STATES.includes(state));
    const since = query.get("since") ?? "";
    return new Filter({
      states,
      type,
      client,
      text,
      since: RECENT.has(since) || isTime(since) ? since : "",
      before: isTime(query.get("before")) ? query.get("before") : "",
    });
  }

  with(changes) {
    return new Filter({ ...this, ...changes });
  }

  /** For the address. */
  get query() {
    const { states, type, client, text, since, before } = this;
    return { state: states.join(","), type, client, text, since, before };
  }

  /** Whether it leaves out anything. */
  get narrow() {
    return Object.values(this.query).some(Boolean);
  }

  /** For the server. What is recent is so by whole minutes: a filter that moves has to be looked through again. */
  get wire() {
    const recent = RECENT.get(this.since);
    const now = Math.floor(Date.now() / MINUTE) * MINUTE;
    return {
      states: this.states,
      task_type: this.type || null,
      client_id: this.client || null,
      text: this.text.trim() || null,
      since: recent ? new Date(now - recent.milliseconds).toISOString() : this.since || null,
      before: this.before || null,
    };
  }

  /** How many of these jobs are open, and how many have ended, by the number in each state. */
  matching(counts) {
    const wanted = this.states.length ? this.states : STATES;
    const sum = (ended) =>
      wanted.filter((state) => ENDED.has(state) === ended).reduce((total, state) => total + (counts[state] ?? 0), 0);
    return { open: sum(false), ended: sum(true) };
  }

  /** What `number` jobs of it are, as a noun with all that belongs to it. */
  words(number, kind) {
    const { type, client, text, since, before } = this;
    const states = this.states.map((state) => label(state).toLowerCase()).join(" or ");
    const recent = RECENT.get(since);
    const parts = [
      states && `in state ${states}`,
      type && `of type ${type}`,
      client && `of client ${client}`,
      text.trim() && `with “${text.trim()}”`,
      recent && `submitted in ${recent.words}`,
      !recent && since && `submitted since ${past(new Date(since))}`,
      before && `submitted before ${past(new Date(before))}`,
    ].filter(Boolean);
    return `${many(number, `${kind} job`)} ${parts.length ? parts.join(", ") : "of every type and client"}`;
  }
}

function isTime(text) {
  return Boolean(text) && !Number.isNaN(Date.parse(text));
}

// The AsyncAPI document, as the console asks it: what a channel takes, as which schema, and an example of it.

import { resolve } from "../fields.js";

const DEADLINE = 15_000; // milliseconds to wait for the document
const NOT_AGAIN = ["key", "traceparent"]; // with these, a second time would be the same job, or of another's trace

export class DescribedWire {
  #document;

  constructor(document) {
    this.#document = document;
  }

  /** Ask this server. Raises an `Error` that says why there is none. */
  static async load() {
    const { href } = document.querySelector("link[rel=alternate][type='application/json']");
    const answer = await fetch(href, { signal: AbortSignal.timeout(DEADLINE) });
    if (!answer.ok) {
      throw new Error(`the server answered with ${answer.status}`);
    }
    return new DescribedWire(await answer.json());
  }

  /** What clients send on a channel, in the order of the document. */
  messages(channel) {
    const { operations, components } = this.#document;
    const pointer = `#/channels/${channel}`;
    return Object.values(operations)
      .filter((operation) => operation.action === "receive" && operation.channel.$ref === pointer)
      .flatMap((operation) => operation.messages)
      .map(({ $ref }) => {
        const name = $ref.split("/").pop();
        return new DescribedMessage(components.messages[name], components.schemas, this.#document["x-jobs"] ?? {});
      });
  }
}

/** One message that clients send. `root` is where the references of its `schema` lead to. */
class DescribedMessage {
  #jobs;
  #examples;

  constructor({ name, summary = "", payload, examples = [], "x-modes": modes }, schemas, jobs) {
    this.action = name;
    this.summary = summary;
    this.modes = modes;
    this.root = { $defs: schemas };
    this.schema = resolve(payload, this.root);
    this.#examples = examples;
    this.#jobs = jobs;
  }

  /** What a payload may be, `{name, keys}` each, with the keys by which it is told; none where it is always alike. */
  get kinds() {
    const names = Object.keys(this.#jobs);
    if (this.action === "system_message" && names.length) {
      return names.map((name) => ({ name, keys: { task_type: name } }));
    }
    return this.#choices.length < 2 ? [] : this.#choices.map(told);
  }

  /** What kinds are called. */
  get kindsAre() {
    return this.action === "system_message" ? "Job type" : "Kind";
  }

  /** The kind of a payload; undefined for one that is of none. */
  kindOf(payload) {
    return this.kinds.find(({ keys }) => Object.entries(keys).every(([key, value]) => payload?.[key] === value));
  }

  /** The schema of a payload. */
  payloadSchema(payload) {
    const choices = this.#choices;
    return choices.length ? choices[Math.max(0, choiceOf(choices, payload))] : resolve(this.schema.properties.payload, this.root);
  }

  /** A frame to begin with, of a kind if there are some. */
  example(mode, kind) {
    const suits = this.#examples.filter(({ name = mode }) => name === mode).map(({ payload }) => payload);
    const alike = ({ payload }) => choiceOf(this.#choices, payload) === choiceOf(this.#choices, kind?.keys);
    const found = suits.find(({ payload }) => this.kindOf(payload)?.name === kind?.name) ?? suits.find(alike);
    const frame = structuredClone(found ?? { action: this.action });
    NOT_AGAIN.forEach((key) => delete frame[key]);
    return kind ? { ...frame, payload: { ...kind.keys, ...this.#begun(kind.keys), ...frame.payload, ...kind.keys } } : frame;
  }

  // The objects that such a payload must have, so that what is missing in one is told for each of its keys.
  #begun(keys) {
    const { properties = {}, required = [] } = this.payloadSchema(keys);
    const objects = required.filter((key) => resolve(properties[key], this.root).properties);
    return Object.fromEntries(objects.map((key) => [key, {}]));
  }

  get #choices() {
    const payload = resolve(this.schema.properties.payload, this.root);
    return (payload.oneOf ?? payload.anyOf ?? []).map((one) => resolve(one, this.root)).filter(({ type }) => type === "object");
  }
}

function told({ title, properties }, index) {
  const keys = Object.fromEntries(Object.entries(properties).filter(([, one]) => "const" in one).map(([key, one]) => [key, one.const]));
  return { name: Object.values(keys).join(", ") || title || `${index + 1}`, keys };
}

function choiceOf(choices, payload) {
  return choices.findIndex((one) => fits(one, payload));
}

// Whether an object is the one of several that it is told to be: what is fixed there, it has.
function fits({ properties = {} }, value) {
  return (
    isObject(value) &&
    Object.entries(properties).every(([key, one]) => {
      const is = value[key];
      return ("const" in one ? [one.const] : (one.enum ?? [is])).includes(is) && !one.not?.enum?.includes(is);
    })
  );
}

function isObject(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

// TypeScript declarations from an AsyncAPI document: `Jobs`, what each job takes and gives, and `Frames`, by action.

const BANNER = "// Made by `busctl-client types` from the AsyncAPI document of a server. Do not edit it: make it again.";

export const NO_DOCUMENT = "this is no AsyncAPI document of a busctl server; it is at /asyncapi.json";

/** Declarations as text. Raises when it is no document of busctl. */
export async function typesOf(document) {
  const { compile } = await import("json-schema-to-typescript");
  const { components: { messages = {}, schemas = {} } = {}, "x-jobs": jobs } = document;
  const described = Object.values(messages).map(({ name, payload }) => ({ action: name, schema: found(payload, schemas) }));
  if (!jobs || !described.some(({ action }) => action === "system_message")) {
    throw new Error(NO_DOCUMENT);
  }
  const takes = payloadsOf(described, "system_message", schemas).flatMap((payload) => {
    return choices(payload, schemas).map(({ properties }) => ({ type: properties.task_type, value: properties.content }));
  });
  const gives = described.filter(({ action }) => action === "job_result").map(({ schema: { properties } }) => {
    return { type: properties.task_type, value: properties.payload };
  });
  const root = {
    ...object({
      Jobs: { ...object(mapped(Object.keys(jobs), (name) => job(name, jobs[name], takes, gives))), title: "Jobs" },
      Frames: { ...object(frames(described)), title: "Frames" },
    }),
    components: { schemas },
  };
  const options = { bannerComment: BANNER, additionalProperties: false, ignoreMinAndMaxItems: true };
  return compile(withoutTitles(root), "Wire", options);
}

function job(name, { summary }, takes, gives) {
  const valueOf = (all) => withoutText(all.find(({ type }) => fits(name, type))?.value ?? {});
  return { ...object({ content: valueOf(takes), result: valueOf(gives) }), description: summary };
}

// By action; those of several forms, such as the results of jobs, are one of them.
function frames(described) {
  const actions = [...new Set(described.map(({ action }) => action))].sort();
  return mapped(actions, (action) => {
    const forms = described.filter((one) => one.action === action).map(({ schema }) => schema);
    return forms.length === 1 ? forms[0] : { anyOf: forms };
  });
}

function payloadsOf(described, action, schemas) {
  return described.filter((one) => one.action === action).map(({ schema }) => found(schema.properties.payload, schemas));
}

function choices(schema, schemas) {
  return (schema.oneOf ?? schema.anyOf ?? [schema]).map((choice) => found(choice, schemas));
}

function fits(name, { const: only, enum: some, anyOf, not }) {
  if (anyOf) {
    return anyOf.some((one) => one.type !== "null" && fits(name, one));
  }
  return only === undefined && !some ? !not?.enum.includes(name) : only === name || some?.includes(name);
}

function found(schema, schemas) {
  const ref = schema.$ref ?? schema.allOf?.[0]?.$ref;
  return ref ? found(schemas[ref.split("/").at(-1)], schemas) : schema;
}

function object(properties) {
  return { type: "object", properties, required: Object.keys(properties), additionalProperties: false };
}

function mapped(names, value) {
  return Object.fromEntries(names.map((name) => [name, value(name)]));
}

// What describes a frame's key says nothing of a certain job.
function withoutText({ description, examples, ...schema }) {
  return schema;
}

// A title would make a type of its own of each property that has one. Schemas keep their names.
function withoutTitles(node, key) {
  if (Array.isArray(node)) {
    return node.map((item) => withoutTitles(item));
  }
  if (node === null || typeof node !== "object") {
    return node;
  }
  const kept = Object.entries(node).filter(([name, value]) => name !== "title" || typeof value !== "string" || isNamed(node));
  return Object.fromEntries(kept.map(([name, value]) => [name, withoutTitles(value)]));
}

function isNamed({ type, properties, title }) {
  return type === "object" && properties && /^\w+$/.test(title);
}

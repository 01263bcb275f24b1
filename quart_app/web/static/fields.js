// Fields of a form, each made from a JSON Schema as pydantic writes it.
//
// A field has an `element`, the `input` in it that gets the focus, and `read()`: the value as JSON has it, `undefined` to
// leave it out. `read` raises an `Error` with what is wrong. `write(value)` shows such a value, or the
// default for `undefined`. Names and texts of a schema go through `textContent` only.

import { make } from "./elements.js";
import { parse, readable } from "./client/json.js";

const LINES = new Set(["string", "integer", "number"]); // types of items that are written one in a line
const LONG = 200; // characters a text may have from which on it gets several lines
const count = new Intl.NumberFormat("en", { maximumFractionDigits: 20 });

let made = 0;

/** The schema that a node of `root` stands for, with what `$ref`, a single `allOf` and "or null" hide. */
export function resolve(node, root) {
  const { $ref, allOf, anyOf, ...rest } = node;
  if ($ref) {
    return resolve({ ...root.$defs[$ref.split("/").pop()], ...rest }, root);
  }
  if (allOf?.length === 1) {
    return resolve({ ...allOf[0], ...rest }, root);
  }
  const choices = anyOf?.filter(({ type }) => type !== "null") ?? [];
  if (choices.length === 1) {
    return { ...resolve({ ...choices[0], ...rest }, root), nullable: true };
  }
  const types = choices.map(({ type }) => type).join();
  if (types === "number,string") {
    return { ...rest, type: "string", format: "decimal", nullable: choices.length < anyOf.length }; // exact as text
  }
  return node;
}

/** One field. `required` is whether the value has to be there; one that is not typed is null then, where that may be. */
export function field(schema, label, required, root) {
  const known = resolve(schema, root);
  const needed = required && !known.nullable;
  const { input, read, write = (value) => (input.value = value ?? ""), kind } = control(known, needed, root);
  const id = `field-${(made += 1)}`;
  const element = make("div", { className: `field ${kind}` });
  const caption = make("label", { className: "label", textContent: needed || kind === "check" ? label : `${label} (optional)` });
  const hint = make("p", { className: "hint", id: `${id}-hint`, textContent: hints(known, kind, root) });
  const error = make("p", { className: "field-error", id: `${id}-error`, hidden: true, role: "alert" });
  caption.htmlFor = input.id = id;
  input.setAttribute("aria-describedby", `${hint.id} ${error.id}`);
  element.append(...(kind === "check" ? [input, caption] : [caption, input]), hint, error);
  const refuse = (text) => {
    error.textContent = text;
    error.hidden = !text;
    text ? input.setAttribute("aria-invalid", "true") : input.removeAttribute("aria-invalid");
  };
  input.addEventListener("input", () => refuse(""));
  return { element, input, read: () => read() ?? (required ? null : undefined), write: (value) => write(value === undefined ? (known.default ?? undefined) : value), refuse };
}

function control(schema, required, root) {
  const { type, nullable } = schema;
  const choices = schema.enum ?? ("const" in schema ? [schema.const] : null);
  if (choices || (type === "boolean" && nullable)) {
    return choice(choices ?? [true, false], schema, required);
  }
  if (type === "boolean") {
    const input = make("input", { type: "checkbox", checked: schema.default === true });
    return { kind: "check", input, read: () => input.checked, write: (value) => (input.checked = value === true) };
  }
  if (type === "integer" || type === "number") {
    return number(schema, required);
  }
  if (type === "string") {
    return text(schema, required);
  }
  const items = type === "array" && schema.items ? resolve(schema.items, root) : {};
  return LINES.has(items.type) ? lines(schema, items, required) : json(schema, required);
}

function choice(values, schema, required) {
  const input = make("select", { required });
  if (required || !("default" in schema) || schema.default === null) {
    input.append(new Option(required ? "Choose…" : "—", ""));
  }
  values.forEach((value, index) => {
    const option = new Option(readable(value), index);
    option.selected = option.defaultSelected = "default" in schema && readable(schema.default) === option.text;
    input.append(option);
  });
  const write = (value) => (input.value = values.includes(value) ? values.indexOf(value) : "");
  return { kind: "select", input, read: () => (input.value === "" ? undefined : values[Number(input.value)]), write };
}

function number(schema, required) {
  const whole = schema.type === "integer";
  const input = make("input", { type: "number", step: whole ? "1" : "any", required, value: schema.default ?? "" });
  const { minimum, maximum, exclusiveMinimum: above, exclusiveMaximum: below } = schema;
  input.min = minimum ?? (whole && above !== undefined ? above + 1 : "");
  input.max = maximum ?? (whole && below !== undefined ? below - 1 : "");
  const write = (value) => {
    const shown = value?.rawJSON ?? value ?? "";
    input.value = isNaN(shown) ? "" : shown; // what is no number cannot be shown in a field of numbers
  };
  return { kind: "number", input, read: () => (input.value === "" ? undefined : numeric(input.value, whole)), write };
}

function numeric(text, whole) {
  const value = text.trim() === "" ? NaN : Number(text);
  if (!Number.isFinite(value)) {
    throw new Error(`${text} is not a number`);
  }
  if (whole && Number.isInteger(value) && !Number.isSafeInteger(value)) {
    throw new Error(`${text} has more digits than a browser can keep`);
  }
  return value;
}

function text(schema, required) {
  const { default: initial, format, maxLength = Infinity } = schema;
  const kind = { date: "date", password: "password" }[format] ?? "text";
  const long = kind === "text" && !format && maxLength > LONG;
  const input = long ? make("textarea", { rows: 2 }) : make("input", { type: kind, autocomplete: "off" });
  Object.assign(input, { required, value: initial ?? "" });
  const emptyIsText = required || typeof initial === "string";
  return { kind: "text", input, read: () => input.value || (emptyIsText ? "" : undefined) };
}

function lines(schema, items, required) {
  const initial = schema.default ?? [];
  const input = make("textarea", { rows: 3, required: required && schema.minItems > 0, value: initial.join("\n") });
  const item = (line) => (items.type === "string" ? line : numeric(line, items.type === "integer"));
  const read = () => {
    const written = input.value.split("\n").filter((line) => line.trim());
    return written.length || required || schema.default ? written.map(item) : undefined;
  };
  const write = (value) => (input.value = Array.isArray(value) ? value.join("\n") : "");
  return { kind: "lines", input, read, write };
}

function json(schema, required) {
  const initial = schema.default == null ? "" : JSON.stringify(schema.default, null, 2);
  const input = make("textarea", { rows: 3, required, value: initial, spellcheck: false });
  const read = () => {
    try {
      return input.value.trim() === "" ? undefined : parse(input.value);
    } catch (error) {
      throw new Error(`This is not JSON: ${error.message}`);
    }
  };
  const write = (value) => (input.value = value === undefined ? "" : JSON.stringify(value, null, 2));
  return { kind: "json", input, read, write };
}

function hints(schema, kind, root) {
  const { description, minimum, maximum, exclusiveMinimum, exclusiveMaximum, minLength, maxLength, minItems, maxItems } =
    schema;
  const bounds = [
    [minimum, "at least "],
    [exclusiveMinimum, "more than "],
    [maximum, "at most "],
    [exclusiveMaximum, "less than "],
    [minLength, "at least ", " character"],
    [maxLength, "at most ", " character"],
    [minItems, "at least ", " item"],
    [maxItems, "at most ", " item"],
  ].filter(([bound]) => bound !== undefined);
  const told = bounds
    .map(([bound, before, of = ""]) => before + count.format(bound) + of + (of && bound !== 1 ? "s" : ""))
    .join(", ");
  const choices = kind === "lines" && resolve(schema.items, root).enum?.map((value) => readable(value)).join(", ");
  const how = { lines: choices ? `One of ${choices} in each line.` : "One in each line.", json: `As JSON${shape(schema, root)}.` }[kind];
  return [description, told && `${told[0].toUpperCase()}${told.slice(1)}.`, how].filter(Boolean).join(" ");
}

// Which members an object has, and the objects of a list.
function shape({ items, properties }, root) {
  const names = Object.keys((items ? resolve(items, root) : { properties }).properties ?? {});
  const object = `{${names.map((name) => `${JSON.stringify(name)}: …`).join(", ")}}`;
  return names.length ? `: ${items ? `[${object}, …]` : object}` : "";
}

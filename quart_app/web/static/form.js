// The form that asks for a job's content: one field of text, or fields made from the JSON Schema of what the job takes.

import { field, resolve } from "./fields.js";
import { recall, remember } from "./storage.js";

const PLACE = ["system_message", "payload", "content"]; // where errors of a frame are about the content
const TEXT = ""; // in a draft, what is typed for any job of text

export class ContentForm {
  #type;
  #summary;
  #text;
  #typed = new Map(); // by job type, once it was chosen
  #ref = null; // of the job that was submitted last, if its fields are still there
  #draft = recall("draft") ?? { type: null, typed: {} };

  /** `summary` says what the chosen job does; `content` is where a text is typed. */
  constructor(form, { type, summary, content }) {
    this.#type = type;
    this.#summary = summary;
    this.content = content;
    this.#text = content.closest("fieldset");
    type.value = this.#draft.type ?? type.value;
    type.selectedIndex = Math.max(0, type.selectedIndex); // a type there is no more
    put(this.#text, this.#draft.typed[TEXT]);
    form.addEventListener("input", ({ target }) => {
      if (target === type) {
        this.#show();
      }
      this.#keep();
    });
    this.#show();
  }

  get type() {
    return this.#type.value;
  }

  /** The content as JSON has it; undefined when something that was typed cannot be read, which is shown then. */
  read() {
    const shown = this.#shown;
    return shown ? shown.read() : this.content.value;
  }

  /** A job was submitted with what is typed: a text makes room for the next, fields stay. */
  submitted(ref) {
    this.#ref = ref;
    if (!this.#shown) {
      this.content.value = "";
      this.#keep();
    }
  }

  /** Show at its fields what is wrong with the job that was submitted last. */
  refused(ref, items) {
    if (ref === this.#ref && this.#shown && Array.isArray(items)) {
      const about = items.filter(({ loc }) => PLACE.every((part, index) => loc?.[index] === part));
      this.#shown.refuse(about.map(({ loc, msg }) => ({ path: loc.slice(PLACE.length), msg })));
    }
  }

  focus() {
    (this.#shown?.first ?? this.content).focus();
  }

  get #shown() {
    return this.#typed.get(this.type);
  }

  #show() {
    const { schema, summary } = this.#type.selectedOptions[0].dataset;
    this.#summary.textContent = summary;
    if (schema && !this.#typed.has(this.type)) {
      const fields = new Fields(JSON.parse(schema));
      put(fields.element, this.#draft.typed[this.type]);
      this.#typed.set(this.type, fields);
      this.#text.after(fields.element);
    }
    for (const [element, wanted] of [
      [this.#text, !schema],
      ...[...this.#typed].map(([type, { element }]) => [element, type === this.type]),
    ]) {
      element.hidden = element.disabled = !wanted; // a browser does not ask for what is disabled
    }
    this.#ref = null;
  }

  // A reload must not lose what somebody has typed.
  #keep() {
    const shown = this.#shown;
    this.#draft.type = this.type;
    this.#draft.typed[shown ? this.type : TEXT] = typed(shown?.element ?? this.#text);
    remember("draft", this.#draft);
  }
}

// What is typed in the fields of a set, in their order; no password.
function typed({ elements }) {
  return [...elements].map(({ type, checked, value }) => {
    return type === "checkbox" ? checked : type === "password" ? "" : value;
  });
}

function put({ elements }, values) {
  if (values?.length !== elements.length) {
    return; // nothing was typed, or the job takes something else now
  }
  [...elements].forEach((element, index) => {
    element[element.type === "checkbox" ? "checked" : "value"] = values[index];
  });
}

/** The fields of one job. */
class Fields {
  #fields;
  #whole; // whether one field stands for the whole content
  #error = document.createElement("p");

  constructor(root) {
    const schema = resolve(root, root);
    const properties = Object.entries(schema.properties ?? {});
    this.#whole = schema.type !== "object" || !properties.length;
    this.#fields = this.#whole
      ? [["", field(schema, schema.title ?? "With what?", true, root)]]
      : properties.map(([name, node]) => [
          name,
          field(node, node.title ?? titled(name), schema.required?.includes(name) ?? false, root),
        ]);
    this.element = document.createElement("fieldset");
    this.element.className = "fields typed";
    this.#error.className = "field-error";
    this.#error.setAttribute("role", "alert");
    this.element.append(...this.#fields.map(([, { element }]) => element), this.#error);
    this.refuse([]);
  }

  get first() {
    return this.#fields[0][1].input;
  }

  read() {
    const values = [];
    const wrong = [];
    for (const [name, { read }] of this.#fields) {
      try {
        values.push([name, read()]);
      } catch ({ message }) {
        wrong.push({ path: [name], msg: message });
      }
    }
    this.refuse(wrong);
    if (wrong.length) {
      return undefined;
    }
    return this.#whole ? values[0][1] : Object.fromEntries(values.filter(([, value]) => value !== undefined));
  }

  /** Say what is wrong where: `[{path, msg}]`; nothing with []. */
  refuse(items) {
    const rest = [];
    const told = new Map();
    for (const { path, msg } of items) {
      const name = this.#whole ? "" : path[0];
      const inside = path.slice(this.#whole ? 0 : 1);
      const known = this.#fields.some(([one]) => one === name);
      const line = (known ? inside : path).filter((part) => part !== "").join(" › ");
      const list = known ? (told.get(name) ?? told.set(name, []).get(name)) : rest;
      list.push(line ? `${line}: ${msg}` : msg);
    }
    for (const [name, { refuse }] of this.#fields) {
      refuse((told.get(name) ?? []).join("\n"));
    }
    this.#error.textContent = rest.join("\n");
    this.#error.hidden = !rest.length;
    this.#fields.find(([name]) => told.has(name))?.[1].input.focus();
  }
}

// As pydantic makes a title of a field's name, where it makes one.
function titled(name) {
  return name.replaceAll("_", " ").replace(/(^| )\w/g, (letter) => letter.toUpperCase());
}

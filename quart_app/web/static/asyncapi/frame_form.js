// The fields of one frame, made from its schema; each is about one place in the frame, as `["payload", "content"]`.

import { make } from "../elements.js";
import { field, resolve } from "../fields.js";

const DEEPEST = 2; // keys that lead to the fields of an object; what lies deeper is one field of JSON

export class FrameForm {
  #element;
  #fields = [];
  #onchange;

  /** `onchange(path, value)` is called with what somebody has typed; `undefined` for nothing. */
  constructor(element, onchange) {
    this.#element = element;
    this.#onchange = onchange;
  }

  /** Draw the fields of a message whose payload is as this one; those whose value `fixed` names are left out. */
  draw(message, payload, fixed) {
    this.#fields = [];
    const { payload: _, action, ...flat } = message.schema.properties;
    const drawn = new Drawing(this, message.root, fixed);
    const required = message.schema.required ?? [];
    const parts = drawn.of(message.payloadSchema(payload), ["payload"], required.includes("payload"));
    const more = Object.entries(flat).flatMap(([key, node]) => drawn.of(node, [key], required.includes(key)));
    const fold = make("details", { className: "api-more", open: !parts.length }, make("summary", {}, "Keys beside the payload"), ...more);
    const nothing = parts.length ? [] : [make("p", { className: "hint" }, "It has no payload.")];
    this.#element.replaceChildren(this.#element.querySelector("legend"), ...parts, ...nothing, ...(more.length ? [fold] : []));
  }

  /** Forget the fields, and say why there are none. */
  clear(...why) {
    this.#fields = [];
    this.#element.replaceChildren(this.#element.querySelector("legend"), ...why);
  }

  add(path, one) {
    this.#fields.push({ path, ...one });
    const told = () => {
      try {
        this.#onchange(path, one.read());
      } catch ({ message }) {
        one.refuse(message);
        this.#onchange(null);
      }
    };
    one.input.addEventListener("input", told);
    one.input.addEventListener("change", () => !one.input.validity.valid && one.refuse(one.input.validationMessage));
  }

  /** Show what a frame has. */
  write(frame) {
    for (const { path, write, refuse } of this.#fields) {
      write(path.reduce((node, key) => node?.[key], frame));
      refuse("");
    }
  }

  /** Whether all that is typed can be read; goes to the first field where it cannot. */
  readable() {
    for (const { read, refuse, input } of this.#fields) {
      try {
        read();
      } catch ({ message }) {
        refuse(message);
        input.focus();
        return false;
      }
    }
    return true;
  }

  /** Say at its field what is wrong at a place, `["payload", "content", "width"]`; whether there is such a field. */
  refuse(loc, message) {
    const places = this.#fields.map((one) => ({ ...one, rest: beyond(one.path, loc) })).filter(({ rest }) => rest);
    const [closest] = places.sort((one, other) => one.rest.length - other.rest.length);
    closest?.refuse([closest.rest.join(" › "), message].filter(Boolean).join(": "));
    closest?.input.closest("details")?.setAttribute("open", "");
    return closest !== undefined;
  }
}

// What of a place comes after a path; null where it is elsewhere. In between may stand which of several kinds was meant.
function beyond(path, loc) {
  const end = path.reduce((from, key) => (from < 0 ? from : loc.indexOf(key, from) + 1 || -1), 0);
  return end < 0 ? null : loc.slice(end);
}

/** Makes elements of schemas, and adds the fields in them to a form. */
class Drawing {
  constructor(form, root, fixed) {
    this.form = form;
    this.root = root;
    this.fixed = fixed;
  }

  of(node, path, required) {
    const known = resolve(node, this.root);
    const name = path.at(-1);
    if (known.type === "null" || "const" in known || (path.length === 2 && this.fixed.includes(name))) {
      return [];
    }
    const inside = Object.entries(known.properties ?? {});
    if (!inside.length || known.nullable || path.length > DEEPEST) {
      const one = field(known, name, required, this.root);
      this.form.add(path, one);
      return [one.element];
    }
    const parts = inside.flatMap(([key, value]) => this.of(value, [...path, key], known.required?.includes(key) ?? false));
    return path.length === 1 ? parts : [make("fieldset", { className: "api-group" }, make("legend", {}, name), ...parts)];
  }
}

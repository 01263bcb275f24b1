// JSON as it is read and shown.

// A JavaScript number would round an integer of so many digits. Where JSON.rawJSON is known, its digits are kept.
const exact = JSON.rawJSON && ((key, value, context) => (inexact(value, context) ? JSON.rawJSON(context.source) : value));

/** The value of a JSON text. Raises `SyntaxError`. */
export function parse(text) {
  return exact && /\d{16}/.test(text) ? JSON.parse(text, exact) : JSON.parse(text);
}

/** A value for people: text as it is, anything else as JSON, on one line or with this many spaces of `indent`. */
export function readable(value, indent = 0) {
  return typeof value === "string" ? value : JSON.stringify(value, null, indent);
}

function inexact(value, context) {
  return Number.isInteger(value) && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? "");
}

// JSON as it is read and shown.

/**
 * The value of a JSON text. Raises `SyntaxError`. A JavaScript number would round an integer of so many digits: where
 * JSON.rawJSON is known, its digits are kept.
 */
export const parse = (text) => (JSON.rawJSON && /\d{16}/.test(text) ? JSON.parse(text, exact) : JSON.parse(text));

/** A value for people: text as it is, anything else as JSON, on one line or with this many spaces of `indent`. */
export const readable = (value, indent) => (typeof value === "string" ? value : JSON.stringify(value, null, indent));

const exact = (key, value, context) => {
  const inexact = Number.isInteger(value) && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? "");
  return inexact ? JSON.rawJSON(context.source) : value;
};

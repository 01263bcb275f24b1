/**
 * For `connect({ parse })`: `JSON.parse`, but for integers that a number would round. Where JSON.rawJSON is known, their
 * digits are kept.
 */
export function parse(text: string): any;
/** A value for people: text as it is, anything else as JSON, on one line or with this many spaces of `indent`. */
export function readable(value: unknown, indent?: number): string;

// Amounts as the console tells them.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
const SPANS = [
  [86_400, "d"],
  [3600, "h"],
  [60, "m"],
];
export const count = new Intl.NumberFormat("en");
const percent = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });

/** Bytes. */
export function bytes(number) {
  const power = Math.min(UNITS.length - 1, number < 1 ? 0 : Math.floor(Math.log2(number) / 10));
  const value = number / 1024 ** power;
  return `${power && value < 100 ? value.toFixed(1) : count.format(Math.round(value))} ${UNITS[power]}`;
}

/** A length of time in milliseconds, in its two largest units. */
export function span(milliseconds) {
  const seconds = Math.max(0, milliseconds) / 1000;
  if (seconds < 0.9995) {
    return `${Math.round(seconds * 1000)} ms`;
  }
  if (seconds < 59.95) {
    return `${seconds.toFixed(1)} s`;
  }
  const whole = Math.round(seconds);
  const [size, unit] = SPANS.find(([size]) => whole >= size);
  const [less, lesser] = SPANS[SPANS.findIndex(([one]) => one === size) + 1] ?? [1, "s"];
  const rest = Math.floor((whole % size) / less);
  return `${Math.floor(whole / size)} ${unit}${rest ? ` ${rest} ${lesser}` : ""}`;
}

/** The same of what still goes on: in whole seconds, for it is told every second. */
export function going(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  return seconds < 60 ? `${seconds} s` : span(1000 * seconds);
}

/** How long ago, or in how long, in its largest unit. */
export function away(milliseconds) {
  const seconds = Math.floor(Math.abs(milliseconds) / 1000);
  const [size, unit] = SPANS.find(([size]) => seconds >= size) ?? [1, "s"];
  const amount = `${Math.floor(seconds / size)} ${unit}`;
  return milliseconds < 0 ? `in ${amount}` : `${amount} ago`;
}

/** So many of these: `many(1, "job")`. */
export function many(number, noun, nouns = `${noun}s`) {
  return `${count.format(number)} ${number === 1 ? noun : nouns}`;
}

/** A share from 0 to 1. */
export const share = (part) => percent.format(part);

// Times as the page tells them: in the reader's own time zone and manner.

export const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const calendar = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const minute = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const minuteOfDay = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** When something happened. */
export function past(at) {
  return (daysAhead(at) === 0 ? clock : calendar).format(at);
}

/** The same with the date, whatever day it is. */
export const exact = (at) => calendar.format(at);

/** When something comes. */
export function coming(at) {
  const day = ["today", "tomorrow"][daysAhead(at)];
  return day ? `${minute.format(at)} ${day}` : minuteOfDay.format(at);
}

/** Show a time in a `time` element, in these words. */
export function show(time, at, words) {
  time.dateTime = at.toISOString();
  time.textContent = words(at);
}

/** When the day ends, in milliseconds as `Date.now` has it. */
export function midnight() {
  return new Date().setHours(24, 0, 0, 0);
}

// Not by hours: a day in which clocks change has 23 or 25 of them.
function daysAhead(at) {
  const day = (time) => Date.UTC(time.getFullYear(), time.getMonth(), time.getDate());
  return (day(at) - day(new Date())) / 86_400_000;
}

// Points in time.

const MINUTE = 60_000; // milliseconds

/** A `Date` of a text, of milliseconds as `Date.now()`, or of another one; null of nothing. */
export const date = (time) => (time ? new Date(time) : null);

/** Call `f` when a time has come. Keeps no program from ending. */
export const callAt = (time, f) => {
  const left = time - Date.now();
  if (left > 0) {
    // In steps: a timer has a longest time, and stands still while the computer sleeps.
    setTimeout(() => callAt(time, f), Math.min(left, MINUTE)).unref?.();
  } else {
    f();
  }
};

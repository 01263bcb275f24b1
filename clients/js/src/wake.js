// When somebody looks at the page again, or the network is back.
//
// A laptop that was shut, a phone whose screen was off, a tab that was put away: no timer ran meanwhile, and a socket that
// looks open may have nobody at its other end.

/** Call `action` each time that this happens, until the signal is aborted. Where there is no page, it never does. */
export const onWake = (action, signal) => {
  for (const name of ["online", "pageshow", "visibilitychange"]) {
    // Of the three, `pageshow` has `persisted`: a page that was loaded has nothing to wake from.
    const look = ({ persisted = name === "online" || !document.hidden }) => persisted && action();
    globalThis.addEventListener?.(name, look, { signal });
  }
};

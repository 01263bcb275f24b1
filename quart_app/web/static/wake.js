// When somebody looks at the page again, or the network is back.
//
// A laptop that was shut, a phone whose screen was off, a tab that was put away: no timer ran meanwhile, and a socket that
// looks open may have nobody at its other end.

/** Call `action` each time that this happens. */
export function onWake(action) {
  addEventListener("online", action);
  addEventListener("pageshow", ({ persisted }) => persisted && action());
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && action());
}

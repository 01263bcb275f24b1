// When somebody looks at the page again, or the network is back.
//
// A laptop that was shut, a phone whose screen was off, a tab that was put away: no timer ran meanwhile, and a socket that
// looks open may have nobody at its other end.

/** Call `action` each time that this happens, until the signal is aborted. Where there is no page, it never does. */
export function onWake(action, signal) {
  const { document } = globalThis;
  globalThis.addEventListener?.("online", action, { signal });
  globalThis.addEventListener?.("pageshow", ({ persisted }) => persisted && action(), { signal });
  document?.addEventListener("visibilitychange", () => document.visibilityState === "visible" && action(), { signal });
}

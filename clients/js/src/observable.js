// What can be observed.

/** Call `f`: what it raises is reported, and stops nobody. */
export const guard = (f, ...args) => {
  try {
    f(...args);
  } catch (error) {
    (globalThis.reportError ?? console.error)(error);
  }
};

/**
 * `[subscribe, tell]`: `subscribe(f)` returns a function that takes `f` back, `tell(...)` calls each of them. What one of
 * them raises is reported, and stops nobody.
 */
export const createListeners = () => {
  const all = new Set();
  const subscribe = (f) => {
    all.add(f);
    return () => all.delete(f);
  };
  const tell = (...args) => {
    for (const f of all) {
      guard(f, ...args);
    }
  };
  return [subscribe, tell];
};

/** `[list, tell]`: the list has the newest first; `tell("added" | "changed" | "removed", item)` does that, and says so. */
export const createList = (noun) => {
  const items = new Set();
  const [subscribe, tellAll] = createListeners();
  let shown;
  const snapshot = () => (shown ??= [...items].reverse());
  const list = {
    subscribe,
    snapshot,
    get size() {
      return items.size;
    },
    [Symbol.iterator]: () => snapshot().values(),
  };
  const tell = (type, item) => {
    if (type === "removed" ? items.delete(item) : items.add(item)) {
      shown = null;
      tellAll({ type, [noun]: item });
    }
  };
  return [list, tell];
};

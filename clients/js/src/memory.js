// What a client remembers across a reload.
//
// By default in sessionStorage, not localStorage: a tab is a client. Its jobs are there again after a reload, two tabs do
// not mix theirs up (see tab.js for a tab that is a copy), and who next sits at a shared computer opens a tab that knows
// nothing.

/** The storage of a tab; null where there is none, or the browser forbids it. */
export const storageOfTab = () => {
  try {
    return document && sessionStorage; // Node has the latter alone: one for all clients of a process
  } catch {
    return null;
  }
};

/** Values by name in a `Storage`, or nowhere with null. */
export const createMemory = (storage, prefix, parse) => ({
  /** The value remembered under `name`; null when there is none, or it may not be read. */
  recall(name) {
    try {
      return parse(storage.getItem(prefix + name));
    } catch {
      return null;
    }
  },

  /** Remember a value, or forget it with null. A storage that forbids it or is full costs the reload, not the page. */
  remember(name, value) {
    try {
      if (value) {
        storage?.setItem(prefix + name, JSON.stringify(value));
      } else {
        storage?.removeItem(prefix + name);
      }
    } catch (error) {
      console.warn(`cannot remember ${name}`, error);
    }
  },
});

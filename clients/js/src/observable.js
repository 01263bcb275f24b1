// What can be observed.

/** Functions that are called together. What one of them raises is reported, and stops nobody. */
export class Listeners {
  #all = new Set();

  /** Returns a function that takes `f` back. */
  add(f) {
    const entry = { f }; // the same function may be added twice
    this.#all.add(entry);
    return () => this.#all.delete(entry);
  }

  tell(...args) {
    for (const { f } of this.#all) {
      try {
        f(...args);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}

/** A list of items, the newest first, that tells of each that comes, goes or changes: `{type, [noun]: item}`. */
export class ObservableList {
  #items = new Set();
  #listeners = new Listeners();
  #noun;
  #snapshot = null;

  constructor(noun) {
    this.#noun = noun;
    this.subscribe = (f) => this.#listeners.add(f); // bound, to be handed on
    this.snapshot = () => (this.#snapshot ??= Object.freeze([...this.#items].reverse()));
  }

  get size() {
    return this.#items.size;
  }

  [Symbol.iterator]() {
    return this.snapshot()[Symbol.iterator]();
  }

  _add(item) {
    this.#items.add(item);
    this._tell("added", item);
  }

  _remove(item) {
    if (this.#items.delete(item)) {
      this._tell("removed", item);
    }
  }

  _tell(type, item) {
    this.#snapshot = null;
    this.#listeners.tell({ type, [this.#noun]: item });
  }
}

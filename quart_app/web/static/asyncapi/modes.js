// The switch between the modes of the wire: one for all examples, which is remembered, and one at each.

import { createMemory } from "../client/memory.js";

/** The switches. `onchange(mode)` is called when somebody has chosen for all. */
export class Modes {
  #all;
  #memory = createMemory(storageOfBrowser(), "busctl.", JSON.parse);

  constructor(all) {
    this.onchange = () => {};
    this.#all = all.querySelectorAll("input");
    const mode = this.#memory.recall("api-mode");
    if ([...this.#all].some(({ value }) => value === mode)) {
      this.#choose(mode);
    }
    all.addEventListener("change", ({ target }) => {
      this.#choose(target.value);
      this.#memory.remember("api-mode", target.value);
      this.onchange(target.value);
    });
  }

  get chosen() {
    return [...this.#all].find(({ checked }) => checked).value;
  }

  #choose(mode) {
    for (const input of document.querySelectorAll(".api-switch input")) {
      input.checked = input.value === mode;
    }
  }
}

// Which mode somebody reads about is no secret, and the same in all tabs.
function storageOfBrowser() {
  try {
    return globalThis.localStorage ?? null;
  } catch {
    return null;
  }
}

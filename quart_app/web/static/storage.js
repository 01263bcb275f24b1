// What the page itself remembers across a reload, beside what its client does.

import { Memory, storageOfTab } from "./client/memory.js";

const memory = new Memory(storageOfTab(), "busctl.");

/** The value remembered under `name`; null when there is none, or the browser forbids to look. */
export const recall = (name) => memory.recall(name);

/** Remember a value, or forget it with null. */
export const remember = (name, value) => memory.remember(name, value);

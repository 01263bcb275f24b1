// What the page itself remembers across a reload, beside what its client does.

import { parse } from "./client/json.js";
import { createMemory, storageOfTab } from "./client/memory.js";

/** `recall(name)` gives the value remembered, null when there is none; `remember(name, value)` forgets it with null. */
export const { recall, remember } = createMemory(storageOfTab(), "busctl.", parse);

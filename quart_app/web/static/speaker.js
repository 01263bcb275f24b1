// What a screen reader is told: little, and never the same thing a hundred times.

import { many } from "./amounts.js";
import { element, make, trim } from "./elements.js";

const MOST_SPOKEN = 20;
const LONGEST = 200; // characters; the rest is in the list
const TOGETHER = 500; // milliseconds in which what happens is told at once
const MOST_SINGLE = 3; // things that are told one by one

export class Speaker {
  #waiting = [];

  /** Tell this now. */
  say(text) {
    element("spoken").append(make("p", {}, text.slice(0, LONGEST)));
    trim(element("spoken"), MOST_SPOKEN, "firstElementChild");
  }

  /** Tell what became of a job: its state in one word, and all of it. Of many jobs at once only their number is told. */
  tell(label, sentence) {
    this.#waiting.push([label, sentence]);
    if (this.#waiting.length === 1) {
      setTimeout(() => this.#flush(), TOGETHER);
    }
  }

  #flush() {
    const told = this.#waiting.splice(0);
    if (told.length <= MOST_SINGLE) {
      told.forEach(([, sentence]) => this.say(sentence));
      return;
    }
    const numbers = new Map();
    told.forEach(([label]) => numbers.set(label, (numbers.get(label) ?? 0) + 1));
    this.say([...numbers].map(([label, number]) => `${many(number, "job")} ${label.toLowerCase()}`).join(", "));
  }
}

// What jobs can be filtered by: states with their numbers, type, client, text and time.

import { element, make } from "../elements.js";
import { count } from "../amounts.js";
import { RECENT } from "./filter.js";
import { label, phase, STATES } from "./states.js";

const TYPED = 300; // milliseconds of silence after which what was typed counts
const CUSTOM = "custom";

export class FilterBar {
  #filter = null;
  #onChange;
  #facets = new Map();
  #timer = 0;
  #pending = {}; // what was typed and does not count yet
  #types = "";

  /** `onChange(filter, typing)` hears of another filter; `typing` while somebody still types. */
  constructor(onChange) {
    this.#onChange = onChange;
    const list = element("facets");
    for (const state of ["", ...STATES]) {
      const number = make("span", { className: "facet-count" });
      const words = make("span", { className: "facet-name" }, state ? label(state) : "All");
      const button = make("button", { type: "button", className: "facet", dataset: { phase: phase(state) } }, words, number);
      button.addEventListener("click", (event) => this.#choose(state, event.shiftKey || event.ctrlKey || event.metaKey));
      this.#facets.set(state, { button, number });
      list.append(make("li", {}, button));
    }
    for (const name of ["text", "client"]) {
      this.#field(name).addEventListener("input", ({ target }) => this.#typed({ [name]: target.value }));
    }
    this.#field("type").addEventListener("change", ({ target }) => this.#change({ type: target.value }));
    this.#field("time").addEventListener("change", ({ target }) => this.#choseTime(target.value));
    for (const name of ["since", "before"]) {
      this.#field(name).addEventListener("change", ({ target }) => {
        const time = new Date(target.value); // in the reader's time zone
        this.#change({ [name]: Number.isNaN(time.valueOf()) ? "" : time.toISOString() });
      });
    }
    element("filter-more").addEventListener("click", () => this.#unfold(element("filters").dataset.open !== "true"));
    element("filters").addEventListener("submit", (event) => event.preventDefault());
    element("filter-clear").addEventListener("click", () => this.clear());
  }

  /** Show this filter. */
  show(filter) {
    const before = this.#filter;
    this.#filter = filter;
    for (const [state, { button }] of this.#facets) {
      button.ariaPressed = String(state ? filter.states.includes(state) : !filter.states.length);
    }
    this.#facets.get(filter.states[0] ?? "").button.scrollIntoView({ block: "nearest", inline: "nearest" });
    for (const name of ["text", "client"]) {
      if (this.#field(name).value.trim() !== filter[name].trim()) {
        this.#field(name).value = filter[name];
      }
    }
    this.#offerTypes();
    const recent = RECENT.has(filter.since);
    const custom = filter.before || (filter.since && !recent);
    if (before?.since !== filter.since || before?.before !== filter.before) {
      this.#field("time").value = recent && !filter.before ? filter.since : custom ? CUSTOM : "";
      this.#field("since").value = recent ? "" : local(filter.since);
      this.#field("before").value = local(filter.before);
    }
    element("filter-times").hidden = this.#field("time").value !== CUSTOM;
    const { states: _, text: __, ...folded } = filter.query;
    const number = Object.entries(folded).filter(([name, value]) => value && name !== "state").length;
    element("filter-more").textContent = number ? `Filters (${number})` : "Filters";
    element("filter-clear").hidden = !filter.narrow;
  }

  /** Show how many jobs there are in each state, and which types. */
  count(counts, types) {
    let all = 0;
    for (const state of STATES) {
      all += counts[state] ?? 0;
      this.#number(state, counts[state] ?? 0);
    }
    this.#number("", all);
    if (types.join("\n") !== this.#types) {
      this.#types = types.join("\n");
      this.#offerTypes();
    }
  }

  clear() {
    this.#change({ states: [], type: "", client: "", text: "", since: "", before: "" });
  }

  focus() {
    this.#field("text").focus();
  }

  #field(name) {
    return element(`filter-${name}`);
  }

  #number(state, number) {
    const { button, number: shown } = this.#facets.get(state);
    shown.textContent = count.format(number);
    button.classList.toggle("none", !number);
  }

  // A type that no job has any more is still the one that is asked for.
  #offerTypes() {
    const chosen = this.#filter?.type ?? "";
    const types = [...new Set([...this.#types.split("\n"), chosen])].filter(Boolean).sort();
    const select = this.#field("type");
    select.replaceChildren(new Option("Every type", ""), ...types.map((type) => new Option(type, type)));
    select.value = chosen;
  }

  #choose(state, more) {
    const { states } = this.#filter;
    if (!state) {
      this.#change({ states: [] });
    } else if (more) {
      const without = states.filter((one) => one !== state);
      this.#change({ states: without.length < states.length ? without : [...states, state] });
    } else {
      this.#change({ states: states.length === 1 && states[0] === state ? [] : [state] });
    }
  }

  #choseTime(value) {
    if (value === CUSTOM) {
      element("filter-times").hidden = false;
      this.#field("since").focus();
    } else {
      this.#change({ since: value, before: "" });
    }
  }

  #typed(changes) {
    clearTimeout(this.#timer);
    Object.assign(this.#pending, changes);
    this.#timer = setTimeout(() => this.#change({}, true), TYPED);
  }

  #change(changes, typing = false) {
    clearTimeout(this.#timer);
    const all = { ...this.#pending, ...changes };
    this.#pending = {};
    this.#onChange(this.#filter.with(all), typing);
  }

  #unfold(open) {
    element("filters").dataset.open = String(open);
    element("filter-more").ariaExpanded = String(open);
  }
}

// A time as a field for one has it.
function local(text) {
  const time = new Date(text);
  const shifted = new Date(time - time.getTimezoneOffset() * 60_000);
  return text ? shifted.toISOString().slice(0, 16) : "";
}

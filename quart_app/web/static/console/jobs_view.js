// The list of jobs with all that belongs to it: filters, what is selected, what can be done with all of them.

import { element } from "../elements.js";
import { count, many, share } from "../amounts.js";
import { Filter } from "./filter.js";
import { FilterBar } from "./filter_bar.js";
import { JobList } from "./job_list.js";
import { JobRows } from "./job_rows.js";
import { current, go, href, jobHref, note } from "./route.js";
import { ENDED } from "./states.js";

const MOST_SELECTED = 200; // in one frame
const RESTED = 200; // milliseconds without scrolling after which the place is remembered

const keyOf = ({ client_id: client, job_id: job }) => `${client}/${job}`;

export class JobsView {
  title = "Jobs";
  #acting;
  #bar;
  #rows;
  #list;
  #filter = null;
  #selected = new Map(); // key -> row
  #resting = 0;
  #top = null; // where the list is to be scrolled to, once it is there
  #online = false;

  constructor({ ask, acting }) {
    this.#acting = acting;
    this.#rows = new JobRows({ ask, changed: () => this.#changed() });
    this.#bar = new FilterBar((filter, typing) => go(href("jobs", [], filter.query), { replace: typing }));
    this.#list = new JobList(element("job-rows"), this.#rows, {
      open: (row) => go(jobHref(row)),
      select: (row, wanted) => this.#select(row, wanted),
      selected: (row) => this.#selected.has(keyOf(row)),
      clientHref: (client) => href("jobs", [], this.#filter.with({ client }).query),
      away: () => this.#rows.held === null && this.#hold(this.#rows.newest),
      top: () => this.#hold(null),
      moved: (top) => this.#moved(top),
      escape: () => this.#clear(),
    });
    element("new-jobs").addEventListener("click", () => {
      this.#hold(null);
      this.#list.scrollTo(0);
      element("job-rows").focus();
    });
    element("select-clear").addEventListener("click", () => this.#clear());
    for (const verb of ["cancel", "retry"]) {
      element(`${verb}-selected`).addEventListener("click", () => this.#actSelected(verb));
      element(`${verb}-all`).addEventListener("click", () => this.#actAll(verb));
    }
    element("no-match-clear").addEventListener("click", () => {
      this.#bar.clear();
      this.#bar.focus();
    });
    element("list-again").addEventListener("click", () => this.#rows.renew());
  }

  show({ query }) {
    const filter = Filter.read(query);
    const same = this.#filter && JSON.stringify(filter) === JSON.stringify(this.#filter);
    this.#filter = filter;
    this.#bar.show(filter);
    const { top = 0, until = null } = history.state ?? {};
    if (!same) {
      this.#clear();
      this.#rows.look(filter, until);
    }
    this.#top = top;
    this.#changed();
  }

  hide() {}

  connection(phase) {
    this.#online = phase.name === "connected";
    if (this.#online) {
      this.#rows.renew();
    }
    this.#changed();
  }

  take(page) {
    this.#rows.take(page);
  }

  #hold(until) {
    if (until !== this.#rows.held) {
      this.#rows.hold(until);
      note({ until });
    }
  }

  #moved(top) {
    clearTimeout(this.#resting);
    const place = location.hash;
    this.#resting = setTimeout(() => place === location.hash && note({ top }), RESTED);
  }

  #changed() {
    const { counts, types, indexed, cut, length, loaded, newer, total, trouble } = this.#rows;
    if (current().view !== "jobs" || !this.#filter) {
      return;
    }
    for (const [key] of loaded ? this.#selected : []) {
      this.#selected.set(key, this.#latest(this.#selected.get(key)));
    }
    if (loaded) {
      this.#bar.count(counts, types);
      if (this.#top !== null && length) {
        this.#list.scrollTo(this.#top);
        this.#top = null;
      }
    }
    const none = loaded && !total && indexed === 1;
    element("no-jobs").hidden = !none || this.#filter.narrow;
    element("no-match").hidden = !none || !this.#filter.narrow;
    element("list-trouble").hidden = !trouble || !this.#online;
    element("list-trouble-text").textContent = trouble;
    element("job-rows").hidden = none;
    element("job-rows").ariaBusy = String(!loaded);
    element("jobs-total").textContent = loaded ? many(total, "job") : "Loading jobs…";
    element("jobs-cut").hidden = !cut || !total;
    element("indexing").hidden = !loaded || indexed === 1;
    element("indexing-text").textContent = `Reading the stream: ${share(indexed)}. Numbers grow until it is all read.`;
    element("indexing-bar").value = indexed;
    const more = this.#rows.held !== null && newer > 0;
    element("new-jobs").hidden = !more;
    element("new-jobs").textContent = `↑ ${many(newer, "new job")}`;
    const { open, ended } = this.#filter.matching(counts);
    const some = loaded && this.#filter.narrow; // nobody means every job that there is
    this.#offer("cancel-all", some && open, `Cancel all ${count.format(open)}…`);
    this.#offer("retry-all", some && ended, `Retry all ${count.format(ended)}…`);
    this.#showSelected();
    this.#list.draw();
  }

  #offer(id, wanted, text) {
    element(id).hidden = !wanted;
    element(id).textContent = text;
  }

  #latest(row) {
    const index = this.#rows.indexOf(row.n);
    return (index < 0 ? undefined : this.#rows.at(index)) ?? row;
  }

  #select(row, wanted) {
    if (!wanted) {
      this.#selected.delete(keyOf(row));
    } else if (this.#selected.size < MOST_SELECTED) {
      this.#selected.set(keyOf(row), row);
      this.#hold(this.#rows.held ?? this.#rows.newest);
    }
    this.#changed();
  }

  #clear() {
    this.#selected.clear();
    this.#changed();
  }

  #showSelected() {
    const rows = [...this.#selected.values()];
    const ended = rows.filter(({ state }) => ENDED.has(state)).length;
    element("selection").hidden = !rows.length;
    const most = rows.length === MOST_SELECTED ? " (no more at a time: filter, and take all)" : "";
    element("selection-text").textContent = `${count.format(rows.length)} selected${most}`;
    this.#offer("cancel-selected", rows.length > ended, `Cancel ${count.format(rows.length - ended)}`);
    this.#offer("retry-selected", ended > 0, `Retry ${count.format(ended)}`);
  }

  async #actSelected(verb) {
    const rows = [...this.#selected.values()].filter(({ state }) => ENDED.has(state) === (verb === "retry"));
    const running = rows.filter(({ state }) => state === "job_started").length;
    if (verb === "cancel" && running) {
      const text = `${many(running, "of them runs", "of them run")} now, and will be stopped. This cannot be taken back.`;
      const title = `Cancel ${many(rows.length, "job")}?`;
      if (!(await this.#acting.confirm({ title, text, yes: title.slice(0, -1) }))) {
        return;
      }
    }
    if (await this.#acting.some(verb, rows)) {
      this.#clear();
    }
  }

  #actAll(verb) {
    const { open, ended } = this.#filter.matching(this.#rows.counts);
    this.#acting.all(verb, this.#filter, verb === "cancel" ? open : ended);
  }
}

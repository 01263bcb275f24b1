// The jobs in the document: those that are running first, then the newest, a page at a time.

import { count, many } from "./amounts.js";
import { element, make } from "./elements.js";
import { JobFilter } from "./job_filter.js";
import { JobItem } from "./job_item.js";
import { recall, remember } from "./storage.js";

const PER_PAGE = 50;
const MOST_REMEMBERED = 20; // open jobs
const FEW = 3; // jobs for which there is room where nobody knows
const MOST_EXPECTED = 10; // jobs for which there is room before they are there
const SECOND = 1000;
const RUNNING = new Set(["started", "retrying"]);

export class JobList {
  #jobs = []; // all there are, the newest first; may be iterated as often as needed
  #items = new Map(); // of the jobs that are on the page
  #drawn = new Set(); // jobs whose items are as the jobs are
  #open = new Set(recall("open") ?? []); // keys
  #held = new Map(); // job -> its place's group: one that is being read stays where it is
  #groups = new Map(); // job -> the group of its place, which changes once a second at most: a list that hops is not read
  #page = 0;
  #frame = 0;
  #loading = true;
  #listed = recall("listed") ?? 0; // how many there were, for which a reload keeps room
  #latest = null; // what was submitted last, as long as nobody has done anything with it
  #list = element("jobs");
  #filter = new JobFilter(() => {
    this.#page = 0;
    this.#held.clear(); // others are to be seen
    this.draw();
  });

  /** `on` hears `cancel(job)` and `repeat(job)`. */
  constructor(on) {
    this.on = { ...on, opened: (job, open) => this.#opened(job, open) };
    element("pages-newer").addEventListener("click", () => this.#turn(-1));
    element("pages-older").addEventListener("click", () => this.#turn(1));
    element("jobs-clear").addEventListener("click", () => this.#filter.clear());
    for (const act of ["pointerdown", "wheel", "focusin"]) {
      this.#list.addEventListener(act, ({ target }) => this.#touched(target), { passive: true });
    }
    this.draw();
    setInterval(() => document.hidden || this.#tick(), SECOND);
  }

  /** Show these jobs, the newest first. */
  show(jobs) {
    this.#jobs = jobs;
    this.draw();
  }

  /** What was there before the page was opened has arrived. */
  loaded() {
    this.#loading = false;
    this.draw();
  }

  /** A job is not any more as it was. */
  changed(job) {
    this.#drawn.delete(job);
    this.draw();
  }

  /** Show a job that was submitted here, whatever is looked at. */
  submitted(job) {
    this.#loading = false; // what is still to come must not hide it
    this.#items.get(this.#latest)?.open(false);
    this.#page = 0;
    if (!this.#filter.has(job)) {
      this.#filter.clear();
    }
    this.#draw();
    const item = this.#items.get(job);
    if (item) {
      item.open(true);
      item.element.classList.add("new");
      item.element.scrollIntoView({ block: "nearest" });
      this.#latest = job;
    }
  }

  /** Draw what has changed, once a frame. */
  draw() {
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  #tick() {
    this.#items.forEach((item) => item.tick());
    const groups = new Map([...this.#jobs].map((job) => [job, group(job)]));
    if ([...groups].some(([job, place]) => place !== this.#groups.get(job))) {
      this.draw();
    }
    this.#groups = groups;
  }

  #placeOf(job) {
    if (!this.#groups.has(job)) {
      this.#groups.set(job, group(job));
    }
    return this.#held.get(job) ?? this.#groups.get(job);
  }

  #touched(target) {
    if (this.#items.get(this.#latest)?.element.contains(target)) {
      this.#latest = null;
    }
  }

  #turn(by) {
    this.#page += by;
    this.#draw();
    element("jobs-title").scrollIntoView({ block: "nearest" });
  }

  #opened(job, open) {
    this.#open[open ? "add" : "delete"](job.key);
    remember("open", [...this.#open].slice(-MOST_REMEMBERED));
    if (open) {
      this.#held.set(job, this.#placeOf(job));
    } else {
      this.#held.delete(job);
      this.draw();
    }
  }

  #draw() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const all = [...this.#jobs];
    this.#filter.draw(all, this.#loading && this.#listed);
    if (this.#loading) {
      this.#wait();
      return;
    }
    const seen = all.filter((job) => this.#held.has(job) || this.#filter.has(job));
    const ordered = seen.sort((one, other) => this.#placeOf(one) - this.#placeOf(other)); // which keeps the newest first in each
    this.#page = Math.max(0, Math.min(this.#page, Math.ceil(ordered.length / PER_PAGE) - 1));
    const from = this.#page * PER_PAGE;
    const page = ordered.slice(from, from + PER_PAGE);
    this.#remember(Math.min(all.length, MOST_EXPECTED));
    this.#fit(page);
    page.forEach((job) => this.#drawn.has(job) || this.#items.get(job).draw());
    page.forEach((job) => this.#drawn.add(job));
    this.#tell(from, page.length, ordered.length, all.length);
  }

  #wait() {
    if (!this.#list.classList.contains("loading")) {
      this.#list.classList.add("loading");
      this.#list.replaceChildren(...Array.from({ length: this.#listed || FEW }, placeholder));
    }
  }

  #remember(listed) {
    if (listed !== this.#listed) {
      this.#listed = listed;
      remember("listed", listed);
    }
  }

  #fit(page) {
    const wanted = new Set(page);
    let lost = -1; // the place of the row that had the focus, and goes
    for (const [job, item] of this.#items) {
      if (!wanted.has(job)) {
        if (item.element.contains(document.activeElement)) {
          lost = [...this.#list.children].indexOf(item.element);
        }
        item.element.remove();
        this.#items.delete(job);
        this.#held.delete(job);
      }
    }
    for (const job of page) {
      if (!this.#items.has(job)) {
        const item = new JobItem(job, this.on);
        this.#items.set(job, item);
        item.open(this.#open.has(job.key));
      }
      if (this.#items.get(job).isOpen && !this.#held.has(job)) {
        this.#held.set(job, this.#placeOf(job));
      }
    }
    arrange(
      this.#list,
      page.map((job) => this.#items.get(job).element),
    );
    if (lost >= 0 && page.length) {
      this.#items.get(page[Math.min(lost, page.length - 1)]).focus();
    }
  }

  #tell(from, shown, matching, all) {
    const none = !all;
    this.#list.classList.remove("loading");
    this.#list.hidden = !shown;
    element("jobs-empty").hidden = !none;
    element("jobs-none").hidden = none || matching > 0;
    element("jobs-count").textContent = matching < all ? `${count.format(matching)} of ${many(all, "job")}` : all ? many(all, "job") : "";
    element("pages").hidden = matching <= PER_PAGE;
    element("pages-text").textContent = `${count.format(from + 1)} to ${count.format(from + shown)} of ${count.format(matching)}`;
    element("pages-newer").disabled = !from;
    element("pages-older").disabled = from + shown >= matching;
  }
}

function group({ state }) {
  return RUNNING.has(state) ? 0 : 1;
}

// Moves as few as can be, so that what is read, marked or scrolled in the others stays as it is.
function arrange(list, elements) {
  const focused = document.activeElement;
  const wanted = new Set(elements);
  [...list.children].forEach((child) => wanted.has(child) || child.remove());
  elements.forEach((element, index) => {
    const here = list.children[index];
    if (here === element) {
      return;
    }
    if (here?.nextElementSibling === element) {
      list.append(here); // it belongs further down
    } else {
      list.insertBefore(element, here ?? null);
    }
  });
  if (focused !== document.activeElement && focused?.isConnected) {
    focused.focus({ preventScroll: true });
  }
}

function placeholder() {
  const parts = ["badge", "job-type", "job-open", "job-brief"].map((className) => make("span", { className }));
  return make("li", { className: "job", ariaHidden: "true" }, make("div", { className: "job-line" }, ...parts));
}

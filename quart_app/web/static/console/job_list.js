// The list of jobs: as many elements as are to be seen, however many jobs there are.

import { make } from "../elements.js";
import { COLUMNS, JobRow } from "./job_row.js";

const SPARE = 6; // rows above and below what is to be seen
const TALLEST = 15_000_000; // pixels; browsers place nothing further down
const narrow = matchMedia("(max-width: 60rem)");

export class JobList {
  #rows;
  #scroller;
  #sizer = make("div", { className: "job-rows-size", role: "rowgroup" });
  #shown = []; // JobRow, by index modulo their number
  #active = 0; // index of the row that keys act on
  #frame = 0;

  /**
   * `rows` as `JobRows` has them, in `scroller`. `on` hears `open(row)`, `select(row, wanted, range)`, `away()` and
   * `top()` when the list leaves its top and is there again, `moved(top)`, `escape()`; `selected(row)` and
   * `clientHref(id)` say how a row looks.
   */
  constructor(scroller, rows, on) {
    this.#scroller = scroller;
    this.#rows = rows;
    this.on = on;
    const names = COLUMNS.map((name) => make("div", { role: "columnheader" }, name));
    const head = make("div", { className: "job-row job-row-names", role: "row", ariaRowIndex: "1" }, ...names);
    scroller.append(head, this.#sizer);
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    scroller.addEventListener("keydown", (event) => this.#key(event));
    this.#sizer.addEventListener("click", (event) => this.#clicked(event));
    new ResizeObserver(() => this.draw()).observe(scroller);
    narrow.addEventListener("change", () => this.draw());
    setInterval(() => document.hidden || this.#shown.forEach((row) => row.element.hidden || row.tick()), 1000);
  }

  get #height() {
    return narrow.matches ? 64 : 40; // pixels of a row, as console.css has them
  }

  get #length() {
    return Math.min(this.#rows.length, Math.floor(TALLEST / this.#height));
  }

  get atTop() {
    return this.#scroller.scrollTop < this.#height / 2;
  }

  get active() {
    return this.#rows.at(this.#active);
  }

  /** Draw again what is to be seen, once a frame. */
  draw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  /** Scroll to so many pixels from the top. */
  scrollTo(top) {
    this.#size();
    this.#scroller.scrollTop = top;
    if (top === 0) {
      this.#active = 0;
    }
    this.draw();
  }

  #size() {
    this.#sizer.style.height = `${this.#length * this.#height}px`;
    this.#scroller.ariaRowCount = String(this.#length + 1);
  }

  #draw() {
    const { clientHeight, scrollTop } = this.#scroller;
    if (!clientHeight) {
      return; // another view is shown
    }
    const height = this.#height;
    this.#size();
    this.#active = Math.max(0, Math.min(this.#active, this.#length - 1));
    const seen = Math.ceil(clientHeight / height);
    const first = Math.max(0, Math.floor(scrollTop / height) - SPARE);
    const last = Math.min(this.#length, first + seen + 2 * SPARE);
    this.#rows.want(first, Math.max(last, first + seen));
    while (this.#shown.length < seen + 2 * SPARE) {
      const row = new JobRow(`job-row-${this.#shown.length}`);
      this.#shown.push(row);
      this.#sizer.append(row.element);
    }
    const used = new Set();
    for (let index = first; index < last; index += 1) {
      const place = index % this.#shown.length;
      const row = this.#rows.at(index);
      used.add(place);
      this.#shown[place].element.hidden = false;
      this.#shown[place].show(row, {
        index,
        top: index * height,
        selected: Boolean(row) && this.on.selected(row),
        active: index === this.#active,
        clientHref: this.on.clientHref,
      });
    }
    this.#shown.forEach((row, place) => (row.element.hidden = !used.has(place)));
    const here = used.has(this.#active % this.#shown.length) && this.#active >= first && this.#active < last;
    if (here) {
      this.#scroller.setAttribute("aria-activedescendant", `job-row-${this.#active % this.#shown.length}`);
    } else {
      this.#scroller.removeAttribute("aria-activedescendant");
    }
  }

  #scrolled() {
    this.draw();
    this.on.moved(this.#scroller.scrollTop);
    this.#hold();
  }

  // Rows must not move away under somebody who reads or has chosen one.
  #hold() {
    this.atTop && this.#active === 0 ? this.on.top() : this.on.away();
  }

  #clicked(event) {
    const index = this.#shown.findIndex(({ element }) => element.contains(event.target));
    const shown = this.#shown[index];
    if (!shown?.row) {
      return;
    }
    this.#active = Number(shown.element.ariaRowIndex) - 2;
    if (event.target.closest(".job-row-pick")) {
      const wanted = event.target === shown.pick ? shown.pick.checked : !shown.pick.checked;
      this.on.select(shown.row, wanted);
      this.#scroller.focus({ preventScroll: true }); // keys go on from here
    } else if (!event.target.closest("a") && getSelection().isCollapsed) {
      this.on.open(shown.row);
    }
    this.draw();
  }

  #key(event) {
    const page = Math.max(1, Math.floor(this.#scroller.clientHeight / this.#height) - 2);
    const to = {
      ArrowDown: this.#active + 1,
      ArrowUp: this.#active - 1,
      PageDown: this.#active + page,
      PageUp: this.#active - page,
      Home: 0,
      End: this.#length - 1,
    }[event.key];
    const row = this.active;
    if (event.target !== this.#scroller || event.altKey || event.ctrlKey || event.metaKey) {
      return;
    } else if (to !== undefined) {
      this.#activate(Math.max(0, Math.min(to, this.#length - 1)));
    } else if (event.key === "Enter" && row) {
      this.on.open(row);
    } else if (event.key === " " && row) {
      this.on.select(row, !this.on.selected(row));
    } else if (event.key === "Escape") {
      this.on.escape();
    } else {
      return;
    }
    event.preventDefault();
    this.draw();
  }

  #activate(index) {
    this.#active = index;
    const height = this.#height;
    const room = this.#scroller.clientHeight - this.#sizer.offsetTop;
    const top = index * height;
    if (top < this.#scroller.scrollTop) {
      this.#scroller.scrollTop = top;
    } else if (top + height > this.#scroller.scrollTop + room) {
      this.#scroller.scrollTop = top + height - room;
    }
    this.#hold();
  }
}

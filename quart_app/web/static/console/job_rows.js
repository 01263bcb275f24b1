// The part of the list of jobs that is looked at, as the server tells it; knows no elements.

const MOST_ASKED = 200; // rows in one question
const EVERY = 80; // milliseconds between two questions, within the rate of frames that a server takes
const MOST_KEPT = 20_000;
const MINUTE = 60_000;
const FIRST = 20; // rows that are drawn before it is known how many there are

export class JobRows {
  counts = {};
  types = [];
  indexed = 0;
  cut = false;
  total = null;
  newer = 0; // rows above the first one
  loaded = false; // whether the first page of this filter is there
  trouble = ""; // why the last question had no answer
  #byNumber = new Map();
  #offset = 0;
  #order = []; // numbers of the rows from there on
  #until = null;
  #filter = null;
  #wanted = { first: 0, last: 30 };
  #asking = false;
  #again = true; // whether the server is to tell all rows of the next page
  #dirty = false;
  #looks = 0; // how often something else was looked at
  #timer = 0;

  /** `ask(action, payload)` is `request` of a client; `changed()` is called when anything is different. */
  constructor({ ask, changed }) {
    this.ask = ask;
    this.changed = changed;
    setInterval(() => this.#filter?.since && this.#askSoon(), MINUTE); // what is recent moves on
  }

  /** How many rows there are to scroll through. */
  get length() {
    return (this.total ?? FIRST) - this.newer;
  }

  get held() {
    return this.#until;
  }

  /** The number of the newest row that is listed, if it is known. */
  get newest() {
    return this.#offset === 0 && this.#order.length ? this.#order[0] : null;
  }

  /** The row at this index; undefined until it is told. */
  at(index) {
    return this.#byNumber.get(this.#order[index - this.#offset]);
  }

  /** The index of a row; -1 when it is not in the part that is known. */
  indexOf(number) {
    const place = this.#order.indexOf(number);
    return place < 0 ? -1 : place + this.#offset;
  }

  /** Look at other jobs; newer than `until` are not listed. */
  look(filter, until = null) {
    this.#filter = filter;
    this.#until = until;
    this.#wanted = { first: 0, last: 30 };
    this.loaded = false;
    this.#looks += 1;
    this.#askSoon();
  }

  /** These rows are to be seen. */
  want(first, last) {
    this.#wanted = { first, last };
    const end = Math.min(this.length, last);
    const near = (last - first) / 2;
    const above = this.#offset === 0 || this.#offset <= first - near;
    const known = this.#offset + this.#order.length;
    const below = known >= Math.min(this.length, end + near);
    if (!above || !below) {
      this.#askSoon();
    }
  }

  /** List none that is newer than this row; null for all. */
  hold(until) {
    if (until !== this.#until) {
      this.#until = until;
      this.#askSoon();
    }
  }

  /** Ask again: the connection is a new one. */
  renew() {
    this.#again = true;
    this.#asking = false;
    this.#askSoon();
  }

  /** A page that comes by itself. Its rows are not told again, though it may be of what was looked at before. */
  take(page) {
    page.rows.forEach((row) => this.#byNumber.set(row.n, row));
    if (!this.#asking) {
      this.#show(page);
    }
  }

  #show(page) {
    const { total, newer, offset, order, counts, types, indexed, cut } = page;
    Object.assign(this, { total, newer, counts, types, indexed, cut, loaded: true, trouble: "" });
    this.#offset = offset;
    this.#order = order;
    this.#again ||= this.#byNumber.size > MOST_KEPT;
    this.changed();
    this.want(this.#wanted.first, this.#wanted.last);
  }

  #askSoon() {
    this.#dirty = true;
    this.#timer ||= setTimeout(() => {
      this.#timer = 0;
      if (this.#dirty && !this.#asking && this.#filter) {
        this.#ask();
      }
    }, EVERY);
  }

  async #ask() {
    const { first, last } = this.#wanted;
    const rows = Math.max(10, last - first);
    const payload = {
      filter: this.#filter.wire,
      offset: Math.max(0, first - rows),
      limit: Math.min(MOST_ASKED, 3 * rows),
      until: this.#until,
      again: this.#again,
    };
    const looks = this.#looks;
    this.#dirty = false;
    this.#asking = true;
    try {
      const { payload: page } = await this.ask("list_jobs", payload);
      if (payload.again) {
        this.#byNumber = new Map();
        this.#again = false;
      }
      page.rows.forEach((row) => this.#byNumber.set(row.n, row));
      this.#asking = false;
      if (looks === this.#looks) {
        this.#show(page);
      }
    } catch ({ message }) {
      this.#asking = false;
      this.trouble = message;
      this.changed();
    }
    if (this.#dirty) {
      this.#askSoon();
    }
  }
}

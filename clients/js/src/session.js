// Who a client is to the server, and which events it has: `connect`, `welcome` and the cursors of `bus.v1`.

const CLIENT = "client"; // the scope of events without a group
const REMEMBERED = 1000; // events by which one that comes twice is known

/** Outlives connections and, but for the cursors, reloads. */
export class Session {
  #memory;
  #known; // {clientId, epoch, resume, groups} of the last welcome; resume as renewed since
  #cursors; // scope -> the last sequence that arrived
  #floor = {}; // the same when this connection, or what it has live, began
  #arrived = new Set(); // the latest sequences since then
  #welcome = null; // whose replay is arriving
  #missing = 0; // events of that replay

  /**
   * `begin` are the cursors of a new page. By itself that shows every job of this client, on other devices too where
   * people sign in, and what was announced since the tab was first opened.
   */
  constructor(memory, begin) {
    this.#memory = memory;
    this.#known = memory.recall("session");
    this.#cursors = { ...this.#known?.groups, ...begin };
  }

  get replaying() {
    return this.#missing > 0;
  }

  /** The first frame of a connection. */
  connect(token) {
    this.#missing = 0;
    return { action: "connect", payload: { token, resume: this.#known?.resume, cursors: this.#cursors } };
  }

  /** Be who the server says; returns that, and whether it is the client, and the history, from before. */
  welcome(welcome) {
    const { client_id: clientId, epoch, resume, cursors } = welcome;
    const first = !this.#known; // nothing was seen before, so nothing is missing
    const sameClient = !this.#known || clientId === this.#known.clientId;
    const sameStream = !this.#known || epoch === this.#known.epoch;
    if (!sameStream) {
      this.#cursors = {};
    } else if (!sameClient) {
      delete this.#cursors[CLIENT];
    }
    // A stream that was put back to an older state gives the sequences after it a second time.
    for (const scope of Object.keys(this.#cursors)) {
      this.#cursors[scope] = Math.min(this.#cursors[scope], cursors[scope] ?? 0);
    }
    const { [CLIENT]: _, ...now } = cursors;
    const groups = this.#known && sameStream ? this.#known.groups : now;
    this.#known = { clientId, epoch, resume, groups };
    this.#memory.remember("session", this.#known);
    this.#floor = { ...this.#cursors };
    this.#welcome = welcome;
    this.#missing = welcome.replayed;
    this.#catchUp();
    const { replayed } = welcome;
    return { clientId, first, sameClient, replayed, recovered: first || (sameClient && sameStream && welcome.recovered) };
  }

  /** Come back with this token from now on: the one before expires. */
  renew(resume) {
    this.#known = { ...this.#known, resume };
    this.#memory.remember("session", this.#known);
  }

  /** Whether a frame brings something new; it counts as seen from then on. */
  isNew({ seq, group = CLIENT }) {
    if (seq === undefined) {
      return true;
    }
    // Not by the largest sequence: an event comes late when the server was told of a later one that was forged.
    if (seq <= (this.#floor[group] ?? 0) || this.#arrived.has(seq)) {
      return false;
    }
    this.#arrived.add(seq);
    if (this.#arrived.size > REMEMBERED) {
      this.#arrived.delete(this.#arrived.values().next().value);
    }
    this.#cursors[group] = seq;
    if (this.replaying) {
      this.#missing -= 1;
      this.#catchUp();
    }
    return true;
  }

  /** Come as a stranger next time: the server does not take what this tab remembers. */
  forget() {
    this.#memory.remember("session", null);
    if (this.#known) {
      this.#known.resume = undefined;
    }
    this.#cursors = {};
  }

  // The welcome's cursors hold only behind its replay: taken earlier, a connection lost in between would cost events.
  #catchUp() {
    if (!this.replaying) {
      for (const [scope, seq] of Object.entries(this.#welcome.cursors)) {
        this.#cursors[scope] = Math.max(this.#cursors[scope] ?? 0, seq);
      }
      this.#floor = { ...this.#cursors };
    }
  }
}

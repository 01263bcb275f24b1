// Who a client is to the server, and which events it has: `connect`, `welcome` and the cursors of `bus.v1`.

const REMEMBERED = 10_000; // events by which one that comes twice is known: as many as a server replays
const MOST_SCOPES = 64; // cursors that a server takes
const NAME = "session"; // in the memory

/**
 * Outlives connections and, but for the cursors, reloads. `begin` are the cursors of a new page. By itself that shows
 * every job of this client, on other devices too where people sign in, and what was announced since the tab was first
 * opened.
 */
export const createSession = ({ recall, remember }, begin) => {
  let known; // {clientId, epoch, resume, groups} of the last welcome; resume as renewed since
  let cursors; // scope -> the last sequence that arrived
  let end = {}; // the same behind the replay that is arriving
  let missing = 0; // events of that replay
  const arrived = new Set(); // the latest sequences

  const save = (session) => remember(NAME, (known = session));
  const renew = (resume) => save(known && { ...known, resume });

  // The welcome's cursors hold only behind its replay: taken earlier, a connection lost in between would cost events.
  const catchUp = () => {
    if (!missing) {
      for (const scope in end) {
        if (!(cursors[scope] > end[scope])) {
          cursors[scope] = end[scope];
        }
      }
    }
  };

  return {
    /** How many events of a replay are still to come. */
    missing: () => missing,

    /** The first frame of a connection; the first time, it is recalled who this was before. */
    connect(token) {
      if (!cursors) {
        known = recall(NAME);
        cursors = { ...known?.groups, ...begin };
      }
      missing = 0;
      return { action: "connect", payload: { token, resume: known?.resume, cursors } };
    },

    /** Be who the server says; returns that, and whether it is the client, and the history, from before. */
    welcome({ client_id: clientId, epoch, resume, cursors: now, replayed, recovered }) {
      const first = !known; // nothing was seen before, so nothing is missing
      const sameClient = first || clientId === known.clientId;
      const sameStream = first || epoch === known.epoch;
      for (const scope in cursors) {
        // A stream that was made anew, or put back to an older state, gives the sequences after it a second time.
        const most = (sameStream && now[scope]) || 0;
        if (cursors[scope] > most) {
          cursors[scope] = most;
          arrived.clear();
        }
        if (!(scope in now)) {
          delete cursors[scope]; // of a group that it is not in, or is in only once it has joined again
        }
      }
      const { client: _, ...groups } = now;
      save({ clientId, epoch, resume, groups: (sameStream && known?.groups) || groups });
      end = now;
      missing = replayed;
      catchUp();
      return { clientId, first, sameClient, replayed, recovered: first || (sameClient && sameStream && recovered) };
    },

    /** Come back with this token from now on: the one before expires. */
    renew,

    /** Whether a frame brings something new; it counts as seen from then on. */
    isNew({ seq, group = "client" }) {
      // Not by the largest sequence: an event comes late when the server was told of a later one that was forged.
      const isNew = !(arrived.has(seq) || (!missing && seq <= end[group]));
      if (seq && isNew) {
        arrived.add(seq);
        if (group in cursors || Object.keys(cursors).length < MOST_SCOPES) {
          cursors[group] = seq;
        }
        if (arrived.size > REMEMBERED) {
          const [oldest] = arrived;
          arrived.delete(oldest);
        }
      }
      if (seq && missing) {
        missing -= 1; // known or new: the server has counted it
        catchUp();
      }
      return isNew;
    },

    /** Come as a stranger next time: the server does not take what this tab remembers. */
    forget() {
      renew(null);
      cursors = {};
    },
  };
};

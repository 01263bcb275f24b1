// What went wrong: each an Error with its data.

// Errors after which the same frame may do.
const PASSING = /^(bus_unavailable|busy|internal_error|stream_full|too_(fast|many_(bytes|jobs)))$/;

/** Whether what an error answers may have been done all the same. */
export const isUnsure = (error) => error?.is?.("bus_unavailable") || error?.is?.("internal_error");

// A class of errors; `say(...)` gives the message and the data. Its name would not survive minifying by itself.
const kind = (name, say) =>
  class extends Error {
    constructor(...args) {
      const [message, data] = say(...args);
      super(message);
      Object.assign(this, { name, ...data });
    }
  };

/** The job has failed: `reason`, after so many attempts. */
export const JobFailed = kind("JobFailed", (reason, attempt) => [reason, { reason, attempt }]);

/** The job was called off; `by` says who did it, null if it was this client. */
export const JobCancelled = kind("JobCancelled", (by = null) => [`The job was cancelled${by ? ` by ${by}` : ""}.`, { by }]);

/** The job may have ended unseen. */
export const JobLost = kind("JobLost", () => ["History was cut: this job may have ended unseen."]);

/** There is no connection to bring an answer. */
export const Disconnected = kind("Disconnected", (reason, code) => [reason, { reason, code }]);

/** The server did not do what a frame asked for; `items` say why, as an `error` frame has them. */
export const Refused = kind("Refused", (items) => [
  items.map(({ loc, msg }) => (loc?.length > 2 ? `${msg} (${loc.slice(2).join(" › ")})` : msg)).join("\n"),
  {
    items,
    /** Whether the same may be accepted later. */
    again: items.every(({ type }) => PASSING.test(type)),
    is: (type) => items.some((item) => item.type === type),
  },
]);

// What went wrong: each an Error with its data.

// Errors after which the same frame may do.
const PASSING = new Set([
  "bus_unavailable",
  "busy",
  "internal_error",
  "stream_full",
  "too_fast",
  "too_many_bytes",
  "too_many_jobs",
]);

const UNSAID = "The server reported an error without saying which.";

class ClientError extends Error {
  constructor(name, message) {
    super(message);
    this.name = name; // not the constructor's, which does not survive minifying
  }
}

/** The job has failed: `reason`, after so many attempts. */
export class JobFailed extends ClientError {
  constructor(reason, attempt) {
    super("JobFailed", reason);
    this.reason = reason;
    this.attempt = attempt;
  }
}

/** The job was called off; `by` says who did it, null if it was this client. */
export class JobCancelled extends ClientError {
  constructor(by) {
    super("JobCancelled", by ? `The job was cancelled by ${by}.` : "The job was cancelled.");
    this.by = by;
  }
}

/** The job may have ended unseen. */
export class JobLost extends ClientError {
  constructor() {
    super("JobLost", "The server no longer has the history of this job. It may have ended unseen.");
  }
}

/** The server did not do what a frame asked for; `items` say why, as an `error` frame has them. */
export class Refused extends ClientError {
  constructor(payload) {
    const items = Array.isArray(payload) && payload.length ? payload : [{ type: "unknown", loc: [], msg: UNSAID }];
    super("Refused", items.map(({ loc, msg }) => (loc?.length > 2 ? `${msg} (${loc.slice(2).join(" › ")})` : msg)).join("\n"));
    this.items = items;
  }

  /** Whether the same may be accepted later. */
  get again() {
    return this.items.every(({ type }) => PASSING.has(type));
  }

  is(type) {
    return this.items.some((item) => item.type === type);
  }
}

/** There is no connection to bring an answer. */
export class Disconnected extends ClientError {
  constructor(reason, code) {
    super("Disconnected", reason);
    this.code = code;
    this.reason = reason;
  }
}

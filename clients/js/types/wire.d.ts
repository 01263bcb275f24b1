// Made by `busctl-client types` from the AsyncAPI document of a server. Do not edit it: make it again.

export interface Wire {
  Jobs: Jobs;
  Frames: Frames;
}
export interface Jobs {
  /**
   * Count characters, words, vowels and consonants.
   */
  analyze: {
    content: string;
    result: string;
  };
  /**
   * Return the text in capitals.
   */
  default: {
    content: string;
    result: string;
  };
  /**
   * Answer in the manner of an AI.
   */
  generate: {
    content: string;
    result: string;
  };
  /**
   * Translate into Spanish.
   */
  translate: {
    content: string;
    result: string;
  };
}
export interface Frames {
  cancel_job: CancelJob;
  connect: Connect;
  error: Error;
  event_skipped: EventSkipped;
  get_job: GetJob;
  job_cancelled: JobCancelled;
  job_failed: JobFailed;
  job_output: JobOutput;
  job_progress: JobProgress;
  job_queued: JobQueued;
  job_result: JobResult;
  job_retrying: JobRetrying;
  job_started: JobStarted;
  job_status: JobStatus;
  ping: Ping;
  pong: Pong;
  resume_token: ResumeToken;
  retry_job: RetryJob;
  system_message: SystemMessage;
  system_notification: SystemNotification;
  welcome: Welcome;
}
/**
 * Call a job off. `job_cancelled` follows; for a job that has ended, `job_status`.
 */
export interface CancelJob {
  action: "cancel_job";
  payload: JobPayload;
  /**
   * Any text; the reply to this frame repeats it.
   */
  ref?: string;
}
/**
 * Which job.
 */
export interface JobPayload {
  job_id: string;
}
/**
 * The first frame of `bus.v1`.
 */
export interface Connect {
  action: "connect";
  payload?: ConnectPayload;
  /**
   * Any text; the reply to this frame repeats it.
   */
  ref?: string;
}
/**
 * Who the client is, and what it has seen.
 */
export interface ConnectPayload {
  /**
   * Proof of identity: a JWT of the identity provider, where the server asks for one and neither header nor cookie brings it.
   */
  token?: string | null;
  /**
   * `resume` of the last `welcome` or `resume_token`.
   */
  resume?: string | null;
  /**
   * Per scope (`client`, or a group's name) the last `seq` that was seen; 0 for everything retained. A scope that is left out is live from now on.
   */
  cursors?: {
    [k: string]: number;
  };
}
/**
 * A frame could not be accepted. The connection stays open.
 *
 * Nothing was done with the frame, unless `bus_unavailable` or `internal_error` says otherwise.
 */
export interface Error {
  action: "error";
  payload: ErrorItem[];
  /**
   * The `ref` of the frame this answers, if it had one.
   */
  ref?: string;
}
/**
 * One thing that is wrong with a frame, as pydantic reports it.
 */
export interface ErrorItem {
  /**
   * A stable name for the kind of error.
   */
  type: string;
  /**
   * Where in the frame: the action, then keys and indexes; empty for the whole frame.
   */
  loc: (string | number)[];
  /**
   * What is wrong, for people.
   */
  msg: string;
}
/**
 * Stands for a replayed event that the channel does not show this client: `replayed` counts it.
 *
 * The client's cursor moves past it, as past any other. Sent with `bus.v1` only.
 */
export interface EventSkipped {
  action: "event_skipped";
  payload: null;
  /**
   * The event's sequence in the stream.
   */
  seq: number;
  /**
   * The group the event was sent to, if it was.
   */
  group?: string;
}
/**
 * Ask how a job stands.
 */
export interface GetJob {
  action: "get_job";
  payload: JobPayload;
  /**
   * Any text; the reply to this frame repeats it.
   */
  ref?: string;
}
/**
 * The job was called off before it ended.
 */
export interface JobCancelled {
  action: "job_cancelled";
  payload: string;
  /**
   * The event's sequence in the stream; larger is later.
   */
  seq?: number;
  /**
   * When it was stored: RFC 3339, in UTC, with microseconds.
   */
  at?: string;
  /**
   * The group the event was sent to, if it was.
   */
  group?: string;
  /**
   * The job this is about.
   */
  job_id?: string;
  /**
   * The `ref` of the frame that submitted the job, if it had one.
   */
  ref?: string;
  /**
   * What was asked for, as the client wrote it. Events of older versions may lack it.
   */
  task_type?: string;
  /**
   * The latest attempt, counted from 1; left out before the first.
   */
  attempt?: number;
  /**
   * Who called it off, if it was not the client.
   */
  by?: string;
}
/**
 * The job will not be done; the payload says why.
 */
export interface JobFailed {
  action: "job_failed";
  payload: string;
  /**
   * The event's sequence in the stream; larger is later.
   */
  seq?: number;
  /**
   * When it was stored: RFC 3339, in UTC, with microseconds.
   */
  at?: string;
  /**
   * The group the event was sent to, if it was.
   */
  group?: string;
  /**
   * The job this is about.
   */
  job_id?: string;
  /**
   * The `ref` of the frame that submitted the job, if it had one.
   */
  ref?: string;
  /**
   * What was asked for, as the client wrote it. Events of older versions may lack it.
   */
  task_type?: string;
  /**
   * The latest attempt, counted from 1; left out before the first.
   */
  attempt?: number;
  /**
   * Why, without the words around it. Events of older versions may lack it.
   */
  reason?: string;
}
/**
 * A piece of the answer of a running job, as it is written.
 *
 * The pieces of one attempt, in the order of `index`, are the answer so far. A new attempt begins at index 0, and its
 * pieces replace those of the attempt before it. The payload of `job_result` is the whole.
 */
export interface JobOutput {
  action: "job_output";
  payload: string;
  /**
   * The event's sequence in the stream; larger is later.
   */
  seq?: number;
  /**
   * When it was stored: RFC 3339, in UTC, with microseconds.
   */
  at?: string;
  /**
   * The group the event was sent to, if it was.
   */
  group?: string;
  /**
   * The job this is about.
   */
  job_id?: string;
  /**
   * The `ref` of the frame that submitted the job, if it had one.
   */
  ref?: string;
  /**
   * What was asked for, as the client wrote it. Events of older versions may lack it.
   */
  task_type?: string;
  /**
   * Which attempt wrote it, counted from 1.
   */
  attempt: number;
  /**
   * The piece's place within its attempt, counted from 0.
   */
  index: number;
}
/**
 * How far a job has come. Live only: not stored, without `seq`, and the latest wins.
 */
export interface JobProgress {
  action: "job_progress";
  /**
   * Done, from 0 to 1; null when that cannot be said.
   */
  payload: number | null;
  /**
   * The event's sequence in the stream; larger is later.
   */
  seq?: number;
  /**
   * When it was stored: RFC 3339, in UTC, with microseconds.
   */
  at?: string;
  /**
   * The group the event was sent to, if it was.
   */
  group?: string;
  /**
   * The job this is about.
   */
  job_id?: string;
  /**
   * The `ref` of the frame that submitted the job, if it had one.
   */
  ref?: string;
  /**
   * What was asked for, as the client wrote it. Events of older versions may lack it.
   */
  task_type?: string;
  /**
   * The latest attempt, counted from 1; left out before the first.
   */
  attempt?: number;
  /**
   * What is going on.
   */
  message?: string;
}
/**
 * The job is accepted: its end will come, whatever dies in between.
 */
export interface JobQueued {
  action: "job_queued";
  payload: string;
  /**
   * The event's sequence in the stream; larger is later.
   */
  seq?: number;
  /**
   * When it was stored: RFC 3339, in UTC, with microseconds.
   */
  at?: string;
  /**
   * The group the event was sent to, if it was.
   */
  group?: string;
  /**
   * The job this is about.
   */
  job_id?: string;
  /**
   * The `ref` of the frame that submitted the job, if it had one.
   */
  ref?: string;
  /**
   * What was asked for, as the client wrote it.
   */
  task_type?: string;
  /**
   * The latest attempt, counted from 1; left out before the first.
   */
  attempt?: number;
  /**
   * The text to work on.
   */
  content?: string;
  /**
   * The job type that runs, where it is another than was asked for: `default`, for an unknown type.
   */
  runs?: string;
  /**
   * The job that is done again by this one.
   */
  retry_of?: string;
  /**
   * When the job may begin, if it was submitted for later: RFC 3339, in UTC.
   */
  not_before?: string;
  /**
   * The time for which its schedule made the job, if one did: RFC 3339, in UTC. It may run late.
   */
  slot?: string;
}
/**
 * The job is done; the payload is its text, or the JSON value that the job gives.
 */
export interface JobResult {
  action: "job_result";
  payload: string;
  /**
   * The event's sequence in the stream; larger is later.
   */
  seq?: number;
  /**
   * When it was stored: RFC 3339, in UTC, with microseconds.
   */
  at?: string;
  /**
   * The group the event was sent to, if it was.
   */
  group?: string;
  /**
   * The job this is about.
   */
  job_id?: string;
  /**
   * The `ref` of the frame that submitted the job, if it had one.
   */
  ref?: string;
  /**
   * What was asked for, as the client wrote it. Events of older versions may lack it.
   */
  task_type?: string;
  /**
   * The latest attempt, counted from 1; left out before the first.
   */
  attempt?: number;
}
/**
 * An attempt has ended without bringing the job to its end, and another one follows.
 *
 * The function raised something after which the job is tried again, at `next_at`; or its worker was lost, and another
 * takes the job as soon as one is free.
 */
export interface JobRetrying {
  action: "job_retrying";
  payload: string;
  /**
   * The event's sequence in the stream; larger is later.
   */
  seq?: number;
  /**
   * When it was stored: RFC 3339, in UTC, with microseconds.
   */
  at?: string;
  /**
   * The group the event was sent to, if it was.
   */
  group?: string;
  /**
   * The job this is about.
   */
  job_id?: string;
  /**
   * The `ref` of the frame that submitted the job, if it had one.
   */
  ref?: string;
  /**
   * What was asked for, as the client wrote it. Events of older versions may lack it.
   */
  task_type?: string;
  /**
   * The attempt that failed, counted from 1.
   */
  attempt: number;
  /**
   * Why, without the words around it.
   */
  reason: string;
  /**
   * When the next attempt begins: RFC 3339, in UTC. Left out when a worker has to be found first.
   */
  next_at?: string;
}
/**
 * A worker has begun; `attempt` counts from 1 and grows when a worker died.
 */
export interface JobStarted {
  action: "job_started";
  payload: string;
  /**
   * The event's sequence in the stream; larger is later.
   */
  seq?: number;
  /**
   * When it was stored: RFC 3339, in UTC, with microseconds.
   */
  at?: string;
  /**
   * The group the event was sent to, if it was.
   */
  group?: string;
  /**
   * The job this is about.
   */
  job_id?: string;
  /**
   * The `ref` of the frame that submitted the job, if it had one.
   */
  ref?: string;
  /**
   * What was asked for, as the client wrote it. Events of older versions may lack it.
   */
  task_type?: string;
  /**
   * Counts from 1.
   */
  attempt: number;
}
/**
 * The answer to `get_job`, and to a `system_message`, `cancel_job` or `retry_job` that changed nothing.
 */
export interface JobStatus {
  action: "job_status";
  payload: JobStatusPayload;
  /**
   * The `ref` of the frame this answers, if it had one.
   */
  ref?: string;
}
/**
 * How a job stands: its last event, and its attempts.
 */
export interface JobStatusPayload {
  job_id: string;
  /**
   * The action of the job's last event.
   */
  state: "job_queued" | "job_started" | "job_retrying" | "job_result" | "job_failed" | "job_cancelled";
  /**
   * That event's text.
   */
  text: string;
  /**
   * What the job gives, as `job_result` has it; null before, and without a result.
   */
  result: {
    [k: string]: unknown;
  };
  /**
   * Why it failed or is tried again, without the words around it; else null.
   */
  reason: string | null;
  /**
   * Who called it off, if it was not the client; else null.
   */
  by: string | null;
  /**
   * How often a worker has begun.
   */
  attempt: number;
  /**
   * The latest 20 attempts, in order.
   */
  attempts: JobAttempt[];
  /**
   * When it may begin, if it was submitted for later and no worker has begun: RFC 3339, in UTC; else null.
   */
  not_before: string | null;
}
/**
 * One attempt at a job.
 */
export interface JobAttempt {
  /**
   * Counts from 1.
   */
  attempt: number;
  /**
   * When a worker began: RFC 3339, in UTC.
   */
  started_at: string;
  /**
   * Why it brought no result; null for one that did, was cancelled, or goes on.
   */
  reason: string | null;
}
/**
 * Ask whether the server is there.
 */
export interface Ping {
  action: "ping";
  payload?: null;
  /**
   * Any text; the reply to this frame repeats it.
   */
  ref?: string;
}
/**
 * The answer to a ping.
 */
export interface Pong {
  action: "pong";
  payload: null;
  /**
   * The `ref` of the frame this answers, if it had one.
   */
  ref?: string;
}
/**
 * A newer resume token, before the one that the client has expires. Sent with `bus.v1` only.
 */
export interface ResumeToken {
  action: "resume_token";
  payload: ResumeTokenPayload;
}
/**
 * How to come back from now on.
 */
export interface ResumeTokenPayload {
  /**
   * Keep it secret, in place of that of the `welcome`, and send it with the next `connect`.
   */
  resume: string;
}
/**
 * Do a job again that has ended: a new job with the same request. `job_queued` follows, with its `retry_of`.
 *
 * The job that has ended stays as it is.
 */
export interface RetryJob {
  action: "retry_job";
  payload: JobPayload;
  /**
   * Any text; the reply to this frame repeats it.
   */
  ref?: string;
  /**
   * Idempotency key of the new job, as in `system_message`.
   */
  key?: string;
  /**
   * The trace that the job belongs to, of W3C Trace Context: spans of the job are below this one.
   */
  traceparent?: string;
}
/**
 * Submit a job.
 */
export interface SystemMessage {
  action: "system_message";
  payload: TaskPayload;
  /**
   * Any text; the reply to this frame repeats it.
   */
  ref?: string;
  /**
   * Idempotency key: the same key from the same client is the same job.
   */
  key?: string;
  /**
   * When the job may begin at the earliest: RFC 3339 with a time zone, 366 days ahead at most. Until then it waits, and can be cancelled. A time that has passed means at once.
   */
  not_before?: string;
  /**
   * In place of `not_before`: in so many seconds from now.
   */
  delay?: number;
  /**
   * The trace that the job belongs to, of W3C Trace Context: spans of the job are below this one.
   */
  traceparent?: string;
}
/**
 * What to do, and with what.
 */
export interface TaskPayload {
  /**
   * A job type of the registry; any other runs `default`, if there is that one.
   */
  task_type: string;
  /**
   * The text to work on.
   */
  content: string;
}
/**
 * An operator tells something: everybody, a group, or one client.
 */
export interface SystemNotification {
  action: "system_notification";
  payload: string;
  /**
   * The event's sequence in the stream; larger is later.
   */
  seq?: number;
  /**
   * When it was stored: RFC 3339, in UTC, with microseconds.
   */
  at?: string;
  /**
   * The group the event was sent to, if it was.
   */
  group?: string;
  /**
   * How much it matters; left out, it means `info`.
   */
  level?: "info" | "warning" | "critical";
  /**
   * From then on it is neither shown nor replayed: RFC 3339 with a time zone. The server goes by its own clock.
   */
  expires_at?: string;
}
/**
 * The answer to `connect`. Replayed events follow in stream order, then live ones.
 */
export interface Welcome {
  action: "welcome";
  payload: WelcomePayload;
  /**
   * The `ref` of the frame this answers, if it had one.
   */
  ref?: string;
}
/**
 * Who the client is from now on, and whether it missed anything for good.
 */
export interface WelcomePayload {
  client_id: string;
  /**
   * Keep it secret and send it with the next `connect`.
   */
  resume: string;
  /**
   * The stream's identity; sequences of two epochs cannot be compared.
   */
  epoch: string;
  /**
   * Whether everything after the cursors is replayed. False when history was cut, or the stream or the client is another one.
   */
  recovered: boolean;
  /**
   * How many events follow before live ones, each as one frame with its `seq`.
   */
  replayed: number;
  /**
   * Per scope, the sequence from which on events are live.
   */
  cursors: {
    [k: string]: number;
  };
}

// The types of busctl-client: README.md says what each does. `wire.d.ts` is made from the AsyncAPI document.

import type { ErrorItem, Frames, Jobs as OwnJobs } from "./wire.js";

export type { Frames, OwnJobs };

/** What jobs take and give, by type. `npx busctl-client types URL` makes it from a server: `connect<Jobs>()`. */
export type JobTypes<T> = { [K in keyof T]: { content: unknown; result: unknown } };

/** For `connect<AnyJobs>()`: jobs that are not described. */
export interface AnyJobs {
  [taskType: string]: { content: any; result: any };
}

type Name<T> = keyof T & string;
type Off = () => void;

export interface Frame {
  action: string;
  payload?: unknown;
  ref?: string;
  [key: string]: unknown;
}

export interface Options {
  url?: string | URL;
  token?: string | (() => string | undefined | Promise<string | undefined>);
  storage?: Storage | null;
  prefix?: string;
  cursors?: Record<string, number>;
  mostJobs?: number;
  maxFrameBytes?: number;
  /** Milliseconds. */
  timings?: Partial<Timings>;
  /** In place of `JSON.parse`. */
  parse?: (text: string) => any;
  WebSocket?: unknown;
}

export interface Timings {
  open: number;
  welcome: number;
  pingAfter: number;
  pongWithin: number;
  firstDelay: number;
  longestDelay: number;
  lasted: number;
}

/** Connect, and stay connected until `close()`. */
export function connect<T extends JobTypes<T> = OwnJobs>(options?: Options): Client<T>;

export type ClientState =
  | { readonly name: "connecting" | "connected" }
  | {
      readonly name: "waiting";
      /** When it connects again, in milliseconds as `Date.now()`. */
      readonly until: number;
      readonly code?: number;
      readonly reason?: string;
      /** The browser has no network. */
      readonly offline: boolean;
    }
  | { readonly name: "closed"; readonly code?: number; readonly reason: string };

export interface WelcomeEvent {
  clientId: string;
  /** Nothing was known before. */
  first: boolean;
  sameClient: boolean;
  /** False when history was cut, or the server takes this for somebody else. */
  recovered: boolean;
  replayed: number;
}

export interface RawFrame {
  sent: boolean;
  frame: Frame;
  at: Date;
}

export interface SubmitOptions {
  /** The same key is the same job: 1 to 128 characters. */
  key?: string | null;
  /** When it may begin at the earliest. */
  notBefore?: Date | string | null;
  /** In seconds from now, in place of `notBefore`. */
  delay?: number | null;
  /** The id of a job that has ended: do that again. */
  retryOf?: string | null;
}

export interface Client<T extends JobTypes<T> = OwnJobs> {
  readonly state: ClientState;
  readonly id: string | null;
  readonly jobs: JobList<T>;

  /** A job, at once. Throws `RangeError` when it is larger than a frame may be, `TypeError` for a bad key. */
  submit<K extends Name<T>>(taskType: K, content: T[K]["content"], options?: SubmitOptions): Job<T, K>;

  on(name: "state", f: (state: ClientState) => void): Off;
  on(name: "welcome", f: (welcome: WelcomeEvent) => void): Off;
  on(name: "frame", f: (raw: RawFrame) => void): Off;
  on(name: "error", f: (frame: Frames["error"], error: Refused) => void): Off;
  on<A extends Exclude<keyof Frames, "welcome" | "error">>(action: A, f: (frame: Frames[A]) => void): Off;
  on(action: string, f: (frame: Frame) => void): Off;

  /** False when there is no connection. */
  send(frame: Frame): boolean;

  reconnect(): void;
  drop(): void;
  wake(): void;
  close(): void;
}

export interface ObservableList<Item, Change> extends Iterable<Item> {
  readonly size: number;
  /** Returns a function that takes it back. */
  subscribe(f: (change: Change) => void): Off;
  /** The same array until `subscribe` would tell. */
  snapshot(): readonly Item[];
}

export type ChangeType = "added" | "changed" | "removed";

export interface JobList<T extends JobTypes<T> = OwnJobs>
  extends ObservableList<Job<T>, { type: ChangeType; job: Job<T> }> {
  get(idOrKey: string): Job<T> | undefined;
  clearEnded(): void;
}

export type JobState =
  | "sending"
  | "unsent"
  | "refused"
  | "scheduled"
  | "queued"
  | "started"
  | "retrying"
  | "interrupted"
  | "done"
  | "failed"
  | "cancelled";

export type JobError = JobFailed | JobCancelled | Refused | JobLost | Disconnected;

export interface JobSnapshot<T extends JobTypes<T> = OwnJobs, K extends Name<T> = Name<T>> {
  /** Null until the server has confirmed the job. */
  readonly id: string | null;
  readonly key: string;
  readonly taskType: K;
  readonly content: T[K]["content"];
  /** The type that runs, where it is another one. */
  readonly runs: string | null;
  readonly state: JobState;
  /** No more comes. */
  readonly ended: boolean;
  /** From 1; 0 before the first. */
  readonly attempt: number;
  readonly progress: { readonly value: number | null; readonly message: string } | null;
  /** The answer so far, and all of it when the job is done. */
  readonly text: string;
  /** Of how many pieces `text` is; 0 when it came as a whole. */
  readonly pieces: number;
  /** What the job gave; undefined until it is done. */
  readonly value: T[K]["result"] | undefined;
  readonly reason: string;
  readonly reasons: readonly { readonly attempt: number; readonly reason: string }[];
  readonly error: JobError | null;
  readonly submittedAt: Date | null;
  readonly startedAt: Date | null;
  readonly endedAt: Date | null;
  readonly notBefore: Date | null;
  /** A `delay` was said, not a time. */
  readonly delayed: boolean;
  readonly nextAt: Date | null;
  readonly retryOf: string | null;
  readonly cancelling: boolean;
}

export interface Piece {
  text: string;
  attempt: number;
  /** What came before is void: a new attempt has begun. */
  reset: boolean;
}

export interface Job<T extends JobTypes<T> = OwnJobs, K extends Name<T> = Name<T>> extends JobSnapshot<T, K> {
  /** Rejected with a `JobError`. Nobody has to await it. */
  readonly result: Promise<T[K]["result"]>;
  readonly output: AsyncIterable<Piece>;
  cancel(): void;
  /** A new job with `retryOf`; an `unsent` job itself. */
  retry(): Job<T, K>;
  again(): Job<T, K>;
  subscribe(f: (keys: (keyof JobSnapshot)[]) => void): Off;
  snapshot(): JobSnapshot<T, K>;
}

export class JobFailed extends Error {
  private constructor();
  readonly reason: string;
  readonly attempt: number;
}

export class JobCancelled extends Error {
  private constructor();
  /** Null if this client did. */
  readonly by: string | null;
}

export class JobLost extends Error {
  private constructor();
}

export class Refused extends Error {
  private constructor();
  readonly items: readonly ErrorItem[];
  /** The same may be accepted later. */
  readonly again: boolean;
  is(type: string): boolean;
}

export class Disconnected extends Error {
  private constructor();
  readonly code?: number;
  readonly reason: string;
}

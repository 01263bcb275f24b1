import type { ReactElement, ReactNode } from "react";
import type { Client, ClientState, Job, JobSnapshot, JobTypes, OwnJobs } from "../types/index.js";
import type { Notification } from "../types/notifications.js";

export interface ClientProviderProps {
  client: Client<any>;
  children?: ReactNode;
}

/** Gives a client, made once outside of any component, to the hooks of its children. */
export function ClientProvider(props: ClientProviderProps): ReactElement;
export function useClient<T extends JobTypes<T> = OwnJobs>(): Client<T>;
/** How the connection stands. */
export function useClientState(): ClientState;
/** The jobs, the newest first. */
export function useJobs<T extends JobTypes<T> = OwnJobs>(): readonly Job<T>[];
/** All that a job tells: of a `Job`, or of the one with this id or key; null while there is none. */
export function useJob<T extends JobTypes<T>, K extends keyof T & string>(job: Job<T, K>): JobSnapshot<T, K>;
export function useJob<T extends JobTypes<T> = OwnJobs, K extends keyof T & string = keyof T & string>(
  job: Job<T, K> | string | null | undefined,
): JobSnapshot<T, K> | null;
/** The announcements that still hold, the newest first. */
export function useNotifications(): readonly Notification[];

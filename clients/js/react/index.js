// Hooks for React 18 and later.

import { createContext, createElement, useCallback, useContext, useSyncExternalStore } from "react";

import { notificationsOf } from "../src/notifications.js";

const Context = createContext(null);
const NOTHING = () => null;
const NEVER = () => NOTHING;

/** Gives a client, made once outside of any component, to the hooks of its children. */
export function ClientProvider({ client, children }) {
  notificationsOf(client); // from now on
  return createElement(Context.Provider, { value: client }, children);
}

export function useClient() {
  const client = useContext(Context);
  if (!client) {
    throw new Error("There is no client here: put <ClientProvider client={connect(…)}> around this component.");
  }
  return client;
}

/** How the connection stands. */
export function useClientState() {
  const client = useClient();
  const subscribe = useCallback((f) => client.on("state", f), [client]);
  return useStore(subscribe, () => client.state);
}

/** The jobs, the newest first. Renders again when one comes, goes, or changes its state or `cancelling`. */
export function useJobs() {
  const { jobs } = useClient();
  return useStore(jobs.subscribe, jobs.snapshot);
}

/** All that a job tells: of a `Job`, or of the one with this id or key; null while there is none. */
export function useJob(job) {
  const { jobs } = useClient();
  const found = useStore(jobs.subscribe, () => (typeof job === "string" ? jobs.get(job) : job) ?? null);
  return useStore(found?.subscribe ?? NEVER, found?.snapshot ?? NOTHING);
}

/** The announcements that still hold, the newest first. */
export function useNotifications() {
  const notifications = notificationsOf(useClient());
  return useStore(notifications.subscribe, notifications.snapshot);
}

function useStore(subscribe, snapshot) {
  return useSyncExternalStore(subscribe, snapshot, snapshot);
}

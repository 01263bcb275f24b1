import type { Client, Frames, ObservableList } from "./index.js";

export type Notification = Frames["system_notification"];

export type NotificationChange = { type: "added" | "removed"; notification: Notification };

export interface NotificationList extends ObservableList<Notification, NotificationChange> {
  dismiss(notification: Notification): void;
}

/** The announcements of a client, from when this was first asked on: right after `connect()`. The same list each time. */
export function notificationsOf(client: Client<any>): NotificationList;

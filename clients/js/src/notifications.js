// Announcements that still hold: `busctl-client/notifications`.

import { createList } from "./observable.js";
import { callAt } from "./times.js";

const MOST = 100;
const MINUTE = 60_000; // milliseconds
const lists = new WeakMap(); // Client -> its list

/** The announcements of a client since this was first asked: a list that can be observed. */
export const notificationsOf = (client) => {
  if (!lists.has(client)) {
    lists.set(client, follow(client));
  }
  return lists.get(client);
};

const follow = (client) => {
  const [list, tell] = createList("notification");
  list.dismiss = (frame) => tell("removed", frame);
  client.on("system_notification", (frame) => {
    tell("added", frame);
    if (frame.expires_at) {
      callAt(endOf(frame), () => list.dismiss(frame));
    }
    if (list.size > MOST) {
      list.dismiss(list.snapshot().at(-1));
    }
  });
  return list;
};

// The server shows what has not expired by its clock. A wrong one here takes nothing away at once, nor keeps it for long.
const endOf = ({ expires_at: expires, at }) => {
  const now = Date.now();
  const end = Date.parse(expires);
  return Math.min(end > now ? end : now + MINUTE, now + end - (Date.parse(at) || now));
};

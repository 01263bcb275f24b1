// Questions and their answers, a frame with a `ref` and the frame that repeats it: `busctl-client/requests`.

import { Disconnected, Refused } from "./errors.js";

const ANSWER_WITHIN = 20_000; // milliseconds
const OFFLINE = "Not connected: nothing was sent. Try again when the connection is back.";
const LOST = "The connection was lost before the server answered. It may have been done.";
const LATE = "The server did not answer. Try again.";

let count = 0;

/** Returns what sends a frame of any action, and resolves with the frame that answers it. */
export const requestsOf = (client) => {
  return async (action, payload = null, { timeout = ANSWER_WITHIN } = {}) => {
    const ref = `?${(count += 1)}`; // so begins what the client tells nobody else
    const offs = [];
    let timer = 0;
    try {
      return await new Promise((resolve, reject) => {
        timer = setTimeout(() => reject(new DOMException(LATE, "TimeoutError")), timeout);
        const answered = ({ sent, frame }) => {
          if (!sent && frame.ref === ref) {
            frame.action === "error" ? reject(new Refused(frame.payload)) : resolve(frame);
          }
        };
        offs.push(client.on("frame", answered));
        // Who asks when a connection is there hears of that, too.
        offs.push(client.on("state", ({ name }) => name !== "connected" && reject(new Disconnected(LOST))));
        if (!client.send({ action, payload, ref })) {
          reject(new Disconnected(OFFLINE));
        }
      });
    } finally {
      clearTimeout(timer);
      offs.forEach((off) => off());
    }
  };
};

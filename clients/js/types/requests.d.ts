import type { Client, Frame } from "./index.js";

/** Sends a frame, and resolves with the one that answers it, within `timeout` milliseconds. */
export type Request = (action: string, payload?: unknown, options?: { timeout?: number }) => Promise<Frame>;

/** For channels of your own: what asks the server, over the connection of a client. */
export function requestsOf(client: Client<any>): Request;

// What proves who this is, and a newer proof before it expires.

const AGAIN = 5_000; // milliseconds

/**
 * Returns what promises a token for a new connection. `source` is a token, or a function that gives or promises one; then
 * `send` brings newer ones, as `on` tells of a connection whose token expires.
 */
export const createTokens = (source, send, on) => {
  let shown; // what the server was shown last
  let asked; // what it was asked to take in place of that
  let expiring = false; // until there is one that the server takes, or the connection is lost

  const renew = async () => {
    try {
      asked = await source();
      if (asked !== shown) {
        send({ action: "refresh_token", payload: { token: asked }, ref: "?token" });
      }
    } catch {
      // It may do later.
    }
    setTimeout(() => expiring && renew(), AGAIN);
  };

  on("state", () => (expiring = false));
  on("token_expiring", () => {
    if (source?.call) {
      expiring = true;
      renew();
    }
  });
  on("frame", ({ frame }) => {
    if (frame.action === "token_refreshed") {
      shown = asked;
      expiring = false;
    }
  });
  return async () => (shown = await (source?.call ? source() : source));
};

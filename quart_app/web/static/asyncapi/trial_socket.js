// A WebSocket to try the API with: bare, because the console shows what is on the wire.

/** One connection. What happens is told by `onopen()`, `onframe(text)` and `onclose(why)`. */
export class TrialSocket {
  #socket;

  /** `mode` is the subprotocol, or "plain" for none. */
  constructor(address, mode, { onopen, onframe, onclose }) {
    const url = new URL(address, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    this.#socket = mode === "plain" ? new WebSocket(url) : new WebSocket(url, [mode]);
    let opened = false;
    this.#socket.onopen = () => {
      opened = true;
      onopen();
    };
    this.#socket.onmessage = ({ data }) => onframe(data);
    this.#socket.onclose = ({ code, reason }) => onclose(opened ? meaning(code, reason) : REFUSED);
  }

  get open() {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  send(text) {
    this.#socket.send(text);
  }

  close() {
    this.#socket.close(1000);
  }
}

const REFUSED =
  "No connection: the server is away, or refused the handshake. Its log says why, or the browser's console.";

// What the table of the page says of the code with which the server, or this page, has closed.
function meaning(code, reason) {
  const rows = [...document.querySelectorAll(`tr[data-code="${code}"]`)];
  const row = rows.find(({ dataset }) => dataset.reason === reason) ?? (rows.length === 1 ? rows[0] : null);
  const lost = code === 1006 ? ": the connection was lost" : "";
  return `Closed with ${code}${reason ? `: ${reason}` : lost}${row ? ` (connect again: ${row.dataset.again})` : ""}`;
}

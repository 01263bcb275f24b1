// A WebSocket to try the API with: bare, because it shows what is on the wire.

const MOST_SHOWN = 200; // frames

/** The form of "Try it". */
export class Trial {
  #socket = null;

  constructor(form) {
    this.fields = form.elements;
    this.state = form.querySelector("#api-state");
    this.wrong = form.querySelector("#api-wrong");
    this.log = form.querySelector("#api-log");
    this.connect = form.querySelector("#api-connect");
    this.sending = form.querySelector("#api-send");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.connect.addEventListener("click", () => (this.#socket ? this.#socket.close(1000) : this.#open()));
    form.querySelector("#api-clear").addEventListener("click", () => this.log.replaceChildren());
    this.fields.example.addEventListener("change", () => this.#begin());
    for (const name of ["channel", "mode"]) {
      this.fields[name].addEventListener("change", () => this.#offer());
    }
    this.#offer();
  }

  // The examples of this channel; the first frame of bus.v1 first.
  #offer() {
    const channel = this.fields.channel.selectedOptions[0].dataset.channel;
    let first = null;
    for (const option of this.fields.example.options) {
      option.hidden = option.disabled = option.dataset.channel !== channel;
      const suits = (JSON.parse(option.value).action === "connect") === (this.fields.mode.value !== "");
      first ??= !option.hidden && suits ? option : null;
    }
    if (first) {
      first.selected = true;
    }
    this.#begin();
  }

  #begin() {
    this.wrong.textContent = "";
    const frame = JSON.parse(this.fields.example.value || "{}");
    if (frame.action === "connect") {
      frame.payload = this.fields.token?.value ? { token: this.fields.token.value } : {};
    }
    delete frame.key; // with it, a second time would be the same job
    delete frame.traceparent;
    this.fields.frame.value = JSON.stringify(frame, null, 2);
  }

  #open() {
    const { channel, mode } = this.fields;
    const url = new URL(channel.value, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = (this.#socket = mode.value ? new WebSocket(url, [mode.value]) : new WebSocket(url));
    let opened = false;
    this.#tell("connecting…", "Disconnect");
    socket.onopen = () => {
      opened = true;
      this.#tell("connected", "Disconnect");
      this.sending.disabled = false;
    };
    socket.onmessage = ({ data }) => this.#show("server", data);
    socket.onclose = ({ code, reason }) => {
      this.#socket = null;
      this.sending.disabled = true;
      this.#tell("not connected", "Connect");
      this.#show("end", opened ? this.#meaning(code, reason) : "The handshake was refused; the server's log, or the browser's console, says why.");
    };
  }

  #send() {
    let frame;
    try {
      frame = JSON.stringify(JSON.parse(this.fields.frame.value));
    } catch (error) {
      this.wrong.textContent = `This is no JSON, and was not sent: ${error.message}`;
      return;
    }
    this.wrong.textContent = "";
    this.#socket?.send(frame);
    this.#show("client", frame);
  }

  // What the table says of the code with which the server, or this page, has closed.
  #meaning(code, reason) {
    const rows = [...document.querySelectorAll(`tr[data-code="${code}"]`)];
    const again = rows.find((row) => row.cells[2].textContent === reason)?.cells[3].textContent;
    return `Closed with ${code}${reason ? `: ${reason}` : ""}${again ? ` (connect again: ${again})` : ""}`;
  }

  #tell(state, button) {
    this.state.textContent = state;
    this.connect.textContent = button;
  }

  #show(by, text) {
    const item = document.createElement("li");
    item.className = `api-${by}`;
    const time = document.createElement("time");
    time.textContent = new Date().toLocaleTimeString();
    const code = document.createElement("code");
    code.textContent = text;
    item.append(time, { client: " → ", server: " ← ", end: " × " }[by], code);
    this.log.append(item);
    while (this.log.children.length > MOST_SHOWN) {
      this.log.firstChild.remove();
    }
    this.log.scrollTop = this.log.scrollHeight;
  }
}

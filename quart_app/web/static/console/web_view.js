// Web processes, and the connections of one of them.

import { element, make } from "../elements.js";
import { past } from "../times.js";
import { away, bytes, count, many, span } from "../amounts.js";
import { go, href } from "./route.js";
import { figure, replace, table } from "./system_parts.js";

const TYPED = 300; // milliseconds

export class WebView {
  title = "Web processes";
  #ask;
  #chosen = null; // id of a web process
  #client = "";
  #shown = []; // connections
  #timer = 0;

  constructor({ ask }) {
    this.#ask = ask;
    element("connections-more").addEventListener("click", () => this.#load(this.#shown.at(-1)?.number ?? 0));
    element("connections-again").addEventListener("click", () => this.#load());
    element("connections-client").addEventListener("input", ({ target }) => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#go(this.#chosen, target.value.trim(), true), TYPED);
    });
    element("connections-form").addEventListener("submit", (event) => event.preventDefault());
  }

  show({ path: [chosen = null], query }) {
    this.#chosen = chosen;
    this.#client = query.get("client") ?? "";
    if (element("connections-client").value.trim() !== this.#client) {
      element("connections-client").value = this.#client;
    }
    element("connections").hidden = !chosen;
    if (chosen) {
      this.#load();
    }
  }

  hide() {
    clearTimeout(this.#timer);
  }

  connection(phase) {
    if (phase.name === "connected" && this.#chosen) {
      this.#load();
    }
  }

  /** Show a `system_state`. */
  system({ web }) {
    element("web-wait").hidden = true;
    const connections = web.reduce((sum, process) => sum + process.connections, 0);
    replace(
      element("web-figures"),
      figure("Web processes", count.format(web.length)),
      figure("Connections", count.format(connections)),
    );
    element("web-none").hidden = web.length > 0;
    const columns = [
      { name: "Process" },
      { name: "Version" },
      { name: "Up", className: "number" },
      { name: "Connections", className: "number" },
    ];
    const rows = web.map(({ id, host, pid, version, up, connections }) => [
      make(
        "a",
        { id: `web-${id}`, href: href("web", [id]), ariaCurrent: id === this.#chosen ? "true" : null },
        `${host}:${pid}`,
      ),
      version,
      up === null ? "?" : span(Math.floor(up) * 1000),
      count.format(connections),
    ]);
    replace(element("web"), web.length ? table("Web processes", columns, rows) : "");
    const chosen = web.find(({ id }) => id === this.#chosen);
    const name = chosen ? `${chosen.host}:${chosen.pid}` : this.#chosen;
    element("connections-title").textContent = `Connections of ${name ?? ""}`;
  }

  #go(web, client, replaced) {
    if (web) {
      go(href("web", [web], { client }), { replace: replaced });
    }
  }

  async #load(after = 0) {
    const [web, client] = [this.#chosen, this.#client];
    element("connections-trouble").hidden = true;
    try {
      const { payload } = await this.#ask("get_connections", { web, after, client_id: client || null });
      if (web === this.#chosen && client === this.#client) {
        this.#shown = after ? [...this.#shown, ...payload.connections] : payload.connections;
        this.#draw(payload.more);
      }
    } catch ({ message }) {
      element("connections-trouble").textContent = message;
      element("connections-trouble").hidden = false;
    }
  }

  #draw(more) {
    const columns = [
      { name: "Client" },
      { name: "Address" },
      { name: "Protocol" },
      { name: "Open", className: "number" },
      { name: "Waiting", className: "number" },
    ];
    const now = Date.now();
    const rows = this.#shown.map(({ client_id: client, address, protocol, since, waiting }) => [
      make("a", { href: href("jobs", [], { client }), title: "Jobs of this client" }, make("code", {}, client)),
      address,
      protocol,
      make("time", { title: past(new Date(since * 1000)) }, away(now - since * 1000).replace(" ago", "")),
      waiting ? bytes(waiting) : "–",
    ]);
    replace(
      element("connections-list"),
      rows.length
        ? table("Connections", columns, rows)
        : make("p", { className: "empty" }, this.#client ? "This client has no connection here." : "Nobody is connected."),
    );
    const clients = new Set(this.#shown.map(({ client_id: client }) => client)).size;
    element("connections-number").textContent = rows.length
      ? `${many(rows.length, "connection")} of ${many(clients, "client")}${more ? ", and more" : ""}, the oldest first`
      : "";
    element("connections-more").hidden = !more;
  }
}

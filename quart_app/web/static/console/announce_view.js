// Tell people something: who, how loudly, until when, and how it will look to them.

import { element, make } from "../elements.js";
import { Notices } from "../notices.js";

const TYPED = 150; // milliseconds
const PASSED = "This time has passed. Choose one that is still to come.";
const UNITS = { m: 60_000, h: 3_600_000 };

export class AnnounceView {
  title = "Announce";
  #ask;
  #acting;
  #say;
  #form = element("announce");
  #preview;
  #timer = 0;

  constructor({ ask, acting, say }) {
    this.#ask = ask;
    this.#acting = acting;
    this.#say = say;
    this.#preview = new Notices({
      place: {
        list: element("preview-list"),
        log: element("preview-log"),
        empty: element("preview-empty"),
        banners: element("preview-banners"),
      },
    });
    const past = { banners: make("div") }; // what was critical once is in the list
    this.notices = new Notices({ onFocusLost: () => this.#form.elements.text.focus(), place: past });
    this.#form.addEventListener("input", () => this.#soon());
    this.#form.addEventListener("change", () => this.#soon());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#announce();
    });
    this.#draw();
  }

  show() {
    element("announce-told").hidden = true;
    this.#draw();
  }

  hide() {}

  connection() {}

  #soon() {
    clearTimeout(this.#timer);
    element("announce-told").hidden = true;
    this.#refuse("");
    this.#timer = setTimeout(() => this.#draw(), TYPED);
  }

  get #payload() {
    const { text, level, audience, name, expires, until } = this.#form.elements;
    const to = audience.value;
    const unit = UNITS[expires.value.slice(-1)];
    const time = new Date(expires.value === "at" ? until.value : Date.now() + parseInt(expires.value, 10) * unit);
    return {
      text: text.value.trim(),
      level: level.value === "info" ? null : level.value,
      expires_at: expires.value && !Number.isNaN(time.valueOf()) ? time.toISOString() : null,
      group: null,
      client_id: null,
      user: null,
      ...(to ? { [to]: name.value.trim() } : {}),
    };
  }

  #draw() {
    const { audience, expires, name, until } = this.#form.elements;
    const named = { group: "Name of the group", client_id: "Client id", user: "User (the token's sub)" }[audience.value];
    element("announce-name-field").hidden = !named;
    element("announce-name-label").textContent = named ?? "";
    name.required = Boolean(named);
    element("announce-until-field").hidden = expires.value !== "at";
    until.required = expires.value === "at";
    const { text, level, expires_at } = this.#payload;
    this.#preview.clear();
    if (text) {
      const frame = { payload: text, expires_at, ...(level && { level }) };
      this.#preview.show(frame, new Date());
    }
    element("preview-empty").textContent = "What you write appears here as people will see it.";
  }

  #refuse(text) {
    element("announce-error").textContent = text;
    element("announce-error").hidden = !text;
  }

  async #announce() {
    const payload = this.#payload;
    if (!payload.text) {
      this.#refuse("Write what is to be told.");
      this.#form.elements.text.focus();
      return;
    }
    if (payload.expires_at && new Date(payload.expires_at) <= Date.now()) {
      this.#refuse(PASSED);
      this.#form.elements.until.focus();
      return;
    }
    const everybody = !payload.group && !payload.client_id && !payload.user;
    if (everybody && payload.level === "critical") {
      const text = `Everybody who is connected sees it above everything else, until they dismiss it: “${payload.text}”`;
      if (!(await this.#acting.confirm({ title: "Announce this to everybody?", text, yes: "Announce to everybody" }))) {
        return;
      }
    }
    element("announce-button").disabled = true;
    try {
      const { payload: announced } = await this.#ask("announce", payload);
      this.#form.elements.text.value = "";
      this.#draw();
      const where = everybody ? " It is in the list below." : "";
      element("announce-told").textContent = `Announced, with sequence ${announced.seq}.${where}`;
      element("announce-told").hidden = false;
      this.#say("Announced");
    } catch ({ message }) {
      this.#refuse(message);
    }
    element("announce-button").disabled = false;
    this.#form.elements.text.focus();
  }
}

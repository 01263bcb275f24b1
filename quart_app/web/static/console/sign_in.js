// Who is no operator is told what is needed, and may bring it. A token lives as long as this tab.

import { NOT_SIGNED_IN } from "../client/connection.js";
import { element } from "../elements.js";
import { recall, remember } from "../storage.js";
import { past } from "../times.js";

const TOKEN = "console-token";
const NO_OPERATOR = 4403;

export const token = () => recall(TOKEN) ?? undefined;

export class SignIn {
  #ask;

  /** `onToken()` is called when there is another token to connect with; `ask(action, payload)` is `request` of a client. */
  constructor({ ask, onToken }) {
    this.#ask = ask;
    element("sign-in-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const brought = element("sign-in-token").value.trim();
      element("sign-in-token").value = "";
      remember(TOKEN, brought || null);
      onToken();
    });
    element("expiring").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#renew(element("expiring-token").value.trim());
    });
  }

  /** Show what a phase of the connection asks for; returns whether it does. */
  show({ name, code, reason }) {
    const needed = name === "closed" && (code === NOT_SIGNED_IN || code === NO_OPERATOR);
    element("sign-in").hidden = !needed;
    if (needed) {
      const known = Boolean(recall(TOKEN));
      element("sign-in-title").textContent = code === NO_OPERATOR ? "This is for operators" : "Sign in as an operator";
      element("sign-in-reason").textContent = reason;
      element("sign-in-reason").hidden = !reason || (code === NOT_SIGNED_IN && !known);
      element("sign-in-token")?.focus();
    }
    if (name === "connected" || needed) {
      element("expiring").hidden = true;
    }
    return needed;
  }

  /** Show that the token expires soon. */
  expiring({ expires_at: at }) {
    element("expiring-text").textContent = `Your token expires at ${past(new Date(at))}. Then this page is closed.`;
    element("expiring-error").textContent = "";
    element("expiring").hidden = false;
  }

  async #renew(brought) {
    try {
      await this.#ask("refresh_token", { token: brought });
      remember(TOKEN, brought);
      element("expiring-token").value = "";
      element("expiring").hidden = true;
    } catch ({ message }) {
      element("expiring-error").textContent = message;
    }
  }
}

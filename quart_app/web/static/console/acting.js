// Cancel and retry: asks whether that is meant, tells the server, and shows how far it has come.

import { element, make } from "../elements.js";
import { count, many } from "../amounts.js";
import { jobHref } from "./route.js";

const WORDS = {
  cancel: { name: "Cancel", doing: "Cancelling", done: "cancelled", none: "had ended already" },
  retry: { name: "Retry", doing: "Retrying", done: "retried", none: "had not ended" },
};
const LOST = "The connection was lost, so it stopped here or went on unseen. Look at the list for how the jobs stand.";

export class Acting {
  #ask;
  #say;
  #settle = null; // what hears of the end of the one that is under way

  /** `ask` as `Asking` has it; `say(text)` tells a screen reader. */
  constructor({ ask, say }) {
    this.#ask = ask;
    this.#say = say;
    element("acting-stop").addEventListener("click", () => this.#stop());
    element("acting-close").addEventListener("click", () => (element("acting").hidden = true));
  }

  /** Ask somebody whether this is meant; resolves with the answer. */
  confirm({ title, text, yes, danger = true }) {
    const dialog = element("confirm");
    element("confirm-title").textContent = title;
    element("confirm-text").textContent = text;
    element("confirm-yes").textContent = yes;
    element("confirm-yes").classList.toggle("danger", danger);
    dialog.returnValue = "";
    dialog.showModal();
    return new Promise((resolve) => {
      dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    });
  }

  /** Cancel or retry these jobs; resolves with the last `jobs_acted`, or null when it was refused. */
  some(verb, jobs) {
    const named = jobs.map(({ client_id, job_id }) => ({ client_id, job_id }));
    return this.#act(verb, { jobs: named }, named.length);
  }

  /** Cancel or retry all jobs of a filter, of which there are `number`, once somebody has confirmed that. */
  async all(verb, filter, number) {
    const { name } = WORDS[verb];
    const again = verb === "retry" ? " Each is done again as a new job of its client." : "";
    const open = verb === "cancel" ? "open" : "ended";
    const sure = await this.confirm({
      title: `${name} ${many(number, "job")}?`,
      text: `${name} ${filter.words(number, open)}?${again} This cannot be taken back.`,
      yes: `${name} ${many(number, "job")}`,
      danger: verb === "cancel",
    });
    return sure ? this.#act(verb, { filter: filter.wire, expected: number }, number) : null;
  }

  /** How far the one under way has come. */
  take(acted) {
    this.#show(acted);
    if (acted.over) {
      this.#settle?.(acted);
      this.#settle = null;
    }
  }

  /** The connection is gone. */
  lost() {
    if (this.#settle) {
      this.#tell(LOST, { over: true, bad: true });
      this.#settle(null);
      this.#settle = null;
    }
  }

  async #act(verb, payload, total) {
    if (this.#settle) {
      this.#tell("Another one is under way: stop it, or wait until it is over.", { bad: true });
      return null;
    }
    const over = new Promise((resolve) => (this.#settle = resolve));
    this.#show({ verb, total, done: 0, skipped: 0, failed: 0, errors: [], retried: [], over: false });
    try {
      const { payload: acted } = await this.#ask(`${verb}_jobs`, payload);
      this.take(acted);
    } catch (error) {
      const changed = error.is?.("changed") ? " Nothing was done: look at the list, and confirm the new number." : "";
      this.#settle = null;
      this.#tell(`${error.message}${changed}`, { over: true, bad: true });
      return null;
    }
    return over;
  }

  #stop() {
    this.#ask("stop_acting").catch(() => {}); // has no answer but the end
    element("acting-stop").disabled = true;
  }

  #show({ verb, total, done, skipped, failed, errors, retried, over }) {
    const { doing, done: past, none } = WORDS[verb];
    const tried = done + skipped + failed;
    const rest = over && tried < total ? `, ${count.format(total - tried)} left as they are` : "";
    const facts = [
      over ? `${many(done, "job")} ${past}` : `${doing}: ${count.format(tried)} of ${many(total, "job")}`,
      skipped && `${count.format(skipped)} ${none}`,
      failed && `${count.format(failed)} failed`,
    ].filter(Boolean);
    const text = `${facts.join(", ")}${rest}.`;
    this.#tell(text, { over, bad: failed > 0, share: total ? tried / total : 1, errors, retried });
    if (over) {
      this.#say(text);
    }
  }

  #tell(text, { over = false, bad = false, share = null, errors = [], retried = [] }) {
    const box = element("acting");
    box.hidden = false;
    box.classList.toggle("bad", bad);
    element("acting-text").textContent = text;
    element("acting-bar").hidden = over || share === null;
    element("acting-bar").value = share ?? 0;
    element("acting-stop").hidden = over || share === null;
    element("acting-stop").disabled = false;
    element("acting-close").hidden = !over;
    const link = (job, id) => make("a", { href: jobHref({ ...job, job_id: id }) }, id);
    const failures = errors.map((job) => make("li", {}, link(job, job.job_id), `: ${job.msg}`));
    const again = over && retried.length <= 3 ? retried : [];
    const news = again.map((job) => make("li", {}, "New job ", link(job, job.new_job_id)));
    element("acting-more").replaceChildren(...failures, ...news);
  }
}

// What the page of the API does besides being read: finds, unfolds, copies, and speaks to the server.

import { copyButton } from "../copying.js";
import { element } from "../elements.js";
import { DescribedWire } from "./described_wire.js";
import { Modes } from "./modes.js";
import { followSearch } from "./search.js";
import { Trial } from "./trial.js";

document.body.classList.add("scripted");
followSearch();

for (const block of document.querySelectorAll(".api pre")) {
  const button = copyButton(() => block.querySelector("code").textContent);
  button.classList.add("api-copy");
  block.prepend(button);
}

for (const button of document.querySelectorAll(".api-unfold")) {
  const folds = [...button.parentElement.querySelectorAll("details")];
  const all = () => folds.every(({ open }) => open);
  const tell = () => (button.textContent = all() ? "Fold all" : "Unfold all");
  button.addEventListener("click", () => {
    const open = !all();
    folds.forEach((fold) => (fold.open = open));
  });
  folds.forEach((fold) => fold.addEventListener("toggle", tell));
  tell();
}

if (matchMedia("(max-width: 47.99rem)").matches) {
  document.querySelectorAll(".api-keys").forEach((keys) => (keys.open = false)); // a phone would scroll past them for long
}

const modes = new Modes(element("api-mode"));
const trial = new Trial(element("api-try"), modes.chosen, DescribedWire.load);
modes.onchange = (mode) => trial.takeMode(mode);

// An address leads to a message in the console, or to something that may be folded.
function follow() {
  const [place, channel, action, kind] = location.hash.slice(1).split("/").map(decoded);
  if (place === "try" && action) {
    trial.open({ channel, action, kind });
    return;
  }
  const target = element(place);
  for (let fold = target?.closest("details"); fold; fold = fold.parentElement.closest("details")) {
    fold.open = true;
  }
  target?.querySelector(":scope > details")?.setAttribute("open", "");
  target?.scrollIntoView();
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // somebody has typed it
  }
}

window.addEventListener("hashchange", follow);
if (location.hash) {
  follow();
}

// What the page of the API does besides being read: finds, copies, and speaks to the server.

import { Trial } from "./trial.js";

const search = document.getElementById("api-search");
const found = document.getElementById("api-found");
const entries = [...document.querySelectorAll("#api-nav li")].map((item) => ({
  item,
  quiet: item.hidden, // shown only when it is looked for
  text: item.querySelector(":scope > a")?.textContent.toLowerCase() ?? "",
}));

document.body.classList.add("scripted");

function filter() {
  const wanted = search.value.trim().toLowerCase();
  let count = 0;
  for (const { item, quiet, text } of entries) {
    const fits = wanted !== "" && text.includes(wanted);
    count += fits;
    item.hidden = wanted ? !fits : quiet;
  }
  if (wanted) {
    for (const { item } of entries.filter(({ item }) => !item.hidden)) {
      for (let above = item.parentElement.closest("li"); above; above = above.parentElement.closest("li")) {
        above.hidden = false;
      }
    }
  }
  search.closest("nav").classList.toggle("searching", wanted !== "");
  found.textContent = wanted ? `${count || "nothing"} found` : "";
}

search.addEventListener("input", filter);
search.addEventListener("keydown", ({ key }) => {
  if (key === "Enter") {
    const first = entries.find(({ item, text }) => !item.hidden && text.includes(search.value.trim().toLowerCase()));
    first?.item.querySelector(":scope > a")?.click();
  } else if (key === "Escape") {
    search.value = "";
    filter();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.closest("input, textarea, select")) {
    event.preventDefault();
    search.focus();
  }
});

for (const block of document.querySelectorAll(".api pre")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "api-copy";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(block.querySelector("code").textContent);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select it and copy by hand"; // a page that is not served safely may not copy
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  block.append(button);
}

new Trial(document.getElementById("api-try"));

// The search in the sidebar: shows the entries that say what is looked for, or whose frame has a key of that name.

import { element } from "../elements.js";

export function followSearch() {
  const search = element("api-search");
  const entries = [...document.querySelectorAll("#api-nav li")].map((item) => ({
    item,
    quiet: item.hidden, // shown only when it is looked for
    ...textsOf(item.querySelector(":scope > a")),
  }));
  const wanted = () => search.value.trim().toLowerCase();

  function filter() {
    const text = wanted();
    const fitting = text ? entries.filter(({ name, keys }) => name.includes(text) || keys.includes(text)) : [];
    for (const { item, quiet } of entries) {
      item.hidden = text ? true : quiet;
    }
    for (const { item } of fitting) {
      for (let one = item; one; one = one.parentElement.closest("li")) {
        one.hidden = false;
      }
    }
    search.closest("nav").classList.toggle("searching", text !== "");
    element("api-found").textContent = text ? `${fitting.length || "nothing"} found` : "";
  }

  search.addEventListener("input", filter);
  search.addEventListener("keydown", ({ key }) => {
    if (key === "Enter" && wanted()) {
      const found = entries.find(({ name }) => name.includes(wanted())) ?? entries.find(({ keys }) => keys.includes(wanted()));
      found?.item.querySelector(":scope > a").click();
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
}

function textsOf(link) {
  const keys = link && document.getElementById(link.hash.slice(1))?.closest("article")?.querySelectorAll(".api-key");
  const text = (element) => element.textContent.toLowerCase();
  return { name: link ? text(link) : "", keys: [...(keys ?? [])].map(text).join(" ") };
}

// Elements of the document. Text from outside goes in as text only.

export const element = (id) => document.getElementById(id);

/** A new element with these properties (`dataset` and `style` as objects) and children, which may be texts. */
export function make(tag, { dataset, style, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  Object.assign(made.dataset, dataset);
  Object.assign(made.style, style);
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

/** A new item as a template has it. */
export function made(template) {
  return element(template).content.firstElementChild.cloneNode(true);
}

/** Write texts into the parts of an item that are made for them. */
export function fill(item, fields) {
  for (const [name, text] of Object.entries(fields)) {
    item.querySelector(`[data-field=${name}]`).textContent = text;
  }
}

/** Keep so many items of a list: remove from this end, "firstElementChild" or "lastElementChild". */
export function trim(list, most, end) {
  while (list.childElementCount > most) {
    list[end].remove();
  }
}

// Text with the links in it.

import { make } from "./elements.js";

const LINK = /https?:\/\/[^\s<>"'`]+/g;
const AFTER = /[.,;:!?)\]}]+$/; // belongs to the sentence, not to the address

/** A text as nodes: web addresses as links, all else as it is. */
export function linked(text) {
  const nodes = [];
  let end = 0;
  for (const { 0: found, index } of text.matchAll(LINK)) {
    const address = found.replace(AFTER, "");
    if (URL.canParse(address)) {
      nodes.push(text.slice(end, index));
      nodes.push(make("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow" }, address));
      end = index + address.length;
    }
  }
  return [...nodes, text.slice(end)];
}

// Names that nobody else has.

/** 32 random digits. crypto.randomUUID() exists in secure contexts only, and a page over plain HTTP is none. */
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

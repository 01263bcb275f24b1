// Names that nobody else has.

/** 128 random bits. crypto.randomUUID() exists in secure contexts only, and a page over plain HTTP is none. */
export const newKey = () => crypto.getRandomValues(new Uint32Array(4)).join("-");

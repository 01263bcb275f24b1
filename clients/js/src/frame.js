// The text of a frame.

/** A frame as JSON. Half a character, as cutting a text leaves it, becomes U+FFFD, as in all text that a browser sends. */
export const encode = (frame) => JSON.stringify(frame, (key, value) => value?.toWellFormed?.() ?? value);

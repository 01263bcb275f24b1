// The text of a frame.

const DEEPEST = 198; // levels of a content, or a payload, that a server reads

/**
 * A frame as JSON. Half a character, as cutting a text leaves it, becomes U+FFFD, as in all other text that a browser sends:
 * UTF-8 has none.
 */
export const encode = (frame) => JSON.stringify(frame).replace(/(\\(?!ud).)|\\ud.../g, (_, other = "\ufffd") => other);

/** Raises `RangeError` when a value is nested too deeply for a server. */
export const refuseDeep = (value, left = DEEPEST) => {
  if (Object(value) === value) {
    if (!left) {
      throw new RangeError("This is nested too deeply. Send some of it as text.");
    }
    Object.values(value).forEach((each) => refuseDeep(each, left - 1));
  }
};

// What may wait, at a rate that a server takes: past its limit it closes the connection.

const MOST = 50; // frames a second

/** Returns a function that has an item sent soon, once, by `send(item)`, which tells whether that took a frame. */
export const createPace = (send) => {
  const waiting = new Set();
  let left = MOST;

  const go = () => {
    for (const item of waiting) {
      if (!left) {
        return;
      }
      waiting.delete(item);
      if (send(item)) {
        left -= 1;
        setTimeout(() => {
          left += 1;
          go();
        }, 1000);
      }
    }
  };

  return (item) => {
    waiting.add(item);
    go();
  };
};

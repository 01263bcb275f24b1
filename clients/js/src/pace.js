// What may wait, at a rate that a server takes: past its limit it closes the connection.

const MOST = 50; // frames a second

/** Returns a function that has an item sent soon, once, by `send(item)`, which returns how many frames that took. */
export const createPace = (send) => {
  const waiting = new Set();
  let left = MOST;
  let timer = 0;

  const refill = () => {
    timer = 0;
    left = MOST;
    go();
  };

  const go = () => {
    for (const item of waiting) {
      timer ||= setTimeout(refill, 1000);
      if (left <= 0) {
        break;
      }
      waiting.delete(item);
      left -= send(item);
    }
  };

  return (item) => {
    waiting.add(item);
    go();
  };
};

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 15_000;

// backoff returns how many milliseconds to wait after so many failures in a row: twice as long each time, and by
// chance up to half as long, so that pages which lost the same server don't all come back at once.
export function backoff(failures) {
  const longest = Math.min(FIRST_PAUSE * 2 ** (failures - 1), LONGEST_PAUSE);
  return longest * (1 - Math.random() / 2);
}

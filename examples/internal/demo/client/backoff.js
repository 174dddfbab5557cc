const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 15_000;

// backoff returns how many milliseconds to wait after a number of failures in a row. The time doubles with each failure,
// and a random part of up to a half is taken off, so that pages which lost the same server do not all return at once.
export function backoff(failures) {
  const longest = Math.min(FIRST_PAUSE * 2 ** (failures - 1), LONGEST_PAUSE);
  return longest * (1 - Math.random() / 2);
}

// Jobs that are repeated until they succeed.

const FIRST_PAUSE = 500; // ms
const LONGEST_PAUSE = 15_000; // ms

/**
 * The pause after a number of failures in a row. It doubles with each failure, up to 15 s. A random part of up to a
 * half is taken off, so that pages which lost the same server do not all return at once.
 * @param {number} failures 1 or more
 * @returns {number} in milliseconds
 */
export function backoff(failures) {
  return Math.min(FIRST_PAUSE * 2 ** (failures - 1), LONGEST_PAUSE) * (1 - Math.random() / 2);
}

/** An error that trying again cannot mend. A Task whose job throws it runs again only when hurry is called. */
export class Halt extends Error {}

/** A job that is repeated with growing pauses until it succeeds, and never runs twice at the same time. */
export class Task {
  #job;
  #timer = 0;
  #due = Infinity; // when the timer fires
  #failures = 0;
  #running = false;
  #wanted = Infinity; // after how long it is due again, requested while running, when the job may have looked too early

  /** @param {() => Promise<void>} job throws if it has to be repeated */
  constructor(job) {
    this.#job = job;
  }

  /**
   * Runs the job after a delay, unless it is due sooner. After a failure the pause applies instead.
   * @param {number} [delay] in milliseconds
   */
  request(delay = 0) {
    if (this.#running || this.#failures) this.#wanted = Math.min(this.#wanted, delay);
    else this.#schedule(delay);
  }

  /** Ends the pause after a failure, because there is a sign that the job may succeed. */
  hurry() {
    this.#failures = 0;
    if (!this.#running && (this.#wanted < Infinity || this.#due < Infinity)) this.#schedule(0);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#due = -Infinity; // no run is ever sooner
  }

  #schedule(delay) {
    const due = performance.now() + delay; // a clock may be set back
    if (due >= this.#due) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(() => this.#run(), delay);
  }

  async #run() {
    if (this.#due === -Infinity) return;
    this.#due = Infinity;
    this.#running = true;
    this.#wanted = Infinity;
    let halted = false;
    try {
      await this.#job();
      this.#failures = 0;
    } catch (error) {
      this.#failures++;
      this.#wanted = 0;
      halted = error instanceof Halt;
      console.info(`delivery: ${error.message}`);
    }
    this.#running = false;
    if (this.#wanted < Infinity && !halted) this.#schedule(this.#failures ? backoff(this.#failures) : this.#wanted);
  }
}

// A Task is a job that is repeated, with growing pauses, until it succeeds.

import { backoff } from '/client/backoff.js';

export class Task {
  #job;
  #timer = 0;
  #due = Infinity; // when the timer fires
  #failures = 0;
  #running = false;
  #again = false; // requested while running: the running job may have looked too early

  // job is an async function that throws if it has to be repeated.
  constructor(job) {
    this.#job = job;
  }

  // request runs the job after a delay in milliseconds, unless it is already due sooner. After a failure the
  // pause applies instead.
  request(delay = 0) {
    if (this.#running) {
      this.#again = true;
    } else if (this.#failures === 0) {
      this.#schedule(delay);
    }
  }

  // hurry ends the pause after a failure, when there is a sign that the job may succeed.
  hurry() {
    this.#failures = 0;
    if (this.#due < Infinity) this.#schedule(0);
  }

  #schedule(delay) {
    const due = Date.now() + delay;
    if (due >= this.#due) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(() => this.#run(), delay);
  }

  async #run() {
    this.#due = Infinity;
    this.#running = true;
    this.#again = false;
    try {
      await this.#job();
      this.#failures = 0;
    } catch (error) {
      console.warn(`To be tried again: ${error.message}`);
      this.#failures++;
      this.#again = true;
    }
    this.#running = false;
    if (this.#again) this.#schedule(this.#failures ? backoff(this.#failures) : 0);
  }
}

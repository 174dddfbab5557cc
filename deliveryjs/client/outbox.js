// The queue of messages that the user wrote. A message stays in the browser's storage until the server has it. One that
// the server refuses stays there too, until the user sends it again or discards it.

import { Refusal } from './api.js';
import { Entries } from './entries.js';
import { Task } from './task.js';

export class Outbox extends Task {
  #api;
  #rooms;
  #entries;

  constructor(prefix, api, rooms) {
    super(() => this.#work());
    this.#api = api;
    this.#rooms = rooms;
    this.#entries = new Entries(`${prefix}message/`);
    this.request();
  }

  /** Returns the messages that wait, in the order in which they were written: [id, {turn, conversation, body, reason}]. */
  all() {
    return this.#entries.all().sort(([, a], [, b]) => a.turn - b.turn);
  }

  /** Queues a message. Its turn is a number that counts up, and not a time, because a clock may be set back. */
  send(conversation, body) {
    if (typeof body !== 'string') throw new TypeError('a message is a string');
    // Not randomUUID, which pages that came by plain HTTP don't have.
    const id = crypto.getRandomValues(new Uint32Array(4)).join('-');
    const draft = { turn: (this.all().at(-1)?.[1].turn ?? 0) + 1, conversation, body };
    const kept = this.#entries.put(id, draft);
    this.request();
    return { id, ...draft, kept };
  }

  /** Forgets a message that was refused, and returns its text. */
  discard(id) {
    const entry = this.all().find(([key, draft]) => key === id && draft.reason);
    if (entry) this.#entries.delete(id);
    return entry?.[1].body;
  }

  // One message after another, so that they keep their order.
  async #work() {
    for (const [id, draft] of this.all()) {
      if (draft.reason || !this.#entries.has(id)) continue; // another tab may have sent it, and its deletion may have followed
      const { conversation, body } = draft;
      const room = this.#rooms.get(conversation);
      try {
        const message = await this.#api.send({ id, conversation, body });
        this.#entries.delete(id);
        room?.sent(message);
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        if (!this.#entries.has(id)) continue;
        draft.reason = error.message;
        this.#entries.put(id, draft);
        room?.queued({ id, ...draft });
      }
    }
  }
}

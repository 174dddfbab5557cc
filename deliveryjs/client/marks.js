// The queue of marks. A mark stays in the browser's storage until the server has confirmed it, so that neither a reload
// nor a server that is away loses it. Sending one twice does no harm, because receipts only move forward.

import { Refusal } from './api.js';
import { Entries } from './entries.js';
import { Task } from './task.js';

const COLLECT = 50; // ms for which marks are collected
const BATCH = 200; // marks in a request: with the longest ids it is still short enough for keepalive

const STRETCH = 1000; // versions in which messages were read one by one, before the badge follows

const PASSING = ['unavailable', 'outcome_unknown', 'internal']; // errors after which a mark may be repeated

export class Marks extends Task {
  #api;
  #rooms;
  #entries = {};
  #flying = { read: new Set(), delivered: new Set() }; // the messages of requests that are under way

  constructor(prefix, api, rooms) {
    super(() => this.#work());
    this.#api = api;
    this.#rooms = rooms;
    for (const status of ['read', 'delivered']) this.#entries[status] = new Entries(`${prefix}${status}/`);
    this.request();
  }

  /** Marks a message of a conversation as 'delivered' or 'read'. */
  add(status, conversation, message) {
    if (status === 'read') this.#entries.delivered.delete(message); // which read implies
    this.#entries[status].put(message, conversation);
    this.request(COLLECT);
  }

  /** Returns the messages of a conversation whose mark the server may not know yet. */
  pending(status, conversation) {
    return this.#entries[status].all().flatMap(([message, at]) => (at === conversation ? message : []));
  }

  /** Sends what is queued at once: the page may be gone in a moment. All reads share one request. */
  flush() {
    for (const status of ['read', 'delivered']) this.#batch(status, this.#next(status)).catch(() => this.request());
  }

  #next(status) {
    return this.#entries[status].all().filter(([message]) => !this.#flying[status].has(message)).slice(0, BATCH);
  }

  async #work() {
    const conversations = new Set(this.#next('read').map(([, conversation]) => conversation));
    for (const conversation of conversations) await this.#upTo(conversation);
    for (const status of ['read', 'delivered']) {
      for (let due; (due = this.#next(status)).length; ) await this.#batch(status, due);
    }
    for (const conversation of conversations) await this.#dismiss(conversation);
  }

  // Where nothing is unread, one mark says so for the whole conversation. It keeps counting cheap for the server. A user
  // with private changes may have dismissed messages, which that mark would show as read.
  async #upTo(conversation) {
    const room = this.#rooms.get(conversation);
    if (room?.place.rev > 0) return;
    const last = room?.allRead();
    const due = this.#next('read').filter(([id, at]) => at === conversation && room?.messages.get(id)?.seq <= last?.seq);
    if (!due.length) return;
    await this.#fly('read', due, async () => {
      const mark = { conversation, message: last.id, status: 'read' };
      const { changed, from, to } = await this.#api.markUpTo(mark).catch(ignoreRefusal); // if that one was deleted, the batch goes on
      if (changed === undefined) return;
      for (const [id] of due) this.#entries.read.delete(id);
      if (changed > 0 && to - from + 1 === changed) room.learned(from, to);
      else if (changed > 0) room.sync(); // others made changes in between
    });
  }

  // Keeps counting cheap where there was no such mark: what was read message by message is looked at in each count. Nothing
  // is lost if it fails.
  async #dismiss(conversation) {
    const room = this.#rooms.get(conversation);
    const last = room?.allRead();
    if (!last || last.seq <= room.place.badge + STRETCH) return;
    const place = await this.#api.dismiss({ conversation, message: last.id }).catch(() => {});
    if (place) room.event('own', { from: 0, to: 0, place, updates: [] });
  }

  async #batch(status, due) {
    if (due.length) await this.#fly(status, due, () => this.#mark(status, due));
  }

  async #mark(status, due) {
    const messages = due.map(([message]) => message);
    let results = [];
    try {
      ({ results } = await this.#api.mark({ messages, status }));
    } catch (error) {
      if (error.code !== 'invalid') throw error; // a fault of the way to the server
      if (due.length > 1) { // the one that no server takes is in one of the halves, and alone in the end
        await this.#mark(status, due.splice(0, due.length / 2));
        return this.#mark(status, due);
      }
    }
    const of = new Map(results.map((result) => [result.message, result]));
    const again = due.filter(([message, conversation]) => {
      const { changed, receipt, error } = of.get(message) ?? {};
      if (PASSING.includes(error)) return true;
      this.#entries[status].delete(message); // taken, or refused for good
      if (changed) this.#rooms.get(conversation)?.marked(message, receipt);
      if (error) this.#rooms.get(conversation)?.refused(message);
      return false;
    });
    if (again.length) throw new Error('marks were not taken');
  }

  async #fly(status, due, request) {
    const messages = due.map(([message]) => message);
    for (const message of messages) this.#flying[status].add(message);
    try {
      await request();
    } finally {
      for (const message of messages) this.#flying[status].delete(message);
    }
  }
}

function ignoreRefusal(error) {
  if (!(error instanceof Refusal)) throw error;
  return {};
}

// The browser's side of github.com/msgdelivery/delivery: messages whose ticks tell the truth.

import { Api } from './api.js';
import { Conversation } from './conversation.js';
import { Marks } from './marks.js';
import { Outbox } from './outbox.js';
import { Screen } from './screen.js';
import { Task } from './task.js';

export { Refusal } from './api.js';

const JITTER = 6_000; // ms over which the pages that lost a server spread their return
const MOST = 200; // conversations in a request
const LONG_HIDDEN = 60_000; // ms after which a page that was hidden catches up

/**
 * All conversations of a page, and what connects them to the server. It emits:
 *
 * - 'state' when state has changed: 'connecting', 'connected' or 'unavailable';
 * - 'user' when stranger has changed: it is 'signed_out' while the server answers that nobody is signed in, 'other_user'
 *   while it answers that somebody other than the page's user is, and otherwise undefined. While it is set, messages and
 *   marks stay queued.
 */
export class Delivery extends EventTarget {
  state = 'connecting';
  stranger;
  #transport;
  #deps; // of the conversations
  #api;
  #marks;
  #outbox;
  #screen;
  #rooms = new Map();
  #missed = new Task(() => this.#ask());
  #hidden = 0; // since when, in ms
  #abort = new AbortController();

  /** @param {import('./delivery.js').Options} options see delivery.d.ts */
  constructor({ user, transport, api = '/api', dwell = 500, idle = 60_000, fetch = (...args) => globalThis.fetch(...args) }) {
    super();
    this.#transport = transport;
    this.#api = new Api(api, user, fetch, () => transport.socket() ?? undefined);
    this.#api.onUser = (code) => {
      if (code === this.stranger) return;
      this.stranger = code;
      this.#screen?.restart();
      if (!code) { // whatever request it was that found the user back
        this.#hurry();
        transport.renew?.();
      }
      this.dispatchEvent(new Event('user'));
    };
    const prefix = `delivery/${encodeURIComponent(user)}/`;
    this.#marks = new Marks(prefix, this.#api, this.#rooms);
    this.#outbox = new Outbox(prefix, this.#api, this.#rooms);
    transport.start({
      user,
      event: (kind, payload) => {
        if (kind === 'own' && this.stranger) return; // it may be somebody else's
        this.#rooms.get(payload.conversation)?.event(kind, payload);
      },
      live: (...args) => this.#live(...args),
      reset: (id) => this.#rooms.get(id)?.reset(),
      mine: () => this.#missed.request(Math.random() * JITTER),
      state: (state) => this.#became(state),
      position: (id) => this.#rooms.get(id)?.position,
    });
    this.#deps = { user, api: this.#api, marks: this.#marks, outbox: this.#outbox, watch: (...args) => this.#screen.watch(...args) };
    if (globalThis.document) this.#listen();
    if (globalThis.IntersectionObserver) this.#screen = new Screen({ dwell, idle, covered: () => this.stranger }); // now, while the user is there
  }

  /**
   * Follows a conversation, and returns it. Calling it again returns the same one.
   * @param {string} id
   */
  conversation(id) {
    let room = this.#rooms.get(id);
    if (!room) {
      room = new Conversation(id, this.#deps);
      this.#rooms.set(id, room);
      this.#transport.join(id);
    }
    return room;
  }

  /** Follows a conversation no longer. */
  leave(id) {
    this.#rooms.get(id)?.stop();
    if (this.#rooms.delete(id)) this.#transport.leave(id);
  }

  /** Ends everything. What is queued stays for the next page. */
  stop() {
    for (const id of [...this.#rooms.keys()]) this.leave(id);
    for (const part of [this.#marks, this.#outbox, this.#missed, this.#screen]) part?.stop();
    this.#abort.abort();
    this.#transport.stop?.();
  }

  // Events that were published while the page was away never come, so it asks for the changes after every subscription.
  // Asking before the subscription could miss an event in between. A transport that catches up itself says from where.
  #live(id, jitter = JITTER, from) {
    const room = this.#rooms.get(id);
    if (!room) return;
    const { position: known, lived } = room;
    room.lived = true;
    if (from && known && from.epoch === known.epoch && from.version <= known.version) return;
    room.sync(lived ? Math.random() * jitter : 0);
  }

  // What other devices of the user's did meanwhile may have taken no version, so that the changes don't tell it.
  async #ask() {
    const ids = [...this.#rooms.values()].filter((room) => room.loaded).map(({ id }) => id);
    while (ids.length) for (const { conversation, place } of await this.#api.unread(ids.splice(0, MOST))) this.#rooms.get(conversation)?.behind(place);
  }

  #became(state) {
    if (state === this.state) return;
    this.state = state;
    if (state === 'connected') this.#hurry(); // the server is probably back
    if (state === 'unavailable') console.info('delivery: no connection');
    this.dispatchEvent(new Event('state'));
  }

  #hurry() {
    for (const part of [this.#missed, this.#outbox, this.#marks, ...this.#rooms.values()]) part.hurry();
  }

  #catchUp() {
    this.#hurry();
    for (const room of this.#rooms.values()) room.sync();
  }

  #listen() {
    const on = (target, name, handler) => target.addEventListener(name, handler, { signal: this.#abort.signal });
    on(window, 'online', () => this.#catchUp());
    on(window, 'pageshow', ({ persisted }) => persisted && this.#catchUp()); // from the back/forward cache
    on(document, 'resume', () => this.#catchUp()); // after a freeze
    on(window, 'pagehide', () => this.#marks.flush());
    on(window, 'focus', () => this.stranger && this.#catchUp()); // the user may be signed in again
    on(document, 'visibilitychange', () => {
      if (document.visibilityState === 'hidden') {
        this.#hidden = Date.now();
        this.#marks.flush();
      } else if (this.stranger || Date.now() - this.#hidden > LONG_HIDDEN) {
        this.#catchUp();
      }
    });
  }
}

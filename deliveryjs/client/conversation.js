// What a page knows of a conversation: its messages, and up to which version it knows everything.
//
// Every change in a conversation has a version, counted from 1 without gaps. Events may come late, twice or never. If a
// version is missing, the page asks for all changes since the version up to which it knows everything. If the server
// cannot tell them, because its database was restored, the page starts over.

import { Halt, Task } from './task.js';

const GAP_PATIENCE = 300; // ms that an event may be late before the page asks for changes
const PAGE = 200; // messages in an answer
const LONG_PAGE = 500;

const RANK = { sent: 1, delivered: 2, read: 3 };

const further = (a, b) => ((RANK[b] ?? 0) > (RANK[a] ?? 0) ? b : a);

const isUnread = ({ own } = {}) => own && own !== 'read';

const NOWHERE = { rev: -1, delivered: 0, badge: 0, flag: 0 };

/**
 * A conversation that the page follows. It emits:
 *
 * - 'message', with the message as its detail, for one that is new or has changed;
 * - 'removed', with the id of a message that the page no longer has: it was deleted, discarded or pruned, or the page
 *   has started over;
 * - 'refused', with a Refusal as its detail, when the server does not let the user read the conversation; the page asks
 *   again when the connection or the user comes back;
 * - 'update' when anything else may have changed: loaded, more, unread, firstUnread, place.
 */
export class Conversation extends EventTarget {
  /** Messages by id, not in order. The type Message in delivery.d.ts describes them. */
  messages = new Map();
  /** Whether the messages were loaded. */
  loaded = false;
  /** Whether the server has messages before the first one here. */
  more = false;
  /** The id and seq of the first unread message as of the last count, or undefined. */
  firstUnread;
  /** What the user has received and read, on all devices: {rev, delivered, badge, flag}. See Place in delivery.d.ts. */
  place = NOWHERE;
  lived; // whether events have come before
  #deps;
  #version = -1; // the version up to which everything is known; -1 if nothing is
  #epoch = '0'; // the epoch of the version
  #ahead = []; // ranges [from, to] of versions that are known beyond that
  #gone = new Set(); // the ids of messages that were deleted
  #floor = 0; // the seq up to which messages were removed
  #starts = 0; // how often the page started over
  #before = 0; // how many messages before the first one here are unread
  #counted = false; // whether that is still so
  #sync = new Task(() => this.#catchUp().catch((error) => this.#refused(error)));

  /** Conversations are made by Delivery.conversation. */
  constructor(id, deps) {
    super();
    this.id = id;
    this.#deps = deps; // {user, api, marks, outbox, watch}
    queueMicrotask(() => { // once somebody listens
      for (const [key, draft] of deps.outbox.all()) if (draft.conversation === id) this.queued({ id: key, ...draft });
    });
    this.sync();
  }

  /** Up to where the page knows the changes: {version, epoch}, or undefined before the first load. */
  get position() {
    return this.#version < 0 ? undefined : { version: this.#version, epoch: this.#epoch };
  }

  /** How many messages are unread, loaded or not: Infinity if they are too many for the server to count. */
  get unread() {
    return this.#before + this.#unreadHere().length;
  }

  /** The messages in order. Those that are not sent yet come last. */
  sorted() {
    return [...this.messages.values()].sort((a, b) => a.seq - b.seq || a.turn - b.turn);
  }

  /**
   * Queues a message, which survives a reload.
   * @param {string} body
   * @returns {string} its id
   */
  send(body) {
    const draft = this.#deps.outbox.send(this.id, body);
    this.queued(draft);
    return draft.id;
  }

  /**
   * Forgets a message that the server refused.
   * @returns {string | undefined} its text
   */
  discard(id) {
    const body = this.#deps.outbox.discard(id);
    if (body !== undefined || this.messages.get(id)?.status === 'failed') this.#drop(id); // another tab may have discarded it
    return body;
  }

  /** Deletes one of the user's own messages for everyone. It rejects if the server did not do so. */
  async remove(id) {
    try {
      await this.#deps.api.remove({ message: id });
      this.#deleted(id);
    } finally {
      this.sync(); // the event of the page's own deletion does not reach it, and the answer may be lost
    }
  }

  /** Marks a message as read. Messages that are watched need no call: they are marked when the user has seen them. */
  read(id) {
    if (!isUnread(this.messages.get(id))) return;
    this.#deps.marks.add('read', this.id, id);
    this.#merge({ id, own: 'read' });
  }

  /** Marks all messages as read, those that are not loaded included. */
  async readAll() {
    const starts = this.#starts;
    const last = this.sorted().findLast(({ seq }) => seq < Infinity);
    if (!last) return;
    await this.#deps.api.markUpTo({ conversation: this.id, message: last.id, status: 'read' });
    if (starts !== this.#starts) return;
    for (const message of this.#unreadHere()) if (message.seq <= last.seq) this.#reached(message, 'read');
    this.recount();
  }

  /** Marks the message as read when the element, its last line, has been on the screen long enough. */
  watch(element, id) {
    if (isUnread(this.messages.get(id))) this.#deps.watch(element, () => this.read(id));
  }

  /**
   * Loads older messages: the 50 before the first one here or, with from, all back to that seq.
   * @param {number} [from]
   */
  async earlier(from) {
    do {
      const { unread } = this;
      if (!(await this.#load({ before: this.#first(), limit: from ? LONG_PAGE : 50 }))) return;
      this.#before = Math.max(0, unread - this.#unreadHere().length);
      this.#counted = false;
    } while (this.more && from < this.#first());
    this.sync(); // which counts
  }

  /** Returns who has got a message, and when: [{recipient, status, delivered_at, read_at}]. */
  async receipts(message) {
    const all = [];
    for (let page = { more: true, next: '' }; page.more; ) {
      page = await this.#deps.api.receipts(message, page.next);
      all.push(...page.receipts);
    }
    return all;
  }

  /** Asks the server how much is unread, after a delay in milliseconds. */
  recount(delay) {
    this.#counted = false;
    this.sync(delay); // which counts
  }

  /** Asks the server for changes, after a delay in milliseconds. */
  sync(delay = 0) {
    this.#sync.request(delay);
  }

  hurry() {
    this.#sync.hurry();
  }

  stop() {
    this.#sync.stop();
  }

  /** Takes an event as deliverywire describes it. */
  event(kind, { from, to, place, shared, updates }) {
    const gap = this.#version < 0 || from > this.#version + 1;
    if (place) this.#moved(place);
    for (const part of updates) {
      const u = { delivered: 0, read: 0, total: 0, hiding: 0, ...shared, ...part };
      const { message: id, version, sender, body } = u;
      u.readers = u.total - u.hiding;
      if (kind === 'pruned' || kind === 'deleted') {
        if (kind === 'deleted') this.#deleted(id);
        else this.#prune(u.floor);
        if (!this.#counted) this.sync(); // which counts
      } else if (kind === 'message') {
        if (body === undefined || u.body_omitted) return this.sync();
        this.#merge({ id, sender, body, seq: version, sentAt: new Date(), own: this.#mine(u) ?? 'sent' }, u);
      } else if (this.messages.has(id)) {
        this.#merge({ id, own: this.#mine(u) }, u);
      } else if (gap) {
        return this.sync(); // the changes bring the message and the rest of the event
      } else if (this.#mine(u) === 'read') {
        this.recount(); // another device of the user's has read what is not loaded here
      }
    }
    this.learned(from, to);
    this.#updated();
  }

  /** Takes the user's newest place, and asks for what the page missed. */
  behind(place) {
    if (place?.rev > this.place.rev) this.recount();
  }

  /** Records that the page knows the changes of these versions, and checks whether any before are missing. */
  learned(from, to) {
    if (this.#version < 0) return;
    this.#ahead.push([from, to]);
    this.#ahead.sort((a, b) => a[0] - b[0]);
    while (this.#ahead[0]?.[0] <= this.#version + 1) this.#version = Math.max(this.#version, this.#ahead.shift()[1]);
    if (this.#ahead.length) this.sync(GAP_PATIENCE);
  }

  /** Takes a message of the user's that waits in the outbox, or was refused for a reason. */
  queued({ id, body, turn, reason, kept = true }) {
    const status = reason ? 'failed' : 'sending';
    this.#merge({ id, body, turn, reason, kept, sender: this.#deps.user, sentAt: new Date(), seq: Infinity }, { version: 0, status });
  }

  /** Takes the server's answer to a message that was queued. */
  sent(message) {
    this.#take(message);
    this.learned(message.seq, message.seq);
  }

  /** Takes the server's answer to a mark of the user's: {status, version}. */
  marked(id, { status, version }) {
    const message = this.messages.get(id);
    if (message) this.#reached(message, status);
    else if (status === 'read') this.recount();
    this.learned(version, version);
  }

  /** Takes the server's refusal of a mark: the user may not mark that message. */
  refused(id) {
    const message = this.messages.get(id);
    if (message) this.#emit('message', Object.assign(message, { own: undefined }));
  }

  /** Returns the last message if the page knows that the user has read everything up to it, and otherwise undefined. */
  allRead() {
    if (!this.loaded || !this.#counted || this.unread) return undefined;
    return this.sorted().findLast(({ seq }) => seq <= this.#version);
  }

  /** Starts over. Messages that wait in the outbox stay, and answers that are under way count for nothing. */
  reset() {
    this.#starts++;
    for (const { id, seq } of this.messages.values()) if (seq < Infinity) this.#drop(id);
    this.#version = -1;
    this.#ahead = [];
    this.#gone.clear();
    this.#floor = 0;
    this.place = NOWHERE;
    this.loaded = this.more = false;
    this.#before = 0;
    this.#counted = false;
    this.sync();
  }

  #mine(u) {
    return u.own ?? (u.recipient === this.#deps.user ? u.recipient_status : undefined);
  }

  #unreadHere() {
    return [...this.messages.values()].filter(isUnread);
  }

  // Takes an event's place. A rev beyond the next one says that other devices of the user's did what no event told.
  #moved(place) {
    const { rev, badge } = this.place;
    if (place.rev > rev + 1) return this.recount(GAP_PATIENCE);
    this.#stands(place);
    if (place.badge > badge && this.#before) this.recount();
  }

  // Takes where the user stands: everything up to the badge is read or dismissed, and more may be delivered.
  #stands(place) {
    if (place.rev < this.place.rev) return;
    this.place = place;
    for (const message of this.messages.values()) {
      this.#reached(message, message.seq <= place.badge ? 'read' : message.seq <= place.delivered ? 'delivered' : 'sent');
    }
  }

  #reached({ id, own }, status) {
    if (own && further(own, status) !== own) this.#merge({ id, own: status });
  }

  // Where nothing is loaded, it is beyond all messages, and still a number that the server takes.
  #first() {
    return Math.min(2 ** 53, ...[...this.messages.values()].map(({ seq }) => seq));
  }

  // Loads a page of messages, and returns it unless the page started over meanwhile.
  async #load(range) {
    const starts = this.#starts;
    const page = await this.#deps.api.messages(this.id, range);
    if (starts !== this.#starts) return undefined;
    this.more = page.more;
    this.#prune(page.floor);
    for (const message of page.messages) this.#take(message);
    return page;
  }

  async #catchUp() {
    const starts = this.#starts;
    if (this.#version < 0) {
      const page = await this.#load({ limit: 50 });
      if (!page) return;
      this.#version = page.version;
      this.#epoch = page.epoch;
    } else {
      for (let page = { more: true }; page.more; ) {
        page = await this.#deps.api.changes(this.id, { since: this.#version, epoch: this.#epoch, limit: PAGE });
        if (starts !== this.#starts) return;
        if (page.reset) return this.reset();
        this.#prune(page.floor);
        const first = Math.min(this.#first(), this.#version + 1);
        for (const message of page.messages) {
          if (message.deleted) this.#deleted(message.id);
          else if (!this.more || message.seq >= first || this.messages.has(message.id)) this.#take(message);
        }
        this.#version = Math.max(this.#version, page.version);
      }
    }
    this.learned(0, this.#version);
    await this.#count();
    if (starts !== this.#starts) return;
    this.loaded = true;
    this.#updated();
  }

  // A user who may not read the conversation now may not in a moment either.
  #refused(error) {
    if (error.code !== 'forbidden') throw error;
    this.#emit('refused', error);
    throw new Halt(error.message);
  }

  // Counts the unread messages before the first one here. The server's count has the ones here as well, without the marks
  // that it does not know yet.
  async #count() {
    if (this.loaded && this.#counted) return;
    const starts = this.#starts;
    const start = this.#first();
    const { count, more, first, version, place = this.place } = (await this.#deps.api.unread([this.id]))[0];
    const missed = this.loaded && place.rev > this.place.rev;
    if (missed) await this.#reload(start - 1); // and once more if that fails
    if (starts !== this.#starts) return;
    this.#stands(place);
    if (missed || start !== this.#first()) return this.sync(); // which counts
    const pending = new Set(this.#deps.marks.pending('read', this.id));
    const here = [...this.messages.values()].filter(({ id, own }) => own && (own !== 'read' || pending.has(id))).length;
    this.firstUnread = first;
    const before = this.more && first?.seq < start;
    this.#before = !before ? 0 : more ? Infinity : Math.max(1, count - here);
    this.#counted = !before || version <= this.#version;
    if (!this.#counted) this.sync(GAP_PATIENCE); // the counts are of different moments
  }

  // Loads all messages after a seq once more.
  async #reload(after) {
    const { more } = this;
    for (let page = { more: true }; page?.more; after = page?.messages.at(-1)?.seq) page = await this.#load({ after, limit: LONG_PAGE });
    this.more = more;
  }

  // Takes a message that came from the server.
  #take(from) {
    const { id, sender, body, seq, sent_at, open, own } = from;
    const mine = sender === this.#deps.user ? undefined : (own?.status ?? (open ? 'sent' : undefined));
    this.#merge({ id, sender, body, seq, sentAt: new Date(sent_at), own: mine }, from);
  }

  // Ignores old states: of two states of a message, the one with the higher version is right.
  #merge(header, { version, status, delivered, read, total, readers, failed = 0 } = {}) {
    if (this.#gone.has(header.id) || header.seq <= this.#floor) return;
    const known = this.messages.get(header.id) ?? { version: -1 };
    const message = { ...known, ...header, own: further(known.own, header.own) };
    if (version >= known.version) Object.assign(message, { version, status, delivered, read, total, readers, failed });
    if (message.sender === this.#deps.user) message.own = undefined; // nobody marks own messages
    if (message.own === 'sent' && message.seq < Infinity) {
      message.own = 'delivered'; // it has arrived
      this.#deps.marks.add('delivered', this.id, message.id);
    }
    this.messages.set(message.id, message);
    this.#emit('message', message);
  }

  // Forgets a message for good. An answer that was under way may still bring it; it stays away.
  #deleted(id) {
    if (this.#before && !this.messages.has(id)) this.#counted = false; // it may have been unread
    this.#gone.add(id);
    this.#drop(id);
  }

  // Forgets the messages up to a seq for good.
  #prune(floor = 0) {
    if (floor <= this.#floor) return;
    this.#floor = floor;
    if (this.#before) this.#counted = false;
    for (const { id, seq } of this.messages.values()) if (seq <= this.#floor) this.#drop(id);
  }

  #drop(id) {
    if (this.messages.delete(id)) this.#emit('removed', id);
  }

  #updated() {
    this.dispatchEvent(new Event('update'));
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

// A Conversation is what this page knows of a conversation: its messages, and up to which version it knows everything.
//
// Every change in a conversation has a version, counted from 1 without gaps. Events may come late, twice or
// never. Whenever a version is missing, the page asks for all changes since the version up to which it knows
// everything. If the database was restored and the server cannot tell, the page starts over.

import * as api from './api.js';
import { Task } from './task.js';

const GAP_PATIENCE = 300; // ms that an event may be late before the page asks for changes

const RANK = { sent: 1, delivered: 2, read: 3 };

const further = (a, b) => ((RANK[b] ?? 0) > (RANK[a] ?? 0) ? b : a);

export class Conversation extends EventTarget {
  // By id: {id, sender, body, sentAt, seq, version, status, delivered, read, total, own}. A message has a
  // seq of Infinity until it is sent, and own is the status of this user's receipt.
  messages = new Map();
  more = false; // the server has messages before the first one here
  #me;
  #version = -1; // the version up to which everything is known; -1 if nothing is
  #epoch = '0'; // the epoch of the version
  #ahead = []; // ranges [from, to] of versions that are known beyond that
  #readTo = 0; // the user has read everything up to this seq
  #gone = new Set(); // the ids of messages that were deleted
  #earlier = null; // {start, unread}: the number of unread messages before the seq start; null if not known
  #sync = new Task(() => this.#catchUp());

  constructor({ id, title, members, channel }, me) {
    super();
    Object.assign(this, { id, title, members, channel });
    this.#me = me;
  }

  // sync asks the server for changes, after a delay in milliseconds.
  sync(delay = 0) {
    this.#sync.request(delay);
  }

  // hurry ends the pause after a failure.
  hurry() {
    this.#sync.hurry();
  }

  // onMessage handles the event of a new message. The event has no text, so the page fetches it.
  onMessage() {
    this.sync();
  }

  // onStatus handles an event of receipts. Fields that are the same in all its updates are in data.shared.
  onStatus({ from, to, shared, updates }) {
    for (const part of updates) {
      const u = { delivered: 0, read: 0, total: 0, ...shared, ...part };
      if (!this.messages.has(u.message)) {
        this.sync(); // the changes bring the message and the rest of the event
        return;
      }
      const { version, status, delivered, read, total } = u;
      const own = u.recipient === this.#me ? u.recipient_status : undefined;
      this.#merge({ id: u.message, own }, { version, status, delivered, read, total });
    }
    this.learned(from, to);
  }

  // onDeleted handles an event of deletions.
  onDeleted({ from, to, updates }) {
    for (const { message } of updates) this.deleted(message);
    this.learned(from, to);
  }

  // deleted drops a message. An answer that was under way may still bring it; it stays away.
  deleted(id) {
    this.#gone.add(id);
    if (this.messages.delete(id)) this.dispatchEvent(new Event('forgotten'));
  }

  // learned records that the page knows the changes of these versions, and checks whether any before are missing.
  learned(from, to) {
    if (this.#version < 0) return;
    this.#ahead.push([from, to]);
    this.#ahead.sort((a, b) => a[0] - b[0]);
    while (this.#ahead.length && this.#ahead[0][0] <= this.#version + 1) {
      this.#version = Math.max(this.#version, this.#ahead.shift()[1]);
    }
    if (this.#ahead.length) this.sync(GAP_PATIENCE);
  }

  // add adds a message of this user's that is not sent yet.
  add({ id, body, at }) {
    this.#merge({ id, body, sender: this.#me, sentAt: new Date(at), seq: Infinity }, { version: 0, status: 'sending' });
  }

  // sent handles the server's answer to such a message.
  sent(message) {
    this.#take(message);
    this.learned(message.seq, message.seq);
  }

  // refused marks such a message as refused by the server.
  refused(id, reason) {
    this.#merge({ id, reason }, { version: 0, status: 'failed' });
  }

  // marked records the status of this user's receipt of a message.
  marked(id, status) {
    const own = this.messages.get(id)?.own;
    if (own && further(own, status) !== own) this.#merge({ id, own: status });
  }

  // received returns the messages of others up to a seq.
  received(upTo = Infinity) {
    return [...this.messages.values()].filter((m) => m.sender !== this.#me && m.seq <= upTo);
  }

  // readUpTo records that the user has read all messages up to a seq, those that are not loaded included.
  readUpTo(seq) {
    this.#readTo = Math.max(this.#readTo, seq);
    for (const { id } of this.received(seq)) this.marked(id, 'read');
  }

  // unread returns the number of unread messages, loaded or not. It is Infinity if there are too many for the
  // server to count, and 0 until the server has counted.
  unread() {
    if (!this.#earlier) return 0;
    const { start, unread } = this.#earlier;
    return this.#unreadFrom(start) + (this.#readTo < start ? unread : 0);
  }

  #unreadFrom(seq) {
    return this.received().filter((m) => m.seq >= seq && m.own !== 'read').length;
  }

  // loadEarlier fetches messages before the first one here.
  async loadEarlier() {
    await this.#load({ before: this.#first() });
    this.dispatchEvent(new Event('synced'));
  }

  async #load(range) {
    const page = await api.messages(this.id, range);
    this.more = page.more;
    page.messages.forEach((message) => this.#take(message));
    return page;
  }

  async #catchUp() {
    if (this.#version < 0) {
      let page = await this.#load();
      const { version, epoch } = page;
      // If messages were sent from here while nothing could be loaded, this loads back to the first of them.
      while (page.more && page.messages[0].seq > this.#first()) page = await this.#load({ before: page.messages[0].seq });
      this.#version = version;
      this.#epoch = epoch;
    } else {
      for (let page = { more: true }; page.more; ) {
        page = await api.changes(this.id, { since: this.#version, epoch: this.#epoch });
        if (page.reset) {
          this.#forget();
          return this.#catchUp();
        }
        this.#epoch = page.epoch;
        const here = (m) => !this.more || m.seq >= this.#first() || this.messages.has(m.id);
        for (const message of page.messages) {
          if (message.deleted) this.deleted(message.id);
          else if (here(message)) this.#take(message);
        }
        this.#version = Math.max(this.#version, page.version);
      }
    }
    this.learned(0, this.#version);
    await this.#countEarlier();
    this.dispatchEvent(new Event('synced'));
  }

  // forget drops everything that came from the server. Messages that are not sent yet stay.
  #forget() {
    for (const { id, seq } of [...this.messages.values()]) if (seq < Infinity) this.messages.delete(id);
    this.more = false;
    this.#version = -1;
    this.#ahead = [];
    this.#readTo = 0;
    this.#earlier = null;
    this.dispatchEvent(new Event('forgotten'));
  }

  // countEarlier asks how many messages before the first one here are unread. When there are none it does not ask
  // again, because new messages come last.
  async #countEarlier() {
    if (this.#earlier?.unread === 0) return;
    if (!this.more) {
      this.#earlier = { start: 0, unread: 0 };
      return;
    }
    const start = this.#first();
    const here = this.#unreadFrom(start);
    const known = this.#version;
    const { count, more, first, version } = await api.unread(this.id);
    const before = more ? Infinity : Math.max(1, count - here); // if there are any
    this.#earlier = { start, unread: first?.seq < start ? before : 0 };
    if (version > known) this.sync(GAP_PATIENCE); // the two counts are of different moments: count again
  }

  // first returns the seq of the first message here.
  #first() {
    return Math.min(...[...this.messages.values()].map((m) => m.seq));
  }

  // take merges a message that came from the server.
  #take({ id, sender, body, seq, sent_at, own, version, status, delivered, read, total }) {
    const far = seq <= this.#readTo ? 'read' : own?.status; // the server may not know of the mark yet
    this.#merge({ id, sender, body, seq, sentAt: new Date(sent_at), own: far }, { version, status, delivered, read, total });
  }

  // merge ignores old states: of two states of a message, the one with the higher version is right.
  #merge(header, tally = {}) {
    if (this.#gone.has(header.id)) return;
    const known = this.messages.get(header.id) ?? { version: -1, own: 'sent' };
    const message = { ...known, ...header, own: further(known.own, header.own) };
    if (tally.version >= known.version) Object.assign(message, tally);
    this.messages.set(message.id, message);
    this.dispatchEvent(new CustomEvent('message', { detail: message }));
  }
}

// What the client runs in: time, a browser's storage, a server with one conversation, and a transport. A test decides
// when time passes, and what fails.

import { mock } from 'node:test';
import { Delivery } from '../../../../deliveryjs/client/delivery.js';

mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_700_000_000_000 });
let passed = 0; // ms
mock.method(performance, 'now', () => passed);
console.info = () => {};

/** Lets promises settle that wait for no time. */
export const settle = async () => {
  for (let i = 0; i < 3; i++) await new Promise((done) => setImmediate(done));
};

/** Lets milliseconds pass. */
export async function pass(ms, step = 50) {
  await settle();
  for (let left = ms; left > 0; left -= step) {
    passed += Math.min(step, left);
    mock.timers.tick(Math.min(step, left));
    await settle();
  }
}

/** Sets the clock, as a user may. Timers don't go by it. */
export const setClock = (by) => {
  const { now } = Date;
  Date.now = () => now() + by;
};

/** A browser's storage with room for some characters. */
export class Store {
  constructor(room = Infinity) {
    Object.defineProperty(this, 'room', { value: room, writable: true, enumerable: false });
  }
  getItem(key) {
    return Object.hasOwn(this, key) ? this[key] : null;
  }
  setItem(key, value) {
    const size = Object.entries(this).reduce((sum, [k, v]) => sum + k.length + v.length, key.length + value.length);
    if (size > this.room) throw new DOMException('full', 'QuotaExceededError');
    this[key] = value;
  }
  clear() {
    for (const key of Object.keys(this)) delete this[key];
  }
  removeItem(key) {
    delete this[key];
  }
}

/** A new browser: nothing is stored. */
export function newBrowser(local, session) {
  globalThis.localStorage = new Store(local);
  globalThis.sessionStorage = new Store(session);
}

const RANK = { sent: 1, delivered: 2, read: 3 };

/** The server, as deliveryhttp answers for one user, in one conversation "c". */
export class Server {
  version = 0;
  epoch = '1';
  floor; // of what was pruned
  messages = []; // those deleted included
  requests = []; // [path, fields, init]
  atOnce = 0; // marks under way
  most = 0;
  transports = [];
  answer = () => undefined; // (path, fields): a Response or an Error to answer instead
  user = 'bob';
  place = { rev: 0, delivered: 0, badge: 0, flag: 0 }; // of the user's
  answered = (path) => {}; // before the answer leaves

  say(id, sender = 'alice', more = {}) {
    const version = ++this.version;
    const own = sender === this.user ? undefined : 'sent';
    const message = { id, conversation: 'c', sender, body: `text of ${id}`, seq: version, version, sent_at: '2025-01-01T00:00:00Z', status: 'sent', delivered: 0, read: 0, total: 1, own, ...more };
    this.messages.push(message);
    return { kind: 'message', payload: { conversation: 'c', from: version, to: version, updates: [{ message: id, version, sender, status: 'sent', total: 1 }] } };
  }

  /** Advances a receipt of the user's, or of somebody else's. */
  mark(id, status, recipient = this.user) {
    const message = this.find(id);
    const before = recipient === this.user ? (message.shown ?? message.own) : message.status;
    if (RANK[before] >= RANK[status]) return undefined;
    message.version = ++this.version;
    message.status = status;
    message.delivered = 1;
    delete message.failed;
    if (status === 'read') message.read = 1;
    if (recipient === this.user) message.own = message.shown = status;
    const { version, delivered, read, total } = message;
    const shared = { recipient, recipient_status: status, status, delivered, read, total };
    return { kind: 'status', payload: { conversation: 'c', from: version, to: version, shared, updates: [{ message: id, version }] } };
  }

  /** The app records that a message did not reach a recipient. So many have a failure then. */
  fail(id, recipient, failed = 1) {
    const message = this.find(id);
    message.version = ++this.version;
    message.failed = failed;
    const { version, status, total } = message;
    return { kind: 'status', payload: { conversation: 'c', from: version, to: version, updates: [{ message: id, version, status, total, failed, recipient, recipient_status: 'sent', failure: 'lost' }] } };
  }

  /** Another device of the user's reads a message in private, or dismisses all up to it. */
  own(id, dismissed) {
    const last = this.find(id);
    for (const m of dismissed ? this.messages : [last]) {
      if (!m.own || m.seq > last.seq) continue;
      m.shown ??= m.own; // of which others learn nothing
      m.own = 'read';
    }
    this.place = { ...this.place, rev: this.place.rev + 1, ...(dismissed && { badge: last.seq }) };
    return { kind: 'own', payload: { conversation: 'c', from: 0, to: 0, place: this.place, updates: dismissed ? [{}] : [{ message: id, own: 'read' }] } };
  }

  delete(id) {
    const message = this.find(id);
    message.deleted = true;
    message.version = ++this.version;
    return { kind: 'deleted', payload: { conversation: 'c', from: this.version, to: this.version, updates: [{ message: id, version: this.version }] } };
  }

  /** The app removes the messages up to a seq. */
  prune(floor) {
    const version = ++this.version;
    this.floor = floor;
    this.messages = this.messages.filter(({ seq }) => seq > floor);
    return { kind: 'pruned', payload: { conversation: 'c', from: version, to: version, updates: [{ version, floor }] } };
  }

  find(id) {
    return this.messages.find((m) => m.id === id);
  }

  /** The database is put back to an earlier state, by a function, and has another epoch then. */
  restore() {
    const copy = structuredClone([this.version, this.messages]);
    return () => {
      [this.version, this.messages] = structuredClone(copy);
      this.epoch = String(Number(this.epoch) + 1);
    };
  }

  count(path) {
    return this.requests.filter(([at]) => at === path).length;
  }

  fetch = async (url, init) => {
    const [path, query] = url.replace('/api/', '').split('?');
    const fields = init.body ? JSON.parse(init.body) : Object.fromEntries(new URLSearchParams(query));
    this.requests.push([path, fields, init]);
    const marks = path.startsWith('marks/');
    if (marks) this.most = Math.max(this.most, ++this.atOnce);
    await settle();
    if (marks) this.atOnce--;
    const instead = await this.answer(path, fields);
    if (instead instanceof Error) throw instead;
    if (instead) return instead;
    const result = this.route(path, fields);
    this.answered(path);
    return result instanceof Response ? result : Response.json(result);
  };

  route(path, fields) {
    const tell = ({ deleted, own, shown, ...m }) => {
      if (deleted) return { id: m.id, conversation: 'c', seq: m.seq, version: m.version, deleted };
      return { ...m, own: own && { status: own, recipient: this.user } };
    };
    const cursor = { version: this.version, epoch: this.epoch, floor: this.floor };
    const there = this.messages.filter((m) => !m.deleted);
    switch (path) {
      case 'messages':
        if (fields.body !== undefined) {
          if (!this.find(fields.id)) this.say(fields.id, this.user, { body: fields.body });
          return tell(this.find(fields.id));
        }
        {
          const found = there.filter((m) => m.seq < (fields.before ?? Infinity) && m.seq > (fields.after ?? 0));
          const limit = Number(fields.limit ?? 50);
          return { messages: (fields.after ? found.slice(0, limit) : found.slice(-limit)).map(tell), more: found.length > limit, ...cursor };
        }
      case 'changes': {
        const since = Number(fields.since);
        if (fields.epoch !== this.epoch || since > this.version) return { messages: [], more: false, reset: true, version: 0, epoch: this.epoch };
        const changed = this.messages.filter((m) => m.version > since).sort((a, b) => a.version - b.version);
        const limit = Number(fields.limit);
        const more = changed.length > limit;
        return { messages: changed.slice(0, limit).map(tell), more, ...cursor, ...(more && { version: changed[limit - 1].version }) };
      }
      case 'unread': {
        const unread = there.filter((m) => m.own && m.own !== 'read');
        const first = unread[0] && { id: unread[0].id, seq: unread[0].seq };
        return { unread: [{ conversation: 'c', count: Math.min(unread.length, 1000), more: unread.length > 1000, first, version: this.version, place: this.place }] };
      }
      case 'marks/batch':
        return {
          results: fields.messages.map((message) => {
            if (!this.find(message)?.own || this.find(message).deleted) return { message, changed: false, error: 'not_found' };
            const event = this.mark(message, fields.status);
            return { message, changed: Boolean(event), receipt: { version: event?.payload.to, status: fields.status } };
          }),
        };
      case 'marks/up-to': {
        const last = this.find(fields.message);
        if (!last || last.deleted) return Response.json({ code: 'not_found' }, { status: 404 });
        const events = there.filter((m) => m.own && m.seq <= last.seq).map((m) => this.mark(m.id, fields.status)).filter(Boolean);
        return { changed: events.length, from: events[0]?.payload.from ?? 0, to: events.at(-1)?.payload.to ?? 0 };
      }
      case 'dismiss':
        return this.own(fields.message, true).payload.place;
      case 'messages/delete':
        this.delete(fields.message);
        return { deleted: 1 };
    }
    return new Response('no route', { status: 404 });
  }
}

/** A transport that brings what a test hands to it. */
export class Wire {
  joined = [];
  id = 'socket';
  start(hub) {
    this.hub = hub;
  }
  join(conversation) {
    this.joined.push(conversation);
  }
  leave() {}
  socket() {
    return this.id;
  }
  bring(event) {
    if (event) this.hub.event(event.kind, structuredClone(event.payload));
  }
}

/** A page of bob's at the server, with its conversation. */
export async function open(server, options = {}) {
  const wire = new Wire();
  const delivery = new Delivery({ user: server.user, transport: wire, fetch: server.fetch, ...options });
  const room = delivery.conversation('c');
  wire.hub.live('c');
  await pass(500);
  return { delivery, wire, room };
}

/** A problem of deliveryhttp. */
export const problem = (status, code) => Response.json({ code, title: code }, { status });

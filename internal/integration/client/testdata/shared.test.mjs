import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as soon } from 'node:timers/promises';
import { shared } from '../../../../deliveryjs/client/shared.js';

// Locks are granted one after another, as by the browser to its tabs.
class Locks {
  queue = [];
  busy = false;
  request(_, { signal }, work) {
    return new Promise((resolve, reject) => {
      const turn = { work, resolve };
      signal.addEventListener('abort', () => {
        const waiting = this.queue.indexOf(turn);
        if (waiting >= 0) this.queue.splice(waiting, 1) && reject(signal.reason);
      });
      this.queue.push(turn);
      this.next();
    });
  }
  async next() {
    const turn = this.busy || this.queue.shift();
    if (!turn || turn === true) return;
    this.busy = true;
    turn.resolve(await turn.work());
    this.busy = false;
    this.next();
  }
}

const withLocks = (locks) => Object.defineProperty(globalThis, 'navigator', { value: { locks }, configurable: true });

// Every transport adds two listeners, which the tests call for one tab alone.
const listeners = [];
globalThis.addEventListener = (name, handler) => listeners.push([name, handler]);

class Hub {
  user = 'bob';
  told = [];
  mine = () => this.told.push(['mine']);
  event = (kind, payload) => this.told.push([kind, payload.conversation, payload.n]);
  live = (...args) => this.told.push(['live', ...args]);
  reset = (id) => this.told.push(['reset', id]);
  state = (state) => this.told.push([state]);
  take() {
    return this.told.splice(0);
  }
}

// Streams are what open returned, in their order.
function tabs(n) {
  withLocks(new Locks());
  const streams = [];
  const open = () => {
    const stream = { joined: [], start: (hub) => (stream.hub = hub), join: (id) => stream.joined.push(id), ended: false };
    stream.leave = (id) => stream.joined.splice(stream.joined.indexOf(id), 1);
    stream.stop = () => (stream.ended = true);
    streams.push(stream);
    return stream;
  };
  const all = Array.from({ length: n }, () => {
    const tab = { hub: new Hub(), transport: shared(`user of ${n}`, open) };
    listeners.length = 0;
    tab.transport.start(tab.hub);
    tab.page = Object.fromEntries(listeners);
    return tab;
  });
  return { streams, all, end: () => all.forEach(({ transport }) => transport.stop()) };
}

// Channels bring a message to the others of their name a moment later. Those of Node.js do not say when all are brought.
const channels = new Set();
globalThis.BroadcastChannel = class {
  constructor(name) {
    this.name = name;
    channels.add(this);
  }
  postMessage(data) {
    for (const each of channels) if (each !== this && each.name === this.name) setImmediate(() => channels.has(each) && each.onmessage({ data: structuredClone(data) }));
  }
  close() {
    channels.delete(this);
  }
};

const settle = async () => {
  for (let i = 0; i < 20; i++) await soon();
};

test('the first tab has the stream, and every tab hears what it follows', async () => {
  const { streams, all: [one, two], end } = tabs(2);
  one.transport.join('a');
  await settle();
  assert.deepEqual([streams.length, streams[0].joined], [1, ['a']]);
  streams[0].hub.state('connected');
  streams[0].hub.live('a', undefined, { version: 7, epoch: '1' });
  two.transport.join('b');
  await settle();
  assert.deepEqual(one.hub.take(), [['connecting'], ['connected'], ['live', 'a', undefined, { version: 7, epoch: '1' }]]);
  assert.deepEqual(two.hub.take(), [['connected'], ['connected']]);
  assert.deepEqual(streams[0].joined, ['a', 'b']);
  assert.equal(streams[0].hub.user, 'bob');
  streams[0].hub.mine();
  await settle();
  assert.deepEqual([one.hub.take(), two.hub.take()], [[['mine']], [['mine']]]);

  two.transport.join('a'); // whose subscription is older than what the tab has loaded
  await settle();
  assert.deepEqual(two.hub.take(), [['connected'], ['live', 'a', 0]]);
  assert.deepEqual(one.hub.take(), []);

  streams[0].hub.event('message', { conversation: 'a', n: 1 });
  streams[0].hub.event('status', { conversation: 'b', n: 2 });
  streams[0].hub.reset('b');
  await settle();
  assert.deepEqual(one.hub.take(), [['message', 'a', 1]]);
  assert.deepEqual(two.hub.take(), [['message', 'a', 1], ['status', 'b', 2], ['reset', 'b']]);
  assert.equal(one.transport.socket(), undefined);
  end();
});

test('a tab whose user is back has the stream begin anew, whichever tab has it', async () => {
  const { streams, all: [, two], end } = tabs(2);
  let renewed = 0;
  streams[0].renew = () => renewed++;
  two.transport.renew();
  await settle();
  assert.equal(renewed, 1);
  end();
});

test('a conversation is left when no tab follows it any more', async () => {
  const { streams, all: [one, two], end } = tabs(2);
  for (const { transport } of [one, two]) transport.join('a');
  await settle();
  one.transport.leave('a');
  await settle();
  assert.deepEqual(streams[0].joined, ['a']);
  streams[0].hub.event('message', { conversation: 'a', n: 1 });
  await settle();
  two.transport.leave('a');
  await settle();
  assert.deepEqual(streams[0].joined, []);
  assert.ok(!one.hub.take().some(([kind]) => kind === 'message'));
  assert.ok(two.hub.take().some(([kind]) => kind === 'message'));
  end();
});

test('when the tab with the stream ends, another one opens it for all that are left', async () => {
  const { streams, all: [one, two, three], end } = tabs(3);
  one.transport.join('a');
  two.transport.join('b');
  three.transport.join('c');
  await settle();
  one.transport.stop();
  await settle();
  assert.deepEqual([streams.length, streams[0].ended, streams[1].joined.toSorted()], [2, true, ['b', 'c']]);
  three.hub.take();
  streams[1].hub.event('message', { conversation: 'c', n: 1 });
  await settle();
  assert.deepEqual(three.hub.take(), [['message', 'c', 1]]);
  one.transport.stop = () => {};
  end();
  await settle();
  assert.equal(streams.length, 2); // nobody waits for a turn
});

test('a page in the back/forward cache has no stream and waits for none', async () => {
  const { streams, all: [one, two, three], end } = tabs(3);
  for (const { transport } of [one, two, three]) transport.join('a');
  await settle();
  two.page.pagehide(); // it waited
  one.page.pagehide(); // it had the stream
  await settle();
  assert.deepEqual([streams.length, streams[0].ended, streams[1].joined], [2, true, ['a']]);
  for (const { hub } of [one, two, three]) hub.take();
  one.page.pageshow({ persisted: true });
  one.page.pageshow({ persisted: false });
  await settle();
  assert.deepEqual(one.hub.take(), [['connecting'], ['live', 'a', 0]]);
  three.page.pagehide(); // the only one left
  await settle();
  assert.deepEqual([streams.length, streams[2].joined], [3, ['a']]);
  streams[2].hub.event('message', { conversation: 'a', n: 1 });
  assert.deepEqual(one.hub.take().at(-1), ['message', 'a', 1]);
  end();
});

test('a browser without locks has a stream for each tab', () => {
  withLocks(undefined);
  const stream = {};
  assert.equal(shared('user', () => stream), stream);
});

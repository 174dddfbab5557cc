import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pass } from './world.mjs';
import { privateChannel, userChannel } from '../../../../deliveryjs/client/channel.js';
import { echo } from '../../../../deliveryjs/client/echo.js';
import { eventSource } from '../../../../deliveryjs/client/eventsource.js';
import { pusher } from '../../../../deliveryjs/client/pusher.js';

class Emitter {
  handlers = new Map();
  bind(name, handler) {
    this.handlers.set(name, [...(this.handlers.get(name) ?? []), handler]);
    return this;
  }
  unbind(name, handler) {
    this.handlers.set(name, this.handlers.get(name).filter((each) => each !== handler));
  }
  emit(name, data) {
    for (const handler of this.handlers.get(name) ?? []) handler(data);
  }
}

class Hub {
  user = 'zoë';
  told = [];
  mine = () => this.told.push(['mine']);
  positions = {};
  event = (kind, payload) => this.told.push(['event', kind, payload]);
  live = (...args) => this.told.push(['live', ...args]);
  reset = (id) => this.told.push(['reset', id]);
  state = (state) => this.told.push(['state', state]);
  position = (id) => this.positions[id];
  take() {
    return this.told.splice(0);
  }
}

test('channels have the names that pusheradapter gives them', () => {
  const channels = Object.entries(JSON.parse(process.env.CHANNELS));
  assert.ok(channels.length > 5);
  for (const [id, [conversation, user]] of channels) assert.deepEqual([privateChannel(id), userChannel(id)], [conversation, user]);
});

class FakePusher {
  connection = Object.assign(new Emitter(), { state: 'connecting', socket_id: null });
  channels = {};
  subscriptions = [];
  subscribe(name) {
    this.subscriptions.push(name);
    return (this.channels[name] ??= Object.assign(new Emitter(), { name, subscribed: false }));
  }
  channel(name) {
    return this.channels[name];
  }
  unsubscribe(name) {
    delete this.channels[name];
  }
  disconnect() {
    this.ended = true;
  }
  become(current) {
    this.connection.state = current;
    this.connection.emit('state_change', { current });
  }
}

test('pusher brings events, and says when they come and whether they do', () => {
  const client = new FakePusher();
  const hub = new Hub();
  const transport = pusher(client);
  transport.start(hub);
  transport.join('c');
  const channel = client.channels['private-conv-c'];
  const mine = client.channels['private-user-zo=C3=AB'];
  mine.emit('pusher:subscription_succeeded', {});
  mine.emit('own', { kind: 'own' });
  channel.emit('pusher:subscription_succeeded', {});
  for (const kind of ['message', 'status', 'deleted', 'pruned']) channel.emit(kind, { kind });
  client.become('connected');
  client.become('unavailable');
  client.become('failed');
  client.connection.socket_id = '1.2';
  assert.equal(transport.socket(), '1.2');
  assert.deepEqual(hub.take(), [
    ['state', 'connecting'], ['mine'], ['event', 'own', { kind: 'own' }], ['live', 'c', undefined],
    ...['message', 'status', 'deleted', 'pruned'].map((kind) => ['event', kind, { kind }]),
    ['state', 'connected'], ['state', 'unavailable'], ['state', 'unavailable'],
  ]);
  transport.leave('c');
  transport.stop();
  assert.deepEqual([client.channels, client.ended], [{}, true]);
});

test('pusher leaves a channel to the app that used it before, and hears nothing more of it', () => {
  const client = new FakePusher();
  const hub = new Hub();
  const transport = pusher(client);
  transport.start(hub);
  const channel = client.subscribe('private-conv-c');
  const heard = [];
  channel.bind('message', (payload) => heard.push(payload));
  transport.join('c');
  channel.emit('message', 1);
  transport.leave('c');
  channel.emit('message', 2);
  channel.emit('pusher:subscription_succeeded', {});
  assert.equal(client.channels['private-conv-c'], channel);
  assert.deepEqual(heard, [1, 2]);
  assert.deepEqual(hub.take(), [['state', 'connecting'], ['event', 'message', 1]]);
});

test('pusher tries again after an error, except for a 403, and concludes nothing from a 401', async () => {
  const client = new FakePusher();
  const hub = new Hub();
  const transport = pusher(client, { channel: (id) => `private-${id}` }); // which no user's own channel goes with
  transport.start(hub);
  transport.join('c');
  const channel = client.channels['private-c'];
  channel.emit('pusher:subscription_error', { status: 500 });
  await pass(1000);
  assert.equal(client.subscriptions.length, 2);
  channel.subscribed = true;
  channel.emit('pusher:subscription_error', { type: 'AuthError', status: 401 }); // a late signature on a working channel
  await pass(30_000, 1000);
  assert.equal(client.subscriptions.length, 2);
  channel.subscribed = false;
  channel.emit('pusher:subscription_error', { status: 403 });
  await pass(30_000, 1000);
  assert.equal(client.subscriptions.length, 2);
  channel.emit('pusher:subscription_error', { status: 401 });
  channel.emit('pusher:subscription_error', { status: 401 });
  await pass(30_000, 1000);
  assert.equal(client.subscriptions.length, 3);
  assert.deepEqual(hub.take(), [['state', 'connecting']]);
});

test('pusher subscribes again to what was forbidden once the user is back', () => {
  const client = new FakePusher();
  const transport = pusher(client);
  transport.start(new Hub());
  transport.join('c');
  client.channels['private-conv-c'].emit('pusher:subscription_error', { status: 403 });
  client.subscriptions = [];
  transport.renew();
  assert.deepEqual(client.subscriptions, ['private-user-zo=C3=AB', 'private-conv-c']);
});

test('echo brings events under names with a dot, on channels without a prefix', () => {
  const channels = {};
  let left;
  const client = new FakePusher();
  const transport = echo({
    connector: { pusher: client },
    socketId: () => '1.2',
    private(name) {
      const channel = (channels[name] = {
        subscribed: (handler) => ((channel.succeeded = handler), channel),
        listen: (event, handler) => ((channel[event] = handler), channel),
      });
      return channel;
    },
    leave: (name) => (left = name),
  });
  const hub = new Hub();
  transport.start(hub);
  transport.join('team:42');
  assert.deepEqual(Object.keys(channels), ['user-zo=C3=AB', 'conv-team=3A42']);
  channels['user-zo=C3=AB'].succeeded();
  channels['user-zo=C3=AB']['.own']({ n: 0 });
  channels['conv-team=3A42'].succeeded();
  channels['conv-team=3A42']['.message']({ n: 1 });
  client.become('connected');
  let renewed = 0;
  client.allChannels = () => [{ subscribe: () => renewed++ }];
  transport.renew();
  assert.equal(renewed, 1);
  assert.equal(transport.socket(), '1.2');
  assert.deepEqual(hub.take(), [
    ['state', 'connecting'], ['mine'], ['event', 'own', { n: 0 }], ['live', 'team:42'], ['event', 'message', { n: 1 }], ['state', 'connected'],
  ]);
  transport.leave('team:42');
  assert.equal(left, 'conv-team=3A42');
});

let streams = [];
class FakeSource extends Emitter {
  readyState = 0;
  constructor(url) {
    super();
    this.url = url;
    streams.push(this);
  }
  addEventListener(name, handler) {
    this.bind(name, handler);
  }
  close() {
    this.readyState = 2;
  }
  tell(name, data) {
    this.readyState = 1;
    this.emit(name, { data: JSON.stringify(data) });
  }
  fail(readyState) {
    this.readyState = readyState;
    this.onerror();
  }
}
globalThis.EventSource = FakeSource;

test('all conversations share one stream, which begins where the page is', async () => {
  streams = [];
  const hub = new Hub();
  const transport = eventSource('/events');
  transport.start(hub);
  transport.join('a');
  transport.join('b&c');
  await pass(10);
  assert.deepEqual(streams.map((s) => s.url), ['/events?conversation=a&conversation=b%26c']);
  streams[0].tell('hello', { socket: 'sse-1', epoch: '7', versions: { a: 3, 'b&c': 0 } });
  for (const kind of ['message', 'status', 'deleted', 'pruned', 'own']) streams[0].tell(kind, { conversation: 'a' });
  streams[0].tell('reset', { conversation: 'a', version: 1, epoch: '8' });
  assert.equal(transport.socket(), 'sse-1');
  assert.deepEqual(hub.take(), [
    ['state', 'connected'], ['mine'],
    ['live', 'a', undefined, { version: 3, epoch: '7' }], ['live', 'b&c', undefined, { version: 0, epoch: '7' }],
    ...['message', 'status', 'deleted', 'pruned', 'own'].map((kind) => ['event', kind, { conversation: 'a' }]), ['reset', 'a'],
  ]);
  hub.positions = { a: { version: 4, epoch: '7' } };
  transport.join('d');
  await pass(10);
  assert.equal(streams.length, 2);
  assert.equal(streams[0].readyState, 2);
  assert.equal(streams[1].url, '/events?conversation=a&conversation=b%26c&conversation=d&since=7.4..');
  transport.leave('a');
  transport.leave('d');
  await pass(10);
  assert.equal(streams[2].url, '/events?conversation=b%26c');
  transport.stop();
});

test('a stream has no more conversations than the server takes, and those that were joined last', async () => {
  streams = [];
  const transport = eventSource('/events');
  transport.start(new Hub());
  for (let i = 0; i <= 50; i++) transport.join(`c${i}`);
  await pass(10);
  const names = () => new URL(streams.at(-1).url, 'http://localhost').searchParams.getAll('conversation');
  assert.deepEqual([names().length, names()[0], names()[49]], [50, 'c1', 'c50']);
  transport.leave('c50');
  await pass(10);
  assert.deepEqual([names().length, names()[0], names()[49]], [50, 'c0', 'c49']);
  transport.stop();
});

test('a stream that the browser gave up on is opened again, and one that it opens itself is left to it', async () => {
  streams = [];
  const hub = new Hub();
  const transport = eventSource('/events');
  transport.start(hub);
  transport.join('a');
  await pass(10);
  streams[0].fail(0);
  await pass(20_000, 1000);
  assert.equal(streams.length, 1);
  assert.equal(transport.socket(), undefined);
  streams[0].fail(2);
  await pass(2000);
  assert.equal(streams.length, 2);
  for (let i = 0; i < 3; i++) {
    streams.at(-1).fail(2);
    await pass(16_000, 1000);
  }
  assert.equal(streams.length, 5);
  assert.deepEqual(hub.take().at(-1), ['state', 'unavailable']);
  transport.stop();
  await pass(100_000, 1000);
  assert.equal(streams.length, 5);
});

test('a stream begins anew once the user is back', async () => {
  streams = [];
  const transport = eventSource('/events');
  transport.start(new Hub());
  transport.join('a');
  await pass(10);
  transport.renew();
  await pass(10);
  assert.deepEqual(streams.map(({ readyState }) => readyState), [2, 0]);
  transport.stop();
});

test('a silent stream counts as broken after 45 s', async () => {
  streams = [];
  const hub = new Hub();
  const transport = eventSource('/events');
  transport.start(hub);
  transport.join('a');
  await pass(10);
  streams[0].tell('hello', { socket: 'sse-1', epoch: '7', versions: { a: 3 } });
  for (let i = 0; i < 5; i++) {
    await pass(40_000, 1000);
    streams[0].tell('ping', {});
  }
  assert.equal(streams.length, 1);
  await pass(46_000, 1000);
  assert.equal(streams.length, 2);
  transport.stop();
});

test('a page in the back/forward cache has no stream, and has one again when it is back', async () => {
  const window = new EventTarget();
  globalThis.addEventListener = window.addEventListener.bind(window);
  globalThis.removeEventListener = window.removeEventListener.bind(window);
  streams = [];
  const hub = new Hub();
  const transport = eventSource('/events');
  transport.start(hub);
  transport.join('a');
  await pass(10);
  window.dispatchEvent(new Event('pagehide'));
  assert.equal(streams[0].readyState, 2);
  await pass(100_000, 1000);
  assert.equal(streams.length, 1);
  window.dispatchEvent(Object.assign(new Event('pageshow'), { persisted: true }));
  await pass(10);
  assert.equal(streams.length, 2);
  transport.stop();
});

import assert from 'node:assert/strict';
import { test, beforeEach } from 'node:test';
import { Server, newBrowser, pass } from './world.mjs';
import { Delivery } from '../../../../deliveryjs/client/delivery.js';
import { Pusher } from '../../../../deliveryjs/client/protocol.js';
import { pusher as overPusher } from '../../../../deliveryjs/client/pusher.js';

let sockets = [];
let asked = []; // when the auth endpoint was asked, in ms
let auth = async () => Response.json({ auth: 'signature' });

class Socket {
  readyState = 0;
  sent = [];
  constructor(url) {
    this.url = url;
    sockets.push(this);
  }
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  close() {
    this.closed = true;
    this.readyState = 3;
  }
  tell(event, data, channel) {
    this.onmessage({ data: JSON.stringify({ event, channel, data: JSON.stringify(data) }) });
  }
  establish() {
    this.readyState = 1;
    this.id = `${sockets.length}.1`;
    this.tell('pusher:connection_established', { socket_id: this.id, activity_timeout: 120 });
  }
  drop(code = 1006) {
    this.readyState = 3;
    this.onclose({ code });
  }
}
globalThis.WebSocket = Socket;
const window = new EventTarget();
globalThis.addEventListener = window.addEventListener.bind(window);
globalThis.removeEventListener = window.removeEventListener.bind(window);
globalThis.fetch = async (url, init) => {
  asked.push(Date.now());
  return auth(url, init);
};
const last = () => sockets.at(-1);

function connect(options) {
  return new Pusher('key', { wsHost: 'localhost', wsPort: 1, forceTLS: false, channelAuthorization: { endpoint: '/pusher/auth' }, ...options });
}

beforeEach(() => {
  newBrowser();
  sockets = [];
  asked = [];
});

test('it enters private channels with a signature, and hears them', async () => {
  const pusher = connect();
  const heard = [];
  pusher.subscribe('private-c').bind('message', (data) => heard.push(data));
  last().establish();
  await pass(100);
  assert.deepEqual(last().sent, [{ event: 'pusher:subscribe', data: { channel: 'private-c', auth: 'signature' } }]);
  assert.equal(pusher.connection.socket_id, '1.1');
  last().tell('message', { n: 1 }, 'private-c');
  assert.deepEqual(heard, [{ n: 1 }]);
  pusher.disconnect();
  await pass(100_000, 1000);
  assert.equal(sockets.length, 1);
});

test('an attempt to connect is not ended before the browser may have begun it', async () => {
  const pusher = connect();
  await pass(70_000, 1000);
  assert.equal(sockets.length, 1);
  assert.equal(last().closed, undefined);
  await pass(21_000, 1000);
  assert.equal(sockets[0].closed, true);
  assert.equal(sockets.length, 2);
  pusher.disconnect();
});

test('a silent server is pinged, and left when it does not answer', async () => {
  const pusher = connect();
  last().establish();
  await pass(121_000, 1000);
  assert.deepEqual(last().sent.at(-1), { event: 'pusher:ping', data: {} });
  last().tell('pusher:pong', {});
  await pass(121_000, 1000);
  assert.equal(sockets.length, 1);
  await pass(12_000, 500);
  assert.equal(sockets.length, 2);
  pusher.disconnect();
});

test('a server that accepts and closes at once is tried less and less often', async () => {
  const pusher = connect();
  const started = Date.now();
  while (Date.now() - started < 120_000) {
    if (last().readyState === 0) last().drop();
    await pass(100, 100);
  }
  assert.ok(sockets.length > 6 && sockets.length < 30, String(sockets.length));
  assert.equal(pusher.connection.state, 'unavailable');
  pusher.disconnect();
});

test('close codes say whether to come again', async () => {
  const pusher = connect();
  last().establish();
  last().drop(4200);
  await pass(1);
  assert.equal(sockets.length, 2, 'at once');
  last().drop(4009);
  await pass(60_000, 1000);
  assert.equal(sockets.length, 2, 'never');
  assert.equal(pusher.connection.state, 'failed');
});

test('of 300 pages that lost their server no second has more than 25 % of the requests, and all are up to date within 10 s', async () => {
  const asks = []; // for changes
  const server = new Server();
  const pages = Array.from({ length: 300 }, () => {
    const pusher = connect();
    const fetch = (url, init) => {
      if (url.startsWith('/api/changes')) asks.push(Date.now());
      return server.fetch(url, init);
    };
    const delivery = new Delivery({ user: 'bob', transport: overPusher(pusher), fetch });
    return { delivery, rooms: ['c', 'd'].map((id) => delivery.conversation(id)) };
  });
  const establish = async () => {
    for (const socket of sockets.filter(({ readyState }) => readyState === 0)) socket.establish();
    await pass(50);
    for (const socket of sockets) {
      for (const { event, data } of socket.sent.splice(0)) {
        if (event === 'pusher:subscribe') socket.tell('pusher_internal:subscription_succeeded', {}, data.channel);
      }
    }
  };
  for (let i = 0; i < 4; i++) await establish();
  assert.equal(asked.length, 900, 'two conversations and the user’s own channel');
  server.say('while they were away', 'bob');
  asked = [];
  asks.length = 0;
  for (const socket of sockets.splice(0)) socket.drop();
  const since = Date.now();
  while (Date.now() - since < 10_000) await establish();
  for (const [what, times, all] of [['authorizations', asked, 900], ['questions for changes', asks, 600]]) {
    assert.equal(times.length, all, what);
    for (let start = since; start < since + 10_000; start += 50) {
      const second = times.filter((at) => at >= start && at < start + 1000).length;
      assert.ok(second <= all / 4, `${second} of ${all} ${what} in one second`);
    }
  }
  assert.ok(pages.every(({ rooms }) => rooms.every((room) => room.messages.size === 1)));
  for (const { delivery } of pages) delivery.stop();
});

test('when the page’s own network was gone, it comes back at once', async () => {
  const pusher = connect();
  pusher.subscribe('private-a');
  last().establish();
  await pass(100);
  for (let i = 0; i < 6; i++) {
    last().drop();
    await pass(20_000, 1000);
  }
  last().drop();
  const before = sockets.length;
  asked = [];
  window.dispatchEvent(new Event('online'));
  assert.equal(sockets.length, before + 1);
  last().establish();
  await pass(50);
  assert.equal(asked.length, 1);
  pusher.disconnect();
});

test('a signature that comes late is not used on another connection', async () => {
  const pusher = connect();
  const channel = pusher.subscribe('private-c');
  const errors = [];
  channel.bind('pusher:subscription_error', (error) => errors.push(error));
  auth = async () => {
    await new Promise((done) => setTimeout(done, 3000));
    return Response.json({ auth: 'late' });
  };
  last().establish();
  await pass(100);
  auth = async () => Response.json({ auth: 'fresh' });
  last().drop(4200);
  await pass(10);
  last().establish();
  await pass(8000);
  assert.deepEqual(last().sent.map(({ data }) => data.auth), ['fresh']);
  assert.deepEqual(errors, []);
  pusher.disconnect();
});

test('a page in the back/forward cache has no connection, and has one again when it is back', async () => {
  const pusher = connect();
  pusher.subscribe('private-a');
  last().establish();
  await pass(100);
  asked = [];
  window.dispatchEvent(new Event('pagehide'));
  assert.equal(last().closed, true);
  await pass(60_000, 1000);
  assert.equal(sockets.length, 1);
  window.dispatchEvent(Object.assign(new Event('pageshow'), { persisted: true }));
  assert.equal(sockets.length, 2);
  last().establish();
  await pass(50);
  assert.equal(asked.length, 1);
  pusher.disconnect();
});

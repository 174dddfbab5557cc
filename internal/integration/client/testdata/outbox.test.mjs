import assert from 'node:assert/strict';
import { test, beforeEach } from 'node:test';
import { Server, newBrowser, open, pass, problem } from './world.mjs';

beforeEach(() => newBrowser());

const sends = (server) => server.requests.filter(([path, { body }]) => path === 'messages' && body !== undefined).map(([, { body }]) => body);
const away = (path, fields) => (path === 'messages' && fields.body !== undefined ? new Error('away') : undefined);

test('messages are sent one after another, in the order in which they were written, even if the clock steps back', async () => {
  const server = new Server();
  const first = await open(server);
  server.answer = away;
  first.room.send('one');
  const real = Date.now;
  Date.now = () => real() - 3_600_000;
  first.room.send('two');
  Date.now = real;
  first.room.send('three');
  assert.deepEqual(first.room.sorted().map((m) => m.body), ['one', 'two', 'three']);
  await pass(1000);
  first.delivery.stop();
  server.requests.length = 0;
  server.answer = () => undefined;
  const { room } = await open(server);
  assert.deepEqual(sends(server), ['one', 'two', 'three']);
  assert.deepEqual(room.sorted().map((m) => [m.body, m.status]), [['one', 'sent'], ['two', 'sent'], ['three', 'sent']]);
  assert.deepEqual(Object.keys(localStorage), []);
});

test('a message whose answer was lost is sent again by the same id, and stored once', async () => {
  const server = new Server();
  const { room } = await open(server);
  let lost = 1;
  server.answered = (path) => {
    if (path === 'messages' && lost-- > 0) throw new TypeError('network');
  };
  const id = room.send('once');
  await pass(5000);
  assert.deepEqual(server.messages.map((m) => m.id), [id]);
  assert.equal(room.messages.get(id).status, 'sent');
});

test('a refused message stays, also after a reload, until it is discarded', async () => {
  const server = new Server();
  const first = await open(server);
  server.answer = (path, { body }) => (body === 'rude' ? problem(403, 'forbidden') : undefined);
  const id = first.room.send('rude');
  first.room.send('polite');
  await pass(1000);
  assert.deepEqual([first.room.messages.get(id).status, first.room.messages.get(id).reason], ['failed', 'forbidden']);
  assert.deepEqual(server.messages.map((m) => m.body), ['polite'], 'others are not held up');
  first.delivery.stop();
  const { room } = await open(server);
  assert.equal(room.messages.get(id).status, 'failed');
  assert.equal(sends(server).filter((body) => body === 'rude').length, 1, 'it is not sent again by itself');
  assert.equal(room.discard(id), 'rude');
  assert.equal(room.messages.has(id), false);
  assert.equal(room.discard(id), undefined);
  assert.deepEqual(Object.keys(localStorage), []);
});

test('a message that no storage takes says so, and is sent nevertheless', async () => {
  newBrowser(0, 0);
  const server = new Server();
  const { room } = await open(server);
  server.answer = away;
  const id = room.send('hello');
  assert.equal(room.messages.get(id).kept, false);
  server.answer = () => undefined;
  await pass(5000);
  assert.equal(room.messages.get(id).status, 'sent');
  assert.equal(server.messages.length, 1);
});

test('messages leave as soon as the connection is back', async () => {
  const server = new Server();
  const { room, wire } = await open(server);
  server.answer = away;
  wire.hub.state('unavailable');
  room.send('hello');
  await pass(60_000, 500);
  server.answer = () => undefined;
  wire.hub.state('connected');
  await pass(50);
  assert.equal(server.messages.length, 1);
});

test('a refusal of something on the way is not final', async () => {
  const server = new Server();
  const { room } = await open(server);
  server.answer = (path, { body }) => (body ? new Response('<h1>nginx</h1>', { status: 403 }) : undefined);
  const id = room.send('hello');
  await pass(1000);
  assert.equal(room.messages.get(id).status, 'sending');
  server.answer = () => undefined;
  await pass(5000);
  assert.equal(room.messages.get(id).status, 'sent');
});

test('who listens to a conversation right away hears of what waits to be sent', async () => {
  const server = new Server();
  const first = await open(server);
  server.answer = away;
  const id = first.room.send('waiting');
  await pass(500);
  first.delivery.stop();
  const { delivery } = await open(server);
  delivery.leave('c');
  const heard = [];
  delivery.conversation('c').addEventListener('message', ({ detail }) => heard.push(detail.id));
  await pass(10);
  assert.deepEqual(heard, [id]);
});

test('a request is kept alive by its bytes, of which browsers allow 64 KiB, whatever its letters', async () => {
  const server = new Server();
  const { room } = await open(server);
  room.send('字'.repeat(25_000));
  room.send('a'.repeat(25_000));
  await pass(500);
  const inits = server.requests.filter(([path, { body }]) => path === 'messages' && body).map(([, , init]) => init.keepalive);
  assert.deepEqual(inits, [false, true]);
});

test('a message that another tab has sent in the meantime is not sent again, and does not come back to the queue', async () => {
  const server = new Server();
  const { room } = await open(server);
  const taken = (id) => localStorage.removeItem(`delivery/bob/message/${id}`);
  let second;
  server.answered = () => taken(second);
  room.send('first');
  second = room.send('second');
  await pass(500);
  assert.deepEqual(server.messages.map(({ body }) => body), ['first']);
  server.answer = (path, { id, body }) => {
    if (body === undefined) return undefined;
    taken(id);
    return problem(410, 'gone');
  };
  room.send('third');
  await pass(500);
  assert.deepEqual(Object.keys(localStorage), []);
});

test('a refused message that another tab has discarded leaves, and what is no string is not sent', async () => {
  const server = new Server();
  const { room } = await open(server);
  server.answer = (path, { body }) => (body ? problem(403, 'forbidden') : undefined);
  const id = room.send('rude');
  await pass(500);
  localStorage.clear();
  assert.equal(room.discard(id), undefined);
  assert.equal(room.messages.has(id), false);
  assert.throws(() => room.send(undefined), TypeError);
  assert.equal(room.messages.size, 0);
});

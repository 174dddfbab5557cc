import assert from 'node:assert/strict';
import { test, beforeEach } from 'node:test';
import { Server, newBrowser, open, pass, problem, settle } from './world.mjs';

beforeEach(() => newBrowser());

const marked = (server, status) => server.requests.filter(([path, fields]) => path.startsWith('marks/') && fields.status === status);

test('messages are delivered when they are listed, when an event brings them, and with the changes', async () => {
  const server = new Server();
  server.say('listed');
  const { room, wire } = await open(server);
  assert.equal(server.find('listed').own, 'delivered');
  const event = server.say('told');
  event.payload.updates[0].body = 'hi';
  wire.bring(event);
  await pass(200);
  assert.equal(server.find('told').own, 'delivered');
  server.say('missed');
  wire.hub.live('c');
  await pass(7000);
  assert.equal(server.find('missed').own, 'delivered');
  assert.equal(room.unread, 3);
  assert.equal(marked(server, 'read').length, 0);
});

test('own messages, and those that the user may not mark, are never answered with a mark', async () => {
  const server = new Server();
  server.say('own', 'bob');
  server.say('before my time', 'alice', { own: undefined });
  const { room, wire } = await open(server);
  const event = server.say('own, from another tab', 'bob');
  event.payload.updates[0].body = 'hi';
  wire.bring(event);
  room.send('hello');
  await pass(500);
  for (const { id } of room.sorted()) room.read(id);
  await pass(1000);
  assert.equal(server.requests.filter(([path]) => path.startsWith('marks/')).length, 0);
  assert.equal(room.unread, 0);
});

test('a message whose mark is refused for good is not unread', async () => {
  const server = new Server();
  const { room, wire } = await open(server);
  const event = server.say('not for bob', 'alice', { own: undefined });
  event.payload.updates[0].body = 'hi'; // as every catch-up of a stream has
  wire.bring(event);
  await pass(1000);
  assert.deepEqual([room.messages.get('not for bob').own, room.unread], [undefined, 0]);
});

test('one request is under way at a time, of up to 200 marks', async () => {
  const server = new Server();
  for (let i = 0; i < 450; i++) server.say(`m${i}`);
  const { room } = await open(server);
  await room.earlier(1);
  await pass(2000);
  assert.equal(room.messages.size, 450);
  for (let i = 0; i < 449; i++) room.read(`m${i}`);
  await pass(2000);
  assert.equal(server.most, 1);
  assert.ok(server.messages.every((m) => m.own === (m.id === 'm449' ? 'delivered' : 'read')));
  assert.ok(server.requests.every(([path, { messages }]) => path !== 'marks/batch' || messages.length <= 200));
  assert.equal(marked(server, 'read').length, 3);
});

test('every mark names the socket, and its request outlives the page', async () => {
  const server = new Server();
  server.say('m');
  const { room } = await open(server);
  room.read('m');
  await pass(200);
  for (const [, fields, init] of [...marked(server, 'delivered'), ...marked(server, 'read')]) {
    assert.equal(fields.socket, 'socket');
    assert.equal(init.keepalive, true);
  }
});

test('reading marks what was read, and never what is unread before it', async () => {
  const server = new Server();
  for (let i = 0; i < 9; i++) server.say(`m${i}`);
  const { room } = await open(server);
  room.read('m8');
  await pass(500);
  assert.deepEqual(server.messages.filter((m) => m.own === 'read').map((m) => m.id), ['m8']);
});

test('once nothing is unread, one mark says so for the whole conversation', async () => {
  const server = new Server();
  for (let i = 0; i < 9; i++) server.say(`m${i}`);
  const { room, wire } = await open(server);
  for (let i = 0; i < 9; i++) room.read(`m${i}`);
  await pass(500);
  assert.ok(server.messages.every((m) => m.own === 'read'));
  assert.deepEqual(marked(server, 'read').map(([path]) => path), ['marks/up-to']);
  const before = server.count('changes');
  wire.bring(server.say('next', 'bob', {}));
  await pass(1000);
  assert.equal(server.count('changes'), before + 1, 'the versions of its own marks are known');
});

test('what was dismissed is not shown as read by a later mark', async () => {
  const server = new Server();
  for (let i = 0; i < 5; i++) server.say(`m${i}`);
  const { room, wire } = await open(server);
  wire.bring(server.own('m4', true));
  const event = server.say('next');
  event.payload.updates[0].body = 'hi';
  wire.bring(event);
  await pass(500);
  assert.equal(room.unread, 1);
  room.read('next');
  await pass(500);
  assert.equal(room.unread, 0);
  assert.deepEqual(server.messages.map(({ shown }) => shown), [...Array(5).fill('delivered'), 'read']);
});

test('where messages are marked one by one, the badge follows now and then, without a word to others', async () => {
  const server = new Server();
  server.say('dismissed');
  const { room, wire } = await open(server);
  wire.bring(server.own('dismissed', true));
  for (const id of ['a', 'b']) {
    wire.bring(server.say(id));
    await pass(500);
    room.read(id);
    await pass(1000);
    assert.equal(room.place.badge, server.find(id === 'a' ? 'dismissed' : 'b').seq);
    server.version += 1000;
  }
  assert.deepEqual(server.requests.filter(([path]) => path === 'dismiss').map(([, fields]) => fields), [{ conversation: 'c', message: 'b', socket: 'socket' }]);
  assert.deepEqual(server.messages.map(({ shown }) => shown), ['delivered', 'read', 'read']);
  const before = server.requests.length;
  wire.hub.mine();
  await pass(9000, 500);
  assert.deepEqual(server.requests.slice(before).map(([path]) => path), ['unread'], 'the page knows of it');
});

test('marks survive the page, a server that is away, and a full storage', async () => {
  for (const room of [Infinity, 0]) {
    newBrowser(room);
    const server = new Server();
    server.say('m');
    const first = await open(server);
    server.answer = (path) => (path.startsWith('marks/') ? new Error('away') : undefined);
    first.room.read('m');
    await pass(3000);
    assert.equal(server.find('m').own, 'delivered');
    first.delivery.stop();
    server.answer = () => undefined;
    await open(server);
    assert.equal(server.find('m').own, 'read');
    assert.equal(localStorage.length ?? 0, 0);
    assert.deepEqual([...Object.keys(localStorage), ...Object.keys(sessionStorage)], []);
  }
});

test('marks that a server could not take now are repeated, and refused ones are not', async () => {
  const server = new Server();
  server.say('m');
  server.say('n');
  server.say('unread');
  const { room } = await open(server);
  let failures = 3;
  server.answer = (path, fields) => {
    if (path !== 'marks/batch' || failures-- <= 0) return undefined;
    return Response.json({ results: fields.messages.map((message) => ({ message, changed: false, error: message === 'm' ? 'not_recipient' : 'unavailable' })) });
  };
  room.read('m');
  room.read('n');
  await pass(30_000);
  assert.equal(server.find('n').own, 'read');
  assert.deepEqual(marked(server, 'read').map(([, { messages }]) => messages), [['m', 'n'], ['n'], ['n'], ['n']]);
});

test('a batch that something on the way refuses is repeated, and one that no server takes is dropped', async () => {
  const server = new Server();
  server.say('m');
  server.say('unread');
  const { room } = await open(server);
  const answers = [new Response('nginx', { status: 403 }), problem(403, 'cross_origin'), problem(503, 'unavailable')];
  server.answer = (path) => (path === 'marks/batch' ? answers.shift() : undefined);
  room.read('m');
  await pass(30_000);
  assert.equal(server.find('m').own, 'read');
  server.answer = (path) => (path.startsWith('marks/') ? problem(400, 'invalid') : undefined);
  room.read('unread');
  await pass(60_000);
  assert.equal(marked(server, 'read').filter(([path]) => path === 'marks/batch').length, 5);
});

test('a page that goes sends all reads in one request, even if another is under way', async () => {
  const server = new Server();
  for (let i = 0; i < 4; i++) server.say(`m${i}`);
  const { room } = await open(server);
  globalThis.window = new EventTarget();
  globalThis.document = Object.assign(new EventTarget(), { visibilityState: 'visible' });
  newBrowser();
  const page = await open(server);
  await pass(500);
  const before = server.requests.length;
  page.room.read('m0');
  page.room.read('m1');
  window.dispatchEvent(new Event('pagehide'));
  page.room.read('m2');
  window.dispatchEvent(new Event('pagehide'));
  document.visibilityState = 'hidden';
  document.dispatchEvent(new Event('visibilitychange'));
  assert.deepEqual(server.requests.slice(before).map(([path, { messages }]) => [path, ...messages]), [['marks/batch', 'm0', 'm1'], ['marks/batch', 'm2']]);
  await pass(2000);
  assert.equal(server.requests.length, before + 2);
  delete globalThis.window;
  delete globalThis.document;
  assert.equal(room.unread, 4);
});

test('while the server takes the browser for somebody else nothing is sent, and afterwards everything', async () => {
  for (const stranger of [() => problem(409, 'other_user'), () => problem(401, 'signed_out'), () => new Response('sign in', { status: 401 })]) {
    newBrowser();
    const server = new Server();
    server.say('m');
    const { room, delivery, wire } = await open(server);
    const users = [];
    delivery.addEventListener('user', () => users.push(delivery.stranger));
    server.answer = stranger;
    room.read('m');
    room.send('hello');
    await pass(200);
    const before = server.requests.length;
    await pass(120_000, 1000);
    assert.equal(server.requests.length, before);
    assert.ok(['other_user', 'signed_out'].includes(users[0]));
    server.answer = () => undefined;
    wire.hub.state('unavailable');
    wire.hub.state('connected');
    await pass(500);
    assert.equal(users.at(-1), undefined);
    assert.equal(server.find('m').own, 'read');
    assert.equal(server.messages.length, 2);
  }
});

test('what waits for the user is sent as soon as any answer says that the user is back', async () => {
  const server = new Server();
  server.say('m');
  const { room, delivery, wire } = await open(server);
  server.answer = () => problem(401, 'signed_out');
  room.read('m');
  room.send('hello');
  await pass(500);
  server.answer = () => undefined;
  wire.hub.mine(); // whose request is made within 6 s, and by nobody who comes to the page
  await pass(7000);
  assert.equal(delivery.stranger, undefined);
  assert.equal(server.find('m').own, 'read');
  assert.equal(server.messages.length, 2);
});

test('no event of the other user counts, and the transport connects anew once the user is back', async () => {
  const server = new Server();
  server.say('m');
  const { room, wire } = await open(server);
  let renewed = 0;
  wire.renew = () => renewed++;
  server.answer = () => problem(409, 'other_user');
  room.sync();
  await pass(500);
  wire.bring({ kind: 'own', payload: { conversation: 'c', from: 0, to: 0, place: { rev: 1, delivered: 1, badge: 1, flag: 0 }, updates: [{}] } });
  assert.deepEqual([room.messages.get('m').own, room.place.rev, renewed], ['delivered', 0, 0]);
  server.answer = () => undefined;
  wire.hub.state('connected');
  await pass(500);
  assert.equal(renewed, 1);
});

test('what other devices did meanwhile is asked for once the user is back', async () => {
  const server = new Server();
  server.say('m');
  const { wire } = await open(server);
  const asked = () => server.requests.filter(([path]) => path.startsWith('unread')).length;
  server.answer = () => problem(401, 'signed_out');
  wire.hub.mine();
  await pass(7000);
  const before = asked();
  server.answer = () => undefined;
  wire.hub.state('unavailable');
  wire.hub.state('connected');
  wire.hub.mine();
  await pass(7000);
  assert.equal(asked(), before + 1);
});

test('every request says whom the page was made for', async () => {
  const server = new Server();
  server.user = 'Zoë';
  server.say('m');
  const { room } = await open(server);
  room.send('hello');
  await pass(500);
  await room.receipts('m').catch(() => {});
  assert.ok(server.requests.length > 4);
  for (const [, , { headers }] of server.requests) assert.equal(headers['Delivery-User'], 'Zo%C3%AB');
});

test('what one user left behind is sent by nobody else', async () => {
  const server = new Server();
  server.say('m');
  const { room, delivery } = await open(server);
  server.answer = (path) => (path.startsWith('marks/') || path === 'messages' ? new Error('away') : undefined);
  room.read('m');
  room.send('from bob');
  await pass(200);
  delivery.stop();
  server.answer = () => undefined;
  const before = server.requests.length;
  server.user = 'carol';
  await open(server);
  await settle();
  assert.ok(!server.requests.slice(before).some(([, { body, status }]) => body || status === 'read'));
});

test('after a mark between the changes of others the page catches up', async () => {
  const server = new Server();
  server.say('own', 'bob');
  server.say('m');
  const { room } = await open(server);
  server.answer = (path) => {
    if (path !== 'marks/up-to') return undefined;
    const from = server.mark('m', 'read').payload.from;
    server.mark('own', 'read', 'alice');
    return Response.json({ changed: 1, from, to: server.version });
  };
  room.read('m');
  await pass(1000);
  assert.equal(room.messages.get('own').status, 'read');
});

test('one mark for the whole conversation leaves out what was read after it', async () => {
  const server = new Server();
  server.say('m');
  const { room, wire } = await open(server);
  await pass(1000);
  server.answer = (path) => (path === 'changes' || path.startsWith('marks/') ? new Error('away') : undefined);
  room.read('m');
  server.say('missed');
  const event = server.say('n');
  event.payload.updates[0].body = 'hi';
  wire.bring(event);
  room.read('n');
  await pass(1000);
  server.answer = (path) => (path === 'changes' ? new Error('away') : undefined);
  await pass(20_000, 500);
  assert.deepEqual(server.messages.map(({ id, own }) => [id, own]), [['m', 'read'], ['missed', 'sent'], ['n', 'read']]);
});

test('one mark for the whole conversation leaves out what another tab has read and this one does not know', async () => {
  const server = new Server();
  server.say('m');
  const { room } = await open(server);
  await pass(1000);
  server.say('n');
  localStorage.setItem('delivery/bob/read/n', '"c"'); // by the other tab
  room.read('m');
  await pass(1000);
  assert.deepEqual(server.messages.map(({ own }) => own), ['read', 'read']);
});

test('marking all as read leaves out what arrives meanwhile', async () => {
  const server = new Server();
  server.say('m');
  const { room, wire } = await open(server);
  await pass(1000);
  const event = server.say('n');
  event.payload.updates[0].body = 'hi';
  server.answer = (path) => {
    if (path === 'marks/up-to') wire.bring(event);
  };
  await room.readAll();
  await pass(1000);
  assert.deepEqual(room.sorted().map(({ own }) => own), ['read', 'delivered']);
  assert.equal(room.unread, 1);
});

test('a mark that a page before left behind is known to the page that sends it, loaded or not', async () => {
  const server = new Server();
  for (let i = 0; i < 60; i++) server.say(`m${i}`);
  for (const id of ['m0', 'm59']) localStorage.setItem(`delivery/bob/read/${id}`, '"c"');
  const { room, wire } = await open(server);
  await pass(2000);
  assert.equal(room.messages.get('m59').own, 'read');
  assert.equal(room.unread, 58);
  const before = server.requests.length;
  wire.hub.live('c', 0, { version: server.version, epoch: '1' });
  await pass(2000);
  assert.equal(server.requests.length, before, 'its version is known');
});

test('a read mark does not wait for the delivered mark of its message, which is under way', async () => {
  globalThis.window = new EventTarget();
  globalThis.document = Object.assign(new EventTarget(), { visibilityState: 'visible' });
  const server = new Server();
  server.say('m');
  server.say('unread');
  let end;
  server.answer = (path, { status }) => (status === 'delivered' ? new Promise((done) => (end = () => done())) : undefined);
  const { room } = await open(server);
  window.dispatchEvent(new Event('pagehide'));
  room.read('m');
  window.dispatchEvent(new Event('pagehide'));
  await settle();
  assert.equal(server.find('m').own, 'read');
  end();
  delete globalThis.window;
  delete globalThis.document;
});

test('a mark that no server takes does not take the others of its batch with it', async () => {
  const server = new Server();
  for (let i = 0; i < 9; i++) server.say(`m${i}`);
  server.answer = (path, { messages }) => (path === 'marks/batch' && messages.includes('bad') ? problem(400, 'invalid') : undefined);
  const { room } = await open(server);
  localStorage.setItem('delivery/bob/read/bad', '"c"');
  for (let i = 0; i < 8; i++) room.read(`m${i}`);
  await pass(2000);
  assert.deepEqual(server.messages.map(({ own }) => own), [...Array(8).fill('read'), 'delivered']);
  assert.deepEqual(Object.keys(localStorage), []);
});

test('the answer to a mark that the page made is no change of the message', async () => {
  const server = new Server();
  server.say('m');
  server.say('unread');
  const { room } = await open(server);
  const changes = [];
  room.addEventListener('message', ({ detail: { id, own } }) => changes.push(`${id} ${own}`));
  room.read('m');
  await pass(1000);
  assert.deepEqual(changes, ['m read']);
});

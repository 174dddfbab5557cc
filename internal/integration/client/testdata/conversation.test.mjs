import assert from 'node:assert/strict';
import { test, beforeEach } from 'node:test';
import { Server, newBrowser, open, pass, problem, settle } from './world.mjs';

beforeEach(() => newBrowser());

const ids = (room) => room.sorted().map((m) => m.id);

test('updates apply by version, whatever their order', async () => {
  const server = new Server();
  server.say('m', 'bob');
  const { room, wire } = await open(server);
  const delivered = server.mark('m', 'delivered', 'alice');
  const read = server.mark('m', 'read', 'alice');
  const seen = [];
  room.addEventListener('message', ({ detail }) => seen.push(detail.status));
  for (const event of [read, delivered, read, delivered]) wire.bring(event);
  await pass(2000);
  assert.equal(room.messages.get('m').status, 'read');
  assert.ok(!seen.includes('delivered'));
});

test('who hides reads is in the total and not among the readers, whatever brings the message', async () => {
  const server = new Server();
  server.say('m', 'bob', { total: 3, readers: 1 });
  const { room, wire } = await open(server);
  assert.deepEqual([room.messages.get('m').total, room.messages.get('m').readers], [3, 1]);
  const { kind, payload } = server.mark('m', 'delivered', 'alice');
  wire.bring({ kind, payload: { ...payload, shared: { ...payload.shared, hiding: 2 } } });
  assert.deepEqual([room.messages.get('m').delivered, room.messages.get('m').readers], [1, 1]);
  wire.bring(server.mark('m', 'read', 'alice'));
  assert.equal(room.messages.get('m').readers, 3, 'an event that does not say so tells that nobody hides');
});

test('a failure counts until the recipient has the message, whether an event or a catch-up tells of it', async () => {
  const server = new Server();
  server.say('m', 'bob');
  server.say('n', 'bob');
  const { room, wire } = await open(server);
  const failed = () => ['m', 'n'].map((id) => room.messages.get(id).failed);
  assert.deepEqual(failed(), [0, 0]);
  const first = server.fail('m', 'alice');
  wire.bring(first);
  assert.deepEqual(failed(), [1, 0]);
  wire.bring(server.mark('m', 'read', 'alice'));
  wire.bring(first);
  assert.deepEqual(failed(), [0, 0]);

  server.fail('n', 'alice');
  room.sync();
  await pass(1000);
  assert.deepEqual(failed(), [0, 1], 'a page that missed the failure');
  server.mark('n', 'delivered', 'alice');
  room.sync();
  await pass(1000);
  assert.deepEqual(failed(), [0, 0], 'a page that missed the mark');
});

test('a failure of the user is no mark', async () => {
  const server = new Server();
  server.say('m', 'alice');
  const { room, wire } = await open(server);
  await pass(1000);
  const before = room.messages.get('m').own;
  wire.bring(server.fail('m', 'bob'));
  await pass(1000);
  assert.deepEqual([room.messages.get('m').own, room.unread], [before, 1]);
});

test('an event in order is applied without a request', async () => {
  const server = new Server();
  server.say('m', 'bob');
  const { room, wire } = await open(server);
  const before = server.requests.length;
  wire.bring(server.mark('m', 'read', 'alice'));
  await pass(5000);
  assert.equal(room.messages.get('m').status, 'read');
  assert.equal(server.requests.length, before);
});

test('a gap is waited for, and then read from the server', async () => {
  const server = new Server();
  server.say('m', 'bob');
  server.say('n', 'bob');
  const { room, wire } = await open(server);
  const first = server.mark('m', 'read', 'alice');
  wire.bring(server.mark('n', 'read', 'alice'));
  const before = server.count('changes');
  await pass(200);
  assert.equal(server.count('changes'), before, 'the event may only be late');
  await pass(300);
  assert.equal(server.count('changes'), before + 1);
  assert.equal(room.messages.get('m').status, 'read');
  wire.bring(first);
  await pass(5000);
  assert.equal(server.count('changes'), before + 1);
});

test('a message that comes with its body needs no request, and one without is fetched', async () => {
  const server = new Server();
  const { room, wire } = await open(server);
  const event = server.say('m');
  event.payload.updates[0].body = 'hello';
  const before = server.requests.length;
  wire.bring(event);
  await settle();
  assert.equal(room.messages.get('m').body, 'hello');
  assert.equal(server.requests.length, before);
  wire.bring(server.say('n'));
  await pass(100);
  assert.equal(room.messages.get('n').body, 'text of n');
});

test('a deleted message stays away, also if an answer that was under way brings it', async () => {
  const server = new Server();
  server.say('m');
  server.say('n');
  const { room, wire } = await open(server);
  const removed = [];
  room.addEventListener('removed', ({ detail }) => removed.push(detail));
  const late = structuredClone(server.find('m'));
  wire.bring(server.delete('m'));
  assert.deepEqual(ids(room), ['n']);
  server.find('m').deleted = false;
  room.sync();
  await pass(100);
  Object.assign(server.find('m'), late, { version: ++server.version });
  room.sync();
  await pass(100);
  assert.deepEqual(ids(room), ['n']);
  assert.deepEqual(removed, ['m']);
});

test('a message whose deletion was not answered goes away if the server has deleted it', async () => {
  const server = new Server();
  server.say('m', 'bob');
  const { room } = await open(server);
  server.answered = (path) => {
    if (path === 'messages/delete') throw new Error('lost');
  };
  await assert.rejects(room.remove('m'), /lost/);
  await pass(1000);
  assert.deepEqual(ids(room), []);
});

test('deletions that a page missed reach it with the changes', async () => {
  const server = new Server();
  server.say('m');
  const { room } = await open(server);
  server.delete('m');
  room.sync();
  await pass(100);
  assert.deepEqual(ids(room), []);
});

test('a restored server has the page start over, and what waits to be sent stays', async () => {
  const server = new Server();
  server.say('old');
  const restore = server.restore();
  server.say('lost');
  const { room } = await open(server);
  server.answer = (path, fields) => (path === 'messages' && fields.body ? new Error('away') : undefined);
  const waiting = room.send('waiting');
  restore();
  for (let i = 0; i < 9; i++) server.say(`new ${i}`); // more versions than before
  room.sync();
  await pass(500);
  assert.deepEqual(ids(room), ['old', ...Array.from({ length: 9 }, (_, i) => `new ${i}`), waiting]);
});

test('a transport that says reset has the page start over', async () => {
  const server = new Server();
  server.say('m');
  const { room, wire } = await open(server);
  server.messages = [];
  wire.hub.reset('c');
  await pass(100);
  assert.deepEqual(ids(room), []);
  assert.equal(room.loaded, true);
});

test('the first subscription catches up at once, later ones within 6 s at random', async () => {
  const server = new Server();
  const { wire } = await open(server);
  const waits = [];
  for (let i = 0; i < 30; i++) {
    const before = server.count('changes');
    wire.hub.live('c');
    let waited = 0;
    while (server.count('changes') === before && waited <= 7000) {
      await pass(100, 100);
      waited += 100;
    }
    waits.push(waited);
  }
  assert.ok(Math.max(...waits) <= 6100 && Math.max(...waits) > 3000 && Math.min(...waits) < 3000, String(waits));
});

test('a transport that catches up itself spares the page the request', async () => {
  const server = new Server();
  server.say('m');
  const { wire } = await open(server);
  const before = server.requests.length;
  wire.hub.live('c', 0, { version: 1, epoch: '1' });
  await pass(500);
  assert.equal(server.requests.length, before);
  const changes = server.count('changes');
  wire.hub.live('c', 0, { version: 3, epoch: '1' }); // of which it knows 2, with its own mark
  await pass(500);
  assert.equal(server.count('changes'), changes + 1);
  wire.hub.live('c', 0, { version: 1, epoch: '2' });
  await pass(500);
  assert.equal(server.count('changes'), changes + 2);
});

test('unread messages count whether they are loaded or not', async () => {
  const server = new Server();
  for (let i = 0; i < 120; i++) server.say(`m${i}`);
  const { room, wire } = await open(server);
  assert.equal(room.messages.size, 50);
  assert.equal(room.unread, 120);
  assert.equal(room.firstUnread.id, 'm0');
  room.read('m119');
  await pass(500);
  assert.equal(room.unread, 119);
  wire.bring(server.say('m120'));
  await pass(500);
  assert.equal(room.unread, 120);
  await room.earlier();
  await pass(500);
  assert.equal(room.messages.size, 101);
  assert.equal(room.unread, 120);
  await room.earlier(1);
  await pass(500);
  assert.equal(room.messages.size, 121);
  assert.equal(room.unread, 120);
});

test('what another device reads is not counted, loaded or not', async () => {
  const server = new Server();
  for (let i = 0; i < 60; i++) server.say(`m${i}`);
  const { room, wire } = await open(server);
  const before = [server.mark('m0', 'delivered'), server.mark('m0', 'read'), server.mark('m59', 'read')];
  for (const event of before) wire.bring(event);
  await pass(1000);
  assert.equal(room.unread, 58);
});

test('more than the server counts is Infinity', async () => {
  const server = new Server();
  for (let i = 0; i < 1100; i++) server.say(`m${i}`);
  const { room } = await open(server);
  assert.equal(room.unread, Infinity);
});

test('changes of old messages that are not loaded leave no hole before them', async () => {
  const server = new Server();
  for (let i = 0; i < 60; i++) server.say(`m${i}`, 'bob');
  const { room } = await open(server);
  server.mark('m0', 'read', 'alice');
  room.sync();
  await pass(500);
  assert.equal(room.messages.has('m0'), false);
  assert.equal(room.sorted()[0].id, 'm10');
});

test('whatever is lost, late, repeated or in the wrong order, the page ends up with what the server has', async () => {
  for (let seed = 1; seed <= 25; seed++) {
    let state = seed * 2654435761;
    const random = (n) => (state = (state * 1103515245 + 12345) % 2147483648) % n;
    newBrowser();
    const server = new Server();
    const { room, wire, delivery } = await open(server);
    const turns = new Map();
    room.addEventListener('message', ({ detail: { id, status } }) => {
      const rank = { sending: 0, sent: 1, delivered: 2, read: 3 }[status];
      assert.ok(rank >= (turns.get(id) ?? 0), `seed ${seed}: a tick of ${id} went back to ${status}`);
      turns.set(id, rank);
    });
    const bag = [];
    server.answer = () => (random(8) === 0 ? new Error('away') : undefined);
    for (let step = 0; step < 60; step++) {
      const id = () => server.messages[random(server.messages.length || 1)];
      const some = id();
      switch (random(7)) {
        case 0: bag.push(server.say(`a${step}`)); break;
        case 1: bag.push(server.say(`b${step}`, 'bob')); break;
        case 2: if (some?.sender === 'bob' && !some.deleted) bag.push(server.mark(some.id, ['delivered', 'read'][random(2)], 'alice')); break;
        case 3: if (some && random(4) === 0 && !some.deleted) bag.push(server.delete(some.id)); break;
        case 4: if (bag.length) wire.bring(bag[random(bag.length)]); break;
        case 5: if (bag.length) wire.bring(bag.splice(random(bag.length), 1)[0]); break;
        default: await pass(random(400));
      }
    }
    server.answer = () => undefined;
    wire.hub.live('c');
    await pass(60_000, 1000);
    const want = server.messages.filter((m) => !m.deleted);
    assert.deepEqual(ids(room), want.map((m) => m.id), `seed ${seed}`);
    for (const m of want) {
      const { status, version, read } = room.messages.get(m.id);
      if (m.sender === 'bob') assert.deepEqual([status, version, read], [m.status, m.version, m.read], `seed ${seed}: ${m.id}`);
      else assert.equal(m.own, 'delivered', `seed ${seed}: ${m.id} was delivered`);
    }
    delivery.stop();
  }
});

test('a status that comes while its message is being fetched is not lost', async () => {
  const server = new Server();
  const { room, wire } = await open(server);
  let once = true;
  server.answered = (path) => {
    if (path === 'changes' && once) wire.bring(server.mark('m', 'read', 'carol')); // and the answer is of the moment before
    if (path === 'changes') once = false;
  };
  wire.bring(server.say('m', 'bob'));
  await pass(2000);
  assert.equal(room.messages.get('m').status, 'read');
});

test('what the user read stays read while the server does not know it', async () => {
  const server = new Server();
  for (let i = 0; i < 120; i++) server.say(`m${i}`);
  const { room } = await open(server);
  server.answer = (path) => (path.startsWith('marks/') ? new Error('away') : undefined);
  room.read('m119');
  server.mark('m119', 'read', 'carol'); // so that the changes have the message
  server.find('m119').own = 'delivered';
  room.sync();
  await room.earlier();
  await pass(500);
  assert.equal(room.messages.get('m119').own, 'read');
  assert.equal(room.unread, 119);
});

test('the version of its own message is known, and causes no request', async () => {
  const server = new Server();
  const { room, wire } = await open(server);
  const id = room.send('hello');
  await pass(500);
  const before = server.requests.length;
  wire.bring(server.mark(id, 'read', 'alice'));
  await pass(2000);
  assert.equal(room.messages.get(id).status, 'read');
  assert.equal(server.requests.length, before);
});

test('a message whose deletion was lost with the database is there again', async () => {
  const server = new Server();
  server.say('m');
  const restore = server.restore();
  const { room, wire } = await open(server);
  wire.bring(server.delete('m'));
  restore();
  room.sync();
  await pass(500);
  assert.deepEqual(ids(room), ['m']);
});

test('a reset while an answer is under way leaves nothing of it', async () => {
  for (const path of ['messages', 'changes', 'unread', 'marks/up-to']) {
    newBrowser();
    const server = new Server();
    for (let i = 0; i < 120; i++) server.say(`old ${i}`);
    const { room, wire } = await open(server);
    await pass(1000);
    let once = true;
    server.answered = (at) => {
      if (at !== path || !once) return;
      once = false;
      server.messages = [];
      server.version = 0;
      server.epoch = '2';
      for (let i = 0; i < 60; i++) server.say(`new ${i}`);
      wire.hub.reset('c');
    };
    if (path === 'marks/up-to') await room.readAll();
    else if (path === 'changes') room.sync();
    else await room.earlier();
    await pass(2000);
    assert.equal(once, false, path);
    assert.deepEqual(ids(room), Array.from({ length: 50 }, (_, i) => `new ${i + 10}`), path);
    assert.deepEqual([room.loaded, room.more, room.unread, room.position], [true, true, 60, { version: server.version, epoch: '2' }], path);
    wire.bring(server.say('next', 'bob'));
    await pass(1000);
    assert.equal(ids(room).at(-1), 'next', path);
  }
});

test('what another device has read is known from what a stream brings to catch up', async () => {
  const server = new Server();
  server.say('m');
  const { room, wire } = await open(server);
  await pass(500);
  const event = server.say('n');
  Object.assign(event.payload.updates[0], { body: 'hi', recipient: 'bob', recipient_status: 'read' });
  server.find('n').own = 'read';
  wire.bring(event);
  wire.bring(server.mark('m', 'read'));
  await pass(500);
  assert.deepEqual(room.sorted().map(({ own }) => own), ['read', 'read']);
  assert.equal(server.requests.filter(([, { messages }]) => messages?.includes('n')).length, 0, 'nothing is left to mark');
});

test('a conversation that the user may no longer read is not asked for again until the user comes back', async () => {
  const server = new Server();
  server.say('m');
  const { room, wire } = await open(server);
  await pass(500);
  server.answer = () => problem(403, 'forbidden');
  const refusals = [];
  room.addEventListener('refused', ({ detail }) => refusals.push(detail.code));
  const before = server.requests.length;
  room.sync();
  await pass(60_000, 500);
  assert.deepEqual(refusals, ['forbidden']);
  assert.equal(server.requests.length, before + 1);
  server.answer = () => undefined;
  wire.hub.state('connected');
  await pass(500);
  assert.equal(server.requests.length, before + 2);
});

test('what the devices of the user alone are told counts as read, loaded or not', async () => {
  const server = new Server();
  for (let i = 0; i < 60; i++) server.say(`m${i}`);
  const { room, wire } = await open(server);
  await pass(500);
  const before = server.requests.length;
  wire.bring(server.own('m59'));
  assert.equal(room.messages.get('m59').own, 'read');
  assert.equal(server.requests.length, before);
  wire.bring(server.own('m0'));
  await pass(500);
  assert.equal(room.unread, 58);
  assert.equal(server.requests.filter(([path, { status }]) => path.startsWith('marks/') && status === 'read').length, 0);
});

test('the count stays as it is until a newer one is there', async () => {
  const server = new Server();
  for (let i = 0; i < 120; i++) server.say(`m${i}`);
  const { room } = await open(server);
  await pass(500);
  room.recount(5000);
  await pass(100);
  assert.equal(room.unread, 120);
  room.earlier();
  await pass(20);
  assert.equal(room.unread, 120);
  await pass(6000, 500);
  assert.equal(room.unread, 120);
});

test('what is loaded while the server counts is not counted twice', async () => {
  const server = new Server();
  for (let i = 0; i < 130; i++) server.say(`m${i}`, i < 30 ? 'bob' : 'alice');
  const { room } = await open(server);
  await pass(500);
  let release;
  server.answer = (path) => (path === 'unread' ? new Promise((done) => (release = () => done())) : undefined);
  room.recount();
  await pass(100);
  await room.earlier();
  server.answer = () => undefined;
  release();
  await pass(1000);
  assert.deepEqual([room.messages.size, room.unread], [100, 100]);
});

test('what another device dismisses is unread no more, loaded or not', async () => {
  const server = new Server();
  for (let i = 0; i < 60; i++) server.say(`m${i}`);
  const { room, wire } = await open(server);
  await pass(500);
  wire.bring(server.own('m4', true)); // none of which is loaded
  await pass(500);
  assert.equal(room.unread, 55);
  wire.bring(server.own('m57', true));
  await pass(500);
  assert.equal(room.unread, 2);
  assert.deepEqual(room.sorted().slice(-3).map(({ own }) => own), ['read', 'delivered', 'delivered']);
  assert.equal(server.requests.filter(([path, { status }]) => path.startsWith('marks/') && status === 'read').length, 0);
});

test('what other devices did is learned from the next event that tells of them, or when these come again', async () => {
  const server = new Server();
  for (let i = 0; i < 60; i++) server.say(`m${i}`);
  const { room, wire } = await open(server);
  await pass(500);
  const before = server.requests.length;
  server.own('m55');
  server.own('m5');
  wire.bring(server.own('m50'));
  await pass(1000);
  assert.deepEqual([room.messages.get('m55').own, room.messages.get('m50').own, room.unread], ['read', 'read', 57]);
  assert.deepEqual(server.requests.slice(before).map(([path]) => path), ['changes', 'unread', 'messages', 'changes', 'unread']);
  assert.equal(room.more, true);
  server.own('m56'); // before the user's events came for the first time
  wire.hub.mine();
  await pass(9000, 500);
  assert.deepEqual([room.messages.get('m56').own, room.unread], ['read', 56]);
  const settled = server.requests.length;
  wire.hub.mine();
  await pass(9000, 500);
  assert.deepEqual(server.requests.slice(settled).map(([path]) => path), ['unread']); // and nothing was missed
  wire.bring({ kind: 'own', payload: { conversation: 'c', from: 0, to: 0, place: { rev: 1, delivered: 60, badge: 60 }, updates: [{}] } });
  await pass(500);
  assert.equal(room.unread, 56); // that event was late
});

test('what other devices did is asked for again if the answer is lost', async () => {
  const server = new Server();
  for (let i = 0; i < 3; i++) server.say(`m${i}`);
  const { room, wire } = await open(server);
  await pass(500);
  server.own('m1');
  let failures = 1;
  server.answer = (path) => (path === 'messages' && failures-- > 0 ? new Error('away') : undefined);
  wire.hub.mine();
  await pass(20_000, 500);
  assert.deepEqual(room.sorted().map(({ own }) => own), ['delivered', 'read', 'delivered']);
});

test('where the user stands is known from the first count, from events, and after a count that was asked for', async () => {
  const server = new Server();
  server.say('m');
  server.place = { rev: 1, delivered: 0, badge: 0, flag: 1 };
  const { room, wire } = await open(server);
  await pass(500);
  assert.equal(room.place.flag, 1);
  let updates = 0;
  room.addEventListener('update', () => updates++);
  wire.bring({ kind: 'own', payload: { conversation: 'c', from: 0, to: 0, place: { rev: 2, delivered: 0, badge: 1, flag: 0 }, updates: [{}] } });
  assert.deepEqual([room.place.flag, updates], [0, 1]);
  server.place = { rev: 3, delivered: 0, badge: 1, flag: 1 };
  room.recount();
  await pass(500);
  assert.equal(room.place.flag, 1);
  assert.ok(updates > 1);
});

test('pruned messages are not counted as unread, loaded or not', async () => {
  const server = new Server();
  for (let i = 0; i < 120; i++) server.say(`m${i}`);
  const { room, wire } = await open(server);
  await pass(500);
  assert.equal(room.unread, 120);
  wire.bring(server.prune(30));
  await pass(500);
  assert.equal(room.unread, 90);
  server.prune(60);
  room.sync();
  await pass(500);
  assert.equal(room.unread, 60);
  wire.bring(server.prune(100));
  await pass(500);
  assert.deepEqual([room.unread, ids(room)[0]], [20, 'm100']);
});

test('messages that come after all loaded ones were pruned are there, and so is what is before them', async () => {
  const server = new Server();
  for (let i = 0; i < 60; i++) server.say(`m${i}`);
  const { room } = await open(server);
  await pass(500);
  server.prune(server.find('m59').seq);
  server.say('new');
  server.say('newer');
  room.sync();
  await pass(1000);
  assert.deepEqual([ids(room), room.unread], [['new', 'newer'], 2]);
  server.prune(server.version);
  room.sync();
  await pass(1000);
  await room.earlier();
  await pass(1000);
  assert.deepEqual([ids(room), room.more, room.unread], [[], false, 0]);
  const [, { before }] = server.requests.findLast(([path, fields]) => path === 'messages' && fields.before);
  assert.match(before, /^[0-9]{1,18}$/);
});

test('deleted messages are not counted as unread, loaded or not, whatever tells of them', async () => {
  const server = new Server();
  for (let i = 0; i < 52; i++) server.say(`m${i}`);
  const { room, wire } = await open(server);
  await pass(500);
  assert.equal(room.unread, 52);
  wire.bring(server.delete('m1'));
  await pass(500);
  assert.equal(room.unread, 51);
  server.delete('m0');
  room.sync();
  await pass(500);
  assert.equal(room.unread, 50);
  wire.bring(server.delete('m51'));
  assert.equal(room.unread, 49);
});

import assert from 'node:assert/strict';
import { test, beforeEach, afterEach } from 'node:test';
import { Server, newBrowser, open, pass, problem } from './world.mjs';

// A page that is visible, of which a test says what happens to it.
beforeEach(() => {
  newBrowser();
  globalThis.window = new EventTarget();
  globalThis.document = Object.assign(new EventTarget(), { visibilityState: 'visible' });
});

afterEach(() => {
  delete globalThis.window;
  delete globalThis.document;
});

function show(state) {
  document.visibilityState = state;
  document.dispatchEvent(new Event('visibilitychange'));
}

// Counts the catch-ups that something causes within 100 ms.
async function catchUps(server, cause) {
  const before = server.count('changes');
  cause();
  await pass(100);
  return server.count('changes') - before;
}

test('a page catches up at once when the network is back, after a freeze, and from the back/forward cache', async () => {
  const server = new Server();
  await open(server);
  assert.equal(await catchUps(server, () => window.dispatchEvent(new Event('online'))), 1);
  assert.equal(await catchUps(server, () => document.dispatchEvent(new Event('resume'))), 1);
  assert.equal(await catchUps(server, () => window.dispatchEvent(Object.assign(new Event('pageshow'), { persisted: true }))), 1);
  assert.equal(await catchUps(server, () => window.dispatchEvent(Object.assign(new Event('pageshow'), { persisted: false }))), 0);
});

test('a page that was hidden for more than 60 s catches up, and one that was hidden shortly does not', async () => {
  const server = new Server();
  await open(server);
  show('hidden');
  await pass(50_000, 1000);
  assert.equal(await catchUps(server, () => show('visible')), 0);
  show('hidden');
  await pass(61_000, 1000);
  assert.equal(await catchUps(server, () => show('visible')), 1);
});

test('what waits for a pause to end is sent when the network is back', async () => {
  const server = new Server();
  server.say('m');
  const { room } = await open(server);
  server.answer = () => new Error('away');
  room.send('hello');
  room.read('m');
  await pass(60_000, 500);
  server.answer = () => undefined;
  window.dispatchEvent(new Event('online'));
  await pass(100);
  assert.equal(server.find('m').own, 'read');
  assert.equal(server.messages.length, 2);
});

test('a page whose user is away tries again when somebody comes to it', async () => {
  const server = new Server();
  const { delivery } = await open(server);
  server.answer = () => problem(401, 'signed_out');
  window.dispatchEvent(new Event('online'));
  await pass(100);
  assert.equal(delivery.stranger, 'signed_out');
  server.answer = () => undefined;
  window.dispatchEvent(new Event('focus'));
  await pass(100);
  assert.equal(delivery.stranger, undefined);
  assert.equal(await catchUps(server, () => window.dispatchEvent(new Event('focus'))), 0);
});

test('a delivery that was stopped does nothing more', async () => {
  const server = new Server();
  server.say('m');
  const { delivery, room } = await open(server);
  server.answer = () => new Error('away');
  room.read('m');
  await pass(1000);
  delivery.stop();
  const before = server.requests.length;
  for (const name of ['online', 'focus', 'pagehide']) window.dispatchEvent(new Event(name));
  show('hidden');
  room.sync();
  await pass(10_000, 500);
  assert.equal(server.requests.length, before);
});

test('what is on the screen is not read while the browser is somebody else\'s, and is once the user is back', async () => {
  document.hasFocus = () => true;
  globalThis.requestAnimationFrame = (draw) => setTimeout(draw, 16);
  let show;
  globalThis.IntersectionObserver = class {
    constructor(told) {
      show = (target) => told([{ target, isIntersecting: true, intersectionRatio: 1 }]);
    }
    observe() {}
    unobserve() {}
    disconnect() {}
  };
  const server = new Server();
  server.say('m');
  const { delivery, room } = await open(server);
  server.answer = () => problem(409, 'other_user');
  window.dispatchEvent(new Event('online'));
  await pass(100);
  assert.equal(delivery.stranger, 'other_user');
  const element = {};
  room.watch(element, 'm');
  show(element);
  for (let i = 0; i < 10; i++) {
    window.dispatchEvent(new Event('pointermove'));
    await pass(1000);
  }
  assert.equal(room.messages.get('m').own, 'delivered');
  server.answer = () => undefined;
  window.dispatchEvent(new Event('focus'));
  await pass(300);
  assert.equal(delivery.stranger, undefined);
  assert.equal(room.messages.get('m').own, 'delivered', 'it was not on the screen for long');
  await pass(1000);
  assert.equal(room.messages.get('m').own, 'read');
  delivery.stop();
  delete globalThis.IntersectionObserver;
  delete globalThis.requestAnimationFrame;
});

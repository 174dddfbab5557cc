import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pass, setClock } from './world.mjs';
import { Halt, Task, backoff } from '../../../../deliveryjs/client/task.js';

test('pauses double from 0.5 s to 15 s, and up to a half is taken off', () => {
  for (let failures = 1; failures < 40; failures++) {
    const longest = Math.min(500 * 2 ** (failures - 1), 15_000);
    const all = Array.from({ length: 200 }, () => backoff(failures));
    assert.ok(all.every((ms) => ms >= longest / 2 && ms <= longest));
    assert.ok(Math.max(...all) - Math.min(...all) > longest / 4, 'jitter');
  }
});

test('one run is under way at a time, and a request during it causes another', async () => {
  let runs = 0;
  let finish;
  const task = new Task(() => (runs++, new Promise((done) => (finish = done))));
  task.request();
  await pass(10);
  task.request();
  task.request();
  await pass(1000);
  assert.equal(runs, 1);
  finish();
  await pass(10);
  assert.equal(runs, 2);
  finish();
  await pass(60_000);
  assert.equal(runs, 2);
});

test('a failure is repeated until it passes, with pauses that requests do not shorten and hurry ends', async () => {
  let runs = 0;
  const task = new Task(async () => {
    if (++runs < 6) throw new Error('away');
  });
  task.request();
  await pass(10);
  for (let i = 0; i < 4; i++) task.request();
  await pass(240);
  assert.equal(runs, 1);
  await pass(300);
  assert.equal(runs, 2);
  task.hurry();
  await pass(10);
  assert.equal(runs, 3);
  await pass(10_000);
  assert.equal(runs, 6);
  await pass(60_000);
  assert.equal(runs, 6);
});

test('a clock that was set back or forward holds up nothing', async () => {
  for (const by of [-3600_000, 3600_000]) {
    let runs = 0;
    const task = new Task(async () => {
      runs++;
      throw new Error('away');
    });
    task.request();
    await pass(10);
    assert.equal(runs, 1);
    setClock(by);
    task.hurry();
    await pass(10);
    assert.equal(runs, 2, `by ${by} ms`);
    task.stop();
    setClock(-by);
  }
});

test('a halted task waits for hurry, and a stopped one for nothing', async () => {
  let runs = 0;
  const task = new Task(async () => {
    runs++;
    throw new Halt('signed out');
  });
  task.request();
  await pass(10);
  task.request();
  await pass(60_000);
  assert.equal(runs, 1);
  task.hurry();
  await pass(10);
  assert.equal(runs, 2);
  task.stop();
  task.hurry();
  task.request();
  await pass(60_000);
  assert.equal(runs, 2);
});

test('a delay that was asked for during a run is kept, and the shortest counts', async () => {
  let runs = 0;
  const task = new Task(async () => {
    runs++;
    task.request(400);
    task.request(300);
    task.request(500);
  });
  task.request();
  await pass(1300, 10);
  assert.equal(runs, 5); // at 0, 300, 600, 900 and 1,200 ms
});

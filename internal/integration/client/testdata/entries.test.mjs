import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newBrowser } from './world.mjs';
import { Entries } from '../../../../deliveryjs/client/entries.js';

test('entries outlive the page, and are nobody else’s', () => {
  newBrowser();
  const entries = new Entries('a/');
  assert.equal(entries.put('x', { n: 1 }), true);
  new Entries('b/').put('x', { n: 2 });
  assert.deepEqual(new Entries('a/').all(), [['x', { n: 1 }]]);
  entries.put('x', { n: 3 });
  assert.deepEqual(new Entries('a/').all(), [['x', { n: 3 }]]);
  entries.delete('x');
  assert.deepEqual(new Entries('a/').all(), []);
});

test('a full localStorage is helped out by sessionStorage', () => {
  newBrowser(0);
  assert.equal(new Entries('a/').put('x', 1), true);
  assert.deepEqual(new Entries('a/').all(), [['x', 1]]);
  localStorage.room = Infinity;
  new Entries('a/').put('x', 2);
  assert.deepEqual(new Entries('a/').all(), [['x', 2]]);
});

test('if both are full, entries last as long as the page, which is told', () => {
  newBrowser(0, 0);
  const entries = new Entries('a/');
  assert.equal(entries.put('x', 1), false);
  assert.deepEqual(entries.all(), [['x', 1]]);
  entries.delete('x');
  assert.deepEqual(entries.all(), []);
});

test('a browser without storage is no obstacle', () => {
  newBrowser();
  Object.defineProperty(globalThis, 'localStorage', { configurable: true, get: () => { throw new DOMException('no', 'SecurityError'); } });
  delete globalThis.sessionStorage;
  const entries = new Entries('a/');
  assert.equal(entries.put('x', 1), false);
  assert.deepEqual(entries.all(), [['x', 1]]);
  Object.defineProperty(globalThis, 'localStorage', { configurable: true, writable: true, value: undefined });
});

test('what is not ours does no harm', () => {
  newBrowser();
  localStorage.setItem('a/x', '{half');
  new Entries('a/').put('y', 1);
  assert.deepEqual(new Entries('a/').all(), [['y', 1]]);
});

#!/usr/bin/env bash
# @rails/actioncable drops what a page sends before it is connected and while it reconnects, and sends none of it later.
# Versions: npm @rails/actioncable 8.1.400, ws 8.18.0 as WebSocket and as an Action Cable server on loopback.
# Expected: subscription.perform("read", …) reaches the server, at once or when the connection is there again, as an emit of
# socket.io's client or a push of Phoenix's does; or it throws.
# Seen: perform answers false and forgets the call when the socket is not open. That is so right after the subscription was
# made, since it is still connecting, and for the seconds after each interruption, although the consumer reconnects and
# subscribes again by itself. What is marked as read in that time stays unread, unless the page keeps it on false.
# Output seen: m-0 before connected false, m-1 connected true, m-2 interrupted false, m-3 connected again true
#              subscribed 2 times, the server received m-1 m-3
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts @rails/actioncable@8.1.400 ws@8.18.0 >/dev/null 2>&1
cat >main.mjs <<'JS'
import { WebSocket, WebSocketServer } from 'ws';

const nothing = () => {};
Object.assign(globalThis, { self: globalThis, addEventListener: nothing, removeEventListener: nothing, WebSocket });
globalThis.document = {
  visibilityState: 'visible', head: { querySelector: () => null }, createElement: () => ({}),
  addEventListener: nothing, removeEventListener: nothing,
};
const { adapters, createConsumer } = await import('@rails/actioncable');
adapters.WebSocket = WebSocket;

const server = new WebSocketServer({ port: 0, host: '127.0.0.1', handleProtocols: () => 'actioncable-v1-json' });
await new Promise((done) => server.once('listening', done));
const received = [];
let subscribed = 0, peer;
server.on('connection', (socket) => {
  peer = socket;
  socket.send('{"type":"welcome"}');
  const pings = setInterval(() => socket.send('{"type":"ping"}'), 1000);
  socket.on('close', () => clearInterval(pings));
  socket.on('message', (text) => {
    const { command, identifier, data } = JSON.parse(text);
    if (command === 'message') return received.push(JSON.parse(data).message);
    subscribed++;
    socket.send(JSON.stringify({ type: 'confirm_subscription', identifier }));
  });
});
const until = async (ready) => {
  while (!ready()) await new Promise((done) => setTimeout(done, 20));
};

let connected = 0, disconnected = 0;
const consumer = createConsumer(`ws://127.0.0.1:${server.address().port}`);
const receipts = consumer.subscriptions.create('ReceiptsChannel', {
  connected: () => connected++,
  disconnected: () => disconnected++,
});
const answers = [`m-0 before connected ${receipts.perform('read', { message: 'm-0' })}`];
await until(() => connected === 1);
answers.push(`m-1 connected ${receipts.perform('read', { message: 'm-1' })}`);
await until(() => received.length === 1);
peer.terminate(); // the network is gone for a moment
await until(() => disconnected === 1);
answers.push(`m-2 interrupted ${receipts.perform('read', { message: 'm-2' })}`);
await until(() => connected === 2);
answers.push(`m-3 connected again ${receipts.perform('read', { message: 'm-3' })}`);
await until(() => received.includes('m-3'));
console.log(answers.join(', '));
console.log(`subscribed ${subscribed} times, the server received ${received.join(' ')}`);
process.exit(0);
JS
timeout 60 node main.mjs | tee out
diff out - <<'E'
m-0 before connected false, m-1 connected true, m-2 interrupted false, m-3 connected again true
subscribed 2 times, the server received m-1 m-3
E

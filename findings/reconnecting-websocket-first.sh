#!/usr/bin/env bash
# reconnecting-websocket and partysocket send what they have queued before onopen runs, so receipts come before the login.
# Versions: npm reconnecting-websocket 4.4.0 and partysocket 1.3.0 (its successor), with ws 8.18.0 on both sides.
# Expected: a page that says who it is in onopen says so first on every connection, as with a plain WebSocket, on which
# nothing can be sent before onopen.
# Seen: send answers nothing while the socket is away and queues; after the reconnect the queue is sent, and then onopen is
# called. On the first connection all is well, since nothing is queued; after each interruption the server gets marks of
# nobody, refuses them, and they are gone from the queue. maxEnqueuedMessages: 0 and a queue of one's own avoid it.
# Output seen: reconnecting-websocket: [login, read m-1] [read m-2, login]
#              partysocket: [login, read m-1] [read m-2, login]
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts --legacy-peer-deps reconnecting-websocket@4.4.0 \
  partysocket@1.3.0 ws@8.18.0 >/dev/null 2>&1
cat >main.mjs <<'JS'
import { WebSocketServer, WebSocket } from 'ws';
import ReconnectingWebSocket from 'reconnecting-websocket';
import PartySocket from 'partysocket/ws';

const until = async (ready) => {
  while (!ready()) await new Promise((done) => setTimeout(done, 10));
};
for (const [name, Client] of [['reconnecting-websocket', ReconnectingWebSocket], ['partysocket', PartySocket.default ?? PartySocket]]) {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await new Promise((done) => server.once('listening', done));
  const connections = [];
  let peer;
  server.on('connection', (socket) => {
    const received = [];
    connections.push(received);
    peer = socket;
    socket.on('message', (text) => received.push(String(text)));
  });
  const client = new Client(`ws://127.0.0.1:${server.address().port}`, [],
    { WebSocket, minReconnectionDelay: 300, maxReconnectionDelay: 300 });
  client.onopen = () => client.send('login');
  await until(() => connections[0]?.length === 1);
  client.send('read m-1');
  await until(() => connections[0].length === 2);
  peer.terminate(); // the network is gone
  await until(() => client.readyState !== 1);
  client.send('read m-2');
  await until(() => connections[1]?.length === 2);
  console.log(`${name}: ${connections.map((c) => `[${c.join(', ')}]`).join(' ')}`);
}
process.exit(0);
JS
timeout 60 node main.mjs | tee out
diff out - <<'E'
reconnecting-websocket: [login, read m-1] [read m-2, login]
partysocket: [login, read m-1] [read m-2, login]
E

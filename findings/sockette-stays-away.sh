#!/usr/bin/env bash
# sockette does not reconnect after a polite restart of the server, and robust-websocket not after an outage of 20 seconds.
# Versions: npm sockette 2.0.6 and robust-websocket 1.0.0 with their defaults, ws 8.18.0 as WebSocket and as server.
# Expected: a wrapper that reconnects "automatically if the connection is lost" is back after each deployment.
# Seen: sockette takes the close codes 1000, 1001 and 1005 for the end. 1001, "going away", is what a server sends when it shuts
# down, and 1005 is a close without a code, the default of ws: the page stays without messages, and no callback says so.
# robust-websocket tries three times (at once, after 3 s and 10 s) and never again; its readyState is 3 for ever.
# What is cut off without a close frame (1006) sockette does connect again.
# Output seen: sockette: cut off 2 connections, closed without a code 1, closed with 1001 1
#              robust-websocket: away for 1 s 2 connections, away for 20 s 1
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts sockette@2.0.6 robust-websocket@1.0.0 ws@8.18.0 >/dev/null 2>&1
cat >main.js <<'JS'
const http = require('http');
const { WebSocket, WebSocketServer } = require('ws');
Object.assign(globalThis, { WebSocket, addEventListener() {}, removeEventListener() {} });
Object.defineProperty(globalThis, 'navigator', { value: { onLine: true }, configurable: true });
const Sockette = require('sockette');
const RobustWebSocket = require('robust-websocket');

const wait = (ms) => new Promise((done) => setTimeout(done, ms));
let port = 0;
const start = async () => {
  const web = http.createServer();
  const server = new WebSocketServer({ server: web });
  await new Promise((done) => web.listen(port, '127.0.0.1', done));
  port = web.address().port;
  server.stop = () => {
    for (const socket of server.clients) socket.terminate();
    web.close();
  };
  return server;
};
// connections of a client whose first connection ends so.
const polite = async (end) => {
  const server = await start();
  let connections = 0;
  server.on('connection', (socket) => {
    if (++connections === 1) setTimeout(end, 100, socket);
  });
  const client = new Sockette(`ws://127.0.0.1:${port}`, { timeout: 200 });
  await wait(3000);
  client.close();
  server.stop();
  return connections;
};
const outage = async (ms) => {
  let connections = 0;
  let server = await start();
  server.on('connection', () => connections++);
  const client = new RobustWebSocket(`ws://127.0.0.1:${port}`);
  client.addEventListener('error', () => {});
  await wait(500);
  server.stop();
  await wait(ms);
  server = await start();
  server.on('connection', () => connections++);
  await wait(15000);
  client.close();
  server.stop();
  return connections;
};
(async () => {
  console.log(`sockette: cut off ${await polite((s) => s.terminate())} connections, ` +
    `closed without a code ${await polite((s) => s.close())}, closed with 1001 ${await polite((s) => s.close(1001))}`);
  port = 0;
  const short = await outage(1000);
  port = 0;
  console.log(`robust-websocket: away for 1 s ${short} connections, away for 20 s ${await outage(20000)}`);
  process.exit(0);
})();
JS
timeout 100 node main.js | tee out
diff out - <<'E'
sockette: cut off 2 connections, closed without a code 1, closed with 1001 1
robust-websocket: away for 1 s 2 connections, away for 20 s 1
E

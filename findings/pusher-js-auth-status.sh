#!/usr/bin/env bash
# pusher-js takes a successful authorization for a refusal unless its status is exactly 200.
# Version: npm pusher-js 8.6.0, ws 8.18.0 as a Pusher-protocol server on loopback.
# Expected: an auth endpoint that answers a POST with 201 and the right JSON has authorized the socket. 201 is what
# NestJS answers to each POST unless told otherwise, and what REST guides ask for.
# Seen: with 201 or 202 the page gets subscription_error of type AuthError, with a status that means success. pusher-js
# says nothing more unless Pusher.logToConsole is on, and does not ask again until the next reconnect: the page shows
# stored messages and never a live receipt.
# Output seen: 200: subscription_succeeded
#              201: subscription_error AuthError 201
#              202: subscription_error AuthError 202
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts pusher-js@8.6.0 ws@8.18.0 >/dev/null 2>&1
cat >main.js <<'JS'
const http = require('http');
const { WebSocketServer } = require('ws');
const Pusher = require('pusher-js');

const web = http.createServer((request, response) => {
  response.writeHead(Number(request.url.slice(1)), { 'Content-Type': 'application/json' });
  response.end(JSON.stringify({ auth: 'key:signature' }));
});
new WebSocketServer({ server: web }).on('connection', (socket) => {
  const send = (event, data, channel) => socket.send(JSON.stringify({ event, channel, data: JSON.stringify(data) }));
  send('pusher:connection_established', { socket_id: '1.1', activity_timeout: 120 });
  socket.on('message', (text) => {
    const { event, data } = JSON.parse(text);
    if (event === 'pusher:subscribe') send('pusher_internal:subscription_succeeded', {}, data.channel);
  });
});
const subscribe = (status) =>
  new Promise((done) => {
    const { port } = web.address();
    const channel = new Pusher('key', {
      cluster: 'local', wsHost: '127.0.0.1', wsPort: port, forceTLS: false, enabledTransports: ['ws'],
      channelAuthorization: { endpoint: `http://127.0.0.1:${port}/${status}` },
    }).subscribe('private-chat');
    channel.bind('pusher:subscription_succeeded', () => done(`${status}: subscription_succeeded`));
    channel.bind('pusher:subscription_error', (e) => done(`${status}: subscription_error ${e.type} ${e.status}`));
  });
web.listen(0, '127.0.0.1', async () => {
  for (const status of [200, 201, 202]) console.log(await subscribe(status));
  process.exit(0);
});
JS
timeout 60 node main.js | tee out
diff out - <<'E'
200: subscription_succeeded
201: subscription_error AuthError 201
202: subscription_error AuthError 202
E

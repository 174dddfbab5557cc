#!/usr/bin/env bash
# pusher-js sends a slow authorization on the next connection, so a signed-in page is told 401 for a channel that works.
# Version: npm pusher-js 8.6.0, ws 8.18.0 as a Pusher-protocol server on loopback.
# Expected: a signature is bound to the socket it was asked for; when that socket is gone the answer is thrown away.
# Seen: the auth endpoint answers after the page has reconnected (close code 4200, as on a server's restart). pusher-js
# has asked once more and is subscribed, and now sends the old socket's signature on the new connection as well. A
# Pusher server refuses it: subscription_error with status 401 reaches the page after subscription_succeeded.
# A page that takes 401 for "signed out" throws its user out whenever the server restarts under load.
# Output seen: page: subscription_succeeded
#              server: socket 2.2 subscribes with the signature of socket 1.1
#              page: subscription_error 401
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

let asked = 0;
const web = http.createServer((request, response) => {
  let body = '';
  request.on('data', (chunk) => (body += chunk));
  request.on('end', () => {
    const answer = JSON.stringify({ auth: 'key:' + new URLSearchParams(body).get('socket_id') });
    setTimeout(() => {
      response.writeHead(200, { 'Content-Type': 'application/json' });
      response.end(answer);
    }, ++asked === 1 ? 2000 : 0); // the first answer is slow
  });
});
let connections = 0;
new WebSocketServer({ server: web }).on('connection', (socket) => {
  const id = `${++connections}.${connections}`;
  const send = (event, data, channel) => socket.send(JSON.stringify({ event, channel, data: JSON.stringify(data) }));
  send('pusher:connection_established', { socket_id: id, activity_timeout: 120 });
  socket.on('message', (text) => {
    const { event, data } = JSON.parse(text);
    if (event !== 'pusher:subscribe') return;
    const signed = data.auth.slice('key:'.length);
    if (signed === id) return send('pusher_internal:subscription_succeeded', {}, data.channel);
    console.log(`server: socket ${id} subscribes with the signature of socket ${signed}`);
    send('pusher:subscription_error', { type: 'AuthError', error: 'invalid signature', status: 401 }, data.channel);
  });
  if (connections === 1) setTimeout(() => socket.close(4200), 500);
});
web.listen(0, '127.0.0.1', () => {
  const { port } = web.address();
  const pusher = new Pusher('key', {
    cluster: 'local', wsHost: '127.0.0.1', wsPort: port, forceTLS: false, enabledTransports: ['ws'],
    channelAuthorization: { endpoint: `http://127.0.0.1:${port}/auth` },
  });
  const channel = pusher.subscribe('private-chat');
  channel.bind('pusher:subscription_succeeded', () => console.log('page: subscription_succeeded'));
  channel.bind('pusher:subscription_error', ({ status }) => console.log('page: subscription_error', status));
  setTimeout(() => process.exit(0), 5000);
});
JS
timeout 60 node main.js | tee out
diff out - <<'E'
page: subscription_succeeded
server: socket 2.2 subscribes with the signature of socket 1.1
page: subscription_error 401
E

#!/usr/bin/env bash
# Mattermost's client gives the answer to one request to the callback of another, which the server never got.
# Version: npm @mattermost/client 11.9.0; npm ws 8.18.3 as the socket and as a server that answers each request with OK.
# Expected: the callback of a request gets that request's answer. If the connection breaks first, it gets an error or
# nothing.
# Seen: after a broken connection the client counts its requests from 1 again and keeps the old callbacks by number. "I am
# away" is request 3 and is lost with the first connection. Request 3 of the second connection is "I am typing", and its
# OK goes to the callback of "I am away". The app takes a lost request for done. A callback of getStatuses gets an answer
# without statuses in the same way.
# Output seen: typing is sent
#              callback of "away": OK, "away" requests that the server got: 0
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts @mattermost/client@11.9.0 ws@8.18.3 >/dev/null 2>&1
cat >main.js <<'JS'
const { WebSocketClient } = require('@mattermost/client');
const { WebSocket, WebSocketServer } = require('ws');

globalThis.WebSocket = WebSocket;
console.log = () => {}; // the client's own lines
const say = (line) => process.stdout.write(line + '\n');

let connections = 0;
let away = 0;
const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
server.on('connection', (socket) => {
  const broken = ++connections === 1;
  let requests = 0;
  socket.on('message', (text) => {
    const { action, seq } = JSON.parse(text);
    if (broken && ++requests === 3) return socket.terminate(); // the third request is lost on its way
    if (action === 'user_update_active_status') away++;
    socket.send(JSON.stringify({ status: 'OK', seq_reply: seq }));
  });
});
server.on('listening', () => {
  const client = new WebSocketClient({ minWebSocketRetryTime: 100, reconnectJitterRange: 1 });
  client.addFirstConnectListener(() =>
    setTimeout(() =>
      client.userUpdateActiveStatus(false, true, (answer) =>
        say(`callback of "away": ${answer.status}, "away" requests that the server got: ${away}`)), 300));
  client.addReconnectListener(() =>
    setTimeout(() => {
      say('typing is sent');
      client.userTyping('town-square', '');
    }, 300));
  client.initialize(`ws://127.0.0.1:${server.address().port}/api/v4/websocket`, 'token');
});
setTimeout(() => process.exit(0), 3000);
JS
timeout 60 node main.js | tee out
diff out - <<'E'
typing is sent
callback of "away": OK, "away" requests that the server got: 0
E

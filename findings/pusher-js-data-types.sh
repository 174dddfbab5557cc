#!/usr/bin/env bash
# pusher-js hands a page another value than the server published: a string of digits becomes a number, and a wrong one.
# Version: npm pusher-js 8.6.0, ws 8.18.0 as a Pusher-protocol server on loopback.
# Expected: Pusher's libraries take a string as the data of an event and the page's callback gets that string; an
# object arrives with the ids it was sent with.
# Seen: the client parses whatever parses as JSON. The string "9007199254740993" (a 64-bit or snowflake message id) arrives
# as the number 9007199254740992, "true" and "null" as a boolean and null, "00123" as it was, so the type depends on
# the text. An object that holds a 64-bit id loses it in the same way: the receipt names a message that does not exist.
# Output seen: "9007199254740993" -> number 9007199254740992
#              "00123" -> string 00123
#              "null" -> object null
#              {"id":9007199254740993} -> object {"id":9007199254740992}
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts pusher-js@8.6.0 ws@8.18.0 >/dev/null 2>&1
cat >main.js <<'JS'
const { WebSocketServer } = require('ws');
const Pusher = require('pusher-js');

const published = ['9007199254740993', '00123', 'null', '{"id":9007199254740993}'];
const server = new WebSocketServer({ port: 0, host: '127.0.0.1' }, () => {
  const pusher = new Pusher('key', {
    cluster: 'local', wsHost: '127.0.0.1', wsPort: server.address().port, forceTLS: false, enabledTransports: ['ws'],
  });
  let next = 0;
  pusher.subscribe('chat').bind('receipt', (data) => {
    const text = published[next++];
    console.log(text[0] === '{' ? text : JSON.stringify(text), '->', typeof data, typeof data === 'string' ? data : JSON.stringify(data));
    if (next === published.length) process.exit(0);
  });
});
server.on('connection', (socket) => {
  const send = (event, data, channel) => socket.send(JSON.stringify({ event, channel, data }));
  send('pusher:connection_established', JSON.stringify({ socket_id: '1.1', activity_timeout: 120 }));
  socket.on('message', (text) => {
    const { event, data } = JSON.parse(text);
    if (event !== 'pusher:subscribe') return;
    send('pusher_internal:subscription_succeeded', '{}', data.channel);
    for (const text of published) send('receipt', text, data.channel);
  });
});
JS
timeout 60 node main.js | tee out
diff out - <<'E'
"9007199254740993" -> number 9007199254740992
"00123" -> string 00123
"null" -> object null
{"id":9007199254740993} -> object {"id":9007199254740992}
E

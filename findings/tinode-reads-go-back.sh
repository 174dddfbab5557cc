#!/usr/bin/env bash
# tinode-sdk takes a message's "read" back when an older read note arrives after a newer one.
# Version: npm tinode-sdk 0.25.3, ws 8.18.0 as a Tinode server on loopback, fake-indexeddb 6.0.0 for its cache.
# Expected: {info what="read" seq} says "read up to seq", so the position only grows, as it does for the user's own notes,
# which the SDK keeps from going back.
# Seen: the SDK stores whatever seq came last for that user. After "bob read up to 5" and then "bob read up to 3" (his
# second device, or two notes that crossed in a cluster) message 5 is no longer read, and msgReadCount falls from 1
# to 0: two ticks on the sender's screen become one.
# Output seen: bob read up to 5: message 5 read, readers 1
#              bob read up to 3: message 5 not read, readers 0
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts tinode-sdk@0.25.3 ws@8.18.0 fake-indexeddb@6.0.0 >/dev/null 2>&1
cat >main.js <<'JS'
const { WebSocketServer, WebSocket } = require('ws');
const { Tinode } = require('tinode-sdk');

Tinode.setNetworkProviders(WebSocket, class {});
Tinode.setDatabaseProvider(require('fake-indexeddb').indexedDB);

const server = new WebSocketServer({ port: 0, host: '127.0.0.1' }, async () => {
  const host = `127.0.0.1:${server.address().port}`;
  const client = new Tinode({ appName: 'probe', host, apiKey: 'key', transport: 'ws', secure: false, persist: false });
  await client.connect();
  await client.loginBasic('alice', 'password');
  const topic = client.getTopic('grpChat');
  const shown = new Promise((done) => (topic.onData = (message) => message && message.seq === 5 && done()));
  await topic.subscribe(topic.startMetaQuery().withSub().withData().build());
  await shown;
  for (const seq of [5, 3]) {
    const told = new Promise((done) => (topic.onInfo = done));
    for (const socket of server.clients)
      socket.send(JSON.stringify({ info: { topic: 'grpChat', from: 'usrBob', what: 'read', seq } }));
    await told;
    const read = topic.msgStatus(topic.findMessage(5)) === Tinode.MESSAGE_STATUS_READ;
    console.log(`bob read up to ${seq}: message 5 ${read ? 'read' : 'not read'}, readers ${topic.msgReadCount(5)}`);
  }
  process.exit(0);
});
server.on('connection', (socket) => {
  const send = (packet) => socket.send(JSON.stringify(packet));
  const acs = { mode: 'JRWP', want: 'JRWP', given: 'JRWP' };
  socket.on('message', (text) => {
    const { hi, login, sub } = JSON.parse(text);
    if (hi) send({ ctrl: { id: hi.id, code: 201, text: 'created', params: { ver: '0.25', build: 'probe' } } });
    if (login)
      send({ ctrl: { id: login.id, code: 200, text: 'ok', params: { user: 'usrAlice', token: 'token', expires: new Date(Date.now() + 3600e3) } } });
    if (sub) {
      send({ ctrl: { id: sub.id, topic: 'grpChat', code: 200, text: 'ok' } });
      send({ meta: { id: sub.id, topic: 'grpChat', sub: [{ user: 'usrAlice', acs }, { user: 'usrBob', acs }] } });
      for (let seq = 1; seq <= 5; seq++)
        send({ data: { topic: 'grpChat', from: 'usrAlice', seq, ts: new Date(), content: 'hello' } });
    }
  });
});
JS
timeout 60 node main.js | tee out
diff out - <<'E'
bob read up to 5: message 5 read, readers 1
bob read up to 3: message 5 not read, readers 0
E

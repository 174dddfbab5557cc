#!/usr/bin/env bash
# xmpp.js does not track the first stanza of a session, and reports a message as failed that the server says it has.
# Versions: npm @xmpp/client 0.14.0 with its defaults; npm ws 8.18.3 as the socket and as a small server.
# Expected: after "online" each message is acknowledged, sent again or reported as failed (XEP-0198). "fail" means that
# the server did not get it.
# Seen: "online" is emitted before the client asks for stream management. What an "online" handler sends first goes ahead
# of that request, so it gets neither "ack" nor "fail", and it is not sent again if the connection breaks. If a session can
# no longer be resumed, the server may say how many stanzas it got before (h, XEP-0198 section 5). The client ignores that
# number and reports all that were unacknowledged as failed: an app that sends them again sends them twice.
# Output seen: m-2: ack
#              m-3: fail
#              got by the server: m-1, m-2, m-3
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts @xmpp/client@0.14.0 ws@8.18.3 >/dev/null 2>&1
cat >main.mjs <<'JS'
import { client, xml } from '@xmpp/client';
import { WebSocket, WebSocketServer } from 'ws';

globalThis.WebSocket = WebSocket;
const got = [];
let counted = 0; // stanzas since stream management was enabled
const features = (inner) =>
  `<stream:features xmlns="jabber:client" xmlns:stream="http://etherx.jabber.org/streams">${inner}</stream:features>`;
const server = new WebSocketServer({ host: '127.0.0.1', port: 0, handleProtocols: () => 'xmpp' });
server.on('connection', (socket) => {
  let loggedIn = false;
  socket.on('message', (data) => {
    const text = String(data);
    const id = text.match(/ id="([^"]*)"/)?.[1];
    switch (text.match(/^<([a-z]+)/)[1]) {
      case 'open':
        socket.send('<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" version="1.0" from="example.org" id="stream"/>');
        socket.send(features(loggedIn
          ? '<bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/><sm xmlns="urn:xmpp:sm:3"/>'
          : '<mechanisms xmlns="urn:ietf:params:xml:ns:xmpp-sasl"><mechanism>PLAIN</mechanism></mechanisms>'));
        break;
      case 'auth':
        loggedIn = true;
        socket.send('<success xmlns="urn:ietf:params:xml:ns:xmpp-sasl"/>');
        break;
      case 'iq':
        socket.send(`<iq xmlns="jabber:client" type="result" id="${id}"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind">` +
          '<jid>alice@example.org/phone</jid></bind></iq>');
        break;
      case 'enable':
        counted = 0;
        socket.send('<enabled xmlns="urn:xmpp:sm:3" id="session" resume="true"/>');
        break;
      case 'r':
        socket.send(`<a xmlns="urn:xmpp:sm:3" h="${counted}"/>`);
        break;
      case 'resume': // the session has expired
        socket.send(`<failed xmlns="urn:xmpp:sm:3" h="${counted}">` +
          '<item-not-found xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></failed>');
        break;
      case 'message':
        got.push(id);
        counted++;
        if (id === 'm-3') socket.terminate(); // got, but not yet acknowledged
    }
  });
});
await new Promise((listening) => server.on('listening', listening));

const alice = client({
  service: `ws://127.0.0.1:${server.address().port}`, domain: 'example.org', username: 'alice', password: 'secret',
});
const send = (id) => alice.send(xml('message', { to: 'bob@example.org', type: 'chat', id }, xml('body', {}, 'hello')));
let sessions = 0;
alice.reconnect.delay = 100;
alice.on('error', () => {});
alice.on('online', async () => {
  if (++sessions === 2) {
    console.log(`got by the server: ${got.join(', ')}`);
    process.exit(0);
  }
  await send('m-1');
  await send('m-2');
});
alice.streamManagement.on('ack', (stanza) => {
  console.log(`${stanza.attrs.id}: ack`);
  if (stanza.attrs.id === 'm-2') send('m-3');
});
alice.streamManagement.on('fail', (stanza) => console.log(`${stanza.attrs.id}: fail`));
await alice.start();
JS
timeout 60 node main.mjs | tee out
diff out - <<'E'
m-2: ack
m-3: fail
got by the server: m-1, m-2, m-3
E

#!/usr/bin/env bash
# stanza.js acknowledges its own messages: in a room the sender's client says that it has received what it sent.
# Version: npm stanza 12.22.1 with its defaults, fed with the stanza that a chat room (XEP-0045) reflects, no server.
# Expected: a delivery receipt or a "received" marker (XEP-0184, XEP-0333) tells a sender that somebody else has the
# message. A room sends each message back to its author, so a client leaves its own out.
# Seen: the reflected message of alice's own occupant is answered with a receipt and a marker to the whole room. Alone in
# the room, or with everybody else offline, alice gets "delivered" for each message, and every member's client gets a
# receipt from the author as if from a reader. sendMUCReceipts and chatMarkers are on by default.
# Output seen: to room@chat.example.org: receipt received m-1, marker received m-1
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts stanza@12.22.1 >/dev/null 2>&1
cat >main.js <<'JS'
const { createClient, JXT } = require('stanza');

const client = createClient({ jid: 'alice@example.org' });
client.jid = 'alice@example.org/phone';
client.sendMessage = ({ to, receipt, marker }) =>
  console.log(`to ${to}: receipt ${receipt.type} ${receipt.id}, marker ${marker.type} ${marker.id}`);
const reflected = JXT.parse(`
  <message xmlns="jabber:client" type="groupchat" id="m-1" from="room@chat.example.org/alice" to="alice@example.org/phone">
    <body>hello</body><request xmlns="urn:xmpp:receipts"/><markable xmlns="urn:xmpp:chat-markers:0"/>
  </message>`);
client.joinedRooms.set('room@chat.example.org', 'alice');
client.emit('message', client.stanzas.import(reflected));
process.exit(0);
JS
timeout 60 node main.js | tee out
diff out - <<'E'
to room@chat.example.org: receipt received m-1, marker received m-1
E

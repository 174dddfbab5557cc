#!/usr/bin/env bash
# Baileys swallows a "read" while it buffers, and adds 0 unread messages to 3 where it should set 0.
# Version: npm baileys 7.0.0-rc14, its makeEventBuffer and processSyncAction, no server.
# Expected: the merged events of the buffer, which is on during the catch-up after each login, tell an app as much as the
# single events do. A later "delivered" does not hide that a message was read.
# Seen: the reader's phone reports "read", then her other device comes online and reports "delivered". Live, an app sees
# both and can keep the higher one. Buffered, it gets one update with the last status, and the message is not shown as
# read. In a chat update the unread count 1 is one new message, and 0 means that the chat was marked as read. The buffer
# adds them: three new messages and then "marked as read" come out as 3 unread messages.
# Output seen: live: statuses READ,DELIVERY_ACK; unread counts 1,1,1,0
#              buffered: statuses DELIVERY_ACK; unread counts 3
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts baileys@7.0.0-rc14 >/dev/null 2>&1
cat >main.mjs <<'JS'
import { makeEventBuffer, processSyncAction, WAMessageStatus } from 'baileys';

const chat = '4915550001@s.whatsapp.net';
const logger = { trace() {}, debug() {}, info() {}, warn() {}, error() {} };
const markedAsRead = {
  syncAction: { value: { markChatAsReadAction: { read: true } } },
  index: ['markChatAsRead', chat],
};

function run(name, buffered) {
  const events = makeEventBuffer(logger);
  const statuses = [];
  const counts = [];
  events.on('messages.update', (updates) => statuses.push(...updates.map(({ update }) => WAMessageStatus[update.status])));
  events.on('chats.update', (updates) => counts.push(...updates.map(({ unreadCount }) => unreadCount)));
  if (buffered) events.buffer();

  const key = { remoteJid: chat, id: 'm-1', fromMe: true };
  for (const status of [WAMessageStatus.READ, WAMessageStatus.DELIVERY_ACK]) events.emit('messages.update', [{ key, update: { status } }]);
  for (let i = 0; i < 3; i++) events.emit('chats.update', [{ id: chat, unreadCount: 1 }]); // as for each new message
  processSyncAction(markedAsRead, events, { id: 'alice' }, undefined, logger);

  if (buffered) events.flush();
  console.log(`${name}: statuses ${statuses}; unread counts ${counts}`);
}

run('live', false);
run('buffered', true);
process.exit(0);
JS
timeout 60 node main.mjs | tee out
diff out - <<'E'
live: statuses READ,DELIVERY_ACK; unread counts 1,1,1,0
buffered: statuses DELIVERY_ACK; unread counts 3
E

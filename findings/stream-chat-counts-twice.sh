#!/usr/bin/env bash
# stream-chat shows a repeated message once and counts it as unread each time.
# Version: npm stream-chat 9.53.0, fed with its own public client.dispatchEvent, no server.
# Expected: an event that comes twice (webhook and socket, a reconnect, a push handler that hands it on) changes nothing the
# second time: the list keeps one message per id, and the number beside it belongs to the list.
# Seen: three events with two messages make a list of 2 and 3 unread. After everything was read, the repeat of the old m-1
# leaves the list as it is and brings the badge back to 1, for a message of before the read position; nothing but the
# next read event removes it.
# Output seen: m-1, m-1 again, m-2: messages 2, unread 3
#              all read: messages 2, unread 0
#              m-1 once more: messages 2, unread 1
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts stream-chat@9.53.0 >/dev/null 2>&1
cat >main.js <<'JS'
const { StreamChat } = require('stream-chat');

const client = new StreamChat('key', { allowServerSideConnect: true });
client.userID = 'alice';
client.user = { id: 'alice' };
client.wsPromise = Promise.resolve();
const channel = client.channel('messaging', 'one');
channel.initialized = true;
channel.data = { cid: channel.cid, own_capabilities: ['read-events'] };
client.activeChannels[channel.cid] = channel;
channel.state.read = { alice: { user: { id: 'alice' }, last_read: new Date(0), unread_messages: 0 } };

const at = (second) => new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString();
const event = (type, second, rest) =>
  client.dispatchEvent({ type, cid: channel.cid, channel_type: 'messaging', channel_id: 'one', created_at: at(second), ...rest });
const message = (id, second) =>
  event('message.new', second, {
    user: { id: 'bob' },
    message: {
      id, cid: channel.cid, type: 'regular', text: 'hello', user: { id: 'bob' }, created_at: at(second), updated_at: at(second),
    },
  });
const say = (when) => console.log(`${when}: messages ${channel.state.messages.length}, unread ${channel.countUnread()}`);

message('m-1', 1);
message('m-1', 1);
message('m-2', 2);
say('m-1, m-1 again, m-2');
event('message.read', 5, { user: { id: 'alice' }, last_read_message_id: 'm-2' });
say('all read');
message('m-1', 1);
say('m-1 once more');
process.exit(0);
JS
timeout 60 node main.js | tee out
diff out - <<'E'
m-1, m-1 again, m-2: messages 2, unread 3
all read: messages 2, unread 0
m-1 once more: messages 2, unread 1
E

#!/usr/bin/env bash
# stream-chat keeps two records of who read what; an older read event moves one of them back, and not the other.
# Version: npm stream-chat 9.53.0, fed with its own public client.dispatchEvent, no server.
# Expected: a read position only grows. Events of one user's two devices, or of a socket and a request, may arrive in
# another order than they happened.
# Seen: after "bob read m5" and then an older "bob read m3" channel.state.read.bob says m3, and last_read is earlier
# than it was, while channel.messageReceiptsTracker of the same channel, which the newer UI components use, says m5.
# A page that mixes both shows m5 as read in one place and as unread in another.
# Output seen: after m5: state.read m5, tracker m5
#              after the older m3: state.read m3, tracker m5
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
const channel = client.channel('messaging', 'one');
channel.initialized = true;
channel.data = { cid: channel.cid, own_capabilities: ['read-events'] };
client.activeChannels[channel.cid] = channel;

const at = (second) => new Date(Date.UTC(2026, 0, 1, 0, 0, second));
for (let i = 1; i <= 5; i++)
  channel.state.addMessageSorted({
    id: 'm' + i, cid: channel.cid, type: 'regular', text: 'hello', user: { id: 'alice' },
    created_at: at(i * 10).toISOString(), updated_at: at(i * 10).toISOString(),
  });
channel.state.read = { bob: { user: { id: 'bob' }, last_read: at(0), unread_messages: 0 } };

const read = (message, second) =>
  client.dispatchEvent({
    type: 'message.read', cid: channel.cid, channel_type: 'messaging', channel_id: 'one', user: { id: 'bob' },
    created_at: at(second).toISOString(), last_read_message_id: message,
  });
const say = (when) =>
  console.log(`${when}: state.read ${channel.state.read.bob.last_read_message_id}, tracker ` +
    channel.messageReceiptsTracker.getUserProgress('bob').lastReadRef.msgId);

read('m5', 51);
say('after m5');
read('m3', 31);
say('after the older m3');
process.exit(0);
JS
timeout 60 node main.js | tee out
diff out - <<'E'
after m5: state.read m5, tracker m5
after the older m3: state.read m3, tracker m5
E

#!/usr/bin/env bash
# @chatscope/use-chat lists a repeated message twice, and "seen" reaches only the first of the two.
# Versions: npm @chatscope/use-chat 3.1.2, its BasicStorage, with react 18.2.0.
# Expected: a message has an id, so an event that comes twice (a reconnect, a catch-up beside the live stream) changes one entry
# of the list, and its status is one.
# Seen: addMessage appends whatever it gets. After a repeat of m-1 the list has it twice; updateMessage puts the new status on the
# first entry, the second says "sent" for ever. Messages that overtake each other stay in the order of arrival, though
# they have a createdTime. getState().messages is what the page draws.
# Output seen: m-1:Sent m-1:Sent m-3:Sent m-2:Sent
#              after "m-1 seen": m-1:Seen m-1:Sent m-3:Sent m-2:Sent
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts @chatscope/use-chat@3.1.2 react@18.2.0 >/dev/null 2>&1
cat >main.js <<'JS'
const {
  BasicStorage, ChatMessage, Conversation, MessageContentType, MessageDirection, MessageStatus,
} = require('@chatscope/use-chat');

let groups = 0;
const storage = new BasicStorage({ groupIdGenerator: () => `g-${++groups}`, messageIdGenerator: (message) => message.id });
storage.addConversation(new Conversation({ id: 'lunch' }));
const message = (id, second, status = MessageStatus.Sent) => new ChatMessage({
  id, status, senderId: 'alice', direction: MessageDirection.Outgoing, contentType: MessageContentType.TextPlain,
  content: { content: 'hello' }, createdTime: new Date(Date.UTC(2026, 0, 1, 0, 0, second)),
});
const list = () => storage.getState().messages.lunch.flatMap((group) => group.messages)
  .map(({ id, status }) => `${id}:${MessageStatus[status]}`).join(' ');

storage.addMessage(message('m-1', 1), 'lunch');
storage.addMessage(message('m-1', 1), 'lunch');
storage.addMessage(message('m-3', 3), 'lunch');
storage.addMessage(message('m-2', 2), 'lunch');
console.log(list());
storage.updateMessage(message('m-1', 1, MessageStatus.Seen));
console.log(`after "m-1 seen": ${list()}`);
JS
timeout 60 node main.js | tee out
diff out - <<'E'
m-1:Sent m-1:Sent m-3:Sent m-2:Sent
after "m-1 seen": m-1:Seen m-1:Sent m-3:Sent m-2:Sent
E

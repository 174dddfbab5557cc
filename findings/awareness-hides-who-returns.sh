#!/usr/bin/env bash
# y-protocols: who was taken for offline and comes back stays invisible for up to 15 seconds, though the state arrives.
# Versions: npm y-protocols 1.0.7 (awareness, the presence of Yjs) with yjs 13.6.33, no server.
# Expected: bob's page removes the others when its connection closes, as its providers do, and shows them again when they
# send their state after the reconnect.
# Seen: removing a state keeps its clock, and alice's state, which she has not changed, carries the same clock: bob's
# applyAwarenessUpdate drops it without a word. Her own timer raises the clock within 15 s, and only then she is back.
# Presence so shows a short interruption of one side as an absence of all the others for a quarter of a minute.
# Output seen: first: alice
#              closed: nobody
#              state received again: nobody
#              after alice's timer: alice
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts y-protocols@1.0.7 yjs@13.6.33 >/dev/null 2>&1
cat >main.mjs <<'JS'
import * as Y from 'yjs';
import { Awareness, applyAwarenessUpdate, encodeAwarenessUpdate, removeAwarenessStates } from 'y-protocols/awareness';

const alice = new Awareness(new Y.Doc());
const bob = new Awareness(new Y.Doc());
alice.setLocalState({ user: 'alice' });
const send = () => applyAwarenessUpdate(bob, encodeAwarenessUpdate(alice, [alice.clientID]), 'network');
const show = (when) => {
  const users = [...bob.getStates().values()].map((state) => state.user).filter(Boolean);
  console.log(`${when}: ${users.join(', ') || 'nobody'}`);
};

send();
show('first');
removeAwarenessStates(bob, [alice.clientID], 'connection closed');
show('closed');
send();
show('state received again');
setTimeout(() => {
  send();
  show("after alice's timer");
  process.exit(0);
}, 19000);
JS
timeout 60 node main.mjs | tee out
diff out - <<'E'
first: alice
closed: nobody
state received again: nobody
after alice's timer: alice
E

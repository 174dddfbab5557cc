#!/usr/bin/env bash
# matrix-js-sdk forgets how far a user has read when a receipt names an event that it has not loaded.
# Version: npm matrix-js-sdk 43.0.0, fed with receipts as /sync brings them, no server.
# Expected: a receipt for an event that is not in the timeline (filtered out, not fetched yet) is kept until its place is
# known; what was known before stays known, and a position never goes back.
# Seen: bob has read $5. A receipt for an unknown event replaces it: getEventReadUpTo answers null, so his mark
# vanishes from the page, while hasUserReadEvent still says that he has read $5. A later receipt for $4 is then taken,
# though the same receipt is ignored without the unknown one between: bob goes back from $5 to $4.
# Output seen: read $5, then $4: $5
#              read $5, then an unknown event: null, has read $5 true
#              read $5, then an unknown event, then $4: $4
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts matrix-js-sdk@43.0.0 >/dev/null 2>&1
cat >main.mjs <<'JS'
import { createClient, MatrixEvent, Room } from 'matrix-js-sdk';

const id = '!chat:example.org', alice = '@alice:example.org', bob = '@bob:example.org';
async function room(...receipts) {
  const room = new Room(id, createClient({ baseUrl: 'http://127.0.0.1:1', userId: alice }), alice);
  const events = [1, 2, 3, 4, 5].map((i) => new MatrixEvent({
    event_id: '$' + i, room_id: id, sender: alice, type: 'm.room.message', origin_server_ts: 1000 * i,
    content: { msgtype: 'm.text', body: 'hello' },
  }));
  await room.addLiveEvents(events, { addToState: true });
  receipts.forEach((event, i) => room.addReceipt(new MatrixEvent({
    type: 'm.receipt', room_id: id, content: { [event]: { 'm.read': { [bob]: { ts: 10000 + i } } } },
  })));
  return room;
}
let known = await room('$5', '$4');
console.log('read $5, then $4:', known.getEventReadUpTo(bob));
known = await room('$5', '$elsewhere');
console.log(`read $5, then an unknown event: ${known.getEventReadUpTo(bob)}, has read $5 ${known.hasUserReadEvent(bob, '$5')}`);
known = await room('$5', '$elsewhere', '$4');
console.log('read $5, then an unknown event, then $4:', known.getEventReadUpTo(bob));
process.exit(0);
JS
timeout 60 node main.mjs 2>err | tee out
diff out - <<'E'
read $5, then $4: $5
read $5, then an unknown event: null, has read $5 true
read $5, then an unknown event, then $4: $4
E

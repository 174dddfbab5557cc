#!/usr/bin/env bash
# Yjs keeps one of two readers' marks if both were the first to mark a message.
# Version: npm yjs 13.6.33, two documents in one process.
# Expected: a map of receipts that merges: bob and carol read the same message while both are offline, and afterwards both
# have read it; that is what a CRDT is used for.
# Seen: with receipts.get(message).set(user, 'read') whoever finds no map under the message creates one. The two new maps are
# two values of one key: the replicas agree on one of them, with the other goes all that was in it, and no event or
# conflict tells of it. A flat key per user and message keeps both.
# Output seen: nested: 1 of 2 marks, replicas equal true
#              flat: 2 of 2 marks, replicas equal true
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts yjs@13.6.33 >/dev/null 2>&1
cat >main.mjs <<'JS'
import * as Y from 'yjs';

const marks = {
  nested(receipts, user) {
    if (!receipts.has('m-1')) receipts.set('m-1', new Y.Map());
    receipts.get('m-1').set(user, 'read');
  },
  flat: (receipts, user) => receipts.set(`m-1/${user}`, 'read'),
};
for (const [name, mark] of Object.entries(marks)) {
  const [bob, carol] = ['bob', 'carol'].map((user) => {
    const replica = new Y.Doc();
    mark(replica.getMap('receipts'), user);
    return replica;
  });
  Y.applyUpdate(bob, Y.encodeStateAsUpdate(carol));
  Y.applyUpdate(carol, Y.encodeStateAsUpdate(bob));
  const show = (replica) => JSON.stringify(replica.getMap('receipts'));
  const count = show(bob).split('"read"').length - 1;
  console.log(`${name}: ${count} of 2 marks, replicas equal ${count === show(carol).split('"read"').length - 1}`);
}
JS
timeout 60 node main.mjs | tee out
diff out - <<'E'
nested: 1 of 2 marks, replicas equal true
flat: 2 of 2 marks, replicas equal true
E

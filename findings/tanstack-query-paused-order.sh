#!/usr/bin/env bash
# TanStack Query sends mutations that were paused offline all at once, so messages arrive in any order.
# Version: npm @tanstack/query-core 5.108.0, onlineManager in place of a browser's network.
# Expected: three messages that were written offline are sent one after the other when the network is back, in the order in
# which they were written, as an outbox does.
# Seen: all three requests start in the same moment; the one that the server is quickest with is stored first. Here the
# last message is the first in the conversation, and "read up to m-2" can be stored after "read up to m-3".
# With scope: { id: 'conversation-1' } in the mutation's options they are sent one by one.
# Output seen: default: stored m-3, m-2, m-1
#              with a scope: stored m-1, m-2, m-3
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts @tanstack/query-core@5.108.0 >/dev/null 2>&1
cat >main.mjs <<'JS'
import { MutationObserver, QueryClient, onlineManager } from '@tanstack/query-core';

const wait = (ms) => new Promise((done) => setTimeout(done, ms));
for (const [name, options] of [['default', {}], ['with a scope', { scope: { id: 'conversation-1' } }]]) {
  const client = new QueryClient();
  client.mount();
  const stored = [];
  onlineManager.setOnline(false);
  for (const [message, ms] of [['m-1', 600], ['m-2', 400], ['m-3', 200]])
    new MutationObserver(client, {
      ...options,
      mutationFn: async () => {
        await wait(ms); // the server's time
        stored.push(message);
      },
    }).mutate();
  await wait(100);
  onlineManager.setOnline(true);
  for (let i = 0; stored.length < 3 && i < 100; i++) await wait(50);
  console.log(`${name}: stored ${stored.join(', ')}`);
  client.unmount();
}
process.exit(0);
JS
timeout 60 node main.mjs | tee out
diff out - <<'E'
default: stored m-3, m-2, m-1
with a scope: stored m-1, m-2, m-3
E

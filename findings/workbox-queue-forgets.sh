#!/usr/bin/env bash
# workbox-background-sync takes a request for sent when the server has answered 503, and forgets it.
# Versions: npm workbox-background-sync 7.4.1 and workbox-core 7.4.1 (their builds for importScripts), fake-indexeddb 6.2.8
# for IndexedDB; Node stands in for a service worker.
# Expected: a queue for what could not be sent keeps a request until the server has accepted it: a 503 with Retry-After, or
# a 401 after the session's end, is no acceptance.
# Seen: replayRequests, and with it each background sync, looks only at whether fetch rejects. The read marks of an hour in
# the underground are sent to a server that is just restarting behind its proxy, all of them are answered 503, and
# replayRequests resolves with an empty queue. A queue with an onSync of one's own that checks the status keeps them.
# Output seen: 503: replay resolved, requests sent 3, left in the queue 0
#              no network: replay rejected, requests sent 0, left in the queue 3
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts workbox-background-sync@7.4.1 workbox-core@7.4.1 \
  fake-indexeddb@6.2.8 >/dev/null 2>&1
cat >main.mjs <<'JS'
import 'fake-indexeddb/auto';
import fs from 'node:fs';
import http from 'node:http';
import vm from 'node:vm';

globalThis.self = globalThis;
globalThis.registration = { scope: 'http://127.0.0.1/' };
for (const name of ['core', 'background-sync'])
  vm.runInThisContext(fs.readFileSync(`node_modules/workbox-${name}/build/workbox-${name}.prod.js`, 'utf8'));
const { Queue } = globalThis.workbox.backgroundSync;

let sent = 0;
const web = http.createServer((request, response) => {
  sent++;
  response.writeHead(503, { 'Retry-After': '5' }).end();
});
await new Promise((done) => web.listen(0, '127.0.0.1', done));
const { port } = web.address();
const attempt = async (name) => {
  sent = 0;
  const queue = new Queue(name, { onSync() {} }); // replayed by hand below, as a sync event does
  for (const message of ['m-1', 'm-2', 'm-3'])
    await queue.pushRequest({ request: new Request(`http://127.0.0.1:${port}/messages/${message}/read`, { method: 'POST' }) });
  const outcome = await queue.replayRequests().then(() => 'resolved', () => 'rejected');
  console.log(`${name}: replay ${outcome}, requests sent ${sent}, left in the queue ${await queue.size()}`);
};
await attempt('503');
web.closeAllConnections();
await new Promise((done) => web.close(done));
await attempt('no network');
process.exit(0);
JS
timeout 60 node main.mjs | tee out
diff out - <<'E'
503: replay resolved, requests sent 3, left in the queue 0
no network: replay rejected, requests sent 0, left in the queue 3
E

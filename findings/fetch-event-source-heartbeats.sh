#!/usr/bin/env bash
# @microsoft/fetch-event-source delivers heartbeats as messages, so a page that parses JSON reconnects at each of them.
# Versions: npm @microsoft/fetch-event-source 2.0.1; beside it npm eventsource 5.1.5. Node stands in for the browser.
# Expected: a comment line (": ping"), what servers send so that proxies keep the connection, is no event, nor is a block
# without data: EventSource dispatches neither.
# Seen: onmessage is called for each heartbeat, and for a lone "retry:", with data "". JSON.parse of that throws, the
# library takes it for a failed connection, calls onerror and connects again: a new connection for each heartbeat,
# with what the server replays, and whatever was on its way in between is missed if it replays nothing.
# Output seen: fetch-event-source: heartbeats as messages true, connections more than 3 true
#              eventsource: heartbeats as messages false, connections 1
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts @microsoft/fetch-event-source@2.0.1 eventsource@5.1.5 >/dev/null 2>&1
cat >main.mjs <<'JS'
import http from 'node:http';
import { EventSource } from 'eventsource';

globalThis.window = globalThis;
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
const { fetchEventSource } = await import('@microsoft/fetch-event-source');

let connections = 0;
const web = http.createServer((request, response) => {
  connections++;
  response.writeHead(200, { 'Content-Type': 'text/event-stream' });
  response.write('data: {"status":"read"}\n\n');
  const heart = setInterval(() => response.write(': ping\n\n'), 200);
  response.on('close', () => clearInterval(heart));
});
await new Promise((done) => web.listen(0, '127.0.0.1', done));
const url = `http://127.0.0.1:${web.address().port}/`;
const wait = () => new Promise((done) => setTimeout(done, 6000));

let empty = false;
const receive = (data) => {
  if (data === '') empty = true;
  JSON.parse(data);
};
const stop = new AbortController();
fetchEventSource(url, { signal: stop.signal, onmessage: (m) => receive(m.data), onerror: () => 100 });
await wait();
stop.abort();
console.log(`fetch-event-source: heartbeats as messages ${empty}, connections more than 3 ${connections > 3}`);

[empty, connections] = [false, 0];
const source = new EventSource(url);
source.onmessage = (m) => receive(m.data);
await wait();
source.close();
console.log(`eventsource: heartbeats as messages ${empty}, connections ${connections}`);
process.exit(0);
JS
timeout 60 node main.mjs | tee out
diff out - <<'E'
fetch-event-source: heartbeats as messages true, connections more than 3 true
eventsource: heartbeats as messages false, connections 1
E

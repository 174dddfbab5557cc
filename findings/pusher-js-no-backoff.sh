#!/usr/bin/env bash
# pusher-js reconnects every second for ever to a server that accepts and closes, all pages in step, and never says so.
# Version: npm pusher-js 8.6.0, ws 8.18.0 as a server on loopback that accepts a connection and closes it at once.
# Expected: an exponential backoff with jitter, as the docs of most clients promise, and the documented state
# "unavailable", on which pages show "offline" and fall back to asking the server.
# Seen: a server behind a load balancer that is up while its backend is down gets a connection from each page each
# 1.0 s, with no growth and no jitter, for as long as it lasts: 10,000 open pages are 10,000 handshakes a second, in step,
# until somebody closes them. The state stays "connecting" and never becomes "unavailable".
# Output seen: in 12 s connections more than 9 true, longest gap under 1.5 s true, state connecting, unavailable false
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts pusher-js@8.6.0 ws@8.18.0 >/dev/null 2>&1
cat >main.js <<'JS'
const { WebSocketServer } = require('ws');
const Pusher = require('pusher-js');

const times = [];
const server = new WebSocketServer({ port: 0, host: '127.0.0.1' }, () => {
  const pusher = new Pusher('key', {
    cluster: 'local', wsHost: '127.0.0.1', wsPort: server.address().port, forceTLS: false, enabledTransports: ['ws'],
  });
  const states = new Set();
  pusher.connection.bind('state_change', ({ current }) => states.add(current));
  setTimeout(() => {
    const gaps = times.slice(1).map((time, i) => time - times[i]);
    console.error(gaps.join(' '), [...states].join(' '));
    console.log(`in 12 s connections more than 9 ${times.length > 9}, longest gap under 1.5 s ${Math.max(...gaps) < 1500},`,
      `state ${pusher.connection.state}, unavailable ${states.has('unavailable')}`);
    process.exit(0);
  }, 12000);
});
server.on('connection', (socket) => {
  times.push(Date.now());
  socket.close();
});
JS
timeout 60 node main.js | tee out
diff out - <<'E'
in 12 s connections more than 9 true, longest gap under 1.5 s true, state connecting, unavailable false
E

#!/usr/bin/env bash
# socket.io: asking for an acknowledgement excludes an event from recovery, and with nobody there it reports success.
# Versions: npm socket.io 4.8.1 and socket.io-client 4.8.1 on loopback, connectionStateRecovery on.
# Expected: an event that must arrive is sent with an acknowledgement; if the user is away for a moment the callback gets
# an error, or the event is among those that are replayed after the reconnect, as plain events are.
# Seen: while bob's socket is gone, io.to('bob').timeout(..).emit(event, callback) calls back with error null and no
# answers: all zero sockets have acknowledged. After the reconnect (recovered true) the plain event sent beside it
# is replayed, the one with the acknowledgement is not: recovery stores only packets without one.
# A server that marks a message delivered when the error is null so marks it, and the message is gone.
# Output seen: acknowledged: error null, answers 0
#              recovered true, received: plain
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts socket.io@4.8.1 socket.io-client@4.8.1 >/dev/null 2>&1
cat >main.js <<'JS'
const http = require('http');
const { Server } = require('socket.io');
const { io: connect } = require('socket.io-client');

const web = http.createServer();
const io = new Server(web, { connectionStateRecovery: {} });
const here = () => new Promise((done) => io.once('connection', (socket) => done(socket.join('bob'))));
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
web.listen(0, '127.0.0.1', async () => {
  let arrived = here();
  const bob = connect(`http://127.0.0.1:${web.address().port}`);
  const received = [];
  bob.on('message', (text, answer) => {
    received.push(text);
    if (typeof answer === 'function') answer('received');
  });
  await arrived;
  io.to('bob').emit('message', 'first'); // a recovery starts after the last event received
  await wait(500);
  received.length = 0;

  arrived = here();
  bob.io.engine.close(); // the network is gone
  await wait(200);
  io.to('bob').emit('message', 'plain');
  await new Promise((done) =>
    io.to('bob').timeout(3000).emit('message', 'with acknowledgement', (error, answers) => {
      console.log(`acknowledged: error ${error}, answers ${answers.length}`);
      done();
    }));
  await arrived;
  await wait(1500);
  console.log(`recovered ${bob.recovered}, received: ${received.join(', ')}`);
  process.exit(0);
});
JS
timeout 60 node main.js | tee out
diff out - <<'E'
acknowledged: error null, answers 0
recovered true, received: plain
E

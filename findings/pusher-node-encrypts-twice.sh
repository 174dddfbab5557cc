#!/usr/bin/env bash
# A repeated triggerBatch of Pusher's Node library sends encrypted events that no client can read.
# Version: npm pusher 5.3.4, with a loopback server in place of Pusher's.
# Expected: a batch that failed with a 503 may be handed to triggerBatch again, as every retry does.
# Seen: triggerBatch writes each event's ciphertext over the caller's own batch[i].data. The second call encrypts that
# ciphertext once more: what arrives decrypts to {"nonce", "ciphertext"} instead of the receipt, the server
# answers 200 and the promise resolves. On channels without encryption data turns from an object into a string.
# Output seen: first try: status 503
#              second try: resolved, a client decrypts an object with keys nonce, ciphertext
#              the caller's own batch now holds a string
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts pusher@5.3.4 >/dev/null 2>&1
cat >main.js <<'JS'
const http = require('http');
const nacl = require('tweetnacl');
const Pusher = require('pusher');

const bodies = [];
const server = http.createServer((request, response) => {
  let body = '';
  request.on('data', (chunk) => (body += chunk));
  request.on('end', () => {
    bodies.push(JSON.parse(body));
    response.writeHead(bodies.length === 1 ? 503 : 200, { 'Content-Type': 'application/json' });
    response.end('{}');
  });
});
server.listen(0, '127.0.0.1', async () => {
  const pusher = new Pusher({
    appId: '1', key: 'key', secret: 'secret', host: '127.0.0.1', port: server.address().port, useTLS: false,
    encryptionMasterKeyBase64: Buffer.alloc(32, 7).toString('base64'),
  });
  const channel = 'private-encrypted-chat';
  const batch = [{ channel, name: 'receipt', data: { message: 'm-1', status: 'read' } }];
  await pusher.triggerBatch(batch).catch((error) => console.log('first try: status', error.status));
  await pusher.triggerBatch(batch);
  const { nonce, ciphertext } = JSON.parse(bodies[1].batch[0].data);
  const plain = nacl.secretbox.open(Buffer.from(ciphertext, 'base64'), Buffer.from(nonce, 'base64'), pusher.channelSharedSecret(channel));
  let seen = JSON.parse(Buffer.from(plain).toString());
  if (typeof seen === 'string') seen = JSON.parse(seen);
  console.log('second try: resolved, a client decrypts an object with keys', Object.keys(seen).join(', '));
  console.log("the caller's own batch now holds a", typeof batch[0].data);
  process.exit(0);
});
JS
timeout 60 node main.js | tee out
diff out - <<'E'
first try: status 503
second try: resolved, a client decrypts an object with keys nonce, ciphertext
the caller's own batch now holds a string
E

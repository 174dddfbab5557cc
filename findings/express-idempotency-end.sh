#!/usr/bin/env bash
# express-idempotency answers 409 "in progress" for ever to the repeat of a request whose handler ended with res.end().
# Versions: npm express-idempotency 1.0.6 with its defaults, express 4.21.2.
# Expected: a repeat with the same Idempotency-Key gets the stored answer, however the handler wrote it; a client that lost
# the answer so learns that its message was sent.
# Seen: the answer is recorded by a hook in res.send alone. After res.status(204).end(), res.write or a stream that is
# piped into the response the key stays "in progress": every repeat is 409, and there is no time limit. A client that
# waits for the end of the "other" request waits for ever, and one that takes a new key sends its message twice.
# Output seen: res.send: 200 200 200, runs 1
#              res.json: 200 200 200, runs 1
#              res.end: 204 409 409, runs 1
#              res.write: 200 409 409, runs 1
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts express-idempotency@1.0.6 express@4.21.2 >/dev/null 2>&1
cat >main.js <<'JS'
const express = require('express');
const { idempotency, getSharedIdempotencyService } = require('express-idempotency');

const app = express();
app.use(express.json());
app.use(idempotency());
const answers = {
  'res.send': (response) => response.send('{"id":"m-1"}'),
  'res.json': (response) => response.json({ id: 'm-1' }),
  'res.end': (response) => response.status(204).end(),
  'res.write': (response) => {
    response.write('{"id":"m-1"}');
    response.end();
  },
};
let runs;
app.post('/:answer', (request, response) => {
  if (getSharedIdempotencyService().isHit(request)) return; // as the package's readme asks
  runs++;
  answers[request.params.answer](response);
});
app.use((error, request, response, next) => response.end()); // the status is the middleware's
const web = app.listen(0, '127.0.0.1', async () => {
  for (const answer of Object.keys(answers)) {
    runs = 0;
    const statuses = [];
    for (let i = 0; i < 3; i++) {
      const response = await fetch(`http://127.0.0.1:${web.address().port}/${answer}`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', 'Idempotency-Key': answer },
        body: '{"text":"hello"}',
      });
      statuses.push(response.status);
    }
    console.log(`${answer}: ${statuses.join(' ')}, runs ${runs}`);
  }
  process.exit(0);
});
JS
timeout 60 node main.js | tee out
diff out - <<'E'
res.send: 200 200 200, runs 1
res.json: 200 200 200, runs 1
res.end: 204 409 409, runs 1
res.write: 200 409 409, runs 1
E

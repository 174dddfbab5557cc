#!/usr/bin/env bash
# redux-offline keeps an action when the server answers 503, and throws it away when the network fails.
# Versions: npm @redux-offline/redux-offline 2.6.0 with its default effect, retry and discard; redux 5.0.1.
# Expected: actions wait in the outbox until the server has them; that is what the library is for. What the server refuses
# for good (400) is rolled back.
# Seen: fetch rejects with a TypeError, which has no status, when a connection breaks or cannot be made; the default discard
# calls everything without a status "not a network error" and rolls the action back after one try. navigator.onLine is
# true in a lift, behind a captive portal and while the server restarts, so a mark made there is undone. So is one that
# was answered with 429 and a Retry-After, and one that was stored, but whose answer is JSON by name and a page by content.
# Output seen: 503: dispatched MARK, left in the outbox 1
#              connection cut: dispatched MARK UNDO, left in the outbox 0
#              429: dispatched MARK UNDO, left in the outbox 0
#              200 that is no JSON: dispatched MARK UNDO, left in the outbox 0
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts @redux-offline/redux-offline@2.6.0 redux@5.0.1 \
  --legacy-peer-deps >/dev/null 2>&1
cat >main.js <<'JS'
const http = require('http');
const { createStore } = require('redux');
const { offline } = require('@redux-offline/redux-offline');
const defaults = require('@redux-offline/redux-offline/lib/defaults').default;

let answer;
const web = http.createServer((request, response) => answer(request, response));
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
web.listen(0, '127.0.0.1', async () => {
  const url = `http://127.0.0.1:${web.address().port}/messages/m-1/read`;
  const attempt = async (name, f) => {
    answer = f;
    const seen = [];
    const reducer = (state = {}, action) => {
      if (/^(MARK|DONE|UNDO)$/.test(action.type)) seen.push(action.type);
      return state;
    };
    const config = { ...defaults, persist: null, detectNetwork: (tell) => tell({ online: true }) };
    const store = createStore(reducer, offline(config));
    const effect = { url, method: 'POST', json: { status: 'read' } };
    store.dispatch({ type: 'MARK', meta: { offline: { effect, commit: { type: 'DONE' }, rollback: { type: 'UNDO' } } } });
    await wait(700);
    console.log(`${name}: dispatched ${seen.join(' ')}, left in the outbox ${store.getState().offline.outbox.length}`);
  };
  await attempt('503', (request, response) => response.writeHead(503).end());
  await attempt('connection cut', (request) => request.socket.destroy());
  await attempt('429', (request, response) => response.writeHead(429, { 'Retry-After': '1' }).end());
  await attempt('200 that is no JSON', (request, response) =>
    response.writeHead(200, { 'Content-Type': 'application/json' }).end('<html>'));
  process.exit(0);
});
JS
timeout 60 node main.js | tee out
diff out - <<'E'
503: dispatched MARK, left in the outbox 1
connection cut: dispatched MARK UNDO, left in the outbox 0
429: dispatched MARK UNDO, left in the outbox 0
200 that is no JSON: dispatched MARK UNDO, left in the outbox 0
E

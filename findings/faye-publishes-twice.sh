#!/usr/bin/env bash
# faye publishes a message twice when the answer to the first try is lost, and its server delivers both.
# Version: npm faye 1.4.3, client and server on loopback with long-polling, a proxy of ten lines between them.
# Expected: the client repeats a request whose connection broke, with the same message id; the server knows the client by
# its session and the message by that id, so the repeat changes nothing.
# Seen: the server has carried out the publish when the connection breaks, the client sends it again a second later, and
# every subscriber gets it twice. publish resolves once. Nothing that reaches a subscriber tells the two apart, so a
# counter of unread messages, or a sound, needs an id of the app's own in the message.
# Output seen: publish resolved, bob received: r-1 r-1
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts faye@1.4.3 >/dev/null 2>&1
cat >main.js <<'JS'
const http = require('http');
const faye = require('faye');

const listen = (server) => new Promise((done) => server.listen(0, '127.0.0.1', () => done(server.address().port)));
(async () => {
  const web = http.createServer();
  new faye.NodeAdapter({ mount: '/faye', timeout: 45 }).attach(web);
  const port = await listen(web);

  let lose = true;
  const proxy = http.createServer(async (request, response) => {
    let body = '';
    for await (const part of request) body += part;
    const { url: path, method, headers } = request;
    http.request({ host: '127.0.0.1', port, path, method, headers }, async (answer) => {
      let text = '';
      for await (const part of answer) text += part;
      if (lose && body.includes('"id":"r-1"')) {
        lose = false;
        return request.socket.destroy(); // carried out, but its answer is lost
      }
      response.writeHead(answer.statusCode, answer.headers).end(text);
    }).end(body);
  });

  const bob = new faye.Client(`http://127.0.0.1:${port}/faye`);
  const received = [];
  await bob.subscribe('/receipts', (message) => received.push(message.id));
  const alice = new faye.Client(`http://127.0.0.1:${await listen(proxy)}/faye`, { retry: 1 });
  alice.disable('websocket');
  alice.disable('eventsource');
  await alice.publish('/receipts', { id: 'r-1' });
  setTimeout(() => {
    console.log(`publish resolved, bob received: ${received.join(' ')}`);
    process.exit(0);
  }, 1000);
})();
JS
timeout 60 node main.js | tee out
diff out - <<'E'
publish resolved, bob received: r-1 r-1
E

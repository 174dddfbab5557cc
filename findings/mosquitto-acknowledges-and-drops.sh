#!/usr/bin/env bash
# mosquitto acknowledges QoS 1 messages for an offline subscriber and drops all but 1,000; a restart drops the rest.
# Versions: mosquitto from Debian (seen with 2.0.11) with only a listener configured; npm mqtt 5.16.0.
# Expected: PUBACK means that the broker has taken the message over, and it is delivered at least once to a subscriber with
# a session of its own (clean: false), who was away for a moment.
# Seen: 1,500 receipts for bob are all acknowledged. When he is back he gets the first 1,000; the newest
# 500 are gone, no client is told, and the log has one line (max_queued_messages, 1,000 by default). If the broker was
# restarted in between he gets nothing and has no session: persistence is off by default.
# Output seen: acknowledged 1500 of 1500 without an error, bob had a session true, received 1000, the last is 1000
#              restarted: acknowledged 10 of 10 without an error, bob had a session false, received 0, the last is none
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export PATH=$PATH:/usr/sbin

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts mqtt@5.16.0 >/dev/null 2>&1
cat >main.mjs <<'JS'
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import mqtt from 'mqtt';

const probe = net.createServer().listen(0, '127.0.0.1');
await once(probe, 'listening');
const { port } = probe.address();
await new Promise((done) => probe.close(done));
fs.writeFileSync('mosquitto.conf', `listener ${port} 127.0.0.1\nallow_anonymous true\nprotocol mqtt\n`);

const wait = (ms) => new Promise((done) => setTimeout(done, ms));
let broker;
const start = async () => {
  broker = spawn('mosquitto', ['-c', 'mosquitto.conf'], { stdio: 'ignore' });
  for (let i = 0; i < 100; i++) {
    const socket = net.connect(port, '127.0.0.1');
    const up = await new Promise((done) => socket.once('connect', () => done(true)).once('error', () => done(false)));
    socket.destroy();
    if (up) return;
    await wait(50);
  }
  throw new Error('mosquitto did not start');
};
const stop = () => new Promise((done) => broker.once('exit', done).kill());
process.on('exit', () => broker?.kill());
const connect = async (clientId, clean, receive) => {
  const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, { clientId, clean, reconnectPeriod: 0 });
  if (receive) client.on('message', (topic, payload) => receive(String(payload)));
  const [connack] = await once(client, 'connect');
  return { client, session: connack.sessionPresent };
};

const away = async (name, count, meanwhile) => {
  let bob = await connect('bob', false);
  await bob.client.subscribeAsync('receipts/bob', { qos: 1 });
  await bob.client.endAsync();
  const alice = await connect('alice', true);
  let acknowledged = 0;
  for (let i = 1; i <= count; i++) {
    await alice.client.publishAsync('receipts/bob', String(i), { qos: 1 }); // resolves with PUBACK
    acknowledged++;
  }
  await alice.client.endAsync();
  await meanwhile?.();
  const received = [];
  bob = await connect('bob', false, (text) => received.push(text));
  await wait(3000);
  await bob.client.endAsync();
  console.log(`${name}acknowledged ${acknowledged} of ${count} without an error, bob had a session ${bob.session}, ` +
    `received ${received.length}, the last is ${received.at(-1) ?? 'none'}`);
};
await start();
await away('', 1500);
await away('restarted: ', 10, async () => {
  await stop();
  await start();
});
process.exit(0);
JS
timeout 90 node main.mjs | tee out
diff out - <<'E'
acknowledged 1500 of 1500 without an error, bob had a session true, received 1000, the last is 1000
restarted: acknowledged 10 of 10 without an error, bob had a session false, received 0, the last is none
E

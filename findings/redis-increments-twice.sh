#!/usr/bin/env bash
# go-redis and ioredis send an INCR again whose answer was lost: one message makes two unread, and the call answers 2.
# Versions: github.com/redis/go-redis/v9 v9.23.0 and npm ioredis 6.0.0; beside them npm redis 6.3.1. A server of 30 lines
# on loopback counts, and breaks the connection once after it has counted.
# Expected: a command that may have been carried out, and that counts, is answered with an error when its answer is lost; the
# caller knows whether it may be repeated.
# Seen: go-redis repeats any command up to 3 times by default (MaxRetries), ioredis whatever was unanswered when the
# connection broke (autoResendUnfulfilledCommands, true by default). Both report success, with a number that is one
# too high; LPUSH and PUBLISH go twice likewise. redis rejects with "Socket closed unexpectedly".
# Output seen: go-redis: answer 2, counted 2
#              ioredis: answer 2, counted 2
#              redis: answer an error, counted 1
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts ioredis@6.0.0 redis@6.3.1 >/dev/null 2>&1
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/redis/go-redis/v9"
)

func main() {
	client := redis.NewClient(&redis.Options{Addr: os.Args[1]})
	n, err := client.Incr(context.Background(), "unread:alice").Result()
	if err != nil {
		fmt.Print("an error")
		return
	}
	fmt.Print(n)
}
GO
cat >main.mjs <<'JS'
import { execFile } from 'node:child_process';
import net from 'node:net';
import { promisify } from 'node:util';
import Redis from 'ioredis';
import { createClient } from 'redis';

let counted, lose;
const answer = (socket, [command]) => {
  if (command.toLowerCase() === 'hello') return socket.write('%1\r\n+proto\r\n:3\r\n');
  if (command.toLowerCase() !== 'incr') return socket.write('+OK\r\n');
  counted++;
  if (!lose) return socket.write(`:${counted}\r\n`);
  lose = false;
  socket.destroy();
};
const server = net.createServer((socket) => {
  let text = '';
  socket.on('error', () => {});
  socket.on('data', (part) => {
    const lines = (text += part).split('\r\n');
    while (lines.length > 1 + 2 * lines[0].slice(1)) {
      const command = lines.splice(0, 1 + 2 * lines[0].slice(1));
      answer(socket, command.filter((line, i) => i && i % 2 === 0));
    }
    text = lines.join('\r\n');
  });
});
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const { port } = server.address();

const attempt = async (name, increment) => {
  [counted, lose] = [0, true];
  const value = await increment().catch(() => 'an error');
  console.log(`${name}: answer ${value}, counted ${counted}`);
};
await attempt('go-redis', async () => (await promisify(execFile)('./probe', [`127.0.0.1:${port}`])).stdout);
await attempt('ioredis', () => {
  const client = new Redis(port, '127.0.0.1', { enableReadyCheck: false }); // the server knows no INFO
  client.on('error', () => {});
  return client.incr('unread:alice');
});
await attempt('redis', async () => {
  const client = createClient({ url: `redis://127.0.0.1:${port}` }).on('error', () => {});
  await client.connect();
  return client.incr('unread:alice');
});
process.exit(0);
JS
go mod init probe 2>/dev/null
timeout 300 go get github.com/redis/go-redis/v9@v9.23.0 2>/dev/null
timeout 300 go build -o probe .
timeout 60 node main.mjs | tee out
diff out - <<'E'
go-redis: answer 2, counted 2
ioredis: answer 2, counted 2
redis: answer an error, counted 1
E

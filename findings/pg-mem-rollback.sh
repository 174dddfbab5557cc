#!/usr/bin/env bash
# pg-mem's ROLLBACK undoes nothing when it is called as node-postgres code calls it.
# Version: npm pg-mem 3.0.14, its createPg adapter.
# Expected: pg-mem stands in for Postgres in tests of code that uses pg; BEGIN ... ROLLBACK of one client undoes that
# client's writes, and other clients never see them.
# Seen: each query() commits by itself. Another client reads the uncommitted row, ROLLBACK answers without an error and the
# row stays, so a test of "the message is not sent when its receipts fail" passes or fails for the wrong reason.
# Output seen: other client before rollback: sent
#              after rollback: sent
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts pg-mem@3.0.14 >/dev/null 2>&1
cat >main.js <<'JS'
const { newDb } = require('pg-mem');

const { Pool } = newDb().adapters.createPg();
(async () => {
  const pool = new Pool();
  const [a, b] = [await pool.connect(), await pool.connect()];
  await a.query('CREATE TABLE message(status text)');
  const status = async (client) => (await client.query('SELECT status FROM message')).rows.map((row) => row.status).join() || 'nothing';
  await a.query('BEGIN');
  await a.query("INSERT INTO message VALUES ('sent')");
  console.log('other client before rollback:', await status(b));
  await a.query('ROLLBACK');
  console.log('after rollback:', await status(a));
})();
JS
timeout 60 node main.js | tee out
diff out - <<'E'
other client before rollback: sent
after rollback: sent
E

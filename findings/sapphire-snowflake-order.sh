#!/usr/bin/env bash
# @sapphire/snowflake makes ids that are smaller than the ones before them, within one millisecond.
# Versions: npm @sapphire/snowflake 3.5.5; beside it snowflake-id 1.1.0 and nodejs-snowflake 2.0.1.
# Expected: snowflakes of one process are ordered: the number within a millisecond starts at 0 in each millisecond, and when
# all 4,096 are used the generator waits for the next one.
# Seen: the number goes on from the last id, whatever the millisecond, and falls from 4,094 to 0 in the middle of one:
# of 200,000 ids made in a row dozens are smaller than the id before. A chat that pages by "id > cursor", or takes the
# highest id for the newest message, leaves the later message out. No id came twice, so a unique index says nothing.
# Output seen: @sapphire/snowflake: out of order true   (48 of 200,000 in one run)
#              snowflake-id: out of order false
#              nodejs-snowflake: out of order false
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts @sapphire/snowflake@3.5.5 snowflake-id@1.1.0 \
  nodejs-snowflake@2.0.1 >/dev/null 2>&1
cat >main.js <<'JS'
const sapphire = new (require('@sapphire/snowflake').Snowflake)(1420070400000n);
const plain = new (require('snowflake-id').default)({ mid: 1 });
const wasm = new (require('nodejs-snowflake').Snowflake)();

for (const [name, make] of [
  ['@sapphire/snowflake', () => sapphire.generate()],
  ['snowflake-id', () => BigInt(plain.generate())],
  ['nodejs-snowflake', () => wasm.getUniqueID()],
]) {
  let last = make(), back = 0;
  for (let i = 0; i < 200000; i++) {
    const id = make();
    if (id < last) back++;
    last = id;
  }
  console.error(name, back, 'steps back');
  console.log(`${name}: out of order ${back > 0}`);
}
JS
timeout 60 node main.js | tee out
diff out - <<'E'
@sapphire/snowflake: out of order true
snowflake-id: out of order false
nodejs-snowflake: out of order false
E

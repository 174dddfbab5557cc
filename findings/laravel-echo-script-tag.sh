#!/usr/bin/env bash
# laravel-echo's build for script tags no longer defines the constructor Echo, but an object that has it as "default".
# Version: npm laravel-echo 2.5.0; the same since 2.1.0. 2.0.2, shown beside it, still defines the constructor.
# Expected: after <script src="…/laravel-echo/dist/echo.iife.js"></script> a page makes "new Echo({…})", as it did for years,
# and as a minor version may not take away.
# Seen: from 2.1.0 on the global Echo is the module object, {Channel, Connector, EventFormatter, default}, so the page fails
# with "Echo is not a constructor" and shows nothing live. new Echo.default({…}) works.
# Output seen: 2.0.2 new Echo: ok
#              2.5.0 new Echo: TypeError: Echo is not a constructor
#              2.5.0 new Echo.default: ok
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts \
	old@npm:laravel-echo@2.0.2 new@npm:laravel-echo@2.5.0 >/dev/null 2>&1
cat >main.js <<'JS'
const fs = require('fs');
const vm = require('vm');
const page = (file) => vm.createContext({ source: fs.readFileSync(`node_modules/${file}/dist/echo.iife.js`, 'utf8') });
const load = (context, make) => {
  vm.runInContext(context.source, context);
  try {
    vm.runInContext(make + "({broadcaster: 'null'})", context);
    return 'ok';
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};
console.log('2.0.2 new Echo:', load(page('old'), 'new Echo'));
console.log('2.5.0 new Echo:', load(page('new'), 'new Echo'));
console.log('2.5.0 new Echo.default:', load(page('new'), 'new Echo.default'));
JS
timeout 60 node main.js | tee out
diff out - <<'E'
2.0.2 new Echo: ok
2.5.0 new Echo: TypeError: Echo is not a constructor
2.5.0 new Echo.default: ok
E

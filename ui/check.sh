#!/bin/sh
# What is checked of the page: types fresh, sources sound, tests green, and the committed build byte for byte what these sources give.
# Needs Node 20.19; with an older one it says what it leaves out: the Python tests still compare the digest of the sources.
set -eu
cd "$(dirname "$0")"
PYTHON=../.venv/bin/python
$PYTHON -m corral.server.interface.web.describe --check openapi.json
if ! node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' 2>/dev/null; then
	echo "check.sh: no Node 20.19 or newer here: types, tests and the rebuild of the page are left out"
	exit 0
fi
[ -d node_modules ] && [ node_modules -nt package-lock.json ] || npm ci --no-audit --no-fund --silent
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
npx openapi-typescript openapi.json -o "$made/schema.d.ts" >/dev/null
cmp -s "$made/schema.d.ts" src/api/schema.d.ts || { echo "cannot use src/api/schema.d.ts: it is stale; make ui-types"; exit 1; }
npx tsc --noEmit
npx vitest run
npx vite build --outDir "$made/dist" --logLevel error
diff -r "$made/dist" ../src/corral/server/interface/web/dist || { echo "cannot use the committed build: it is not of these sources; make ui"; exit 1; }
echo "check.sh: the page is as its sources say"

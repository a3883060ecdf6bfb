#!/bin/sh
# Fail if services/viewer/static is not what services/viewer/web gives. Without Node, or where its packages cannot be
# fetched, nothing is checked, and a line says so.
set -eu
cd "$(dirname "$0")/.."

command -v npm >/dev/null || { echo "viewer: no npm here, so whether the page is fresh is not checked"; exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -R services/viewer/web "$work/web"
cd "$work/web"
if [ ! -d node_modules ] && ! npm ci --no-audit --no-fund >"$work/log" 2>&1; then
    tail -3 "$work/log"
    echo "viewer: its packages cannot be fetched, so whether the page is fresh is not checked"
    exit 0
fi
npm run --silent build >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
diff -r "$work/static" "$OLDPWD/services/viewer/static" >/dev/null || {
    echo "viewer: services/viewer/static is not what services/viewer/web gives; run: make viewer" >&2
    exit 1
}

#!/usr/bin/env bash
# Installs the packages of tests/node/package-lock.json once, without running anything of them, and says where their node_modules is;
# 77 where npm is missing or has nowhere to fetch from.
set -euo pipefail
here=$(cd "$(dirname "$0")/../tests/node" && pwd)
command -v npm >/dev/null || { echo "npm is missing: tools/install-deps.sh test" >&2; exit 77; }
cache=${XDG_CACHE_HOME:-$HOME/.cache}/moonfence
home=$cache/node-$(sha256sum "$here/package-lock.json" | cut -c1-16)
mkdir -p "$cache"
exec 8>"$cache/.node.lock" # two tests may come at once
flock 8
if [ ! -d "$home" ]; then
  work=$(mktemp -d "$cache/node.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  cp "$here/package.json" "$here/package-lock.json" "$work"
  (cd "$work" && npm ci --silent --ignore-scripts --no-audit --no-fund) >"$work/npm.log" 2>&1 ||
    { cat "$work/npm.log" >&2; echo "npm could not fetch what tests/node/package-lock.json names" >&2; exit 77; }
  mv -T "$work" "$home"
fi
echo "$home/node_modules"

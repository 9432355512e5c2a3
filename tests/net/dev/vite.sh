#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Vite of vite/package-lock.json once, without running anything of it, and tries detection with it; 77 where npm
# is missing or has nowhere to fetch from.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
command -v npm >/dev/null || { echo "npm is missing: tools/install-deps.sh darwin"; exit 77; }
cache=${XDG_CACHE_HOME:-$HOME/.cache}/moonfence
home=$cache/vite-$(sha256sum "$here/vite/package-lock.json" | cut -c1-16)
mkdir -p "$cache"
exec 8>"$cache/.vite.lock" # two builds may come at once
flock 8
if [ ! -d "$home" ]; then
  work=$(mktemp -d "$cache/vite.XXXXXX")
  cp "$here/vite/package.json" "$here/vite/package-lock.json" "$work"
  (cd "$work" && npm install --silent --ignore-scripts --no-audit --no-fund) >"$work/npm.log" 2>&1 ||
    { cat "$work/npm.log"; rm -rf "$work"; echo "npm could not fetch Vite"; exit 77; }
  mv -T "$work" "$home"
fi
exec 8>&-
VITE_MODULES=$home/node_modules exec sh "$here/../proxies/run.sh" ../dev/vite_test.py

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: go.sh BUILD SOURCE LIBDIR - installs the library into a fresh prefix, builds examples/go against it without any network, looks
# at it with go vet, runs its tests under the race detector, and the program itself with policies that change under it.
set -euo pipefail
build=$1 source=$2 libdir=$3
command -v go >/dev/null || { echo "go is not installed"; exit 77; }
work=$(mktemp -d)
agent=
trap '[ -z "$agent" ] || kill "$agent" 2>/dev/null || true; chmod -R u+w "$work"; rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/prefix" >/dev/null
sed -i "s|^prefix=.*|prefix=$work/prefix|" "$work/prefix/$libdir/pkgconfig/moonfence.pc"
export PKG_CONFIG_PATH=$work/prefix/$libdir/pkgconfig LD_LIBRARY_PATH=$work/prefix/$libdir
# The compiler's cache stays in the build directory: what is not ours (the race detector's library) is compiled once.
export GOCACHE=$build/go-cache GOPATH=$work/gopath GOPROXY=off GOFLAGS=-mod=mod GOTOOLCHAIN=local
cp -r "$source/examples/go" "$work/go"
cd "$work/go"
[ -z "$(gofmt -l .)" ] || { gofmt -d .; exit 1; }
go vet ./...
go test -race -count=1 ./...
go build -o "$work/agent" .

cat >"$work/agent.yaml" <<'END'
version: 1
name: agent
file_rules:
  - { name: all, paths: ["/workspace/**"], operations: ["*"], decision: allow }
END
mkfifo "$work/in"
"$work/agent" "$work/agent.yaml" <"$work/in" >"$work/out" 2>"$work/err" &
agent=$!
exec 3>"$work/in"
wait_for() { # text, file
  for _ in $(seq 6000); do grep -q -- "$1" "$2" && return; sleep 0.02; done
  cat "$work/out" "$work/err"
  echo "no '$1'"
  exit 1
}
echo "file write /workspace/a.go" >&3
wait_for '^allow .*all' "$work/out"
sed -i 's/decision: allow/decision: deny/; s/name: all/name: none/' "$work/agent.yaml"
kill -HUP "$agent"
wait_for '^reloaded' "$work/err"
echo "file write /workspace/a.go" >&3
wait_for '^deny .*none' "$work/out"
echo "nonsense: [" >"$work/agent.yaml"
kill -HUP "$agent"
wait_for 'policies stay as they are: .*agent.yaml' "$work/err"
echo "file write /workspace/b.go" >&3
exec 3>&-
wait "$agent"
agent=
[ "$(tail -1 "$work/out")" = "$(sed -n 2p "$work/out")" ] || { cat "$work/out"; exit 1; }
echo "built, vetted, raced, and reloaded while it ran"

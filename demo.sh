#!/usr/bin/env bash
# Sets up, builds, and shows Moonfence on real traffic: real curl and dig against real servers, in namespaces that stand
# for a host and the internet. Nothing leaves this machine.
#
#   ./demo.sh             the whole show; on a terminal it ends in a fenced shell to try things in
#   ./demo.sh --no-shell  without that shell
set -euo pipefail
cd "$(dirname "$0")"
case ${1:-} in
  -h|--help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac

tools/install-deps.sh build test >&2
command -v ccache >/dev/null && export CMAKE_C_COMPILER_LAUNCHER=ccache
mkdir -p build
if ! { cmake --preset release && cmake --build --preset release -j "$(nproc)" --target moonfence -- --quiet; } >build/demo.log 2>&1; then
  cat build/demo.log >&2
  exit 1
fi
exec python3 examples/demo/demo.py build/release/cli/moonfence "$@"

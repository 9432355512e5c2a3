#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs proxies_test.py, or the script that is named first (seen from this folder), in a network namespace of its own, where every
# port is free; 77 where that is not permitted.
here=$(cd "$(dirname "$0")" && pwd)
script=proxies_test.py
case ${1:-} in *_test.py) script=$1; shift ;; esac
unshare --user --map-root-user --net true 2>/dev/null || { echo "no user namespaces"; exit 77; }
# A prefix of its own for each run: wine's sockets live where its server was started.
if [ -n "${PROXY_WINE:-}" ]; then
  PREFIX=${TMPDIR:-/tmp}/moonfence-proxies-wine.$$
  PROXY_HOST="$PROXY_WINE $PREFIX $PROXY_HOST"
  QUIC_TOOL=${QUIC_TOOL:+"$PROXY_WINE $PREFIX $QUIC_TOOL"}
  export PREFIX PROXY_HOST QUIC_TOOL
fi
exec unshare --user --map-root-user --net --kill-child sh -c '
  ip link set lo up || exit 1
  python3 "$@"
  status=$?
  [ -z "${PREFIX:-}" ] || { $PROXY_WINE --end "$PREFIX"; rm -rf "$PREFIX"; }
  exit $status' - "$here/$script" "$@"

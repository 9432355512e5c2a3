#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Relay figures beside HAProxy's: run.sh [--json] [--rounds N] [--seconds S] [--build DIR] [--haproxy-splice always|auto]
# Makes its own namespaces (as root, or in an unprivileged user namespace) and touches nothing outside them.
here=$(cd "$(dirname "$0")" && pwd)
command -v haproxy >/dev/null || { echo "run.sh: haproxy is not installed" >&2; exit 77; }
if [ "$(id -u)" = 0 ]; then
  exec unshare --net --mount --kill-child -- python3 "$here/run.py" "$@"
fi
exec unshare --user --map-root-user --net --mount --kill-child -- python3 "$here/run.py" "$@"

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs proxies_test.py in a network namespace of its own, where every port is free; 77 where that is not permitted.
here=$(cd "$(dirname "$0")" && pwd)
unshare --user --map-root-user --net true 2>/dev/null || { echo "no user namespaces"; exit 77; }
exec unshare --user --map-root-user --net --kill-child sh -c 'ip link set lo up && exec python3 "$@"' - "$here/proxies_test.py" "$@"

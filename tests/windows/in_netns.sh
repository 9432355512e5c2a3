#!/bin/sh
# in_netns.sh PREFIX PROGRAM [ARGUMENT]... - run a Windows program under wine where packets to the world vanish
#
# A network namespace of its own with loopback and a default route into nowhere; the wine prefix is its own too, since
# wine's server makes all sockets, in the namespace that it was started in. Exits with 77 where namespaces are forbidden.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
if [ -z "${MF_IN_NETNS:-}" ]; then
  flags=-n
  [ "$(id -u)" -eq 0 ] || flags=-rn
  unshare $flags true 2>/dev/null || { echo "no network namespaces here" >&2; exit 77; }
  MF_IN_NETNS=1 exec unshare $flags "$0" "$@"
fi
unset MF_IN_NETNS
ip link set lo up
ip link add nowhere type veth peer name end || exit 77
ip addr add 10.77.0.2/24 dev nowhere
ip link set nowhere up
ip link set end up
ip neigh add 10.77.0.1 lladdr 02:00:00:00:00:01 dev nowhere
ip route add default via 10.77.0.1
exec "$here/tools/wine.sh" "$@"

#!/bin/sh
# in_netns.sh PREFIX PROGRAM [ARGUMENT]... - run a Windows program under wine where packets to the world vanish
#
# A network namespace of its own with loopback and default routes into nowhere; the wine prefix is its own too, since
# wine's server makes all sockets, in the namespace that it was started in. Exits with 77 where namespaces are forbidden.
#
# What is reflected (IPv6) has the addresses of the world at a real listener: so the driver's double can be any of
# 2001:db8::/32 here. A listener's answers (from 2001:db8::5, the machine) come back to it, and all that goes to
# 2001:db8::/48; but what somebody else sends to the proof's address (in 2001:db8:ff00::/40) vanishes.
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
ip -6 addr add fd77::2/64 dev nowhere nodad
ip link set nowhere up
ip link set end up
ip neigh add 10.77.0.1 lladdr 02:00:00:00:00:01 dev nowhere
ip route add default via 10.77.0.1
ip -6 neigh add fd77::1 lladdr 02:00:00:00:00:01 dev nowhere
ip -6 route add default via fd77::1
ip -6 addr add 2001:db8::5/128 dev lo nodad
ip -6 route add local 2001:db8::/48 dev lo
ip -6 route add local 2001:db8:ff00::/40 dev lo table 78
ip -6 rule add from 2001:db8::5 lookup 78
echo 1 >/proc/sys/net/ipv6/ip_nonlocal_bind
exec "$here/tools/wine.sh" "$@"

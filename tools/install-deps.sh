#!/usr/bin/env bash
# Installs the Debian packages that building and testing need; does nothing when they are all there.
#
#   tools/install-deps.sh [build|test|bench|darwin|windows|clients]...     default: build test
set -euo pipefail

build=(gcc clang make cmake ninja-build ccache pkg-config liblua5.4-dev libevent-dev libssl-dev libpcre2-dev libidn2-dev
  libjansson-dev libnftables-dev libseccomp-dev libnghttp2-dev libpsl-dev libfuse3-dev)
test=(libcmocka-dev fuse3 fio rsync sqlite3 vim-tiny acl attr stress-ng ca-certificates libnss3-tools chromium clang-format libclang-rt-14-dev lua5.4 python3 curl wget git openssl bind9-dnsutils netcat-openbsd
  gnutls-bin ngtcp2-client ngtcp2-server nghttp2-client nghttp2-server nginx-light knot knot-dnsutils unbound dnsmasq-base iproute2 iputils-ping nftables util-linux procps man-db socat binutils nodejs php-cli python3-flask python3-django strace tshark tcpdump trash-cli gvfs libglib2.0-bin dbus-daemon)
bench=(fuse3 fio bindfs mergerfs haproxy libnginx-mod-stream bubblewrap strace iperf3 slirp4netns passt dnsdist dnsperf mitmproxy)
darwin=(npm openssl)
# Only to record their ClientHellos anew (tests/data/hello/record.py): TLS libraries and browsers of every kind.
clients=(openssl curl git gnutls-bin wget python3 nodejs chromium firefox-esr busybox golang-go default-jdk-headless erlang-ssl botan
  gcc libmbedtls-dev libwolfssl-dev)
# The Windows program: its compiler, what its libraries' sources are unpacked and configured with, wine for its tests.
windows=(gcc-mingw-w64-x86-64-posix binutils-mingw-w64-x86-64 mingw-w64-x86-64-dev dpkg-dev xz-utils make cmake perl
  pkg-config wine64 zip unzip)

wanted=()
for group in "${@:-build}"; do
  case $group in
    build) wanted+=("${build[@]}") ;;
    test) wanted+=("${test[@]}") ;;
    bench) wanted+=("${bench[@]}") ;;
    darwin) wanted+=("${darwin[@]}") ;;
    windows) wanted+=("${windows[@]}") ;;
    clients) wanted+=("${clients[@]}") ;;
    *) echo "usage: $0 [build|test|bench|darwin|windows|clients]..." >&2; exit 2 ;;
  esac
done

missing=()
for package in "${wanted[@]}"; do
  # A tool that is there by another way (Node from its own package, say) need not come from Debian.
  [ "$package" = nodejs ] && command -v node >/dev/null && continue
  [ "$package" = npm ] && command -v npm >/dev/null && continue
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "$0: run as root, or install: ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
echo "installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
# Servers that come along (nginx, knot) must not be started: the tests start their own, in namespaces.
policy=/usr/sbin/policy-rc.d
made=
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
  "${as_root[@]}" chmod 755 $policy
  made=1
fi
status=0
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/tmp/moonfence-apt.$$ 2>&1 || status=$?
[ -z "$made" ] || "${as_root[@]}" rm -f $policy
[ $status -eq 0 ] || { tail -20 /tmp/moonfence-apt.$$ >&2; }
rm -f /tmp/moonfence-apt.$$
exit $status

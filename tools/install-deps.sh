#!/usr/bin/env bash
# Installs the Debian packages that building and testing need; does nothing when they are all there.
#
#   tools/install-deps.sh [build|test|bench|darwin|package|windows|clients|guest]...     default: build test
set -euo pipefail

build=(gcc clang make cmake ninja-build ccache pkg-config liblua5.4-dev libevent-dev libssl-dev libpcre2-dev libidn2-dev
  libjansson-dev libyaml-dev libnftables-dev libnetfilter-conntrack-dev libseccomp-dev libnghttp2-dev libcurl4-openssl-dev libpsl-dev libedit-dev libfuse3-dev zlib1g-dev liblwip-dev libusrsctp-dev)
test=(libcmocka-dev minisign fuse3 e2fsprogs xfsprogs btrfs-progs fio rsync sqlite3 vim-tiny nano acl attr stress-ng ca-certificates libnss3-tools chromium clang-format lcov libclang-rt-14-dev lua5.4 python3 python3-jsonschema curl wget git openssl bind9-dnsutils netcat-openbsd
  gnutls-bin ngtcp2-client ngtcp2-server nghttp2-client nghttp2-server nginx-light knot knot-dnsutils unbound dnsmasq-base iproute2 iputils-ping nftables util-linux procps man-db socat binutils nodejs php-cli python3-flask python3-django strace tshark tcpdump docker-registry trash-cli gvfs libglib2.0-bin dbus-daemon logrotate abigail-tools busybox-static)
bench=(fuse3 fio git npm bindfs mergerfs haproxy libnginx-mod-stream bubblewrap strace iperf3 slirp4netns passt dnsdist dnsperf mitmproxy g++ libspdlog-dev websockify wrk)
darwin=(npm openssl)
# The example in Go, and the Debian package: built, looked at, installed into a directory of its own.
package=(golang-go debhelper lintian fakeroot systemd)
# Only to record their ClientHellos anew (tests/data/hello/record.py): TLS libraries and browsers of every kind.
clients=(openssl curl git gnutls-bin wget python3 nodejs chromium firefox-esr busybox-static golang-go default-jdk-headless erlang-ssl botan
  gcc libmbedtls-dev libwolfssl-dev)
# The Windows program: its compiler, what its libraries' sources are unpacked and configured with, wine for its tests.
windows=(gcc-mingw-w64-x86-64-posix binutils-mingw-w64-x86-64 mingw-w64-x86-64-dev dpkg-dev xz-utils make cmake perl
  pkg-config wine64 zip unzip)
# Guests on our network cards (tests/guest): QEMU, what their initramfs is made of; and a kernel, unpacked only.
guest=(qemu-system-x86 qemu-system-data seabios ipxe ipxe-qemu u-boot-qemu busybox-static cpio curl wget ndisc6 ethtool)
guest_kernel=/usr/local/share/moonfence-guest

wanted=()
with_kernel=
for group in "${@:-build}"; do
  case $group in
    build) wanted+=("${build[@]}") ;;
    test) wanted+=("${test[@]}") ;;
    bench) wanted+=("${bench[@]}") ;;
    darwin) wanted+=("${darwin[@]}") ;;
    package) wanted+=("${package[@]}") ;;
    windows) wanted+=("${windows[@]}") ;;
    clients) wanted+=("${clients[@]}") ;;
    guest) wanted+=("${guest[@]}"); with_kernel=1 ;;
    *) echo "usage: $0 [build|test|bench|darwin|package|windows|clients|guest]..." >&2; exit 2 ;;
  esac
done

missing=()
for name in "${wanted[@]}"; do
  # A tool that is there by another way (Node from its own package, say) need not come from Debian.
  [ "$name" = nodejs ] && command -v node >/dev/null && continue
  [ "$name" = npm ] && command -v npm >/dev/null && continue
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
done
[ -n "$with_kernel" ] && [ -d "$guest_kernel/boot" ] && with_kernel=
[ ${#missing[@]} -eq 0 ] && [ -z "$with_kernel" ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "$0: run as root, or install: ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi

# The kernel of Debian's machines, with its modules: unpacked, never installed.
unpack_kernel() {
  local temp package
  temp=$(mktemp -d)
  package=$(apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' | head -1)
  (cd "$temp" && apt-get download -qq "$package" && dpkg-deb -x ./*.deb root) || return 1
  "${as_root[@]}" mkdir -p "$guest_kernel"
  "${as_root[@]}" cp -r "$temp/root/lib" "$temp/root/boot" "$guest_kernel/"
  rm -rf "$temp"
}
if [ ${#missing[@]} -eq 0 ]; then
  unpack_kernel
  exit
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
[ $status -ne 0 ] || [ -z "$with_kernel" ] || unpack_kernel || status=1
exit $status

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: systemd.sh SOURCE [DEBS] - the packages under a real systemd, which is process 1 of namespaces of its own (processes, mounts, network,
# cgroups, UTS, IPC) with a copy-on-write view of this root: units, sd_notify, watchdog, reload, upgrade under a session, logrotate, removal.
# DEBS (default: build/deb, which package.deb has built).
set -euo pipefail
source=$1 debs=${2:-$1/build/deb}
[ "$(id -u)" -eq 0 ] || { echo "only root can have a root of its own"; exit 77; }
[ -x /usr/lib/systemd/systemd ] || { echo "systemd is not installed (tools/install-deps.sh package)"; exit 77; }
ls "$debs"/moonfence_*.deb >/dev/null 2>&1 || { echo "no packages in $debs: tools/build-deb.sh"; exit 77; }
work=$(mktemp -d)
cgroups='' group=''
clean() {
  # systemd's groups are below ours; it has ended, so they are empty
  [ -z "$group" ] || find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null || true
  [ -z "$cgroups" ] || umount "$cgroups" 2>/dev/null || true
  rm -rf "$work"
}
trap clean EXIT
mkdir "$work/debs" "$work/disk" "$work/cgroups"
cp "$debs"/moonfence_*.deb "$debs"/libmoonfence0_*.deb "$work/debs"
cp "$source/tests/package/systemd-inside.sh" "$work"
# A group of its own in the unified hierarchy, wherever that is mounted here: what systemd sees as the root of all groups.
mount -t cgroup2 cgroup2 "$work/cgroups" 2>/dev/null || { echo "no cgroup2 can be mounted here"; exit 77; }
cgroups=$work/cgroups group=$work/cgroups/moonfence-test-$$
mkdir "$group"
status=0 # 77: it cannot be tried here. Else systemd's own, which says nothing: it is killed with its namespace
bash -c 'echo $$ >"$1/cgroup.procs" && exec "${@:2}"' - "$group" \
  unshare --mount --pid --cgroup --net --uts --ipc --fork --kill-child --propagation private bash -euo pipefail -c '
  work=$1
  mount -t tmpfs none "$work/disk"
  mkdir "$work/disk/upper" "$work/disk/work" "$work/disk/root"
  mount -t overlay overlay -o "lowerdir=/,upperdir=$work/disk/upper,workdir=$work/disk/work" "$work/disk/root" || { echo "no overlay of / can be mounted here"; exit 77; }
  root=$work/disk/root
  mount -t tmpfs -o mode=755 none "$root/dev"
  for name in null zero full random urandom tty net/tun fuse; do
    [ -e "/dev/$name" ] || continue
    mkdir -p "$(dirname "$root/dev/$name")"
    : >"$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
  done
  mkdir "$root/dev/shm" "$root/dev/pts"
  ln -s /proc/self/fd "$root/dev/fd"
  ln -s pts/ptmx "$root/dev/ptmx" # PrivateDevices= looks for it
  mount -t proc proc "$root/proc"
  mount -t sysfs sysfs "$root/sys"
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
  mount -t tmpfs -o mode=755 none "$root/run"
  mount -t tmpfs -o mode=1777 none "$root/tmp"
  mkdir "$root/in" "$root/out" "$root/tmp/old" # not in /tmp, which systemd-tmpfiles empties
  mount --bind "$work" "$root/out"
  cp -r "$work/debs" "$work/systemd-inside.sh" "$root/in"
  : >"$work/console"
  : >"$root/dev/console"
  mount --bind "$work/console" "$root/dev/console"
  # What a program that was installed otherwise has left here; and of this system only what the test wants is started.
  rm -rf "$root"/var/lib/moonfence "$root"/var/log/moonfence "$root"/etc/moonfence "$root"/etc/systemd/system/*.wants
  rm -f "$root/usr/local/bin/moonfence" "$root/etc/machine-id" "$root/usr/sbin/policy-rc.d" 
  echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
  cat >"$root/etc/systemd/system/test.service" <<END
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStartSec=infinity
Environment=HOME=/root
ExecStart=/bin/sh -c "bash -euo pipefail /in/systemd-inside.sh >/out/log 2>&1; echo \$\$? >/out/status"
ExecStartPost=/bin/kill -s RTMIN+14 1
END
  cd "$root"
  pivot_root . tmp/old
  cd /
  umount -l /tmp/old
  ip link set lo up
  # Halting a container is leaving it: who is left is killed with the namespace.
  exec env -i container=moonfence-test PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C /usr/lib/systemd/systemd --system --unit=test.service \
    --show-status=0 --log-target=console --log-level=${MF_SYSTEMD_LOG:-notice} --default-standard-output=null
' - "$work" || status=$?
[ "$status" -ne 77 ] || exit 77
cat "$work/log" 2>/dev/null || { echo "systemd did not come so far as to run anything"; exit 1; }
exit "$(cat "$work/status" 2>/dev/null || echo 1)"

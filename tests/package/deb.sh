#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: deb.sh SOURCE [DEBS] - builds the packages (or takes those in DEBS), and has dpkg install, upgrade, remove and purge them in a
# mount namespace whose root is a copy-on-write view of this one: what is installed here is there, and nothing of it remains.
set -euo pipefail
source=$1 debs=${2:-}
[ "$(id -u)" -eq 0 ] || { echo "only root can have a root of its own"; exit 77; }
command -v dh >/dev/null || { echo "debhelper is not installed (tools/install-deps.sh package)"; exit 77; }
if [ -z "$debs" ]; then
  "$source/tools/build-deb.sh"
  debs=$source/build/deb
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/debs" "$work/disk"
cp "$debs"/moonfence_*.deb "$debs"/libmoonfence0_*.deb "$debs"/libmoonfence-dev_*.deb "$work/debs"
cp "$source/tests/package/inside.sh" "$source/examples/embed.c" "$work"
cp -r "$source/examples/policy" "$work/policy"
# Everything that is mounted below goes with the namespace; processes with the one for PIDs.
unshare --mount --pid --fork --kill-child --propagation private bash -euo pipefail -c '
  work=$1
  mount -t tmpfs none "$work/disk"
  mkdir "$work/disk/upper" "$work/disk/work" "$work/disk/root"
  mount -t overlay overlay -o "lowerdir=/,upperdir=$work/disk/upper,workdir=$work/disk/work" "$work/disk/root" || { echo "no overlay of / can be mounted here"; exit 77; }
  root=$work/disk/root
  for dir in dev sys; do mount --rbind "/$dir" "$root/$dir"; done
  mount -t proc proc "$root/proc"
  mount -t tmpfs none "$root/run"
  mount -t tmpfs none "$root/tmp"
  chmod 1777 "$root/tmp"
  mkdir "$root/tmp/in" "$root/tmp/old" "$root/tmp/upper"
  mount --bind "$work/disk/upper" "$root/tmp/upper"
  cp -r "$work/debs" "$work/inside.sh" "$work/embed.c" "$work/policy" "$root/tmp/in"
  # Not chroot(): sessions make user namespaces, which nobody may in a chroot.
  cd "$root"
  pivot_root . tmp/old
  cd /
  umount -l /tmp/old
  exec bash -euo pipefail /tmp/in/inside.sh
' - "$work"

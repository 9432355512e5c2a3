# SPDX-License-Identifier: Apache-2.0
"""A guest: a stock Debian kernel in QEMU, and an initramfs of busybox, a few real programs and the drivers that are wanted.

What it does is a shell script; what it finds it says on its console, as lines "SAYS KEY VALUE". What a machine lacks for
it (tools/install-deps.sh guest) is a reason to skip."""
import os
import re
import shutil
import subprocess
import unittest

KERNELS = os.environ.get("MF_GUEST_KERNEL", "/usr/local/share/moonfence-guest")
QEMU = "qemu-system-x86_64"
MEMORY = "384"

# In the order in which they are loaded.
DRIVERS = {
    "e1000": ["e1000"],
    "virtio": ["virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "failover",
               "net_failover", "virtio_net"],
    "vlan": ["llc", "stp", "mrp", "garp", "8021q"],
}
PROGRAMS = ["/usr/bin/curl", "/usr/bin/wget", "/bin/rdisc6", "/sbin/ethtool"]

PROLOGUE = r"""#!/bin/sh
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin
mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev; mount -t tmpfs t /tmp
for a in $(cat /proc/cmdline); do case $a in T_*) eval "$a";; esac; done
say() { echo; echo "SAYS $*"; }
load() { for m in "$@"; do with=; [ $m != virtio_pci ] || with=$virtio_pci_with; insmod /m/$m.ko $with || say failed insmod-$m; done; }
unload() { for m in "$@"; do rmmod $m || say failed rmmod-$m; done; }
lease() { udhcpc -i eth0 -n -q -t 20 -T 3 -O mtu -s /lease >/dev/null && say "$1" "$(cat /tmp/lease)"; }
slaac() { # until an address of the advertised prefix may be used
  i=0
  while [ $i -lt 600 ]; do
    ip -6 addr show dev eth0 scope global | grep inet6 | grep -qv tentative && break
    i=$((i + 1)); usleep 50000
  done
}
get() { /usr/bin/curl -sS --max-time 200 "$@" 2>&1; }
hash_of() { get "$@" | sha256sum | cut -c1-64; }
ip link set lo up
"""
EPILOGUE = r"""
dmesg | grep -E "Tx Unit Hang|Reset adapter|BUG|WARNING|Call Trace|hw csum failure|NETDEV WATCHDOG" | while read -r l; do say kernel "$l"; done
say end
poweroff -f
"""
LEASE = r"""#!/bin/sh
[ "$1" = bound ] || exit 0
ip -4 addr flush dev $interface
ip addr add $ip/$mask dev $interface
[ -z "$mtu" ] || ip link set $interface mtu $mtu
ip route add default via $router
: > /etc/resolv.conf
for s in $dns; do echo nameserver $s >> /etc/resolv.conf; done
echo "ip=$ip router=$router dns=$dns mtu=$mtu" > /tmp/lease
"""


def need():
    """Raise SkipTest where no guest can run at all."""
    for program in (QEMU, "cpio", *PROGRAMS):
        if not shutil.which(program):
            raise unittest.SkipTest(f"no {program} (tools/install-deps.sh guest)")
    if not os.path.exists("/bin/busybox") or not modules():
        raise unittest.SkipTest(f"no busybox, or no kernel in {KERNELS} (tools/install-deps.sh guest)")


def need_device(name):
    if f'name "{name}"' not in subprocess.run([QEMU, "-device", "help"], capture_output=True, text=True).stdout:
        raise unittest.SkipTest(f"this QEMU has no device {name}")


def need_network(kind):
    if kind not in subprocess.run([QEMU, "-netdev", "help"], capture_output=True, text=True).stdout.split():
        raise unittest.SkipTest(f"this QEMU has no -netdev {kind}")


def kernel():
    boot = os.path.join(KERNELS, "boot")
    return os.path.join(boot, next(name for name in os.listdir(boot) if name.startswith("vmlinuz")))


_modules = {}


def modules():
    """Name to path of all modules of the kernel."""
    if not _modules:
        for dirpath, _, names in os.walk(KERNELS):
            _modules.update({name[:-3]: os.path.join(dirpath, name) for name in names if name.endswith(".ko")})
    return _modules


def libraries(program):
    out = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return re.findall(r"(/\S+) \(0x", out)


def make_initramfs(dirname, name, script, drivers, programs=PROGRAMS):
    """Return: the path of an initramfs whose init is @script between the prologue and the epilogue."""
    root = os.path.join(dirname, f"{name}.root")
    for sub in ("bin", "usr/bin", "proc", "sys", "dev", "tmp", "m", "etc"):
        os.makedirs(os.path.join(root, sub))
    shutil.copy("/bin/busybox", os.path.join(root, "bin/busybox"))
    os.symlink("busybox", os.path.join(root, "bin/sh"))
    for program in programs:
        for path in (program, *libraries(program)):
            target = os.path.join(root, path[1:])
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy(path, target)
    for driver in drivers:
        for module in DRIVERS[driver]:
            shutil.copy(modules()[module], os.path.join(root, "m"))
    for path, text in (("init", PROLOGUE + script + EPILOGUE), ("lease", LEASE)):
        with open(os.path.join(root, path), "w") as f:
            f.write(text)
        os.chmod(os.path.join(root, path), 0o755)
    out = os.path.join(dirname, f"{name}.cpio")
    names = subprocess.run(["find", "."], cwd=root, capture_output=True, check=True).stdout
    with open(out, "wb") as f:
        subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=names, stdout=f, check=True)
    shutil.rmtree(root)
    return out


def machine(*more):
    """QEMU's command, without a boot medium or a network; memory can be shared with a card's host."""
    return [QEMU, "-accel", "tcg", "-cpu", "max", "-m", MEMORY, "-machine", "pc,memory-backend=mem", "-object",
            f"memory-backend-memfd,id=mem,size={MEMORY}M,share=on", "-display", "none", "-serial", "stdio", "-monitor", "none",
            "-no-reboot", "-nic", "none", *more]


def linux(initramfs, **variables):
    words = " ".join(f"T_{key}={value}" for key, value in variables.items())
    return ["-kernel", kernel(), "-initrd", initramfs, "-append", f"console=ttyS0 panic=-1 quiet mitigations=off {words}"]


def said(out):
    """KEY to VALUE of what a guest said; a key that came twice is a list."""
    ret = {}
    for line in out.splitlines():
        m = re.match(r"SAYS (\S+) ?(.*?)\s*$", line)
        if m:
            ret.setdefault(m[1], []).append(m[2])
    return {key: values[0] if len(values) == 1 else values for key, values in ret.items()}


def counts(err):
    """What moonfence nic-host --counts said."""
    return {m[1]: int(m[2]) for m in re.finditer(r"^([a-z_]+) (\d+)$", err, re.M)}

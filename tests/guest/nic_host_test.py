#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""nic_host_test.py MOONFENCE - a stock Debian kernel's e1000.ko drives our 82540EM inside QEMU (moonfence nic-host).

The guest boots a busybox initramfs, gets its address by DHCP from QEMU's user network, pings with sizes up to 8,000 bytes,
downloads a file, lets it be downloaded from itself (segmentation), unloads its driver and loads it again. Frames pass
between our card and that network by a pair of datagram sockets. Skipped where something of tools/install-deps.sh guest is
missing.
"""
import hashlib
import http.server
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request

KERNELS = os.environ.get("MF_GUEST_KERNEL", "/usr/local/share/moonfence-guest")
SIZE = 16 << 20
SKIP = 77
LIMIT = 600  # seconds until a guest that hangs is ended

INIT = r"""#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc p /proc; $B mount -t sysfs s /sys; $B mount -t devtmpfs d /dev; $B mount -t tmpfs t /tmp
for a in $($B cat /proc/cmdline); do case $a in T_*) eval "$a";; esac; done
up() {
  $B insmod /e1000.ko && $B ip link set eth0 up && $B udhcpc -i eth0 -n -q -t 20 -T 3 -s /lease && echo "SAYS dhcp-$1"
}
$B ip link set lo up
up first
for n in 0 56 1472 1473 8000; do $B ping -c 1 -W 30 -s $n 10.0.2.2 >/tmp/p && echo "SAYS ping-$n"; done
$B wget -q -O /tmp/f $T_URL/f && echo "SAYS got-$($B sha256sum /tmp/f | $B cut -c1-64)"
$B httpd -p 80 -h /tmp
$B wget -q -O /dev/null $T_URL/fetched
$B ip link set eth0 down; $B rmmod e1000 && echo "SAYS unloaded"
up again
$B wget -q -O /dev/null $T_URL/f && echo "SAYS got-again"
$B dmesg | $B grep -E "eth0: .*(PCI|Link)|Tx Unit Hang|Reset adapter|BUG|WARNING"
echo "SAYS end"
$B poweroff -f
"""
LEASE = r"""#!/bin/busybox sh
[ "$1" = bound ] || exit 0
/bin/busybox ip addr flush dev eth0
/bin/busybox ip addr add $ip/24 dev eth0
/bin/busybox ip route add default via $router
"""


def skip(why):
    print("skipped:", why)
    sys.exit(SKIP)


def find_kernel():
    for dirpath, _, names in os.walk(KERNELS):
        if "e1000.ko" in names:
            module = os.path.join(dirpath, "e1000.ko")
            break
    else:
        skip(f"no kernel in {KERNELS} (tools/install-deps.sh guest)")
    boot = os.path.join(KERNELS, "boot")
    return os.path.join(boot, next(name for name in os.listdir(boot) if name.startswith("vmlinuz"))), module


def make_initramfs(dirname, module):
    root = os.path.join(dirname, "root")
    for sub in ("bin", "proc", "sys", "dev", "tmp"):
        os.makedirs(os.path.join(root, sub))
    shutil.copy("/bin/busybox", os.path.join(root, "bin/busybox"))
    os.symlink("busybox", os.path.join(root, "bin/sh"))
    shutil.copy(module, os.path.join(root, "e1000.ko"))
    for name, text in (("init", INIT), ("lease", LEASE)):
        with open(os.path.join(root, name), "w") as f:
            f.write(text)
        os.chmod(os.path.join(root, name), 0o755)
    out = os.path.join(dirname, "init.cpio")
    names = subprocess.run(["find", "."], cwd=root, capture_output=True, check=True).stdout
    with open(out, "wb") as f:
        subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=names, stdout=f, check=True)
    return out


class World:
    """The host's web server: gives the file, and fetches it back from the guest when the guest says so."""

    def __init__(self):
        self.bytes = os.urandom(SIZE)
        self.digest = hashlib.sha256(self.bytes).hexdigest()
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.guest_port = s.getsockname()[1]
        self.back = None
        world = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = world.bytes if self.path == "/f" else world.fetch()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def fetch(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.guest_port}/f", timeout=LIMIT) as answer:
            self.back = hashlib.sha256(answer.read()).hexdigest()
        return b"ok"


def main():
    moonfence = os.path.abspath(sys.argv[1])
    qemu = shutil.which("qemu-system-x86_64")
    if not qemu or not shutil.which("cpio") or not os.path.exists("/bin/busybox"):
        skip("no qemu-system-x86_64, cpio or busybox (tools/install-deps.sh guest)")
    if b"x-pci-proxy-dev" not in subprocess.run([qemu, "-device", "help"], capture_output=True).stdout:
        skip("this QEMU has no x-pci-proxy-dev")
    kernel, module = find_kernel()
    world = World()
    with tempfile.TemporaryDirectory(prefix="mf-guest-") as dirname:
        initramfs = make_initramfs(dirname, module)
        card, net = os.path.join(dirname, "card"), os.path.join(dirname, "net")
        command = [
            moonfence, "nic-host", "--counts", "--verbose", "--frames", f"{card},{net}", "--",
            qemu, "-accel", "tcg", "-cpu", "max", "-m", "256", "-machine", "pc,memory-backend=mem",
            "-object", "memory-backend-memfd,id=mem,size=256M,share=on", "-display", "none", "-serial", "stdio",
            "-monitor", "none", "-no-reboot", "-nic", "none", "-kernel", kernel, "-initrd", initramfs,
            "-append", f"console=ttyS0 panic=-1 quiet T_URL=http://10.0.2.2:{world.server.server_port}",
            "-netdev", f"user,id=u0,hostfwd=tcp:127.0.0.1:{world.guest_port}-:80",
            "-netdev", f"dgram,id=d0,local.type=unix,local.path={net},remote.type=unix,remote.path={card}",
            "-netdev", "hubport,id=h0,hubid=0,netdev=u0", "-netdev", "hubport,id=h1,hubid=0,netdev=d0"]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT)
        except subprocess.TimeoutExpired as late:
            print((late.stdout or b"").decode(errors="replace"), (late.stderr or b"").decode(errors="replace"))
            sys.exit("the guest did not end")
    out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    said = {line.split()[1] for line in out.splitlines() if line.startswith("SAYS ")}
    wanted = {"dhcp-first", "dhcp-again", "unloaded", "got-again", "end", f"got-{world.digest}",
              *(f"ping-{n}" for n in (0, 56, 1472, 1473, 8000))}
    counts = dict(line.split() for line in err.splitlines() if len(line.split()) == 2 and line.split()[1].isdigit())
    wrong = [f"the guest did not say {what}" for what in sorted(wanted - said)]
    if world.back != world.digest:
        wrong.append("the file that came back is another")
    wrong += [f"{name} is {counts.get(name)}" for name in
              ("tx_lost", "tx_bad", "rx_bad", "bad_ring", "bad_descriptor", "bad_offload", "bad_access")
              if counts.get(name) != "0"]
    wrong += [line for line in out.splitlines() if "Tx Unit Hang" in line or "BUG" in line]
    if done.returncode:
        wrong.append(f"moonfence ended with {done.returncode}")
    if wrong:
        print(out, err)
        sys.exit("\n".join(wrong))
    print(f"all is well: {counts['tx_frames']} frames sent, {counts['rx_frames']} received")


main()

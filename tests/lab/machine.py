# SPDX-License-Identifier: Apache-2.0
"""A machine with an Ethernet card and nothing else: a namespace whose only way out is a TAP device, joined to a Unix socket as
QEMU joins its card to `-netdev stream` or `-netdev dgram`. Real programs run in it, on a real kernel's stack.

    machine = Machine(lab, "/tmp/vm.sock", mac="52:54:00:00:00:01")
    machine.dhcp()
    machine.run(["curl", "http://allowed.example/"])

Started as a program, it is the pump between device and socket."""
import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
import time

HERE = os.path.abspath(__file__)
DEVICE = "eth0"

DHCP_SCRIPT = """#!/bin/sh
case $1 in
deconfig) ip -4 addr flush dev $interface; ip link set $interface up ;;
bound|renew)
  ip addr replace $ip/$mask dev $interface
  [ -z "$mtu" ] || ip link set $interface mtu $mtu
  ip route replace default via $router
  : > /etc/resolv.conf
  for s in $dns; do echo nameserver $s >> /etc/resolv.conf; done
  [ -z "$search" ] || echo search $search >> /etc/resolv.conf
  echo "ip=$ip mask=$mask router=$router dns=$dns mtu=$mtu lease=$lease domain=$domain search=$search ntpsrv=$ntpsrv" > $RESULT ;;
esac
"""


class Machine:
    def __init__(self, lab, path, *, name="vm", mac="52:54:00:00:77:01", kind="stream", mtu=1500):
        self.lab, self.name, self.mac, self.mtu = lab, name, mac, mtu
        self.place = lab._holder(mounts=True)
        self.resolv = lab.write(f"{name}.resolv.conf", "")
        self.script = lab.write(f"{name}.dhcp.sh", DHCP_SCRIPT, 0o755)
        self.lease = lab.path(f"{name}.lease")
        real = os.path.realpath("/etc/resolv.conf")
        subprocess.run(lab._in(self.place) + ["mount", "--bind", self.resolv, real], check=True)
        subprocess.run(lab._in(self.place) + ["mount", "--bind", lab.path("bundle.pem"),
                                              os.path.realpath("/etc/ssl/certs/ca-certificates.crt")], check=True)
        self.pump = lab.popen([sys.executable, "-B", HERE, kind, path, mac], where=self.place, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE)
        if self.pump.stdout.readline() != b"ready\n":
            raise RuntimeError("the pump did not start")

    def command(self, cmd):
        return self.lab.command(cmd, where=self.place)

    def run(self, cmd, timeout=120, **kwargs):
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(self.command(cmd), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
                              timeout=timeout, cwd=self.lab.dir, **kwargs)

    def dhcp(self, *options):
        """With a real client; Return: what it was told, as its script's environment."""
        r = self.run(["busybox", "udhcpc", "-i", DEVICE, "-f", "-q", "-n", "-t", "20", "-T", "3", "-s", self.script, *options],
                     env=dict(os.environ, RESULT=self.lease))
        if r.returncode:
            raise RuntimeError(f"no lease: {r.stderr}")
        with open(self.lease) as f:
            return dict(word.split("=", 1) for word in f.read().split())

    def wait_ipv6(self):
        """Until an address of the advertised prefix may be used (its kernel looks for duplicates first)."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            out = self.run(["ip", "-6", "addr", "show", "dev", DEVICE, "scope", "global"]).stdout
            if "dynamic" in out and "tentative" not in out:
                return
            time.sleep(0.05)
        raise RuntimeError(f"no IPv6 address: {out}")

    def close(self):
        for p in (self.pump, self.place):
            p.terminate()
            p.wait(60)


# -- the pump ----------------------------------------------------------------------------------------------------------------


def open_tap(mac):
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH22x", DEVICE.encode(), 0x0002 | 0x1000))  # TUNSETIFF: IFF_TAP | IFF_NO_PI
    subprocess.run(["ip", "-batch", "-"], check=True, text=True, input=f"link set {DEVICE} address {mac}\nlink set lo up\n")
    return tap


class Stream:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)
        self.pending = b""

    def send(self, frame):
        self.socket.sendall(struct.pack("!I", len(frame)) + frame)

    def receive(self):
        data = self.socket.recv(1 << 18)
        if not data:
            sys.exit(0)
        data = self.pending + data
        at = 0
        while len(data) - at >= 4:
            (n,) = struct.unpack_from("!I", data, at)
            if len(data) - at - 4 < n:
                break
            yield data[at + 4:at + 4 + n]
            at += 4 + n
        self.pending = data[at:]


class Datagram:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.own = f"{path}.{os.getpid()}"
        self.socket.bind(self.own)
        self.socket.connect(path)
        self.socket.send(b"VFKT")

    def send(self, frame):
        self.socket.send(frame)

    def receive(self):
        yield self.socket.recv(1 << 17)


def pump(kind, path, mac):
    tap = open_tap(mac)
    wire = Stream(path) if kind == "stream" else Datagram(path)
    subprocess.run(["ip", "link", "set", DEVICE, "up"], check=True)
    print("ready", flush=True)
    poll = select.poll()
    poll.register(tap, select.POLLIN)
    poll.register(wire.socket, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == tap:
                try:
                    wire.send(os.read(tap, 1 << 17))
                except BlockingIOError:
                    pass
            else:
                for frame in wire.receive():
                    try:
                        os.write(tap, frame)
                    except OSError:
                        pass  # the device is down


if __name__ == "__main__":
    pump(*sys.argv[1:])

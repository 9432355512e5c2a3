# SPDX-License-Identifier: Apache-2.0
"""What only sessions on a TUN device have."""
import os
import subprocess
import unittest

from capture_case import Case, HOST, PREFIX, TUN, UID


@unittest.skipUnless(TUN, "of the TUN device")
class Tun(Case):
    """What only a device with packets has."""

    ECHO = """
import hashlib, os, socket, sys, threading
def echo(addr, size):
    data = os.urandom(size)
    s = socket.create_connection((addr, 7), 60)
    def send():
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
    threading.Thread(target=send).start()
    h, n = hashlib.sha256(), 0
    while b := s.recv(1 << 17):
        h.update(b)
        n += len(b)
    return n == size and h.digest() == hashlib.sha256(data).digest()
def ask(addr, data, **options):
    s = socket.socket(socket.AF_INET6 if ":" in addr else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(60)
    for (level, name), value in options.get("set", {}).items():
        s.setsockopt(level, name, value)
    s.connect((addr, options.get("port", 7)))
    s.send(data)
    return s.recv(1 << 16)
SERVERS = ("93.184.216.34", "2606:2800:21f::1")
"""

    def test_streams_arrive_whole_at_any_mtu(self):
        # Large and small segments, in both directions and families: TSO, its checksums, and what is not cut.
        for mtu in ("1280", "1500", "9000", "65520", "65535"):
            _, rc, out, err = self.python(self.ECHO + "print([echo(a, n) for a in SERVERS for n in (1, 1400, 70000, 3000001)])",
                                          "--mtu", mtu)
            self.assertEqual((rc, out), (0, f"{[True] * 8}\n"), f"MTU {mtu}: {err}")

    def test_the_device_has_the_mtu_that_was_asked_for(self):
        for options, mtu in (((), "65520"), (("--mtu", "1500"), "1500")):
            self.assertEqual(self.run_in(["cat", "/sys/class/net/tun0/mtu"], *options)[2].strip() or
                             self.run_in(["sh", "-c", "ip -o link show tun0 | grep -o 'mtu [0-9]*'"], *options)[2].strip()[4:], mtu)
        for mtu in ("1279", "65536"):
            _, rc, _, err = self.run_in(["true"], "--mtu", mtu)
            self.assertNotEqual(rc, 0)
            self.assertIn("1280 to 65535", err)

    def test_datagrams_larger_than_the_mtu_arrive_whole(self):
        code = self.ECHO + ("for a in SERVERS:\n  for n in (0, 1, 1200, 1472, 1473, 8000, 40000, 65507 if ':' not in a else 65487):\n"
                            "    data = os.urandom(n)\n    if ask(a, data) != data: print('wrong', a, n)\nprint('done')")
        for mtu in ("1280", "1500", "65520"):
            _, rc, out, err = self.python(code, "--mtu", mtu)
            self.assertEqual((rc, out), (0, "done\n"), f"MTU {mtu}: {err}")

    def test_a_datagram_that_must_not_be_cut_is_too_long(self):
        # IP_MTU_DISCOVER = IP_PMTUDISC_DO: the path's MTU is the device's.
        got, _ = self.errno_of("s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(0, 10, 2); "
                               "s.connect(('93.184.216.34', 7)); s.send(bytes(1473))", "--mtu", "1500")
        self.assertEqual(got, "EMSGSIZE")
        code = self.ECHO + "print(ask(SERVERS[0], bytes(1472), set={(0, 10): 2}) == bytes(1472))"
        self.assertEqual(self.python(code, "--mtu", "1500")[2], "True\n")

    def errno_of(self, code, *options):
        s, rc, out, err = self.python("import errno, socket\ntry:\n  " + code.replace("\n", "\n  ") +
                                      "\n  print('OPEN')\nexcept OSError as e: print(errno.errorcode[e.errno])", *options)
        self.assertEqual(rc, 0, err)
        return out.strip(), s

    def test_a_connection_is_refused_before_it_stands(self):
        for addr in ("93.184.216.34", "2606:2800:21f::1"):
            got, s = self.errno_of(f"socket.create_connection(('{addr}', 13), 60)")
            self.assertEqual(got, "ECONNREFUSED")
            self.assertEqual([(e["verdict"], e["found"], e["server"].rsplit(":", 1)[1]) for e in s.events("flow")],
                             [("deny", 0, "13")])

    def test_a_datagram_is_refused_at_once(self):
        for family, addr in (("AF_INET", "93.184.216.34"), ("AF_INET6", "2606:2800:21f::1")):
            for port, verdict in ((13, "deny"), (9, "refuse")):
                got, s = self.errno_of(f"s = socket.socket(socket.{family}, socket.SOCK_DGRAM); s.settimeout(60); "
                                       f"s.connect(('{addr}', {port})); s.send(b'x'); s.recv(1)")
                self.assertIn(got, ("EHOSTUNREACH", "EACCES"), port)
                self.assertEqual([e["verdict"] for e in s.events("flow")], [verdict])

    def test_what_is_the_session_s_own_does_not_go_out_through_the_device(self):
        # SO_BINDTODEVICE: the device instead of what the routes say
        for family, addr in (("AF_INET", "127.0.0.1"), ("AF_INET", "198.19.255.2"), ("AF_INET6", "::1"),
                             ("AF_INET6", "fd6d:6f6f:6e66::2")):
            for port in (4, 53, 8080):
                got, s = self.errno_of(f"s = socket.socket(socket.{family}, socket.SOCK_STREAM); s.settimeout(60)\n"
                                       "s.setsockopt(socket.SOL_SOCKET, 25, b'tun0')\n"
                                       f"s.connect(('{addr}', {port}))")
                self.assertNotEqual(got, "OPEN", (addr, port))
                self.assertEqual((s.events("flow"), s.events("stranger")), ([], []), (addr, port))

    def test_a_source_address_that_is_not_the_session_s_goes_nowhere(self):
        # IP_FREEBIND lets a program send from any address.
        got, s = self.errno_of("s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1)\n"
                               "s.setsockopt(0, 15, 1); s.bind(('203.0.113.5', 0)); s.sendto(b'x', ('93.184.216.34', 7))\n"
                               "s.recv(100)")
        self.assertNotEqual(got, "OPEN")
        self.assertEqual(s.events("flow"), [])

    def test_one_local_port_to_several_ports_of_one_server(self):
        code = ("import socket\nkept = []\nfor port in (80, 81, 82, 443):\n  s = socket.socket(); s.settimeout(60)\n"
                "  s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('', 40000)); s.connect(('93.184.216.34', port))\n"
                "  s.sendall(b'x'); kept.append(s); print(s.recv(1000).decode().split()[-1])")
        _, rc, out, err = self.python(code)
        self.assertEqual((rc, out.split()), (0, [f"93.184.216.34:{p}" for p in (80, 81, 82, 443)]), err)

    def test_many_connections_at_once(self):
        code = ("import socket\nkept = []\nfor i in range(600):\n"
                "  s = socket.create_connection((f'93.184.{i % 200}.{i // 200 + 1}', 80 + i % 7), 60); kept.append(s)\n"
                # All of them first: the host serves one after the other, and with several queues in an order of its own.
                "for s in kept: s.shutdown(socket.SHUT_WR)\n"
                "good = 0\nfor i, s in enumerate(kept):\n  d = b''\n"
                "  while b := s.recv(1000): d += b\n"
                "  good += d.split()[-1].decode() == f'93.184.{i % 200}.{i // 200 + 1}:{80 + i % 7}'\nprint(good)")
        _, rc, out, err = self.python(code)
        self.assertEqual((rc, out), (0, "600\n"), err)

    def test_a_missing_or_forbidden_device_is_named(self):
        if os.getuid() != 0:
            self.skipTest("needs root to hide the device")
        hide = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]
        inner = " ".join(PREFIX) + f" {HOST} --backend tun -- true"
        r = subprocess.run(hide + ["mount -t tmpfs tmpfs /dev/net && " + inner], capture_output=True, text=True, check=False)
        self.assertEqual((r.returncode, "no /dev/net/tun" in r.stderr), (77, True), r.stderr)
        if UID != 0:
            r = subprocess.run(hide + ["mount -t tmpfs tmpfs /dev/net && mknod -m 600 /dev/net/tun c 10 200 && " + inner],
                               capture_output=True, text=True, check=False)
            self.assertEqual((r.returncode, "chmod 666 /dev/net/tun" in r.stderr), (77, True), r.stderr)

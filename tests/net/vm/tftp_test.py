# SPDX-License-Identifier: Apache-2.0
"""Machines that load files by TFTP, whose servers answer from a port of their own choice (RFC 1350, 4), through
`moonfence vm-net`: a real server and client, and servers that misbehave; both stacks."""
import hashlib
import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, ".."))

import vm_net_test  # noqa: E402
from scenario import main  # noqa: E402
from machine import Machine  # noqa: E402
from tftp_server import TftpServer  # noqa: E402

# Addresses of the internet's: tests/lab/lab.py
SERVER = {4: "11.0.0.7", 6: "2a0f:77::7"}
BY_HAND = {4: "11.0.0.80", 6: "2a0f:77::80"}
OTHER = {4: "11.0.0.81", 6: "2a0f:77::81"}
MOVED = {4: "192.0.2.9", 6: "2001:db8::9"}
DENIED = "11.0.0.66"

POLICY = f"""
return {{
  name = "tftp",
  dns = function() return allow() end,
  connect = function(c)
    if c.proto ~= "udp" or c.port ~= 69 then return deny "only TFTP's requests" end
    if c.ip == "{DENIED}" then return deny "not that one" end
    if c.ip == "{MOVED[4]}" then return redirect "{SERVER[4]}:69" end
    if c.ip == "{MOVED[6]}" then return redirect "[{SERVER[6]}]:69" end
    return allow()
  end,
}}
"""

# What both ends by hand begin with. A packet's first two bytes are its opcode.
PRELUDE = """
import socket, sys
family, address, other = (socket.AF_INET6 if sys.argv[1] == "6" else socket.AF_INET), sys.argv[2], sys.argv[3]
READ, WRITE = b"\\0\\1file\\0octet\\0", b"\\0\\2file\\0octet\\0"
def data(n, payload=b""): return b"\\0\\3" + n.to_bytes(2, "big") + payload
def ack(n): return b"\\0\\4" + n.to_bytes(2, "big")
def bound(at, port=0):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(60)
    s.bind((at, port))
    return s
def same(got, want):
    assert got == want, (got, want)
"""
# request() is the next datagram that came to port 69, and from whom
SERVE = PRELUDE + """
main = bound(address, 69)
print("ready", flush=True)
def request():
    return main.recvfrom(2000)
"""
# The machine's end, from one port; @server is the request's
ASK = PRELUDE + """
s = bound("::" if family == socket.AF_INET6 else "0.0.0.0")
server = (address, 69)
"""


class Tftp(vm_net_test.Served):
    __test__ = False

    @classmethod
    def setUpClass(cls):
        vm_net_test.Scenario.setUpClass.__func__(cls)
        lab = cls.lab
        cls.policy = lab.write("tftp.lua", POLICY)
        super().setUpClass()
        cls.machine = Machine(lab, cls.path)
        cls.machine.dhcp()
        cls.machine.wait_ipv6()
        cls.want = hashlib.sha256()
        os.makedirs(lab.path("tftp"), exist_ok=True)
        with open(lab.path("tftp/loaded"), "wb") as f:
            content = os.urandom(300_000)
            cls.want.update(content)
            f.write(content)
        os.chmod(lab.path("tftp/loaded"), 0o644)
        cls.files = TftpServer(lab, lab.path("tftp"), *SERVER.values())

    @classmethod
    def tearDownClass(cls):
        cls.files.close()
        cls.machine.close()
        super().tearDownClass()

    def load(self, address, *options):
        host = f"[{address}]" if ":" in address else address
        out = self.lab.path(f"{type(self).__name__}.got")
        r = self.machine.run([*vm_net_test.CURL, *options, "-o", out, f"tftp://{host}/loaded"])
        self.assertEqual(r.returncode, 0, (r, self.log()))
        with open(out, "rb") as f:
            self.assertEqual(hashlib.sha256(f.read()).digest(), self.want.digest())

    def by_hand(self, family, serve, ask):
        """Both ends; the server's code and the machine's."""
        args = [str(family), BY_HAND[family], OTHER[family]]
        p = self.lab.popen([sys.executable, "-c", SERVE + serve, *args], where=self.lab.internet, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            self.assertEqual(p.stdout.readline(), "ready\n")
            r = self.machine.run([sys.executable, "-c", ASK + ask, *args])
            self.assertEqual(r.returncode, 0, (r, self.log()))
            out, err = p.communicate(timeout=60)
            self.assertEqual(p.returncode, 0, err)
            return out
        finally:
            p.kill()
            p.communicate()

    def test_a_real_client_loads_a_file(self):
        for family, address in SERVER.items():
            self.load(address)
            self.load(address, "--tftp-blksize", "1400")
            # the request was asked about; for its transfer the policy would have said no
            self.wait_for("the event", lambda: self.events("net_connect", fields__proto="udp", fields__resolved_ip=address,
                                                           effective_action="allowed"))
            self.assertFalse(self.events("net_connect", fields__proto="udp", fields__resolved_ip=address, effective_action="blocked"))

    def test_one_that_is_redirected_answers_in_the_others_name(self):
        for address in MOVED.values():
            self.load(address)

    def test_a_file_that_is_not_there(self):
        r = self.machine.run([*vm_net_test.CURL, f"tftp://{MOVED[4]}/nothing"])
        self.assertEqual(r.returncode, 68, r)  # CURLE_TFTP_NOTFOUND, of an ERROR from the transfer's port

    def test_a_denied_one_is_never_asked(self):
        r = self.machine.run([sys.executable, "-c", """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(60)
s.connect(("%s", 69))
s.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR: prohibitions, too
s.send(b"\\0\\1file\\0octet\\0")
try:
    s.recv(1)
except OSError as e:
    print(e.errno)
""" % DENIED])
        self.assertIn(r.stdout, ("13\n", "113\n"), r)  # EACCES, EHOSTUNREACH

    def test_nobody_listens_there(self):
        for family, address in OTHER.items():
            r = self.machine.run([sys.executable, "-c", ASK + """
s.connect(server)
s.send(READ)
try:
    s.recv(1)
except OSError as e:
    print(e.errno)
""", str(family), address, ""])
            self.assertIn(r.stdout, ("13\n", "113\n"), (r, self.log()))  # EACCES, EHOSTUNREACH

    def test_a_file_is_sent(self):
        for family in SERVER:
            out = self.by_hand(family, """
what, client = request()
same(what, WRITE)
t = bound(address)
t.sendto(ack(0), client)
got = b""
for n in range(1, 51):
    packet, who = t.recvfrom(2000)
    same((packet[:4], who), (data(n), client))
    got += packet[4:]
    t.sendto(ack(n), client)
print(len(got), got == b"x" * len(got))
""", """
s.sendto(WRITE, server)
packet, t = s.recvfrom(2000)
same((packet, t[0], t[1] != 69), (ack(0), address, True))
for n in range(1, 51):
    s.sendto(data(n, b"x" * (512 if n < 50 else 7)), t)
    same(s.recvfrom(2000), (ack(n), t))
""")
            self.assertEqual(out, f"{49 * 512 + 7} True\n")

    def test_another_address_is_not_heard(self):
        for family in SERVER:
            self.by_hand(family, """
_, client = request()
o = bound(other, 69)
o.sendto(data(1, b"forged"), client)
bound(other).sendto(data(1, b"forged"), client)
bound(address).sendto(data(1, b"good"), client)
""", """
s.sendto(READ, server)
same(s.recv(2000), data(1, b"good"))
""")

    def test_without_a_request_no_other_port_is_heard(self):
        self.by_hand(4, """
what, client = request()
same(what, b"\\0\\4\\0\\0")
t = bound(address)
t.sendto(data(1, b"early"), client)
main.sendto(ack(9), client)
same(request(), (READ, client))
t.sendto(data(1, b"now"), client)
same(t.recvfrom(2000), (ack(1), client))
""", """
s.sendto(ack(0), server)
same(s.recvfrom(2000), (ack(9), server))
s.sendto(READ, server)
packet, t = s.recvfrom(2000)
same(packet, data(1, b"now"))
s.sendto(ack(1), t)
""")

    def test_only_tftp_passes_and_only_to_the_port_that_asked(self):
        for family in SERVER:
            self.by_hand(family, """
_, client = request()
t = bound(address)
for odd in (b"", b"\\0\\3\\0", b"\\0\\1\\0\\1file", b"\\0\\7\\0\\0", b"\\xc0\\0\\0\\1quic", b"GET / HTTP/1.1\\r\\n"):
    t.sendto(odd, client)
t.sendto(data(1, b"first"), client)
same(t.recvfrom(2000), (ack(1), client)) # and nothing of what came before
same(t.recvfrom(2000), (ack(3), client))
t.sendto(data(9, b"last"), client)
""", """
s.sendto(READ, server)
packet, t = s.recvfrom(2000)
same(packet, data(1, b"first"))
for odd in (b"", b"\\0\\4", READ, b"\\0\\7\\0\\0", b"\\xc0\\0\\0\\1quic", b"GET / HTTP/1.1\\r\\n"):
    s.sendto(odd, t)
s.sendto(ack(1), t)
# another port of ours may not speak there
o = bound("::" if family == socket.AF_INET6 else "0.0.0.0")
o.connect(t)
o.setsockopt(socket.IPPROTO_IPV6 if family == socket.AF_INET6 else socket.IPPROTO_IP, 25 if family == socket.AF_INET6 else 11, 1)
o.send(ack(2))
try:
    o.recv(1)
    raise AssertionError("heard")
except OSError as e:
    assert e.errno in (13, 113), e # EACCES, EHOSTUNREACH
s.sendto(ack(3), t)
same(s.recvfrom(2000), (data(9, b"last"), t))
""")
            self.wait_for("the event", lambda: self.events("net_connect", fields__proto="udp", fields__resolved_ip=BY_HAND[family],
                                                           effective_action="blocked", policy__reason="only TFTP's requests"))

    def test_as_many_transfers_as_requests_and_four_at_most(self):
        self.by_hand(4, """
_, client = request()
ts = [bound(address) for _ in range(6)]
for n in (0, 1):
    ts[n].sendto(data(n + 1), client) # one request, one transfer
same(ts[0].recvfrom(2000), (ack(1), client))
for n in range(1, 6):
    same(request(), (READ, client))
    ts[n].sendto(data(n + 1), client)
    same(ts[n].recvfrom(2000), (ack(n + 1), client))
ts[0].sendto(data(7), client) # whose place another one has
ts[1].sendto(data(7), client) # that one's, too
ts[2].sendto(data(8), client)
""", """
s.sendto(READ, server)
ports = set()
for n in range(1, 7):
    packet, t = s.recvfrom(2000)
    same(packet, data(n))
    ports.add(t)
    s.sendto(ack(n), t)
    if n < 6:
        s.sendto(READ, server)
same(len(ports), 6)
same(s.recv(2000), data(8))
""")

    def test_a_server_with_one_port(self):
        self.by_hand(4, """
_, client = request()
main.sendto(data(1, b"from 69"), client)
same(request(), (ack(1), client))
bound(address).sendto(data(1, b"from elsewhere"), client)
main.sendto(data(2, b"again"), client)
""", """
s.sendto(READ, server)
same(s.recvfrom(2000), (data(1, b"from 69"), server))
s.sendto(ack(1), server)
same(s.recvfrom(2000), (data(2, b"again"), server))
""")


class TftpKernel(Tftp):
    __test__ = True


class TftpLwip(Tftp):
    __test__ = True
    stack = "lwip"


def load_tests(loader, tests, pattern):
    return unittest.TestSuite(loader.loadTestsFromTestCase(c) for c in (TftpKernel, TftpLwip))


if __name__ == "__main__":
    main()

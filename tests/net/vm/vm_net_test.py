# SPDX-License-Identifier: Apache-2.0
"""`moonfence vm-net` between machines and the lab's servers. A machine is a namespace with a TAP device (tests/lab/machine.py):
another kernel's stack than that of QEMU's guests in name only, with real DHCP, DNS and HTTP clients in it."""
import hashlib
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))

from scenario import SKIP, Fenced, Scenario, main  # noqa: E402,F401
from machine import Machine  # noqa: E402
from event_file import read_event_file  # noqa: E402

CURL = ["curl", "-sS", "--max-time", "90"]
DIG = ["dig", "+tries=1", "+time=60", "+short"]


def text4(address):
    return socket.inet_pton(socket.AF_INET, address)


class Served(Scenario):
    """One vm-net for the tests of a class."""

    options = ()
    stack = "kernel"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
            raise unittest.SkipTest("/dev/net/tun may not be opened here")
        cls.path = os.path.join(cls.work, f"{cls.__name__}.sock")
        cls.dgram = os.path.join(cls.work, f"{cls.__name__}.dgram")
        cls.events_file = os.path.join(cls.work, f"{cls.__name__}.jsonl")
        cls.pcap = os.path.join(cls.work, f"{cls.__name__}.pcapng")
        cls.log_file = cls.lab.path(f"{cls.__name__}.log")
        cls.places = (f"--socket={cls.path}", f"--dgram={cls.dgram}", "--tcp=127.0.0.1:0")
        policy = cls.lab.path(f"policies/{cls.__name__}.lua")
        with open(cls.policy) as f:
            cls.lab.write(policy, f.read())
        with open(cls.log_file, "wb") as log:
            cls.server = cls.lab.popen([cls.program, "vm-net", *(("--stack", cls.stack) if cls.stack else ()), *cls.places, "--policy", policy,
                                        "--events", cls.events_file, "--pcap", cls.pcap, "--verbose", *cls.options],
                                       user=cls.user, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL)
        for _ in cls.places:
            line = cls.server.stdout.readline().decode()
            if not line.startswith("machines connect at "):
                raise RuntimeError(cls.log())
        cls.tcp_place = line.split()[-1]

    @classmethod
    def log(cls):
        with open(cls.log_file, errors="replace") as f:
            return f.read()

    @classmethod
    def tearDownClass(cls):
        cls.server.send_signal(signal.SIGTERM)
        status = cls.server.wait(60)
        cls.server.stdout.close()
        assert status == 0, f"vm-net ended with {status}: {cls.log()}"
        assert not os.path.exists(cls.path), "the socket is left"
        # Every frame is in the capture, and tshark can read it.
        r = subprocess.run(["tshark", "-r", cls.pcap, "-T", "fields", "-e", "frame.protocols"], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True)
        assert r.returncode == 0 and "eth:ethertype:arp" in r.stdout, r
        super().tearDownClass()

    def events(self, type_, **want):
        done = subprocess.CompletedProcess([], 0, "", "")
        return Fenced(done, read_event_file(self.events_file)).find(type_, **want)

    def wait_for(self, what, condition):
        end = time.monotonic() + 60
        while not condition():
            self.assertLess(time.monotonic(), end, f"{what}: {self.log()}")
            time.sleep(0.02)


class Network(Served):
    SOURCE4, SOURCE6 = "172.31.77.9", "fd77::9"
    options = ("--domain", "lab.example", "--ntp", "11.0.0.123", "--mtu", "1400", "--source-address", SOURCE4,
               "--source-address", SOURCE6)

    @classmethod
    def setUpClass(cls):
        Scenario.setUpClass.__func__(cls)
        cls.lab._ip(cls.lab.host, f"addr replace {cls.SOURCE4}/24 dev eth0", f"addr replace {cls.SOURCE6}/64 dev eth0 nodad")
        super().setUpClass()
        cls.machine = Machine(cls.lab, cls.path)
        cls.lease = cls.machine.dhcp("-O", "search", "-O", "ntpsrv", "-O", "mtu")
        cls.machine.wait_ipv6()

    def ok(self, cmd, want=None, **kwargs):
        r = self.machine.run(cmd, **kwargs)
        self.assertEqual(r.returncode, 0, (r, self.log()))
        if want is not None:
            self.assertEqual(r.stdout, want, r)
        return r.stdout

    def test_the_lease(self):
        self.assertEqual(self.lease, {"ip": "10.0.2.15", "mask": "24", "router": "10.0.2.2", "dns": "10.0.2.3", "mtu": "1400",
                                      "lease": "86400", "domain": "lab.example", "search": "lab.example", "ntpsrv": "11.0.0.123"})

    def test_asking_for_anothers_address_is_refused_and_ones_own_given(self):
        self.assertEqual(self.machine.dhcp("-r", "10.0.2.77")["ip"], "10.0.2.15")

    def test_ipv6_is_configured_from_advertisements(self):
        out = self.ok(["ip", "-6", "addr", "show", "dev", "eth0"])
        self.assertIn("fd6d:6f6f:6e67:1:", out)
        self.assertIn("via fe80::2", self.ok(["ip", "-6", "route", "show", "default"]))
        self.assertEqual(self.ok(["cat", "/proc/sys/net/ipv6/conf/eth0/mtu"]), "1400\n")

    def test_http_https_both_families(self):
        for family in ("-4", "-6"):
            self.ok([*CURL, family, "http://allowed.example/"], "server=web host=allowed.example sni= port=80\n")
            self.ok([*CURL, family, "https://allowed.example/"], "server=web host=allowed.example sni=allowed.example port=443\n")
        self.assertTrue(self.events("net_connect", domain="allowed.example", policy__effective_decision="allow", source="nic"))

    def test_names(self):
        for args, want in ((["allowed.example"], "11.0.0.80\n"), (["allowed.example", "AAAA"], "2a0f:77::80\n"),
                           (["+tcp", "allowed.example"], "11.0.0.80\n"), (["@9.9.9.9", "allowed.example"], "11.0.0.80\n"),
                           (["@fd6d:6f6f:6e67::3", "allowed.example"], "11.0.0.80\n"),
                           (["registry.npm.example"], "11.0.0.100\n"), (["denied.example"], "")):
            self.ok([*DIG, *args], want)

    def test_a_policy_denies_and_the_client_says_so(self):
        r = self.machine.run([*CURL, "http://denied.example/"])
        self.assertEqual(r.returncode, 6, r)
        self.assertIn("cdn-bad is out", self.ok([*CURL, "http://cdn-bad.example/"]))
        r = self.machine.run(["wget", "-q", "-T", "60", "-t", "1", "-O", "-", "https://cdn-bad.example/"])
        self.assertNotEqual(r.returncode, 0, r)
        self.assertTrue(self.events("net_connect", domain="cdn-bad.example", policy__effective_decision="deny"))

    def test_a_policy_redirects_and_rewrites_the_name(self):
        r = self.machine.run([*CURL, "-k", "https://api.vendor.example/"])
        self.assertEqual(r.stdout, "server=llm host=api.vendor.example sni=llm.corp.example port=8443\n", (r, self.log()))

    def test_much_data_in_both_directions_both_families(self):
        with open(self.lab.path("www/big"), "rb") as f:
            want = hashlib.sha256(f.read()).hexdigest()
        for family in ("-4", "-6"):
            out = self.ok(["bash", "-c", f"curl -sS {family} --max-time 90 https://allowed.example/big | sha256sum"])
            self.assertEqual(out.split()[0], want)
            self.ok(["bash", "-c", f"head -c 4000000 /dev/zero | nc {family} -N -w 60 echo.example 7 | wc -c"], "4000000\n")

    def test_segments_fit_the_mtu(self):
        out = self.ok(["bash", "-c", "exec 3<>/dev/tcp/echo.example/7; ss -tino dst 11.0.0.7; exec 3>&-"])
        self.assertRegex(out, r"\bmss:13[0-9][0-9]\b")

    def test_udp_both_families(self):
        for family, addr in (("AF_INET", "11.0.0.7"), ("AF_INET6", "2a0f:77::7")):
            self.ok([*DIG, "echo.example", "AAAA" if family == "AF_INET6" else "A"])
            self.ok([sys.executable, "-c", f"""
import socket
s = socket.socket(socket.{family}, socket.SOCK_DGRAM)
s.settimeout(60)
for n in (1, 100, 1300, 4000):
    s.sendto(b"x" * n, ("{addr}", 7))
    d, a = s.recvfrom(9000)
    print(len(d), a[0], a[1])
"""], "".join(f"{n} {addr} 7\n" for n in (1, 100, 1300, 4000)))

    # -- ends of connections, as the servers' and the machine's own sockets see them

    PORT = 7007

    def upstream(self, code):
        """A server of one connection, `c`, on the internet; what it prints is the result."""
        p = self.lab.popen([sys.executable, "-c", f"""
import socket
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("11.0.0.7", {self.PORT}))
s.listen()
print("ready", flush=True)
s.settimeout(60)
c, _ = s.accept()
c.settimeout(60)
{code}"""], where=self.lab.internet, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
        self.assertEqual(p.stdout.readline(), "ready\n")
        return p

    def client(self, code):
        self.ok([*DIG, "echo.example"])
        return self.ok([sys.executable, "-c", f"""
import socket, struct
c = socket.create_connection(("11.0.0.7", {self.PORT}), 60)
{code}"""])

    def ended(self, server):
        out = server.communicate(timeout=60)[0]
        self.assertEqual(server.returncode, 0)
        return out

    def test_half_a_close_of_the_server(self):
        server = self.upstream("""
c.sendall(b"hello")
c.shutdown(socket.SHUT_WR)
n = 0
while data := c.recv(65536):
    n += len(data)
print(n)
""")
        out = self.client("""
data = b""
while more := c.recv(100):
    data += more
print(data.decode())
c.sendall(bytes(300000))
c.close()
""")
        self.assertEqual((out, self.ended(server)), ("hello\n", "300000\n"))

    def test_half_a_close_of_the_machine(self):
        server = self.upstream("""
n = 0
while data := c.recv(65536):
    n += len(data)
c.sendall(bytes(300000))
c.close()
print(n)
""")
        out = self.client("""
c.sendall(bytes(200000))
c.shutdown(socket.SHUT_WR)
n = 0
while data := c.recv(65536):
    n += len(data)
print(n)
""")
        self.assertEqual((out, self.ended(server)), ("300000\n", "200000\n"))

    RESET = "c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); c.close()"
    SEE = """
try:
    print("end" if c.recv(1) == b"" else "data")
except ConnectionResetError:
    print("reset")
"""

    def test_servers_see_the_source_address(self):
        server = self.upstream("print(c.getpeername()[0])")
        self.client("")
        self.assertEqual(self.ended(server), f"{self.SOURCE4}\n")
        p = self.lab.popen([sys.executable, "-c", """
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(("2a0f:77::7", 7008))
print("ready", flush=True)
s.settimeout(60)
data, peer = s.recvfrom(100)
s.sendto(peer[0].encode(), peer)
"""], where=self.lab.internet, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        self.assertEqual(p.stdout.readline(), "ready\n")
        self.ok([*DIG, "echo.example", "AAAA"])
        self.ok([sys.executable, "-c", """
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.settimeout(60)
s.sendto(b"who am I?", ("2a0f:77::7", 7008))
print(s.recv(100).decode())
"""], f"{self.SOURCE6}\n")

    def test_a_reset_of_the_server(self):
        server = self.upstream("import struct; c.recv(1); " + self.RESET)
        self.assertEqual(self.client("c.sendall(b'x')" + self.SEE), "reset\n")
        self.ended(server)

    def test_a_reset_of_the_machine(self):
        server = self.upstream("c.sendall(b'x')" + self.SEE)
        self.client("c.recv(1)\n" + self.RESET)
        self.assertEqual(self.ended(server), "reset\n")

    def test_a_reader_that_does_not_read_stops_the_sender(self):
        server = self.upstream("""
input()
n = 0
while data := c.recv(65536):
    n += len(data)
print(n)
""")
        out = self.client("""
c.settimeout(2)
sent = 0
try:
    while sent < 256 << 20:
        sent += c.send(bytes(65536))
    print("it took everything")
except TimeoutError:
    print(sent)
""")
        self.assertEqual(server.communicate("\n", timeout=60)[0], out)

    def test_many_connections_at_a_time(self):
        for type_ in ("A", "AAAA"):
            self.ok([*DIG, "echo.example", type_])
        self.ok([sys.executable, "-c", """
import socket
for family, address in ((socket.AF_INET, "11.0.0.7"), (socket.AF_INET6, "2a0f:77::7")):
    s = []
    for i in range(150):
        s.append(socket.socket(family))
        s[i].settimeout(60)
        s[i].connect((address, 7))
    for i, c in enumerate(s):
        c.sendall(b"%d" % i * 1000)
        c.shutdown(socket.SHUT_WR)
    for i, c in enumerate(s):
        data = b""
        while more := c.recv(65536):
            data += more
        assert data == b"%d" % i * 1000, i
"""])

    def test_a_refused_datagram_is_answered_with_an_error(self):
        for family, level, option, address in (("AF_INET", "IPPROTO_IP", 11, "11.0.0.81"), ("AF_INET6", "IPPROTO_IPV6", 25, "2a0f:77::81")):
            out = self.ok([sys.executable, "-c", f"""
import socket
s = socket.socket(socket.{family}, socket.SOCK_DGRAM)
s.setsockopt(socket.{level}, {option}, 1)  # ..._RECVERR
s.settimeout(60)
s.connect(("{address}", 1234))
s.send(b"x")
try:
    s.recv(1)
except OSError as e:
    print(e.errno)
"""])
            self.assertIn(int(out), (13, 113), out)  # EACCES, EHOSTUNREACH

    def test_ping(self):
        for size in ("0", "1000", "1352", "4000", "8000"):
            for target in ("10.0.2.2", "10.0.2.3", "fd6d:6f6f:6e67::2"):
                self.ok(["ping", "-n", "-c", "1", "-W", "60", "-s", size, target])
        self.ok(["ping", "-n", "-c", "1", "-W", "60", "fe80::2%eth0"])
        # no name leads to it: as any flow there (more in ping_test.py)
        r = self.machine.run(["ping", "-n", "-c", "1", "-W", "60", "11.0.0.66"])
        self.assertIn("Packet filtered", r.stdout, r)


class NetworkLwip(Network):
    stack = "lwip"


class Wires(Served):
    """Frames by hand, over both kinds of sockets, and machines beside one another."""

    ROUTER = bytes.fromhex("526d6f6f6e02")
    user = None

    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(60)
        s.connect(self.path)
        return s

    @staticmethod
    def arp(mac, sender, target):
        return (b"\xff" * 6 + mac + b"\x08\x06" + struct.pack("!HHBBH", 1, 0x800, 6, 4, 1) + mac + text4(sender) + bytes(6) +
                text4(target))

    @staticmethod
    def receive(s):
        def exactly(n):
            data = b""
            while len(data) < n:
                more = s.recv(n - len(data))
                if not more:
                    raise EOFError
                data += more
            return data
        return exactly(struct.unpack("!I", exactly(4))[0])

    def answer(self, s, type_):
        """The next frame of a type; advertisements come by themselves."""
        while True:
            frame = self.receive(s)
            if frame[12:14] == type_:
                return frame

    def send(self, s, *frames):
        s.sendall(b"".join(struct.pack("!I", len(f)) + f for f in frames))

    def test_pieces_runts_and_several_frames_at_once(self):
        mac = bytes.fromhex("525400000a01")
        with self.connect() as s:
            own = self.first_address(s, mac)
            ask = self.arp(mac, own, "10.0.2.2")
            wire = struct.pack("!I", 0) + struct.pack("!I", 13) + bytes(13) + (struct.pack("!I", len(ask)) + ask) * 2
            for i in range(0, len(wire), 7):
                s.sendall(wire[i:i + 7])
            for _ in range(2):
                frame = self.answer(s, b"\x08\x06")
                self.assertEqual((frame[:6], frame[6:12], frame[20:22]), (mac, self.ROUTER, b"\0\2"))
                self.assertEqual(frame[28:32], text4("10.0.2.2"))
                self.assertEqual(len(frame), 60)

    def first_address(self, s, mac):
        """An ARP probe makes us known; which address is ours says DHCP."""
        self.send(s, self.dhcp(mac))
        frame = self.answer(s, b"\x08\x00")
        return socket.inet_ntop(socket.AF_INET, frame[14 + 28 + 16:14 + 28 + 20])

    @staticmethod
    def dhcp(mac, *, chaddr=None):
        body = struct.pack("!BBBBIHH", 1, 1, 6, 0, 0x1234, 0, 0x8000) + bytes(16) + (chaddr or mac) + bytes(10 + 192) + \
            bytes.fromhex("63825363350101ff")
        udp = struct.pack("!HHHH", 68, 67, 8 + len(body), 0) + body
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + bytes(4) + b"\xff" * 4
        return b"\xff" * 6 + mac + b"\x08\x00" + ip + udp

    def test_over_tcp(self):
        mac = bytes.fromhex("525400000a02")
        s, theirs = socket.socketpair()  # the port is on the loopback of another namespace
        s.settimeout(60)
        with s, theirs, self.lab.popen(["socat", "-", f"TCP:{self.tcp_place}"], stdin=theirs, stdout=theirs) as p:
            self.addCleanup(p.kill)
            theirs.close()
            own = self.first_address(s, mac)
            self.send(s, self.arp(mac, own, "10.0.2.2"))
            frame = self.answer(s, b"\x08\x06")
            self.assertEqual((frame[:6], frame[6:12], frame[28:32]), (mac, self.ROUTER, text4("10.0.2.2")))
            s.shutdown(socket.SHUT_RDWR)

    def test_too_long_a_frame_ends_the_wire(self):
        with self.connect() as s:
            s.sendall(struct.pack("!I", 69633))
            self.assertEqual(s.recv(1), b"")

    def test_what_is_not_the_machines_own_goes_nowhere(self):
        mac, other = bytes.fromhex("525400000b01"), bytes.fromhex("525400000b02")
        with self.connect() as s:
            own = self.first_address(s, mac)
            self.send(s, self.arp(other, own, "10.0.2.2"),           # another station
                      self.arp(mac, "10.0.2.2", "10.0.2.2"),         # "I am the router"
                      self.arp(mac, own, "10.0.2.99"),               # nobody's neighbour
                      self.dhcp(mac, chaddr=other),                  # for somebody else
                      b"\xff" * 6 + mac + b"\x81\x00\0\1\x08\x06" + bytes(60),  # a VLAN
                      self.arp(mac, own, "10.0.2.3"))
            self.assertEqual(self.answer(s, b"\x08\x06")[28:32], text4("10.0.2.3"))
            s.setblocking(False)
            self.assertRaises(BlockingIOError, s.recv, 1)

    def test_two_machines_have_addresses_of_their_own_and_do_not_meet(self):
        a = Machine(self.lab, self.path, name="a", mac="52:54:00:00:0c:01")
        b = Machine(self.lab, self.path, name="b", mac="52:54:00:00:0c:02")
        try:
            one, two = a.dhcp()["ip"], b.dhcp()["ip"]
            self.assertNotEqual(one, two)
            for m in (a, b):
                r = m.run([*CURL, "http://allowed.example/"])
                self.assertEqual(r.stdout, "server=web host=allowed.example sni= port=80\n", (r, self.log()))
            # a route to the neighbour by the router does not help either
            a.run(["ip", "route", "add", two, "via", "10.0.2.2"])
            r = a.run(["ping", "-n", "-c", "1", "-W", "60", two])
            self.assertIn("Destination Host Prohibited", r.stdout, r)
            # the address of the neighbour is not for the taking
            a.run(["ip", "addr", "add", f"{two}/24", "dev", "eth0"])
            before = self.log()
            r = a.run(["ping", "-n", "-c", "1", "-W", "1", "-I", two, "10.0.2.2"])
            self.assertEqual(r.returncode, 1, (r, before))
        finally:
            a.close()
            b.close()

    def test_a_machine_that_comes_back_keeps_its_address(self):
        mac = "52:54:00:00:0d:01"
        a = Machine(self.lab, self.path, name="first", mac=mac)
        address = a.dhcp()["ip"]
        gone = self.log().count("wire has ended")
        a.close()
        self.wait_for("the end of the wire", lambda: self.log().count("wire has ended") > gone)
        a = Machine(self.lab, self.path, name="again", mac=mac)
        try:
            self.assertEqual(a.dhcp()["ip"], address)
        finally:
            a.close()

    def test_datagrams(self):
        a = Machine(self.lab, self.dgram, name="d", mac="52:54:00:00:0e:01", kind="dgram")
        try:
            a.dhcp()
            r = a.run([*CURL, "https://allowed.example/"])
            self.assertEqual(r.stdout, "server=web host=allowed.example sni=allowed.example port=443\n", (r, self.log()))
        finally:
            a.close()

    def datagrams(self, name):
        """An end of `--dgram` by hand, at a path of its own."""
        path = f"{self.dgram}.{name}"
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        s.settimeout(60)
        if os.path.exists(path):
            os.unlink(path)
        s.bind(path)
        self.addCleanup(s.close)
        return s

    def leased(self, s, mac):
        """A machine asks for an address; the one that it is offered."""
        s.sendto(self.dhcp(mac), self.dgram)
        while True:
            frame = s.recv(2000)
            if frame[12:14] == b"\x08\x00":
                self.assertEqual(frame[14 + 28 + 28:14 + 28 + 34], mac, frame.hex(" "))  # chaddr
                return socket.inet_ntop(socket.AF_INET, frame[14 + 28 + 16:14 + 28 + 20])

    def test_a_machine_that_replaces_another_at_a_datagram_socket(self):
        one, two = "52:54:00:00:0e:02", "52:54:00:00:0e:03"
        a = Machine(self.lab, self.dgram, name="e", mac=one, kind="dgram")
        try:
            first = a.dhcp()["ip"]
        finally:
            a.close()
        b = Machine(self.lab, self.dgram, name="f", mac=two, kind="dgram")
        try:
            second = b.dhcp()["ip"]
            r = b.run([*CURL, "https://allowed.example/"])
            self.assertEqual(r.stdout, "server=web host=allowed.example sni=allowed.example port=443\n", (r, self.log()))
        finally:
            b.close()
        self.assertNotEqual(first, second)
        self.wait_for("the events", lambda: self.events("guest_left", fields__mac=one) and self.events("guest_joined", fields__mac=two))
        left, = self.events("guest_left", fields__mac=one)
        joined, = self.events("guest_joined", fields__mac=two)
        self.assertEqual((left["fields"]["reason"], left["fields"]["address"], joined["fields"]["address"]), ("replaced", first, second))
        self.assertLess(left["fields"]["guest"], joined["fields"]["guest"])

    def test_a_new_socket_at_the_same_path_is_another_machines(self):
        mac, other = bytes.fromhex("525400000e04"), bytes.fromhex("525400000e05")
        s = self.datagrams("g")
        own = self.leased(s, mac)
        # the same socket, another station: forged
        s.sendto(self.dhcp(other), self.dgram)
        self.assertEqual(self.leased(s, mac), own)
        s.close()
        s = self.datagrams("g")
        self.assertNotEqual(self.leased(s, other), own)
        self.wait_for("the event", lambda: self.events("guest_left", fields__mac=mac.hex(":"), fields__reason="replaced"))
        left, = self.events("guest_left", fields__mac=mac.hex(":"))
        self.assertIn("spoofed_mac=1", left["fields"]["dropped"])

    def test_nobody_takes_a_datagram_socket_whose_machine_is_there(self):
        mac, other = bytes.fromhex("525400000e06"), bytes.fromhex("525400000e07")
        s, t = self.datagrams("h"), self.datagrams("i")
        own = self.leased(s, mac)
        t.sendto(self.dhcp(other), self.dgram)
        self.assertEqual(self.leased(s, mac), own)  # behind what the other one sent
        t.setblocking(False)
        self.assertRaises(BlockingIOError, t.recv, 1)
        s.close()
        t.settimeout(60)
        self.assertNotEqual(self.leased(t, other), own)


class WiresLwip(Wires):
    stack = "lwip"

    @staticmethod
    def tcp(mac, source, target, sport, dport, flags, *, seq=1, ack=0, payload=b"", options=b""):
        tcp = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, (20 + len(options)) // 4 << 4, flags, 65535, 0, 0) + options + payload
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0) + text4(source) + text4(target)
        return WiresLwip.ROUTER + mac + b"\x08\x00" + ip + tcp

    def segment(self, s, port):
        """The next one to a port: (sequence number, acknowledgement, flags)"""
        while True:
            frame = self.answer(s, b"\x08\x00")
            if frame[23] == 6 and struct.unpack("!H", frame[36:38])[0] == port:
                return (*struct.unpack("!II", frame[38:46]), frame[47])

    def test_half_open_connections_have_a_bound_and_stay_with_their_machine(self):
        mac, other = bytes.fromhex("525400000f01"), bytes.fromhex("525400000f02")
        with self.connect() as s, self.connect() as t:
            own, neighbour = self.first_address(s, mac), self.first_address(t, other)
            self.send(s, *[self.tcp(mac, own, "11.0.0.7", port, 7, 2) for port in range(1000, 2000)])
            # behind all of those: a segment of no connection is answered with a reset
            self.send(s, self.tcp(mac, own, "11.0.0.7", 999, 7, 0x10, ack=77))
            answered, numbers = 0, set()
            while True:
                frame = self.answer(s, b"\x08\x00")
                if frame[23] != 6:
                    continue
                if struct.unpack("!H", frame[36:38])[0] == 999:
                    self.assertEqual((struct.unpack("!I", frame[38:42])[0], frame[47] & 4), (77, 4))
                    break
                self.assertEqual(frame[47], 0x12)
                numbers.add(frame[38:42])
                answered += 1
            self.assertEqual(answered, 256)
            self.assertGreater(len(numbers), 250)  # initial sequence numbers tell nothing of each other
            self.assertGreater(len({n[0] for n in numbers}), 32)
            self.send(t, self.tcp(other, neighbour, "11.0.0.7", 1000, 7, 2))
            self.assertEqual(self.segment(t, 1000)[1:], (2, 0x12))

    def test_a_machine_uses_a_port_again(self):
        mac = bytes.fromhex("525400000f03")
        with self.connect() as s:
            own = self.first_address(s, mac)
            for seq in (1000, 500000):
                self.send(s, self.tcp(mac, own, "11.0.0.7", 4000, 7, 2, seq=seq))
                isn, ack, flags = self.segment(s, 4000)
                self.assertEqual((ack, flags), (seq + 1, 0x12))
                self.send(s, self.tcp(mac, own, "11.0.0.7", 4000, 7, 0x10, seq=seq + 1, ack=isn + 1 & 0xffffffff))

    def test_odd_packets_harm_nobody(self):
        mac = bytes.fromhex("525400000f04")
        with self.connect() as s:
            own = self.first_address(s, mac)
            good = self.tcp(mac, own, "11.0.0.7", 4001, 7, 2)
            self.send(s, *[good[:n] for n in range(14, len(good))],
                      *[good[:46] + bytes([n << 4]) + good[47:] for n in range(16)],          # data offsets
                      *[good[:47] + bytes([n]) + good[48:] for n in range(256) if n & 0x17 != 2],  # flags
                      *[good[:14] + bytes([n]) + good[15:] for n in range(0, 256, 5)],        # versions, header lengths
                      self.tcp(mac, own, "192.0.0.8", 1, 1, 2),                               # lwIP's own address
                      *[self.tcp(mac, own, "11.0.0.7", 4100 + n, 7, 2, options=bytes([k, n]) + bytes(38))
                        for n in range(41) for k in (2, 3, 4, 5, 8, 30)])
            self.send(s, self.tcp(mac, own, "11.0.0.7", 4002, 7, 2, seq=9))
            self.assertEqual(self.segment(s, 4002)[1:], (10, 0x12))


class TwoAtOnce(Wires):
    """One machine does its worst while another one works: frames by hand on both wires."""

    options = ("--rate", "10")  # and bursts of 128 KiB

    # those of Wires are run there
    test_pieces_runts_and_several_frames_at_once = test_too_long_a_frame_ends_the_wire = None
    test_what_is_not_the_machines_own_goes_nowhere = test_two_machines_have_addresses_of_their_own_and_do_not_meet = None
    test_a_machine_that_comes_back_keeps_its_address = test_datagrams = None
    test_a_machine_that_replaces_another_at_a_datagram_socket = test_a_new_socket_at_the_same_path_is_another_machines = None
    test_nobody_takes_a_datagram_socket_whose_machine_is_there = None

    BAD, GOOD = bytes.fromhex("525400000f01"), bytes.fromhex("525400000f02")

    @staticmethod
    def ip4(mac, src, dst, proto, payload, to=bytes.fromhex("526d6f6f6e02")):
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, proto, 0) + text4(src) + text4(dst)
        total = sum(struct.unpack("!10H", head))
        total = (total & 0xffff) + (total >> 16)
        head = head[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xffff) + head[12:]
        return to + mac + b"\x08\x00" + head + payload

    def echo(self, mac, own, number, size=64):
        body = struct.pack("!HH", 7, number) + bytes(size)
        total = sum(struct.unpack(f"!{(len(body) + 4) // 2}H", b"\x08\0\0\0" + body))
        while total >> 16:
            total = (total & 0xffff) + (total >> 16)
        return self.ip4(mac, own, "10.0.2.2", 1, struct.pack("!BBH", 8, 0, ~total & 0xffff) + body)

    def works(self, s, own, number):
        """The good machine asks, and hears its own answer and nothing of anybody else's."""
        self.send(s, self.echo(self.GOOD, own, number))
        while True:
            frame = self.receive(s)
            self.assertEqual(frame[6:12], self.ROUTER, frame)
            self.assertIn(frame[:6], (self.GOOD, bytes.fromhex("333300000001")), frame)
            self.assertNotIn(self.BAD, frame)
            if frame[12:14] == b"\x08\0":
                self.assertEqual(struct.unpack("!BBHHH", frame[34:42])[::4], (0, number), frame)
                return

    def nd(self, mac, src, dst, type_, body):
        src, dst = (socket.inet_pton(socket.AF_INET6, a) for a in (src, dst))
        payload = struct.pack("!BBHI", type_, 0, 0, 0) + body
        return self.ROUTER + mac + b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, len(payload), 58, 255) + src + dst + payload

    def test_forgery_and_floods_of_one_do_not_reach_the_other(self):
        with self.connect() as bad, self.connect() as good:
            mine, own = self.first_address(bad, self.BAD), self.first_address(good, self.GOOD)
            self.works(good, own, 1)
            target = socket.inet_pton(socket.AF_INET6, "fe80::2")
            forged = [self.arp(self.GOOD, own, "10.0.2.2"),                       # as the other station
                      self.arp(self.BAD, own, "10.0.2.2"),                        # "I have its address"
                      self.arp(self.BAD, "10.0.2.2", own),                        # "I am the router", to it
                      self.dhcp(self.BAD, chaddr=self.GOOD),                      # a lease in its name
                      self.ip4(self.BAD, own, "192.0.2.1", 17, bytes(8)),         # with its address
                      self.ip4(self.BAD, mine, own, 17, bytes(8)),                # to it, by the router
                      self.ip4(self.BAD, mine, own, 17, bytes(8), to=self.GOOD),  # to it, by its station
                      self.ip4(self.BAD, mine, "255.255.255.255", 17, struct.pack("!HHHH", 67, 68, 8, 0), to=b"\xff" * 6),  # as DHCP's server
                      self.nd(self.BAD, "fe80::1", "ff02::1", 136, target + bytes(16)),                     # "the router is me"
                      self.nd(self.BAD, "fe80::1", "ff02::1", 134, bytes(8)),                               # another router
                      self.nd(self.BAD, "fe80::1", "ff02::1", 137, target + target),                        # a redirect
                      self.nd(self.BAD, "fd6d:6f6f:6e67:2::1", "2001:db8::1", 128, bytes(4))]               # the other's prefix
            self.send(bad, *forged)
            self.works(good, own, 2)
            # More than it may send, and it reads none of the answers: neither is the other one's affair.
            flood = [self.echo(self.BAD, mine, n & 0xffff, 1400) for n in range(64)]
            for n in range(100):
                self.send(bad, *flood)
                self.works(good, own, 100 + n)
            self.works(good, own, 999)
        self.wait_for("the ends of both wires", lambda: self.log().count("wire has ended") >= 2)

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        # What was dropped is counted, by reasons.
        log = cls.log()
        for reason, least in (("spoofed_mac", 1), ("spoofed_ip", 4), ("not_ours", 2), ("rate", 100)):
            lines = [line for line in log.splitlines() if line.endswith(f"frames dropped: {reason}")]
            assert len(lines) == 1 and int(lines[0].split(" frames dropped")[0].split()[-1]) >= least, (reason, log)
        # The capture has every frame of both wires, what was refused included, and tshark reads who sent it.
        r = subprocess.run(["tshark", "-r", cls.pcap, "-Y", f"arp.src.hw_mac == {cls.BAD.hex(':')}", "-T", "fields", "-e", "frame.interface_id",
                            "-e", "arp.src.proto_ipv4"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert r.returncode == 0, r
        rows = [line.split("\t") for line in r.stdout.splitlines()]
        assert len(rows) == 2 and rows[0][0] == rows[1][0] and rows[1][1] == "10.0.2.2", rows


class AsNobody(Served):
    """Without any privilege."""

    user = 65534

    def test_a_machine_is_served(self):
        machine = Machine(self.lab, self.path, name="nobody")
        try:
            self.assertEqual(machine.dhcp()["ip"], "10.0.2.15")
            r = machine.run([*CURL, "https://allowed.example/"])
            self.assertEqual(r.stdout, "server=web host=allowed.example sni=allowed.example port=443\n", (r, self.log()))
        finally:
            machine.close()


class AsNobodyLwip(AsNobody):
    stack = None  # what stands without CAP_NET_ADMIN

    def test_it_is_the_default(self):
        self.assertTrue(self.events("transparent_net_setup", fields__backend="lwip"))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The DNS path of domain forwarding, in the lab: names of ours are answered on the way to the host's resolvers, everything else is
byte for byte what it was, and whatever is killed leaves the host's DNS as it was."""
import os
import signal
import socket
import struct
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../lab"))

import service  # noqa: E402
from lab import DNS4, DNS6, HOST4, WEB4, Lab  # noqa: E402
from service import Service, wait_for  # noqa: E402

PROXY_USER, OTHER_USER = "65534", "65533"

# Questions as bytes, in hex, to an address by UDP or TCP; prints one answer in hex for each, in their order of arrival
ASK = """
import socket, struct, sys
proto, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
questions = [bytes.fromhex(x) for x in sys.argv[4:]]
s = socket.socket(family, socket.SOCK_DGRAM if proto == "udp" else socket.SOCK_STREAM)
s.settimeout(120)
s.connect((address, port))
def exactly(n):
    got = b""
    while len(got) < n:
        more = s.recv(n - len(got))
        if not more:
            raise EOFError
        got += more
    return got
if proto == "udp":
    for q in questions:
        s.send(q)
    for q in questions:
        print(s.recv(65535).hex())
else:
    s.sendall(b"".join(struct.pack(">H", len(q)) + q for q in questions))
    for q in questions:
        print(exactly(struct.unpack(">H", exactly(2))[0]).hex())
"""

# One socket for all the questions of a program, one for each line that it reads; an answer that does not come is asked for again
KEEP = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 53))
s.settimeout(5)
for line in sys.stdin:
    for _ in range(20):
        try:
            s.send(bytes.fromhex(sys.argv[2]))
            print(s.recv(65535).hex(), flush=True)
            break
        except OSError:
            pass
"""

# A resolver that answers nothing, by UDP; tells how many questions it got when its stdin ends
SILENT = """
import socket, sys, threading
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 53))
print("ready", flush=True)
while True:
    s.recv(4096)
"""


def question(name, kind=1, number=0x1234, more=b""):
    labels = b"".join(bytes([len(x)]) + x.encode() for x in name.split(".") if x) + b"\0"
    return struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 1 if more else 0) + labels + struct.pack(">HH", kind, 1) + more


class Dns(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab()
        cls.lab.__enter__()
        cls.addClassCleanup(cls.lab.__exit__)
        cls.lab.serve()
        service.MOONFENCE = cls.lab.install(service.MOONFENCE)
        p = cls.lab.popen([sys.executable, os.path.join(HERE, "peers.py"), "web", "127.0.0.1", "0"], where=cls.lab.host,
                          stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        cls.dev = int(p.stdout.readline())

    def setUp(self):
        self.hosts = self.lab.write("hosts", "127.0.0.1 localhost\n::1 localhost\n")
        subprocess.run(self.lab.command(["mount", "--bind", self.hosts, "/etc/hosts"]), check=True)
        self.addCleanup(subprocess.run, self.lab.command(["umount", "/etc/hosts"]), check=True)
        self.resolvers(DNS4)

    def resolvers(self, *addresses):
        """Written over, as it is bound over another file."""
        with open(self.lab.path("resolv.conf"), "w") as f:
            f.write("".join(f"nameserver {a}\n" for a in addresses))

    def service(self, *args, **kwargs):
        return Service("--user", PROXY_USER, *args, listen=None, prefix=self.lab.command([]), **kwargs)

    def dig(self, name, *more, user=None):
        p = self.lab.run(["dig", "+short", "+tries=1", "+time=60", *more, name], user=user)
        self.assertEqual(p.returncode, 0, p)
        return p.stdout.split()

    def ask(self, proto, address, *questions, port=53):
        p = self.lab.run([sys.executable, "-c", ASK, proto, address, str(port), *[q.hex() for q in questions]])
        self.assertEqual(p.returncode, 0, p)
        return [bytes.fromhex(x) for x in p.stdout.split()]

    def rules(self):
        return self.lab.run(["nft", "list", "ruleset"]).stdout

    def read_hosts(self):
        with open(self.hosts) as f:
            return f.read()

    def questions(self, s):
        return s.json("status")["dns"]["questions"]

    def assert_gone(self):
        self.assertEqual(self.rules(), "")
        self.assertEqual(self.read_hosts(), "127.0.0.1 localhost\n::1 localhost\n")
        self.assertEqual(self.dig("allowed.example"), [WEB4])
        self.assertEqual(self.dig("a.app.test"), [])

    # -- names of ours ---------------------------------------------------------------------------------------------

    def test_names_of_ours(self):
        with self.service("--map", f"shop.test={self.dev}", "--map", f"*.app.test={self.dev}") as s:
            self.assertTrue(s.json("status")["dns"]["on"])
            for name in ("shop.test", "SHOP.test", "a.app.test", "b.a.app.test", "x.localhost", "localhost"):
                for more in ((), ("+tcp",), ("+noedns",), ("+cookie",)):
                    self.assertEqual(self.dig(name, *more), ["127.0.0.1"], (name, more))
                    self.assertEqual(self.dig(name, "AAAA", *more), ["::1"], (name, more))
                for kind in ("HTTPS", "MX", "TXT"):
                    p = self.lab.run(["dig", "+tries=1", "+time=60", name, kind]).stdout
                    self.assertIn("status: NOERROR", p)
                    self.assertIn("ANSWER: 0", p)
            self.assertEqual(self.dig("app.test"), [])  # the wildcard is not about this one
            self.assertEqual(s.command("map", "add", "late.test", "3000").returncode, 0)
            self.assertEqual(self.dig("late.test"), ["127.0.0.1"])
            self.assertEqual(s.command("map", "remove", "late.test").returncode, 0)
            self.assertEqual(self.dig("late.test"), [])
            # no hosts file is wanted
            self.assertEqual(self.read_hosts(), "127.0.0.1 localhost\n::1 localhost\n")
            self.assertIn("dns          on:", s.command("status").stdout)
        self.assert_gone()

    def test_a_page_by_a_wildcard(self):
        with self.service("--map", f"*.app.test={self.dev}") as s:
            for family in ("-4", "-6"):
                p = self.lab.run(["curl", "-sS", family, "--noproxy", "*", "--max-time", "60", "--cacert", s.ca,
                                  "https://deep.in.app.test/"])
                self.assertEqual(p.stdout, "GET / HTTP/1.1 ['Host: deep.in.app.test']\n", p)

    def test_names_of_multicast_dns(self):
        """Where a system asks multicast DNS for .local, no resolver hears of them."""
        with self.service("--map", f"app.local={self.dev}", "--map", f"app.test={self.dev}"):
            self.assertIn("127.0.0.1 app.local # moonfence proxy\n", self.read_hosts())
            self.assertNotIn("app.test", self.read_hosts())
        self.assert_gone()

    # -- everything else -------------------------------------------------------------------------------------------

    def test_others_are_what_they_were(self):
        opt = b"\0" + struct.pack(">HHIH", 41, 1232, 0x8000, 0)
        cases = [question("allowed.example"), question("allowed.example", 28), question("AlLoWeD.eXaMpLe"),
                 question("api.vendor.example", 65, more=opt), question("nothing.example"), question("many.example", 16),
                 question("many.example", 16, more=opt), question("www.allowed.example", more=opt), question("", 2),
                 question("allowed.example", 65280), question("version.bind", 16),
                 b"\x12\x34\x28\0" + question("allowed.example")[4:]]
        before = {(proto, q): self.ask(proto, DNS4, q)[0] for proto in ("udp", "tcp") for q in cases}
        with self.service("--map", f"shop.test={self.dev}") as s:
            for (proto, q), answer in before.items():
                self.assertEqual(self.ask(proto, DNS4, q)[0], answer, (proto, q))
            self.assertEqual(self.questions(s), len(before))
            # a truncated answer leads to TCP, as ever
            self.assertEqual(len(self.dig("many.example", "TXT")), 7)

    def test_a_client_that_asked_before(self):
        """It keeps its socket, and the kernel a flow of it that no rule is asked about again; so it is for each service that comes."""
        subprocess.run(self.lab.command(["nft", "add table inet other; add chain inet other out "
                                         "{ type filter hook output priority 0; }; add rule inet other out ct state new counter"]),
                       check=True)
        self.addCleanup(subprocess.run, self.lab.command(["nft", "delete table inet other"]), check=True)
        p = self.lab.popen([sys.executable, "-c", KEEP, DNS4, question("shop.test").hex()], stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, text=True)

        def ours():
            p.stdin.write("ask\n")
            p.stdin.flush()
            return bytes.fromhex(p.stdout.readline()).endswith(bytes([127, 0, 0, 1]))

        self.assertFalse(ours())
        for _ in range(2):
            with self.service("--map", f"shop.test={self.dev}"):
                self.assertTrue(ours())
                self.assertTrue(ours())
        p.stdin.close()
        self.assertEqual(p.wait(60), 0)
        p.stdout.close()

    def test_pipelined_and_mixed(self):
        own, other = question("shop.test", number=1), question("allowed.example", number=2)
        with self.service("--map", f"shop.test={self.dev}"):
            for proto in ("udp", "tcp"):
                answers = self.ask(proto, DNS4, *([own, other] * 20))
                self.assertEqual(sorted(a[:2] for a in answers), [b"\0\1"] * 20 + [b"\0\2"] * 20)
                for a in answers:
                    self.assertTrue(a.endswith(bytes([127, 0, 0, 1]) if a[1] == 1 else socket.inet_aton(WEB4)) or
                                    a[1] == 1, a)

    def test_resolvers_that_are_not_the_hosts(self):
        with self.service("--map", f"shop.test={self.dev}") as s:
            self.assertEqual(self.dig("shop.test", f"@{DNS6}"), [])
            self.assertEqual(self.dig("allowed.example", f"@{DNS6}"), [WEB4])
            self.assertEqual(self.questions(s), 0)

    def test_both_families_and_changes(self):
        self.resolvers(DNS4, DNS6)
        with self.service("--map", f"shop.test={self.dev}") as s:
            for proto in ((), ("+tcp",)):
                self.assertEqual(self.dig("shop.test", f"@{DNS6}", *proto), ["127.0.0.1"])
                self.assertEqual(self.dig("allowed.example", f"@{DNS6}", *proto), [WEB4])
            self.resolvers(DNS6)
            wait_for("the change", lambda: f"ip daddr {DNS4} " not in self.rules())
            self.assertIn(f"ip6 daddr {DNS6} ", self.rules())
            self.assertEqual(self.dig("shop.test"), ["127.0.0.1"])
            self.assertEqual(self.dig("shop.test", f"@{DNS4}"), [])
            # nobody to ask: the hosts file is what there is
            self.resolvers()
            wait_for("the other way", lambda: "127.0.0.1 shop.test # moonfence proxy\n" in self.read_hosts())
            wait_for("being told", lambda: not s.json("status")["dns"]["on"])
            self.assertNotIn("dport 53", self.rules())
            self.resolvers(DNS4)
            wait_for("the first way", lambda: "shop.test" not in self.read_hosts())
            self.assertEqual(self.dig("shop.test"), ["127.0.0.1"])
        self.assert_gone()

    def test_a_resolver_on_this_host(self):
        """As systemd-resolved and dnsmasq are: on a loopback address, and itself a client of others."""
        self.lab.write("open.lua", "return { name = 'open', dns = function() return allow() end }\n")
        p = self.lab.popen([service.MOONFENCE, "resolver", "--policy", self.lab.path("open.lua"), "--listen",
                            "127.0.0.53:53", "--dns", DNS4, "--dns-cache", "0"], stdout=subprocess.PIPE,
                           stdin=subprocess.DEVNULL, text=True)
        self.addCleanup(p.wait, 60)
        self.addCleanup(p.terminate)
        if not p.stdout.readline():
            self.fail("the resolver did not start")
        self.resolvers("127.0.0.53", DNS4)  # what it asks itself is redirected, too
        with self.service("--map", f"shop.test={self.dev}") as s:
            self.assertEqual(self.dig("shop.test", "@127.0.0.53"), ["127.0.0.1"])
            self.assertEqual(self.dig("allowed.example", "@127.0.0.53"), [WEB4])
            dns = s.json("status")["dns"]
            self.assertEqual((dns["questions"], dns["ours"], dns["passed"]), (3, 1, 2))

    def test_only_for_some_users(self):
        with self.service("--map", f"shop.test={self.dev}", "--for-user", OTHER_USER) as s:
            self.assertEqual(self.dig("shop.test"), [])
            self.assertEqual(self.questions(s), 0)
            self.assertEqual(self.dig("shop.test", user=int(OTHER_USER)), ["127.0.0.1"])
            # the service's own questions go out
            self.assertEqual(self.dig("shop.test", user=int(PROXY_USER)), [])

    def test_no_dns(self):
        with self.service("--map", f"shop.test={self.dev}", "--no-dns") as s:
            self.assertNotIn("dport 53", self.rules())
            self.assertIn("::1 shop.test # moonfence proxy\n", self.read_hosts())
            self.assertEqual(self.dig("shop.test"), [])
            p = s.command("map", "add", "*.wild.test", "3000")
            self.assertEqual(p.returncode, 0)
            self.assertIn("a hosts file has no wildcards", p.stderr)
            self.assertNotIn("wildcard", s.command("map", "add", "*.wild.localhost", "3000").stderr)
        self.assert_gone()

    # -- resolvers that fail ---------------------------------------------------------------------------------------

    def test_resolver_that_is_not_there(self):
        self.resolvers("11.0.0.81", DNS4)  # a host without any: refused
        with self.service("--map", f"shop.test={self.dev}") as s:
            p = self.lab.run(["dig", "+tries=1", "+time=60", "@11.0.0.81", "allowed.example"]).stdout
            self.assertIn("status: SERVFAIL", p)
            self.assertEqual(self.dig("shop.test", "@11.0.0.81"), ["127.0.0.1"])
            # programs ask the next one
            p = self.lab.run(["getent", "ahostsv4", "allowed.example"]).stdout
            self.assertIn(WEB4, p)
            self.assertGreater(s.json("status")["dns"]["failed"], 0)

    def test_listener_of_ones_own(self):
        silent = self.lab.popen([sys.executable, "-c", SILENT, "11.0.0.90"], where=self.lab.internet,
                                stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.addCleanup(silent.wait, 60)
        self.addCleanup(silent.kill)
        silent.stdout.readline()
        for first in ("11.0.0.81", "11.0.0.90"):  # refuses; is silent
            with Service("--map", f"shop.test={self.dev}", "--dns-listen", "127.0.0.1:0", "--dns", first, "--dns",
                         f"{DNS4}:53", prefix=self.lab.command([])) as s:
                port = s.json("status")["dns"]["listeners"][0].rsplit(":", 1)[1]
                self.assertEqual(self.dig("shop.test", "@127.0.0.1", "-p", port), ["127.0.0.1"])
                self.assertEqual(self.dig("allowed.example", "@127.0.0.1", "-p", port, "+tries=3", "+time=7")[-1:], [WEB4])
                self.assertEqual(self.dig("allowed.example", "@127.0.0.1", "-p", port, "+tcp"), [WEB4])
                self.assertIn("moonfence_forward_dns_questions_total{result=\"ours\"} 1", self.lab.run(
                    ["curl", "-sS", "--unix-socket", os.path.join(s.dir, "proxy.sock"), "http://x/metrics"]).stdout)

    def test_listener_for_others(self):
        """Asked at an address of the network: names lead there; and only who may connect may ask."""
        at = f"{HOST4}:0"
        with Service("--map", f"shop.test={self.dev}", "--dns-listen", at, prefix=self.lab.command([])) as s:
            port = s.json("status")["dns"]["listeners"][0].rsplit(":", 1)[1]
            ask = ["dig", "+short", "+tries=1", "+time=60", f"@{HOST4}", "-p", port]
            for more in ((), ("+tcp",)):
                p = subprocess.run(self.lab.command([*ask, *more, "shop.test"], where=self.lab.internet),
                                   stdout=subprocess.PIPE, text=True)
                self.assertEqual(p.stdout.split(), [HOST4])
                p = subprocess.run(self.lab.command([*ask, *more, "x.localhost"], where=self.lab.internet),
                                   stdout=subprocess.PIPE, text=True)
                self.assertEqual(p.stdout.split(), ["127.0.0.1"])
        with Service("--dns-listen", at, prefix=self.lab.command([]), limits={"allowed_networks": ["127.0.0.0/8"]}) as s:
            port = s.json("status")["dns"]["listeners"][0].rsplit(":", 1)[1]
            ask = ["dig", "+short", "+tries=1", "+time=2", f"@{HOST4}", "-p", port, "+tcp", "x.localhost"]
            p = subprocess.run(self.lab.command(ask, where=self.lab.internet), stdout=subprocess.PIPE, text=True)
            self.assertNotEqual(p.returncode, 0, p)
            self.assertEqual(self.questions(s), 0)

    def test_a_listener_that_the_system_asks(self):
        """Asking ourselves is no way out."""
        self.resolvers("127.0.0.1")
        with Service("--dns-listen", "127.0.0.1:53", prefix=self.lab.command([])) as s:
            self.assertFalse(s.json("status")["dns"]["on"])
            p = self.lab.run(["dig", "+tries=1", "+time=60", "allowed.example"]).stdout
            self.assertIn("status: SERVFAIL", p)
            self.resolvers("127.0.0.1", DNS4)
            wait_for("another one", lambda: s.json("status")["dns"]["on"])
            self.assertEqual(self.dig("allowed.example"), [WEB4])

    # -- ends ------------------------------------------------------------------------------------------------------

    def test_disabled(self):
        with self.service("--map", f"*.app.test={self.dev}") as s:
            self.assertEqual(self.dig("a.app.test"), ["127.0.0.1"])
            self.assertEqual(s.command("disable").returncode, 0)
            self.assert_gone()

    def test_killed(self):
        for whom in ("service", "broker", "both"):
            with self.service("--map", f"*.app.test={self.dev}") as s:
                self.assertEqual(self.dig("a.app.test"), ["127.0.0.1"])
                pids = {"service": [s.json("status")["pid"]], "broker": [s.process.pid]}
                pids["both"] = pids["broker"] + pids["service"]
                for pid in pids[whom]:
                    os.kill(pid, signal.SIGKILL)
                s.process.wait(120)
                wait_for("the rules' end", lambda: self.rules() == "")
                self.assert_gone()

    def test_nobody_waits_while_it_ends(self):
        """Questions all the time, one socket each, as programs ask: whatever begins and ends meanwhile, each has an answer soon, if
        not at once then when it is asked again."""
        loop = f"""
import select, socket, sys, time
q, n, again = bytes.fromhex(sys.argv[1]), 0, 0
def ask():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(3)
        s.connect(("{DNS4}", 53))
        try:
            s.send(q)
            return len(s.recv(4096)) > 30
        except OSError:
            return False
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0.002)[0]:
    tries = 0
    while not ask():
        tries += 1
        assert tries < 20
    n += 1
    again += tries
print(n, again)
"""
        p = self.lab.popen([sys.executable, "-c", loop, question("allowed.example").hex()], stdout=subprocess.PIPE,
                           stdin=subprocess.PIPE, text=True)
        self.assertEqual(p.stdout.readline(), "ready\n")
        for _ in range(3):
            with self.service("--map", f"*.app.test={self.dev}") as s:
                before = self.questions(s)
                wait_for("questions", lambda: self.questions(s) > before + 20)
                self.assertEqual(s.command("disable").returncode, 0)
        out, _ = p.communicate("\n", timeout=300)
        self.assertEqual(p.returncode, 0)
        count, again = map(int, out.split())
        self.assertGreater(count, 60)
        self.assertLess(again, count / 2)


if __name__ == "__main__":
    if not service.is_real_root():
        print("rules for other users need root")
        sys.exit(77)
    unittest.main(verbosity=2)

# SPDX-License-Identifier: Apache-2.0
"""Pings of machines to hosts beyond the router, through `moonfence vm-net`: judged, made anew by sockets, answered; both stacks,
both families, ping sockets and raw ones, and a system that forbids either."""
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

# What is next to the machines' host, and can be reached there: tests/lab/lab.py
WEB = {4: "11.0.0.80", 6: "2a0f:77::80"}
DENIED = {4: "11.0.0.81", 6: "2a0f:77::81"}
# Nobody; the policy sends pings elsewhere
MOVED = {4: "192.0.2.9", 6: "2001:db8::9"}
# The lab's router says so
UNREACHABLE = {4: "198.51.100.9", 6: "2001:db8:1::9"}
ROUTER = {4: "10.0.2.2", 6: "fd6d:6f6f:6e67::2"}

POLICY = """
return {
  name = "pings",
  dns = function() return allow() end,
  connect = function(c)
    if c.proto ~= "icmp" then return allow() end
    if c.port ~= 0 then return deny "a ping has no port" end
    if c.ip == "%s" or c.ip == "%s" then return deny "not to be pinged" end
    if c.ip == "%s" then return redirect "%s:1" end
    if c.ip == "%s" then return redirect "[%s]:1" end
    if c:is "echo.example" then return redirect "web.example:1" end
    return allow()
  end,
}
""" % (DENIED[4], DENIED[6], MOVED[4], WEB[4], MOVED[6], WEB[6])

# In a machine: requests with identifiers, sequence numbers and payloads of our own; what comes back is printed.
SCRIPT = """
import os, socket, struct, sys
six, target = sys.argv[1] == "6", sys.argv[2]
s = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_RAW, 58 if six else 1)
s.settimeout(60)
s.connect((target, 0))
def sum16(data):
    data += bytes(len(data) % 2)
    n = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while n >> 16: n = (n & 0xffff) + (n >> 16)
    return ~n & 0xffff
def ask(ident, sequence, payload):
    head = struct.pack("!BBHHH", 128 if six else 8, 0, 0, ident, sequence)
    if not six: head = head[:2] + struct.pack("!H", sum16(head + payload)) + head[4:]
    s.send(head + payload)
def hear():
    while True:
        data = s.recv(65536)
        data = data if six else data[(data[0] & 15) * 4:]
        if data[0] == (129 if six else 0):
            assert six or sum16(data) == 0
            return struct.unpack("!HH", data[4:8]) + (data[8:],)
"""


class Pings(vm_net_test.Served):
    __test__ = False
    SOURCE4, SOURCE6 = "172.31.77.9", "fd77::9"
    options = ("--source-address", SOURCE4, "--source-address", SOURCE6)
    group_range = "0 0"  # ping sockets; "1 0": nobody may have any

    @classmethod
    def setUpClass(cls):
        vm_net_test.Scenario.setUpClass.__func__(cls)
        lab = cls.lab
        lab._ip(lab.host, f"addr replace {cls.SOURCE4}/24 dev eth0", f"addr replace {cls.SOURCE6}/64 dev eth0 nodad")
        # Beyond the servers there is a way to nowhere, which their router knows.
        for where, lines in ((lab.internet, ("route replace unreachable 198.51.100.0/24", "-6 route replace unreachable 2001:db8:1::/48")),):
            for line in lines:
                subprocess.run(lab._in(where) + ["ip", *line.split()], check=True)
        subprocess.run(lab._in(lab.internet) + ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"],
                       check=True)
        subprocess.run(lab._in(lab.host) + ["sh", "-c", f"echo '{cls.group_range}' > /proc/sys/net/ipv4/ping_group_range"], check=True)
        cls.policy = lab.write("pings.lua", POLICY)
        super().setUpClass()
        cls.machine = Machine(lab, cls.path)
        cls.machine.dhcp()
        cls.machine.wait_ipv6()

    def ping(self, target, *options):
        return self.machine.run(["ping", "-n", "-c", "1", "-W", "60", *options, target])

    def script(self, family, target, code):
        r = self.machine.run([sys.executable, "-c", SCRIPT + code, str(family), target])
        self.assertEqual(r.returncode, 0, (r, self.log()))
        return r.stdout

    def sockets(self, kind):
        """Connected sockets of vm-net's host; a list of IPv4 has those of IPv6, too, without addresses."""
        out = subprocess.run(self.lab._in(self.lab.host) + ["cat", f"/proc/net/{kind}"], stdout=subprocess.PIPE, check=True, text=True).stdout
        return sum(any(c in "123456789ABCDEF" for c in line.split()[2].split(":")[0]) for line in out.splitlines()[1:])


class PingSockets(Pings):
    __test__ = True
    stack = "kernel"
    kinds = {4: "icmp", 6: "icmp6"}

    def test_sizes(self):
        for family, target in WEB.items():
            for size in (0, 56, 1472, 1473, 8000, 60000):
                r = self.ping(target, "-s", str(size), "-p", "a5")
                self.assertEqual(r.returncode, 0, (family, size, r, self.log()))
                self.assertIn(f"{size + 8} bytes from {target}: icmp_seq=1", r.stdout)
                self.assertNotIn("wrong data", r.stdout)

    def test_identifiers_sequence_numbers_and_payloads_come_back(self):
        for family, target in WEB.items():
            self.script(family, target, """
want = set()
for ident in (0, 7, 0xffff):
    for sequence, size in ((0, 0), (1, 13), (0xffff, 1400), (300, 5000)):
        want.add((ident, sequence, os.urandom(size)))
for one in want:
    ask(*one)
while want:
    want.remove(hear())
""")

    def test_one_question_for_each_identifier(self):
        r = self.machine.run(["ping", "-n", "-c", "5", "-i", "0.05", "-W", "60", "-e", "4711", "11.0.0.100"])
        self.assertEqual(r.returncode, 0, r)
        def found():
            return self.events("net_connect", fields__proto="icmp", fields__client="10.0.2.15:4711", effective_action="allowed",
                               fields__resolved_ip="11.0.0.100", source="nic")
        self.wait_for("the event", found)
        self.assertEqual(len(found()), 1)

    def test_a_denied_one_hears_so_each_time_and_is_told_of_once(self):
        for family, text in ((4, "Packet filtered"), (6, "Administratively prohibited")):
            r = self.machine.run(["ping", "-n", "-c", "3", "-i", "0.2", "-W", "60", "-e", "4712", DENIED[family]])
            self.assertEqual(r.returncode, 1, r)
            self.assertEqual(r.stdout.count(text), 3, r)
            want = {"fields__proto": "icmp", "fields__resolved_ip": DENIED[family], "effective_action": "blocked"}
            self.wait_for("the event", lambda: self.events("net_connect", **want))
            e, = self.events("net_connect", **want)
            self.assertEqual(e["policy"]["reason"], "not to be pinged")
            r = self.ping(DENIED[family], "-s", "5000")  # more than an error quotes
            self.assertIn(text, r.stdout)

    def test_redirects_lead_to_addresses_only(self):
        for family, target in MOVED.items():
            r = self.ping(target)
            self.assertIn(f"64 bytes from {target}: icmp_seq=1", r.stdout, (r, self.log()))
            original = f"{target}:0" if family == 4 else f"[{target}]:0"
            self.wait_for("the event", lambda: self.events("connect_redirect", fields__original=original, effective_action="redirected"))
        self.machine.run([*vm_net_test.DIG, "echo.example"])
        r = self.ping("11.0.0.7")
        self.assertIn("Packet filtered", r.stdout, r)
        self.wait_for("the event", lambda: self.events("net_connect", domain="echo.example", effective_action="blocked",
                                                       policy__effective_decision="deny"))

    def test_errors_on_the_way_come_back(self):
        for family, text in ((4, "Destination Host Unreachable"), (6, "No route")):
            r = self.ping(UNREACHABLE[family])
            self.assertEqual(r.returncode, 1, r)
            self.assertIn(text, r.stdout, self.log())
        for family, text in ((4, "Time to live exceeded"), (6, "Time exceeded: Hop limit")):
            r = self.ping(WEB[family], "-t", "1")
            self.assertRegex(r.stdout, f"(?i)from {ROUTER[family]}:? .*{text}")
            self.assertEqual(self.ping(WEB[family], "-t", "2").returncode, 0)

    def test_the_source_address_is_the_one_that_was_said(self):
        for family, want in ((4, self.SOURCE4), (6, self.SOURCE6)):
            p = self.lab.popen([sys.executable, "-c", f"""
import socket
s = socket.socket(socket.{"AF_INET6" if family == 6 else "AF_INET"}, socket.SOCK_RAW, {58 if family == 6 else 1})
print("ready", flush=True)
s.settimeout(60)
while True:
    data, peer = s.recvfrom(2000)
    if b"who asks?" in data:
        print(peer[0])
        break
"""], where=self.lab.internet, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
            self.assertEqual(p.stdout.readline(), "ready\n")
            self.script(family, WEB[family], 'ask(9, 9, b"who asks?"); assert hear()[2] == b"who asks?"')
            self.assertEqual(p.communicate(timeout=60)[0], f"{want}\n")

    def test_flows_of_a_machine_have_a_bound(self):
        for family, target in WEB.items():
            self.script(family, target, """
for ident in range(200):
    ask(1000 + ident, ident, b"x")
    assert hear() == (1000 + ident, ident, b"x")
""")
            self.assertLessEqual(self.sockets(self.kinds[family]), 64)
            self.assertGreaterEqual(self.sockets(self.kinds[family]), 32)

    def test_a_policy_that_changes_is_asked_about_the_next_request(self):
        place = self.lab.path(f"policies/{type(self).__name__}.lua")
        with open(place) as f:
            text = f.read()

        def write(new):
            changes = len(self.events("policy_changed"))
            self.lab.write(place + ".new", new)
            os.rename(place + ".new", place)
            self.wait_for("the new policy", lambda: len(self.events("policy_changed")) > changes)
        p = subprocess.Popen(self.machine.command([sys.executable, "-u", "-c", SCRIPT + """
def talk(listen):
    try:
        ask(77, 1, b"again")
        return hear() == (77, 1, b"again") if listen else "sent"
    except TimeoutError:
        raise
    except OSError: # what was said of the one before
        return talk(listen)
for line in sys.stdin:
    print(talk(line == "heard\\n"), flush=True)
""", "4", WEB[4]]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=self.lab.dir)
        try:
            def say(what):
                p.stdin.write(what + "\n")
                p.stdin.flush()
                return p.stdout.readline()
            self.assertEqual(say("heard"), "True\n", self.log())
            write(text.replace("if c.port ~= 0", f'if c.ip == "{WEB[4]}" then return deny "no more" end if c.port ~= 0'))
            self.assertEqual(say("sent"), "sent\n")
            self.wait_for("the event", lambda: self.events("net_connect", fields__proto="icmp", fields__client="10.0.2.15:77",
                                                           effective_action="blocked", policy__reason="no more"))
            write(text)
            self.assertEqual(say("heard"), "True\n", self.log())
        finally:
            p.stdin.close()
            p.wait(60)
            p.stdout.close()

    def test_a_damaged_request_goes_nowhere(self):
        self.script(4, WEB[4], """
s.send(struct.pack("!BBHHH", 8, 0, 0x1234, 5, 5) + b"damaged")
ask(5, 6, b"whole")
assert hear() == (5, 6, b"whole")
""")


class RawSockets(PingSockets):
    stack = "lwip"
    group_range = "1 0"
    kinds = {4: "raw", 6: "raw6"}


class Forbidden(Pings):
    """No privilege, and a system without ping sockets: the program says so once, and machines hear of it."""

    __test__ = True
    user = 65534
    stack = "lwip"
    group_range = "1 0"
    options = ()

    def test_it_is_said_once_and_pings_are_refused(self):
        for family, text in ((4, "Packet filtered"), (6, "Administratively prohibited")):
            for _ in range(2):
                self.assertIn(text, self.ping(WEB[family]).stdout, self.log())
        self.assertEqual(self.log().count("net.ipv4.ping_group_range"), 1, self.log())


class Allowed(Forbidden):
    """No privilege, and none is wanted."""

    group_range = "0 65534"

    def test_it_is_said_once_and_pings_are_refused(self):
        for target in WEB.values():
            self.assertEqual(self.ping(target).returncode, 0, self.log())
        self.assertNotIn("ping_group_range", self.log())


def load_tests(loader, tests, pattern):
    mine = (PingSockets, RawSockets, Forbidden, Allowed)
    return unittest.TestSuite(loader.loadTestsFromTestCase(c) for c in mine)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What guests reach beyond their router: pings, and all of it over IPv6. In a network namespace whose loopback has public addresses, so that
the floor stays closed, and where ping sockets are allowed."""
import os, shutil, subprocess, sys

if os.environ.get("MF_NET_OF_ITS_OWN") != "1":
    unshare = ["unshare", "--user", "--map-root-user", "--net"]
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"]).returncode:
        print("skipped: no network namespaces")
        sys.exit(77)
    os.execvpe("unshare", [*unshare, sys.executable, os.path.abspath(__file__), *sys.argv[1:]], {**os.environ, "MF_NET_OF_ITS_OWN": "1"})

import socket, struct, threading, unittest

from guest import *

WEB = {4: "11.0.0.80", 6: "2a0f:77::80"}
MOVED = {4: "11.0.0.99", 6: "2a0f:77::99"}  # pings of it go to WEB
DENIED = {4: "11.0.0.81", 6: "2a0f:77::81"}  # to pings, and to port 9 as all others
NAMED = {4: "11.0.0.82", 6: "2a0f:77::82"}
PRIVATE = {4: ["10.9.9.9", "169.254.169.254", "192.168.1.1", "100.64.0.1", "192.0.2.1"],
           6: ["fd00::1", "2001:db8::1", "64:ff9b::a09:909", "2002:a09:909::1", "fd6d:6f67::1"]}
ROUTERS = {4: ROUTER, 6: ROUTER6}
for line in ["link set lo up", *(f"addr add {a[f]} dev lo" for a in (WEB, DENIED, NAMED) for f in a)]:
    subprocess.run(["ip", *line.split()], check=True)
with open_file("/proc/sys/net/ipv4/ping_group_range", "w") as f:
    f.write("0 0")

POLICY = """
return {
  name = "world",
  dns = function(q) return allow() end,
  connect = function(c)
    if c.port == 9 or c.ip == "%s" or c.ip == "%s" then return deny "not this one" end
    if c.host == "named.test" then return deny "known by its name" end
    if c.proto ~= "icmp" then return allow() end
    if c.port ~= 0 then return deny "a ping has no port" end
    if c.ip == "%s" then return redirect "%s:1" end
    if c.ip == "%s" then return redirect "[%s]:1" end
    return allow()
  end,
}
""" % (DENIED[4], DENIED[6], MOVED[4], WEB[4], MOVED[6], WEB[6])
BIG = os.urandom(1 << 20)


def answer(q):
    """Both families of named.test; of all others WEB."""
    end = end_of_question(q)
    f, at = {1: 4, 28: 6}.get(struct.unpack(">H", q[end - 4:end - 2])[0]), NAMED if b"\5named" in q else WEB
    body = b"\xc0\x0c" + q[end - 4:end] + struct.pack(">IH", 300, len(ip(at[f]))) + ip(at[f]) if f else b""
    return q[:2] + struct.pack(">5H", 0x8180, 1, 1 if f else 0, 0, 0) + q[12:end] + body


def pour(conn):
    conn.sendall(BIG)
    conn.shutdown(socket.SHUT_WR)
    while conn.recv(65536):
        pass


class Tcp6Server(Server):
    """Of both families, on one port of all addresses."""

    def __init__(self, serve):
        self.sock = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=256)
        self.port = self.sock.getsockname()[1]
        self.seen = 0
        threading.Thread(target=self.run, args=(serve,), daemon=True).start()


class Udp6Server(Udp):
    def __init__(self, answer, address):
        self.sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((address, 0))
        self.port = self.sock.getsockname()[1]
        self.peers = []
        threading.Thread(target=self.run, args=(answer,), daemon=True).start()


upstream = Udp(answer)
echoes, fins, pours = (Tcp6Server(s) for s in (echo, echo_then_fin, pour))
udp_echoes = {f: Udp6Server(lambda d: d, WEB[f]) for f in WEB}


def gateway(*words, args=(), auth="none"):
    return Gateway("--auth", auth, "--dns", f"127.0.0.1:{upstream.port}", "--dns-rate", "0", "--ethernet", ",".join(["ipv6", *words]), *args, policy=POLICY,
                   open=False)


def ping_sockets():
    """Connected ones, of both families."""
    n = 0
    for kind in ("icmp", "icmp6"):
        with open_file(f"/proc/net/{kind}") as f:
            n += sum(any(c in "123456789ABCDEF" for c in line.split()[2].split(":")[0]) for line in list(f)[1:])
    return n


class Case(unittest.TestCase):
    path, raw = "/l2", False

    def guest(self, gw=None, **kw):
        g = Guest(gw or self.gw, self.path, self.raw, **kw)
        self.addCleanup(g.ws.s.close)
        return g

    def up(self, gw=None, **kw):
        g = self.guest(gw, **kw)
        g.dhcp()
        g.slaac()
        return g

    def gateway(self, *words, **kw):
        gw = gateway(*words, **kw)
        self.addCleanup(gw.stop)
        return gw


class World(Case):
    """With one gateway. Raw runs the same."""

    @classmethod
    def setUpClass(cls):
        cls.gw = gateway()

    @classmethod
    def tearDownClass(cls):
        assert cls.gw.stop() == 0

    # --- pings

    def test_pings(self):
        g = self.up()
        for f in WEB:
            for n, data in enumerate((b"", b"x" * 56, os.urandom(1400), os.urandom(4000), os.urandom(9000))):
                g.ask_echo(WEB[f], data, id=1000 + n, seq=65530 + n)
                self.assertEqual(g.hear_echo(WEB[f], 1000 + n), (65530 + n, data))

    def test_pings_of_two(self):
        a, b = self.up(), self.up()
        self.assertEqual(a.addr, b.addr)
        for f in WEB:
            for g in (a, b):
                g.ask_echo(WEB[f], g.mac)
            for g in (a, b):
                self.assertEqual(g.hear_echo(WEB[f]), (9, g.mac))

    def test_pings_denied(self):
        g = self.up()
        for f, code in ((4, (3, 13)), (6, (1, 1))):
            g.ask_echo(DENIED[f], b"please")
            type, code_, quote = g.hear_error(DENIED[f])
            self.assertEqual((type, code_), code)
            self.assertTrue(good_sum(ICMP[f], quote), "it is what we sent")
            self.assertEqual(quote[8:24] if f == 6 else quote[12:16], ip(g.own(DENIED[f])))
            e = wait_for("event", lambda: self.gw.events_of(type="net_connect", reason="not this one", remote=DENIED[f] + ":0" if f == 4 else f"[{DENIED[f]}]:0"))
            self.assertEqual(e[0]["source"], "gateway")

    def test_pings_redirected(self):
        g = self.up()
        for f in MOVED:
            g.ask_echo(MOVED[f], b"where are you")
            self.assertEqual(g.hear_echo(MOVED[f]), (9, b"where are you"))

    def test_pings_and_the_floor(self):
        """Policies say yes to all of these, and are not asked."""
        g = self.up()
        for f, code in ((4, (3, 13)), (6, (1, 1))):
            for a in PRIVATE[f]:
                g.ask_echo(a)
                self.assertEqual(g.hear_error(a)[:2], code, a)
        e = wait_for("event", lambda: self.gw.events_of(type="net_connect", remote="10.9.9.9:0"))
        self.assertEqual(e[0]["effective_action"], "blocked")
        # what no router takes, and what stands in for IPv4 in IPv6
        for a in ("127.0.0.1", "0.0.0.1", "224.0.0.1", "255.255.255.255", "10.0.2.255", "::1", "::ffff:127.0.0.1", "fe80::9", ALL_NODES):
            g.ask_echo(a)
        g.ask_echo(WEB[6], b"still here")
        self.assertEqual(g.hear_echo(WEB[6])[1], b"still here")

    def test_hops(self):
        g = self.up()
        for f, code in ((4, (11, 0)), (6, (3, 0))):
            g.ask_echo(WEB[f], b"near", ttl=1)
            type, code_, quote = g.take_ip(ICMP[f], ROUTERS[f], lambda p: (p[0], p[1], p[8:]))
            self.assertEqual((type, code_), code)
            self.assertTrue(good_sum(ICMP[f], quote))
            g.ask_echo(WEB[f], b"far", ttl=2)
            self.assertEqual(g.hear_echo(WEB[f])[1], b"far")

    def test_pings_by_name(self):
        g, other = self.up(), self.up()
        for f, type in ((4, 1), (6, 28)):
            g.lookup("named.test", type=type)
            g.ask_echo(NAMED[f])
            self.assertIn(g.hear_error(NAMED[f])[:2], ((3, 13), (1, 1)))

    # --- IPv6

    def test_advertisements(self):
        g = self.guest()
        g.send(EVERYBODY, 0x9000, bytes(46))  # whatever the guest says first
        for advert in (g.take_advert(), g.solicit()):
            prefix, = advert[3]
            self.assertEqual((prefix[0], prefix[1], text(prefix[14:30])), (64, 0x40, PREFIX6 + ":"))
            self.assertEqual((advert["lifetime"], advert["flags"]), (1800, 0x40))
            self.assertEqual(advert[5][0][2:], struct.pack(">I", 1500))
            self.assertEqual(text(advert[25][0][6:22]), DNS6)
            self.assertEqual(advert[1], [ROUTER_MAC])
        for who in (LINK6, ROUTER6, DNS6):
            self.assertEqual(g.neighbour(who), ROUTER_MAC)

    def test_dhcp6(self):
        g = self.guest()
        msg = b"\x0b\1\2\3" + struct.pack(">HHHHHH", 8, 2, 0, 6, 4, 23) + struct.pack(">H", 24)
        g.send_packet(ipv6(17, g.link6(), "ff02::1:2", transport(17, 6, g.link6(), "ff02::1:2", struct.pack(">HHHH", 546, 547, 8 + len(msg), 0) + msg)),
                      b"\x33\x33\0\1\0\2")
        a = g.take(lambda f: f[62:] if f[12:14] == b"\x86\xdd" and f[20] == 17 and f[54:58] == struct.pack(">HH", 547, 546) else None)
        self.assertEqual(a[:4], b"\7\1\2\3")
        self.assertIn(struct.pack(">HH", 23, 16) + ip(DNS6), a)

    def test_echo_of_the_router(self):
        g = self.up()
        for who in (ROUTER6, DNS6):
            g.ask_echo(who, b"x" * 1000)
            self.assertEqual(g.hear_echo(who)[1], b"x" * 1000)

    def test_names(self):
        g = self.up()
        for server in (DNS6, ROUTER6, "2a0f:77::53"):
            self.assertEqual(g.lookup("example.com", server), (0, [WEB[4]]), server)
        t = g.tcp(DNS6, 53)
        q = question("example.com", 28)
        t.send(struct.pack(">H", len(q)) + q)
        n, = struct.unpack(">H", t.recv(2))
        self.assertEqual(t.recv(n)[-16:], ip(WEB[6]))

    def test_tcp(self):
        g = self.up()
        t = g.tcp(WEB[6], echoes.port)
        t.send(BIG[:300000], mss=1440)
        self.assertEqual(t.recv(300000), BIG[:300000])
        t.fin()
        self.assertEqual(t.recv_all(), b"")
        t = g.tcp(WEB[6], fins.port)
        t.send(BIG[:100000], mss=1440)
        t.fin()
        self.assertEqual(t.recv_all(), b"heard 100000\n")
        t = g.tcp(WEB[6], pours.port, mss=1440)
        self.assertEqual(t.recv_all(), BIG)
        self.assertLessEqual(max(t.sizes), 1440)

    def test_tcp_refused(self):
        g = self.up()
        for a in [DENIED[6], *PRIVATE[6]]:
            with self.assertRaises(Reset):
                g.tcp(a, echoes.port).recv(1)

    def test_udp(self):
        g = self.up()
        for f in WEB:
            for n in (0, 1, 1400, 1452, 5000, 20000):
                p = g.udp(WEB[f], udp_echoes[f].port, BIG[:n])
                self.assertEqual(g.take_udp(WEB[f], udp_echoes[f].port, p), BIG[:n])
            for a in [DENIED[f], *PRIVATE[f]]:
                g.udp(a, 5000, b"no")
                type, code, quote = g.hear_error(a)
                self.assertEqual((type, code), (1, 1) if f == 6 else (3, 13))
                self.assertTrue(good_sum(17, quote))

    def test_several_addresses(self):
        """A guest has as many as it likes in its prefix, and speaks from all of them."""
        g = self.up()
        first = g.tcp(WEB[6], echoes.port)
        old, g.addr6 = g.addr6, PREFIX6 + "a:b:c:d"
        second = g.tcp(WEB[6], echoes.port)
        second.send(b"second")
        self.assertEqual(second.recv(6), b"second")
        g.addr6 = old
        first.send(b"first")
        self.assertEqual(first.recv(5), b"first")

    def test_each_is_alone(self):
        a, b = self.up(), self.up(mac=b"\x02\x11\x12\x13\x14\x15")
        b.addr6 = a.addr6
        pair = [g.tcp(WEB[6], echoes.port) for g in (a, b)]
        self.assertEqual(pair[0].sport, pair[1].sport)
        for t in pair:
            t.send(t.g.mac)
        for t in pair:
            self.assertEqual(t.recv(6), t.g.mac)

    def test_forged(self):
        """What is not from the guest's own prefix goes nowhere."""
        g = self.up()
        own = g.addr6
        for src in ("fd6d:6f6f:6e67:2::1", WEB[6], "fd6d:6f67::1", ROUTER6, "ff02::1"):
            g.addr6 = src
            g.ask_echo(WEB[6], b"forged")
            g.udp(WEB[6], udp_echoes[6].port, b"forged", sport=777)
        g.addr6 = own
        g.udp(WEB[6], udp_echoes[6].port, b"good", sport=778)
        g.take_udp(WEB[6], udp_echoes[6].port, 778)
        g.ask_echo(WEB[6], b"good")
        self.assertEqual(g.hear_echo(WEB[6])[1], b"good")
        self.assertEqual([f for f in g.kept if b"forged" in f], [])

    def test_nonsense(self):
        g = self.up()
        good = ipv6(58, g.addr6, WEB[6], b"\x80\0\0\0\0\1\0\1")
        for next in (0, 43, 44, 50, 51, 60, 59, 255):
            g.send_packet(ipv6(next, g.addr6, WEB[6], os.urandom(40)))
        for pkt in (good[:39], good[:41], good[:4] + b"\xff\xff" + good[6:], ipv6(58, "::", ALL_NODES, b"\x85\0"), ipv6(17, g.addr6, WEB[6], b"\0" * 7),
                    ipv6(6, g.addr6, WEB[6], b"\0" * 19)):
            g.send_packet(pkt)
        g.icmp6(g.link6(), ALL_ROUTERS, struct.pack(">BBHI", 134, 0, 0, 0) + bytes(8))  # another router
        g.icmp6(g.link6(), ALL_ROUTERS, struct.pack(">BBHI", 133, 0, 0, 0), ttl=64)  # from elsewhere
        g.icmp6(g.link6(), ROUTER6, struct.pack(">BBHI", 135, 0, 0, 0) + ip(ROUTER6) + b"\1\0")
        g.ask_echo(WEB[6], b"alive")
        self.assertEqual(g.hear_echo(WEB[6])[1], b"alive")


class Raw(World):
    path, raw = "/raw", True


class Ends(Case):
    def test_without_ipv6(self):
        """Whoever does not ask for it sees nothing of it."""
        gw = Gateway("--auth", "none", "--dns", f"127.0.0.1:{upstream.port}", "--dns-rate", "0", policy=POLICY, open=False)
        self.addCleanup(gw.stop)
        g = self.guest(gw)
        g.icmp6(g.link6(), ALL_ROUTERS, struct.pack(">BBHI", 133, 0, 0, 0) + b"\1\1" + g.mac)
        g.dhcp()
        g.addr6 = PREFIX6 + ":1"
        g.ask_echo(ROUTER6)
        g.ask_echo(WEB[4], b"but pings")
        self.assertEqual(g.hear_echo(WEB[4])[1], b"but pings")
        self.assertEqual([f for f in g.kept if f[12:14] == b"\x86\xdd"], [])

    def test_nothing_is_left(self):
        """Sockets of pings end with their guest, and so does what waits for an answer."""
        gw = self.gateway()
        before = ping_sockets()
        guests = [self.up(gw) for _ in range(5)]
        for g in guests:
            for f in WEB:
                g.ask_echo(WEB[f], g.mac)
                g.hear_echo(WEB[f])
        self.assertEqual(ping_sockets() - before, 10)
        for g in guests[1:]:
            g.ws.close()
        wait_for("sockets", lambda: ping_sockets() - before == 2)
        guests[0].ask_echo(WEB[4], b"still")
        self.assertEqual(guests[0].hear_echo(WEB[4])[1], b"still")

    def test_many_pings(self):
        """One guest has 64 at a time of each family; others have theirs."""
        gw = self.gateway()
        before = ping_sockets()
        a, b = self.up(gw), self.up(gw)
        for f in WEB:
            b.ask_echo(WEB[f], b"mine", id=1)
            b.hear_echo(WEB[f], 1)
            for n in range(200):
                a.ask_echo(WEB[f], b"flood", id=n)
                a.hear_echo(WEB[f], n)
        self.assertEqual(ping_sockets() - before, 2 * 64 + 2)

    def test_the_same_again(self):
        """A guest that comes back finds the network that it left."""
        gw = self.gateway()
        addresses = []
        for _ in range(3):
            g = self.up(gw, mac=b"\x02\x11\x22\x33\x44\x55")
            addresses.append((g.addr, g.addr6))
            t = g.tcp(WEB[6], echoes.port)
            t.send(b"again")
            self.assertEqual(t.recv(5), b"again")
            g.ws.close()
        self.assertEqual(len(set(addresses)), 1)

    def test_rooms(self):
        """Each guest of a room has a prefix of its own, which others do not speak from."""
        self.path, self.raw = "/raw?room=r", True
        gw = self.gateway("rooms=all")
        a, b = self.up(gw), self.up(gw)
        self.assertEqual({ip(g.addr6)[7] for g in (a, b)}, {1, 2})
        for g in (a, b):
            g.ask_echo(WEB[6], g.mac)
            self.assertEqual(g.hear_echo(WEB[6])[1], g.mac)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ethernet over WebSockets: /l2 and /eth (Aero's tunnel), /raw (a frame a message), and the network behind them."""
import base64, glob, json, os, resource, socket, struct, threading, time, unittest

from guest import *

POLICY = """
return {
  name = "guests",
  dns = function(q)
    if q.name == "denied.test" then return deny "not this name" end
    if q.name == "who.test" then return resolve("198.51.100." .. #tostring(q.session.id)) end
    return allow()
  end,
  connect = function(c)
    if c.source ~= "gateway" then return deny "not from a gateway" end
    if c.port == 9 then return deny "no discard" end
    if c.host == "by-name.test" then return deny "known by its name" end
    if tostring(c.ip) == "192.0.2.1" or c.host == "up.test" then return redirect("127.0.0.1:" .. c.port) end
    return allow()
  end,
}
"""
SERVER = "192.0.2.1"  # what every name resolves to; the policy sends it to this host
upstream = Udp(dns_answer)
echoes, fins, udp_echo = Server(echo), Server(echo_then_fin), Udp(lambda d: d)
BIG = os.urandom(1 << 20)


def pour(conn):
    conn.sendall(BIG)
    conn.shutdown(socket.SHUT_WR)
    while conn.recv(65536):
        pass


def reset(conn):
    conn.recv(1)
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


pours, resets = Server(pour), Server(reset)


def gateway(*args, auth="none"):
    return Gateway("--auth", auth, "--dns", f"127.0.0.1:{upstream.port}", "--dns-rate", "0", "--open", "192.0.2.0/24", *args, policy=POLICY)


class Network(unittest.TestCase):
    """What a guest finds on its wire. Raw runs the same."""
    path, raw = "/l2", False

    @classmethod
    def setUpClass(cls):
        cls.gw = gateway()

    @classmethod
    def tearDownClass(cls):
        assert cls.gw.stop() == 0

    def guest(self, **kw):
        g = Guest(self.gw, self.path, self.raw, **kw)
        self.addCleanup(g.ws.s.close)
        return g

    def up(self, **kw):
        g = self.guest(**kw)
        g.dhcp()
        return g

    def test_arp_before_dhcp(self):
        self.assertEqual(self.guest().arp(ROUTER), ROUTER_MAC)

    def test_dhcp(self):
        g = self.guest()
        ack = g.dhcp()
        self.assertEqual(g.addr, SELF)
        self.assertEqual((ack[54], ack[1], ack[3], ack[6]), (ip(ROUTER), ip("255.255.255.0"), ip(ROUTER), ip(ROUTER)))
        self.assertEqual([struct.unpack(">I", ack[n])[0] for n in (51, 58, 59)], [86400, 43200, 75600])
        self.assertEqual(g.dhcp_message(3, b"\x32\x04" + ip("192.168.86.100"))[53], b"\x06", "a lease of another network is refused")

    def test_each_is_alone_and_has_the_same_address(self):
        a, b = self.up(), self.up()
        self.assertEqual((a.addr, b.addr), (SELF, SELF))
        b.send(EVERYBODY, 0x9000, b"hello everybody" * 4)
        b.send(a.mac, 0x9000, b"hello you" * 6)
        b.echo(ROUTER)
        a.echo(ROUTER)
        self.assertEqual([f for f in a.kept + b.kept if f[12:14] == b"\x90\0"], [])
        # the same ports at the same time
        ta, tb = (g.tcp(SERVER, echoes.port) for g in (a, b))
        self.assertEqual(ta.sport, tb.sport)
        ta.send(b"a" * 10)
        tb.send(b"b" * 10)
        self.assertEqual((ta.recv(10), tb.recv(10)), (b"a" * 10, b"b" * 10))
        for g in (a, b):
            g.udp(SERVER, udp_echo.port, g.mac, 777)
        for g in (a, b):
            self.assertEqual(g.take_udp(SERVER, udp_echo.port, 777), g.mac)

    def test_echo(self):
        g = self.up()
        self.assertEqual(g.echo(ROUTER, b"x" * 1000)[8:], b"x" * 1000)

    def test_names(self):
        g = self.up()
        self.assertEqual(g.lookup("example.com"), (0, [SERVER]))
        self.assertEqual(g.lookup("example.com", server="8.8.8.8"), (0, [SERVER]), "whoever is asked")
        self.assertEqual(g.lookup("denied.test")[0], 5)
        self.assertEqual(g.lookup("who.test")[1], ["198.51.100.9"], "session.id, which is an address here")
        t = g.tcp(ROUTER, 53)
        q = question("example.com")
        t.send(struct.pack(">H", len(q)) + q)
        n, = struct.unpack(">H", t.recv(2))
        self.assertEqual(t.recv(n)[-4:], ip(SERVER))

    def test_tcp(self):
        g = self.up()
        t = g.tcp(SERVER, echoes.port)
        t.send(BIG[:300000])
        self.assertEqual(t.recv(300000), BIG[:300000])
        t.fin()
        self.assertEqual(t.recv_all(), b"")

    def test_half_close(self):
        g = self.up()
        t = g.tcp(SERVER, fins.port)
        t.send(BIG[:100000])
        t.fin()
        self.assertEqual(t.recv_all(), b"heard 100000\n")

    def test_segments_and_windows(self):
        g = self.up()
        for mss, most in ((1460, 1460), (536, 536), (None, 536)):
            t = g.tcp(SERVER, pours.port, mss=mss)
            self.assertEqual(t.recv_all(), BIG)
            self.assertLessEqual(max(t.sizes), most)
        t = g.tcp(SERVER, pours.port, window=2000)
        flying, at = 0, t.ack
        while flying < 2000:  # nothing is acknowledged: no more than the window comes
            flags, seq, _, data, _ = t.next()
            self.assertEqual(seq, (at + flying) % 2**32)
            flying += len(data)
        self.assertEqual(flying, 2000)
        t.ack, t.window, t.data = (at + flying) % 2**32, 65535, BIG[:2000]
        t.segment(ACK)
        self.assertEqual(t.recv_all(), BIG)

    def test_sequence_numbers(self):
        g = self.up()
        isns = [g.tcp(SERVER, echoes.port, isn=2**32 - 5).isn for _ in range(8)]
        self.assertEqual(len(set(isns)), 8)
        self.assertGreater(max(isns) - min(isns), 1 << 24)
        t = g.tcp(SERVER, echoes.port, isn=2**32 - 5)  # wraps in the first bytes
        t.send(b"0123456789abcdef")
        self.assertEqual(t.recv(16), b"0123456789abcdef")
        # what comes twice is taken once, what comes too early is asked for again
        t.segment(PSH | ACK, b"cdef", seq=(t.seq - 4) % 2**32)
        t.segment(PSH | ACK, b"later", seq=(t.seq + 3) % 2**32)
        t.segment(PSH | ACK, b"now")
        t.seq = (t.seq + 3) % 2**32
        t.segment(PSH | ACK, b"later")
        t.seq = (t.seq + 5) % 2**32
        self.assertEqual(t.recv(8), b"nowlater")

    def test_resets(self):
        g = self.up()
        t = g.tcp(SERVER, resets.port)
        t.send(b"?")
        with self.assertRaises(Reset):
            t.recv(1)
        with self.assertRaises(Reset):
            g.tcp(SERVER, 9).recv(1)
        self.assertTrue(wait_for("event", lambda: self.gw.events_of(source="gateway", reason="no discard")))
        with self.assertRaises(Reset):
            g.tcp("10.9.9.9", 80).recv(1)
        with self.assertRaises(Reset):
            g.tcp("100.64.0.1", 80).recv(1)
        e = wait_for("event", lambda: self.gw.events_of(type="net_connect", remote="10.9.9.9:80"))
        self.assertEqual(e[0]["effective_action"], "blocked")
        with self.assertRaises(Reset):
            g.tcp(ROUTER, echoes.port).recv(1)

    def test_udp(self):
        g = self.up()
        for n in (0, 1, 1472):
            p = g.udp(SERVER, udp_echo.port, BIG[:n])
            self.assertEqual(g.take_udp(SERVER, udp_echo.port, p), BIG[:n])
        for to, port in ((SERVER, 9), ("10.9.9.9", 5000)):
            p = g.udp(to, port, b"no")
            icmp = g.take_ip(1, None, lambda m: m if m[:2] == b"\3\x0d" else None)
            self.assertEqual((icmp[20:24], icmp[24:28], icmp[28:32]), (ip(SELF), ip(to), struct.pack(">HH", p, port)))
            self.assertEqual(csum(icmp[8:28]), 0)

    def test_nonsense(self):
        g = self.up()
        for b in (b"", b"x", os.urandom(13), os.urandom(14), os.urandom(60), os.urandom(1500)):
            g.ws.send(b if self.raw else l2(FRAME, b))
        for type in (0x86dd, 0x8100, 0x1234):
            g.send(ROUTER_MAC, type, os.urandom(50))
        g.send_ip(6, SERVER, b"\0" * 3)
        g.send(ROUTER_MAC, 0x800, b"\x4f" + b"\xff" * 30)
        g.send(ROUTER_MAC, 0x800, ipv4(17, "10.0.2.99", SERVER, b"\0" * 8))
        g.send(ROUTER_MAC, 0x800, ipv4(17, SELF, SERVER, b"\0" * 8, frag=0x2005))
        g.ws.send(b"text", 1)
        self.assertEqual(g.echo(ROUTER)[:2], b"\0\0")
        # what stands behind a packet in its frame is nobody's
        pkt = ipv4(1, SELF, ROUTER, bytes.fromhex("0800f7f700080000"))
        g.send(ROUTER_MAC, 0x800, pkt + b"garbage" * 50)
        self.assertEqual(len(g.take_ip(1, ROUTER, lambda p: p)), 8)

    def test_another_mac(self):
        g = self.up()
        g.mac = b"\x02\x22\x22\x22\x22\x22"
        self.assertEqual(g.echo(ROUTER)[:2], b"\0\0")
        self.assertEqual(g.arp(ROUTER), ROUTER_MAC)
        g.send(ROUTER_MAC, 0x800, ipv4(1, SELF, ROUTER, bytes.fromhex("0800f7f700080000")))
        self.assertEqual(g.frame()[:6], g.mac)


class Raw(Network):
    path, raw = "/raw", True

    def test_subprotocols(self):
        self.assertNotIn("sec-websocket-protocol", self.gw.ws("/raw").answer.lower())
        self.assertIn("sec-websocket-protocol: foo\r\n", self.gw.ws("/raw", protocol="aero-l2-token.x, foo, bar").answer + "\r\n")

    def test_sizes(self):
        g = self.up()
        g.send(ROUTER_MAC, 0x800, (ipv4(1, SELF, ROUTER, bytes.fromhex("0800f7f700080000")) + bytes(20000))[:16384 - 14])
        g.take_ip(1, ROUTER, lambda p: p)
        g.ws.send(bytes(16385))
        g.ws.send(bytes(65536))
        self.assertEqual(g.echo(ROUTER)[:2], b"\0\0")


class Members(unittest.TestCase):
    def test_names_are_tied(self):
        """What one browser looked up says something about its own connections, and nothing about others'."""
        gw = gateway(auth="session")
        self.addCleanup(gw.stop)
        a, b = (Guest(gw, fields=[("Cookie", gw.http("POST", "/session")[1]["set-cookie"].split(";")[0])]) for _ in range(2))
        for g in (a, b):
            self.addCleanup(g.ws.s.close)
            g.dhcp()
        self.assertEqual(a.lookup("by-name.test"), (0, [SERVER]))
        t = b.tcp(SERVER, echoes.port)
        t.send(b"mine")
        self.assertEqual(t.recv(4), b"mine")
        with self.assertRaises(Reset):
            a.tcp(SERVER, echoes.port).recv(1)
        e = wait_for("event", lambda: gw.events_of(reason="known by its name"))
        self.assertRegex(e[0]["session_id"], "^[0-9a-f]{32}$")
        self.assertEqual(e[0]["source"], "gateway")


class Tunnel(unittest.TestCase):
    """Messages of the tunnel, its limits and its ends."""

    def tunnel(self, gw, path="/l2", **kw):
        ws = gw.ws(path, protocol=L2, **kw)
        ws.s.settimeout(WAIT)
        self.addCleanup(ws.s.close)
        return ws

    def end(self, ws):
        """ERROR (if any) and Close: (code, text), status, reason."""
        error = None
        while True:
            op, data = ws.recv()
            if op == 8:
                return error, struct.unpack(">H", data[:2])[0], data[2:].decode()
            if data[2] == ERROR:
                code, n = struct.unpack(">HH", data[4:8])
                assert len(data) == 8 + n
                error = code, data[8:].decode()

    def gateway(self, *words, **kw):
        gw = gateway(*(["--ethernet", ",".join(words)] if words else []), **kw)
        self.addCleanup(gw.stop)
        return gw

    def test_paths_and_messages(self):
        gw = self.gateway()
        for path in ("/l2", "/l2/", "/eth", "/eth/", "/l2?x=1"):
            ws = self.tunnel(gw, path)
            self.assertIn("sec-websocket-protocol: " + L2, ws.answer.lower())
            for p in (b"", b"\1\2\3\4", os.urandom(256)):
                ws.send(l2(PING, p))
                self.assertEqual(ws.recv(), (2, l2(PONG, p)))
            for m in (l2(PONG, b"12345678"), l2(ERROR, b"?"), l2(0x55, b"x" * 256), l2(FRAME, b""), l2(FRAME, bytes(2048))):
                ws.send(m)
            ws.send(b"text", 1)
            ws.send(l2(PING, b"p", flags=0xFF))
            self.assertEqual(ws.recv(), (2, l2(PONG, b"p")))
            ws.close()
        limits = json.loads(gw.http("POST", "/session")[2])
        self.assertEqual((limits["endpoints"]["l2"], limits["limits"]["l2"]), ("/l2", {"maxFramePayloadBytes": 2048, "maxControlPayloadBytes": 256}))

    def test_garbage(self):
        gw = self.gateway()
        for m, text in ((b"\xa2", "message too short: 1 < 4"), (b"\xa3\3\0\0", "invalid magic: 0xa3"), (b"\xa2\2\0\0", "unsupported version: 0x02"),
                        (l2(PING, bytes(257)), "payload too large: 257 > 256"), (l2(0x40, bytes(257)), "payload too large: 257 > 256")):
            ws = self.tunnel(gw)
            ws.send(m)
            self.assertEqual(self.end(ws), ((1, text), 1008, text))
        ws = self.tunnel(gw)
        ws.send(l2(FRAME, bytes(2049)))  # over the channel's own limit: no last word
        self.assertEqual(ws.recv_close()[1], b"")
        self.assertEqual(gw.metric("l2_sessions_closed_protocol_error_total"), 5)
        wait_for("gauge", lambda: gw.metric("l2_sessions_active") == 0)

    def test_vectors(self):
        here = os.path.dirname(os.path.abspath(__file__))
        with open(here + "/../../data/aero/l2-tunnel-v1.json") as f:
            vectors = json.load(f)
        gw = self.gateway()
        self.assertEqual(len(vectors["vectors"]), 10)
        for v in vectors["vectors"]:
            wire = base64.b64decode(v["wire_b64"])
            ws = self.tunnel(gw)
            ws.send(wire)
            ws.send(l2(PING, b"end"))
            if not v.get("expectError"):
                if wire[2] == PING:
                    self.assertEqual(ws.recv(), (2, wire[:2] + b"\2\0" + base64.b64decode(v["payload_b64"])))
                self.assertEqual(ws.recv(), (2, l2(PONG, b"end")), v)
            elif len(wire) <= 4 + 2048:
                error, status, reason = self.end(ws)
                self.assertEqual((error[0], status, error[1]), (1, 1008, reason), v)
                self.assertIn(v["errorContains"], reason)
            else:  # longer than any message: the channel ends
                self.assertEqual(ws.recv_close()[1], b"")

    def test_byte_quota(self):
        gw = self.gateway("bytes=64")
        ws = self.tunnel(gw)
        ws.send(l2(PING, bytes(28)))
        self.assertEqual(ws.recv(), (2, l2(PONG, bytes(28))))  # 64 in both directions
        ws.send(b"", 1)
        ws.send(l2(0x50, b""))
        self.assertEqual(self.end(ws), ((6, "byte quota exceeded"), 1008, "byte quota exceeded"))
        ws = self.tunnel(gw)
        ws.send(bytes(65))
        self.assertEqual(self.end(ws)[0][0], 6)
        self.assertEqual(gw.metric("l2_sessions_closed_quota_bytes_total"), 2)

    def test_rate_quota(self):
        gw = self.gateway("rate=10")
        ws = self.tunnel(gw)
        ws.raw(ws.frame(1, b"") * 2000)
        self.assertEqual(self.end(ws), ((7, "frame rate quota exceeded"), 1008, "frame rate quota exceeded"))
        self.assertEqual(gw.metric("l2_sessions_closed_quota_fps_total"), 1)

    def test_keep_alive_and_idle(self):
        gw = self.gateway("ping-ms=20")
        ws = self.tunnel(gw)
        for n in range(1, 4):
            self.assertEqual(ws.recv(), (2, l2(PING, struct.pack(">Q", n))))
            ws.send(l2(PONG, struct.pack(">Q", n)))
        gw = self.gateway("idle-ms=50")
        self.assertEqual(self.end(self.tunnel(gw)), (None, 1008, "idle timeout"))
        self.assertEqual(gw.metric("aero_l2_idle_timeouts_total"), 1)

    def test_who_does_not_read(self):
        gw = self.gateway("queue=65536")

        def small():
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.connect(("127.0.0.1", gw.port))
            return s
        gw.socket, normal = small, gw.socket
        g = Guest(gw)
        gw.socket = normal
        g.dhcp()
        all = [g.tcp(SERVER, pours.port, window=0) for _ in range(64)]
        for t in all:  # 4 MiB may come now, and nobody reads them
            t.window = 65535
            t.segment(ACK)
        wait_for("the end", lambda: gw.metric("l2_sessions_closed_backpressure_total") == 1)
        wait_for("gauges", lambda: gw.metric("l2_sessions_active") == 0 and gw.metric("l2_tcp_conns_active") == 0)

    def test_shutdown(self):
        gw = self.gateway()
        ws = self.tunnel(gw)
        raw = gw.ws("/raw")
        gw.p.terminate()
        self.assertEqual(self.end(ws), (None, 1001, "shutting down"))
        self.assertEqual(raw.recv()[1], struct.pack(">H", 1001) + b"shutting down")

    # --- who may come in

    def refusal(self, gw, path="/l2", protocol=L2, fields=()):
        with self.assertRaises(Refused) as e:
            gw.ws(path, fields, protocol=protocol)
        return e.exception.status, e.exception.text

    def test_refusals_in_order(self):
        gw = self.gateway("origin", auth="session")
        missing = 'missing required websocket subprotocol "aero-l2-tunnel-v1"'
        bad = [("Origin", "https://evil.test")]
        for protocol in (None, "foo", "aero-l2-tunnel-v1x"):
            self.assertEqual(self.refusal(gw, protocol=protocol, fields=bad), (400, missing))
        self.assertEqual(self.refusal(gw, fields=bad), (401, "missing or expired session"))
        cookie = ("Cookie", gw.http("POST", "/session")[1]["set-cookie"].split(";")[0])
        self.assertEqual(self.refusal(gw, fields=[cookie]), (403, "missing Origin header"))
        self.assertEqual(self.refusal(gw, fields=[cookie] + bad), (403, "Origin not allowed: https://evil.test"))
        self.assertEqual(self.refusal(gw, fields=[cookie, ("Origin", "https://a/b")]), (403, "invalid Origin header: https://a/b"))
        good = [cookie, ("Origin", "https://gw.test")]
        gw.ws("/l2", good, protocol=f"aero-l2-token.{cookie[1].split('=')[1]}, {L2}")
        gw.ws("/l2", [good[1]], protocol=f"{L2}, aero-l2-token.{cookie[1].split('=')[1]}")
        self.assertEqual(gw.metric("l2_sessions_total"), 2)
        self.assertEqual(gw.metric("l2_upgrade_rejected_total"), 7)
        status, text = self.refusal(gw, "/raw", None, [good[1]])
        self.assertEqual(status, 401)
        self.assertEqual(gw.http("GET", "/l2")[0], 400)

    def test_limits(self):
        for words, text in ((("address-max=2",), "max connections per ip exceeded"), (("max=2",), "max connections exceeded"),
                            (("session-max=2",), "quota_connections: max connections per session exceeded")):
            gw = self.gateway(*words)
            held = [self.tunnel(gw), self.tunnel(gw, "/eth")]
            self.assertEqual(self.refusal(gw), (429, text))
            held.pop().s.close()
            wait_for("room", lambda: gw.metric("l2_sessions_active") == 1)
            self.tunnel(gw)

    def test_off(self):
        gw = self.gateway("off")
        self.assertEqual(self.refusal(gw)[0], 404)
        self.assertNotIn("l2", json.loads(gw.http("POST", "/session")[2])["endpoints"])

    def test_capture(self):
        dir = tempfile.mkdtemp(dir=TMP)
        gw = gateway("--pcap", dir)
        g = Guest(gw)
        g.dhcp()
        g.ws.close()
        gw.stop()
        name, = glob.glob(dir + "/*")
        self.assertRegex(os.path.basename(name), r"^\d{13}-session-1\.pcapng$")
        with open(name, "rb") as f:
            text = f.read()
        self.assertEqual(text.count(bytes.fromhex("63825363")), 4)
        self.assertIn(g.mac, text)


class Many(unittest.TestCase):
    def test_a_thousand_tunnels(self):
        """They cost what they are, floods of them included, and nothing is left of them."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard < 4096:
            self.skipTest("too few descriptors")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
        gw = gateway("--max-session-websockets", "2000")
        self.addCleanup(gw.stop)

        def rss():
            with open(f"/proc/{gw.p.pid}/statm") as f:
                return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        Guest(gw).arp(ROUTER)
        before, all = rss(), [Guest(gw) for _ in range(1000)]
        for g in all:
            self.assertEqual(g.arp(ROUTER), ROUTER_MAC)
        self.assertLess((rss() - before) / len(all), 128 << 10)
        junk = all[0].ws.frame(2, l2(FRAME, all[0].mac + bytes(2042))) * 500
        for g in all[:20]:
            g.ws.raw(junk)
        for g in all[::50]:
            self.assertEqual(g.arp(ROUTER), ROUTER_MAC)
        for g in all:
            g.ws.s.close()
        wait_for("gauges", lambda: gw.metric("l2_sessions_active") <= 1)


class Rooms(unittest.TestCase):
    """Guests that see each other."""

    def pair(self, gw, a="/raw?room=r", b="/raw?room=r", **kw):
        out = [Guest(gw, p, True, mac=bytes([2, 0x33, 0, 0, 0, i + 1]), **kw) for i, p in enumerate((a, b))]
        for g in out:
            self.addCleanup(g.ws.s.close)
            g.dhcp()
        return out

    def gateway(self, *words, **kw):
        gw = gateway("--ethernet", ",".join(words), **kw)
        self.addCleanup(gw.stop)
        return gw

    def test_one_room(self):
        a, b = self.pair(self.gateway("rooms=all"))
        self.assertEqual(sorted([a.addr, b.addr]), ["10.0.2.15", "10.0.2.16"])
        # ARP from one to the other, and back; nothing of what one says comes back to it
        a.send(EVERYBODY, 0x806, struct.pack(">HHBBH6s4s6s4s", 1, 0x800, 6, 4, 1, a.mac, ip(a.addr), b"", ip(b.addr)))
        b.take(lambda f: f if f[:6] == EVERYBODY and f[6:12] == a.mac and f[38:42] == ip(b.addr) else None)
        b.send(a.mac, 0x806, struct.pack(">HHBBH6s4s6s4s", 1, 0x800, 6, 4, 2, b.mac, ip(b.addr), a.mac, ip(a.addr)))
        self.assertEqual(a.take(lambda f: f[6:12] if f[20:22] == b"\0\2" and f[28:32] == ip(b.addr) else None), b.mac)
        # unknown stations are nobody's
        a.send(b"\x02\x44\x44\x44\x44\x44", 0x9000, b"unknown" * 8)
        for g in (a, b):
            g.echo(ROUTER)
            self.assertEqual([f for f in g.kept if f[12:14] == b"\x90\0" or f[6:12] == g.mac], [])
        # both reach the world
        for g in (a, b):
            t = g.tcp(SERVER, echoes.port)
            t.send(g.mac)
            self.assertEqual(t.recv(6), g.mac)

    def test_other_rooms(self):
        for words, auth in (("rooms=all", "none"), ("rooms=none", "none")):
            a, b = self.pair(self.gateway(words, auth=auth), b="/raw?room=q")
            self.assertEqual((a.addr, b.addr), (SELF, SELF))

    def test_rooms_of_sessions(self):
        gw = self.gateway("rooms=session", auth="session")
        cookies = [[("Cookie", gw.http("POST", "/session")[1]["set-cookie"].split(";")[0])] for _ in range(2)]
        a, b = self.pair(gw, fields=cookies[0])
        self.assertEqual({a.addr, b.addr}, {"10.0.2.15", "10.0.2.16"})
        c = Guest(gw, "/raw?room=r", True, fields=cookies[1])
        c.dhcp()
        self.assertEqual(c.addr, SELF)
        self.addCleanup(c.ws.s.close)

    def test_bad_names(self):
        gw = self.gateway("rooms=all,raw=/wstap")
        for name in ("a%20b", "x" * 65, "%00", "%0a"):
            with self.assertRaises(Refused) as e:
                gw.ws("/wstap?room=" + name)
            self.assertEqual(e.exception.status, 400)
        gw.ws("/wstap?room=" + "x" * 64).close()
        wait_for("gauge", lambda: gw.metric("l2_sessions_active") == 0)


if __name__ == "__main__":
    unittest.main()

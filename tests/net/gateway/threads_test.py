#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""moonfence gateway --threads N with what is on one thread only, guests on Ethernet and WebRTC: whichever thread a client's connection came to."""
import base64, hashlib, hmac, re, signal, socket, struct, subprocess, tempfile, threading, time, unittest

from guest import *

HERE = os.path.dirname(os.path.abspath(__file__))
with open_file(HERE + "/../../data/gateway/sdp/chromium.sdp", newline="") as f:
    SDP = f.read()
OFFER = {"type": "offer", "sdp": {"type": "offer", "sdp": SDP}}
POLICY = """
return {
  name = "threads",
  connect = function(c)
    if c.source ~= "gateway" then return deny "not from a gateway" end
    if tostring(c.ip) == "192.0.2.1" then return redirect("127.0.0.1:" .. c.port) end
    return allow()
  end,
}
"""
SERVER = "192.0.2.1"
upstream, echoes, udp_echo = Udp(dns_answer), Server(echo), Udp(lambda d: d)
TCP = f"/tcp?host=127.0.0.1&port={echoes.port}"
EVERY = 24  # connections: that one of three threads gets none of so many is a chance of one in 16,000, and nothing here fails then
with open_file(TMP + "/jwt", "w") as f:
    f.write("another\n")


def b64url(b):
    return base64.urlsafe_b64encode(b).rstrip(b"=").decode()


def jwt(sid):
    text = b64url(b'{"alg":"HS256","typ":"JWT"}') + "." + b64url(json.dumps({"iat": 1, "exp": int(time.time()) + 1000, "sid": sid}).encode())
    return text + "." + b64url(hmac.new(b"another", text.encode(), hashlib.sha256).digest())


def certificate():
    cert, key = tempfile.mktemp(dir=TMP), tempfile.mktemp(dir=TMP)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=gw.test",
                    "-keyout", key, "-out", cert], check=True, capture_output=True)
    return ["--tls-cert", cert, "--tls-key", key]


class Case(unittest.TestCase):
    def gateway(self, *args, auth="none", **kw):
        gw = Gateway("--auth", auth, "--threads", "3", "--dns", f"127.0.0.1:{upstream.port}", "--dns-rate", "0", "--open", "192.0.2.0/24",
                     "--webrtc-port", "127.0.0.1:0", *args, policy=POLICY, **kw)
        self.addCleanup(self.end, gw)
        return gw

    def end(self, gw):
        if gw.p.poll() is None:
            self.assertEqual(gw.stop(), 0)

    def open(self, gw, path, **kw):
        ws = gw.ws(path, **kw)
        self.addCleanup(lambda: ws.s.close())  # it is kept so long
        return ws

    def guest(self, gw, path, raw, **kw):
        g = Guest(gw, path, raw, **kw)
        self.addCleanup(lambda: g.ws.s.close())
        return g

    def moved(self, gw):
        return gw.metric("moonfence_gateway_moved_total")

    def until_moved(self, gw, make):
        """What @make makes, so often that connections of it came to another thread and to the first one."""
        began, out = self.moved(gw), []
        while len(out) < 6 or not 0 < self.moved(gw) - began < len(out):
            out.append(make())
        return out

    def status(self, gw, path, **kw):
        try:
            return 101, self.open(gw, path, **kw)
        except Refused as e:
            return e.status, None


class Guests(Case):
    def test_all_reach_the_one_network(self):
        gw = self.gateway()
        tcp = [self.open(gw, TCP) for _ in range(EVERY)]
        guests = [self.guest(gw, path, raw) for path, raw in (("/l2", False), ("/eth", False), ("/raw", True)) for _ in range(8)]
        guests += self.until_moved(gw, lambda: self.guest(gw, "/l2", False))
        for g in guests:
            g.dhcp()
            self.assertEqual(g.addr, SELF)
        conns = [g.tcp(SERVER, echoes.port) for g in guests]
        for i, t in enumerate(conns):
            t.send(b"guest %02d" % i)
        for i, ws in enumerate(tcp):
            ws.send(b"tcp %02d" % i)
        for i, t in enumerate(conns):
            self.assertEqual(t.recv(8), b"guest %02d" % i)
        for i, ws in enumerate(tcp):
            self.assertEqual(ws.recv(), (2, b"tcp %02d" % i))
        for g in guests:
            g.udp(SERVER, udp_echo.port, g.mac, 777)
            self.assertEqual(g.take_udp(SERVER, udp_echo.port, 777), g.mac)
            self.assertEqual(g.lookup("example.com"), (0, [SERVER]))
        for _ in range(8):  # whichever thread is asked
            self.assertEqual(gw.metric("l2_sessions_active"), len(guests))
            self.assertEqual(gw.metric("moonfence_gateway_websockets"), len(guests) + len(tcp))
        self.assertGreaterEqual(gw.metric('moonfence_gateway_thread_websockets{thread="0"}'), len(guests))
        for g in guests:
            g.ws.close()
        wait_for("no guest", lambda: gw.metric("l2_sessions_active") == 0)

    def test_a_room_is_one_room(self):
        gw = self.gateway("--ethernet", "rooms=all")
        serial = iter(range(1, 250))
        guests = self.until_moved(gw, lambda: self.guest(gw, "/raw?room=r", True, mac=bytes([2, 0x33, 0, 0, 0, next(serial)])))
        for g in guests:
            g.dhcp()
        self.assertEqual(len({g.addr for g in guests}), len(guests))
        for g in guests:
            g.send(EVERYBODY, 0x9000, b"from " + g.mac + b"." * 50)
        for g in guests:
            for other in guests:
                if other is not g:
                    g.take(lambda f: f if f[:6] == EVERYBODY and f[6:12] == other.mac and f[12:14] == b"\x90\0" else None)

    def test_tls_goes_with_it(self):
        """And what was sent behind the request, in the same record: it has been decrypted by another thread."""
        gw = self.gateway(*certificate(), tls=True)
        arp = EVERYBODY + b"\x02\x11\x22\x33\x44\x55" + b"\x08\x06" + struct.pack(">HHBBH6s4s6s4s", 1, 0x800, 6, 4, 1, b"\x02\x11\x22\x33\x44\x55", ip(SELF), b"", ip(ROUTER))
        frame = b"\x82" + bytes([0x80 | len(arp)]) + b"\0\0\0\0" + arp  # masked by zeros
        for ws in self.until_moved(gw, lambda: self.open(gw, "/raw", early=frame)):
            op, data = ws.recv()
            self.assertEqual((op, data[12:14], data[22:28]), (2, b"\x08\x06", ROUTER_MAC))
            ws.send(arp)
            self.assertEqual(ws.recv()[1][22:28], ROUTER_MAC)
            self.assertEqual(ws.close()[0], 1000)

    def test_behind_other_requests(self):
        """Answers that wait, and the address that a balancer has told, go as well."""
        gw = self.gateway("--trusted-proxy", "127.0.0.1", "--proxy-protocol")
        gw.socket_plain = gw.socket
        upgrade = (b"GET /raw HTTP/1.1\r\nHost: gw.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                   b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
        proxied = b"PROXY TCP4 203.0.113.9 127.0.0.1 4444 80\r\n"

        def plain(method, path, fields=(), body=b""):  # metrics are behind the balancer, too
            with gw.socket_plain() as s:
                s.sendall(proxied + f"{method} {path} HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\n\r\n".encode())
                head, _, body = b"".join(iter(lambda: s.recv(65536), b"")).partition(b"\r\n\r\n")
            return int(head.split()[1]), {}, body
        gw.http = plain

        def one():
            s = gw.socket_plain()
            self.addCleanup(s.close)
            s.sendall(proxied + b"GET /healthz HTTP/1.1\r\nHost: gw.test\r\n\r\nGET /version HTTP/1.1\r\nHost: gw.test\r\n\r\n" + upgrade)
            got = b""
            while b"HTTP/1.1 101" not in got or not got.endswith(b"\r\n\r\n"):
                b = s.recv(65536)
                self.assertNotEqual(b, b"", got)
                got += b
            self.assertEqual(re.findall(rb"HTTP/1.1 (\d+) ", got), [b"200", b"200", b"101"])
            return s
        cnt = len(self.until_moved(gw, one))
        wait_for("events", lambda: len(gw.events_of(type="gateway_open", kind="ethernet")) == cnt)
        self.assertEqual({e["fields"]["client"] if "fields" in e else e["client"] for e in gw.events_of(type="gateway_open")}, {"203.0.113.9:4444"})

    def test_what_is_no_upgrade_is_told_by_any(self):
        gw = self.gateway()
        for _ in range(EVERY):
            self.assertEqual(gw.http("GET", "/l2")[0], 400)
            self.assertEqual(gw.http("GET", "/webrtc/signal")[0], 400)
        self.assertEqual(self.moved(gw), 0)
        for _ in range(8):
            self.assertEqual(self.status(gw, "/l2")[0], 400)  # without its subprotocol
        off = self.gateway("--ethernet", "off")
        for _ in range(8):
            self.assertEqual(self.status(off, "/l2", protocol=L2)[0], 404)
        self.assertEqual(self.moved(off), 0)

    def test_clients_that_leave_on_the_way(self):
        gw = self.gateway()
        for i in range(200):
            s = gw.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", i & 1, 0))
            s.sendall(b"GET /raw HTTP/1.1\r\nHost: gw.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                      b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" + (b"Content-Length: 5\r\n\r\nab" if i & 2 else b"\r\n"))
            s.close()
        g = self.guest(gw, "/raw", True)
        g.dhcp()
        wait_for("the others are gone", lambda: gw.metric("l2_sessions_active") == 1)
        self.assertEqual(gw.metric("moonfence_gateway_websockets"), 1)


class Limits(Case):
    def test_of_guests(self):
        for words, args in (("max=5", ()), ("address-max=5", ()), ("session-max=5", ())):
            gw = self.gateway("--ethernet", words, *args)
            got = [self.status(gw, "/raw") for _ in range(EVERY)]
            self.assertEqual([s for s, _ in got].count(101), 5, words)
            self.assertEqual([s for s, _ in got].count(429), EVERY - 5, words)
            got[0][1].close()
            wait_for("room for one", lambda: gw.metric("l2_sessions_active") == 4)
            self.assertEqual([self.status(gw, "/raw")[0] for _ in range(2)], [101, 429])
            self.doCleanups()

    def test_of_websockets_whatever_they_are(self):
        paths = [(TCP, None), ("/l2", L2), ("/udp", None), ("/webrtc/signal", None)]
        for option in ("--max-connections", "--max-session-websockets", "--max-address-connections"):
            gw = self.gateway(option, "10")
            with self.subTest(option):
                got = self.at_once(lambda i: self.status(gw, paths[i % 4][0], protocol=paths[i % 4][1])[0], EVERY)
                self.assertEqual([got.count(101), got.count(429)], [10, EVERY - 10])
            self.doCleanups()

    def at_once(self, fn, cnt):
        """fn(i) for @cnt values of i, in as many threads that begin together."""
        out, gate = [None] * cnt, threading.Barrier(cnt)

        def one(i):
            gate.wait()
            try:
                out[i] = fn(i)
            except Exception as e:
                out[i] = e
        all = [threading.Thread(target=one, args=(i,)) for i in range(cnt)]
        for t in all:
            t.start()
        for t in all:
            t.join()
        return out

    def relay(self, gw, path, token=None):
        """(its first word, the WebSocket) of a session of the relay, by /udp or by an offer."""
        ws = self.open(gw, path + (f"?token={token}" if token else ""))
        if path == "/webrtc/signal":
            ws.send(json.dumps(OFFER).encode(), 1)
        m = json.loads(ws.recv()[1])
        return m.get("code", m["type"]), ws

    def test_of_relay_sessions(self):
        gw = self.gateway("--relay", "sessions=5")
        got = self.at_once(lambda i: self.relay(gw, ("/udp", "/webrtc/signal")[i & 1])[0], EVERY)
        self.assertEqual(got.count("ready") + got.count("answer"), 5, got)
        self.assertEqual(got.count("too_many_sessions"), EVERY - 5, got)
        for _ in range(4):
            status, _, body = gw.http("POST", "/webrtc/offer", [("Content-Type", "application/json")], json.dumps({"type": "offer", "sdp": SDP}).encode())
            self.assertEqual((status, json.loads(body)["code"]), (503, "too_many_sessions"))

    def test_a_session_has_one(self):
        gw = self.gateway("--jwt-secret-file", TMP + "/jwt", auth="jwt")
        for round in range(6):
            token = jwt(f"round-{round}")
            got = self.at_once(lambda i: self.relay(gw, ("/udp", "/webrtc/signal")[(i ^ round) & 1], token)[0], 16)
            self.assertEqual(len([g for g in got if g in ("ready", "answer")]), 1, got)
            self.assertEqual(got.count("session_already_active"), 15, got)
            # and offers over HTTP are no way around it, whoever has the session
            for status in self.at_once(lambda i: gw.http("POST", "/webrtc/offer", [("Content-Type", "application/json"), ("Authorization", "Bearer " + token)],
                                                         json.dumps({"type": "offer", "sdp": SDP}).encode())[0], 6):
                self.assertEqual(status, 409)


class WebRTC(Case):
    """Signalling; tests/net/gateway/browser_test.py has a browser with data channels beside several threads."""

    def test_signalling(self):
        gw = self.gateway()
        for ws in self.until_moved(gw, lambda: self.open(gw, "/webrtc/signal")):
            ws.send(json.dumps(OFFER).encode(), 1)
            m = json.loads(ws.recv()[1])
            self.assertEqual((m["type"], m["sdp"]["type"]), ("answer", "answer"))
            self.assertEqual(json.loads(ws.recv()[1])["type"], "candidate")
            ws.send(b'{"type":"close"}', 1)
            self.assertEqual(ws.recv_close()[0], 1000)

    def test_offers(self):
        gw = self.gateway()
        body = json.dumps({"sdp": {"type": "offer", "sdp": SDP}})
        ids = set()
        for _ in range(EVERY):
            status, _, got = gw.http("POST", "/webrtc/offer", [("Content-Type", "application/json")], body.encode())
            got = json.loads(got)
            self.assertEqual((status, got["sdp"]["type"]), (200, "answer"))
            ids.add(got["sessionId"])
        self.assertEqual(len(ids), EVERY)
        for _ in range(8):
            self.assertEqual(gw.http("POST", "/webrtc/offer", [("Content-Type", "application/json")], b'{"type":"offer","sdp":"v=0"}')[0], 400)
            self.assertEqual(gw.http("POST", "/webrtc/offer", [("Content-Type", "application/json")], b"no")[0], 400)
            self.assertEqual(json.loads(gw.http("GET", "/webrtc/ice")[2]), {"iceServers": []})
        self.assertEqual(self.moved(gw), 0)

    def test_offers_by_http2(self):
        gw = self.gateway()
        if "HTTP2" not in subprocess.run(["curl", "--version"], capture_output=True, text=True).stdout:
            self.skipTest("this curl has no HTTP/2")
        with open_file(TMP + "/offer", "w") as f:
            json.dump({"sdp": {"type": "offer", "sdp": SDP}}, f)
        for _ in range(8):
            r = subprocess.run(["curl", "-s", "--noproxy", "*", "--http2-prior-knowledge", "-w", "\n%{http_code} %{http_version}", "-H", "Content-Type: application/json",
                                "--data-binary", "@" + TMP + "/offer", f"http://127.0.0.1:{gw.port}/webrtc/offer"], capture_output=True, text=True, timeout=WAIT)
            got, how = r.stdout.rsplit("\n", 1)
            self.assertEqual((how, json.loads(got)["sdp"]["type"]), ("200 2", "answer"))


class End(Case):
    def test_guests_are_told_and_nobody_comes(self):
        gw = self.gateway("--drain", "600")
        guests = self.until_moved(gw, lambda: self.guest(gw, "/l2", False))
        kept = [gw.socket() for _ in range(EVERY)]
        for s in kept:
            self.addCleanup(s.close)
            s.sendall(b"GET /readyz HTTP/1.1\r\nHost: gw.test\r\n\r\n")
            self.assertIn(b" 200 ", s.recv(65536))
        gw.p.send_signal(signal.SIGTERM)
        for s in kept:  # they were connected before
            s.sendall(b"GET /l2 HTTP/1.1\r\nHost: gw.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                      b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: " + L2.encode() + b"\r\n\r\n")
            self.assertRegex(s.recv(65536), b"^HTTP/1.1 (503|101) ")  # 101 where the signal has not been heard yet
        guests[0].dhcp()
        self.assertIsNone(gw.p.poll())
        gw.p.send_signal(signal.SIGTERM)
        self.assertEqual(gw.p.wait(WAIT), 0)


if __name__ == "__main__":
    unittest.main(warnings="ignore")

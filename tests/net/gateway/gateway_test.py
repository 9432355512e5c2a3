#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""moonfence gateway on loopback: what browsers ask it for, and what they get."""
import base64, hashlib, hmac, json, os, shutil, socket, struct, subprocess, threading, time, unittest

from rig import *

HERE = os.path.dirname(os.path.abspath(__file__))
CERT, KEY = TMP + "/cert.pem", TMP + "/key.pem"
subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=gw.test",
                "-keyout", KEY, "-out", CERT], check=True, capture_output=True)
echoes, fins = Server(echo), Server(echo_then_fin)
upstream = Udp(dns_answer)
udp_echo, udp_echo6 = Udp(lambda d: d), Udp(lambda d: d, socket.AF_INET6)
MUX = "aero-tcp-mux-v1"


def b64url(b):
    return base64.urlsafe_b64encode(b).rstrip(b"=").decode()


def mux(type, stream, payload=b""):
    return struct.pack(">BII", type, stream, len(payload)) + payload


def mux_open(stream, host, port):
    host = host.encode()
    return mux(1, stream, struct.pack(">H", len(host)) + host + struct.pack(">HH", port, 0))


class MuxClient:
    def __init__(self, ws):
        self.ws, self.buf = ws, b""

    def recv(self):
        while len(self.buf) < 9 or len(self.buf) < 9 + struct.unpack(">I", self.buf[5:9])[0]:
            op, data = self.ws.recv()
            assert op == 2, (op, data)
            self.buf += data
        type, stream, n = struct.unpack(">BII", self.buf[:9])
        payload, self.buf = self.buf[9:9 + n], self.buf[9 + n:]
        return type, stream, payload

    def error(self):
        type, stream, payload = self.recv()
        assert type == 4, (type, stream, payload)
        code, n = struct.unpack(">HH", payload[:4])
        assert len(payload) == 4 + n
        return stream, code, payload[4:].decode()


class Open(unittest.TestCase):
    """Nobody has to say who he is."""

    @classmethod
    def setUpClass(cls):
        cls.gw = Gateway("--auth", "none", "--dns", f"127.0.0.1:{upstream.port}", "--dns-rate", "0", "--open", "::1")

    @classmethod
    def tearDownClass(cls):
        assert cls.gw.stop() == 0

    def tcp(self, **kw):
        return self.gw.ws("/tcp?v=1&" + "&".join(f"{k}={v}" for k, v in kw.items()))

    def refusal(self, path, **kw):
        with self.assertRaises(Refused) as e:
            self.gw.ws(path, **kw)
        return e.exception.status, e.exception.text

    # --- HTTP

    def test_health(self):
        for path, want in (("/healthz", {"ok": True}), ("/readyz", {"ok": True, "ready": True})):
            status, fields, body = self.gw.http("GET", path)
            self.assertEqual((status, json.loads(body)), (200, want))
            self.assertEqual(fields["x-content-type-options"], "nosniff")
        status, _, body = self.gw.http("GET", "/version")
        self.assertEqual(sorted(json.loads(body)), ["builtAt", "gitSha", "version"])
        status, fields, body = self.gw.http("GET", "/metrics")
        self.assertTrue(fields["content-type"].startswith("text/plain; version=0.0.4"))
        self.assertIn(b"moonfence_gateway_websockets ", body)
        self.assertIn(b"moonfence_dns_queries_total", body)
        self.assertEqual(self.gw.http("GET", "/nothing")[0], 404)
        self.assertEqual(self.gw.http("GET", "/tcp")[0], 400)

    def test_session(self):
        status, fields, body = self.gw.http("POST", "/session", [("Content-Type", "application/json")], b"{}")
        self.assertEqual(status, 201)
        answer = json.loads(body)
        self.assertEqual(answer["endpoints"]["tcpMux"], "/tcp-mux")
        self.assertRegex(answer["session"]["expiresAt"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        cookie = fields["set-cookie"].split(";")[0]
        self.assertNotIn("Secure", fields["set-cookie"])
        self.assertIn("HttpOnly; SameSite=Lax", fields["set-cookie"])
        sid = json.loads(base64.urlsafe_b64decode(cookie.split("=", 1)[1].split(".")[0] + "=="))["sid"]
        again = self.gw.http("POST", "/session", [("Cookie", cookie), ("X-Forwarded-Proto", "https")])[1]["set-cookie"]
        self.assertNotIn("; Secure", again) # not from just anybody: http_test.py has a trusted proxy
        self.assertEqual(json.loads(base64.urlsafe_b64decode(again.split("=", 1)[1].split(".")[0] + "=="))["sid"], sid)
        for bad in (b"[]", b'"x"', b"text", b"{"):
            self.assertEqual(self.gw.http("POST", "/session", [("Content-Type", "application/json")], bad)[0], 400)
        self.assertEqual(json.loads(self.gw.http("GET", "/session")[2]), {"ok": True})

    def test_cors(self):
        status, fields, _ = self.gw.http("OPTIONS", "/session", [("Origin", "http://gw.test"), ("Access-Control-Request-Headers", "x-a, x-b")])
        self.assertEqual(status, 204)
        self.assertEqual(fields["access-control-allow-origin"], "http://gw.test")
        self.assertEqual(fields["access-control-allow-credentials"], "true")
        self.assertEqual(fields["access-control-allow-headers"], "content-type, x-a, x-b")
        self.assertEqual(self.gw.http("GET", "/healthz", [("Origin", "http://evil.test")])[0], 403)
        self.assertEqual(self.gw.http("GET", "/healthz", [("Origin", "http://gw.test"), ("Origin", "http://gw.test")])[0], 403)
        self.assertEqual(self.refusal(f"/tcp?host=127.0.0.1&port={echoes.port}", fields=[("Origin", "http://evil.test")])[0], 403)

    # --- TCP

    def test_tcp(self):
        ws = self.tcp(host="127.0.0.1", port=echoes.port)
        self.assertNotIn("sec-websocket-protocol", ws.answer.lower())
        for payload in (b"hello", b"", b"x" * 126, b"y" * 65536, os.urandom(1 << 20)):
            ws.send(payload)
            self.assertEqual(ws.recv_bytes(len(payload)), payload)
        self.assertEqual(ws.close(), (1000, b""))

    def test_tcp_by_name(self):
        ws = self.tcp(target=f"echo.test:{echoes.port}")
        ws.send(b"by name")
        self.assertEqual(ws.recv_bytes(7), b"by name")
        ws.close()
        wait_for("the event", lambda: [e for e in self.gw.events_of(type="net_connect") if "echo.test" in (e["fields"].get("names") or [])])

    def test_early_bytes(self):
        """What comes in one packet with the request is not lost."""
        made = WebSocket.__new__(WebSocket)
        ws = self.gw.ws(f"/tcp?host=127.0.0.1&port={echoes.port}", early=made.frame(2, b"early "))
        ws.send(b"late")
        self.assertEqual(ws.recv_bytes(10), b"early late")
        ws.close()

    def test_fragments_and_control_frames_between(self):
        ws = self.tcp(host="127.0.0.1", port=echoes.port)
        ws.send(b"one ", fin=False)
        ws.send(b"are you there", 9)
        self.assertEqual(ws.recv_frame()[0] in (2, 10), True)
        ws.send(b"two ", 0, fin=False)
        ws.send(b"", 0, fin=False)
        ws.send(b"three", 0)
        out = b""
        while not out.endswith(b"three"):
            op, data = ws.recv_frame()
            out += data if op == 2 else b""
        self.assertTrue(b"one two three".endswith(out))
        ws.close()

    def test_refusals(self):
        e = echoes.port
        for query, want in (("", (400, "Missing required query parameter: host")), ("host=a.test", (400, "Missing required query parameter: port")),
                            ("host=a.test&port=0", (400, "Invalid port")), ("host=a.test&port=80x", (400, "Invalid port")),
                            ("v=2&host=a.test&port=80", (400, "Unsupported TCP proxy protocol version")), ("host=a%20b&port=80", (400, "Invalid host")),
                            ("target=::1:80", (400, "Invalid target: IPv6 literals must use bracket form, e.g. [::1]:443")),
                            ("host=127.0.0.1&port=9", (403, "Target is not allowed")), ("host=0x7f.1&port=9", (403, "Target is not allowed")),
                            ("host=denied.test&port=80", (403, "Target is not allowed")), ("host=127.0.0.1&port=53", (403, "Target is not allowed"))):
            self.assertEqual(self.refusal("/tcp?" + query), want)
        for host in ("10.1.2.3", "169.254.169.254", "[::ffff:10.1.2.3]", "0xa010203", "private.test", "0"):
            self.assertEqual(self.refusal(f"/tcp?host={host}&port={e}"), (403, "Target IP is not allowed by IP egress policy"), host)
        wait_for("its event", lambda: self.gw.events_of(type="net_connect", effective_action="blocked",
                                                        reason="the gateway is open to public addresses only"))

    def test_handshakes(self):
        path = f"/tcp?host=127.0.0.1&port={echoes.port}"
        good = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "AAAA")]
        for i in range(4):
            status, _, body = self.gw.http("GET", path, [f for k, f in enumerate(good) if k != i])
            self.assertEqual(status, 400, good[i])
        for name, value in (("Sec-WebSocket-Version", "8"), ("Upgrade", "x" * 300 + ", websocket")):
            self.assertEqual(self.gw.http("GET", path, [(k, value if k == name else v) for k, v in good])[0], 400)
        self.assertEqual(self.gw.http("GET", path, good + [good[3]])[0], 400)

    def test_nobody_there(self):
        closed = socket.create_server(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        closed.close()
        self.assertEqual(self.tcp(host="127.0.0.1", port=port).recv_close()[0], 1011)

    def test_server_speaks_first_and_ends(self):
        banner = Server(lambda c: c.sendall(b"220 ready\r\n"))
        self.assertEqual(self.tcp(host="127.0.0.1", port=banner.port).recv_close(), (1000, b"220 ready\r\n"))

    def test_client_s_close_flushes(self):
        got = []
        sink = Server(lambda c: got.append(sum(len(b) for b in iter(lambda: c.recv(65536), b""))))
        ws = self.tcp(host="127.0.0.1", port=sink.port)
        for _ in range(50):
            ws.send(b"z" * 20000)
        ws.close()
        wait_for("all bytes", lambda: got == [1000000])

    def test_sni_is_judged(self):
        """A denied server name inside the bytes ends in TLS' own alert, as in any session."""
        if not shutil.which("openssl"):
            self.skipTest("no openssl")
        srv = subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", CERT, "-key", KEY, "-www"], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
        self.addCleanup(srv.stdout.close)
        self.addCleanup(srv.wait)
        self.addCleanup(srv.kill)
        line = next(l for l in srv.stdout if l.startswith("ACCEPT "))
        port = int(line.rsplit(":", 1)[1])
        for name, alert in (("denied-name.test", True), ("fine.test", False)):
            import ssl
            ctx = ssl.create_default_context()
            ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
            a, b = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = ctx.wrap_bio(a, b, server_hostname=name)
            ws = self.tcp(host="127.0.0.1", port=port)
            try:
                while True:
                    try:
                        tls.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        if out := b.read():
                            ws.send(out)
                        op, data = ws.recv()
                        self.assertEqual(op, 2)
                        a.write(data)
                self.assertFalse(alert)
            except ssl.SSLError as e:
                self.assertTrue(alert and "UNRECOGNIZED_NAME" in str(e), e)
            ws.s.close()

    def test_a_hello_behind_words(self):
        """Once both sides have spoken, the bytes are nobody's business; a TLS hello behind them still is (STARTTLS)."""
        import ssl
        for name, denied in (("denied-name.test", True), ("fine.test", False)):
            ctx = ssl.create_default_context()
            ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
            a, b = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = ctx.wrap_bio(a, b, server_hostname=name)
            with self.assertRaises(ssl.SSLWantReadError):
                tls.do_handshake()
            hello = b.read()
            ws = self.tcp(host="127.0.0.1", port=echoes.port)
            for i in range(5):  # words of no protocol that is known, there and back
                words = b"\x01words %d\r\n" % i
                ws.send(words)
                self.assertEqual(ws.recv_bytes(len(words)), words)
            ws.send(hello)
            if denied:  # an alert, and then the end: the server has seen no hello that it could send back
                got = b""
                while (m := ws.recv())[0] == 2:
                    got += m[1]
                self.assertEqual(got[:1] + got[5:], b"\x15\x02\x70", got)
            else:
                self.assertEqual(ws.recv_bytes(len(hello)), hello)
                ws.send(b"and more")
                self.assertEqual(ws.recv_bytes(8), b"and more")
            ws.s.close()

    def test_floods_both_ways(self):
        """No moment in which nothing is under way: the socket that is lent in the middle loses, doubles and swaps no byte; a hello behind is judged."""
        import ssl
        size, heard = 6 << 20, []
        block = os.urandom(65536 - 7)  # of no length that buffers have
        data = b"\x01words\r\n" + block * (size // len(block))
        want = hashlib.sha256(data).hexdigest()

        def flood(conn):
            def pour():
                conn.sendall(data)
            conn.recv(1, socket.MSG_PEEK)
            out = threading.Thread(target=pour)
            out.start()
            sum, left = hashlib.sha256(), len(data)
            while left:
                b = conn.recv(min(left, 262144))
                if not b:
                    return
                sum.update(b)
                left -= len(b)
            out.join()
            heard.append(sum.hexdigest())
            echo(conn)

        server = Server(flood)
        for name, denied in (("denied-name.test", True), ("fine.test", False)):
            ctx = ssl.create_default_context()
            ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
            a, b = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = ctx.wrap_bio(a, b, server_hostname=name)
            with self.assertRaises(ssl.SSLWantReadError):
                tls.do_handshake()
            hello = b.read()
            ws = self.tcp(host="127.0.0.1", port=server.port)

            def pour():
                for at in range(0, len(data), 100000):
                    ws.send(data[at:at + 100000])
            out = threading.Thread(target=pour)
            out.start()
            sum, got = hashlib.sha256(), 0
            while got < len(data):
                op, part = ws.recv_frame()
                self.assertIn(op, (2, 9))
                if op == 2:
                    got += len(part)
                    sum.update(part)
            out.join()
            self.assertEqual((got, sum.hexdigest()), (len(data), want))
            wait_for("all that the client said", lambda: heard)
            self.assertEqual(heard.pop(), want)
            ws.send(b"one more")
            self.assertEqual(ws.recv_bytes(8), b"one more")
            ws.send(hello)
            if denied:
                got = b""
                while (m := ws.recv())[0] == 2:
                    got += m[1]
                self.assertEqual(got[:1] + got[5:], b"\x15\x02\x70", got)
            else:
                self.assertEqual(ws.recv_bytes(len(hello)), hello)
            ws.s.close()

    def test_flood_of_one_who_waits(self):
        """A server that reads no more until it is read."""
        data = os.urandom(4 << 20)
        ws = self.tcp(host="127.0.0.1", port=echoes.port)
        out = threading.Thread(target=lambda: [ws.send(data[at:at + 100000]) for at in range(0, len(data), 100000)])
        out.start()
        self.assertEqual(ws.recv_bytes(len(data)), data)
        out.join()
        ws.s.close()

    # --- mux

    def mux(self):
        ws = self.gw.ws("/tcp-mux", protocol="other, " + MUX)
        self.assertIn("sec-websocket-protocol: " + MUX, ws.answer)
        return MuxClient(ws)

    def test_mux(self):
        m = self.mux()
        m.ws.send(mux_open(1, "127.0.0.1", echoes.port) + mux(2, 1, b"hi") + mux_open(7, "echo.test", echoes.port))
        self.assertEqual(m.recv(), (2, 1, b"hi"))
        whole = mux(2, 7, b"in pieces")
        for i in range(len(whole)):
            m.ws.send(whole[i:i + 1])
        out = b""
        while len(out) < 9:
            type, stream, data = m.recv()
            self.assertEqual((type, stream), (2, 7))
            out += data
        self.assertEqual(out, b"in pieces")
        m.ws.send(mux(5, 0, b"\1\2\3") + mux(6, 0) + mux(4, 1, b"\0\1\0\0"))
        self.assertEqual(m.recv(), (6, 0, b"\1\2\3"))
        m.ws.send(mux(3, 1, b"\1"))
        self.assertEqual(m.recv(), (3, 1, b"\1"))
        m.ws.send(mux(2, 1, b"x"))
        self.assertEqual(m.error()[:2], (1, 4))
        m.ws.send(mux_open(1, "127.0.0.1", echoes.port) + mux(2, 1, b"again"))
        self.assertEqual(m.recv(), (2, 1, b"again"))
        m.ws.close()

    def test_mux_fin_stays_behind_data(self):
        m = self.mux()
        m.ws.send(mux_open(3, "127.0.0.1", fins.port) + mux(2, 3, b"x" * 100000) + mux(3, 3, b"\1") + mux(2, 3, b"late"))
        self.assertEqual(m.error(), (3, 3, "stream is half-closed (client FIN)"))
        self.assertEqual(m.recv(), (2, 3, b"heard 100000\n"))
        self.assertEqual(m.recv(), (3, 3, b"\1"))
        m.ws.send(mux(3, 3, b"\1") + mux(5, 9))
        self.assertEqual(m.recv(), (6, 9, b""))
        m.ws.close()

    def test_mux_errors(self):
        m = self.mux()
        closed = socket.create_server(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        closed.close()
        for frame, want in ((mux_open(0, "a.test", 1), (0, 3, "stream_id=0 is reserved")), (mux(2, 5, b"x"), (5, 4, "unknown stream")),
                            (mux(1, 5, b"\0"), (5, 3, "Invalid OPEN payload")), (mux(99, 5), (5, 3, "Unknown msg_type 99")),
                            (mux_open(5, "a b", 1), (5, 3, "Invalid OPEN payload")), (mux_open(5, "1.2.3.4.5", 1), (5, 3, "Invalid target host")),
                            (mux_open(5, "127.0.0.1", 9), (5, 1, "Target is not allowed")), (mux_open(5, "127.0.0.1", port), (5, 2, "dial failed")),
                            (mux_open(5, "10.1.2.3", 80), (5, 1, "Target IP is not allowed by IP egress policy")),
                            (mux(3, 5, b"\1") + mux(1, 6, b"y" * 6000), (6, 3, "Invalid OPEN payload"))):
            m.ws.send(frame)
            self.assertEqual(m.error(), want)
        m.ws.send(mux_open(5, "127.0.0.1", echoes.port) + mux_open(5, "127.0.0.1", echoes.port) + mux(3, 5, b"") + mux(2, 5, b"alive"))
        self.assertEqual(m.error(), (5, 3, "stream_id already exists"))
        self.assertEqual(m.error(), (5, 3, "Invalid CLOSE payload"))
        self.assertEqual(m.recv(), (2, 5, b"alive"))
        m.ws.send(struct.pack(">BII", 2, 5, (16 << 20) + 1))
        self.assertEqual(m.ws.recv_close()[0], 1002)
        for protocol in (None, "other"):
            self.assertEqual(self.refusal("/tcp-mux", protocol=protocol), (400, "Missing required subprotocol: " + MUX))
        self.assertEqual(self.refusal("/tcp-mux", protocol=MUX + ", b@d"), (400, "Invalid Sec-WebSocket-Protocol header"))

    def test_mux_many(self):
        m, want = self.mux(), {}
        for i in range(1, 201):
            want[i] = os.urandom(5000)
            m.ws.send(mux_open(i, "127.0.0.1", echoes.port) + mux(2, i, want[i]))
        got = {i: b"" for i in want}
        while any(len(got[i]) < 5000 for i in want):
            type, stream, data = m.recv()
            self.assertEqual(type, 2)
            got[stream] += data
        self.assertEqual(got, want)
        m.ws.close()
        wait_for("no flow is left", lambda: self.gw.metric("moonfence_gateway_flows") == 0)

    def test_text_is_refused(self):
        ws = self.tcp(host="127.0.0.1", port=echoes.port)
        ws.send(b"", 1)
        self.assertEqual(ws.recv_close()[0], 1003)
        m = self.mux()
        m.ws.send(b"text", 1)
        self.assertEqual(m.ws.recv_close()[0], 1003)

    # --- UDP

    def udp(self):
        ws = self.gw.ws("/udp")
        op, data = ws.recv()
        ready = json.loads(data)
        self.assertEqual((op, ready["type"], len(ready["sessionId"])), (1, "ready", 32))
        return ws

    def test_udp(self):
        ws = self.udp()
        to = socket.inet_aton("127.0.0.1") + struct.pack(">H", udp_echo.port)
        for payload in (b"abc", b"", b"x" * 1200):
            ws.send(struct.pack(">H", 10000) + to + payload)
            self.assertEqual(ws.recv(), (2, struct.pack(">H", 10000) + to + payload))
        ws.send(b"\xa2\x02\x04\x00" + struct.pack(">H", 10001) + to + b"two")
        self.assertEqual(ws.recv(), (2, struct.pack(">H", 10001) + to + b"two"))
        ports = {p[1] for p in udp_echo.peers}
        self.assertGreaterEqual(len(ports), 2)
        six = b"\xa2\x02\x06\x00" + struct.pack(">H", 10000) + socket.inet_pton(socket.AF_INET6, "::1") + struct.pack(">H", udp_echo6.port)
        ws.send(six + b"six")
        self.assertEqual(ws.recv(), (2, six + b"six"))
        ws.send(b'{"type":"auth","token":"x"}', 1)
        bad = self.gw.metric('moonfence_gateway_datagrams_total{outcome="malformed"}')
        for frame in (b"short", b"\xa2\x02", struct.pack(">H", 1) + to + b"y" * 1201):
            ws.send(frame)
        ws.send(struct.pack(">H", 10000) + to + b"still here")
        self.assertEqual(ws.recv()[1][8:], b"still here")
        self.assertEqual(self.gw.metric('moonfence_gateway_datagrams_total{outcome="malformed"}') - bad, 3)
        ws.send(b"z" * 1225)
        self.assertEqual(ws.recv_close()[0], 1009)
        ws = self.udp()
        ws.send(b"hello", 1)
        self.assertEqual(ws.recv_close()[0], 1003)

    def test_udp_comes_only_from_where_it_went(self):
        ws = self.udp()
        to = socket.inet_aton("127.0.0.1") + struct.pack(">H", udp_echo.port)
        ws.send(struct.pack(">H", 20000) + to + b"mark this")
        self.assertEqual(ws.recv()[1][8:], b"mark this")
        ours = udp_echo.peers[-1]
        stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        stranger.sendto(b"let me in", ours)
        ws.send(struct.pack(">H", 20000) + to + b"next")
        self.assertEqual(ws.recv()[1][8:], b"next")
        ws.close()

    def test_udp_is_judged(self):
        ws = self.udp()
        key = 'moonfence_gateway_datagrams_total{outcome="denied"}'
        before = self.gw.metric(key)
        for host, port in (("127.0.0.1", 9), ("10.1.2.3", 1000), ("127.0.0.1", 443), ("127.0.0.1", 0)):
            ws.send(struct.pack(">H", 1) + socket.inet_aton(host) + struct.pack(">H", port) + b"x")
        wait_for("four denials", lambda: self.gw.metric(key) == before + 4)
        wait_for("QUIC's event", lambda: self.gw.events_of(effective_action="blocked", reason="QUIC does not pass the gateway"))
        ws.close()

    def test_names_by_udp(self):
        ws = self.udp()
        at = socket.inet_aton("8.8.8.8") + struct.pack(">H", 53)
        ws.send(struct.pack(">H", 3) + at + question("www.test"))
        op, data = ws.recv()
        self.assertEqual(data[:8], struct.pack(">H", 3) + at)
        self.assertIn(socket.inet_aton("192.0.2.1"), data)
        ws.send(struct.pack(">H", 3) + at + question("denied.test"))
        self.assertEqual(ws.recv()[1][8 + 3] & 15, 5)
        ws.close()

    # --- names

    def test_dns(self):
        q = question("www.test")
        for status, fields, body in (self.gw.http("GET", "/dns-query?dns=" + b64url(q)),
                                     self.gw.http("POST", "/dns-query", [("Content-Type", "application/dns-message")], q)):
            self.assertEqual((status, fields["content-type"], body[:2]), (200, "application/dns-message", q[:2]))
            self.assertIn(socket.inet_aton("192.0.2.1"), body)
        status, _, body = self.gw.http("GET", "/dns-query?dns=" + b64url(question("denied.test")))
        self.assertEqual((status, body[3] & 15), (200, 5))
        for path, want in (("/dns-query", 400), ("/dns-query?dns=AAA=", 400), ("/dns-query?dns=" + b64url(q[:5]), 400),
                           ("/dns-query?dns=" + b64url(q + b"\0" * 5000), 413)):
            status, fields, body = self.gw.http("GET", path)
            self.assertEqual((status, fields["content-type"], body[3] & 15), (want, "application/dns-message", 1), path)
        self.assertEqual(self.gw.http("POST", "/dns-query", [("Content-Type", "text/plain")], q)[0], 415)

    def test_dns_json(self):
        status, fields, body = self.gw.http("GET", "/dns-json?name=www.test&type=A")
        answer = json.loads(body)
        self.assertEqual((status, fields["content-type"]), (200, "application/dns-json"))
        self.assertEqual(answer["Answer"][0]["data"], "192.0.2.1")
        for path, want in (("/dns-json?type=A", "Missing 'name' query parameter"), ("/dns-json?name=a.test", "Missing 'type' query parameter"),
                           ("/dns-json?name=a.test&type=WHAT", "Invalid DNS record type")):
            status, _, body = self.gw.http("GET", path)
            self.assertEqual((status, json.loads(body)["message"]), (400, want))

    # --- a real client

    def test_node(self):
        node = shutil.which("node")
        if not node or subprocess.run([node, "--experimental-websocket", "-e", "new WebSocket('ws://127.0.0.1:1').onerror=()=>{}"],
                                      capture_output=True, timeout=WAIT).returncode:
            self.skipTest("no Node with a WebSocket")
        r = subprocess.run([node, "--no-warnings", "--experimental-websocket", HERE + "/client.mjs", f"127.0.0.1:{self.gw.port}", str(echoes.port),
                            str(udp_echo.port)], capture_output=True, text=True, timeout=WAIT)
        self.assertEqual((r.stdout, r.stderr, r.returncode), ("tcp ok\nmux ok\nudp ok\ndns ok\n", "", 0))


class Known(unittest.TestCase):
    """Who asks has to say who he is."""

    @classmethod
    def setUpClass(cls):
        for name, text in (("secret", "one secret"), ("jwt", "another"), ("key", "k3y")):
            with open_file(f"{TMP}/{name}", "w") as f:
                f.write(text + "\n")
        cls.args = ["--session-secret-file", TMP + "/secret", "--jwt-secret-file", TMP + "/jwt", "--api-key-file", TMP + "/key", "--jwt-audience", "gw",
                    "--origin", "https://app.test"]
        cls.gw = Gateway("--auth", "session,jwt,key", *cls.args, "--max-session-connections", "3")
        cls.path = f"/tcp?host=127.0.0.1&port={echoes.port}"

    @classmethod
    def tearDownClass(cls):
        assert cls.gw.stop() == 0

    def cookie(self):
        return self.gw.http("POST", "/session")[1]["set-cookie"].split(";")[0]

    def jwt(self, secret=b"another", **claims):
        claims = {"iat": 1, "exp": int(time.time()) + 1000, "sid": "from-jwt", "aud": "gw", **claims}
        text = b64url(b'{"alg":"HS256","typ":"JWT"}') + "." + b64url(json.dumps(claims).encode())
        return text + "." + b64url(hmac.new(secret, text.encode(), hashlib.sha256).digest())

    def check(self, path=None, fields=(), protocol=None):
        try:
            ws = self.gw.ws(path or self.path, fields, protocol=protocol)
        except Refused as e:
            return e.status
        ws.send(b"in")
        self.assertEqual(ws.recv_bytes(2), b"in")
        ws.close()
        return 101

    def test_who_is_let_in(self):
        cookie = self.cookie()
        token = cookie.split("=", 1)[1]
        for want, kw in ((401, {}), (101, {"fields": [("Cookie", cookie)]}), (101, {"fields": [("Cookie", "a=b; " + cookie + "; c=d")]}),
                         (401, {"fields": [("Cookie", "aero_session=; " + cookie)]}), (401, {"fields": [("Cookie", cookie + "x")]}),
                         (101, {"fields": [("Cookie", cookie.replace(".", "%2E"))]}), (101, {"fields": [("Authorization", "Bearer " + token)]}),
                         (101, {"fields": [("Authorization", "Bearer " + self.jwt())]}), (401, {"fields": [("Authorization", "Bearer " + self.jwt(b"no"))]}),
                         (401, {"fields": [("Authorization", "Bearer " + self.jwt(aud="other"))]}), (401, {"fields": [("Authorization", "Bearer " + self.jwt(exp=2))]}),
                         (401, {"fields": [("Authorization", "Bearer " + self.jwt(origin="https://app.test"))]}),
                         (101, {"fields": [("Authorization", "Bearer " + self.jwt(origin="https://app.test")), ("Origin", "https://APP.test:443")]}),
                         (101, {"fields": [("X-API-Key", "k3y")]}), (401, {"fields": [("X-API-Key", "k3")]}), (101, {"path": self.path + "&token=" + token}),
                         (101, {"path": self.path + "&apiKey=k3y"}), (401, {"path": self.path + "&apiKey="}),
                         (403, {"fields": [("Cookie", cookie), ("Origin", "https://evil.test")]}), (401, {"fields": [("Origin", "https://evil.test")]})):
            self.assertEqual(self.check(**kw), want, kw)
        self.assertEqual(self.gw.http("GET", "/dns-query?dns=AAAA")[0], 401)

    def test_token_as_a_subprotocol(self):
        ws = self.gw.ws("/tcp-mux", protocol=MUX + ", aero-l2-token." + self.jwt())
        self.assertIn("sec-websocket-protocol: " + MUX + "\r", ws.answer + "\r")
        ws.close()

    def test_another_gateway_takes_the_same_cookie(self):
        other = Gateway("--auth", "session", *self.args)
        cookie = self.cookie()
        other.ws(self.path, [("Cookie", cookie)]).close()
        stranger = Gateway("--auth", "session")
        with self.assertRaises(Refused) as e:
            stranger.ws(self.path, [("Cookie", cookie)])
        self.assertEqual(e.exception.status, 401)
        for gw in (other, stranger):
            self.assertEqual(gw.stop(), 0)

    def test_policies_see_the_session(self):
        with self.assertRaises(Refused) as e:
            self.gw.ws("/tcp?host=who.test&port=80", [("Authorization", "Bearer " + self.jwt(sid="alice"))])
        self.assertEqual(e.exception.status, 403)
        wait_for("the event", lambda: self.gw.events_of(effective_action="blocked", reason="session alice", session_id="alice"))

    def test_begin_and_end_of_a_websocket_are_told(self):
        ws = self.gw.ws(f"/tcp?host=127.0.0.1&port={echoes.port}", [("Authorization", "Bearer " + self.jwt(sid="bob"))])
        client = "127.0.0.1:%d" % ws.s.getsockname()[1]
        ws.send(b"12345")
        self.assertEqual(ws.recv_bytes(5), b"12345")
        ws.close()
        want = {"session_id": "bob", "source": "gateway", "kind": "tcp", "client": client}
        wait_for("the end", lambda: self.gw.events_of(type="gateway_close", code=1000, bytes_sent=5, bytes_received=5, **want))
        self.assertEqual(len(self.gw.events_of(type="gateway_open", **want)), 1)

    def test_limit_of_a_session(self):
        cookie, other = [("Cookie", self.cookie())], [("Cookie", self.cookie())]
        open = [self.gw.ws(self.path, cookie) for _ in range(3)]
        self.assertEqual(self.check(fields=cookie), 429)
        self.assertEqual(self.check(fields=other), 101)
        open.pop().close()
        wait_for("room", lambda: self.check(fields=cookie) == 101)
        for ws in open:
            ws.close()


class Operation(unittest.TestCase):
    def test_tls_and_its_reload(self):
        gw = Gateway("--auth", "none", "--tls-cert", CERT, "--tls-key", KEY, tls=True)
        self.assertTrue(gw.url.startswith("https://"))
        self.assertIn("; Secure", gw.http("POST", "/session")[1]["set-cookie"])
        ws = gw.ws(f"/tcp?host=127.0.0.1&port={echoes.port}")
        data = os.urandom(3 << 20)
        for i in range(0, len(data), 200000): # in turns: OpenSSL's connections, and so Python's, are one thread's at a time
            ws.send(data[i:i + 200000])
            self.assertEqual(ws.recv_bytes(len(data[i:i + 200000])), data[i:i + 200000])
        self.assertEqual(ws.close()[0], 1000)
        self.assertEqual(gw.stop(), 0)

    def test_a_policy_that_is_edited(self):
        gw = Gateway("--auth", "none")
        path = f"/tcp?host=127.0.0.1&port={echoes.port}"
        gw.ws(path).close()
        with open_file(gw.policy, "w") as f:
            f.write('return { name = "rig", connect = function() return deny "closed" end }\n')

        def denied():
            try:
                gw.ws(path).close()
            except Refused as e:
                return e.status == 403
        wait_for("the new policy", denied)
        self.assertEqual(gw.stop(), 0)

    def test_the_end_is_told(self):
        gw = Gateway("--auth", "none")
        ws = gw.ws(f"/tcp?host=127.0.0.1&port={echoes.port}")
        gw.p.terminate()
        self.assertEqual(ws.recv_close()[0], 1001)
        ws.send(struct.pack(">H", 1001), 8)
        self.assertEqual(gw.stop(), 0)

    def test_wrong_arguments(self):
        for args in ([], ["--listen", "here"], ["--listen", "127.0.0.1:0", "--auth", "jwt"], ["--listen", "127.0.0.1:0", "--origin", "app.test"],
                     ["--listen", "127.0.0.1:0", "--open", "all"], ["--listen", "127.0.0.1:0", "--tls-cert", "x"]):
            r = subprocess.run([MOONFENCE, "gateway", *args], capture_output=True, text=True, timeout=WAIT)
            self.assertEqual(r.returncode, 2, args)


if __name__ == "__main__":
    unittest.main()

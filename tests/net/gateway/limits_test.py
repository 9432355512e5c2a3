#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Limits of the gateway: bytes and rates of a session, an address and all, on every kind of WebSocket; ends of tokens; refusals as events.

Rates are so low that nothing comes of them while a test runs, or it is asked for how long something took at least."""
import base64, hashlib, hmac, json, os, selectors, socket, struct, subprocess, threading, time, unittest

from rig import *

HERE = os.path.dirname(os.path.abspath(__file__))
CHUNK = 65536 # what the gateway reads at once, and what a bucket holds at least
MUX = "aero-tcp-mux-v1"
echoes, udp_echo = Server(echo), Udp(lambda d: d)
with open_file(TMP + "/jwt", "w") as f:
    f.write("another\n")
with open_file(HERE + "/../../data/gateway/sdp/chromium.sdp", newline="") as f:
    OFFER = f.read()


class Sink:
    """Takes everything, and counts."""

    def __init__(self):
        self.got = 0
        self.server = Server(self.serve)
        self.port = self.server.port

    def serve(self, conn):
        while b := conn.recv(CHUNK):
            self.got += len(b)


def pour_and_sink(conn):
    """Says something all the time, hears everything."""
    conn.setblocking(False)
    sel = selectors.DefaultSelector()
    sel.register(conn, selectors.EVENT_READ | selectors.EVENT_WRITE)
    while True:
        for _, what in sel.select():
            if what & selectors.EVENT_READ:
                if not (b := conn.recv(CHUNK)):
                    return
                swallowed[0] += len(b)
            if what & selectors.EVENT_WRITE:
                try:
                    conn.send(bytes(CHUNK))
                except BlockingIOError:
                    pass


swallowed = [0]
pours = Server(pour_and_sink)


def b64url(b):
    return base64.urlsafe_b64encode(b).rstrip(b"=").decode()


def jwt(sid, exp):
    text = b64url(b'{"alg":"HS256","typ":"JWT"}') + "." + b64url(json.dumps({"iat": 1, "exp": exp, "sid": sid}).encode())
    return text + "." + b64url(hmac.new(b"another", text.encode(), hashlib.sha256).digest())


def bearer(token):
    return [("Authorization", "Bearer " + token)]


# Each kind of WebSocket as (path, protocol, how a stream to 127.0.0.1:port is opened, head of its data)
def mux_open(port):
    body = struct.pack(">H", 9) + b"127.0.0.1" + struct.pack(">HH", port, 0)
    return struct.pack(">BII", 1, 1, len(body)) + body


def wisp_open(port, id=1, kind=1):
    return struct.pack("<BIBH", 1, id, kind, port) + b"127.0.0.1"


class Kind:
    def __init__(self, name, path, protocol=None, open=None, head=None):
        self.name, self.path, self.protocol, self.open, self.head = name, path, protocol, open, head

    def connect(self, gw, port, fields=()):
        ws = gw.ws(self.path.format(port=port), fields, protocol=self.protocol)
        if self.open:
            ws.send(self.open(port))
        return ws

    def data(self, payload):
        return (self.head(payload) if self.head else b"") + payload


KINDS = [
    Kind("tcp", "/tcp?host=127.0.0.1&port={port}"),
    Kind("tcp-mux", "/tcp-mux", MUX, mux_open, lambda p: struct.pack(">BII", 2, 1, len(p))),
    Kind("wisp", "/wisp/", None, wisp_open, lambda p: struct.pack("<BI", 2, 1)),
    Kind("pipe", "/wisp/127.0.0.1:{port}"),
    Kind("websockify", "/websockify?token=echo"),
]


def session(gw):
    return [("Cookie", gw.http("POST", "/session")[1]["set-cookie"].split(";")[0])]


def status(gw, path, fields=(), **kw):
    try:
        gw.ws(path, fields, **kw).close()
        return 101, ""
    except Refused as e:
        return e.status, e.text


def reason_of(ws):
    """Whatever comes until the Close: code and reason."""
    while True:
        op, data = ws.recv()
        if op == 8:
            ws.send(data[:2], 8)
            ws.s.close()
            return struct.unpack(">H", data[:2])[0], data[2:].decode()


def refusals(gw, reason):
    return gw.metric('moonfence_gateway_refusals_total{reason="%s"}' % reason)


TARGET = ["--target", f"echo=127.0.0.1:{echoes.port}"]


class Quotas(unittest.TestCase):
    def test_of_a_session(self):
        gw = Gateway("--limit", "session-bytes=200K", *TARGET)
        for n, k in enumerate(KINDS, 1):
            mine, other = session(gw), session(gw)
            ws, sent = k.connect(gw, echoes.port, mine), 0
            try:
                while sent < 1 << 20: # the echo's bytes count as well, and wait for nobody
                    ws.send(k.data(bytes(1000)))
                    sent += 1000
            except (BrokenPipeError, ConnectionResetError):
                pass
            got = ws.recv_close()
            self.assertIn(got[0], (1008, None), k.name) # None: our bytes on their way made it a reset
            ws.s.close()
            self.assertLess(len(got[1]), 400 << 10, k.name)
            wait_for("the end", lambda: gw.metric("moonfence_gateway_cut_total") == n)
            event, = wait_for("the event", lambda: gw.events_of(type="gateway_close", code=1008, kind="pipe" if k.name == "websockify" else k.name,
                                                               reason="byte quota exceeded")[-1:])
            self.assertLess(event["fields"]["bytes_sent"] + event["fields"]["bytes_received"], (200 << 10) + 3 * CHUNK, k.name)
            self.assertEqual(status(gw, KINDS[0].path.format(port=echoes.port), mine), (429, "Byte quota exceeded"))
            self.assertEqual(status(gw, "/udp", mine)[0], 429)
            self.assertEqual(status(gw, KINDS[0].path.format(port=echoes.port), other)[0], 101)
        self.assertEqual(refusals(gw, "session_bytes"), 3 * len(KINDS)) # each cut, and two upgrades
        self.assertEqual(gw.stop(), 0)

    def test_the_close_says_why(self):
        gw = Gateway("--auth", "none", "--limit", "session-bytes=5000")
        ws = gw.ws(KINDS[0].path.format(port=echoes.port))
        ws.send(bytes(5000))
        self.assertEqual(reason_of(ws), (1008, "byte quota exceeded"))
        self.assertEqual(gw.stop(), 0)

    def test_of_an_address_and_of_all(self):
        for name, reason in (("address-bytes", "address_bytes"), ("bytes", "bytes")):
            gw = Gateway("--trusted-proxy", "127.0.0.1", "--limit", name + "=5000")
            near, far = [("X-Forwarded-For", "192.0.2.1")], [("X-Forwarded-For", "192.0.2.2")]
            ws = gw.ws(KINDS[0].path.format(port=echoes.port), session(gw) + near)
            ws.send(bytes(5000))
            self.assertEqual(reason_of(ws), (1008, "byte quota exceeded"))
            path = KINDS[0].path.format(port=echoes.port)
            self.assertEqual(status(gw, path, session(gw) + near), (429, "Byte quota exceeded"))
            self.assertEqual(status(gw, path, session(gw) + far)[0], 101 if name == "address-bytes" else 429)
            wait_for("the event", lambda: gw.events_of(type="gateway_refused", kind="tcp", reason=reason, code=429))
            want = {"192.0.2.1"} if name == "address-bytes" else {"192.0.2.1", "192.0.2.2"}
            wait_for("the clients", lambda: {e["fields"]["client"].rsplit(":", 1)[0] for e in gw.events_of(type="gateway_refused")} == want)
            self.assertEqual(gw.stop(), 0)

    def test_a_new_window(self):
        gw = Gateway("--auth", "none", "--limit", "session-bytes=5000", "--limit", "window=1")
        path = KINDS[0].path.format(port=echoes.port)
        for _ in range(2):
            wait_for("another second", lambda: status(gw, path)[0] == 101)
            ws = gw.ws(path)
            for _ in range(5): # they may fall into two windows, but not five times
                ws.send(bytes(5000))
            self.assertEqual(reason_of(ws), (1008, "byte quota exceeded"))
        self.assertEqual(gw.stop(), 0)

    def test_datagrams(self):
        gw = Gateway("--auth", "none", "--limit", "session-bytes=20000")
        ws = gw.ws("/udp")
        self.assertEqual(json.loads(ws.recv()[1])["type"], "ready")
        frame = struct.pack(">H", 7) + socket.inet_aton("127.0.0.1") + struct.pack(">H", udp_echo.port) + bytes(1000)
        for _ in range(40):
            try:
                ws.send(frame)
            except (BrokenPipeError, ConnectionResetError):
                break
        self.assertIn(ws.recv_close()[0], (1008, None))
        ws.s.close()
        wait_for("the end", lambda: gw.events_of(type="gateway_close", kind="udp", reason="byte quota exceeded"))
        self.assertLessEqual(gw.metric('moonfence_gateway_datagrams_total{outcome="sent"}'), 20)
        self.assertEqual(gw.stop(), 0)

    def test_questions(self):
        gw = Gateway("--auth", "none", "--dns-rate", "0", "--limit", "address-bytes=200")
        ask = lambda: gw.http("POST", "/dns-query", [("Content-Type", "application/dns-message")], question("echo.test"))
        first = ask()
        self.assertEqual((first[0], first[2][3] & 15), (200, 0))
        answers = [ask() for _ in range(20)]
        refused = [a for a in answers if a[0] == 429]
        self.assertGreater(len(refused), 10)
        self.assertEqual({(a[1]["content-type"], a[2][3] & 15) for a in refused}, {("application/dns-message", 2)})
        self.assertEqual(refusals(gw, "address_bytes"), len(refused))
        wait_for("the event", lambda: gw.events_of(type="gateway_refused", kind="dns-query", reason="address_bytes", code=429))
        self.assertEqual(gw.stop(), 0)


class Rates(unittest.TestCase):
    def test_too_much_is_not_read(self):
        """A bucket of one piece, and one byte a second: one read, and one in debt, then nothing is."""
        for scope, kinds in (("session-rate", KINDS[:4]), ("address-rate", KINDS[:1]), ("rate", KINDS[:1])):
            for k in kinds:
                sink = Sink()
                gw = Gateway("--limit", scope + "=1")
                ws = k.connect(gw, sink.port, session(gw))
                ws.s.settimeout(0.2)
                piece = ws.frame(2, k.data(bytes(32768)))
                try:
                    for _ in range(4096):
                        ws.raw(piece)
                    self.fail("128 megabytes were taken: " + k.name)
                except TimeoutError:
                    pass
                wait_for("it is held", lambda: gw.metric("moonfence_gateway_held_total") == 1)
                wait_for("what was read", lambda: sink.got > CHUNK // 2)
                self.assertLessEqual(sink.got, 2 * CHUNK, (scope, k.name))
                ws.s.close()
                self.assertEqual(gw.stop(), 0)

    def test_nothing_is_lost(self):
        """A megabyte there and back at a megabyte a second, of which one is had at once."""
        for k in KINDS:
            gw = Gateway("--limit", "session-rate=1M", *TARGET)
            ws, data, out = k.connect(gw, echoes.port, session(gw)), os.urandom(1 << 20), b""
            began = time.monotonic()
            t = threading.Thread(target=lambda: [ws.send(k.data(data[i:i + 16384])) for i in range(0, len(data), 16384)])
            t.start()
            while len(out) < len(data):
                op, b = ws.recv()
                self.assertEqual(op, 2)
                if k.name == "wisp":
                    b = b[5:] if b[0] == 2 else b""
                elif k.name == "tcp-mux":
                    self.assertEqual(b[0], 2)
                    b = b[9:]
                out += b
            t.join()
            took = time.monotonic() - began
            self.assertEqual(out, data, k.name)
            self.assertGreater(took, 0.8, k.name) # two, less the first, less what one read may be ahead
            self.assertGreater(gw.metric("moonfence_gateway_held_total"), 0)
            ws.s.close()
            self.assertEqual(gw.stop(), 0)

    def test_all_of_a_session_get_something(self):
        """Four that could take everything, and both directions of each: what is there is shared."""
        for k in (KINDS[0], KINDS[1], KINDS[3]):
            swallowed[0] = 0
            gw = Gateway("--limit", "session-rate=1M")
            cookie = session(gw)
            all = [k.connect(gw, pours.port, cookie) for _ in range(4)]
            got, stop, piece = dict.fromkeys(all, 0), threading.Event(), all[0].frame(2, k.data(bytes(16384)))

            def talk(ws):
                while not stop.is_set():
                    try:
                        ws.s.sendall(piece)
                    except OSError:
                        return
            threads = [threading.Thread(target=talk, args=(ws,), daemon=True) for ws in all]
            for t in threads:
                t.start()
            with selectors.DefaultSelector() as sel:
                for ws in all:
                    sel.register(ws.s, selectors.EVENT_READ, ws)
                end = time.monotonic() + WAIT
                while min(got.values()) < 2 * CHUNK or swallowed[0] < 4 * CHUNK:
                    self.assertLess(time.monotonic(), end, (k.name, got.values(), swallowed))
                    for key, _ in sel.select(1):
                        got[key.data] += len(key.data.s.recv(CHUNK))
            # the first may have had all that was there at once; from then on each has its turns
            self.assertLess(max(got.values()), min(got.values()) + (1 << 20) + 6 * CHUNK, k.name)
            stop.set()
            for ws in all:
                ws.s.shutdown(socket.SHUT_RDWR)
            for t in threads:
                t.join()
            self.assertEqual(gw.stop(), 0)

    def test_another_session_is_not_slower(self):
        gw = Gateway("--limit", "session-rate=1")
        slow = KINDS[0].connect(gw, pours.port, session(gw))
        wait_for("it is held", lambda: gw.metric("moonfence_gateway_held_total") == 1)
        for _ in range(3):
            ws = KINDS[0].connect(gw, echoes.port, session(gw))
            ws.send(bytes(30000))
            self.assertEqual(len(ws.recv_bytes(30000)), 30000)
            ws.close()
        slow.s.close()
        self.assertEqual(gw.stop(), 0)

    def test_datagrams_are_lost(self):
        gw = Gateway("--auth", "none", "--limit", "session-rate=1")
        event = lambda name: gw.metric('aero_webrtc_udp_relay_events_total{event="%s"}' % name)
        ws = gw.ws("/udp")
        ws.recv()
        frame = struct.pack(">H", 7) + socket.inet_aton("127.0.0.1") + struct.pack(">H", udp_echo.port) + bytes(1000)
        for _ in range(200):
            ws.send(frame)
        wait_for("all were read", lambda: event("udp_ws_datagrams_in") == 200)
        sent = gw.metric('moonfence_gateway_datagrams_total{outcome="sent"}')
        self.assertTrue(0 < sent <= 67, sent) # 64 KiB of 1,008 bytes, the last in debt
        self.assertGreaterEqual(event("udp_ws_dropped_rate_limited"), 200 - sent)
        ws.send(b"", 9) # and it is there
        while ws.recv_frame()[0] != 10:
            pass
        ws.close()
        self.assertEqual(gw.stop(), 0)

    def test_threads_share_a_bucket(self):
        sink = Sink()
        gw = Gateway("--ethernet", "off", "--threads", "3", "--limit", "rate=1")
        all = [KINDS[0].connect(gw, sink.port, session(gw)) for _ in range(6)]

        def talk(ws):
            ws.s.settimeout(0.2)
            try:
                while True:
                    ws.send(bytes(32768))
            except TimeoutError:
                pass
        threads = [threading.Thread(target=talk, args=(ws,)) for ws in all]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        # a piece, and one in debt of each thread; a WebSocket that has not moved anything is none that was held
        self.assertLessEqual(sink.got, (1 + 3) * CHUNK + 6 * CHUNK)
        self.assertGreater(gw.metric("moonfence_gateway_held_total"), 0)
        for ws in all:
            ws.s.close()
        self.assertEqual(gw.stop(), 0)


class Connects(unittest.TestCase):
    """Ten at once, then one a minute."""

    def test_streams(self):
        for scope in ("session-connects", "address-connects", "connects"):
            gw = Gateway("--auth", "none", "--limit", scope + "=1")
            ws = gw.ws("/tcp-mux", protocol=MUX)
            body = struct.pack(">H", 9) + b"127.0.0.1" + struct.pack(">HH", 9, 0) # which the policy denies
            ws.send(b"".join(struct.pack(">BII", 1, i, len(body)) + body for i in range(1, 31)))
            codes, buf = [], b""
            while len(codes) < 30:
                buf += ws.recv()[1]
                while len(buf) >= 9 and len(buf) >= 9 + struct.unpack(">I", buf[5:9])[0]:
                    n, = struct.unpack(">I", buf[5:9])
                    self.assertEqual(buf[0], 4)
                    codes.append(struct.unpack(">H", buf[9:11])[0])
                    buf = buf[9 + n:]
            self.assertEqual(set(codes), {1, 5}, scope)
            self.assertTrue(10 <= codes.count(1) <= 13, (scope, codes))
            self.assertEqual(status(gw, KINDS[0].path.format(port=echoes.port)), (429, "Too many new connections"))
            other = gw.ws("/wisp/")
            other.send(wisp_open(9))
            other.send(wisp_open(9, 2, 2)) # version 1 has UDP, too
            closes = []
            while len(closes) < 2:
                op, b = other.recv()
                closes += [b[5]] if b[0] == 4 else []
            self.assertEqual(closes, [0x49, 0x49], scope)
            wait_for("the event", lambda: gw.events_of(type="gateway_refused", kind="flow", reason="flow_rate"))
            self.assertGreater(refusals(gw, "flow_rate"), 15)
            for w in (ws, other):
                w.close()
            self.assertEqual(gw.stop(), 0)


class Refusals(unittest.TestCase):
    def test_what_is_told(self):
        gw = Gateway("--auth", "session,jwt", "--jwt-secret-file", TMP + "/jwt", "--origin", "https://app.test", "--trusted-proxy", "127.0.0.1",
                     "--max-session-websockets", "1", "--block-client", "192.0.2.66", "--host", "gw.test")
        path, mine = KINDS[0].path.format(port=echoes.port), session(gw)
        one = gw.ws(path, mine)
        n = 0
        for want, fields, kind, p, kw in ((("credentials", 401), [], "tcp", path, {}), (("origin", 403), mine + [("Origin", "https://evil.test")], "tcp", path, {}),
                                          (("client_address", 403), mine + [("X-Forwarded-For", "192.0.2.66")], "tcp", path, {}),
                                          (("session_connections", 429), mine, "udp", "/udp", {}), (("handshake", 400), mine, "tcp-mux", "/tcp-mux", {}),
                                          (("credentials", 401), bearer(jwt("x", 1)), "wisp", "/wisp/SECRET-WORD/", {}),
                                          (("credentials", 401), [], "l2", "/l2", {"protocol": "aero-l2-tunnel-v1"}),
                                          (("origin", 403), [("Origin", "https://evil.test")], "session", None, {})):
            n += 1
            fields = [("X-Forwarded-For", f"198.51.100.{n}"), *fields] if not any(f[0] == "X-Forwarded-For" for f in fields) else fields
            got = status(gw, p, fields, **kw)[0] if p else gw.http("POST", "/session", fields)[0]
            self.assertEqual(got, want[1], (want, kind))
            client = dict(fields)["X-Forwarded-For"] + ":0"
            event, = wait_for("the event", lambda: [e for e in gw.events_of(type="gateway_refused", kind=kind, reason=want[0], code=want[1])
                                                    if e["fields"]["client"].startswith(dict(fields)["X-Forwarded-For"])])
            self.assertEqual(event["source"], "gateway")
        one.close()
        with open_file(gw.events) as f:
            text = f.read()
        for secret in ("SECRET-WORD", "evil.test", "aero_session"):
            self.assertNotIn(secret, text)
        self.assertEqual(gw.stop(), 0)

    def test_a_disk_is_not_filled(self):
        gw = Gateway("--trusted-proxy", "127.0.0.1")
        path, began = KINDS[0].path.format(port=echoes.port), time.monotonic()
        for _ in range(150):
            self.assertEqual(status(gw, path)[0], 401)
        told = lambda: gw.events_of(type="gateway_refused")
        self.assertEqual(refusals(gw, "credentials"), 150)
        self.assertEqual(status(gw, path, [("X-Forwarded-For", "192.0.2.1")])[0], 401)
        # the flood has not used up what there is for others; and this one tells of all that were not told
        wait_for("another's", lambda: [e for e in told() if e["fields"]["client"].startswith("192.0.2.1:")])
        all = told()
        self.assertLessEqual(len(all), 10 + 1 + 1 + (time.monotonic() - began) / 4)
        self.assertEqual(len(all) + sum(e["fields"].get("untold", 0) for e in all), 151)
        self.assertEqual(gw.stop(), 0)

    def test_none_are_told(self):
        gw = Gateway("--limit", "refusal-events=0")
        for _ in range(3):
            self.assertEqual(status(gw, "/udp", [("Origin", "https://evil.test")])[0], 403)
        gw.ws(KINDS[0].path.format(port=echoes.port), session(gw)).close()
        wait_for("what came after", lambda: gw.events_of(type="gateway_close"))
        self.assertEqual(gw.events_of(type="gateway_refused"), [])
        self.assertEqual(refusals(gw, "origin"), 3)
        self.assertEqual(gw.stop(), 0)


class Expiry(unittest.TestCase):
    def lives(self, ws):
        ws.send(b"12345")
        self.assertEqual(ws.recv_bytes(5), b"12345")

    def test_jwt(self):
        gw = Gateway("--auth", "jwt", "--jwt-secret-file", TMP + "/jwt", "--expire", "jwt")
        path, exp = KINDS[0].path.format(port=echoes.port), int(time.time()) + 4
        renewed, long = gw.ws(path, bearer(jwt("renewed", exp))), gw.ws(path, bearer(jwt("long", exp + 100000)))
        udp = gw.ws("/udp", bearer(jwt("udp", exp)))
        self.assertEqual(json.loads(udp.recv()[1])["type"], "ready")
        late = gw.ws("/udp")
        late.send(json.dumps({"type": "auth", "token": jwt("late", exp)}).encode(), 1)
        self.assertEqual(json.loads(late.recv()[1])["type"], "ready")
        all = [k.connect(gw, echoes.port, bearer(jwt(k.name, exp))) for k in KINDS[:4]]
        # a newer one of the same, in another request; and in a message
        gw.ws(path, bearer(jwt("renewed", exp + 100000))).close()
        udp.send(json.dumps({"type": "auth", "token": jwt("udp", exp + 100000)}).encode(), 1)
        for ws in (*all, late):
            self.assertEqual(reason_of(ws), (1008, "token expired"))
        self.assertGreaterEqual(time.time(), exp)
        wait_for("the count", lambda: gw.metric("moonfence_gateway_expired_total") == 5)
        wait_for("the event", lambda: gw.events_of(type="gateway_close", kind="tcp-mux", code=1008, reason="token expired"))
        # those that were opened before, and had the same time
        self.lives(renewed)
        self.lives(long)
        frame = struct.pack(">H", 7) + socket.inet_aton("127.0.0.1") + struct.pack(">H", udp_echo.port) + b"well"
        udp.send(frame)
        self.assertEqual(udp.recv(), (2, frame))
        self.assertEqual(status(gw, path, bearer(jwt("tcp", exp)))[0], 401)
        for ws in (renewed, long, udp):
            ws.close()
        self.assertEqual(gw.stop(), 0)

    def test_session(self):
        gw = Gateway("--auth", "session", "--expire", "session", "--session-ttl", "4")
        path, cookie = KINDS[0].path.format(port=echoes.port), session(gw)
        renewed, other = gw.ws(path, cookie), gw.ws(path, session(gw))
        end = []
        t = threading.Thread(target=lambda: end.append(reason_of(other)))
        t.start()
        while t.is_alive(): # as a page does that stays
            cookie = [("Cookie", gw.http("POST", "/session", cookie)[1]["set-cookie"].split(";")[0])]
            t.join(0.2)
        self.assertEqual(end, [(1008, "token expired")])
        self.lives(renewed)
        self.assertEqual(gw.metric("moonfence_gateway_expired_total"), 1)
        renewed.close()
        self.assertEqual(gw.stop(), 0)

    def test_webrtc_without_a_websocket(self):
        gw = Gateway("--auth", "jwt", "--jwt-secret-file", TMP + "/jwt", "--expire", "jwt", "--webrtc-port", "127.0.0.1:0")
        gw.p.stdout.readline()
        exp = int(time.time()) + 2
        r = gw.http("POST", "/webrtc/offer", [("Content-Type", "application/json"), *bearer(jwt("one", exp))],
                    json.dumps({"sdp": {"type": "offer", "sdp": OFFER}}).encode())
        self.assertEqual(r[0], 200)
        wait_for("its end", lambda: gw.metric("moonfence_gateway_expired_total") == 1)
        self.assertGreaterEqual(time.time(), exp)
        self.assertEqual(gw.stop(), 0)

    def test_wrong_words(self):
        for args in (["--expire", "key"], ["--limit", "rate=1Q"], ["--limit", "rate=-1"], ["--limit", "speed=1"], ["--limit", "window=0"], ["--limit", "rate=100G"]):
            r = subprocess.run([MOONFENCE, "gateway", "--listen", "127.0.0.1:0", *args], capture_output=True, text=True, timeout=WAIT)
            self.assertEqual((r.returncode, args[0] in r.stderr), (2, True), args)


if __name__ == "__main__":
    unittest.main()

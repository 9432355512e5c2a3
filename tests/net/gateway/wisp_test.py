#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Wisp, wsproxy and websockify of moonfence gateway: exact bytes, and other people's clients."""
import base64, hashlib, multiprocessing, os, random, selectors, shutil, socket, struct, subprocess, threading, time, unittest

from rig import *

HERE = os.path.dirname(os.path.abspath(__file__))
CONNECT, DATA, CONTINUE, CLOSE, INFO = 1, 2, 3, 4, 5
WINDOW = 128
echoes, fins = Server(echo), Server(echo_then_fin)
upstream = Udp(dns_answer)
udp_echo = Udp(lambda d: d)
BODY = b"moonfence " * 50000


def keep_alive(conn):
    while True:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (b := conn.recv(65536)):
                return
            head += b
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)


pages = Server(keep_alive)


class Pour:
    """A server that has always something to say to each of its clients: a piece to each in turn, and little ahead, so that none is favoured.
    A process of its own: it does not wait for this one's lock."""

    def __init__(self):
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.sock.getsockname()[1]
        self.p = multiprocessing.get_context("fork").Process(target=self.run, daemon=True)
        self.p.start()

    def run(self):
        sel = selectors.DefaultSelector()
        sel.register(self.sock, selectors.EVENT_READ)
        while True:
            for key, _ in sel.select():
                if key.fileobj is self.sock:
                    c = self.sock.accept()[0]
                    c.setblocking(False)
                    c.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 131072)
                    sel.register(c, selectors.EVENT_WRITE)
                    continue
                try:
                    key.fileobj.send(bytes(65536))
                except BlockingIOError:
                    pass
                except OSError:
                    sel.unregister(key.fileobj)
                    key.fileobj.close()


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def packet(type, stream, payload=b""):
    return struct.pack("<BI", type, stream) + payload


def connect(stream, host, port, type=1):
    return packet(CONNECT, stream, struct.pack("<BH", type, port) + (host if isinstance(host, bytes) else host.encode()))


def extension(id, payload=b""):
    return struct.pack("<BI", id, len(payload)) + payload


def info(*extensions, major=2):
    return packet(INFO, 0, bytes([major, 0]) + b"".join(extensions))


def stop(gw):
    """Its clients leave first: nobody has to wait for their Close."""
    for ws in WebSocket.all:
        if ws.gw is gw:
            ws.s.close()
    return gw.stop()


def rss(gw):
    with open(f"/proc/{gw.p.pid}/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")


class Wisp:
    """A client that says packets as it is told to, and tells those that it gets."""

    def __init__(self, gw, path="/wisp/", protocol=None, greet=True, **kw):
        self.ws = gw.ws(path, protocol=protocol, **kw)
        if greet and not protocol:
            assert self.recv() == (CONTINUE, 0, struct.pack("<I", WINDOW))

    def send(self, *packets):
        self.ws.raw(b"".join(self.ws.frame(2, p) for p in packets))

    def recv(self):
        op, data = self.ws.recv()
        assert op == 2, (op, data)
        return (*struct.unpack("<BI", data[:5]), data[5:])

    def until_close(self, stream):
        """Its bytes, and the reason; nothing of other streams may come in between."""
        out = b""
        while True:
            type, id, payload = self.recv()
            assert id == stream, (type, id, payload)
            if type == DATA:
                out += payload
            elif type == CLOSE:
                return out, payload[0]

    def bytes(self, stream, n):
        out = b""
        while len(out) < n:
            type, id, payload = self.recv()
            assert id == stream and type in (DATA, CONTINUE), (type, id, payload)
            out += payload if type == DATA else b""
        return out


class WispTest(unittest.TestCase):
    """Nobody has to say who he is."""

    @classmethod
    def setUpClass(cls):
        cls.gw = Gateway("--auth", "none", "--dns", f"127.0.0.1:{upstream.port}", "--dns-rate", "0")

    @classmethod
    def tearDownClass(cls):
        assert stop(cls.gw) == 0

    # --- versions

    def test_version_1(self):
        ws = self.gw.ws("/wisp/")
        self.assertEqual(ws.recv(), (2, bytes.fromhex("03 00000000 80000000")))
        self.assertNotIn("sec-websocket-protocol", ws.answer.lower())

    def test_version_2(self):
        for protocol in ("wisp-v2", "f0f3b0a2-5d3e-4f5b-9a55-0c1c9cbb6f0e", "foo", "x" * 3000):
            ws = self.gw.ws("/wisp/", protocol=protocol)
            self.assertIn(f"sec-websocket-protocol: {protocol}\r\n", ws.answer + "\r\n")
            self.assertEqual(ws.recv(), (2, bytes.fromhex("05 00000000 02 00  01 00000000  05 00000000")))
            ws.send(info(extension(1), extension(4), extension(99, b"unknown")))
            self.assertEqual(ws.recv(), (2, bytes.fromhex("03 00000000 80000000")))

    def test_downgrade(self):
        """A client that offers a subprotocol, and then speaks version 1."""
        w = Wisp(self.gw, protocol="anything")
        self.assertEqual(w.recv()[0], INFO)
        w.send(connect(1, "127.0.0.1", echoes.port), packet(DATA, 1, b"as in version 1"))
        self.assertEqual(w.recv(), (CONTINUE, 0, struct.pack("<I", WINDOW)))
        self.assertEqual(w.bytes(1, 15), b"as in version 1")
        w.send(info(extension(1)))  # too late: it is dropped, and nothing said about it
        w.send(packet(DATA, 1, b"still"))
        self.assertEqual(w.bytes(1, 5), b"still")

    def test_bad_info(self):
        for bad in (info(major=1), packet(INFO, 1, b"\2\0"), packet(INFO, 0, b"\2"), packet(INFO, 0, b"\2\0\1\xff\0\0\0"), info(extension(9, b"x" * 9000))):
            w = Wisp(self.gw, protocol="wisp-v2")
            w.recv()
            w.send(bad)
            self.assertEqual(w.recv(), (CLOSE, 0, b"\4"))
            self.assertEqual(w.ws.recv_close(), (1008, b""))

    def test_udp_wants_both(self):
        w = Wisp(self.gw, protocol="wisp-v2")
        w.recv()
        w.send(info())
        w.recv()
        w.send(connect(1, "127.0.0.1", udp_echo.port, type=2), connect(2, "127.0.0.1", echoes.port), packet(DATA, 2, b"tcp"))
        self.assertEqual(w.recv(), (CLOSE, 1, b"\x41"))
        self.assertEqual(w.bytes(2, 3), b"tcp")

    def test_confirmation(self):
        w = Wisp(self.gw, protocol="wisp-v2")
        w.recv()
        w.send(info(extension(1), extension(5)))
        w.recv()
        speaks_first = Server(lambda c: (c.sendall(b"220"), c.recv(1)))
        w.send(connect(1, "127.0.0.1", speaks_first.port))
        self.assertEqual(w.recv(), (CONTINUE, 1, struct.pack("<I", WINDOW)))
        self.assertEqual(w.recv(), (DATA, 1, b"220"))
        w.send(connect(2, "127.0.0.1", udp_echo.port, type=2))
        self.assertEqual(w.recv(), (CONTINUE, 2, struct.pack("<I", WINDOW)))
        w.send(connect(3, "127.0.0.1", closed_port()))
        self.assertEqual(w.recv(), (CLOSE, 3, b"\x44"))

    def test_paths(self):
        for path in ("/wisp", "/wisp/", "/wisp/?a=1", "/wisp?/", "/wisp/some/prefix/", "/wisp/name:notaport/", "/wisp/x:99999"):
            Wisp(self.gw, path)
        self.assertEqual(self.gw.http("GET", "/wispx")[0], 404)
        self.assertEqual(self.gw.http("GET", "/wisp/")[0], 400)

    # --- streams

    def test_tcp(self):
        w = Wisp(self.gw)
        for text in ("text is ignored", ""):
            w.ws.send(text.encode(), 1)
        w.send(connect(1, "127.0.0.1", echoes.port), packet(DATA, 1, b"at once"), packet(DATA, 1))
        self.assertEqual(w.bytes(1, 7), b"at once")
        w.send(connect(0xffffffff, "echo.test", echoes.port), packet(DATA, 0xffffffff, b"by name"))
        self.assertEqual(w.bytes(0xffffffff, 7), b"by name")
        big = os.urandom(1 << 20)
        w.send(packet(DATA, 1, big))
        self.assertEqual(w.bytes(1, len(big)), big)

    def test_fragments(self):
        """A packet may come in any pieces."""
        w = Wisp(self.gw)
        one, two = connect(1, "127.0.0.1", echoes.port), packet(DATA, 1, b"in pieces")
        for p in (one, two):
            for i, byte in enumerate(p):
                w.ws.send(bytes([byte]), 2 if i == 0 else 0, fin=False)
                if i % 3 == 0:
                    w.ws.send(b"", 9)
                    while (frame := w.ws.recv_frame())[0] != 10:  # the stream may be there in the meantime
                        self.assertEqual(frame[1][:5], packet(CONTINUE, 1))
            w.ws.send(b"", 0)
        self.assertEqual(w.bytes(1, 9), b"in pieces")

    def test_refusals(self):
        w = Wisp(self.gw)
        for i, (host, port, reason) in enumerate((
                ("127.0.0.1", 9, 0x48), ("denied.test", 80, 0x48), ("10.1.2.3", 80, 0x48), ("169.254.169.254", 80, 0x48), ("private.test", 80, 0x48),
                ("0xa010203", 80, 0x48), ("[::ffff:10.1.2.3]", 80, 0x48), ("127.0.0.1", 53, 0x48), ("no-such.test", 80, 0x42),
                ("127.0.0.1", closed_port(), 0x44), ("127.0.0.1", 0, 0x41), ("a b", 80, 0x41), (b"\xff\xfe", 80, 0x41), ("", 80, 0x41), ("x" * 2000, 80, 0x41)), 1):
            w.send(connect(i, host, port), packet(DATA, i, b"nobody hears this"))
            self.assertEqual(w.until_close(i), (b"", reason), host)
        w.send(connect(50, "127.0.0.1", echoes.port, type=3))
        self.assertEqual(w.until_close(50), (b"", 0x41))
        w.send(connect(51, "127.0.0.1", echoes.port), packet(DATA, 51, b"others live"))
        self.assertEqual(w.bytes(51, 11), b"others live")

    def test_policy_s_event(self):
        Wisp(self.gw).send(connect(1, "denied-later.test", 9))
        w = Wisp(self.gw)
        w.send(connect(1, "127.0.0.1", 9))
        w.until_close(1)
        wait_for("its event", lambda: [e for e in self.gw.events_of(type="net_connect", effective_action="blocked", reason="no discard")])

    def test_malformed(self):
        """Dropped and counted; then the WebSocket ends."""
        before = self.gw.metric("moonfence_gateway_malformed_total")
        w = Wisp(self.gw)
        bad = [b"", b"\2", packet(9, 1), packet(CONTINUE, 1, b"\1\0\0\0"), packet(CLOSE, 1), packet(CLOSE, 0, b"\2"), packet(DATA, 0, b"x"),
               connect(0, "127.0.0.1", echoes.port), info(), packet(INFO, 0, b"x" * 100000)]
        w.send(*bad, connect(1, "127.0.0.1", echoes.port), packet(DATA, 1, b"well"))
        self.assertEqual(w.bytes(1, 4), b"well")
        self.assertEqual(self.gw.metric("moonfence_gateway_malformed_total") - before, len(bad))
        w.send(*bad)
        self.assertEqual(w.ws.recv_close(), (1002, b""))

    def test_unknown_streams_are_no_mistake(self):
        w = Wisp(self.gw)
        w.send(*[packet(DATA, 7, b"late")] * 100, *[packet(CLOSE, 7, b"\2")] * 100, connect(1, "127.0.0.1", echoes.port), packet(DATA, 1, b"x"))
        self.assertEqual(w.bytes(1, 1), b"x")

    def test_same_id_twice(self):
        """Both sides agree that it is gone; the server's connection is not left behind."""
        ended = []
        sink = Server(lambda c: (c.recv(100), ended.append(c.recv(100))))
        w = Wisp(self.gw)
        w.send(connect(1, "127.0.0.1", sink.port), packet(DATA, 1, b"x"))
        wait_for("the server", lambda: sink.seen == 1)
        w.send(connect(1, "127.0.0.1", echoes.port))
        self.assertEqual(w.until_close(1), (b"", 0x41))
        wait_for("its end", lambda: self.gw.metric("moonfence_gateway_flows") == 0)
        w.send(connect(1, "127.0.0.1", echoes.port), packet(DATA, 1, b"anew"))
        self.assertEqual(w.bytes(1, 4), b"anew")

    # --- windows

    def test_continue(self):
        """At the latest at half a window, and never for more than there is room for."""
        w = Wisp(self.gw)
        got = []
        sink = Server(lambda c: got.append(sum(len(b) for b in iter(lambda: c.recv(65536), b""))))
        w.send(connect(1, "127.0.0.1", sink.port))
        for _ in range(20):
            w.send(*[packet(DATA, 1, b"z" * 100)] * (WINDOW // 2))
            type, id, payload = w.recv()
            self.assertEqual((type, id), (CONTINUE, 1))
            self.assertTrue(0 < struct.unpack("<I", payload)[0] <= WINDOW)
        w.send(packet(CLOSE, 1, b"\2"))
        wait_for("all of it", lambda: got == [20 * WINDOW // 2 * 100])

    def test_before_it_is_there(self):
        """What is sent at once waits; the window counts from there."""
        w = Wisp(self.gw)
        w.send(connect(1, "127.0.0.1", echoes.port), *[packet(DATA, 1, b"q" * 1000)] * WINDOW)
        back = grants = 0
        while back < WINDOW * 1000 or not grants:
            type, id, payload = w.recv()
            grants += type == CONTINUE
            back += len(payload) if type == DATA else 0
        self.assertEqual(back, WINDOW * 1000)

    def test_overrun(self):
        """Three windows at once, and then some more, are no violation."""
        w = Wisp(self.gw)
        n = 3 * WINDOW + 50
        threading.Thread(target=w.send, args=[connect(1, "127.0.0.1", echoes.port)] + [packet(DATA, 1, bytes([i & 255]) * 1400) for i in range(n)]).start()
        out = w.bytes(1, n * 1400)
        self.assertEqual(out, b"".join(bytes([i & 255]) * 1400 for i in range(n)))

    def test_server_that_takes_nothing(self):
        """Bytes bound what is kept: then its client is not read, and after a while that stream is ended, for the others' sake."""
        gw = Gateway("--auth", "none", "--wisp", "stall=1")
        held = threading.Event()
        stuck = Server(lambda c: (c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096), held.wait(WAIT)))
        w = Wisp(gw)
        w.send(connect(1, "127.0.0.1", stuck.port), connect(2, "127.0.0.1", echoes.port), packet(DATA, 2, b"before"))
        self.assertEqual(w.bytes(2, 6), b"before")
        before = rss(gw)
        sender = threading.Thread(target=w.send, args=[packet(DATA, 1, b"z" * 65000)] * 1000 + [packet(DATA, 2, b"behind")])
        sender.start()
        reasons, out = [], b""
        while out != b"behind":
            type, id, payload = w.recv()
            if type == CLOSE:
                reasons.append((id, payload))
            elif type == DATA:
                out += payload
        sender.join()
        self.assertEqual(reasons, [(1, b"\x47")])
        self.assertLess(rss(gw) - before, 48 << 20)  # of 65 MB; the sanitizers keep what was freed for a while
        held.set()
        self.assertEqual(stop(gw), 0)

    def test_client_that_takes_nothing(self):
        """A browser that does not read stops its servers; another one's are not."""
        sent = [0]

        def pour(c):
            c.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            while True:
                sent[0] += c.send(b"z" * 65536)

        source = Server(pour)
        w = Wisp(self.gw)
        w.ws.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        before = rss(self.gw)
        w.send(*[connect(i, "127.0.0.1", source.port) for i in range(1, 21)])
        last = [-1, 0.0]

        def still():
            if sent[0] != last[0]:
                last[:] = [sent[0], time.monotonic()]
            return source.seen == 20 and time.monotonic() - last[1] > 0.5
        wait_for("that nothing moves", still)
        self.assertLess(rss(self.gw) - before, 64 << 20)
        other = Wisp(self.gw)
        other.send(connect(1, "127.0.0.1", echoes.port), packet(DATA, 1, b"I read"))
        self.assertEqual(other.bytes(1, 6), b"I read")
        w.ws.s.close()

    def test_fair(self):
        """Many streams that pour have the same share of a WebSocket."""
        streams, pieces = 100, 20
        source = Pour()
        self.addCleanup(source.p.terminate)
        w = Wisp(self.gw)
        w.send(*[connect(i, "127.0.0.1", source.port) for i in range(1, streams + 1)])
        have, since = [0] * (streams + 1), None
        while True:
            type, id, payload = w.recv()
            have[id] += len(payload) if type == DATA else 0
            if since is None and min(have[1:]) > 262144:  # from when all are well under way
                since = list(have)
            if since and sum(have) - sum(since) > streams * pieces * 65536:
                break
        got = sorted(a - b for a, b in zip(have[1:], since[1:]))
        self.assertGreater(got[0], 0.5 * sum(got) / streams, got)
        self.assertLess(got[-1], 2 * sum(got) / streams, got)
        w.ws.s.close()

    def test_too_many_streams(self):
        gw = Gateway("--auth", "none", "--wisp", "streams=8")
        w = Wisp(gw)
        w.send(*[connect(i, "127.0.0.1", echoes.port) for i in range(1, 10)])
        self.assertEqual(w.recv(), (CLOSE, 9, b"\x49"))
        w.send(packet(CLOSE, 3, b"\1"))
        wait_for("its end", lambda: gw.metric("moonfence_gateway_flows") == 7)
        w.send(connect(10, "127.0.0.1", echoes.port), packet(DATA, 10, b"room"))
        self.assertEqual(w.bytes(10, 4), b"room")
        self.assertEqual(stop(gw), 0)

    # --- ends

    def test_close_delivers(self):
        """50 packets of 1,000 bytes, and CLOSE behind them; also before the server is there."""
        got = []
        sink = Server(lambda c: got.append(sum(len(b) for b in iter(lambda: c.recv(65536), b""))))
        for reason in (1, 2, 3, 0x81):
            w = Wisp(self.gw)
            w.send(connect(1, "127.0.0.1", sink.port), *[packet(DATA, 1, b"z" * 1000)] * 50, packet(CLOSE, 1, bytes([reason]) + bytes(3)))
            wait_for("all bytes", lambda: got == [50000])
            got.clear()

    def test_half_closed(self):
        """v86 says CLOSE where its guest says FIN, and wants the answer, and the server's CLOSE."""
        w = Wisp(self.gw)
        w.send(connect(1, "127.0.0.1", fins.port), packet(DATA, 1, b"question"), packet(CLOSE, 1, b"\2"))
        self.assertEqual(w.until_close(1), (b"heard 8\n", 2))
        # any other reason: it is gone
        w.send(connect(2, "127.0.0.1", fins.port), packet(DATA, 2, b"question"), packet(CLOSE, 2, b"\1"))
        wait_for("its end", lambda: self.gw.metric("moonfence_gateway_flows") == 0)
        w.send(connect(2, "127.0.0.1", echoes.port), packet(DATA, 2, b"the same number"))
        self.assertEqual(w.bytes(2, 15), b"the same number")

    def test_answer_is_bounded(self):
        pours = Server(lambda c: [c.sendall(b"z" * 65536) for _ in range(1000)])
        w = Wisp(self.gw)
        w.send(connect(1, "127.0.0.1", pours.port), packet(CLOSE, 1, b"\2"))
        out, reason = w.until_close(1)
        self.assertEqual(reason, 2)
        self.assertLess(len(out), 1 << 20)

    def test_server_ends(self):
        """What it said, one CLOSE, and nothing behind it."""
        banner = Server(lambda c: c.sendall(b"220 ready\r\n" + b"z" * 300000))
        w = Wisp(self.gw)
        for i in range(1, 6):
            w.send(connect(i, "127.0.0.1", banner.port))
            self.assertEqual(w.until_close(i), (b"220 ready\r\n" + b"z" * 300000, 2))
            w.send(*[packet(DATA, i, b"too late")] * 200, packet(CLOSE, i, b"\2"))
        w.send(connect(9, "127.0.0.1", echoes.port), packet(DATA, 9, b"x"))
        self.assertEqual(w.bytes(9, 1), b"x")

    def test_server_resets(self):
        def reset(c):
            c.recv(10)
            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        w = Wisp(self.gw)
        w.send(connect(1, "127.0.0.1", Server(reset).port), packet(DATA, 1, b"x"))
        self.assertEqual(w.until_close(1), (b"", 3))

    def test_browser_leaves(self):
        got = []
        sink = Server(lambda c: got.append(sum(len(b) for b in iter(lambda: c.recv(65536), b""))))
        w = Wisp(self.gw)
        w.send(connect(1, "127.0.0.1", sink.port), *[packet(DATA, 1, b"z" * 1000)] * 100)
        w.ws.send(struct.pack(">H", 1000), 8)
        wait_for("all bytes", lambda: got == [100000])
        wait_for("its end", lambda: self.gw.metric("moonfence_gateway_flows") == 0)

    # --- UDP

    def test_udp(self):
        w = Wisp(self.gw)
        w.send(connect(1, "127.0.0.1", udp_echo.port, type=2), connect(2, "echo.test", udp_echo.port, type=2))
        for payload in (b"datagram", b"", b"x" * 1472, b"y" * 65507):
            for id in (1, 2):
                w.send(packet(DATA, id, payload))
                self.assertEqual(w.recv(), (DATA, id, payload))
        w.ws.send(packet(DATA, 1, b"in "), fin=False)
        w.ws.send(b"pieces", 0)
        self.assertEqual(w.recv(), (DATA, 1, b"in pieces"))
        w.send(packet(DATA, 1, b"z" * 65508), packet(CLOSE, 1, b"\2"), packet(DATA, 1, b"gone"), packet(DATA, 2, b"there"))
        self.assertEqual(w.recv(), (DATA, 2, b"there"))

    def test_udp_refusals(self):
        w = Wisp(self.gw)
        for i, (host, port, reason) in enumerate((("10.1.2.3", 5000, 0x48), ("127.0.0.1", 9, 0x48), ("127.0.0.1", 443, 0x48), ("private.test", 5000, 0x48),
                                                  ("denied.test", 5000, 0x48), ("no-such.test", 5000, 0x42), ("127.0.0.1", 0, 0x41)), 1):
            w.send(connect(i, host, port, type=2), packet(DATA, i, b"nobody hears this"))
            self.assertEqual(w.until_close(i), (b"", reason), host)

    def test_udp_names(self):
        """Port 53 is Moonfence's own resolver, wherever it is said to be."""
        w = Wisp(self.gw)
        w.send(connect(1, "192.0.2.53", 53, type=2), packet(DATA, 1, question("echo.test")))
        type, id, answer = w.recv()
        self.assertEqual((type, id, answer[-4:]), (DATA, 1, bytes([127, 0, 0, 1])))

    # --- any order

    def test_any_order(self):
        """Whatever comes, in whatever order, from many: the gateway lives, and nothing is left behind."""
        gw, rnd = Gateway("--auth", "none", "--dns", f"127.0.0.1:{upstream.port}", "--dns-rate", "0"), random.Random(7)
        ports = [echoes.port, fins.port, pages.port, udp_echo.port, closed_port(), 9, 0, 53]
        hosts = ["127.0.0.1"] * 6 + ["echo.test", "denied.test", "no-such.test", "10.1.2.3", "", "x" * 300]

        def some(ids):
            id, what = rnd.choice(ids), rnd.random()
            if what < 0.3:
                return connect(id, rnd.choice(hosts), rnd.choice(ports), type=rnd.choice((1, 1, 1, 2, 2, 3)))
            if what < 0.8:
                return packet(DATA, id, rnd.randbytes(rnd.choice((0, 1, 100, 1400, 70000))))
            if what < 0.97:
                return packet(CLOSE, id, bytes([rnd.choice((1, 2, 2, 3, 0x81))]))
            return rnd.choice((info(extension(1)), packet(rnd.randrange(256), id, rnd.randbytes(rnd.randrange(20))), rnd.randbytes(rnd.randrange(8))))

        for round in range(200):
            w = Wisp(gw, protocol=rnd.choice((None, "wisp-v2")))
            if w.ws.answer.lower().count("sec-websocket-protocol") and rnd.random() < 0.8:
                w.send(info(extension(1), extension(5)))
            ids = [rnd.randrange(1, 1 << 32) for _ in range(rnd.randrange(1, 12))]
            frames = []
            for _ in range(rnd.randrange(60)):
                p, cut = some(ids), rnd.randrange(40)
                frames += [w.ws.frame(2, p)] if len(p) <= cut or rnd.random() < 0.8 else [w.ws.frame(2, p[:cut], fin=False), w.ws.frame(0, p[cut:])]
            try:
                w.ws.raw(b"".join(frames))
                w.ws.s.settimeout(0.01 if rnd.random() < 0.3 else 0)
                w.ws.take(1 << 20)
            except (OSError, EOFError):
                pass
            w.ws.s.close()
        wait_for("that all have gone", lambda: gw.metric("moonfence_gateway_websockets") == 0, 20)
        wait_for("that their connections have", lambda: gw.metric("moonfence_gateway_flows") == 0)
        self.assertEqual(stop(gw), 0)

    # --- wsproxy

    def test_wsproxy(self):
        ws = self.gw.ws(f"/wisp/127.0.0.1:{echoes.port}")
        ws.send(b"binary ")
        ws.send("\u00fcber".encode(), 1)
        self.assertEqual(ws.recv_bytes(12), "binary \u00fcber".encode())
        ws.close()
        ws = self.gw.ws(f"/wisp/anything/echo.test:{echoes.port}?x=1", early=WebSocket.frame(ws, 2, b"at once"), protocol="foo")
        self.assertIn("sec-websocket-protocol: foo", ws.answer)
        self.assertEqual(ws.recv_bytes(7), b"at once")
        banner = Server(lambda c: c.sendall(b"220 ready\r\n"))
        self.assertEqual(self.gw.ws(f"/wisp/127.0.0.1:{banner.port}").recv_close(), (1005, b"220 ready\r\n"))
        for target in ("127.0.0.1:9", "10.1.2.3:80", "denied.test:80", "no-such.test:80", f"127.0.0.1:{closed_port()}"):
            self.assertEqual(self.gw.ws(f"/wisp/{target}").recv_close(), (1011, b""), target)

    # --- clients

    @unittest.skipUnless(shutil.which("node"), "no node")
    def test_clients(self):
        got = subprocess.run([HERE + "/../../../tools/install-node-deps.sh"], stdout=subprocess.PIPE, text=True)
        if got.returncode == 77:
            self.skipTest("no npm packages")
        lines = ["127.0.0.1:9 0x48", "10.1.2.3:80 0x48", "no-such.test:80 0x42", "127.0.0.1:closed 0x44", "hundred ok"]
        for client, want in (("wisp-js", ['version 2, ""', "tcp ok", "udp ok", *lines]), ("wisp-js-v1", ['version 1, ""', "tcp ok", "udp ok", *lines]),
                             ("epoxy", ["fetch ok", "udp ok"]), ("epoxy-v1", ["fetch ok", "udp ok"])):
            r = subprocess.run(["node", HERE + "/wisp_clients.mjs", got.stdout.strip(), f"127.0.0.1:{self.gw.port}", client, str(echoes.port),
                                str(udp_echo.port), str(pages.port), str(closed_port())], stdout=subprocess.PIPE, text=True, timeout=WAIT)
            self.assertEqual((client, r.stdout.splitlines(), r.returncode), (client, want, 0))


class Admission(unittest.TestCase):
    """Who may come in: tokens where clients can say them, and passwords."""

    def test_token_in_path(self):
        gw = Gateway()
        cookie = gw.http("POST", "/session", [("Content-Type", "application/json")], b"{}")[1]["set-cookie"].split(";")[0]
        token = cookie.split("=", 1)[1]
        for path in ("/wisp/", "/wisp/wrong/", f"/wisp/127.0.0.1:{echoes.port}"):
            with self.assertRaises(Refused) as e:
                gw.ws(path)
            self.assertEqual(e.exception.status, 401, path)
        Wisp(gw, f"/wisp/{token}/")
        Wisp(gw, "/wisp/", fields=[("Cookie", cookie)])
        w = Wisp(gw, "/wisp/", protocol=f"aero-l2-token.{token}")
        self.assertIn(f"sec-websocket-protocol: aero-l2-token.{token}", w.ws.answer)
        self.assertEqual(w.recv()[0], CONTINUE)  # a credential is no subprotocol: version 1
        w = Wisp(gw, "/wisp/", protocol=f"aero-l2-token.{token}, wisp-v2")
        self.assertIn("sec-websocket-protocol: wisp-v2", w.ws.answer)
        self.assertEqual(w.recv()[0], INFO)
        ws = gw.ws(f"/wisp/{token}/127.0.0.1:{echoes.port}")
        ws.send(b"wsproxy")
        self.assertEqual(ws.recv_bytes(7), b"wsproxy")
        self.assertEqual(stop(gw), 0)

    def test_passwords(self):
        with open(TMP + "/passwords", "w") as f:
            f.write("# who\n\nbob:hunter2\nalice:with:colons\n")
        gw = Gateway("--auth", "none", "--wisp", "password-file=" + TMP + "/passwords", "--wisp", "motd=hi", "--dns", f"127.0.0.1:{upstream.port}")
        with self.assertRaises(Refused) as e:  # version 1 has no passwords
            gw.ws("/wisp/")
        self.assertEqual(e.exception.status, 401)
        old, new = lambda u, p: struct.pack("<BH", len(u), len(p)) + u + p, lambda u, p: bytes([len(u)]) + u + p

        def ask(*first):
            w = Wisp(gw, protocol="wisp-v2")
            self.assertEqual(w.ws.recv(), (2, bytes.fromhex("05 00000000 02 00  01 00000000  02 01000000 01  04 02000000 6869  05 00000000")))
            w.send(*first)
            return w
        # as wisp-js says it
        self.assertEqual(extension(2, old(b"bob", b"hunter2")), bytes.fromhex("02 0d000000 03 0700 626f62 68756e74657232"))
        for good in (old(b"bob", b"hunter2"), new(b"bob", b"hunter2"), old(b"alice", b"with:colons"), new(b"alice", b"with:colons")):
            self.assertEqual(ask(info(extension(1), extension(2, good))).recv(), (CONTINUE, 0, struct.pack("<I", WINDOW)))
        for bad in (old(b"bob", b"hunter3"), new(b"bob", b""), new(b"", b"hunter2"), old(b"alice", b"hunter2"), b"", b"\xffbob", b"\3bo"):
            w = ask(info(extension(1), extension(2, bad)), connect(1, "127.0.0.1", echoes.port))
            self.assertEqual((w.recv(), w.ws.recv_close()), ((CLOSE, 0, b"\xc0"), (1008, b"")))
        for none in (info(extension(1)), connect(1, "127.0.0.1", echoes.port), packet(DATA, 1, b"x")):
            w = ask(none)
            self.assertEqual((w.recv(), w.ws.recv_close()), ((CLOSE, 0, b"\xc2"), (1008, b"")))
        # policies see the name
        w = ask(info(extension(1), extension(2, new(b"bob", b"hunter2"))))
        w.recv()
        w.send(connect(1, "who.test", 80))
        self.assertEqual(w.until_close(1), (b"", 0x48))
        wait_for("its event", lambda: gw.events_of(type="net_connect", reason="session user:bob"))
        self.assertEqual(stop(gw), 0)

    def test_keys(self):
        def openssl(*args, **kw):
            return subprocess.run(["openssl", *args], stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=WAIT, **kw).stdout
        public = {}
        for who in ("bob", "alice", "eve"):
            openssl("genpkey", "-algorithm", "ed25519", "-out", f"{TMP}/{who}.pem")
            public[who] = openssl("pkey", "-in", f"{TMP}/{who}.pem", "-pubout", "-outform", "DER")
            self.assertEqual(len(public[who]), 44)
        with open(TMP + "/keys", "w") as f:  # both ways to write one
            f.write(f"# who\n\nbob:{base64.b64encode(public['bob']).decode()}\nalice:{base64.b64encode(public['alice'][12:]).decode()}\n")
        with open(TMP + "/passwords", "w") as f:
            f.write("carol:pw\n")

        def sign(who, what):
            with open(TMP + "/challenge", "wb") as f:
                f.write(what)
            return openssl("pkeyutl", "-sign", "-inkey", f"{TMP}/{who}.pem", "-rawin", "-in", TMP + "/challenge")

        def proof(who, what, hash=hashlib.sha256, algorithm=1):
            return extension(3, bytes([algorithm]) + hash(public[who][12:]).digest() + sign(who, what))

        keys = ["--auth", "none", "--dns", f"127.0.0.1:{upstream.port}", "--wisp", "key-file=" + TMP + "/keys"]
        gw = Gateway(*keys)
        with self.assertRaises(Refused) as e:  # version 1 has no keys
            gw.ws("/wisp/")
        self.assertEqual(e.exception.status, 401)
        seen = set()

        def ask(password=None):
            """Its INFO to the byte but for the challenge, which is another each time."""
            w = Wisp(gw, protocol="wisp-v2")
            op, data = w.ws.recv()
            offer = bytes.fromhex("05 00000000 02 00  01 00000000") + (extension(2, b"\0") if password else b"") + bytes.fromhex("05 00000000  03 42000000") + (b"\0\1" if password else b"\1\1")
            self.assertEqual((op, data[:-64]), (2, offer))
            seen.add(data[-64:])
            return w, data[-64:]
        good = (CONTINUE, 0, struct.pack("<I", WINDOW))
        for who, hash in (("bob", hashlib.sha256), ("alice", hashlib.sha256), ("alice", hashlib.sha512)):
            w, challenge = ask()
            said = proof(who, challenge, hash)
            self.assertEqual(len(said), 5 + 1 + hash().digest_size + 64)
            w.send(info(extension(1), said))
            self.assertEqual(w.recv(), good)
        w.send(connect(1, "who.test", 80))  # policies see the name
        self.assertEqual(w.until_close(1), (b"", 0x48))
        wait_for("its event", lambda: gw.events_of(type="net_connect", reason="session user:alice"))
        self.assertEqual(len(seen), 3)
        old = seen.pop()
        bob = hashlib.sha256(public["bob"][12:]).digest()
        for bad in (lambda c: proof("eve", c),                                  # a key that nobody knows
                    lambda c: extension(3, b"\1" + bob + sign("eve", c)),       # another's name
                    lambda c: proof("bob", old),                                # a signature of another WebSocket's
                    lambda c: proof("bob", c[:-1]),
                    lambda c: proof("bob", c, algorithm=2), lambda c: proof("bob", c, algorithm=0),
                    lambda c: proof("bob", c)[:-1], lambda c: extension(3, proof("bob", c)[5:] + b"\0"), lambda c: extension(3), lambda c: extension(3, bytes(97)),
                    lambda c: extension(3, b"\1" + bob + bytes(64))):
            w, challenge = ask()
            said = bad(challenge)
            w.send(info(extension(1), extension(3, said[5:])), connect(1, "127.0.0.1", echoes.port))
            self.assertEqual((w.recv(), w.ws.recv_close()), ((CLOSE, 0, b"\xc1"), (1008, b"")))
        # a password that was not asked for is none
        for none in (info(extension(1)), info(extension(2, b"\5carolpw")), connect(1, "127.0.0.1", echoes.port)):
            w, _ = ask()
            w.send(none)
            self.assertEqual((w.recv(), w.ws.recv_close()), ((CLOSE, 0, b"\xc2"), (1008, b"")))
        self.assertEqual(stop(gw), 0)
        # either will do; a key that is wrong is not helped by a password
        gw = Gateway(*keys, "--wisp", "password-file=" + TMP + "/passwords")
        for said, want in ((lambda c: extension(2, b"\5carolpw"), good), (lambda c: proof("bob", c), good), (lambda c: extension(2, b"\5carolno"), (CLOSE, 0, b"\xc0")),
                           (lambda c: extension(2, b"\5carolpw") + proof("eve", c), (CLOSE, 0, b"\xc1")), (lambda c: b"", (CLOSE, 0, b"\xc2"))):
            w, challenge = ask(password=True)
            w.send(info(said(challenge)))
            self.assertEqual(w.recv(), want)
        self.assertEqual(stop(gw), 0)
        # a client that does not know the extension is not asked where nobody is
        gw = Gateway("--auth", "none")
        w = Wisp(gw, protocol="wisp-v2")
        self.assertNotIn(extension(3)[:1] + b"\x42", w.ws.recv()[1])
        w.send(info(extension(1), proof("eve", b"x")))
        self.assertEqual(w.recv(), good)
        self.assertEqual(stop(gw), 0)

    def test_options(self):
        def run(*args):
            p = subprocess.run([MOONFENCE, "gateway", "--listen", "127.0.0.1:0", *args], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=WAIT)
            return p.returncode != 0 and p.stderr.splitlines()[0]
        with open(TMP + "/bad", "w") as f:
            f.write("no colon\n")
        with open(TMP + "/bad-key", "w") as f:  # an Ed25519 key, and one of X25519
            f.write("a:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\nb:MCowBQYDK2VuAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n")
        for args, want in ((["--wisp", "nothing=1"], "--wisp wants"), (["--wisp", "streams=0"], "--wisp wants"), (["--wisp", "path=wisp"], "--wisp wants"),
                           (["--wisp", "path=/wisp/"], "--wisp wants"), (["--wisp", "password-file=" + TMP + "/bad"], ":1: 'name:password' is wanted"),
                           (["--wisp", "key-file=" + TMP + "/bad"], ":1: 'name:key' is wanted"), (["--wisp", "key-file=" + TMP + "/bad-key"], ":2: 'name:key' is wanted"),
                           (["--target-file", TMP + "/bad"], ":1: 'token: host:port' is wanted"), (["--target-file", TMP + "/none"], "cannot read"),
                           (["--target", "=127.0.0.1:1"], "--target wants"), (["--target", "a=b"], "--target wants"), (["--target", "a=b:0"], "--target wants")):
            self.assertIn(want, run(*args))
        gw = Gateway("--auth", "none", "--wisp", "path=/net/relay", "--wisp", "window=64")
        self.assertEqual(gw.ws("/net/relay/").recv(), (2, bytes.fromhex("03 00000000 40000000")))
        self.assertEqual(gw.http("GET", "/wisp/")[0], 404)
        self.assertEqual(gw.http("GET", "/websockify")[0], 404)
        self.assertEqual(stop(gw), 0)
        gw = Gateway("--auth", "none", "--wisp", "path=off")
        self.assertEqual(gw.http("GET", "/wisp/")[0], 404)
        self.assertEqual(stop(gw), 0)


class Websockify(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # what an RFB server does: it speaks first, and says another thing for each that it hears
        cls.vnc = Server(lambda c: (c.sendall(b"RFB 003.008\n"), c.sendall(c.recv(100).upper())))
        with open(TMP + "/tokens", "w") as f:
            f.write(f"# TokenFile\nvm1: 127.0.0.1:{cls.vnc.port}\nvm2:  echo.test:{echoes.port}\nnobody: 127.0.0.1:{closed_port()}\nblocked: 127.0.0.1:9\n")
        cls.gw = Gateway("--auth", "none", "--target-file", TMP + "/tokens", "--target", f"127.0.0.1:{echoes.port}", "--target", f"echo=127.0.0.1:{echoes.port}",
                         "--dns", f"127.0.0.1:{upstream.port}", open=False)  # targets are the operator's word: above the floor

    @classmethod
    def tearDownClass(cls):
        assert stop(cls.gw) == 0

    def refusal(self, path, **kw):
        with self.assertRaises(Refused) as e:
            self.gw.ws(path, **kw)
        return e.exception.status, e.exception.text

    def test_targets(self):
        for path in ("/websockify?token=vm1", "/websockify/?token=vm1", "/websockify/vm1", "/websockify?token=vm1%0A"):
            ws = self.gw.ws(path)
            self.assertEqual(ws.recv(), (2, b"RFB 003.008\n"))
            ws.send(b"hello")
            self.assertEqual(ws.recv_close(), (1000, b"HELLO"))
        for path in ("/websockify", "/websockify/", "/websockify?token=echo", "/websockify/vm2"):
            ws = self.gw.ws(path)
            ws.send(b"echo")
            self.assertEqual(ws.recv_bytes(4), b"echo")
            self.assertEqual(ws.close(4000), (4000, b""))  # its code comes back
        for path in ("/websockify?token=other", "/websockify/other", "/websockify?token=vm1&token=vm1", "/websockify?token=" + "x" * 999):
            self.assertEqual(self.refusal(path), (404, "No such target"))
        self.assertEqual(self.gw.http("GET", "/websockifyx")[0], 404)

    def test_subprotocols(self):
        for offered, told in (("binary", "binary"), ("base64, binary", "binary"), ("foo, binary", "binary"), (None, None), ("foo", None)):
            ws = self.gw.ws("/websockify", protocol=offered)
            self.assertEqual("sec-websocket-protocol" in ws.answer.lower(), told is not None, offered)
            if told:
                self.assertIn("sec-websocket-protocol: " + told, ws.answer)
        self.assertEqual(self.refusal("/websockify", protocol="base64"), (400, "Invalid protocol selected"))

    def test_ends(self):
        ws = self.gw.ws("/websockify")
        ws.send(b"text", 1)
        op, data = ws.recv()
        self.assertEqual((op, data), (8, struct.pack(">H", 1003) + b"Unsupported: Text frames are not supported"))
        for name in ("nobody", "blocked"):
            op, data = self.gw.ws("/websockify?token=" + name).recv()
            self.assertEqual((op, data), (8, struct.pack(">H", 1011) + b"Failed to connect to downstream server"))
        ws = self.gw.ws("/websockify/vm1")
        ws.recv()
        ws.send(b"x")
        ws.recv()
        self.assertEqual(ws.recv(), (8, struct.pack(">H", 1000) + b"Target closed"))
        ws = self.gw.ws("/websockify")
        ws.send(b"not masked", masked=False)
        self.assertEqual(ws.recv_close()[0], 1002)

    def test_close_flushes(self):
        got = []
        sink = Server(lambda c: got.append(sum(len(b) for b in iter(lambda: c.recv(65536), b""))))
        gw = Gateway("--auth", "none", "--target", f"127.0.0.1:{sink.port}", open=False)
        ws = gw.ws("/websockify")
        for _ in range(20):
            ws.send(b"z" * 50000)
        ws.close()
        wait_for("all bytes", lambda: got == [1000000])
        self.assertEqual(stop(gw), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""moonfence gateway and clients that are not what they should be: it says so, keeps its bounds, and serves the others."""
import os, random, select, socket, struct, threading, unittest

from rig import *

echoes = Server(echo)
MUX = "aero-tcp-mux-v1"


def flood(conn):
    """Sends as long as somebody takes it."""
    piece = bytes(1 << 16)
    while True:
        sent[0] += conn.send(piece)


sent = [0]
floods = Server(flood)


def rss_kib(pid):
    with open_file(f"/proc/{pid}/status") as f:
        return next(int(l.split()[1]) for l in f if l.startswith("VmRSS:"))


class Abuse(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.gw = Gateway("--auth", "none", "--max-connections", "64")
        cls.path = f"/tcp?host=127.0.0.1&port={echoes.port}"

    @classmethod
    def tearDownClass(cls):
        assert cls.gw.stop() == 0

    def tearDown(self):
        """Whatever was done, others are served, and nothing is left of it."""
        ws = self.gw.ws(self.path)
        ws.send(b"well")
        self.assertEqual(ws.recv_bytes(4), b"well")
        ws.close()
        wait_for("nothing left", lambda: self.gw.metric("moonfence_gateway_websockets") == 0 and self.gw.metric("moonfence_gateway_flows") == 0)

    def test_frames_that_are_none(self):
        for name, frame in (("unmasked", lambda w: w.frame(2, b"x", masked=False)), ("reserved bit", lambda w: w.frame(2, b"x", rsv=4)),
                            ("reserved opcode", lambda w: w.frame(3, b"x")), ("control frame too long", lambda w: w.frame(9, b"x" * 126)),
                            ("control frame in pieces", lambda w: w.frame(9, b"x", fin=False)), ("continuation of nothing", lambda w: w.frame(0, b"x")),
                            ("a message inside of another", lambda w: w.frame(2, b"x", fin=False) + w.frame(2, b"y")),
                            ("a close of one byte", lambda w: w.frame(8, b"\x03")), ("a close with a bad code", lambda w: w.frame(8, b"\x00\x01"))):
            ws = self.gw.ws(self.path)
            ws.raw(frame(ws))
            self.assertEqual(ws.recv_close()[0], 1002, name)
            ws.s.close()

    def test_message_too_long(self):
        for path, protocol, limit in ((self.path, None, 1 << 20), ("/tcp-mux", MUX, 1 << 20)):
            ws = self.gw.ws(path, protocol=protocol)
            ws.raw(ws.frame(2, b"x", length=limit + 1))
            self.assertEqual(ws.recv_close()[0], 1009)
            ws.s.close()
        ws = self.gw.ws(self.path)
        ws.raw(ws.frame(2, b"x", length=1 << 62))
        self.assertEqual(ws.recv_close()[0], 1009)
        ws.s.close()
        ws = self.gw.ws(self.path)  # also in pieces
        piece = bytes(300000)
        threading.Thread(target=lambda: self.quietly(lambda: [ws.send(piece, 2 if i == 0 else 0, fin=False) for i in range(5)]), daemon=True).start()
        self.assertEqual(ws.recv_close()[0], 1009)
        ws.s.close()

    def quietly(self, fn):
        try:
            fn()
        except OSError:
            pass

    def test_a_client_that_never_reads(self):
        before = rss_kib(self.gw.p.pid)
        sent[0] = 0
        open = [self.gw.ws(f"/tcp?host=127.0.0.1&port={floods.port}") for _ in range(8)]
        mux = self.gw.ws("/tcp-mux", protocol=MUX)
        for i in range(1, 21):
            host = b"127.0.0.1"
            payload = struct.pack(">H", len(host)) + host + struct.pack(">HH", floods.port, 0)
            mux.send(struct.pack(">BII", 1, i, len(payload)) + payload)
        last = [-1]

        def stalled():  # nobody takes any more: twice the same, with others served in between
            for _ in range(5):
                self.gw.http("GET", "/healthz")
            now, last[0] = last[0], sent[0]
            return now == sent[0] and sent[0] > 0
        wait_for("the servers stand still", stalled)
        grown = rss_kib(self.gw.p.pid) - before
        # 9 WebSockets of 256 KiB and a piece, with what allocators and sanitizers keep; 28 streams without bounds would take it all
        self.assertLess(grown, 64 << 10)
        for ws in open + [mux]:
            ws.s.close()

    def test_a_server_that_never_reads(self):
        """What its client sends waits within bounds; and a client that is reset meanwhile leaves nothing behind, however long the server sits there."""
        done = threading.Event()
        self.addCleanup(done.set)
        stuck = Server(lambda conn: done.wait())
        before, total = rss_kib(self.gw.p.pid), 0
        ws = self.gw.ws(f"/tcp?host=127.0.0.1&port={stuck.port}")
        ws.s.setblocking(False)
        data = ws.frame(2, bytes(1 << 16))
        while select.select([], [ws.s], [], 2)[1] and total < 512 << 20:
            try:
                total += ws.s.send(data[total % len(data):])
            except BlockingIOError:
                continue
        self.assertLess(total, 512 << 20)
        self.assertLess(rss_kib(self.gw.p.pid) - before, 32 << 10)
        ws.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ws.s.close()
        wait_for("nothing left of it", lambda: self.gw.metric("moonfence_gateway_flows") == 0)

    def test_pings_that_nobody_reads_the_answers_of(self):
        before = rss_kib(self.gw.p.pid)
        ws = self.gw.ws(self.path)
        ws.s.setblocking(False)
        data, total = ws.frame(9, bytes(125)) * 5000, 0
        while select.select([], [ws.s], [], 2)[1] and total < 512 << 20:
            try:
                total += ws.s.send(data[total % len(data):])
            except BlockingIOError:
                continue
        self.assertLess(rss_kib(self.gw.p.pid) - before, 32 << 10)
        ws.s.close()

    def test_clients_that_vanish(self):
        for path, protocol in ((self.path, None), ("/tcp-mux", MUX), ("/udp", None)):
            for _ in range(10):
                ws = self.gw.ws(path, protocol=protocol)
                ws.raw(ws.frame(2, b"x" * 50)[:random.randrange(1, 50)])
                ws.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                ws.s.close()
        for _ in range(10):  # before they are answered
            s = self.gw.socket()
            s.sendall(f"GET {self.path} HTTP/1.1\r\nHost: gw.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                      "Sec-WebSocket-Key: AAAA\r\n\r\n".encode())
            s.close()

    def test_close_races(self):
        end = Server(lambda conn: conn.recv(1))  # it closes on the first byte
        for i in range(20):
            ws = self.gw.ws(f"/tcp?host=127.0.0.1&port={end.port}")
            ws.raw(ws.frame(2, b"x") + ws.frame(8, struct.pack(">H", 1000)))
            self.assertIn(ws.recv_close()[0], (1000, 1011))
            ws.s.close()

    def test_heads(self):
        for head, want in (("X-Long: " + "y" * 40000, 431), ("Bad Name: 1", 400), ("A: 1\r\n" * 100, 431)):
            with self.gw.socket() as s:
                self.quietly(lambda: s.sendall(f"GET {self.path} HTTP/1.1\r\nHost: gw.test\r\n{head}\r\n\r\n".encode()))
                self.assertEqual(int(s.recv(4096).split()[1]), want)
        self.assertEqual(self.gw.http("GET", "/tcp?host=" + "h" * 2000 + "&port=1", [
            ("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "AAAA")])[0], 400)

    def test_too_many(self):
        open = [self.gw.ws("/udp") for _ in range(64)]
        with self.assertRaises(Refused) as e:
            self.gw.ws("/udp")
        self.assertEqual(e.exception.status, 429)
        for ws in open:
            ws.s.close()
        wait_for("room", lambda: self.gw.metric("moonfence_gateway_websockets") == 0)

    def test_noise(self):
        rng = random.Random(8)
        for path, protocol in ((self.path, None), ("/tcp-mux", MUX), ("/udp", None)):
            for _ in range(20):
                ws = self.gw.ws(path, protocol=protocol)
                self.quietly(lambda: ws.raw(rng.randbytes(rng.randrange(1, 3000))))
                self.quietly(lambda: ws.send(rng.randbytes(rng.randrange(0, 3000))))
                ws.s.close()


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Wisp, wsproxy and websockify of moonfence gateway: exact bytes, and other people's clients."""
import os, shutil, socket, struct, subprocess, threading, time, unittest

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
        assert cls.gw.stop() == 0

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

    # --- streams

    def test_tcp(self):
        w = Wisp(self.gw)
        w.send(connect(1, "127.0.0.1", echoes.port), packet(DATA, 1, b"at once"))
        self.assertEqual(w.bytes(1, 7), b"at once")

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


if __name__ == "__main__":
    unittest.main(verbosity=2)

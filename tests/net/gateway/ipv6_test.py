#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""IPv6 in every place where an address can be said: options as docs/gateway.md writes them, requests, proxies' fields, both families on one listener."""
import atexit, json, os, re, shlex, socket, struct, subprocess, sys, tempfile, threading, unittest

from rig import *


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


if not has_ipv6():
    print("this host has no IPv6")
    sys.exit(77)
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../..")
HERE = "::1"


class Server6(Server):
    def __init__(self, serve):
        self.sock = socket.create_server((HERE, 0), family=socket.AF_INET6, backlog=256)
        self.port, self.seen = self.sock.getsockname()[1], 0
        threading.Thread(target=self.run, args=(serve,), daemon=True).start()


class Gateway6(Gateway):
    """Listens where it is told; clients come from @via."""

    def __init__(self, *args, listen="[::1]:0", policy=POLICY):
        self.tls, self.via, self.events = False, HERE, tempfile.mktemp(dir=TMP)
        self.policy = tempfile.mktemp(dir=TMP, suffix=".lua")
        with open_file(self.policy, "w") as f:
            f.write(policy)
        self.p = subprocess.Popen([MOONFENCE, "gateway", "--listen", listen, "--policy", self.policy, "--events", self.events, "--drain", "0", *args], stdout=subprocess.PIPE, text=True)
        atexit.register(self.p.kill)
        self.url = self.p.stdout.readline().strip()
        self.port = int(re.fullmatch(r"http://\[(::1?)\]:(\d+)/", self.url)[2])

    def socket(self):
        return socket.create_connection((self.via, self.port), WAIT)


echoes, names6 = Server6(echo), Udp(lambda q: answer_aaaa(q), socket.AF_INET6)
udp_echo = Udp(lambda d: d, socket.AF_INET6)


def answer_aaaa(q):
    """AAAA: ::1; A: nothing."""
    end = end_of_question(q)
    body = b"\xc0\x0c" + q[end - 4:end] + struct.pack(">IH", 300, 16) + socket.inet_pton(socket.AF_INET6, HERE) if q[end - 3] == 28 else b""
    return q[:2] + struct.pack(">5H", 0x8180, 1, 1 if body else 0, 0, 0) + q[12:end] + body


def refusal(gw, path, fields=(), **kw):
    try:
        gw.ws(path, fields, **kw).close()
    except Refused as e:
        return e.status
    return 101


class Documentation(unittest.TestCase):
    def test_options_are_taken_as_written(self):
        """The options of the table, all at once; only where it serves is another port."""
        with open_file(ROOT + "/docs/gateway.md") as f:
            section = f.read().split("\n## IPv6\n")[1].split("\n## ")[0]
        options = [shlex.split(code) for code in re.findall(r"`(--[a-z-]+ [^`]+)`", section)]
        self.assertGreater(len(options), 12)
        args = []
        for name, value in options:
            self.assertIn(":", value, name)
            if name not in ("--listen", "--webrtc-port"):
                args += [name, value]
        self.assertEqual({value for name, value in options if name == "--listen"}, {"[::]:8080", "[2001:db8::2]:8080"})
        gw = Gateway6("--auth", "none", "--webrtc-port", "[::1]:0", *args)
        self.assertRegex(gw.p.stdout.readline(), r"^udp://\[::1\]:\d+/$")
        self.assertEqual(gw.stop(), 0)


class Both(unittest.TestCase):
    def test_one_listener_for_both_families(self):
        gw = Gateway6("--auth", "none", "--open", "::1", "--block-client", "127.0.0.0/8", listen="[::]:0")
        path = f"/tcp?host=::1&port={echoes.port}"
        self.assertEqual(refusal(gw, path), 101)
        gw.via = "127.0.0.1"  # which is this address, and not one that is mapped into IPv6
        self.assertEqual(refusal(gw, path), 403)
        self.assertEqual(gw.stop(), 0)


class Requests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.gw = Gateway6("--auth", "none", "--open", "::1", "--dns", f"[::1]:{names6.port}", "--dns-rate", "0", "--target", f"vm=[::1]:{echoes.port}", "--trusted-proxy", "::1",
                          "--block-client", "2001:db8:bad::/48")

    @classmethod
    def tearDownClass(cls):
        assert cls.gw.stop() == 0

    def echoes(self, path, **kw):
        ws = self.gw.ws(path, **kw)
        ws.send(b"six")
        self.assertEqual(ws.recv_bytes(3), b"six", path)
        ws.close()

    def test_tcp(self):
        p = echoes.port
        for path in (f"/tcp?host=::1&port={p}", f"/tcp?host=%3A%3A1&port={p}", f"/tcp?target=[::1]:{p}", f"/tcp?host=0:0:0:0:0:0:0:1&port={p}", f"/tcp?host=six.test&port={p}",
                     f"/wisp/[::1]:{p}", f"/wisp/six.test:{p}", "/websockify?token=vm", "/websockify/vm"):
            self.echoes(path)

    def test_mux(self):
        ws = self.gw.ws("/tcp-mux", protocol="aero-tcp-mux-v1")
        frame = lambda type, id, body: struct.pack(">BII", type, id, len(body)) + body
        ws.send(frame(1, 1, b"\0\3::1" + struct.pack(">HH", echoes.port, 0)) + frame(2, 1, b"six"))
        self.assertEqual(ws.recv_bytes(12), frame(2, 1, b"six"))

    def test_wisp(self):
        ws = self.gw.ws("/wisp/")
        self.assertEqual(ws.recv()[1][:1], b"\3")
        for i, host in enumerate((b"::1", b"[::1]", b"six.test"), 1):
            ws.send(struct.pack("<BIBH", 1, i, 1, echoes.port) + host)
            ws.send(struct.pack("<BI", 2, i) + b"six")
            while (data := ws.recv()[1])[0] == 3:
                pass
            self.assertEqual(data, struct.pack("<BI", 2, i) + b"six", host)

    def test_udp(self):
        ws = self.gw.ws("/udp")
        self.assertEqual(json.loads(ws.recv()[1])["type"], "ready")
        head = b"\xa2\x02\x06\0" + struct.pack(">H", 7) + socket.inet_pton(socket.AF_INET6, HERE) + struct.pack(">H", udp_echo.port)
        ws.send(head + b"six")
        self.assertEqual(ws.recv(), (2, head + b"six"))

    def test_names(self):
        status, _, body = self.gw.http("GET", "/dns-json?name=six.test&type=AAAA")
        self.assertEqual((status, [a["data"] for a in json.loads(body)["Answer"]]), (200, ["::1"]))

    def test_the_floor(self):
        for host in ("fe80::1", "fd00::1", "2001:db8::1", "::", "ff02::1", "::ffff:10.1.2.3", "::10.1.2.3", "64:ff9b::10.1.2.3", "2002:a01:203::1"):
            self.assertEqual(refusal(self.gw, f"/tcp?host={host}&port=80"), 403, host)

    def test_who_asks(self):
        path = f"/tcp?host=::1&port={echoes.port}"
        for value, status in (("2001:db8:bad::5", 403), ("[2001:db8:bad::5]:77", 403), ("2001:db8:bad::5, ::1", 403), ("2001:db8:600d::5", 101), ("2001:db8:bad::5, 2001:db8:600d::5", 101)):
            self.assertEqual(refusal(self.gw, path, [("X-Forwarded-For", value)]), status, value)
        self.assertEqual(refusal(self.gw, "/tcp?host=::1&port=9", [("X-Forwarded-For", "2001:DB8:600d:0::6")]), 403)
        wait_for("its event", lambda: self.gw.events_of(type="net_connect", reason="no discard", session_id="2001:db8:600d::6", client="[2001:db8:600d::6]:0", remote="[::1]:9"))


class Names(unittest.TestCase):
    def test_origin_and_host(self):
        gw = Gateway6("--auth", "none", "--open", "::1", "--origin", "http://[2001:DB8:0::2]:80", "--host", "[2001:db8::2]:8080")
        for host, origin, status in (("[2001:db8::2]:8080", None, 101), ("[2001:db8:0:0::2]:8080", "http://[2001:db8::2]", 101), ("[2001:db8::3]:8080", None, 403),
                                     ("[2001:db8::2]:8080", "http://[2001:db8::3]", 403)):
            with gw.socket() as s:
                s.sendall((f"GET /tcp?host=::1&port={echoes.port} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + (f"Origin: {origin}\r\n" if origin else "") + "\r\n").encode())
                got = s.recv(4096)
            self.assertEqual(int(got.split()[1]), status, (host, origin))
        self.assertEqual(gw.stop(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=0)

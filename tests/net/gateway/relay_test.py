#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The gateway's UDP relay over WebSockets: who may use it and when he says so, limits, filters, counters."""
import base64, hashlib, hmac, json, socket, struct, threading, time, unittest

from rig import *

echo, echo6 = Udp(lambda d: d), Udp(lambda d: d, socket.AF_INET6)
for name, text in (("jwt", "another"), ("key", "k3y")):
    with open_file(f"{TMP}/{name}", "w") as f:
        f.write(text + "\n")
KEYS = ["--jwt-secret-file", TMP + "/jwt", "--api-key-file", TMP + "/key"]


def b64url(b):
    return base64.urlsafe_b64encode(b).rstrip(b"=").decode()


def jwt(sid="one", secret=b"another"):
    text = b64url(b'{"alg":"HS256","typ":"JWT"}') + "." + b64url(json.dumps({"iat": 1, "exp": int(time.time()) + 1000, "sid": sid}).encode())
    return text + "." + b64url(hmac.new(secret, text.encode(), hashlib.sha256).digest())


def v1(port, host, remote, payload):
    return struct.pack(">H", port) + socket.inet_aton(host) + struct.pack(">H", remote) + payload


def v2(port, host, remote, payload):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return bytes([0xa2, 2, 6 if ":" in host else 4, 0]) + struct.pack(">H", port) + socket.inet_pton(family, host) + struct.pack(">H", remote) + payload


class Case(unittest.TestCase):
    args = []

    @classmethod
    def setUpClass(cls):
        cls.gw = Gateway("--open", "::1", *cls.args)

    @classmethod
    def tearDownClass(cls):
        assert cls.gw.stop() == 0

    def event(self, name):
        return self.gw.metric('aero_webrtc_udp_relay_events_total{event="%s"}' % name)

    def ready(self, ws):
        op, data = ws.recv()
        self.assertEqual((op, json.loads(data)["type"]), (1, "ready"), data)
        self.assertRegex(json.loads(data)["sessionId"], "^[0-9a-f]{32}$")
        return ws

    def open(self, **kw):
        return self.ready(self.gw.ws("/udp", **kw))

    def fails(self, ws, code, message, close):
        """An error as JSON, then a Close with the same reason."""
        op, data = ws.recv()
        self.assertEqual((op, json.loads(data)), (1, {"type": "error", "code": code, "message": message}))
        op, data = ws.recv()
        self.assertEqual((op, data), (8, struct.pack(">H", close) + message.encode()))
        ws.s.close()

    def echoes(self, ws, frame):
        ws.send(frame)
        self.assertEqual(ws.recv(), (2, frame))


class Credentials(Case):
    args = ["--auth", "jwt,key", "--relay", "auth-timeout=60", *KEYS]

    def late(self, text, opcode=1):
        ws = self.gw.ws("/udp")
        ws.send(text.encode() if isinstance(text, str) else json.dumps(text).encode(), opcode)
        return ws

    def test_first_message(self):
        for good in ({"type": "auth", "apiKey": "k3y"}, {"type": "auth", "token": "k3y", "apiKey": "k3y"}, {"type": "auth", "token": jwt("late")},
                     {"type": "auth", "apiKey": jwt("late"), "more": 1}):
            ws = self.ready(self.late(good))
            self.echoes(ws, v1(1, "127.0.0.1", echo.port, b"in"))
            ws.send(json.dumps(good).encode(), 1)
            self.echoes(ws, v1(1, "127.0.0.1", echo.port, b"said twice"))
            ws.close()
        before = self.event("auth_failure")
        bad = [({"type": "auth", "apiKey": "no"}, "unauthorized", "invalid credentials", 1008),
               ({"type": "auth", "token": jwt(secret=b"x")}, "unauthorized", "invalid credentials", 1008),
               ({"type": "auth"}, "unauthorized", "missing credentials", 1008), ({"type": "auth", "token": ""}, "unauthorized", "missing credentials", 1008),
               ({"type": "hello"}, "unauthorized", "authentication required", 1008), ("no JSON", "unauthorized", "authentication required", 1008),
               ("[1]", "unauthorized", "authentication required", 1008),
               ({"type": "auth", "token": 1}, "bad_message", "invalid auth message", 1003), ({"type": "auth", "apiKey": None}, "bad_message", "invalid auth message", 1003),
               ({"type": "auth", "token": "a", "apiKey": "b"}, "bad_message", "invalid auth message", 1008)]
        for text, code, message, close in bad:
            self.fails(self.late(text), code, message, close)
        self.fails(self.late("binary", 2), "unauthorized", "authentication required", 1008)
        self.assertEqual(self.event("auth_failure") - before, len(bad) + 1)

    def test_in_the_request(self):
        for kw in ({"fields": [("X-API-Key", "k3y")]}, {"fields": [("Authorization", "Bearer " + jwt("r"))]}, {"protocol": None, "fields": [("Authorization", "ApiKey k3y")]}):
            self.open(**kw).close()
        self.ready(self.gw.ws("/udp?apiKey=k3y&token=k3y")).close()
        for path, fields in (("/udp?token=no", ()), ("/udp", [("X-API-Key", "no")])):
            self.fails(self.gw.ws(path, fields), "unauthorized", "invalid credentials", 1008)
        with self.assertRaises(Refused) as e:
            self.gw.ws("/udp", [("Origin", "https://evil.test")])
        self.assertEqual(e.exception.status, 403)

    def test_one_session_of_a_sid(self):
        ws = self.open(fields=[("Authorization", "Bearer " + jwt("mine"))])
        self.fails(self.late({"type": "auth", "token": jwt("mine")}), "session_already_active", "session already active", 1013)
        self.open(fields=[("Authorization", "Bearer " + jwt("yours"))]).close()
        for _ in range(2):  # a key names nobody
            self.open(fields=[("X-API-Key", "k3y")])
        self.echoes(ws, v1(1, "127.0.0.1", echo.port, b"still"))
        ws.close()
        self.open(fields=[("Authorization", "Bearer " + jwt("mine"))]).close()

    def test_the_oversized_first_message(self):
        self.assertEqual(self.late("x" * 70000).recv_close()[0], 1009)


class Impatient(Case):
    args = ["--auth", "key", "--relay", "auth-timeout=1", "--relay", "sessions=2", *KEYS]

    def test_who_says_nothing(self):
        self.fails(self.gw.ws("/udp"), "unauthorized", "authentication timeout", 1008)

    def test_sessions(self):
        key = {"fields": [("X-API-Key", "k3y")]}
        open = [self.open(**key) for _ in range(2)]
        self.fails(self.gw.ws("/udp", **key), "too_many_sessions", "too many sessions", 1013)
        self.assertEqual(self.event("too_many_sessions"), 1)
        open.pop().close()
        self.open(**key).close()


class Frames(Case):
    args = ["--auth", "none", "--relay", "prefer-v2", "--relay", "ports=2", "--relay", "payload=2000"]

    def test_which_framing(self):
        ws = self.open()
        self.echoes(ws, v1(7, "127.0.0.1", echo.port, b"one"))
        ws.send(v2(7, "127.0.0.1", echo.port, b"two"))
        self.assertEqual(ws.recv()[1], v2(7, "127.0.0.1", echo.port, b"two"))
        ws.send(v1(7, "127.0.0.1", echo.port, b"knows two"))
        self.assertEqual(ws.recv()[1], v2(7, "127.0.0.1", echo.port, b"knows two"))
        self.echoes(ws, v2(7, "::1", echo6.port, b"six"))
        # a mapped address is its IPv4 address, and comes back as that
        ws.send(v2(7, "::ffff:127.0.0.1", echo.port, b"mapped"))
        self.assertEqual(ws.recv()[1], v2(7, "127.0.0.1", echo.port, b"mapped"))
        self.echoes(ws, v2(7, "127.0.0.1", echo.port, b"z" * 2000))
        ws.close()

    def test_the_port_used_longest_ago_goes(self):
        ws = self.open()
        before = self.event("webrtc_udp_dropped_too_many_bindings")
        used = {}
        for port in (1, 2, 1, 3, 1, 2):
            self.echoes(ws, v1(port, "127.0.0.1", echo.port, b"?"))
            used.setdefault(port, []).append(echo.peers[-1][1])
        self.assertEqual(self.event("webrtc_udp_dropped_too_many_bindings") - before, 2)
        self.assertEqual(len(set(used[1])), 1)  # was never the oldest
        ws.close()

    def test_strangers_are_not_heard(self):
        ws = self.open()
        before = self.event("udp_remote_allowlist_overflow_drops_total")
        self.echoes(ws, v1(1, "127.0.0.1", echo.port, b"?"))
        stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        stranger.sendto(b"let me in", ("127.0.0.1", echo.peers[-1][1]))
        wait_for("it is refused", lambda: self.event("udp_remote_allowlist_overflow_drops_total") == before + 1)
        self.echoes(ws, v1(1, "127.0.0.1", echo.port, b"next"))
        ws.close()


class FullCone(Case):
    args = ["--auth", "none", "--relay", "filter=any"]

    def test_strangers(self):
        ws = self.open()
        self.echoes(ws, v1(1, "127.0.0.1", echo.port, b"?"))
        at = ("127.0.0.1", echo.peers[-1][1])
        stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        stranger.sendto(b"hello", at)
        self.assertEqual(ws.recv()[1], v1(1, "127.0.0.1", stranger.getsockname()[1], b"hello"))
        ws.close()


class Limits(Case):
    args = ["--auth", "none", "--relay", "destinations=2", "--relay", "violations=3", "--relay", "violation-window=600"]

    def test_destinations(self):
        ws, more = self.open(), Udp(lambda d: d)
        before = self.event("session_hard_closed")
        self.echoes(ws, v1(1, "127.0.0.1", echo.port, b"?"))
        ws.send(v1(1, "127.0.0.1", 9, b"denied ones do not count"))
        self.echoes(ws, v2(1, "::1", echo6.port, b"?"))
        for i in range(2):
            ws.send(v1(1, "127.0.0.1", more.port, b"?"))
        self.echoes(ws, v1(2, "127.0.0.1", echo.port, b"known already"))
        self.assertEqual(self.event("too_many_destinations"), 2)
        self.assertEqual(self.event("udp_ws_dropped_quota_exceeded"), 2)
        self.assertEqual(self.event("udp_ws_dropped_denied_by_policy"), 1)
        self.assertEqual(self.event("udp_ws_dropped"), 3)
        ws.send(v1(1, "127.0.0.1", more.port, b"?"))
        op, data = ws.recv()
        self.assertEqual((op, data), (8, struct.pack(">H", 1008) + b"session closed"))
        self.assertEqual(self.event("session_hard_closed") - before, 1)
        self.assertEqual(more.peers, [])


class Rates(Case):
    """Buckets so small, or so slow, that a slow machine does not fill them again."""
    args = ["--auth", "none", "--relay", "bytes=100"]

    def test_bytes(self):
        ws = self.open()
        ws.send(v1(1, "127.0.0.1", echo.port, b"x" * 101))  # more than it ever holds
        self.echoes(ws, v1(1, "127.0.0.1", echo.port, b"y" * 10))
        self.assertEqual((self.event("rate_limited"), self.event("udp_ws_dropped_rate_limited")), (1, 1))
        self.assertEqual((self.event("udp_ws_datagrams_in"), self.event("udp_ws_datagrams_out")), (2, 1))
        ws.close()


if __name__ == "__main__":
    unittest.main(verbosity=0)

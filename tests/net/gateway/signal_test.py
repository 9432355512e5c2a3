#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""WebRTC's signalling, offers over HTTP, ICE servers and tokens of the relay: every row of who says what, without a browser."""
import base64, hashlib, hmac, json, re, socket, struct, time, unittest

from rig import *

HERE = os.path.dirname(os.path.abspath(__file__))
with open_file(HERE + "/../../data/gateway/sdp/chromium.sdp", newline="") as f:
    OFFER = f.read()
ICE = [{"urls": "stun:stun.example.com:3478"}, {"urls": ["turn:turn.example.com:3478?transport=udp", "turns:turn.example.com"]}]
for name, text in (("jwt", "another"), ("key", "k3y"), ("turn", "t0p"), ("ice", json.dumps(ICE))):
    with open_file(f"{TMP}/{name}", "w") as f:
        f.write(text + "\n")


def b64url(b):
    return base64.urlsafe_b64encode(b).rstrip(b"=").decode()


def jwt(sid="one", secret=b"another"):
    text = b64url(b'{"alg":"HS256","typ":"JWT"}') + "." + b64url(json.dumps({"iat": 1, "exp": int(time.time()) + 1000, "sid": sid}).encode())
    return text + "." + b64url(hmac.new(secret, text.encode(), hashlib.sha256).digest())


def read_jwt(text):
    head, body, mac = text.split(".")
    assert b64url(hmac.new(b"another", (head + "." + body).encode(), hashlib.sha256).digest()) == mac
    return [json.loads(base64.urlsafe_b64decode(p + "=" * (-len(p) % 4))) for p in (head, body)]


class Case(unittest.TestCase):
    args = []

    @classmethod
    def setUpClass(cls):
        cls.gw = Gateway("--webrtc-port", "127.0.0.1:0", *cls.args)
        cls.udp = int(re.fullmatch(r"udp://127\.0\.0\.1:(\d+)/\n", cls.gw.p.stdout.readline())[1])

    @classmethod
    def tearDownClass(cls):
        assert cls.gw.stop() == 0

    def event(self, name):
        return self.gw.metric('aero_webrtc_udp_relay_events_total{event="%s"}' % name)

    def signal(self, *messages, path="/webrtc/signal", **kw):
        ws = self.gw.ws(path, **kw)
        for m in messages:
            ws.send(m if isinstance(m, bytes) else json.dumps(m).encode(), 1)
        return ws

    def fails(self, ws, code, close, reason):
        """An error with this code (None: there is none), then a Close."""
        if code:
            op, data = ws.recv()
            got = json.loads(data)
            self.assertEqual((op, got["type"], got["code"], sorted(got)), (1, "error", code, ["code", "message", "type"]), data)
        op, data = ws.recv()
        self.assertEqual((op, data), (8, struct.pack(">H", close) + reason.encode()))
        ws.s.close()

    def answered(self, ws):
        op, data = ws.recv()
        got = json.loads(data)
        self.assertEqual((op, got["type"], got["sdp"]["type"]), (1, "answer", "answer"), data)
        op, data = ws.recv()
        self.assertEqual(json.loads(data), {"type": "candidate", "candidate": {"sdpMid": "0", "sdpMLineIndex": 0, "candidate": self.candidate(got["sdp"]["sdp"])}})
        return got["sdp"]["sdp"]

    def candidate(self, sdp):
        line, = re.findall(r"\r\na=(candidate:1 1 udp \d+ .*? typ host)\r\n", sdp)
        self.assertIn(f" 127.0.0.1 {self.udp} ", line)
        self.assertIn("\r\na=ice-lite\r\n", sdp)
        return line

    def post(self, path, body, fields=()):
        status, fields, body = self.gw.http("POST", path, [("Content-Type", "application/json"), *fields], body if isinstance(body, bytes) else json.dumps(body).encode())
        return status, json.loads(body)


offer = {"type": "offer", "sdp": {"type": "offer", "sdp": OFFER}}
candidate = {"type": "candidate", "candidate": {"candidate": "candidate:1 1 udp 1 6a1f1fb2-8ba5-4f0a-8f4c-43d5d6a2a2a2.local 5 typ host", "sdpMid": "0"}}


class Open(Case):
    args = ["--auth", "none", "--ice-servers", TMP + "/ice", "--turn-secret-file", TMP + "/turn"]

    def test_offer(self):
        ws = self.signal({"type": "auth", "token": "not needed"}, offer)
        sdp = self.answered(ws)
        self.assertIn("\r\na=max-message-size:4352\r\n", sdp)
        for m in (candidate, {"type": "candidate", "candidate": {"candidate": ""}}):
            ws.send(json.dumps(m).encode(), 1)
        ws.send(json.dumps({"type": "close"}).encode(), 1)
        self.assertEqual(ws.recv_close(), (1000, b""))

    def test_mistakes(self):
        for m in (b"no JSON", b"{}", b"[]", b'{"type":"answer","sdp":{"type":"answer","sdp":"v=0"}}', b'{"type":"error","code":"x","message":"y"}',
                  {**offer, "more": 1}, {"type": "offer", "sdp": {"type": "offer", "sdp": "v=0"}}, {"type": "offer"}, b'{"type":"close"} 1',
                  {"type": "offer", "sdp": {"type": "offer", "sdp": OFFER.replace("a=fingerprint", "a=finger")}}):
            self.fails(self.signal(m), "bad_message", 1008, "bad message")
        self.fails(self.signal(candidate), "unexpected_message", 1008, "unexpected message")
        for m in (offer, {"type": "auth", "token": "x"}):
            ws = self.signal(offer)
            self.answered(ws)
            ws.send(json.dumps(m).encode(), 1)
            self.fails(ws, "unexpected_message", 1008, "unexpected message")
        ws = self.gw.ws("/webrtc/signal")
        ws.send(b"binary", 2)
        self.fails(ws, "bad_message", 1003, "expected text message")
        ws = self.gw.ws("/webrtc/signal")
        ws.send(b'{"type":"' + b"x" * 65536 + b'"}', 1)
        self.assertEqual(ws.recv_close()[0], 1009)
        status, fields, body = self.gw.http("GET", "/webrtc/signal")
        self.assertEqual((status, json.loads(body)), (400, {"code": "bad_message", "message": "websocket upgrade required"}))

    def test_too_fast(self):
        # more in one second than a bucket holds and gains, if this machine sends them in less than ten
        ws = self.signal()
        ws.raw(b"".join(ws.frame(1, b'{"type":"auth","token":"x"}') for _ in range(600)))
        self.fails(ws, "rate_limited", 1008, "rate limit exceeded")

    def test_http(self):
        status, got = self.post("/webrtc/offer", {"sdp": {"type": "offer", "sdp": OFFER}})
        self.assertEqual((status, sorted(got)), (200, ["sdp", "sessionId"]), got)
        self.assertRegex(got["sessionId"], "^[0-9a-f]{32}$")
        self.candidate(got["sdp"]["sdp"])
        status, got = self.post("/webrtc/offer", {"type": "offer", "sdp": OFFER})
        self.assertEqual((status, got["sdp"]["type"]), (200, "answer"))
        status, got = self.post("/offer", {"version": 1, "offer": {"type": "offer", "sdp": OFFER}})
        self.assertEqual((status, got["version"], sorted(got)), (200, 1, ["answer", "version"]))
        self.candidate(got["answer"]["sdp"])
        for path, body in (("/webrtc/offer", b"x"), ("/webrtc/offer", {"type": "offer", "sdp": "v=0\r\n"}), ("/offer", {"type": "offer", "sdp": OFFER}),
                           ("/webrtc/offer", {"type": "offer", "sdp": OFFER, "more": 1})):
            status, got = self.post(path, body)
            self.assertEqual((status, got["code"]), (400, "bad_message"), body)

    def test_ice_servers(self):
        status, fields, body = self.gw.http("GET", "/webrtc/ice")
        self.assertEqual((status, fields["cache-control"], fields["pragma"], fields["expires"]), (200, "no-store", "no-cache", "0"))
        stun, turn = json.loads(body)["iceServers"]
        self.assertEqual(stun, ICE[0])
        self.assertEqual(turn["urls"], ICE[1]["urls"])
        self.assertRegex(turn["username"], r"^\d+:aero:[0-9a-f]{32}$")
        self.assertGreater(int(turn["username"].split(":")[0]), time.time() + 3000)
        self.assertEqual(base64.b64decode(turn["credential"]), hmac.new(b"t0p", turn["username"].encode(), hashlib.sha1).digest())
        again = json.loads(self.gw.http("GET", "/webrtc/ice")[2])["iceServers"][1]
        self.assertNotEqual(again["username"], turn["username"])

    def test_pages(self):
        for path in ("/webrtc/ice", "/healthz"):
            fields = self.gw.http("GET", path, [("Origin", "http://gw.test")])[1]
            self.assertEqual(fields["access-control-allow-origin"], "http://gw.test")
        self.assertEqual(self.gw.http("GET", "/webrtc/ice", [("Origin", "https://evil.test")])[0], 403)
        status, fields, _ = self.gw.http("OPTIONS", "/webrtc/offer", [("Origin", "http://gw.test"), ("Access-Control-Request-Method", "POST"),
                                                                      ("Access-Control-Request-Headers", "x-api-key")])
        self.assertEqual(status, 204)
        self.assertIn("x-api-key", fields["access-control-allow-headers"])

    def test_session_says_where(self):
        got = json.loads(self.gw.http("POST", "/session")[2])["udpRelay"]
        self.assertEqual(got, {"authMode": "none", "baseUrl": "http://gw.test",
                               "endpoints": {"webrtcSignal": "/webrtc/signal", "webrtcOffer": "/webrtc/offer", "udp": "/udp", "webrtcIce": "/webrtc/ice"}})


class Credentials(Case):
    args = ["--auth", "session,jwt,key", "--jwt-secret-file", TMP + "/jwt", "--api-key-file", TMP + "/key", "--relay", "auth-timeout=60", "--origin", "https://app.test"]

    def test_first_message(self):
        for auth in ({"apiKey": "k3y"}, {"token": "k3y", "apiKey": "k3y"}, {"token": jwt("late")}):
            ws = self.signal({"type": "auth", **auth}, offer)
            self.answered(ws)
            self.assertEqual(ws.close()[0], 1000)
        self.fails(self.signal({"type": "auth", "apiKey": "no"}), "unauthorized", 1008, "unauthorized")
        self.fails(self.signal({"type": "auth"}), "unauthorized", 1008, "unauthorized")
        self.fails(self.signal(offer), "unauthorized", 1008, "authentication required")
        self.fails(self.signal({"type": "auth", "token": 1}), "bad_message", 1008, "bad message")
        self.fails(self.signal(path="/webrtc/signal?token=no"), "unauthorized", 1008, "unauthorized")

    def test_in_the_request(self):
        for kw in ({"fields": [("X-API-Key", "k3y")]}, {"path": "/webrtc/signal?token=k3y&apiKey=k3y"}):
            ws = self.signal(offer, **kw)
            self.answered(ws)
            ws.close()
        for path in ("/webrtc/ice", ):
            self.assertEqual(self.gw.http("GET", path)[0], 401)
            self.assertEqual(json.loads(self.gw.http("GET", path, [("X-API-Key", "no")])[2])["code"], "unauthorized")
            self.assertEqual(self.gw.http("GET", path, [("Authorization", "Bearer " + jwt()), ("X-API-Key", jwt())])[0], 200)
        self.assertEqual(self.post("/webrtc/offer", {"type": "offer", "sdp": OFFER})[0], 401)

    def test_one_session_of_a_sid(self):
        mine = [("Authorization", "Bearer " + jwt("mine"))]
        ws = self.signal(offer, fields=mine)
        self.answered(ws)
        self.fails(self.signal(offer, fields=mine), "session_already_active", 1008, "session_already_active")
        status, got = self.post("/webrtc/offer", {"type": "offer", "sdp": OFFER}, mine)
        self.assertEqual((status, got["code"]), (409, "session_already_active"))
        udp = self.gw.ws("/udp", mine)
        self.assertEqual(json.loads(udp.recv()[1])["code"], "session_already_active")
        ws.close()
        udp = self.gw.ws("/udp", mine)
        self.assertEqual(json.loads(udp.recv()[1])["type"], "ready")
        self.fails(self.signal(offer, fields=mine), "session_already_active", 1008, "session_already_active")
        udp.close()

    def test_token(self):
        cookie = ("Cookie", self.gw.http("POST", "/session", [("Origin", "https://app.test")])[1]["set-cookie"].split(";")[0])
        origin = ("Origin", "https://app.test")
        for fields, status, message in (([cookie], 403, "Origin header required"), ([cookie, ("Origin", "https://evil.test")], 403, "Origin not allowed"),
                                        ([origin], 401, "Missing or expired session")):
            got = self.post("/udp-relay/token", b"", fields)
            self.assertEqual((got[0], got[1]["message"]), (status, message))
        status, got = self.post("/udp-relay/token", b"", [cookie, origin])
        self.assertEqual((status, got["authMode"], sorted(got)), (200, "jwt", ["authMode", "expiresAt", "token"]))
        head, claims = read_jwt(got["token"])
        self.assertEqual((head, list(claims), claims["origin"], claims["exp"] - claims["iat"]), ({"alg": "HS256", "typ": "JWT"}, ["iat", "exp", "sid", "origin"], "https://app.test", 300))
        ws = self.signal({"type": "auth", "token": got["token"], "apiKey": got["token"]}, offer, fields=[origin])
        self.answered(ws)
        ws.close()
        for _ in range(30):
            status, got = self.post("/udp-relay/token", b"", [cookie, origin])
            if status == 429:
                break
        self.assertEqual(status, 429)


class Few(Case):
    args = ["--auth", "key", "--api-key-file", TMP + "/key", "--relay", "sessions=1", "--relay", "auth-timeout=1"]

    def test_sessions(self):
        key = [("X-API-Key", "k3y")]
        ws = self.signal(offer, fields=key)
        self.answered(ws)
        self.fails(self.signal(offer, fields=key), "too_many_sessions", 1008, "too_many_sessions")
        status, got = self.post("/webrtc/offer", {"type": "offer", "sdp": OFFER}, key)
        self.assertEqual((status, got["code"]), (503, "too_many_sessions"))
        ws.s.close()  # without a word
        wait_for("its session has gone", lambda: self.post("/webrtc/offer", {"type": "offer", "sdp": OFFER}, key)[0] == 200)

    def test_who_says_nothing(self):
        self.fails(self.signal(), None, 1008, "authentication timeout")


class Without(unittest.TestCase):
    def test_no_webrtc(self):
        gw = Gateway("--auth", "none")
        for path in ("/webrtc/ice", "/webrtc/signal"):
            self.assertEqual(gw.http("GET", path)[0], 404)
        self.assertEqual(json.loads(gw.http("POST", "/session")[2])["udpRelay"]["endpoints"], {"udp": "/udp"})
        self.assertEqual(gw.stop(), 0)

    def test_external_addresses(self):
        gw = Gateway("--auth", "none", "--webrtc-port", "127.0.0.1:0", "--external-ip", "192.0.2.1", "--external-ip", "srflx:192.0.2.2")
        port = int(gw.p.stdout.readline().rsplit(":", 1)[1].strip("/\n"))
        sdp = json.loads(gw.http("POST", "/webrtc/offer", body=json.dumps({"type": "offer", "sdp": OFFER}).encode())[2])["sdp"]["sdp"]
        self.assertRegex(sdp, rf"a=candidate:1 1 udp \d+ 192\.0\.2\.1 {port} typ host\r\na=candidate:2 1 udp \d+ 192\.0\.2\.2 {port} typ srflx raddr 127\.0\.0\.1 rport {port}\r\n")
        self.assertEqual(gw.stop(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=0)

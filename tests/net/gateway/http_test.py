# SPDX-License-Identifier: Apache-2.0
"""The gateway's HTTP: what every answer carries, who is let in through which proxy, what is refused in which order and how."""
import base64, json, os, re, shutil, signal, socket, struct, subprocess, sys, tempfile, time, unittest

sys.path.insert(0, os.path.dirname(__file__))
from rig import MOONFENCE, TMP, WAIT, Gateway, Refused, Server, Udp, dns_answer, echo, open_file, question, wait_for

echoes = Server(echo)
names = Udp(dns_answer)
DNS = ["--dns", f"127.0.0.1:{names.port}"]
TCP = f"/tcp?host=127.0.0.1&port={echoes.port}"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def b64url(b):
    return base64.urlsafe_b64encode(b).rstrip(b"=").decode()


def refusal(gw, path, fields=(), **kw):
    try:
        gw.ws(path, fields, **kw).close()
    except Refused as e:
        return e.status, e.text
    return 101, ""


def proxy2(src, dst, sport=1, dport=2, command=1, kind=None, tlvs=b""):
    family = socket.AF_INET6 if ":" in src else socket.AF_INET
    body = socket.inet_pton(family, src) + socket.inet_pton(family, dst) + struct.pack(">HH", sport, dport) + tlvs
    kind = kind if kind is not None else 0x21 if family == socket.AF_INET6 else 0x11
    return SIGNATURE + bytes([0x20 | command, kind]) + struct.pack(">H", len(body)) + body


def raw(gw, data, shut=True):
    """Everything that is answered to these bytes; b"" where the connection is cut."""
    out = b""
    with gw.socket() as s:
        try:
            s.sendall(data)
            if shut:
                s.shutdown(socket.SHUT_WR)
            while b := s.recv(65536):
                out += b
        except OSError: # ENOTCONN of shutdown() too, where it was cut before
            pass
    return out


class Surface(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.gw = Gateway("--auth", "none", *DNS, "--dns-rate", "0", "--cross-origin-isolation", "--public-url", "https://app.test/net/v1/")

    @classmethod
    def tearDownClass(cls):
        assert cls.gw.stop() == 0

    def test_fields_of_every_answer(self):
        seen = set()
        for method, path, want in (("GET", "/healthz", 200), ("GET", "/nothing", 404), ("POST", "/healthz", 405), ("GET", "/dns-query", 400),
                                   ("OPTIONS", "/whatever", 204), ("POST", "/session", 201), ("GET", "/metrics", 200), ("GET", "/tcp", 400)):
            status, fields, _ = self.gw.http(method, path)
            self.assertEqual(status, want, (method, path))
            for name, value in (("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer"), ("x-frame-options", "DENY"),
                                ("permissions-policy", "camera=(), geolocation=(), microphone=(self), usb=(self)"),
                                ("cross-origin-opener-policy", "same-origin"), ("cross-origin-embedder-policy", "require-corp"),
                                ("cross-origin-resource-policy", "same-origin"), ("origin-agent-cluster", "?1")):
                self.assertEqual(fields.get(name), value, (path, name))
            self.assertRegex(fields["x-request-id"], r"^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
            seen.add(fields["x-request-id"])
        self.assertEqual(len(seen), 8)
        self.assertEqual(self.gw.http("GET", "/healthz", [("X-Request-Id", "mine-1")])[1]["x-request-id"], "mine-1")
        self.assertNotIn("a b", self.gw.http("GET", "/healthz", [("X-Request-Id", "a b")])[1]["x-request-id"])
        self.assertLess(len(self.gw.http("GET", "/healthz", [("X-Request-Id", "x" * 1000)])[1]["x-request-id"]), 129)

    def test_bodies_of_errors(self):
        status, fields, body = self.gw.http("GET", "/no\"thing")
        self.assertEqual((status, json.loads(body)), (404, {"message": "Route GET:/no?thing not found", "error": "Not Found", "statusCode": 404}))
        self.assertTrue(fields["content-type"].startswith("application/json"))
        status, _, body = self.gw.http("GET", "/healthz?" + "x" * 9000)
        self.assertEqual((status, json.loads(body)), (414, {"error": "url_too_long", "message": "Request URL too long"}))
        status, _, body = self.gw.http("GET", "/" + "x" * 40000)
        self.assertEqual((status, json.loads(body)["error"]), (414, "url_too_long"))
        status, _, body = self.gw.http("POST", "/session", body=b"x" * (1 << 20) + b"y")
        self.assertEqual((status, json.loads(body)["error"]), (413, "payload_too_large"))
        out = raw(self.gw, b"nonsense\r\n\r\n")
        self.assertIn(b" 400 ", out.split(b"\r\n")[0])
        self.assertIn(b"x-request-id: ", out)

    def test_base_path(self):
        self.assertEqual(self.gw.http("GET", "/net/v1/healthz")[0], 200)
        self.assertEqual(self.gw.http("GET", "/net/v1")[0], 404)
        self.assertEqual(self.gw.http("GET", "/net/v1x/healthz")[0], 404)
        ends = json.loads(self.gw.http("POST", "/net/v1/session")[2])["endpoints"]
        self.assertEqual((ends["tcp"], ends["dnsQuery"]), ("/net/v1/tcp", "/net/v1/dns-query"))
        self.gw.ws("/net/v1" + TCP).close()

    def test_cors(self):
        for method, path in (("GET", "/healthz"), ("GET", "/nowhere"), ("OPTIONS", "/nowhere")):
            self.assertEqual(self.gw.http(method, path, [("Origin", "https://evil.test")])[0], 403)
            self.assertEqual(json.loads(self.gw.http(method, path, [("Origin", "null")])[2]), {"error": "forbidden", "message": "Origin not allowed"})
        _, fields, _ = self.gw.http("GET", "/healthz", [("Origin", "HTTPS://APP.test:443/")])
        self.assertEqual([fields["access-control-" + n] for n in ("allow-origin", "allow-credentials", "expose-headers")],
                         ["https://app.test", "true", "x-request-id, content-length"])
        self.assertEqual(fields["vary"], "Origin")
        status, fields, _ = self.gw.http("OPTIONS", "/anything", [("Origin", "https://app.test"), ("Access-Control-Request-Headers", "X-One,x-two")])
        self.assertEqual((status, fields["access-control-allow-headers"], fields["access-control-max-age"]), (204, "content-type, X-One,x-two", "600"))
        self.assertEqual(fields["access-control-allow-methods"], "GET,POST,PUT,PATCH,DELETE,OPTIONS")
        _, fields, _ = self.gw.http("OPTIONS", "/anything", [("Access-Control-Request-Headers", "a\tb\"")])
        self.assertEqual(fields["access-control-allow-headers"], "content-type")
        self.assertNotIn("access-control-allow-origin", self.gw.http("GET", "/healthz")[1])

    def test_dns(self):
        for q, status, rcode in ((question("www.test", 255), 200, 5), (question("1.2.0.10.in-addr.arpa", 12), 200, 5),
                                 (question("168.192.IN-ADDR.arpa", 12), 200, 5), (question("1.1.1.1.in-addr.arpa", 12), 200, 0),
                                 (question("0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", 12), 200, 5),
                                 (question("www.test"), 200, 0)):
            got, fields, body = self.gw.http("GET", "/dns-query?dns=" + b64url(q))
            self.assertEqual((got, body[3] & 15, body[:2]), (status, rcode, q[:2]), q)
            self.assertEqual(fields["cache-control"], "no-store")
            self.assertEqual(struct.unpack(">H", body[4:6])[0], 1, "the question is there")
            if rcode == 5:
                self.assertEqual(body[2:4], b"\x81\x85")
        for path, want in (("/dns-query", b"\x80\x81"), ("/dns-query?dns=A", b"\x80\x81")):
            self.assertEqual(self.gw.http("GET", path)[2][2:4], want)
        self.assertEqual(self.gw.http("GET", "/dns-query?dns=" + b64url(question("a.test") + b"\0" * 5000))[0], 413)
        status, fields, body = self.gw.http("POST", "/dns-query", body=question("a.test"))
        self.assertEqual((status, fields["content-type"].split(";")[0]), (415, "application/json"))
        for path, want in (("/dns-json?name=denied.test&type=A", 403), ("/dns-json?name=www.test&type=255", 403), ("/dns-json?name=www.test&type=28", 200)):
            self.assertEqual(self.gw.http("GET", path)[0], want, path)

    def test_dns_without_a_resolver(self):
        dead = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        dead.bind(("127.0.0.1", 0))
        port = dead.getsockname()[1]
        dead.close()
        gw = Gateway("--auth", "none", "--dns", f"127.0.0.1:{port}")
        q = question("www.test")
        status, _, body = gw.http("GET", "/dns-query?dns=" + b64url(q))
        self.assertEqual((status, body[:2], body[3] & 15), (200, q[:2], 2))
        status, _, body = gw.http("GET", "/dns-json?name=www.test&type=A")
        self.assertEqual((status, json.loads(body)), (502, {"error": "bad_gateway", "message": "DNS resolution failed"}))
        self.assertEqual(gw.stop(), 0)

    def test_curl(self):
        curl = shutil.which("curl")
        if not curl:
            self.skipTest("no curl")
        jar, url = TMP + "/jar", self.gw.url.rstrip("/")
        run = lambda *a: subprocess.run([curl, "-sS", "--max-time", str(WAIT), *a], capture_output=True, text=True, check=True).stdout
        self.assertIn("expiresAt", run("-c", jar, "-X", "POST", url + "/session"))
        with open_file(jar) as f:
            self.assertIn("aero_session", f.read())
        self.assertEqual(run("-b", jar, url + "/session"), '{"ok":true}')
        self.assertEqual(run("--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{http_code} %{http_version}", url + "/healthz?" + "x" * 9000), "414 2")


class Order(unittest.TestCase):
    """Refusals of an upgrade, the first that holds."""

    @classmethod
    def setUpClass(cls):
        with open_file(TMP + "/order-key", "w") as f:
            f.write("k3y\n")
        cls.gw = Gateway("--auth", "session+key", "--api-key-file", TMP + "/order-key", "--origin", "https://app.test", "--host", "gw.test", *DNS)

    @classmethod
    def tearDownClass(cls):
        assert cls.gw.stop() == 0

    def refused(self, path=TCP, fields=(), drop=(), **kw):
        """A hand-made upgrade; @drop: fields that it lacks."""
        all = {"Host": "gw.test", "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
        all.update(kw)
        head = f"GET {path} HTTP/1.1\r\n" + "".join(f"{k.replace('_', '-')}: {v}\r\n" for k, v in all.items() if k not in drop)
        out = raw(self.gw, (head + "".join(f"{k}: {v}\r\n" for k, v in fields) + "\r\n").encode(), False)
        head, _, body = out.partition(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        for want in ("content-type: text/plain; charset=utf-8", "cache-control: no-store", "connection: close", f"content-length: {len(body)}"):
            self.assertIn(want, lines)
        return int(lines[0].split()[1]), body.decode()

    def test_order(self):
        cookie = ("Cookie", self.gw.http("POST", "/session")[1]["set-cookie"].split(";")[0])
        key = ("X-API-Key", "k3y")
        evil = ("Origin", "https://evil.test")
        both = [cookie, key]
        for want, args in (
                ((414, "Request URL too long\n"), dict(path="/nowhere?" + "x" * 9000)),
                ((404, "Not Found\n"), dict(path="/tcp/", drop=("Sec-WebSocket-Key",))),
                ((404, "Not Found\n"), dict(path="/nowhere")),
                ((400, "Invalid WebSocket upgrade\n"), dict(drop=("Connection", "Sec-WebSocket-Key"))),
                ((400, "Invalid WebSocket upgrade\n"), {"fields": [("Sec-WebSocket-Version", "13")]}),
                ((400, "Invalid WebSocket upgrade\n"), {"Connection": "x" * 300 + ", Upgrade"}),
                ((400, "Invalid WebSocket upgrade\n"), {"Sec-WebSocket-Version": "8"}),
                ((400, "Missing required header: Sec-WebSocket-Key\n"), dict(drop=("Sec-WebSocket-Key",))),
                ((400, "Missing required header: Sec-WebSocket-Key\n"), {"fields": [("Sec-WebSocket-Key", "two")]}),
                ((401, "Unauthorized\n"), dict(fields=[evil])),
                ((401, "Unauthorized\n"), dict(fields=[cookie, evil])),
                ((401, "Unauthorized\n"), dict(fields=[key])),
                ((401, "Unauthorized\n"), dict(fields=[cookie, ("X-API-Key", "k3")])),
                ((401, "Unauthorized\n"), dict(fields=[("Cookie", "aero_session=x"), key])),
                ((403, "Origin not allowed\n"), dict(path="/tcp-mux", fields=both + [evil])),
                ((403, "Host not allowed\n"), dict(path="/tcp-mux", fields=both, Host="other.test")),
                ((400, "Missing required subprotocol: aero-tcp-mux-v1\n"), dict(path="/tcp-mux", fields=both)),
                ((400, "Invalid Sec-WebSocket-Protocol header\n"), dict(path="/tcp-mux", fields=both + [("Sec-WebSocket-Protocol", "a b")])),
                ((400, "Missing required query parameter: host\n"), dict(path="/tcp", fields=both)),
                ((400, "Unsupported TCP proxy protocol version\n"), dict(path=TCP + "&v=2", fields=both)),
                ((403, "Target is not allowed\n"), dict(path="/tcp?host=127.0.0.1&port=9", fields=both))):
            self.assertEqual(self.refused(**args), want, args)
        # both, wherever each of them stands
        self.gw.ws(TCP, both).close()
        self.gw.ws(TCP + "&apiKey=k3y", [cookie]).close()
        self.gw.ws(TCP + "&token=k3y", [("Authorization", "Bearer " + cookie[1].split("=", 1)[1])]).close()
        self.assertEqual(self.gw.http("GET", "/session", [("Host", "gw.test")])[0], 400) # two Host fields
        self.assertGreater(self.reason("credentials"), 3)
        self.assertEqual(self.reason("host"), 1)

    def reason(self, name):
        return self.gw.metric('moonfence_gateway_refusals_total{reason="%s"}' % name)


class Proxies(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.gw = Gateway("--auth", "none", "--trusted-proxy", "127.0.0.0/8", "--trusted-proxy", "10.0.0.0/8", "--block-client", "203.0.113.66",
                         "--max-address-connections", "2", *DNS)

    @classmethod
    def tearDownClass(cls):
        assert cls.gw.stop() == 0

    def blocked(self, *fields, gw=None):
        return refusal(gw or self.gw, TCP, fields)[0] == 403

    def test_the_rightmost_stranger_is_the_client(self):
        bad = "203.0.113.66"
        for values in ([bad], ["1.2.3.4, " + bad], ["1.2.3.4", bad], [bad + ":4711"], [bad + ", 10.1.1.1, 127.0.0.9"], [f"[::ffff:{bad}]:80"],
                       ["x" * 100 + ", " + bad], [", ".join(["9.9.9.9"] * 200 + [bad])]):
            self.assertTrue(self.blocked(*[("X-Forwarded-For", v) for v in values]), values)
        for values in ([bad + ", 1.2.3.4"], [bad + ", unknown"], [bad + ", 1.2.3.4, 10.0.0.1"], ["nonsense"], [""], [bad, "8.8.8.8"]):
            self.assertFalse(self.blocked(*[("X-Forwarded-For", v) for v in values]), values)
        self.assertFalse(self.blocked(("Forwarded", "for=" + bad)), "not the field that was chosen")

    def test_forwarded(self):
        gw = Gateway("--auth", "none", "--trusted-proxy", "127.0.0.1", "--trusted-field", "forwarded", "--block-client", "2001:db8:bad::/48",
                     "--block-client", "203.0.113.66")
        for value in ("for=203.0.113.66", "For=\"203.0.113.66:99\";proto=https", "for=1.1.1.1, for=203.0.113.66", 'by=x;for="[2001:db8:bad::1]:80"',
                      'for="[2001:db8:bad::1]"', 'for="a,b";x=", for=9.9.9.9", for=203.0.113.66'):
            self.assertTrue(self.blocked(("Forwarded", value), gw=gw), value)
        for value in ("for=203.0.113.66, for=_hidden", "for=203.0.113.66, for=9.9.9.9", "proto=https", 'for="203.0.113.66'):
            self.assertFalse(self.blocked(("Forwarded", value), gw=gw), value)
        self.assertFalse(self.blocked(("X-Forwarded-For", "203.0.113.66"), gw=gw))
        cookie = lambda v: gw.http("POST", "/session", [("Forwarded", v)])[1]["set-cookie"]
        self.assertIn("; Secure", cookie("for=9.9.9.9;proto=https"))
        self.assertNotIn("; Secure", cookie("for=9.9.9.9;proto=https, for=8.8.8.8;proto=http"))
        self.assertEqual(gw.stop(), 0)

    def test_scheme_and_host(self):
        cookie = lambda *f: self.gw.http("POST", "/session", f)[1]["set-cookie"]
        self.assertIn("; Secure", cookie(("X-Forwarded-Proto", "https")))
        self.assertNotIn("; Secure", cookie(("X-Forwarded-Proto", "http")))
        # a client's own word stands left of the proxy's
        self.assertNotIn("; Secure", cookie(("X-Forwarded-For", "9.9.9.9, 8.8.8.8"), ("X-Forwarded-Proto", "https, http")))
        same = [("Origin", "https://public.test"), ("X-Forwarded-Host", "public.test")]
        self.assertEqual(self.gw.http("GET", "/healthz", same)[0], 200)
        self.assertEqual(self.gw.http("GET", "/healthz", same[:1])[0], 403)

    def test_nobody_else_is_believed(self):
        gw = Gateway("--auth", "none", "--trusted-proxy", "10.0.0.0/8", "--block-client", "203.0.113.66")
        self.assertFalse(self.blocked(("X-Forwarded-For", "203.0.113.66"), gw=gw))
        self.assertNotIn("; Secure", gw.http("POST", "/session", [("X-Forwarded-Proto", "https")])[1]["set-cookie"])
        self.assertEqual(gw.http("GET", "/healthz", [("Origin", "https://public.test"), ("X-Forwarded-Host", "public.test")])[0], 403)
        self.assertEqual(gw.stop(), 0)

    def test_policies_and_limits_see_the_client(self):
        with self.assertRaises(Refused):
            self.gw.ws("/tcp?host=127.0.0.1&port=9", [("X-Forwarded-For", "198.51.100.7")])
        wait_for("the event", lambda: self.gw.events_of(effective_action="blocked", session_id="198.51.100.7"))
        a, b = [("X-Forwarded-For", "2001:db8:1::1")], [("X-Forwarded-For", "2001:db8:2::1")]
        open = [self.gw.ws(TCP, a), self.gw.ws(TCP, [("X-Forwarded-For", "2001:db8:1::ffff")])]
        self.assertEqual(refusal(self.gw, TCP, a), (429, "Too many concurrent connections")) # one customer has a /64
        self.gw.ws(TCP, b).close()
        open.pop().close()
        wait_for("room", lambda: refusal(self.gw, TCP, a)[0] == 101)
        open.pop().close()
        self.assertGreater(self.gw.metric('moonfence_gateway_refusals_total{reason="address_connections"}'), 0)


def openssl(*args, stdin=None):
    return subprocess.run(["openssl", *args], input=stdin, capture_output=True, check=True).stdout


class Key:
    """An Ed25519 or RSA key of OpenSSL's own, in files."""

    def __init__(self, name, *how):
        self.path = f"{TMP}/{name}.pem"
        openssl("genpkey", *how, "-out", self.path)
        self.pem = openssl("pkey", "-in", self.path, "-pubout").decode()
        self.rsa = "RSA" in how

    def jwk(self, kid):
        der = openssl("pkey", "-in", self.path, "-pubout", "-outform", "DER")
        return {"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": b64url(der[-32:])}

    def jwt(self, kid=None, **claims):
        header = {"alg": "RS256" if self.rsa else "EdDSA", **({"kid": kid} if kid else {})}
        text = b64url(json.dumps(header).encode()) + "." + b64url(json.dumps({"iat": 1, "exp": int(time.time()) + 1000, "sid": "s", **claims}).encode())
        with open_file(self.path + ".in", "wb") as f:
            f.write(text.encode())
        how = ["dgst", "-sha256", "-sign", self.path, self.path + ".in"] if self.rsa else ["pkeyutl", "-sign", "-rawin", "-inkey", self.path, "-in", self.path + ".in"]
        return text + "." + b64url(openssl(*how))


def write(path, text):
    with open_file(path + ".new", "w") as f:
        f.write(text)
    os.rename(path + ".new", path)


@unittest.skipUnless(shutil.which("openssl"), "no openssl")
class Keys(unittest.TestCase):
    def test_jwt_keys_and_their_rotation(self):
        one, two, rsa = Key("one", "-algorithm", "ED25519"), Key("two", "-algorithm", "ED25519"), Key("rsa", "-algorithm", "RSA")
        path = TMP + "/keys.json"
        write(path, json.dumps({"keys": [one.jwk("1")]}))
        gw = Gateway("--auth", "jwt", "--jwt-keys", path)
        let_in = lambda jwt: refusal(gw, TCP, [("Authorization", "Bearer " + jwt)])[0]
        self.assertEqual([let_in(t) for t in (one.jwt("1"), one.jwt(), one.jwt("2"), two.jwt("1"), rsa.jwt(), one.jwt(exp=5))], [101, 101, 401, 401, 401, 401])
        write(path, json.dumps({"keys": [two.jwk("2"), one.jwk("1")]})) # a file that changes is read again
        wait_for("the second key", lambda: let_in(two.jwt("2")) == 101)
        self.assertEqual(let_in(one.jwt("1")), 101)
        write(path, "no keys")
        gw.p.send_signal(signal.SIGHUP)
        self.assertEqual(let_in(two.jwt("2")), 101)
        write(path, "kid: r\n" + rsa.pem)
        wait_for("the RSA key", lambda: let_in(rsa.jwt("r")) == 101)
        self.assertEqual([let_in(t) for t in (two.jwt("2"), rsa.jwt("2"))], [401, 401])
        self.assertEqual(gw.stop(), 0)
        for bad in (one.path, path + ".not"): # a private key; none
            r = subprocess.run([MOONFENCE, "gateway", "--listen", "127.0.0.1:0", "--auth", "jwt", "--jwt-keys", bad], capture_output=True, timeout=WAIT)
            self.assertEqual(r.returncode, 125)

    def test_secrets_rotate(self):
        path = TMP + "/rotating"
        write(path, "first\n")
        gw = Gateway("--auth", "session", "--session-secret-file", path)
        cookie = lambda: ("Cookie", gw.http("POST", "/session")[1]["set-cookie"].split(";")[0])
        let_in = lambda c: refusal(gw, TCP, [c])[0]
        old = cookie()
        write(path, "second\nfirst\n")
        verify = Gateway("--auth", "session", "--session-secret-file", path) # what the new one alone is signed by
        write(path + "2", "second\n")
        only = Gateway("--auth", "session", "--session-secret-file", path + "2")
        wait_for("the new secret", lambda: refusal(only, TCP, [cookie()])[0] == 101)
        self.assertEqual([let_in(old), refusal(verify, TCP, [old])[0], refusal(only, TCP, [old])[0]], [101, 101, 401])
        # who comes with an old cookie keeps its session under the new secret
        again = gw.http("POST", "/session", [old])[1]["set-cookie"].split(";")[0].split("=", 1)[1]
        sid = lambda t: json.loads(base64.urlsafe_b64decode(t.split(".")[0] + "=="))["sid"]
        self.assertEqual(sid(again), sid(old[1].split("=", 1)[1]))
        write(path, "second\n")
        wait_for("the end of the old one", lambda: let_in(old) == 401)
        self.assertEqual(let_in(("Cookie", "aero_session=" + again)), 101)
        for g in (gw, verify, only):
            self.assertEqual(g.stop(), 0)


class Targets(unittest.TestCase):
    def test_lists(self):
        gw = Gateway("--auth", "none", "--tcp-ports", f"1,{echoes.port}-{echoes.port}", "--block-host", "*.blocked.test", "--block-host", "127.0.0.2",
                     "--allow-host", "127.0.0.0/8", "--allow-host", "echo.test", "--allow-host", "*.blocked.test", *DNS)
        at = lambda host, port=echoes.port: refusal(gw, f"/tcp?host={host}&port={port}")
        for host, port, want in (("127.0.0.1", echoes.port, (101, "")), ("127.0.0.1", 2, (403, "Target port not allowed")), ("127.0.0.2", 1, (403, "Target is blocked")),
                                 ("0x7f.2", 1, (403, "Target is blocked")), ("2130706434", 1, (403, "Target is blocked")), ("a.BLOCKED.test.", 1, (403, "Target is blocked")),
                                 ("blocked.test", 1, (403, "Target is not allowed")), ("ECHO.test", echoes.port, (101, "")), ("other.test", 1, (403, "Target is not allowed"))):
            self.assertEqual(at(host, port), want, (host, port))
        wait_for("the event", lambda: gw.events_of(effective_action="blocked", reason="Target is blocked"))
        self.assertEqual(gw.stop(), 0)
        gw = Gateway("--auth", "none", "--names-only", "--tcp-ports", "")
        self.assertEqual(at("127.0.0.1"), (403, "Target port not allowed"))
        self.assertEqual(gw.stop(), 0)
        gw = Gateway("--auth", "none", "--names-only", *DNS)
        self.assertEqual((at("127.0.0.1"), at("echo.test")), ((403, "IP-literal targets are not allowed"), (101, "")))
        self.assertEqual(gw.stop(), 0)
        for args in (["--tcp-ports", "80,x"], ["--tcp-ports", "0"], ["--tcp-ports", "9-8"], ["--block-host", "*.1.2.3.4"], ["--allow-host", "a b"], ["--udp-network", "x"]):
            r = subprocess.run([MOONFENCE, "gateway", "--listen", "127.0.0.1:0", *args], capture_output=True, timeout=WAIT)
            self.assertEqual(r.returncode, 2, args)


class Rates(unittest.TestCase):
    def test_requests(self):
        gw = Gateway("--auth", "none", "--trusted-proxy", "127.0.0.1", "--request-rate", "12", "--dns-rate", "0", *DNS)
        me = [("X-Forwarded-For", "192.0.2.77")]
        got = [gw.http("GET", "/version", me)[0] for _ in range(20)]
        self.assertEqual(got[:12], [200] * 12)
        self.assertIn(429, got)
        status, _, body = gw.http("GET", "/version", me)
        while status == 200: # a slow machine: one every five seconds
            status, _, body = gw.http("GET", "/version", me)
        self.assertEqual(json.loads(body), {"error": "too_many_requests", "message": "Rate limit exceeded"})
        for path in ("/healthz", "/readyz", "/metrics"):
            self.assertEqual(gw.http("GET", path, me)[0], 200)
        self.assertEqual(gw.http("OPTIONS", "/version", me)[0], 204)
        status, fields, body = gw.http("GET", "/dns-query?dns=" + b64url(question("www.test")), me)
        if status == 429:
            self.assertEqual((fields["content-type"], body), ("application/dns-message", b"\0\0\x80\x02" + b"\0" * 8))
        self.assertEqual(gw.http("GET", "/version", [("X-Forwarded-For", "192.0.2.78")])[0], 200)
        self.assertGreater(gw.metric('moonfence_gateway_refusals_total{reason="request_rate"}'), 0)
        self.assertEqual(gw.stop(), 0)

    def test_questions(self):
        gw = Gateway("--auth", "none", "--dns-rate", "1", "--dns-burst", "3", *DNS)
        got = []
        while got.count(429) < 1:
            got.append(gw.http("GET", "/dns-query?dns=" + b64url(question("www.test")))[0])
        self.assertEqual(got[:3], [200] * 3)
        self.assertGreater(gw.metric('moonfence_gateway_refusals_total{reason="question_rate"}'), 0)
        self.assertEqual(gw.stop(), 0)


class ProxyProtocol(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.gw = Gateway("--auth", "none", "--trusted-proxy", "127.0.0.1", "--proxy-protocol", "--block-client", "203.0.113.66", "--block-client", "2001:db8:bad::/48")

    @classmethod
    def tearDownClass(cls):
        assert cls.gw.stop() == 0

    REQUEST = b"GET /session HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\n\r\n"

    def upgrade(self, header, gw=None):
        """What an upgrade behind this header gets; 0: the connection was cut."""
        head = (f"GET {TCP} HTTP/1.1\r\nHost: gw.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n").encode()
        with (gw or self.gw).socket() as s:
            out = b""
            try:
                s.sendall(header + head)
                while b"\r\n\r\n" not in out and (b := s.recv(65536)):
                    out += b
            except ConnectionError:
                pass
        return int(out.split()[1]) if out else 0

    def test_headers(self):
        bad = "203.0.113.66"
        for want, header in ((403, proxy2(bad, "192.0.2.1")), (101, proxy2("198.51.100.1", "192.0.2.1")),
                             (403, proxy2("2001:db8:bad::5", "2001:db8::1")), (403, proxy2(bad, "192.0.2.1", tlvs=b"\x02\x00\x03abc" + b"\x04" + b"\x0f\xff" + b"x" * 4095)),
                             (403, proxy2(bad, "192.0.2.1", tlvs=b"z" * 65000)),
                             (101, proxy2(bad, "192.0.2.1", command=0)), (101, SIGNATURE + b"\x20\x00\0\0"), (101, SIGNATURE + b"\x21\x00\0\0"),
                             (101, SIGNATURE + b"\x21\x31\0\xd8" + b"/" * 216), (403, f"PROXY TCP4 {bad} 192.0.2.1 1 65535\r\n".encode()),
                             (403, b"PROXY TCP6 2001:db8:bad::5 2001:db8::1 1 2\r\n"), (101, b"PROXY UNKNOWN\r\n"), (101, b"PROXY UNKNOWN ffff::1 what ever\r\n"),
                             (0, b""), (0, SIGNATURE + b"\x11\x11\0\x0c" + b"\0" * 12), (0, SIGNATURE + b"\x22\x11\0\x0c" + b"\0" * 12),
                             (0, SIGNATURE + b"\x21\x11\0\x0b" + b"\0" * 11), (0, SIGNATURE + b"\x21\x12\0\x0c" + b"\0" * 12), (0, SIGNATURE + b"\x21\x41\0\x0c" + b"\0" * 12),
                             (0, b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n"), (0, b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n"),
                             (0, b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n"), (0, b"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n"), (0, b"PROXY " + b"x" * 200 + b"\r\n"),
                             (0, b"PROXY TCP4 1.2.3.4\r1.2.3.4 1 2\r\n"), (0, b"PROXX UNKNOWN\r\n")):
            self.assertEqual(self.upgrade(header), want, header[:60])

    def test_header_in_pieces(self):
        for header in (proxy2("203.0.113.66", "192.0.2.1", tlvs=b"\x04\0\x01x"), b"PROXY TCP4 203.0.113.66 192.0.2.1 1 2\r\n"):
            with self.gw.socket() as s:
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for i in range(len(header)):
                    s.send(header[i:i + 1])
                s.sendall(self.REQUEST)
                out = b""
                while b := s.recv(65536):
                    out += b
            self.assertIn(b"200 OK", out)

    def test_strangers(self):
        gw = Gateway("--auth", "none", "--trusted-proxy", "10.0.0.0/8", "--proxy-protocol")
        self.assertEqual(self.upgrade(proxy2("198.51.100.1", "192.0.2.1"), gw), 0)
        self.assertEqual(raw(gw, self.REQUEST), b"")
        self.assertEqual(gw.stop(), 0)
        r = subprocess.run([MOONFENCE, "gateway", "--listen", "127.0.0.1:0", "--proxy-protocol"], capture_output=True, timeout=WAIT)
        self.assertEqual(r.returncode, 2)

    def test_haproxy(self):
        haproxy = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
        if not haproxy:
            self.skipTest("no haproxy")
        place = tempfile.mkdtemp(dir=TMP)
        front = place + "/front"
        with open_file(place + "/conf", "w") as f:
            f.write("defaults\n mode tcp\n timeout connect 60s\n timeout client 60s\n timeout server 60s\n"
                    f"frontend f\n bind unix@{front} accept-proxy\n default_backend b\nbackend b\n server s 127.0.0.1:{self.gw.port} send-proxy-v2\n")
        p = subprocess.Popen([haproxy, "-q", "-db", "-f", place + "/conf"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for("haproxy", lambda: p.poll() is not None or os.path.exists(front))
            for client, want in (("203.0.113.66", 403), ("198.51.100.9", 101)):
                with socket.socket(socket.AF_UNIX) as s:
                    wait_for("haproxy", lambda: s.connect_ex(front) == 0)
                    s.sendall(f"PROXY TCP4 {client} 192.0.2.1 1111 443\r\nGET {TCP} HTTP/1.1\r\nHost: gw.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                              "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode())
                    out = b""
                    while b"\r\n\r\n" not in out and (b := s.recv(65536)):
                        out += b
                self.assertEqual(int(out.split()[1]), want)
        finally:
            p.terminate()
            p.wait(WAIT)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The variables of Aero's servers: which are looked at, what each says, and starting the gateway in place of Aero's own by what their scripts do."""
import base64, hashlib, hmac, json, os, re, selectors, shlex, signal, stat, struct, subprocess, time, unittest

from guest import *

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../..")
with open_file(ROOT + "/tests/data/gateway/sdp/chromium.sdp", newline="") as f:
    OFFER = f.read()
CLEAN = {k: v for k, v in os.environ.items() if k in ("PATH", "LD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS", "HOME", "TMPDIR")}
echoes = Server(echo)
names = Udp(dns_answer)
DNS = ["--dns", f"127.0.0.1:{names.port}"]
TCP = f"/tcp?host=127.0.0.1&port={echoes.port}"


def refusal(gw, path, fields=(), **kw):
    try:
        gw.ws(path, fields, **kw).close()
    except Refused as e:
        return e.status, e.text
    return 101, ""


def b64url(b):
    return base64.urlsafe_b64encode(b).rstrip(b"=").decode()


class Which(unittest.TestCase):
    """PORT, HOST and API_KEY are anybody's: a gateway that was told nothing of Aero must not take them for its own."""
    common = {"PORT": "x", "HOST": "nowhere.test", "API_KEY": "not ours", "AUTH_MODE": "what", "MAX_SESSIONS": "many", "VERSION": "9", "TLS_ENABLED": "perhaps", "PREFER_V2": "no idea",
              "TCP_ALLOWED_PORTS": "", "UDP_INBOUND_FILTER_MODE": "x", "WEBRTC_UDP_PORT_MIN": "1", "UDP_RELAY_BASE_URL": "x", "TURN_REST_USERNAME_PREFIX": ":"}

    def run_it(self, *args, **env):
        """What it says before it ends, or serves: (exit status or None, stdout's first line, stderr)"""
        p = subprocess.Popen([MOONFENCE, "gateway", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**CLEAN, **env})
        first = p.stdout.readline()
        if first:
            p.send_signal(signal.SIGINT)
        _, said = p.communicate(timeout=WAIT)
        return None if first and p.returncode == 0 else p.returncode, first, said

    def test_common_names_are_not_ours(self):
        gw = Gateway(env={**CLEAN, **self.common})
        self.assertEqual(refusal(gw, TCP, [("X-API-Key", "not ours")])[0], 401)
        cookie = ("Cookie", gw.http("POST", "/session")[1]["set-cookie"].split(";")[0])
        self.assertEqual(refusal(gw, TCP, [cookie])[0], 101)
        self.assertNotEqual(json.loads(gw.http("GET", "/version")[2])["version"], "9")
        self.assertEqual(gw.stop(), 0)
        status, _, said = self.run_it(PORT="0", HOST="127.0.0.1")
        self.assertEqual(status, 2)
        self.assertIn("--listen is missing", said)
        self.assertEqual(self.run_it("--env", "aero", PORT="0", HOST="127.0.0.1")[0], None)

    def test_names_of_aero_s_are(self):
        gw = Gateway(env={**CLEAN, "AERO_L2_API_KEY": "k3y", "AERO_GATEWAY_VERSION": "7"})
        self.assertEqual([refusal(gw, TCP, [("X-API-Key", k)])[0] for k in ("k3y", "other")], [101, 401])
        self.assertEqual(json.loads(gw.http("GET", "/version")[2])["version"], "7")
        self.assertEqual(gw.stop(), 0)

    def test_both_kinds_are_told_apart_aloud(self):
        listen = ["--listen", "127.0.0.1:0"]
        status, _, said = self.run_it(*listen, AERO_L2_API_KEY="k", TCP_BLOCKED_HOSTS="a.test", PORT="80", ALLOWED_ORIGINS="", TCP_ALLOWED_PORTS="")
        self.assertIsNone(status)
        line, = [l for l in said.splitlines() if "--env" in l]
        self.assertEqual(line, "moonfence: of the environment AERO_... was taken, and not TCP_ALLOWED_PORTS, TCP_BLOCKED_HOSTS (--env aero takes all, --env none nothing)")
        for args, env in (([], {"PORT": "80"}), ([], {"AERO_L2_API_KEY": "k"}), (["--env", "aero"], {"AERO_L2_API_KEY": "k", "TCP_BLOCKED_HOSTS": "a.test"}),
                          (["--env", "none"], {"AERO_L2_API_KEY": "k", "PORT": "80"})):
            status, _, said = self.run_it(*listen, *args, **env)
            self.assertIsNone(status)
            self.assertNotIn("--env", said)

    def test_none(self):
        status, _, said = self.run_it("--listen", "127.0.0.1:0", "--env", "none", AERO_L2_AUTH_MODE="what", AERO_L2_ALLOWED_TCP_PORTS="1", PORT="x")
        self.assertIsNone(status, said)
        status, _, said = self.run_it("--listen", "127.0.0.1:0", AERO_L2_AUTH_MODE="what")
        self.assertEqual(status, 2)
        self.assertEqual(self.run_it("--listen", "127.0.0.1:0", "--env", "mine")[0], 2)


class Environment(unittest.TestCase):
    def start(self, *args, **env):
        return Gateway("--env", "aero", *args, env={**CLEAN, **env})

    def test_all_variables(self):
        gw = self.start(*DNS, AERO_GATEWAY_SESSION_SECRET="s3cret", SESSION_TTL_SECONDS="77", SESSION_COOKIE_SAMESITE="strict", ALLOWED_ORIGINS="https://a.test, https://b.test",
                        CROSS_ORIGIN_ISOLATION="1", TRUST_PROXY="1", TCP_BLOCKED_HOSTS="*.blocked.test,127.0.0.2", TCP_ALLOWED_PORTS="9," + str(echoes.port),
                        PUBLIC_BASE_URL="https://a.test/base", AERO_L2_API_KEY="k3y", TCP_MUX_MAX_STREAMS="5", AERO_GATEWAY_VERSION="7.7", GIT_SHA="abc",
                        RATE_LIMIT_REQUESTS_PER_MINUTE="", TLS_ENABLED="0", TLS_CERT_PATH="/nowhere", UDP_BINDING_IDLE_TIMEOUT="1m30s", MAX_SESSIONS="0", PREFER_V2="true",
                        AERO_L2_MAX_CONNECTIONS="0", AERO_L2_MAX_CONNECTIONS_PER_SESSION="0", AERO_L2_MAX_FRAME_PAYLOAD="2048", AERO_L2_PING_INTERVAL_MS="", AERO_L2_IDLE_TIMEOUT_MS="0")
        _, fields, _ = gw.http("POST", "/base/session", [("Origin", "https://b.test"), ("X-Forwarded-Proto", "https")])
        self.assertIn("; Max-Age=77; Path=/; HttpOnly; SameSite=Strict; Secure", fields["set-cookie"])
        self.assertEqual((fields["access-control-allow-origin"], fields["cross-origin-opener-policy"]), ("https://b.test", "same-origin"))
        key = [("X-API-Key", "k3y")]
        self.assertEqual((refusal(gw, TCP)[0], refusal(gw, TCP, key)[0]), (401, 101))
        self.assertEqual(refusal(gw, "/tcp?host=127.0.0.2&port=9", key)[1], "Target is blocked")
        self.assertEqual(refusal(gw, "/tcp?host=127.0.0.1&port=1", key)[1], "Target port not allowed")
        self.assertEqual(json.loads(gw.http("GET", "/version")[2]), {"version": "7.7", "gitSha": "abc", "builtAt": ""})
        self.assertEqual(gw.stop(), 0)

    def test_the_command_line_wins(self):
        gw = self.start("--auth", "none", "--origin", "https://c.test", "--tcp-ports", str(echoes.port), AERO_L2_AUTH_MODE="jwt", ALLOWED_ORIGINS="*", TCP_ALLOWED_PORTS="",
                        PORT="1", AERO_L2_PROXY_LISTEN_ADDR="nonsense")
        self.assertEqual(refusal(gw, TCP, [("Origin", "https://c.test")])[0], 101)
        self.assertEqual(refusal(gw, TCP, [("Origin", "https://d.test")])[0], 403)
        self.assertEqual(gw.stop(), 0)
        gw = self.start(AERO_L2_AUTH_MODE="session_and_token", AERO_L2_TOKEN="t", TCP_ALLOWED_PORTS="")
        cookie = ("Cookie", gw.http("POST", "/session")[1]["set-cookie"].split(";")[0])
        self.assertEqual([refusal(gw, TCP, f)[0] for f in ([cookie], [("X-API-Key", "t")], [cookie, ("X-API-Key", "t")])], [401, 401, 403])
        self.assertEqual(gw.stop(), 0)

    def test_bad_values_name_the_variable(self):
        for name, value in (("SESSION_TTL_SECONDS", "soon"), ("TRUST_PROXY", "maybe"), ("TCP_ALLOWED_PORTS", "80,http"), ("ALLOWED_ORIGINS", "a.test"), ("AERO_L2_AUTH_MODE", "what"), ("AUTH_MODE", "x"), ("UDP_BINDING_IDLE_TIMEOUT", "5"), ("AERO_L2_ALLOWED_TCP_PORTS", ""), ("AERO_L2_BLOCKED_DOMAINS", "a.test"),
                            ("UDP_INBOUND_FILTER_MODE", "some"), ("DNS_ALLOW_ANY", "2"), ("PORT", "http"), ("TCP_PROXY_CONNECT_TIMEOUT_MS", "-1"), ("TLS_ENABLED", "1"), ("WEBRTC_UDP_PORT_MIN", "5000"),
                            ("WEBRTC_UDP_LISTEN_IP", "here"), ("WEBRTC_NAT_1TO1_IPS", "192.0.2.1,x"), ("WEBRTC_NAT_1TO1_IP_CANDIDATE_TYPE", "relay"), ("WEBRTC_SESSION_CONNECT_TIMEOUT", "30"),
                            ("WEBRTC_SCTP_MAX_RECEIVE_BUFFER_BYTES", "1499"), ("DATACHANNEL_SEND_QUEUE_BYTES", "1k"), ("AERO_ICE_SERVERS_JSON", "{}"), ("TURN_REST_USERNAME_PREFIX", "a:b"),
                            ("UDP_RELAY_BASE_URL", "relay.test"), ("UDP_RELAY_TOKEN_TTL_SECONDS", "5m")):
            args = [] if name == "PORT" else ["--listen", "127.0.0.1:0"]
            r = subprocess.run([MOONFENCE, "gateway", "--env", "aero", *args], env={**CLEAN, name: value}, capture_output=True, text=True, timeout=WAIT)
            self.assertEqual(r.returncode, 2, (name, r.stderr))
            self.assertIn(name, r.stderr)

    def test_the_table_of_the_documentation(self):
        with open_file(ROOT + "/cli/gateway_environment_rows.c") as f:
            source = f.read()
        source = source[source.index("mf_env_rows[] = {"):]
        known = {}
        for names, kind in re.findall(r'\{\s*((?:"[^"]*"\s*)+),\s*ENV_([A-Z_]+),', source):
            known[tuple("".join(re.findall('"([^"]*)"', names)).split())] = kind
        self.assertEqual(len(known), source.count("},") + source.count("} };"), "a row that this test cannot read")
        all = [n for names in known for n in names]
        self.assertEqual(len(all), len(set(all)), "a variable that stands in two rows")
        with open_file(ROOT + "/tests/data/gateway/aero-variables.txt") as f:
            reference = {l.split()[0] for l in f if l.strip() and l[0] != "#"}
        self.assertEqual(set(all), reference)
        with open_file(ROOT + "/docs/gateway.md") as f:
            told = re.findall(r"^\| (`[A-Z0-9_`, ]+`) \| (understood|understood differently|ignored|start-up fails) \| (\S.*) \|$", f.read(), re.M)
        told = {tuple(re.findall("`([A-Z0-9_]+)`", names)): what for names, what, why in told}
        self.assertEqual(sorted(told), sorted(known))
        for names, what in told.items():
            self.assertEqual(what == "ignored", known[names] == "IGNORED", names)
            self.assertEqual(what == "start-up fails", known[names] == "REFUSED", names)


class WebRTC(unittest.TestCase):
    def start(self, *args, **env):
        gw = Gateway("--env", "aero", "--auth", "none", *args, env={**CLEAN, **env})
        self.addCleanup(gw.stop)
        line = gw.p.stdout.readline()
        self.udp = re.fullmatch(r"udp://(.*):(\d+)/\n", line)
        return gw

    def sdp(self, gw):
        return json.loads(gw.http("POST", "/webrtc/offer", body=json.dumps({"type": "offer", "sdp": OFFER}).encode())[2])["sdp"]["sdp"]

    def test_addresses(self):
        gw = self.start(WEBRTC_UDP_LISTEN_IP="127.0.0.1", WEBRTC_NAT_1TO1_IPS="192.0.2.1, 192.0.2.2", WEBRTC_NAT_1TO1_IP_CANDIDATE_TYPE="srflx")
        self.assertEqual(self.udp[1], "127.0.0.1")
        self.assertEqual(re.findall(r"(192\.0\.2\.\d) \d+ typ (\w+) raddr 127\.0\.0\.1", self.sdp(gw)), [("192.0.2.1", "srflx"), ("192.0.2.2", "srflx")])
        gw = self.start(WEBRTC_UDP_LISTEN_IP="::1", WEBRTC_NAT_1TO1_IPS="2001:db8::1", WEBRTC_NAT_1TO1_IP_CANDIDATE_TYPE="host")
        self.assertEqual(self.udp[1], "[::1]")
        self.assertRegex(self.sdp(gw), r" 2001:db8::1 \d+ typ host\r\n")

    def test_the_first_port_of_the_range(self):
        # the first is free until somebody else takes it: then it is named
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
            r = subprocess.run([MOONFENCE, "gateway", "--env", "aero", "--listen", "127.0.0.1:0"], capture_output=True, text=True, timeout=WAIT,
                               env={**CLEAN, "WEBRTC_UDP_LISTEN_IP": "127.0.0.1", "WEBRTC_UDP_PORT_MIN": str(port), "WEBRTC_UDP_PORT_MAX": str(port + 1)})
        self.assertEqual(r.returncode, 125)
        self.assertIn(f"cannot serve WebRTC at 127.0.0.1:{port}", r.stderr)
        r = subprocess.run([MOONFENCE, "gateway", "--env", "aero", "--listen", "127.0.0.1:0"], capture_output=True, text=True, timeout=WAIT,
                           env={**CLEAN, "WEBRTC_UDP_PORT_MIN": "50100", "WEBRTC_UDP_PORT_MAX": "50000"})
        self.assertEqual(r.returncode, 2)
        self.assertIn("WEBRTC_UDP_PORT_MAX", r.stderr)

    def test_a_relay_has_webrtc(self):
        self.start(AERO_WEBRTC_UDP_RELAY_LISTEN_ADDR="127.0.0.1:0")
        self.assertTrue(self.udp)
        self.start("--webrtc-port", "127.0.0.1:0", AERO_WEBRTC_UDP_RELAY_LISTEN_ADDR="127.0.0.1:0", WEBRTC_UDP_LISTEN_IP="nonsense")
        self.assertEqual(self.udp[1], "127.0.0.1")

    def test_limits(self):
        gw = self.start(WEBRTC_UDP_LISTEN_IP="127.0.0.1", WEBRTC_DATACHANNEL_MAX_MESSAGE_BYTES="7000", WEBRTC_SCTP_MAX_RECEIVE_BUFFER_BYTES="200000", DATACHANNEL_SEND_QUEUE_BYTES="65536",
                        WEBRTC_SESSION_CONNECT_TIMEOUT="200ms", MAX_SIGNALING_MESSAGES_PER_SECOND="3", MAX_SIGNALING_MESSAGE_BYTES="20000")
        self.assertIn("\r\na=max-message-size:7000\r\n", self.sdp(gw))
        wait_for("it is not connected, and ends", lambda: gw.metric('aero_webrtc_udp_relay_events_total{event="webrtc_session_connect_timeout"}') == 1)
        ws = gw.ws("/webrtc/signal")
        ws.send(b'{"type":"' + b"x" * 20000 + b'"}', 1)
        self.assertEqual(ws.recv_close()[0], 1009)
        ws = gw.ws("/webrtc/signal")
        # more in one second than a bucket holds and gains, if this machine sends them in less than a minute
        ws.raw(b"".join(ws.frame(1, b'{"type":"auth","token":"x"}') for _ in range(200)))
        self.assertEqual(json.loads(ws.recv()[1])["code"], "rate_limited")

    def ice(self, **env):
        return json.loads(self.start(WEBRTC_UDP_LISTEN_IP="127.0.0.1", **env).http("GET", "/webrtc/ice")[2])["iceServers"]

    def test_servers(self):
        stun, turn = self.ice(AERO_STUN_URLS="stun:a.test, stun:[2001:db8::1]:3478", AERO_TURN_URLS="turn:b.test?transport=udp", AERO_TURN_USERNAME="me", AERO_TURN_CREDENTIAL="s\u00e9cret")
        self.assertEqual(stun, {"urls": ["stun:a.test", "stun:[2001:db8::1]:3478"]})
        self.assertEqual(turn, {"urls": ["turn:b.test?transport=udp"], "username": "me", "credential": "s\u00e9cret"})
        whole = [{"urls": "stun:c.test"}]
        self.assertEqual(self.ice(AERO_ICE_SERVERS_JSON=json.dumps(whole), AERO_STUN_URLS="stun:a.test"), whole)
        turn, = self.ice(AERO_TURN_URLS="turn:b.test", AERO_TURN_USERNAME="me", AERO_TURN_CREDENTIAL="x", TURN_REST_SHARED_SECRET="t0p", TURN_REST_TTL_SECONDS="90000",
                         TURN_REST_USERNAME_PREFIX="guests", TURN_REST_REALM="b.test")
        until, who, _ = turn["username"].split(":")
        self.assertEqual(who, "guests")
        self.assertGreater(int(until), time.time() + 80000)
        self.assertEqual(base64.b64decode(turn["credential"]), hmac.new(b"t0p", turn["username"].encode(), hashlib.sha1).digest())

    def test_what_pages_are_told(self):
        gw = Gateway("--env", "aero", "--auth", "session,jwt", env={**CLEAN, "UDP_RELAY_BASE_URL": "https://relay.test/there", "PUBLIC_BASE_URL": "https://a.test/base", "UDP_RELAY_TOKEN_TTL_SECONDS": "60",
                                                  "UDP_RELAY_AUDIENCE": "relay", "UDP_RELAY_ISSUER": "gw", "UDP_RELAY_JWT_SECRET": "another", "UDP_RELAY_AUTH_MODE": "jwt", "UDP_RELAY_API_KEY": "told to everybody"})
        self.addCleanup(gw.stop)
        got = json.loads(gw.http("POST", "/session", [("Origin", "https://a.test")])[2])["udpRelay"]
        self.assertEqual((got["baseUrl"], got["authMode"]), ("https://relay.test/there", "jwt"))
        head, body, mac = got["token"].split(".")
        self.assertEqual(mac, b64url(hmac.new(b"another", (head + "." + body).encode(), hashlib.sha256).digest()))
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        self.assertEqual((claims["aud"], claims["iss"], claims["exp"] - claims["iat"]), ("relay", "gw", 60))
        self.assertEqual(json.loads(gw.ws("/udp?token=" + got["token"], [("Origin", "https://a.test")]).recv()[1])["type"], "ready")
        self.assertEqual(refusal(gw, TCP, [("X-API-Key", "told to everybody")])[0], 401)


class Relay(Gateway):
    """Started as the browser tests of Aero's UDP relay start it; but that they look for a port that is free."""

    def __init__(self, wrapper, **env):
        self.tls = False
        self.p = subprocess.Popen([wrapper, "--listen-addr", "127.0.0.1:0"], env={**CLEAN, **env}, stdout=subprocess.PIPE, text=True)
        self.port = int(re.fullmatch(r"http://127\.0\.0\.1:(\d+)/\n", self.p.stdout.readline())[1])
        assert self.p.stdout.readline().startswith("udp://")


class InPlaceOfAero(Gateway):
    """Started as Aero's test helper starts its own program: no argument, all in variables, many of them empty, and a line on stdout or stderr that says where."""
    line = re.compile(rb"aero-l2-proxy listening on http://(?P<host>[^:\s]+):(?P<port>\d+)")

    def __init__(self, wrapper, **env):
        given = {name: "" for name in ("ALLOWED_ORIGINS", "AERO_L2_ALLOWED_ORIGINS", "AERO_L2_ALLOWED_ORIGINS_EXTRA", "AERO_L2_ALLOWED_HOSTS", "AERO_L2_TRUST_PROXY_HOST", "AERO_L2_AUTH_MODE",
                                       "AERO_L2_TOKEN", "AERO_L2_API_KEY", "AERO_L2_JWT_SECRET", "AERO_L2_SESSION_SECRET", "SESSION_SECRET", "AERO_L2_OPEN")}
        self.tls, self.out = False, b""
        self.p = subprocess.Popen([wrapper], env={**CLEAN, **given, "AERO_L2_PROXY_LISTEN_ADDR": "127.0.0.1:0", "AERO_TOKIO_WORKER_THREADS": "1", "RUST_LOG": "aero_l2_proxy=info", **env},
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with selectors.DefaultSelector() as sel:
            for f in (self.p.stdout, self.p.stderr):
                sel.register(f, selectors.EVENT_READ)
            while not (m := self.line.search(self.out)):
                for key, _ in sel.select():
                    piece = os.read(key.fd, 65536)
                    assert piece, self.out
                    self.out += piece
        self.host, self.port = m["host"].decode(), int(m["port"])

    def stop(self):
        self.p.send_signal(signal.SIGINT)
        self.p.communicate(timeout=WAIT)
        return self.p.returncode


class Helper(unittest.TestCase):
    """The things that Aero's own suites look at in a server that they have started."""

    @classmethod
    def setUpClass(cls):
        # the scripts of docs/gateway.md, and what Aero's test-only variables would say as a policy
        cls.policy = TMP + "/aero.lua"
        with open_file(cls.policy, "w") as f:
            f.write("""return { name = "aero", dns = function(q) if q.name == "echo.local" then return resolve "203.0.113.10" end return allow() end,
                connect = function(c) if tostring(c.ip) == "203.0.113.10" then return redirect("127.0.0.1:" .. c.port) end return allow() end }""")
        with open_file(ROOT + "/docs/gateway.md") as f:
            scripts = re.findall(r"\n```\n(#!/bin/sh\n.*?)```\n", f.read(), re.S)
        cls.wrapper, cls.relay = TMP + "/aero-l2-proxy", TMP + "/aero-webrtc-udp-relay"
        for path, script, more in zip((cls.wrapper, cls.relay), scripts, ("--open 203.0.113.0/24", "--open 127.0.0.0/8")):
            script = script.replace("moonfence gateway", f"{shlex.quote(MOONFENCE)} gateway {more}").replace("/etc/moonfence/gateway.lua", cls.policy)
            assert MOONFENCE in script and cls.policy in script
            with open_file(path, "w") as f:
                f.write(script)
            os.chmod(path, stat.S_IRWXU)

    def start(self, **env):
        gw = InPlaceOfAero(self.wrapper, **env)
        self.addCleanup(lambda: self.assertEqual(gw.stop(), 0))
        return gw

    def try_it(self, gw, path="/l2", fields=(), protocol=L2):
        return refusal(gw, path, fields, protocol=protocol)[0]

    def test_announcement(self):
        gw = self.start(AERO_L2_OPEN="1", AERO_L2_AUTH_MODE="none")
        self.assertEqual(gw.host, "127.0.0.1")
        wait_for("the line for scripts", lambda: f"AERO_L2_PROXY_READY ws://127.0.0.1:{gw.port}/l2\n".encode() in gw.out or gw.out.__class__ and self.more(gw))

    def more(self, gw):
        gw.out += os.read(gw.p.stdout.fileno(), 65536)

    def test_announcement_of_another_family(self):
        gw = self.start(AERO_L2_OPEN="1", AERO_L2_AUTH_MODE="none", AERO_L2_PROXY_LISTEN_ADDR="[::1]:0")
        self.assertEqual(gw.host, "localhost")

    def test_relay(self):
        udp = Udp(lambda d: d)
        datagram = struct.pack(">H4sH", 7, socket.inet_aton("127.0.0.1"), udp.port) + b"there"

        def start(**env):
            gw = Relay(self.relay, **env)
            self.addCleanup(lambda: self.assertEqual(gw.stop(), 0))
            return gw

        def first(gw, path="/udp"):
            return json.loads(gw.ws(path).recv()[1])
        gw = start(AUTH_MODE="none", AERO_STUN_URLS="stun:a.test")
        self.assertIn(b'"ready":true', gw.http("GET", "/readyz")[2])
        self.assertEqual(json.loads(gw.http("GET", "/webrtc/ice")[2]), {"iceServers": [{"urls": ["stun:a.test"]}]})
        ws = gw.ws("/udp")
        self.assertEqual(json.loads(ws.recv()[1])["type"], "ready")
        ws.send(datagram)
        self.assertEqual(ws.recv(), (2, datagram))
        self.assertEqual(json.loads(gw.http("POST", "/webrtc/offer", body=json.dumps({"type": "offer", "sdp": OFFER}).encode())[2])["sdp"]["type"], "answer")
        gw = start(AUTH_MODE="api_key", API_KEY="k3y")
        self.assertEqual([first(gw, "/udp?token=k3y&apiKey=k3y")["type"], first(gw, "/udp?token=no")["code"]], ["ready", "unauthorized"])
        self.assertEqual([gw.http("GET", "/webrtc/ice", f)[0] for f in ([], [("X-API-Key", "k3y")])], [401, 200])
        gw = start(AUTH_MODE="jwt", JWT_SECRET="sekrit", SIGNALING_AUTH_TIMEOUT="1s")
        self.assertEqual(first(gw)["message"], "authentication timeout")

    def test_probes(self):
        gw = self.start(AERO_L2_OPEN="1", AERO_L2_AUTH_MODE="none")
        self.assertEqual(gw.http("GET", "/readyz")[0], 200)
        self.assertIs(json.loads(gw.http("GET", "/readyz")[2])["ready"], True)
        self.assertEqual({type(v) for v in json.loads(gw.http("GET", "/version")[2]).values()}, {str})

    def test_subprotocol(self):
        gw = self.start(AERO_L2_OPEN="1", AERO_L2_AUTH_MODE="none", AERO_L2_MAX_CONNECTIONS="0")
        for path in ("/l2", "/l2/", "/eth", "/eth/"):
            self.assertEqual((self.try_it(gw, path, protocol=None), self.try_it(gw, path)), (400, 101))

    def test_origins(self):
        good, bad = [("Origin", "https://app.example.com")], [("Origin", "https://evil.example.com")]
        for name in ("AERO_L2_ALLOWED_ORIGINS", "ALLOWED_ORIGINS"):
            gw = self.start(AERO_L2_OPEN="0", AERO_L2_AUTH_MODE="none", **{name: "https://app.example.com"})
            self.assertEqual([self.try_it(gw, fields=f) for f in ((), bad, good)], [403, 403, 101])
        gw = self.start(AERO_L2_AUTH_MODE="token", AERO_L2_TOKEN="sekrit", AERO_L2_ALLOWED_ORIGINS="*")
        self.assertEqual([self.try_it(gw, p) for p in ("/l2", "/l2?token=sekrit")], [401, 403])
        gw = self.start(AERO_L2_OPEN="1", AERO_L2_AUTH_MODE="token", AERO_L2_TOKEN="sekrit")
        self.assertEqual([self.try_it(gw, p) for p in ("/l2", "/l2?token=sekrit")], [401, 101])

    def test_credentials(self):
        origin = [("Origin", "https://app.example.com")]
        gw = self.start(AERO_L2_OPEN="0", AERO_L2_AUTH_MODE="token", AERO_L2_TOKEN="sekrit", AERO_L2_ALLOWED_ORIGINS="https://app.example.com")
        self.assertEqual([self.try_it(gw, p, origin) for p in ("/l2", "/l2?token=nope", "/l2?token=sekrit", "/l2?apiKey=nope", "/l2?apiKey=sekrit")], [401, 401, 101, 401, 101])
        self.assertEqual(self.try_it(gw, fields=origin, protocol=L2 + ", aero-l2-token.sekrit"), 101)
        gw = self.start(AERO_L2_OPEN="1", AERO_L2_AUTH_MODE="session", AERO_L2_SESSION_SECRET="sekrit", AERO_L2_MAX_TUNNELS_PER_SESSION="1")

        def cookie(exp):
            payload = b64url(json.dumps({"v": 1, "sid": "sid-test", "exp": exp}).encode())
            return [("Cookie", "aero_session=" + payload + "." + b64url(hmac.new(b"sekrit", payload.encode(), hashlib.sha256).digest()))]
        now = int(time.time())
        self.assertEqual([self.try_it(gw, fields=f) for f in ((), cookie(0))], [401, 401])
        first = gw.ws("/l2", cookie(now + 3600), protocol=L2)
        self.assertEqual(self.try_it(gw, fields=cookie(now + 3600)), 429)
        first.close()
        wait_for("its place is free", lambda: self.try_it(gw, fields=cookie(now + 3600)) == 101)
        gw = self.start(AERO_L2_OPEN="1", AERO_L2_AUTH_MODE="jwt", AERO_L2_JWT_SECRET="sekrit")
        text = b64url(b'{"alg":"HS256","typ":"JWT"}') + "." + b64url(json.dumps({"iat": now, "exp": now + 3600, "sid": "sid-test"}).encode())
        jwt = text + "." + b64url(hmac.new(b"sekrit", text.encode(), hashlib.sha256).digest())
        self.assertEqual([self.try_it(gw, fields=[("Authorization", "Bearer " + t)] if t else ()) for t in ("", "not-a-jwt", jwt)], [401, 401, 101])

    def test_nobody_is_asked_only_when_told_so_twice(self):
        gw = self.start(AERO_L2_OPEN="1", AERO_L2_INSECURE_ALLOW_NO_AUTH="1")
        self.assertEqual(self.try_it(gw), 101)
        gw = self.start(AERO_L2_OPEN="1")
        self.assertEqual(self.try_it(gw), 401)
        gw = self.start(AERO_L2_OPEN="1", AERO_L2_INSECURE_ALLOW_NO_AUTH="1", AERO_L2_SESSION_SECRET="sekrit")
        self.assertEqual(self.try_it(gw), 401)
        with open_file(TMP + "/secret", "w") as f:
            f.write("sekrit\n")
        gw = Gateway("--session-secret-file", TMP + "/secret", env={**CLEAN, "AERO_L2_OPEN": "1", "AERO_L2_INSECURE_ALLOW_NO_AUTH": "1"})
        self.addCleanup(gw.stop)
        self.assertEqual(self.try_it(gw), 401)

    def test_quotas(self):
        gw = self.start(AERO_L2_OPEN="1", AERO_L2_AUTH_MODE="none", AERO_L2_MAX_CONNECTIONS="1")
        first = gw.ws("/l2", protocol=L2)
        self.assertEqual(self.try_it(gw), 429)
        first.close()
        gw = self.start(AERO_L2_OPEN="1", AERO_L2_AUTH_MODE="none", AERO_L2_MAX_BYTES_PER_CONNECTION="64", AERO_L2_MAX_FRAMES_PER_SECOND="2")
        ws = gw.ws("/l2", protocol=L2)
        ws.send(l2(FRAME, bytes(61)))
        self.assertEqual(self.close_of(ws), (1008, b"byte quota exceeded"))
        ws = gw.ws("/l2", protocol=L2)
        # three in one turn: not over a second's end but once in a while, so again until they are in one
        while True:
            ws.raw(ws.frame(1) * 3)
            try:
                code, why = self.close_of(ws, 9)
            except TimeoutError:
                continue
            self.assertEqual((code, why), (1008, b"frame rate quota exceeded"))
            break

    def close_of(self, ws, seconds=WAIT):
        ws.s.settimeout(seconds)
        while True:
            op, data = ws.recv()
            if op == 8:
                return struct.unpack(">H", data[:2])[0], data[2:]

    def test_a_guest_has_its_network(self):
        gw = self.start(AERO_L2_OPEN="1", AERO_L2_AUTH_MODE="none", AERO_L2_DNS_A="echo.local=203.0.113.10", AERO_L2_TCP_FORWARD=f"203.0.113.10:{echoes.port}=127.0.0.1:{echoes.port}")
        g = Guest(gw)
        g.dhcp()
        self.assertEqual(g.arp(ROUTER), ROUTER_MAC)
        self.assertEqual(g.lookup("echo.local"), (0, ["203.0.113.10"]))
        data = bytes(i & 255 for i in range(1800))
        t = g.tcp("203.0.113.10", echoes.port, mss=None)
        t.send(data, 1200)
        self.assertEqual(t.recv(len(data)), data)
        g.ws.close()
        wait_for("its session has ended", lambda: gw.metric("l2_sessions_active") == 0)
        self.assertEqual(gw.metric("l2_sessions_total"), 1)
        self.assertGreater(gw.metric("l2_bytes_rx_total"), 1800)


if __name__ == "__main__":
    unittest.main(verbosity=0)

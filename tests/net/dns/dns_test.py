#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The session's resolver between real clients (dig, kdig) and real servers (unbound, dnsmasq), and ones that misbehave."""
import base64, hashlib, os, queue, shutil, signal, socket, struct, subprocess, sys, tempfile, threading, time, unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lab"))
from event_file import read_event_file  # noqa: E402
from waiting import wait_for  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
HOST = os.environ["PROXY_HOST"].split()
TMP = tempfile.mkdtemp(prefix="dns-")
PORT = 15053
UNBOUND, NAME = "127.0.2.1", "resolver.test"
procs = []


def spawn(argv, **kw):
    p = subprocess.Popen(argv, **kw)
    procs.append(p)
    return p


# --- messages ---------------------------------------------------------------------------------------------------------

def wire_name(name):
    return b"".join(bytes([len(l)]) + l.encode() for l in name.split(".") if l) + b"\0"


def question(id, name, type=1, opt=b"", count=1):
    return struct.pack(">6H", id, 0x100, count, 0, 0, 1 if opt else 0) + (wire_name(name) + struct.pack(">2H", type, 1)) * count + opt


def opt(options=b"", version=0):
    return b"\0" + struct.pack(">2HI", 41, 1232, version << 16) + struct.pack(">H", len(options)) + options


def name_of(msg):
    labels, at = [], 12
    while n := msg[at]:
        labels.append(msg[at + 1:at + 1 + n].decode())
        at += 1 + n
    return ".".join(labels), at + 1


def records_of(msg):
    """(type, ttl, data) of the answer section of messages whose owners are pointers."""
    _, at = name_of(msg)
    at, out = at + 4, []
    for _ in range(struct.unpack(">H", msg[6:8])[0]):
        kind, _, ttl, n = struct.unpack(">2HIH", msg[at + 2:at + 12])
        out.append((kind, ttl, msg[at + 12:at + 12 + n]))
        at += 12 + n
    return out


def answer(query, *records, flags=0x8180, extra=b"", extra_count=0):
    """@records: (type, ttl, data) of the asked name."""
    _, end = name_of(query)
    body = b"".join(b"\xc0\x0c" + struct.pack(">2HIH", t, 1, ttl, len(d)) + d for t, ttl, d in records)
    return query[:2] + struct.pack(">5H", flags, 1, len(records), 0, extra_count) + query[12:end + 4] + body + extra


A = lambda addr, ttl=300: (1, ttl, socket.inet_aton(addr))


class Fake:
    """A resolver over UDP and TCP that does what @handler(query, send, tcp) says."""

    def __init__(self, addr, handler, udp=True):
        self.at, self.asked = addr + ":53", []
        self.handler = handler
        self.connections = 0
        if udp:
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.bind((addr, 53))
            threading.Thread(target=self.serve_udp, daemon=True).start()
        self.tcp = socket.socket()
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind((addr, 53))
        self.tcp.listen(64)
        threading.Thread(target=self.serve_tcp, daemon=True).start()

    def serve_udp(self):
        while True:
            q, a = self.udp.recvfrom(65536)
            self.asked.append(("udp", name_of(q)[0], q))
            self.handler(q, lambda m, a=a: self.udp.sendto(m, a), False)

    def serve_tcp(self):
        while True:
            c, _ = self.tcp.accept()
            self.connections += 1
            threading.Thread(target=self.serve_conn, args=(c,), daemon=True).start()

    def serve_conn(self, c):
        data = b""
        try:
            while more := c.recv(65536):
                data += more
                while len(data) >= 2 and len(data) >= 2 + (n := struct.unpack(">H", data[:2])[0]):
                    q, data = data[2:2 + n], data[2 + n:]
                    self.asked.append(("tcp", name_of(q)[0], q))
                    self.handler(q, lambda m: c.sendall(struct.pack(">H", len(m)) + m), True)
        except OSError:
            pass


# --- what is tested ---------------------------------------------------------------------------------------------------

class Resolver:
    """A session's resolver on an address of its own."""
    count = 0

    def __init__(self, *dns, args=(), env=None):
        Resolver.count += 1
        self.addr = f"127.0.3.{Resolver.count}"
        self.events_at = f"{TMP}/events{Resolver.count}.jsonl"
        self.proc = spawn([*HOST, "--policy", os.environ.get("DNS_POLICY", HERE + "/policy.lua"), "--udp", f"{self.addr}:53", "--tcp", str(PORT + Resolver.count),
                           "--map", f"{self.addr}=127.0.9.9:53", "--events", self.events_at,
                           *[x for d in dns for x in ("--dns", d)], *args], stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "SSL_CERT_FILE": TMP + "/ca.pem", **(env or {})})
        self.port = PORT + Resolver.count
        assert "ready" in self.proc.stdout.readline()

    def stop(self):
        self.proc.send_signal(signal.SIGTERM)
        assert self.proc.wait(120) == 0

    def dig(self, *args):
        return subprocess.run(["dig", "@" + self.addr, "+time=60", "+tries=1", *args], capture_output=True, text=True).stdout

    def kdig(self, *args):
        return subprocess.run(["kdig", "@" + self.addr, "+timeout=60", "+retry=0", *args], capture_output=True, text=True).stdout

    def short(self, *args):
        return self.dig("+short", *args).split()

    def raw(self, msg):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(60)
        s.connect((self.addr, 53))
        s.send(msg)
        return s.recv(65536)

    def tcp(self):
        s = socket.create_connection((self.addr, self.port), 60)
        return s

    def events(self, type, **want):
        flat = [{**e, **e.get("fields", {})} for e in read_event_file(self.events_at)]
        return [e for e in flat if e["type"] == type and all(e.get(k) == v for k, v in want.items())]

    def event(self, type, **want):
        return wait_for(f"event {type} {want}", lambda: self.events(type, **want))[-1]


def send_tcp(s, *msgs):
    s.sendall(b"".join(struct.pack(">H", len(m)) + m for m in msgs))


def recv_tcp(s, count):
    data, out = b"", []
    while len(out) < count:
        more = s.recv(65536)
        assert more, "the connection ended"
        data += more
        while len(data) >= 2 and len(data) >= 2 + (n := struct.unpack(">H", data[:2])[0]):
            out.append(data[2:2 + n])
            data = data[2 + n:]
    return out


def openssl(*args):
    return subprocess.run(["openssl", *args], check=True, capture_output=True).stdout


def make_certificates():
    """An authority that the resolvers under test trust, and a certificate of it for the server's name and address."""
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", TMP + "/ca.key",
            "-out", TMP + "/ca.pem", "-subj", "/CN=test authority", "-days", "2")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", TMP + "/key.pem",
            "-out", TMP + "/req.pem", "-subj", "/CN=" + NAME)
    open(TMP + "/ext", "w").write(f"subjectAltName=DNS:{NAME},IP:{UNBOUND}\n")
    openssl("x509", "-req", "-in", TMP + "/req.pem", "-CA", TMP + "/ca.pem", "-CAkey", TMP + "/ca.key", "-CAcreateserial",
            "-out", TMP + "/cert.pem", "-days", "2", "-extfile", TMP + "/ext")


def pin():
    key = openssl("x509", "-in", TMP + "/cert.pem", "-pubkey", "-noout")
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key, check=True, capture_output=True).stdout
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


def setUpModule():
    make_certificates()
    many = "".join(f'  local-data: \'big.test. TXT "{"x" * 200}{i}"\'\n' for i in range(20))
    open(TMP + "/unbound.conf", "w").write(f"""server:
  directory: "{TMP}"
  chroot: ""
  username: ""
  pidfile: "{TMP}/unbound.pid"
  use-syslog: no
  verbosity: 1
  do-daemonize: no
  num-threads: 1
  interface: {UNBOUND}@53
  interface: {UNBOUND}@853
  interface: {UNBOUND}@443
  tls-service-key: "{TMP}/key.pem"
  tls-service-pem: "{TMP}/cert.pem"
  access-control: 127.0.0.0/8 allow
  answer-cookie: no
  local-zone: "test." static
  local-data: "plain.test. 300 A 192.0.2.1"
  local-data: "other.test. 300 A 192.0.2.2"
  local-data: "plain.test. 300 AAAA 2001:db8::1"
  local-data: "odd.test. 300 TYPE65280 \\# 4 01020304"
{many}remote-control:
  control-enable: no
""".replace("  answer-cookie: no\n", ""))
    log = open(TMP + "/unbound.log", "w")
    spawn(["/usr/sbin/unbound", "-d", "-c", TMP + "/unbound.conf"], stdout=log, stderr=log)

    def up(port):
        return lambda: socket.socket().connect_ex((UNBOUND, port)) == 0
    try:
        for port in (53, 853, 443):
            wait_for(f"unbound on {port}", up(port))
    except AssertionError:
        print(open(TMP + "/unbound.log").read())
        raise


def tearDownModule():
    for p in procs:
        p.kill()
        p.wait()
    if os.environ.get("DNS_TEST_LOG"):
        print(open(TMP + "/unbound.log").read())
    shutil.rmtree(TMP, ignore_errors=True)


class Wire(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.held = {}

        def handler(q, send, tcp):
            name = name_of(q)[0].lower()
            if name.startswith("slow"):
                cls.held[name] = (q, send)
                return
            send(answer(q, A("192.0.2.9")))
            if name == "release.test":
                for q, send in cls.held.values():
                    send(answer(q, A("192.0.2.10")))
        cls.fake = Fake("127.0.2.10", handler)
        cls.r = Resolver(cls.fake.at)
        cls.u = Resolver(UNBOUND)

    @classmethod
    def tearDownClass(cls):
        cls.r.stop()
        cls.u.stop()

    def test_answers_over_tcp_come_as_they_are_ready(self):
        s = self.r.tcp()
        send_tcp(s, question(1, "slow.test"), question(2, "fast.test"))
        self.assertEqual([m[1] for m in recv_tcp(s, 1)], [2])
        send_tcp(s, question(3, "release.test"))
        self.assertEqual(sorted(m[1] for m in recv_tcp(s, 2)), [1, 3])

    def test_a_client_gets_its_cookie_back_and_the_resolver_sees_another(self):
        out = self.r.dig("cookie.test", "+cookie=0102030405060708")
        self.assertRegex(out, r"COOKIE: 0102030405060708[0-9a-f]{16} \(good\)")
        q = next(q for _, name, q in self.fake.asked if name == "cookie.test")
        self.assertIn(b"\0\x0a\0\x08", q)
        self.assertNotIn(bytes(range(1, 9)), q)
        self.assertIn("COOKIE", self.u.kdig("plain.test", "+cookie"))

    def test_a_server_cookie_is_sent_with_the_next_question(self):
        def handler(q, send, tcp):
            own = q[q.index(b"\0\x0a\0") + 4:][:8]
            send(answer(q, A("192.0.2.3"), extra=opt(b"\0\x0a\0\x10" + own + b"serverck"), extra_count=1))
        f = Fake("127.0.2.11", handler)
        r = Resolver(f.at)
        self.assertEqual(r.short("one.test") + r.short("two.test"), ["192.0.2.3"] * 2)
        self.assertNotIn(b"serverck", f.asked[0][2])
        self.assertIn(b"serverck", f.asked[1][2])
        r.stop()

    def test_an_answer_with_a_strange_cookie_is_not_believed(self):
        def handler(q, send, tcp):
            send(answer(q, A("192.0.2.66"), extra=opt(b"\0\x0a\0\x10" + b"guessed!" + b"serverck"), extra_count=1))
            send(answer(q, A("192.0.2.3")))
        r = Resolver(Fake("127.0.2.12", handler).at)
        self.assertEqual(r.short("one.test"), ["192.0.2.3"])
        r.stop()

    def test_a_server_that_wants_a_better_cookie_is_asked_by_tcp(self):
        def handler(q, send, tcp):
            bad = b"\0" + struct.pack(">2HIH", 41, 1232, 1 << 24, 0)
            send(answer(q, A("192.0.2.4")) if tcp else answer(q, flags=0x8187, extra=bad, extra_count=1))
        r = Resolver(Fake("127.0.2.13", handler).at)
        self.assertEqual(r.short("one.test"), ["192.0.2.4"])
        r.stop()

    def test_an_unknown_version_of_edns_gets_badvers(self):
        self.assertIn("status: BADVERS", self.r.dig("plain.test", "+edns=5", "+noednsneg"))

    def test_the_clients_size_counts(self):
        # cookies aside: 20 strings of 200 bytes do not fit in any of these
        for size in ("512", "1232", "4096"):
            out = self.u.dig("big.test", "TXT", "+ignore", "+bufsize=" + size)
            self.assertIn("flags: qr tc", out)
            self.assertIn("ANSWER: 0", out)

    def test_a_truncated_answer_is_asked_for_again_by_tcp(self):
        self.assertIn("ANSWER: 20", self.u.dig("big.test", "TXT", "+tcp", "-p", str(self.u.port)))
        self.assertIn("ANSWER: 20", self.u.kdig("big.test", "TXT", "+tcp", "-p", str(self.u.port)))

    def test_any_and_unknown_types_pass(self):
        r = Resolver(Fake("127.0.2.14", lambda q, send, tcp: send(answer(q, A("192.0.2.1"), (28, 9, b"\x20" * 16),
                                                                        (65280, 9, b"\1\2")))).at)
        out = r.kdig("plain.test", "ANY", "+notcp")
        for text in ("192.0.2.1", "2020:2020", "TYPE65280\t\\# 2 0102"):
            self.assertIn(text, out)
        r.stop()
        self.assertEqual(self.u.short("odd.test", "TYPE65280"), ["\\#", "4", "01020304"])

    def test_any_of_a_name_that_is_answered_here_has_our_addresses_only(self):
        self.assertEqual(self.u.short("ours.test", "ANY", "+notcp"), ["10.0.0.7"])

    def test_letter_case_is_the_clients_even_if_the_server_changes_it(self):
        self.assertIn("PlAiN.tEsT.\t", self.u.dig("PlAiN.tEsT"))

    def test_several_questions_or_none_are_refused(self):
        for count in (0, 2, 3):
            self.assertEqual(self.r.raw(question(7, "plain.test", count=count))[3] & 15, 1, count)
        s = self.r.tcp()
        send_tcp(s, question(8, "plain.test", count=2))
        self.assertEqual(recv_tcp(s, 1)[0][3] & 15, 1)

    def test_a_malformed_cookie_is_a_format_error(self):
        self.assertEqual(self.r.raw(question(9, "plain.test", opt=opt(b"\0\x0a\0\x05abcde")))[3] & 15, 1)


class Upstreams(unittest.TestCase):
    def resolver(self, *dns, **kw):
        r = Resolver(*dns, **kw)
        self.addCleanup(r.stop)
        return r

    def check(self, upstream, shown):
        r = self.resolver(upstream)
        self.assertEqual(r.short("plain.test"), ["192.0.2.1"])
        self.assertEqual(r.short("plain.test", "AAAA"), ["2001:db8::1"])
        self.assertIn("status: NXDOMAIN", r.dig("missing.test"))
        self.assertIn("ANSWER: 20", r.dig("big.test", "TXT", "+tcp", "-p", str(r.port)))
        r.event("dns_query", domain="plain.test", qtype="A", upstream=shown)

    def test_tcp(self):
        self.check("tcp://" + UNBOUND, f"tcp://{UNBOUND}:53")

    def test_tls_with_the_address_in_the_certificate(self):
        self.check("tls://" + UNBOUND, f"tls://{UNBOUND}:853")

    def test_tls_with_a_name(self):
        self.check(f"tls://{NAME}#at={UNBOUND}", f"tls://{NAME}:853")

    def test_https(self):
        self.check(f"https://{NAME}/dns-query#at={UNBOUND}", f"https://{NAME}:443/dns-query")

    def test_a_certificate_for_another_name_is_refused(self):
        r = self.resolver(f"tls://wrong.test#at={UNBOUND}")
        self.assertRegex(r.dig("plain.test"), r"status: SERVFAIL(.|\n)*hostname mismatch")
        self.assertIn("hostname mismatch", r.event("dns_query", domain="plain.test", effective_action="failed")["error"])

    def test_an_authority_that_nobody_trusts_is_refused(self):
        for scheme in ("tls", "https"):
            r = self.resolver(f"{scheme}://{NAME}#at={UNBOUND}", env={"SSL_CERT_FILE": "/dev/null", "SSL_CERT_DIR": "/nowhere"})
            self.assertRegex(r.dig("plain.test"), r"status: SERVFAIL(.|\n)*issuer certificate")

    def test_a_pinned_key_stands_in_for_the_authority(self):
        nobody = {"SSL_CERT_FILE": "/dev/null", "SSL_CERT_DIR": "/nowhere"}
        r = self.resolver(f"tls://{UNBOUND}#pin={pin()}", env=nobody)
        self.assertEqual(r.short("plain.test"), ["192.0.2.1"])
        r = self.resolver(f"https://{NAME}#at={UNBOUND},pin={pin()}", env=nobody)
        self.assertEqual(r.short("plain.test"), ["192.0.2.1"])
        other = base64.b64encode(bytes(32)).decode()
        r = self.resolver(f"tls://{UNBOUND}#pin={other}")
        self.assertRegex(r.dig("plain.test"), r"status: SERVFAIL(.|\n)*not the pinned one")

    def test_a_path_that_is_no_resolver_is_an_http_error(self):
        r = self.resolver(f"https://{NAME}/elsewhere#at={UNBOUND}")
        self.assertRegex(r.dig("plain.test"), r"status: SERVFAIL(.|\n)*HTTP status 404")

    def test_many_questions_share_one_connection(self):
        f = Fake("127.0.2.20", lambda q, send, tcp: send(answer(q, A("192.0.2.5"))))
        r = self.resolver("tcp://" + f.at)
        for i in range(20):
            self.assertEqual(r.short(f"n{i}.test"), ["192.0.2.5"])
        self.assertEqual(f.connections, 1)
        self.assertEqual({t for t, _, _ in f.asked}, {"tcp"})

    def test_answers_of_a_shared_connection_may_come_in_any_order(self):
        held = []

        def handler(q, send, tcp):
            held.append(q)
            if len(held) == 10:
                for q in reversed(held):
                    send(answer(q, A("192.0.2." + name_of(q)[0][1:2])))
        r = self.resolver("tcp://" + Fake("127.0.2.21", handler).at)
        s = r.tcp()
        send_tcp(s, *[question(i, f"n{i}.test") for i in range(10)])
        got = {m[1]: records_of(m)[0][2][3] for m in recv_tcp(s, 10)}
        self.assertEqual(got, {i: i for i in range(10)})

    def test_a_connection_that_was_closed_while_idle_is_made_again(self):
        conns = []
        f = Fake("127.0.2.22", lambda q, send, tcp: send(answer(q, A("192.0.2.5"))))
        serve = f.serve_conn

        def one_answer(c):
            conns.append(c)
            serve(c)
        f.serve_conn = one_answer
        r = self.resolver("tcp://" + f.at)
        for i in range(5):
            self.assertEqual(r.short(f"n{i}.test"), ["192.0.2.5"])
            conns[-1].shutdown(socket.SHUT_RDWR)
        self.assertEqual(len(conns), f.connections)
        self.assertGreaterEqual(f.connections, 5)

    def test_a_dead_server_gives_way_and_then_rests(self):
        silent = Fake("127.0.2.23", lambda q, send, tcp: None)
        good = Fake("127.0.2.24", lambda q, send, tcp: send(answer(q, A("192.0.2.6"))))
        r = self.resolver(silent.at, good.at, args=("--dns-ms", "60000"))
        for i in range(8):
            self.assertEqual(r.short(f"n{i}.test"), ["192.0.2.6"])
        # late three times, then left alone for a while: how long a while is, the machine decides
        self.assertGreaterEqual(len(silent.asked), 3)
        self.assertLess(len(silent.asked), 8)
        self.assertEqual(len(good.asked), 8)

    def test_the_first_answer_of_a_race_counts(self):
        late = []
        slow = Fake("127.0.2.25", lambda q, send, tcp: late.append((q, send)))

        def second(q, send, tcp):
            if name_of(q)[0] == "first.test":  # the slow one wins after all
                wait_for("the first is asked", lambda: late)
                late[0][1](answer(late[0][0], A("192.0.2.7")))
            else:
                send(answer(q, A("192.0.2.8")))
        r = self.resolver(slow.at, Fake("127.0.2.26", second).at, args=("--dns-ms", "60000"))
        self.assertEqual(r.short("first.test"), ["192.0.2.7"])
        self.assertEqual(r.short("second.test"), ["192.0.2.8"])
        r.event("dns_query", domain="first.test", upstream=slow.at)

    def test_a_server_that_refuses_gives_way_and_the_last_refusal_is_told(self):
        refusing = Fake("127.0.2.27", lambda q, send, tcp: send(answer(q, flags=0x8185)))
        failing = Fake("127.0.2.28", lambda q, send, tcp: send(answer(q, flags=0x8182)))
        r = self.resolver(refusing.at, UNBOUND)
        self.assertEqual(r.short("plain.test"), ["192.0.2.1"])
        r = self.resolver(failing.at, refusing.at)
        self.assertIn("status: REFUSED", r.dig("plain.test"))

    def test_fail_over_from_tls_to_another_server(self):
        r = self.resolver(f"tls://wrong.test#at={UNBOUND}", f"https://{NAME}#at={UNBOUND}")
        self.assertEqual(r.short("plain.test"), ["192.0.2.1"])

    def test_a_server_that_sends_rubbish_over_tcp_is_left(self):
        def handler(q, send, tcp):
            send(q[:2] + os.urandom(40))
        r = self.resolver("tcp://" + Fake("127.0.2.29", handler).at, UNBOUND)
        self.assertEqual(r.short("plain.test"), ["192.0.2.1"])

    def test_a_server_that_only_sends_wrong_answers_is_left(self):
        def handler(q, send, tcp):
            for _ in range(100):
                send(os.urandom(2) + answer(q, A("192.0.2.66"))[2:])
        r = self.resolver(Fake("127.0.2.30", handler).at, UNBOUND)
        self.assertEqual(r.short("plain.test"), ["192.0.2.1"])


class Cache(unittest.TestCase):
    """The resolvers' behaviour changes between questions: what is seen is who was asked, never how long it took."""

    def setUp(self):
        Cache.count = getattr(Cache, "count", 39) + 1
        self.reply = lambda q, send, tcp: send(answer(q, A("192.0.2.1", 600)))
        self.fake = Fake(f"127.0.2.{Cache.count}", lambda q, send, tcp: self.reply(q, send, tcp))

    def resolver(self, *args):
        r = Resolver(self.fake.at, args=args)
        self.addCleanup(r.stop)
        return r

    def asked(self, name):
        return sum(1 for _, n, _ in self.fake.asked if n.lower() == name)

    def test_a_second_question_is_answered_from_the_cache_in_its_own_case(self):
        r = self.resolver()
        self.assertEqual(r.short("www.test"), ["192.0.2.1"])
        out = r.dig("WwW.test")
        self.assertIn("192.0.2.1", out)
        self.assertIn("WwW.test.\t", out)
        self.assertLessEqual(int(out.split("WwW.test.\t")[-1].split()[0]), 600)
        self.assertEqual(self.asked("www.test"), 1)
        r.event("dns_query", domain="WwW.test", upstream="cache")
        r.dig("www.test", "AAAA")
        self.assertEqual(self.asked("www.test"), 2)

    def test_it_can_be_switched_off(self):
        r = self.resolver("--dns-cache", "off")
        for _ in range(3):
            r.short("www.test")
        self.assertEqual(self.asked("www.test"), 3)

    def test_a_name_that_does_not_exist_is_kept_if_the_server_says_how_long(self):
        r = self.resolver()
        soa = lambda q: b"\xc0\x0c" + struct.pack(">2HIH", 6, 1, 600, 22) + b"\0\0" + struct.pack(">5I", 1, 1, 1, 1, 300)

        def nxdomain(q, send, tcp):
            m = answer(q, flags=0x8183)
            send(m[:8] + b"\0\1" + m[10:] + soa(q))
        self.reply = nxdomain
        for _ in range(3):
            out = r.dig("missing.test")
            self.assertIn("status: NXDOMAIN", out)
            self.assertIn("SOA", out)
        self.assertEqual(self.asked("missing.test"), 1)
        self.reply = lambda q, send, tcp: send(answer(q, flags=0x8183))
        for _ in range(3):
            r.dig("nosoa.test")
        self.assertEqual(self.asked("nosoa.test"), 3)

    def test_an_answer_of_the_cache_is_judged_like_any_other(self):
        policy = f"{TMP}/cache{Cache.count}.lua"
        with open(policy, "w") as f:
            f.write("""return { name = "gate",
  dns = function(q)
    if q:is "target.test" and q.type == "A" and q.transport == "udp" then return deny "not by UDP" end
    if q:under "test" then return allow() end
  end,
  connect = function(c) if c:under "test" then return allow() end end }""")
        os.environ["DNS_POLICY"] = policy
        self.addCleanup(os.environ.pop, "DNS_POLICY")
        r = self.resolver()
        self.reply = lambda q, send, tcp: send(answer(q, (5, 600, b"\6target\4test\0")) if name_of(q)[0] == "alias.test"
                                               else answer(q, A("192.0.2.1", 600)))
        tcp = ("+tcp", "-p", str(r.port))
        # kept by questions that may be asked ...
        self.assertEqual(r.short("target.test", *tcp), ["192.0.2.1"])
        self.assertIn("target.test", r.dig("alias.test", *tcp))
        # ... and no way around for those that may not
        self.assertIn("status: REFUSED", r.dig("target.test"))
        self.assertIn("status: REFUSED", r.dig("alias.test"))
        self.assertEqual(self.asked("target.test"), 1)

    def test_an_expired_answer_is_better_than_none_if_that_is_wanted(self):
        r = self.resolver("--dns-stale", "3600")
        self.reply = lambda q, send, tcp: send(answer(q, A("192.0.2.1", 1)))
        self.assertEqual(r.short("www.test"), ["192.0.2.1"])
        self.reply = lambda q, send, tcp: send(answer(q, flags=0x8182))
        out = wait_for("expired", lambda: "EDE: 3" in (o := r.dig("www.test")) and o)
        self.assertRegex(out, r"www\.test\.\t+30\tIN\tA\t192\.0\.2\.1")
        self.assertIn("status: SERVFAIL", r.dig("never.test"))

    def test_a_silent_resolver_is_not_waited_for_to_its_end(self):
        r = self.resolver("--dns-stale", "3600", "--dns-ms", "300000")
        self.reply = lambda q, send, tcp: send(answer(q, A("192.0.2.1", 1)))
        self.assertEqual(r.short("www.test"), ["192.0.2.1"])
        held = []
        self.reply = lambda q, send, tcp: held.append((q, send))
        out = wait_for("expired", lambda: "EDE: 3" in (o := r.dig("www.test")) and o)
        self.assertIn("192.0.2.1", out)
        # the answer that came too late for that client serves the next
        self.reply = lambda q, send, tcp: None
        for q, send in held:
            send(answer(q, A("192.0.2.77", 600)))
        wait_for("the fresh answer is kept", lambda: r.short("www.test") == ["192.0.2.77"])

    def test_without_that_wish_nothing_expired_is_given(self):
        r = self.resolver()
        self.reply = lambda q, send, tcp: send(answer(q, A("192.0.2.1", 1)))
        self.assertEqual(r.short("www.test"), ["192.0.2.1"])
        self.reply = lambda q, send, tcp: send(answer(q, flags=0x8182))
        wait_for("expired", lambda: "status: SERVFAIL" in r.dig("www.test"))

    def test_names_of_kept_answers_are_tied_to_their_addresses_again(self):
        server = socket.socket()
        server.bind(("127.0.2.99", 0))
        server.listen(4)
        r = self.resolver()
        self.reply = lambda q, send, tcp: send(answer(q, A("127.0.2.99", 600)))
        for name in ("one.test", "one.test"):
            self.assertEqual(r.short(name), ["127.0.2.99"])
        wait_for("both events", lambda: len(r.events("dns_query", domain="one.test", ips=["127.0.2.99"])) == 2)


class Rebinding(unittest.TestCase):
    def test_addresses_that_connect_denies_are_left_out(self):
        policy = f"{TMP}/rebind.lua"
        with open(policy, "w") as f:
            f.write("""return { name = "lan",
  dns = function(q) if q:under "test" then return allow() end end,
  connect = function(c)
    if c:to_private() and not c:under "lan.test" then return deny "no way into the network here" end
    if c:under "test" then return allow() end
  end }""")
        os.environ["DNS_POLICY"] = policy
        self.addCleanup(os.environ.pop, "DNS_POLICY")
        fake = Fake("127.0.2.70", lambda q, send, tcp: send(answer(q, A("10.0.0.1"), A("1.1.1.1"), A("169.254.169.254"))
                                                             if "only" not in name_of(q)[0] else answer(q, A("127.0.0.1"))))
        r = Resolver(fake.at)
        for _ in range(2):  # fresh, then out of the cache
            out = r.dig("rebind.test")
            self.assertEqual(r.short("rebind.test"), ["1.1.1.1"])
            self.assertIn("EDE: 17 (Filtered)", out)
            self.assertEqual(r.short("only.rebind.test"), [])
            self.assertEqual(len(r.short("host.lan.test")), 3)
        self.assertEqual(r.event("dns_query", domain="rebind.test")["ips"], ["1.1.1.1"])
        r.stop()


class Answers(unittest.TestCase):
    """dns_answer, and the signs of data in names."""
    POLICY = """
      return { name = "answers",
        dns = function(q)
          if q:under "words.example" and q.domain == "words.example" then
            if #q.name > 60 and q.entropy and q.entropy > 380 then return deny "looks like data" end
            return allow()
          end
          if q:under "volume.example" then
            if counter("names", q.domain):over(3000, "1h", #q.name) then return deny "too much" end
            return allow()
          end
          if q:under "test" then return allow() end
        end,
        dns_answer = function(q, a)
          if a.private and not q:under "lan.test" then return deny { reason = "a private address", rcode = "NXDOMAIN" } end
          for _, alias in ipairs(a.aliases or {}) do
            if alias == "tracker.example" then return deny("through " .. alias) end
          end
          if a.rcode == "NXDOMAIN" and q.type == "TXT" then return deny "no probing" end
        end,
        connect = function(c) if c:under "test" then return allow() end end }"""

    @classmethod
    def setUpClass(cls):
        def handler(q, send, tcp):
            name = name_of(q)[0].lower()
            if name.startswith("rebind") or "lan.test" in name:
                send(answer(q, A("1.1.1.1"), A("192.168.1.1")))
            elif name.startswith("alias"):
                send(answer(q, (5, 600, b"\7tracker\7example\0")))
            elif name.startswith("missing"):
                send(answer(q, flags=0x8183))
            else:
                send(answer(q, A("1.1.1.1")))
        with open(TMP + "/answers.lua", "w") as f:
            f.write(cls.POLICY)
        os.environ["DNS_POLICY"] = TMP + "/answers.lua"
        cls.fake = Fake("127.0.2.80", handler)
        cls.r = Resolver(cls.fake.at)
        del os.environ["DNS_POLICY"]

    @classmethod
    def tearDownClass(cls):
        cls.r.stop()

    def test_a_private_address_of_a_public_name_is_refused_fresh_and_kept(self):
        for _ in range(2):
            out = self.r.dig("rebind.test")
            self.assertIn("status: NXDOMAIN", out)
            self.assertRegex(out, r"EDE: 15 \(Blocked\).*a private address.*dns_answer")
            self.assertNotIn("192.168.1.1", out)
            self.assertEqual(len(self.r.short("host.lan.test")), 2)
        e = self.r.event("dns_query", domain="rebind.test")
        self.assertEqual((e["effective_action"], e["policy"]["rule"]), ("blocked", "dns_answer()"))

    def test_an_alias_can_be_refused_by_the_hook(self):
        self.assertRegex(self.r.dig("alias.test"), r"status: REFUSED(.|\n)*through tracker.example")

    def test_other_answers_pass_and_what_nobody_minds_is_told(self):
        self.assertEqual(self.r.short("plain.test"), ["1.1.1.1"])
        self.assertIn("status: NXDOMAIN", self.r.dig("missing.test"))
        self.assertIn("status: REFUSED", self.r.dig("missing.test", "TXT"))

    def test_names_that_carry_data_are_told_from_words(self):
        self.assertEqual(self.r.short("www.words.example"), ["1.1.1.1"])
        self.assertEqual(self.r.short("a.rather.long.name.made.of.ordinary.words.in.many.labels.words.example"), ["1.1.1.1"])
        data = base64.b32encode(hashlib.sha256(b"secret").digest()).decode().rstrip("=").lower()
        asked = len(self.fake.asked)
        self.assertRegex(self.r.dig(f"{data}.x.words.example"), r"status: REFUSED(.|\n)*looks like data")
        self.assertEqual(len(self.fake.asked), asked)

    def test_a_counter_tells_how_much_was_said_to_a_domain(self):
        passed = 0
        while "status: NOERROR" in (out := self.r.dig(f"{'x' * 40}{passed}.volume.example")):
            passed += 1
            self.assertLess(passed, 100)
        self.assertIn("too much", out)
        self.assertGreater(passed, 10)


if __name__ == "__main__":
    unittest.main(verbosity=1, warnings="ignore")

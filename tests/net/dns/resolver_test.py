#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""moonfence resolver on loopback: real clients by UDP, TCP and HTTPS, the JSON form, clients that are not what they should be."""
import atexit, base64, http.server, json, os, pwd, shutil, signal, socket, ssl, struct, subprocess, sys, tempfile, threading, time, unittest

HERE = os.path.dirname(os.path.abspath(__file__))
MOONFENCE = os.environ["MOONFENCE"]
TMP = tempfile.mkdtemp(prefix="resolver-")
CERT, KEY = TMP + "/cert.pem", TMP + "/key.pem"


def wire_name(name):
    return b"".join(bytes([len(l)]) + l.encode() for l in name.split(".") if l) + b"\0"


def question(name, type=1, id=0, count=1):
    return struct.pack(">6H", id, 0x100, count, 0, 0, 0) + (wire_name(name) + struct.pack(">2H", type, 1)) * count


def end_of_question(msg):
    at = 12
    while msg[at]:
        at += 1 + msg[at]
    return at + 5


def b64(msg):
    return base64.urlsafe_b64encode(msg).rstrip(b"=").decode()


class Upstream:
    """Answers A with 192.0.2.1 and a TTL of 300; slow.example only when it is let."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.at = "127.0.0.1:%d" % self.sock.getsockname()[1]
        self.asked, self.go = [], threading.Event()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            q, peer = self.sock.recvfrom(4096)
            self.asked.append(q)
            threading.Thread(target=self.answer, args=(q, peer), daemon=True).start()

    def answer(self, q, peer):
        end = end_of_question(q)
        if b"\x04slow" in q:
            self.go.wait(120)
        text = b"\x0b\"back\\slash\x05tab\t\xff"
        record = {1: socket.inet_aton("192.0.2.1"), 16: text, 15: b"\0\x0a\x04mail\xc0\x0c", 65: b"\0\1\0"}.get(q[end - 3])
        body = b"\xc0\x0c" + q[end - 4:end] + struct.pack(">IH", 300, len(record)) + record if record else b""
        self.sock.sendto(q[:2] + struct.pack(">5H", 0x8180, 1, 1 if record else 0, 0, 0) + q[12:end] + body, peer)


class Resolver:
    def __init__(self, *args):
        self.events = tempfile.mktemp(dir=TMP)
        self.p = subprocess.Popen([MOONFENCE, "resolver", "--listen", "127.0.0.1:0", "--doh", "127.0.0.1:0", "--events", self.events,
                                   "--policy", TMP + "/resolver.lua", "--dns", upstream.at, *args], stdout=subprocess.PIPE, text=True)
        atexit.register(self.p.kill)
        lines = [self.p.stdout.readline().strip() for _ in range(2)]
        assert lines[0].startswith("dns "), lines
        self.port = int(lines[0].rsplit(":", 1)[1])
        self.url = lines[1]
        self.http = int(self.url.split(":")[2].split("/")[0])

    def dig(self, *args, tool="dig"):
        r = subprocess.run([tool, "@127.0.0.1", *args], capture_output=True, text=True, timeout=120)
        return r.stdout + r.stderr

    def curl(self, path, *args):
        r = subprocess.run(["curl", "-sS", "-i", "--cacert", CERT, "--max-time", "120", *args, self.url.rsplit("/", 1)[0] + path],
                           capture_output=True, timeout=150)
        assert r.returncode == 0, (path, r.stderr)
        head, _, body = r.stdout.partition(b"\r\n\r\n")
        while head.split(b" ")[1] == b"100":
            head, _, body = body.partition(b"\r\n\r\n")
        fields = dict(l.split(": ", 1) for l in head.decode().split("\r\n")[1:])
        return int(head.split(b" ")[1]), {k.lower(): v for k, v in fields.items()}, body

    def raw(self, *parts):
        """One cleartext connection: what came back until its end."""
        with socket.create_connection(("127.0.0.1", self.http), 120) as s:
            for part in parts:
                try:
                    s.sendall(part)
                except OSError:
                    break
            out = b""
            try:
                while more := s.recv(65536):
                    out += more
            except ConnectionError:
                pass
            return out

    def stop(self):
        self.p.terminate()
        self.p.stdout.close()
        return self.p.wait(120)


upstream = Upstream()


def wait_for(what, check):
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if r := check():
            return r
        time.sleep(0.01)
    raise AssertionError("did not happen: " + what)


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tls = Resolver("--tls", f"{CERT},{KEY}")
        cls.plain = Resolver()

    @classmethod
    def tearDownClass(cls):
        for r in (cls.tls, cls.plain):
            assert r.stop() == 0

    def test_dig(self):
        for args, want in (((), "192.0.2.17"), (("+tcp",), "192.0.2.6")):
            self.assertEqual(self.tls.dig("-p", str(self.tls.port), "how.example", "+short", *args).strip(), want)
        for arg in ("+https", "+https-get"):
            self.assertEqual(self.tls.dig("-p", str(self.tls.http), arg, "how.example", "+short").strip(), "192.0.2.8")
        for arg in ("+http-plain", "+http-plain-get"):
            self.assertEqual(self.plain.dig("-p", str(self.plain.http), arg, "how.example", "+short").strip(), "192.0.2.8")
        out = self.tls.dig("-p", str(self.tls.port), "www.denied.example")
        self.assertIn("status: REFUSED", out)
        self.assertIn("not this one", out)
        self.assertIn("192.0.2.1", self.tls.dig("-p", str(self.tls.http), "+https", "www.example", "A"))

    @unittest.skipUnless(shutil.which("kdig"), "kdig is not installed")
    def test_kdig(self):
        for arg in ("+https", "+https-get"):
            self.assertEqual(self.tls.dig("-p", str(self.tls.http), arg, "how.example", "+short", tool="kdig").strip(), "192.0.2.8")

    def test_curl_resolves_by_it(self):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
        server.RequestHandlerClass.log_message = lambda *a: None
        threading.Thread(target=server.serve_forever, daemon=True).start()
        r = subprocess.run(["curl", "-sS", "-o", os.devnull, "-w", "%{http_code}", "--doh-url", self.tls.url, "--doh-insecure",
                            f"http://here.example:{server.server_address[1]}/"], capture_output=True, text=True, timeout=120)
        server.shutdown()
        server.server_close()
        self.assertEqual(r.stdout, "200", r.stderr)

    def test_messages(self):
        q = question("www.example", id=0xabcd)
        for args in (["--http1.1"], ["--http2"]):
            for path, more in ((f"/dns-query?dns={b64(q)}", []),
                               ("/dns-query", ["-H", "Content-Type: application/dns-message", "--data-binary", "@" + TMP + "/q"])):
                with open(TMP + "/q", "wb") as f:
                    f.write(q)
                status, fields, body = self.tls.curl(path, *args, *more)
                self.assertEqual((status, fields["content-type"]), (200, "application/dns-message"))
                self.assertEqual((body[:2], body[-4:]), (q[:2], socket.inet_aton("192.0.2.1")))
                self.assertRegex(fields["cache-control"], "^private, max-age=(300|2[0-9][0-9])$")
        # GET and HEAD, a refusal is an answer that is not kept
        status, fields, body = self.plain.curl(f"/dns-query?dns={b64(q)}", "--head")
        self.assertEqual((status, body), (200, b""))
        status, fields, body = self.plain.curl(f"/dns-query?dns={b64(question('denied.example'))}")
        self.assertEqual((status, body[3] & 15, fields["cache-control"]), (200, 5, "no-store"))

    def test_json(self):
        for path in ("/resolve", "/dns-query", "/dns-json"):
            status, fields, body = self.tls.curl(path + "?name=here.example&type=a")
            self.assertEqual((status, fields["content-type"], fields["cache-control"]), (200, "application/dns-json", "private, max-age=77"))
            self.assertEqual(json.loads(body), {
                "Status": 0, "TC": False, "RD": True, "RA": True, "AD": False, "CD": False, "Question": [{"name": "here.example.", "type": 1}],
                "Answer": [{"name": "here.example.", "type": 1, "TTL": 77, "data": "127.0.0.1"}]})
        ask = lambda query: json.loads(self.plain.curl("/resolve?" + query)[2])
        a = ask("name=denied.example.&type=28&edns_client_subnet=192.0.2.0/24")
        self.assertEqual((a["Status"], a["Question"][0]["type"], a["edns_client_subnet"]), (5, 28, "0.0.0.0/0"))
        self.assertIn("not this one", a["Comment"])
        self.assertTrue(ask("name=www.example&cd=1&do=true")["CD"])
        self.assertEqual(ask("name=www.example&type=MX")["Answer"][0]["data"], "10 mail.www.example.")
        self.assertEqual(ask("name=www.example&type=TYPE16")["Answer"][0]["data"], '"\\"back\\\\slash" "tab\\009\\255"')
        self.assertEqual(ask("name=www.example&type=65")["Answer"][0]["data"], "\\# 3 000100")
        body = self.plain.curl("/resolve?name=here.example&ct=application/dns-message")[2]
        self.assertIn(b"\0\4" + socket.inet_aton("127.0.0.1"), body)

    def test_refused(self):
        q = question("www.example")
        for path, want in (("/dns-query", 400), ("/dns-query?dns=", 400), ("/dns-query?dns=A", 400), ("/dns-query?dns=AB==", 400),
                           (f"/dns-query?dns={b64(q)}=", 400), (f"/dns-query?dns={b64(q)}&name=a", 400),
                           (f"/dns-query?dns={b64(q)}&dns={b64(q)}", 400), ("/dns-query?dns=AB", 400), ("/dns-query?dns=%41%41%41%41", 400),
                           (f"/dns-query?dns={b64(q[:-1])}", 400), (f"/dns-query?dns={b64(q[:11])}", 400),
                           (f"/dns-query?dns={b64(question('a.example', count=2))}", 400), (f"/dns-query?dns={b64(question('a', count=0))}", 400),
                           (f"/dns-query?dns={b64(q[:2] + bytes([q[2] | 0x80]) + q[3:])}", 400),
                           ("/resolve", 400), ("/resolve?name=", 400), ("/resolve?name=a..b", 400), ("/resolve?name=" + "a" * 64, 400),
                           ("/resolve?name=a&type=", 400), ("/resolve?name=a&type=65536", 400), ("/resolve?name=a&type=-1", 400),
                           ("/resolve?name=a&type=NONE", 400), ("/resolve?name=a&do=2", 400), ("/resolve?name=a&name=b", 400),
                           ("/resolve?name=a%00b", 400), ("/resolve?name=a&ct=text/html", 400), ("/", 404), ("/dns-query/", 404)):
            with self.subTest(path=path):
                self.assertEqual(self.plain.curl(path)[0], want)
                self.assertEqual(self.tls.curl(path, "--http2")[0], want)
        status, fields, body = self.plain.curl(f"/dns-query?dns={b64(question('a.example', id=7, count=2))}")
        self.assertEqual((status, fields["content-type"], body[:2], body[3] & 15), (400, "application/dns-message", b"\0\7", 1))
        # another opcode is a question, and not one that is served
        status, _, body = self.plain.curl(f"/dns-query?dns={b64(q[:2] + bytes([q[2] | 0x28]) + q[3:])}")
        self.assertEqual((status, body[3] & 15), (200, 4))
        for args, want in ((["-X", "PUT"], 405), (["--data-binary", "x"], 415), (["-H", "Content-Type:", "--data-binary", "x"], 415),
                           (["-H", "Content-Type: application/dns-message", "--data-binary", "x"], 400)):
            for r in (self.plain, self.tls):
                self.assertEqual(r.curl("/dns-query", *args)[0], want, args)
        with open(TMP + "/huge", "wb") as f:
            f.truncate(1 << 20)
        for r, how in ((self.plain, "--http1.1"), (self.tls, "--http2")):
            self.assertEqual(r.curl("/dns-query", how, "-H", "Content-Type: application/dns-message", "-H", "Expect:",
                                    "--data-binary", "@" + TMP + "/huge")[0], 413)
        self.assertEqual(self.plain.curl("/dns-query?dns=" + "A" * 30000)[0], 414)
        self.assertIn(self.tls.curl("/dns-query?dns=" + "A" * 30000, "--http2")[0], (414, 431))

    def test_hostile(self):
        self.assertIn(b" 400 ", self.plain.raw(b"\0" * 100 + b"\r\n\r\n"))
        self.assertEqual(self.plain.raw(b"\x16\x03\x01\x02\x00\x01\x00" + b"\r\n\r\n")[9:12], b"400")
        # two servers could read this in two ways
        self.assertEqual(self.plain.raw(b"POST /dns-query HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
                         .count(b"HTTP/1.1"), 1)
        # a wrong preface, frames that are none, streams that are taken back for ever
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        self.plain.raw(preface[:-1] + b"x", b"\0" * 64)
        self.plain.raw(preface, b"\xff" * 1000)
        frame = lambda kind, flags, stream, data=b"": struct.pack(">I", len(data))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + data
        head = b"\x82\x86\x44\x08/resolve\x41\x01a"
        start = preface + frame(4, 0, 0)
        out = self.plain.raw(start, *(frame(1, 4, s, head) + frame(3, 0, s, struct.pack(">I", 8)) for s in range(1, 2001, 2)))
        self.assertIn(frame(7, 0, 0)[3:4], out)
        out = self.plain.raw(start, *(frame(6, 0, 0, b"12345678") for _ in range(20000)), b"\xff" * 20000)
        # it serves on
        self.assertEqual(self.plain.curl("/resolve?name=here.example")[0], 200)

    def test_leaving(self):
        """Clients that do not wait: their questions end with them, the others get their answers."""
        upstream.go.clear()
        left = []
        for i in range(20):
            s = socket.create_connection(("127.0.0.1", self.plain.http))
            s.sendall(b"GET /resolve?name=slow%d.slow.example HTTP/1.1\r\nHost: a\r\n\r\n" % i)
            left.append(s)
        wait_for("the upstream is asked", lambda: sum(b"\x04slow" in q for q in upstream.asked) >= 20)
        for s in left[1:]:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()
        upstream.go.set()
        self.assertIn(b"192.0.2.1", left[0].recv(4096))
        left[0].close()

    def test_pipelined_tcp(self):
        with socket.create_connection(("127.0.0.1", self.plain.port), 120) as s:
            names = ["how.example", "here.example", "www.example"]
            for i, name in enumerate(names):
                q = question(name, id=i + 1)
                s.sendall(struct.pack(">H", len(q)) + q)
            s.shutdown(socket.SHUT_WR)
            data = b""
            while more := s.recv(4096):
                data += more
        ids = set()
        while data:
            n = struct.unpack(">H", data[:2])[0]
            ids.add(data[3])
            data = data[2 + n:]
        self.assertEqual(ids, {1, 2, 3})

    def test_datagrams_at_once(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(120)
            s.connect(("127.0.0.1", self.plain.port))
            for i in range(100):
                s.send(question("how.example", id=i))
            s.send(b"short")
            s.send(b"\0" * 5000)
            self.assertEqual({struct.unpack(">H", s.recv(4096)[:2])[0] for _ in range(100)}, set(range(100)))


    def test_every_question_counts_once(self):
        for kind in ("A", "AAAA", "HTTPS", "ANY", "TXT"):
            said = ["status: NOERROR" in self.plain.dig("-p", str(self.plain.port), "+tcp", "once.counted.example", kind) for _ in range(7)]
            self.assertEqual(said, [True] * 5 + [False] * 2, kind)


class Life(unittest.TestCase):
    def test_what_follows_from_a_name_is_remembered_with_it(self):
        r = Resolver()
        for _ in range(4):
            self.assertIn("what its name says", r.dig("-p", str(r.port), "a.derived.example"))
        self.assertIn("what its name says", r.dig("-p", str(r.port), "b.derived.example"))
        self.assertEqual(r.stop(), 0)
        with open(r.events) as f:
            seen = [(e["domain"], e["policy"]["origin"]) for e in map(json.loads, f) if e["type"] == "dns_query"]
        self.assertEqual(seen[1:4], [("a.derived.example", "memo")] * 3)

    def test_events(self):
        r = Resolver()
        r.curl("/resolve?name=denied.example")
        r.dig("-p", str(r.port), "denied.example")
        self.assertEqual(r.stop(), 0)
        with open(r.events) as f:
            seen = [e for e in map(json.loads, f) if e["type"] == "dns_query"]
        self.assertEqual([e["fields"]["transport"] for e in seen], ["doh", "udp"])
        self.assertTrue(all(e["source"] == "resolver" and e["fields"]["client"].startswith("127.0.0.1:") for e in seen))

    def test_the_local_authority(self):
        ca, pem = TMP + "/ca", TMP + "/ca.pem"
        subprocess.run([MOONFENCE, "ca", "create", "--dir", ca], check=True, capture_output=True, timeout=120)
        with open(pem, "wb") as f:
            f.write(subprocess.run([MOONFENCE, "ca", "show", "--dir", ca, "--pem"], check=True, capture_output=True, timeout=120).stdout)
        r = Resolver("--ca", ca)
        for host in ("127.0.0.1", "localhost"):
            out = subprocess.run(["curl", "-sS", "--cacert", pem, "-w", " %{http_version}", "--resolve", f"localhost:{r.http}:127.0.0.1",
                                  f"https://{host}:{r.http}/resolve?name=here.example"], capture_output=True, text=True, timeout=120)
            self.assertIn('"data":"127.0.0.1"', out.stdout, out.stderr)
            self.assertTrue(out.stdout.endswith(" 2"), out.stdout)
        out = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{r.http}", "-servername", "bank.example"],
                             capture_output=True, text=True, timeout=120, input="")
        self.assertIn("unrecognized name", out.stderr)
        r.stop()

    def test_the_authority_is_rotated(self):
        ca, pems = TMP + "/rotated", []

        def call(*args):
            return subprocess.run([MOONFENCE, "ca", *args, "--dir", ca], check=True, capture_output=True, timeout=120).stdout

        def show():
            pems.append(TMP + f"/rotated{len(pems)}.pem")
            with open(pems[-1], "wb") as f:
                f.write(call("show", "--pem"))

        def works(pem):
            return subprocess.run(["curl", "-sS", "--cacert", pem, f"https://127.0.0.1:{r.http}/resolve?name=here.example"],
                                  capture_output=True, timeout=120).returncode == 0

        call("create")
        show()
        r = Resolver("--ca", ca)
        self.assertTrue(works(pems[0]))
        with socket.create_connection(("127.0.0.1", r.http), 120) as c:
            context = ssl.create_default_context(cafile=pems[0])
            with context.wrap_socket(c, server_hostname="localhost") as open_before:
                call("rotate")
                show()
                wait_for("the new one", lambda: works(pems[1]))
                self.assertFalse(works(pems[0]))
                open_before.sendall(b"GET /resolve?name=here.example HTTP/1.1\r\nHost: localhost\r\n\r\n")
                self.assertTrue(open_before.recv(4096).startswith(b"HTTP/1.1 200"))
        os.rename(ca, ca + ".gone")
        os.mkdir(ca, 0o700)
        self.assertTrue(works(pems[1]))
        r.stop()

    def test_the_certificate_is_replaced(self):
        pair = [TMP + "/mine.pem", TMP + "/mine.key"]

        def make(name):
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                            "-subj", f"/CN={name}", "-out", pair[0], "-keyout", pair[1]], check=True, capture_output=True, timeout=120)

        def seen():
            out = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{r.http}", "-alpn", "h2"], capture_output=True,
                                 text=True, timeout=120, input="").stdout
            self.assertIn("ALPN protocol: h2", out)
            return out.split("subject=")[1].split("\n")[0]

        make("first")
        r = Resolver("--tls", ",".join(pair))
        self.assertIn("first", seen())
        make("second")
        r.p.send_signal(signal.SIGHUP)
        wait_for("the second", lambda: "second" in seen())
        with open(pair[0], "w") as f:
            f.write("nothing")
        r.p.send_signal(signal.SIGHUP)
        make("third")  # that one comes with the next signal only
        r.p.send_signal(signal.SIGHUP)
        wait_for("the third", lambda: "third" in seen())
        r.stop()

    def test_reload(self):
        r = Resolver("--no-watch")
        path = TMP + "/resolver.lua"
        with open(path) as f:
            text = f.read()
        try:
            with open(path, "w") as f:
                f.write(text.replace("192.0.2.17", "192.0.2.18"))
            self.assertIn("192.0.2.17", r.dig("-p", str(r.port), "how.example"))
            r.p.send_signal(signal.SIGHUP)
            wait_for("the new policy answers", lambda: "192.0.2.18" in r.dig("-p", str(r.port), "how.example"))
        finally:
            with open(path, "w") as f:
                f.write(text)
            r.stop()

    @unittest.skipUnless(os.geteuid() == 0, "only root can become somebody else")
    def test_user(self):
        r = Resolver("--user", "nobody", "--tls", f"{CERT},{KEY}")
        with open(f"/proc/{r.p.pid}/status") as f:
            status = dict(l.split(":", 1) for l in f)
        uid = pwd.getpwnam("nobody").pw_uid
        self.assertEqual(set(map(int, status["Uid"].split())), {uid})
        self.assertEqual(int(status["CapEff"], 16), 0)
        self.assertNotIn("0", status["Groups"].split())
        self.assertIn("192.0.2.17", r.dig("-p", str(r.port), "how.example"))
        r.stop()

    def test_wrong_usage(self):
        for args, status in (([], 2), (["--listen", "x"], 2), (["--listen", "127.0.0.1:99999"], 2), (["--tls", "a"], 2),
                             (["--listen", "127.0.0.1:0", "--tls", "a,b"], 2), (["--doh", "127.0.0.1:0", "--tls", "a,b", "--ca", "c"], 2),
                             (["--doh", "127.0.0.1:0", "--ca", "/none"], 125), (["--doh", "127.0.0.1:0", "--tls", "/none,/none"], 125),
                             (["--listen", "192.0.2.1:0"], 125), (["--listen", "127.0.0.1:0", "--policy", "/none.lua"], 1)):
            r = subprocess.run([MOONFENCE, "resolver", *args], capture_output=True, text=True, timeout=120)
            self.assertEqual(r.returncode, status, (args, r.stderr))
            self.assertTrue(r.stderr.startswith("moonfence"), r.stderr)


if __name__ == "__main__":
    for tool in ("dig", "curl", "openssl"):
        if not shutil.which(tool):
            print(tool + " is not installed")
            sys.exit(77)
    os.chmod(TMP, 0o777)
    shutil.copy(HERE + "/resolver.lua", TMP)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", KEY, "-out", CERT,
                    "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    try:
        unittest.main()
    finally:
        shutil.rmtree(TMP, ignore_errors=True)

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""terminate{}: TLS looked into, with real clients (curl, OpenSSL, GnuTLS, Python) and nginx, Python and OpenSSL as servers."""
import base64, hashlib, os, shutil, signal, socket, ssl, struct, subprocess, threading, time, unittest

import ocsp
import proxies_test as bed
from proxies_test import HERE, HOST, MORE, TMP, event, events, wait_for

WAIT_S = 60
PORT, SLOW = 15010, 15011  # of two hosts; the second waits for nobody's hello for long
SESSION_CA = TMP + "/session-ca.pem"
SERVERS_CA = TMP + "/servers-ca.pem"
# name: the last byte of where its server is, 127.0.2.N, and of where its client goes, 127.0.0.N
NAMES = ["ok.cut.test", "stapled.cut.test", "revoked.cut.test", "must.cut.test", "must-stapled.cut.test", "expired.cut.test",
         "wrong.cut.test", "self.cut.test", "old.cut.test", "exempt.cut.test", "early.test", "early-exempt.test",
         "app.pinned.test", "quiet.pinned.test", "socket.cut.test", "plain.cut.test", "http1.cut.test", "sibling.cut.test",
         "other.cut.test", "foreign-staple.cut.test", "denied.test", "greets.cut.test", "cut-off.cut.test", "mutual.cut.test",
         "changes.cut.test", "stale.cut.test", "must-stale.cut.test", "forged-staple.cut.test", "revoked-stale.cut.test"]
NUMBER = {name: 40 + i for i, name in enumerate(NAMES)}
NGINX = {"ok.cut.test", "stapled.cut.test", "revoked.cut.test", "must.cut.test", "must-stapled.cut.test", "expired.cut.test",
         "wrong.cut.test", "self.cut.test", "old.cut.test", "exempt.cut.test", "early.test", "early-exempt.test",
         "app.pinned.test", "quiet.pinned.test", "http1.cut.test", "sibling.cut.test", "other.cut.test",
         "foreign-staple.cut.test", "mutual.cut.test", "stale.cut.test", "must-stale.cut.test", "forged-staple.cut.test",
         "revoked-stale.cut.test"}


PAGE = """<!doctype html><script>
const page = fetch("https://sibling.cut.test/", { mode: "no-cors" });
const socket = new Promise(done => { new WebSocket("wss://socket.cut.test/ws").onopen = done; });
Promise.all([page, socket]).then(() => fetch("https://plain.cut.test/both-came", { mode: "no-cors" }));
</script>"""


def openssl(*argv, **kw):
    return subprocess.run(["openssl", *argv], check=True, capture_output=True, cwd=TMP, **kw)


def server_of(name):
    return "127.0.2.%d" % NUMBER[name]


def client_of(name):
    return "127.0.0.%d" % NUMBER[name]


def make_ca():
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "servers-ca.key", "-out",
            "servers-ca.pem", "-subj", "/CN=CA of the test's servers", "-days", "30", "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature")


def make_cert(name, serial, expired=False, cert_name=None, extra=""):
    """A certificate of the servers' CA."""
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", name + ".key", "-out", name + ".csr",
            "-subj", "/CN=" + (cert_name or name))
    with open(TMP + "/ext", "w") as f:
        f.write("subjectAltName=DNS:%s\nextendedKeyUsage=serverAuth\n%s\n" % (cert_name or name, extra))
    with open(TMP + "/ca.conf", "w") as f:
        f.write("[ca]\ndefault_ca=c\n[c]\ndatabase=ca.index\nserial=ca.serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n"
                "[p]\ncommonName=supplied\n")
    open(TMP + "/ca.index", "w").close()
    with open(TMP + "/ca.serial", "w") as f:
        f.write("%02X\n" % serial)
    dates = [time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + 86400 * d)) for d in ((-9, -3) if expired else (-9, 30))]
    openssl("ca", "-batch", "-config", "ca.conf", "-notext", "-cert", "servers-ca.pem", "-keyfile", "servers-ca.key", "-startdate", dates[0],
            "-enddate", dates[1], "-extfile", "ext", "-in", name + ".csr", "-out", name + ".crt")


def make_staple(name, serial, status, about=None, update=("-ndays", "2")):
    """The CA's OCSP response: V or R."""
    when = time.strftime("%y%m%d%H%M%SZ", time.gmtime(time.time() + 86400 * 20))
    revoked = time.strftime("%y%m%d%H%M%SZ", time.gmtime(time.time() - 86400))
    with open(TMP + "/index.txt", "w") as f:
        f.write("%s\t%s\t%s\t%02X\tunknown\t/CN=%s\n" % (status, when, revoked if status == "R" else "", serial, name))
    openssl("ocsp", "-issuer", "servers-ca.pem", "-cert", (about or name) + ".crt", "-reqout", "req.der", "-no_nonce")
    openssl("ocsp", "-index", "index.txt", "-rsigner", "servers-ca.pem", "-rkey", "servers-ca.key", "-CA", "servers-ca.pem",
            "-reqin", "req.der", "-respout", name + ".ocsp", *update)


def make_servers():
    must = "tlsfeature=status_request"
    special = {"wrong.cut.test": dict(cert_name="another.test"), "expired.cut.test": dict(expired=True),
               "must.cut.test": dict(extra=must), "must-stapled.cut.test": dict(extra=must), "must-stale.cut.test": dict(extra=must),
               "http1.cut.test": dict(), "self.cut.test": None}
    for i, name in enumerate(NAMES, 0x51):
        if special.get(name, {}) is None:
            openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", name + ".key", "-out",
                    name + ".crt", "-subj", "/CN=" + name, "-addext", "subjectAltName=DNS:" + name, "-days", "9")
        else:
            make_cert(name, i, **special.get(name, {}))
    number = {name: i for i, name in enumerate(NAMES, 0x51)}
    for name, status in (("stapled.cut.test", "V"), ("must-stapled.cut.test", "V"), ("revoked.cut.test", "R"), ("stale.cut.test", "V"),
                         ("must-stale.cut.test", "V"), ("revoked-stale.cut.test", "R"), ("forged-staple.cut.test", "V")):
        make_staple(name, number[name], status)
    for name in ("stale.cut.test", "must-stale.cut.test", "revoked-stale.cut.test"):
        ocsp.change(f"{TMP}/{name}.ocsp", TMP + "/servers-ca.key", years=1)
    # the server itself says that it is not revoked
    ocsp.change(TMP + "/forged-staple.cut.test.ocsp", TMP + "/forged-staple.cut.test.key")
    make_staple("foreign-staple.cut.test", number["ok.cut.test"], "V", about="ok.cut.test")


def start_nginx():
    blocks = ""
    for name in sorted(NGINX):
        staple = os.path.exists(f"{TMP}/{name}.ocsp")
        blocks += f"""
  server {{
    listen {server_of(name)}:8443 ssl{"" if name == "http1.cut.test" else " http2"};
    server_name {name};
    ssl_certificate {TMP}/{name}.crt;
    ssl_certificate_key {TMP}/{name}.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    {"ssl_stapling on; ssl_stapling_file %s/%s.ocsp;" % (TMP, name) if staple else ""}
    {"ssl_verify_client on; ssl_client_certificate %s;" % SERVERS_CA if name == "mutual.cut.test" else ""}
    client_max_body_size 0;
    location / {{ return 200 "$server_name $http_host $server_protocol $ssl_protocol resumed=$ssl_session_reused"; }}
    location = /page {{ default_type text/html; alias {TMP}/www/page; }}
    location /big {{ root {TMP}/www; }}
    location /upload {{ proxy_pass http://{server_of(name)}:8081/; }}
  }}
  server {{ listen {server_of(name)}:8081; client_max_body_size 0; location / {{ return 200 "taken"; }} }}"""
    os.makedirs(TMP + "/www", exist_ok=True)
    os.makedirs(TMP + "/nginx", exist_ok=True)
    with open(TMP + "/www/big", "wb") as f:
        f.write(os.urandom(3 << 20))
    with open(TMP + "/www/page", "w") as f:
        f.write(PAGE)
    with open(TMP + "/nginx.conf", "w") as f:
        f.write("daemon off; master_process off; error_log %s/nginx.err; pid %s/nginx.pid;\nevents { worker_connections 512; }\n"
                "http { access_log off; client_body_temp_path %s/nginx/b; proxy_temp_path %s/nginx/p; fastcgi_temp_path %s/nginx/f;\n"
                "uwsgi_temp_path %s/nginx/u; scgi_temp_path %s/nginx/s; large_client_header_buffers 8 64k; %s }\n"
                % (TMP, TMP, TMP, TMP, TMP, TMP, TMP, blocks))
    bed.spawn([shutil.which("nginx") or "/usr/sbin/nginx", "-p", TMP, "-c", TMP + "/nginx.conf", "-g", "user root;"])


contexts = {}  # of the servers that are made here, by their names
barriers = {}  # of those that answer nobody before so many have said hello
finished, unfinished = [], []  # names of those, for each handshake


def show_certificate(name, of):
    """The server @name has the certificate of another one from now on, and has forgotten its tickets."""
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(f"{TMP}/{of}.crt", f"{TMP}/{of}.key")
    ctx.set_alpn_protocols(["http/1.1"])
    contexts[name] = ctx


def tls_server(name, handler):
    show_certificate(name, name)

    def one(conn):
        try:
            if barrier := barriers.get(name):
                conn.recv(1, socket.MSG_PEEK)
                barrier.wait(WAIT_S)
            s = contexts[name].wrap_socket(conn, server_side=True)
        except (ssl.SSLError, OSError, threading.BrokenBarrierError):
            unfinished.append(name)
            return
        finished.append(name)
        try:
            with s:
                handler(s)
        except (ssl.SSLError, OSError):
            pass  # whoever went, went: what became of it is what the tests look at
    bed.serve(server_of(name), 8443, one)


def read_head(s):
    data = b""
    while b"\r\n\r\n" not in data:
        more = s.recv(65536)
        if not more:
            break
        data += more
    return data


def websocket(s):
    """Takes an Upgrade, then gives frames back as they came."""
    head = read_head(s)
    key = [l.split(b":", 1)[1].strip() for l in head.split(b"\r\n") if l.lower().startswith(b"sec-websocket-key")][0]
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    s.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
              b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    while more := s.recv(65536):
        s.sendall(more)


got = {}


def keep_all(name, answer=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"):
    def handler(s):
        data = b""
        while more := s.recv(65536):
            data += more
            got.setdefault(name, []).append(more)
            if b"\r\n\r\n" in data:
                s.sendall(answer)
                data = b""
        got.setdefault(name, []).append(None)
    return handler


def tell_resumed(s):
    read_head(s)
    text = b"resumed=%d" % s.session_reused
    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
    s.unwrap()


def greet(s):
    s.sendall(b"220 mail.test ready\r\n")
    while more := s.recv(65536):
        s.sendall(more.upper())


def cut_off(s):
    """An answer that ends without close_notify: an attacker may have cut it."""
    read_head(s)
    s.sendall(b"HTTP/1.0 200 OK\r\n\r\nhalf of it")
    os.close(s.detach())


def start_host(port, *more):
    host = bed.spawn(
        [*HOST, "--policy", HERE + "/intercept.lua", "--tcp", str(port), "--dns", "127.0.1.155:5300", "--events",
         TMP + "/events.jsonl", "--authority", SESSION_CA + (".slow" if port == SLOW else ""), *MORE, *more,
         *[x for n in NAMES for x in ("--map", f"{client_of(n)}={server_of(n)}:8443", "--name", f"{n}={server_of(n)}")],
         "--map", "127.0.0.200=127.0.2.40:8443"],
        stdout=subprocess.PIPE, text=True, env=dict(os.environ, SSL_CERT_FILE=SERVERS_CA))
    assert "ready" in host.stdout.readline()
    return host


def setUpModule():
    make_ca()
    make_servers()
    start_nginx()
    tls_server("socket.cut.test", websocket)
    tls_server("plain.cut.test", keep_all("plain"))
    tls_server("greets.cut.test", greet)
    tls_server("changes.cut.test", tell_resumed)
    tls_server("cut-off.cut.test", cut_off)
    for name in sorted(NGINX):
        def is_there():
            with socket.socket() as s:
                return s.connect_ex((server_of(name), 8443)) == 0
        wait_for(name, is_there)
    setUpModule.hosts = [start_host(PORT), start_host(SLOW, "--hello-ms", "300", "--events", TMP + "/events.jsonl.slow")]


def tearDownModule():
    for h in setUpModule.hosts:
        h.send_signal(bed.STOP)
    try:
        codes = [h.wait(60) for h in setUpModule.hosts]
    finally:
        for p in bed.procs:
            p.kill()
            p.wait()
        shutil.rmtree(TMP, ignore_errors=True)
    assert codes == [0, 0], codes


def curl(name, *more, path="/", ca=SESSION_CA):
    return subprocess.run(["curl", "-sS", "-i", "-m", "100", "--cacert", ca, "--connect-to", f"{name}:443:{client_of(name)}:{PORT}",
                           f"https://{name}{path}", *more], capture_output=True, text=True)


def dial(name, port=PORT):
    return bed.dial(client_of(name), port)


def client_context(ca=SESSION_CA, alpn=("http/1.1",)):
    ctx = ssl.create_default_context(cafile=ca)
    if alpn:
        ctx.set_alpn_protocols(list(alpn))
    return ctx


def connect(name, sni=None, port=PORT, **kw):
    return client_context(**kw).wrap_socket(dial(name, port), server_hostname=sni or name)


def intercepted(sni, status):
    return event("net_tls_intercept", sni=sni, status=status)


def find(type, **want):
    every = ({**e, **e.get("fields", {})} for e in events() if e["type"] == type)
    return [e for e in every if all(e.get(k) == v for k, v in want.items())]


def count(type, **want):
    return len(find(type, **want))


def told(sni, status):
    return find("net_tls_intercept", sni=sni, status=status)


class Inside(unittest.TestCase):
    def test_curl_speaks_what_the_server_chose(self):
        for options, protocol in ((("--http2",), "HTTP/2.0"), (("--http1.1",), "HTTP/1.1")):
            for version, tls in ((("--tls-max", "1.2"), "TLSv1.2"), (("--tlsv1.3",), "TLSv1.3")):
                with self.subTest(f"{protocol} {tls}"):
                    out = curl("ok.cut.test", *options, *version)
                    self.assertIn("ok.cut.test ok.cut.test " + protocol, out.stdout, out.stderr)
        e = intercepted("ok.cut.test", "joined")
        self.assertEqual((e["policy_decision"], e["policy_reason"], e["effective_action"]),
                         ("terminate", "to be looked into", "allowed"))
        self.assertTrue(event("net_tls_intercept", sni="ok.cut.test", alpn=["h2"], versions=["TLSv1.3"]))
        self.assertTrue(event("net_http_request", domain="ok.cut.test", method="GET", url_path="/"))

    def test_a_server_without_http2_is_mirrored(self):
        out = curl("http1.cut.test", "--http2")
        self.assertIn("http1.cut.test http1.cut.test HTTP/1.1", out.stdout, out.stderr)

    def test_the_certificate_is_ours_and_for_that_name_only(self):
        out = subprocess.run(["openssl", "s_client", "-connect", f"{client_of('ok.cut.test')}:{PORT}", "-servername", "ok.cut.test",
                              "-verify_hostname", "ok.cut.test", "-CAfile", SESSION_CA, "-alpn", "h2,http/1.1"], input=b"Q\n",
                             capture_output=True, timeout=100).stdout.decode(errors="replace")
        self.assertIn("Verify return code: 0 (ok)", out)
        self.assertIn("ALPN protocol: h2", out)
        self.assertNotIn("CA of the test's servers", out)

    def test_gnutls_goes_through_in_both_versions(self):
        for version in ("1.2", "1.3"):
            with self.subTest(version):
                p = subprocess.run(["gnutls-cli", "--priority", f"NORMAL:-VERS-ALL:+VERS-TLS{version}", "--x509cafile", SESSION_CA,
                                    "--sni-hostname", "ok.cut.test", "--verify-hostname", "ok.cut.test", "-p", str(PORT),
                                    client_of("ok.cut.test")], input=b"GET / HTTP/1.0\r\nHost: ok.cut.test\r\n\r\n",
                                   capture_output=True, timeout=100)
                self.assertIn(b"ok.cut.test ok.cut.test HTTP/1.0", p.stdout, p)

    def test_python_goes_through(self):
        with connect("ok.cut.test") as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: OK.cut.test.:8443\r\nConnection: close\r\n\r\n")
            self.assertIn(b"200 OK", bed.read_all(s))

    def test_much_goes_both_ways(self):
        with open(TMP + "/www/big", "rb") as f:
            want = f.read()
        for option in ("--http1.1", "--http2"):
            out = TMP + "/got"
            self.assertEqual(curl("ok.cut.test", option, "-o", out, "--no-include", path="/big").returncode, 0)
            with open(out, "rb") as f:
                self.assertEqual(f.read(), want)
            up = curl("ok.cut.test", option, "-T", TMP + "/www/big", "-X", "POST", path="/upload")
            self.assertIn("taken", up.stdout, up.stderr)

    def test_connect_may_say_it_and_sni_exempt_from_it(self):
        self.assertIn("early.test", curl("early.test").stdout)
        self.assertEqual(intercepted("early.test", "joined")["policy_reason"], "said by connect")
        self.assertIn("early-exempt.test", curl("early-exempt.test", ca=SERVERS_CA).stdout)
        self.assertIn("exempt.cut.test", curl("exempt.cut.test", ca=SERVERS_CA).stdout)
        self.assertEqual(count("net_tls_intercept", sni="exempt.cut.test") + count("net_tls_intercept", sni="early-exempt.test"), 0)

    def test_an_upgrade_to_websocket_passes(self):
        with connect("socket.cut.test") as s:
            s.sendall(b"GET /ws HTTP/1.1\r\nHost: socket.cut.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                      b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
            self.assertIn(b"101 Switching", read_head(s))
            for frame in (b"\x81\x85\1\2\3\4" + bytes(a ^ b for a, b in zip(b"hello", b"\1\2\3\4\1")), b"\x82\xfe\x04\x00\0\0\0\0" + bytes(1024)):
                s.sendall(frame)
                back = b""
                while len(back) < len(frame):
                    back += s.recv(65536)
                self.assertEqual(back, frame)

    def test_a_server_may_speak_first_inside(self):
        with connect("greets.cut.test", alpn=()) as s:
            self.assertEqual(s.recv(100), b"220 mail.test ready\r\n")
            s.sendall(b"\x01binary words\r\n")
            self.assertEqual(s.recv(100), b"\x01BINARY WORDS\r\n")

    def test_an_end_without_close_notify_stays_one(self):
        with client_context().wrap_socket(dial("cut-off.cut.test"), server_hostname="cut-off.cut.test", suppress_ragged_eofs=False) as s:
            s.sendall(b"GET / HTTP/1.0\r\nHost: cut-off.cut.test\r\n\r\n")
            data = b""
            with self.assertRaises(ssl.SSLEOFError):
                while True:
                    data += s.recv(65536)
            self.assertTrue(data.endswith(b"half of it"))

    def test_a_connection_without_a_server_name_is_cut_for_the_name_of_its_address(self):
        ctx = client_context()
        ctx.check_hostname = False
        with ctx.wrap_socket(dial("early.test")) as s:
            s.sendall(b"GET / HTTP/1.0\r\nHost: early.test\r\n\r\n")
            self.assertIn(b"early.test", bed.read_all(s))


@unittest.skipUnless(shutil.which("chromium") and shutil.which("certutil"), "no Chromium or no certutil")
class Browser(unittest.TestCase):
    def test_chromium_with_http2_websocket_and_another_name(self):
        home = TMP + "/home"
        os.makedirs(home + "/.pki/nssdb")
        for argv in (["-N", "--empty-password"], ["-A", "-n", "session", "-t", "C,,", "-i", SESSION_CA]):
            subprocess.run(["certutil", "-d", "sql:" + home + "/.pki/nssdb", *argv], check=True, capture_output=True)
        names = ("ok.cut.test", "sibling.cut.test", "socket.cut.test", "plain.cut.test")
        rules = ",".join(f"MAP {n} {client_of(n)}:{PORT}" for n in names)
        browser = bed.spawn(["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--no-proxy-server",
                             f"--user-data-dir={home}/profile", f"--host-resolver-rules={rules}", "--remote-debugging-port=0",
                             "https://ok.cut.test/page"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ, HOME=home))
        try:
            wait_for("the page's last request", lambda: any(b"/both-came" in (x or b"") for x in list(got.get("plain", []))))
        finally:
            browser.terminate()
            browser.wait(60)
        # one name, one certificate: each name has a connection of its own
        for n in names:
            self.assertTrue(intercepted(n, "joined"))
        self.assertTrue(event("net_tls_intercept", sni="ok.cut.test", alpn=["h2"]))


class Servers(unittest.TestCase):
    def refused(self, name, error):
        out = curl(name)
        self.assertNotEqual(out.returncode, 0)
        self.assertIn("alert", out.stderr)  # not a bare end
        e = intercepted(name, "server_failed")
        self.assertEqual(e["effective_action"], "blocked")
        self.assertIn(error, e["error"])

    def test_an_expired_certificate_is_refused(self):
        self.refused("expired.cut.test", "certificate has expired")

    def test_a_certificate_for_another_name_is_refused(self):
        self.refused("wrong.cut.test", "hostname mismatch")

    def test_a_self_signed_certificate_is_refused(self):
        self.refused("self.cut.test", "self-signed certificate")

    def test_a_revoked_certificate_is_refused(self):
        self.refused("revoked.cut.test", "certificate revoked")

    def test_a_staple_about_another_certificate_is_refused(self):
        self.refused("foreign-staple.cut.test", "stapled OCSP response cannot be verified")

    def test_a_staple_that_is_signed_by_somebody_else_is_refused(self):
        self.refused("forged-staple.cut.test", "stapled OCSP response cannot be verified")

    def test_a_staple_that_is_out_of_date_is_none(self):
        self.assertIn("stale.cut.test", curl("stale.cut.test").stdout)
        self.refused("must-stale.cut.test", "demands a stapled OCSP response")

    def test_revoked_is_revoked_however_old_the_staple(self):
        self.refused("revoked-stale.cut.test", "certificate revoked")

    def test_a_certificate_that_demands_a_staple_needs_one(self):
        self.refused("must.cut.test", "demands a stapled OCSP response")
        self.assertIn("must-stapled.cut.test", curl("must-stapled.cut.test").stdout)

    def test_a_good_staple_goes_on(self):
        for version in (("--tls-max", "1.2"), ("--tlsv1.3",)):
            out = curl("stapled.cut.test", *version)
            self.assertIn("stapled.cut.test", out.stdout, out.stderr)

    def test_the_servers_tickets_are_used_once_each(self):
        for version in (("--tls-max", "1.2"), ("--tlsv1.3",)):
            # the first is a full handshake, or resumes what another test left; each gets tickets for the next
            said = [curl("stapled.cut.test", *version).stdout for _ in range(3)]
            self.assertTrue(all("resumed=r" in s for s in said[1:]), said)

    def begin_together(self, name, cnt):
        """All have said hello to the server before it answers one of them. Return: what each was told"""
        def one(i):
            with connect(name) as s:
                s.sendall(b"GET / HTTP/1.1\r\nHost: changes.cut.test\r\n\r\n")
                said[i] = bed.read_all(s)[-9:]

        said = [None] * cnt
        barriers[name] = threading.Barrier(cnt)
        try:
            threads = [threading.Thread(target=one, args=(i,)) for i in range(cnt)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
        finally:
            del barriers[name]
        return said

    def test_connections_that_begin_together_have_a_ticket_each(self):
        name = "changes.cut.test"
        show_certificate(name, name)
        # a full handshake brings two, once it is over
        self.assertEqual(self.begin_together(name, 4), [b"resumed=0"] * 4)
        self.assertEqual(self.begin_together(name, 8), [b"resumed=1"] * 8)

    def test_a_certificate_is_looked_at_anew_where_the_server_forgot_its_tickets(self):
        name = "changes.cut.test"
        for bad, error in (("wrong.cut.test", "hostname mismatch"), ("self.cut.test", "self-signed certificate")):
            curl(name)
            self.assertIn("resumed=1", curl(name).stdout)
            show_certificate(name, bad)
            try:
                self.assertNotEqual(curl(name).returncode, 0)
            finally:
                show_certificate(name, name)
            wait_for("the refusal", lambda: any(error in e["error"] for e in told(name, "server_failed")))
            out = curl(name)
            self.assertIn("resumed=0", out.stdout, out.stderr)


class Pinned(unittest.TestCase):
    def test_a_client_with_a_store_of_its_own_is_told_of(self):
        for version in (("--tls-max", "1.2"), ("--tlsv1.3",)):
            out = curl("other.cut.test", *version, ca=SERVERS_CA)
            self.assertEqual(out.returncode, 60, out.stderr)
        e = intercepted("other.cut.test", "client_refused")
        self.assertIn("unknown ca", e["error"])
        self.assertEqual(e["effective_action"], "blocked")

    def test_a_server_has_no_connection_with_a_client_that_refuses(self):
        name = "changes.cut.test"
        before = finished.count(name), unfinished.count(name)
        self.assertEqual(curl(name, "--tlsv1.3", ca=SERVERS_CA).returncode, 60)
        intercepted(name, "client_refused")
        wait_for("the end of the server's handshake", lambda: unfinished.count(name) > before[1])
        self.assertEqual(finished.count(name), before[0])

    def test_gnutls_and_python_are_told_of(self):
        subprocess.run(["gnutls-cli", "--x509cafile", SERVERS_CA, "--sni-hostname", "sibling.cut.test", "--verify-hostname",
                        "sibling.cut.test", "-p", str(PORT), client_of("sibling.cut.test")], input=b"", capture_output=True, timeout=100)
        # GnuTLS' client checks after its handshake, and goes without an alert
        wait_for("an event", lambda: count("net_tls_intercept", sni="sibling.cut.test"))
        with self.assertRaises(ssl.SSLCertVerificationError):
            connect("old.cut.test", ca=SERVERS_CA)
        intercepted("old.cut.test", "client_refused")

    def test_a_pinning_client_passes_where_the_policy_says_so(self):
        key = openssl("pkey", "-in", "app.pinned.test.key", "-pubout", "-outform", "der").stdout
        pin = "sha256//" + base64.b64encode(hashlib.sha256(key).digest()).decode()
        tries = 0
        both = TMP + "/both.pem"
        with open(both, "w") as f:
            for path in (SESSION_CA, SERVERS_CA):
                with open(path) as one:
                    f.write(one.read())
        while curl("app.pinned.test", "--pinnedpubkey", pin, ca=both).returncode:
            tries += 1
            self.assertLess(tries, 4)
        self.assertGreater(tries, 0)
        intercepted("app.pinned.test", "client_left")
        intercepted("app.pinned.test", "passed")

    def test_an_alert_is_enough(self):
        self.assertEqual(curl("quiet.pinned.test", ca=SERVERS_CA).returncode, 60)
        intercepted("quiet.pinned.test", "client_refused")
        self.assertIn("quiet.pinned.test", curl("quiet.pinned.test", ca=SERVERS_CA).stdout)


class Fronting(unittest.TestCase):
    def ask(self, sni, *hosts):
        with connect(sni) as s:
            for host in hosts:
                s.sendall(b"GET /x HTTP/1.1\r\nHost: %s\r\n\r\n" % host.encode())
                try:
                    data = s.recv(65536)
                except ConnectionError:
                    return b""
        return data

    def test_another_host_is_refused_with_a_page(self):
        self.assertIn(b"200 OK", self.ask("plain.cut.test", "plain.cut.test"))
        before = len(got["plain"])
        self.assertIn(b"403 Forbidden", self.ask("plain.cut.test", "not-meant.example"))
        e = event("net_connect", domain="not-meant.example", effective_action="blocked")
        self.assertEqual(e["policy_decision"], "deny")
        self.assertFalse(any(b"not-meant" in (x or b"") for x in got["plain"][before:]))

    def test_a_later_one_ends_the_connection(self):
        self.assertEqual(self.ask("plain.cut.test", "plain.cut.test", "secret.cut.test"), b"")
        self.assertEqual(event("net_connect", domain="secret.cut.test", effective_action="blocked")["policy_reason"], "no such host here")

    def test_a_host_that_policies_allow_there_passes(self):
        self.assertIn(b"200 OK", self.ask("plain.cut.test", "sibling.cut.test"))

    def test_a_host_that_connect_denies_does_not(self):
        self.assertIn(b"never there", self.ask("plain.cut.test", "denied.test"))

    def test_http2_authority_is_held_to_the_same(self):
        good = curl("ok.cut.test", "--http2", "-H", "Host: sibling.cut.test")
        self.assertIn("ok.cut.test sibling.cut.test HTTP/2.0", good.stdout, good.stderr)
        bad = curl("ok.cut.test", "--http2", "-H", "Host: far.example")
        self.assertNotEqual(bad.returncode, 0)
        event("net_connect", domain="far.example", effective_action="blocked")

    def test_two_hosts_and_other_ambiguity_are_refused(self):
        for head in (b"GET / HTTP/1.1\r\nHost: plain.cut.test\r\nHost: far.example\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: plain.cut.test\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc"):
            with connect("plain.cut.test") as s:
                s.sendall(head)
                self.assertNotIn(b"200 OK", bed.read_all(s))


class Hostile(unittest.TestCase):
    def hello(self, name):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        obj = client_context().wrap_bio(incoming, outgoing, server_hostname=name)
        with self.assertRaises(ssl.SSLWantReadError):
            obj.do_handshake()
        return outgoing.read()

    def still_serves(self):
        self.assertIn("ok.cut.test", curl("ok.cut.test").stdout)

    def test_garbage_behind_our_hello_ends_the_connection(self):
        for garbage in (b"\x17\x03\x03\x00\x20" + os.urandom(32), os.urandom(500), b"\x16\x03\x03\xff\xff" + bytes(65535),
                        b"\x15\x03\x03\x00\x02\x02\x30", b"\x14\x03\x03\x00\x01\x02", b"GET / HTTP/1.1\r\n\r\n"):
            with dial("ok.cut.test") as s:
                s.sendall(self.hello("ok.cut.test"))
                self.assertTrue(s.recv(65536))
                try:
                    s.sendall(garbage)
                    bed.read_all(s)
                except ConnectionError:
                    pass
        self.still_serves()

    def test_a_client_that_stops_in_its_handshake_is_not_waited_for(self):
        with dial("ok.cut.test", SLOW) as s:
            s.sendall(self.hello("ok.cut.test"))
            self.assertTrue(s.recv(65536))
            try:
                bed.read_all(s)
            except ConnectionError:
                pass

    def test_a_hello_in_single_bytes_is_intercepted(self):
        with dial("ok.cut.test") as raw:
            hello = self.hello("ok.cut.test")
            for i in range(len(hello)):
                raw.sendall(hello[i:i + 1])
            self.assertEqual(raw.recv(1), b"\x16")

    def test_half_close_gets_its_answer(self):
        with connect("plain.cut.test") as s:
            s.sendall(b"GET /half HTTP/1.1\r\nHost: plain.cut.test\r\n\r\n")
            socket.socket.shutdown(s, socket.SHUT_WR)  # without close_notify
            self.assertIn(b"200 OK", s.recv(65536))

    def test_huge_heads_are_refused(self):
        with connect("plain.cut.test") as s:
            try:
                s.sendall(b"GET / HTTP/1.1\r\nHost: plain.cut.test\r\nX: " + b"x" * (1 << 20) + b"\r\n\r\n")
                self.assertNotIn(b"200 OK", bed.read_all(s))
            except (ConnectionError, ssl.SSLError):
                pass
        self.still_serves()

    def test_renegotiation_is_not_taken(self):
        p = subprocess.run(["openssl", "s_client", "-connect", f"{client_of('ok.cut.test')}:{PORT}", "-servername", "ok.cut.test",
                            "-CAfile", SESSION_CA, "-tls1_2"], input=b"R\n", capture_output=True, timeout=100)
        self.assertNotEqual(p.returncode, 0)
        self.still_serves()

    def test_what_is_no_tls_passes_as_allowed(self):
        with bed.dial(client_of("early.test")[:-2] + "50", PORT) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: early.test\r\nConnection: close\r\n\r\n")
            self.assertIn(b"400", bed.read_all(s))  # nginx: plain HTTP was sent to its TLS port

    def test_a_server_that_wants_the_clients_certificate_is_told_of(self):
        # TLS 1.3's server says so after the handshake, inside; what arrives is its page or its alert
        out = curl("mutual.cut.test")
        self.assertIn("400", out.stdout + out.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=1)

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What clients say to get past a name: HTTP in the clear (every request of a connection), and server names of TLS."""
import os, re, shutil, socket, ssl, struct, subprocess, threading, unittest

import proxies_test as bed
from proxies_test import HELLO, STOP, TCP, TMP, curl, dial, event, read_all, records, seen, serve, wait_for

bed.MAPS.update({"127.0.0.18": "127.0.1.17:8000", "127.0.0.19": "127.0.1.18:8000",
                 "127.0.0.15": "127.0.1.14:8000", "127.0.0.16": "127.0.1.15:8000", "127.0.0.17": "127.0.1.16:8443"})
bed.NAMES += ["keep.test=127.0.1.14", "keep.test=127.0.1.17", "keep.test=127.0.1.18", "h2.test=127.0.1.15", "early.test=127.0.1.16", "api.vendor.example=127.0.1.13"]
KEEP, H2, NGHTTPD, NGINX = "127.0.0.15", "127.0.0.16", "127.0.0.18", "127.0.0.19"
heard = []  # what keep-alive connections brought the server, one bytearray each


def keep_alive(conn):
    """Answers each head, keeps the connection, and what it has heard; a WebSocket's upgrade gets its bytes echoed."""
    data, answered, mine = bytearray(), 0, len(heard)
    heard.append(data)
    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while more := conn.recv(65536):
        data += more
        if b"Upgrade: websocket" in data:
            if not answered:
                conn.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
                answered = 1
                more = bytes(data).split(b"\r\n\r\n", 1)[1]
            conn.sendall(more)
            continue
        while bytes(data).count(b"\r\n\r\n") > answered:
            answered += 1
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok%d" % (answered % 10))


def setUpModule():
    bed.setUpModule()
    serve("127.0.1.14", 8000, keep_alive)
    server = ("const h2=require('http2');h2.createServer((q,s)=>s.end('h2 '+q.headers[':authority']))"
              ".listen(8000,'127.0.1.15')")
    bed.spawn(["node", "-e", server])
    bed.spawn(["openssl", "s_server", "-accept", "127.0.1.16:8443", "-cert", TMP + "/cert.pem", "-key", TMP + "/key.pem",
               "-early_data", "-quiet"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.makedirs(TMP + "/www/nginx")
    with open(TMP + "/www/page", "w") as f:
        f.write("a page")
    bed.spawn([shutil.which("nghttpd") or "/usr/sbin/nghttpd", "--no-tls", "-a", "127.0.1.17", "-d", TMP + "/www", "8000"],
              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    temp = "".join(f"{what}_temp_path {TMP}/www/nginx; " for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    with open(TMP + "/nginx.conf", "w") as f:
        f.write(f"daemon off; master_process off; pid {TMP}/nginx.pid; error_log {TMP}/nginx.err; events {{}}\n"
                f"http {{ access_log off; {temp} server {{ listen 127.0.1.18:8000 http2; root {TMP}/www; }} }}\n")
    bed.spawn([shutil.which("nginx") or "/usr/sbin/nginx", "-p", TMP, "-c", TMP + "/nginx.conf", "-g", "user root;"])
    there = [("127.0.1.15", 8000), ("127.0.1.16", 8443), ("127.0.1.17", 8000), ("127.0.1.18", 8000)]
    for at in there:
        def is_there():
            with socket.socket() as s:
                return s.connect_ex(at) == 0
        wait_for("%s:%d" % at, is_there)


tearDownModule = bed.tearDownModule


def get(host, path="/", more=""):
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode()


def answers(s, cnt):
    """Reads until @cnt answers of keep_alive() are there."""
    data = b""
    while data.count(b"200 OK") < cnt or not re.search(rb"ok\d$", data):
        more = s.recv(65536)
        if not more:
            break
        data += more
    return data


class OneRequest(unittest.TestCase):
    """The first request of a connection: refused before anything is dialled, with a page."""

    def ask(self, request):
        before = len(heard)
        s = dial(KEEP)
        s.sendall(request)
        try:
            got = read_all(s)
        except ConnectionResetError:
            got = b"reset"
        s.close()
        self.assertNotIn(b"200 OK", got)
        self.assertFalse(any(b"secret" in h.lower() for h in heard[before:]), heard[before:])
        return got

    def test_every_way_to_name_a_denied_host(self):
        line = b"GET / HTTP/1.1\r\n"
        for what, request in {
            "as it is": get("www.secret.test"),
            "upper case": get("WWW.SECRET.TEST"),
            "trailing dot": get("www.secret.test."),
            "port": get("www.secret.test:8000"),
            "IDNA dots": get("www\u3002secret\uff0etest"),
            "fullwidth letters": get("www.\uff53ecret.test"),
            "an upper-case field": line + b"HOST: www.secret.test\r\n\r\n",
            "no blank": line + b"host:www.secret.test\r\n\r\n",
            "line feeds alone": b"GET / HTTP/1.1\nHost: www.secret.test\n\n",
            "empty lines in front": b"\r\n\r\n" + get("www.secret.test"),
            "an absolute target": b"GET http://www.secret.test/ HTTP/1.1\r\nHost: www.secret.test\r\n\r\n",
            "an absolute target without Host": b"GET http://www.secret.test/ HTTP/1.1\r\n\r\n",
            "an absolute target of HTTP/1.0": b"GET http://www.secret.test/ HTTP/1.0\r\n\r\n",
            "CONNECT": b"CONNECT www.secret.test:443 HTTP/1.1\r\nHost: keep.test\r\n\r\n",
            "CONNECT to a denied address": b"CONNECT 127.0.1.66:443 HTTP/1.1\r\nHost: keep.test\r\n\r\n",
            "another method": b"brew / HTTP/1.1\r\nHost: www.secret.test\r\n\r\n",
            "behind 20 KB of fields": get("www.secret.test", more="A: " + "x" * 20000 + "\r\n"),
            "in front of 20 KB of fields": line + b"Host: www.secret.test\r\nA: " + b"x" * 20000 + b"\r\n\r\n",
        }.items():
            with self.subTest(what):
                got = self.ask(request.encode() if isinstance(request, str) else request)
                self.assertIn(b"403 Forbidden", got)
                self.assertTrue(b"secrets stay here" in got or b"never there" in got, got)

    def test_what_two_servers_could_read_in_two_ways(self):
        line = b"GET / HTTP/1.1\r\n"
        for what, request in {
            "two Hosts": line + b"Host: keep.test\r\nHost: www.secret.test\r\n\r\n",
            "two Hosts, the good one last": line + b"Host: www.secret.test\r\nHost: keep.test\r\n\r\n",
            "a target against its Host": b"GET http://keep.test/ HTTP/1.1\r\nHost: www.secret.test\r\n\r\n",
            "a Host against its target": b"GET http://www.secret.test/ HTTP/1.1\r\nHost: keep.test\r\n\r\n",
            "a folded Host": line + b"Host: keep.test\r\n www.secret.test\r\n\r\n",
            "a blank before the colon": line + b"Host: keep.test\r\nHost : www.secret.test\r\n\r\n",
            "a lone CR": line + b"Host: keep.test\r\nA: b\rHost: www.secret.test\r\n\r\n",
            "a NUL": line + b"Host: keep.test\0.www.secret.test\r\n\r\n",
            "a user": line + b"Host: keep.test@www.secret.test\r\n\r\n",
            "a list": line + b"Host: keep.test, www.secret.test\r\n\r\n",
            "HTTP/2.0 in HTTP/1's form": b"GET / HTTP/2.0\r\nHost: www.secret.test\r\n\r\n",
            "tabs": b"GET\t/\tHTTP/1.1\r\nHost: www.secret.test\r\n\r\n",
            "blanks in front": b" GET / HTTP/1.1\r\nHost: www.secret.test\r\n\r\n",
            "two lengths": line + b"Host: keep.test\r\nContent-Length: 0\r\nContent-Length: 50\r\n\r\n"
                           + get("www.secret.test"),
            "a length and chunks": line + b"Host: keep.test\r\nContent-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                                   + get("www.secret.test"),
            "a name that is none": get("www_secret..test").replace(b"_", b"\x01"),
            "an address as only some read it": get("0x7f.1"),
        }.items():
            with self.subTest(what):
                self.assertIn(b"403 Forbidden", self.ask(request))

    def test_a_denial_of_sni_holds_for_a_host(self):
        got = self.ask(get("x.blocked.test"))
        self.assertIn(b"X-Moonfence-Reason: this name is blocked", got)
        event("net_connect", domain="keep.test", effective_action="blocked", policy_reason="this name is blocked")

    def test_sni_can_route_a_host(self):
        s = dial(KEEP)
        s.sendall(get("routed.test"))
        read_all(s)
        self.assertTrue(seen["routed"][-1].startswith(b"GET / HTTP/1.1\r\nHost: routed.test"))

    def test_a_host_that_is_the_address_itself_says_no_name(self):
        s = dial(KEEP)
        s.sendall(get("127.0.1.14:8000"))
        self.assertIn(b"200 OK", answers(s, 1))

    def test_a_request_that_says_no_name_goes_where_it_was_going(self):
        s = dial(KEEP)
        s.sendall(b"GET / HTTP/1.0\r\n\r\n" * 2)
        self.assertEqual(answers(s, 2).count(b"200 OK"), 2)

    def test_a_head_that_does_not_come_to_its_end_is_refused_in_time(self):
        before = len(heard)
        s = dial(KEEP, bed.QUICK)
        s.sendall(b"GET / HTTP/1.1\r\nHost: keep.te")
        self.assertIn(b"403 Forbidden", read_all(s))
        self.assertNotIn(b"GET", b"".join(heard[before:]))


class LaterRequests(unittest.TestCase):
    def start(self, first=None):
        self.before = len(heard)
        s = dial(KEEP)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.sendall(first or get("keep.test"))
        return s

    def heard(self):
        return b"".join(heard[self.before:])

    def assert_ended(self, s, cnt):
        got = answers(s, cnt + 1)  # which do not come: the connection ends
        self.assertEqual(got.count(b"200 OK"), cnt)
        self.assertNotIn(b"secret", self.heard())

    def test_the_same_host_goes_on_however_it_is_written(self):
        s = self.start()
        answers(s, 1)
        for host in ("keep.test", "KEEP.test", "keep.test.", "keep.test:8000", "127.0.1.14"):
            s.sendall(get(host))
            self.assertIn(b"200 OK", answers(s, 1))

    def test_another_denied_host_ends_the_connection(self):
        s = self.start()
        answers(s, 1)
        s.sendall(get("www.secret.test"))
        self.assert_ended(s, 0)
        e = event("net_connect", domain="www.secret.test", effective_action="blocked")
        self.assertEqual(e["policy_reason"], "secrets stay here")

    def test_a_pipelined_denied_request_leaves_the_first_its_answer(self):
        for cut in range(0, 70, 9):
            both = get("keep.test") + get("www.secret.test")
            s = self.start(both[:cut + 3])
            s.sendall(both[cut + 3:])
            self.assert_ended(s, 1)

    def test_a_denied_request_behind_a_body_is_found(self):
        body = b"POST / HTTP/1.1\r\nHost: keep.test\r\n"
        for head in (body + b"Content-Length: 5\r\n\r\nhello",
                     body + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n"):
            s = self.start(head)
            s.sendall(get("www.secret.test"))
            answers(s, 9)
            self.assertNotIn(b"secret", self.heard())

    def test_what_is_only_in_a_body_is_nobodys_request(self):
        inner = get("www.secret.test")
        s = self.start(b"POST / HTTP/1.1\r\nHost: keep.test\r\nContent-Length: %d\r\n\r\n" % len(inner) + inner)
        s.sendall(get("keep.test", "/after"))
        wait_for("the request behind it", lambda: b"/after" in self.heard())
        self.assertIn(inner, self.heard())

    def test_a_request_whose_name_is_routed_elsewhere_gets_a_connection_of_its_own(self):
        s = self.start()
        answers(s, 1)
        s.sendall(get("routed.test"))
        self.assert_ended(s, 0)
        self.assertNotIn(b"routed.test", self.heard())
        event("net_connect", domain="routed.test", effective_action="blocked")

    def test_a_request_that_cannot_be_followed_ends_the_connection(self):
        s = self.start()
        answers(s, 1)
        s.sendall(b"GET / HTTP/1.1\r\nHost: keep.test\r\nHost: www.secret.test\r\n\r\n")
        self.assert_ended(s, 0)

    def test_a_first_line_that_comes_slowly_passes_and_is_still_found_out(self):
        s = self.start(b"GET / HT")
        wait_for("the words that were held for a moment", lambda: self.heard() == b"GET / HT")
        s.sendall(b"TP/1.1\r\nHost: www.")
        s.sendall(b"secret.test\r\n\r\n")
        self.assert_ended(s, 0)

    def test_words_that_are_no_http_pass_after_a_moment(self):
        s = self.start(b"hello")
        wait_for("hello", lambda: self.heard() == b"hello")
        s.sendall(b" GET /\r\n" + get("www.other.test"))
        wait_for("the rest", lambda: self.heard().endswith(get("www.other.test")))

    def test_a_big_body_arrives_whole(self):
        body = os.urandom(3_000_000)
        s = self.start(b"PUT / HTTP/1.1\r\nHost: keep.test\r\nContent-Length: %d\r\n\r\n" % len(body))
        s.sendall(body)
        wait_for("the body", lambda: len(self.heard()) > len(body))
        self.assertEqual(self.heard().split(b"\r\n\r\n", 1)[1], body)

    def test_a_websocket_passes_and_is_not_read(self):
        s = self.start(get("keep.test", more="Connection: Upgrade\r\nUpgrade: websocket\r\n"))
        self.assertIn(b"101 Switching", s.recv(65536))
        frame = b"\x81\x85key!" + get("www.secret.test")
        s.sendall(frame)
        got = b""
        while len(got) < len(frame):
            got += s.recv(65536)
        self.assertEqual(got, frame)

    def test_behind_an_upgrade_that_did_not_happen_requests_are_read(self):
        for glue in (b"", b"\r\n"):
            s = self.start(get("keep.test", more="Connection: Upgrade\r\nUpgrade: nothing\r\n"))
            answers(s, 1)
            s.sendall(glue + get("www.secret.test"))
            self.assert_ended(s, 0)

    def test_behind_connect_the_name_of_the_hello_counts_as_well(self):
        s = self.start(b"CONNECT keep.test:8000 HTTP/1.1\r\n\r\n")
        answers(s, 1)
        s.sendall(bed.with_name("spoofed.secret.test"[1:]))
        self.assert_ended(s, 0)


def connections_to(addr):
    """How many connections are open to @addr, by the kernel's table."""
    hexed = "%02X" * 4 % tuple(reversed(socket.inet_aton(addr)))
    with open("/proc/net/tcp") as f:
        return sum(1 for line in list(f)[1:] if line.split()[2].startswith(hexed + ":") and line.split()[3] == "01")


def h2_frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def h2_request(stream, authority, key=b"\x01"):
    """GET / with the authority written out: key 0x01: not remembered, 0x41: remembered."""
    return h2_frame(1, 5, stream, b"\x82\x86\x84" + key + bytes([len(authority)]) + authority.encode())


GREETING = h2_frame(4, 0, 0, b"")  # the proxy's, for who waits for settings
ACK = h2_frame(4, 1, 0, b"")
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + h2_frame(4, 0, 0, b"")


class Http2(unittest.TestCase):
    def test_curl_with_prior_knowledge_and_by_upgrade_gets_its_answers(self):
        for how in ("--http2-prior-knowledge",):
            r = curl(H2, "http://h2.test/", how)
            self.assertIn("h2 h2.test", r.stdout)

    def test_curl_with_a_denied_authority_gets_nothing(self):
        r = curl(H2, "http://h2.test/", "--http2-prior-knowledge", "-H", "Host: www.secret.test")
        self.assertNotIn("h2 ", r.stdout, r)
        event("net_connect", domain="www.secret.test", effective_action="blocked")

    def test_each_stream_is_judged(self):
        before = len(heard)
        s = dial(KEEP)
        s.sendall(PREFACE + h2_request(1, "keep.test", b"\x41"))
        wait_for("the first", lambda: b"keep.test" in b"".join(heard[before:]))
        s.sendall(h2_frame(1, 5, 3, b"\x82\x86\x84\xbe"))  # the same again, by its place in the table
        size = len(PREFACE) + len(h2_request(1, "keep.test", b"\x41")) + 9 + 4
        wait_for("the second", lambda: len(b"".join(heard[before:])) == size)
        s.sendall(h2_request(5, "www.secret.test") + h2_request(7, "keep.test"))
        self.assertEqual(read_all(s).count(b"secret"), 0)
        self.assertEqual(len(b"".join(heard[before:])), size)

    def test_a_client_that_waits_for_settings_is_judged_before_anything_is_sent(self):
        for authority, to in (("routed.test", "routed"), ("www.secret.test", None), ("keep.test", "keep")):
            with self.subTest(authority):
                before, routed = len(heard), len(seen.get("routed", []))
                s = dial(KEEP)
                s.sendall(PREFACE)
                self.assertEqual(s.recv(9, socket.MSG_WAITALL), GREETING)
                request = h2_request(1, authority)
                s.sendall(ACK + request)
                if to == "keep":
                    wait_for("the request", lambda: b"".join(heard[before:]) == PREFACE + request)
                    s.sendall(ACK + h2_request(3, authority))  # the second acknowledgement is the server's
                    wait_for("the next", lambda: b"".join(heard[before:]) == PREFACE + request + ACK + h2_request(3, authority))
                    continue
                try:
                    read_all(s)
                except ConnectionResetError:
                    pass
                self.assertEqual(b"".join(heard[before:]), b"")
                if to:
                    self.assertEqual(seen[to][routed:], [PREFACE + request])

    def test_our_settings_are_acknowledged_once_however_the_bytes_are_cut(self):
        request = h2_request(1, "keep.test")
        for words in (request + ACK, request + ACK + ACK, ACK + request + ACK, h2_frame(6, 0, 0, b"12345678") + ACK + request,
                      request + h2_frame(0, 1, 1, b"x" * 3000) + ACK + h2_request(3, "keep.test")):
            for size in (1, 7, 10000):
                before = len(heard)
                s = dial(KEEP)
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                s.sendall(PREFACE)
                self.assertEqual(s.recv(9, socket.MSG_WAITALL), GREETING)
                for i in range(0, len(words), size):
                    s.sendall(words[i:i + size])
                want = PREFACE + words.replace(ACK, b"", 1)
                wait_for("all but our answer", lambda: len(b"".join(heard[before:])) >= len(want))
                self.assertEqual(b"".join(heard[before:]), want)
                s.close()

    def test_a_client_that_has_nothing_to_ask_is_passed_on_and_judged_later(self):
        before = len(heard)
        s = dial(KEEP, bed.QUICK)
        s.sendall(PREFACE)
        self.assertEqual(s.recv(9, socket.MSG_WAITALL), GREETING)
        wait_for("the preface", lambda: b"".join(heard[before:]) == PREFACE)
        s.sendall(ACK + h2_request(1, "keep.test"))
        wait_for("the request", lambda: b"".join(heard[before:]) == PREFACE + h2_request(1, "keep.test"))
        s.sendall(h2_request(3, "www.secret.test"))
        read_all(s)
        self.assertEqual(b"".join(heard[before:]), PREFACE + h2_request(1, "keep.test"))

    def test_a_server_that_says_its_settings_first_is_heard_once_the_client_has_asked(self):
        s = dial(H2)
        wait_for("the connection to the server", lambda: connections_to("127.0.1.15"))
        s.sendall(PREFACE)
        self.assertEqual(s.recv(9, socket.MSG_WAITALL), GREETING)
        s.sendall(ACK + h2_request(1, "h2.test"))
        got = b""
        while b"h2 h2.test" not in got:
            more = s.recv(65536)
            self.assertTrue(more, got)
            got += more
        self.assertEqual(got[3:5], b"\x04\x00")  # its settings come first
        s.sendall(h2_request(3, "www.secret.test"))
        self.assertNotIn(b"h2 www", read_all(s))
        event("net_connect", domain="www.secret.test", effective_action="blocked")

    def test_a_client_that_waits_even_for_the_servers_settings_gets_them_in_time(self):
        s = dial(H2, bed.QUICK)
        s.recv(9)
        s.sendall(PREFACE + h2_request(1, "www.secret.test"))
        self.assertNotIn(b"h2 www", read_all(s))

    def test_nghttp_and_h2load_get_their_answers_of_nghttpd_and_nginx(self):
        for at in (NGHTTPD, NGINX):
            for argv in (["nghttp", "-v", f"http://{at}:{TCP}/page", "-H:authority: keep.test"],
                         ["h2load", "-n", "200", "-c", "4", "-m", "10", f"http://{at}:{TCP}/page", "-H:authority: keep.test"]):
                with self.subTest(argv=argv):
                    r = subprocess.run(argv, capture_output=True, text=True, timeout=120)
                    self.assertEqual(r.returncode, 0, r)
                    self.assertIn("200 succeeded" if argv[0] == "h2load" else ":status: 200", r.stdout)
            denied = subprocess.run(["nghttp", f"http://{at}:{TCP}/page", "-H:authority: www.secret.test"], capture_output=True,
                                    text=True, timeout=120)
            self.assertNotIn("a page", denied.stdout)

    def test_node_and_curl_get_their_answers_of_nghttpd_and_nginx(self):
        script = ("const c=require('http2').connect('http://'+process.argv[1]);"
                  "const q=c.request({':path':'/page',':authority':process.argv[2]});let t='';"
                  "q.on('response',h=>t+=h[':status']+' ');q.on('data',d=>t+=d);"
                  "q.on('end',()=>{console.log(t);c.close()});q.on('error',()=>process.exit(1));c.on('error',()=>process.exit(1))")
        for at in (NGHTTPD, NGINX):
            for authority, want in (("keep.test", "200 a page"), ("www.secret.test", "")):
                r = subprocess.run(["node", "-e", script, f"{at}:{TCP}", authority], capture_output=True, text=True, timeout=120)
                self.assertEqual(r.stdout.strip(), want, r)
            self.assertIn("a page", curl(at, "http://keep.test/page", "--http2-prior-knowledge").stdout)

    def test_a_block_that_nobody_can_read_ends_the_connection(self):
        before = len(heard)
        s = dial(KEEP)
        s.sendall(PREFACE + h2_frame(1, 5, 1, b"\x82\xff\xff\xff\xff\xff\xff"))
        with self.assertRaises(ConnectionResetError):
            read_all(s)
        self.assertNotIn(b"\xff\xff", b"".join(heard[before:]))


def hello_with(*extensions):
    """The recorded hello with these in place of its server_name extension."""
    at = HELLO.index(b"api.vendor.example") - 9
    exts_at = 44 + HELLO[43]  # behind the session's id
    exts_at += 2 + struct.unpack(">H", HELLO[exts_at:exts_at + 2])[0]
    exts_at += 1 + HELLO[exts_at]
    body = HELLO[exts_at + 2:at] + b"".join(extensions) + HELLO[at + 27:]
    msg = HELLO[9:exts_at] + struct.pack(">H", len(body)) + body
    msg = b"\x01" + struct.pack(">I", len(msg))[1:] + msg
    return b"\x16\x03\x01" + struct.pack(">H", len(msg)) + msg


def sni(*names, kind=0):
    entries = b"".join(bytes([kind]) + struct.pack(">H", len(n)) + n for n in names)
    return struct.pack(">HHH", 0, len(entries) + 2, len(entries)) + entries


ACCESS_DENIED, DECODE_ERROR, UNRECOGNIZED = (b"\x15\x03\x03\x00\x02\x02" + bytes([a]) for a in (49, 50, 112))


class ServerNames(unittest.TestCase):
    """A name that is not allowed does not get through, however it is written; what cannot be one name is refused."""

    def assert_refused(self, wire, alert):
        before = len(seen.get("shared", []))
        s = dial("127.0.0.9")  # shared by one.test, which is allowed, and x.secret.test
        s.sendall(wire)
        self.assertEqual(read_all(s), alert)
        self.assertEqual(len(seen.get("shared", [])), before)

    def test_the_allowed_name_passes(self):
        for name in (b"one.test", b"ONE.Test", b"one.test."):
            before = len(seen.get("shared", []))
            s = dial("127.0.0.9")
            s.sendall(hello_with(sni(name)))
            read_all(s)
            self.assertEqual(len(seen["shared"]), before + 1, name)
            self.assertIn(name, seen["shared"][-1])  # as it was written

    def test_a_denied_name_in_every_writing(self):
        for what, name in {"as it is": b"x.secret.test", "upper case": b"X.SECRET.TEST", "trailing dot": b"x.secret.test.",
                           "U-label": "b\u00fccher.secret.test".encode(), "A-label": b"xn--bcher-kva.secret.test",
                           "A-label in upper case": b"XN--BCHER-KVA.SECRET.TEST",
                           "IDNA dots": "x\u3002secret\uff0etest".encode(), "fullwidth": "x.\uff53ecret.test".encode(),
                           "ignored code points": "x.sec\u00adret.test".encode(),
                           "not of this address": b"other.secret.test"}.items():
            with self.subTest(what):
                for wire in (hello_with(sni(name)), records(hello_with(sni(name)), 7)):
                    self.assert_refused(wire, ACCESS_DENIED)

    def test_what_can_be_read_in_two_ways(self):
        one, two = b"one.test", b"x.secret.test"
        for what, exts in {"two extensions": (sni(one), sni(two)), "two of the same": (sni(one), sni(one)),
                           "two names": (sni(one, two),), "a NUL inside": (sni(b"one.test\0.secret.test"),),
                           "a NUL behind": (sni(b"one.test\0"),), "no name": (sni(),), "an empty name": (sni(b""),),
                           "another type of name": (sni(one, kind=1),), "too long": (sni(b"a." * 128 + b"test"),)}.items():
            with self.subTest(what):
                self.assert_refused(hello_with(*exts), DECODE_ERROR)

    def test_what_is_no_name(self):
        for name in (b"one.test..", b".one.test", b"one..test", b"one test", b"one.test:443", b"[one.test]", b"one.test/",
                     b"a" * 64 + b".test", b"*.test", b"\xff\xfe.test", b"0x7f.1", b"2130706433", b"127.1"):
            with self.subTest(name):
                self.assert_refused(hello_with(sni(name)), UNRECOGNIZED)

    def test_an_address_in_place_of_a_name(self):
        # its own says no name, another one is judged as if it were dialled
        self.assert_refused(hello_with(sni(b"127.0.1.66")), ACCESS_DENIED)
        self.assert_refused(hello_with(sni(b"127.0.1.6")), ACCESS_DENIED)  # no name: the strictest of the address' names
        before = len(seen.get("vendor", []))
        s = dial("127.0.0.14")
        s.sendall(hello_with(sni(b"127.0.1.13")))
        read_all(s)
        self.assertEqual(len(seen["vendor"]), before + 1)

    def test_a_name_that_no_answer_for_the_address_explains_is_known_as_such(self):
        s = dial("127.0.0.3")
        s.sendall(hello_with(sni(b"strict.test")))
        self.assertEqual(read_all(s), UNRECOGNIZED)
        e = event("net_tls_hello", sni="strict.test", effective_action="blocked")
        self.assertEqual((e["sni_verified"], e["policy_reason"]), (False, "not its address"))

    def test_an_encrypted_hello_is_known_by_a_public_name_of_others(self):
        ech = b"\xfe\x0d\0\x14\0\0\1\0\1\7\0\4keys\0\6hidden"
        s = dial("127.0.0.3")  # plain.test's
        s.sendall(hello_with(sni(b"public.test"), ech))
        self.assertEqual(read_all(s), UNRECOGNIZED)
        event("net_tls_hello", sni="public.test", effective_action="blocked", policy_reason="encrypted ClientHello")
        # a decoy has the name that led here
        s = dial("127.0.0.3")
        s.sendall(hello_with(sni(b"plain.test"), ech))
        s.recv(1)
        event("net_tls_hello", sni="plain.test", effective_action="allowed")
        # in the middle of another protocol
        s = dial("127.0.0.5")
        s.sendall(b"STARTTLS\r\n" + hello_with(sni(b"later.test"), ech))
        try:
            self.assertEqual(read_all(s)[-1:], UNRECOGNIZED[-1:])
        except ConnectionResetError:
            pass
        event("net_tls_hello", sni="later.test", effective_action="blocked", policy_reason="encrypted ClientHello")


class Hellos(unittest.TestCase):
    def test_a_hello_of_sslv2_form_is_handed_on_under_connects_verdict(self):
        hello = struct.pack(">H", 0x8000 | (9 + 3 + 16)) + b"\x01\x03\x01\0\x03\0\0\0\x10\x01\0\x80" + b"c" * 16
        before = len(seen.get("vendor", []))
        s = dial("127.0.0.14")
        s.sendall(hello)
        read_all(s)
        self.assertEqual(seen["vendor"][before:], [hello])
        s = dial("127.0.0.6")
        s.sendall(hello)
        with self.assertRaises(ConnectionResetError):
            s.recv(1)

    def test_what_is_no_tls_is_handed_on_at_once(self):
        # the server's answer comes although the client keeps its connection open and says no more
        for words in (b"SSH-2.0-x\r\n", b"\0\0\0\x08\x04\xd2\x16\x2f", b"\x17\x03\x03\0\1x", b"\x80\x10\x02abc"):
            s = dial("127.0.0.14")
            s.sendall(words)
            self.assertEqual(read_all(s), b"\x15\x03\x03\x00\x02\x02\x28")
            self.assertEqual(seen["vendor"][-1], words)

    def test_big_hellos_in_many_records_reach_the_server_as_they_were(self):
        data = os.environ["MF_TEST_DATA"] + "/hello/"
        for client in ("chromium", "firefox", "java", "erlang"):
            wire = open(data + client + ".bin", "rb").read()
            for size in (16384, 600, 5, 1):
                cut = records(wire, size)
                s = dial("127.0.0.14")
                got = len(seen.get("vendor", []))
                s.sendall(cut)
                read_all(s)
                self.assertEqual(seen["vendor"][got], cut[:65536], (client, size))

    def test_early_data_goes_with_its_hello(self):
        ses, msg = TMP + "/early.ses", TMP + "/early.msg"
        open(msg, "w").write("early words\n")
        at = f"127.0.0.17:{TCP}"
        base = ["openssl", "s_client", "-connect", at, "-servername", "early.test"]
        first = bed.spawn(base + ["-sess_out", ses], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("a session", lambda: os.path.exists(ses) and os.path.getsize(ses))
        first.communicate(b"Q\n", 20)  # an end without its alert would make the server forget the session
        second = bed.spawn(base + ["-sess_in", ses, "-early_data", msg], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL)
        out = b""
        while not re.search(rb"Early data was [a-z ]+\n", out):
            more = os.read(second.stdout.fileno(), 65536)
            self.assertTrue(more, out)
            out += more
        second.kill()
        self.assertIn(b"Early data was accepted", out)


if __name__ == "__main__":
    unittest.main(verbosity=1)

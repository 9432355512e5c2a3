#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TLS that begins in the middle of a connection: STARTTLS of many protocols with OpenSSL's client, second hellos, tunnels."""
import re, socket, ssl, struct, subprocess, threading, time, unittest

import proxies_test as bed
from proxies_test import HELLO, TCP, TMP, dial, event, read_all, serve, wait_for, with_name

names = []  # that hellos said to the servers
raw = []  # what came to a server that only listens, one bytearray for each connection


def line(c):
    data = b""
    while not data.endswith(b"\n"):
        more = c.recv(1)
        if not more:
            raise OSError("ended")
        data += more
    return data.strip().upper()


def of_lines(greeting, answers, last):
    """A server that greets, answers by a line's words, and begins TLS behind the one that is @last."""
    def handler(c):
        c.sendall(greeting)
        while True:
            said = line(c)
            for word, answer in answers.items():
                if word in said:
                    c.sendall(answer)
                    break
            else:
                c.sendall(b"250 ok\r\n")
            if said.endswith(last):
                return
    return handler


def xmpp(c):
    data = b""
    while b"<starttls" not in data:
        if b"<stream:stream" in data and b"?>" in data or b"xmlns" in data and data.endswith(b">"):
            c.sendall(b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
                      b" id='1' version='1.0'><stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
                      b"</stream:features>")
            data = b""
        more = c.recv(4096)
        if not more:
            raise OSError("ended")
        data += more
    c.sendall(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")


def postgres(c):
    assert c.recv(8, socket.MSG_WAITALL) == b"\0\0\0\x08\x04\xd2\x16\x2f"
    c.sendall(b"S")


def mysql(c):
    greeting = (b"\x0a5.7.1\0" + b"\x01\0\0\0" + b"12345678\0" + struct.pack("<H", 0xffff) + b"\x21\x02\0" + struct.pack("<H", 0xffff) +
                b"\x15" + b"\0" * 10 + b"123456789012\0" + b"mysql_native_password\0")
    c.sendall(struct.pack("<I", len(greeting))[:3] + b"\0" + greeting)
    head = c.recv(4, socket.MSG_WAITALL)
    c.recv(head[0] | head[1] << 8, socket.MSG_WAITALL)


def ldap(c):
    head = c.recv(2, socket.MSG_WAITALL)
    c.recv(head[1], socket.MSG_WAITALL)
    c.sendall(b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\0\x04\0\x04\0")


SMTP = of_lines(b"220 mail\r\n", {b"EHLO": b"250-mail\r\n250 STARTTLS\r\n", b"LHLO": b"250-mail\r\n250 STARTTLS\r\n",
                                  b"STARTTLS": b"220 go\r\n"}, b"STARTTLS")
PROTOCOLS = {
    "smtp": SMTP,
    "lmtp": SMTP,
    "imap": of_lines(b"* OK hello\r\n", {b"CAPABILITY": b"* CAPABILITY IMAP4rev1 STARTTLS\r\n. OK\r\n", b"STARTTLS": b". OK\r\n"},
                     b"STARTTLS"),
    "pop3": of_lines(b"+OK hello\r\n", {b"STLS": b"+OK go\r\n"}, b"STLS"),
    "ftp": of_lines(b"220 files\r\n", {b"FEAT": b"211-Features:\r\n AUTH TLS\r\n211 End\r\n", b"AUTH TLS": b"234 go\r\n"}, b"AUTH TLS"),
    "nntp": of_lines(b"200 news\r\n", {b"CAPABILITIES": b"101 list\r\nSTARTTLS\r\n.\r\n", b"STARTTLS": b"382 go\r\n"}, b"STARTTLS"),
    "xmpp": xmpp,
    "postgres": postgres,
    "mysql": mysql,
    "ldap": ldap,
}
WHERE = {name: f"127.0.0.{30 + i}" for i, name in enumerate(PROTOCOLS)}
LISTENER, RETRIES, QUIET, TUNNELS = "127.0.0.29", "127.0.0.28", "127.0.0.27", "127.0.0.26"
bed.MAPS.update({at: f"127.0.3.{30 + i}:2525" for i, at in enumerate(WHERE.values())})
bed.MAPS.update({LISTENER: "127.0.3.29:2525", RETRIES: "127.0.3.28:8443", QUIET: "127.0.3.27:8000", TUNNELS: "127.0.3.26:8000"})
bed.NAMES += [f"mail.test=127.0.3.{30 + i}" for i in range(len(PROTOCOLS))] + ["mail.test=127.0.3.29", "again.test=127.0.3.28",
                                                                              "quiet.test=127.0.3.27", "proxy.test=127.0.3.26"]

# A proxy of tunnels in HTTP/2: wherever they are to lead, they come to one server.
NODE_PROXY = """const net = require('net');
require('http2').createServer({ settings: { enableConnectProtocol: true } }).on('stream', (s, h) => {
  s.on('error', () => {});
  if (h[':protocol']) { s.respond({ ':status': 200 }); s.pipe(s); return; }
  if (h[':method'] !== 'CONNECT') { s.respond({ ':status': 200 }); s.end('asked for ' + h[':authority']); return; }
  const to = net.connect(8443, '127.0.1.1', () => { s.respond({ ':status': 200 }); s.pipe(to).pipe(s); });
  to.on('error', () => s.close());
}).listen(8000, '127.0.3.26');"""
# node -e ... PROXY SERVERNAME...: a tunnel for each name, all in one connection; what the servers' certificates say
NODE_CLIENT = """const tls = require('tls'), names = process.argv.slice(2);
const c = require('http2').connect('http://' + process.argv[1]);
let left = names.length;
const done = (name, what) => { console.log(name, what); if (--left === 0) c.destroy(); };
c.on('error', () => {});
for (const name of names) {
  const s = c.request({ ':method': 'CONNECT', ':authority': 'proxy.test:443' });
  let told = false;
  const tell = what => { if (!told) { told = true; done(name, what); } };
  s.on('error', () => tell('ended'));
  s.on('close', () => tell('ended'));
  s.on('response', () => {
    const t = tls.connect({ socket: s, servername: name, rejectUnauthorized: false },
                          () => { tell(t.getPeerCertificate().subject.CN); t.destroy(); s.close(); });
    t.on('error', () => tell('ended'));
  });
}"""
NODE_SOCKET = """const c = require('http2').connect('http://' + process.argv[1]);
c.on('error', () => {});
c.request({ ':authority': 'proxy.test' }).resume().on('end', () => {
  const s = c.request({ ':method': 'CONNECT', ':protocol': 'websocket', ':authority': process.argv[2], ':path': '/' });
  s.on('error', () => {});
  s.on('data', d => { console.log('echo', d.toString()); c.destroy(); });
  s.on('close', () => c.destroy());
  s.write('words');
});"""


def setUpModule():
    bed.setUpModule()
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(TMP + "/cert.pem", TMP + "/key.pem")
    ctx.sni_callback = lambda sock, name, ctx: names.append(name)

    def starttls(words):
        def handler(c):
            words(c)
            with ctx.wrap_socket(c, server_side=True) as s:
                s.sendall(b"inside\n")
                s.recv(100)
        return handler
    for i, words in enumerate(PROTOCOLS.values()):
        serve(f"127.0.3.{30 + i}", 2525, starttls(words))

    def listen(c):
        data = bytearray()
        raw.append(data)
        c.sendall(b"220 say\r\n")
        while more := c.recv(65536):
            data += more
            if data.endswith(b"\n"):
                c.sendall(b"250 ok\r\n")
    serve("127.0.3.29", 2525, listen)

    def keep(c):
        data = bytearray()
        raw.append(data)
        while more := c.recv(65536):
            data += more
    serve("127.0.3.27", 8000, keep)
    bed.spawn(["node", "-e", NODE_PROXY])
    bed.spawn(["openssl", "s_server", "-accept", "127.0.3.28:8443", "-cert", TMP + "/cert.pem", "-key", TMP + "/key.pem",
               "-groups", "P-384", "-www", "-quiet"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    for at in (("127.0.3.28", 8443), ("127.0.3.26", 8000)):
        def is_there():
            with socket.socket() as s:
                return s.connect_ex(at) == 0
        wait_for("%s:%d" % at, is_there)


tearDownModule = bed.tearDownModule


def s_client(at, name, *more):
    return subprocess.run(["openssl", "s_client", "-connect", f"{at}:{TCP}", "-servername", name, *more], input="", text=True,
                          capture_output=True, timeout=120)


class Starttls(unittest.TestCase):
    def test_the_name_behind_each_protocols_words_is_asked_about(self):
        for protocol, at in WHERE.items():
            with self.subTest(protocol):
                before = len(names)
                r = s_client(at, "other.test", "-starttls", protocol)
                self.assertIn("Verification error", r.stdout, r)
                self.assertEqual(names[before:], ["other.test"])

    def test_a_denied_name_gets_an_alert_and_the_server_sees_no_hello(self):
        for protocol, at in WHERE.items():
            for name, number in (("x.blocked.test", 112), ("www.secret.test", 49)):
                with self.subTest(protocol=protocol, name=name):
                    before = len(names)
                    r = s_client(at, name, "-starttls", protocol)
                    self.assertIn(f"SSL alert number {number}", r.stderr)
                    self.assertEqual(names[before:], [])
        event("net_connect", domain="www.secret.test", effective_action="blocked")

    def test_a_name_that_would_go_elsewhere_comes_too_late(self):
        before = len(names)
        r = s_client(WHERE["smtp"], "routed.test", "-starttls", "smtp")
        self.assertIn("SSL alert number 49", r.stderr)
        self.assertEqual(names[before:], [])

    def say(self, s, words):
        s.sendall(words)
        data = b""
        while not data.endswith(b"\n"):
            data += s.recv(4096)

    def assert_unheard(self, s, cnt):
        self.assertEqual(read_all(s), b"\x15\x03\x03\0\2\2\x31")
        self.assertEqual(len(raw[-1]), cnt)
        s.close()

    def test_a_hello_is_found_behind_any_number_of_words(self):
        denied = with_name("spoofed.secret.test"[1:])
        for cnt in (1, 40, 120):
            s = dial(LISTENER)
            s.recv(100)
            for _ in range(cnt):
                self.say(s, b"NOOP " + b"x" * 1000 + b"\r\n")
            self.say(s, b"STARTTLS\r\n")
            s.sendall(denied)
            self.assert_unheard(s, cnt * 1007 + 10)

    def test_a_hello_is_found_behind_bulk(self):
        s = dial(LISTENER)
        s.recv(100)
        bulk = b"\0" * 6_000_000 + b"\n"
        self.say(s, bulk)
        self.say(s, b"STARTTLS\r\n")
        for i in range(0, len(HELLO), 100):
            s.sendall(with_name("spoofed.secret.test"[1:])[i:i + 100])
        self.assert_unheard(s, len(bulk) + 10)

    def test_a_hello_that_waits_for_no_answer_is_found(self):
        for first in (b"", b"EHLO me\r\n"):
            s = dial(LISTENER)
            if first:
                self.say(s, first)
            s.sendall(b"STARTTLS\r\n" + with_name("spoofed.secret.test"[1:]))
            try:
                read_all(s)
            except ConnectionResetError:
                pass
            self.assertNotIn(b"secret", raw[-1])
            s.close()

    def test_other_words_with_such_bytes_pass(self):
        words = [b"\x16\n", b"\x16\x03\n", b"\x16\x03\x01\0\x05\x02abcd\n", b"a\x16\x03\x01\0\x20\x01\0\0\x1c\x09\x03\n"] * 3
        s = dial(LISTENER)
        s.recv(100)
        for w in words:
            self.say(s, w)
        self.assertEqual(bytes(raw[-1]), b"".join(words))


class SecondHello(unittest.TestCase):
    """A server may ask for another hello (HelloRetryRequest); some go by the second one's name."""

    def test_a_server_that_asks_again_is_reached(self):
        for more in ([], ["-tls1_3"]):
            r = s_client(RETRIES, "again.test", "-groups", "X25519:P-384", "-msg", *more)
            self.assertEqual(r.stdout.count("ClientHello"), 2)
            self.assertIn("Cipher is TLS_", r.stdout)

    def test_a_second_hello_with_another_name_does_not_reach_it(self):
        first, second = with_name("an-other-name.test"), with_name("spoofed.secret.test"[1:])
        for between in (b"", b"\x14\x03\x03\0\1\1", b"\x15\x03\x03\0\2\1\x5a"):
            before = len(bed.seen.get("vendor", []))
            s = dial("127.0.0.14")
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s.sendall(first)
            wait_for("the first", lambda: len(bed.seen.get("vendor", [])) > before)
            s.sendall(between + second)
            read_all(s)
            event("net_connect", effective_action="blocked",
                  policy_reason="a second ClientHello that is malformed, or names somebody else")
            s.close()


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def ask(stream, method, authority, protocol=b"", flags=4):
    fields = b"\x02" + bytes([len(method)]) + method
    if protocol:
        fields += b"\0\x09:protocol" + bytes([len(protocol)]) + protocol
    return frame(1, flags, stream, fields + b"\x01" + bytes([len(authority)]) + authority)


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"")
DENIED = with_name("spoofed.secret.test"[1:])


def in_frames(stream, data, size):
    return b"".join(frame(0, 0, stream, data[i:i + size]) for i in range(0, len(data), size))


class Tunnels(unittest.TestCase):
    def start(self, words):
        before = len(raw)
        s = dial(QUIET)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.sendall(words)
        wait_for("the words", lambda: any(bytes(r) == words for r in raw[before:]))
        return s, next(r for r in raw[before:] if bytes(r) == words)

    def assert_ends(self, s, data, cnt):
        read_all(s)
        self.assertEqual(len(data), cnt)
        s.close()

    def test_a_denied_name_inside_does_not_pass(self):
        tunnel = PREFACE + ask(1, b"CONNECT", b"quiet.test:443")
        nested = PREFACE + ask(1, b"CONNECT", b"quiet.test:443")
        for what, words in {
            "a hello": DENIED,
            "STARTTLS": b"EHLO me\r\nSTARTTLS\r\n" + DENIED,
            "a request": b"GET / HTTP/1.1\r\nHost: www.secret.test\r\n\r\n",
            "a tunnel": b"CONNECT www.secret.test:443 HTTP/1.1\r\n\r\n",
            "a hello in a tunnel": b"CONNECT quiet.test:443 HTTP/1.1\r\n\r\n" + DENIED,
            "HTTP/2": PREFACE + ask(1, b"GET", b"www.secret.test", flags=5),
            "a hello in HTTP/2's tunnel": nested + in_frames(1, DENIED, 100),
        }.items():
            for size in (16000, 50, 1):
                with self.subTest(what=what, size=size):
                    s, data = self.start(tunnel)
                    s.sendall(in_frames(1, words, size))
                    read_all(s)
                    # a first line may pass before it says that it is one
                    said = bytes(data).replace(in_frames(1, b"x", 1)[:9], b"")
                    self.assertNotIn(b"secret.test" + words[-1:] if what == "a tunnel" else b"secret", said)
                    self.assertNotIn(words[-12:], said)
                    s.close()

    def test_other_streams_go_on_behind_a_hello_that_is_whole(self):
        tunnel = PREFACE + ask(1, b"CONNECT", b"quiet.test:443")
        hello = with_name("an-other-name.test")
        first, second = in_frames(1, hello[:100], 30), in_frames(1, hello[100:], 30)
        between = ask(3, b"GET", b"quiet.test", flags=5) + frame(6, 0, 0, b"12345678")
        s, data = self.start(tunnel)
        s.sendall(first + between)
        s.sendall(second)
        wait_for("all of it", lambda: len(data) == len(tunnel + first + between + second))
        self.assertEqual(bytes(data), tunnel + first + between + second)
        s.sendall(ask(5, b"GET", b"www.secret.test", flags=5))
        self.assert_ends(s, data, len(tunnel + first + between + second))

    def test_tunnels_in_tunnels_of_http1_are_read(self):
        words = b"CONNECT quiet.test:443 HTTP/1.1\r\n\r\n" * 6
        for last in (DENIED, b"CONNECT www.secret.test:443 HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: www.secret.test\r\n\r\n",
                     PREFACE + ask(1, b"GET", b"www.secret.test", flags=5), b"EHLO me\r\nSTARTTLS\r\n" + DENIED):
            s, data = self.start(words)
            s.sendall(last)
            read_all(s)
            self.assertNotIn(b"secret", data)
            s.close()

    def test_a_tunnel_whose_target_cannot_be_read_is_refused(self):
        s = dial(QUIET)
        s.sendall(b"GET /masque/ HTTP/1.1\r\nHost: quiet.test\r\nConnection: Upgrade\r\nUpgrade: connect-udp\r\n\r\n")
        self.assertIn(b"a tunnel whose target cannot be read", read_all(s))
        first = PREFACE + ask(1, b"GET", b"quiet.test", flags=5)
        s, data = self.start(first)
        s.sendall(ask(3, b"CONNECT", b"quiet.test", b"connect-udp"))
        self.assert_ends(s, data, len(first))

    def test_nodes_tunnels_reach_their_server_and_a_denied_one_ends_the_connection(self):
        def run(*names):
            r = subprocess.run(["node", "-e", NODE_CLIENT, f"{TUNNELS}:{TCP}", *names], capture_output=True, text=True, timeout=120)
            return sorted(r.stdout.split("\n")[:-1])
        many = [f"n{i}.test" for i in range(20)]
        self.assertEqual(run(*many), sorted(f"{n} plain.test" for n in many))
        self.assertEqual(run("www.secret.test"), ["www.secret.test ended"])
        self.assertEqual(run("x.blocked.test"), ["x.blocked.test ended"])

    def test_a_websocket_over_http2_passes_under_its_authority(self):
        for authority, want in (("proxy.test", "echo words\n"), ("www.secret.test", "")):
            r = subprocess.run(["node", "-e", NODE_SOCKET, f"{TUNNELS}:{TCP}", authority], capture_output=True, text=True, timeout=120)
            self.assertEqual(r.stdout, want, r)


class OtherPorts(unittest.TestCase):
    """What is spoken where something else is usual."""

    def test_tls_on_a_port_of_http(self):
        for at in range(0, len(DENIED), 100):
            before = len(raw)
            s = dial(QUIET)
            s.sendall(DENIED[:at])
            s.sendall(DENIED[at:])
            self.assertEqual(read_all(s), b"\x15\x03\x03\0\2\2\x31")
            self.assertFalse(any(raw[before:]))
            s.close()

    def test_http_on_a_port_of_tls(self):
        before = len(bed.seen.get("vendor", []))
        for words in (b"GET / HTTP/1.1\r\nHost: www.secret.test\r\n\r\n", b"CONNECT www.secret.test:443 HTTP/1.1\r\n\r\n"):
            s = dial("127.0.0.14")
            s.sendall(words)
            self.assertIn(b"secrets stay here", read_all(s))
            s.close()
        s = dial("127.0.0.14")
        s.sendall(PREFACE + ask(1, b"GET", b"www.secret.test", flags=5))
        with self.assertRaises(ConnectionResetError):
            read_all(s)
        self.assertEqual(len(bed.seen.get("vendor", [])), before)


if __name__ == "__main__":
    unittest.main(verbosity=1)

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
LISTENER, RETRIES = "127.0.0.29", "127.0.0.28"
bed.MAPS.update({at: f"127.0.3.{30 + i}:2525" for i, at in enumerate(WHERE.values())})
bed.MAPS.update({LISTENER: "127.0.3.29:2525", RETRIES: "127.0.3.28:8443"})
bed.NAMES += [f"mail.test=127.0.3.{30 + i}" for i in range(len(PROTOCOLS))] + ["mail.test=127.0.3.29", "again.test=127.0.3.28"]


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
    bed.spawn(["openssl", "s_server", "-accept", "127.0.3.28:8443", "-cert", TMP + "/cert.pem", "-key", TMP + "/key.pem",
               "-groups", "P-384", "-www", "-quiet"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def is_there():
        with socket.socket() as s:
            return s.connect_ex(("127.0.3.28", 8443)) == 0
    wait_for("a server that asks again", is_there)


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


if __name__ == "__main__":
    unittest.main(verbosity=1)

# SPDX-License-Identifier: Apache-2.0
"""Clients of the daemon that mean no good: too many, too much, half of it, or nothing at all. Others are served meanwhile."""
import json
import os
import socket
import unittest

import support
from daemon_support import DaemonCase
from support import LAUNCHER

POLICY = "return { name = 'p', dns = function(q) return allow() end }\n"
POST = b"POST /v1/decide/dns HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"


@unittest.skipIf(LAUNCHER, "over a Unix socket")
class Hostile(DaemonCase):
    def setUp(self):
        super().setUp()
        config = self.write("c.yaml", "api: {connections_max: 64, body_max_kib: 64}\npolicy: {watch: false}\n")
        self.daemon = self.start("-c", config, policy=self.write("p.lua", POLICY))

    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(120)
        s.connect(self.daemon.socket)
        self.addCleanup(s.close)
        return s

    def read_all(self, s):
        data = b""
        try:
            while piece := s.recv(65536):
                data += piece
        except ConnectionResetError:
            pass  # its last answer may have been read before
        return data

    def answer_to(self, text):
        """What comes until the daemon ends the connection."""
        s = self.connect()
        try:
            s.sendall(text)
            s.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return self.read_all(s)

    def well(self):
        self.assertEqual(self.ask(self.daemon, "POST", "/v1/decide/dns", {"name": "a.example"})["verdict"], "allow")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.daemon.pid}/fd"))

    def test_what_is_no_request_is_answered_once_and_ended(self):
        for text, status in ((b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400), (b"GET\r\n\r\n", 400),
                             (b"GET /v1/health HTTP/1.1\r\n\r\n", 400),  # no host
                             (b"GET /v1/health HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
                             (b"GET /v1/health HTTP/1.1\nhost: a\n\n", 400),
                             (POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
                             (POST + b"content-length: -1\r\n\r\n", 400), (POST + b"content-length: 65537\r\n\r\n", 413),
                             (POST + b"transfer-encoding: chunked\r\n\r\n" + b"8000\r\n" + b"x" * 32768 + b"\r\n8001\r\n" +
                              b"x" * 32769 + b"\r\n0\r\n\r\n", 413),
                             (POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n", 400),
                             (b"GET /" + b"a" * 40000, 414), (b"GET /v1/health HTTP/1.1\r\nx: " + b"a" * 40000, 431),
                             (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), 400), (b"CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n", 501)):
            found = self.answer_to(text)
            if found:  # a reset may take the answer with it where more was sent than is read
                self.assertTrue(found.startswith(b"HTTP/1.1 "), found[:80])
                self.assertIn(int(found.split()[1]), (status, 400, 404, 405), text[:60])
            else:
                self.assertGreater(len(text), 30000, text[:60])
            self.well()

    def test_halves_end_without_an_answer_to_what_was_never_asked(self):
        whole = POST + b"content-length: 20\r\n\r\n" + b'{"name": "a.example"}'[:20]
        for cut in range(0, len(whole), 7):
            self.assertEqual(self.answer_to(whole[:cut]).count(b"HTTP/1.1 200"), 0)
        self.well()

    def test_many_in_one_write_are_answered_in_their_order(self):
        bodies = [json.dumps({"name": f"n{i}.example"}).encode() for i in range(50)]
        text = b"".join(POST + b"content-length: %d\r\n\r\n" % len(b) + b for b in bodies)
        found = self.answer_to(text + b"GET /v1/version HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        self.assertEqual(found.count(b"HTTP/1.1 200"), 51)
        self.assertIn(b'"api":"v1"', found.rsplit(b"\r\n\r\n", 1)[1])

    def test_too_many_connections_are_told_so_and_leave_no_trace(self):
        self.well()
        before = self.descriptors()
        for _ in range(2):
            held = [self.connect() for _ in range(64)]
            for s in held:
                s.sendall(b"GET /v1/health HTTP/1.1\r\nhost: x\r\n")  # and not the rest
            while True:  # connections are taken in their order: at some time all places are held
                text = self.answer_to(b"GET /v1/version HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                if text.startswith(b"HTTP/1.1 503"):
                    break
            for s in held[1:]:
                s.close()
            held[0].sendall(b"\r\n")
            self.assertTrue(held[0].recv(100).startswith(b"HTTP/1.1 200"))
            held[0].close()
            while self.descriptors() > before:
                pass
            self.well()
        self.assertIn("moonfence_api_refused_total", self.curl(self.daemon, "GET", "/v1/metrics")[2])

    def test_thousands_come_one_after_the_other(self):
        before = self.descriptors()
        for i in range(2000):
            s = socket.socket(socket.AF_UNIX)
            s.connect(self.daemon.socket)
            if i % 3 == 0:
                s.sendall(b"GET ")
            elif i % 3 == 1:
                s.sendall(POST + b"content-length: 1000\r\n\r\n{")
            s.close()
        while self.descriptors() > before:
            pass
        self.well()

    def test_who_does_not_read_is_cut_off_from_memory(self):
        s = self.connect()
        s.setblocking(False)
        request = b"GET /v1/openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"
        sent = 0
        try:
            while sent < 200000 * len(request):
                sent += s.send(request * 100)
        except BlockingIOError:
            pass  # the daemon reads no more than it may answer
        self.assertLess(sent, 200000 * len(request))
        self.well()
        with open(f"/proc/{self.daemon.pid}/statm", encoding="ascii") as file:
            resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        self.assertLess(resident, 512 << 20)


if __name__ == "__main__":
    support.main()

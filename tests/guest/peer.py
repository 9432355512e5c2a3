#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""peer.py FILE PORT ADDRESS... - what guests send to and get from: GET / gives FILE, GET /NUMBER so many bytes of it, PUT answers
with the SHA-256 of what came."""
import hashlib
import http.server
import socket
import sys
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        with open(sys.argv[1], "rb") as f:
            self.answer(f.read(int(self.path[1:] or -1)))

    def do_PUT(self):
        left, digest = int(self.headers["Content-Length"]), hashlib.sha256()
        while left:
            piece = self.rfile.read(min(left, 1 << 18))
            if not piece:
                return
            digest.update(piece)
            left -= len(piece)
        self.answer(digest.hexdigest().encode())

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 64


class Server6(Server):
    address_family = socket.AF_INET6


def main():
    for address in sys.argv[3:]:
        server = (Server6 if ":" in address else Server)((address, int(sys.argv[2])), Handler)
        threading.Thread(target=server.serve_forever).start()
    print("ready", flush=True)


main()

# SPDX-License-Identifier: Apache-2.0
"""Servers that are no web servers: peers.py KIND ADDRESS PORT [CERTIFICATE KEY]; prints the port that it listens on.

record    TCP: says nothing until its client has ended, then what it received, as hex
banner    TCP: speaks first, then echoes
web       TCP: answers each connection's first request with its first line and its Host
upgrade   TLS: an HTTP upgrade, then echoes in upper case; speaks first after it
"""
import socket
import ssl
import sys
import threading

kind, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])


def record(c):
    got = b""
    while data := c.recv(65536):
        got += data
    c.sendall(got.hex().encode() + b"\n")


def web(c):
    head = b""
    while b"\r\n\r\n" not in head:
        head += c.recv(65536)
    lines = head.decode().split("\r\n")
    body = f"{lines[0]} {[x for x in lines if x.lower().startswith('host:')]}\n".encode()
    c.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def banner(c):
    c.sendall(b"220 ready\r\n")
    while data := c.recv(65536):
        c.sendall(data)


def upgrade(c):
    head = b""
    while b"\r\n\r\n" not in head:
        head += c.recv(65536)
    c.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello")
    while data := c.recv(65536):
        c.sendall(data.upper())


def serve(c):
    try:
        with (context.wrap_socket(c, server_side=True) if context else c) as stream:
            {"record": record, "web": web, "banner": banner, "upgrade": upgrade}[kind](stream)
    except OSError:
        pass


context = None
if kind == "upgrade":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[4], sys.argv[5])
listener = socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

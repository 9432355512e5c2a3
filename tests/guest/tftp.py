#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tftp.py FILE ADDRESS - gives one file, whatever it is called, by TFTP (RFC 1350, RFC 2347 to 2349), all of it from port 69."""
import socket
import struct
import sys

READ, DATA, ACK, OPTIONS = 1, 3, 4, 6


def main():
    with open(sys.argv[1], "rb") as f:
        data = f.read()
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((sys.argv[2], 69))
    print("ready", flush=True)
    sizes = {}  # of blocks, by client

    def block(client, n):
        size = sizes[client]
        s.sendto(struct.pack("!HH", DATA, n & 0xffff) + data[(n - 1) * size:n * size], client)

    last = {}
    while True:
        packet, client = s.recvfrom(2048)
        kind, = struct.unpack_from("!H", packet)
        if kind == READ:
            words = packet[2:].split(b"\0")
            asked = dict(zip((w.lower() for w in words[2:-1:2]), words[3::2]))
            sizes[client], last[client] = int(asked.get(b"blksize", 512)), 0
            answer = {b"blksize": str(sizes[client]).encode(), b"tsize": str(len(data)).encode()}
            answer = b"".join(k + b"\0" + v + b"\0" for k, v in answer.items() if k in asked)
            if answer:
                s.sendto(struct.pack("!H", OPTIONS) + answer, client)
            else:
                block(client, 1)
        elif kind == ACK and client in sizes:
            n, = struct.unpack_from("!H", packet, 2)
            if n == last[client] & 0xffff and last[client] * sizes[client] <= len(data):
                last[client] += 1
            if last[client] and (last[client] - 1) * sizes[client] <= len(data):
                block(client, last[client])


main()

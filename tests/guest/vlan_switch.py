#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""vlan_switch.py CARD NET OWN DEVICE VLAN MTU ADDRESS - a switch with three ports, between a card and its network.

Frames of the card (datagrams that come to CARD) go to the network's socket NET, and back by OWN. Those with the tag VLAN go,
without it, to a TAP device DEVICE with ADDRESS, and get it on their way back: so the kernel is the card's peer in that VLAN,
whether it knows VLANs itself or not. Whoever asks for 10.VLAN.0.99 there gets, besides nothing, three frames with a tag of another
VLAN, which a card that filters never shows to its machine. Ends with a line of what it has seen when it is told to."""
import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys

TUNSETIFF, TAP, NO_PI, VNET_HDR = 0x400454CA, 2, 0x1000, 0x4000
HEADER = 10  # bytes of struct virtio_net_hdr
ROOM = 1 << 17


def open_tap(name, mtu, address):
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), TAP | NO_PI | VNET_HDR))
    subprocess.run(["ip", "-batch", "-"], check=True, text=True,
                   input=f"link set lo up\nlink set {name} mtu {mtu} up\naddr add {address}/24 dev {name}\n")
    return tap


def unfinished(frame):
    """A virtio_net_hdr that says what a card with offloads may have left open: the checksums of TCP and UDP over IPv4."""
    head = (frame[14] & 15) * 4
    if frame[12:14] != b"\x08\x00" or frame[23] not in (6, 17) or frame[20] & 0x3f or frame[21]:
        return bytes(HEADER)
    return struct.pack("=BBHHHH", 1, 0, 0, 0, 14 + head, 16 if frame[23] == 6 else 6)


def bound(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        s.setsockopt(socket.SOL_SOCKET, option, 1 << 20)
    s.bind(path)
    return s


def main():
    at_card, net, own, device, vlan, mtu, address = sys.argv[1:]
    tag = struct.pack("!HH", 0x8100, int(vlan))
    other = struct.pack("!HH", 0x8100, int(vlan) + 1)
    strange = socket.inet_aton(f"10.{vlan}.0.99")
    card, network, tap = bound(at_card), bound(own), open_tap(device, mtu, address)
    seen = {"from_card": 0, "to_card": 0, "tagged_from_card": 0, "tagged_to_card": 0, "longest_from_card": 0,
            "longest_to_card": 0, "longest_untagged": 0}
    peer = None

    def end(*_):
        print(json.dumps(seen), flush=True)
        os._exit(0)
    signal.signal(signal.SIGTERM, end)
    print("ready", flush=True)

    def to_card(frame, kind):
        if peer:
            seen[kind] += 1
            if kind == "tagged_to_card":
                seen["longest_to_card"] = max(seen["longest_to_card"], len(frame))
            try:
                card.sendto(frame, peer)
            except OSError:
                pass   # its card has gone

    poll = select.poll()
    for port in (card, network, tap):
        poll.register(port, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == card.fileno():
                frame, peer = card.recvfrom(ROOM)
                if frame[12:16] == tag:
                    seen["tagged_from_card"] += 1
                    seen["longest_from_card"] = max(seen["longest_from_card"], len(frame))
                    frame = frame[:12] + frame[16:]
                    if frame[12:14] == b"\x08\x06" and frame[38:42] == strange:
                        for _ in range(3):
                            to_card(frame[6:12] + frame[6:12] + other + b"\x08\x00" + bytes(46), "to_card")
                    try:
                        os.write(tap, unfinished(frame) + frame)
                    except OSError:
                        pass
                    continue
                seen["from_card"] += 1
                seen["longest_untagged"] = max(seen["longest_untagged"], len(frame))
                try:
                    network.sendto(frame, net)
                except OSError:
                    pass
            elif fd == network.fileno():
                to_card(network.recv(ROOM), "to_card")
            else:
                frame = os.read(tap, ROOM)[HEADER:]
                to_card(frame[:12] + tag + frame[12:], "tagged_to_card")


main()

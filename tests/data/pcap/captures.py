# SPDX-License-Identifier: Apache-2.0
"""Captures for tests, written byte by byte: packets with right checksums in pcap and pcapng files.

As a program it writes the golden captures of this folder anew:  captures.py DIRECTORY
"""
import ipaddress
import os
import ssl
import struct
import sys

START = 1769682225 * 10**9  # 2026-01-29T10:23:45Z

ETHERNET, NULL, RAW, LOOP, SLL, SLL2 = 1, 0, 101, 108, 113, 276
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


def checksum(data):
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def pack(address):
    return ipaddress.ip_address(address).packed


def ip(src, dst, proto, payload, ident=1, frag=0, options=b""):
    """An IPv4 or IPv6 packet; frag: the field of flags and offset (IPv4)."""
    source, target = pack(src), pack(dst)
    if len(source) == 4:
        head = struct.pack(">BBHHHBBH", 0x45 + len(options) // 4, 0, 20 + len(options) + len(payload), ident, frag,
                           64, proto, 0) + source + target + options
        return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload
    return struct.pack(">IHBB", 6 << 28, len(payload), proto, 64) + source + target + payload


def with_checksum(src, dst, proto, segment, at):
    source, target = pack(src), pack(dst)
    pseudo = source + target + (struct.pack(">BBH", 0, proto, len(segment)) if len(source) == 4
                                else struct.pack(">IHBB", len(segment), 0, 0, proto))
    value = checksum(pseudo + segment) or (0xFFFF if proto == 17 else 0)
    return segment[:at] + struct.pack(">H", value) + segment[at + 2:]


def udp(src, sport, dst, dport, payload, **more):
    segment = struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload
    return ip(src, dst, 17, with_checksum(src, dst, 17, segment, 6), **more)


def tcp(src, sport, dst, dport, seq, ack, flags, payload=b"", options=b""):
    segment = struct.pack(">HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF,
                          (20 + len(options)) // 4 << 4, flags, 65535, 0, 0) + options + payload
    return ip(src, dst, 6, with_checksum(src, dst, 6, segment, 16))


def fragments(packet, size):
    """An IP packet in fragments of size payload bytes (a multiple of 8)."""
    if packet[0] >> 4 == 4:
        payload, out = packet[20:], []
        for off in range(0, len(payload), size):
            more = 0x2000 if off + size < len(payload) else 0
            part = payload[off:off + size]
            head = packet[:2] + struct.pack(">H", 20 + len(part)) + packet[4:6] + struct.pack(">H", more | off // 8) \
                + packet[8:10] + b"\0\0" + packet[12:20]
            out.append(head[:10] + struct.pack(">H", checksum(head)) + head[12:] + part)
        return out
    payload, out = packet[40:], []
    for off in range(0, len(payload), size):
        more = 1 if off + size < len(payload) else 0
        part = struct.pack(">BBHI", packet[6], 0, off | more, 77) + payload[off:off + size]
        out.append(packet[:4] + struct.pack(">HB", len(part), 44) + packet[7:40] + part)
    return out


# --- links ----------------------------------------------------------------------------------------------------------

def ether(packet, tags=()):
    kind = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
    head = bytes.fromhex("020000000002020000000001")
    for tag in tags:
        head += struct.pack(">HH", 0x8100 if tag < 4096 else 0x88A8, tag & 0xFFF)
    return (head + struct.pack(">H", kind) + packet).ljust(60, b"\0")


def sll(packet, outgoing=True):
    kind = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
    return struct.pack(">HHH8sH", 4 if outgoing else 0, 1, 6, bytes(8), kind) + packet


def sll2(packet, outgoing=True):
    kind = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
    return struct.pack(">HHIHBB8s", kind, 0, 1, 1, 4 if outgoing else 0, 6, bytes(8)) + packet


def null(packet, order="<"):
    return struct.pack(order + "I", 2 if packet[0] >> 4 == 4 else 30) + packet


# --- what is said ---------------------------------------------------------------------------------------------------

def name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.rstrip(".").split(".") if label) + b"\0"


TYPES = {"A": 1, "CNAME": 5, "AAAA": 28, "HTTPS": 65}


def dns_question(ident, host, kind="A"):
    return struct.pack(">HHHHHH", ident, 0x0100, 1, 0, 0, 0) + name(host) + struct.pack(">HH", TYPES[kind], 1)


def dns_answer(ident, host, kind, records, rcode=0, ttl=300):
    """records: (owner, type, data) with data a name or an address."""
    out = struct.pack(">HHHHHH", ident, 0x8180 | rcode, 1, len(records), 0, 0) + name(host) \
        + struct.pack(">HH", TYPES[kind], 1)
    for owner, record, data in records:
        value = name(data) if record == "CNAME" else pack(data)
        out += name(owner) + struct.pack(">HHIH", TYPES[record], 1, ttl, len(value)) + value
    return out


def hello(host=None, alpn=("h2", "http/1.1")):
    """The ClientHello that OpenSSL sends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    out = ssl.MemoryBIO()
    session = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=host)
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


# --- traffic --------------------------------------------------------------------------------------------------------

def quic_datagrams(client):
    """What a real client of QUIC sent first: tests/data/quic."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "quic", client + ".bin")
    with open(path, "rb") as file:
        data = file.read()
    out = []
    while data:
        size = int.from_bytes(data[:2], "big")
        out.append(data[2:2 + size])
        data = data[2 + size:]
    return out


class Traffic:
    """Packets in order, a millisecond apart unless said otherwise."""

    def __init__(self, start=START):
        self.now = start
        self.packets = []  # (time in ns, IP packet)

    def add(self, packet, after=10**6):
        self.now += after
        self.packets.append((self.now, packet))

    def dns(self, host, kind="A", records=(), client="192.0.2.10", server="192.0.2.53", sport=5353, ident=7, rcode=0,
            answer=True, ttl=300):
        self.add(udp(client, sport, server, 53, dns_question(ident, host, kind)))
        if answer:
            self.add(udp(server, 53, client, sport, dns_answer(ident, host, kind, records, rcode, ttl)))

    def connect(self, server, port, client="192.0.2.10", sport=40000, isn=1000, said=b"", pieces=None, end=FIN,
                handshake=True):
        """A connection whose client says something, in pieces (lists of (offset, bytes)) or in one."""
        if handshake:
            self.add(tcp(client, sport, server, port, isn, 0, SYN, options=b"\x02\x04\x05\xb4"))
            self.add(tcp(server, port, client, sport, 9000, isn + 1, SYN | ACK))
            self.add(tcp(client, sport, server, port, isn + 1, 9001, ACK))
        for offset, part in pieces if pieces is not None else ([(0, said)] if said else []):
            self.add(tcp(client, sport, server, port, isn + 1 + offset, 9001, PSH | ACK, part))
        total = max((offset + len(part) for offset, part in pieces), default=0) if pieces is not None else len(said)
        if end == FIN:
            self.add(tcp(client, sport, server, port, isn + 1 + total, 9001, FIN | ACK))
            self.add(tcp(server, port, client, sport, 9001, isn + 2 + total, FIN | ACK))
        elif end == RST:
            self.add(tcp(server, port, client, sport, 9001, isn + 1 + total, RST | ACK))


# --- files ----------------------------------------------------------------------------------------------------------

def pcap(records, link=ETHERNET, order="<", nanoseconds=False, snaplen=262144):
    """records: (time in ns, frame)."""
    out = struct.pack(order + "IHHiIII", 0xA1B23C4D if nanoseconds else 0xA1B2C3D4, 2, 4, 0, 0, snaplen, link)
    for time, frame in records:
        part = frame[:snaplen]
        out += struct.pack(order + "IIII", time // 10**9, time % 10**9 // (1 if nanoseconds else 1000), len(part),
                           len(frame)) + part
    return out


def block(order, kind, body):
    body += b"\0" * (-len(body) % 4)
    length = len(body) + 12
    return struct.pack(order + "II", kind, length) + body + struct.pack(order + "I", length)


def option(order, code, value):
    return struct.pack(order + "HH", code, len(value)) + value + b"\0" * (-len(value) % 4)


def section(order="<"):
    return block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(link, order="<", snaplen=0, resolution=None, offset=None):
    body = struct.pack(order + "HHI", link, 0, snaplen)
    if resolution is not None:
        body += option(order, 9, bytes([resolution]))
    if offset is not None:
        body += option(order, 14, struct.pack(order + "q", offset))
    return block(order, 1, body + (option(order, 0, b"") if len(body) > 8 else b""))


def packet_block(number, ticks, frame, order="<", snaplen=262144, options=b""):
    part = frame[:snaplen]
    body = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(part), len(frame)) + part
    return block(order, 6, body + b"\0" * (-len(body) % 4) + options)


def pcapng(records, link=ETHERNET, order="<"):
    out = section(order) + interface(link, order, resolution=9)
    for time, frame in records:
        out += packet_block(0, time, frame, order)
    return out


def ethernet(traffic, tags=()):
    return [(time, ether(packet, tags)) for time, packet in traffic.packets]


# --- the golden ones ------------------------------------------------------------------------------------------------

def usual():
    """A name, its alias, a TLS connection to it in three segments out of order, and one to somewhere else."""
    t = Traffic()
    said = FIXED_HELLO
    t.dns("www.shop.example", "A", [("www.shop.example", "CNAME", "edge.cdn.example"),
                                    ("edge.cdn.example", "A", "198.51.100.7")])
    t.connect("198.51.100.7", 443, pieces=[(0, said[:100]), (200, said[200:]), (100, said[100:200])])
    t.connect("203.0.113.9", 22, sport=40001)
    t.dns("lost.example", answer=False, ident=8)
    return t


def six():
    t = Traffic()
    resolver, me, server = "2001:db8::53", "2001:db8::10", "2001:db8:1::7"
    t.dns("six.example", "AAAA", [("six.example", "AAAA", server)], client=me, server=resolver)
    t.connect(server, 80, client=me, said=b"GET / HTTP/1.1\r\nHost: six.example\r\n\r\n")
    t.add(udp(me, 5000, server, 443, b"\xc0" + bytes(1199)))
    return t


def big_answers():
    """Answers that come in fragments, in both families."""
    t = Traffic()
    records = [("many.example", "A", f"198.51.100.{n}") for n in range(1, 65)]
    t.add(udp("192.0.2.10", 5353, "192.0.2.53", 53, dns_question(7, "many.example")))
    for part in reversed(fragments(udp("192.0.2.53", 53, "192.0.2.10", 5353,
                                       dns_answer(7, "many.example", "A", records)), 512)):
        t.add(part)
    t.connect("198.51.100.64", 443, said=FIXED_HELLO, sport=40010)
    records = [("many.example", "AAAA", f"2001:db8:2::{n:x}") for n in range(1, 33)]
    t.add(udp("2001:db8::10", 5354, "2001:db8::53", 53, dns_question(9, "many.example", "AAAA")))
    for part in fragments(udp("2001:db8::53", 53, "2001:db8::10", 5354,
                              dns_answer(9, "many.example", "AAAA", records)), 512):
        t.add(part)
    t.connect("2001:db8:2::20", 443, client="2001:db8::10", said=FIXED_HELLO, sport=40011)
    return t


# A hello for www.shop.example as OpenSSL 3.0 made it, so that the golden captures are the same wherever they are made.
FIXED_HELLO = b""


def golden():
    """File name -> bytes."""
    many = section(">") + interface(ETHERNET, ">") + interface(SLL2, ">", resolution=9) \
        + interface(RAW, ">", resolution=0x80 | 20, offset=1769682225)
    for i, (time, packet) in enumerate(usual().packets):
        frame = [ether, sll2, lambda p: p][i % 3](packet)
        ticks = [time // 1000, time, ((time - START) << 20) // 10**9][i % 3]
        many += packet_block(i % 3, ticks, frame, ">")
    return {
        "usual.pcap": pcap(ethernet(usual())),
        "usual-big-endian.pcap": pcap(ethernet(usual()), order=">"),
        "usual-nanoseconds.pcap": pcap(ethernet(usual()), nanoseconds=True),
        "usual.pcapng": pcapng(ethernet(usual())),
        "vlan.pcapng": pcapng(ethernet(usual(), tags=(0x1000 + 7, 42))),
        "three-interfaces.pcapng": many,
        "six.pcap": pcap([(t, p) for t, p in six().packets], link=RAW),
        "null.pcap": pcap([(t, null(p)) for t, p in six().packets], link=NULL),
        "loop.pcap": pcap([(t, null(p, ">")) for t, p in six().packets], link=LOOP),
        "cooked.pcap": pcap([(t, sll(p)) for t, p in six().packets], link=SLL),
        "cooked2.pcap": pcap([(t, sll2(p)) for t, p in six().packets], link=SLL2),
        "fragments.pcap": pcap(ethernet(big_answers())),
        "snaplen.pcap": pcap(ethernet(usual()), snaplen=96),
        "cut.pcap": pcap(ethernet(usual()))[:-30],
    }


def main():
    for file_name, data in golden().items():
        with open(os.path.join(sys.argv[1], file_name), "wb") as file:
            file.write(data)


def load_hello():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hello.hex")
    with open(path, encoding="ascii") as file:
        return bytes.fromhex(file.read())


if os.path.exists(os.path.join(os.path.dirname(os.path.abspath(__file__)), "hello.hex")):
    FIXED_HELLO = load_hello()

if __name__ == "__main__":
    main()

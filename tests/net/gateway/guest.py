# SPDX-License-Identifier: Apache-2.0
"""A guest of the gateway: Ethernet frames by hand, over Aero's tunnel or raw, and just enough of ARP, DHCP, DNS, UDP and TCP; of IPv6, too:
whoever is spoken to by an address with colons hears from the guest's own one (addr6, which slaac() makes)."""
import os, socket, struct

from rig import *

ROUTER6, DNS6, LINK6, PREFIX6 = "fd6d:6f6f:6e67::2", "fd6d:6f6f:6e67::3", "fe80::2", "fd6d:6f6f:6e67:1:"
ALL_NODES, ALL_ROUTERS = "ff02::1", "ff02::2"
ICMP = {4: 1, 6: 58}
L2 = "aero-l2-tunnel-v1"
ROUTER, ROUTER_MAC, SELF = "10.0.2.2", bytes.fromhex("020000000001"), "10.0.2.15"
FRAME, PING, PONG, ERROR = 0, 1, 2, 0x7F
EVERYBODY = b"\xff" * 6
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


def l2(type, payload=b"", flags=0):
    return bytes([0xA2, 3, type, flags]) + payload


def family(a):
    return 6 if ":" in a else 4


def ip(a):
    return socket.inet_pton(socket.AF_INET6, a) if ":" in a else socket.inet_aton(a)


def text(b):
    return socket.inet_ntop(socket.AF_INET6 if len(b) == 16 else socket.AF_INET, b)


def csum(b):
    b += b"\0" * (len(b) & 1)
    s = sum(struct.unpack(f">{len(b) // 2}H", b))
    while s >> 16:
        s = (s & 0xFFFF) + (s >> 16)
    return ~s & 0xFFFF


def ipv4(proto, src, dst, payload, ttl=64, id=1, frag=0):
    h = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), id, frag, ttl, proto, 0, ip(src), ip(dst))
    return h[:10] + struct.pack(">H", csum(h)) + h[12:] + payload


def ipv6(proto, src, dst, payload, ttl=64):
    return struct.pack(">IHBB", 6 << 28, len(payload), proto, ttl) + ip(src) + ip(dst) + payload


def pieces(pkt, mtu, id=77):
    """@pkt in fragments."""
    six = pkt[0] >> 4 == 6
    head, unit = (40, mtu - 48 & ~7) if six else (20, mtu - 20 & ~7)
    body = pkt[head:]
    for at in range(0, len(body), unit):
        part, more = body[at:at + unit], at + unit < len(body)
        if six:
            yield pkt[:4] + struct.pack(">HB", 8 + len(part), 44) + pkt[7:40] + struct.pack(">BBHI", pkt[6], 0, at | more, id) + part
        else:
            h = pkt[:2] + struct.pack(">HHHBBH", 20 + len(part), id, (0x2000 if more else 0) | at // 8, pkt[8], pkt[9], 0) + pkt[12:20]
            yield h[:10] + struct.pack(">H", csum(h)) + h[12:] + part


def transport(proto, at, src, dst, seg):
    """@seg with its checksum, which stands at @at."""
    pseudo = struct.pack(">II", len(seg), proto) if family(src) == 6 else struct.pack(">BBH", 0, proto, len(seg))
    sum = csum(ip(src) + ip(dst) + pseudo + seg)
    return seg[:at] + struct.pack(">H", sum or 0xFFFF) + seg[at + 2:]


def good_sum(proto, pkt):
    """A packet's checksums are right: IPv4's own, and what it carries."""
    if pkt[0] >> 4 == 6:
        return csum(pkt[8:40] + struct.pack(">II", len(pkt) - 40, proto) + pkt[40:]) == 0
    head = (pkt[0] & 15) * 4
    seg = pkt[head:]
    return csum(pkt[:head]) == 0 and (proto == 1 and csum(seg) == 0 or
                                      proto != 1 and csum(pkt[12:20] + struct.pack(">BBH", 0, proto, len(seg)) + seg) == 0)


class Guest:
    """One end of a wire. take(match) gives the first frame that matches, and keeps the others for later."""

    def __init__(self, gw, path="/l2", raw=False, mac=None, **kw):
        self.raw, self.mac, self.addr, self.kept, self.port = raw, mac or b"\x02\x11" + os.urandom(4), "0.0.0.0", [], 40000
        self.addr6, self.fragments = "::", {}
        self.router_mac = ROUTER_MAC
        self.ws = gw.ws(path, protocol=None if raw else L2, **kw)
        self.ws.s.settimeout(WAIT)

    def send(self, dst, type, body, src=None):
        frame = dst + (src or self.mac) + struct.pack(">H", type) + body
        self.ws.send(frame if self.raw else l2(FRAME, frame))

    def frame(self):
        """The next frame that comes."""
        while True:
            op, data = self.ws.recv()
            assert op == 2, (op, data)
            if self.raw:
                return data
            assert data[:2] == b"\xa2\x03", data
            if data[2] == FRAME:
                return data[4:]
            if data[2] == PING:
                self.ws.send(l2(PONG, data[4:]))

    def take(self, match):
        for i, f in enumerate(self.kept):
            if (r := match(f)) is not None:
                del self.kept[i]
                return r
        while True:
            f = self.frame()
            if (r := match(f)) is not None:
                return r
            self.kept.append(f)

    # --- ARP, DHCP

    def arp(self, who, sender=None):
        self.send(EVERYBODY, 0x806, struct.pack(">HHBBH6s4s6s4s", 1, 0x800, 6, 4, 1, self.mac, ip(sender or self.addr), b"", ip(who)))
        return self.take(lambda f: f[22:28] if f[12:14] == b"\x08\x06" and f[20:22] == b"\0\2" and f[28:32] == ip(who) else None)

    def dhcp_message(self, type, options=b""):
        xid = os.urandom(4)
        msg = struct.pack(">BBBB4sHH16s6s10s64s128s", 1, 1, 6, 0, xid, 0, 0x8000, b"", self.mac, b"", b"", b"")
        msg += bytes.fromhex("63825363") + bytes([53, 1, type]) + options + b"\xff"
        udp = transport(17, 6, "0.0.0.0", "255.255.255.255", struct.pack(">HHHH", 68, 67, 8 + len(msg), 0) + msg)
        self.send(EVERYBODY, 0x800, ipv4(17, "0.0.0.0", "255.255.255.255", udp))

        def answer(f):
            if f[12:14] != b"\x08\0" or f[23] != 17 or f[36:38] != b"\0\x44" or f[46:50] != xid:
                return None
            assert good_sum(17, f[14:14 + struct.unpack(">H", f[16:18])[0]])
            out, p = {"yiaddr": socket.inet_ntoa(f[58:62]), "to": f[:6]}, f[282:]
            while p and p[0] != 255:
                out[p[0]], p = p[2:2 + p[1]], p[2 + p[1]:]
            return out
        return self.take(answer)

    def dhcp(self):
        offer = self.dhcp_message(1)
        ack = self.dhcp_message(3, b"\x32\x04" + ip(offer["yiaddr"]) + b"\x36\x04" + offer[54])
        assert offer[53] == b"\2" and ack[53] == b"\5" and ack["yiaddr"] == offer["yiaddr"], (offer, ack)
        self.addr = ack["yiaddr"]
        return ack

    # --- neighbours and routers of IPv6

    def icmp6(self, src, dst, msg, mac=None, ttl=255):
        self.send_packet(ipv6(58, src, dst, transport(58, 2, src, dst, msg), ttl), mac or b"\x33\x33" + ip(dst)[12:])

    def link6(self):
        return text(b"\xfe\x80" + bytes(6) + bytes([self.mac[0] ^ 2]) + self.mac[1:3] + b"\xff\xfe" + self.mac[3:])

    def take_advert(self):
        """A router's: {option: [bodies]}."""
        def one(f):
            if f[12:14] != b"\x86\xdd" or f[20] != 58 or f[54] != 134:
                return None
            assert f[21] == 255 and f[22:38] == ip(LINK6) and good_sum(58, f[14:54 + struct.unpack(">H", f[18:20])[0]])
            out, at = {"lifetime": struct.unpack(">H", f[60:62])[0], "flags": f[59]}, 70
            while at < 54 + struct.unpack(">H", f[18:20])[0]:
                out.setdefault(f[at], []).append(f[at + 2:at + f[at + 1] * 8])
                at += f[at + 1] * 8
            return out
        return self.take(one)

    def solicit(self):
        self.icmp6(self.link6(), ALL_ROUTERS, struct.pack(">BBHI", 133, 0, 0, 0) + b"\1\1" + self.mac)
        return self.take_advert()

    def slaac(self):
        """Return: the advertisement"""
        advert = self.solicit()
        prefix = advert[3][0][14:22]
        self.addr6 = text(prefix + ip(self.link6())[8:])
        return advert

    def neighbour(self, who):
        """Return: its MAC"""
        self.icmp6(self.link6(), who, struct.pack(">BBHI", 135, 0, 0, 0) + ip(who) + b"\1\1" + self.mac, self.router_mac)
        return self.take(lambda f: f[80:86] if f[12:14] == b"\x86\xdd" and f[20] == 58 and f[54] == 136 and f[62:78] == ip(who) else None)

    # --- IP

    def own(self, other):
        """Its own address towards @other."""
        return self.addr6 if family(other) == 6 else self.addr

    def send_packet(self, pkt, dst=None):
        self.send(dst or self.router_mac, 0x86dd if pkt[0] >> 4 == 6 else 0x800, pkt)

    def send_ip(self, proto, dst, payload, mtu=1500, **kw):
        pkt = (ipv6 if family(dst) == 6 else ipv4)(proto, self.own(dst), dst, payload, **kw)
        for p in [pkt] if len(pkt) <= mtu else pieces(pkt, mtu):
            self.send_packet(p)

    def whole(self, f):
        """The packet in a frame, once all of its fragments are there; None."""
        if f[12:14] == b"\x86\xdd":
            pkt = f[14:54 + struct.unpack(">H", f[18:20])[0]]
            if pkt[6] != 44:
                return pkt
            off, = struct.unpack(">H", pkt[42:44])
            key, more, off, head, body = pkt[8:40] + pkt[44:48], off & 1, off & ~7, pkt[:6] + pkt[40:41] + pkt[7:40], pkt[48:]
        elif f[12:14] == b"\x08\0":
            pkt = f[14:14 + struct.unpack(">H", f[16:18])[0]]
            off, = struct.unpack(">H", pkt[6:8])
            if not off & 0x3fff:
                return pkt
            assert csum(pkt[:20]) == 0
            key, more, off, head, body = pkt[12:20] + pkt[4:6], off & 0x2000, (off & 0x1fff) * 8, pkt[:20], pkt[20:]
        else:
            return None
        assert len(f) <= 1514
        parts = self.fragments.setdefault(key, {})
        parts[off] = body, more
        at = 0
        while at in parts:
            body, more = parts[at]
            at += len(body)
            if not more:
                body = b"".join(parts[o][0] for o in sorted(parts))
                del self.fragments[key]
                if len(head) == 40:
                    return head[:4] + struct.pack(">H", len(body)) + head[6:] + body
                head = head[:2] + struct.pack(">HHH", 20 + len(body), 0, 0) + head[8:10] + b"\0\0" + head[12:]
                return head[:10] + struct.pack(">H", csum(head)) + head[12:] + body
        return None

    def take_ip(self, proto, src, match):
        def one(f):
            pkt = self.whole(f)
            if pkt is None:
                return None
            at, n = (8, 16) if pkt[0] >> 4 == 6 else (12, 4)
            if pkt[6 if n == 16 else 9] != proto or (src and pkt[at:at + n] != ip(src)) or pkt[at + n:at + 2 * n] != ip(self.addr6 if n == 16 else self.addr):
                return None
            assert good_sum(proto, pkt), pkt.hex()
            return match(pkt[40 if n == 16 else (pkt[0] & 15) * 4:])
        return self.take(one)

    def ask_echo(self, dst, data=b"echo", id=7, seq=9, **kw):
        icmp = struct.pack(">BBHHH", 128 if family(dst) == 6 else 8, 0, 0, id, seq) + data
        sum = icmp[:2] + struct.pack(">H", csum(icmp)) + icmp[4:]
        self.send_ip(ICMP[family(dst)], dst, transport(58, 2, self.addr6, dst, icmp) if family(dst) == 6 else sum, **kw)

    def hear_echo(self, dst, id=7):
        """An answer from @dst: its sequence number, its data."""
        type = 129 if family(dst) == 6 else 0
        return self.take_ip(ICMP[family(dst)], dst, lambda p: (struct.unpack(">H", p[6:8])[0], p[8:])
                            if p[:2] == bytes([type, 0]) and p[4:6] == struct.pack(">H", id) else None)

    def hear_error(self, about):
        """An ICMP error about a packet to @about: type, code, the packet."""
        at, n = (24, 16) if family(about) == 6 else (16, 4)
        return self.take_ip(ICMP[family(about)], None, lambda p: (p[0], p[1], p[8:]) if p[8 + at:8 + at + n] == ip(about) else None)

    def echo(self, dst, data=b"echo"):
        self.ask_echo(dst, data)
        return self.take_ip(ICMP[family(dst)], None, lambda p: p)

    def udp(self, dst, port, data, sport=None, **kw):
        """Return: its own port"""
        self.port += 1
        sport = sport or self.port
        self.send_ip(17, dst, transport(17, 6, self.own(dst), dst, struct.pack(">HHHH", sport, port, 8 + len(data), 0) + data), **kw)
        return sport

    def take_udp(self, src, sport, port):
        return self.take_ip(17, src, lambda p: p[8:] if p[:4] == struct.pack(">HH", sport, port) else None)

    def lookup(self, name, server=ROUTER, type=1):
        """Return: (rcode, IPv4 addresses)"""
        port = self.udp(server, 53, question(name, type))
        a = self.take_udp(server, 53, port)
        n, at, out = struct.unpack(">H", a[6:8])[0], end_of_question(a), []
        for _ in range(n):
            at += 2 if a[at] >= 0xC0 else end_of_question(a[at - 12:]) - 4 - 12 + 12
            rtype, _, _, size = struct.unpack(">HHIH", a[at:at + 10])
            if rtype == 1:
                out.append(socket.inet_ntoa(a[at + 10:at + 14]))
            at += 10 + size
        return a[3] & 15, out

    def tcp(self, dst, port, **kw):
        return Tcp(self, dst, port, **kw)


class Reset(Exception):
    pass


class Tcp:
    """A connection of the guest's: nothing is lost on a wire, so nothing is repeated. @window: what it says it takes."""

    def __init__(self, guest, dst, port, window=65535, mss=1460, isn=None):
        guest.port += 1
        self.g, self.dst, self.port, self.sport, self.window = guest, dst, port, guest.port, window
        self.own = guest.own(dst)
        self.seq = isn if isn is not None else struct.unpack(">I", os.urandom(4))[0]
        self.ack, self.data, self.ended, self.sizes = 0, b"", False, []
        self.segment(SYN, options=struct.pack(">BBH", 2, 4, mss) if mss else b"")
        flags, seq, ack, _, win = self.next()
        if flags & RST:
            raise Reset
        assert flags == SYN | ACK and ack == (self.seq + 1) % 2**32, (flags, ack)
        self.isn, self.seq, self.ack, self.peer_window = seq, ack, (seq + 1) % 2**32, win
        self.segment(ACK)

    def segment(self, flags, data=b"", options=b"", seq=None):
        seg = struct.pack(">HHIIBBHHH", self.sport, self.port, self.seq if seq is None else seq, self.ack if flags & ACK else 0,
                          (20 + len(options)) // 4 << 4, flags, self.window, 0, 0) + options + data
        self.g.send_ip(6, self.dst, transport(6, 16, self.own, self.dst, seg))

    def next(self):
        p = self.g.take_ip(6, self.dst, lambda p: p if p[:4] == struct.pack(">HH", self.port, self.sport) else None)
        seq, ack, off, flags, win = struct.unpack(">IIBBH", p[4:16])
        return flags & ~PSH, seq, ack, p[(off >> 4) * 4:], win

    def turn(self):
        """Handle one segment."""
        flags, seq, ack, data, win = self.next()
        if flags & RST:
            raise Reset
        self.peer_window, self.acked = win, ack
        if seq != self.ack:
            self.segment(ACK)
            return
        if data:
            self.sizes.append(len(data))
        self.data += data
        self.ack = (self.ack + len(data) + (1 if flags & FIN else 0)) % 2**32
        self.ended |= bool(flags & FIN)
        if data or flags & FIN:
            self.segment(ACK)

    def send(self, data, mss=1460):
        self.acked = self.seq
        while data:
            flying = (self.seq - self.acked) % 2**32
            n = min(mss, len(data), self.peer_window - flying)
            if n <= 0:
                self.turn()
                continue
            self.segment(PSH | ACK, data[:n])
            self.seq, data = (self.seq + n) % 2**32, data[n:]

    def fin(self):
        self.segment(FIN | ACK)
        self.seq = (self.seq + 1) % 2**32

    def recv(self, n):
        while len(self.data) < n and not self.ended:
            self.turn()
        out, self.data = self.data[:n], self.data[n:]
        return out

    def recv_all(self):
        while not self.ended:
            self.turn()
        out, self.data = self.data, b""
        return out

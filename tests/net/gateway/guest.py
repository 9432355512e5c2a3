# SPDX-License-Identifier: Apache-2.0
"""A guest of the gateway: Ethernet frames by hand, over Aero's tunnel or raw, and just enough of ARP, DHCP, DNS, UDP and TCP."""
import os, socket, struct

from rig import *

L2 = "aero-l2-tunnel-v1"
ROUTER, ROUTER_MAC, SELF = "10.0.2.2", bytes.fromhex("020000000001"), "10.0.2.15"
FRAME, PING, PONG, ERROR = 0, 1, 2, 0x7F
EVERYBODY = b"\xff" * 6
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


def l2(type, payload=b"", flags=0):
    return bytes([0xA2, 3, type, flags]) + payload


def ip(a):
    return socket.inet_aton(a)


def csum(b):
    b += b"\0" * (len(b) & 1)
    s = sum(struct.unpack(f">{len(b) // 2}H", b))
    while s >> 16:
        s = (s & 0xFFFF) + (s >> 16)
    return ~s & 0xFFFF


def ipv4(proto, src, dst, payload, ttl=64, id=1, frag=0):
    h = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), id, frag, ttl, proto, 0, ip(src), ip(dst))
    return h[:10] + struct.pack(">H", csum(h)) + h[12:] + payload


def transport(proto, at, src, dst, seg):
    """@seg with its checksum, which stands at @at."""
    sum = csum(ip(src) + ip(dst) + struct.pack(">BBH", 0, proto, len(seg)) + seg)
    return seg[:at] + struct.pack(">H", sum or 0xFFFF) + seg[at + 2:]


def good_sum(proto, pkt):
    """An IPv4 packet's two checksums are right."""
    head = (pkt[0] & 15) * 4
    seg = pkt[head:]
    return csum(pkt[:head]) == 0 and (proto == 1 and csum(seg) == 0 or
                                      proto != 1 and csum(pkt[12:20] + struct.pack(">BBH", 0, proto, len(seg)) + seg) == 0)


class Guest:
    """One end of a wire. take(match) gives the first frame that matches, and keeps the others for later."""

    def __init__(self, gw, path="/l2", raw=False, mac=None, **kw):
        self.raw, self.mac, self.addr, self.kept, self.port = raw, mac or b"\x02\x11" + os.urandom(4), "0.0.0.0", [], 40000
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

    # --- IP

    def send_ip(self, proto, dst, payload, **kw):
        self.send(self.router_mac, 0x800, ipv4(proto, self.addr, dst, payload, **kw))

    def take_ip(self, proto, src, match):
        def one(f):
            if f[12:14] != b"\x08\0" or f[23] != proto or (src and f[26:30] != ip(src)) or f[30:34] != ip(self.addr):
                return None
            n = struct.unpack(">H", f[16:18])[0]
            assert good_sum(proto, f[14:14 + n]), f.hex()
            return match(f[14 + (f[14] & 15) * 4:14 + n])
        return self.take(one)

    def echo(self, dst, data=b"echo"):
        icmp = struct.pack(">BBHHH", 8, 0, 0, 7, 9) + data
        self.send_ip(1, dst, icmp[:2] + struct.pack(">H", csum(icmp)) + icmp[4:])
        return self.take_ip(1, None, lambda p: p)

    def udp(self, dst, port, data, sport=None):
        """Return: its own port"""
        self.port += 1
        sport = sport or self.port
        self.send_ip(17, dst, transport(17, 6, self.addr, dst, struct.pack(">HHHH", sport, port, 8 + len(data), 0) + data))
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
        self.g.send_ip(6, self.dst, transport(6, 16, self.g.addr, self.dst, seg))

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

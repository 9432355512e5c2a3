#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What one guest can make the gateway hold, and that others do not feel it; and TCP as the specification wants it done better."""
import os, socket, struct, unittest

from guest import *

POLICY = 'return { name = "bounds", dns = function() return allow() end, connect = function(c) return redirect("127.0.0.1:" .. c.port) end }'
SERVER = "192.0.2.1"
BIG = os.urandom(1 << 20)
heard = []


def say_then_listen(conn):
    """Half-closes first."""
    conn.sendall(BIG[:100000])
    conn.shutdown(socket.SHUT_WR)
    got = b""
    while b := conn.recv(65536):
        got += b
    heard.append(got)


upstream, echoes, says = Udp(dns_answer), Server(echo), Server(say_then_listen)


class Case(unittest.TestCase):
    def gateway(self, *words):
        gw = Gateway("--auth", "none", "--dns", f"127.0.0.1:{upstream.port}", "--dns-rate", "0", "--open", "192.0.2.0/24",
                     *(["--ethernet", ",".join(words)] if words else []), policy=POLICY)
        self.addCleanup(gw.stop)
        return gw

    def up(self, gw):
        g = Guest(gw)
        self.addCleanup(g.ws.s.close)
        g.dhcp()
        return g

    def dropped(self, gw, reason):
        return gw.metric(f'moonfence_gateway_guest_drops_total{{reason="{reason}"}}')


class Bounds(Case):
    def test_udp_flows(self):
        gw = self.gateway("udp=8")
        a, b = self.up(gw), self.up(gw)
        udp = Udp(lambda d: d)

        def say(g, port):
            g.udp(SERVER, udp.port, b"%d" % port, sport=port)
            self.assertEqual(g.take_udp(SERVER, udp.port, port), b"%d" % port)
            return udp.peers[-1]
        own = say(b, 1)
        ports = {n: say(a, 100 + n) for n in range(30)}
        self.assertEqual(gw.metric("l2_udp_flows_active"), 9)
        self.assertEqual(gw.metric("l2_udp_flow_limit_exceeded_total"), 22)
        self.assertEqual(say(b, 1), own, "the other's is the same flow still")
        for n in range(22, 30):
            self.assertEqual(say(a, 100 + n), ports[n], "the newest are there")
        a.ws.close()
        wait_for("gauge", lambda: gw.metric("l2_udp_flows_active") == 1)

    def test_udp_without_bound(self):
        gw = self.gateway("udp=0")
        a = self.up(gw)
        udp = Udp(lambda d: d)
        for n in range(300):
            a.udp(SERVER, udp.port, b"", sport=1000 + n)
            a.take_udp(SERVER, udp.port, 1000 + n)
        self.assertEqual(gw.metric("l2_udp_flows_active"), 300)
        self.assertEqual(gw.metric("l2_udp_flow_limit_exceeded_total"), 0)

    def test_tcp_connections(self):
        gw = self.gateway("tcp=4")
        a, b = self.up(gw), self.up(gw)
        all = [a.tcp(SERVER, echoes.port) for _ in range(4)]
        syn = struct.pack(">HHIIBBHHH", 50000, echoes.port, 1, 0, 0x50, SYN, 65535, 0, 0)
        a.send_ip(6, SERVER, transport(6, 16, a.addr, SERVER, syn))
        wait_for("drop", lambda: self.dropped(gw, "connections") == 1)
        b.tcp(SERVER, echoes.port)
        all[0].segment(RST)
        wait_for("gauge", lambda: gw.metric("l2_tcp_conns_active") == 4)  # three and one
        t = a.tcp(SERVER, echoes.port)
        t.send(b"room again")
        self.assertEqual(t.recv(10), b"room again")
        for t in all[1:]:
            t.send(b"still")
            self.assertEqual(t.recv(5), b"still")

    def test_half_open_connections(self):
        """Without its last acknowledgement a connection is 128 times at most, and a second guest's is made."""
        gw = self.gateway()
        a, b = self.up(gw), self.up(gw)
        for n in range(200):
            syn = struct.pack(">HHIIBBHHH", 20000 + n, echoes.port, 1, 0, 0x50, SYN, 65535, 0, 0)
            a.send_ip(6, SERVER, transport(6, 16, a.addr, SERVER, syn))
        wait_for("drops", lambda: self.dropped(gw, "half_open") == 72)
        before = echoes.seen
        t = b.tcp(SERVER, echoes.port)
        t.send(b"mine")
        self.assertEqual(t.recv(4), b"mine")
        self.assertEqual(echoes.seen, before + 1, "nothing was dialled for what nobody has acknowledged")

    def test_fragments(self):
        """Of datagrams and of pings: those that never become whole go, and are counted."""
        gw = self.gateway()
        a, b = self.up(gw), self.up(gw)
        udp = Udp(lambda d: d)
        for n in range(500):
            part = ipv4(17, a.addr, SERVER, struct.pack(">HHHH", 9, udp.port, 2008, 0) + bytes(1392), id=n, frag=0x2000)
            a.send_packet(part)
            a.send_packet(ipv4(1, a.addr, ROUTER, b"\x08\0\0\0" + bytes(1396), id=n, frag=0x2000))
        a.echo(ROUTER)
        # all but 32 datagrams and 16 pings; those go when they are too late
        self.assertGreaterEqual(self.dropped(gw, "fragment"), 500 - 32 + 500 - 16)
        for g in (a, b):
            p = g.udp(SERVER, udp.port, BIG[:5000])
            self.assertEqual(g.take_udp(SERVER, udp.port, p), BIG[:5000])
            g.ask_echo(ROUTER, BIG[:5000])
            self.assertEqual(g.hear_echo(ROUTER)[1], BIG[:5000])

    def test_neighbours(self):
        """Nothing is kept of those: a thousand of them say that they are somebody, and the guest is still the guest."""
        gw = self.gateway("ipv6")
        a = self.up(gw)
        a.slaac()
        for n in range(1000):
            mac = b"\x02\x99" + struct.pack(">I", n)
            a.send(EVERYBODY, 0x806, struct.pack(">HHBBH6s4s6s4s", 1, 0x800, 6, 4, 2, mac, ip(f"10.0.2.{n % 256}"), b"", ip(ROUTER)), src=mac)
        self.assertEqual(a.arp(ROUTER), ROUTER_MAC)
        self.assertEqual(a.neighbour(ROUTER6), ROUTER_MAC)
        t = a.tcp(SERVER, echoes.port)
        t.send(b"me")
        self.assertEqual(t.recv(2), b"me")
        self.assertGreater(self.dropped(gw, "spoofed_ip"), 900)


class TcpDoneRight(Case):
    def test_the_server_half_closes(self):
        g = self.up(self.gateway())
        t = g.tcp(SERVER, says.port)
        self.assertEqual(t.recv_all(), BIG[:100000])
        t.send(BIG[:200000])
        t.fin()
        wait_for("the rest", lambda: heard)
        self.assertEqual(heard.pop(), BIG[:200000])

    def test_what_is_lost_comes_again(self):
        g = self.up(self.gateway())
        t = g.tcp(SERVER, says.port)
        flags, first, _, data, _ = t.next()
        while True:  # all of it is lost, and the first comes again
            flags, seq, _, again, _ = t.next()
            if seq == first:
                break
        self.assertEqual(again[:len(data)], data[:len(again)])
        self.assertEqual(t.recv_all(), BIG[:100000])

    def test_a_window_opens(self):
        """A window of nothing is asked about until there is one, and not a byte comes before."""
        g = self.up(self.gateway())
        t = g.tcp(SERVER, says.port, window=0)
        flags, seq, _, data, _ = t.next()  # a probe
        self.assertLessEqual(len(data), 1)
        t.window = 65535
        t.segment(ACK)
        self.assertEqual(t.recv_all(), BIG[:100000])

    def test_the_guests_reset(self):
        gw = self.gateway()
        g = self.up(gw)
        all = [g.tcp(SERVER, echoes.port) for _ in range(3)]
        all[0].segment(RST)
        wait_for("gauge", lambda: gw.metric("l2_tcp_conns_active") == 2)
        for t in all[1:]:
            t.send(b"others")
            self.assertEqual(t.recv(6), b"others")
        # one that is not in its window is no reset (RFC 5961)
        t.segment(RST, seq=(t.seq + 2**31) % 2**32)
        t.send(b"still")
        self.assertEqual(t.recv(5), b"still")

    def test_nobody_answers_a_ping(self):
        """Of the keep-alive: one is open at a time; after three intervals without its answer there is another."""
        gw = self.gateway("ping-ms=20")
        ws = gw.ws("/l2", protocol=L2)
        ws.s.settimeout(WAIT)
        self.addCleanup(ws.s.close)
        for n in (1, 2, 3):
            self.assertEqual(ws.recv(), (2, l2(PING, struct.pack(">Q", n))))
        ws.send(l2(PONG, struct.pack(">Q", 1)))  # of an old one: it answers nothing
        ws.send(l2(PONG, b"\0\0\0\3"))
        self.assertEqual(ws.recv(), (2, l2(PING, struct.pack(">Q", 4))))


if __name__ == "__main__":
    unittest.main()

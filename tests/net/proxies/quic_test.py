#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ClientHellos in QUIC: a client that sends what no well-behaved one would, through a proxy, to a server that notes what
arrives (run.sh gives the namespace; real clients are in ../run_test.py)."""
import os, random, shutil, socket, struct, subprocess, threading, unittest

import proxies_test as base
from proxies_test import UDP_AT, event, wait_for

V1, V2 = 0x00000001, 0x6b3343cf
SERVER, SHARED, MOVED, LATE = "127.0.1.20", "127.0.1.21", "127.0.1.22", "127.0.1.23"
PORTS = {SERVER: 5443, SHARED: 5444, MOVED: 5445, LATE: 5446}  # where a client goes to reach each
ACCESS_DENIED, DECODE_ERROR, UNRECOGNIZED_NAME = 0x131, 0x132, 0x170
arrived, hosts = {addr: [] for addr in PORTS}, {}
tool = None


def setUpModule():
    global tool
    tool = base.spawn(os.environ["QUIC_TOOL"].split(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for addr, names in ((SERVER, ["www.quic.test", "tcp-only.quic.test"]), (SHARED, ["one.quic.test", "x.secret.test", "moved.quic.test"]),
                        (MOVED, ["moved.quic.test"]), (LATE, ["late.quic.test"])):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind((addr, 443))
        threading.Thread(target=note, args=(s, addr), daemon=True).start()
        hosts[addr] = base.start_udp_host(UDP_AT, PORTS[addr], "--map", f"{UDP_AT}={addr}:443", "--hello-ms", "300" if addr == LATE else "60000",
                                          *[x for n in names for x in ("--name", f"{n}={addr}")])


def tearDownModule():
    for host in hosts.values():
        base.stop_host(host)
    for p in base.procs:
        p.kill()
        p.wait()
    shutil.rmtree(base.TMP, ignore_errors=True)


def note(sock, addr):
    while True:
        data, peer = sock.recvfrom(65536)
        arrived[addr].append(data)
        sock.sendto(b"\x40answer to " + data[-8:], peer)


def ask_tool(*words):
    tool.stdin.write(" ".join(str(w) for w in words) + "\n")
    tool.stdin.flush()
    return tool.stdout.readline().strip()


def vec(size, data):
    return len(data).to_bytes(size, "big") + data


def hello(name, pad=0, alpn=(b"h3",)):
    """A ClientHello; @pad: bytes of an extension that nobody knows, for hellos of post-quantum size."""
    ext = [(43, b"\x02\x03\x04"), (16, vec(2, b"".join(vec(1, a) for a in alpn))), (13, vec(2, b"\x04\x03\x08\x04")),
           (57, b"\x01\x04\x80\x00\x75\x30")]
    if name:
        ext.insert(0, (0, vec(2, b"\0" + vec(2, name.encode()))))
    if pad:
        ext.append((0xfe01, bytes(pad)))
    body = b"\x03\x03" + os.urandom(32) + b"\0" + vec(2, b"\x13\x01\x13\x02") + b"\x01\0" + \
        vec(2, b"".join(struct.pack(">H", t) + vec(2, b) for t, b in ext))
    return b"\x01" + vec(3, body)


def varint(v):
    return struct.pack(">I", 0x80000000 | v)


def crypto(offset, data):
    return b"\x06" + varint(offset) + varint(len(data)) + data


class Client:
    """One pair of addresses; attempts are told apart by their connection IDs."""

    def __init__(self, server=SERVER, version=V1):
        self.server, self.version, self.number = server, version, 0
        self.dcid, self.scid = os.urandom(8), os.urandom(5)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.settimeout(60)
        self.sock.connect((UDP_AT, PORTS[server]))

    def again(self, version=None):
        """Another attempt from the same place."""
        other = object.__new__(Client)
        other.__dict__.update(self.__dict__)
        other.dcid, other.scid, other.number = os.urandom(8), os.urandom(5), 0
        other.version = version or self.version
        return other

    def seal(self, *frames, size=1200, to=None):
        """An Initial packet, padded so that its datagram is as long as it has to be; @to: the ID that the server chose."""
        frames = b"".join(frames)
        overhead = 1 + 4 + 1 + 8 + 1 + 5 + 1 + 2 + 4 + 16
        frames += bytes(max(4, size - overhead) - len(frames))
        self.number += 1
        return bytes.fromhex(ask_tool("seal", f"{self.version:x}", (to or self.dcid).hex(), self.scid.hex(), self.number,
                                      frames.hex(), self.dcid.hex()))

    def zero_rtt(self, mark):
        first = 0xd0 if self.version == V1 else 0xe0
        return bytes([first]) + struct.pack(">I", self.version) + vec(1, self.dcid) + vec(1, self.scid) + b"\x40\x40" + \
            mark.ljust(64, b"z")

    def send(self, *datagrams):
        for d in datagrams:
            self.sock.send(d)
        return self

    def answer(self):
        return self.sock.recv(65536)

    def close_code(self):
        """The error of the CONNECTION_CLOSE that comes now."""
        packet = self.answer()
        frames = ask_tool("open", f"{self.version:x}", self.dcid.hex(), packet.hex())
        assert frames[:2] == "1c", (packet, frames)
        return int(frames[2:6], 16) & 0x3fff

    def got_through(self):
        """Whether a datagram that needs no judgement arrives at the server now; what was sent before is there, or never will be."""
        mark = b"\x40mark" + os.urandom(8)
        self.send(mark)
        wait_for("the mark", lambda: mark in arrived[self.server])


def got(server, *datagrams):
    """Of these datagrams, those that arrived, in the order in which they did."""
    return [datagrams.index(d) for d in arrived[server] if d in datagrams]


def settle(server):
    """Wait until everything that was sent before has been looked at."""
    c = Client(server)
    c.send(c.seal(crypto(0, hello("www.quic.test" if server == SERVER else "one.quic.test"))))
    c.answer()


def refused(server):
    return hosts[server].stdout.readline() == "refused udp\n"


class Allowed(unittest.TestCase):
    def test_a_hello_in_one_datagram_in_both_versions(self):
        for version in (V1, V2):
            c = Client(version=version)
            d = c.seal(crypto(0, hello("www.quic.test", alpn=(b"h3", b"v%x" % version))))
            c.send(d)
            self.assertEqual(c.answer(), b"\x40answer to " + d[-8:])
            self.assertEqual(got(SERVER, d), [0])
            e = event("net_tls_hello", sni="www.quic.test", quic=True, alpn=["h3", "v%x" % version])
            self.assertEqual((e["sni_verified"], e["effective_action"], e["versions"]), (True, "allowed", ["TLS1.3"]))
            event("net_connect", proto="udp", effective_action="allowed", domain=e["domain"])

    def test_a_hello_of_two_datagrams_is_waited_for_and_goes_on_in_the_order_in_which_it_came(self):
        for order in ((0, 1), (1, 0)):
            c, h = Client(), hello("www.quic.test", pad=1200)
            d = [c.seal(crypto(0, h[:900])), c.seal(crypto(900, h[900:]))]
            c.send(d[order[0]])
            settle(SERVER)
            self.assertEqual(got(SERVER, *d), [])
            c.send(d[order[1]])
            c.answer(), c.answer()
            self.assertEqual(got(SERVER, *d), list(order))
            # lost on the way to the server, and sent again
            again = c.seal(crypto(0, h[:900]))
            c.send(again)
            c.answer()
            self.assertEqual(got(SERVER, again), [0])

    def test_a_hello_in_crumbs_in_any_order(self):
        rng = random.Random(7)
        for _ in range(20):
            c, h = Client(), hello("www.quic.test", pad=rng.randrange(900))
            frames, at = [], 0
            while at < len(h):
                n = rng.randrange(1, 60)
                again = min(at, rng.randrange(5))  # bytes that the piece before has as well
                frames.append(crypto(at - again, h[at - again:at + n]))
                at += n
            rng.shuffle(frames)
            datagrams, part = [], b""
            for f in frames + [None]:
                if f is None or len(part) + len(f) > 900:
                    datagrams.append(c.seal(b"\x01" * rng.randrange(3), part, b"\x02\x00\x00\x00\x00"))
                    part = b""
                part += f or b""
            datagrams += [datagrams[0]] if rng.randrange(2) else []
            c.send(*datagrams)
            for _ in datagrams:
                c.answer()
            self.assertEqual(len(got(SERVER, *datagrams)), len(datagrams))

    def test_early_data_waits_with_the_hello_and_overtakes_nothing(self):
        c = Client()
        d = [c.zero_rtt(b"early" + os.urandom(8)), c.seal(crypto(0, hello("www.quic.test"))), c.zero_rtt(b"late" + os.urandom(8))]
        c.send(*d)
        for _ in d:
            c.answer()
        self.assertEqual(got(SERVER, *d), [0, 1, 2])

    def test_what_is_coalesced_goes_on_as_it_is(self):
        c = Client()
        d = c.seal(crypto(0, hello("www.quic.test")), size=1000) + c.zero_rtt(b"x") + b"\x40 and a short header".ljust(400)
        c.send(d)
        c.answer()
        self.assertEqual(got(SERVER, d), [0])

    def test_a_second_hello_with_the_same_name(self):
        c, h = Client(), hello("www.quic.test")
        c.send(c.seal(crypto(0, h)))
        c.answer()
        second = hello("www.quic.test", pad=1500)
        d = [c.seal(crypto(len(h), second[:800])), c.seal(crypto(len(h) + 800, second[800:]))]
        c.send(d[0])
        c.got_through()
        self.assertEqual(got(SERVER, *d), [])
        c.send(d[1])
        wait_for("both", lambda: got(SERVER, *d) == [0, 1])

    def test_the_rest_of_a_handshake_goes_to_where_the_server_wants_it(self):
        c = Client()
        c.send(c.seal(crypto(0, hello("www.quic.test"))))
        c.answer()
        d = c.seal(b"\x02\x00\x00\x00\x00", size=200, to=b"its choice")  # an ACK, too small to begin anything
        c.send(d)
        c.answer()
        self.assertEqual(got(SERVER, d), [0])

    def test_what_is_no_quic_goes_where_connect_allows_it(self):
        c = Client()
        for d in (b"hello", b"\x80\x60\x00\x01" + os.urandom(160), b"\x16\xfe\xfd" + bytes(20)):
            c.send(d)
            c.answer()
            self.assertEqual(got(SERVER, d), [0])


class Denied(unittest.TestCase):
    def test_a_name_that_sni_denies_gets_a_close_with_an_alert_and_nothing_arrives(self):
        for version in (V1, V2):
            for cut in (2000, 100):
                c, h = Client(version=version), hello("xx.blocked.test")
                d = [c.seal(crypto(0, h[:cut]))] + ([c.seal(crypto(cut, h[cut:]))] if cut < len(h) else [])
                c.send(*d)
                self.assertEqual(c.close_code(), UNRECOGNIZED_NAME)
                settle(SERVER)
                self.assertEqual(got(SERVER, *d), [])
        e = event("net_tls_hello", sni="xx.blocked.test", effective_action="blocked", quic=True)
        self.assertEqual(e["policy_reason"], "this name is blocked")

    def test_a_policy_can_send_clients_to_tcp(self):
        c = Client()
        c.send(c.seal(crypto(0, hello("tcp-only.quic.test"))))
        self.assertEqual(c.close_code(), UNRECOGNIZED_NAME)
        event("net_tls_hello", sni="tcp-only.quic.test", effective_action="blocked", policy_reason="this one by TCP")

    def test_a_route_is_for_tcp(self):
        c = Client()
        c.send(c.seal(crypto(0, hello("routed.test"))))
        self.assertEqual(c.close_code(), UNRECOGNIZED_NAME)
        e = event("net_tls_hello", sni="routed.test", effective_action="blocked", quic=True)
        self.assertIn("fall back to TCP", e["policy_reason"])

    def test_a_name_that_does_not_belong_to_the_address_is_judged_as_well(self):
        c = Client()
        c.send(c.seal(crypto(0, hello("spoofed.secret.test"))))
        self.assertEqual(c.close_code(), ACCESS_DENIED)
        event("net_connect", domain="spoofed.secret.test", proto="udp", effective_action="blocked")

    def test_the_name_in_the_hello_chooses_between_names_of_one_address(self):
        for name, code in (("one.quic.test", None), ("x.secret.test", ACCESS_DENIED), ("moved.quic.test", ACCESS_DENIED),
                           (None, ACCESS_DENIED)):
            c = Client(SHARED)
            d = c.seal(crypto(0, hello(name)))
            c.send(d)
            if code:
                self.assertEqual(c.close_code(), code)
            else:
                c.answer()
            self.assertEqual(got(SHARED, d), [] if code else [0])
            event("net_connect", domain=name or "x.secret.test", proto="udp", effective_action="blocked" if code else "allowed")

    def test_where_names_disagree_what_says_none_is_refused(self):
        c = Client(SHARED)
        c.send(b"no QUIC")
        self.assertTrue(refused(SHARED))
        self.assertEqual(got(SHARED, b"no QUIC"), [])

    def test_redirected_names_are_refused_at_once(self):
        c = Client(MOVED)
        c.send(c.seal(crypto(0, hello("moved.quic.test"))))
        self.assertEqual(c.close_code(), ACCESS_DENIED)
        c.send(c.seal(crypto(0, hello("moved.quic.test")), size=1100))
        self.assertTrue(refused(MOVED))
        self.assertEqual(arrived[MOVED], [])
        self.assertIn("fall back to TCP", event("net_connect", domain="moved.quic.test", effective_action="blocked")["policy_reason"])

    def test_versions_that_are_not_read_are_told_which_are(self):
        for version in (0xff00001d, 0x709a50c4, 0x51303530, 0x1a2a3a4a):
            c = Client()
            d = b"\xc3" + struct.pack(">I", version) + vec(1, c.dcid) + vec(1, c.scid) + os.urandom(1180)
            c.send(d)
            self.assertEqual(c.answer(), b"\xc0\0\0\0\0" + vec(1, c.scid) + vec(1, c.dcid) + struct.pack(">II", V1, V2))
            c.send(d[:1199])
            self.assertTrue(refused(SERVER))
            self.assertEqual(got(SERVER, d, d[:1199]), [])
        self.assertIn("cannot be read", event("net_connect", proto="udp", effective_action="blocked", policy_rule="protocol")["policy_reason"])

    def test_a_version_that_is_not_read_on_a_flow_that_is_open(self):
        c = Client()
        c.got_through()
        d = b"\xc3\xff\0\0\x1d" + vec(1, c.dcid) + vec(1, c.scid) + os.urandom(1180)
        c.send(d)
        while c.answer()[:5] != b"\xc0\0\0\0\0":
            pass
        c.got_through()
        self.assertEqual(got(SERVER, d), [])


class Hostile(unittest.TestCase):
    def test_another_attempt_on_an_open_flow_is_judged(self):
        c = Client()
        c.got_through()  # a flow that began as something else
        for name, code in (("www.quic.test", None), ("xx.blocked.test", UNRECOGNIZED_NAME), ("www.quic.test", None)):
            a = c.again(V2)
            d = a.seal(crypto(0, hello(name)))
            c.send(d)
            while (packet := c.answer()).startswith(b"\x40answer to ") and not packet.endswith(d[-8:]):
                pass
            if code:
                self.assertEqual(ask_tool("open", f"{V2:x}", a.dcid.hex(), packet.hex())[:6], f"1c{0x4000 | code:x}")
            self.assertEqual(got(SERVER, d), [] if code else [0])
            # what belongs to the others goes on
            c.got_through()

    def test_a_denied_attempt_does_not_get_through_by_trying_again(self):
        c = Client()
        c.send(c.seal(crypto(0, hello("www.quic.test"))))
        c.answer()
        a, h = c.again(), hello("xx.blocked.test")
        d = [a.seal(crypto(0, h)), a.seal(crypto(0, h[:50])), a.seal(b"\x01")]
        c.send(*d)
        self.assertEqual(a.close_code(), UNRECOGNIZED_NAME)
        c.got_through()
        self.assertEqual(got(SERVER, *d), [])

    def test_bytes_that_are_said_twice_in_two_ways_are_refused(self):
        good = hello("www.quic.test")
        bad = good.replace(b"www.quic.test", b"xx.quic.testx")
        for first, second in ((good, bad), (bad, good)):
            c = Client()
            d = [c.seal(crypto(0, first[:-1])), c.seal(crypto(0, second))]
            c.send(*d)
            self.assertEqual(c.close_code(), DECODE_ERROR)
            settle(SERVER)
            self.assertEqual(got(SERVER, *d), [])
        # in one packet, and after the judgement
        c = Client()
        c.send(c.seal(crypto(0, bad), crypto(0, good)))
        self.assertEqual(c.close_code(), DECODE_ERROR)
        c = Client()
        c.send(c.seal(crypto(0, good)))
        c.answer()
        d = c.seal(crypto(0, bad))
        c.send(d)
        self.assertEqual(c.close_code(), DECODE_ERROR)
        c.got_through()
        self.assertEqual(got(SERVER, d), [])

    def test_a_second_hello_with_another_name_is_refused(self):
        c, h = Client(), hello("www.quic.test")
        c.send(c.seal(crypto(0, h)))
        c.answer()
        d = c.seal(crypto(len(h), hello("xx.blocked.test")))
        c.send(d)
        self.assertEqual(c.close_code(), DECODE_ERROR)
        c.got_through()
        self.assertEqual(got(SERVER, d), [])
        # and as one message behind the first, at once
        c = Client()
        d = c.seal(crypto(0, h + hello("xx.blocked.test")))
        c.send(d)
        self.assertEqual(c.close_code(), DECODE_ERROR)
        settle(SERVER)
        self.assertEqual(got(SERVER, d), [])

    def test_a_datagram_that_servers_must_ignore_is_not_believed(self):
        c = Client()
        short = c.seal(crypto(0, hello("www.quic.test")), size=1100)
        c.send(short)
        other = c.again()
        d = other.seal(crypto(0, hello("xx.blocked.test")))
        c.send(d)
        self.assertEqual(other.close_code(), UNRECOGNIZED_NAME)
        self.assertEqual(got(SERVER, short, d), [])

    def test_two_attempts_in_one_datagram_are_not_let_through(self):
        c = Client()
        c.got_through()
        a, b = c.again(), c.again()
        # one goes where the server told it to, the other one begins there
        one, two = a.seal(crypto(0, hello("www.quic.test")), to=b.dcid), b.seal(crypto(0, hello("www.quic.test")))
        c.send(a.seal(b"\x01"))
        c.send(one + two, two + one)
        x = c.again()
        c.send(one + x.seal(crypto(0, hello("www.quic.test"))), one + x.zero_rtt(b"elsewhere"))
        c.got_through()
        self.assertEqual([d for d in arrived[SERVER] if one in d or two in d], [])

    def test_an_attempt_that_is_let_through_takes_nobody_with_it(self):
        c = Client()
        c.got_through()
        a, b, h = c.again(), c.again(V2), hello("www.quic.test")
        d = [a.seal(crypto(0, h[:100])), b.seal(crypto(0, hello("www.quic.test"))), a.seal(crypto(100, h[100:]))]
        c.send(d[0], d[1])
        c.got_through()
        self.assertEqual(got(SERVER, *d), [1])
        c.send(d[2])
        c.got_through()
        self.assertEqual(got(SERVER, *d), [1, 0, 2])

    def test_what_nobody_can_open_does_not_go_on(self):
        c = Client()
        d = bytearray(c.seal(crypto(0, hello("www.quic.test"))))
        d[700] ^= 1
        cut = c.seal(crypto(0, hello("www.quic.test")))[:1100]
        c.got_through()
        c.send(bytes(d), cut)
        c.got_through()
        self.assertEqual(got(SERVER, bytes(d), cut), [])

    def test_a_malformed_hello_and_wrong_frames_are_refused(self):
        h = hello("www.quic.test")
        for frames in (crypto(0, b"\x02" + h[1:]), b"\x08\0abc", b"\x1d\0\0", crypto(16384, b"x"),
                       crypto(0, h[:51] + b"\xff\xff" + h[53:])):
            c = Client()
            d = c.seal(frames)
            c.send(d)
            self.assertEqual(c.close_code(), DECODE_ERROR)
            settle(SERVER)
            self.assertEqual(got(SERVER, d), [])

    def test_a_hello_that_never_ends_is_refused_in_time(self):
        c = Client(LATE)
        d = c.seal(crypto(0, hello("late.quic.test")[:-1]))
        c.send(d)
        self.assertEqual(c.close_code(), ACCESS_DENIED)
        self.assertEqual(got(LATE, d), [])
        event("net_connect", proto="udp", effective_action="blocked", policy_rule="protocol",
              policy_reason="the client's first message did not come to its end in time")

    def test_what_is_held_is_bounded(self):
        c = Client()
        early = [c.zero_rtt(b"%d" % i + os.urandom(8)) for i in range(40)]
        last = c.seal(crypto(0, hello("www.quic.test")))
        c.send(*early, last)
        wait_for("the hello", lambda: got(SERVER, last))
        self.assertEqual(got(SERVER, *early), list(range(16)))

    def test_attempts_of_one_flow_are_bounded(self):
        c = Client()
        c.got_through()
        d = []
        for _ in range(6):
            a = c.again()
            d.append(a.seal(crypto(0, hello("www.quic.test"))))
            c.send(d[-1])
        c.got_through()
        self.assertEqual(got(SERVER, *d), [0, 1, 2, 3])


if __name__ == "__main__":
    unittest.main(warnings="ignore")

# SPDX-License-Identifier: Apache-2.0
"""moonfence policy replay --write: the packets that the pipeline makes of a capture, as tshark sees them."""
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

import support

sys.path.insert(0, os.path.join(support.ROOT, "tests", "data", "pcap"))
sys.dont_write_bytecode = True
import captures  # noqa: E402

GOLDEN = os.path.join(support.ROOT, "tests", "data", "pcap")

ALLOW = 'return { name = "allow", connect = function() return allow() end, dns = function() return allow() end }'
DENY = 'return { name = "deny", connect = function() return deny("no") end, dns = function() return deny("no names") end }'
DIVERT = """return { name = "divert", dns = function() return resolve { "192.0.2.99", "2001:db8::99" } end,
  connect = function(c)
    if c.proto == "udp" then return redirect("192.0.2.77:9") end
    return redirect("bastion.example:2222")
  end }"""
WORDS = """return { name = "words", dns = function() return allow() end, connect = function() return allow() end,
  sni = function(s) if s.sni == "www.shop.example" then return deny("not this one") end end }"""

CODES = """return { name = "codes", connect = function() return allow() end, dns = function(q)
    if q.name == "nx.example" or q.name == "banned.example" then return deny { rcode = "NXDOMAIN" } end
    if q.name == "fail.example" then return deny { rcode = "SERVFAIL" } end
    if q.name == "plain.example" then return deny() end
    if q.name == "ours.example" then return resolve { "192.0.2.99" } end
    return allow()
  end }"""

FIXED = captures.FIXED_HELLO

# Filters of tshark for what a packet must not be.
WRONG = ("ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0 || icmp.checksum.status == 0 "
         "|| icmpv6.checksum.status == 0 || _ws.malformed")
CHECKS = ["-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"]


class Conversation:
    """DNS over TCP, packet by packet; each segment is acknowledged by the next one of the other side."""

    def __init__(self, client, server):
        self.ends, self.at, self.packets = ((client, 40053), (server, 53)), [1000, 900000], []
        for side, flags in ((0, captures.SYN), (1, captures.SYN | captures.ACK), (0, captures.ACK)):
            self.segment(side, flags)

    def segment(self, side, flags, payload=b""):
        (src, sport), (dst, dport) = self.ends[side], self.ends[1 - side]
        ack = self.at[1 - side] if flags & captures.ACK else 0
        self.packets.append((captures.START + len(self.packets) * 10**6,
                             captures.tcp(src, sport, dst, dport, self.at[side], ack, flags, payload)))
        self.at[side] += len(payload) + bool(flags & (captures.SYN | captures.FIN))

    def ask(self, ident, host):
        message = captures.dns_question(ident, host)
        self.segment(0, captures.PSH | captures.ACK, struct.pack(">H", len(message)) + message)

    @staticmethod
    def message(ident, host, addresses):
        message = captures.dns_answer(ident, host, "A", [(host, "A", a) for a in addresses])
        return struct.pack(">H", len(message)) + message

    def say(self, data):
        self.segment(1, captures.PSH | captures.ACK, data)
        self.segment(0, captures.ACK)

    def answer(self, ident, host, addresses, pieces=()):
        data = self.message(ident, host, addresses)
        for start, end in zip((0, *pieces), (*pieces, len(data))):
            self.say(data[start:end])

    def end(self):
        self.segment(0, captures.FIN | captures.ACK)
        self.segment(1, captures.FIN | captures.ACK)
        self.segment(0, captures.ACK)


def fields(path, names, only=None):
    """Rows of what tshark shows of a file; each call takes it most of a second to begin."""
    command = ["tshark", "-r", path, *CHECKS, "-T", "fields"]
    for name in names:
        command += ["-e", name]
    done = subprocess.run(command + (["-Y", only] if only else []), capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(done.stderr)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    return [row[0] for row in rows] if len(names) == 1 else [tuple(row) for row in rows]


def merge(target, files):
    """The packets of all files, one file after the other"""
    subprocess.run(["mergecap", "-a", "-w", target, *files], check=True)
    return target


@unittest.skipUnless(shutil.which("tshark"), "no tshark")
class Write(support.Case):
    def setUp(self):
        super().setUp()
        self.out = os.path.join(self.directory, "out.pcapng")
        self.aside, self.written = tempfile.mkdtemp(prefix="moonfence-written-"), []
        self.addCleanup(shutil.rmtree, self.aside)
        self.addCleanup(self.check_written)

    def check_written(self):
        """tshark finds nothing wrong in all that a test wrote."""
        if self.written:
            self.assertEqual(fields(merge(os.path.join(self.aside, "all"), self.written),
                                    ["frame.number", "frame.protocols", "frame.comment"], WRONG), [])

    def keep(self, path):
        """For check_written(); Return: the copy"""
        self.written.append(os.path.join(self.aside, str(len(self.written))))
        return shutil.copyfile(path, self.written[-1])

    def capture(self, data, name="trace.pcap"):
        path = os.path.join(self.directory, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def traffic(self, traffic):
        return self.capture(captures.pcap([(t, p) for t, p in traffic.packets], link=captures.RAW))

    def rewrite(self, capture, policy, status=0):
        """Return: a copy of what was written"""
        self.call("policy", "replay", "-p", self.write("w.lua", policy), "--write", self.out, capture, status=status)
        return self.keep(self.out)

    def fields(self, *names, only=None, path=None):
        """As fields(), of the written file"""
        return fields(path or self.out, names, only)

    def test_no_policy_makes_a_packet_that_tshark_complains_about(self):
        written = []
        for name in sorted(captures.golden()):
            if name in ("usual-big-endian.pcap", "usual-nanoseconds.pcap", "loop.pcap"):
                continue  # the same packets as others
            for policy in (DENY, DIVERT, WORDS):
                written.append(self.rewrite(os.path.join(GOLDEN, name), policy))
        self.assertGreater(len(self.fields("frame.number", path=merge(self.out, written))), 200)

    def test_what_passes_is_what_was_captured(self):
        columns = ["frame.time_epoch", "eth.dst", "vlan.id", "sll.pkttype", "ip.src", "ip.dst", "ipv6.src", "ip.id", "ip.len",
                   "ip.checksum", "udp.length", "udp.checksum", "tcp.checksum", "tcp.seq", "dns.a",
                   "tls.handshake.extensions_server_name"]
        # One by itself: mergecap rounds its times.
        for names in (["three-interfaces.pcapng"], ["usual.pcap", "vlan.pcapng", "six.pcap", "cooked2.pcap", "fragments.pcap",
                                                    "snaplen.pcap", "null.pcap"]):
            captured = [os.path.join(GOLDEN, name) for name in names]
            written = [self.rewrite(path, ALLOW) for path in captured]
            if len(names) > 1:
                written, captured = [merge(self.out, written)], [merge(self.out + ".captured", captured)]
            self.assertEqual(self.fields(*columns, path=written[0]), self.fields(*columns, path=captured[0]))

    def test_a_refused_connection_gets_one_reset_and_the_rest_is_not_written(self):
        t = captures.Traffic()
        t.connect("198.51.100.7", 443, said=FIXED, isn=5000)
        t.connect("2001:db8::7", 443, client="2001:db8::10", said=FIXED, isn=7000)
        self.rewrite(self.traffic(t), DENY)
        self.assertEqual(self.fields("ip.src", "ipv6.src", "tcp.srcport", "tcp.flags", "tcp.seq_raw", "tcp.ack_raw"), [
            ("198.51.100.7", "", "443", "0x0014", "0", "5001"), ("", "2001:db8::7", "443", "0x0014", "0", "7001")])
        comments = self.fields("frame.comment")
        self.assertTrue(all("refused: connect: deny, " in c and c.endswith("w.lua:1, connect(): no") for c in comments))

    def test_a_hello_that_is_refused_ends_its_connection(self):
        self.rewrite(os.path.join(GOLDEN, "usual.pcap"), WORDS)
        rows = self.fields("tcp.srcport", "tcp.flags", "frame.comment", only="tcp.port == 40000")
        self.assertEqual([row[1] for row in rows],
                         ["0x0002", "0x0012", "0x0010", "0x0018", "0x0018", "0x0004"])
        self.assertEqual(rows[-1][0], "443")
        self.assertIn("sni: deny", rows[-1][2])

    def disagreeing(self, host):
        """Two names on one address; a connection under @host between packets of others."""
        t = captures.Traffic()
        t.dns("here.example", "A", [("here.example", "A", "198.51.100.7")], ident=1)
        t.dns("there.example", "A", [("there.example", "A", "198.51.100.7")], ident=2)
        t.add(captures.tcp("192.0.2.10", 40000, "198.51.100.7", 443, 1000, 0, captures.SYN))
        t.add(captures.udp("192.0.2.10", 5000, "198.51.100.9", 7, b"q"))
        t.add(captures.tcp("198.51.100.7", 443, "192.0.2.10", 40000, 9000, 1001, captures.SYN | captures.ACK))
        t.add(captures.tcp("192.0.2.10", 40000, "198.51.100.7", 443, 1001, 9001, captures.ACK))
        hello = captures.hello(host)
        for at, end in ((0, 100), (100, len(hello))):
            t.add(captures.tcp("192.0.2.10", 40000, "198.51.100.7", 443, 1001 + at, 9001, captures.PSH | captures.ACK,
                               hello[at:end]))
        t.add(captures.tcp("198.51.100.7", 443, "192.0.2.10", 40000, 9001, 1001 + len(hello), captures.PSH | captures.ACK, b"x"))
        return self.traffic(t)

    def test_what_the_hello_redirects_is_redirected_from_its_first_packet_on(self):
        by_name = """return { name = "n", dns = function() return allow() end, connect = function(c)
            if c.host == "there.example" then return redirect("bastion.example:2222") end return allow() end }"""
        by_sni = """return { name = "s", dns = function() return allow() end, connect = function() return allow() end,
            sni = function(s) if s.sni == "there.example" then return redirect("bastion.example:2222") end end }"""
        # host, port of the client's packets, of the server's
        for policy, host, port in ((by_name, "there.example", "61080"), (by_name, "here.example", "443"),
                                   (by_sni, "there.example", "61080"), (by_sni, "here.example", "443")):
            with self.subTest(policy=policy[17:18], host=host):
                self.rewrite(self.disagreeing(host), policy)
                there = "198.51.100.7" if port != "443" else "192.0.2.10"
                rows = self.fields("ip.src", "tcp.srcport", "tcp.dstport", "tcp.flags", only="tcp")
                back = ("198.51.100.7", "443", "40000")
                self.assertEqual(rows, [(there, "40000", port, "0x0002"), (*back, "0x0012"), (there, "40000", port, "0x0010"),
                                        (there, "40000", port, "0x0018"), (there, "40000", port, "0x0018"), (*back, "0x0018")])
                times = [float(time) for time in self.fields("frame.time_epoch")]
                self.assertEqual(times, sorted(times))
                self.assertEqual(len(times), 11)
                if port != "443":
                    comments = self.fields("frame.comment", only="tcp.flags == 0x18 && tcp.dstport == 61080")
                    self.assertIn("redirect to bastion.example port 2222", comments[-1])

    def test_what_no_words_decide_passes_to_the_end_of_the_capture(self):
        t = captures.Traffic()
        t.add(captures.tcp("192.0.2.10", 40000, "198.51.100.7", 443, 1000, 0, captures.SYN))
        t.add(captures.tcp("198.51.100.7", 443, "192.0.2.10", 40000, 9000, 1001, captures.SYN | captures.ACK))
        for i in range(3):  # the last one long after the client is given up
            t.add(captures.udp("192.0.2.10", 5000 + i, "198.51.100.9", 7, b"q"), after=4 * 10**9)
        self.rewrite(self.traffic(t), ALLOW)
        self.assertEqual(self.fields("tcp.flags", "udp.srcport"),
                         [("0x0002", ""), ("0x0012", ""), ("", "5000"), ("", "5001"), ("", "5002")])

    def test_more_packets_than_can_wait_are_written_as_of_a_connection_that_passes(self):
        t = captures.Traffic()
        t.add(captures.tcp("192.0.2.10", 40000, "198.51.100.7", 443, 1000, 0, captures.SYN))
        for i in range(16400):
            t.add(captures.udp("192.0.2.10", 5000, "198.51.100.9", 7, b"%d" % i), after=1000)
        t.add(captures.tcp("192.0.2.10", 40000, "198.51.100.7", 443, 1001, 9001, captures.PSH | captures.ACK,
                           captures.hello("there.example")))
        path = self.traffic(t)
        _, err = self.call("policy", "replay", "-p", self.write("w.lua", ALLOW), "--write", self.out, path)
        self.assertIn("were written before their client said where they go", err)
        columns = ["frame.time_epoch", "ip.src", "ip.checksum", "udp.checksum", "tcp.checksum"]
        self.assertEqual(self.fields(*columns), self.fields(*columns, path=path))

    def test_redirected_flows_go_to_the_proxy_and_answers_come_from_where_they_came(self):
        t = captures.Traffic()
        t.connect("198.51.100.7", 22, said=b"x")
        t.connect("2001:db8:1::7", 22, client="2001:db8::10", said=b"x")
        t.add(captures.udp("192.0.2.10", 5000, "198.51.100.7", 7, b"q"))
        t.add(captures.udp("198.51.100.7", 7, "192.0.2.10", 5000, b"a"))
        self.rewrite(self.traffic(t), DIVERT)
        rows = self.fields("ip.src", "ip.dst", "tcp.srcport", "tcp.dstport", only="ip && tcp")
        there, back = ("198.51.100.7", "192.0.2.10", "40000", "61080"), ("198.51.100.7", "192.0.2.10", "22", "40000")
        self.assertEqual(rows, [there, back, there, there, there, back])
        rows = self.fields("ipv6.src", "ipv6.dst", "tcp.srcport", "tcp.dstport", only="ipv6")
        there = ("2001:db8:1::7", "2001:db8::10", "40000", "61080")
        self.assertEqual(rows[0], there)
        self.assertEqual(self.fields("ip.src", "udp.srcport", "udp.dstport", only="udp"),
                         [("198.51.100.7", "5000", "61080"), ("198.51.100.7", "7", "5000")])
        self.assertIn("redirected: connect: redirect to bastion.example port 2222", self.fields("frame.comment")[0])

    def test_questions_are_refused_one_by_one(self):
        t = captures.Traffic()
        for i, host in enumerate(("good.example", "bad.example", "fine.example")):
            t.dns(host, "A", [(host, "A", "198.51.100.7")], ident=100 + i)
        policy = """return { name = "d", dns = function(q)
          if q.name == "bad.example" then return deny() end return allow() end }"""
        self.rewrite(self.traffic(t), policy)
        self.assertEqual(self.fields("dns.id", "dns.flags.response", "dns.flags.rcode"), [
            ("0x0064", "0", ""), ("0x0064", "1", "0"), ("0x0065", "1", "5"), ("0x0066", "0", ""), ("0x0066", "1", "0")])

    def test_a_refused_question_gets_the_code_that_its_policy_names(self):
        t = captures.Traffic()
        for i, host in enumerate(("nx.example", "fail.example", "plain.example", "ours.example", "alias.example")):
            records = [(host, "CNAME", "banned.example"), ("banned.example", "A", "198.51.100.7")]
            t.dns(host, "A", records if host == "alias.example" else [(host, "A", "198.51.100.7")], ident=100 + i)
        self.rewrite(self.traffic(t), CODES)
        self.assertEqual(self.fields("dns.id", "dns.flags.response", "dns.flags.rcode", "udp.dstport", "dns.a"), [
            ("0x0064", "1", "3", "5353", ""), ("0x0065", "1", "2", "5353", ""), ("0x0066", "1", "5", "5353", ""),
            ("0x0067", "0", "", "61053", ""), ("0x0067", "1", "0", "5353", "192.0.2.99"),
            ("0x0068", "0", "", "53", ""), ("0x0068", "1", "3", "5353", "")])

    def test_over_tcp_the_resolver_of_the_session_speaks_in_the_same_connection(self):
        for client, server in (("192.0.2.10", "192.0.2.53"), ("2001:db8::10", "2001:db8::53")):
            t = Conversation(client, server)
            t.ask(1, "good.example")
            t.answer(1, "good.example", ["198.51.100.1"])
            t.ask(2, "nx.example")
            t.answer(2, "nx.example", ["198.51.100.2"])
            t.ask(3, "ours.example")
            t.ask(4, "also.example")  # before the answer to the one before
            t.answer(3, "ours.example", ["198.51.100.3"])
            t.answer(4, "also.example", ["198.51.100.4"], pieces=(1, 20))
            t.end()
            self.rewrite(self.capture(captures.pcap(t.packets, link=captures.RAW)), CODES)
            self.assertEqual(self.fields("frame.number", "frame.comment", only="tcp.analysis.flags"), [])
            rows = self.fields("dns.id", "dns.flags.response", "dns.flags.rcode", "dns.a", only="dns")
            self.assertEqual(rows, [
                ("0x0001", "0", "", ""), ("0x0001", "1", "0", "198.51.100.1"), ("0x0002", "0", "", ""), ("0x0002", "1", "3", ""),
                ("0x0003", "0", "", ""), ("0x0003", "1", "0", "192.0.2.99"), ("0x0004", "0", "", ""),
                ("0x0004", "1", "0", "198.51.100.4")])
            self.assertEqual(self.fields("tcp.flags")[-3:], ["0x0011", "0x0011", "0x0010"])

    def test_what_a_server_began_to_say_is_said_to_its_end(self):
        t = Conversation("192.0.2.10", "192.0.2.53")
        t.ask(1, "good.example")
        said = t.message(1, "good.example", ["198.51.100.1"])
        t.say(said[:9])
        t.ask(2, "nx.example")
        t.say(said[9:] + t.message(2, "nx.example", ["198.51.100.2"]) + t.message(9, "x.example", ["198.51.100.9"])[:5])
        t.end()
        self.rewrite(self.capture(captures.pcap(t.packets, link=captures.RAW)), CODES)
        self.assertEqual(self.fields("frame.number", only="tcp.analysis.flags"), [])
        self.assertEqual(self.fields("dns.id", "dns.flags.response", "dns.flags.rcode", only="dns"),
                         [("0x0001", "0", ""), ("0x0002", "0", ""), ("0x0001,0x0002", "1,1", "0,3")])

    def test_refused_datagrams_get_an_icmp_error_each_time_a_flow_begins(self):
        t = captures.Traffic()
        for source, target in (("192.0.2.10", "198.51.100.7"), ("2001:db8::10", "2001:db8::7")):
            for _ in range(3):
                t.add(captures.udp(source, 5000, target, 7, b"x" * 100))
        self.rewrite(self.traffic(t), DENY)
        self.assertEqual(self.fields("icmp.type", "icmp.code", "icmpv6.type", "icmpv6.code"),
                         [("3", "13", "", ""), ("", "", "1", "1")])

    def test_refusals_go_back_by_the_link_that_the_packet_came_by(self):
        self.rewrite(os.path.join(GOLDEN, "vlan.pcapng"), DENY)
        self.assertEqual(set(self.fields("eth.src", "eth.dst", "vlan.id")),
                         {("02:00:00:00:00:02", "02:00:00:00:00:01", "42")})
        self.rewrite(os.path.join(GOLDEN, "cooked.pcap"), DENY)
        self.assertEqual(set(self.fields("sll.pkttype")), {"0"})

    def test_checksums_that_a_card_was_to_finish_are_finished_and_wrong_ones_stay_wrong(self):
        packet = captures.tcp("192.0.2.10", 40000, "198.51.100.7", 80, 1, 0, captures.SYN)
        pseudo = captures.pack("192.0.2.10") + captures.pack("198.51.100.7") + struct.pack(">BBH", 0, 6, 20)
        partial = packet[:36] + struct.pack(">H", ~captures.checksum(pseudo) & 0xFFFF) + packet[38:]
        wrong = packet[:36] + b"\x12\x34" + packet[38:]
        t = captures.Traffic()
        t.add(partial)
        self.rewrite(self.traffic(t), ALLOW)
        self.assertEqual(self.fields("tcp.checksum.status"), ["1"])
        t = captures.Traffic()
        t.add(wrong)
        self.call("policy", "replay", "-p", self.write("w.lua", ALLOW), "--write", self.out, self.traffic(t))
        self.assertEqual(self.fields("tcp.checksum.status"), ["0"])

    def test_what_is_no_ip_is_written_as_it_is(self):
        arp = bytes.fromhex("ffffffffffff0200000000010806000108000604000102000000000100000000000000000000c0000201")
        self.rewrite(self.capture(captures.pcap([(captures.START, arp)])), DENY)
        self.assertEqual(self.fields("frame.protocols", "frame.len"), [("eth:ethertype:arp", "42")])

    def test_the_file_takes_its_place_only_when_it_is_whole(self):
        path = self.traffic(captures.usual())
        if not support.LAUNCHER:  # Windows replaces no file that is open
            self.out = path  # over the capture itself
        self.rewrite(path, ALLOW)
        self.assertEqual(len(self.fields("frame.number")), 16)
        damaged = self.capture(captures.pcap(captures.ethernet(captures.usual())) + b"\xff" * 16, "damaged.pcap")
        out = os.path.join(self.directory, "never.pcapng")
        policy = self.write("w.lua", ALLOW)
        self.call("policy", "replay", "-p", policy, "--write", out, damaged, status=2)
        _, err = self.call("policy", "replay", "-p", policy, "-w", "/nowhere/x.pcapng", damaged, status=2)
        self.assertIn("cannot write /nowhere/x.pcapng.part", err)
        self.assertEqual(sorted(os.listdir(self.directory)),
                         sorted({"damaged.pcap", "trace.pcap", "w.lua", os.path.basename(self.out)}))

    def test_a_hello_in_quic_that_is_refused_ends_its_flow(self):
        t = captures.Traffic()
        for d in captures.quic_datagrams("chromium") + [b"\x40 of nobody any more"]:
            t.add(captures.udp("192.0.2.10", 50000, "198.51.100.7", 443, d))
        self.rewrite(self.traffic(t), """return { name = "q", connect = function(c) return allow() end,
          sni = function(s) if s.quic then return deny "by TCP only" end end }""")
        rows = self.fields("udp.length", "icmp.type", "icmp.code", "frame.comment")
        self.assertEqual(len(rows), 2)
        self.assertEqual((rows[0][1], rows[1][1:3]), ("", ("3", "13")))
        self.assertIn("by TCP only", rows[1][3])


if __name__ == "__main__":
    support.main()

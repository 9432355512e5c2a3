# SPDX-License-Identifier: Apache-2.0
"""moonfence policy replay: captures in, decisions and differences out."""
import os
import shutil
import subprocess
import sys

import support

sys.path.insert(0, os.path.join(support.ROOT, "tests", "data", "pcap"))
sys.dont_write_bytecode = True
import captures  # noqa: E402

GOLDEN = os.path.join(support.ROOT, "tests", "data", "pcap")

SHOP = """return {
  name = "shop",
  connect = function(c)
    if c.host and c:under("shop.example") then return allow() end
    if c.port == 22 and c.process.name == "ssh" then return allow() end
    return deny("not in the shop")
  end,
}
"""
OPEN = """return {
  name = "open",
  dns = function(q) if q:under("cdn.example") then return deny { reason = "no cdn", rcode = "NXDOMAIN" } end end,
  connect = function(c)
    if c.port == 22 then return redirect("bastion.example:2222") end
    return allow()
  end,
}
"""


class Replay(support.Case):
    def capture(self, data, name="trace.pcap"):
        path = os.path.join(self.directory, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def traffic(self, traffic):
        return self.capture(captures.pcap([(t, p) for t, p in traffic.packets], link=captures.RAW))

    def ask(self, capture, policy, *more, status=0):
        """The questions and the summary under one policy."""
        result = self.call_json("policy", "replay", "--json", "--policy", self.write("new.lua", policy), *more, capture,
                                status=status)
        return result["questions"], result["summary"]

    # --- what is read ----------------------------------------------------------------------------------------------

    def brief(self, questions):
        return [(q["kind"], q.get("name", q.get("sni", q["server"])), q.get("type"), q["new"]["verdict"])
                for q in questions]

    def test_every_format_tells_the_same(self):
        expected = [("dns", "www.shop.example", "A", "allow"), ("connect", "198.51.100.7:443", None, "allow"),
                    ("sni", "www.shop.example", None, None), ("connect", "203.0.113.9:22", None, "deny"),
                    ("dns", "lost.example", "A", "deny")]
        for name in ("usual.pcap", "usual-big-endian.pcap", "usual-nanoseconds.pcap", "usual.pcapng", "vlan.pcapng",
                     "three-interfaces.pcapng"):
            with self.subTest(name):
                questions, summary = self.ask(os.path.join(GOLDEN, name), SHOP)
                self.assertEqual(self.brief(questions), expected)
                self.assertEqual(summary["packets"], 16)
                self.assertEqual([q["packet"] for q in questions], [1, 3, 8, 11, 16])
                self.assertRegex(questions[0]["time"], r"^2026-01-29T10:23:45\.00(1000|0999)Z$")

    def test_every_link_type_tells_the_same(self):
        allow = 'return { name = "a", connect = function(c) if c:under("six.example") then return allow() end end }'
        for name in ("six.pcap", "null.pcap", "loop.pcap", "cooked.pcap", "cooked2.pcap"):
            with self.subTest(name):
                questions, _ = self.ask(os.path.join(GOLDEN, name), allow)
                self.assertEqual(self.brief(questions), [
                    ("dns", "six.example", "AAAA", "allow"), ("connect", "[2001:db8:1::7]:80", None, "allow"),
                    ("connect", "[2001:db8:1::7]:443", None, "allow")])
                self.assertEqual([q["proto"] for q in questions], ["udp", "tcp", "udp"])

    def test_fragmented_answers_name_addresses_of_both_families(self):
        questions, summary = self.ask(os.path.join(GOLDEN, "fragments.pcap"), SHOP)
        self.assertEqual([q["hosts"] for q in questions if q["kind"] == "connect"], [["many.example"]] * 2)
        self.assertEqual(summary["fragments_lost"], 0)

    def test_a_cut_file_ends_where_it_is_cut_and_says_so(self):
        questions, summary = self.ask(os.path.join(GOLDEN, "cut.pcap"), SHOP)
        self.assertEqual((len(questions), summary["capture_cut"], summary["packets"]), (4, 1, 15))

    def test_packets_cut_at_the_snapshot_length_are_judged_by_their_headers(self):
        questions, summary = self.ask(os.path.join(GOLDEN, "snaplen.pcap"), OPEN)
        self.assertEqual([q["server"] for q in questions if q["kind"] == "connect"],
                         ["198.51.100.7:443", "203.0.113.9:22"])
        self.assertEqual(questions[1]["note"], "the capture does not hold all of its first words")
        self.assertGreater(summary["cut_packets"], 0)

    def test_golden_captures_are_what_the_program_beside_them_writes(self):
        for name, data in captures.golden().items():
            with open(os.path.join(GOLDEN, name), "rb") as file:
                self.assertEqual(file.read(), data, name)

    def test_tshark_sees_the_same_packets(self):
        if not shutil.which("tshark"):
            self.skipTest("no tshark")
        for name in sorted(captures.golden()):
            with self.subTest(name):
                path = os.path.join(GOLDEN, name)
                done = subprocess.run(["tshark", "-r", path, "-T", "fields", "-e", "frame.time_epoch"],
                                      capture_output=True, text=True, check=False)
                times = done.stdout.split()
                questions, summary = self.ask(path, SHOP)
                self.assertEqual(summary["packets"], len(times))
                for q in questions:
                    seconds, micros = times[q["packet"] - 1].split(".")
                    self.assertTrue(q["time"].endswith(f".{micros[:6]}Z"), (seconds, q["time"]))

    # --- names -----------------------------------------------------------------------------------------------------

    def test_a_name_is_known_only_after_its_answer_and_only_as_long_as_it_lasts(self):
        t = captures.Traffic()
        t.connect("198.51.100.7", 80, sport=1)
        t.dns("www.shop.example", "A", [("www.shop.example", "A", "198.51.100.7")], ttl=60)
        t.connect("198.51.100.7", 80, sport=2)
        t.now += 2 * 3600 * 10**9
        t.connect("198.51.100.7", 80, sport=3)
        questions, _ = self.ask(self.traffic(t), SHOP)
        self.assertEqual([(q["hosts"], q["new"]["verdict"]) for q in questions if q["kind"] == "connect"],
                         [([], "deny"), (["www.shop.example"], "allow"), ([], "deny")])

    def test_an_answer_nobody_asked_for_names_nothing(self):
        t = captures.Traffic()
        t.add(captures.udp("192.0.2.53", 53, "192.0.2.10", 5353,
                           captures.dns_answer(7, "www.shop.example", "A",
                                               [("www.shop.example", "A", "198.51.100.7")])))
        t.connect("198.51.100.7", 80)
        questions, summary = self.ask(self.traffic(t), SHOP)
        self.assertEqual(questions[-1]["hosts"], [])
        self.assertEqual(summary["unasked_answers"], 1)

    def test_an_alias_that_a_policy_denies_denies_the_question(self):
        questions, _ = self.ask(os.path.join(GOLDEN, "usual.pcap"), OPEN)
        self.assertEqual((questions[0]["new"]["verdict"], questions[0]["new"]["rcode"], questions[0]["new"]["remark"]),
                         ("deny", 3, "its alias edge.cdn.example"))

    def test_dns_over_tcp_is_read_message_by_message(self):
        t = captures.Traffic()
        client, server = "192.0.2.10", "192.0.2.53"
        asked = b"".join(len(m).to_bytes(2, "big") + m for m in (
            captures.dns_question(1, "a.shop.example"), captures.dns_question(2, "b.shop.example", "AAAA")))
        answer = captures.dns_answer(1, "a.shop.example", "A", [("a.shop.example", "A", "198.51.100.7")])
        answer = len(answer).to_bytes(2, "big") + answer
        t.add(captures.tcp(client, 1000, server, 53, 5, 0, captures.SYN))
        t.add(captures.tcp(server, 53, client, 1000, 77, 6, captures.SYN | captures.ACK))
        for i in range(len(asked) - 1, -1, -7):  # seven bytes at a time, the last first
            part = asked[max(0, i - 6):i + 1]
            t.add(captures.tcp(client, 1000, server, 53, 6 + max(0, i - 6), 78, captures.ACK, part))
        for i in range(0, len(answer), 11):
            t.add(captures.tcp(server, 53, client, 1000, 78 + i, 6 + len(asked), captures.ACK, answer[i:i + 11]))
        t.connect("198.51.100.7", 80)
        questions, _ = self.ask(self.traffic(t), SHOP)
        self.assertEqual(self.brief(questions), [
            ("dns", "a.shop.example", "A", "allow"), ("dns", "b.shop.example", "AAAA", "allow"),
            ("connect", "198.51.100.7:80", None, "allow")])
        self.assertEqual((questions[0]["proto"], questions[1]["note"]), ("tcp", "no answer in the capture"))

    def test_a_repeated_question_is_one_question(self):
        t = captures.Traffic()
        for _ in range(3):
            t.dns("www.shop.example", answer=False)
        t.dns("www.shop.example", "A", [("www.shop.example", "A", "198.51.100.7")])
        questions, _ = self.ask(self.traffic(t), SHOP)
        self.assertEqual((len(questions), questions[0]["repeats"]), (1, 3))

    # --- what clients say ------------------------------------------------------------------------------------------

    def test_the_server_name_chooses_among_names_that_disagree(self):
        t = captures.Traffic()
        for host in ("good.example", "bad.example"):
            t.dns(host, "A", [(host, "A", "198.51.100.7")], ident=len(host))
        for i, host in enumerate(("good.example", "bad.example", None)):
            t.connect("198.51.100.7", 443, sport=100 + i, said=captures.hello(host))
        for i, host in enumerate((b"good.example", b"bad.example")):
            t.connect("198.51.100.7", 80, sport=200 + i, said=b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        t.connect("198.51.100.7", 22, sport=300)
        policy = """return { name = "c", connect = function(c)
          if c.host == "good.example" then return allow() end
          return deny("bad") end, dns = function() return allow() end }"""
        questions, _ = self.ask(self.traffic(t), policy)
        connects = [(q["client"], q["new"]["verdict"]) for q in questions if q["kind"] == "connect"]
        self.assertEqual(connects, [(f"192.0.2.10:{port}", verdict) for port, verdict in (
            (100, "allow"), (101, "deny"), (102, "deny"), (200, "allow"), (201, "deny"), (300, "deny"))])
        hellos = [q["new"].get("not_asked") for q in questions if q["kind"] == "sni"]
        self.assertEqual(hellos, ["no opinion: what connect said stands"] + ["not asked: connect is denied"] * 2)

    def test_hellos_in_any_segmentation_are_read(self):
        said = captures.hello("www.shop.example")
        ways = {
            "bytes": [(i, said[i:i + 1]) for i in range(len(said))],
            "backwards": [(i, said[i:i + 40]) for i in range(0, len(said), 40)][::-1],
            "twice": [(i, said[i:i + 90]) for i in range(0, len(said), 60)],
            "before": [(0, said)],
        }
        policy = """return { name = "s", connect = function() return allow() end,
          sni = function(s) if s.sni == "www.shop.example" then return deny("seen") end end }"""
        for name, pieces in ways.items():
            with self.subTest(name):
                t = captures.Traffic()
                t.connect("198.51.100.7", 443, pieces=pieces)
                questions, summary = self.ask(self.traffic(t), policy)
                self.assertEqual([(q["kind"], q["new"]["verdict"]) for q in questions],
                                 [("connect", "allow"), ("sni", "deny")])
                self.assertEqual(summary["disagreeing_streams"], 0)

    def test_segments_that_disagree_are_counted_and_the_first_one_counts(self):
        said, other = captures.hello("www.shop.example"), captures.hello("www.evil.example")
        t = captures.Traffic()
        t.connect("198.51.100.7", 443, pieces=[(50, said[50:]), (0, other[:len(said)])])
        questions, summary = self.ask(self.traffic(t), OPEN)
        self.assertEqual(summary["disagreeing_streams"], 1)
        self.assertIn(b"www.shop.example", said[50:])
        self.assertEqual(questions[1]["sni"], "www.shop.example")

    def test_a_hello_that_the_capture_lost_a_part_of_is_no_malformed_one(self):
        said = captures.hello("www.shop.example")
        t = captures.Traffic()
        t.connect("198.51.100.7", 443, pieces=[(0, said[:50]), (100, said[100:])])
        questions, _ = self.ask(self.traffic(t), OPEN)
        self.assertEqual((questions[0]["new"]["verdict"], questions[0]["note"]),
                         ("allow", "the capture does not hold all of its first words"))

    def test_a_malformed_hello_is_refused_as_in_a_session(self):
        t = captures.Traffic()
        t.connect("198.51.100.7", 443, said=b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\xff")
        questions, _ = self.ask(self.traffic(t), OPEN)
        self.assertEqual((questions[0]["new"]["verdict"], questions[0]["new"]["reason"]),
                         ("deny", "malformed TLS ClientHello"))

    def test_a_connection_from_before_the_capture_is_counted_and_not_asked_about(self):
        t = captures.Traffic()
        t.connect("198.51.100.7", 443, said=b"x", handshake=False)
        questions, summary = self.ask(self.traffic(t), OPEN)
        self.assertEqual((questions, summary["old_connections"]), ([], 1))

    def test_a_port_used_again_is_another_connection(self):
        t = captures.Traffic()
        t.connect("198.51.100.7", 22, isn=1)
        t.connect("198.51.100.7", 22, isn=900000)
        t.add(captures.tcp("192.0.2.10", 40000, "198.51.100.7", 22, 900000, 0, captures.SYN))  # repeated
        self.assertEqual(len(self.ask(self.traffic(t), SHOP)[0]), 2)

    def test_udp_flows_are_asked_about_once_a_minute_of_silence(self):
        t = captures.Traffic()
        for _ in range(3):
            t.add(captures.udp("192.0.2.10", 5000, "198.51.100.7", 123, b"x"))
            t.add(captures.udp("198.51.100.7", 123, "192.0.2.10", 5000, b"y"))
        t.now += 61 * 10**9
        t.add(captures.udp("192.0.2.10", 5000, "198.51.100.7", 123, b"x"))
        questions, _ = self.ask(self.traffic(t), OPEN)
        self.assertEqual([(q["client"], q["server"]) for q in questions],
                         [("192.0.2.10:5000", "198.51.100.7:123")] * 2)

    # --- time and state --------------------------------------------------------------------------------------------

    def test_policies_see_the_time_of_the_packets(self):
        t = captures.Traffic()
        t.connect("198.51.100.7", 22, sport=1)
        t.now += 4 * 3600 * 10**9
        t.connect("198.51.100.7", 22, sport=2)
        policy = """return { name = "t", connect = function()
          if now:between("09:00", "12:00") then return allow() end
          return deny("closed") end }"""
        result = self.call_json("policy", "replay", "--json", "--policy", self.write("t.lua", policy), self.traffic(t))
        del result
        out, _ = self.call("policy", "replay", "--json", "--policy", os.path.join(self.directory, "t.lua"),
                           os.path.join(self.directory, "trace.pcap"), env={"TZ": "UTC"})
        self.assertLess(out.index('"allow"'), out.index('"deny"'))

    def test_counters_count_in_the_order_of_the_capture_and_by_its_clock(self):
        t = captures.Traffic()
        for i in range(4):
            t.connect("198.51.100.7", 22, sport=1 + i)
        t.now += 120 * 10**9
        t.connect("198.51.100.7", 22, sport=9)
        policy = """return { name = "k", connect = function()
          if counter("all"):over(2, "1m") then return deny("too many") end
          return allow() end }"""
        questions, _ = self.ask(self.traffic(t), policy)
        self.assertEqual([q["new"]["verdict"] for q in questions], ["allow", "allow", "deny", "deny", "allow"])

    def test_labels_and_source_reach_the_policies(self):
        policy = """return { name = "l", connect = function(c)
          if c.session.labels.team == "red" and c.source == "session" then return allow() end
          return deny() end }"""
        t = captures.Traffic()
        t.connect("198.51.100.7", 22)
        capture = self.traffic(t)
        self.assertEqual(self.ask(capture, policy)[0][0]["new"]["verdict"], "deny")
        self.assertEqual(self.ask(capture, policy, "--label", "team=red", "--source", "session")[0][0]["new"]["verdict"],
                         "allow")

    def test_the_process_is_unknown_and_who_asks_for_it_is_told(self):
        questions, summary = self.ask(os.path.join(GOLDEN, "usual.pcap"), SHOP)
        self.assertEqual([q["new"]["process_wanted"] for q in questions], [False, False, False, True, False])
        self.assertEqual(summary["process_wanted"], 1)
        out, _ = self.call("policy", "replay", "-p", os.path.join(self.directory, "new.lua"),
                           os.path.join(GOLDEN, "usual.pcap"))
        self.assertEqual(out.count("[process unknown]"), 1)
        self.assertIn("no capture tells processes: process.* was absent (asked for by 1 question)", out)

    # --- differences -----------------------------------------------------------------------------------------------

    def test_differences_are_marked_counted_and_the_exit_status(self):
        new, old = self.write("new.lua", OPEN), self.write("old.lua", SHOP)
        out, _ = self.call("policy", "replay", "--policy", new, "--against", old, os.path.join(GOLDEN, "usual.pcap"),
                           status=1)
        lines = out.splitlines()
        self.assertEqual("".join(line[0] for line in lines[:8]), "-+  -+-+")
        self.assertRegex(lines[4], r"^- .*connect  tcp 192.0.2.10:40001 > 203.0.113.9:22 \(no name\)  deny  .*old.lua:6 ")
        self.assertRegex(lines[5], r"^\+ .*redirect to bastion.example:2222  .*new.lua:5 ")
        self.assertIn("\n3 differ\n", out)
        short, _ = self.call("policy", "replay", "--changed", "-p", new, "-a", old,
                             os.path.join(GOLDEN, "usual.pcap"), status=1)
        self.assertEqual(short.splitlines()[:6], [line for line in lines[:8] if line[0] != " "])

    def test_the_same_policy_in_other_words_does_not_differ(self):
        new, old = self.write("new.lua", "-- moved\n\n" + SHOP.replace("not in the shop", "no")), self.write("old.lua", SHOP)
        out, _ = self.call("policy", "replay", "-p", new, "-a", old, os.path.join(GOLDEN, "usual.pcap"))
        self.assertIn("\nno differences\n", out)

    def test_a_hello_behind_a_denied_connection_is_no_difference_of_its_own(self):
        t = captures.Traffic()
        t.connect("198.51.100.7", 443, said=captures.hello("a.example"))
        new, old = self.write("new.lua", 'return { name = "n", connect = function() return deny() end }'), \
            self.write("old.lua", 'return { name = "o", connect = function() return allow() end, '
                       'sni = function() return allow() end }')
        result = self.call_json("policy", "replay", "--json", "-p", new, "-a", old, self.traffic(t), status=1)
        self.assertEqual([q["differs"] for q in result["questions"]], [True, False])
        self.assertEqual(result["summary"]["differ"], 1)

    # --- trouble ---------------------------------------------------------------------------------------------------

    def test_trouble_has_a_status_of_its_own(self):
        good, golden = self.write("good.lua", SHOP), os.path.join(GOLDEN, "usual.pcap")
        cases = [
            (["-p", good], "which capture?"),
            ([golden], "which policies?"),
            (["-p", good, "--changed", golden], "--against"),
            (["-p", good, "/nowhere.pcap"], "/nowhere.pcap: error: cannot open"),
            (["-p", self.write("bad.lua", "return {"), golden], "bad.lua:1"),
            (["-p", good, "-a", self.write("bad2.lua", "return 1"), golden], "bad2.lua"),
            (["-p", good, self.capture(b"", "empty")], "it is empty"),
            (["-p", good, self.capture(b"\x1f\x8b\x08\x00", "z.gz")], "gzip -d"),
            (["-p", good, self.capture(b"no capture at all", "text")], "neither pcap nor pcapng"),
        ]
        for arguments, text in cases:
            with self.subTest(text):
                self.assertIn(text, self.call("policy", "replay", *arguments, status=2)[1])

    def test_a_damaged_file_is_reported_with_its_place_and_what_came_before_is_shown(self):
        data = captures.pcap(captures.ethernet(captures.usual())) + b"\xff" * 16
        capture = self.capture(data)
        out, err = self.call("policy", "replay", "-p", self.write("good.lua", SHOP), capture, status=2)
        self.assertIn("5 questions in 16 packets", out)
        self.assertIn(f"damaged at byte {len(data)}", err)

    def test_a_policy_that_fails_is_trouble_and_told(self):
        policy = 'return { name = "f", connect = function(c) error("boom") end, dns = function() return allow() end }'
        out, err = self.call("policy", "replay", "-p", self.write("f.lua", policy), os.path.join(GOLDEN, "usual.pcap"),
                             status=2)
        self.assertIn("boom", out)
        self.assertIn("its fail mode did", out)
        self.assertIn("a policy failed to answer", err)

    def test_names_from_a_capture_cannot_drive_a_terminal(self):
        t = captures.Traffic()
        t.connect("198.51.100.7", 443, said=captures.hello("www.shop.example").replace(b"www.shop", b"w\x1b[2J.sh"))
        out, _ = self.call("policy", "replay", "-p", self.write("o.lua", OPEN), self.traffic(t))
        self.assertNotIn("\x1b", out)
        self.assertIn("w\\x1b[2J.sh.example", out)

    def test_standard_input_can_be_the_capture(self):
        with open(os.path.join(GOLDEN, "usual.pcapng"), "rb") as file:
            done = subprocess.run([*support.LAUNCHER, support.PROGRAM, "policy", "replay", "-p", self.write("o.lua", SHOP), "-"], stdin=file,
                                  capture_output=True, text=True, check=False,
                                  env=dict(os.environ, MOONFENCE_DATA=os.path.join(support.ROOT, "lua")))
        self.assertEqual((done.returncode, "5 questions in 16 packets" in done.stdout), (0, True), done.stderr)

    def test_thousands_of_flows_stay_in_bounds(self):
        t = captures.Traffic()
        for i in range(20000):
            t.add(captures.tcp("192.0.2.10", 1 + i % 60000, f"198.51.{i % 256}.{i // 256}", 443, i, 0, captures.SYN), 1000)
        _, summary = self.ask(self.traffic(t), OPEN)
        self.assertEqual((summary["connect"], summary["evicted_questions"]), (20000, 20000 - 16384))


if __name__ == "__main__":
    support.main()

# SPDX-License-Identifier: Apache-2.0
"""moonfence policy replay: hellos inside QUIC, and what a resolver's answers are worth."""
import os
import sys

import support

sys.path.insert(0, os.path.join(support.ROOT, "tests", "data", "pcap"))
sys.dont_write_bytecode = True
import captures  # noqa: E402

NAME, SERVER, CLIENT = "api.vendor.example", "198.51.100.7", "192.0.2.10"
PUBLIC = "11.1.2.3"  # unlike those above, which are for documents
NO_QUIC = """return {
  name = "no-quic",
  connect = function(c) return allow() end,
  sni = function(s)
    if s.quic and s:is "api.vendor.example" then return deny { reason = "by TCP only" } end
    if s:is "api.vendor.example" then return route "192.0.2.80:8443" end
  end,
}
"""


class ReplayQuic(support.Case):
    def setUp(self):
        super().setUp()
        self.t = captures.Traffic()

    def ask(self, policy):
        path = os.path.join(self.directory, "trace.pcap")
        with open(path, "wb") as file:
            file.write(captures.pcap(self.t.packets, link=captures.RAW))
        result = self.call_json("policy", "replay", "--json", "--policy", self.write("p.lua", policy), path)
        return result["questions"], result["summary"]

    def quic(self, which, sport=50000, port=443, server=SERVER):
        for d in which:
            self.t.add(captures.udp(CLIENT, sport, server, port, d))

    def names(self, *names, server=SERVER):
        for i, host in enumerate(names):
            self.t.dns(host, "A", [(host, "A", server)], sport=5353 + i)

    def test_hellos_of_real_clients_are_asked_about(self):
        for client in ("chromium", "firefox"):
            with self.subTest(client):
                self.t = captures.Traffic()
                self.names(NAME)
                self.quic(captures.quic_datagrams(client))
                questions, summary = self.ask(NO_QUIC)
                self.assertEqual([(q["kind"], q["new"]["verdict"]) for q in questions],
                                 [("dns", "allow"), ("connect", "allow"), ("sni", "deny")])
                self.assertEqual((questions[2]["sni"], questions[2]["new"]["reason"], questions[2]["proto"]),
                                 (NAME, "by TCP only", "udp"))
                self.assertEqual(summary["sni"], 1)

    def test_datagrams_may_come_in_any_order_and_on_any_port(self):
        self.names(NAME)
        self.quic(reversed(captures.quic_datagrams("chromium")), port=8443)
        questions, _ = self.ask(NO_QUIC)
        self.assertEqual([q["kind"] for q in questions], ["dns", "connect", "sni"])
        self.assertEqual(questions[2]["sni"], NAME)

    def test_what_would_be_redirected_is_refused_so_that_its_client_takes_tcp(self):
        self.names(NAME)
        self.quic(captures.quic_datagrams("chromium"))
        questions, _ = self.ask(NO_QUIC.replace("s.quic and", "false and"))
        self.assertEqual(questions[2]["new"]["verdict"], "deny")
        self.assertIn("fall back to TCP", questions[2]["new"]["reason"])

    def test_the_name_in_the_hello_chooses_among_names_that_disagree(self):
        self.names("other.example", NAME)
        self.quic(captures.quic_datagrams("chromium"))
        self.quic([b"\x80no hello of any version that is read" + bytes(1200)], sport=50001)
        questions, _ = self.ask("""return { name = "c", connect = function(c)
          if c:under "other.example" then return deny "other" end return allow() end }""")
        connects = [q for q in questions if q["kind"] == "connect"]
        self.assertEqual([(q["new"]["verdict"], q["new"].get("host")) for q in connects][0], ("allow", NAME))
        self.assertEqual(connects[1]["new"]["verdict"], "deny")

    def test_a_hello_that_does_not_come_to_its_end(self):
        first = captures.quic_datagrams("chromium")[:1]
        self.names(NAME)
        self.quic(first)
        questions, _ = self.ask(NO_QUIC)
        self.assertEqual(questions[1]["new"]["verdict"], "allow")
        self.assertIn("does not come to its end in the capture", questions[1]["note"])
        self.t.now += 7 * 10**9  # a session does not wait that long
        self.names("later.example")
        questions, _ = self.ask(NO_QUIC)
        self.assertEqual(questions[1]["new"]["verdict"], "deny")
        self.assertIn("in time", questions[1]["new"]["reason"])

    def test_a_version_that_cannot_be_read_is_refused_on_the_port_of_quic(self):
        self.quic([b"\xc0\xfa\xce\xb0\x0c\x08" + bytes(1200)])
        questions, _ = self.ask(NO_QUIC)
        self.assertEqual(questions[0]["new"]["verdict"], "deny")
        self.assertIn("version of QUIC", questions[0]["new"]["reason"])

    def test_an_answer_that_dns_answer_denies_is_not_given(self):
        policy = """return { name = "a", dns = function(q) return allow() end,
          dns_answer = function(q, a) if a.private then return deny { reason = "rebinding", rcode = "NXDOMAIN" } end end }"""
        self.t.dns("public.example", "A", [("public.example", "A", "10.0.0.7")])
        self.t.dns("other.example", "A", [("other.example", "A", PUBLIC)])
        questions, _ = self.ask(policy)
        self.assertEqual([(q["name"], q["new"]["verdict"], q["new"].get("remark")) for q in questions], [
            ("public.example", "deny", "what it is answered"), ("other.example", "allow", None)])
        self.assertEqual((questions[0]["new"]["reason"], questions[0]["new"]["rcode"]), ("rebinding", 3))

    def test_addresses_that_connect_denies_are_left_out_of_an_answer(self):
        self.t.dns("mixed.example", "A", [("mixed.example", "A", "10.0.0.7"), ("mixed.example", "A", PUBLIC)])
        questions, _ = self.ask("""return { name = "p", dns = function(q) return allow() end,
          connect = function(c) if c:to_private() then return deny "private" end return allow() end }""")
        self.assertEqual(questions[0]["new"]["verdict"], "allow")
        self.assertIn("without 1 of its 2 addresses", questions[0]["new"]["remark"])


if __name__ == "__main__":
    support.main()

# SPDX-License-Identifier: Apache-2.0
"""moonfence policy explain: the verdict, what gave it, what was looked at, what it cost."""
import support
from support import Case, DEFAULT_POLICY

POLICY = """local trackers = domains { "tracker.example" }
return {
  name = "corp",
  dns_redirects = { { name = "mirror", match = "old.example", resolve_to = "203.0.113.9" } },
  dns = function(q)
    if q:under(trackers) then return deny { reason = "tracker", rcode = "NXDOMAIN" } end
    if q:is "a.example" then return resolve { "203.0.113.7", "2001:db8::7", ttl = 30 } end
  end,
  connect = function(c)
    if c.process.name == "curl" and c:to "203.0.113.0/24" then return deny "curl may not" end
    if c.session.labels.tier == "gold" then
      return redirect { to = "llm.corp.example:8443", tls = "rewrite_sni", sni = "llm.corp.example", visibility = "warn" }
    end
    if counter("connections"):over(100, "1m") then return deny "too many" end
    return allow()
  end,
  sni = function(s)
    if s:is "look.example" then return terminate { on_pinned = "passthrough", reason = "looked into" } end
    if not s:matches_dns() then return deny "not its address" end
    return allow()
  end,
  file = function(f)
    if f.op == "delete" and f:under "/workspace" then return soft_delete { hash = true } end
    if f.op == "write" then return deny { reason = "read-only", errno = "EROFS" } end
    if f.op == "list" then return f.path .. 5 + {} end
  end,
}
"""


class Explain(Case):
    def setUp(self):
        super().setUp()
        self.policy = self.write("corp.lua", POLICY)

    def explain(self, *words, status=0):
        return self.call_json("policy", "explain", "--json", "--policy", self.policy, *words, status=status)

    def steps(self, trace):
        return [step for policy in trace["policies"] for step in policy.get("steps", [])]

    def test_a_hooks_denial_names_line_and_everything_looked_at(self):
        trace = self.explain("dns", "x.tracker.example")
        self.assertEqual((trace["verdict"], trace["reason"], trace["rcode"]), ("deny", "tracker", 3))
        self.assertEqual((trace["file"], trace["line"], trace["policy"]), (self.policy, 6, "corp"))
        self.assertEqual([(s["ask"], s["answer"]) for s in self.steps(trace)], [("under", True)])
        self.assertEqual((trace["cacheable"], trace["next"]), (True, "memo"))

    def test_a_declarative_rule_is_named(self):
        trace = self.explain("dns", "old.example")
        self.assertEqual((trace["verdict"], trace["addresses"]), ("resolve", ["203.0.113.9"]))
        self.assertIn("dns_redirects[1]", trace["rule"])
        self.assertEqual(trace["line"], 4)

    def test_a_hook_comes_before_what_follows_from_rules(self):
        """That a rule lets a name be reached also lets it be resolved, unless the policy's own function knows better."""
        policy = self.write("both.lua", """return {
  name = "both", dns_default = DEFAULT,
  network_rules = { { domains = { "*.example" }, ports = { 443 }, decision = "allow" },
                    { domains = { "no.example" }, decision = "deny" } },
  dns = function(q)
    if q:is "local.example" or q:is "no.example" or q:is "other.test" then return resolve { "192.0.2.1" } end
  end,
}
""")
        with open(policy, encoding="utf-8") as file:
            text = file.read()
        for default, known, other in (("'resolve_known'", ("allow", "dns_default"), ("deny", "default-dns")),
                                      ("'deny'", ("deny", "dns_default"), ("deny", "dns_default"))):
            self.write("both.lua", text.replace("DEFAULT", default))

            def rule(name):
                trace = self.call_json("policy", "explain", "--json", "--policy", policy, "dns", name)
                return trace["verdict"], trace.get("rule")
            self.assertEqual(rule("local.example"), ("resolve", "dns()"))
            self.assertEqual(rule("other.test"), ("resolve", "dns()"))
            self.assertEqual(rule("a.example"), known)
            self.assertEqual(rule("a.test"), other)
        # Line 0 is no place.
        self.assertIn(f"at        {policy}\n", self.call("policy", "explain", "--policy", policy, "dns", "a.example")[0])

    def test_an_interception_says_what_pinned_clients_get(self):
        trace = self.explain("sni", "look.example", "ip=192.0.2.1", "port=443")
        self.assertEqual((trace["verdict"], trace["on_pinned"], trace["reason"]), ("terminate", "passthrough", "looked into"))

    def test_names_are_made_canonical(self):
        trace = self.explain("dns", "A.Example.", "type=aaaa")
        self.assertEqual((trace["verdict"], trace["addresses"]), ("resolve", ["203.0.113.7", "2001:db8::7"]))

    def test_nobodys_opinion_is_the_default(self):
        trace = self.explain("dns", "other.example")
        self.assertEqual((trace["verdict"], trace["matched"], trace["origin"]), ("deny", False, "default"))

    def test_fields_can_be_set_by_their_names(self):
        trace = self.explain("connect", "203.0.113.7:443", "process.name=curl")
        self.assertEqual(trace["reason"], "curl may not")
        trace = self.explain("connect", "203.0.113.7:443", "session.labels.tier=gold")
        self.assertEqual((trace["verdict"], trace["redirect_host"], trace["redirect_port"], trace["sni"]),
                         ("redirect", "llm.corp.example", 8443, "llm.corp.example"))

    def test_a_counter_makes_it_enter_lua_each_time_and_is_not_used_up(self):
        for _ in range(3):
            trace = self.explain("connect", "203.0.113.7:443")
            self.assertEqual((trace["verdict"], trace["cacheable"], trace["next"]), ("allow", False, "lua"))
            self.assertIn("counter", trace["why"])

    def test_a_name_without_an_address_leaves_ip_unknown_and_says_so(self):
        trace = self.explain("connect", "a.example:443", "process.name=curl")
        self.assertEqual(trace["verdict"], "allow")
        self.assertIn("ip is unknown", trace["note"])
        trace = self.explain("connect", "a.example:443", "process.name=curl", "ip=203.0.113.7")
        self.assertEqual(trace["reason"], "curl may not")
        self.assertNotIn("note", trace)
        self.assertIn("host is unknown", self.explain("connect", "[2001:db8::1]:443")["note"])

    def test_a_hello_is_taken_to_go_to_its_own_name_unless_told_otherwise(self):
        self.assertEqual(self.explain("sni", "a.example")["verdict"], "allow")
        self.assertEqual(self.explain("sni", "a.example:8443")["verdict"], "allow")
        self.assertEqual(self.explain("sni", "a.example", "host=b.example")["reason"], "not its address")
        self.assertEqual(self.explain("sni", "a.example", "host=")["reason"], "not its address")

    def test_what_a_hello_says_can_be_asked_with(self):
        policy = self.write("hello.lua", 'return { name = "h", sni = function(s) if s.ja4 == "t13d_x" and s.alpn[2] == "http/1.1"\n'
                            '  and s.versions[1] == "TLS1.3" and not s.ech then return deny "it" end end }')
        trace = self.call_json("policy", "explain", "--json", "--policy", policy, "sni", "a.example", "ja4=t13d_x",
                               "alpn=h2,http/1.1", "versions=TLS1.3", "ech=false")
        self.assertEqual((trace["verdict"], trace["line"]), ("deny", 2))
        self.assertEqual([s["read"] for s in self.steps(trace)], ["ja4", "alpn", "versions", "ech"])

    def test_file_operations_are_asked_in_any_order_of_words(self):
        self.assertEqual(self.explain("file", "op=delete", "/workspace/a")["verdict"], "soft_delete")
        self.assertEqual(self.explain("file", "/workspace/../etc/a", "op=delete")["verdict"], "deny")
        self.assertEqual(self.explain("file", "/a=b", "op=write")["reason"], "read-only")

    def test_a_policy_that_fails_is_its_fault_and_the_fail_mode_decides(self):
        trace = self.explain("file", "/a", "op=list", status=1)
        self.assertEqual((trace["verdict"], trace["origin"]), ("deny", "fail_mode"))
        _, err = self.call("policy", "explain", "-p", self.policy, "file", "/a", "op=list", status=1)
        self.assertIn("corp.lua:25", err)

    def test_people_see_the_same(self):
        out, _ = self.call("policy", "explain", "-p", self.policy, "dns", "x.tracker.example")
        for text in ("deny: tracker", "NXDOMAIN", f"{self.policy}:6", "under ", "? yes", "instructions",
                     "Lua is not entered"):
            self.assertIn(text, out)
        out, _ = self.call("policy", "explain", "-p", self.policy, "connect", "198.51.100.1:443",
                           "session.labels.tier=gold")
        for text in ("redirect", "llm.corp.example:8443", "llm.corp.example", "session.labels.tier = \"gold\"",
                     "process.name = nil"):
            self.assertIn(text, out)
        out, _ = self.call("policy", "explain", "-p", self.policy, "file", "op=write", "/a")
        self.assertIn("30", out)  # EROFS
        out, _ = self.call("policy", "explain", "-p", self.policy, "dns", "a.example")
        for text in ("203.0.113.7", "2001:db8::7", "30 s"):
            self.assertIn(text, out)

    def test_several_policies_are_asked_in_order(self):
        first = self.write("first.lua", "return { name = 'first', dns = function(q) if q:is 'b.example' then "
                                        "return allow() end end }\n")
        trace = self.call_json("policy", "explain", "--json", "-p", first, "-p", self.policy, "dns",
                               "x.tracker.example")
        self.assertEqual([(p["policy"], p["opinion"]) for p in trace["policies"]],
                         [("first", None), ("corp", "deny")])

    def test_policies_whose_tests_fail_can_be_explained(self):
        self.write("corp_test.lua", "test('no', function(t) t:dns { name = 'a.example' }:is_denied() end)\n")
        self.assertEqual(self.explain("dns", "a.example")["verdict"], "resolve")

    def test_a_question_that_cannot_be_read_is_wrong_usage(self):
        for words, text in (
                ([], "KIND TARGET"),
                (["conect", "a.example:1"], "did you mean 'connect'?"),
                (["connect"], "target is missing"),
                (["connect", "a.example"], "HOST:PORT"),
                (["connect", "a.example:443", "b.example:443"], "two targets"),
                (["connect", "a.example:443", "ip=1.2.3"], "an IP address"),
                (["connect", "a.example:443", "port=70000"], "port"),
                (["connect", "a.example:443", "family=4"], "follows from ip"),
                (["connect", "a.example:443", "prot=udp"], "did you mean 'port'?"),
                (["dns", "a..example"], "host name"),
                (["sni", "a.example", "ech=maybe"], "true or false"),
                (["file", "relative", "op=read"], "absolute path"),
                (["file", "/a"], "op=read")):
            with self.subTest(words=words):
                out, err = self.call("policy", "explain", "-p", self.policy, *words, status=2)
                self.assertEqual(out, "")
                self.assertIn(text, err)

    def test_a_policy_that_does_not_load_is_its_fault(self):
        broken = self.write("broken.lua", "return {\n")
        out, err = self.call("policy", "explain", "-p", broken, "dns", "a.example", status=1)
        self.assertEqual(out, "")
        self.assertIn("broken.lua:", err)

    def test_the_default_policy_explains_a_rebound_name(self):
        trace = self.call_json("policy", "explain", "--json", "-p", DEFAULT_POLICY, "connect", "github.com:443",
                               "ip=169.254.169.254")
        self.assertEqual(trace["verdict"], "deny")
        self.assertEqual([s["ask"] for s in self.steps(trace)], ["to_private"])


if __name__ == "__main__":
    support.main()

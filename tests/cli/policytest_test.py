# SPDX-License-Identifier: Apache-2.0
"""moonfence policy test: what passes, what fails and how it is shown, coverage."""
import html.parser
import os
import subprocess

import support
from support import LAUNCHER, Case, DEFAULT_POLICY, ROOT

POLICY = """return {
  name = "corp",
  dns_redirects = {
    { name = "old", match = "old.example", resolve_to = "203.0.113.9" },
    { name = "unused", match = "unused.example", resolve_to = "203.0.113.9" },
  },
  dns = function(q)
    if q:is "a.example" then
      return allow()
    end
    if q:is "never.example" then
      return allow()
    end
    return deny "not a"
  end,
}
"""
TESTS = """test("a resolves", function(t) t:dns { name = "a.example" }:is_allowed() end)
test("b does not", function(t)
  t:dns { name = "b.example" }:is_denied "not a"
  t:dns { name = "old.example" }:resolves_to "203.0.113.9"
end)
test("wrong", function(t)
  t:dns { name = "b.example", type = "A" }:is_allowed()
end)
test("todo later", function(t) end)
"""


class PolicyTest(Case):
    def pack(self, tests=TESTS, policy=POLICY):
        self.write("corp/policy.lua", policy)
        if tests is not None:
            self.write("corp/tests/dns.lua", tests)
        return os.path.join(self.directory, "corp")

    def test_the_policies_that_ship_pass_their_tests(self):
        for path in (DEFAULT_POLICY, os.path.join(ROOT, "tests", "lua", "stdlib")):
            report = self.call_json("policy", "test", "--json", path)
            self.assertEqual(report["failed"], 0)
            self.assertGreaterEqual(report["passed"], 8)

    def test_each_result_is_told_with_its_place(self):
        report = self.call_json("policy", "test", "--json", self.pack(), status=1)
        self.assertEqual((report["passed"], report["failed"], report["skipped"]), (2, 1, 1))
        self.assertEqual([(t["name"], t["status"]) for t in report["tests"]],
                         [("a resolves", "passed"), ("b does not", "passed"), ("wrong", "failed"),
                          ("todo later", "skipped")])
        wrong = report["tests"][2]
        self.assertEqual(wrong["line"], 7)
        self.assertTrue(wrong["file"].endswith("tests/dns.lua"))

    def test_a_failure_shows_question_expectation_verdict_and_rule(self):
        out, _ = self.call("policy", "test", self.pack(), status=1)
        for text in ("FAIL wrong", "dns.lua:7", 'name="b.example"', "expected: allow", "deny by dns()",
                     "policy.lua:14", "not a", "2 passed, 1 failed, 1 skipped"):
            self.assertIn(text, out)

    def test_a_filter_runs_only_what_it_names(self):
        report = self.call_json("policy", "test", "--json", "--filter", "resolves", self.pack())
        self.assertEqual([t["name"] for t in report["tests"]], ["a resolves"])
        _, err = self.call("policy", "test", "--filter", "nothing such", self.pack(), status=1)
        self.assertIn("no test", err)

    def test_coverage_tells_the_lines_and_rules_that_no_test_reached(self):
        path = self.pack()
        report = self.call_json("policy", "test", "--json", "--coverage", path, status=1)
        lines = {line["line"]: line["hits"] for line in report["coverage"]["lines"]
                 if line["file"].endswith("policy.lua")}
        self.assertEqual(lines[12], 0)
        self.assertEqual(lines[9], 1)
        self.assertEqual(lines[14], 2)
        self.assertNotIn(15, lines, "the end of a function is no line to reach")
        rules = {rule["rule"]: rule["hits"] for rule in report["coverage"]["rules"]}
        self.assertEqual(rules, {"dns_redirects[1] old": 1, "dns_redirects[2] unused": 0})
        out, _ = self.call("policy", "test", "--coverage", path, status=1)
        self.assertRegex(out, r"policy\.lua +5 +80 % +12\n")
        self.assertRegex(out, r"dns_redirects\[2\] unused +never\n")

    def test_no_test_at_all_is_a_failure(self):
        _, err = self.call("policy", "test", self.pack(tests=None), status=1)
        self.assertIn("no test", err)

    def test_a_test_file_without_tests_is_a_failure(self):
        report = self.call_json("policy", "test", "--json", self.pack(tests="local x = 1\n"), status=1)
        self.assertEqual((report["passed"], report["failed"]), (0, 1))

    def test_a_policy_that_does_not_load_is_its_fault(self):
        _, err = self.call("policy", "test", self.pack(policy="return {\n"), status=1)
        self.assertIn("policy.lua:", err)

    def test_a_policy_that_fails_does_not_pass_as_a_denial(self):
        path = self.pack(policy="return { name = 'x', dns = function(q) error 'broken' end }\n",
                         tests="test('denied', function(t) t:dns { name = 'a.example' }:is_denied() end)\n")
        out, _ = self.call("policy", "test", path, status=1)
        self.assertIn("the policy failed", out)
        self.assertIn("broken", out)

    # --- tables and properties ------------------------------------------------------------------------------------------

    LAN = """return { name = "lan",
  connect = function(c)
    if c:to "10.0.0.0/8" and c.port ~= 443 then return deny "LAN" end
    if c.host and c:under "corp.example" then return allow() end
  end,
  file = function(f) if f:under "/w" then return allow() end end,
}
"""

    def test_a_table_makes_a_test_of_each_row(self):
        report = self.call_json("policy", "test", "--json", self.pack("""
test.each({ { host = "a.corp.example", ok = true }, { host = "corp.example.evil.test", ok = false } },
  "{host} may: {ok}", function(t, row)
    local answer = t:connect { host = row.host, ip = "203.0.113.7", port = 443 }
    if row.ok then answer:is_allowed() else answer:is_default() end
  end)
test.each({ { 22 }, { 443 } }, "closed", function(t, row)
  t:connect { ip = "10.0.0.1", port = row[1] } :is_denied "LAN"
end)
""", self.LAN), status=1)
        self.assertEqual([(t["name"], t["status"]) for t in report["tests"]],
                         [("a.corp.example may: true", "passed"), ("corp.example.evil.test may: false", "passed"),
                          ("closed #1", "passed"), ("closed #2", "failed")])

    PROPERTY = """
test("the LAN is closed", function(t)
  t:for_all({ ip = t:any_address "10.0.0.0/8", port = t:any_number(1, 442) }, function(x)
    t:connect(x):is_denied "LAN"
  end)
end)
test("corp is open", function(t)
  t:for_all({ host = t:any_name "corp.example", ip = { "203.0.113.1", "2001:db8::1" } }, function(x)
    t:connect { host = x.host, ip = x.ip, port = 443 } :is_allowed()
  end)
end)
test("work is open", function(t)
  t:for_all({ path = t:any_path "/w" }, function(x) t:file { op = "read", path = x.path } :is_allowed() end)
end)
"""

    def test_properties_hold_for_all_values(self):
        for extra in ([], ["--rounds", "1000"], ["--seed", "77"]):
            report = self.call_json("policy", "test", "--json", *extra, self.pack(self.PROPERTY, self.LAN))
            self.assertEqual((report["passed"], report["failed"]), (3, 0))

    def test_a_property_that_does_not_hold_names_its_values_and_does_so_again(self):
        wrong = self.PROPERTY.replace("any_number(1, 442)", "any_number(1, 500)")
        pack = self.pack(wrong, self.LAN.replace("c.port ~= 443", "c.port < 443"))
        texts = [self.call_json("policy", "test", "--json", pack, status=1)["tests"][0] for _ in range(2)]
        self.assertEqual(texts[0]["text"], texts[1]["text"])
        self.assertEqual(texts[0]["status"], "failed")
        self.assertRegex(texts[0]["text"], r'with ip = "10\.255\.255\.255", port = 500 \(round 2 of 100\)')
        self.assertIn("- expected: deny", texts[0]["text"])

    def test_an_error_in_a_property_names_its_values_too(self):
        report = self.call_json("policy", "test", "--json", self.pack("""
test("breaks", function(t) t:for_all({ n = { 1 } }, function(x) error "broken" end) end)
test("empty", function(t) t:for_all({ n = {} }, function(x) end) end)
test("wrong", function(t) t:for_all({ n = 5 }, function(x) end) end)
test("endless", function(t) t:for_all({ n = { 1 } }, function(x) while true do end end) end)
""", self.LAN), status=1)
        self.assertEqual([t["status"] for t in report["tests"]], ["failed"] * 4)
        self.assertRegex(report["tests"][0]["text"], r"broken\n  with n = 1 \(round 1 of 100\)")
        self.assertIn("the list of n is empty", report["tests"][1]["text"])
        self.assertIn("any_name", report["tests"][2]["text"])

    def test_rounds_and_seeds_that_are_none_are_refused(self):
        for option in (["--rounds", "0"], ["--rounds", "10001"], ["--rounds", "x"], ["--seed", "-1"]):
            self.call("policy", "test", *option, self.pack(self.PROPERTY, self.LAN), status=2)

    # --- explanations that stay -----------------------------------------------------------------------------------------

    def test_an_explanation_is_compared_with_its_file(self):
        tests = """test("why", function(t)
  t:connect { ip = "10.0.0.1", port = 22 } :explains_as "lan-ssh"
end)
"""
        pack = self.pack(tests, self.LAN)
        golden = os.path.join(pack, "tests", "lan-ssh.golden")
        report = self.call_json("policy", "test", "--json", pack, status=1)
        self.assertIn("--update", report["tests"][0]["text"])
        self.assertIn("1 explanation written", self.call("policy", "test", "--update", pack)[1])
        with open(golden, encoding="utf-8") as file:
            text = file.read()
        self.assertTrue(text.startswith('connect ip="10.0.0.1" port=22\nverdict: deny\nreason: LAN\n'), text)
        self.assertIn("    to 10.0.0.0/8? yes\n    port = 22\n", text)
        self.call("policy", "test", pack)
        self.pack(tests, "-- a line more\n" + self.LAN)  # where it stands does not matter
        self.call("policy", "test", pack)
        self.pack(tests, self.LAN.replace("c.port ~= 443", "c.port < 443"))  # nor what it compares with
        self.call("policy", "test", pack)
        self.pack(tests, self.LAN.replace('c:to "10.0.0.0/8" and c.port ~= 443', "c:to_private()"))
        report = self.call_json("policy", "test", "--json", pack, status=1)
        self.assertIn("lan-ssh.golden:", report["tests"][0]["text"])
        self.assertIn("-     to 10.0.0.0/8? yes", report["tests"][0]["text"])
        self.assertIn("to_private", report["tests"][0]["text"])

    def test_names_of_explanations_stay_in_their_directory(self):
        pack = self.pack("""test("out", function(t) t:connect { port = 1 } :explains_as "../out" end)
test("late", function(t)
  local a = t:connect { port = 1 }
  t:connect { port = 2 }
  a:explains_as "x"
end)
""", self.LAN)
        report = self.call_json("policy", "test", "--update", "--json", pack, status=1)
        self.assertIn("no name for a file", report["tests"][0]["text"])
        self.assertIn("right behind its question", report["tests"][1]["text"])
        self.assertEqual([name for name in os.listdir(pack) if name.endswith("golden")], [])

    # --- coverage for others --------------------------------------------------------------------------------------------

    def tracefile(self, path):
        """An lcov tracefile as {source: {"lines": {line: hits}, "functions": {name: hits}}}; its sums must be right."""
        files, current = {}, None
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
        for line in lines:
            key, _, value = line.partition(":")
            if key == "SF":
                current = files.setdefault(value, {"lines": {}, "functions": {}, "sums": {}})
            elif key == "DA":
                number, hits = value.split(",")
                current["lines"][int(number)] = int(hits)
            elif key == "FNDA":
                hits, name = value.split(",", 1)
                current["functions"][name] = int(hits)
            elif key in ("LF", "LH", "FNF", "FNH"):
                current["sums"][key] = int(value)
        self.assertEqual(lines.count("end_of_record"), len(files))
        for found in files.values():
            self.assertEqual(found["sums"], {
                "LF": len(found["lines"]), "LH": sum(1 for hits in found["lines"].values() if hits),
                "FNF": len(found["functions"]), "FNH": sum(1 for hits in found["functions"].values() if hits)})
        return files

    def test_coverage_can_be_read_by_lcov(self):
        out = os.path.join(self.directory, "corp.info")
        pack = self.pack()
        self.call("policy", "test", "--lcov", out, pack, status=1)
        files = self.tracefile(out)
        self.assertEqual([os.path.basename(name) for name in files], ["policy.lua"])
        found = next(iter(files.values()))
        self.assertEqual(found["functions"], {"corp dns_redirects[1] old": 1, "corp dns_redirects[2] unused": 0})
        self.assertEqual((found["lines"][4], found["lines"][5], found["lines"][9]), (1, 0, 1))
        self.assertEqual(found["lines"][12], 0)
        if LAUNCHER:  # sources have Windows' paths there
            return
        done = subprocess.run(["genhtml", "--function-coverage", "-o", os.path.join(self.directory, "html"), out], check=True,
                              capture_output=True, text=True, timeout=600)
        hit = sum(1 for hits in found["lines"].values() if hits)
        self.assertRegex(done.stdout, rf"lines\.*: [0-9.]+% \({hit} of {len(found['lines'])} lines\)")
        self.assertRegex(done.stdout, r"functions\.*: 50.0% \(1 of 2 functions\)")
        self.assertNotIn("warning", (done.stdout + done.stderr).lower())
        pages = [os.path.join(top, name) for top, _, names in os.walk(os.path.join(self.directory, "html")) for name in names]
        self.assertTrue([path for path in pages if path.endswith("policy.lua.gcov.html")], pages)

    def test_coverage_of_an_agentsh_policy_is_that_of_its_rules(self):
        self.write("y/policy.yaml", "version: 1\nname: y\nnetwork_rules:\n  - name: one\n    domains: [a.example]\n"
                                    "    decision: allow\n  - name: two\n    decision: deny\n")
        self.write("y/policy_test.lua", 'test("a", function(t) t:connect { host = "a.example", port = 1 } :is_allowed() end)')
        out = os.path.join(self.directory, "y.info")
        self.call("policy", "test", "--lcov", out, os.path.join(self.directory, "y"))
        self.assertEqual([f["lines"] for f in self.tracefile(out).values()], [{4: 1, 7: 0}])

    def test_coverage_is_a_page_too_and_shows_the_source_as_text(self):
        out = os.path.join(self.directory, "corp.html")
        self.call("policy", "test", "--html", out, self.pack(policy=POLICY.replace("not a", "<b>&")), status=1)
        with open(out, encoding="utf-8") as file:
            page = file.read()
        self.assertIn('<tr class="miss"><td class="n">12</td><td class="n">0</td>', page)
        self.assertIn("dns_redirects[2] unused", page)
        self.assertIn("deny &quot;&lt;b&gt;&amp;&quot;", page)
        parser = html.parser.HTMLParser()
        parser.feed(page)

    def test_coverage_that_cannot_be_written_is_told(self):
        nowhere = os.path.join(self.directory, "no", "such", "x.info")
        _, err = self.call("policy", "test", "--lcov", nowhere, self.pack(self.PROPERTY, self.LAN), status=1)
        self.assertIn("x.info", err)


if __name__ == "__main__":
    support.main()

# SPDX-License-Identifier: Apache-2.0
"""moonfence policy test: what passes, what fails and how it is shown, coverage."""
import os

import support
from support import Case, DEFAULT_POLICY, ROOT

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


if __name__ == "__main__":
    support.main()

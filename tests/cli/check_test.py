# SPDX-License-Identifier: Apache-2.0
"""moonfence policy check: every mistake, with its place; nothing about what is good."""
import os

import support
from support import Case, DEFAULT_POLICY, ROOT

GOOD = """
local lan = networks { "10.0.0.0/8" }
local function connect(c)
  if c:to(lan) then return deny "no LAN" end
end
return { name = "good", connect = connect, dns = function(q) if q:is "a.example" then return allow() end end }
"""


class Check(Case):
    def problems(self, *paths, status=1):
        found = self.call_json("policy", "check", "--json", *paths, status=status)
        return found["problems"]

    def check_text(self, text, status=1, name="policy.lua"):
        path = self.write(name, text)
        return self.problems(path, status=status)

    def assert_problem(self, problems, line, column, *words):
        """One of the problems stands at this place and has all the words in its message or hint."""
        for problem in problems:
            if (problem["line"], problem["column"]) == (line, column):
                for word in words:
                    self.assertIn(word, problem["message"] + " " + problem["hint"])
                return
        self.fail(f"no problem at {line}:{column} in {problems}")

    def test_a_good_policy_has_no_problems(self):
        path = self.write("good.lua", GOOD)
        out, err = self.call("policy", "check", path)
        self.assertEqual(err, "")
        self.assertIn("1 policy", out)
        self.assertEqual(self.problems(path, status=0), [])

    def test_what_ships_has_no_problems(self):
        self.assertEqual(self.problems(DEFAULT_POLICY, status=0), [])
        self.assertEqual(self.problems(os.path.join(ROOT, "examples", "demo", "policy.lua"), status=0), [])

    def test_text_that_does_not_parse_is_found_with_its_line(self):
        problems = self.check_text("return {\n  name = \"x\",\n  dns = function(q) return deny( end,\n}\n")
        self.assertEqual(len(problems), 1)
        self.assertEqual(problems[0]["line"], 3)
        self.assertTrue(problems[0]["file"].endswith("policy.lua"))

    def test_a_file_that_returns_no_table_is_found(self):
        self.assertEqual(len(self.check_text("return 5\n")), 1)
        self.assertEqual(len(self.check_text("local x = 1\n")), 1)

    def test_an_unknown_key_of_the_policy_suggests_the_nearest(self):
        problems = self.check_text("return { name = 'x', conect = function(c) end }\n")
        self.assertEqual(len(problems), 1)
        self.assertIn("conect", problems[0]["message"])
        self.assertIn("connect", problems[0]["message"] + problems[0]["hint"])

    def test_a_rule_with_wrong_fields_is_found_with_its_line(self):
        problems = self.check_text("return {\n  name = 'x',\n  dns_redirects = {\n"
                                   "    { match = 'a.example', resolve_to = '10.0.0.7' },\n"
                                   "    { match = 'b.example', resolve_to = 'nonsense' },\n"
                                   "    { match = 'c.example', resolve_too = '10.0.0.7' },\n  },\n}\n")
        text = " ".join(problem["message"] for problem in problems)
        self.assertIn("dns_redirects[2]", text)
        self.assertIn("nonsense", text)
        self.assertIn("dns_redirects[3]", text)
        self.assertIn("resolve_too", text)
        self.assertIn(5, [problem["line"] for problem in problems])

    def test_a_hook_that_writes_to_what_outlives_it_is_found(self):
        problems = self.check_text("local count = 0\nreturn { name = 'x', dns = function(q)\n"
                                   "  count = count + 1\nend }\n")
        self.assertEqual(len(problems), 1)
        self.assertEqual(problems[0]["line"], 3)
        self.assertIn("count", problems[0]["message"])

    def test_names_that_are_defined_nowhere_are_found(self):
        problems = self.check_text("return { name = 'x', dns = function(q)\n  return dney 'no'\nend }\n")
        self.assert_problem(problems, 2, 10, "dney", "did you mean 'deny'?")

    def test_fields_that_a_hooks_requests_do_not_have_are_found(self):
        problems = self.check_text("""
local function connect(c)
  if c.prot == "udp" or c.process.nam == "x" then return deny "no" end
end
return { name = "x", connect = connect,
  dns = function(q) if q:matches_dns() then return allow() end end,
}
""")
        self.assertEqual(len(problems), 3, problems)
        self.assert_problem(problems, 3, 8, "connect", "prot")
        self.assert_problem(problems, 3, 35, "process.nam", "name")
        self.assert_problem(problems, 6, 26, "dns", "matches_dns")

    def test_verdicts_that_a_kind_cannot_carry_are_found(self):
        problems = self.check_text("return { name = 'x', dns = function(q)\n"
                                   "  if q:is 'a.example' then return soft_delete() end\nend }\n")
        self.assert_problem(problems, 2, 35, "soft_delete", "resolve")

    def test_rules_that_are_never_reached_are_found(self):
        problems = self.check_text("""return { name = "x",
  dns_redirects = {
    { match = "a.example", resolve_to = "203.0.113.1" },
    { match = "b.example", resolve_to = "203.0.113.1" },
    { name = "again", match = "a.example", resolve_to = "203.0.113.2" },
    { regex = "a.example", resolve_to = "203.0.113.2" },
  },
  network_rules = {
    { domains = { "c.example" }, decision = "allow" },
    { name = "rest", decision = "deny" },
    { ports = { 443 }, decision = "allow" },
  },
}
""")
        self.assertEqual(len(problems), 2, problems)
        self.assert_problem(problems, 5, 31, "dns_redirects[3]", "dns_redirects[1]", "match")
        self.assert_problem(problems, 11, 5, "network_rules[3]", "network_rules[2]")

    def test_an_entry_that_another_decision_takes_is_a_warning_at_its_place(self):
        problems = self.check_text("""return { name = "x",
  file_rules = {
    { paths = { "/w/**" }, operations = { "read" }, decision = "allow" },
    { paths = { "/home/**",
                "/w/**/.env*" }, operations = { "read" }, decision = "deny" },
  },
}
""", status=0)
        self.assertEqual([p["severity"] for p in problems], ["warning"])
        self.assert_problem(problems, 5, 17, "file_rules[2].paths[2]", "file_rules[1]", "(allow)", "before")

    def test_hooks_that_rules_leave_nothing_to_are_found(self):
        text = """return { name = "x", dns_default = "deny",
  network_rules = { { domains = { "a.example" }, decision = "%s" }, { name = "rest", decision = "deny" } },
  connect = function(c) return allow() end,
  dns = function(q) return allow() end,
  file = function(f) return allow() end,
}
"""
        problems = self.check_text(text % "deny")
        self.assertEqual(len(problems), 2, problems)
        self.assert_problem(problems, 3, 3, "connect() is never asked", "network_rules[2] rest", "before hooks")
        self.assert_problem(problems, 4, 3, "dns() is never asked")
        # a.example is reached, so dns() is asked how.
        problems = self.check_text(text % "allow")
        self.assertEqual(len(problems), 1, problems)
        self.assert_problem(problems, 3, 3, "connect() is never asked", "network_rules[2] rest", "before hooks")

    def test_what_is_never_reached_is_never_reached(self):
        """The hook that check calls dead does not run, and the one that it does not call so does."""
        for rule, dead in (('{ decision = "deny" }', True), ('{ domains = { "a.example" }, ports = { 443 }, decision = "allow" }, { decision = "deny" }', False),
                           ('{ domains = { "b.example" }, decision = "deny" }, { decision = "deny" }', True)):
            path = self.write("policy.lua", 'return { name = "x",\n network_rules = { %s },\n'
                              '  dns = function(q) return resolve "192.0.2.1" end }\n' % rule)
            if dead:
                self.assert_problem(self.problems(path), 3, 3, "dns() is never asked", "network_rules[")
            else:
                self.assertEqual(self.problems(path, status=0), [])
            decided = self.call_json("policy", "explain", "--json", "--policy", path, "dns", "a.example")
            self.assertEqual(decided["verdict"], "deny" if dead else "resolve", rule)

    def test_rules_of_agentsh_policies_are_compared_too(self):
        problems = self.check_text("""version: 1
name: x
network_rules:
  - name: lan
    cidrs: ["10.0.0.0/8"]
    decision: allow
  - name: one
    cidrs: ["10.1.0.0/16"]
    decision: allow
file_rules:
  - name: work
    paths: ["/w/**"]
    operations: ["*"]
    decision: allow
  - name: again
    paths: ["${PROJECT_ROOT}/x", "${PROJECT_ROOT}/**"]
    operations: [read]
    decision: allow
  - name: twice
    paths: ["${PROJECT_ROOT}/x"]
    operations: [read]
    decision: allow
""", status=0, name="policy.yaml")
        self.assert_problem(problems, 7, 5, "network_rules[1]: never reached", "network_rules[0] lan", "put it before")
        self.assert_problem(problems, 19, 5, "file_rules[2]: never reached", "variables as they are here")
        levels = {(p["line"], p["severity"]) for p in problems}
        self.assertLessEqual({(7, "warning"), (19, "note")}, levels)

    def test_what_cannot_be_cached_is_a_note(self):
        problems = self.check_text("""local function busy(q)
  return counter("q", q.process.name):over(5, "1m") or counter("r"):over(9, "1h")
end
return { name = "x", dns = function(q)
  if busy(q) then return deny "busy" end
  if now.unix % 2 == 0 and now.hour > 5 then return allow() end
end }
""", status=0)
        self.assertEqual([p["severity"] for p in problems], ["note", "note"])
        self.assert_problem(problems, 2, 10, "never cached", "before it")
        self.assert_problem(problems, 6, 6, "second", "now:between")

    def test_all_problems_of_a_file_are_reported_and_in_order(self):
        problems = self.check_text("return { name = 'x',\n  dns = function(q)\n    return dney(q.nmae)\n  end,\n"
                                   "  file = function(f)\n    return resolve '10.0.0.1'\n  end,\n}\n")
        self.assertEqual([(p["line"], p["column"]) for p in problems], [(3, 12), (3, 19), (6, 12)])

    def test_all_policies_of_a_directory_are_checked(self):
        self.write("set/a.lua", "return 1\n")
        self.write("set/b.lua", GOOD)
        self.write("set/c/policy.lua", "return { name = 'c', dns = function(q) return dney() end }\n")
        problems = self.problems(os.path.join(self.directory, "set"))
        self.assertEqual([os.path.relpath(p["file"], self.directory) for p in problems],
                         ["set/a.lua", "set/c/policy.lua"])

    def test_a_shadowed_name_gives_no_false_alarm(self):
        self.assertEqual(self.check_text("""
local allow <const> = allow
local t = { nmae = 1, dney = 2 }
local function helper(q) return q.anything end
return { name = "x",
  dns = function(q)
    for _, q in ipairs { { foo = t.nmae } } do if q.foo == 2 then return allow() end end
    goto done
    ::done::
  end,
  connect = function(c)
    local function inner() return redirect_path end
    if helper { anything = c.port } == inner then return allow() end
  end,
}
""", status=0), [])

    def test_people_see_place_message_and_hint(self):
        path = self.write("policy.lua", "return { name = 'x', dns = function(q)\n  return dney 'no'\nend }\n")
        out, err = self.call("policy", "check", path, status=1)
        self.assertEqual(out, "")
        self.assertIn(f"{path}:2:10: error: 'dney' is not defined anywhere", err)
        self.assertIn("did you mean 'deny'?", err)
        self.assertNotIn("\033", err)

    def test_what_is_not_there_is_a_problem_not_a_crash(self):
        problems = self.problems(os.path.join(self.directory, "nothing.lua"))
        self.assertEqual(len(problems), 1)
        self.assertIn("nothing.lua", problems[0]["file"] + problems[0]["message"])

    def test_terminal_escapes_of_a_policy_are_shown_not_obeyed(self):
        path = self.write("policy.lua", "error('\\27[2J')\n")
        _, err = self.call("policy", "check", path, status=1)
        self.assertNotIn("\033", err)
        self.assertIn("\\x1b[2J", err)


if __name__ == "__main__":
    support.main()

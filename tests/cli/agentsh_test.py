#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Policies of agentsh (YAML) with every command that takes a policy."""
import json
import os
import shutil

from support import LAUNCHER, ROOT, Case, main

DATA = os.path.join(ROOT, "tests", "data", "agentsh")
VARIABLES = {"PROJECT_ROOT": "/src/p"}  # wine hands HOME to nobody
POLICY = """version: 1
name: small
network_rules:
  - {name: web, domains: ["**.ok.example"], ports: [443], decision: allow}
file_rules:
  - name: keep
    paths: ["/w/**"]
    operations: [delete]
    decision: soft_delete
    message: "kept {{.Path}}"
audit: {log_denied: true}
"""


class Agentsh(Case):
    def ask(self, policy, *question, env=None):
        return json.loads(self.call("policy", "explain", "-p", policy, "--json", *question, env=env)[0])

    def test_check_lists_what_is_accepted_and_not_enforced(self):
        policy = self.write("p.yaml", POLICY)
        out, err = self.call("policy", "check", policy)
        self.assertIn("1 policy, no problems", out)
        self.assertIn(f"{policy}:11:1: note: audit: accepted, not enforced", err)
        problems = self.call_json("policy", "check", "--json", policy)["problems"]
        self.assertEqual([("note", 11, 1)], [(p["severity"], p["line"], p["column"]) for p in problems])

    def test_check_gives_every_error_its_place(self):
        policy = self.write("p.yaml", POLICY.replace("[443]", '["443"]').replace("soft_delete", "softdelete") + "x: 1\n")
        problems = self.call_json("policy", "check", "--json", policy, status=1)["problems"]
        errors = [(p["line"], p["column"], p["message"].split(":")[0]) for p in problems if p["severity"] == "error"]
        self.assertEqual([(4, 53, "network_rules[0].ports[0]"), (9, 15, "file_rules[0].decision"), (12, 1, "x")], errors)
        self.assertIn("3 problems in 1 policy", self.call("policy", "check", policy, status=1)[1])

    def test_a_policy_that_extends_others(self):
        """P72: check, explain, diff and convert see one policy; what is wrong has the place where it stands."""
        self.write("lib/base.yaml", """version: 1
name: base
file_rules:
  - {name: common, paths: ["/w/**"], decision: deny}
  - {name: keys, paths: ["/w/**/.env"], decision: deny, final: true}
audit: {log_denied: true}
""")
        own = """version: 1
name: own
extends: [lib/base.yaml]
file_rules:
  - {name: mine, paths: ["/w/**"], decision: allow}
"""
        policy = self.write("p.yaml", own)
        out, err = self.call("policy", "check", policy)
        self.assertIn("1 policy", out)
        self.assertRegex(err, r"lib/base\.yaml:6:1: note: audit: accepted, not enforced")
        self.assertRegex(err, r"lib/base\.yaml:4:5: warning: file_rules\[0\].*never reached: file_rules\[0\] mine")
        for path, verdict, rule, file, line in (("/w/.env", "deny", "file_rules[1] keys", "base.yaml", 5),
                                                ("/w/x", "allow", "file_rules[0] mine", "p.yaml", 5)):
            told = self.ask(policy, "file", "op=read", path)
            self.assertEqual((told["verdict"], told["rule"], os.path.basename(told["file"]), told["line"]), (verdict, rule, file, line), told)
        lua = self.call("policy", "convert", policy)[0]
        self.assertLess(lua.index('name = "keys"'), lua.index('name = "mine"'))
        self.assertLess(lua.index('name = "mine"'), lua.index('name = "common"'))
        self.call("policy", "diff", policy, self.write("same.lua", lua))
        self.write("old/lib/base.yaml", "version: 1\nname: base\n")
        out = self.call("policy", "diff", self.write("old/p.yaml", own), policy, status=1)[0]  # asked about what stands in lib/base.yaml
        self.assertIn("/w/", out)
        self.assertIn("keys", out)
        self.write("lib/base.yaml", "version: 1\nname: base\nfile_rules:\n  - {name: keys, paths: [\"[a\"], decision: deny}\n")
        err = self.call("policy", "check", policy, status=1)[1]
        self.assertRegex(err, r"lib/base\.yaml:4:26: error: file_rules\[0\]\.paths\[0\]")
        os.unlink(os.path.join(self.directory, "lib", "base.yaml"))
        err = self.call("policy", "check", policy, status=1)[1]
        self.assertIn(f"{policy}:3:11: error: extends[0]: there is no lib/base.yaml in ", err)

    def test_check_doubts_what_says_more_than_was_meant(self):
        policy = self.write("p.yaml", """version: 1
name: doubtful
dns_redirects:
  - {name: a, match: 'api\\.vendor\\.example', resolve_to: 10.0.0.1}
  - {name: x, match: '.*\\.lan$', resolve_to: 10.0.0.1}
  - {name: b, match: '^api\\.other\\.example$', resolve_to: 10.0.0.1}
connect_redirects:
  - {name: c, match: 'api\\.vendor\\.example:443', redirect_to: "gw.example:443"}
file_rules:
  - {name: d, paths: ["/w/**/b/*.so"], decision: allow}
  - {name: e, paths: ["/w/**"], decision: allow}
""")
        problems = self.call_json("policy", "check", "--json", policy)["problems"]
        self.assertEqual([("warning", 4), ("warning", 8), ("warning", 10)], [(p["severity"], p["line"]) for p in problems])
        self.assertIn("api.vendor.example.evil.example matches too", problems[0]["message"])
        self.assertIn("api.vendor.example:4430 matches too", problems[1]["message"])
        self.assertIn("/w/b/q.so", problems[2]["message"])

    def test_explain_names_the_line_of_the_rule(self):
        policy = self.write("p.yaml", POLICY)
        answer = self.ask(policy, "connect", "a.ok.example:443", "ip=203.0.113.1")
        self.assertEqual(("allow", "network_rules[0] web", 4), (answer["verdict"], answer["rule"], answer["line"]))
        self.assertTrue(answer["file"].endswith("p.yaml"))
        answer = self.ask(policy, "file", "op=delete", "/w/a")
        self.assertEqual(("soft_delete", 6, "kept {{.Path}}"), (answer["verdict"], answer["line"], answer["message"]))
        answer = self.ask(policy, "dns", "b.example")
        self.assertEqual(("deny", "default-deny-network"), (answer["verdict"], answer["rule"]))
        self.assertIn("p.yaml:4", self.call("policy", "explain", "-p", policy, "connect", "a.ok.example:443",
                                            "ip=203.0.113.1")[0])

    def test_convert_prints_lua_that_loads_and_says_the_same(self):
        source = os.path.join(DATA, "agent-strict.yaml")
        out, err = self.call("policy", "convert", source, env=VARIABLES)
        self.assertIn("note: command_rules: accepted, not enforced", err)
        lua = self.write("strict.lua", out)
        self.assertIn("no problems", self.call("policy", "check", lua)[0])
        for question in (["file", "op=delete", "/src/p/a"], ["connect", "intranet:443", "ip=203.0.113.1"],
                         ["dns", "evil.example"], ["file", "op=read", "/etc/hosts"], ["file", "op=stat", "/home/u"]):
            yaml, as_lua = self.ask(source, *question, env=VARIABLES), self.ask(lua, *question)
            self.assertEqual(yaml["verdict"], as_lua["verdict"])
            self.assertEqual(yaml["rule"].split("]")[-1], as_lua["rule"].split("]")[-1])
        self.call("policy", "convert", "x.lua", status=2)
        self.call("policy", "convert", os.path.join(DATA, "sample-generated-policy.yaml"), status=1)

    def test_every_command_that_reads_policies_takes_variables(self):
        """The command line stands before the environment, and the last of a name counts."""
        policy = self.write("v/p.yaml", 'version: 1\nname: v\nvars_from_env: true\nfile_rules: [{paths: ["${SOME_X}/x"], decision: deny}]\n')
        self.write("v/p_test.lua", 'test("a", function(t) t:file { op = "read", path = "/b/x" } :is_denied() end)')
        where = os.path.join(self.directory, "v")
        events = self.write("e.jsonl", '{"type": "file_read", "operation": "read", "path": "/b/x", "policy": {"decision": "allow"}}\n')
        allow = self.write("allow.lua", 'return { name = "a", file = function() return allow() end }')
        var = ["--var", "SOME_X=/a", "--var=SOME_X=/b"]
        calls = [("check", [policy], 0, ""), ("convert", [policy], 0, '"/b/x"'), ("test", [where], 0, ""), ("bench", ["--seconds", "1", policy], 0, ""),
                 ("explain", ["-p", policy, "file", "op=read", "/b/x"], 0, "deny"), ("diff", ["--events", events, policy, allow], 1, "/b/x"),
                 ("replay", ["-p", policy, os.path.join(ROOT, "tests", "data", "pcap", "usual.pcap")], 0, "")]
        for command, words, status, want in calls:
            out = self.call("policy", command, *var, *words, status=status, env={"SOME_X": "/c"})[0]
            self.assertIn(want, out, command)
            err = self.call("policy", command, "--var", "5=x", *words, status=2)[1]
            self.assertIn("--var wants NAME=VALUE", err)
            trouble = 2 if command in ("diff", "replay") else 1
            self.assertIn("SOME_X", self.call("policy", command, *words, status=trouble, env={"SOME_X": ""})[1])

    def test_variables_come_from_the_environment_and_from_where_the_project_is(self):
        policy = self.write("p/sub/p.yaml", """version: 1
name: v
file_rules: [{name: root, paths: ["${PROJECT_ROOT}/x"], decision: deny}]
""")
        self.assertEqual("deny", self.ask(policy, "file", "op=read", "/src/p/x", env=VARIABLES)["verdict"])
        if not LAUNCHER:
            os.mkdir(os.path.join(self.directory, ".git"))
            inside = os.path.join(os.path.realpath(self.directory), "x")
            answer = self.ask(policy, "file", "op=read", inside, env={"PROJECT_ROOT": ""})
            self.assertEqual("deny", answer["verdict"])
            os.rmdir(os.path.join(self.directory, ".git"))
        policy = self.write("q.yaml", 'version: 1\nname: v\nfile_rules: [{paths: ["${GIT_ROOT}/x"], decision: deny}]\n')
        err = self.call("policy", "check", policy, status=1, env={"GIT_ROOT": ""})[1]
        self.assertIn("the variable GIT_ROOT has no value", err)

    def test_captured_traffic_is_judged(self):
        """A capture of the tests of replay: a name and its server are allowed, SSH is an approval that nobody gives."""
        policy = self.write("shop.yaml", """version: 1
name: shop
network_rules:
  - {name: shop, domains: ["*.shop.example"], ports: [443], decision: allow}
  - {name: ssh, cidrs: ["203.0.113.0/24"], ports: [22], decision: approve}
""")
        capture = os.path.join(ROOT, "tests", "data", "pcap", "usual.pcap")
        told = self.call_json("policy", "replay", "--json", "--policy", policy, capture)
        questions = [(q["kind"], q.get("name", q["server"]), q["new"]["verdict"], q["new"].get("rule")) for q in told["questions"]
                     if q["kind"] != "sni"]
        self.assertEqual([("dns", "www.shop.example", "allow", "dns_default"),
                          ("connect", "198.51.100.7:443", "allow", "network_rules[0] shop"),
                          ("connect", "203.0.113.9:22", "deny", "network_rules[1] ssh"),
                          ("dns", "lost.example", "deny", "default-deny-network")], questions)

    def test_the_other_commands_take_it(self):
        policy = self.write("p.yaml", POLICY)
        self.write("p_test.lua", 'test("web", function(t)\n  t:connect { host = "a.ok.example", ip = "203.0.113.1", port = 443 }'
                                 ':is_allowed()\n  t:dns { name = "b.example" }:is_denied()\nend)\n')
        self.assertIn("1 passed", self.call("policy", "test", "--coverage", policy)[0])
        self.call("policy", "bench", "--seconds", "1", policy)
        directory = os.path.join(self.directory, "all")
        os.mkdir(directory)
        shutil.copy(policy, os.path.join(directory, "a.yml"))
        self.write("all/b.lua", 'return { name = "b" }')
        self.assertIn("2 policies, no problems", self.call("policy", "check", directory)[0])


if __name__ == "__main__":
    main()

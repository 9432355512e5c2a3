# SPDX-License-Identifier: Apache-2.0
"""moonfence policy diff: recorded and made-up requests that another version decides otherwise."""
import json
import os

import support
from support import Case, DEFAULT_POLICY

OLD = """return { name = "corp",
  network_rules = {
    { name = "lan", cidrs = { "10.0.0.0/8" }, decision = "allow" },
    { name = "vendor", domains = { "**.vendor.example" }, ports = { 443 }, decision = "allow" },
  },
  file_rules = { { name = "work", paths = { "/w/**" }, decision = "allow" } },
  sni = function(s) if s.sni == "bad.example" then return deny "bad" end end,
}
"""

EVENTS = [
    {"type": "session_start", "fields": {"argv": ["x"]}},
    {"type": "dns_query", "domain": "api.vendor.example", "policy": {"decision": "allow"}, "fields": {"qtype": "A"}},
    {"type": "net_connect", "domain": "api.vendor.example", "remote": "api.vendor.example:443",
     "policy": {"decision": "allow"},
     "fields": {"proto": "tcp", "resolved_ip": "192.0.2.10", "names": ["api.vendor.example"]}},
    {"type": "net_connect", "remote": "10.1.2.3:22", "policy": {"decision": "allow"}, "fields": {"proto": "tcp"}},
    {"type": "net_connect", "remote": "[fd00::1]:22", "policy": {"decision": "deny"}, "fields": {"proto": "tcp"}},
    {"type": "net_tls_hello", "domain": "bad.example", "remote": "bad.example:443", "policy": {"decision": "deny"},
     "fields": {"sni": "bad.example", "resolved_ip": "192.0.2.11", "alpn": ["h2"], "ech": False}},
    {"type": "file_rename", "path": "/w/a", "operation": "rename", "policy": {"decision": "allow"},
     "fields": {"from_path": "/w/a", "to_path": "/etc/x"}},
    {"type": "file_read", "path": "/w/a", "operation": "read", "policy": {"decision": "allow"}, "fields": {}},
]


class Diff(Case):
    def policies(self, *changes):
        new = OLD
        for old, now in changes:
            self.assertIn(old, new)
            new = new.replace(old, now)
        return self.write("old.lua", OLD), self.write("new.lua", new)

    def events(self, *more):
        return self.write("events.jsonl", "".join(json.dumps(event) + "\n" for event in EVENTS) + "".join(more))

    def changes(self, *arguments, status=1):
        return self.call_json("policy", "diff", "--json", *arguments, status=status)

    def test_a_policy_does_not_differ_from_itself(self):
        old, new = self.policies()
        for arguments in (["--events", self.events()], []):
            found = self.changes(*arguments, old, new, status=0)
            self.assertEqual((found["changed"], found["skipped"], found["changes"]), (0, 0, []))
            self.assertGreaterEqual(found["asked"], 7)
        self.assertEqual(self.changes(DEFAULT_POLICY, DEFAULT_POLICY, status=0)["changed"], 0)

    def test_recorded_requests_that_change_are_shown_with_their_rules(self):
        old, new = self.policies(("ports = { 443 }", "ports = { 8443 }"), ('deny "bad"', "allow()"),
                                 ('{ "/w/**" }, decision = "allow"', '{ "/w/**" }, decision = "deny"'))
        found = self.changes("--events", self.events(), old, new)
        self.assertEqual(found["asked"], 7)
        text = {change["request"]: (change["old"], change["new"]) for change in found["changes"]}
        vendor = 'connect ip="192.0.2.10" port=443 proto="tcp" host="api.vendor.example"'
        self.assertIn(vendor, text)
        self.assertRegex(text[vendor][0], r"^allow by network_rules\[2\] vendor \(.*old.lua:4\)$")
        self.assertRegex(text[vendor][1], "^deny by default-connect")
        hello = next(request for request in text if request.startswith("sni "))
        self.assertIn('sni="bad.example" alpn=["h2"] ech=false', hello)
        self.assertIn("deny by sni()", text[hello][0])
        self.assertIn("allow by sni()", text[hello][1])
        self.assertIn("deny by file_rules[1] work", text['file op="read" path="/w/a"'][1])
        self.assertEqual(found["changed"], 3)
        self.assertFalse([request for request in text if "10.1.2.3" in request])

    def test_another_reason_alone_is_no_difference(self):
        old, new = self.policies(('name = "lan"', 'name = "local"'))
        self.assertEqual(self.changes(old, new, status=0)["changed"], 0)

    def test_made_up_requests_find_an_edit(self):
        old, new = self.policies(('"10.0.0.0/8"', '"10.0.0.0/9"'), ("**.vendor.example", "*.vendor.example"),
                                 ('"/w/**"', '"/w/*"'))
        text = "\n".join(change["request"] for change in self.changes("--limit", "0", old, new)["changes"])
        self.assertIn('ip="10.255.255.255"', text)
        self.assertIn('host="q.q.vendor.example"', text)
        self.assertIn('path="/w/q/q"', text)
        self.assertNotIn("/wq", text)

    def test_agentsh_policies_are_compared_as_well(self):
        old = self.write("old.yaml", "version: 1\nname: y\nnetwork_rules:\n  - name: one\n    domains: [a.example]\n"
                                     "    decision: allow\n")
        new = self.write("new.yaml", "version: 1\nname: y\nnetwork_rules:\n  - name: one\n    domains: [a.example]\n"
                                     "    ports: [443]\n    decision: allow\n")
        out, err = self.call("policy", "diff", old, new, status=1)
        self.assertEqual(err, "")
        self.assertRegex(out, r'connect .*port=80 .*host="a.example"\n- allow by network_rules\[0\] one \(.*old.yaml:4\)\n'
                              r"\+ deny by default-deny-network")
        self.assertIn("requests change (made up", out)

    def test_what_holds_no_request_is_counted(self):
        old, new = self.policies()
        events = self.events('{"type": "net_connect", "truncated": true, "policy": {}}\n', "not json\n",
                             '{"type": "file_read", "operation": "read", "path_b64": "/w==", "path": "x", "policy": {}}\n')
        self.assertEqual(self.changes("--events", events, old, new, status=0)["skipped"], 3)

    def test_trouble_is_not_a_difference(self):
        old, new = self.policies()
        self.call("policy", "diff", old, status=2)
        self.call("policy", "diff", "--limit", "x", old, new, status=2)
        self.call("policy", "diff", old, os.path.join(self.directory, "nothing.lua"), status=2)
        self.call("policy", "diff", "--events", os.path.join(self.directory, "none.jsonl"), old, new, status=2)
        self.call("policy", "diff", old, self.write("bad.lua", "return 5"), status=2)


if __name__ == "__main__":
    support.main()

# SPDX-License-Identifier: Apache-2.0
"""moonfence policy learn: what was observed is allowed, what lies beside it is not, and nobody writes into the policy."""
import json
import os
import random
import shutil
import subprocess

import support
from support import Case

ALLOW_ALL = """return { name = "all", dns_default = "allow", network_rules = { { domains = { "**" }, decision = "allow" } },
  file_rules = { { paths = { "/**" }, decision = "allow" } } }
"""
SENSITIVE = ["/w/src/.env", "/w/src/.env.local", "/w/src/id_rsa", "/w/src/key.pem", "/w/src/my-credentials.json",
             "/w/src/.npmrc", "/w/src/.netrc"]


def event(kind, number=[0], **members):
    number[0] += 1
    second = number[0] % 60
    base = {"timestamp": f"2026-01-29T10:23:{second:02d}.001371Z", "id": f"00000001-{number[0]:012d}", "type": kind,
            "session_id": "s1", "pid": 4321, "policy": {"decision": "allow"}}
    fields = members.pop("fields", {})
    return {**base, **members, "fields": fields}


def connect(port, name=None, ip=None, names=None, **members):
    host = f"[{ip}]" if ip and ":" in ip else ip
    fields = {"proto": "tcp"}
    if ip and name:
        fields["resolved_ip"] = ip
    if name:
        fields["names"] = names or [name]
        members["domain"] = name
    return event("net_connect", remote=f"{name or host}:{port}", fields=fields, **members)


def dns(name, qtype="A", **members):
    return event("dns_query", domain=name, fields={"qtype": qtype, "transport": "udp"}, **members)


def file(op, path, to=None, **members):
    fields = {"from_path": path, "to_path": to} if to else {}
    return event("file_" + ("rename" if to else "read"), path=path, operation=op, fields=fields, **members)


class Learn(Case):
    def record(self, events, name="events.jsonl"):
        return self.write(name, "".join((e if isinstance(e, str) else json.dumps(e)) + "\n" for e in events))

    def learn(self, events, *options, **how):
        return self.call("policy", "learn", *options, self.record(events), **how)[0]

    def denied(self, policy_text, events, form="lua"):
        """Which of the events' requests a policy does not allow."""
        policy = self.write(f"learned.{form}", policy_text)
        everything = self.write("everything.lua", ALLOW_ALL)
        out = self.call("policy", "diff", "--json", "--limit", "0", "--events", self.record(events, "asked.jsonl"), policy,
                        everything, status=None)[0]
        found = json.loads(out)
        self.assertEqual((found["asked"], found["skipped"]), (len(events), 0))
        return sorted(change["request"] for change in found["changes"])

    def call(self, *arguments, status=0, env=None):
        if status is not None:
            return super().call(*arguments, status=status, env=env)
        try:
            return super().call(*arguments, status=0, env=env)
        except AssertionError:
            return super().call(*arguments, status=1, env=env)

    def exact(self, seen, beside, *options):
        """What was seen is allowed by what is learned of it, in either language, and each of @beside is denied."""
        for form, word in (("lua", "lua"), ("yaml", "agentsh")):
            text = self.learn(seen, "--format", word, *options)
            self.assertEqual(self.denied(text, seen, form), [], text)
            self.assertEqual(len(self.denied(text, beside, form)), len(beside), text)
            out, err = self.call("policy", "check", self.write(f"checked.{form}", text))
            self.assertNotIn("warning", out + err)
            self.assertNotIn("error", out + err)

    def test_what_was_seen_is_allowed_and_what_lies_beside_is_not(self):
        seen = [connect(443, "api.vendor.example", "8.8.8.8"), connect(443, "api.vendor.example", "8.8.4.4"),
                connect(22, ip="9.9.9.9"), connect(22, ip="2620:fe::9"), connect(80, "intern.example", "10.0.0.7"),
                connect(8080, "unknown.example"), dns("api.vendor.example"), dns("intern.example"), dns("only.example", "TXT"),
                connect(443, "a.example", "1.1.1.1", names=["a.example", "b.example"]),
                file("read", "/w/src/a.c"), file("write", "/w/src/a.c"), file("read", "/w/src/b.c"),
                file("delete", "/w/x"), file("rename", "/w/y", "/w/z")]
        beside = [connect(80, "api.vendor.example", "8.8.8.8"), connect(443, "vendor.example", "8.8.8.8"),
                  connect(443, "x.api.vendor.example", "8.8.8.8"), connect(443, "xapi.vendor.example", "8.8.8.8"),
                  connect(443, "api.vendor.example", "10.0.0.7"), connect(443, "api.vendor.example", "169.254.169.254"),
                  connect(80, "intern.example", "10.0.0.8"), connect(80, "intern.example", "8.8.8.8"),
                  connect(22, ip="9.9.9.10"), connect(23, ip="9.9.9.9"), connect(22, ip="2620:fe::8"), connect(22, ip="8.8.8.8"),
                  connect(443, ip="8.8.8.8"), connect(443, "only.example", "8.8.8.8"), dns("vendor.example"), dns("x.only.example"),
                  file("write", "/w/src/b.c"), file("delete", "/w/src/a.c"), file("read", "/w/src/c.c"), file("read", "/w/src"),
                  file("read", "/w/src/a.c/x"), file("read", "/w/src/a.cc"), file("rename", "/w/y", "/w/src/a.c"),
                  file("rename", "/w/x", "/w/z"), file("list", "/")]
        self.exact(seen, beside)

    def test_random_observations_are_learned_exactly(self):
        """What is allowed is what was seen: requests are drawn from small sets, so that most have siblings that were not."""
        for seed in range(4):
            r = random.Random(seed)
            names = ["a.example", "b.a.example", "example.org", "xn--bcher-kva.example", "_x.example"]
            pool = [connect(port, name, ip) for port in (53, 80, 443) for name in names for ip in ("8.8.8.8", "10.1.1.1")]
            pool += [connect(port, ip=ip) for port in (80, 443) for ip in ("1.1.1.1", "10.1.1.1", "2606:4700::1")]
            odd = ["/w/a", "/w/a b", "/w/*", "/w/[a]", "/w/{a,b}", "/w/?", "/w/\\x", "/w/${HOME}", "/w/é", "/w/\"", "/w/d/a", "/w/d"]
            pool += [file(op, path) for op in ("open", "read", "write", "stat", "delete") for path in odd]
            seen = r.sample(pool, r.randrange(1, 40))
            # A rule for an address is for whoever is behind it: names on it are no sibling.
            bare = {(e["remote"]) for e in seen if e["type"] == "net_connect" and "domain" not in e}
            beside = [e for e in pool if e not in seen and f"{e['fields'].get('resolved_ip')}:{e.get('remote', '').split(':')[-1]}"
                      not in bare]
            self.exact(seen, beside)

    def test_the_same_comes_out_whatever_the_order_and_however_often(self):
        events = [connect(p, n, "8.8.8.8", pid=pid) for p in (80, 443) for n in ("a.example", "b.example") for pid in range(1, 9)]
        events += [file("read", f"/w/{n}") for n in range(20)] + [event("session_start", fields={"argv": ["curl", "-s", "x"]})]
        once = self.learn(events)
        r = random.Random(1)
        for _ in range(3):
            r.shuffle(events)
            self.assertEqual(self.learn(events), once)
        self.assertEqual(self.learn(events + events), once)
        one, two = self.record(events[:30], "one.jsonl"), self.record(events[20:], "two.jsonl")
        self.assertEqual(self.call("policy", "learn", two, one)[0], once)

    def test_each_grant_names_its_evidence(self):
        events = [event("session_start", fields={"argv": ["curl", "https://a.example/"]}),
                  connect(443, "a.example", "8.8.8.8", pid=7, timestamp="2026-01-29T10:00:00.5Z"),
                  connect(443, "a.example", "8.8.8.8", pid=9, timestamp="2026-01-28T10:00:00.5Z"),
                  file("read", "/w/a", pid=7, timestamp="2026-01-29T10:00:00Z")]
        for form, sign in (("lua", "--"), ("agentsh", "#")):
            text = self.learn(events, "--format", form)
            self.assertIn(f'{sign} 2 times, 2026-01-28T10:00:00Z to 2026-01-29T10:00:00Z; pid 7, 9 of s1\n', text)
            self.assertIn(f'{sign} once, 2026-01-29T10:00:00Z; pid 7 of s1\n', text)
            self.assertIn(f'{sign} s1: curl https://a.example/\n', text)

    def test_domains_are_grouped_only_when_asked(self):
        seen = [connect(443, name, "8.8.8.8") for name in ("a.shop.co.uk", "b.shop.co.uk", "other.co.uk", "lone.example.org")]
        text = self.learn(seen)
        self.assertNotIn("**", text)
        beside = [connect(443, name, "8.8.8.8") for name in ("c.shop.co.uk", "shop.co.uk")]
        self.assertEqual(len(self.denied(text, beside)), 2)
        out, err = self.call("policy", "learn", "--group-domains", self.record(seen), status=None)
        if "without the list of public suffixes" in err:
            return
        self.assertEqual(self.denied(out, seen + [beside[0], dns("d.shop.co.uk")]), [], out)
        away = [beside[1], connect(443, "x.co.uk", "8.8.8.8"), connect(443, "x.other.co.uk", "8.8.8.8"),
                connect(443, "b.example.org", "8.8.8.8"), connect(443, "c.shop.co.uk", "10.0.0.1"), connect(80, "c.shop.co.uk", "8.8.8.8")]
        self.assertEqual(len(self.denied(out, away)), len(away), out)

    def test_sensitive_files_are_never_part_of_a_group(self):
        seen = [file("read", f"/w/src/{n}.c") for n in range(5)] + [file("read", p) for p in SENSITIVE[:2]]
        seen += [file("read", f"/home/u/.ssh/k{n}") for n in range(5)] + [file("read", f"/w/.git/hooks/{n}") for n in range(5)]
        seen += [file("write", f"/etc/conf.d/{n}") for n in range(5)] + [file("stat", f"/top{n}") for n in range(5)]
        grouped = [file("read", "/w/src/new.c")]
        beside = [file("read", path) for path in SENSITIVE[2:]] + [
            file("read", "/home/u/.ssh/id_ed25519"), file("read", "/w/.git/hooks/pre-commit"), file("write", "/etc/conf.d/x"),
            file("stat", "/top9"), file("write", "/w/src/new.c"), file("read", "/w/src/sub/x.c"), file("write", SENSITIVE[0])]
        self.exact(seen, beside + grouped)
        self.exact(seen + grouped, beside, "--group-paths", "5")
        for form, word in (("lua", "lua"), ("yaml", "agentsh")):
            text = self.learn(seen, "--group-paths", "5", "--format", word)
            self.assertEqual(self.denied(text, seen + grouped, form), [], text)
            self.assertEqual(len(self.denied(text, beside, form)), len(beside), text)
        self.assertEqual(len(self.denied(self.learn(seen, "--group-paths", "6"), grouped)), 1)

    def test_the_list_of_sensitive_files_is_the_documented_one(self):
        text = self.learn([file("read", f"/w/src/{n}.c") for n in range(3)], "--group-paths", "3")
        rule = text[text.index('name = "sensitive"'):]
        globs = [line.strip().strip('",') for line in rule[:rule.index("},")].splitlines()[2:]]
        with open(os.path.join(support.ROOT, "docs", "policy-tools.md"), encoding="utf-8") as page:
            documented = page.read()
        self.assertGreater(len([g for g in globs if g]), 30)
        for glob in filter(None, globs):
            self.assertIn(f"`{glob}`", documented)

    def test_what_was_denied_or_sent_elsewhere_is_left_out(self):
        denied = [connect(443, "evil.example", "8.8.8.8", policy={"decision": "deny"}),
                  file("read", "/w/x", effective_action="blocked", policy={"decision": "redirect"}),
                  dns("asked.example", policy={"decision": "ask", "effective_decision": "deny"})]
        sent = [event("dns_redirect", domain="m.example", policy={"decision": "resolve"}, fields={"qtype": "A"})]
        seen = [connect(443, "good.example", "8.8.8.8", policy={"decision": "audit", "effective_decision": "allow"}),
                connect(444, "asked.example", "8.8.8.8", policy={"decision": "ask", "effective_decision": "allow"})]
        text = self.learn(denied + sent + seen)
        self.assertIn("3 requests that were denied", text)
        self.assertIn("1 requests that a policy answered or sent elsewhere", text)
        self.assertEqual(self.denied(text, seen), [])
        self.assertEqual(len(self.denied(text, denied[:2])), 2)
        self.assertEqual(self.denied(self.learn(denied + seen, "--include-denied"), denied + seen), [])
        self.assertIn("nothing to learn from: 3 events, 3 of them denied",
                      self.call("policy", "learn", self.record(denied), status=1)[1])

    def test_what_was_kept_in_the_trash_is_kept(self):
        text = self.learn([event("file_soft_delete", path="/w/a", operation="delete", policy={"decision": "soft_delete"}),
                           file("delete", "/w/b")])
        for path, verdict in (("/w/a", "soft_delete"), ("/w/b", "allow"), ("/w/c", "deny")):
            out = self.call("policy", "explain", "-p", self.write("l.lua", text), "file", "op=delete", path)[0]
            self.assertTrue(out.startswith(verdict), out)

    def test_an_open_that_asked_for_more_than_one_thing(self):
        both = event("file_open", path="/w/a", operation="write", fields={"asked": ["open", "read", "write"]})
        self.assertEqual(self.denied(self.learn([both]), [file(op, "/w/a") for op in ("open", "read", "write")]), [])
        link = event("file_open", path="/w/a", operation="create", fields={"asked": ["read", "link"], "to_path": "/w/b"})
        self.assertEqual(self.denied(self.learn([link]), [file("read", "/w/a"), file("link", "/w/a"), file("create", "/w/b")]), [])

    def test_what_a_mount_need_not_have_told(self):
        """The kernel remembers what it saw in a listing: looking at the file and at the directories on the way is part of it."""
        seen = [file("list", "/m/src", source="mount"), file("read", "/m/src/a/b/c", source="mount")]
        implied = [file("stat", "/m/src/" + path) for path in ("a", "a/b", "a/b/c")] + [file("stat", "/m/src")]
        text = self.learn(seen)
        self.assertEqual(self.denied(text, seen + implied), [], text)
        beside = [file("stat", "/m"), file("stat", "/m/src/x"), file("list", "/m/src/a"), file("stat", "/m/src/a/c")]
        self.assertEqual(len(self.denied(text, beside)), len(beside), text)
        self.assertIn('"/m/src/a/b/c", -- once', text)

    def test_hostile_events_stay_texts(self):
        evil = ['"]]--\n os.exit()', "x\\", '\x1b]0;title\x07', "\u202egnp.exe", "\x9b31m", "]]", "--[[", "\r\n}", "${HOME}", "{{.Path}}",
                "\u2028", "a\" }, decision = \"allow\" }, { paths = { \"/**", "- name: x", "# y", "\U000e0041", "\ufeff", "'", "\x7f", "%s%n"]
        seen = [file("read", "/w/" + text) for text in evil]
        seen += [file("read", "/w/" + text + "/f", session_id=text, pid=n) for n, text in enumerate(evil)]
        lines = [event("session_start", session_id=text, fields={"argv": ["sh", "-c", text, text * 100]}) for text in evil]
        lines += [connect(443, text, "8.8.8.8") for text in evil]
        lines += [event("net_connect", remote=text, timestamp=text) for text in evil]
        lines += ["", "[1]", "5", "{", '{"type": 5}', '{"type": "file_read", "policy": 1, "path": [], "operation": {}}', "\0" * 10,
                  '{"type": "net_connect", "policy": {"decision": "allow"}, "remote": "a.example:99999"}',
                  '{"type": "file_read", "policy": {"decision": "allow"}, "path": "relative", "operation": "read"}',
                  '{"type": "file_read", "policy": {"decision": "allow"}, "path": "/x", "operation": "\\"} evil"}',
                  "[" * 5000, '{"a":' * 5000, "x" * 200000, json.dumps(file("read", "/w/" + "y" * 70000))]
        for form, word in (("lua", "lua"), ("yaml", "agentsh")):
            text = self.learn(seen + lines, "--format", word)
            self.assertEqual([c for c in text if (ord(c) < 32 and c != "\n") or 126 < ord(c) < 161 or c in "\u202e\u2028\ufeff"], [])
            asked = [e for e in seen if "\0" not in e["path"]]
            self.assertEqual(self.denied(text, asked, form), [], text)
            beside = [file("read", p) for p in ("/w/other", "/etc/passwd", "/w/x", "/", "/w/HOME")] + [connect(443, "x.example", "8.8.8.8")]
            self.assertEqual(len(self.denied(text, beside, form)), len(beside))

    def test_wrong_usage(self):
        events = self.record([dns("a.example")])
        self.call("policy", "learn", status=2)
        for options in (["--format", "json"], ["--name", "a b"], ["--name", ""], ["--group-paths", "1"], ["--group-paths", "x"]):
            self.call("policy", "learn", *options, events, status=2)
        self.assertIn("cannot read", self.call("policy", "learn", os.path.join(self.directory, "none"), status=1)[1])
        self.assertIn('name = "mine"', self.call("policy", "learn", "--name", "mine", events)[0])


if __name__ == "__main__":
    support.main()

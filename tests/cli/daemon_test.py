# SPDX-License-Identifier: Apache-2.0
"""moonfence daemon and moonfence ctl: real requests over the control socket, and who may make them."""
import json
import os
import signal
import socket
import stat
import subprocess
import unittest

import support
from daemon_support import DaemonCase
from support import LAUNCHER

POLICY = """return {
  name = "corp",
  dns = function(q)
    if q:is "bad.example" then return deny { reason = "bad", rcode = "NXDOMAIN" } end
    if q:is "here.example" then return resolve { "203.0.113.7", "2001:db8::7", ttl = 30 } end
    return allow()
  end,
  connect = function(c)
    if c.process.name == "curl" then return deny "no curl" end
    if c.session.labels.team == "red" then return deny "no red" end
    if c:to "203.0.113.0/24" then return allow() end
  end,
  file = function(f) if f.op == "delete" then return deny { errno = "EROFS" } end return allow() end,
}
"""


@unittest.skipIf(LAUNCHER, "by curl over a Unix socket; daemon_windows_test.py has the pipe")
class Daemon(DaemonCase):
    def setUp(self):
        super().setUp()
        self.policy = self.write("corp.lua", POLICY)

    def test_one_request_is_judged_as_explain_judges_it(self):
        d = self.start(policy=self.policy)
        for kind, fields, words in (
                ("dns", {"name": "bad.example"}, ("bad.example",)),
                ("dns", {"name": "here.example", "type": "AAAA"}, ("here.example", "type=AAAA")),
                ("dns_answer", {"name": "x.example", "answer.ips": ["192.0.2.1"]}, ("x.example", "answer.ips=192.0.2.1")),
                ("connect", {"ip": "203.0.113.9", "port": 443}, ("203.0.113.9:443",)),
                ("connect", {"host": "API.example.", "port": 443, "process.name": "curl"},
                 ("api.example:443", "process.name=curl")),
                ("connect", {"ip": "192.0.2.1", "port": 1, "session.labels": {"team": "red"}},
                 ("192.0.2.1:1", "session.labels.team=red")),
                ("sni", {"sni": "a.example"}, ("a.example",)),
                ("file", {"op": "delete", "path": "/a//b/../c"}, ("op=delete", "/a/c"))):
            explained = self.call_json("policy", "explain", "--json", "-p", self.policy, kind, *words)
            for answer in (self.ask(d, "POST", f"/v1/decide/{kind}", fields),
                           self.call_json("ctl", "--socket", d.socket, "decide", kind, *words)):
                for key in ("kind", "verdict", "reason", "policy", "rule", "line", "matched", "rcode", "addresses"):
                    self.assertEqual(answer.get(key), explained.get(key), (kind, words, key))
        self.assertEqual(self.ask(d, "POST", "/v1/decide/file", {"op": "delete", "path": "/a"})["errno"], 30)

    def test_a_name_without_an_address_is_not_denied_by_networks(self):
        policy = self.write("nets.yaml", """version: 1
name: nets
network_rules:
  - {name: no-private, cidrs: ["10.0.0.0/8"], decision: deny}
  - {name: names, domains: ["*.example"], ports: [443], decision: allow}
  - {name: bad-net, domains: ["*.test"], cidrs: ["192.0.2.0/24"], decision: allow}
""")
        d = self.start(policy=policy)
        ask = {"host": "api.example", "port": 443}
        for kind, more in (("connect", {}), ("sni", {"sni": "api.example"})):
            answer = self.ask(d, "POST", f"/v1/decide/{kind}", dict(ask, **more))
            self.assertEqual((answer["verdict"], answer["rule"]), ("allow", "network_rules[1] names"), answer)
            self.assertEqual({k: answer["unjudged"][k] for k in ("needs", "verdict", "rule")},
                             {"needs": "ip", "verdict": "deny", "rule": "network_rules[0] no-private"})
        words = self.call_json("ctl", "--socket", d.socket, "decide", "connect", "api.example:443")
        self.assertEqual((words["verdict"], words["unjudged"]["rule"]), ("allow", "network_rules[0] no-private"))
        # an address that is asked about and not known is denied, as ever; one that is known is judged
        answers = self.ask(d, "POST", "/v1/decide/connect", [dict(ask, ip=None), dict(ask, ip="10.1.1.1"), dict(ask, ip="192.0.2.1"), ask,
                                                             {"host": "x.test", "port": 443}, {"host": "x.test", "port": 443, "ip": "192.0.2.1"}])
        self.assertEqual([(a["verdict"], a["rule"].split()[-1]) for a in answers],
                         [("deny", "no-private"), ("deny", "no-private"), ("allow", "names"), ("allow", "names"), ("deny", "default-deny-network"), ("allow", "bad-net")])
        self.assertEqual(["unjudged" in a for a in answers], [False, False, False, True, True, False])

    def test_a_list_is_judged_in_its_order_and_whole_or_not_at_all(self):
        d = self.start(policy=self.policy)
        names = ["bad.example" if i % 3 else f"n{i}.example" for i in range(512)]
        answers = self.ask(d, "POST", "/v1/decide/dns", [{"name": n} for n in names])
        self.assertEqual([a["verdict"] for a in answers], ["deny" if n == "bad.example" else "allow" for n in names])
        self.assertEqual(self.ask(d, "POST", "/v1/decide/dns", []), [])
        wrong = self.ask(d, "POST", "/v1/decide/dns", [{"name": n} for n in names] + [{"name": "x"}], status=422)
        self.assertIn("513 requests: at most 512", wrong["detail"])
        before = self.decisions(d, "dns")
        wrong = self.ask(d, "POST", "/v1/decide/dns", [{"name": "a.example"}, {"nane": "b.example"}], status=422)
        self.assertEqual((wrong["pointer"], wrong["code"]), ("/1/nane", "unknown_member"))
        self.assertIn("did you mean 'name'?", wrong["detail"])
        self.assertEqual(self.decisions(d, "dns"), before)

    def decisions(self, d, kind):
        text = self.curl(d, "GET", "/v1/metrics")[2]
        return [line for line in text.splitlines() if line.startswith(f'moonfence_api_decisions_total{{kind="{kind}"}}')]

    def test_what_is_wrong_is_said_with_its_place(self):
        d = self.start(policy=self.policy)
        for method, path, body, status, code, pointer in (
                ("POST", "/v1/decide/dns", "{", 400, "bad_json", None),
                ("POST", "/v1/decide/dns", '{"name": "a", "name": "b"}', 400, "bad_json", None),
                ("POST", "/v1/decide/dns", "null", 400, "bad_json", None),
                ("POST", "/v1/decide/dns", {}, 422, "missing_member", ""),
                ("POST", "/v1/decide/dns", {"name": 5}, 422, "wrong_value", "/name"),
                ("POST", "/v1/decide/dns", {"name": "a..b"}, 422, "wrong_value", "/name"),
                ("POST", "/v1/decide/dns", {"name": "a", "port": 5}, 422, "unknown_member", "/port"),
                ("POST", "/v1/decide/dns", [5], 422, "wrong_type", "/0"),
                ("POST", "/v1/decide/connect", {"port": 5}, 422, "missing_member", ""),
                ("POST", "/v1/decide/connect", {"ip": "192.0.2.1"}, 422, "missing_member", ""),
                ("POST", "/v1/decide/connect", {"ip": "192.0.2.1", "port": 70000}, 422, "wrong_value", "/port"),
                ("POST", "/v1/decide/connect", {"ip": "192.0.2.1", "port": 1, "family": 4}, 422, "wrong_value", "/family"),
                ("POST", "/v1/decide/connect", {"ip": "192.0.2.1", "port": 1, "session.labels": {"a": 5}}, 422, "wrong_value",
                 "/session.labels"),
                ("POST", "/v1/decide/file", {"op": "read", "path": "relative"}, 422, "wrong_value", "/path"),
                ("POST", "/v1/decide/nothing", {}, 404, "no_kind", None),
                ("POST", "/v1/decide/%ff%zz", {}, 400, "bad_path", None),
                ("GET", "/v1/decide/dns", None, 405, "wrong_method", None),
                ("GET", "/v1", None, 404, "no_route", None),
                ("GET", "/v2/health", None, 404, "no_route", None),
                ("GET", "/v1/health/", None, 404, "no_route", None),
                ("GET", "/v1/version", {"a": 1}, 400, "no_body_wanted", None),
                ("GET", "/v1/version?a=%0a", None, 400, "bad_query", None)):
            problem = self.ask(d, method, path, body, status=status)
            self.assertEqual((problem["status"], problem["code"], problem.get("pointer")), (status, code, pointer), problem)
        wrong = self.curl(d, "POST", "/v1/decide/dns", {"name": "a"}, content_type="text/plain")
        self.assertEqual(wrong[0], 415)

    def test_metrics_are_text_and_json_of_the_same(self):
        d = self.start(policy=self.policy)
        self.ask(d, "POST", "/v1/decide/dns", [{"name": "bad.example"}] * 3)
        families = {f["name"]: f for f in self.ask(d, "GET", "/v1/metrics?format=json")["families"]}
        text = self.curl(d, "GET", "/v1/metrics")[2]
        for name, family in families.items():
            self.assertIn(f"# TYPE {name} {family['type']}\n", text)
        by_origin = {s["labels"]["origin"]: s["value"] for s in families["moonfence_api_decisions_by_origin_total"]["series"]}
        self.assertEqual((by_origin["lua"], by_origin["memo"]), (1, 2))
        series = families["moonfence_api_decisions_total"]["series"]
        self.assertEqual({s["labels"]["kind"]: s["value"] for s in series}["dns"], 3)
        (seconds,) = families["moonfence_api_request_seconds"]["series"]
        self.assertEqual(seconds["buckets"][-1], {"le": None, "count": seconds["count"]})
        self.ask(d, "GET", "/v1/metrics?format=xml", status=422)

    def test_explain_shows_what_was_looked_at(self):
        d = self.start(policy=self.policy)
        trace = self.ask(d, "POST", "/v1/decide/dns?explain=true", {"name": "bad.example"})
        self.assertEqual([p["policy"] for p in trace["policies"]], ["corp"])
        self.ask(d, "POST", "/v1/decide/dns?explain=true", [{"name": "bad.example"}], status=422)

    def test_head_is_get_without_its_body(self):
        d = self.start(policy=self.policy)
        self.assertEqual(self.curl(d, "HEAD", "/v1/health", options=("--head",))[0], 200)

    def test_ctl_prints_what_comes_and_says_what_is_wrong(self):
        d = self.start(policy=self.policy)
        self.assertEqual(self.call_json("ctl", "-s", d.socket, "health")["status"], "ok")
        self.assertIn("moonfence_api_requests_total", self.call("ctl", "-s", d.socket, "metrics")[0])
        body = self.write("body.json", '[{"name": "bad.example"}]')
        answer = self.call_json("ctl", "-s", d.socket, "--data", "@" + body, "POST", "/v1/decide/dns")
        self.assertEqual(answer[0]["verdict"], "deny")
        self.assertIn("/nane: a dns request has no field 'nane'",
                      self.call("ctl", "-s", d.socket, "-d", '{"nane": "a"}', "POST", "/v1/decide/dns", status=1)[1])
        self.call("ctl", "-s", d.socket, "GET", "/v1/x y", status=2)
        self.call("ctl", "-s", d.socket, "healt", status=2)
        self.assertEqual(self.end(d), 0)
        self.assertIn("no daemon serves", self.call("ctl", "-s", d.socket, "health", status=125)[1])

    def test_the_socket_is_ours_alone_and_one_daemon_has_it(self):
        d = self.start(policy=self.policy)
        info = os.stat(d.socket)
        self.assertEqual(stat.S_IMODE(info.st_mode), 0o600)
        self.assertIn("another daemon serves", self.call("daemon", "-s", d.socket, "-p", self.policy, status=125)[1])
        self.assertEqual(self.ask(d, "GET", "/v1/health")["status"], "ok")
        d.kill()
        d.wait()
        self.assertTrue(os.path.exists(d.socket))  # what a dead one left is replaced
        d = self.start(policy=self.policy)
        self.assertEqual(self.ask(d, "GET", "/v1/health")["status"], "ok")
        self.assertEqual(self.end(d), 0)
        self.assertFalse(os.path.exists(d.socket))
        self.assertEqual(sorted(set(os.listdir(self.directory)) - {"run"}), ["api.sock.lock", "corp.lua", "daemon.err"])

    def test_what_is_no_socket_is_left_alone(self):
        path = self.write("plain", "mine")
        self.assertIn("is no socket", self.call("daemon", "-s", path, "-p", self.policy, status=125)[1])
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), "mine")
        os.mkdir(os.path.join(self.directory, "open"))
        os.chmod(os.path.join(self.directory, "open"), 0o777)
        self.assertIn("others may write", self.call("daemon", "-s", os.path.join(self.directory, "open", "s"),
                                                    "-p", self.policy, status=125)[1])
        self.call("daemon", "-s", "/tmp/" + "x" * 200, "-p", self.policy, status=125)

    def test_the_configuration_is_strict_and_says_where(self):
        good = self.write("good.yaml", f"api:\n  socket: {self.directory}/c.sock\n  body_max_kib: 64\n"
                                       f"policy:\n  paths: [{self.policy}]\n  variables: {{A: b}}\n  watch: false\n"
                                       f"events:\n  file: {self.directory}/events\n")
        self.call("daemon", "-c", good, "--check")
        d = self.start("-c", good, socket=None)
        self.assertEqual(d.socket, f"{self.directory}/c.sock")
        self.assertEqual(self.curl(d, "POST", "/v1/decide/dns", "x" * 65537)[0], 413)
        for text, where, say in (
                ("api:\n  sockett: /x\n", "2:3", "unknown key 'sockett' in 'api'; did you mean 'socket'?"),
                ("apis: {}\n", "1:1", "unknown key 'apis'; did you mean 'api'?"),
                ("api:\n  connections_max: 0\n", "2:20", "from 1 to 65536"),
                ("api:\n  connections_max: 1k\n", "2:20", "from 1 to 65536"),
                ("policy:\n  watch: yes\n", "2:10", "true or false"),
                ("policy:\n  paths: /x\n", "2:10", "wants a list"),
                ("policy:\n  variables:\n    'A-B': c\n", "3:5", "is no name of a variable"),
                ("policy: [a]\n", "1:9", "wants keys"),
                ("- a\n", "1:1", "sections are wanted"),
                ("api: {}\napi: {}\n", "2:1", "api")):
            path = self.write("bad.yaml", text)
            err = self.call("daemon", "-c", path, "--check", status=2)[1]
            self.assertIn(f"bad.yaml:{where}: ", err)
            self.assertIn(say, err)
        self.assertIn("cannot read", self.call("daemon", "-c", "none.yaml", status=2)[1])

    def test_policies_that_do_not_load_are_told_and_end_it(self):
        bad = self.write("bad.lua", "return {")
        self.assertIn("bad.lua:1", self.call("daemon", "-s", os.path.join(self.directory, "s"), "-p", bad, status=1)[1])

    @unittest.skipIf(os.name != "posix" or os.geteuid() != 0, "wants root to become others")
    def test_others_get_403_and_are_counted_and_those_named_are_served(self):
        os.chmod(self.directory, 0o755)
        nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        d = self.start(policy=self.policy)
        done = subprocess.run([*nobody, "curl", "-sS", "--unix-socket", d.socket, "http://localhost/v1/health"],
                              capture_output=True, check=False, timeout=120)
        self.assertNotEqual(done.returncode, 0)  # the socket's mode
        self.end(d)
        config = self.write("c.yaml", "api:\n  allow_users: ['4242']\n  allow_groups: ['4343']\n")
        d = self.start("--config", config, policy=self.policy)
        for user, group, groups, status in ((65534, 65534, "--clear-groups", 403), (4242, 65534, "--clear-groups", 200),
                                            (65534, 4343, "--clear-groups", 200), (0, 0, "--clear-groups", 200)):
            prefix = ("setpriv", f"--reuid={user}", f"--regid={group}", groups)
            self.assertEqual(self.curl(d, "GET", "/v1/health", prefix=prefix)[0], status, (user, group))
        problem = json.loads(self.curl(d, "DELETE", "/v1/x", prefix=nobody)[2])
        self.assertEqual((problem["status"], problem["code"]), (403, "not_allowed"))
        self.assertIn("moonfence_api_forbidden_total 2\n", self.curl(d, "GET", "/v1/metrics")[2])
        self.assertIn("there is no user 'no-such-user'",
                      self.call("daemon", "-c", self.write("u.yaml", "api:\n  allow_users: [no-such-user]\n"), "-s",
                                os.path.join(self.directory, "u"), "-p", self.policy, status=125)[1])

    def test_sighup_reloads_and_sigterm_waits_for_nobody_idle(self):
        d = self.start("-v", policy=self.policy)
        idle = socket.socket(socket.AF_UNIX)
        self.addCleanup(idle.close)
        idle.connect(d.socket)
        d.send_signal(signal.SIGHUP)
        while self.ask(d, "GET", "/v1/health")["generation"] < 2:
            pass
        self.assertEqual(self.end(d), 0)
        self.assertEqual(idle.recv(1), b"")


if __name__ == "__main__":
    support.main()

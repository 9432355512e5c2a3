# SPDX-License-Identifier: Apache-2.0
"""Generations over the API: load beside, test, activate, roll back; requests are judged meanwhile."""
import base64
import hashlib
import json
import os
import signal
import socket
import subprocess
import threading
import unittest

import support
from daemon_support import DaemonCase
from support import LAUNCHER


def policy_of(verdict):
    return f"return {{ name = 'p', dns = function(q) return {verdict} end }}\n"


@unittest.skipIf(LAUNCHER, "by curl over a Unix socket; daemon_windows_test.py has the pipe")
class Generations(DaemonCase):
    def setUp(self):
        super().setUp()
        self.policy = self.write("p.lua", policy_of("deny 'one'"))

    @staticmethod
    def post(d, path):
        """A request of this very process; its answer's JSON."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(d.socket)
            sock.sendall(f"POST {path} HTTP/1.0\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n".encode())
            with sock.makefile("rb") as file:
                return json.loads(file.read().split(b"\r\n\r\n", 1)[1])

    def events(self, d, types, *options):
        """The fields of those events that are kept, and their ids."""
        text = self.curl(d, "GET", f"/v1/events?after=&follow=false&type={types}", options=options)[2]
        lines = [json.loads(line) for line in text.splitlines()]
        return [line["fields"] for line in lines], [line["id"] for line in lines]

    def test_events_say_who_put_policies_in_force(self):
        d = self.start("-c", self.write("c.yaml", "policy: {watch: false}\n"), policy=self.policy)
        me = {"uid": os.geteuid(), "pid": os.getpid()}
        self.ask(d, "POST", "/v1/policy/load", {"paths": [self.write("two.lua", policy_of("deny 'two'"))]}, status=201)
        self.assertEqual(self.post(d, "/v1/policy/activate")["by"], {"how": "activate", **me})
        self.assertEqual(self.post(d, "/v1/policy/rollback")["by"], {"how": "rollback", **me})
        self.assertEqual(self.post(d, "/v1/policy/reload")["by"], {"how": "reload", **me})
        d.send_signal(signal.SIGHUP)
        while self.ask(d, "GET", "/v1/health")["generation"] < 5:
            pass
        self.write("p.lua", "return {")
        self.assertEqual(self.post(d, "/v1/policy/reload")["status"], 422)
        fields, _ = self.events(d, "policy_loaded,policy_reload_failed")
        who = [(f["generation"], f.get("how"), f.get("by_uid"), f.get("by_pid")) for f in fields]
        self.assertEqual(who, [(1, None, None, None), (2, "activate", *me.values()), (3, "rollback", *me.values()),
                               (4, "reload", *me.values()), (5, "signal", None, None), (5, "reload", *me.values())])
        self.assertEqual([g.get("by", {}).get("how") for g in self.ask(d, "GET", "/v1/policy")["generations"]],
                         ["signal", "reload", "rollback", "activate", None])

    def test_a_stream_goes_on_behind_the_last_event_id_of_the_header(self):
        d = self.start("-c", self.write("c.yaml", "policy: {watch: false}\n"), policy=self.policy)
        for _ in range(3):
            self.ask(d, "POST", "/v1/policy/reload")
        fields, ids = self.events(d, "policy_loaded")
        self.assertEqual([f["generation"] for f in fields], [1, 2, 3, 4])
        # the query is that of the first request, and says "from the oldest": the header is newer
        fields, _ = self.events(d, "policy_loaded", "-H", "Last-Event-ID: " + ids[1])
        self.assertEqual([f["generation"] for f in fields], [3, 4])
        text = self.curl(d, "GET", "/v1/events?follow=false&format=sse&type=policy_loaded", options=("-H", "last-event-id: " + ids[2]))[2]
        self.assertEqual([line[4:] for line in text.splitlines() if line.startswith("id: ")], [ids[3]])
        for wrong in ("x", ids[0] + "0", "f" * 500):
            self.assertEqual(self.curl(d, "GET", "/v1/events?follow=false", options=("-H", "Last-Event-ID: " + wrong))[0], 422)

    def test_what_nobody_signed_is_not_loaded(self):
        """Neither at the start, nor by the API, nor because a file has changed."""
        def openssl(*words):
            return subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=self.directory, timeout=300).stdout
        openssl("genpkey", "-algorithm", "ed25519", "-out", "key.pem")
        private, public = (openssl("pkey", "-in", "key.pem", *more, "-outform", "DER")[-32:] for more in ([], ["-pubout"]))
        key = {"key_id": hashlib.sha256(public).hexdigest(), "algorithm": "ed25519"}
        store = os.path.dirname(self.write("keys/a.json", json.dumps({**key, "public_key": base64.b64encode(public).decode(), "label": "a",
                                                                      "trusted_since": "2026-01-01T00:00:00Z"})))
        os.chmod(store, 0o755)
        secret = self.write("secret.json", json.dumps({**key, "private_key": base64.b64encode(private + public).decode()}))
        self.assertIn("missing_signature", self.call("daemon", "--socket", os.path.join(self.directory, "no.sock"), "--policy", self.policy,
                                                     "--trust-store", store, status=1)[1])
        self.call("pack", "sign", "--key", secret, "--format", "agentsh", self.policy)
        d = self.start("-c", self.write("c.yaml", "policy: {watch: false}\n"), "--trust-store", store, policy=self.policy)
        two = self.write("two.lua", policy_of("deny 'two'"))
        status, _, text = self.curl(d, "POST", "/v1/policy/load", json.dumps({"paths": [two]}))
        self.assertIn("missing_signature", text)
        self.assertGreaterEqual(status, 400)
        self.call("pack", "sign", "--key", secret, "--format", "agentsh", two)
        self.ask(d, "POST", "/v1/policy/load", {"paths": [two]}, status=201)
        self.ask(d, "POST", "/v1/policy/activate")
        self.assertEqual(self.reason(d), "two")
        self.write("two.lua", policy_of("allow()"))
        self.assertEqual(self.post(d, "/v1/policy/reload")["status"], 422)
        self.assertEqual(self.reason(d), "two")

    def reason(self, d):
        return self.ask(d, "POST", "/v1/decide/dns", {"name": "a.example"})["reason"]

    def test_a_candidate_is_loaded_tested_activated_and_taken_back(self):
        d = self.start("-c", self.write("c.yaml", "policy: {watch: false}\n"), policy=self.policy)
        state = self.ask(d, "GET", "/v1/policy")
        self.assertEqual((state["generation"], len(state["generations"]), "candidate" in state), (1, 1, False))
        (only,) = state["generations"]
        with open(self.policy, "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        self.assertEqual((only["active"], only["paths"], only["policies"][0]["sha256"], only["policies"][0]["form"]),
                         (True, [self.policy], digest, "lua"))

        second = self.write("two/policy.lua", policy_of("deny 'two'"))
        test = self.write("two/policy_test.lua", "test('two', function(t) t:dns { name = 'a.example' } :is_denied() end)\n")
        candidate = self.ask(d, "POST", "/v1/policy/load", {"paths": [os.path.dirname(second)]}, status=201)
        self.assertEqual((candidate["candidate"], candidate["tested"], candidate["policies"][0]["test_files"]), (1, False, 1))
        self.assertEqual(self.reason(d), "one")  # beside: nothing is in force yet
        os.unlink(test)  # what was read is what is tested, and what comes into force
        self.write("two/policy.lua", policy_of("deny 'three'"))
        report = self.ask(d, "POST", "/v1/policy/test")
        self.assertEqual((report["passed"], report["failed"], report["failures"]), (1, 0, []))
        self.assertTrue(self.ask(d, "GET", "/v1/policy")["candidate"]["tested"])
        self.ask(d, "POST", "/v1/policy/activate", {"candidate": 7}, status=409)
        self.assertEqual(self.ask(d, "POST", "/v1/policy/activate", {"candidate": 1})["number"], 2)
        self.assertEqual(self.reason(d), "two")
        self.assertEqual(self.ask(d, "POST", "/v1/policy/activate", status=409)["code"], "no_candidate")

        self.assertEqual(self.ask(d, "POST", "/v1/policy/reload")["number"], 3)  # the paths are the new ones
        self.assertEqual(self.reason(d), "three")
        back = self.ask(d, "POST", "/v1/policy/rollback")
        self.assertEqual((back["number"], back["from"]), (4, 2))
        self.assertEqual(self.reason(d), "two")
        back = self.ask(d, "POST", "/v1/policy/rollback")
        self.assertEqual((back["number"], back["from"], back["paths"]), (5, 1, [self.policy]))
        self.assertEqual(self.reason(d), "one")
        self.assertEqual(self.ask(d, "POST", "/v1/policy/rollback", status=409)["code"], "no_generation")
        self.assertEqual(self.ask(d, "POST", "/v1/policy/rollback", {"to": 3})["from"], 3)
        self.assertEqual(self.reason(d), "three")
        self.assertEqual([g["number"] for g in self.ask(d, "GET", "/v1/policy")["generations"]], [6, 5, 4, 3, 2, 1])

    def test_what_fails_changes_nothing_and_says_where(self):
        d = self.start(policy=self.policy)
        bad = self.write("bad.lua", "return {\n  dns = function(q) return nope( end\n}\n")
        problem = self.ask(d, "POST", "/v1/policy/load", {"paths": [bad]}, status=422)
        self.assertEqual((problem["code"], problem["file"], problem["line"]), ("syntax", bad, 2))
        failing = self.write("f/policy.lua", policy_of("allow()"))
        test = self.write("f/policy_test.lua", "test('wrong', function(t)\n  t:dns { name = 'a.example' } :is_denied()\nend)\n")
        self.ask(d, "POST", "/v1/policy/load", {"paths": [os.path.dirname(failing)]}, status=201)
        report = self.ask(d, "POST", "/v1/policy/test")
        self.assertEqual((report["failed"], report["failures"][0]["name"], report["failures"][0]["line"]), (1, "wrong", 2))
        problem = self.ask(d, "POST", "/v1/policy/activate", status=422)
        self.assertEqual((problem["code"], problem["file"], problem["line"]), ("test", test, 2))
        for body, status, pointer in (({"paths": ["relative"]}, 422, "/paths/0"), ({"paths": []}, 422, "/paths"),
                                      ({"path": []}, 422, "/path"), ({"paths": ["/a"] * 65}, 422, "/paths"),
                                      ({"paths": [7]}, 422, "/paths/0"), ([], 422, "")):
            self.assertEqual(self.ask(d, "POST", "/v1/policy/load", body, status=status)["pointer"], pointer)
        self.assertEqual(self.ask(d, "POST", "/v1/policy/load", {"paths": ["/no/such"]}, status=422)["code"], "not_found")
        self.assertEqual(self.ask(d, "GET", "/v1/policy")["generation"], 1)
        self.assertEqual(self.reason(d), "one")
        d.send_signal(signal.SIGHUP)
        while self.ask(d, "GET", "/v1/policy")["generation"] < 2:
            pass

    def test_the_watch_does_not_undo_a_rollback(self):
        d = self.start(policy=self.policy)
        self.write("p.lua", policy_of("deny 'two'"))
        while self.reason(d) != "two":
            pass
        # The watch has them in force a moment before it is noted what was.
        while len(self.ask(d, "GET", "/v1/policy")["generations"]) < 2:
            pass
        self.assertEqual(self.ask(d, "POST", "/v1/policy/rollback")["from"], 1)
        os.utime(self.policy)  # noticed, and no news: this is what was rolled back
        self.write("other.lua", "return {}\n")
        for _ in range(20):
            self.assertEqual(self.reason(d), "one")
        self.write("p.lua", policy_of("deny 'three'"))
        while self.reason(d) != "three":
            pass

    def test_ctl_speaks_of_generations(self):
        d = self.start(policy=self.policy)
        second = self.write("q.lua", policy_of("deny 'two'"))
        ctl = lambda *words, status=0: self.call_json("ctl", "-s", d.socket, "policy", *words, status=status)
        self.assertEqual(ctl()["generation"], 1)
        self.assertEqual(ctl("load", "q.lua")["paths"], [second])
        self.assertEqual(ctl("test")["failed"], 0)
        self.assertEqual(ctl("activate")["number"], 2)
        self.assertEqual(ctl("rollback")["from"], 1)
        self.assertEqual(ctl("rollback", "2")["from"], 2)
        self.assertEqual(ctl("reload")["number"], 5)
        self.assertIn("there is no candidate",
                      self.call("ctl", "-s", d.socket, "policy", "activate", status=1)[1])
        self.call("ctl", "-s", d.socket, "policy", "rollback", "x", status=2)
        self.call("ctl", "-s", d.socket, "policy", "undo", status=2)

    def test_requests_are_judged_while_policies_load_and_each_by_one_generation(self):
        names = ", ".join(f"'n{i}.example'" for i in range(3000))
        texts = [f"local names = domains {{ {names} }}\n" + policy_of(f"deny '{word}'") for word in ("a", "b")]
        paths = [self.write(f"{i}.lua", text) for i, text in enumerate(texts)]
        d = self.start("-c", self.write("c.yaml", "policy: {watch: false}\n"), policy=paths[0])
        failed, stop = [], threading.Event()

        def ask():
            try:
                while not stop.is_set():
                    answers = self.ask(d, "POST", "/v1/decide/dns", [{"name": f"x{i}.example"} for i in range(64)])
                    seen = {(a["generation"], a["reason"]) for a in answers}
                    # the reason follows from the generation: odd ones are a's
                    if any(reason != ("a" if g % 2 else "b") for g, reason in seen):
                        failed.append(seen)
            except Exception as error:  # pylint: disable=broad-except
                failed.append(error)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for t in threads:
            t.start()
        for i in range(6):
            self.ask(d, "POST", "/v1/policy/load", {"paths": [paths[1 - i % 2]]}, status=201)
            self.ask(d, "POST", "/v1/policy/activate")
        stop.set()
        for t in threads:
            t.join()
        self.assertEqual(failed, [])


if __name__ == "__main__":
    support.main()

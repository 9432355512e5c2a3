# SPDX-License-Identifier: Apache-2.0
"""moonfence.yaml read again while the daemon runs: what is taken over, what is named because it wants a restart, and that nothing is ignored."""
import json
import os
import signal
import unittest

import support
from daemon_support import DaemonCase
from support import LAUNCHER
from trace_test import wait_for


@unittest.skipIf(LAUNCHER, "by curl over a Unix socket")
class ConfigReload(DaemonCase):
    def setUp(self):
        super().setUp()
        self.one = self.policy("one")
        self.two = self.policy("two")
        self.path = os.path.join(self.directory, "moonfence.yaml")

    def policy(self, name):
        return self.write(name + ".lua", f'return {{ name = "{name}", dns = function(q) return deny "{name}" end }}\n')

    def configure(self, **sections):
        """JSON is YAML."""
        self.write("moonfence.yaml", json.dumps(sections))

    def begin(self, *options, **sections):
        self.configure(**sections)
        return self.start("--config", self.path, *options)

    def judged_by(self, daemon):
        return self.ask(daemon, "POST", "/v1/decide/dns", {"name": "a.example"})["reason"]

    def reload(self, daemon, status=200):
        return self.ask(daemon, "POST", "/v1/config/reload", status=status)

    def names(self, answer):
        return answer["settings"], answer["restart_needed"], answer["overridden"]

    def test_policies_are_those_of_the_new_file_or_nothing_counts(self):
        daemon = self.begin(policy={"paths": [self.one]})
        self.assertEqual(self.names(self.reload(daemon)), ([], [], []))
        self.configure(policy={"paths": [self.two]})
        self.assertEqual(self.names(self.reload(daemon)), (["policy.paths"], [], []))
        self.assertEqual(self.judged_by(daemon), "two")
        generation = self.ask(daemon, "GET", "/v1/policy")["generations"][0]
        self.assertEqual((generation["paths"], generation["by"]["how"]), ([self.two], "reload"))
        broken = self.write("broken.lua", "return {\n")
        ran = os.path.join(self.directory, "ran")
        self.configure(policy={"paths": [broken]}, sessions=[{"id": "new", "command": ["touch", ran]}], restart={"times": 3})
        problem = self.reload(daemon, 422)
        self.assertEqual((problem["file"], problem["line"]), (broken, 2))
        self.assertEqual(self.judged_by(daemon), "two")
        self.assertEqual(self.ask(daemon, "GET", "/v1/services")["services"], [])
        self.configure(policy={"paths": [self.one]}, restart={"times": 3})
        self.assertEqual(self.names(self.reload(daemon)), (["policy.paths", "restart.times"], [], []))
        self.assertEqual(self.judged_by(daemon), "one")
        self.assertEqual(self.ask(daemon, "POST", "/v1/policy/rollback")["paths"], [self.two])

    def test_by_a_signal_it_is_the_same(self):
        daemon = self.begin(policy={"paths": [self.one]})
        self.configure(policy={"paths": [self.two]}, api={"idle_s": 7})
        daemon.send_signal(signal.SIGHUP)
        wait_for(lambda: self.judged_by(daemon) == "two", "the signal changed nothing")
        wait_for(lambda: "another api.idle_s: it counts when the daemon is started again" in self.daemon_errors(), "nobody was told")

    def test_what_wants_a_restart_is_named_each_time(self):
        daemon = self.begin(policy={"paths": [self.one]})
        self.configure(policy={"paths": [self.one], "watch": False, "variables": {"A": "b"}, "workspace": self.directory},
                       api={"socket": "/run/x", "allow_users": ["root"], "allow_groups": ["root"], "connections_max": 5, "body_max_kib": 5, "idle_s": 5},
                       events={"file": "/x", "rotate": "size=1M"})
        named = ["api.allow_users", "api.allow_groups", "api.connections_max", "api.body_max_kib", "api.idle_s", "policy.variables",
                 "policy.workspace", "policy.watch", "events.file", "events.rotate"]
        for _ in range(2):  # it has not been started again
            self.assertEqual(self.names(self.reload(daemon)), ([], named, ["api.socket"]))  # --socket says that
        self.configure(policy={"paths": [self.one]})
        self.assertEqual(self.names(self.reload(daemon)), ([], [], []))

    def test_every_key_is_one_of_the_two(self):
        """The table of the manual: a key that is new must be in one of these tests."""
        with open(os.path.join(support.ROOT, "docs/daemon.md"), encoding="utf-8") as file:
            rows = [line.split("|")[1].strip().strip("`") for line in file if line.startswith(("| `api.", "| `policy.", "| `events.", "| `restart."))]
        with open(__file__, encoding="utf-8") as file:
            text = file.read()
        for key in rows:
            section, name = key.split(".")
            self.assertTrue(f'"{key}"' in text or section == "restart" or f'"{name}"' in text, key)

    def test_the_command_line_goes_before(self):
        daemon = self.begin("--policy", self.one, policy={"paths": [self.two]})
        self.assertEqual(self.judged_by(daemon), "one")
        self.configure(policy={"paths": [self.one, self.two]})
        self.assertEqual(self.names(self.reload(daemon)), ([], [], ["policy.paths"]))
        self.assertEqual(self.judged_by(daemon), "one")

    def test_signatures_are_wanted_from_then_on(self):
        store = os.path.join(self.directory, "keys")
        os.mkdir(store, 0o755)
        daemon = self.begin(policy={"paths": [self.one], "watch": False})
        self.configure(policy={"paths": [self.two], "watch": False, "trust_store": store, "signing": "enforce"})
        problem = self.reload(daemon, 422)
        self.assertIn(self.two, problem["detail"] + problem.get("file", ""))
        self.assertEqual(self.judged_by(daemon), "one")
        self.ask(daemon, "POST", "/v1/policy/reload")  # nothing of that file counts: unsigned ones load as before
        self.configure(policy={"paths": [self.two], "watch": False, "trust_store": store, "signing": "warn"})
        self.assertEqual(self.names(self.reload(daemon)), (["policy.paths", "policy.signing", "policy.trust_store"], [], []))
        self.assertEqual(self.judged_by(daemon), "two")
        self.configure(policy={"paths": [self.two], "watch": False, "trust_store": store})  # enforce is what it means then
        self.reload(daemon, 422)
        self.configure(policy={"paths": [self.two], "watch": False, "signing": "enforce"})
        self.assertIn("policy.trust_store", self.reload(daemon, 422)["detail"])
        self.configure(policy={"paths": [self.two], "watch": False, "signing": "sometimes"})
        self.assertIn("enforce", self.reload(daemon, 422)["detail"])
        self.configure(policy={"paths": [self.two], "watch": False})
        self.assertEqual(self.names(self.reload(daemon)), (["policy.signing", "policy.trust_store"], [], []))

    def test_a_daemon_that_begins_wants_them_too(self):
        store = os.path.join(self.directory, "keys")
        os.mkdir(store, 0o755)
        self.configure(policy={"paths": [self.one], "trust_store": store})
        self.assertIn("one.lua", self.call("daemon", "--config", self.path, "--socket", os.path.join(self.directory, "s"), status=1)[1])
        self.configure(policy={"paths": [self.one], "signing": "enforce"})
        self.assertIn("policy.trust_store is missing", self.call("daemon", "--config", self.path, "--check", status=2)[1])


if __name__ == "__main__":
    support.main()

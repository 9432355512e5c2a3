# SPDX-License-Identifier: Apache-2.0
"""One activation, and one rollback, for all sessions of a host that judge by the daemon's policies."""
import json
import os
import shutil
import subprocess
import unittest

import support
from daemon_support import DaemonCase
from support import LAUNCHER, ROOT, main
from trace_test import wait_for


def policy_of(number, name="led"):
    return (f"return {{ name = '{name}', dns_redirects = {{ {{ name = 'r', match = '*.led.example', resolve_to = '192.0.2.{number}' }} }} }}\n")


@unittest.skipIf(LAUNCHER, "the daemon has no sessions on Windows")
class Everywhere(DaemonCase):
    """A daemon and sessions that ask for names: by the same policies, by a copy of them, by others."""

    def setUp(self):
        super().setUp()
        self.policy = self.write("one.lua", policy_of(1))
        self.copy = os.path.join(self.directory, "copy.lua")
        shutil.copy(self.policy, self.copy)
        self.other = self.write("other.lua", policy_of(9, "other"))
        self.asked = 0
        self.sessions = {name: self.session(name, policy) for name, policy in
                         (("same", self.policy), ("copy", self.copy), ("other", self.other))}
        self.daemon = self.start(policy=self.policy)
        wait_for(lambda: sum(s["state"] == "running" for s in self.ask(self.daemon, "GET", "/v1/sessions")["sessions"]) == 3,
                 "the daemon does not see the sessions")

    def session(self, name, policy):
        process = subprocess.Popen([support.PROGRAM, "run", "--session", name, "--policy", policy, "--", "sh", "-c",
                                    "echo there; while read name; do getent ahostsv4 $name | head -n 1; done"],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(os.environ, MOONFENCE_DATA=os.path.join(ROOT, "lua")))
        self.addCleanup(self.finish, process)
        self.assertEqual(process.stdout.readline(), b"there\n")
        return process

    @staticmethod
    def finish(process):
        process.stdin.close()
        process.stdout.close()
        process.kill()
        process.wait()

    def led_to(self, name):
        """Where a session is led now: a name of its own each time, since answers are kept."""
        self.asked += 1
        process = self.sessions[name]
        process.stdin.write(f"n{self.asked}.led.example\n".encode())
        process.stdin.flush()
        return int(process.stdout.readline().split()[0].rsplit(b".", 1)[1])

    def all_led_to(self):
        return {name: self.led_to(name) for name in self.sessions}

    def load(self, path):
        return self.ask(self.daemon, "POST", "/v1/policy/load", {"paths": [path]}, status=201)

    def results(self, answer):
        return {one["id"]: one["result"] for one in answer["sessions"]}

    def test_it_comes_into_force_and_is_taken_back_where_policies_are_the_same(self):
        self.assertEqual(self.all_led_to(), {"same": 1, "copy": 1, "other": 9})
        two = self.write("two.lua", policy_of(2))
        self.load(two)
        answer = self.ask(self.daemon, "POST", "/v1/policy/activate", {"candidate": 1, "sessions": True})
        self.assertEqual(answer["number"], 2)
        self.assertEqual(self.results(answer), {"same": "activated", "copy": "activated", "other": "other_policies"})
        self.assertEqual(self.all_led_to(), {"same": 2, "copy": 2, "other": 9})
        event = json.loads(self.curl(self.daemon, "GET", "/v1/events?after=&type=policy_loaded&follow=false")[2].splitlines()[-1])
        self.assertEqual(event["fields"]["how"], "activate")
        done = subprocess.run([support.PROGRAM, "ctl", "-s", self.daemon.socket, "policy", "rollback", "--sessions"],
                              capture_output=True, check=True, timeout=300)
        answer = json.loads(done.stdout)
        self.assertEqual((answer["number"], answer["from"]), (3, 1))
        self.assertEqual(self.results(answer), {"same": "rolled_back", "copy": "rolled_back", "other": "other_policies"})
        self.assertEqual(self.all_led_to(), {"same": 1, "copy": 1, "other": 9})
        self.load(two)
        self.assertNotIn("sessions", self.ask(self.daemon, "POST", "/v1/policy/activate"))  # nobody said so
        self.assertEqual(self.all_led_to(), {"same": 1, "copy": 1, "other": 9})
        # now their policies are others than the daemon's
        self.load(self.write("three.lua", policy_of(3)))
        done = subprocess.run([support.PROGRAM, "ctl", "-s", self.daemon.socket, "-S", "policy", "activate"], capture_output=True,
                              check=True, timeout=300)
        self.assertEqual(set(self.results(json.loads(done.stdout)).values()), {"other_policies"})

    def test_what_one_session_cannot_load_comes_into_force_nowhere(self):
        path = self.write("two.lua", policy_of(2))
        self.load(path)
        self.write("two.lua", policy_of(3))  # the sessions would read other bytes than were loaded here
        problem = self.ask(self.daemon, "POST", "/v1/policy/activate", {"sessions": True}, status=409)
        self.assertEqual(problem["code"], "session_failed")
        self.assertIn("it reads other bytes", problem["detail"])
        self.assertEqual(self.ask(self.daemon, "GET", "/v1/policy")["generation"], 1)
        self.assertEqual(self.all_led_to(), {"same": 1, "copy": 1, "other": 9})
        self.write("two.lua", policy_of(2))  # what was loaded is what is there: the candidate is still there, too
        answer = self.ask(self.daemon, "POST", "/v1/policy/activate", {"sessions": True})
        self.assertEqual(self.results(answer)["same"], "activated")
        self.assertEqual(self.all_led_to(), {"same": 2, "copy": 2, "other": 9})

    def test_a_session_that_does_not_keep_what_is_gone_back_to_stays(self):
        for number in range(2, 7):
            self.load(self.write(f"p{number}.lua", policy_of(number)))
            self.ask(self.daemon, "POST", "/v1/policy/activate", {"sessions": True})
        answer = self.ask(self.daemon, "POST", "/v1/policy/rollback", {"to": 1, "sessions": True})
        self.assertEqual(self.results(answer), {"same": "not_kept", "copy": "not_kept", "other": "other_policies"})
        self.assertEqual(self.all_led_to(), {"same": 6, "copy": 6, "other": 9})


if __name__ == "__main__":
    main()

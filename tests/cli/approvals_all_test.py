# SPDX-License-Identifier: Apache-2.0
"""What waits for an answer in any session of a host, listed and answered at its daemon and by the tool without a session."""
import json
import os
import signal
import unittest

from sessions_support import SessionsCase
from support import LAUNCHER, main
from trace_test import wait_for

POLICY = """return { name = "asks", dns = function(q)
  if q.name:find("%.ask%.example$") then return ask{ message = "may it be looked up?" } end
  return resolve { "192.0.2.7" }
end }
"""
ASK = "getent ahostsv4 {}.ask.example >out 2>&1; echo $? >status; exec sleep 1000"


@unittest.skipIf(LAUNCHER, "the daemon has no sessions on Windows")
class ApprovalsOfAll(SessionsCase):
    def setUp(self):
        super().setUp()
        self.policy = self.write("asks.lua", POLICY)

    def session_that_asks(self, daemon, name):
        directory = os.path.join(self.directory, name)
        os.mkdir(directory)
        return self.create(daemon, kind="run", id=name, command=["sh", "-c", ASK.format(name)], directory=directory,
                           options=["--approvals", "control"])

    def result(self, name):
        path = os.path.join(self.directory, name, "status")
        def read():
            if not os.path.exists(path):
                return ""
            with open(path, encoding="utf-8") as file:
                return file.read()
        return int(wait_for(read, f"{name} waits still"))

    def waiting(self, daemon, *names):
        def look():
            found = self.ask(daemon, "GET", "/v1/approvals")
            return {q["session"] for q in found["approvals"]} == set(names) and found
        return wait_for(look, f"not these wait: {names}")

    def end(self, daemon_or_process, *names):
        """A resolver that was refused asks again, or another server: of these sessions nothing waits any more."""
        if not names:
            return super().end(daemon_or_process)
        for name in names:
            self.ask(daemon_or_process, "DELETE", f"/v1/sessions/{name}?force=true&grace_s=0", status=202)
            self.wait_for_state(daemon_or_process, name, "ended")
        return 0

    def tool(self, *words, status=0):
        return self.call("approvals", *words, status=status)

    def test_all_of_a_host(self):
        daemon = self.start(policy=self.policy)
        self.assertEqual(self.ask(daemon, "GET", "/v1/approvals"), {"approvals": [], "silent": []})
        sessions = {name: self.session_that_asks(daemon, name) for name in ("a1", "a2", "a3")}
        self.create(daemon, kind="run", id="nobody-asked", command=["sleep", "1000"])  # has no channel
        found = self.waiting(daemon, "a1", "a2", "a3")
        self.assertEqual(found["silent"], [])
        by_name = {q["session"]: q for q in found["approvals"]}
        for name, session in sessions.items():
            question = by_name[name]
            self.assertEqual((question["session_pid"], question["message"], question["fields"]["name"]),
                             (session["pid"], "may it be looked up?", f"{name}.ask.example"))
        numbers = {name: q["id"] for name, q in by_name.items()}
        self.assertEqual(set(numbers.values()), {1})  # each session counts for itself

        # the tool knows that it does not know which one is meant
        _, error = self.tool("allow", "1", status=1)
        for name in sessions:
            self.assertIn(f"{name} ({sessions[name]['pid']})", error)
        self.assertEqual(len(self.waiting(daemon, "a1", "a2", "a3")["approvals"]), 3)

        answer = self.ask(daemon, "POST", "/v1/approvals/a1/1", {"answer": "allow"})
        self.assertEqual(answer, {"id": 1, "answer": "allow", "scope": "once"})
        self.result("a1")
        self.assertEqual(json.loads(self.call("ctl", "--socket", daemon.socket, "approvals", "deny", str(sessions["a2"]["pid"]), "1")[0])["answer"], "deny")
        self.assertEqual(self.result("a2"), 2)
        self.end(daemon, "a1", "a2")
        told = {e["session_id"]: e["fields"] for e in self.events(daemon, "after=&type=approval_answered", 2)}
        self.assertEqual({name: (f["answer"], f["how"], f["by_uid"]) for name, f in told.items()},
                         {"a1": ("allow", "daemon", os.getuid()), "a2": ("deny", "daemon", os.getuid())})

        listed = json.loads(self.call("ctl", "--socket", daemon.socket, "approvals")[0])
        self.assertEqual([q["session"] for q in listed["approvals"]], ["a3"])
        self.assertIn("a3.ask.example", self.tool("show", "1")[0])
        self.tool("allow", "1")  # now one alone has such a number
        self.result("a3")
        told, = [e for e in self.events(daemon, "after=&type=approval_answered", 3) if e["session_id"] == "a3"]
        self.assertEqual((told["fields"]["answer"], told["fields"]["how"]), ("allow", "control"))
        self.end(daemon, "a3")
        self.waiting(daemon)
        self.create(daemon, kind="run", id="other", command=["sleep", "1000"])
        self.assertIn("no question 1 waits", self.tool("deny", "1", status=1)[1])
        for path in ("nobody/1", "nobody-asked/1", "nobody-asked/x"):
            self.ask(daemon, "POST", "/v1/approvals/" + path, {"answer": "allow"}, status=404)
        self.ask(daemon, "POST", "/v1/approvals/a1/1", {"answer": "allow"}, status=409)  # it has ended
        self.ask(daemon, "POST", "/v1/approvals/nobody-asked/1", {"answer": "perhaps"}, status=422)
        self.call("ctl", "--socket", daemon.socket, "approvals", "allow", "a1", status=2)

    def test_who_does_not_say_is_named(self):
        daemon = self.start(policy=self.policy)
        self.session_that_asks(daemon, "a1")
        hangs = self.session_that_asks(daemon, "a2")
        self.waiting(daemon, "a1", "a2")
        os.kill(hangs["pid"], signal.SIGSTOP)
        found = self.ask(daemon, "GET", "/v1/approvals")
        self.assertEqual([q["session"] for q in found["approvals"]], ["a1"])
        self.assertEqual([(s["session"], s["pid"]) for s in found["silent"]], [("a2", hangs["pid"])])
        os.kill(hangs["pid"], signal.SIGCONT)
        self.assertEqual(self.waiting(daemon, "a1", "a2")["silent"], [])


if __name__ == "__main__":
    main()

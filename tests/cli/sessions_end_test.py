# SPDX-License-Identifier: Apache-2.0
"""The processes of a session, and its end where the command does not want to end."""
import json
import os
import signal
import sys
import unittest

from sessions_support import SessionsCase
from support import LAUNCHER, main
from trace_test import WAIT_S, wait_for

# Ignores SIGTERM; its child has left for a session of its own, was orphaned, and ignores it as well.
STUBBORN = "trap '' TERM HUP INT; (setsid sh -c 'trap \"\" TERM; echo $$ >orphan; exec sleep 1000' &); echo $$ >command; while :; do sleep 1000; done"


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@unittest.skipIf(LAUNCHER or sys.platform != "linux", "processes are shown where /proc is")
class SessionsEnd(SessionsCase):
    def stubborn(self, daemon, name):
        """A session that no SIGTERM ends: (session, pid of its command, pid of an orphan)."""
        where = os.path.join(self.directory, name + ".dir")
        os.mkdir(where)
        session = self.create(daemon, kind="run", id=name, command=["sh", "-c", STUBBORN], directory=where)
        def pid(what):
            def read():
                path = os.path.join(where, what)
                if not os.path.exists(path):
                    return 0
                with open(path, encoding="utf-8") as file:
                    text = file.read()
                return int(text) if text.endswith("\n") else 0
            return wait_for(read, f"no {what} of {name}")
        return session, pid("command"), pid("orphan")

    def test_its_processes_are_listed(self):
        daemon = self.start(policy=self.policy)
        session, command, orphan = self.stubborn(daemon, "a1")
        self.assertNotIn("processes", session)
        self.assertNotIn("processes", self.ask(daemon, "GET", "/v1/sessions")["sessions"][0])
        def look():
            found = self.session(daemon, "a1")
            self.assertIs(found["processes_complete"], True)
            names = {p["pid"]: p["name"] for p in found["processes"]}
            return names.get(orphan) == "sleep" and found["processes"]
        found = {p["pid"]: p for p in wait_for(look, "the orphan is not in the list")}
        self.assertEqual(found[command]["name"], "sh")
        self.assertEqual(found[orphan]["parent"], session["pid"])  # adopted
        self.assertTrue(set(found) >= {p["parent"] for p in found.values()} - {session["pid"]})
        self.assertNotIn(session["pid"], found)
        self.assertNotIn(os.getpid(), found)
        os.kill(command, signal.SIGKILL)
        ended = self.wait_for_state(daemon, "a1", "ended")
        self.assertNotIn("processes", ended)

    def test_a_command_that_ignores_the_request_is_killed_when_its_grace_is_over(self):
        daemon = self.start(policy=self.policy)
        session, command, orphan = self.stubborn(daemon, "a1")
        other, other_command, _ = self.stubborn(daemon, "a2")
        self.ask(daemon, "DELETE", "/v1/sessions/a1", status=202)  # asked: in vain
        self.assertEqual(self.session(daemon, "a1")["state"], "running")
        asked = self.ask(daemon, "DELETE", "/v1/sessions/a1?force=true&grace_s=300", status=202)
        self.assertTrue(0 < asked["kill_in_ms"] <= 300000, asked)
        self.assertTrue(alive(command) and alive(orphan))
        self.ask(daemon, "DELETE", "/v1/sessions/a1?force=true&grace_s=0", status=202)
        ended = self.wait_for_state(daemon, "a1", "ended")
        self.assertEqual(ended["exit_status"], 128 + signal.SIGKILL)
        self.assertNotIn("kill_in_ms", ended)
        for pid in (command, orphan, session["pid"]):
            self.assertFalse(alive(pid), pid)
        # moonfence was there to the last: it said how its command ended
        told = self.events(daemon, "after=&type=session_end&session=a1", 1)[0]
        self.assertEqual(told["fields"]["signal"], signal.SIGKILL)
        self.assertTrue(alive(other_command) and alive(other["pid"]))
        self.assertEqual(self.ask(daemon, "DELETE", "/v1/sessions/a1?force=true", status=200)["state"], "ended")
        for query in ("?grace_s=1", "?force=true&grace_s=301", "?force=true&grace_s=", "?force=true&grace_s=-1", "?force=false&grace_s=1"):
            self.ask(daemon, "DELETE", "/v1/sessions/a2" + query, status=422)
        self.assertTrue(alive(other_command))

    def test_by_ctl_and_of_a_session_that_was_found(self):
        """The daemon that started it was killed: to the next one it is no child."""
        daemon = self.start(policy=self.policy)
        _, command, orphan = self.stubborn(daemon, "a1")
        daemon.kill()
        daemon.wait(timeout=WAIT_S)
        daemon = self.start(policy=self.policy)
        self.assertIs(self.wait_for_state(daemon, "a1", "running")["started_here"], False)
        self.call("ctl", "--socket", daemon.socket, "sessions", "end", "a1", "--grace", "x", status=1)
        answer = json.loads(self.call("ctl", "--socket", daemon.socket, "sessions", "end", "a1", "--force", "--grace", "0")[0])
        self.assertEqual(answer["id"], "a1")
        self.assertEqual(self.wait_for_state(daemon, "a1", "ended")["exit_status"], 128 + signal.SIGKILL)
        self.assertFalse(alive(command) or alive(orphan))

    def test_a_moonfence_that_hangs_is_killed_last(self):
        daemon = self.start(policy=self.policy)
        session, command, orphan = self.stubborn(daemon, "a1")
        os.kill(session["pid"], signal.SIGSTOP)
        self.ask(daemon, "DELETE", "/v1/sessions/a1?force=true&grace_s=0", status=202)
        wait_for(lambda: not alive(command) and not alive(orphan), "the command lives")
        self.assertTrue(alive(session["pid"]))
        self.assertEqual(self.wait_for_state(daemon, "a1", "ended")["exit_status"], 128 + signal.SIGKILL)

    def test_what_ends_by_itself_is_not_killed(self):
        daemon = self.start(policy=self.policy)
        self.create(daemon, kind="run", id="a1", command=["sh", "-c", "trap 'exit 5' TERM; echo >there; while :; do sleep 0.01; done"],
                    directory=self.directory)
        wait_for(lambda: os.path.exists(os.path.join(self.directory, "there")), "it did not begin")
        self.ask(daemon, "DELETE", "/v1/sessions/a1?force=true&grace_s=300", status=202)
        self.assertEqual(self.wait_for_state(daemon, "a1", "ended")["exit_status"], 5)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""File operations that a policy wants to be approved: held in a real mount, answered from outside, others go on meanwhile."""
import json
import os
import shutil
import subprocess
import tempfile
import time
import unittest

import mounted
from mounted import MOONFENCE, read_event_file

LONG = mounted.WAIT_S

POLICY = """return { name = "asks",
  file = function(f)
    if f:glob("**/wait*") and f.op ~= "stat" then return ask{ message = "a file that waits", timeout = "%s" } end
    return allow()
  end }
"""


class Asks:
    longMessage = True

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="mf-fs-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.ws, self.policy, self.events_path = (os.path.join(self.dir, n) for n in ("ws", "p.lua", "events"))
        os.mkdir(self.ws)
        self.name = f"fsask-{os.getpid()}-{self._testMethodName}"
        for name in ("f", "wait", "wait2"):
            with open(os.path.join(self.ws, name), "w") as file:
                file.write(name + "\n")
        self.write_policy("5m")

    def write_policy(self, timeout):
        with open(self.policy, "w") as file:
            file.write(POLICY % timeout)

    def environment(self):
        env = dict(os.environ, HOME=self.dir)
        env.setdefault("MOONFENCE_DATA", os.path.realpath(os.path.join(mounted.HERE, "../../lua")))
        return env

    def fence(self, command, options=("--approvals", "control")):
        p = subprocess.Popen([MOONFENCE, "run", "-s", self.name, "--policy", self.policy, "--workspace", self.ws, "--no-trash", "--events",
                              self.events_path, *options, "--", "sh", "-c", command], cwd=self.ws, env=self.environment(), text=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(lambda: (p.poll() is None and p.kill(), p.wait(), p.stdout.close(), p.stderr.close()))
        return p

    def control(self, *args):
        return subprocess.run([MOONFENCE, "approvals", args[0], "-s", self.name, *args[1:]], env=self.environment(), text=True, capture_output=True,
                              timeout=LONG, check=False)

    def wait_for(self, cnt):
        deadline = time.monotonic() + LONG
        while True:
            r = self.control("list", "--json")
            if r.returncode == 0 and len(found := json.loads(r.stdout)) >= cnt:
                return found
            self.assertLess(time.monotonic(), deadline, f"{r.stdout}\n{r.stderr}")
            time.sleep(0.05)

    def events(self, type_):
        return [e for e in read_event_file(self.events_path) if e["type"] == type_]

    def finish(self, p):
        out, err = p.communicate(timeout=LONG)
        return out, err

    def test_a_read_waits_and_others_go_on(self):
        p = self.fence("cat wait & cat f; wait; echo end")
        asked = self.wait_for(1)[0]
        self.assertEqual((asked["kind"], asked["fields"]["path"], asked["fields"]["op"]), ("file", f"{self.ws}/wait", "open"))
        self.assertTrue(asked["fields"]["process.exe"].endswith("/cat"), asked)
        self.assertEqual(self.control("allow", "1").returncode, 0)
        out, err = self.finish(p)
        self.assertEqual(out, "f\nwait\nend\n", err)
        self.assertEqual(len(self.events("approval_answered")), 1)

    def test_every_kind_of_operation(self):
        """One question for creating and writing; another one for each further kind."""
        p = self.fence("echo new > wait3 && mv wait3 wait4 && chmod 600 wait4 && rm wait4 && mkdir waitd && rmdir waitd && echo end")
        deadline = time.monotonic() + LONG
        while p.poll() is None:
            self.assertLess(time.monotonic(), deadline)
            asked = self.control("list", "--json").stdout  # nothing once the session has ended
            for question in json.loads(asked or "[]"):
                self.control("allow", str(question["id"]))
        out, err = self.finish(p)
        self.assertEqual(out, "end\n", err)
        wants = [e["operation"] for e in self.events("approval_requested")]
        self.assertEqual(wants[0], "create", wants)
        for op in ("rename", "chmod", "delete", "mkdir", "rmdir"):
            self.assertIn(op, wants)

    def test_a_no_and_nobody(self):
        p = self.fence("cat wait; cat wait2; echo end")
        self.wait_for(1)
        self.assertEqual(self.control("deny", "1").returncode, 0)
        self.wait_for(1)
        self.assertEqual(self.control("deny", "--remember", "session", "2").returncode, 0)
        out, err = self.finish(p)
        self.assertEqual(out, "end\n")
        self.assertIn("wait: Permission denied", err)
        self.assertIn("wait2: Permission denied", err)
        self.assertTrue([e for e in self.events("file_open") if e["policy"]["reason"] == "approval_denied" and e["fields"].get("blocked")])
        self.write_policy("300ms")
        self.name += "-late"
        os.unlink(self.events_path)
        out, err = self.finish(self.fence("cat wait; echo end"))
        self.assertEqual(out, "end\n")
        self.assertIn("wait: Permission denied", err)
        self.assertEqual(len(self.events("approval_expired")), 1)

    def test_who_is_killed_takes_the_question_along(self):
        p = self.fence("cat wait & P=$!; wait $P; echo $?; echo end")
        pid = self.wait_for(1)[0]["pid"]
        os.kill(pid, 9)
        out, err = self.finish(p)
        self.assertEqual(out, "137\nend\n", err)
        self.assertEqual(len(self.events("approval_withdrawn")), 1)

    def test_many_wait_and_one_answer_is_for_all(self):
        """More than there are serving threads: nothing else is held up by them."""
        p = self.fence("for i in $(seq 40); do cat wait & done; cat f; wait; echo end")
        deadline = time.monotonic() + LONG
        while self.wait_for(1)[0]["requests"] < 40:
            self.assertLess(time.monotonic(), deadline)
        self.assertEqual(self.control("allow", "--remember", "session", "1").returncode, 0)
        out, err = self.finish(p)
        self.assertEqual(sorted(out.split()), ["end", "f"] + ["wait"] * 40, err)

    def test_without_a_channel(self):
        out, err = self.finish(self.fence("cat wait; cat f", options=()))
        self.assertEqual(out, "f\n", err)
        self.assertEqual(self.events("file_open")[0]["policy"]["reason"], "approve_without_channel")


class AsRootAsks(Asks, unittest.TestCase):
    pass


class AsUserAsks(Asks, unittest.TestCase):
    pass


del Asks

if __name__ == "__main__":
    mounted.main()

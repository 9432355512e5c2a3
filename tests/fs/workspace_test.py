# SPDX-License-Identifier: Apache-2.0
"""`moonfence run --workspace`: the command sees its directory through the policies, and no way around."""
import json
import os
import shutil
import subprocess
import tempfile
import unittest

import mounted
from mounted import KEEP, MOONFENCE


class Workspace(unittest.TestCase):
    longMessage = True

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="mf-fs-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.ws, self.policy, self.events_path, self.trash = (os.path.join(self.dir, n) for n in ("ws", "p.lua", "events", "trash"))
        os.mkdir(self.ws)
        with open(self.policy, "w") as file:
            file.write(KEEP)
        for name in ("f", "secret"):
            with open(os.path.join(self.ws, name), "w") as file:
                file.write(name)

    def fence(self, command, cwd=None, pass_fds=()):
        env = dict(os.environ, HOME=self.dir)
        env.setdefault("MOONFENCE_DATA", os.path.realpath(os.path.join(mounted.HERE, "../../lua")))
        return subprocess.run([MOONFENCE, "run", "--policy", self.policy, "--workspace", self.ws, "--trash", self.trash,
                               "--events", self.events_path, "--", "sh", "-c", command], cwd=cwd or self.ws, env=env, text=True,
                              capture_output=True, timeout=mounted.WAIT_S, check=False, pass_fds=pass_fds)

    def test_files_are_judged(self):
        r = self.fence("cat f; cat secret; echo new > new; mkdir d; cp /bin/echo d/e; d/e ran; rm f; ls")
        self.assertEqual(r.stdout, "fran\nd\nnew\nsecret\n", r.stderr)
        self.assertIn("secret: Permission denied", r.stderr)
        self.assertEqual(sorted(os.listdir(self.ws)), ["d", "new", "secret"])
        kept = os.listdir(os.path.join(self.trash, "files"))
        self.assertEqual([n.split(".")[0] for n in kept], ["f"])
        with open(self.events_path) as file:
            events = [json.loads(line) for line in file]
        self.assertTrue(any(e["type"] == "file_soft_delete" and e["source"] == "session" for e in events))
        self.assertEqual(events[-1]["type"], "session_end")

    def test_the_trash_is_hidden(self):
        r = self.fence(f"rm f; ls -A {self.trash}; echo x > {self.trash}/y; echo done")
        self.assertEqual(r.stdout, "done\n", r.stderr)
        self.assertEqual(len(os.listdir(os.path.join(self.trash, "files"))), 1)

    def test_no_way_around_by_the_directory_it_began_in(self):
        """The working directory, descriptors of directories and /proc all lead through the filesystem, or nowhere."""
        os.mkdir(os.path.join(self.ws, "d"))
        fd = os.open(self.ws, os.O_RDONLY)
        self.addCleanup(os.close, fd)
        r = self.fence(f"cat ../secret; cat /proc/self/cwd/../secret; cat /proc/self/fd/{fd}/secret; cat /proc/$PPID/root{self.ws}/secret; "
                       "cat ../f; pwd", cwd=os.path.join(self.ws, "d"), pass_fds=(fd,))
        self.assertEqual(r.stdout, f"f{self.ws}/d\n", r.stderr)

    def test_status_and_missing_workspace(self):
        self.assertEqual(self.fence("exit 7").returncode, 7)
        shutil.rmtree(self.ws)
        r = self.fence("true", cwd=self.dir)
        self.assertEqual(r.returncode, 125)
        self.assertIn("No such file", r.stderr)

    def test_children_that_stay_behind_do_not_keep_it(self):
        r = self.fence("(sleep 100000 < /dev/null > /dev/null 2>&1 &) ; echo gone")
        self.assertEqual((r.returncode, r.stdout), (0, "gone\n"), r.stderr)


class AsRootWorkspace(Workspace):
    pass


class AsUserWorkspace(Workspace):
    pass


del Workspace

if __name__ == "__main__":
    mounted.main()

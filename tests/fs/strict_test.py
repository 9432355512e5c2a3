# SPDX-License-Identifier: Apache-2.0
"""P48, --events-strict: what an event would tell of is EIO while events cannot be stored, on a disk that is really full, and goes on when
they can be stored again. What was let through before has its line, whatever the disk."""
import errno
import os
import re
import subprocess
import time

import mounted
from mounted import WAIT_S, MountCase

POLICY = """return { name = "strict", file = function(q)
  if q.path:find("hush", 1, true) then return allow { visibility = "silent" } end
  if q.path:find("kept", 1, true) and (q.op == "write" or q.op == "delete") then return soft_delete {} end
  return allow {}
end }
"""
DISK_MIB = 8  # of which the journal sets two aside


class Strict(MountCase):
    policy = POLICY
    options = ("--events-strict", "--verbose")
    says = r"(?:.|\n)*"

    def prepare(self):
        self.disk = self.mount.path("disk")
        os.mkdir(self.disk)
        self.make_disk("mode=755")
        self.mount.events_path = os.path.join(self.disk, "events.jsonl")

    def make_disk(self, options):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,{options}", "tmpfs", self.disk], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", self.disk], check=True)

    def fill(self):
        with open(os.path.join(self.disk, "filler"), "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError as e:
                self.assertEqual(e.errno, errno.ENOSPC)

    def name(self, *names):
        return os.path.join(self.mnt, *names)

    def create_until(self, prefix, stops):
        """Files are made as long as `stops` is not what comes of it (0: it is made); Return: those that were made"""
        made, until = [], time.monotonic() + WAIT_S
        for i in range(1 << 30):
            self.assertLess(time.monotonic(), until, self.mount.log)
            name, what = f"{prefix}{i}", 0
            try:
                os.close(os.open(self.name(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
                made.append(name)
            except OSError as e:
                self.assertEqual(e.errno, errno.EIO)
                what = errno.EIO
                self.assertFalse(os.path.exists(os.path.join(self.src, name)))
            if what == stops:
                return made
        return made

    def refuse(self, call, *args):
        with self.assertRaises(OSError, msg=f"{call}{args}") as caught:
            call(*args)
        self.assertEqual(caught.exception.errno, errno.EIO)

    def told(self, type_):
        return [e for e in self.mount.events() if e["type"] == type_]

    def wait(self, condition):
        """Lines are written, and the log is read, a moment later."""
        deadline = time.monotonic() + WAIT_S
        while not condition():
            self.assertLess(time.monotonic(), deadline, self.mount.log)
            time.sleep(0.01)

    def check_refused(self):
        """Nothing that is told of happens; everything else does."""
        for call, *args in ((os.unlink, self.name("first")), (os.mkdir, self.name("dir")), (os.truncate, self.name("first"), 0),
                            (os.rename, self.name("first"), self.name("last")), (os.chmod, self.name("first"), 0o600),
                            (os.symlink, "first", self.name("link")), (os.link, self.name("first"), self.name("hard")),
                            (os.open, self.name("first"), os.O_WRONLY), (os.open, self.name("new"), os.O_RDONLY | os.O_CREAT)):
            self.refuse(call, *args)
        self.assertEqual(sorted(n for n in os.listdir(self.src) if n in ("last", "dir", "link", "hard", "new")), [])
        with open(self.name("first"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "text\n")
        self.assertIn("first", os.listdir(self.mnt))
        with open(self.name("hush"), "a", encoding="utf-8"):
            pass  # silent: there is no event that could be missing

    def test_a_full_disk(self):
        with open(self.name("first"), "w", encoding="utf-8") as file:
            file.write("text\n")
        with open(self.name("kept"), "w", encoding="utf-8") as file:
            file.write("before\n")
        opened = os.open(self.name("kept"), os.O_WRONLY)
        self.addCleanup(os.close, opened)
        self.fill()
        made = self.create_until("full", errno.EIO)
        self.check_refused()
        self.refuse(os.pwrite, opened, b"after!", 0)
        # The disk is full: all that was let through found its place in what was set aside.
        self.wait(lambda: set(made) <= {os.path.basename(e["path"]) for e in self.told("file_create")})
        self.wait(lambda: "Events cannot be stored in events.jsonl" in self.mount.log)
        self.assertNotIn("again", self.mount.log)
        os.unlink(os.path.join(self.disk, "filler"))
        self.create_until("again", 0)
        os.pwrite(opened, b"after!", 0)
        os.unlink(self.name("first"))
        self.assertEqual(self.mount.stop(), 0)
        self.assertIn("Events are stored in events.jsonl again", self.mount.log)
        refused = [e for e in self.mount.events() if e.get("fields", {}).get("error") == "events cannot be stored"]
        self.assertTrue(refused)
        for event in refused:
            self.assertEqual((event["policy"]["effective_decision"], event["fields"]["blocked"], event["effective_action"]),
                             ("deny", True, "blocked"), event)
        counted = re.search(r"refused \((\d+) because events could not be stored\)", self.mount.log)
        self.assertGreaterEqual(int(counted[1]), max(11, len(refused)))  # what is told of it is limited
        self.assertEqual(len(self.told("file_soft_delete")), 1)
        self.assertEqual(len([e for e in self.told("file_delete") if e["path"].endswith("/first") and "blocked" not in e.get("fields", {})]), 1)

    def test_a_file_that_nobody_finds(self):
        """What lies where the name no longer leads is not stored; one that can be made anew is."""
        os.mkdir(os.path.join(self.disk, "logs"))
        away = self.disk + "/away"
        with open(self.name("first"), "w", encoding="utf-8") as file:
            file.write("text\n")
        os.rename(self.mount.events_path, away)  # as a rotation does
        self.create_until("rotated", 0)
        self.wait(lambda: os.path.exists(self.mount.events_path))
        self.make_disk("ro")  # over the other one
        self.create_until("gone", errno.EIO)
        self.check_refused()
        self.make_disk("mode=755")
        made = self.create_until("back", 0)
        self.assertEqual(self.mount.stop(), 0)
        self.assertIn(made[-1], {os.path.basename(e["path"]) for e in self.told("file_create")})


class AsRootStrict(Strict):
    pass


class AsRootStrictWrong(MountCase):
    def setUp(self):
        pass

    def tearDown(self):
        pass

    def test_nothing_to_store_in(self):
        r = subprocess.run([mounted.MOONFENCE, "mount", "--events-strict", "/tmp", "/mnt"], text=True, capture_output=True, check=False)
        self.assertEqual(r.returncode, 125, r.stderr)
        self.assertIn("--events-strict is for what --events names", r.stderr)


del Strict

if __name__ == "__main__":
    mounted.main()

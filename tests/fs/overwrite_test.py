# SPDX-License-Identifier: Apache-2.0
"""What is written over goes to the trash first, where the policy answers `write` with soft_delete."""
import errno
import json
import mmap
import os
import sqlite3
import stat
import subprocess

import mounted
from mounted import MountCase

# The same policy as a function and as rules.
HOOK = """return { name = "overwrites", file = function(q)
  if q.op == "delete" or q.op == "rmdir" or q.op == "write" then return soft_delete { reason = "kept" } end
  return allow {}
end }"""
RULES = """return { name = "overwrites", file_rules = {
  { name = "keep", paths = { "/**" }, operations = { "delete", "rmdir", "write" }, decision = "soft_delete" },
  { name = "rest", paths = { "/**" }, operations = { "*" }, decision = "allow" } } }"""
OLD = bytes(range(256)) * 64  # 16 KiB


class Overwrites(MountCase):
    policy = HOOK

    def prepare(self):
        for name in ("f", "g"):
            with open(os.path.join(self.mount.src, name), "wb") as file:
                file.write(OLD)
            os.utime(os.path.join(self.mount.src, name), ns=(10**18 + 7, 10**18 + 7))
            os.chmod(os.path.join(self.mount.src, name), 0o640)

    def trash(self, *args, check=True):
        return self.mount.run([self.mount.program, *args, "--trash", self.mount.path("trash")], cwd="/", check=check)

    def kept(self):
        """[(name, op, content)], the oldest first"""
        found = []
        for entry in json.loads(self.trash("trash", "list", "--json").stdout):
            with open(self.mount.path("trash", "files", entry["file"]), "rb") as file:
                found.append((os.path.basename(entry["path"]), entry["operation"], file.read()))
        return found

    def at(self, name):
        return os.path.join(self.mnt, name)

    def test_once_for_each_open(self):
        with open(self.at("f"), "r+b") as file:
            file.write(b"new")
            file.seek(100)
            file.write(b"newer")
        self.assertEqual(self.kept(), [("f", "overwrite", OLD)])
        path = self.mount.path("trash", "files", self.mount.trashed()[0])
        self.assertEqual((os.stat(path).st_mtime_ns, stat.S_IMODE(os.stat(path).st_mode)), (10**18 + 7, 0o640))
        with open(self.at("f"), "rb") as file:
            now = file.read()
        self.assertEqual(now, b"new" + OLD[3:100] + b"newer" + OLD[105:])
        with open(self.at("f"), "r+b") as file:
            file.write(b"third")
        self.assertEqual(self.kept(), [("f", "overwrite", OLD), ("f", "overwrite", now)])
        session = json.loads(self.trash("trash", "list", "--json").stdout)[0]["session"]
        self.trash("undo", "--session", session)
        with open(os.path.join(self.src, "f"), "rb") as file:
            self.assertEqual(file.read(), OLD)
        self.mount.stop()
        told = [e for e in self.mount.events() if e["type"] == "file_soft_delete" and e["path"].endswith("/f")]
        self.assertEqual(len(told), 2)
        self.assertEqual({(e["policy"]["decision"], e["operation"], e["effective_action"], e["pid"]) for e in told},
                         {("soft_delete", "write", "diverted", os.getpid())})

    def test_what_overwrites_nothing_keeps_nothing(self):
        for flags in (os.O_RDWR, os.O_WRONLY, os.O_WRONLY | os.O_APPEND, os.O_RDONLY):
            fd = os.open(self.at("f"), flags)
            if flags & os.O_APPEND:
                os.write(fd, b"added")
            elif flags == os.O_RDWR:
                os.pwrite(fd, b"behind", len(OLD))
                os.posix_fallocate(fd, 0, 3 * len(OLD))
            os.close(fd)
        with open(self.at("new"), "wb") as file:
            file.write(b"1" * 100)
            file.seek(0)
            file.write(b"2" * 100)
        os.chmod(self.at("f"), 0o600)
        self.assertEqual(self.kept(), [])

    def test_what_was_appended_before_is_not_part_of_it(self):
        fd = os.open(self.at("f"), os.O_RDWR)
        os.pwrite(fd, b"behind", len(OLD))
        os.pwrite(fd, b"over", 0)
        os.close(fd)
        self.assertEqual(self.kept(), [("f", "overwrite", OLD)])

    def test_programs(self):
        self.run_in(["dd", "if=/dev/zero", "of=f", "bs=1", "count=4", "conv=notrunc", "status=none"])
        self.assertEqual(self.kept(), [("f", "overwrite", OLD)])
        self.run_in(["sh", "-c", "echo x > g"])
        self.assertEqual(self.kept()[1:], [("g", "truncate", OLD)])
        self.run_in(["sh", "-c", "echo more >> g"])
        self.assertEqual(len(self.kept()), 2)

    def test_mappings(self):
        fd = os.open(self.at("f"), os.O_RDWR)
        other = os.open(self.at("f"), os.O_RDWR)
        with mmap.mmap(fd, 0) as pages:
            os.close(fd)
            os.close(other)
            self.assertEqual(self.kept(), [])
            pages[5000:5005] = b"paged"
            pages.flush()
        self.assertEqual(self.kept(), [("f", "overwrite", OLD)])
        with open(os.path.join(self.src, "f"), "rb") as file:
            self.assertEqual(file.read(), OLD[:5000] + b"paged" + OLD[5005:])

    def test_holes_and_copies(self):
        self.run_in(["fallocate", "--punch-hole", "--offset", "4096", "--length", "4096", "f"])
        fd, out = os.open(self.at("f"), os.O_RDONLY), os.open(self.at("g"), os.O_WRONLY)
        self.assertEqual(os.copy_file_range(fd, out, 4096, 4096, 100), 4096)
        os.close(fd)
        os.close(out)
        self.assertEqual(self.kept(), [("f", "overwrite", OLD), ("g", "overwrite", OLD)])
        with open(os.path.join(self.src, "g"), "rb") as file:
            self.assertEqual(file.read(), OLD[:100] + bytes(4096) + OLD[4196:])

    def test_truncate_and_write(self):
        with open(self.at("f"), "r+b") as file:
            file.truncate(10)
            file.write(b"0123456789abcdef")
        self.assertEqual(self.kept(), [("f", "truncate", OLD)])
        with open(self.at("g"), "r+b") as file:
            file.write(b"x")
            file.flush()
            file.truncate(0)
        self.assertEqual(self.kept()[1:], [("g", "overwrite", OLD), ("g", "truncate", b"x" + OLD[1:])])

    def test_the_name_that_it_has_then(self):
        fd = os.open(self.at("f"), os.O_RDWR)
        os.rename(self.at("f"), self.at("moved"))
        os.pwrite(fd, b"x", 0)
        os.close(fd)
        self.assertEqual(self.kept(), [("moved", "overwrite", OLD)])
        fd = os.open(self.at("g"), os.O_RDWR)
        os.unlink(self.at("g"))
        os.pwrite(fd, b"x", 0)
        os.close(fd)
        self.assertEqual(self.kept()[1:], [("g", "delete", b"x" + OLD[1:])])

    def test_database(self):
        path = self.at("db")
        with sqlite3.connect(path) as db:
            db.execute("create table t (a, b)")
            db.executemany("insert into t values (?, ?)", [(i, "x" * 50) for i in range(500)])
        db.close()
        with open(os.path.join(self.src, "db"), "rb") as file:
            before = file.read()
        with sqlite3.connect(path) as db:
            db.execute("update t set b = 'gone'")
        db.close()
        self.assertIn(("db", "overwrite", before), self.kept())
        with open(self.mount.path("was"), "wb") as file:
            file.write([c for n, _, c in self.kept() if n == "db"][-1])
        with sqlite3.connect(self.mount.path("was")) as db:
            self.assertEqual(db.execute("select count(*) from t where b = 'gone'").fetchone(), (0,))
        db.close()

    def test_many_at_once(self):
        """Four processes write to one file through descriptors of their own: each opening is kept before its first change."""
        script = "import os,sys; fd=os.open('f',os.O_RDWR); [os.pwrite(fd,bytes([65+int(sys.argv[1])])*64,int(sys.argv[1])*64) for _ in range(50)]"
        jobs = [subprocess.Popen(["/usr/bin/python3", "-c", script, str(i)], cwd=self.mnt) for i in range(4)]
        self.assertEqual([job.wait(mounted.WAIT_S) for job in jobs], [0] * 4)
        kept = self.kept()
        self.assertTrue(1 <= len(kept) <= 4, len(kept))
        self.assertEqual(kept[0], ("f", "overwrite", OLD))
        with open(os.path.join(self.src, "f"), "rb") as file:
            self.assertEqual(file.read(), b"".join(bytes([65 + i]) * 64 for i in range(4)) + OLD[256:])


class ByRules(Overwrites):
    policy = RULES


class Written(MountCase):
    """With a page cache that writes back, pages come late and whole."""
    policy = HOOK
    options = ("--writeback",)

    def prepare(self):
        with open(os.path.join(self.mount.src, "f"), "wb") as file:
            file.write(OLD)
        os.chmod(os.path.join(self.mount.src, "f"), 0o666)

    def test_kept_before_the_pages_come(self):
        with open(os.path.join(self.mnt, "f"), "r+b") as file:
            file.seek(4000)
            file.write(b"y" * 200)
        names = self.mount.trashed()
        self.assertEqual(len(names), 1)
        with open(self.mount.path("trash", "files", names[0]), "rb") as file:
            self.assertEqual(file.read(), OLD)


class TooLarge(MountCase):
    """What is larger than --trash-copy is not written over, or is, as --trash-full says."""
    policy = HOOK
    full = "deny"

    def prepare(self):
        self.mount.options += ["--trash-copy", "4K", "--trash-full", self.full]
        for name, size in (("small", 4096), ("large", 4097)):
            with open(os.path.join(self.mount.src, name), "wb") as file:
                file.write(b"o" * size)
            os.chmod(os.path.join(self.mount.src, name), 0o666)

    def read(self, name):
        with open(os.path.join(self.src, name), "rb") as file:
            return file.read()

    def told(self):
        self.mount.stop()
        self.mount.log = ""
        return [(os.path.basename(e["path"]), e["operation"], e["fields"]["lost"]) for e in self.mount.events() if e["type"] == "trash_full"]

    def overwrite(self, name):
        fd = os.open(os.path.join(self.mnt, name), os.O_WRONLY)
        try:
            os.write(fd, b"new")
        finally:
            os.close(fd)

    def test_refused(self):
        self.overwrite("small")
        self.assertEqual(self.read("small")[:4], b"newo")
        for change in (lambda: self.overwrite("large"), lambda: os.truncate(os.path.join(self.mnt, "large"), 1)):
            with self.assertRaises(OSError) as caught:
                change()
            self.assertEqual(caught.exception.errno, errno.EFBIG)
        self.assertEqual(self.read("large"), b"o" * 4097)
        self.assertEqual(len(self.mount.trashed()), 1)
        self.mount.stop()  # its log is read to the end
        self.assertIn("it was not changed", self.mount.log)
        self.assertEqual(self.told(), [("large", "overwrite", False), ("large", "truncate", False)])


class TooLargeAllTheSame(TooLarge):
    full = "delete"

    def test_refused(self):
        self.overwrite("large")
        self.assertEqual(self.read("large")[:4], b"newo")
        self.assertEqual(self.mount.trashed(), [])
        self.assertEqual(self.told(), [("large", "overwrite", True)])


class WithoutTrash(MountCase):
    policy = HOOK

    def prepare(self):
        self.mount.options = ["--no-trash"]
        with open(os.path.join(self.mount.src, "f"), "wb") as file:
            file.write(OLD)
        os.chmod(os.path.join(self.mount.src, "f"), 0o666)

    def test_not_opened_for_writing(self):
        with self.assertRaises(PermissionError):
            os.open(os.path.join(self.mnt, "f"), os.O_WRONLY)
        with open(os.path.join(self.mnt, "f"), "rb") as file:
            self.assertEqual(file.read(), OLD)


for case in (Overwrites, ByRules, Written, TooLarge, TooLargeAllTheSame, WithoutTrash):
    for who in ("AsRoot", "AsUser"):
        if who == "AsRoot" or case in (Overwrites, TooLarge):
            globals()[who + case.__name__] = type(who + case.__name__, (case,), {})
    del case

if __name__ == "__main__":
    mounted.main()

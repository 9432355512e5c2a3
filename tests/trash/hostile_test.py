# SPDX-License-Identifier: Apache-2.0
"""A trash that somebody tampered with, and places that became something else before a restore. Root's tests."""
import json
import os
import shutil
import subprocess

import support
from disk import DiskCase, own_mounts
from support import main

setUpModule = own_mounts
SLOW = bool(os.environ.get("MF_SLOW"))


def some(*ways):
    """All of them take their time."""
    return ways if SLOW else ways[:2]


class Hostile(DiskCase):
    size = 16 << 20

    def setUp(self):
        super().setUp()
        self.own = os.path.join(self.top, f".Trash-{os.getuid()}")  # of what lies on the disk
        self.secret = os.path.join(self.base, "secret")
        with open(self.secret, "w", encoding="utf-8") as file:
            file.write("canary")
        self.before = os.lstat(self.secret)

    def tearDown(self):
        with open(self.secret, encoding="utf-8") as file:
            self.assertEqual(file.read(), "canary")
        after = os.lstat(self.secret)
        self.assertEqual((after.st_mode, after.st_uid, after.st_nlink, after.st_mtime_ns),
                         (self.before.st_mode, self.before.st_uid, self.before.st_nlink, self.before.st_mtime_ns))

    def lost(self, name="a", text="kept"):
        self.write(name, text)
        return self.lose("delete", name, session="s")

    def entries(self):
        return json.loads(self.moonfence("trash", "list", "--json"))

    def payload(self, trash=None):
        """The one that there is"""
        files = os.path.join(trash or self.own, "files")
        (name,) = os.listdir(files)
        return os.path.join(files, name)

    def tried(self, *args):
        """Return: its exit status, and all that it said"""
        done = subprocess.run([support.MOONFENCE, *args], cwd=self.work, env=self.env, capture_output=True, text=True, timeout=600, check=False)
        return done.returncode, done.stdout + done.stderr

    def refused(self, *args):
        """Return: what it said"""
        status, said = self.tried(*args)
        self.assertEqual(status, 1, said)
        return said

    # ---- where it was became something else

    def test_the_place_became_something_else(self):
        for make in some(lambda p: os.symlink(self.secret, p), os.mkdir, os.mkfifo, lambda p: os.mknod(p, 0o020600, os.makedev(1, 3)),
                         lambda p: os.link(self.path("other"), p)):
            self.write("other", "other")
            token = self.lost()
            make(self.path("a"))
            kind = os.lstat(self.path("a")).st_mode
            self.refused("trash", "restore", token)
            self.assertEqual(os.lstat(self.path("a")).st_mode, kind)
            self.moonfence("trash", "restore", "--force", token)
            self.assertEqual(self.read("a"), "kept")
            self.assertEqual(self.read("other"), "other")
            (replaced,) = [e for e in self.entries() if e["session"] == "restore"]
            self.moonfence("trash", "restore", "--force", replaced["token"])  # and back again
            self.assertEqual(os.lstat(self.path("a")).st_mode, kind)
            shutil.rmtree(self.path("a")) if os.path.isdir(self.path("a")) and not os.path.islink(self.path("a")) else os.unlink(self.path("a"))
            self.moonfence("trash", "purge", "--all")

    def test_something_is_mounted_in_its_place(self):
        token = self.lost()
        os.mkdir(self.path("a"))
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", self.path("a")], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", self.path("a")], check=False, capture_output=True)
        self.write("a/theirs", "theirs")
        for more in ((), ("--force",)):
            self.refused("trash", "restore", *more, token)
            self.assertEqual(self.read("a/theirs"), "theirs")
            self.assertEqual([e["token"] for e in self.entries()], [token])
        subprocess.run(["umount", self.path("a")], check=True)
        self.moonfence("trash", "restore", "--force", token)
        self.assertEqual(self.read("a"), "kept")

    def test_the_directory_above_became_something_else(self):
        outside = os.path.join(self.base, "outside")
        os.mkdir(outside)
        token = self.lost("d/e/a")
        shutil.rmtree(self.path("d"))
        for make in some(lambda p: os.symlink(outside, p), os.mkfifo, lambda p: os.symlink("e", p), lambda p: os.close(os.open(p, os.O_CREAT))):
            make(self.path("d"))
            for more in ((), ("--force",), ("--no-verify",)):
                self.assertIn("link or a file", self.refused("trash", "restore", *more, token))
            self.assertIn("1 not", self.refused("undo", "--session", "s"))
            self.assertEqual(os.listdir(outside), [])
            os.unlink(self.path("d"))
        # Another file system is a directory like any other.
        os.mkdir(self.path("d"))
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", self.path("d")], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", self.path("d")], check=False, capture_output=True)
        self.moonfence("trash", "restore", token)
        self.assertEqual((self.read("d/e/a"), self.entries()), ("kept", []))

    def test_no_room_for_what_was_to_replace_something(self):
        """It had made way already, and is there again."""
        away = os.path.join(self.base, "away")
        self.write("a", "x" * (6 << 20))
        token = self.lose("delete", "a", trash=away)
        for newer in ("file", "directory"):
            if newer == "file":
                self.write("a", "newer")
            else:
                self.write("a/b", "newer")
            filler = self.device.fill(leave=1 << 20)
            self.assertIn("No space left", self.refused("trash", "restore", "--trash", away, "--force", token))
            self.assertEqual(self.read("a" if newer == "file" else "a/b"), "newer")
            self.assertEqual(sorted(os.listdir(self.work)), ["a"])
            listed = json.loads(self.moonfence("trash", "list", "--json", "--trash", away))
            self.assertEqual([e["token"] for e in listed], [token])
            os.unlink(filler)
            os.unlink(self.path("a")) if newer == "file" else shutil.rmtree(self.path("a"))
        self.moonfence("trash", "restore", "--trash", away, token)
        self.assertEqual(len(self.read("a")), 6 << 20)

    # ---- where the user wants it

    def test_to_another_place(self):
        token = self.lost()
        os.mkdir(self.path("d"))
        os.symlink(self.secret, self.path("d/a"))
        for to in ("d", "d/a"):  # what is there is there, whatever it points to
            self.refused("trash", "restore", "--to", to, token)
        os.symlink("d/f/none", self.path("dangling"))
        self.refused("trash", "restore", "--to", "dangling", token)
        self.refused("trash", "restore", "--to", "dangling/x", token)
        self.assertEqual(len(self.entries()), 1)
        os.mkdir(os.path.join(self.base, "elsewhere"))
        os.symlink(os.path.join(self.base, "elsewhere"), self.path("way"))  # the user's own link in what the user names
        self.moonfence("trash", "restore", "--to", "way", token)
        with open(os.path.join(self.base, "elsewhere/a"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "kept")

    # ---- what lies in the trash was tampered with

    def test_a_disk_does_not_say_where_on_others_its_files_belong(self):
        """Trashinfos and records of a disk that came from elsewhere"""
        self.lost()
        home = os.path.join(self.base, "profile")
        for i, path in enumerate((home, "../profile", "home/../../profile", "home%2F..%2F..%2Fprofile", "..%2fprofile", "%2e%2e/profile",
                                  home.replace("/", "%2F"), "x%00/profile", "x\nPath=" + home)):
            with open(os.path.join(self.own, f"files/f{i}"), "w", encoding="utf-8") as file:
                file.write("evil")
            with open(os.path.join(self.own, f"info/f{i}.trashinfo"), "w", encoding="utf-8") as file:
                file.write(f"[Trash Info]\nPath={path}\nDeletionDate=2026-01-01T00:00:00\n")
            self.tried("trash", "restore", f"f{i}")
            self.assertFalse(os.path.lexists(home), path)
        (record,) = [n for n in os.listdir(os.path.join(self.own, "moonfence")) if "=" in n or len(n) == 39]
        token = record[:39]
        text = os.readlink(os.path.join(self.own, "moonfence", record))
        os.unlink(os.path.join(self.own, "moonfence", record))
        file = os.path.basename([n for n in os.listdir(os.path.join(self.own, "files")) if n.startswith("a.")][0])
        os.symlink(f"mf1 how=move op=delete by=0123456789abcdef at=17 mode=100644 file={file} path={home}",
                   os.path.join(self.own, "moonfence", token))
        self.assertEqual([e["path"] for e in self.entries() if e["token"] == token], [home], text)
        self.assertIn("not on the file system", self.refused("trash", "restore", token))
        self.assertFalse(os.path.lexists(home))
        self.moonfence("trash", "restore", "--to", self.path("b"), token)  # somebody looked at it, and says so
        self.assertEqual(self.read("b"), "kept")

    def test_what_was_kept_became_something_else(self):
        for make in some(lambda p: os.symlink(self.secret, p), os.mkfifo, os.mkdir, lambda p: os.mknod(p, 0o020666, os.makedev(1, 8))):
            token = self.lost()
            kept = self.payload()
            os.rename(kept, self.path("aside"))
            make(kept)
            self.assertIn("no regular file any more", self.refused("trash", "restore", "--force", token))
            self.tried("trash", "diff", token)
            self.assertFalse(os.path.lexists(self.path("a")))
            os.rmdir(kept) if os.path.isdir(kept) and not os.path.islink(kept) else os.unlink(kept)
            os.rename(self.path("aside"), kept)
            self.moonfence("trash", "restore", token)
            self.assertEqual(self.read("a"), "kept")

    def test_a_tree_that_became_something_else(self):
        """Trees have no hash."""
        for make in (lambda p: os.symlink(self.base, p), lambda p: os.link(self.path("other"), p)):
            self.write("t/a", "kept")
            self.write("other", "other")
            token = self.lose("tree", "t")
            kept = self.payload()
            os.rename(kept, self.path("aside"))
            make(kept)
            self.assertIn("another kind of file", self.refused("trash", "restore", token))
            self.assertEqual(sorted(os.listdir(self.work)), ["aside", "other"])
            os.unlink(kept)
            os.rename(self.path("aside"), kept)
            self.moonfence("trash", "restore", token)
            self.assertEqual(self.read("t/a"), "kept")
            shutil.rmtree(self.path("t"))

    def test_records_that_became_something_else(self):
        first = self.lost("a", "first")
        second = self.lost("b", "second")
        self.write("other", "other")
        own = os.path.join(self.own, "moonfence")
        (record,) = [n for n in os.listdir(own) if n.startswith(second) and not n.endswith(".json")]
        os.rename(os.path.join(own, record), os.path.join(self.own, "record"))
        for make in some(os.mkfifo, lambda p: os.symlink(self.secret, p), lambda p: os.link(self.path("other"), p),
                         lambda p: os.symlink("mf1 " + "x" * 900, p), os.mkdir):
            for name in (second, record):
                make(os.path.join(own, name))
                self.assertIn(self.path("a"), [e["path"] for e in self.entries()])
                self.tried("trash", "show", second)
                self.tried("trash", "restore", "--to", self.path("c"), second)
                self.assertFalse(os.path.lexists(self.path("c")))
                path = os.path.join(own, name)
                os.rmdir(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
        os.rename(os.path.join(self.own, "record"), os.path.join(own, record))
        for token, name, text in ((first, "a", "first"), (second, "b", "second")):
            self.moonfence("trash", "restore", token)
            self.assertEqual(self.read(name), text)

    def test_names_of_any_bytes(self):
        names = [b"new\nline", b"\nPath=x", b"%2e%2e", b"%00", b"\xff\xfe", b"-rf", b"\x1b]0;x\x07", b"[Trash Info]", b"x" * 255, b"\\n", b"..."]
        work = os.fsencode(self.work)
        for name in names:
            with open(os.path.join(work, name), "wb") as file:
                file.write(name)
        subprocess.run([os.fsencode(support.LOSE), b"--session", b"n", b"delete", *[b"./" + n for n in names]], cwd=self.work, env=self.env,
                       check=True, capture_output=True)
        self.assertEqual(os.listdir(work), [])
        self.assertEqual(len(self.entries()), len(names))
        self.moonfence("undo", "--session", "n")
        self.assertEqual(sorted(os.listdir(work)), sorted(names))
        for name in names:
            with open(os.path.join(work, name), "rb") as file:
                self.assertEqual(file.read(), name)


main()

# SPDX-License-Identifier: Apache-2.0
"""Where the trash of another file system is: .Trash/UID and .Trash-UID at its top, with the checks that the FreeDesktop.org
specification wants, and whether trash-cli and gio see what is in it. Root's tests, on images that are mounted out of sight."""
import os
import shutil
import unittest

import support
from disk import DiskCase, own_mounts
from support import main

UID = os.getuid()
setUpModule = own_mounts


class Place(DiskCase):
    def lose_one(self, name="notes.txt", text="precious"):
        self.write(name, text)
        return self.lose("delete", name)

    def call_as(self, uid):
        """From now on; with programs where that user can read them"""
        self.become = uid
        for path in (self.base, self.top):
            os.chmod(path, 0o755)
        for program in (support.MOONFENCE, support.LOSE):
            shutil.copy(program, self.base)

    def moonfence(self, *args, status=0):
        return self.call(self.program(support.MOONFENCE), *args, status=status)

    def lose(self, verb, *names, **_):
        return self.call(self.program(support.LOSE), verb, *names).split()[-1]

    def program(self, path):
        return path if self.become is None else os.path.join(self.base, os.path.basename(path))

    def used(self):
        """Which trashes have something in them, as seen from the device's top"""
        found = []
        for at, dirs, _ in os.walk(self.base):
            if "files" in dirs and "info" in dirs and os.listdir(os.path.join(at, "files")):
                found.append(os.path.relpath(at, self.top))
        return sorted(found)

    def lost_to(self, where):
        token = self.lose_one()
        self.assertEqual(self.used(), [where])
        self.assertIn(self.path("notes.txt"), self.moonfence("trash", "list"))
        trash = os.path.normpath(os.path.join(self.top, where))
        (info,) = os.listdir(os.path.join(trash, "info"))
        with open(os.path.join(trash, "info", info), encoding="utf-8") as file:
            text = file.read()
        # At the top of a file system paths are relative to it, so that it can be mounted elsewhere.
        relative = where != "../data/Trash"
        self.assertIn("\nPath=" + ("home/work/notes.txt" if relative else self.path("notes.txt")) + "\n", text)
        for path in (trash, os.path.join(trash, "files"), os.path.join(trash, "info")):
            self.assertEqual((os.stat(path).st_mode & 0o777, os.stat(path).st_uid), (0o700, UID), path)
        self.moonfence("trash", "restore", token)
        self.assertEqual(self.read("notes.txt"), "precious")
        self.assertEqual(self.used(), [])


class Which(Place):
    def shared(self, mode=0o1777):
        path = os.path.join(self.top, ".Trash")
        os.mkdir(path)
        os.chmod(path, mode)
        return path

    def test_its_own_where_there_is_none(self):
        self.lost_to(f".Trash-{UID}")

    def test_the_one_that_an_administrator_made(self):
        self.shared()
        self.lost_to(f".Trash/{UID}")
        self.assertFalse(os.path.lexists(os.path.join(self.top, f".Trash-{UID}")))

    def test_not_the_one_that_is_not_sticky(self):
        self.shared(0o777)
        self.lost_to(f".Trash-{UID}")

    def test_not_the_one_that_is_a_link(self):
        os.mkdir(os.path.join(self.top, "other"))
        os.chmod(os.path.join(self.top, "other"), 0o1777)
        os.symlink("other", os.path.join(self.top, ".Trash"))
        self.lost_to(f".Trash-{UID}")
        self.assertEqual(os.listdir(os.path.join(self.top, "other")), [])

    def test_not_a_directory_in_it_that_is_a_link_or_somebody_elses(self):
        shared = self.shared()
        os.mkdir(os.path.join(self.top, "other"), 0o700)
        os.symlink("../other", os.path.join(shared, str(UID)))
        self.lost_to(f".Trash-{UID}")
        self.assertEqual(os.listdir(os.path.join(self.top, "other")), [])
        os.unlink(os.path.join(shared, str(UID)))
        os.mkdir(os.path.join(shared, str(UID)), 0o700)
        os.chown(os.path.join(shared, str(UID)), 65534, 65534)
        self.lost_to(f".Trash-{UID}")

    def test_not_its_own_that_is_a_link_or_open_to_others(self):
        own = os.path.join(self.top, f".Trash-{UID}")
        os.mkdir(os.path.join(self.top, "other"), 0o700)
        os.symlink("other", own)
        self.lost_to("../data/Trash")
        self.assertEqual(os.listdir(os.path.join(self.top, "other")), [])
        os.unlink(own)
        os.mkdir(own)
        os.chmod(own, 0o777)
        self.lost_to("../data/Trash")
        os.chmod(own, 0o700)
        os.chown(own, 65534, 65534)
        self.lost_to("../data/Trash")
        os.rmdir(own)
        with open(own, "w", encoding="utf-8"):
            pass
        self.lost_to("../data/Trash")

    def test_by_copying_where_nothing_can_be_made(self):
        """An ordinary user on a disk whose top is root's"""
        for path in (self.work, os.path.join(self.base, "data")):
            os.makedirs(path, exist_ok=True)
            os.chown(path, 65534, 65534)
        self.call_as(65534)
        self.write("notes.txt", "precious")
        os.chown(self.path("notes.txt"), 65534, 65534)
        self.lose("delete", "notes.txt")
        self.assertEqual(self.used(), ["../data/Trash"])
        self.moonfence("trash", "restore", "notes.txt")
        self.assertEqual((self.read("notes.txt"), os.stat(self.path("notes.txt")).st_uid), ("precious", 65534))

    def test_each_user_has_one(self):
        self.shared()
        os.chmod(self.work, 0o777)
        for uid in (65534, 1):
            self.call_as(uid)
            self.write("notes.txt", "precious")
            os.chown(self.path("notes.txt"), uid, uid)
            self.lose("delete", "notes.txt")
            self.assertEqual(os.stat(os.path.join(self.top, f".Trash/{uid}")).st_uid, uid)
        self.assertEqual(self.used(), [".Trash/1", ".Trash/65534"])


class Others(Place):
    """What other programs say of the same trashes"""

    def both_places(self):
        yield f".Trash-{UID}"
        path = os.path.join(self.top, ".Trash")
        os.mkdir(path)
        os.chmod(path, 0o1777)
        yield f".Trash/{UID}"

    @unittest.skipUnless(shutil.which("trash-list"), "trash-cli is not installed")
    def test_trash_cli_lists_and_restores(self):
        for where in self.both_places():
            with self.subTest(where):
                self.lose_one(text=where)
                self.assertEqual(self.used(), [where])
                self.assertIn(" " + self.path("notes.txt") + "\n", self.call("trash-list"))
                self.call("trash-restore", self.path("notes.txt"), text="0\n")
                self.assertEqual(self.read("notes.txt"), where)
                self.assertEqual(self.moonfence("trash", "list"), "The trash is empty.\n")

    @unittest.skipUnless(shutil.which("trash-put"), "trash-cli is not installed")
    def test_we_list_and_restore_what_it_put(self):
        for where in self.both_places():
            with self.subTest(where):
                self.write("theirs", where)
                self.call("trash-put", "theirs")
                self.assertEqual(self.used(), [where])
                self.assertIn(self.path("theirs"), self.moonfence("trash", "list"))
                self.moonfence("trash", "restore", "theirs")
                self.assertEqual(self.read("theirs"), where)

    @unittest.skipUnless(shutil.which("dbus-run-session") and os.path.exists("/usr/libexec/gvfsd-trash"), "gvfs is not installed")
    def test_gio_lists_and_restores(self):
        for where in self.both_places():
            with self.subTest(where):
                self.lose_one(text=where)
                self.assertEqual(self.used(), [where])
                listed = self.call("dbus-run-session", "--", "gio", "trash", "--list")
                uri = [line.split("\t")[0] for line in listed.splitlines() if line.endswith("\t" + self.path("notes.txt"))]
                self.assertEqual(len(uri), 1, listed)
                self.call("dbus-run-session", "--", "gio", "trash", "--restore", uri[0])
                self.assertEqual(self.read("notes.txt"), where)


main()

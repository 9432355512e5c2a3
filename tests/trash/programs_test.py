# SPDX-License-Identifier: Apache-2.0
"""Other programs that know the FreeDesktop.org trash, on the same trash: trash-cli and gio."""
import os
import shutil
import unittest

from support import Case, main

NAMES = ["plain.txt", "with space", "prozent %41", "ümläut.c", "-rf", ".hidden", "semi;colon&", "'quote\"", "tab\there",
         "emoji \U0001f5d1"]


@unittest.skipUnless(shutil.which("trash-list"), "trash-cli is not installed")
class TrashCli(Case):
    def restore(self, path):
        """trash-restore asks for a number."""
        lines = self.call("trash-restore", status=None, text="\n").splitlines()
        index = [line.split()[0] for line in lines if line.endswith(" " + path)]
        self.assertEqual(len(index), 1, lines)
        return self.call("trash-restore", text=index[0] + "\n", status=None)

    def test_it_lists_and_restores_what_we_put(self):
        for name in NAMES:
            self.write(name, name)
            self.lose("delete", name)
        listed = self.call("trash-list")
        for name in NAMES:
            self.assertIn(" " + self.path(name) + "\n", listed)
        for name in NAMES:
            self.restore(self.path(name))
            self.assertEqual(self.read(name), name)
        self.assertEqual(self.moonfence("trash", "list"), "The trash is empty.\n")

    def test_it_restores_trees_and_what_was_replaced(self):
        self.write("t/u/a", "a")
        self.write("b", "b")
        self.lose("tree", "t")
        self.lose("replace", "b")
        self.restore(self.path("t"))
        self.assertEqual(self.read("t/u/a"), "a")
        os.unlink(self.path("b"))
        self.restore(self.path("b"))
        self.assertEqual(self.read("b"), "b")

    def test_we_list_and_restore_what_it_put(self):
        for name in NAMES:
            self.write(name, name)
        self.write("t/a", "a")
        self.call("trash-put", "--", *NAMES, "t")
        listed = self.moonfence("trash", "list")
        for name in NAMES + ["t"]:
            self.assertFalse(os.path.exists(self.path(name)))
            self.assertIn(self.path(name.replace("\t", "\\x09")), listed)
            self.moonfence("trash", "restore", "--", name)
        self.assertEqual([self.read(name) for name in NAMES], NAMES)
        self.assertEqual(self.read("t/a"), "a")
        self.assertEqual(os.listdir(os.path.join(self.trash, "info")), [])

    def test_what_it_emptied_is_gone_for_us_too(self):
        self.write("a", "a")
        self.write("t/a", "a")
        self.lose("delete", "a")
        self.lose("tree", "t")
        self.call("trash-empty")
        self.assertEqual(self.moonfence("trash", "list"), "The trash is empty.\n")
        self.assertEqual(os.listdir(os.path.join(self.trash, "files")), [])

    def test_our_automatic_purge_leaves_its_entries_alone(self):
        self.write("a", "a")
        self.call("trash-put", "a")
        self.moonfence("trash", "purge", "--all")
        self.assertIn(self.path("a"), self.call("trash-list"))
        self.moonfence("trash", "purge", "--all", "--foreign")
        self.assertEqual(self.call("trash-list"), "")


@unittest.skipUnless(shutil.which("gio"), "gio is not installed")
class Gio(Case):
    """gio itself can put; its list needs a daemon of the desktop, which is started where it is installed."""

    def test_we_list_and_restore_what_it_put(self):
        for name in NAMES:
            self.write(name, name)
        self.write("t/a", "a")
        self.call("gio", "trash", *[self.path(name) for name in NAMES + ["t"]])
        for name in NAMES + ["t"]:
            self.assertFalse(os.path.exists(self.path(name)))
            self.moonfence("trash", "restore", "--", name)
        self.assertEqual([self.read(name) for name in NAMES], NAMES)
        self.assertEqual(self.read("t/a"), "a")

    @unittest.skipUnless(shutil.which("dbus-run-session") and os.path.exists("/usr/libexec/gvfsd-trash"),
                         "gvfs is not installed")
    def test_it_lists_and_restores_what_we_put(self):
        for name in NAMES:
            self.write(name, name)
            self.lose("delete", name)
        listed = self.call("dbus-run-session", "--", "gio", "trash", "--list")
        for name in NAMES:
            shown = "".join(chr(b) if 0x20 <= b < 0x7f else f"\\x{b:02x}" for b in self.path(name).encode())
            self.assertIn("\t" + shown + "\n", listed)
        uri = [line.split("\t")[0] for line in listed.splitlines() if line.endswith("/plain.txt")]
        self.call("dbus-run-session", "--", "gio", "trash", "--restore", uri[0])
        self.assertEqual(self.read("plain.txt"), "plain.txt")


main()

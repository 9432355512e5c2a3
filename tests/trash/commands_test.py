# SPDX-License-Identifier: Apache-2.0
"""moonfence trash and moonfence undo, as people call them."""
import json
import os
import unittest

from support import Case, main


class Commands(Case):
    def test_an_empty_trash_is_no_fault(self):
        self.assertEqual(self.moonfence("trash", "list"), "The trash is empty.\n")
        self.assertEqual(json.loads(self.moonfence("trash", "list", "--json")), [])

    def test_list_shows_what_and_json_all_of_it(self):
        self.write("a.txt", "hello")
        os.chmod(self.path("a.txt"), 0o640)
        token = self.lose("delete", "a.txt", session="s1")
        out = self.moonfence("trash", "list")
        self.assertIn(token, out)
        self.assertIn(self.path("a.txt"), out)
        (entry,) = json.loads(self.moonfence("trash", "list", "--json"))
        self.assertEqual(entry["path"], self.path("a.txt"))
        self.assertEqual((entry["size"], entry["mode"], entry["type"]), (5, "0640", "file"))
        self.assertEqual((entry["session"], entry["policy"], entry["rule"]), ("s1", "test", "rule 1"))
        self.assertEqual(entry["sha256"],
                         "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")
        self.assertEqual(entry["token"], token)
        self.assertFalse(entry["foreign"])

    def test_lists_can_be_narrowed(self):
        self.write("d/a.c", "1")
        self.write("b.c", "1")
        self.write("b.h", "1")
        self.lose("delete", "d/a.c", session="one")
        self.lose("delete", "b.c", "b.h", session="two")
        count = lambda *args: len(json.loads(self.moonfence("trash", "list", "--json", *args)))
        self.assertEqual(count("--session", "two"), 2)
        self.assertEqual(count("--path", "**/*.c"), 2)
        self.assertEqual(count("--path", "*.c"), 1)
        self.assertEqual(count("--since", "1h"), 3)
        self.assertEqual(count("--since", "2100-01-01"), 0)
        self.assertEqual(count("--since", "@9999999999"), 0)
        for wrong in ("1x", "x", "", "2026", "2026-11-21T", "1", "@", "-1h"):
            self.moonfence("trash", "list", "--since", wrong, status=2)

    def test_show_knows_paths_and_tokens(self):
        self.write("a", "1")
        token = self.lose("delete", "a", session="s")
        for what in (token, "a", "./a", "../work/a", self.path("a")):
            out = self.moonfence("trash", "show", what)
            self.assertIn("Token      " + token, out)
            self.assertIn("Session    s", out)
        self.moonfence("trash", "show", "b", status=1)
        self.moonfence("trash", "show", "0" * 39, status=1)

    def test_restore_by_path_refuses_and_forces(self):
        self.write("a", "old")
        self.lose("delete", "a")
        self.write("a", "now")
        self.moonfence("trash", "restore", "a", status=1)
        self.assertEqual(self.read("a"), "now")
        out = self.moonfence("trash", "restore", "--force", "a")
        self.assertEqual(self.read("a"), "old")
        token = out.split()[-1].rstrip("'")
        self.moonfence("trash", "restore", "--force", token)
        self.assertEqual(self.read("a"), "now")

    def test_restore_to_another_place_and_of_another_time(self):
        self.write("a", "first")
        self.lose("delete", "a")
        self.write("a", "second")
        self.lose("delete", "a")
        self.moonfence("trash", "restore", "--to", "b", "--at", "@1", "a")
        self.assertEqual(self.read("b"), "first")
        os.mkdir(self.path("d"))
        self.moonfence("trash", "restore", "--to", "d", "a")
        self.assertEqual(self.read("d/a"), "second")

    def test_diff_shows_what_changed(self):
        self.write("a", "one\ntwo\n")
        self.lose("truncate", "a")
        out = self.moonfence("trash", "diff", "a", status=1)
        self.assertIn("-one\n-two\n+new\n", out)
        self.write("a", "one\ntwo\n")
        self.assertEqual(self.moonfence("trash", "diff", "a"), "")
        os.unlink(self.path("a"))
        self.assertIn("-one\n", self.moonfence("trash", "diff", "a", status=1))
        os.symlink("/etc/hostname", self.path("a"))
        self.moonfence("trash", "diff", "a", status=2)

    def test_undo_puts_a_session_back_and_says_what_it_could_not(self):
        for name in ("t/a", "t/u/b", "c", "d", "e"):
            self.write(name, name)
        os.chmod(self.path("t/u"), 0o710)
        self.lose("delete", "t/u/b", "t/a", session="s")
        self.lose("rmdir", "t/u", "t", session="s")
        self.lose("replace", "c", session="s")
        self.lose("truncate", "d", session="s")
        self.lose("truncate", "d", session="s")
        self.lose("delete", "e", session="s")
        self.write("e", "another")
        out = self.moonfence("undo", "--session", "s", "--dry-run")
        self.assertIn("Would restore", out)
        self.assertFalse(os.path.exists(self.path("t")))
        out = self.moonfence("undo", "--session", "s", status=1)
        self.assertIn("1 not", out)
        self.assertEqual([self.read(n) for n in ("t/a", "t/u/b", "c", "d", "e")],
                         ["t/a", "t/u/b", "c", "d", "another"])
        self.assertEqual(os.stat(self.path("t/u")).st_mode & 0o7777, 0o710)
        self.moonfence("undo", "--session", "s", "--force")
        self.assertEqual(self.read("e"), "e")
        self.moonfence("undo", "--session", "nobody", status=1)
        self.moonfence("undo", status=2)

    def test_purge_by_limits_and_by_token(self):
        tokens = []
        for name in "abcd":
            self.write(name, name * 1000)
            tokens.append(self.lose("delete", name))
        self.assertIn("3 would be purged", self.moonfence("trash", "purge", "--keep-last", "1", "-n"))
        self.assertIn("1 purged", self.moonfence("trash", "purge", "--max-size", "3000"))
        self.assertIn("1 purged", self.moonfence("trash", "purge", tokens[2]))
        self.moonfence("trash", "purge", tokens[2], status=1)
        self.assertIn("0 purged", self.moonfence("trash", "purge", "--older-than", "1h"))
        self.assertEqual(len(json.loads(self.moonfence("trash", "purge", "--all", "--json"))), 2)
        self.assertEqual(self.moonfence("trash", "list"), "The trash is empty.\n")
        self.moonfence("trash", "purge", status=2)
        for wrong in (("--older-than", "7"), ("--max-size", "x"), ("--keep-last", "0")):
            self.moonfence("trash", "purge", *wrong, status=2)

    def test_a_trash_that_is_named(self):
        place = self.path("../other trash")
        self.write("a", "a")
        self.lose("delete", "a", trash=place)
        self.assertEqual(self.moonfence("trash", "list"), "The trash is empty.\n")
        self.assertIn(self.path("a"), self.moonfence("trash", "list", "--trash", place))
        self.moonfence("trash", "restore", "--trash", place, "a")
        self.assertEqual(self.read("a"), "a")

    def test_terminals_are_not_driven_by_names(self):
        name = "x\x1b[31m\ny"
        self.write(name, "")
        self.lose("delete", name)
        out = self.moonfence("trash", "list")
        self.assertNotIn("\x1b", out)
        self.assertEqual(len(out.splitlines()), 2)
        self.assertEqual(json.loads(self.moonfence("trash", "list", "--json"))[0]["path"], self.path(name))


main()

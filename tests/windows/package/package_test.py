# SPDX-License-Identifier: Apache-2.0
"""The zip: what is in it, that packing again gives the same bytes, and that it runs where it was unpacked.

  package_test.py ZIP WINE.SH PACKAGE-WINDOWS.PY [its arguments but --output]
"""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile

ZIP, WINE, *PACK = sys.argv[1:]
TOP = os.path.basename(ZIP).removesuffix(".zip")
VERSION = TOP.split("-")[1]


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="moonfence zip ")  # users' folders have spaces, and worse
        cls.prefix = os.path.join(cls.directory, "wine")
        cls.home = os.path.join(cls.directory, "Prögramme")
        with zipfile.ZipFile(ZIP) as archive:
            cls.entries = archive.infolist()
            archive.extractall(cls.home)
        cls.home = os.path.join(cls.home, TOP)

    @classmethod
    def tearDownClass(cls):
        subprocess.run([WINE, "--end", cls.prefix], check=False)
        shutil.rmtree(cls.directory, ignore_errors=True)

    def call(self, *arguments, status=0):
        environment = {k: v for k, v in os.environ.items() if k != "MOONFENCE_DATA"}
        done = subprocess.run([WINE, self.prefix, os.path.join(self.home, "moonfence.exe"), *arguments], env=environment,
                              cwd=self.directory, capture_output=True, timeout=300, check=False)
        self.assertEqual(done.returncode, status, (arguments, done.stdout, done.stderr))
        return done.stdout.decode()

    def test_it_says_its_version(self):
        self.assertEqual(self.call("--version"), f"moonfence {VERSION}\n")

    def test_the_shipped_policy_is_without_problems(self):
        self.assertIn("no problems", self.call("policy", "check", os.path.join(self.home, "policies", "default")))

    def test_a_policy_finds_the_standard_library_beside_the_program(self):
        path = os.path.join(self.directory, "müne.lua")
        with open(path, "w", encoding="utf-8") as file:
            file.write('local hosts = require "moonfence.hosts"\n'
                       'return { name = "x", connect = function(c) if c:under(hosts.git) then return allow() end end }\n')
        self.assertIn("allow\n", self.call("policy", "explain", "-p", path, "connect", "github.com:443"))

    def test_the_tests_of_the_shipped_policy_pass(self):
        self.call("policy", "test", os.path.join(self.home, "policies", "default"))

    def test_without_the_driver_run_says_what_is_missing_and_starts_nothing(self):
        self.call("run", "--", "cmd", "/c", "echo", "started", status=125)

    def test_every_library_s_licence_and_the_notes_are_there(self):
        names = {e.filename.removeprefix(TOP + "/") for e in self.entries}
        for name in ("INSTALL.txt", "LICENSE.txt", "docs/windows.md", "include/moonfence/moonfence.h", "libmoonfence.dll",
                     "lib/libmoonfence.dll.a", "policies/default/policy.lua",
                     *(f"licenses/{n}.txt" for n in ("gcc", "jansson", "libevent", "libidn2", "lua5.4", "mingw-w64", "openssl",
                                                     "pcre2", "README"))):
            self.assertIn(name, names)
        self.assertFalse([n for n in names if n.lower().endswith((".sys", ".lib", ".pdb")) or "windivert.dll" in n.lower()])

    def test_entries_are_sorted_and_without_the_time_of_the_build(self):
        names = [e.filename for e in self.entries]
        self.assertEqual(names, sorted(names))
        self.assertEqual({e.date_time for e in self.entries}, {(1980, 1, 1, 0, 0, 0)})

    def test_packing_again_gives_the_same_bytes(self):
        again = os.path.join(self.directory, "again.zip")
        subprocess.run([sys.executable, "-B", *PACK, "--output", again], check=True)
        with open(again, "rb") as a, open(ZIP, "rb") as b:
            self.assertTrue(a.read() == b.read())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])

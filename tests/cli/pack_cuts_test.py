#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""'moonfence pack install', 'update' and 'rollback' are killed before each system call that changes something.

Whenever it ends, the packs in force are those of before or those of after, whole; and the next installation succeeds. MF_SLOW=1 makes
every cut, otherwise some of each call.
"""
import collections
import json
import os
import re
import shutil
import subprocess
import sys
import unittest

import support
from support import LAUNCHER, ROOT, Case, main

CALLS = ("mkdirat", "mkdir", "write", "fsync", "renameat", "rename", "unlinkat")
SLOW = os.environ.get("MF_SLOW") == "1"
SOME = 2  # cuts of each call without MF_SLOW


@unittest.skipUnless(sys.platform == "linux" and not LAUNCHER and shutil.which("strace") and shutil.which("minisign"),
                     "strace and minisign of Linux")
class Cuts(Case):
    def setUp(self):
        super().setUp()
        self.store = os.path.join(self.directory, "store")
        subprocess.run(["minisign", "-G", "-W", "-p", "k.pub", "-s", "k.key"], cwd=self.directory, check=True,
                       capture_output=True)
        self.archives = {v: [self.build(name, v) for name in ("one", "two")] for v in ("1.0.0", "1.1.0")}
        self.call("pack", "trust", "--store", "first", "add", "k.pub", "--name", "k", "--role", "packs",
                  "--role", "channel")
        self.call("pack", "install", "--store", "first", *self.archives["1.0.0"])

    def build(self, name, version):
        place = f"{name}-{version}"
        self.write(place + "/pack.lua", f'return {{ name = "{name}", version = "{version}" }}')
        self.write(place + "/lib/m.lua", f'return "{version}"')
        self.write(place + "/policy.lua", f'local v = require "m"\nreturn {{ name = "{name}", dns = function(q) '
                                          'if q.name == "x.example" then return deny(v) end end }')
        self.call("pack", "build", place)
        self.call("pack", "sign", "--key", "k.key", place + ".mfpack")
        return place + ".mfpack"

    def traced(self, options, *arguments):
        """Run the program under strace; returns its exit status."""
        env = dict(os.environ, MOONFENCE_DATA=os.path.join(ROOT, "lua"), ASAN_OPTIONS="detect_leaks=0")
        done = subprocess.run(["strace", "-f", "-qq", "-o", "trace", *options, support.PROGRAM, "pack", *arguments],
                              cwd=self.directory, env=env, capture_output=True, timeout=600, check=False)
        return done.returncode

    def fresh(self, source):
        shutil.rmtree(self.store, ignore_errors=True)
        shutil.copytree(os.path.join(self.directory, source), self.store)

    def in_force(self):
        out = json.loads(self.call("pack", "list", "--store", "store", "--json")[0])
        return {p["name"]: p["version"] for g in out for p in g["packs"]}

    def cut_everywhere(self, source, before, after, *arguments):
        self.fresh(source)
        self.assertEqual(0, self.traced(["-e", "trace=" + ",".join(CALLS)], *arguments))
        self.assertEqual({"one": after, "two": after}, self.in_force())
        with open(os.path.join(self.directory, "trace"), encoding="utf-8", errors="replace") as file:
            counts = collections.Counter(re.findall(r"^\d+ +(\w+)\(", file.read(), flags=re.M))
        self.assertGreaterEqual(counts["rename"] + counts["renameat"], 1)
        seen = set()
        for call, count in counts.items():
            for number in sorted(set(range(1, count + 1)) if SLOW else
                                 {1 + i * (count - 1) // max(SOME - 1, 1) for i in range(SOME)}):
                with self.subTest(call=call, number=number):
                    self.fresh(source)
                    status = self.traced(["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"],
                                         *arguments)
                    self.assertIn(status, (-9, 137))
                    packs = self.in_force()
                    self.assertIn(packs, [{"one": v, "two": v} for v in (before, after)])
                    seen.add(packs["one"])
                    self.call("pack", "verify", "--store", "store")
                    reason = json.loads(self.call("policy", "explain", "-p", "store", "--json", "dns",
                                                  "x.example")[0])
                    self.assertIn(packs["one"], json.dumps(reason))
                    self.call("pack", "install", "--store", "store", *self.archives["1.1.0"])
                    self.assertEqual({"one": "1.1.0", "two": "1.1.0"}, self.in_force())
                    self.assertFalse({".new", ".old", "packs.new"} & set(os.listdir(self.store)))
        self.assertEqual({before, after}, seen)  # cuts on both sides of the one that counts

    def test_an_installation_that_is_cut_short(self):
        self.cut_everywhere("first", "1.0.0", "1.1.0", "install", "--store", "store", *self.archives["1.1.0"])

    def test_a_rollback_that_is_cut_short(self):
        self.fresh("first")
        self.call("pack", "install", "--store", "store", *self.archives["1.1.0"])
        shutil.copytree(self.store, os.path.join(self.directory, "second"))
        self.cut_everywhere("second", "1.1.0", "1.0.0", "rollback", "--store", "store")

    def test_an_update_from_a_channel_that_is_cut_short(self):
        repo = os.path.join(self.directory, "repo")
        os.mkdir(repo)
        for archive in self.archives["1.1.0"]:
            for name in (archive, archive + ".minisig"):
                shutil.copy(os.path.join(self.directory, name), repo)
        self.call("pack", "publish", "--key", "k.key", repo)
        self.call("pack", "source", "--store", "first", "add", "corp", repo)
        self.cut_everywhere("first", "1.0.0", "1.1.0", "update", "--store", "store")


if __name__ == "__main__":
    main()

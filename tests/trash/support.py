# SPDX-License-Identifier: Apache-2.0
"""A directory of work and a home with a trash, for the tests of the trash."""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

MOONFENCE = LOSE = None


class Case(unittest.TestCase):
    become = None  # the user that calls are made as

    def setUp(self):
        self.base = os.path.realpath(tempfile.mkdtemp(prefix="mf-trash-"))
        self.addCleanup(shutil.rmtree, self.base, True)
        self.work = os.path.join(self.base, "work")
        os.mkdir(self.work)
        self.trash = os.path.join(self.base, "data", "Trash")
        self.env = dict(os.environ, XDG_DATA_HOME=os.path.join(self.base, "data"), HOME=self.base,
                        LC_ALL="C.UTF-8", TZ="UTC")

    def path(self, name):
        return os.path.join(self.work, name)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def call(self, *argv, status=0, text=None):
        done = subprocess.run(argv, cwd=self.work, env=self.env, input=text, capture_output=True, text=True,
                              errors="surrogateescape", timeout=600, check=False, user=self.become, group=self.become,
                              extra_groups=None if self.become is None else [])
        if status is not None:
            self.assertEqual(done.returncode, status, f"{argv}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def moonfence(self, *args, status=0):
        return self.call(MOONFENCE, *args, status=status)

    def lose(self, verb, *names, session=None, trash=None):
        """Returns the token of the last."""
        args = ["--trash", trash] if trash else []
        args += ["--session", session] if session else []
        return self.call(LOSE, *args, verb, *names).split()[-1]


def main():
    global MOONFENCE, LOSE
    MOONFENCE, LOSE = sys.argv[1:3]
    sys.argv[1:3] = []
    unittest.main()

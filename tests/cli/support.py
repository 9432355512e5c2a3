# SPDX-License-Identifier: Apache-2.0
"""What the command line's tests share: the built program, called as people call it.

Each test file is run as: FILE.py PROGRAM [unittest arguments]
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEFAULT_POLICY = os.path.join(ROOT, "lua", "policies", "default")
PROGRAM = None
LAUNCHER = os.environ.get("MF_LAUNCHER", "").split()  # words before the program's name: wine


def main():
    """Run the tests of the calling file with the program named first."""
    global PROGRAM
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=1)


class Case(unittest.TestCase):
    """A test that may call the program and write policies."""

    maxDiff = None

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="moonfence-cli-")
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def write(self, name, text):
        """Write a file below the test's own directory; returns its path."""
        path = os.path.join(self.directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def call(self, *arguments, status=0, env=None):
        """Run the program; the exit status must be the one expected. Returns (stdout, stderr)."""
        environment = dict(os.environ, MOONFENCE_DATA=os.path.join(ROOT, "lua"), **(env or {}))
        done = subprocess.run([*LAUNCHER, PROGRAM, *arguments], capture_output=True, env=environment,
                              cwd=self.directory, timeout=600, check=False)
        # Not in Python's text mode: lines end in LF on every system.
        out, err = done.stdout.decode(), done.stderr.decode()
        self.assertEqual(done.returncode, status, f"{' '.join(arguments)}\nstdout: {out}\nstderr: {err}")
        self.assertNotIn("\r", out + err)
        return out, err

    def call_json(self, *arguments, status=0):
        """As call(); stdout must be one JSON value, which is returned."""
        return json.loads(self.call(*arguments, status=status)[0])

# SPDX-License-Identifier: Apache-2.0
"""What the tests of captured sessions stand on: capture_host, its report, and a folder for each test.

Environment: CAPTURE_HOST is the program; CAPTURE_AS a user id to run it as (needs root); CAPTURE_BACKEND tproxy or tun;
CAPTURE_QUEUES how many queues the TUN device has.
"""
import errno
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lab"))
from waiting import LIMIT, wait_for  # noqa: E402

HOST = os.environ["CAPTURE_HOST"]
BACKEND = os.environ.get("CAPTURE_BACKEND", "tproxy")
TUN = BACKEND == "tun"
QUEUES = os.environ.get("CAPTURE_QUEUES")
WITH = ["--backend", BACKEND, *(["--tun-queues", QUEUES] if QUEUES else [])]
# What does not depend on the backend runs with tun only where there is time (MF_SLOW=1, as in ./test.sh --all).
SLOW = bool(os.environ.get("MF_SLOW"))
same_for_all = unittest.skipIf(TUN and (QUEUES or not SLOW), "the same with every backend; MF_SLOW=1 runs it with one queue")
# What differs: the device that traffic goes to, the route that leads there, and what is left when moonfence is dead.
DEVICE, DEFAULT_ROUTE, DEFAULT_GONE, DEAD = {
    "tproxy": ("lo", "local default dev lo table local", "the local route to default in table 255 is gone", errno.ECONNREFUSED),
    "tun": ("tun0", "default dev tun0", "the route to default in table 254 is gone", errno.ENETUNREACH),
}[BACKEND]
AS = os.environ.get("CAPTURE_AS")
UID = int(AS) if AS else os.getuid()
PREFIX = ["setpriv", "--reuid", AS, "--regid", AS, "--clear-groups"] if AS else []
# An interpreter that the other user may execute.
PYTHON = sys.executable if not AS else shutil.which("python3", path="/usr/bin:/bin") or sys.executable


def read(path):
    """A file's text, "" if there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return ""


class Session:
    """One capture_host."""

    def __init__(self, argv, *options, folder, **popen):
        self.report = os.path.join(folder, "report.jsonl")
        if os.path.exists(self.report):
            os.unlink(self.report)
        popen.setdefault("stdout", subprocess.PIPE)
        popen.setdefault("stderr", subprocess.PIPE)
        popen.setdefault("stdin", subprocess.DEVNULL)
        self.process = subprocess.Popen(PREFIX + [HOST, *WITH, "--report", self.report, *options, "--", *argv], text=True, **popen)

    def events(self, kind=None):
        events = [json.loads(line) for line in read(self.report).split("\n")[:-1]]
        return [e for e in events if kind in (None, e["event"])]

    def wait_event(self, kind, **fields):
        return wait_for(f"event {kind} {fields}", lambda: [e for e in self.events(kind)
                                                           if all(v in str(e[k]) for k, v in fields.items())])

    def end(self):
        out, err = self.process.communicate(timeout=LIMIT)
        return self.process.returncode, out, err


class Case(unittest.TestCase):
    def setUp(self):
        # Not TMPDIR: other users must get there, and a Unix socket's path has 107 bytes.
        self.folder = tempfile.mkdtemp(prefix="mf-capture-", dir="/tmp")
        os.chmod(self.folder, 0o777)
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def start(self, argv, *options, **popen):
        s = Session(argv, *options, folder=self.folder, **popen)

        def clean():
            if s.process.poll() is None:
                s.process.kill()
            s.process.communicate()
        self.addCleanup(clean)
        return s

    def run_in(self, argv, *options, **popen):
        s = self.start(argv, *options, **popen)
        rc, out, err = s.end()
        self.assertEqual(s.events("drift"), [])
        return s, rc, out, err

    def python(self, code, *options, **popen):
        return self.run_in([PYTHON, "-c", code], *options, **popen)

    def listen_unix(self, name, kind=socket.SOCK_STREAM):
        path = os.path.join(self.folder, name)
        s = socket.socket(socket.AF_UNIX, kind)
        self.addCleanup(s.close)
        s.bind(path)
        if kind != socket.SOCK_DGRAM:
            s.listen()
        os.chmod(path, 0o777)
        return path


def usable():
    """Does this system let us make sessions at all?"""
    r = subprocess.run(PREFIX + [HOST, *WITH, "--", "true"], capture_output=True, text=True, check=False)
    return r.returncode != 77, r.stderr

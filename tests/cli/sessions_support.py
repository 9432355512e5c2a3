# SPDX-License-Identifier: Apache-2.0
"""A daemon of a test's own with sessions of its own: a directory of control sockets that nobody else has."""
import json
import os
import signal
import subprocess

import support
from daemon_support import DaemonCase
from support import ROOT
from trace_test import POLICY, Stream, wait_for


class SessionsCase(DaemonCase):
    """A daemon with a directory of sockets of its own."""

    def setUp(self):
        super().setUp()
        self.policy = self.write("corp.lua", POLICY)
        self.pids = []
        self.addCleanup(self.end_sessions)

    def end_sessions(self):
        """What a test started through the API outlives its daemon."""
        for pid in self.pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def create(self, daemon, status=201, **body):
        session = self.ask(daemon, "POST", "/v1/sessions", body, status=status)
        if status == 201:
            self.pids.append(session["pid"])
        return session

    def session(self, daemon, name, status=200):
        return self.ask(daemon, "GET", f"/v1/sessions/{name}", status=status)

    def wait_for_state(self, daemon, name, state):
        def look():
            status, _, text = self.curl(daemon, "GET", f"/v1/sessions/{name}")
            return status == 200 and json.loads(text)["state"] == state and json.loads(text)
        return wait_for(look, f"{name} is not {state}")

    def events(self, daemon, query, count):
        """So many events, then no more is waited for."""
        stream = Stream(daemon.socket, "/v1/events?" + query)
        self.assertEqual(stream.status, 200)
        found = [stream.line() for _ in range(count)]
        stream.close()
        return found

    def by_hand(self, name, command):
        """A session that the daemon did not start."""
        process = subprocess.Popen([support.PROGRAM, "run", "--session", name, "--policy", self.policy, "--", "sh", "-c",
                                    "echo there; " + command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   env=dict(os.environ, MOONFENCE_DATA=os.path.join(ROOT, "lua")))
        self.addCleanup(self.finish, process)
        self.assertEqual(process.stdout.readline(), b"there\n")
        return process

    @staticmethod
    def finish(process):
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdin.close()
        process.stdout.close()

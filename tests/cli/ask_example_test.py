#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""examples/ask.py, which asks the daemon with Python's standard library alone; and the daemon's event file under it."""
import glob
import json
import os
import signal
import subprocess
import sys
import time

from daemon_support import DaemonCase
from support import LAUNCHER, ROOT
import support

EXAMPLES = os.path.join(ROOT, "examples")


class AskExample(DaemonCase):
    def setUp(self):
        super().setUp()
        self.policy = os.path.join(EXAMPLES, "policy")

    def ask(self, daemon, *words):
        return subprocess.run([sys.executable, "-B", os.path.join(EXAMPLES, "ask.py"), "--socket", daemon.socket, *words],
                              capture_output=True, text=True, timeout=120, cwd="/")

    def test_the_program(self):
        daemon = self.start(policy=self.policy)
        p = self.ask(daemon, "file", "op=delete", "path=/workspace/notes.txt")
        self.assertEqual((p.returncode, p.stdout.split()[0]), (0, "soft_delete"), p)
        p = self.ask(daemon, "connect", "host=other.example", "ip=192.0.2.1", "port=443")
        self.assertEqual(p.returncode, 1, p)
        self.assertIn("only the package mirror may be reached", p.stdout)
        p = self.ask(daemon, "file", "op=nonsense", "path=relative")
        self.assertEqual(p.returncode, 2, p)
        self.assertTrue(p.stderr.startswith("denied: ") and len(p.stderr) > 20, p)
        self.end(daemon)
        p = self.ask(daemon, "dns", "name=a.example")
        self.assertEqual(p.returncode, 2, p)

    def test_the_module_over_a_restart(self):
        sys.path.insert(0, EXAMPLES)
        self.addCleanup(sys.path.remove, EXAMPLES)
        sys.dont_write_bytecode = True
        from ask import Moonfence, Refused
        daemon = self.start(policy=self.policy)
        with Moonfence(daemon.socket) as m:
            d = m.decide("dns", name="packages.example")
            self.assertEqual((d["verdict"], d["addresses"]), ("resolve", ["10.0.0.7"]))
            many = m.decide_all("dns", [{"name": f"{i}.example"} for i in range(100)] + [{"name": "packages.example"}])
            self.assertEqual(len(many), 101)
            self.assertEqual(many[-1]["verdict"], "resolve")
            with self.assertRaises(Refused) as e:
                m.decide("nonsense", name="x")
            self.assertEqual(e.exception.status, 404)
            self.end(daemon)
            daemon = self.start(policy=self.policy)
            self.assertEqual(m.decide("dns", name="packages.example")["verdict"], "resolve")

    def wait_for_text(self, path):
        end = time.monotonic() + 120
        while not os.path.exists(path) or not os.path.getsize(path):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)

    def test_events_of_the_daemon_are_reopened_on_hup(self):
        events = os.path.join(self.directory, "events.jsonl")
        daemon = self.start("--events", events, "--events-rotate", "size=1M,gzip", policy=self.policy)
        self.wait_for_text(events)
        os.rename(events, events + ".1")
        daemon.send_signal(signal.SIGHUP)
        self.wait_for_text(events)
        self.assertEqual(self.end(daemon), 0)
        self.assertEqual(glob.glob(os.path.join(self.directory, ".*.run")), [])
        for path, want in [(events + ".1", 1), (events, 2)]:
            with open(path) as f:
                types = [(json.loads(line)["type"], json.loads(line)["fields"]["generation"]) for line in f]
            self.assertIn(("policy_loaded", want), types)


if __name__ == "__main__":
    if LAUNCHER:
        print("Python's http.client over a Unix socket: the daemon on Windows listens on a named pipe")
    else:
        support.main()

# SPDX-License-Identifier: Apache-2.0
"""tests/scenarios: what programs in a session see, the same with every way to capture.

Servers on this machine's loopback are all there is; tests/windows/test_session.c does the same under wine.
"""
import os
import shutil
import socket
import socketserver
import subprocess
import tempfile
import threading
import time
import unittest

from scenario import HERE, MOONFENCE, NOBODY, PYTHON, read_event_file, tun_device

SCENARIOS = os.path.join(HERE, "..", "scenarios")
PATIENCE = 60


def read_scenarios():
    """(line number, action, result, event, decision) of each."""
    found = []
    with open(os.path.join(SCENARIOS, "scenarios.txt"), encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            if line.strip() and not line.startswith("#"):
                action, rest = line.strip().split(" => ")
                result, _, event = rest.partition(" ; ")
                found.append((number, action, result, *(event.split() + ["", ""])[:2]))
    return found


class Tcp(socketserver.StreamRequestHandler):
    def handle(self):
        line = self.rfile.readline().decode().strip()
        if line.startswith("give "):
            self.wfile.write(self.server.letter + b"\n" + bytes(i % 251 for i in range(int(line[5:]))))
        else:
            self.wfile.write(self.server.letter + b" " + line.encode() + b"\n")


class Udp(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        sock.sendto(self.server.letter + b" " + data, self.client_address)


class Same:
    user = None
    backend = None
    more = ()

    def setUp(self):
        if self.backend == "tun" and not os.access("/dev/net/tun", os.R_OK | os.W_OK):
            self.skipTest("/dev/net/tun may not be opened here")
        # Not TMPDIR: other users must get there.
        self.folder = tempfile.mkdtemp(prefix="mf-scenarios-", dir="/tmp")
        os.chmod(self.folder, 0o1777)
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.places = {"client": os.path.basename(PYTHON)}
        for letter, kind, handler in (("A", socketserver.ThreadingTCPServer, Tcp), ("B", socketserver.ThreadingTCPServer, Tcp),
                                      ("U", socketserver.ThreadingUDPServer, Udp)):
            server = kind(("127.0.0.1", 0), handler)
            server.letter = letter.encode()
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            self.addCleanup(server.server_close)
            self.addCleanup(server.shutdown)
            self.places[letter] = "127.0.0.1:%d" % server.server_address[1]
        self.client, self.program = (shutil.copy(p, self.folder) for p in (os.path.join(SCENARIOS, "client.py"), MOONFENCE))
        os.chmod(self.program, 0o755)
        self.policy = os.path.join(self.folder, "session.lua")
        self.events_path = os.path.join(self.folder, "events.jsonl")
        self.write_policy("first")

    def write_policy(self, generation):
        values = dict(self.places, generation=generation)
        with open(os.path.join(SCENARIOS, "session.lua"), encoding="utf-8") as f:
            text = "local " + ", ".join(values) + " = " + ", ".join(f'"{v}"' for v in values.values()) + "\n" + f.read()
        with open(self.policy + ".new", "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(self.policy + ".new", 0o644)
        os.rename(self.policy + ".new", self.policy)

    def events(self):
        return read_event_file(self.events_path)

    def wait_event(self, seen, type_, decision, what):
        end = time.monotonic() + PATIENCE
        while not any(e["type"] == type_ and (not decision or e.get("policy", {}).get("decision") == decision)
                      for e in self.events()[seen:]):
            self.assertLess(time.monotonic(), end, f"{what}: no {type_} {decision} in {self.events()[seen:]}")
            time.sleep(0.01)

    def test_every_scenario(self):
        command = [self.program, "run", "--capture", self.backend, *self.more, "--policy", self.policy, "--events", self.events_path,
                   "--trust-targets", "--dns", "127.0.0.1:9", "--", PYTHON, self.client]
        with open(os.path.join(self.folder, "stderr"), "w+", encoding="utf-8") as err:
            p = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err, text=True, bufsize=1, cwd=self.folder,
                                 user=self.user, group=self.user, extra_groups=None if self.user is None else [])
            try:
                for number, action, want, event, decision in read_scenarios():
                    seen, what = len(self.events()), f"scenarios.txt:{number}: {action}"
                    if action == "reload":
                        self.write_policy("second")
                        got = "ok"
                    else:
                        p.stdin.write(action + "\n")
                        got = p.stdout.readline().strip()
                    err.seek(0)
                    self.assertEqual(got, want, f"{what}\n{err.read()}\n{self.events()[seen:]}")
                    if event:
                        self.wait_event(seen, event, decision, what)
                p.stdin.close()
                self.assertEqual(p.wait(PATIENCE), 0)
            finally:
                p.kill()
                p.wait()
                p.stdin.close()
                p.stdout.close()


class Tproxy(Same, unittest.TestCase):
    backend = "tproxy"


class Tun(Same, unittest.TestCase):
    backend = "tun"


class TunQueues(Same, unittest.TestCase):
    backend, more = "tun", ("--tun-queues", "4")


@unittest.skipUnless(os.getuid() == 0, "only root can become another user")
class TproxyAsUser(Same, unittest.TestCase):
    backend, user = "tproxy", NOBODY


@unittest.skipUnless(os.getuid() == 0, "only root can become another user")
class TunAsUser(Same, unittest.TestCase):
    backend, user = "tun", NOBODY


if __name__ == "__main__":
    tun_device.for_every_user()
    unittest.main(verbosity=2)

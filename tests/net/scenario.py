# SPDX-License-Identifier: Apache-2.0
"""What the network scenarios share: one lab a process, and a fence around a command in it."""
import json
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lab"))

import tun_device  # noqa: E402
from event_file import read_event_file  # noqa: E402
from lab import Lab, LabError, enter_user_namespace  # noqa: E402,F401

SKIP = 77
NOBODY = 65534

# A Python that every user can start.
PYTHON = "/usr/bin/python3"

MOONFENCE = os.environ.get("MOONFENCE", os.path.join(HERE, "../../build/dev/cli/moonfence"))


class Fenced:
    """A finished `moonfence run`: status, out, err, events."""

    def __init__(self, done, events):
        self.status = done.returncode
        self.out = done.stdout
        self.err = done.stderr
        self.events = events

    def find(self, type_, **want):
        """Events of a type whose members (dots go down) have the wanted values."""
        def get(event, dotted):
            for part in dotted.split("__"):
                event = event.get(part) if isinstance(event, dict) else None
            return event
        return [e for e in self.events if e["type"] == type_ and all(get(e, k) == v for k, v in want.items())]

    def __str__(self):
        return f"status {self.status}\n-- stdout\n{self.out}\n-- stderr\n{self.err}\n-- events\n" + \
            "\n".join(json.dumps(e) for e in self.events[-30:])


class Scenario(unittest.TestCase):
    """Each subclass gets the process's lab; `user` says who runs moonfence, `backend` how it captures, with which `more` options."""

    lab = None
    user = None
    backend = "tproxy"
    more = ()
    policy = os.path.join(HERE, "policies", "e2e.lua")
    longMessage = True

    @classmethod
    def setUpClass(cls):
        if cls.user is not None and os.environ.get("MF_LAB_UNPRIVILEGED"):
            raise unittest.SkipTest("already an ordinary user")
        if cls.backend == "tun" and not os.access("/dev/net/tun", os.R_OK | os.W_OK):
            raise unittest.SkipTest("/dev/net/tun may not be opened here")
        if Scenario.lab is None:
            Scenario.lab = Lab(keep=bool(os.environ.get("MF_LAB_KEEP"))).__enter__()
            unittest.addModuleCleanup(cls._close_lab)
            Scenario.lab.serve()
            Scenario.program = Scenario.lab.install(MOONFENCE)
            # A folder in which an ordinary user can make files.
            Scenario.work = Scenario.lab.path("work")
            os.makedirs(Scenario.work, exist_ok=True)
            os.chmod(Scenario.work, 0o1777)

    @staticmethod
    def _close_lab():
        Scenario.lab.__exit__()
        Scenario.lab = None

    def setUp(self):
        self.events_path = os.path.join(self.work, f"{type(self).__name__}.{self._testMethodName}.jsonl")

    def installed_policy(self):
        """The policy, where the user who runs moonfence can read it."""
        target = self.lab.path(f"policies/{type(self).__name__}-{os.path.basename(self.policy)}")
        if not os.path.exists(target):
            with open(self.policy) as f:
                self.lab.write(target, f.read())
        return target

    def fence_command(self, cmd, *options, policy=None):
        return [self.program, "run", "--capture", self.backend, *self.more, "--policy", policy or self.installed_policy(),
                "--events", self.events_path, *options, "--", *cmd]

    def environment(self):
        return dict(os.environ, CURL_CA_BUNDLE=self.lab.path("ca.pem"), SSL_CERT_FILE=self.lab.path("ca.pem"),
                    NODE_EXTRA_CA_CERTS=self.lab.path("ca.pem"), GIT_SSL_CAINFO=self.lab.path("ca.pem"),
                    HOME=self.work, PYTHONDONTWRITEBYTECODE="1", LC_ALL="C.UTF-8")

    def read_events(self):
        return read_event_file(self.events_path)

    def fence(self, cmd, *options, policy=None, env=None, **kwargs):
        if isinstance(cmd, str):
            cmd = ["bash", "-c", cmd]
        if os.path.exists(self.events_path):
            os.unlink(self.events_path)
        done = self.lab.run(self.fence_command(cmd, *options, policy=policy), user=self.user,
                            env=dict(self.environment(), **(env or {})), **kwargs)
        return Fenced(done, self.read_events())

    def python(self, code, *options, **kwargs):
        return self.fence([PYTHON, "-c", code], *options, **kwargs)


def slow(cls):
    """Runs with MF_SLOW=1 only, as in ./test.sh --all."""
    return unittest.skipUnless(os.environ.get("MF_SLOW"), "MF_SLOW=1 runs it")(cls)


def main():
    tun_device.for_every_user()
    if os.geteuid() != 0:
        os.environ["MF_LAB_UNPRIVILEGED"] = "1"
        enter_user_namespace()
    unittest.main(verbosity=2)

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Installed packs in force: pack:NAME in sessions, services and tools; installing, rolling back and removing under what runs."""
import hashlib
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from event_file import read_event_file  # noqa: E402

MOONFENCE = os.environ["MOONFENCE"]
ROOT = os.geteuid() == 0
# Longer than anything here takes: it only ends a run that is broken.
LONG = 120
LISTED = 40000  # names, so that the image is of a size that processes look for

PACK = """return {{ name = "egress", version = "{version}", compile = {{ "data/names.txt" }} }}
"""
POLICY = """local names = domains {{ file = "data/names.txt" }}
return {{
  name = "egress",
  dns_redirects = {{ {{ match = "version.example", resolve_to = "10.0.0.{minor}" }} }},
  file_rules = {{ {{ paths = {{ "**/secret*" }}, operations = {{ "read" }}, decision = "deny" }},
                 {{ paths = {{ "**" }}, operations = {{ "*" }}, decision = "allow" }} }},
  dns = function(q) if q:under(names) then return deny "listed" end end,
  connect = function(c) if c:under(names) then return deny "listed" end end,
}}
"""
TESTS = 'test("listed", function(t) t:dns { name = "n7.bad.example", type = "A" } :is_denied "listed" end)\n'


KEYS = None  # where the key and the archives of all tests are


def setUpModule():
    global KEYS
    if not (shutil.which("minisign") and shutil.which("dig")):
        raise unittest.SkipTest("minisign and dig are wanted")
    KEYS = tempfile.mkdtemp(prefix="moonfence-pack-keys-")
    os.chmod(KEYS, 0o755)
    unittest.addModuleCleanup(shutil.rmtree, KEYS)
    subprocess.run(["minisign", "-G", "-W", "-p", KEYS + "/k.pub", "-s", KEYS + "/k.key"], check=True, capture_output=True)


def archive(version, names=LISTED):
    """Builds and signs version 1.MINOR.0 of the pack, once; returns the archive's path."""
    place = os.path.join(KEYS, f"egress-{version}-{names}")
    if os.path.exists(place + ".mfpack"):
        return place + ".mfpack"
    files = {"pack.lua": PACK.format(version=version), "tests/t.lua": TESTS,
             "policy.lua": POLICY.format(minor=version.split(".")[1]),
             "data/names.txt": "".join(f"n{i}.bad.example\n" for i in range(names))}
    for name, text in files.items():
        os.makedirs(os.path.dirname(os.path.join(place, name)), exist_ok=True)
        with open(os.path.join(place, name), "w", encoding="ascii") as file:
            file.write(text)
    subprocess.run([MOONFENCE, "pack", "build", "-o", place + ".mfpack", place], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([MOONFENCE, "pack", "sign", "--key", KEYS + "/k.key", place + ".mfpack"], check=True, stdout=subprocess.DEVNULL)
    return place + ".mfpack"


def share(session):
    """Where a session stands among all, as docs/packs.md says: 0 to 9,999."""
    return int.from_bytes(hashlib.sha256(b"moonfence canary\n" + session.encode()).digest()[:8], "big") % 10000


class World:
    """A place in which `pack:` is a store of this test's own: root's is a fixed one, so it has a mount namespace of its own."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="moonfence-packs-")
        os.chmod(self.dir, 0o755)
        self.enter = []
        self.env = dict(os.environ, XDG_STATE_HOME=self.dir + "/state", HOME=self.dir, LC_ALL="C.UTF-8")
        self.store = self.dir + "/state/moonfence/packs"
        self.holder = None
        if ROOT:
            self.store = "/var/lib/moonfence/packs"
            self.holder = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c",
                                            "mkdir -p /var/lib/moonfence && mount -t tmpfs -o mode=755 packs /var/lib/moonfence && "
                                            "echo ready && exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            if self.holder.stdout.readline() != "ready\n":
                raise unittest.SkipTest("no mount namespace of our own")
            self.enter = ["nsenter", "-t", str(self.holder.pid), "-m", "--"]
        self.path = lambda *names: os.path.join(self.dir, *names)
        self.call("pack", "trust", "add", KEYS + "/k.pub", "--name", "release")

    def close(self):
        if self.holder:
            self.holder.stdin.close()
            self.holder.wait(LONG)
            self.holder.stdout.close()
        shutil.rmtree(self.dir)

    def run(self, argv, **more):
        return subprocess.run([*self.enter, *argv], env=self.env, cwd=self.dir, capture_output=True, text=True, timeout=LONG * 5,
                              check=False, **more)

    def call(self, *arguments, status=0):
        done = self.run([MOONFENCE, *arguments])
        assert done.returncode == status, (arguments, done)
        return done.stdout + done.stderr

    def start(self, argv, **more):
        return subprocess.Popen([*self.enter, *argv], env=self.env, cwd=self.dir, text=True, bufsize=1, stdout=subprocess.PIPE,
                                **more)

    def in_store(self, pattern):
        """The one file of the store that a shell's pattern means."""
        [found] = self.run(["sh", "-c", f"ls {self.store}/{pattern}"]).stdout.split()
        return found


def wait_for(what, condition):
    end = time.monotonic() + LONG
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError("never: " + what)
        time.sleep(0.02)
    return found


class Service:
    """A process of ours that answers DNS on loopback."""

    def __init__(self, world, *more):
        self.world, self.events = world, tempfile.mktemp(dir=world.dir)
        self.p = world.start([MOONFENCE, "resolver", "--listen", "127.0.0.1:0", "--policy", "pack:egress", "--dns", "127.0.0.1:9",
                              "--events", self.events, *more])
        line = self.p.stdout.readline()
        assert line.startswith("dns "), line
        self.port = line.strip().rsplit(":", 1)[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.p.send_signal(signal.SIGTERM)
        self.status = self.p.wait(LONG)
        self.p.stdout.close()

    def dig(self, name, *more):
        done = subprocess.run(["dig", "@127.0.0.1", "-p", self.port, "+tries=1", f"+time={LONG}", name, *more],
                              capture_output=True, text=True, timeout=LONG * 2, check=False)
        return done.stdout

    def version(self):
        return self.dig("version.example", "+short").strip()

    def told(self, type_):
        return [e for e in read_event_file(self.events) if e["type"] == type_]

    def list_pages(self):
        """The inodes of the compiled lists that the process has mapped."""
        with open(f"/proc/{self.p.pid}/maps", encoding="ascii") as file:
            return re.findall(r" (\d+) +/memfd:moonfence-list-", file.read())


class Packs(unittest.TestCase):
    def setUp(self):
        self.world = World()
        self.addCleanup(self.world.close)
        self.world.call("pack", "install", archive("1.1.0"))

    def session(self, *options):
        """`moonfence run` with a shell in it; returns the process and how to ask it."""
        events = self.world.path("run.jsonl")
        p = self.world.start([MOONFENCE, "run", "--policy", "pack:egress", "--events", events, *options, "--", "bash", "-c",
                              'while read -r cmd; do eval "$cmd"; echo done; done'], stdin=subprocess.PIPE)

        def ask(command):
            p.stdin.write(command + "\n")
            lines = []
            while (line := p.stdout.readline()) not in ("done\n", ""):
                lines.append(line.strip())
            return "\n".join(lines)

        def end():
            p.stdin.close()
            self.assertEqual(p.wait(LONG), 0)
            p.stdout.close()
        return ask, end, events

    def test_tools_take_a_packs_name(self):
        call = self.world.call
        question = ["dns", "n7.bad.example"]
        self.assertIn("listed", call("policy", "explain", "-p", "pack:egress", *question))
        self.assertIn("listed", call("policy", "explain", "-p", "pack:", *question))
        call("policy", "check", "pack:egress")
        self.assertIn("1 passed", call("policy", "test", "pack:egress"))
        self.assertIn("0 of", call("policy", "diff", "pack:egress", "pack:egress"))
        capture = self.world.path("q.pcap")
        with open(capture, "wb") as file:
            name = b"\x02n7\x03bad\x07example\0"
            dns = struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + name + struct.pack(">2H", 1, 1)
            udp = struct.pack(">4H", 40000, 53, 8 + len(dns), 0) + dns
            ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]))
            file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101))
            file.write(struct.pack("<4I", 1700000000, 0, len(ip + udp), len(ip + udp)) + ip + udp)
        self.assertIn("listed", call("policy", "replay", "-p", "pack:egress", capture))
        self.assertIn('no pack "gone" is installed', call("policy", "check", "pack:gone", status=1))

    def test_a_session(self):
        ask, end, _ = self.session()
        self.assertEqual(ask("dig +short version.example"), "10.0.0.1")
        self.assertIn("REFUSED", ask("dig n7.bad.example"))
        # A new version, back again, and nothing of it disturbs what runs.
        self.world.call("pack", "install", archive("1.2.0"))
        wait_for("1.2.0 in the session", lambda: ask("dig +short version.example") == "10.0.0.2")
        self.world.call("pack", "rollback")
        wait_for("1.1.0 in the session", lambda: ask("dig +short version.example") == "10.0.0.1")
        self.assertIn("REFUSED", ask("dig n7.bad.example"))
        end()

    def test_a_canary_under_what_runs(self):
        """Half of the sessions by their names: those go over to it at once and back again, the others when it is for all."""
        first, last = (next(f"s{i}" for i in range(1000) if low <= share(f"s{i}") < low + 5000) for low in (0, 5000))
        ask, end, _ = self.session("--session", first)
        with Service(self.world, "--session", last) as other:
            def versions():
                return ask("dig +short version.example"), other.version()
            self.assertEqual(versions(), ("10.0.0.1", "10.0.0.1"))
            self.world.call("pack", "install", "--canary", "50%", archive("1.2.0"))
            wait_for("the canary in the session", lambda: versions()[0] == "10.0.0.2")
            self.assertEqual(other.version(), "10.0.0.1")
            self.world.call("pack", "rollback")
            wait_for("the canary's end in the session", lambda: versions()[0] == "10.0.0.1")
            self.world.call("pack", "install", "--canary", "50%", archive("1.3.0"))
            wait_for("the next canary", lambda: versions()[0] == "10.0.0.3")
            self.world.call("pack", "promote")
            wait_for("it is for all", lambda: versions() == ("10.0.0.3", "10.0.0.3"))
            # The other has not even read the canaries.
            self.assertEqual(len(other.told("policy_changed")), 1)
        end()

    @unittest.skipUnless(ROOT and os.path.exists("/dev/fuse"), "a mount needs root here")
    def test_a_mount(self):
        w = self.world
        os.makedirs(w.path("src"))
        os.makedirs(w.path("mnt"))
        for name in ("secret.txt", "open.txt"):
            with open(w.path("src", name), "w", encoding="ascii") as file:
                file.write(name)
        p = w.start([MOONFENCE, "mount", "--policy", "pack:egress", w.path("src"), w.path("mnt")])
        try:
            wait_for("the mount", lambda: w.run(["cat", w.path("mnt/open.txt")]).stdout == "open.txt")
            self.assertIn("Permission denied", w.run(["cat", w.path("mnt/secret.txt")]).stderr)
        finally:
            p.send_signal(signal.SIGTERM)
            self.assertEqual(p.wait(LONG), 0)
            p.stdout.close()

    def test_a_resolver_while_packs_come_and_go(self):
        w = self.world
        with Service(w) as s:
            unanswered, stop, asked = [], threading.Event(), []

            def ask_on():
                while not stop.is_set():
                    out = s.dig("n8.bad.example")
                    asked.append(1)
                    if "REFUSED" not in out:
                        unanswered.append(out)
            other = threading.Thread(target=ask_on)
            other.start()
            try:
                for i, version in enumerate(("1.2.0", "1.3.0")):
                    w.call("pack", "install", archive(version, LISTED + i))
                    wait_for(version, lambda: s.version() == f"10.0.0.{i + 2}")
                w.call("pack", "rollback")
                wait_for("1.2.0", lambda: s.version() == "10.0.0.2")
                # SIGHUP loads it once more, beside those that ask.
                n = len(s.told("policy_loaded"))
                s.p.send_signal(signal.SIGHUP)
                wait_for("a load", lambda: len(s.told("policy_loaded")) > n)
                # Without the pack there is nothing to load: the old one stays, and that is said.
                w.call("pack", "remove", "egress")
                failed = wait_for("a failure", lambda: s.told("policy_reload_failed"))
                self.assertIn("no pack", failed[-1]["fields"]["error"])
                self.assertEqual(s.version(), "10.0.0.2")
                w.call("pack", "rollback", "--to", "3")
                wait_for("1.3.0", lambda: s.version() == "10.0.0.3")
            finally:
                stop.set()
                other.join()
        self.assertEqual((unanswered, s.status), ([], 0))
        self.assertTrue(asked)

    def test_files_that_are_changed_under_what_runs(self):
        w = self.world
        with Service(w) as s:
            self.assertEqual(s.version(), "10.0.0.1")
            # Cut, the list is no longer there for who reads it; who searches it does not notice.
            names = w.in_store("egress/1.1.0-*/data/names.txt")
            keep = w.path("names")
            w.run(["cp", names, keep])
            w.run(["truncate", "-s", "0", names])
            for i in range(0, LISTED, 4999):
                self.assertIn("REFUSED", s.dig(f"n{i}.bad.example"))
            w.run(["cp", keep, names])
            # One byte of another file: what runs stays, and says so.
            policy = w.in_store("egress/1.1.0-*/policy.lua")
            w.run(["sed", "-i", "s/10.0.0.1/10.0.0.9/", policy])
            failed = wait_for("a failure", lambda: s.told("policy_reload_failed"))
            self.assertIn("is not what the pack's MANIFEST says", failed[-1]["fields"]["error"])
            self.assertTrue(failed[-1]["fields"]["file"].endswith("/policy.lua"), failed)
            self.assertEqual(s.version(), "10.0.0.1")
            self.assertIn("MANIFEST says", w.call("policy", "check", "pack:egress", status=1))
            w.run(["sed", "-i", "s/10.0.0.9/10.0.0.1/", policy])
            w.call("policy", "check", "pack:egress")
            # MANIFEST with it: the state knows its hash.
            w.run(["sed", "-i", "s/^version 1.1.0/version 1.1.1/", os.path.join(os.path.dirname(policy), "MANIFEST")])
            self.assertIn("MANIFEST is not what was signed", w.call("policy", "check", "pack:egress", status=1))
        self.assertEqual(s.status, 0)

    def test_processes_have_one_list(self):
        w = self.world
        with Service(w) as one:
            [page] = one.list_pages()
            # The second does not even read the file.
            w.run(["truncate", "-s", "0", w.in_store("egress/1.1.0-*/data/names.txt")])
            with Service(w) as two:
                self.assertEqual(two.list_pages(), [page])
                self.assertIn("REFUSED", two.dig("n39999.bad.example"))
            self.assertEqual(two.status, 0)
        # With the last that has it it is gone, and the file is not what it was.
        self.assertIn("MANIFEST says", w.call("policy", "test", "pack:egress", status=1))


if __name__ == "__main__":
    unittest.main(verbosity=1)

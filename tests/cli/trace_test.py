# SPDX-License-Identifier: Apache-2.0
"""`policy trace`, and the control socket of a running session that it asks."""
import json
import os
import signal
import socket
import struct
import subprocess
import time
import unittest

import support
from support import LAUNCHER, ROOT, Case, main

WAIT_S = 120
POLICY = """return { name = "corp",
  dns = function(q)
    if q:is "bad.example" then return deny "nothing good there" end
    if q:under "seen.example" then return resolve { "192.0.2.7" } end
  end,
  connect = function(c)
    return deny "no connections"
  end,
  file = function(f)
    if f:glob "/**/secret*" then return deny "secrets" end
    if f.op == "delete" then return soft_delete {} end
    return allow {}
  end,
}
"""


def wait_for(check, what):
    """Ask until it is so; a wait ends only in a broken run."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        value = check()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(what)


class Stream:
    """One GET whose answer may have no end, read as HTTP/1.0: lines as they come."""

    def __init__(self, path, target):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(WAIT_S)
        self.sock.connect(path)
        self.sock.sendall(f"GET {target} HTTP/1.0\r\nhost: localhost\r\n\r\n".encode())
        self.file = self.sock.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        while self.file.readline().strip():
            pass

    def line(self):
        text = self.file.readline()
        return json.loads(text) if text else None

    def text(self):
        """All of the answer."""
        with self.sock, self.file:
            return self.file.read().decode()

    def close(self):
        self.file.close()
        self.sock.close()


def question(name, number):
    """A DNS query for A."""
    labels = b"".join(struct.pack("B", len(part)) + part.encode() for part in name.split("."))
    return struct.pack("!6H", number, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 1, 1)


@unittest.skipIf(LAUNCHER, "Windows' sessions have no control sockets")
class Sessions(Case):
    """Sessions that run, and who asks them."""

    def setUp(self):
        super().setUp()
        self.run_dir = os.path.join(self.directory, "run")
        self.policy = self.write("corp.lua", POLICY)
        self.env = dict(os.environ, MOONFENCE_DATA=os.path.join(ROOT, "lua"), MOONFENCE_RUN_DIR=self.run_dir)

    def start(self, *words, **more):
        process = subprocess.Popen([support.PROGRAM, *words], env=self.env, cwd=self.directory, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, **more)
        self.addCleanup(self.finish, process)
        return process

    @staticmethod
    def finish(process):
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=WAIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        process.stdin.close()
        process.stdout.close()

    def run_session(self, name, command, *options):
        """`moonfence run` of a shell that says when it is there."""
        process = self.start("run", "--session", name, "--policy", self.policy, *options, "--", "sh", "-c", "echo there; " + command)
        self.assertEqual(process.stdout.readline(), b"there\n")
        return process

    def resolver(self, name, *options):
        process = self.start("resolver", "--session", name, "--policy", self.policy, "--listen", "127.0.0.1:0", *options)
        process.at = process.stdout.readline().decode().split()[1].rsplit(":", 1)
        return process

    @staticmethod
    def ask_resolver(process, names):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(WAIT_S)
            for number, name in enumerate(names):
                sock.sendto(question(name, number & 0xffff), (process.at[0], int(process.at[1])))
                sock.recv(4096)

    def control(self, process):
        return os.path.join(self.run_dir, "sessions", f"{process.pid}.sock")

    def ask(self, process, target, status=200):
        """What one request is answered with."""
        stream = Stream(self.control(process), target)
        text = stream.text()
        self.assertEqual(stream.status, status, text)
        return text

    def card(self, process):
        return json.loads(self.ask(process, "/v1/session"))

    def trace(self, *arguments, status=0):
        return self.call("policy", "trace", *arguments, status=status, env={"MOONFENCE_RUN_DIR": self.run_dir})

    def say(self, process, text="go\n"):
        process.stdin.write(text.encode())
        process.stdin.flush()


class Trace(Sessions):
    """What people see."""

    def test_decisions_of_a_session_with_their_lines(self):
        session = self.run_session("s1", "read go; getent ahosts bad.example; curl -s --max-time 60 http://192.0.2.9/; read go")
        self.say(session)
        out, _ = self.trace("--kept", "--count", "2", "--verdict", "deny", "--kind", "dns", "s1")
        self.assertIn("deny dns bad.example", out)
        self.assertIn("dns() of corp, pack corp (", out)
        self.assertRegex(out, r"corp.lua:3\), by (lua|graph|memo): nothing good there")
        out, _ = self.trace("--kept", "--count", "1", "--kind", "connect", str(session.pid))
        self.assertIn("deny connect 192.0.2.9:80", out)
        self.assertIn("no connections", out)
        out, _ = self.trace("--kept", "--once", "--json")
        events = [json.loads(line) for line in out.splitlines()]
        self.assertTrue(all("policy" in event for event in events), out)
        self.assertEqual({event["session_id"] for event in events}, {"s1"})
        out, _ = self.trace("--kept", "--once", "--host", "*.example", "--json")
        self.assertEqual({json.loads(line)["domain"] for line in out.splitlines()}, {"bad.example"})
        self.assertEqual(self.trace("--once", "--host", "*.bad.example"), ("", ""))

    def test_it_ends_with_the_session_and_shows_the_last_decision(self):
        session = self.run_session("s1", "read go; getent ahosts bad.example")
        tracer = self.start("policy", "trace", "--json")
        wait_for(lambda: self.card(session)["readers"], "the trace does not listen")
        self.say(session)
        lines = tracer.stdout.read().decode().splitlines()
        self.assertEqual(tracer.wait(timeout=WAIT_S), 0)
        self.assertTrue(lines)
        self.assertEqual({json.loads(line)["domain"] for line in lines}, {"bad.example"})
        self.assertEqual(session.wait(timeout=WAIT_S), 2)  # getent's

    def test_which_session(self):
        self.assertIn("no session runs", self.trace(status=1)[1])
        first = self.resolver("r1")
        self.assertIn("no session 'other' runs", self.trace("other", status=1)[1])
        self.resolver("r2")
        err = self.trace(status=1)[1]
        self.assertIn("several sessions run", err)
        self.assertIn(f"r1 ({first.pid}, resolver", err)
        out = self.trace("--list")[0]
        self.assertRegex(out, rf"r1 +{first.pid} +resolver")
        self.assertEqual(len(out.splitlines()), 3)
        self.ask_resolver(first, ["bad.example"])
        self.assertIn("bad.example A", self.trace("--kept", "--count", "1", "r1")[0])

    def test_mount(self):
        os.makedirs(os.path.join(self.directory, "src"))
        os.makedirs(os.path.join(self.directory, "mnt"))
        self.write("src/secret", "x")
        mount = self.start("mount", "--policy", self.policy, "--session", "m1", "--trash", os.path.join(self.directory, "trash"),
                           "src", "mnt")
        line = mount.stdout.readline().decode()
        self.assertIn("is seen at", line)
        with self.assertRaises(PermissionError):
            open(os.path.join(self.directory, "mnt/secret"), encoding="utf-8").close()
        out, _ = self.trace("--kept", "--count", "1", "--path", "/**/secret")
        self.assertRegex(out, r"deny \w+ /.*/src/secret")
        self.assertIn("corp.lua:10), by ", out)

    def test_wrong_usage(self):
        for words in (["--verdict", "denied"], ["--kind", "dsn"], ["--path", "/a/{b"], ["--count", "0"], ["a", "b"]):
            self.trace(*words, status=2)


class Control(Sessions):
    """What programs ask."""

    def test_card_and_maps_and_end(self):
        session = self.run_session("s1", "read go; getent hosts host.seen.example; echo done; read go", "--label", "team=red")
        card = self.card(session)
        self.assertEqual((card["id"], card["kind"], card["pid"], card["labels"], card["generation"]),
                         ("s1", "run", session.pid, {"team": "red"}, 1))
        self.assertEqual(card["command"][:2], ["sh", "-c"])
        self.assertEqual(card["policies"], [self.policy])
        self.say(session)
        session.stdout.readline()
        self.assertEqual(session.stdout.readline(), b"done\n")
        maps = json.loads(self.ask(session, "/v1/maps?name=host.seen.example"))
        self.assertEqual([item["address"] for item in maps["names"]], ["192.0.2.7"])
        self.assertEqual(maps["names"][0]["names"][0]["name"], "host.seen.example")
        self.assertTrue(maps["complete"])
        self.ask(session, "/v1/maps?address=x", 422)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(self.control(session))
            sock.sendall(b"DELETE /v1/session HTTP/1.0\r\nhost: localhost\r\n\r\n")
            self.assertIn(b"202", sock.recv(64))
        session.wait(timeout=WAIT_S)
        self.assertEqual(os.listdir(os.path.join(self.run_dir, "sessions")), [])

    def test_live_and_resumed_without_loss_or_doubles(self):
        session = self.resolver("r1", "--events", os.path.join(self.directory, "events.jsonl"))
        seen, after = [], None
        for turn in range(6):
            stream = Stream(self.control(session), "/v1/events?kind=dns" + (f"&after={after}" if after else ""))
            self.assertEqual(stream.status, 200)
            self.ask_resolver(session, [f"n{turn}-{i}.seen.example" for i in range(20)])
            for _ in range(20 if turn % 2 else 13):
                seen.append(stream.line())
            after = seen[-1]["id"]
            stream.close()
            self.ask_resolver(session, [f"away{turn}-{i}.seen.example" for i in range(5)])
        stream = Stream(self.control(session), f"/v1/events?kind=dns&after={after}")
        missed = [stream.line() for _ in range(6 * 25 - len(seen))]
        self.finish(session)
        self.assertEqual(stream.text(), "")
        with open(os.path.join(self.directory, "events.jsonl"), encoding="utf-8") as file:
            written = [event["id"] for event in map(json.loads, file) if event["type"].startswith("dns")]
        self.assertEqual([event["id"] for event in seen + missed], written)
        self.assertEqual(len(written), 6 * 25)

    def test_a_reader_that_does_not_read_holds_up_nobody(self):
        session = self.resolver("r1")
        stream = Stream(self.control(session), "/v1/events?kind=dns")
        names = [f"n{i}.seen.example" for i in range(3000)]
        self.ask_resolver(session, names)
        self.assertEqual([stream.line()["domain"] for _ in names], names)
        stream.close()

    def test_server_sent_events(self):
        session = self.resolver("r1")
        self.ask_resolver(session, ["bad.example"])
        wait_for(lambda: self.ask(session, "/v1/events?follow=false&kind=dns"), "no event came")
        text = self.ask(session, "/v1/events?follow=false&kind=dns&format=sse")
        identity, data = text.split("\n")[:2]
        self.assertEqual(identity, "id: " + json.loads(data[len("data: "):])["id"])
        self.assertTrue(text.endswith("\n\n"))

    def test_what_is_wrong_is_said(self):
        session = self.resolver("r1")
        for query in ("after=1", "kind=x", "verdict=x", "path=%5B", "format=xml"):
            self.ask(session, "/v1/events?" + query, 422)
        self.ask(session, "/v1/maps", 404)  # a resolver's clients are many
        self.ask(session, "/v2/events", 404)

    def test_the_command_cannot_reach_it(self):
        script = ("import socket,os,sys\n"
                  "path=sys.argv[1]\n"
                  "print(os.listdir(path))\n"
                  "s=socket.socket(socket.AF_UNIX)\n"
                  "try: s.connect(path + '/' + str(os.getppid()) + '.sock'); print('reached')\n"
                  "except OSError as e: print('refused')\n")
        sessions = os.path.join(self.run_dir, "sessions")
        other = self.resolver("r1")
        self.assertTrue(os.path.exists(self.control(other)))
        done = subprocess.run([support.PROGRAM, "run", "--policy", self.policy, "--events", os.path.join(self.directory, "e"),
                               "--", "python3", "-c", script, sessions], env=self.env, cwd=self.directory, capture_output=True,
                              timeout=WAIT_S, check=True)
        self.assertEqual(done.stdout, b"[]\nrefused\n")
        with open(os.path.join(self.directory, "e"), encoding="utf-8") as file:
            self.assertNotIn("capture_masked", file.read())

    def test_a_session_that_was_killed_is_forgotten(self):
        session = self.resolver("r1")
        self.assertIn("r1", self.trace("--list")[0])
        session.send_signal(signal.SIGKILL)
        session.wait(timeout=WAIT_S)
        self.assertTrue(os.path.exists(self.control(session)))
        self.assertNotIn("r1", self.trace("--list")[0])
        self.assertEqual(os.listdir(os.path.join(self.run_dir, "sessions")), [])

    def test_others_may_not_look(self):
        self.resolver("r1")
        self.assertEqual(os.stat(os.path.join(self.run_dir, "sessions")).st_mode & 0o777, 0o700)


@unittest.skipUnless(LAUNCHER, "the others start sessions")
class Windows(Case):
    """Sessions are found by their pipes; tests/windows/test_run_ask.c asks one."""

    def test_nobody_is_there(self):
        self.assertIn("no session runs", self.call("policy", "trace", status=1)[1])


if __name__ == "__main__":
    main()

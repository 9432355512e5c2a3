# SPDX-License-Identifier: Apache-2.0
"""`moonfence run --daemon`: a session that a daemon could not find becomes one of its own, until it ends, whatever becomes of the daemon."""
import json
import os
import signal
import socket
import subprocess
import unittest

import support
from daemon_support import DaemonCase
from support import LAUNCHER, ROOT, main
from trace_test import WAIT_S, Stream, wait_for

POLICY = """return { name = "corp",
  dns = function(q)
    if q:is "bad.example" then return deny "nothing good there" end
    if q:is "ask.example" then return ask{ message = "may it be looked up?" } end
    if q:under "seen.example" then return resolve { "192.0.2.7" } end
  end,
}
"""


@unittest.skipIf(LAUNCHER, "Windows' sessions have no control sockets")
class Attach(DaemonCase):
    def setUp(self):
        super().setUp()
        self.policy = self.write("corp.lua", POLICY)

    def run_session(self, daemon, name, command, *options):
        """One whose socket is where the daemon does not look."""
        env = dict(os.environ, MOONFENCE_DATA=os.path.join(ROOT, "lua"), MOONFENCE_RUN_DIR=os.path.join(self.directory, "elsewhere"))
        process = subprocess.Popen([support.PROGRAM, "run", "--daemon", daemon.socket, "--session", name, "--label", "team=red",
                                    "--policy", self.policy, *options, "--", "sh", "-c", "echo there; " + command], env=env,
                                   cwd=self.directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
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

    def say(self, process, text="go\n"):
        process.stdin.write(text.encode())
        process.stdin.flush()

    def find(self, daemon, name):
        status, _, text = self.curl(daemon, "GET", f"/v1/sessions/{name}")
        return json.loads(text) if status == 200 else None

    def wait_for_state(self, daemon, name, state):
        def look():
            found = self.find(daemon, name)
            return found if found and found["state"] == state else None
        return wait_for(look, f"{name} is not {state}")

    def events(self, daemon, query, count):
        stream = Stream(daemon.socket, "/v1/events?" + query)
        found = [stream.line() for _ in range(count)]
        stream.close()
        return found

    def ctl(self, daemon, *words):
        return self.call_json("ctl", "--socket", daemon.socket, *words)

    def test_listed_read_asked_and_ended(self):
        daemon = self.start(policy=self.policy)
        session = self.run_session(daemon, "a1", "read go; getent hosts bad.example; getent hosts in.seen.example; echo done; sleep 1000")
        found = self.find(daemon, "a1")  # at once: it did not begin before
        self.assertEqual((found["id"], found["kind"], found["pid"], found["state"], found["labels"], found["started_here"], found["attached"]),
                         ("a1", "run", session.pid, "running", {"team": "red"}, False, True))
        self.say(session)
        while session.stdout.readline() != b"done\n":
            pass
        denied = self.events(daemon, "after=&kind=dns&verdict=deny&session=a1", 1)[0]
        self.assertEqual((denied["domain"], denied["policy"]["reason"]), ("bad.example", "nothing good there"))
        maps = self.ctl(daemon, "sessions", "maps", "a1")
        self.assertEqual([item["address"] for item in maps["names"]], ["192.0.2.7"])
        self.ctl(daemon, "sessions", "end", str(session.pid))
        self.assertEqual(session.wait(timeout=WAIT_S), -signal.SIGTERM)
        ended = self.wait_for_state(daemon, "a1", "ended")
        self.assertEqual((ended["exit_status"], ended["attached"]), (128 + signal.SIGTERM, False))

    def test_its_open_flows(self):
        """Connections to a server of ours, open until they are told to end: whose they are, where they meant to go and where they go."""
        daemon = self.start(policy=self.policy)
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)
        policy = self.write("lead.lua", 'return { name = "lead", connect = function(c) return redirect{ to = "127.0.0.1:%d" } end }'
                            % server.getsockname()[1])
        client = self.write("client.py", """import socket, sys
kept = []
for n in range(5):
    kept.append(socket.create_connection(("192.0.2.9", 7000 + n)))
    kept[n].sendall(b"x" * (n + 1))
print("open", flush=True)
sys.stdin.readline()
""")
        session = self.run_session(daemon, "a1", f"exec python3 {client}", "--policy", policy)
        self.assertEqual(session.stdout.readline(), b"open\n")
        conns = [server.accept()[0] for _ in range(5)]
        for conn in conns:
            self.addCleanup(conn.close)

        def look():
            found = self.ctl(daemon, "sessions", "flows", "a1")
            return found if [f["bytes_to_server"] for f in found["flows"] if f["proto"] == "tcp"] == [5, 4, 3, 2, 1] else None
        found = wait_for(look, "not all bytes are there")
        self.assertEqual((found["session"], found["complete"]), ("a1", True))
        flows = [f for f in found["flows"] if f["proto"] == "tcp"]
        self.assertEqual([f["server"] for f in flows], [f"192.0.2.9:{7004 - n}" for n in range(5)])
        self.assertEqual({f["to"] for f in flows}, {f"127.0.0.1:{server.getsockname()[1]}"})
        self.assertEqual({f["state"] for f in flows}, {"open"})
        pages, before = [], ""
        while True:
            page = self.ask(daemon, "GET", "/v1/sessions/a1/maps/flows?limit=2" + before)
            self.assertLessEqual(len(page["flows"]), 2)
            pages += page["flows"]
            if page["complete"]:
                break
            before = f"&before={page['flows'][-1]['id']}"
        self.assertEqual([f["id"] for f in pages], [f["id"] for f in found["flows"]])
        self.ask(daemon, "GET", "/v1/sessions/a1/maps/flows?limit=0", status=422)
        self.ask(daemon, "GET", "/v1/sessions/a1/maps/flows?before=x", status=422)
        self.say(session)
        session.wait(timeout=WAIT_S)

    def test_what_waits_is_answered_through_the_daemon(self):
        daemon = self.start(policy=self.policy)
        session = self.run_session(daemon, "a1", "read go; getent hosts ask.example; getent hosts ask.example; echo done; read go",
                                   "--approvals", "control", "--dns", "127.0.0.1:9")
        self.say(session)
        asked = wait_for(lambda: self.ctl(daemon, "sessions", "approvals", "a1")["approvals"], "no question came")[0]
        self.assertEqual((asked["message"], asked["fields"]["name"]), ("may it be looked up?", "ask.example"))
        self.assertEqual(self.ctl(daemon, "sessions", "deny", "a1", str(asked["id"]))["answer"], "deny")
        answered = self.events(daemon, "after=&type=approval_answered", 1)[0]["fields"]
        self.assertEqual((answered["answer"], answered["how"], answered["by_uid"]), ("deny", "daemon", os.getuid()))
        self.assertNotEqual(answered["by_pid"], daemon.pid)
        asked = wait_for(lambda: self.ctl(daemon, "sessions", "approvals", "a1")["approvals"], "no question came")[0]
        done = self.ask(daemon, "POST", f"/v1/sessions/a1/approvals/{asked['id']}", {"answer": "deny", "scope": "session"})
        self.assertEqual((done["answer"], done["scope"]), ("deny", "session"))
        while session.stdout.readline() != b"done\n":
            pass
        self.assertEqual(self.ask(daemon, "POST", "/v1/sessions/a1/approvals/99", {"answer": "deny"}, status=404)["code"], "no_approval")
        self.assertEqual(self.ask(daemon, "POST", "/v1/sessions/a1/approvals/x", {"answer": "deny"}, status=404)["code"], "no_approval")
        self.ask(daemon, "POST", "/v1/sessions/a1/approvals/1", {"answer": "perhaps"}, status=422)

    def test_the_daemon_goes_and_comes_back(self):
        daemon = self.start(policy=self.policy)
        session = self.run_session(daemon, "a1", "while read name; do getent hosts $name; echo done; done")
        for how in (signal.SIGKILL, signal.SIGTERM):
            daemon.send_signal(how)
            daemon.wait(timeout=WAIT_S)
            self.say(session, "bad.example\n")  # it is judged without a daemon
            self.assertEqual(session.stdout.readline(), b"done\n")
            daemon = self.start(policy=self.policy)
            found = self.wait_for_state(daemon, "a1", "running")
            self.assertEqual(found["pid"], session.pid)
            wait_for(lambda: self.find(daemon, "a1")["attached"], "it did not register")
            self.assertEqual(self.events(daemon, "after=&kind=dns&verdict=deny&session=a1", 1)[0]["domain"], "bad.example")
        session.stdin.close()
        session.wait(timeout=WAIT_S)
        self.assertEqual(self.wait_for_state(daemon, "a1", "ended")["exit_status"], 0)

    def test_who_cannot_register_does_not_begin(self):
        daemon = self.start(policy=self.policy)
        err = self.call("run", "--daemon", os.path.join(self.directory, "nobody.sock"), "--policy", self.policy, "--", "touch", "begun", status=125)[1]
        self.assertIn("no daemon serves", err)
        self.assertFalse(os.path.exists(os.path.join(self.directory, "begun")))
        # The daemon may have found its socket in the moment that it was there.
        self.assertEqual([s for s in self.ask(daemon, "GET", "/v1/sessions")["sessions"] if s["attached"] or "exit_status" in s], [])

    def test_only_for_oneself(self):
        """The daemon asks at no socket but that of the process that registers."""
        daemon = self.start(policy=self.policy)
        session = self.run_session(daemon, "a1", "read go")
        own = os.path.join(self.directory, "elsewhere/sessions", f"{session.pid}.sock")
        for path in (own, daemon.socket, os.path.join(self.directory, "nobody.sock")):
            problem = self.ask(daemon, "POST", "/v1/attach", {"socket": path}, status=422)
            self.assertEqual(problem["code"], "no_session", problem)
        self.assertEqual(self.ask(daemon, "POST", "/v1/attach", {"socket": "x"}, status=422)["code"], "wrong_value")
        self.assertEqual([s["id"] for s in self.ask(daemon, "GET", "/v1/sessions")["sessions"]], ["a1"])

    def test_one_that_says_nothing_is_given_up(self):
        """A process that registers a socket of its own and does not answer there holds nobody up."""
        daemon = self.start(policy=self.policy)
        path = os.path.join(self.directory, "mute.sock")
        with socket.socket(socket.AF_UNIX) as mute, socket.socket(socket.AF_UNIX) as client:
            mute.bind(path)
            mute.listen()
            client.settimeout(WAIT_S)
            client.connect(daemon.socket)
            body = json.dumps({"socket": path}).encode()
            client.sendall(b"POST /v1/attach HTTP/1.0\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
                           % (len(body), body))
            self.assertEqual(self.ask(daemon, "GET", "/v1/sessions")["sessions"], [])
            self.assertIn(b" 422 ", client.recv(64))


if __name__ == "__main__":
    main()

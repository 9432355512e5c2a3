# SPDX-License-Identifier: Apache-2.0
"""Sessions of a daemon: started over the API, found where somebody else started them, followed, ended, killed."""
import json
import os
import signal
import time
import unittest

from sessions_support import SessionsCase
from support import LAUNCHER, main
from trace_test import WAIT_S, Stream


@unittest.skipIf(LAUNCHER, "the daemon has no sessions on Windows")
class Sessions(SessionsCase):
    def test_started_followed_and_ended(self):
        daemon = self.start(policy=self.policy)
        output = os.path.join(self.directory, "a1.out")
        fifo = os.path.join(self.directory, "go")
        os.mkfifo(fifo)
        session = self.create(daemon, kind="run", id="a1", labels={"team": "red"}, output=output, environment={"WHERE": "there"},
                              command=["sh", "-c", f"echo $WHERE; read go <{fifo}; curl -sS http://bad.example/; "
                                                   f"getent hosts in.seen.example; read go <{fifo}; exit 3"])
        self.assertEqual((session["id"], session["kind"], session["state"], session["started_here"], session["labels"]),
                         ("a1", "run", "running", True, {"team": "red"}))
        self.assertEqual([s["id"] for s in self.ask(daemon, "GET", "/v1/sessions")["sessions"]], ["a1"])
        problem = self.create(daemon, 409, kind="run", id="a1", command=["true"])
        self.assertEqual(problem["code"], "session_exists")
        with open(fifo, "w", encoding="utf-8") as file:
            file.write("go\n")
        denied = self.events(daemon, "after=&kind=dns&verdict=deny&session=a1", 1)[0]
        self.assertEqual((denied["domain"], denied["policy"]["line"], denied["policy"]["reason"]),
                         ("bad.example", 3, "nothing good there"))
        resolved = self.events(daemon, "after=&type=dns_redirect&host=in.seen.example", 1)[0]
        self.assertEqual(resolved["fields"]["resolved_to"], "192.0.2.7")
        maps = self.ask(daemon, "GET", "/v1/sessions/a1/maps?name=in.seen.example")
        self.assertEqual([item["address"] for item in maps["names"]], ["192.0.2.7"])
        with open(fifo, "w", encoding="utf-8") as file:
            file.write("go\n")
        ended = self.wait_for_state(daemon, "a1", "ended")
        self.assertEqual(ended["exit_status"], 3)
        self.assertEqual(self.events(daemon, "after=&type=session_end", 1)[0]["fields"]["exit_code"], 3)
        with open(output, encoding="utf-8") as file:
            text = file.read()
        self.assertTrue(text.startswith("there\n"), text)
        self.assertIn("Could not resolve host", text)
        self.create(daemon, kind="run", id="a1", command=["sleep", "1000"])  # the name is free again
        self.assertEqual(self.ask(daemon, "DELETE", "/v1/sessions/a1", status=202)["id"], "a1")
        self.assertEqual(self.wait_for_state(daemon, "a1", "ended")["exit_status"], 128 + signal.SIGTERM)

    def test_what_cannot_be_started(self):
        daemon = self.start(policy=self.policy)
        self.assertEqual(self.create(daemon, 422, kind="run")["code"], "missing_member")
        self.assertEqual(self.create(daemon, 422, kind="mount", source="/tmp")["code"], "missing_member")
        self.assertEqual(self.create(daemon, 422, kind="walk", command=["true"])["code"], "wrong_value")
        self.assertEqual(self.create(daemon, 422, kind="run", command=["true"], more=1)["code"], "unknown_member")
        output = os.path.join(self.directory, "out")
        problem = self.create(daemon, 422, kind="run", command=["true"], policies=["/nonexistent.lua"], output=output)
        self.assertEqual(problem["code"], "session_failed")
        with open(output, encoding="utf-8") as file:
            self.assertIn("/nonexistent.lua", file.read())
        self.assertEqual(self.session(daemon, "nobody", 404)["code"], "no_session")

    def test_found_and_resumed_by_the_id_of_an_event(self):
        daemon = self.start(policy=self.policy)
        session = self.by_hand("hand", "while read name; do getent hosts $name; done")
        found = self.wait_for_state(daemon, "hand", "running")
        self.assertEqual((found["pid"], found["started_here"], found["policies"]), (session.pid, False, [self.policy]))
        names, seen, after = [], [], ""
        for turn in range(4):
            more = [f"n{turn}-{i}.seen.example" for i in range(10)]
            session.stdin.write("".join(name + "\n" for name in more).encode())
            session.stdin.flush()
            names += more
            # A question for each family: A and AAAA, or AAAA alone; that the names come in order and once is what counts
            stream = Stream(daemon.socket, f"/v1/events?kind=dns&session=hand&after={after}")
            while not seen or seen[-1]["domain"] != more[6 if turn < 3 else 9]:
                seen.append(stream.line())
            stream.close()
            after = seen[-1]["id"]
        self.assertEqual(list(dict.fromkeys(event["domain"] for event in seen)), names)
        ids = [event["id"] for event in seen]
        self.assertEqual(ids, sorted(set(ids)))
        session.stdin.close()
        self.assertEqual(self.wait_for_state(daemon, "hand", "ended")["exit_status"], session.wait(timeout=WAIT_S))

    def test_a_session_that_is_killed_touches_no_other(self):
        daemon = self.start(policy=self.policy)
        first = self.create(daemon, kind="run", id="first", command=["sleep", "1000"])
        self.create(daemon, kind="run", id="second", command=["sleep", "1000"])
        os.kill(first["pid"], signal.SIGKILL)
        self.assertEqual(self.wait_for_state(daemon, "first", "ended")["exit_status"], 128 + signal.SIGKILL)
        self.assertEqual(self.session(daemon, "second")["state"], "running")
        hand = self.by_hand("hand", "read go")
        self.wait_for_state(daemon, "hand", "running")
        hand.kill()
        self.assertNotIn("exit_status", self.wait_for_state(daemon, "hand", "ended"))  # nobody told

    def test_sessions_outlive_a_daemon_that_is_killed(self):
        daemon = self.start(policy=self.policy)
        fifo = os.path.join(self.directory, "go")
        os.mkfifo(fifo)
        self.create(daemon, kind="run", id="a1", command=["sh", "-c", f"getent hosts one.seen.example; read go <{fifo}; "
                                                          "getent hosts two.seen.example; exec sleep 1000"])
        before = self.events(daemon, "after=&kind=dns&host=one.seen.example", 1)[0]
        daemon.kill()
        daemon.wait(timeout=WAIT_S)
        with open(fifo, "w", encoding="utf-8") as file:
            file.write("go\n")
        daemon = self.start(policy=self.policy)
        found = self.wait_for_state(daemon, "a1", "running")
        self.assertFalse(found["started_here"])
        # The new daemon has what happened before it and meanwhile, and the old id still means the same place.
        last = self.events(daemon, f"after={before['id']}&kind=dns&host=two.seen.example", 1)[0]
        self.assertGreater(last["id"], before["id"])
        again = self.events(daemon, "after=&kind=dns&host=one.seen.example", 1)[0]
        self.assertEqual(again["id"], before["id"])
        self.ask(daemon, "DELETE", "/v1/sessions/a1", status=202)
        self.wait_for_state(daemon, "a1", "ended")

    def test_a_daemon_that_stops_ends_streams_and_leaves_sessions(self):
        daemon = self.start(policy=self.policy)
        session = self.create(daemon, kind="run", id="a1", command=["sleep", "1000"])
        stream = Stream(daemon.socket, "/v1/events")
        self.assertEqual(self.end(daemon), 0)
        self.assertEqual([line for line in stream.text().splitlines() if '"session_end"' in line], [])
        os.kill(session["pid"], 0)

    def test_ctl(self):
        daemon = self.start(policy=self.policy)
        def ctl(*words, status=0):
            return self.call("ctl", "--socket", daemon.socket, *words, status=status)[0]
        session = json.loads(ctl("sessions", "start", "--data", json.dumps(
            {"kind": "run", "id": "c 1", "command": ["sh", "-c", "getent hosts in.seen.example; exec sleep 1000"]})))
        self.pids.append(session["pid"])
        self.assertEqual([s["id"] for s in json.loads(ctl("sessions"))["sessions"]], ["c 1"])
        self.assertEqual(json.loads(ctl("sessions", "c 1"))["pid"], session["pid"])
        self.events(daemon, "after=&host=in.seen.example", 1)
        lines = ctl("events", "after=", "follow=false", "session=c 1", "kind=dns").splitlines()
        self.assertEqual({json.loads(line)["domain"] for line in lines}, {"in.seen.example"})
        self.assertEqual(json.loads(ctl("sessions", "maps", "c 1"))["names"][0]["address"], "192.0.2.7")
        ctl("sessions", "end", "c 1")
        self.wait_for_state(daemon, "c%201", "ended")
        ctl("GET", "/v1/trash", status=1)
        for words in (["sessions", "walk", "x"], ["sessions", "start"], ["events", "x"], ["trash", "a", "b", "c"]):
            ctl(*words, status=2)

    def test_a_stream_is_no_idle_connection(self):
        config = self.write("moonfence.yaml", f"api:\n  idle_s: 1\npolicy:\n  paths: [{self.policy}]\n")
        daemon = self.start("--config", config)
        stream = Stream(daemon.socket, "/v1/events?type=session_start")
        time.sleep(2.5)  # what is tested is a time-out of a second
        self.create(daemon, kind="run", id="a1", command=["sleep", "1000"])
        self.assertEqual(stream.line()["session_id"], "a1")
        stream.close()

    def trash(self, daemon, path, place):
        """Lose a file, find it, put it back; lose it again, for good."""
        self.write(os.path.relpath(path, self.directory), "precious")
        os.unlink(path)
        entry, = self.ask(daemon, "GET", f"/v1/trash?{place}&session=m1&glob=/**/lost")["entries"]
        self.assertEqual((entry["size"], entry["session"], entry["operation"]), (8, "m1", "delete"))
        self.assertEqual(self.ask(daemon, "GET", f"/v1/trash/{entry['token']}?{place}")["path"], entry["path"])
        back = self.ask(daemon, "POST", f"/v1/trash/{entry['token']}/restore?{place}")
        self.assertEqual(back, {"path": entry["path"], "replaced": None})
        told = self.events(daemon, "after=&type=trash_restore", 1)[0]
        self.assertEqual((told["path"], told["source"], told["fields"]),
                         (entry["path"], "api", {"trash_token": entry["token"], "to_path": entry["path"], "size": 8}))
        with open(back["path"], encoding="utf-8") as file:
            self.assertEqual(file.read(), "precious")
        problem = self.ask(daemon, "POST", f"/v1/trash/{entry['token']}/restore?{place}", status=404)
        self.assertIn(entry["token"], problem["detail"])
        os.unlink(path)
        entry, = self.ask(daemon, "GET", f"/v1/trash?{place}")["entries"]
        self.write("other", "x")
        other = os.path.join(self.directory, "other")
        self.ask(daemon, "POST", f"/v1/trash/{entry['token']}/restore?{place}", {"to": other}, status=409)
        self.assertEqual(self.ask(daemon, "DELETE", f"/v1/trash/{entry['token']}?{place}"), {"count": 1, "bytes": 8})
        self.assertEqual(self.events(daemon, "after=&type=trash_purge", 1)[0]["fields"]["trash_token"], entry["token"])
        self.ask(daemon, "DELETE", f"/v1/trash/{entry['token']}?{place}", status=404)
        self.assertEqual(self.ask(daemon, "GET", f"/v1/trash?{place}")["entries"], [])
        for query in ("", "?dir=here", "?dir=/a&source=/b", f"?{place}&limit=0"):
            self.ask(daemon, "GET", "/v1/trash" + query, status=422)
        self.ask(daemon, "GET", "/v1/trash?dir=/nonexistent/trash", status=404)
        self.ask(daemon, "GET", f"/v1/trash/no-token?{place}", status=404)

    def test_mount_and_its_trash(self):
        os.makedirs(os.path.join(self.directory, "src"))
        os.makedirs(os.path.join(self.directory, "mnt"))
        self.write("src/secret", "x")
        daemon = self.start(policy=self.policy)
        session = self.create(daemon, kind="mount", id="m1", source=os.path.join(self.directory, "src"),
                              place=os.path.join(self.directory, "mnt"), options=["--trash", os.path.join(self.directory, "trash")])
        self.assertEqual(session["place"], os.path.join(self.directory, "mnt"))
        with self.assertRaises(PermissionError):
            open(os.path.join(self.directory, "mnt/secret"), encoding="utf-8").close()
        self.assertEqual(self.events(daemon, "after=&path=/**/secret&verdict=deny", 1)[0]["session_id"], "m1")
        self.trash(daemon, os.path.join(self.directory, "mnt/lost"), "dir=" + os.path.join(self.directory, "trash"))
        self.ask(daemon, "DELETE", "/v1/sessions/m1", status=202)
        self.wait_for_state(daemon, "m1", "ended")
        self.assertFalse(os.path.ismount(os.path.join(self.directory, "mnt")))


if __name__ == "__main__":
    main()

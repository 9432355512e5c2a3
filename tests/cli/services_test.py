# SPDX-License-Identifier: Apache-2.0
"""What moonfence.yaml has the daemon run: started, taken over, restarted with bounds, changed by SIGHUP, ended."""
import http.server
import json
import os
import re
import signal
import subprocess
import threading
import unittest

import support
from daemon_support import DaemonCase
from support import LAUNCHER, ROOT, main
from trace_test import wait_for

FILES = """return { name = "files", file = function(q)
  if q.path:find("secret", 1, true) then return deny { reason = "secret" } end
  return allow {}
end }
"""


class Hello(http.server.ThreadingHTTPServer):
    daemon_threads = True


class HelloHandler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = b"hello from the server\n"
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments):
        pass


@unittest.skipIf(LAUNCHER, "the daemon runs no services on Windows")
class Services(DaemonCase):
    """A daemon with a directory of control sockets of its own, and a configuration."""

    def setUp(self):
        super().setUp()
        os.chmod(self.directory, 0o755)
        self.policy = self.write("files.lua", FILES)
        self.source = self.make_dir("source")
        with open(os.path.join(self.source, "plain"), "w", encoding="utf-8") as file:
            file.write("hello\n")
        with open(os.path.join(self.source, "secret"), "w", encoding="utf-8") as file:
            file.write("psst\n")
        self.place = self.make_dir("place")
        self.pids = set()
        self.addCleanup(self.end_services)

    def make_dir(self, name):
        path = os.path.join(self.directory, name)
        os.mkdir(path)
        return path

    def end_services(self):
        """What a test left running after a daemon that was killed."""
        for pid in self.pids:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        if os.path.ismount(self.place):
            subprocess.run(["umount", "-l", self.place], check=False)

    def config(self, text):
        return self.write("moonfence.yaml", f"policy:\n  paths: [{self.policy}]\n" + text)

    def mount(self, name="project", more=""):
        return (f"  - id: {name}\n    source: {self.source}\n    place: {self.place}\n"
                f"    trash: {self.directory}/trash\n{more}")

    def service(self, daemon, name):
        found = self.ask(daemon, "GET", f"/v1/services/{name}")
        if "pid" in found:
            self.pids.add(found["pid"])
        return found

    def wait_for_state(self, daemon, name, state, **more):
        def look():
            found = self.service(daemon, name)
            return found["state"] == state and all(found.get(k) == v for k, v in more.items()) and found
        return wait_for(look, f"{name} is not {state} {more}")

    def ctl(self, daemon, *words, status=0):
        done = subprocess.run([support.PROGRAM, "ctl", "--socket", daemon.socket, *words], capture_output=True, timeout=300, check=False)
        self.assertEqual(done.returncode, status, done.stderr)
        return json.loads(done.stdout) if status == 0 else done.stderr.decode()

    def test_a_mount_comes_with_the_daemon_and_goes_with_it(self):
        daemon = self.start("-c", self.config("mounts:\n" + self.mount()))
        found = self.wait_for_state(daemon, "project", "running")
        self.assertEqual((found["kind"], found["restarts"], found["taken_over"]), ("mount", 0, False))
        self.assertTrue(os.path.ismount(self.place))
        with open(os.path.join(self.place, "plain"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "hello\n")
        with self.assertRaises(PermissionError):
            open(os.path.join(self.place, "secret"), encoding="utf-8").close()
        session = self.ask(daemon, "GET", "/v1/sessions/project")
        self.assertEqual((session["place"], session["policies"], session["pid"]), (self.place, [self.policy], found["pid"]))
        self.assertEqual(self.ctl(daemon, "services", "project")["pid"], found["pid"])
        self.assertEqual(self.end(daemon), 0)
        self.assertFalse(os.path.ismount(self.place))
        with self.assertRaises(ProcessLookupError):
            os.kill(found["pid"], 0)

    def test_a_mount_that_is_killed_is_mounted_again_and_counted(self):
        daemon = self.start("-c", self.config("restart:\n  delay_ms: 1\nmounts:\n" + self.mount()))
        for turn in range(2):
            found = self.wait_for_state(daemon, "project", "running", restarts=turn)
            os.kill(found["pid"], signal.SIGKILL)
        found = self.wait_for_state(daemon, "project", "running", restarts=2)
        self.assertEqual((found["exit_status"], found["failures"]), (128 + signal.SIGKILL, 2))
        with open(os.path.join(self.place, "plain"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "hello\n")
        self.assertIn("moonfence_service_restarts_total 2\n", self.curl(daemon, "GET", "/v1/metrics")[2])
        self.assertEqual(self.end(daemon), 0)
        self.assertFalse(os.path.ismount(self.place))

    def helpers(self):
        """The processes that unmount the place when its server dies."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    words = file.read().decode().split("\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if "fusermount3" in words[0] and self.place in words:
                found.append(int(pid))
        return found

    def test_what_a_killed_mount_left_is_unmounted_first(self):
        config = self.config("restart: {delay_ms: 1}\nmounts:\n" + self.mount())
        daemon = self.start("-c", config)
        pid = self.wait_for_state(daemon, "project", "running")["pid"]
        for helper in self.helpers():
            os.kill(helper, signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
        found = self.wait_for_state(daemon, "project", "running", restarts=1)
        with open(os.path.join(self.place, "plain"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "hello\n")
        self.assertNotEqual(found["pid"], pid)
        self.assertEqual(self.end(daemon), 0)
        self.assertFalse(os.path.ismount(self.place))

    def test_who_fails_always_is_given_up_and_tried_again_by_request(self):
        marks = os.path.join(self.directory, "marks")
        daemon = self.start("-c", self.config(
            "restart: {delay_ms: 1, delay_max_ms: 4, times: 3}\nsessions:\n"
            f"  - id: broken\n    command: [sh, -c, 'echo x >>{marks}; exit 7']\n"
            f"  - id: once\n    command: [sh, -c, 'exit 9']\n    restart: never\n"
            "  - id: well\n    command: ['true']\n"))
        found = self.wait_for_state(daemon, "broken", "failed")
        # Where one took a minute to end, on a machine that is busy, it counts as one that ran, and the count begins anew.
        self.assertEqual((found["exit_status"], found["failures"]), (7, 4))
        restarts = found["restarts"]
        self.assertGreaterEqual(restarts, 3)
        self.assertIn("it ended with status 7", found["why"])
        self.assertIn("broken: it ended with status 7; it is not started again", self.daemon_errors())
        with open(marks, encoding="utf-8") as file:
            self.assertEqual(file.read(), "x\n" * (restarts + 1))
        self.assertEqual(self.wait_for_state(daemon, "once", "failed")["exit_status"], 9)
        self.assertEqual(self.wait_for_state(daemon, "well", "ended")["exit_status"], 0)
        self.assertEqual(self.ctl(daemon, "services", "restart", "broken")["id"], "broken")
        wait_for(lambda: self.service(daemon, "broken")["state"] == "failed" and self.service(daemon, "broken")["restarts"] >= restarts + 3,
                 "it was not tried again")
        self.assertIn("there is no service 'nobody'", self.ctl(daemon, "services", "stop", "nobody", status=1))

    def test_sighup_starts_and_ends_only_what_changed(self):
        daemon = self.start("-c", self.config("sessions:\n  - {id: a, command: [sleep, '1000']}\n  - {id: b, command: [sleep, '1000']}\n"
                                              "  - {id: c, command: [sleep, '1000']}\n"))
        pids = {name: self.wait_for_state(daemon, name, "running")["pid"] for name in "abc"}
        self.config("sessions:\n  - {id: b, command: [sleep, '2000']}\n  - {id: d, command: [sleep, '1000']}\n"
                    "  - {id: c, command: [sleep, '1000'], restart: always}\n")
        daemon.send_signal(signal.SIGHUP)
        wait_for(lambda: sorted(s["id"] for s in self.ask(daemon, "GET", "/v1/services")["services"]) == ["b", "c", "d"], "a is there")
        self.wait_for_state(daemon, "d", "running")
        found = wait_for(lambda: self.service(daemon, "b")["state"] == "running" and self.service(daemon, "b")["pid"] != pids["b"] and
                         self.service(daemon, "b"), "b is as it was")
        self.assertEqual(self.ask(daemon, "GET", f"/v1/sessions/{found['pid']}")["command"], ["sleep", "2000"])
        found = self.service(daemon, "c")
        self.assertEqual((found["pid"], found["restart"], found["restarts"]), (pids["c"], "always", 0))
        with self.assertRaises(ProcessLookupError):
            os.kill(pids["a"], 0)
        path = self.config("sessions:\n  - {id: b, comand: [sleep]}\n")
        problem = self.ask(daemon, "POST", "/v1/config/reload", status=422)
        self.assertEqual((problem["file"], problem["line"], problem["column"]), (path, 4, 13))
        self.assertIn("did you mean 'command'?", problem["detail"])
        self.config("sessions:\n  - {id: c, command: [sleep, '1000']}\n")
        self.assertEqual(self.ctl(daemon, "services", "reload"),
                         {"started": [], "changed": [], "ended": ["b", "d"], "settings": [], "restart_needed": [], "overridden": []})
        self.assertEqual(self.service(daemon, "c")["pid"], pids["c"])

    def test_what_a_killed_daemon_leaves_is_taken_over(self):
        config = self.config("mounts:\n" + self.mount() + "sessions:\n  - {id: s, command: [sleep, '1000']}\n"
                             "  - {id: k, command: [sleep, '1000'], keep: true}\n")
        daemon = self.start("-c", config)
        pids = {name: self.wait_for_state(daemon, name, "running")["pid"] for name in ("project", "s", "k")}
        daemon.kill()
        daemon.wait()
        daemon.stdout.close()
        daemon = self.start("-c", config)
        for name, pid in pids.items():
            self.assertEqual(self.wait_for_state(daemon, name, "running", taken_over=True)["pid"], pid)
        self.assertEqual(self.end(daemon), 0)
        self.assertFalse(os.path.ismount(self.place))
        os.kill(pids["k"], 0)  # what is kept goes on
        daemon = self.start("-c", config)
        self.assertEqual(self.wait_for_state(daemon, "k", "running")["pid"], pids["k"])
        self.assertNotEqual(self.wait_for_state(daemon, "s", "running")["pid"], pids["s"])
        self.ask(daemon, "POST", "/v1/services/k/stop", status=202)
        self.wait_for_state(daemon, "k", "ended")
        self.assertEqual(self.end(daemon), 0)

    @unittest.skipIf(os.uname().sysname != "Linux", "domain forwarding is Linux' only")
    def test_the_proxy_leads_names_to_servers_while_the_daemon_runs(self):
        server = Hello(("127.0.0.1", 0), HelloHandler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        output = os.path.join(self.directory, "proxy.out")
        config = self.config(f"proxy:\n  listen: 127.0.0.1:0\n  maps: {{app.localhost: {server.server_port}}}\n  dir: {self.directory}/proxy\n"
                             f"  ca_dir: {self.directory}/ca\n  detection: false\n  output: {output}\n")
        daemon = self.start("-c", config)
        found = self.wait_for_state(daemon, "proxy", "running")
        self.assertEqual(self.ask(daemon, "GET", "/v1/sessions/proxy")["place"], os.path.join(self.directory, "proxy"))
        with open(output, encoding="utf-8") as file:
            port = re.search(r"Listening on 127\.0\.0\.1:(\d+)", file.read()).group(1)
        curl = ["curl", "-sS", "--noproxy", "*", "--max-time", "120", "--connect-to", f"::127.0.0.1:{port}", "--cacert",
                os.path.join(self.directory, "proxy/temporary-ca.pem"), "https://app.localhost/"]
        done = subprocess.run(curl, capture_output=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, b"hello from the server\n"), done.stderr)
        daemon.kill()
        daemon.wait()
        daemon.stdout.close()
        daemon = self.start("-c", config)
        self.assertEqual(self.wait_for_state(daemon, "proxy", "running", taken_over=True)["pid"], found["pid"])
        self.assertEqual(subprocess.run(curl, capture_output=True, check=False).stdout, b"hello from the server\n")
        self.assertEqual(self.end(daemon), 0)
        self.assertEqual(subprocess.run(curl, capture_output=True, check=False).returncode, 7)

    def test_the_gateway_serves_while_the_daemon_runs(self):
        output = os.path.join(self.directory, "gateway.out")
        policy = self.write("web.lua", 'return { name = "web", dns = function(q) return resolve "192.0.2.7" end }\n')
        config = self.config(f"gateway:\n  listen: ['127.0.0.1:0', '[::1]:0']\n  auth: none\n  origins: ['https://app.example']\n"
                             f"  allow_private: true\n  policies: [{policy}]\n  output: {output}\n")
        daemon = self.start("-c", config)
        self.wait_for_state(daemon, "gateway", "running")
        session = self.ask(daemon, "GET", "/v1/sessions/gateway")
        self.assertEqual((session["kind"], session["policies"]), ("gateway", [policy]))
        with open(output, encoding="utf-8") as file:
            four, six = re.findall(r"http://\S+/", file.read())
        curl = ["curl", "-sS", "-g", "--noproxy", "*", "--max-time", "120"]
        for url in (four, six):
            done = subprocess.run([*curl, url + "dns-json?name=any.example&type=A", "-H", "Origin: https://app.example"], capture_output=True, check=False)
            self.assertIn(b"192.0.2.7", done.stdout, done)
        self.assertEqual(self.end(daemon), 0)
        self.assertEqual(subprocess.run([*curl, four], capture_output=True, check=False).returncode, 7)

    def test_mistakes_are_told_with_their_place(self):
        for text, where, say in (
                ("mount: []\n", "1:1", "unknown key 'mount'; did you mean 'mounts'?"),
                ("mounts: {}\n", "1:9", "'mounts' wants a list"),
                ("mounts:\n- id: a\n  source: /s\n", "2:3", "place is missing"),
                ("mounts:\n- id: a\n  source: s\n  place: /p\n", "3:11", "source wants an absolute path"),
                ("mounts:\n- {id: a, source: /s, place: /p, threats: 3}\n", "2:34", "unknown key 'threats' in 'mounts'"),
                ("mounts:\n- {id: a, source: /s, place: /p, allow_othr: true}\n", "2:34", "did you mean 'allow_other'?"),
                ("sessions:\n- {id: a, command: sleep}\n", "2:20", "command wants a list"),
                ("sessions:\n- {id: a, command: []}\n", "2:20", "command is empty"),
                ("sessions:\n- {command: [x]}\n", "2:3", "id is missing"),
                ("sessions:\n- {id: a, command: [x]}\n- {id: a, command: [y]}\n", "3:3", "the id 'a' is there twice"),
                ("sessions:\n- {id: a, command: [x], restart: often}\n", "2:34", "on_failure, always or never"),
                ("sessions:\n- {id: a, command: [x], policies: [p.lua]}\n", "2:36", "absolute paths or pack:NAME"),
                ("proxy: {id: x}\n", "1:9", "unknown key 'id' in 'proxy'"),
                ("proxy: {maps: [a]}\n", "1:15", "maps wants NAME: text"),
                ("proxy: {listen: ''}\n", "1:17", "listen wants text"),
                ("gateway: {auth: none}\n", "1:10", "listen is missing"),
                ("gateway: {listen: 127.0.0.1:0}\n", "1:19", "listen wants a list"),
                ("restart: {times: -1}\n", "1:18", "from 0 to 1000")):
            path = self.write("bad.yaml", text)
            err = self.call("daemon", "-c", path, "--check", status=2)[1]
            self.assertIn(f"bad.yaml:{where}: ", err)
            self.assertIn(say, err)

    def test_every_key_is_in_the_manual(self):
        with open(os.path.join(ROOT, "daemon/config_services.c"), encoding="utf-8") as file:
            keys = re.findall(r'^\t\{ "(\w+)", (?:ALL|RUN|MOUNT|PROXY|GATEWAY)', file.read(), re.M)
        self.assertGreater(len(keys), 25)
        with open(os.path.join(ROOT, "docs/daemon.md"), encoding="utf-8") as file:
            text = file.read()
        self.assertEqual([key for key in keys if f"`{key}`" not in text], [])


if __name__ == "__main__":
    main()

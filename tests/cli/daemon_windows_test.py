# SPDX-License-Identifier: Apache-2.0
"""The daemon on Windows: its pipe, and the service that the system starts. Under wine, or nowhere."""
import json
import os
import subprocess
import unittest

import support
from daemon_support import DaemonCase
from support import LAUNCHER

POLICY = "return { name = 'p', dns = function(q) if q:is 'bad.example' then return deny 'bad' end return allow() end }\n"


@unittest.skipUnless(LAUNCHER, "Windows only")
class Pipe(DaemonCase):
    def setUp(self):
        super().setUp()
        self.policy = self.write("p.lua", POLICY)
        self.name = r"\\.\pipe\moonfence-test-%d" % os.getpid()

    def start(self, *arguments, **more):
        return super().start("--socket", self.name, "--policy", self.policy, *arguments, socket=None, **more)

    def ctl(self, *words, status=0):
        return self.call("ctl", "--socket", self.name, *words, status=status)

    def test_requests_go_over_the_pipe(self):
        self.assertIn("no daemon serves", self.ctl("health", status=125)[1])
        d = self.start()
        self.assertEqual(d.socket, self.name)
        self.assertEqual(json.loads(self.ctl("health")[0])["status"], "ok")
        self.assertEqual(json.loads(self.ctl("decide", "dns", "bad.example")[0])["reason"], "bad")
        body = self.write("body.json", json.dumps([{"name": f"{'x' * 60}.n{i}.example"} for i in range(512)]))
        answers = json.loads(self.ctl("--data", "@body.json", "POST", "/v1/decide/dns")[0])
        self.assertEqual([a["verdict"] for a in answers], ["allow"] * 512)
        self.assertGreater(os.path.getsize(body), 32768)
        self.assertIn("/nane", self.ctl("--data", '{"nane": "x"}', "POST", "/v1/decide/dns", status=1)[1])
        self.assertEqual(json.loads(self.ctl("policy", "load")[0])["candidate"], 1)
        self.assertEqual(json.loads(self.ctl("policy", "activate")[0])["number"], 2)
        self.assertIn("another daemon serves", self.call("daemon", "-s", self.name, "-p", self.policy, status=125)[1])

    def test_many_come_and_go(self):
        self.start()
        for _ in range(2):
            clients = [subprocess.Popen([*LAUNCHER, support.PROGRAM, "ctl", "--socket", self.name, "health"],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(12)]
            for client in clients:
                out, err = client.communicate(timeout=300)
                self.assertEqual(client.returncode, 0, err)
                self.assertEqual(json.loads(out)["status"], "ok")

    def test_what_is_no_pipe_is_refused(self):
        err = self.call("daemon", "-s", r"C:\\x.sock", "-p", self.policy, status=125)[1]
        self.assertIn("a control pipe is called", err)
        config = self.write("c.yaml", "api: {allow_users: [nobody-of-this-name]}\n")
        self.assertIn("there is no account", self.call("daemon", "-s", self.name, "-c", config, "-p", self.policy, status=125)[1])


@unittest.skipUnless(LAUNCHER, "Windows only")
class Service(DaemonCase):
    def net(self, *words):
        return subprocess.run([*LAUNCHER, "net.exe", *words], capture_output=True, timeout=600, check=False)

    def test_it_is_installed_started_stopped_and_removed(self):
        policy = self.write("p.lua", POLICY)
        name = r"\\.\pipe\moonfence-service-%d" % os.getpid()
        config = self.write("moonfence.yaml", f"api: {{socket: '{name}'}}\npolicy: {{paths: ['Z:{policy}']}}\n")
        self.assertIn("service", self.call("daemon", "--uninstall", status=1)[1])
        self.call("daemon", "--service", status=125)
        self.call("daemon", "--install", "--config", "Z:" + config)
        self.addCleanup(subprocess.run, [*LAUNCHER, support.PROGRAM, "daemon", "--uninstall"], capture_output=True, check=False)
        self.assertIn("exists", self.call("daemon", "--install", "--config", "Z:" + config, status=1)[1])
        done = self.net("start", "moonfence")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        answer = self.call_json("ctl", "--socket", name, "decide", "dns", "bad.example")
        self.assertEqual(answer["reason"], "bad")
        done = self.net("stop", "moonfence")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("no daemon serves", self.call("ctl", "--socket", name, "health", status=125)[1])
        self.net("start", "moonfence")
        self.call_json("ctl", "--socket", name, "health")
        self.call("daemon", "--uninstall")  # stops it first
        self.assertIn("no daemon serves", self.call("ctl", "--socket", name, "health", status=125)[1])
        self.call("daemon", "--uninstall", status=1)


if __name__ == "__main__":
    support.main()

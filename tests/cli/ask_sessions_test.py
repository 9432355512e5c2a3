# SPDX-License-Identifier: Apache-2.0
"""`moonfence proxy`, `resolver` and `mount` as sessions: their control sockets, and questions that they put there and wait for."""
import json
import os
import shutil
import subprocess
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import support
from support import LAUNCHER, main
from trace_test import Sessions, WAIT_S, wait_for

POLICY = """return { name = "asks",
  dns = function(q)
    if q:is "ask.example" then return ask{ message = "may it be looked up?" } end
    return resolve { "192.0.2.7" }
  end,
  connect = function(c)
    if c.host == "ask.example" then return redirect{ to = "127.0.0.1:%(port)d" } end
    if c.host == "begin.example" then return ask{ message = "may it begin?" } end
    return deny "not there"
  end,
  sni = function(s)
    if s.sni == "ask.example" then return ask{ message = "may it go on?" } end
    return allow()
  end,
  file = function(f)
    if f.op == "delete" then return ask{ message = "may it go?" } end
    return allow()
  end }
"""


class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"it is there\n")

    def log_message(self, *_):
        pass


class AskSessions(Sessions):
    def setUp(self):
        super().setUp()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.policy = self.write("asks.lua", POLICY % {"port": self.server.server_port})

    def approvals(self, *words, status=0):
        return self.call("approvals", *words, status=status, env={"MOONFENCE_RUN_DIR": self.run_dir})[0]

    def question(self, name):
        """The one that waits."""
        found = wait_for(lambda: json.loads(self.approvals("list", "-s", name, "--json")), "no question came")
        self.assertEqual(len(found), 1, found)
        return found[0]

    def client(self, *words):
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(lambda: (process.poll() is None and process.kill(), process.wait(), process.stdout.close(), process.stderr.close()))
        return process

    def ended(self, client):
        out, err = client.communicate(timeout=WAIT_S)
        return client.returncode, out, err


@unittest.skipIf(LAUNCHER or os.uname().sysname != "Linux", "domain forwarding is Linux' only")
class Proxy(AskSessions):
    def proxy(self, *options):
        process = self.start("proxy", "enable", "--foreground", "--listen", "127.0.0.1:0", "--dir", os.path.join(self.directory, "proxy"),
                             "--ca-dir", os.path.join(self.directory, "ca"), "--no-detection", *options)
        process.port = int(process.stdout.readline().decode().rsplit(":", 1)[1])
        return process

    def curl(self, proxy, url, *more):
        return self.client("curl", "-sS", "--noproxy", "*", "--max-time", str(WAIT_S), "--connect-to", f"::127.0.0.1:{proxy.port}", *more, url)

    def test_it_is_a_session(self):
        proxy = self.proxy("--policy", self.policy)
        card = self.card(proxy)
        self.assertEqual((card["id"], card["kind"], card["pid"], card["policies"]), ("proxy", "proxy", proxy.pid, [self.policy]))
        self.assertEqual(card["place"], os.path.join(self.directory, "proxy"))
        self.assertRegex(self.trace("--list")[0], rf"proxy +{proxy.pid} +proxy")
        status, _, _ = self.ended(self.curl(proxy, "https://other.example/", "-k"))
        self.assertEqual(status, 35)
        out = self.trace("--kept", "--count", "1", "--verdict", "deny")[0]
        self.assertIn("deny connect other.example:", out)
        self.assertRegex(out, r"asks.lua:9\), by \w+: not there")
        self.ask(proxy, "/v1/maps", 404)  # it answers no questions for those whose connections it forwards
        self.ask(proxy, "/v1/approvals", 404)  # it was not started so
        stream = subprocess.run(["curl", "-sS", "--unix-socket", self.control(proxy), "-X", "DELETE", "http://localhost/v1/session"],
                                check=True, capture_output=True, timeout=WAIT_S)
        self.assertEqual(json.loads(stream.stdout), {"id": "proxy"})
        self.assertEqual(proxy.wait(timeout=WAIT_S), 0)
        self.assertEqual(os.listdir(os.path.join(self.run_dir, "sessions")), [])

    def test_it_has_no_policy_and_is_one_all_the_same(self):
        proxy = self.proxy("--map", f"app.localhost={self.server.server_port}")
        self.assertEqual(self.card(proxy)["policies"], [])
        status, out, err = self.ended(self.curl(proxy, "http://app.localhost/"))
        self.assertEqual((status, out), (0, "it is there\n"), err)

    def test_a_request_waits_for_its_answer(self):
        proxy = self.proxy("--policy", self.policy, "--approvals", "control")
        client = self.curl(proxy, "http://ask.example/")
        asked = self.question("proxy")
        self.assertEqual((asked["kind"], asked["message"], asked["fields"]["sni"]), ("sni", "may it go on?", "ask.example"))
        # another one is served meanwhile
        self.assertEqual(self.ended(self.curl(proxy, "https://other.example/", "-k"))[0], 35)
        self.assertIsNone(client.poll())
        self.approvals("allow", str(asked["id"]))
        status, out, err = self.ended(client)
        self.assertEqual((status, out), (0, "it is there\n"), err)
        client = self.curl(proxy, "http://ask.example/")
        self.approvals("deny", str(self.question("proxy")["id"]))
        self.assertNotIn("it is there", self.ended(client)[1])

    def test_a_hello_waits_at_connect_and_who_leaves_takes_the_question_along(self):
        proxy = self.proxy("--policy", self.policy, "--approvals", "control")
        client = self.curl(proxy, "https://begin.example/", "-k")
        asked = self.question("proxy")
        self.assertEqual((asked["kind"], asked["message"]), ("connect", "may it begin?"))
        client.kill()
        wait_for(lambda: not json.loads(self.approvals("list", "--json")), "its question still waits")
        client = self.curl(proxy, "https://begin.example/", "-k")
        self.approvals("deny", str(self.question("proxy")["id"]))
        self.assertEqual(self.ended(client)[0], 35)

    def test_it_ends_with_questions(self):
        proxy = self.proxy("--policy", self.policy, "--approvals", "control")
        client = self.curl(proxy, "http://ask.example/")
        self.question("proxy")
        proxy.terminate()
        self.assertEqual(proxy.wait(timeout=WAIT_S), 0)
        self.assertNotEqual(self.ended(client)[0], 0)


@unittest.skipIf(LAUNCHER, "Windows' sessions have no control sockets")
@unittest.skipUnless(shutil.which("dig"), "there is no dig")
class Resolver(AskSessions):
    def dig(self, resolver, name):
        return self.client("dig", "@" + resolver.at[0], "-p", resolver.at[1], "+tries=1", f"+time={WAIT_S}", name)

    def test_a_name_waits_for_its_answer(self):
        resolver = self.resolver("r1", "--approvals", "control", "--dns", "127.0.0.1:9")
        client = self.dig(resolver, "ask.example")
        asked = self.question("r1")
        self.assertEqual((asked["kind"], asked["message"], asked["fields"]["name"]), ("dns", "may it be looked up?", "ask.example"))
        self.assertIn("192.0.2.7", self.ended(self.dig(resolver, "other.example"))[1])
        self.approvals("deny", str(asked["id"]))
        self.assertIn("EDE: 15 (Blocked)", self.ended(client)[1])
        client = self.dig(resolver, "ask.example")
        asked = self.question("r1")
        self.approvals("allow", str(asked["id"]))
        self.assertIn("status: SERVFAIL", self.ended(client)[1])  # it was forwarded: nobody is there

    def test_without_it_nobody_waits(self):
        resolver = self.resolver("r1")
        self.assertIn("EDE: 15 (Blocked)", self.ended(self.dig(resolver, "ask.example"))[1])
        self.assertIn("approve_without_channel", self.trace("--kept", "--count", "1")[0])


@unittest.skipIf(LAUNCHER or os.uname().sysname != "Linux", "elsewhere a mount's operations cannot wait")
@unittest.skipUnless(os.access("/dev/fuse", os.R_OK | os.W_OK), "FUSE is not ours to use")
class Mount(AskSessions):
    def test_a_file_waits_for_its_answer(self):
        source, place = (os.path.join(self.directory, name) for name in ("source", "place"))
        os.mkdir(source)
        os.mkdir(place)
        for name in ("one", "two", "three"):
            self.write("source/" + name, name)
        mount = self.start("mount", "--session", "m1", "--no-trash", "--policy", self.policy, "--approvals", "control", source, place)
        self.assertIn(b"is seen at", mount.stdout.readline())
        kept = open(os.path.join(place, "two"), encoding="utf-8")  # the kernel locks the directory of what is removed
        self.addCleanup(kept.close)
        client = self.client("rm", os.path.join(place, "one"))
        asked = self.question("m1")
        self.assertEqual((asked["kind"], asked["fields"]["op"], asked["message"]), ("file", "delete", "may it go?"))
        self.assertEqual(kept.read(), "two")
        kept.close()
        self.approvals("allow", str(asked["id"]))
        self.assertEqual(self.ended(client)[0], 0)
        client = self.client("rm", os.path.join(place, "two"))
        self.approvals("deny", str(self.question("m1")["id"]))
        status, _, err = self.ended(client)
        self.assertEqual((status, "Permission denied" in err), (1, True), err)
        self.assertEqual(sorted(os.listdir(source)), ["three", "two"])
        # it ends with a question that waits
        client = self.client("rm", os.path.join(place, "three"))
        self.question("m1")
        mount.terminate()
        self.assertEqual(mount.wait(timeout=WAIT_S), 0)
        self.assertEqual(self.ended(client)[0], 1)
        self.assertEqual(sorted(os.listdir(source)), ["three", "two"])


@unittest.skipIf(LAUNCHER, "Windows' sessions have no control sockets")
class Words(AskSessions):
    def test_what_is_wrong_is_said(self):
        for words in (("resolver", "--listen", "127.0.0.1:0"), ("proxy", "enable"), ("mount", "a", "b")):
            err = self.call(*words, "--approvals", "terminal", status=2)[1]
            self.assertIn("--approvals knows 'control' and 'off', not 'terminal'", err)

    def test_who_cannot_be_asked_does_not_begin(self):
        blocked = self.write("blocked", "")
        done = subprocess.run([support.PROGRAM, "resolver", "--listen", "127.0.0.1:0", "--policy", self.policy, "--approvals", "control"],
                              env=dict(self.env, MOONFENCE_RUN_DIR=blocked), capture_output=True, text=True, timeout=WAIT_S, check=False)
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("--approvals control: this session has no control socket", done.stderr)


if __name__ == "__main__":
    main()

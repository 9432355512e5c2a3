# SPDX-License-Identifier: Apache-2.0
"""What a policy wants to be approved waits until a person has answered: names, connections, hellos, requests and datagrams of
real programs, held and answered at a terminal."""
import fcntl
import json
import os
import pty
import re
import select
import subprocess
import termios
import time

from scenario import HERE, NOBODY, PYTHON, Fenced, Scenario, main, slow

CURL = ["curl", "-sS", "--max-time", "120"]
LONG = 120  # seconds after which a broken run ends

POLICY = """return { name = "asks",
  dns = function(q)
    if q:is("echo.example") then return ask{ message = "may it look this up?", timeout = "%(timeout)s" } end
    return allow()
  end,
  connect = function(c)
    if c.port == 7 and c.proto == "tcp" then return ask{ message = "port 7", timeout = "%(timeout)s" } end
    if c.port == 7 then return ask{ reason = "datagrams", remember = "never" } end
    if c.port == 80 then return ask("by address") end
    return allow()
  end,
  sni = function(s)
    if s:is("allowed.example") then return ask{ reason = "hello", timeout = "%(timeout)s" } end
  end }
"""


class Terminal:
    """A program with a terminal of its own: what it shows is collected, lines are typed into it."""

    def __init__(self, lab, cmd, user, env):
        self.master, slave = pty.openpty()
        mode = termios.tcgetattr(slave)
        mode[3] &= ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, mode)

        def adopt():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        self.process = lab.popen(cmd, user=user, env=env, stdin=slave, stdout=slave, stderr=slave, preexec_fn=adopt)
        os.close(slave)
        self.text = ""
        self.seen = 0

    def read(self, seconds=0.05):
        """Return: False: everybody has closed it."""
        if not select.select([self.master], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.text += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)

    def expect(self, pattern):
        deadline = time.monotonic() + LONG
        while not (m := re.search(pattern, self.text[self.seen:])):
            if not self.read() or time.monotonic() > deadline:
                raise AssertionError(f"no {pattern!r} in what came after {self.text[:self.seen][-300:]!r}:\n{self.text[self.seen:]}")
        self.seen += m.end()
        return m

    def type(self, line):
        os.write(self.master, (line + "\n").encode())

    def wait(self):
        deadline = time.monotonic() + LONG
        while self.read() and time.monotonic() < deadline and not (self.process.poll() is not None and not select.select([self.master], [], [], 0)[0]):
            pass
        return self.process.wait(LONG)

    def close(self):
        os.close(self.master)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Approvals:
    timeout = "2m"

    def asks(self, text=None, **values):
        return self.lab.write(f"policies/asks-{type(self).__name__}-{self._testMethodName}.lua",
                              text or POLICY % dict({"timeout": self.timeout}, **values))

    def terminal(self, cmd, policy=None):
        if os.path.exists(self.events_path):
            os.unlink(self.events_path)
        t = Terminal(self.lab, self.fence_command(cmd if isinstance(cmd, list) else ["bash", "-c", cmd], "--approvals", "terminal",
                                                  policy=policy or self.asks()), self.user, self.environment())
        self.addCleanup(t.close)
        return t

    def ended(self, t):
        status = t.wait()
        return Fenced(subprocess.CompletedProcess([], status, t.text, ""), self.read_events())

    def test_a_name_a_connection_and_what_is_told_of_them(self):
        t = self.terminal("printf 'hello\\n' | nc -4 -N -w 110 echo.example 7")
        t.expect(r"approval 1: the session wants to\n  look up echo\.example A\n  by: .*\n  why: may it look this up\?\n  rule: asks, dns\(\) \(.*:3\)\n")
        t.expect(r"allow\? ")
        t.type("y")
        t.expect(r"approval 2: the session wants to\n  connect to echo\.example \([0-9.]+\) port 7/tcp\n(.*\n)*allow\? ")
        t.type("what?")
        t.expect(r"y, s, t 10m or n\? ")
        t.type("y")
        t.expect("hello\n")
        r = self.ended(t)
        self.assertEqual(r.status, 0, r)
        self.assertTrue(r.find("approval_requested", policy__decision="ask", domain="echo.example", effective_action="held",
                               fields__approval=1, fields__kind="dns", fields__timeout_ms=120000), r)
        self.assertTrue(r.find("approval_answered", fields__answer="allow", fields__scope="once", fields__how="terminal",
                               fields__by_uid=self.user or 0, fields__approval=2, fields__kind="connect"), r)
        self.assertTrue(r.find("net_connect", effective_action="allowed", policy__decision="ask", policy__effective_decision="allow",
                               policy__reason="approved"), r)

    def test_a_no(self):
        t = self.terminal([*CURL, "http://cdn-good.example/"])
        t.expect(r"port 80/tcp\n(.*\n)*allow\? ")
        t.type("n")
        r = self.ended(t)
        self.assertIn("does not allow GET", r.out, r)
        self.assertTrue(r.find("net_connect", effective_action="blocked", policy__decision="ask", policy__effective_decision="deny",
                               policy__reason="approval_denied"), r)

    def test_for_the_session_and_once(self):
        url = "http://cdn-good.example/"
        t = self.terminal(f"curl -sS -o /dev/null {url}; curl -sS -o /dev/null {url} && echo second; curl -sS {url} && echo third")
        t.expect(r"allow\? ")
        t.type("y")
        t.expect(r"approval 2(.*\n)*allow\? ")
        t.type("s")
        t.expect("second\n")
        t.expect("third\n")
        r = self.ended(t)
        self.assertEqual(len(r.find("approval_requested")), 2, r)

    def test_a_hello_waits_before_a_byte_goes_on(self):
        t = self.terminal([*CURL, "https://allowed.example/"])
        t.expect(r"speak to allowed\.example at allowed\.example \([0-9a-f.:]+\) port 443/tcp\n(.*\n)*allow\? ")
        t.type("t 10m")
        t.expect("server=web host=allowed.example sni=allowed.example port=443\n")
        r = self.ended(t)
        self.assertTrue(r.find("approval_answered", fields__scope="time", fields__for_ms=600000), r)
        self.assertEqual(r.status, 0, r)

    def test_datagrams_wait_and_are_sent_then(self):
        t = self.terminal([PYTHON, "-c", "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(110)\n"
                           "s.connect((socket.gethostbyname('echo.example'), 7)); s.send(b'one'); s.send(b'two')\n"
                           "print(s.recv(9), s.recv(9))"], policy=self.asks(POLICY.replace("is(\"echo", "is(\"none") % {"timeout": "2m"}))
        t.expect(r"port 7/udp\n(.*\n)*  y yes, once   n no .*\nallow\? ")
        t.type("s")
        t.expect(r"lets no answer be remembered: y or n\? ")
        t.type("y")
        r = self.ended(t)
        self.assertIn("b'one' b'two'", r.out)

    def test_nobody_answers(self):
        r = self.fence([*CURL, "http://cdn-good.example/"], policy=self.asks(POLICY.replace('ask("by address")', 'ask{timeout="300ms"}')
                                                                                  % {"timeout": "1s"}))
        self.assertTrue(r.find("net_connect", effective_action="blocked", policy__reason="approve_without_channel"), r)
        t = self.terminal([*CURL, "http://cdn-good.example/"], policy=self.asks(POLICY.replace('ask("by address")', 'ask{timeout="300ms"}')
                                                                                     % {"timeout": "1s"}))
        r = self.ended(t)
        self.assertTrue(r.find("approval_expired"), r)
        self.assertTrue(r.find("net_connect", effective_action="blocked", policy__reason="approval_timed_out"), r)

    def test_who_gives_up_takes_the_question_along(self):
        t = self.terminal("curl -sS --max-time 3 http://cdn-good.example/; cat >/dev/null")
        t.expect(r"allow\? ")
        t.expect("answered elsewhere, withdrawn, or too late\n")
        os.write(t.master, b"\x04")
        r = self.ended(t)
        self.assertTrue(r.find("approval_withdrawn", fields__approval=1), r)

    # -- by the control socket --------------------------------------------------------------------------------------------

    def control(self, *args):
        """Whoever runs moonfence, outside of the session."""
        return self.lab.run([self.program, "approvals", *args], user=self.user, env=self.environment())

    def held(self, cmd, policy=None, options=("--approvals", "control")):
        if os.path.exists(self.events_path):
            os.unlink(self.events_path)
        name = f"ask-{type(self).__name__}-{self._testMethodName}"
        p = self.lab.popen(self.fence_command(cmd if isinstance(cmd, list) else ["bash", "-c", cmd], "-s", name, *options,
                                              policy=policy or self.asks()),
                           user=self.user, env=self.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return p, name

    def wait_for(self, name, cnt=1):
        deadline = time.monotonic() + LONG
        while True:
            r = self.control("list", "-s", name, "--json")
            if r.returncode == 0 and len(found := json.loads(r.stdout)) >= cnt:
                return found
            self.assertLess(time.monotonic(), deadline, f"{r.stdout}\n{r.stderr}")
            time.sleep(0.05)

    def finished(self, p):
        out, err = p.communicate(timeout=LONG)
        return Fenced(subprocess.CompletedProcess([], p.returncode, out, err), self.read_events())

    def test_answers_of_a_command(self):
        p, name = self.held([*CURL, "http://cdn-good.example/"])
        asked = self.wait_for(name)[0]
        self.assertEqual((asked["kind"], asked["rule"], asked["fields"]["host"], asked["fields"]["port"], asked["requests"]),
                         ("connect", "connect()", "cdn-good.example", "80", 1))
        r = self.control("list")
        self.assertRegex(r.stdout, rf"1  {name}  \d+s  connect to cdn-good\.example \([0-9.]+\) port 80/tcp  \(by address\)\n")
        r = self.control("show", "-s", name, "1")
        self.assertRegex(r.stdout, r"rule +connect\(\)\n")
        self.assertEqual(self.control("allow", "-s", name, "7").returncode, 1)
        r = self.control("allow", "-s", name, "--remember", "10m", "1")
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        r = self.finished(p)
        self.assertEqual(r.status, 0, r)
        answered = r.find("approval_answered", fields__how="control", fields__answer="allow", fields__scope="time", fields__for_ms=600000,
                          fields__by_uid=self.user or 0)
        self.assertTrue(answered and answered[0]["fields"]["by_pid"] > 1, r)

    def test_a_no_of_a_command(self):
        p, name = self.held([*CURL, "http://cdn-good.example/"])
        self.wait_for(name)
        self.assertEqual(self.control("deny", "-s", name, "1").returncode, 0)
        r = self.finished(p)
        self.assertTrue(r.find("net_connect", effective_action="blocked", policy__reason="approval_denied"), r)

    def test_who_watches_hears_of_each(self):
        p, name = self.held("curl -sS http://cdn-good.example/; curl -sS http://cdn-good.example/")
        self.wait_for(name)
        w = self.lab.popen([self.program, "approvals", "watch", "-s", name, "--json"], user=self.user, env=self.environment(),
                           stdout=subprocess.PIPE, text=True)
        for i in (1, 2):
            self.assertEqual(json.loads(w.stdout.readline())["id"], i)
            self.assertEqual(self.control("allow", "-s", name, str(i)).returncode, 0)
        self.assertEqual(self.finished(p).status, 0)
        self.assertEqual(w.stdout.read(), "")
        self.assertEqual(w.wait(LONG), 0)
        w.stdout.close()

    def test_the_command_cannot_answer_itself(self):
        """The same user, inside: it finds no session to answer, nor a terminal to type into."""
        t, held, tried = self.lab.path("typed.py"), self.lab.path("held"), os.path.join(self.work, "tried")
        self.lab.write("typed.py", "import fcntl, sys, termios\ntry:\n  fcntl.ioctl(open('/dev/tty', 'rb', 0), termios.TIOCSTI, b'y')\n"
                       "  print('typed')\nexcept OSError as e:\n  print('no typing', e.errno)\n")
        cmd = f"{self.program} approvals list; {self.program} approvals allow 1; find / -xdev -name '*.sock' -path '*sessions*' 2>/dev/null;" \
              f" curl -sS --max-time 100 http://cdn-good.example/ & until [ -e {held} ]; do sleep 0.05; done;" \
              f" for i in 1 2 3; do {self.program} approvals allow 1; done; {PYTHON} {t}; touch {tried}; wait"
        p, name = self.held(cmd)
        self.wait_for(name)
        self.lab.write("held", "")
        deadline = time.monotonic() + LONG
        while not os.path.exists(tried):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        self.assertEqual(len(self.wait_for(name)), 1)
        self.assertEqual(self.control("deny", "-s", name, "1").returncode, 0)
        r = self.finished(p)
        self.assertFalse(r.find("approval_answered", fields__answer="allow"), r)
        self.assertNotIn("typed", r.out.replace("typed.py", ""), r)

    def test_a_flood_is_bounded(self):
        """A thousand connections to a hundred places: ten questions wait, whatever else comes is denied at once."""
        p, name = self.held([PYTHON, "-c", "import socket, sys\n"
                             "socks = []\nfor i in range(1000):\n  s = socket.socket(); s.settimeout(100); s.connect(('11.0.%d.%d' % (i % 100, 200), 80)); socks.append(s)\n"
                             "gone = 0\nfor s in socks:\n  try:\n    gone += s.recv(9) == b''\n  except ConnectionResetError:\n    gone += 1\n"
                             "  except TimeoutError:\n    pass\nprint(gone, flush=True)"])
        self.wait_for(name, 10)
        deadline = time.monotonic() + LONG
        while len([e for e in self.read_events() if e["type"] == "approval_refused"]) < 900:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.1)
        asked = self.wait_for(name, 10)
        self.assertEqual(len(asked), 10)
        self.assertEqual(sum(q["requests"] for q in asked), 100)
        for q in asked:
            self.assertEqual(self.control("deny", "-s", name, str(q["id"])).returncode, 0)
        r = self.finished(p)
        self.assertEqual(r.out, "1000\n", r.err)

    def test_a_reload_while_it_waits(self):
        """The new policies have the last word: an answer to what the old ones asked opens nothing."""
        policy = self.asks()
        p, name = self.held([*CURL, "http://cdn-good.example/"], policy=policy)
        self.wait_for(name)
        with open(policy, encoding="utf-8") as f:
            text = f.read()
        self.lab.write(policy + ".new", text.replace('ask("by address")', 'deny("closed")'))
        os.rename(policy + ".new", policy)
        deadline = time.monotonic() + LONG
        while not [e for e in self.read_events() if e["type"] == "policy_changed"]:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        self.assertEqual(self.control("allow", "-s", name, "1").returncode, 0)
        r = self.finished(p)
        self.assertTrue(r.find("net_connect", effective_action="blocked", policy__reason="closed"), r)

    def test_without_the_option_nothing_waits(self):
        p, name = self.held("curl -sS http://cdn-good.example/; sleep 600", options=())
        deadline = time.monotonic() + LONG
        while not [e for e in self.read_events() if (e.get("policy") or {}).get("reason") == "approve_without_channel"]:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        r = self.control("list", "-s", name)
        self.assertEqual(r.returncode, 1, r.stdout)
        self.assertIn("not started with --approvals control", r.stderr)
        p.terminate()
        self.finished(p)

    def test_a_policy_of_agentsh(self):
        with open(os.path.join(HERE, "policies", "agentsh.yaml"), encoding="utf-8") as f:
            policy = self.lab.write(f"policies/approve-{type(self).__name__}.yaml", f.read())
        p, name = self.held("printf 'hello\\n' | nc -4 -N -w 90 echo.example 7", policy=policy)
        asked = self.wait_for(name)[0]
        self.assertEqual((asked["kind"], asked["rule"], asked["message"]), ("dns", "network_rules[5] owner", "the owner must agree"))
        self.assertGreater(asked["left_ms"], 200000)
        self.assertEqual(self.control("allow", "-s", name, "--remember", "session", "1").returncode, 0)
        self.assertEqual(self.wait_for(name)[0]["kind"], "connect")
        self.assertEqual(self.control("allow", "-s", name, "2").returncode, 0)
        r = self.finished(p)
        self.assertEqual((r.status, r.out), (0, "hello\n"), r)

    def test_a_request_to_a_service(self):
        """approve of http_services: an answer is for one method and target, and nothing reaches the server before it."""
        policy = self.lab.write(f"policies/approve-services-{type(self).__name__}.yaml", """version: 1
name: services
http_services:
  - name: plain
    upstream: http://allowed.example/base
    rules:
      - {name: people, methods: [POST], paths: ["/**"], decision: approve, message: "people post", timeout: 3m}
      - {name: read, methods: [GET], paths: ["/**"], decision: allow}
""")
        p, name = self.held("curl -sS -d body $PLAIN_API_URL/a?q=1; curl -sS -d body $PLAIN_API_URL/a?q=1; curl -sS -d body $PLAIN_API_URL/b;"
                            "curl -sS $PLAIN_API_URL/c", policy=policy)
        asked = self.wait_for(name)[0]
        self.assertEqual((asked["kind"], asked["rule"], asked["message"], asked["reason"], asked["fields"]["host"]),
                         ("connect", "http_services[0].rules[0] people", "people post", "POST /a?q=1", "allowed.example"))
        self.assertTrue(100000 < asked["left_ms"] <= 180000, asked)
        self.assertEqual(self.control("allow", "-s", name, "--remember", "session", "1").returncode, 0)
        asked = self.wait_for(name)[0]
        self.assertEqual((asked["id"], asked["reason"]), (2, "POST /b"))
        self.assertEqual(self.control("deny", "-s", name, "2").returncode, 0)
        r = self.finished(p)
        served = "server=web host=allowed.example sni= port=80\n"
        self.assertEqual(r.out, 2 * served + "moonfence: people post (http_services[0].rules[0] people)\n" + served, r)
        self.assertTrue(r.find("net_http_request", fields__url_path="/b", effective_action="blocked", policy__reason="approval_denied"), r)
        self.assertEqual(len(r.find("net_http_request", fields__url_path="/a", effective_action="allowed", policy__decision="ask",
                                    policy__reason="approved")), 2, r)
        # who gives up takes the question along
        seen = self.lab.path(f"seen-{type(self).__name__}")
        p, name = self.held(f"curl -sS -d body $PLAIN_API_URL/d & while [ ! -e {seen} ]; do sleep 0.05; done; kill $!; wait; curl -sS $PLAIN_API_URL/e",
                            policy=policy)
        self.wait_for(name)
        self.lab.write(os.path.basename(seen), "")
        r = self.finished(p)
        self.assertEqual(r.out, served, r)
        self.assertTrue(r.find("approval_requested", fields__kind="connect") and r.find("approval_withdrawn"), r)

    def test_a_hostile_name_cannot_drive_the_terminal(self):
        policy = self.asks('return { name = "asks", dns = function(q) return ask{ message = "a\\27[31mb\\u{202e}c" } end }')
        t = self.terminal(["dig", "+tries=1", "+time=60", "a\\027[2Jb.allowed.example"], policy=policy)
        t.expect(r"allow\? |REFUSED")
        self.assertNotIn("\x1b", t.text)
        self.assertNotIn("\u202e", t.text)
        t.type("n")
        r = self.ended(t)
        self.assertNotIn("\x1b", r.out)


class AsRoot(Approvals, Scenario):
    pass


@slow
class AsUser(Approvals, Scenario):
    user = NOBODY


@slow
class Tun(Approvals, Scenario):
    backend = "tun"


if __name__ == "__main__":
    main()

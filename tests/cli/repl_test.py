# SPDX-License-Identifier: Apache-2.0
"""moonfence policy repl: questions, expressions and reloads, by a pipe and on a terminal."""
import os
import select
import subprocess
import sys

import support
from support import LAUNCHER, ROOT, Case

POLICY = """local vendor = domains { "vendor.example" }
return { name = "corp",
  network_rules = { { name = "web", domains = { "**.vendor.example" }, ports = { 443 }, decision = "allow" } },
  connect = function(c) if c:under(vendor) and c.port == 22 then return deny "no ssh" end end,
}
"""


class Repl(Case):
    def repl(self, lines, *arguments, status=0, policy=POLICY):
        path = self.write("p.lua", policy)
        done = subprocess.run([*LAUNCHER, support.PROGRAM, "policy", "repl", *arguments, path], input="\n".join(lines).encode(),
                              capture_output=True, timeout=600, check=False,
                              env=dict(os.environ, MOONFENCE_DATA=os.path.join(ROOT, "lua")))
        self.assertEqual(done.returncode, status, done.stdout.decode() + done.stderr.decode())
        return done.stdout.decode(), done.stderr.decode()

    def test_questions_are_answered_as_explain_does(self):
        question = ["connect", "api.vendor.example:443", "ip=8.8.8.8", "process.name=my browser"]
        out, err = self.repl(["# a comment", "", "connect api.vendor.example:443 ip=8.8.8.8 process.name=\"my browser\"",
                              "  file op=read \"/w/a \\\"b\\\" c\"  "])
        self.assertEqual(err, "")
        explained = self.call("policy", "explain", "-p", self.write("p.lua", POLICY), *question)[0]
        keep = [line for line in explained.splitlines() if not line.startswith("Cost")]
        self.assertEqual([line for line in out.splitlines()[1:1 + len(explained.splitlines())] if not line.startswith("Cost")], keep)
        self.assertIn("1 policy is loaded\n", out)
        self.assertIn("allow: no policy decided", out.split("Next")[1])

    def test_expressions_in_the_words_of_policies(self):
        out, err = self.repl(["= q", "= 1 + 2", "connect api.vendor.example:22 ip=8.8.8.8", "= q:under \"vendor.example\" and q.port",
                              "= q.host", "= { 1, a = q.port }", "= deny \"x\"", "= string.rep(\"x\", 3) -- why", "= now.hour >= 0",
                              "=nil", "= function() end == nil", "= \"\\27[31m\""])
        self.assertEqual(err, "")
        values = [line for line in out.splitlines() if line in ("nil", "3", "22", '"api.vendor.example"', 'verdict deny: x', '"xxx"',
                                                                "true", "false") or line.startswith("{")]
        self.assertEqual(values, ["nil", "3", "22", '"api.vendor.example"', values[4], "verdict deny: x", '"xxx"', "true", "nil", "false"])
        self.assertRegex(values[4], r'^\{ 1, "a" = 22 \}$')
        self.assertNotIn("\x1b", out)

    def test_expressions_have_the_limits_of_hooks(self):
        out, err = self.repl(["= (function() while true do end end)()", "= string.rep(\"x\", 1 << 30)", "= io.open(\"/etc/passwd\")",
                              "= 1 +", "= x.y", "= error(\"no\")", "= 1 end, os.exit() --", "= require \"os\"",
                              "= (function() x = 1 end)()", "= 5"], status=1)
        self.assertEqual(out.splitlines()[-1], "5")
        self.assertGreaterEqual(err.count("error:"), 8, err)

    def test_a_reload_that_fails_keeps_what_was(self):
        path = self.write("live.lua", POLICY)
        process = subprocess.Popen([*LAUNCHER, support.PROGRAM, "policy", "repl", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, env=dict(os.environ, MOONFENCE_DATA=os.path.join(ROOT, "lua")))

        def say(line, until):
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()
            text = b""
            while until.encode() not in text:
                more = process.stdout.readline()
                self.assertTrue(more, text.decode())
                text += more
            return text.decode()

        self.assertTrue(say("connect a.vendor.example:443 ip=8.8.8.8", "Next").split("\n")[1].startswith("allow"))
        self.write("live.lua", POLICY.replace("return {", "return {{"))
        self.assertIn("live.lua:", say(":reload", "from before stay"))
        self.assertIn("allow", say("connect a.vendor.example:443 ip=8.8.8.8", "Next"))
        self.write("live.lua", POLICY.replace('decision = "allow"', 'decision = "deny"'))
        say(":reload", "1 policy is loaded")
        self.assertIn("deny", say("connect a.vendor.example:443 ip=8.8.8.8", "Next"))
        self.assertIn("22", say("= 20 + 2", "22"))
        process.stdin.write(b":quit\nconnect x\n")
        out, _ = process.communicate(timeout=600)
        self.assertEqual((process.returncode, out), (1, b""))  # a reload failed

    def test_facts_policies_and_help(self):
        out, err = self.repl([":facts connect", "dns a.example", ":facts", ":policies", ":help"])
        self.assertEqual(err, "")
        self.assertRegex(out, r"  port +integer +\n")
        self.assertRegex(out, r'  name +string +"a\.example"\n')
        self.assertIn("\ncorp\n", out)
        self.assertIn(":reload", out)

    def test_what_cannot_be_understood(self):
        out, err = self.repl([":nothing", ":facts nothing", "connect", "connect a b", "ask x", "dns \"open", "dns " + "a " * 100,
                              "x" * 200000, "dns ok.example"], status=1)
        self.assertEqual(err.count("error:"), 8, err)
        self.assertIn("Next:", out)
        self.repl([], policy="return 5", status=1)
        self.call("policy", "repl", status=2)

    def test_variables(self):
        path = self.write("v.yaml", "version: 1\nname: v\nfile_rules:\n  - {name: a, paths: [\"${SOME_DIR}/**\"], decision: allow}\n")
        done = subprocess.run([*LAUNCHER, support.PROGRAM, "policy", "repl", "--var", "SOME_DIR=/some", path], input=b"file op=write /some/x",
                              capture_output=True, timeout=600, check=False, env=dict(os.environ, MOONFENCE_DATA=os.path.join(ROOT, "lua")))
        self.assertEqual(done.stdout.decode().splitlines()[1], "allow: file_rules[0] a", done)

    def test_on_a_terminal_lines_are_edited(self):
        if LAUNCHER or sys.platform == "win32":
            return
        import pty
        path = self.write("p.lua", POLICY)
        master, slave = pty.openpty()
        process = subprocess.Popen([support.PROGRAM, "policy", "repl", path], stdin=slave, stdout=slave, stderr=slave,
                                   env=dict(os.environ, TERM="vt100", MOONFENCE_DATA=os.path.join(ROOT, "lua")))
        os.close(slave)
        text = b""

        def wait_for(what):
            nonlocal text
            while what not in text:
                self.assertTrue(select.select([master], [], [], 300)[0], text)
                text += os.read(master, 65536)
            text = text.split(what, 1)[1]

        wait_for(b"> ")
        os.write(master, b"= 40 + 3\x7f2\n")  # a mistake, and its mending
        wait_for(b"42\r\n")
        wait_for(b"> ")
        os.write(master, b":quit\n")
        self.assertEqual(process.wait(300), 0)
        os.close(master)


if __name__ == "__main__":
    support.main()

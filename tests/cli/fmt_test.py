# SPDX-License-Identifier: Apache-2.0
"""moonfence policy fmt: what a text means stays, its comments stay, and formatting twice is formatting once."""
import glob
import os
import random
import re
import shutil
import stat
import subprocess

import support
from support import LAUNCHER, ROOT, Case

TOKEN = re.compile(r"""(?P<long>--\[(?P<c>=*)\[.*?\](?P=c)\])|(?P<short>--[^\n]*)|(?P<str>\[(?P<l>=*)\[.*?\](?P=l)\]|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
    |(?P<num>0[xX][0-9a-fA-F.]+(?:[pP][+-]?\d+)?|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_]\w*)
    |(?P<op>\.\.\.|\.\.|==|~=|<=|>=|//|::|<<|>>|[^\s])""", re.S | re.X)

UGLY = """-- a policy
local   trackers=domains{"a.example","b.example"}   -- two
local x <const> = -  -1
return{name="x",
      network_rules={
{name="a",domains={"**"},ports={443},decision="allow"},--[[ inline ]] {name="b", domains = { }, decision = "deny" },
  },



connect=function(c)
if c.port==443 and
c:under"a.example" or not c:under(trackers) then return deny{reason="no"}
elseif c.port<10 then
-- before else
return allow ( )
  else
      for i=1,#"abc" do c.x = c [ [[k]] ] end
end
local s = "a".."b"
  .. "c"
goto  done
::done::
end,
}
"""
NEAT = """-- a policy
local trackers = domains { "a.example", "b.example" }   -- two
local x <const> = - -1
return { name = "x",
  network_rules = {
    { name = "a", domains = { "**" }, ports = { 443 }, decision = "allow" }, --[[ inline ]] { name = "b", domains = {}, decision = "deny" },
  },

  connect = function(c)
    if c.port == 443 and
      c:under "a.example" or not c:under(trackers) then return deny { reason = "no" }
    elseif c.port < 10 then
      -- before else
      return allow()
    else
      for i = 1, #"abc" do c.x = c[ [[k]] ] end
    end
    local s = "a" .. "b"
      .. "c"
    goto done
    ::done::
  end,
}
"""


def tokens(text):
    """(tokens, comments) by another reading than the program's own"""
    found, comments = [], []
    for match in TOKEN.finditer(text):
        if match["long"] or match["short"]:
            comments.append(match[0].rstrip())
        else:
            found.append(match[0])
    return found, comments


def policies():
    """All Lua policies, tests and modules of the project."""
    places = ("lua/**/*.lua", "examples/**/*.lua", "tests/lua/**/*.lua", "tests/net/policies/*.lua")
    return sorted(path for place in places for path in glob.glob(os.path.join(ROOT, place), recursive=True))


class Fmt(Case):
    def fmt(self, text, *options, status=0):
        environment = dict(os.environ, MOONFENCE_DATA=os.path.join(ROOT, "lua"))
        done = subprocess.run([*LAUNCHER, support.PROGRAM, "policy", "fmt", *options, "-"], input=text.encode(), capture_output=True,
                              env=environment, timeout=600, check=False)
        self.assertEqual(done.returncode, status, done.stdout.decode() + done.stderr.decode())
        return done.stdout.decode() if status == 0 else done.stderr.decode()

    def listing(self, text):
        """The bytecode, without lines."""
        done = subprocess.run(["luac5.4", "-l", "-l", "-p", "-"], input=text.encode(), capture_output=True, check=True)
        return re.sub(r"0x[0-9a-f]+|<stdin:\d+,\d+>|\[[\d-]+\]", "", done.stdout.decode())

    def same_meaning(self, before, after):
        self.assertEqual(tokens(after), tokens(before))
        if shutil.which("luac5.4"):
            self.assertEqual(self.listing(after), self.listing(before))

    def test_an_ugly_text(self):
        self.assertEqual(self.fmt(UGLY), NEAT)
        self.assertEqual(self.fmt(NEAT), NEAT)
        self.same_meaning(UGLY, NEAT)

    def test_the_projects_own_policies_are_formatted(self):
        self.assertGreaterEqual(len(policies()), 15)
        self.call("policy", "fmt", "--check", *policies())

    def test_random_layouts_keep_their_meaning(self):
        """Tokens of real policies with other spaces, line ends and comments between them."""
        r = random.Random(3)
        texts = []
        for path in policies():
            with open(path, encoding="utf-8") as file:
                texts.append(file.read())
        for text in r.sample(texts, 6) + [UGLY] * 6:
            words = tokens(text)[0]
            ugly, last = "", ""
            for word in words:
                glue = r.choice(["", "", " ", "  ", "\n", "\n\n\n", "\t", " --c\n", "--[[x\n y]]", "\r\n"])
                if not glue and (re.match(r"\w\w", last[-1:] + word[:1]) or last[-1:] + word[:1] in
                                 ("--", "[[", "[=", "..", "::", "//", "<<", ">>", "==", "<=", ">=", "~=") or
                                 re.match(r"[\d.][\d.]", last[-1:] + word[:1]) or (last[-1:].isdigit() and word[:1] == ".")):
                    glue = " "
                if glue.startswith("-") and last.endswith("-"):
                    glue = " " + glue
                ugly += glue + word
                last = word
            neat = self.fmt(ugly)
            self.same_meaning(ugly, neat)
            self.assertEqual(self.fmt(neat), neat)
            self.assertNotRegex(neat, r"[ \t]+\n|\n\n\n|\r")

    def test_what_does_not_parse_is_refused_with_its_place(self):
        for text, place in (("return {\n  name = \n}", "stdin:3:1: "), ("x = = 1", "stdin:1:5: "), ("return 'a", "stdin:1:10: "),
                            ("local x <const> = 1\nx = 2", "stdin:2:1: "), ("f(", "stdin:1:3: ")):
            err = self.fmt(text, status=1)
            self.assertTrue(err.startswith(place), err)
        self.assertRegex(self.fmt("a: [1\nb: 2\n", "--yaml", status=1), r"^stdin:\d+:\d+: ")
        path = self.write("broken.lua", "return {")
        self.assertRegex(self.call("policy", "fmt", path, status=1)[1], r"broken.lua:1:9: error: ")
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), "return {")

    def test_files_are_replaced_and_keep_their_mode(self):
        path = self.write("dir/a.lua", UGLY)
        other = self.write("dir/deep/b_test.lua", NEAT)
        self.write("dir/data.txt", UGLY)
        self.write("dir/.hidden.lua", "return {")
        os.chmod(path, 0o640)
        if os.name == "posix" and not LAUNCHER:
            os.symlink(path, os.path.join(self.directory, "link.lua"))
        out, err = self.call("policy", "fmt", "--check", os.path.join(self.directory, "dir"), status=1)
        self.assertEqual((out.replace("\\", "/"), err), (path + "\n", ""))
        out = self.call("policy", "fmt", "--diff", path, status=1)[0]
        self.assertIn("-local   trackers=domains{", out)
        self.assertIn("+local trackers = domains {", out)
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), UGLY)
        self.call("policy", "fmt", *(["link.lua"] if os.path.lexists(os.path.join(self.directory, "link.lua")) else [path]), other)
        for name in (path, other):
            with open(name, encoding="utf-8") as file:
                self.assertEqual(file.read(), NEAT)
        if not LAUNCHER:
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o640)
        self.assertEqual(sorted(os.listdir(os.path.join(self.directory, "dir"))), [".hidden.lua", "a.lua", "data.txt", "deep"])
        self.call("policy", "fmt", "--check", path)

    def test_yaml_with_other_ends_of_lines_is_left(self):
        for text in ("a: 1\nb: 2 \r \r", "a: 'x\u2028y'\n"):
            self.assertRegex(self.fmt(text, "--yaml", status=1), r"^stdin:[12]:\S* .*neither in LF nor in CR LF")

    def test_yaml_changes_in_blanks_only(self):
        ugly = ('\ufeffversion: 1   \r\nname: x # why  \n\n\n\nfile_rules:\n   - name: "a"\t\n     message: |\n       two  \n\n\n'
                '       lines \n     paths: ["/a", \n       "/b"]\n     decision: allow\nnetwork_rules: []')
        neat = ('version: 1\nname: x # why\n\nfile_rules:\n   - name: "a"\n     message: |\n       two  \n\n\n'
                '       lines \n     paths: ["/a",\n       "/b"]\n     decision: allow\nnetwork_rules: []\n')
        self.assertEqual(self.fmt(ugly, "--yaml"), neat)
        self.assertEqual(self.fmt(neat, "--yaml"), neat)
        path = self.write("p.yaml", ugly)
        before = self.call("policy", "convert", path)[0]
        self.call("policy", "fmt", path)
        self.assertEqual(re.sub("-- line.*", "", self.call("policy", "convert", path)[0]), re.sub("-- line.*", "", before))
        for path in glob.glob(os.path.join(ROOT, "tests", "data", "**", "*.yaml"), recursive=True)[:10]:
            copy = shutil.copy(path, os.path.join(self.directory, "c.yaml"))
            convert = [self.call("policy", "convert", copy, status=None, env={"GIT_ROOT": "/g", "PROJECT_ROOT": "/p"})[0]]
            self.call("policy", "fmt", copy, status=None)
            self.call("policy", "fmt", "--check", copy, status=None)
            convert.append(self.call("policy", "convert", copy, status=None, env={"GIT_ROOT": "/g", "PROJECT_ROOT": "/p"})[0])
            self.assertEqual(*[re.sub("-- line.*", "", text) for text in convert])

    def call(self, *arguments, status=0, env=None):
        """@status None: whichever"""
        if status is not None:
            return super().call(*arguments, status=status, env=env)
        environment = dict(os.environ, MOONFENCE_DATA=os.path.join(ROOT, "lua"), **(env or {}))
        done = subprocess.run([*LAUNCHER, support.PROGRAM, *arguments], capture_output=True, env=environment, cwd=self.directory,
                              timeout=600, check=False)
        return done.stdout.decode(), done.stderr.decode()

    def test_odd_texts(self):
        for text in ("", "\n\n\n", "-- only a comment", "return [[\n  long\n\n\n  \n]]", "return [==[]]]==]",
                     "return a.b.c[1].d:e 'x' {} (1)" , "return 1 ..2", "return - - - 1", "return not -#a", "return {\n\n}",
                     "f{\n[ [[x]] ]=1;\n}", "return (function(...) return ... end)(1)", "--[==[ x ]] ]==] return 1", "return 1 // 2 ~ ~3 << 4 & 5"):
            neat = self.fmt(text)
            self.assertEqual(self.fmt(neat), neat)
            self.assertEqual(tokens(neat), tokens(text))
        self.fmt("return " + "(" * 150 + "1" + ")" * 150)
        self.assertIn("error", self.fmt("return " + "{" * 300 + "}" * 300, status=1))  # deeper than Lua reads
        self.assertIn("bytes", self.fmt("--" + "x" * (5 << 20), status=1))

    def test_wrong_usage(self):
        self.call("policy", "fmt", status=2)
        self.call("policy", "fmt", "--write", "x.lua", status=2)
        self.call("policy", "fmt", os.path.join(self.directory, "none.lua"), status=1)


if __name__ == "__main__":
    support.main()

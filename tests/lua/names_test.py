# SPDX-License-Identifier: Apache-2.0
"""names_test.py MOONFENCE RUNTIME_GLOBALS GENERATOR

The annotated stubs in lua/stdlib/meta list exactly what the runtime offers: globals, fields and predicates of each kind,
keys of options. And `policy check` knows the same globals.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

PROGRAM, GLOBALS, GENERATOR = (os.path.abspath(path) for path in sys.argv[1:4])
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(GENERATOR)))
KINDS = {"dns": "DnsRequest", "connect": "ConnectRequest", "sni": "SniRequest", "file": "FileRequest",
         "dns_answer": "DnsAnswerRequest"}
TARGETS = {"dns": ["a.example"], "connect": ["a.example:443"], "sni": ["a.example"], "file": ["/a", "op=read"],
           "dns_answer": ["a.example"]}


def lines_of(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=300)
    return done.stdout.splitlines()


def stub_names():
    """What the stubs declare: {"global": {...}, "method": {...}, "field": {class: {...}}, "parent": {class: class}}."""
    names = {"global": set(), "method": {}, "field": {}, "parent": {}}
    for line in lines_of("lua5.4", GENERATOR, "--names"):
        what, *words = line.split()
        if what == "global":
            names["global"].add(words[0])
        elif what == "method":
            owner, method = re.split("[.:]", words[0])
            names["method"].setdefault(owner, set()).add(method)
        elif what == "field":
            names["field"].setdefault(words[0].removeprefix("moonfence."), set()).add(words[1])
        elif what == "class" and len(words) > 1:
            names["parent"][words[0].removeprefix("moonfence.")] = words[1].removeprefix("moonfence.")
    return names


class Names(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stubs = stub_names()

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="moonfence-lua-")
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def members(self, name):
        """Fields and methods of a class and of what it inherits from."""
        found = set()
        while name:
            found |= self.stubs["field"].get(name, set()) | self.stubs["method"].get(name, set())
            name = self.stubs["parent"].get(name)
        return found

    def run_policy(self, text, *arguments):
        path = os.path.join(self.directory, "p.lua")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        words = [path if word == "POLICY" else word for word in arguments]
        return subprocess.run([PROGRAM, "policy", *words], capture_output=True, text=True, timeout=300, check=False)

    def error_of(self, kind, statement):
        """What the runtime says when a hook of this kind runs a wrong statement about its request x."""
        done = self.run_policy(f"return {{ name = 'p', {kind} = function(x) {statement} end }}\n",
                               "explain", "-p", "POLICY", kind, *TARGETS[kind])
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        return done.stderr

    def names_there_are(self, kind, expression):
        match = re.search(r"; it has: ([\w, ]+)", self.error_of(kind, f"return {expression}.no_such_name"))
        self.assertIsNotNone(match, expression)
        return set(match.group(1).split(", "))

    def test_globals(self):
        offered = set(lines_of(GLOBALS))
        self.assertEqual(self.stubs["global"] - {"test"}, offered)

    def test_fields_and_predicates_of_each_kind(self):
        for kind, name in KINDS.items():
            self.assertEqual(self.members(name), self.names_there_are(kind, "x"), kind)

    def test_fields_of_process_session_and_now(self):
        self.assertEqual(self.members("Process"), self.names_there_are("dns", "x.process"))
        self.assertEqual(self.members("Session"), self.names_there_are("dns", "x.session"))
        self.assertEqual(self.members("DnsAnswer"), self.names_there_are("dns_answer", "x.answer"))
        text = self.error_of("dns", "return now.no_such_name")
        said = set(re.findall(r"\w+", re.sub(r"\(.*?\)", "", text.split("it has: ")[1])))
        self.assertEqual({name for name in self.members("Now") | {"between"}}, said & (self.members("Now") | {"between"}))

    def test_each_key_of_the_options_of_verdicts_is_taken(self):
        options = {"deny": "DenyOptions", "resolve": "ResolveOptions", "redirect": "RedirectOptions",
                   "route": "RouteOptions", "soft_delete": "SoftDeleteOptions", "redirect_path": "RedirectPathOptions",
                   "allow": "VerdictOptions", "ask": "VerdictOptions", "terminate": "TerminateOptions"}
        for verdict, name in options.items():
            for key in self.members(name) - {"[integer]"}:
                # A number is wrong for most of them, but never an unknown key.
                text = self.run_policy(f"{verdict} {{ {key} = 1 }} return {{ name = 'p' }}", "check", "POLICY").stderr
                self.assertNotIn("unknown", text)
                self.assertNotIn("has no", text)
            text = self.run_policy(f"{verdict} {{ no_such_key = 1 }} return {{ name = 'p' }}", "check", "POLICY").stderr
            self.assertIn("no_such_key", text, verdict)

    def test_methods_of_tests_and_counters(self):
        """Both ways, by the tables that the code registers."""
        tables = {("bind_test.c", "questions"): "Test", ("bind_test.c", "expectations"): "Answer", ("bind_counter.c", "methods"): "Counter"}
        for (file, table), name in tables.items():
            with open(os.path.join(ROOT, "core", "policy", file), encoding="utf-8") as source:
                rows = re.search(rf"luaL_Reg {table}\[\] = \{{(.*?)NULL", source.read(), re.S)[1]
            registered = set(re.findall(r'\{ "(\w+)"', rows))
            self.assertGreater(len(registered), 2, table)
            self.assertEqual(self.stubs["method"][name], registered, name)

    def test_methods_of_sets(self):
        for name, made in (("Domains", 'domains { "a.example" }'), ("Networks", 'networks { "10.0.0.0/8" }'), ("Ports", "ports { 443 }")):
            for method in self.stubs["method"][name] | {"no_such_method"}:
                done = self.run_policy(f"assert(({made}).{method}) return {{ name = 'p' }}", "check", "POLICY")
                self.assertEqual(done.returncode == 0, method != "no_such_method", name + done.stderr)

    def test_policy_check_knows_the_globals(self):
        names = sorted({name.split(".")[0] for name in self.stubs["global"]} - {"test"})
        body = "\n".join(f"  local _{i} = {name}" for i, name in enumerate(names))
        done = self.run_policy(f"return {{ name = 'p', dns = function(q)\n{body}\nend }}\n", "check", "--json", "POLICY")
        self.assertEqual(json.loads(done.stdout)["problems"], [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[4:])

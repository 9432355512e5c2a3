# SPDX-License-Identifier: Apache-2.0
"""Help, version, wrong usage, and that the manual page says what --help says."""
import os
import pty
import re
import subprocess
import sys
import unittest

import support
from support import Case, ROOT


def commands_of(help_text):
    """The commands that `moonfence --help` lists."""
    section = help_text.split("Commands:\n")[1].split("\n\n")[0]
    return [re.match(r"  (\S+(?: \S+)?)  ", line).group(1) for line in section.splitlines()]


def options_of(help_text):
    """The options of one command's --help: {(letter or None, name, value or None)}."""
    section = help_text.split("Options:\n")[1].split("\n\nExample:")[0]
    found = set()
    for line in section.splitlines():
        match = re.match(r"  (?:-(\S),|   ) --([\w-]+)(?: (\S+))?(?:  |$)", line)
        if match:
            found.add(match.groups())
    return found


def manual_sections():
    """The manual page's text by section heading."""
    with open(os.path.join(ROOT, "docs", "moonfence.1"), encoding="utf-8") as file:
        parts = re.split(r"^\.SH (.+)$", file.read(), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


def options_in_manual(text):
    """The options that a section of the manual page describes, in the form of options_of()."""
    found = set()
    for line in re.findall(r"^\.T[PQ]\n(.+)$", text, flags=re.M):
        plain = re.sub(r"\\f[BIR]", "", line).replace("\\-", "-").replace('"', "")
        plain = re.sub(r"^\.(?:BR|BI|IR|B|I) ", "", plain).replace(" , ", ", ").replace(" ,", ",")
        match = re.match(r"(?:-(\w), +)?--([\w-]+)(?: +(\S+))?$", plain.strip())
        if match:
            found.add(match.groups())
    return found


class Usage(Case):
    said = {}  # what --help of each command says: asked once for all tests

    def help(self, *command):
        if command not in self.said:
            out, err = self.call(*command, "--help")
            self.assertEqual(err, "")
            self.said[command] = out
        return self.said[command]

    def commands(self):
        return commands_of(self.help())

    def test_help_lists_commands_and_each_explains_itself_with_an_example(self):
        commands = self.commands()
        self.assertGreaterEqual(len(commands), 4)
        for command in commands:
            out = self.help(*command.split())
            self.assertTrue(out.startswith(f"Usage: moonfence {command} "), out)
            self.assertIn(f"\n  moonfence {command}", out.split("Example:")[1], command)
            self.assertEqual(self.call(*command.split(), "-h")[0], out)
            for line in out.splitlines():
                self.assertLessEqual(len(line), 100, line)

    def test_the_manual_page_has_the_options_of_help_and_no_others(self):
        sections = manual_sections()
        for command in self.commands():
            out = self.help(*command.split())
            heading = command.upper().replace("-", "\\-")
            self.assertIn(heading, sections, f"docs/moonfence.1 has no section {heading}")
            self.assertEqual(options_of(out), options_in_manual(sections[heading]), command)
            self.assertIn(command, sections["SYNOPSIS"])

    def test_version_is_the_librarys(self):
        self.assertRegex(self.call("--version")[0], r"^moonfence \d+\.\d+\.\d+\n$")

    def test_a_missing_or_unknown_command_is_wrong_usage(self):
        self.assertIn("a command is missing", self.call(status=2)[1])
        self.assertIn("a command is missing", self.call("policy", status=2)[1])
        self.assertIn("did you mean 'policy'?", self.call("polcy", status=2)[1])
        self.assertIn("did you mean 'policy check'?", self.call("policy", "chekc", status=2)[1])

    def test_an_unknown_option_suggests_the_nearest(self):
        for command in self.commands():
            out, err = self.call(*command.split(), "--hepl", status=2)
            self.assertEqual(out, "")
            self.assertIn("unknown option '--hepl'; did you mean '--help'?", err)
            self.assertIn(f"moonfence {command} --help", err)
        _, err = self.call("policy", "test", "--coverge", ".", status=2)
        self.assertIn("did you mean '--coverage'?", err)

    def test_an_option_without_its_value_is_wrong_usage(self):
        self.assertIn("needs a value", self.call("policy", "test", "--filter", status=2)[1])
        self.assertIn("takes no value", self.call("policy", "test", "--json=yes", ".", status=2)[1])

    def test_operands_that_are_missing_are_wrong_usage(self):
        for command in ("check", "test", "bench"):
            self.assertIn("PATH", self.call("policy", command, status=2)[1])
        self.assertIn("--policy", self.call("policy", "explain", "dns", "a.example", status=2)[1])

    @unittest.skipUnless(sys.platform == "linux" and not support.LAUNCHER, "Linux' sources of traffic have no way round")
    def test_a_fence_that_cannot_fail_open_says_so(self):
        for backend in ("tproxy", "tun"):
            err = self.call("run", "--capture", backend, "--fail-mode", "open", "--", "true", status=125)[1]
            self.assertIn(f"captured with '{backend}' has no other way than ours", err)
        self.assertIn("'closed' and 'open'", self.call("run", "--fail-mode", "half", "--", "true", status=2)[1])
        self.assertIn("milliseconds", self.call("run", "--prove-timeout", "0", "--", "true", status=2)[1])

    def on_terminal(self, *arguments, **env):
        """What the program writes to a terminal."""
        ours, theirs = pty.openpty()
        environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
        environment.update(env, TERM="xterm", MOONFENCE_DATA=os.path.join(ROOT, "lua"))
        done = subprocess.Popen([*support.LAUNCHER, support.PROGRAM, *arguments], stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        text = b""
        try:
            while chunk := os.read(ours, 4096):
                text += chunk
        except OSError:  # Linux: the other side has been closed
            pass
        os.close(ours)
        done.wait(timeout=300)
        return text.decode()

    @unittest.skipIf(support.LAUNCHER, "a terminal of this system is no console to a program under wine")
    def test_colours_only_on_a_terminal_and_not_with_no_color(self):
        words = ["policy", "explain", "-p", support.DEFAULT_POLICY, "dns", "evil.example"]
        self.assertIn("\033[31mdeny\033[0m", self.on_terminal(*words))
        self.assertNotIn("\033", self.on_terminal(*words, NO_COLOR="1"))
        self.assertNotIn("\033", self.call(*words)[0])

    def test_output_that_cannot_be_written_is_no_success(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([*support.LAUNCHER, support.PROGRAM, "--help"], stdout=full, stderr=subprocess.PIPE,
                                  timeout=300, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"cannot write", done.stderr)


if __name__ == "__main__":
    support.main()

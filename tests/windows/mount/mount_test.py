# SPDX-License-Identifier: Apache-2.0
"""'moonfence mount' of the Windows program over the double of WinFsp, which plays programs from a script.

    mount_test.py PROGRAM [unittest arguments]; MF_LAUNCHER: wine; MF_WINFSP_FOLDER: where the double is "installed"
"""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../cli"))
import support  # pylint: disable=wrong-import-position

FOLDER = os.environ["MF_WINFSP_FOLDER"]
KEY = r"HKLM\Software\WinFsp"
POLICY = """return { name = "mount", file = function(f)
  if f:under "/workspace/secret" and f.op ~= "stat" then return deny "no" end
  if f.op == "delete" or f.op == "rmdir" then return soft_delete { reason = "kept" } end
  return allow()
end }
"""


def host(path):
    """A path of this machine as the Windows program sees it."""
    return "Z:" + path.replace("/", "\\")


def reg(*arguments):
    subprocess.run([*support.LAUNCHER, "reg.exe", *arguments, "/f", "/reg:32"], check=False, capture_output=True, timeout=600)


class Mount(support.Case):
    def setUp(self):
        super().setUp()
        os.mkdir(os.path.join(self.directory, "source"))
        self.policy = self.write("policy.lua", POLICY)
        reg("add", KEY, "/v", "InstallDir", "/d", host(FOLDER) + "\\")
        self.addCleanup(reg, "delete", KEY)

    def mount(self, script, *options):
        """Mount while the double plays @script; returns its answers, what was printed, and the events."""
        out, events = os.path.join(self.directory, "out"), os.path.join(self.directory, "events")
        environment = {"MF_WINFSP_DOUBLE_SCRIPT": host(self.write("script", script)), "MF_WINFSP_DOUBLE_OUT": host(out)}
        printed, _ = self.call("mount", "--policy", host(self.policy), "--trash", host(self.directory + "/trash"),
                               "--events", host(events), "--session", "s1", *options,
                               host(self.directory + "/source"), "X:", env=environment)
        with open(out, encoding="utf-8") as file:
            answers = file.read().splitlines()
        with open(events, encoding="utf-8") as file:
            return answers, printed, [json.loads(line) for line in file]

    def source(self, name):
        with open(os.path.join(self.directory, "source", name), encoding="utf-8") as file:
            return file.read()

    def test_a_session(self):
        self.write("source/a.txt", "precious")
        os.mkdir(os.path.join(self.directory, "source", "secret"))
        self.write("source/secret/key", "k")
        answers, printed, events = self.mount(
            "read 7 /a.txt\nwrite 7 /b.txt hello\nread 7 /b.txt\nread 7 /secret/key\nread 7 /SECRET/KEY\n"
            "delete 7 /a.txt\nlist 7 /\nmkdir 7 /secret/dir\nrename 7 /b.txt /c.txt\nstop\n", "--root", "/workspace")
        self.assertEqual(answers, [
            "read /a.txt 00000000 precious", "write /b.txt 00000000", "read /b.txt 00000000 hello",
            "read /secret/key c0000022", "read /SECRET/KEY c0000022", "delete /a.txt 00000000",
            "list / 00000000 b.txt secret", "mkdir /secret/dir c0000022", "rename /b.txt 00000000"])
        self.assertIn("WinFsp - Windows File System Proxy, Copyright (C) Bill Zissimopoulos", printed)
        self.assertIn("https://github.com/winfsp/winfsp", printed)
        self.assertEqual(self.source("c.txt"), "hello")
        self.assertFalse(os.path.exists(os.path.join(self.directory, "source", "a.txt")))
        denied = [e for e in events if e["type"] == "file_open" and e["path"] == "/workspace/secret/key"]
        self.assertEqual(len(denied), 2, events)
        self.assertEqual({e.get("pid") for e in denied}, {7})
        kept = [e for e in events if e["type"] == "file_soft_delete"]
        self.assertEqual([e["path"] for e in kept], ["/workspace/a.txt"])
        self.assertEqual(kept[0].get("pid"), 7)

        # The commands of the trash find it.
        trash = ("--trash", host(self.directory + "/trash"))
        self.assertIn("a.txt", self.call("trash", "list", *trash)[0])
        token = kept[0]["fields"]["trash_token"]
        place = host(self.directory + "/source/a.txt").replace("\\", "/")
        self.assertEqual(self.call("trash", "diff", *trash, token, status=1)[0],
                         f"--- in the trash\n+++ {place}\n@@ -1 +0,0 @@\n-precious\n\\ No newline at end of file\n")
        self.write("source/a.txt", "precious\nand new\n")
        self.assertIn("@@ -1 +1,2 @@\n-precious\n\\ No newline at end of file\n+precious\n+and new\n",
                      self.call("trash", "diff", *trash, token, status=1)[0])
        self.write("source/a.txt", "precious")
        self.assertEqual(self.call("trash", "diff", *trash, token, status=0)[0], "")
        os.remove(os.path.join(self.directory, "source", "a.txt"))
        os.mkdir(os.path.join(self.directory, "source", "a.txt"))
        self.assertIn("a directory or a link", self.call("trash", "diff", *trash, token, status=2)[1])
        os.rmdir(os.path.join(self.directory, "source", "a.txt"))
        self.call("trash", "restore", *trash, kept[0]["fields"]["trash_token"])
        self.assertEqual(self.source("a.txt"), "precious")

    def test_links_lead_nowhere(self):
        """Links of this machine are not even shown as links by wine: what stands behind them is found out all the same."""
        self.write("outside/passwd", "root")
        source = os.path.join(self.directory, "source")
        os.symlink("../outside", os.path.join(source, "relative"))
        os.symlink(os.path.join(self.directory, "outside"), os.path.join(source, "absolute"))
        os.symlink("../outside/passwd", os.path.join(source, "file"))
        answers, _, _ = self.mount("read 7 /relative/passwd\nread 7 /absolute/passwd\nread 7 /file\nwrite 7 /absolute/new x\n"
                                   "write 7 /file x\nlist 7 /relative\ndelete 7 /relative/passwd\n"
                                   "mkdir 7 /absolute/dir\nstop\n")
        self.assertEqual({line.split()[2] for line in answers}, {"c0000022"}, answers)
        self.assertEqual(len(answers), 8)
        self.assertEqual(os.listdir(os.path.join(self.directory, "outside")), ["passwd"])

    def test_root_is_the_source(self):
        self.write("policy.lua", 'return { name = "r", file = function(f)\n'
                   f'  if f:under "/Z:{self.directory}/source/x" then return deny "no" end\n  return allow()\nend }}\n')
        answers, _, _ = self.mount("write 7 /x t\nwrite 7 /y t\nstop\n")
        self.assertEqual(answers, ["write /x c0000022", "write /y 00000000"])

    def test_workspace_not_installed(self):
        """Said before anything is started."""
        reg("delete", KEY)
        _, err = self.call("run", "--policy", host(self.policy), "--no-trash", "--workspace",
                           host(self.directory + "/source"), "--", "cmd.exe", "/c", "ver", status=125)
        self.assertIn("WinFsp is not installed: install WinFsp", err)
        _, err = self.call("run", "--policy", host(self.policy), "--no-trash", "--workspace",
                           host(self.directory + "/none"), "--", "cmd.exe", "/c", "ver", status=125)
        self.assertIn("none", err)

    def test_not_installed(self):
        reg("delete", KEY)
        _, err = self.call("mount", "--policy", host(self.policy), "--no-trash", host(self.directory + "/source"), "X:",
                           status=125)
        self.assertIn("WinFsp is not installed: install WinFsp", err)
        self.assertIn("https://github.com/winfsp/winfsp/releases", err)


if __name__ == "__main__":
    support.main()

# SPDX-License-Identifier: Apache-2.0
"""`moonfence watch` and `run --fs-mode monitor`: what happened, with what the policies would have said; nothing is held back."""
import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import unittest

import mounted
from mounted import KEEP, MOONFENCE, read_event_file
from waiting import wait_for

ROOT = os.getuid() == 0
GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "init.defaultBranch=main", "-c", "gc.auto=0"]
LABELLED = """return { name = "who", file = function(q)
  if q.process.name == "cp" and q.session.labels.team == "red" then return deny { reason = q.process.exe } end
  if q.path:find("moved", 1, true) then return redirect_path { target = "/elsewhere" } end
  return allow {}
end }
"""


class Watched(unittest.TestCase):
    longMessage = True
    options = ()

    def setUp(self):
        self.base = tempfile.mkdtemp(prefix="mf-watch-")
        self.addCleanup(shutil.rmtree, self.base, ignore_errors=True)
        self.dir, self.policy = os.path.join(self.base, "dir"), os.path.join(self.base, "p.lua")
        os.mkdir(self.dir)
        self.watcher = None
        self.log = ""

    def env(self):
        env = dict(os.environ, HOME=self.base)
        env.setdefault("MOONFENCE_DATA", os.path.realpath(os.path.join(mounted.HERE, "../../lua")))
        return env

    def write_policy(self, text):
        with open(self.policy + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(self.policy + ".new", self.policy)

    def begin(self, policy=KEEP, *options):
        self.write_policy(policy)
        self.out = open(os.path.join(self.base, "out"), "w+", encoding="utf-8")
        self.addCleanup(self.out.close)
        self.watcher = subprocess.Popen([MOONFENCE, "watch", "-v", "--policy", self.policy, *self.options, *options, self.dir],
                                        stdout=self.out, stderr=subprocess.PIPE, text=True, env=self.env(), errors="replace")
        self.addCleanup(self.watcher.stderr.close)
        self.addCleanup(self.end_anyhow)
        for line in self.watcher.stderr:
            self.log += line
            if "is watched" in line:
                break
        else:
            raise AssertionError(self.log)
        self.reader = threading.Thread(target=self.read_log, daemon=True)
        self.reader.start()

    def read_log(self):
        for line in self.watcher.stderr:
            self.log += line

    def end_anyhow(self):
        if self.watcher.poll() is None:
            self.watcher.kill()
            self.watcher.wait()

    def events(self):
        """Of the files, so far"""
        found = read_event_file(os.path.join(self.base, "out"))
        return [e for e in found if e["type"].split("_")[0] in ("file", "dir", "symlink", "path", "monitor")]

    def end(self):
        """All that happened, once it has ended"""
        self.watcher.send_signal(signal.SIGTERM)
        self.assertEqual(self.watcher.wait(mounted.WAIT_S), 0, self.log)
        self.reader.join(mounted.WAIT_S)
        return self.events()

    def sh(self, command, **more):
        subprocess.run(["sh", "-ec", command], cwd=self.dir, check=True, stdout=subprocess.DEVNULL, env=self.env(), **more)

    def rel(self, event, path=None):
        path = event["path"] if path is None else path
        self.assertTrue(path == self.dir or path.startswith(self.dir + "/"), path)
        return path[len(self.dir) + 1:]

    def until(self, name, *types):
        """What was done so far has been looked at: what comes next may take it away."""
        wait_for(name, lambda: name in self.told(self.events(), *types))

    def told(self, events, *types):
        return [self.rel(e) for e in events if e["type"] in types]


class Everybody(Watched):
    def test_each_kind(self):
        self.begin()
        self.sh("echo 1 > made; sh -c 'echo 2 >> made'; mv made there; mkdir d; mkfifo d/p; ln -s text d/l; ln there d/hard; chmod 600 there")
        self.until("there", "file_chmod")
        self.sh("rm d/hard; rm -r d; cat there; rm there")
        events = self.end()
        for event in events:
            self.assertEqual(event["effective_action"], "allowed")
            self.assertEqual(event["policy"]["effective_decision"], "allow")
            self.assertIn(event["fields"]["would"], ("allowed", "diverted"))
            self.assertEqual("pid" in event, ROOT, event)
            self.assertEqual(event["source"], "monitor")
        self.assertEqual(self.told(events, "file_create"), ["made", "d/p", "d/hard"])
        self.assertEqual(self.told(events, "dir_create"), ["d"])
        self.assertEqual([(self.rel(e), e["fields"]["target"]) for e in events if e["type"] == "symlink_create"], [("d/l", "text")])
        self.assertEqual([(self.rel(e, e["fields"]["from_path"]), self.rel(e, e["fields"]["to_path"])) for e in events
                          if e["type"] == "file_rename"], [("made", "there")])
        self.assertEqual(sorted(self.told(events, "file_delete", "dir_delete")), ["d", "d/hard", "d/l", "d/p", "there"])
        self.assertEqual({e["fields"]["would"] for e in events if e["operation"] in ("delete", "rmdir")}, {"diverted"})
        self.assertIn(("there", 0o600), [(self.rel(e), e["fields"].get("mode")) for e in events if e["type"] == "file_chmod"])
        if ROOT:  # else both are nobody's, and the kernel may make one of them
            self.assertIn("made", self.told(events, "file_write") + self.told(events, "file_open"))

    def test_denied_but_not_held_back(self):
        with open(os.path.join(self.dir, "secret"), "w", encoding="utf-8") as file:
            file.write("told\n")
        self.begin()
        self.assertEqual(subprocess.run(["cat", "secret"], cwd=self.dir, capture_output=True, text=True, check=True).stdout, "told\n")
        self.sh("echo more >> secret; rm secret")
        events = self.end()
        self.assertEqual({e["policy"]["decision"] for e in events}, {"deny"})
        self.assertEqual({e["fields"]["would"] for e in events}, {"blocked"})
        self.assertTrue({"open", "write", "delete"} <= {e["operation"] for e in events}
                        and {"read", "open"} & {e["operation"] for e in events}, events)
        self.assertFalse(any(e["fields"].get("blocked") for e in events))
        self.assertEqual(os.listdir(self.dir), [])

    def test_names(self):
        self.begin()
        names = [b"new\nline", b"\xff\xfe", b"quote\"back\\slash", b"n" * 255, " \u00e4\u6f22".encode(), b"..."]
        for name in names:
            with open(os.path.join(self.dir.encode(), name), "wb"):
                pass
        events = [e for e in self.end() if e["type"] == "file_create"]
        got = [base64.b64decode(e["path_b64"]) if "path_b64" in e else e["path"].encode() for e in events]
        self.assertEqual(got, [os.path.join(self.dir.encode(), n) for n in names])

    def test_trees_move_and_go(self):
        os.makedirs(os.path.join(self.dir, "old/a/b/c"))
        outside = os.path.join(self.base, "outside")
        os.makedirs(os.path.join(outside, "x/y"))
        self.begin()
        self.sh("touch old/a/b/c/1")
        self.until("old/a/b/c/1", "file_create")
        self.sh("mv old new; touch new/a/b/c/2; mv new/a deep; touch deep/b/c/3; rm -r deep; " + f"mv {outside} in")
        wait_for("it came in", lambda: [e for e in self.events() if e["fields"].get("to_path", e["path"]) == os.path.join(self.dir, "in")])
        self.sh("touch in/x/y/4")
        self.until("in/x/y/4", "file_create")
        self.sh(f"mv in {outside}; touch {outside}/x/y/5; rm -r {outside}; mkdir -p m/n/o; touch m/n/o/6")
        self.until("m/n/o/6", "file_create")
        self.sh("rm -r m")
        events = self.end()
        files = self.told(events, "file_create")
        self.assertEqual(files, ["old/a/b/c/1", "new/a/b/c/2", "deep/b/c/3", "in/x/y/4", "m/n/o/6"])
        self.assertEqual(sorted(set(self.told(events, "file_delete")) - set(files)), ["deep/b/c/1", "deep/b/c/2"])
        self.assertEqual(self.told(events, "dir_delete"), ["deep/b/c", "deep/b", "deep", "m/n/o", "m/n", "m"])

    def test_the_directory_itself_moves(self):
        """It goes by the name that it had when it began."""
        os.makedirs(os.path.join(self.dir, "a/b"))
        self.begin()
        os.rename(self.dir, self.dir + "-moved")
        subprocess.run(["touch", "a/b/1"], cwd=self.dir + "-moved", check=True)
        wait_for("the first", lambda: "a/b/1" in self.told(self.events(), "file_create"))
        subprocess.run(["sh", "-ec", "mkdir -p c/d; touch c/d/2; mv a c; touch c/a/b/3"], cwd=self.dir + "-moved", check=True)
        self.assertEqual(sorted(self.told(self.end(), "file_create")), ["a/b/1", "c/a/b/3", "c/d/2"])

    def test_removed_before_they_are_read_of(self):
        """The watcher is held up: by the time it looks nothing is there any longer."""
        self.begin()
        self.sh("mkdir -p known/a")
        wait_for("it has heard of the directory", lambda: "known/a" in self.told(self.events(), "dir_create"))
        os.kill(self.watcher.pid, signal.SIGSTOP)
        self.sh("touch known/a/f; rm -r known")
        if ROOT and not self.options:
            self.sh("mkdir -p late/a/b; touch late/a/b/f; rm -r late")
        os.kill(self.watcher.pid, signal.SIGCONT)
        events = self.end()
        gone = self.told(events, "file_delete", "dir_delete")
        self.assertEqual(gone[:3], ["known/a/f", "known/a", "known"])
        if ROOT and not self.options:
            self.assertEqual(gone[3:], ["late/a/b/f", "late/a/b", "late/a", "late"])
            self.assertIn("late/a/b/f", self.told(events, "file_create"))

    def test_git_and_an_editor(self):
        self.begin(mounted.ALLOW)
        git = " ".join(f"'{word}'" for word in GIT)
        self.sh(f"{git} init -q repo; cd repo; echo a > a; {git} add a; {git} commit -qm one; sed -i s/a/b/ a; {git} commit -qam two; "
                f"{git} checkout -q -b side HEAD~1; printf 'x' > note; vim.tiny -u NONE -i NONE -es -c 'normal Ahello' -c wq note")
        events = self.end()
        renamed = [self.rel(e, e["fields"]["to_path"]) for e in events if e["type"] == "file_rename" and "to_path" in e["fields"]]
        self.assertIn("repo/.git/index", renamed)
        self.assertIn("repo/a", renamed)
        self.assertTrue({"repo/.git/HEAD", "repo/note"} <= set(self.told(events, "file_create", "file_write", "file_open") + renamed))
        with open(os.path.join(self.dir, "repo/note"), encoding="utf-8") as file:
            self.assertEqual(file.read().strip(), "xhello")

    def test_other_policies(self):
        self.begin(mounted.ALLOW)
        self.write_policy('return { name = "no", file = function(q) return deny {} end }\n')
        path = os.path.join(self.dir, "f")

        def denied():
            with open(path, "w", encoding="utf-8"):
                pass
            return [e for e in self.events() if e["fields"].get("would") == "blocked"]
        self.assertEqual(wait_for("the other policy", denied)[0]["policy"]["name"], "no")
        self.end()

    def test_its_own_log_is_no_news(self):
        log = os.path.join(self.dir, "log")
        self.begin(mounted.ALLOW, "--events", log)
        self.sh("touch f")

        def lines():
            with open(log, encoding="utf-8") as file:
                return [json.loads(line) for line in file]
        wait_for("an event", lambda: [e for e in lines() if e.get("path", "").endswith("/f")])
        self.end()
        self.assertFalse([e for e in lines() if e.get("path") == log])

    def test_overflow_is_told(self):
        """More than the kernel keeps for one listener, while the watcher does not read."""
        if not mounted.SLOW and not self.options:
            self.skipTest("once is enough, but with MF_SLOW")
        if os.access("/dev/shm", os.W_OK):  # it is about numbers, not about disks
            self.dir = tempfile.mkdtemp(prefix="mf-watch-", dir="/dev/shm")
            self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        os.mkdir(os.path.join(self.dir, "many"))
        self.begin(mounted.ALLOW)
        with open("/proc/sys/fs/fanotify/max_queued_events", encoding="ascii") as file:
            limit = int(file.read())
        if limit > 100000:
            self.skipTest("the queue is too long for a test")
        os.kill(self.watcher.pid, signal.SIGSTOP)
        for i in range(limit + 100):
            os.mknod(os.path.join(self.dir, "many", f"f{i}"))
        os.mkdir(os.path.join(self.dir, "after"))
        os.kill(self.watcher.pid, signal.SIGCONT)
        wait_for("the overflow", lambda: [e for e in self.events() if e["type"] == "monitor_overflow"])
        # It goes on, in directories, too, that were made while nobody heard of it.
        # Plain events are limited by the second: the first ones may be left out.
        wait_for("it goes on", lambda: self.sh("mktemp after/seenXXXXXX") or
                 [name for name in self.told(self.events(), "file_create") if name.startswith("after/seen")])
        overflows = [e for e in self.end() if e["type"] == "monitor_overflow"]
        self.assertEqual(overflows[0]["fields"], {"count": 1})
        self.assertIn("more happened than was read in time", self.log)
        self.assertIn("overflowed", self.log)

    def test_killed_it_leaves_nothing(self):
        self.begin()
        self.sh("touch f")
        self.watcher.kill()
        self.watcher.wait()
        self.sh("echo secret > secret; cat secret; rm secret f")
        self.assertEqual(os.listdir(self.dir), [])
        self.begin()
        self.sh("touch again")
        self.assertEqual(self.told(self.end(), "file_create"), ["again"])

    def test_what_cannot_be_watched(self):
        self.write_policy(KEEP)
        for args, status, words in (([os.path.join(self.base, "none")], 125, "No such file"), ([self.policy], 125, "Not a directory"),
                                    ([], 2, "DIR is wanted"), (["--root", "x", self.dir], 2, "--root wants")):
            r = subprocess.run([MOONFENCE, "watch", "--policy", self.policy, *args], capture_output=True, text=True, env=self.env(),
                               check=False, timeout=mounted.WAIT_S)
            self.assertEqual(r.returncode, status, r.stderr)
            self.assertIn(words, r.stderr)


class AsUserWatched(Everybody):
    def test_it_says_that_nobody_is_known(self):
        self.begin()
        self.end()
        self.assertIn("the kernel does not tell this user who does it", self.log)


class AsRootWatched(Everybody):
    def test_who_and_labels(self):
        self.begin(LABELLED, "--label", "team=red")
        program = os.path.join(self.base, "cp")
        shutil.copy(os.path.realpath("/bin/sh"), program)
        # It is there until it has been looked at.
        with subprocess.Popen([program, "-c", "echo > g; read end"], cwd=self.dir, stdin=subprocess.PIPE) as process:
            wait_for("what it did", lambda: "g" in self.told(self.events(), "file_create"))
            process.communicate(b"end\n")
        self.sh("mv g moved")
        events = self.end()
        denied = [e for e in events if e["policy"]["decision"] == "deny"]
        self.assertTrue(denied and all(e["policy"]["reason"] == program and e["pid"] == process.pid for e in denied), events)
        self.assertIn("g", [self.rel(e) for e in denied])
        moved = [e for e in events if e["type"] == "file_rename"]
        self.assertEqual([(e["fields"]["would"], e["policy"]["decision"], self.rel(e, e["fields"]["to_path"])) for e in moved],
                         [("redirected", "redirect_path", "moved")])

    def test_what_a_rename_replaces(self):
        self.begin()
        if "by its file system" not in self.log:
            self.skipTest("this file system takes no mark of its own")
        self.sh("echo 1 > a; echo 2 > b; mv a b")
        events = self.end()
        self.assertEqual([(self.rel(e), e["fields"]["would"]) for e in events if e["type"] == "file_delete"], [("b", "diverted")])

    def test_more_directories_than_a_user_may_watch(self):
        for i in range(20):
            os.mkdir(os.path.join(self.dir, str(i)))
        self.write_policy(KEEP)
        r = subprocess.run(["unshare", "-Ur", "sh", "-ec", 'echo 5 > /proc/sys/user/max_fanotify_marks; exec "$@"', "sh",
                            MOONFENCE, "watch", "--policy", self.policy, self.dir], capture_output=True, text=True, env=self.env(),
                           check=False, timeout=mounted.WAIT_S)
        self.assertEqual(r.returncode, 125, r.stderr)
        self.assertIn("fs.fanotify.max_user_marks", r.stderr)


class AsRootEachDirectory(Everybody):
    options = ("--each-directory",)


class Session(Watched):
    def fence(self, command):
        """Return: what the command printed, and the files' events"""
        self.write_policy(KEEP)
        log = os.path.join(self.base, "out")
        r = subprocess.run([MOONFENCE, "run", "-v", "--policy", self.policy, "--workspace", self.dir, "--fs-mode", "monitor", "--events", log,
                            "--", "sh", "-c", command], cwd=self.dir, capture_output=True, text=True, env=self.env(), check=False,
                           timeout=mounted.WAIT_S)
        self.assertEqual(r.returncode, 0, r.stderr)
        with open(log, encoding="utf-8") as file:
            last = [json.loads(line) for line in file][-1]
        self.assertEqual(last["type"], "session_end")
        self.log = r.stderr
        return r.stdout, self.events()

    def test_nothing_is_held_back_and_the_end_is_told(self):
        out, events = self.fence("echo told > secret; cat secret; mkdir d; mv secret d/f; rm -r d; ls")
        self.assertEqual(out, "told\n")
        self.assertEqual(self.told(events, "dir_delete"), ["d"])
        self.assertTrue([e for e in events if e["fields"]["would"] == "blocked"])
        self.assertEqual({e["source"] for e in events}, {"session"})
        self.assertEqual(os.listdir(self.dir), [])
        self.assertFalse(os.path.exists(os.path.join(self.base, ".local", "share")))  # no trash


class AsRootSession(Session):
    def test_only_the_session(self):
        """Others do the same in the same directory meanwhile; some of them end before anybody can look at them."""
        stop = threading.Event()

        def others():
            while not stop.is_set():
                subprocess.run(["sh", "-c", "echo x > other; mv other other2; rm other2"], cwd=self.dir, check=True)
        busy = threading.Thread(target=others)
        busy.start()
        try:
            _, events = self.fence("for i in 1 2 3 4 5; do /bin/echo x > ours; mv ours ours2; rm ours2; done; unshare -U touch ours3 2>/dev/null || touch ours3; rm ours3")
        finally:
            stop.set()
            busy.join()
        names = {self.rel(e) for e in events}
        self.assertTrue({"ours", "ours2", "ours3"} <= names, names)
        self.assertFalse([n for n in names if n.startswith("other")], names)
        # Of mv and rm, which open nothing there, one that had ended before it was looked at is left out (docs/files.md).
        self.assertEqual(set(self.told(events, "file_rename")), {"ours"})
        self.assertLessEqual(set(self.told(events, "file_delete")), {"ours2", "ours3"})


class AsUserSession(Session):
    def test_it_says_that_nobody_is_known(self):
        _, events = self.fence("touch f")
        self.assertIn("the kernel does not tell this user who does it", self.log)
        self.assertEqual(self.told(events, "file_create"), ["f"])


del Everybody, Session, Watched

if __name__ == "__main__":
    mounted.main()

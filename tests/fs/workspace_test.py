# SPDX-License-Identifier: Apache-2.0
"""`moonfence run --workspace`: the command sees its directory through the policies, and no way around."""
import json
import os
import shutil
import subprocess
import tempfile
import unittest

import mounted
from mounted import KEEP, MOONFENCE


class Workspace(unittest.TestCase):
    longMessage = True

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="mf-fs-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.ws, self.policy, self.events_path, self.trash = (os.path.join(self.dir, n) for n in ("ws", "p.lua", "events", "trash"))
        os.mkdir(self.ws)
        with open(self.policy, "w") as file:
            file.write(KEEP)
        for name in ("f", "secret"):
            with open(os.path.join(self.ws, name), "w") as file:
                file.write(name)

    def fence(self, command, cwd=None, pass_fds=(), options=()):
        env = dict(os.environ, HOME=self.dir)
        env.setdefault("MOONFENCE_DATA", os.path.realpath(os.path.join(mounted.HERE, "../../lua")))
        return subprocess.run([MOONFENCE, "run", "--policy", self.policy, "--workspace", self.ws, "--trash", self.trash,
                               "--events", self.events_path, *options, "--", "sh", "-c", command], cwd=cwd or self.ws, env=env, text=True,
                              capture_output=True, timeout=mounted.WAIT_S, check=False, pass_fds=pass_fds)

    def test_files_are_judged(self):
        r = self.fence("cat f; cat secret; echo new > new; mkdir d; cp /bin/echo d/e; d/e ran; rm f; ls")
        self.assertEqual(r.stdout, "fran\nd\nnew\nsecret\n", r.stderr)
        self.assertIn("secret: Permission denied", r.stderr)
        self.assertEqual(sorted(os.listdir(self.ws)), ["d", "new", "secret"])
        kept = os.listdir(os.path.join(self.trash, "files"))
        self.assertEqual([n.split(".")[0] for n in kept], ["f"])
        with open(self.events_path) as file:
            events = [json.loads(line) for line in file]
        self.assertTrue(any(e["type"] == "file_soft_delete" and e["source"] == "session" for e in events))
        self.assertEqual(events[-1]["type"], "session_end")

    def test_the_trash_is_hidden(self):
        r = self.fence(f"rm f; ls -A {self.trash}; echo x > {self.trash}/y; echo done")
        self.assertEqual(r.stdout, "done\n", r.stderr)
        self.assertEqual(len(os.listdir(os.path.join(self.trash, "files"))), 1)

    def test_no_way_around_by_the_directory_it_began_in(self):
        """The working directory, descriptors of directories and /proc all lead through the filesystem, or nowhere."""
        os.mkdir(os.path.join(self.ws, "d"))
        fd = os.open(self.ws, os.O_RDONLY)
        self.addCleanup(os.close, fd)
        r = self.fence(f"cat ../secret; cat /proc/self/cwd/../secret; cat /proc/self/fd/{fd}/secret; cat /proc/$PPID/root{self.ws}/secret; "
                       "cat ../f; pwd", cwd=os.path.join(self.ws, "d"), pass_fds=(fd,))
        self.assertEqual(r.stdout, f"f{self.ws}/d\n", r.stderr)

    def test_summary(self):
        r = self.fence("cat secret; rm f; touch 'secret\ndenied 9'", options=["--summary"])
        self.assertRegex(r.stderr, r"(?m)^moonfence: session \S+: 0 allowed, 0 redirected, [2-9] denied, 1 kept in the trash$")
        self.assertRegex(r.stderr, rf"(?m)^denied +\d+  \w+ {self.ws}/secret +keep file\(\): secret$")
        self.assertRegex(r.stderr, rf"(?m)^kept +1  delete {self.ws}/f +keep file\(\)$")
        self.assertIn(r"secret\x0adenied 9", r.stderr)

    def test_no_way_around_by_mounts(self):
        """Taking the mount away, looking under it, other namespaces, moving what it stands in"""
        place = os.path.join(self.dir, "place")
        os.mkdir(place)
        ways = (f"umount {self.ws}", f"umount -l {self.ws}", f"fusermount3 -u {self.ws}", f"mount --bind {self.dir} {place}",
                *(f"unshare -Urm sh -c '{way}; cat {self.ws}/secret {place}/ws/secret'" for way in (
                    f"umount {self.ws}; umount -l {self.ws}", f"mount --bind {self.dir} {place}", f"mount --rbind {self.dir} {place}",
                    f"mount --bind / {place}; cat {place}{self.ws}/secret", f"mount -t tmpfs none {self.dir}",
                    f"mount -t overlay none -o lowerdir={self.dir},upperdir={place},workdir={place} {place}",
                    f"mount --make-private /; umount {self.ws}", f"mount -o remount,bind,suid,dev {self.ws}")),
                f"nsenter -t 1 -m cat {self.ws}/secret", f"nsenter -t $PPID -m cat {self.ws}/secret", f"nsenter -t $PPID -U -m cat {self.ws}/secret",
                f"bwrap --bind / / cat {self.ws}/secret", f"bwrap --ro-bind / / --ro-bind {self.dir} {place} cat {place}/ws/secret",
                f"mv {self.ws} {self.dir}/other; cat {self.dir}/other/secret", f"mv {self.dir} {self.dir}2; cat {self.dir}2/ws/secret; mv {self.dir}2 {self.dir}",
                f"ln {self.ws}/secret {self.dir}/linked; cat {self.dir}/linked", f"mknod {self.ws}/disk b 254 0; head -c 1 {self.ws}/disk | wc -c | grep 1",
                f"for p in /proc/[0-9]*; do cat $p/root{self.ws}/secret $p/cwd/secret $p/cwd/ws/secret $p/fd/*/secret; done")
        r = self.fence("; ".join(f"({way})" for way in ways) + f"; cat {self.ws}/secret; echo; cat f; cd {self.ws}; cat secret f")
        self.assertEqual(r.stdout.replace("\n", "").replace("f", ""), "", r.stderr)
        self.assertTrue(r.stdout.endswith("\nff"), r.stdout)

    def test_descriptors_from_another_process(self):
        """What somebody outside hands over a socket is that one's to give; the directory itself is not among what the session has."""
        r = self.fence("ls -l /proc/self/fd /proc/$PPID/fd 2>/dev/null | grep -c ' -> .*/ws$'; echo end")
        self.assertEqual(r.stdout, "0\nend\n", r.stderr)

    def test_set_user_id_and_devices(self):
        r = self.fence("cp /usr/bin/id idcopy; chmod 6755 idcopy; ./idcopy -u; id -u; mknod null c 1 3 && cat null; echo end")
        lines = r.stdout.splitlines()
        self.assertEqual(lines[0], lines[1], r.stderr)
        self.assertEqual(lines[2:], ["end"])
        with open("/proc/self/mountinfo") as file:
            self.assertNotIn(self.ws, file.read())
        r = self.fence(f"grep {self.ws} /proc/self/mountinfo")
        self.assertIn("nosuid,nodev", r.stdout)

    def test_status_and_missing_workspace(self):
        self.assertEqual(self.fence("exit 7").returncode, 7)
        shutil.rmtree(self.ws)
        r = self.fence("true", cwd=self.dir)
        self.assertEqual(r.returncode, 125)
        self.assertIn("No such file", r.stderr)

    def test_children_that_stay_behind_do_not_keep_it(self):
        r = self.fence("(sleep 100000 < /dev/null > /dev/null 2>&1 &) ; echo gone")
        self.assertEqual((r.returncode, r.stdout), (0, "gone\n"), r.stderr)


class AsRootWorkspace(Workspace):
    pass


class AsUserWorkspace(Workspace):
    pass


del Workspace

if __name__ == "__main__":
    mounted.main()

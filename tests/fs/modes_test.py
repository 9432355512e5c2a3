# SPDX-License-Identifier: Apache-2.0
"""--fs-mode: what is missing for a mount is named, with what brings it; nothing is started then. `disabled` asks nobody."""
import os
import shutil
import subprocess
import tempfile
import unittest

import mounted
from mounted import KEEP, MOONFENCE

# A /dev like a container's: nothing but what programs cannot do without.
BARE_DEV = """mount -t tmpfs -o mode=755 tmpfs /mnt && for d in null zero urandom random full; do touch /mnt/$d && mount --bind /dev/$d /mnt/$d; done
mkdir /mnt/pts /mnt/shm && ln -s /proc/self/fd /mnt/fd && mount --rbind /mnt /dev
"""


class Modes(unittest.TestCase):
    longMessage = True

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="mf-modes-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.ws, self.mnt, self.policy = (os.path.join(self.dir, n) for n in ("ws", "mnt", "p.lua"))
        os.mkdir(self.ws)
        os.mkdir(self.mnt)
        for path, text in ((self.policy, KEEP), (os.path.join(self.ws, "secret"), "told\n")):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)

    def moonfence(self, *args, before=""):
        """`before`: shell commands in a mount namespace of its own (root)"""
        env = dict(os.environ, HOME=self.dir)
        env.setdefault("MOONFENCE_DATA", os.path.realpath(os.path.join(mounted.HERE, "../../lua")))
        command = [MOONFENCE, *args]
        if before:
            command = ["unshare", "-m", "--propagation", "private", "sh", "-ec", before + '\nexec "$@"', "sh", *command]
        return subprocess.run(command, cwd=self.dir, env=env, text=True, capture_output=True, timeout=mounted.WAIT_S, check=False)

    def run_in(self, *options, before="", command=("cat", "ws/secret")):
        return self.moonfence("run", "--policy", self.policy, "--workspace", self.ws, "--trash", os.path.join(self.dir, "trash"),
                              *options, "--", *command, before=before)

    def mount(self, *options, before=""):
        return self.moonfence("mount", "--policy", self.policy, "--no-trash", *options, self.ws, self.mnt, before=before)

    def refused(self, result, *words):
        self.assertEqual(result.returncode, 125, result.stderr)
        self.assertEqual(result.stdout, "")
        for word in words:
            self.assertIn(word, result.stderr)
        self.assertFalse(os.path.exists(os.path.join(self.dir, "ran")))
        self.assertNotIn(self.mnt, open("/proc/self/mounts", encoding="utf-8").read())


class Everybody(Modes):
    def test_disabled_is_no_workspace(self):
        r = self.run_in("--fs-mode", "disabled", "-v")
        self.assertEqual((r.returncode, r.stdout), (0, "told\n"), r.stderr)
        self.assertIn("--fs-mode disabled: no policy is asked about files of " + self.ws, r.stderr)
        self.assertFalse(os.path.exists(os.path.join(self.dir, "trash")))
        r = self.run_in("--fs-mode", "fuse")
        self.assertEqual(r.stdout, "", r.stderr)
        self.assertIn("Permission denied", r.stderr)

    def test_disabled_mount_looks_at_what_was_given(self):
        r = self.mount("--fs-mode", "disabled")
        self.assertEqual((r.returncode, r.stdout), (0, ""), r.stderr)

    def test_unknown_modes(self):
        for result in (self.run_in("--fs-mode", "fast"), self.mount("--fs-mode", "")):
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn("--fs-mode knows 'fuse', 'monitor' and 'disabled'", result.stderr)
        r = self.mount("--fs-mode", "monitor")
        self.assertEqual(r.returncode, 2)
        self.assertIn("moonfence watch", r.stderr)


class AsRootModes(Everybody):
    ran = ("sh", "-c", "touch ran")

    def test_no_device(self):
        for result in (self.run_in(before=BARE_DEV, command=self.ran), self.mount(before=BARE_DEV)):
            self.refused(result, "/dev/fuse", "modprobe fuse", "--device /dev/fuse")

    def test_a_device_that_is_not_ours(self):
        before = BARE_DEV + "touch /mnt/f && mount --bind /mnt/f /dev/null && mknod /mnt/fuse c 0 0"
        for result in (self.run_in(before=before, command=self.ran), self.mount(before=before)):
            self.refused(result, "/dev/fuse")

    def test_no_library(self):
        """What installs it here, and on the other distributions."""
        where = subprocess.run("ls /usr/lib/*/libfuse3.so.[34] /usr/lib/libfuse3.so.[34] 2>/dev/null", shell=True, text=True,
                               capture_output=True, check=False).stdout.split()
        self.assertTrue(where)
        hide = "".join(f"mount --bind /dev/null {path}\n" for path in where)
        for release, hint in (("ID=debian", "apt install fuse3"), ("ID=fedora", "dnf install fuse3"), ("ID=alpine", "apk add fuse3"),
                              ("ID=arch", "pacman -S fuse3")):
            with open(os.path.join(self.dir, "release"), "w", encoding="utf-8") as file:
                file.write(release + "\n")
            before = hide + f"mount --bind {self.dir}/release /etc/os-release\n"
            self.refused(self.run_in(before=before, command=self.ran), "libfuse 3 is not here", "libfuse3.so", hint)
            self.refused(self.mount(before=before), "libfuse 3 is not here", hint)
        # Everything else of moonfence does without.
        r = self.moonfence("run", "--policy", self.policy, "--", "true", before=hide)
        self.assertEqual(r.returncode, 0, r.stderr)

    def test_not_on_a_file(self):
        with open(os.path.join(self.dir, "file"), "w", encoding="utf-8"):
            pass
        self.mnt = os.path.join(self.dir, "file")
        self.refused(self.mount(), "file: not a directory")

    def test_no_helper_for_ordinary_users(self):
        before = f"""mount --bind /dev/null $(readlink -f $(command -v fusermount3))
mount -t tmpfs -o mode=755 tmpfs /mnt && mknod /mnt/fuse c 10 229 && chmod 666 /mnt/fuse && mount --bind /mnt/fuse /dev/fuse
cp {MOONFENCE} /mnt/moonfence && chmod -R a+rX {self.dir} && cp -r "$MOONFENCE_DATA" /mnt/lua && export MOONFENCE_DATA=/mnt/lua
shift && set -- setpriv --reuid {mounted.NOBODY} --regid {mounted.NOBODY} --clear-groups /mnt/moonfence "$@"
"""
        self.refused(self.mount(before=before), "fusermount3", "install")


class AsUserModes(Everybody):
    def test_mount_refused(self):
        """Where users may not mount: on what is not theirs"""
        self.mnt = "/usr"
        r = self.mount()
        self.assertEqual(r.returncode, 125, r.stderr)
        self.assertIn("/usr cannot be mounted on", r.stderr)


del Everybody, Modes

if __name__ == "__main__":
    mounted.main()

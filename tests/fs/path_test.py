# SPDX-License-Identifier: Apache-2.0
"""macOS' front end of paths, run on Linux: what it does in a way of its own. (Suites of the other front end run on it, too.)"""
import errno
import json
import os
import subprocess

import mounted
from mounted import ALLOW, KEEP, MountCase


def write(path, text, mode="w"):
    with open(path, mode) as file:
        file.write(text)


def read(path):
    with open(path) as file:
        return file.read()


class AsUserPaths(MountCase):
    policy = KEEP

    def at(self, *names):
        return os.path.join(self.mnt, *names)

    def trash(self, *args):
        return self.run_in([self.mount.program, "trash", *args, "--trash", self.mount.path("trash")], cwd="/",
                           env={"MOONFENCE_DATA": os.path.realpath(os.path.join(mounted.HERE, "../../lua"))})

    def entries(self):
        return json.loads(self.trash("list", "--json").stdout)

    def test_lost_and_restored(self):
        """Every way to lose content, and back by `moonfence trash`"""
        os.mkdir(self.at("d"))
        ways = {"unlinked": lambda path: os.unlink(path), "cut": lambda path: os.truncate(path, 3),
                "opened": lambda path: write(path, "new"), "d/replaced": lambda path: os.rename(self.at("other"), path)}
        write(self.at("other"), "other")
        for name, lose in ways.items():
            write(self.at(name), f"old {name}")
            lose(self.at(name))
        fd = os.open(self.at("handle"), os.O_RDWR | os.O_CREAT)
        os.write(fd, b"old handle")
        os.ftruncate(fd, 2)
        os.close(fd)
        entries = {os.path.relpath(e["path"], self.src): e for e in self.entries()}
        self.assertEqual(set(entries), {*ways, "handle"})
        for name, entry in entries.items():
            self.trash("restore", entry["token"], "--force")
            self.assertEqual(read(self.at(name)), f"old {name}")

    def test_a_tree(self):
        os.makedirs(self.at("a/b/c"))
        write(self.at("a/b/c/f"), "deep")
        self.run_in(["rm", "-r", "a"])
        self.assertEqual(os.listdir(self.src), [])
        for entry in reversed(self.entries()):
            self.trash("restore", entry["token"])
        self.assertEqual(read(self.at("a/b/c/f")), "deep")

    def test_links_lead_nowhere(self):
        """A directory of the source that becomes a link is gone, not a way out."""
        os.makedirs(self.at("in/sub"))
        write(self.at("in/sub/f"), "inside")
        outside = self.mount.path("outside")
        os.makedirs(os.path.join(outside, "sub"))
        write(os.path.join(outside, "sub", "f"), "outside")
        held = os.open(self.at("in/sub"), os.O_RDONLY)
        self.addCleanup(os.close, held)
        os.rename(os.path.join(self.src, "in"), os.path.join(self.src, "was"))
        os.symlink(outside, os.path.join(self.src, "in"))
        for call in (lambda: os.open("f", os.O_RDONLY, dir_fd=held), lambda: os.open("f", os.O_WRONLY | os.O_TRUNC, dir_fd=held),
                     lambda: os.unlink("f", dir_fd=held), lambda: os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=held),
                     lambda: os.rename("f", "g", src_dir_fd=held, dst_dir_fd=held), lambda: os.chmod("f", 0, dir_fd=held),
                     lambda: os.mkdir("new", dir_fd=held)):
            self.assertRaises(OSError, call)
        self.assertEqual(os.listdir(os.path.join(outside, "sub")), ["f"])
        self.assertEqual(read(os.path.join(outside, "sub", "f")), "outside")
        self.assertEqual(os.readlink(self.at("in")), outside)  # seen as a link, followed by the caller alone

    def test_a_last_link_is_not_followed(self):
        outside = self.mount.path("target")
        write(outside, "outside")
        os.symlink(outside, self.at("link"))
        os.utime(self.at("link"), ns=(5, 7), follow_symlinks=False)
        self.assertEqual(os.lstat(self.at("link")).st_mtime_ns, 7)
        os.unlink(self.at("link"))
        self.assertEqual(read(outside), "outside")
        self.assertTrue(os.path.islink(self.mount.path("trash", "files", self.mount.trashed()[0])))

    def test_handles_of_deleted_files(self):
        fd = os.open(self.at("f"), os.O_RDWR | os.O_CREAT)
        os.write(fd, b"before")
        os.unlink(self.at("f"))
        os.write(fd, b" after")
        self.assertEqual(os.pread(fd, 100, 0), b"before after")
        os.fsync(fd)
        os.ftruncate(fd, 6)
        os.close(fd)
        self.assertEqual(read(self.mount.path("trash", "files", self.mount.trashed()[0])), "before")

    def test_what_nfs_renames_is_deleted(self):
        """NFS clients rename an open file that is deleted, and delete it when it is closed."""
        write(self.at("f"), "kept")
        fd = os.open(self.at("f"), os.O_RDWR | os.O_APPEND)
        os.rename(self.at("f"), self.at(".nfs.00000001.0042"))
        self.assertEqual([os.path.basename(e["path"]) for e in self.entries()], ["f"])
        os.write(fd, b" and more")
        os.close(fd)
        os.unlink(self.at(".nfs.00000001.0042"))
        self.assertEqual(os.listdir(self.src), [])
        (entry,) = self.entries()
        self.trash("restore", entry["token"])
        self.assertEqual(read(self.at("f")), "kept and more")
        # What merely is called so is a file like others; and it is no way to read what may not be read.
        write(self.at(".nfs.own"), "own")
        os.unlink(self.at(".nfs.own"))
        self.assertIn(".nfs.own", [os.path.basename(e["path"]) for e in self.entries()])
        write(os.path.join(self.src, "secret"), "secret")
        self.assertRaises(PermissionError, os.rename, self.at("secret"), self.at(".nfs.secret"))
        write(self.at("there"), "there")
        write(self.at(".nfs.there"), "already")
        self.assertRaises(FileExistsError, os.rename, self.at("there"), self.at(".nfs.there"))
        self.assertEqual(read(self.at("there")), "there")

    def test_attributes(self):
        write(self.at("f"), "x")
        if self.xattrs():
            os.setxattr(self.at("f"), "user.x", b"value")
            self.assertEqual(os.getxattr(os.path.join(self.src, "f"), "user.x"), b"value")
            self.assertEqual(os.listxattr(self.at("f")), ["user.x"])
            os.removexattr(self.at("f"), "user.x")
            with self.assertRaises(OSError) as caught:
                os.getxattr(self.at("f"), "user.x")
            self.assertEqual(caught.exception.errno, errno.ENODATA)
        fd = os.open(self.at("f"), os.O_RDWR)
        os.fchmod(fd, 0o751)
        os.utime(fd, ns=(1, 2))
        os.close(fd)
        st = os.stat(os.path.join(self.src, "f"))
        self.assertEqual((st.st_mode & 0o7777, st.st_mtime_ns), (0o751, 2))

    def xattrs(self):
        try:
            os.setxattr(self.src, "user.try", b"1")
        except OSError:
            return False
        return True


class AsUserRefusals(MountCase):
    policy = ALLOW

    def test_options_that_are_not_here(self):
        for option in ("--allow-other", "--writeback"):
            done = subprocess.run([self.mount.program, "mount", "--policy", self.mount.policy, option, self.mount.src, "/"],
                                  capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 125)
            self.assertIn(option, done.stderr)


if __name__ == "__main__":
    mounted.main()

# SPDX-License-Identifier: Apache-2.0
"""Who may do what, by modes: an ordinary user's mount leaves it to the source, and answers as that does, also for names that
the kernel has just seen. Each act is done on the mount and below it, by that user, who owns all files; the answers must be the same."""
import errno
import os
import subprocess

import mounted
from mounted import MountCase


def answer(act, *args):
    try:
        found = act(*args)
    except OSError as e:
        return errno.errorcode[e.errno]
    if act is os.open:
        os.close(found)
        return "opened"
    return found


class Rights(MountCase):
    def prepare(self):
        for name, mode in (("plain", 0o644), ("sealed", 0o444), ("hidden", 0o000), ("unread", 0o200), ("run", 0o755), ("others_run", 0o655)):
            path = self.mount.path("src", name)
            with open(path, "w", encoding="utf-8") as file:
                file.write("#!/bin/sh\necho ran\n")
            os.chmod(path, mode)
        for name, mode in (("open", 0o755), ("no_search", 0o644), ("no_write", 0o555), ("no_list", 0o311)):
            path = self.mount.path("src", name)
            os.mkdir(path)
            with open(os.path.join(path, "in"), "w", encoding="utf-8") as file:
                file.write("x")
            os.chmod(path, mode)

    def tearDown(self):
        for name in ("open", "no_search", "no_write", "no_list"):
            os.chmod(os.path.join(self.src, name), 0o755)
        super().tearDown()

    def same(self, act, name, *args):
        """On the mount first: what it changes must be the same below"""
        seen = answer(act, os.path.join(self.mnt, name), *args)
        self.assertEqual(seen, answer(act, os.path.join(self.src, name), *args), (act.__name__, name, args))
        return seen

    def test_files(self):
        for name in ("plain", "sealed", "hidden", "unread"):
            for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC, os.O_WRONLY | os.O_CREAT):
                self.same(os.open, name, flags)
            for mode in (os.R_OK, os.W_OK, os.X_OK, os.R_OK | os.W_OK):
                self.same(os.access, name, mode)
            self.same(os.truncate, name, 1)
            self.same(os.utime, name)
            self.same(os.chown, name, 0, -1)
        self.assertEqual(self.same(os.open, "sealed", os.O_RDWR), "EACCES")

    def test_directories(self):
        for name in ("open", "no_search", "no_write", "no_list"):
            self.same(os.access, name, os.X_OK)
            self.same(os.access, name, os.W_OK | os.X_OK)
            self.same(os.listdir, name)
            self.same(os.chdir, name)
            os.chdir("/")
            self.same(os.open, f"{name}/in", os.O_RDONLY)
            self.same(os.access, f"{name}/in", os.F_OK)
        self.assertEqual(self.same(os.open, "no_search/in", os.O_RDONLY), "EACCES")
        for name in ("no_search", "no_write"):
            self.same(os.open, f"{name}/new", os.O_WRONLY | os.O_CREAT)
            self.same(os.mkdir, f"{name}/dir")
            self.same(os.unlink, f"{name}/in")
            self.assertEqual(answer(os.rename, os.path.join(self.mnt, name, "in"), os.path.join(self.mnt, name, "there")), "EACCES")

    def test_at_once(self):
        """What the kernel has seen a moment ago is out of reach as soon as its directory is"""
        inside = os.path.join(self.mnt, "open", "in")
        for mode in (0o000, 0o644, 0o600):
            self.assertEqual(os.stat(inside).st_size, 1)
            os.chmod(os.path.join(self.mnt, "open"), mode)
            self.same(os.open, "open/in", os.O_RDONLY)
            if self.epochs():
                self.same(os.access, "open/in", os.F_OK)
            os.chmod(os.path.join(self.mnt, "open"), 0o755)

    @staticmethod
    def epochs():
        """Linux 6.16: the kernel forgets names when it is told to"""
        return tuple(int(v) for v in os.uname().release.split("-")[0].split(".")[:2]) >= (6, 16)

    def test_writers(self):
        """Who has it open for writing may cut it, nobody else"""
        path = os.path.join(self.mnt, "plain")
        with open(path, "r+b") as file:
            os.chmod(path, 0o444)
            self.assertEqual(answer(os.truncate, path, 2), "EACCES")
            self.assertIsNone(answer(os.ftruncate, file.fileno(), 3))
        self.assertEqual(os.stat(os.path.join(self.src, "plain")).st_size, 3)

    def test_execute(self):
        for name in ("run", "others_run", "plain"):
            found = []
            for place in (self.mnt, self.src):
                try:
                    found.append(subprocess.run([os.path.join(place, name)], capture_output=True, text=True, check=False).stdout)
                except OSError as e:
                    found.append(e.errno)
            self.assertEqual(found[0], found[1], name)


class AsUserRights(Rights):
    pass


del Rights, MountCase

if __name__ == "__main__":
    mounted.main()

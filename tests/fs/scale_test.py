# SPDX-License-Identifier: Apache-2.0
"""Very many files looked up (with MF_SLOW; MF_SCALE=1000000 for so many): what the server holds for them is bounded, in
descriptors and in memory."""
import os
import subprocess
import unittest

import mounted
from mounted import SLOW, MountCase

EACH = 50
DIRS = int(os.environ.get("MF_SCALE", 30000)) // EACH
FDS_MAX = 256 + 64  # descriptors of directories, and what a mount has anyway
# A file: a node, a link with its name, the tables' share, and malloc's own; measured 300.
BYTES_MAX = 420
# What the server holds besides grows with threads and policies, not with files.
BASE_MAX = 48 << 20


class Scale(MountCase):
    def prepare(self):
        if not SLOW:
            raise unittest.SkipTest("MF_SLOW is not set")
        for d in range(DIRS):
            path = self.mount.path("src", f"dir{d}")
            os.mkdir(path)
            fd = os.open(path, os.O_RDONLY)
            for i in range(EACH):
                os.mknod(f"file-number-{i}", 0o100644, dir_fd=fd)
            os.close(fd)

    def held(self):
        """Return: descriptors, bytes in memory"""
        pid = self.mount.server.pid
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            rss = next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))
        return len(os.listdir(f"/proc/{pid}/fd")), rss << 10

    def walk(self):
        """Every name with its attributes"""
        found = subprocess.run(["find", self.mnt, "-type", "f", "-size", "-1"], check=True, capture_output=True).stdout
        self.assertEqual(found.count(b"\n"), DIRS * EACH)

    def test_looked_up(self):
        fds, before = self.held()
        self.walk()
        fds, after = self.held()
        cnt = DIRS * EACH
        self.assertLessEqual(fds, FDS_MAX)
        self.assertGreater(fds, 64, "the directories' descriptors are kept for a while")
        print(f"{cnt} files: {fds} descriptors, {(after - before) / cnt:.0f} bytes each", end=" ", flush=True)
        if self.sanitized():
            return
        self.assertLess(after - before, BASE_MAX + BYTES_MAX * cnt)
        # Seen again they are the same files.
        self.walk()
        self.assertLess(self.held()[1] - after, BASE_MAX // 4)
        # What the kernel forgets is let go: the next ones find room there.
        subprocess.run(["find", self.mnt, "-name", "file-*", "-delete"], check=True)
        for d in range(DIRS):
            for i in range(EACH):
                os.mknod(f"{self.src}/dir{d}/other-number-{i}", 0o100644)
        self.walk()
        self.assertLess(self.held()[1] - after, BASE_MAX + BYTES_MAX * cnt // 2)
        self.assertLessEqual(self.held()[0], FDS_MAX)

    def sanitized(self):
        """A sanitizer's allocator keeps what is freed"""
        with open(self.mount.program, "rb") as file:
            return b"__asan_init" in file.read()


class AsUserScale(Scale):
    pass


class AsRootScale(Scale):
    pass


del Scale, MountCase

if __name__ == "__main__":
    mounted.main()

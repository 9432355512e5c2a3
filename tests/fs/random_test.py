# SPDX-License-Identifier: Apache-2.0
"""Random operations on the mount and on a directory beside it: every result and, at the end, every byte is the same.

The same operations in every run, so that what fails there fails everywhere; MF_SEED=N and MF_OPERATIONS=N: others, and more.
"""
import ctypes
import errno
import hashlib
import mmap
import os
import random
import stat

import mounted
from mounted import SLOW, MountCase

LIBC = ctypes.CDLL(None, use_errno=True)
OPERATIONS = int(os.environ.get("MF_OPERATIONS", 100000 if SLOW else 4000))  # of the usual way; fewer of each other one
SEED = int(os.environ.get("MF_SEED", 20261122))
DIRS = ("", "a", "a/b", "a/b/c", "d", "ü d")
NAMES = tuple(f"f{i}" for i in range(8)) + ("new\nline",)


class Twin:
    """The same calls on one of the two; what comes back can be compared."""

    def __init__(self, root, count_names=True):
        self.root = root
        self.count_names = count_names
        self.fds = {}

    def path(self, name):
        return os.path.join(self.root, name)

    def call(self, op, *args):
        try:
            return getattr(self, op)(*args)
        except OSError as e:
            return errno.errorcode[e.errno]

    def close_all(self):
        for fd in self.fds.values():
            os.close(fd)
        self.fds = {}

    def open(self, slot, name, flags, mode):
        if slot in self.fds:
            os.close(self.fds.pop(slot))
        self.fds[slot] = os.open(self.path(name), flags, mode)

    def write(self, slot, off, data):
        return os.pwrite(self.fds[slot], data, off) if slot in self.fds else None

    def read(self, slot, off, size):
        return os.pread(self.fds[slot], size, off) if slot in self.fds else None

    def append(self, slot, data):
        return os.write(self.fds[slot], data) if slot in self.fds else None

    def fstat(self, slot):
        if slot not in self.fds:
            return None
        st = os.fstat(self.fds[slot])
        return st.st_size, st.st_nlink if self.count_names else 0, st.st_mode

    def ftruncate(self, slot, size):
        return os.ftruncate(self.fds[slot], size) if slot in self.fds else None

    def fallocate(self, slot, off, size):
        return os.posix_fallocate(self.fds[slot], off, size) if slot in self.fds else None

    def punch(self, slot, mode, off, size):
        if slot in self.fds and LIBC.fallocate(self.fds[slot], mode, ctypes.c_long(off), ctypes.c_long(size)):
            raise OSError(ctypes.get_errno(), "fallocate")

    def mapped(self, slot, off, data):
        """Bytes written by a shared mapping, as far as the file goes; Return: what the mapping then shows"""
        if slot not in self.fds:
            return None
        size = os.fstat(self.fds[slot]).st_size
        if size <= off:
            return size
        with mmap.mmap(self.fds[slot], size) as m:
            m[off:off + len(data)] = data[:size - off]
            return m[max(0, off - 100):off + len(data) + 100]

    def copy(self, a, b, off_a, off_b, size):
        if a not in self.fds or b not in self.fds:
            return None
        done = 0
        while done < size:  # a file system may stop early
            n = os.copy_file_range(self.fds[a], self.fds[b], size - done, off_a + done, off_b + done)
            if n == 0:
                break
            done += n
        return done

    def exchange(self, a, b):
        if LIBC.renameat2(-100, os.fsencode(self.path(a)), -100, os.fsencode(self.path(b)), 2):
            raise OSError(ctypes.get_errno(), "renameat2")

    def removexattr(self, name, key):
        os.removexattr(self.path(name), "user." + key)

    def listxattr(self, name):
        return sorted(n for n in os.listxattr(self.path(name)) if n.startswith("user."))

    def truncate(self, name, size):
        os.truncate(self.path(name), size)

    def unlink(self, name):
        os.unlink(self.path(name))

    def mkdir(self, name, mode):
        os.mkdir(self.path(name), mode)

    def rmdir(self, name):
        os.rmdir(self.path(name))

    def rename(self, a, b):
        os.rename(self.path(a), self.path(b))

    def link(self, a, b):
        os.link(self.path(a), self.path(b))

    def symlink(self, text, name):
        os.symlink(text, self.path(name))

    def readlink(self, name):
        return os.readlink(self.path(name))

    def chmod(self, name, mode):
        os.chmod(self.path(name), mode)

    def utime(self, name, ns):
        os.utime(self.path(name), ns=(ns, ns + 7))
        return os.stat(self.path(name)).st_mtime_ns

    def setxattr(self, name, key, value):
        os.setxattr(self.path(name), "user." + key, value)

    def getxattr(self, name, key):
        return os.getxattr(self.path(name), "user." + key)

    def stat(self, name):
        st = os.lstat(self.path(name))
        return st.st_mode, st.st_nlink if self.count_names and not stat.S_ISDIR(st.st_mode) else 0, st.st_size if stat.S_ISREG(st.st_mode) else 0

    def list(self, name):
        return sorted(os.listdir(self.path(name)))

    def contents(self):
        found = {}
        for at, dirs, files in os.walk(self.root):
            for name in dirs + files:
                path = os.path.join(at, name)
                st = os.lstat(path)
                key = os.path.relpath(path, self.root)
                if stat.S_ISREG(st.st_mode):
                    with open(path, "rb") as file:
                        found[key] = (st.st_mode, st.st_nlink if self.count_names else 0, hashlib.sha256(file.read()).hexdigest())
                else:
                    found[key] = (st.st_mode, os.readlink(path) if stat.S_ISLNK(st.st_mode) else "")
        return found


def operation(rng):
    def name():
        return os.path.join(rng.choice(DIRS), rng.choice(NAMES))
    flags = rng.choice((os.O_RDONLY, os.O_WRONLY, os.O_RDWR)) | rng.choice((0, os.O_CREAT, os.O_CREAT | os.O_EXCL, os.O_CREAT | os.O_TRUNC)) | \
        rng.choice((0, 0, os.O_APPEND))
    size = rng.choice((0, 1, 100, 4095, 4096, 4097, 70000, 300000))
    data = rng.randbytes(rng.choice((1, 10, 4096, 5000, 140000)))
    slot = rng.randrange(6)
    return rng.choice((
        ("open", slot, name(), flags, 0o644), ("open", slot, name(), flags, 0o600), ("write", slot, size, data), ("write", slot, size, data),
        ("read", slot, size, 50000), ("read", slot, 0, 500000), ("append", slot, data), ("fstat", slot), ("ftruncate", slot, size),
        ("fallocate", slot, size, 1 + len(data)), ("truncate", name(), size), ("unlink", name()), ("unlink", name()),
        ("mkdir", rng.choice(DIRS[1:]), 0o755), ("mkdir", rng.choice(DIRS[1:]), 0o700), ("rmdir", rng.choice(DIRS[1:])), ("rename", name(), name()),
        ("rename", rng.choice(DIRS[1:]), rng.choice(DIRS[1:])), ("link", name(), name()), ("symlink", rng.choice(NAMES), name()),
        ("readlink", name()), ("chmod", name(), rng.choice((0o600, 0o644, 0o444))), ("utime", name(), rng.randrange(1 << 60)),
        ("setxattr", name(), rng.choice("ab"), data[:100]), ("getxattr", name(), rng.choice("ab")), ("stat", name()), ("stat", name()),
        ("list", rng.choice(DIRS)), ("punch", slot, rng.choice((3, 16, 17, 1)), size, 1 + len(data)), ("mapped", slot, size, data), ("mapped", slot, 0, data),
        ("copy", slot, rng.randrange(6), size, rng.choice((0, 5000, 400000)), 1 + len(data)), ("exchange", name(), name()),
        ("exchange", rng.choice(DIRS[1:]), rng.choice(DIRS[1:])), ("removexattr", name(), rng.choice("ab")), ("listxattr", name())))


class Random:
    operations = OPERATIONS
    count_names = True

    def test_same_as_below(self):
        twins = tuple(Twin(path, self.count_names) for path in (self.mnt, self.mount.path("twin")))
        os.mkdir(twins[1].root)
        rng = random.Random(SEED)
        # A name that was just looked at may be kept for a second: nobody changes the source meanwhile here.
        for i in range(self.operations):
            op = operation(rng)
            a, b = (twin.call(*op) for twin in twins)
            self.assertEqual(a, b, f"operation {i}: {str(op)[:200]}")
            if i % 1000 == 999:
                self.assertEqual(twins[0].contents(), twins[1].contents(), f"after operation {i}")
        for twin in twins:
            twin.close_all()
        self.assertEqual(Twin(self.src, self.count_names).contents(), twins[1].contents())


class AsRootRandom(Random, MountCase):
    pass


class AsUserRandom(Random, MountCase):
    operations = OPERATIONS // 3


class AsRootRandomWriteback(Random, MountCase):
    operations = OPERATIONS // 10 if SLOW else OPERATIONS // 5
    options = ("--writeback",)


class AsRootRandomNoPassthrough(Random, MountCase):
    operations = OPERATIONS // 10 if SLOW else OPERATIONS // 5
    options = ("--no-passthrough",)


class AsRootRandomNoCache(Random, MountCase):
    operations = OPERATIONS // 10 if SLOW else OPERATIONS // 5
    options = ("--no-cache",)


class AsRootRandomKept(Random, MountCase):
    """With everything that is lost going to the trash, where it has one name more"""
    operations = OPERATIONS // 10 if SLOW else OPERATIONS // 5
    count_names = False
    policy = mounted.KEEP


if __name__ == "__main__":
    mounted.main()

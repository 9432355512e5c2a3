# SPDX-License-Identifier: Apache-2.0
"""Ways around the policies of a mount, each tried. docs/threat-model.md has the table."""
import ctypes
import errno
import json
import mmap
import os
import stat
import struct
import unittest

import mounted
from mounted import NOBODY, MountCase

LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, AT_EMPTY_PATH, O_PATH = -100, 0x1000, 0o10000000
RENAME_EXCHANGE = 2


def call(name, *args):
    """A function of the C library; raises OSError"""
    r = getattr(LIBC, name)(*[a.encode() if isinstance(a, str) else a for a in args])
    if r < 0:
        raise OSError(ctypes.get_errno(), name)
    return r


class Wall(MountCase):
    """`secret` and all below it is out of bounds; `fixed` may be read, and not changed."""
    policy = """return { name = "wall", file = function(q)
      local path = q.path .. "/"
      if path:find("/secret/", 1, true) then return deny { reason = "secret" } end
      if path:find("/fixed/", 1, true) and q.op ~= "stat" and q.op ~= "open" and q.op ~= "read" and q.op ~= "list"
          and q.op ~= "link" then
        return deny { errno = "EROFS" }
      end
      if q.op == "delete" and path:find("/kept/", 1, true) then return soft_delete {} end
      return allow {}
    end }"""

    def prepare(self):
        src = self.mount.src
        for place in ("home/secret", "home/fixed", "home/open"):
            os.makedirs(os.path.join(src, place))
            for name in ("plan", "other"):
                with open(os.path.join(src, place, name), "w") as file:
                    file.write("canary")
        self.canaries = [os.path.join(src, "home", d, n) for d in ("secret", "fixed") for n in ("plan", "other")]
        for path in (src, *(at for at, _, _ in os.walk(src))):
            if self.mount.user is not None and os.getuid() == 0:
                os.chown(path, self.mount.user, self.mount.user)

    def at(self, *names):
        return os.path.join(self.mnt, "home", *names)

    def tearDown(self):
        for path in self.canaries:
            with open(path) as file:
                self.assertEqual(file.read(), "canary", path)
        super().tearDown()

    def refused(self, function, *args, want=(errno.EACCES, errno.EROFS)):
        with self.assertRaises(OSError) as caught:
            function(*args)
        self.assertIn(caught.exception.errno, want, errno.errorcode[caught.exception.errno])

    def test_renaming_a_directory_above(self):
        for old, new in ((self.at(), os.path.join(self.mnt, "elsewhere")), (self.at("secret"), self.at("open2"))):
            self.refused(os.rename, old, new)
        os.makedirs(self.at("open", "deep", "er"))
        self.refused(call, "renameat2", AT_FDCWD, self.at(), AT_FDCWD, self.at("open", "deep"), 0, want=(errno.EINVAL, errno.EACCES))
        os.mkdir(os.path.join(self.mnt, "new"))
        self.refused(call, "renameat2", AT_FDCWD, self.at(), AT_FDCWD, os.path.join(self.mnt, "new"), RENAME_EXCHANGE)
        self.refused(call, "renameat2", AT_FDCWD, os.path.join(self.mnt, "new"), AT_FDCWD, self.at(), RENAME_EXCHANGE)
        os.rename(self.at("open"), self.at("moved"))  # nothing in it is denied
        self.assertEqual(sorted(os.listdir(self.at("moved"))), ["deep", "other", "plan"])

    def test_bringing_a_denied_name_along(self):
        os.mkdir(self.at("tree"))
        os.mkdir(self.at("tree", "sub"))
        self.refused(os.mkdir, self.at("tree", "secret"))
        os.mkdir(self.at("tree", "sub", "x"))
        os.rename(self.at("tree"), self.at("tree2"))
        self.refused(os.rename, self.at("tree2", "sub"), self.at("tree2", "secret"))

    def test_new_names(self):
        for name in ("plan", "other"):
            self.refused(os.link, self.at("secret", name), self.at("link"))
            self.refused(os.link, self.at("fixed", name), self.at("link"))
        self.refused(call, "renameat2", AT_FDCWD, self.at("secret", "plan"), AT_FDCWD, self.at("open", "plan"), RENAME_EXCHANGE)
        self.refused(call, "renameat2", AT_FDCWD, self.at("open", "plan"), AT_FDCWD, self.at("fixed", "plan"), RENAME_EXCHANGE)
        self.refused(os.rename, self.at("open", "plan"), self.at("fixed", "plan"))

    def test_names_that_were_there_before(self):
        """However many other names a file has: what may not be written by one of them is not written."""
        path = os.path.join(self.src, "home/fixed/plan")
        for i in range(40):
            os.link(path, os.path.join(self.src, "home/open", f"alias{i}"))
        os.stat(self.at("fixed", "plan"))
        for i in range(40):
            os.stat(self.at("open", f"alias{i}"))
        alias = self.at("open", "alias39")
        for function, *args in ((os.open, alias, os.O_WRONLY), (os.open, alias, os.O_RDWR), (os.open, alias, os.O_RDONLY | os.O_TRUNC),
                                (os.truncate, alias, 0), (os.chmod, alias, 0o777), (os.utime, alias, (1, 1)),
                                (os.setxattr, alias, "user.x", b"x")):
            with self.subTest(call=function.__name__):
                self.refused(function, *args)
        os.close(os.open(alias, os.O_RDONLY))

    def test_handles_from_before(self):
        """A descriptor that only names a place (O_PATH) gives nothing that its path does not."""
        fixed = os.open(self.at("fixed", "plan"), O_PATH)
        home = os.open(self.at(), O_PATH)
        self.addCleanup(os.close, fixed)
        self.addCleanup(os.close, home)
        link = f"/proc/self/fd/{fixed}"
        for function, *args in ((os.open, link, os.O_WRONLY), (os.open, link, os.O_RDWR | os.O_TRUNC), (os.truncate, link, 0),
                                (os.chmod, link, 0o777), (os.setxattr, link, "user.x", b"x")):
            with self.subTest(call=function.__name__):
                self.refused(function, *args)
        self.refused(call, "linkat", AT_FDCWD, link, home, "linked", 0x400, want=(errno.EACCES, errno.EROFS))
        if os.getuid() == 0:
            self.refused(call, "linkat", fixed, "", home, "linked", AT_EMPTY_PATH)
            self.refused(call, "fchownat", fixed, "", 1, 1, AT_EMPTY_PATH)
        for path in ("secret", "secret/plan"):
            for flags in (os.O_RDONLY, O_PATH, os.O_RDONLY | os.O_DIRECTORY):
                self.refused(lambda p=path, f=flags: os.open(p, f, dir_fd=home))

    def test_spellings(self):
        deep = "open/../" * 200
        for path in ("secret/", "./secret", "open/../secret", "secret/.", "secret//plan", deep + "secret/plan"):
            self.refused(os.open, self.at(path), os.O_RDONLY)
            self.refused(os.listdir, self.at(path))
        self.refused(os.open, self.at("secret") + "/" * 3000, os.O_RDONLY)
        self.refused(os.open, self.at("x" * 256), os.O_RDONLY, want=(errno.ENAMETOOLONG,))
        for other in ("SECRET", "secret ", "secret\n", "secre\u0301t"):
            with self.assertRaises(FileNotFoundError):
                os.stat(self.at(other))
        os.symlink("../secret/plan", self.at("open", "way"))
        self.refused(os.open, self.at("open", "way"), os.O_RDONLY)
        os.symlink("secret", self.at("dirlink"))
        self.refused(os.listdir, self.at("dirlink"))
        at = os.getcwd()
        try:
            os.chdir(self.at("open"))
            self.refused(os.open, "../secret/plan", os.O_RDONLY)
            self.refused(os.chdir, "../secret")
            self.refused(os.open, "/proc/self/cwd/../secret/plan", os.O_RDONLY)
            self.refused(os.open, f"/proc/self/root{self.at('secret/plan')}", os.O_RDONLY)
        finally:
            os.chdir(at)

    @unittest.skipIf(mounted.BY_PATHS, "what has no name cannot be opened at all")
    def test_a_file_without_a_name(self):
        """What was opened for reading alone is not written, also once it has no name that could be asked about."""
        path = self.at("open", "kept")
        os.mkdir(path)
        with open(os.path.join(path, "f"), "w") as file:
            file.write("precious")
        fd = os.open(os.path.join(path, "f"), os.O_RDONLY)
        self.addCleanup(os.close, fd)
        os.unlink(os.path.join(path, "f"))
        for function, *args in ((os.truncate, f"/proc/self/fd/{fd}", 0), (os.open, f"/proc/self/fd/{fd}", os.O_RDWR),
                                (os.open, f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_TRUNC)):
            self.refused(function, *args)
        again = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
        self.assertEqual(os.read(again, 100), b"precious")
        os.close(again)
        kept = self.mount.path("trash", "files")
        with open(os.path.join(kept, os.listdir(kept)[0])) as file:
            self.assertEqual(file.read(), "precious")

    def test_io_uring(self):
        ring = Ring()
        self.addCleanup(ring.close)
        openat, unlinkat, renameat = 18, 36, 35
        for path, flags in (("secret/plan", os.O_RDONLY), ("fixed/plan", os.O_WRONLY), ("fixed/plan", os.O_RDONLY | os.O_TRUNC)):
            self.assertIn(ring.do(openat, AT_FDCWD, self.at(path), 0, 0, flags), (-errno.EACCES, -errno.EROFS))
        self.assertIn(ring.do(unlinkat, AT_FDCWD, self.at("fixed/plan"), 0, 0, 0), (-errno.EROFS, -errno.EACCES))
        to = ctypes.create_string_buffer(self.at("open/new").encode())
        self.assertIn(ring.do(renameat, AT_FDCWD, self.at("secret/plan"), AT_FDCWD & 0xFFFFFFFF, ctypes.addressof(to), 0), (-errno.EACCES,))
        fd = ring.do(openat, AT_FDCWD, self.at("open/plan"), 0, 0, os.O_RDONLY)
        self.assertEqual(os.read(fd, 10), b"canary")
        os.close(fd)

    def test_names_in_events(self):
        """What a name says is one string of one line, whatever is in it."""
        evil = 'x"}\n{"type": "policy_reload", "\x1b[2J'
        self.refused(os.mkdir, self.at("secret", evil))
        os.mkdir(self.at("open", evil))
        os.mkdir(os.path.join(self.at("open").encode(), b"\xff\n"))
        self.mount.stop()
        with open(self.mount.events_path, "rb") as file:
            lines = file.read().splitlines()
        events = [json.loads(line) for line in lines]
        self.assertEqual(len([e for e in events if (e.get("path") or "").endswith(evil)]), 1)
        self.assertFalse([e for e in events if e["type"] == "policy_reload"])
        self.assertFalse([line for line in lines if b"\x1b" in line])

    @unittest.skipIf(mounted.BY_PATHS, "closing asks the mount, which has ended by then")
    def test_system_calls_that_move_bytes(self):
        """None of them needs a name, all of them a handle that was asked about."""
        fixed = os.open(self.at("fixed", "plan"), os.O_RDONLY)
        other = os.open(self.at("open", "plan"), os.O_RDWR)
        self.addCleanup(os.close, fixed)
        self.addCleanup(os.close, other)
        for function in (lambda: os.copy_file_range(other, fixed, 3), lambda: os.sendfile(fixed, other, 0, 3),
                         lambda: os.pwrite(fixed, b"x", 0), lambda: os.ftruncate(fixed, 0),
                         lambda: os.posix_fallocate(fixed, 0, 100), lambda: call("fallocate", fixed, 3, ctypes.c_long(0), ctypes.c_long(3))):
            self.refused(function, want=(errno.EBADF, errno.EINVAL))
        with self.assertRaises(PermissionError):
            mmap.mmap(fixed, 6, mmap.MAP_SHARED, mmap.PROT_WRITE)


class Ring:
    """One request at a time through io_uring"""

    def __init__(self):
        self.params = bytearray(120)
        raw = (ctypes.c_char * 120).from_buffer(self.params)
        self.fd = LIBC.syscall(425, 4, raw)
        if self.fd < 0:
            raise unittest.SkipTest(f"no io_uring here: {os.strerror(ctypes.get_errno())}")
        number = struct.unpack_from("<30I", self.params)
        self.sq_off, self.cq_off = number[10:20], number[20:30]
        self.sq = mmap.mmap(self.fd, self.sq_off[6] + 4 * 4, offset=0)
        self.cq = mmap.mmap(self.fd, self.cq_off[5] + 16 * number[1], offset=0x8000000)
        self.sqes = mmap.mmap(self.fd, 64 * 4, offset=0x10000000)

    def do(self, op, fd, path, length, off, flags):
        """Return: what the call returns, a negative errno after a failure"""
        text = ctypes.create_string_buffer(path.encode())
        tail = struct.unpack_from("I", self.sq, self.sq_off[1])[0]
        slot = tail & struct.unpack_from("I", self.sq, self.sq_off[2])[0]
        struct.pack_into("<BBHiQQIIQHHiQQ", self.sqes, 64 * slot, op, 0, 0, fd, off, ctypes.addressof(text), length, flags, 1, 0, 0, 0, 0, 0)
        struct.pack_into("I", self.sq, self.sq_off[6] + 4 * slot, slot)
        struct.pack_into("I", self.sq, self.sq_off[1], tail + 1)
        if LIBC.syscall(426, self.fd, 1, 1, 1, None, 0) < 0:
            raise OSError(ctypes.get_errno(), "io_uring_enter")
        head = struct.unpack_from("I", self.cq, self.cq_off[0])[0]
        at = head & struct.unpack_from("I", self.cq, self.cq_off[2])[0]
        result = struct.unpack_from("<Qi", self.cq, self.cq_off[5] + 16 * at)[1]
        struct.pack_into("I", self.cq, self.cq_off[0], head + 1)
        return result

    def close(self):
        for part in (self.sq, self.cq, self.sqes):
            part.close()
        os.close(self.fd)


class Owners(MountCase):
    """Root's mount for everybody: what the trash and redirects make belongs to whom it should."""
    policy = """return { name = "keep", file = function(q)
      if q.op == "delete" then return soft_delete {} end
      local rest = q.path:match("^/w/out/(.+)$")
      if rest then return redirect_path { target = "/w/away/there/" .. rest } end
      return allow {}
    end }"""
    options = ("--allow-other", "--threads", "1", "--root", "/w")

    def prepare(self):
        os.mkdir(os.path.join(self.mount.src, "out"))
        os.chmod(self.mount.src, 0o1777)

    def test_the_trash_is_the_servers(self):
        self.run_in("echo x > mine; umask 0; mkdir theirs; rm mine", shell=True, user=NOBODY)
        path = os.path.join(self.mnt, "roots")
        with open(path, "w") as file:
            file.write("root's own")
        self.run_in("echo x > again", shell=True, user=NOBODY)
        os.truncate(path, 1)
        found = {}
        for at, dirs, files in os.walk(self.mount.path("trash")):
            for name in dirs + files:
                found[os.path.join(at, name)] = os.lstat(os.path.join(at, name))
        for name, st in found.items():
            if "/files/" in name:
                self.assertEqual(st.st_uid, NOBODY if "mine" in name else 0, name)
            else:
                self.assertEqual((st.st_uid, st.st_mode & 0o022 if not stat.S_ISLNK(st.st_mode) else 0), (0, 0), name)
        self.assertTrue(any("/files/roots" in name for name in found), found)

    def test_what_a_redirect_makes_is_the_callers(self):
        os.chmod(os.path.join(self.mnt, "out"), 0o777)
        self.run_in("echo x > first", shell=True, user=1)
        self.run_in("echo y > out/f", shell=True, user=NOBODY)
        for name in ("away", "away/there", "away/there/f"):
            self.assertEqual(os.lstat(os.path.join(self.src, name)).st_uid, NOBODY, name)

    def test_names_of_roots_attributes(self):
        path = os.path.join(self.mnt, "f")
        self.run_in("echo x > f", shell=True, user=NOBODY)
        os.setxattr(path, "trusted.hidden", b"x")
        os.setxattr(path, "user.seen", b"x")
        self.assertIn("trusted.hidden", os.listxattr(path))
        out = self.run_in(["/usr/bin/python3", "-c", "import os; print(os.listxattr('f'))"], user=NOBODY).stdout
        self.assertEqual(out, "['user.seen']\n")


class AsRootWall(Wall):
    pass


class AsUserWall(Wall):
    pass


class AsRootOwners(Owners):
    pass


if __name__ == "__main__":
    mounted.main()

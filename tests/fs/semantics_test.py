# SPDX-License-Identifier: Apache-2.0
"""The same system calls on the mount and on a directory below it: errno by errno, answer by answer."""
import ctypes
import errno
import fcntl
import mmap
import os
import re
import shutil
import socket
import stat
import struct
import subprocess
import sys
import time

import mounted
from mounted import NOBODY, OneMountCase

LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, AT_EMPTY_PATH, AT_SYMLINK_FOLLOW, O_PATH, O_TMPFILE = -100, 0x1000, 0x400, 0o10000000, 0o20200000
KEEP_SIZE, PUNCH_HOLE, COLLAPSE, ZERO, INSERT, UNSHARE = 1, 2, 8, 16, 32, 64
OFD_SETLK, OFD_GETLK = 37, 36
FICLONE, FS_IOC_GETFLAGS, FS_IOC_SETFLAGS = 0x40049409, 0x80086601, 0x40086602


def libc(name, *args):
    r = getattr(LIBC, name)(*[a.encode() if isinstance(a, str) else a for a in args])
    if r < 0:
        raise OSError(ctypes.get_errno(), name)
    return r


def fallocate(fd, mode, off, length):
    return libc("fallocate", fd, mode, ctypes.c_long(off), ctypes.c_long(length))


class Script:
    """Calls in one of the two places, and what came of each."""

    def __init__(self, root):
        self.root = root
        self.said = []
        self.fds = []

    def at(self, *names):
        return os.path.join(self.root, *names)

    def say(self, *what):
        self.said.append(what)

    def do(self, label, function, *args, **more):
        """Calls it; notes the result or the errno. Return: the result, None after an error"""
        try:
            r = function(*args, **more)
        except OSError as e:
            self.say(label, errno.errorcode.get(e.errno, e.errno))
            return None
        except ValueError as e:
            self.say(label, str(e))
            return None
        self.say(label, r if isinstance(r, (int, bytes, str, list, tuple, type(None))) else "done")
        return r

    def open(self, name, flags=os.O_RDWR | os.O_CREAT, mode=0o644, **more):
        fd = os.open(self.at(name), flags, mode, **more)
        self.fds.append(fd)
        return fd

    def write(self, name, data):
        with open(self.at(name), "wb") as file:
            file.write(data)

    def bytes(self, name):
        with open(self.at(name), "rb") as file:
            return file.read()

    def close(self):
        for fd in self.fds:
            try:
                os.close(fd)
            except OSError:
                pass


# ---- what is compared --------------------------------------------------------------------------------------------------

def xattrs(s, root):
    s.write("f", b"x")
    os.mkdir(s.at("d"))
    os.symlink("f", s.at("l"))
    os.mkfifo(s.at("p"))
    for name in ("f", "d", "l", "p"):
        for key in ("user.a", "security.mf", "trusted.mf", "other.mf", "system.mf", "user.", "user." + "n" * 250, "user." + "n" * 251):
            for value in (b"", b"one", b"\x00\xff"):
                s.do((name, key, value), os.setxattr, s.at(name), key, value, follow_symlinks=False)
                s.do((name, key, "get"), os.getxattr, s.at(name), key, follow_symlinks=False)
        s.do((name, "list"), lambda n=name: sorted(os.listxattr(s.at(n), follow_symlinks=False)))
    s.do("create", os.setxattr, s.at("f"), "user.a", b"2", os.XATTR_CREATE)
    s.do("replace", os.setxattr, s.at("f"), "user.none", b"2", os.XATTR_REPLACE)
    for size in (3000, 4000, 65536, 65537):
        s.do(("size", size), os.setxattr, s.at("f"), "user.big", b"b" * size)
    buf = ctypes.create_string_buffer(4)
    for room in (0, 1, 2, 4):
        s.do(("room", room), libc, "getxattr", s.at("f"), "user.a", buf, room)
        s.do(("list room", room), libc, "listxattr", s.at("f"), buf, room)
    s.do("remove", os.removexattr, s.at("f"), "user.a")
    s.do("remove again", os.removexattr, s.at("f"), "user.a")
    fd = s.open("f")
    s.do("by fd", os.setxattr, fd, "user.fd", b"1")
    s.do("by fd", os.getxattr, fd, "user.fd")
    os.chmod(s.at("f"), 0o444)
    s.do("read-only mode", os.setxattr, s.at("f"), "user.b", b"1")


def acls(s, root):
    def facl(*args):
        r = subprocess.run(["setfacl", *args], capture_output=True, text=True, check=False, cwd=s.root)
        s.say("setfacl", args, r.returncode, r.stderr.replace(s.root, ""))

    def shown(name):
        r = subprocess.run(["getfacl", "-cn", name], capture_output=True, text=True, check=False, cwd=s.root)
        s.say("getfacl", name, r.stdout, stat.S_IMODE(os.stat(s.at(name)).st_mode))
    s.write("f", b"x")
    os.mkdir(s.at("d"))
    facl("-m", "u:1:rwx,g:2:r", "f")
    shown("f")
    for mode in (0o600, 0o751, 0o4711):
        os.chmod(s.at("f"), mode)
        shown("f")
    facl("-d", "-m", "u:1:rwx,g:2:rx,o::-", "d")
    facl("-d", "-m", "u:1:rwx", "f")
    for mask in (0, 0o077):
        old = os.umask(mask)
        s.write(f"d/f{mask}", b"")
        os.mkdir(s.at(f"d/d{mask}"), 0o777)
        os.mknod(s.at(f"d/p{mask}"), 0o666 | stat.S_IFIFO)
        os.close(os.open(s.at(f"d/m{mask}"), os.O_CREAT | os.O_WRONLY, 0o660))
        os.umask(old)
        for kind in ("f", "d", "p", "m"):
            shown(f"d/{kind}{mask}")
    facl("-b", "f")
    shown("f")
    facl("-k", "d")
    shown("d")
    s.do("bad", os.setxattr, s.at("f"), "system.posix_acl_access", b"\x02\x00\x00\x00\x01\x00")


def sparse(s, root):
    fd = s.open("f")
    os.ftruncate(fd, 1 << 20)
    os.pwrite(fd, b"d" * 4096, 64 << 10)
    os.pwrite(fd, b"d" * 8192, 256 << 10)
    os.fsync(fd)
    for off in (0, 1, 64 << 10, (64 << 10) + 1, 68 << 10, 256 << 10, 264 << 10, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, -1):
        for whence in (os.SEEK_DATA, os.SEEK_HOLE, os.SEEK_SET, os.SEEK_END):
            s.do(("seek", off, whence), os.lseek, fd, off, whence)
    s.say("blocks", os.fstat(fd).st_blocks)
    for mode in (0, KEEP_SIZE, PUNCH_HOLE, PUNCH_HOLE | KEEP_SIZE, ZERO, ZERO | KEEP_SIZE, 0x1000, PUNCH_HOLE | ZERO):
        if mode == 0x1000:  # none that is known; those that move bytes would make all that follows differ
            for other in (COLLAPSE, INSERT):
                s.do(("fallocate", other, 1, 1), fallocate, fd, other, 1, 1)
        for off, length in ((0, 4096), (256 << 10, 4096), (2 << 20, 100), (0, 0), (-1, 5), (5, -1), (1 << 62, 1 << 62)):
            s.do(("fallocate", mode, off, length), fallocate, fd, mode, off, length)
            s.say("size", os.fstat(fd).st_size)
    s.say(os.pread(fd, 4 << 20, 0))
    read_only = s.open("f", os.O_RDONLY)
    s.do("read-only", fallocate, read_only, 0, 0, 10)
    s.do("pipe", fallocate, os.pipe()[0], 0, 0, 10)
    s.do("directory", fallocate, s.open(".", os.O_RDONLY), 0, 0, 10)
    s.do("huge", os.ftruncate, fd, 1 << 62)
    s.do("negative", os.ftruncate, fd, -1)
    s.do("truncate directory", os.truncate, s.root, 0)


def copies(s, root):
    s.write("a", bytes(range(256)) * 400)
    s.write("b", b"")
    a, b, app = s.open("a"), s.open("b"), s.open("b", os.O_WRONLY | os.O_APPEND)
    w, r = s.open("b", os.O_WRONLY), s.open("a", os.O_RDONLY)
    for src, dst, n, i, o in ((a, b, 1000, 0, 0), (a, b, 100000, 50000, 5000), (a, b, 10, 1 << 30, 0), (a, a, 100, 0, 1000),
                              (a, a, 2000, 0, 1000), (w, b, 10, 0, 0), (a, r, 10, 0, 0), (a, app, 10, 0, 0), (a, b, 0, 0, 0),
                              (a, s.open(".", os.O_RDONLY), 1, 0, 0), (r, w, 77, 3, 300000)):
        s.do(("copy", n, i, o), os.copy_file_range, src, dst, n, i, o)
    s.do("sendfile", os.sendfile, b, a, 5, 500)
    s.do("sendfile", os.sendfile, w, r, 0, 5000)
    s.say(s.bytes("a"), s.bytes("b"))
    pr, pw = os.pipe()
    s.fds += [pr, pw]
    s.do("splice", os.splice, a, pw, 4096, 100)
    s.do("splice", os.splice, pr, b, 4096, None, 7)
    s.say(s.bytes("b"))
    s.do("clone", fcntl.ioctl, b, FICLONE, a)
    s.do("dedupe", fcntl.ioctl, b, 0xC0189436, bytearray(struct.pack("QQHHI", 0, 4096, 0, 0, 0)))


def ioctls(s, root):
    s.write("f", b"x")
    for name in ("f", "."):
        fd = s.open(name, os.O_RDONLY)
        buf = bytearray(8)
        s.do(("get", name), fcntl.ioctl, fd, FS_IOC_GETFLAGS, buf)
        was = struct.unpack("i", buf[:4])[0]
        s.say("flags", was)
        for add in (0x80, 0x40, 0x8, 0x10, 0x20, 0x4):  # A d S i a c
            r = s.do(("set", name, add), fcntl.ioctl, fd, FS_IOC_SETFLAGS, struct.pack("l", was | add))
            s.do(("get", name), fcntl.ioctl, fd, FS_IOC_GETFLAGS, buf)
            s.say("flags", struct.unpack("i", buf[:4])[0])
            if r is not None and add in (0x10, 0x20):
                s.do("write", lambda n=name: os.close(os.open(s.at(n if n == "f" else "new"), os.O_WRONLY | os.O_CREAT, 0o644)))
                s.do("chmod", os.chmod, s.at(name), 0o711)
            fcntl.ioctl(fd, FS_IOC_SETFLAGS, struct.pack("l", was))
        for request in (0x5401, 0x1234, 0x541B if name == "." else 0x5452, 0x80087601 if False else 0x12345678):
            s.do(("other", name, request), fcntl.ioctl, fd, request, bytearray(16))


def locks(s, root):
    s.write("f", b"0123456789")
    program = """
import errno, fcntl, os, struct, sys
def say(f, *a):
    try:
        r = f(*a); print("ok" if r is None or r == 0 or not isinstance(r, bytes) else struct.unpack("hhqqi4x", r)[:4])
    except OSError as e:
        print(errno.errorcode[e.errno])
fd = os.open("f", os.O_RDWR)
say(fcntl.flock, fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
say(fcntl.flock, fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
for kind in (fcntl.F_RDLCK, fcntl.F_WRLCK):
    for start, length in ((0, 5), (5, 5), (20, 0)):
        for cmd in (fcntl.F_SETLK, 37, fcntl.F_GETLK, 36):
            say(fcntl.fcntl, fd, cmd, struct.pack("hhqqi4x", kind, 0, start, length, 0))
"""

    def other():
        r = subprocess.run(["/usr/bin/python3", "-c", program], cwd=s.root, capture_output=True, text=True, check=False)
        s.say("other", r.stdout, r.stderr)
    a, b = s.open("f"), s.open("f")
    lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 5, 0)
    other()
    s.do("flock", fcntl.flock, a, fcntl.LOCK_EX)
    s.do("flock", fcntl.flock, b, fcntl.LOCK_EX | fcntl.LOCK_NB)
    other()
    s.do("convert", fcntl.flock, a, fcntl.LOCK_SH)
    s.do("shared", fcntl.flock, b, fcntl.LOCK_SH | fcntl.LOCK_NB)
    other()
    fcntl.flock(a, fcntl.LOCK_UN)
    fcntl.flock(b, fcntl.LOCK_UN)
    s.do("posix", lambda: fcntl.fcntl(a, fcntl.F_SETLK, lock) and None)
    other()
    s.do("closing another descriptor", os.close, s.open("f"))
    other()
    s.do("ofd", lambda: fcntl.fcntl(a, OFD_SETLK, lock) and None)
    s.do("ofd of another", lambda: fcntl.fcntl(b, OFD_SETLK, lock) and None)
    other()
    s.do("lease", fcntl.fcntl, s.open("f", os.O_RDONLY), fcntl.F_SETLEASE, fcntl.F_RDLCK)
    s.do("get lease", fcntl.fcntl, a, fcntl.F_GETLEASE)


def appending(s, root):
    """Lines of four processes, none of which is lost or torn"""
    program = "import os; fd = os.open('log', os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)\n" \
              "for i in range(200): os.write(fd, (b'%d %d ' % (os.getpid(), i)) + b'x' * 50 + b'\\n')"
    for p in [subprocess.Popen(["/usr/bin/python3", "-c", program], cwd=s.root) for _ in range(4)]:
        s.say(p.wait(mounted.WAIT_S))
    lines = s.bytes("log").splitlines()
    seen = {}
    for line in lines:
        pid, i, rest = line.split(b" ")
        s.say(rest)
        seen.setdefault(pid, []).append(int(i))
    s.say(len(lines), [v == list(range(200)) for v in seen.values()])


def direct(s, root):
    fd = s.open("f", os.O_RDWR | os.O_CREAT | os.O_DIRECT)
    page = mmap.mmap(-1, 8192)
    page[:] = b"D" * 8192
    s.do("write", os.pwritev, fd, [page], 0)
    s.do("read", os.preadv, fd, [page], 4096)
    s.do("at the end", os.preadv, fd, [page], 8192)
    s.say(s.bytes("f"))
    os.set_blocking(fd, False)
    s.say(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DIRECT)


def mapped(s, root):
    s.write("f", b"a" * 10000)
    fd, other = s.open("f"), s.open("f")
    one, two = mmap.mmap(fd, 10000), mmap.mmap(other, 10000)
    child = "import mmap, os; fd = os.open('f', os.O_RDWR); m = mmap.mmap(fd, 10000); assert m[5:8] == b'own'; m[4090:4100] = b'C' * 10; m[9999] = 90"
    one[5:8] = b"own"
    s.say(two[5:8])
    s.say(subprocess.run(["/usr/bin/python3", "-c", child], cwd=s.root, check=False).returncode, one[4090:4100], one[9999:])
    os.pwrite(fd, b"written", 100)
    s.say(one[100:107], two[100:107])
    one[200:204] = b"mmap"
    s.say(os.pread(other, 4, 200))
    one.flush()
    os.ftruncate(fd, 5000)
    s.say(os.fstat(other).st_size, two[4999:5000])
    private = mmap.mmap(fd, 5000, mmap.MAP_PRIVATE)
    private[0] = 1
    s.say(os.pread(fd, 1, 0))
    one.close()
    two.close()
    s.do("map for writing", mmap.mmap, s.open("f", os.O_RDONLY), 10, mmap.MAP_SHARED, mmap.PROT_WRITE)
    s.do("map an empty one", mmap.mmap, s.open("e"), 10)
    s.say(s.bytes("f"))


def renames(s, root):
    def make():
        shutil.rmtree(s.root, ignore_errors=True)  # all but the mount's root itself
        os.makedirs(s.at("d/e"), exist_ok=True)
        os.makedirs(s.at("full/x"))
        s.write("a", b"a")
        s.write("b", b"b")
        os.symlink("a", s.at("l"))
        os.link(s.at("a"), s.at("hard"))
    names = ("a", "b", "d", "full", "l", "hard", "none", "none/x", "d/e", "a/x", "d/e/f", ".", "x" * 256)
    make()
    for flags in (0, 1, 2, 3, 8):
        for old in names:
            for new in names:
                if s.do(("rename", flags, old, new), libc, "renameat2", AT_FDCWD, s.at(old), AT_FDCWD, s.at(new), flags) is None:
                    continue
                s.say(sorted(os.path.relpath(os.path.join(at, n), s.root) for at, d, f in os.walk(s.root) for n in d + f))
                make()
    make()
    s.do("whiteout", libc, "renameat2", AT_FDCWD, s.at("a"), AT_FDCWD, s.at("w"), 4)
    s.do("what it left", lambda: (os.lstat(s.at("a")).st_mode, os.lstat(s.at("a")).st_rdev))


def times(s, root):
    s.write("f", b"x")
    os.symlink("f", s.at("l"))
    omit, now = (1 << 30) - 2, (1 << 30) - 1

    class Spec(ctypes.Structure):
        _fields_ = [("sec", ctypes.c_long), ("nsec", ctypes.c_long)]

    def set_times(a, m, name="f", flags=0x100):
        return libc("utimensat", AT_FDCWD, s.at(name), (Spec * 2)(Spec(*a), Spec(*m)), flags)
    for a in ((1, 1), (0, omit), (123456789, 999999999), (-5, 5), (1 << 33, 7), (1 << 40, 0), (0, 1000000000)):
        for m in ((2, 2), (0, omit), (987654321, 1)):
            for name in ("f", "l", "."):
                s.do((a, m, name), set_times, a, m, name)
                st = os.lstat(s.at(name))
                s.say(st.st_atime_ns, st.st_mtime_ns)
    for name in ("f", "."):
        set_times((1, 0), (1, 0), name)
        before = time.time_ns() - 2 * 10**9
        s.do("now", set_times, (0, now), (0, omit), name)
        st = os.lstat(s.at(name))
        s.say(st.st_atime_ns > before, st.st_mtime_ns)
        s.do("both", libc, "utimensat", AT_FDCWD, s.at(name), None, 0)
        s.say(os.lstat(s.at(name)).st_mtime_ns > before)
    c = os.stat(s.at("f")).st_ctime_ns
    os.chmod(s.at("f"), 0o600)
    s.say(os.stat(s.at("f")).st_ctime_ns >= c)
    fd = s.open("f")
    set_times((1, 0), (1, 0))
    os.write(fd, b"y")
    s.say(os.fstat(fd).st_mtime_ns > 10**9)
    set_times((1, 0), (1, 0), ".")
    s.write("new", b"")
    s.say(os.stat(s.root).st_mtime_ns > 10**9)


def names(s, root):
    for name in (b"n" * 255, b"n" * 256, "ü".encode() * 127, "ü".encode() * 128, b"\xff\xfe\x80", b"new\nline", b" ", b"\x01", b"-rf", b"*"):
        path = os.path.join(s.root.encode(), name)
        s.do(name, lambda p=path: os.close(os.open(p, os.O_CREAT | os.O_WRONLY, 0o644)))
        s.do(name, os.mkdir, path + b"d")
        s.do(name, lambda p=path: stat.S_IFMT(os.stat(p).st_mode))
    s.say(sorted(os.listdir(s.root.encode())))
    for text in (b"", b"t" * 4095, b"t" * 4096, b"\xff", b"../" * 100):
        s.do(("symlink", text[:3], len(text)), os.symlink, text, s.at(f"l{len(text)}").encode())
        s.do("readlink", os.readlink, s.at(f"l{len(text)}").encode())
    os.symlink("loop", s.at("loop"))
    s.do("loop", os.stat, s.at("loop"))
    s.do("nofollow", s.open, "loop", os.O_RDONLY | os.O_NOFOLLOW)
    s.do("create through a link", s.open, "l255", os.O_RDWR | os.O_CREAT)


def unlinked(s, root):
    fd = s.open("f")
    os.write(fd, b"content")
    os.setxattr(fd, "user.a", b"1")
    os.link(s.at("f"), s.at("g"))
    held = s.open("f", O_PATH)
    os.unlink(s.at("f"))
    s.say(os.fstat(fd).st_nlink)
    os.unlink(s.at("g"))
    st = os.fstat(fd)
    s.say(st.st_nlink, st.st_size, st.st_mode)
    s.do("link", libc, "linkat", AT_FDCWD, f"/proc/self/fd/{fd}", AT_FDCWD, s.at("back"), AT_SYMLINK_FOLLOW)
    s.do("ftruncate", os.ftruncate, fd, 3)
    s.do("fchmod", os.fchmod, fd, 0o640)
    s.do("futimens", os.utime, fd, ns=(5, 6))
    s.do("fallocate", fallocate, fd, 0, 0, 100)
    s.do("getxattr", os.getxattr, fd, "user.a")
    s.do("setxattr", os.setxattr, fd, "user.b", b"2")
    s.do("listxattr", lambda: sorted(os.listxattr(fd)))
    s.do("statfs", lambda: os.fstatvfs(fd).f_namemax)
    again = s.do("open again", lambda: self_open(s, f"/proc/self/fd/{fd}", os.O_RDWR))
    s.do("open and cut", lambda: self_open(s, f"/proc/self/fd/{fd}", os.O_RDWR | os.O_TRUNC))
    s.do("read", os.pread, fd, 10, 0)
    s.do("stat", lambda: (os.stat(f"/proc/self/fd/{fd}").st_size, stat.S_IMODE(os.fstat(fd).st_mode), os.fstat(fd).st_mtime_ns > 0))
    s.say(again is not None)
    s.do("O_PATH", lambda: os.fstat(held).st_nlink)
    s.do("the name", os.stat, s.at("f"))
    d = s.open(".", os.O_RDONLY)
    os.mkdir(s.at("gone"))
    gone = s.open("gone", os.O_RDONLY)
    os.rmdir(s.at("gone"))
    until = time.monotonic() + 1.1
    while time.monotonic() < until:  # longer than anything about it is kept
        os.stat(".", dir_fd=gone)
    s.do("removed directory", lambda: os.fstat(gone).st_nlink)
    s.do("list it", os.listdir, gone)
    s.do("make in it", lambda: os.mkdir("x", dir_fd=gone))
    s.do("chmod it", os.fchmod, gone, 0o700)
    s.do("open in it", lambda: os.open("x", os.O_CREAT | os.O_RDWR, dir_fd=gone))
    s.do("up from it", lambda: stat.S_IFMT(os.stat("..", dir_fd=gone).st_mode))
    s.do("still there", os.listdir, d)


def self_open(s, path, flags):
    fd = os.open(path, flags)
    s.fds.append(fd)
    return True


def links(s, root):
    s.write("f", b"1")
    os.mkdir(s.at("d"))
    os.symlink("f", s.at("l"))
    s.do("link a directory", os.link, s.at("d"), s.at("d2"))
    s.do("link over", os.link, s.at("f"), s.at("d"))
    s.do("link a link", os.link, s.at("l"), s.at("l2"), follow_symlinks=False)
    s.do("of what", os.readlink, s.at("l2"))
    s.do("link", os.link, s.at("f"), s.at("d/g"))
    s.say(os.stat(s.at("f")).st_ino == os.stat(s.at("d/g")).st_ino, os.stat(s.at("f")).st_nlink, os.stat(s.at("d")).st_nlink)
    fd = s.open("f", O_PATH)
    s.do("AT_EMPTY_PATH", libc, "linkat", fd, "", AT_FDCWD, s.at("h"), AT_EMPTY_PATH)
    s.do("mv onto itself", os.rename, s.at("f"), s.at("d/g"))
    s.say(sorted(os.listdir(s.root)), os.listdir(s.at("d")))
    s.do("cross", os.link, s.at("f"), "/dev/shm/mf-cross")


def modes(s, root):
    old = os.umask(0o027)
    for i, mode in enumerate((0o7777, 0o666, 0, 0o1777, 0o2755, 0o4755)):
        fd = os.open(s.at(f"f{i}"), os.O_CREAT | os.O_WRONLY, mode)
        os.mkdir(s.at(f"d{i}"), mode)
        s.say(mode, stat.S_IMODE(os.fstat(fd).st_mode), stat.S_IMODE(os.stat(s.at(f"d{i}")).st_mode))
        os.fchmod(fd, mode)
        s.say("chmod", stat.S_IMODE(os.fstat(fd).st_mode))
        s.do("write", os.write, fd, b"x")
        s.say("written", stat.S_IMODE(os.fstat(fd).st_mode))
        os.fchmod(fd, mode)
        s.do("ftruncate", os.ftruncate, fd, 0)
        s.say("cut", stat.S_IMODE(os.fstat(fd).st_mode))
        os.fchmod(fd, mode)
        s.do("chown", os.fchown, fd, -1, os.getgid())
        s.say("chowned", stat.S_IMODE(os.fstat(fd).st_mode))
        s.do("fallocate", fallocate, fd, 0, 0, 10)
        s.say("allocated", stat.S_IMODE(os.fstat(fd).st_mode))
        os.close(fd)
    os.umask(old)
    s.do("chown away", os.chown, s.at("f1"), 1, 1)
    held = s.open("f1", O_PATH) if os.access(s.at("f1"), os.R_OK) else s.open("f0", O_PATH)
    for flags in (0, 0x100, AT_EMPTY_PATH):
        s.do(("fchmodat2", flags), libc, "syscall", 452, held if flags == AT_EMPTY_PATH else AT_FDCWD,
             "" if flags == AT_EMPTY_PATH else s.at("f0"), 0o640, flags)
        s.say(stat.S_IMODE(os.stat(s.at("f0")).st_mode))
    s.do("chmod a link", lambda: os.symlink("f0", s.at("l")) or libc("syscall", 452, AT_FDCWD, s.at("l"), 0o600, 0x100))


def special(s, root):
    for kind, dev in ((stat.S_IFIFO, 0), (stat.S_IFSOCK, 0), (stat.S_IFREG, 0), (stat.S_IFCHR, os.makedev(1, 3)), (stat.S_IFBLK, os.makedev(7, 0)),
                      (stat.S_IFDIR, 0), (0, 0)):
        s.do(("mknod", kind), os.mknod, s.at(f"n{kind}"), kind | 0o640, dev)
        s.do("it", lambda k=kind: (os.lstat(s.at(f"n{k}")).st_mode, os.lstat(s.at(f"n{k}")).st_rdev))
    server = socket.socket(socket.AF_UNIX)
    cwd = os.getcwd()
    os.chdir(s.root)
    try:
        s.do("bind", server.bind, "sock")
        server.listen(1)
        client = socket.socket(socket.AF_UNIX)
        s.do("connect", client.connect, "sock")
        client.close()
        s.do("bind again", socket.socket(socket.AF_UNIX).bind, "sock")
    finally:
        os.chdir(cwd)
    server.close()
    s.do("open a socket", s.open, "sock", os.O_RDONLY)
    os.mkfifo(s.at("p"))
    s.do("no reader", s.open, "p", os.O_WRONLY | os.O_NONBLOCK)
    r = s.open("p", os.O_RDONLY | os.O_NONBLOCK)
    w = s.open("p", os.O_WRONLY | os.O_NONBLOCK)
    os.write(w, b"through")
    s.do("fifo", os.read, r, 100)


def opening(s, root):
    s.write("f", b"x")
    os.mkdir(s.at("d"))
    os.symlink("f", s.at("l"))
    os.symlink("d", s.at("dl"))
    os.symlink("none", s.at("dangling"))
    for name in ("f", "d", "l", "dl", "dangling", "none", "f/x", "none/x", "f/", "d/", "none/", "dl/", "d/.", "d/..", ""):
        for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_NOFOLLOW, os.O_DIRECTORY, os.O_CREAT | os.O_RDWR,
                      os.O_CREAT | os.O_EXCL | os.O_RDWR, os.O_CREAT | os.O_DIRECTORY, O_PATH, O_PATH | os.O_NOFOLLOW, os.O_RDONLY | os.O_TRUNC,
                      os.O_WRONLY | os.O_APPEND, os.O_RDWR | os.O_SYNC, os.O_RDONLY | os.O_NOATIME, 3):
            r = s.do((name, flags), lambda n=name, f=flags: stat.S_IFMT(os.fstat(s.open(s.root + "/" + n if n else "", f)).st_mode))
            if r is not None and flags & os.O_CREAT and os.path.lexists(s.at("none")):
                os.unlink(s.at("none"))
    for name in ("f", "d", "l", "none", "dangling", "d/", "f/"):
        s.do(("access", name), lambda n=name: [os.access(s.root + "/" + n, m) for m in (os.F_OK, os.R_OK, os.W_OK, os.X_OK)])
        s.do(("rmdir", name), os.rmdir, s.root + "/" + name)
        s.do(("unlink", name), os.unlink, s.root + "/" + name)
        s.do(("mkdir", name), os.mkdir, s.root + "/" + name)


def executing(s, root):
    for mode in (0o755, 0o644, 0o111):
        s.write("e", b"#!/bin/sh\necho ran\n")
        os.chmod(s.at("e"), mode)
        s.do(("script", mode), lambda: subprocess.run([s.at("e")], capture_output=True, check=False).stdout)
        os.unlink(s.at("e"))
        subprocess.run(["cp", "/bin/true", s.at("e")], check=True)
        os.chmod(s.at("e"), mode)
        s.do(("binary", mode), lambda: subprocess.run([s.at("e")], capture_output=True, check=False).returncode)
        os.unlink(s.at("e"))
    subprocess.run(["cp", "/bin/sleep", s.at("e")], check=True)
    os.chmod(s.at("e"), 0o755)
    with subprocess.Popen([s.at("e"), "1000"]) as p:
        s.do("write to a running one", s.open, "e", os.O_WRONLY)
        s.do("cut a running one", os.truncate, s.at("e"), 0)
        s.do("replace it", os.unlink, s.at("e"))
        p.kill()


def watching(s, root):
    fd = libc("inotify_init1", os.O_NONBLOCK)
    s.fds.append(fd)
    libc("inotify_add_watch", fd, s.root, 0xFFF)
    s.write("f", b"x")
    os.rename(s.at("f"), s.at("g"))
    os.chmod(s.at("g"), 0o600)
    os.unlink(s.at("g"))
    os.mkdir(s.at("d"))
    data, at = os.read(fd, 65536), 0
    while at < len(data):
        _, mask, _, length = struct.unpack_from("iIII", data, at)
        s.say(hex(mask), data[at + 16:at + 16 + length].rstrip(b"\0"))
        at += 16 + length


def handles(s, root):
    s.write("f", b"x")

    class Handle(ctypes.Structure):
        _fields_ = [("bytes", ctypes.c_uint), ("type", ctypes.c_int), ("f", ctypes.c_char * 128)]
    h, mount_id = Handle(128), ctypes.c_int()
    s.do("name_to_handle_at", libc, "name_to_handle_at", AT_FDCWD, s.at("f"), ctypes.byref(h), ctypes.byref(mount_id), 0)
    directory = s.open(".", os.O_RDONLY)

    def reopen():
        fd = libc("open_by_handle_at", directory, ctypes.byref(h), os.O_RDONLY)
        s.fds.append(fd)
        return os.read(fd, 10)
    s.do("open_by_handle_at", reopen)


def big_directory(s, root):
    """A directory of many names, some of which go and come while it is listed; seekdir() to where telldir() was"""
    cnt = 20000 if mounted.SLOW else 4000
    os.mkdir(s.at("d"))
    d = os.open(s.at("d"), os.O_RDONLY)
    s.fds.append(d)
    for i in range(cnt):
        os.close(os.open(f"name-{i}", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=d))
    s.say(sorted(os.listdir(s.at("d"))) == sorted(f"name-{i}" for i in range(cnt)))
    seen = []
    with os.scandir(s.at("d")) as entries:
        for n, entry in enumerate(entries):
            seen.append(entry.name)
            if n == 100:
                for i in range(cnt):
                    if i % 2 and f"name-{i}" not in seen:
                        os.unlink(f"name-{i}", dir_fd=d)
                for i in range(100):
                    os.close(os.open(f"late-{i}", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=d))
    s.say(len(seen) == len(set(seen)))
    s.say(set(f"name-{i}" for i in range(0, cnt, 2)) <= set(seen))
    LIBC.opendir.restype = LIBC.readdir.restype = ctypes.c_void_p
    LIBC.telldir.restype = ctypes.c_long
    dp = ctypes.c_void_p(LIBC.opendir(s.at("d").encode()))

    def read():
        e = LIBC.readdir(dp)
        return ctypes.string_at(e + 19) if e else None
    places = []
    while True:
        places.append((LIBC.telldir(dp), read()))
        if places[-1][1] is None:
            break
    for where, name in places[::-97]:
        LIBC.seekdir(dp, ctypes.c_long(where))
        if read() != name:
            s.say("seekdir", where, name)
    LIBC.rewinddir(dp)
    s.say(read() == places[0][1], len(places) > 100)
    LIBC.closedir(dp)
    s.say(len(os.listdir(s.at("d"))) - len(places) + 3)


def filling(s, root):
    a = os.statvfs(s.root)
    s.say(a.f_bsize, a.f_blocks, a.f_files, a.f_namemax, a.f_frsize)
    buf = ctypes.create_string_buffer(256)
    s.do("statfs", libc, "statfs", s.root, buf)
    fd = s.open("f")
    s.do("fstatfs", lambda: os.fstatvfs(fd).f_blocks)
    s.do("sync_file_range", libc, "sync_file_range", fd, ctypes.c_long(0), ctypes.c_long(0), 7)
    s.do("fdatasync", os.fdatasync, fd)
    s.do("fsync a directory", os.fsync, s.open(".", os.O_RDONLY))
    s.do("syncfs", libc, "syncfs", fd)
    s.do("fadvise", os.posix_fadvise, fd, 0, 0, os.POSIX_FADV_DONTNEED)
    s.do("readahead", libc, "readahead", fd, ctypes.c_long(0), 4096)
    s.do("preadv2", os.preadv, fd, [bytearray(5)], 0)
    s.do("pwritev2 append", os.pwritev, fd, [b"abc"], 0, 0x10)
    s.say(os.fstat(fd).st_size)


SAME = (xattrs, acls, sparse, copies, ioctls, locks, appending, direct, mapped, renames, times, names, unlinked, links, modes, special, opening,
        executing, watching, handles, big_directory, filling)
# What is known to differ: what is said below, and the end of what the mount says instead. docs/files.md says why.
DIFFERS = {
    # An ordinary user's server opens a file to have it run.
    "executing": ((r"\(\('(script|binary)', 73\)", "'EACCES')"),),
    # The kernel's FUSE knows no other modes.
    "sparse": ((r"\(\('fallocate', (8|32|64|65),", "'ENOTSUP')"),),
}


class Semantics:
    def compare(self, script):
        name = script.__name__
        said = []
        for root in (self.mount.path(f"twin-{name}"), os.path.join(self.mnt, name)):
            os.mkdir(root)
            s = Script(root)
            try:
                script(s, root)
            finally:
                s.close()
            said.append(s.said)
        below, above = said
        wrong = []
        for i in range(max(len(below), len(above))):
            a, b = (side[i] if i < len(side) else "nothing" for side in (below, above))
            if a != b and not any(re.match(pattern, repr(a)) and repr(b).endswith(end) for pattern, end in DIFFERS.get(name, ())):
                wrong.append(f"{str(a)[:300]} below, {str(b)[:300]} in the mount")
        self.assertFalse(wrong, f"{len(wrong)} differ:\n" + "\n".join(wrong[:40]))


for script in SAME:
    setattr(Semantics, f"test_{script.__name__}", lambda self, run=script: self.compare(run))


class AsRootSemantics(Semantics, OneMountCase):
    pass


class AsUserSemantics(Semantics, OneMountCase):
    pass


if __name__ == "__main__":
    mounted.main()

# SPDX-License-Identifier: Apache-2.0
"""The mount as a filesystem: what programs see is what lies below."""
import errno
import fcntl
import mmap
import os
import stat
import subprocess

import mounted
from mounted import NOBODY, MountCase


class Basics:
    def test_bytes_and_names(self):
        for name in (b"plain", b"with space", b"new\nline", b"\xff\xfe not UTF-8", b"x" * 255, "ü".encode()):
            at, below = os.path.join(self.mnt.encode(), name), os.path.join(self.src.encode(), name)
            with open(at, "wb") as file:
                file.write(name * 1000)
            with open(below, "rb") as file:
                self.assertEqual(file.read(), name * 1000)
            os.rename(at, at[:-1] + b"_")
            self.assertFalse(os.path.lexists(below))
            os.unlink(at[:-1] + b"_")
        self.assertEqual(os.listdir(self.src), [])
        with self.assertRaises(OSError) as caught:
            open(os.path.join(self.mnt, "y" * 256), "wb")
        self.assertEqual(caught.exception.errno, errno.ENAMETOOLONG)

    def test_attributes_are_those_below(self):
        path, below = os.path.join(self.mnt, "f"), os.path.join(self.src, "f")
        with open(path, "w") as file:
            file.write("x" * 5000)
        os.chmod(path, 0o640)
        os.utime(path, ns=(1234567890123456789, 987654321987654321))
        a, b = os.stat(path), os.stat(below)
        for field in ("st_mode", "st_ino", "st_nlink", "st_uid", "st_gid", "st_size", "st_mtime_ns", "st_ctime_ns", "st_blocks"):
            self.assertEqual(getattr(a, field), getattr(b, field), field)
        self.assertEqual(a.st_mtime_ns, 987654321987654321)
        os.symlink("f", os.path.join(self.mnt, "l"))
        self.assertEqual(os.readlink(os.path.join(self.src, "l")), "f")
        os.mkfifo(os.path.join(self.mnt, "p"), 0o600)
        self.assertTrue(stat.S_ISFIFO(os.lstat(os.path.join(self.src, "p")).st_mode))

    def test_umask_and_default_acls(self):
        self.run_in("umask 077; touch private; mkdir privdir; umask 002; touch shared", shell=True)
        self.assertEqual([stat.S_IMODE(os.stat(f"{self.src}/{n}").st_mode) for n in ("private", "privdir", "shared")],
                         [0o600, 0o700, 0o664])
        if mounted.BY_PATHS:
            return  # the kernel takes the umask off, whatever the directory's ACL says
        if subprocess.run(["setfacl", "-m", "u:1:r", f"{self.src}/shared"], check=False,
                          stderr=subprocess.DEVNULL).returncode:
            return  # the filesystem below has none
        self.run_in("mkdir acl; setfacl -d -m u:1:rwx,m:rwx acl; umask 077; touch acl/f", shell=True)
        self.assertIn("user:daemon:rwx", self.run_in(["getfacl", "acl/f"]).stdout)
        self.assertEqual(self.run_in(["getfacl", "-c", "acl/f"]).stdout,
                         self.run_in(["getfacl", "-c", f"{self.src}/acl/f"], cwd="/").stdout)

    def test_unlinked_and_still_open(self):
        path = os.path.join(self.mnt, "gone")
        fd = os.open(path, os.O_RDWR | os.O_CREAT)
        os.write(fd, b"before")
        ino = os.fstat(fd).st_ino
        os.unlink(path)
        os.write(fd, b" after")
        self.assertEqual(os.pread(fd, 100, 0), b"before after")
        if not mounted.BY_PATHS:  # libfuse has no path that the kernel's question could be about
            st = os.fstat(fd)
            self.assertEqual((st.st_nlink, st.st_ino, st.st_size), (0, ino, 12))
        os.ftruncate(fd, 3)
        if not mounted.BY_PATHS:
            os.fchmod(fd, 0o600)
            self.assertEqual(os.fstat(fd).st_size, 3)
        with open(path, "w") as file:  # another file of this name
            file.write("new")
        self.assertEqual(os.pread(fd, 100, 0), b"bef")
        os.close(fd)
        with open(path) as file:
            self.assertEqual(file.read(), "new")

    def test_hard_links(self):
        a, b = os.path.join(self.mnt, "a"), os.path.join(self.mnt, "d", "b")
        os.mkdir(os.path.join(self.mnt, "d"))
        with open(a, "w") as file:
            file.write("one")
        os.link(a, b)
        self.assertEqual((os.stat(a).st_nlink, os.stat(a).st_ino), (2, os.stat(b).st_ino))
        with open(b, "a") as file:
            file.write(" two")
        with open(a) as file:
            self.assertEqual(file.read(), "one two")
        os.unlink(a)
        with open(b) as file:
            self.assertEqual(file.read(), "one two")
        self.assertEqual(os.stat(b).st_nlink, 1)

    def test_renames(self):
        libc = self.renameat2()
        for name in ("a", "b"):
            with open(os.path.join(self.mnt, name), "w") as file:
                file.write(name)
        self.assertEqual(libc("a", "b", 1), errno.EEXIST)
        self.assertEqual(libc("a", "b", 2), 0)
        with open(os.path.join(self.mnt, "a")) as file:
            self.assertEqual(file.read(), "b")
        os.makedirs(os.path.join(self.mnt, "x/y/z"))
        with open(os.path.join(self.mnt, "x/y/z/f"), "w") as file:
            file.write("deep")
        os.rename(os.path.join(self.mnt, "x"), os.path.join(self.mnt, "w"))
        with open(os.path.join(self.mnt, "w/y/z/f")) as file:
            self.assertEqual(file.read(), "deep")
        self.assertFalse(os.path.exists(os.path.join(self.mnt, "x")))
        os.rename(os.path.join(self.mnt, "a"), os.path.join(self.mnt, "b"))
        with open(os.path.join(self.mnt, "b")) as file:
            self.assertEqual(file.read(), "b")

    def renameat2(self):
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)

        def rename(a, b, flags):
            r = libc.renameat2(-100, os.path.join(self.mnt, a).encode(), -100, os.path.join(self.mnt, b).encode(), flags)
            return ctypes.get_errno() if r else 0
        return rename

    def test_sparse_files_and_copies(self):
        path = os.path.join(self.mnt, "sparse")
        with open(path, "wb") as file:
            file.truncate(10 << 20)
            file.seek(5 << 20)
            file.write(b"island")
            file.flush()
            self.assertEqual(os.lseek(file.fileno(), 0, os.SEEK_DATA) // 65536, (5 << 20) // 65536)
            os.posix_fallocate(file.fileno(), 0, 4096)
        self.assertLess(os.stat(path).st_blocks, 2048)
        with open(path, "rb") as a, open(path + "2", "wb") as b:
            n = os.copy_file_range(a.fileno(), b.fileno(), 1 << 20, 5 << 20, 0)
            self.assertEqual(n, 1 << 20)
        with open(path + "2", "rb") as file:
            self.assertEqual(file.read(6), b"island")

    def test_append_mmap_direct_and_locks(self):
        path = os.path.join(self.mnt, "f")
        a, b = (os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for _ in range(2))
        for i in range(100):
            os.write((a, b)[i % 2], b"%04d" % i)
        os.close(a), os.close(b)
        with open(path, "rb") as file:
            self.assertEqual(file.read(), b"".join(b"%04d" % i for i in range(100)))
        with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as m:
            m[0:4] = b"MMAP"
            m.flush()
            with open(os.path.join(self.src, "f"), "rb") as below:
                self.assertEqual(below.read(4), b"MMAP")
        fd = os.open(path, os.O_RDWR | os.O_DIRECT)
        page = mmap.mmap(-1, 4096)
        page[:] = b"D" * 4096
        self.assertEqual(os.writev(fd, [page]), 4096)
        self.assertEqual(os.preadv(fd, [page], 0), 4096)
        os.close(fd)
        with open(path, "rb") as one, open(path, "rb") as two:
            fcntl.flock(one, fcntl.LOCK_EX)
            with self.assertRaises(BlockingIOError):
                fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def test_extended_attributes(self):
        path = os.path.join(self.mnt, "f")
        open(path, "w").close()
        os.setxattr(path, "user.a", b"1")
        os.setxattr(path, "user.b", b"x" * 1000)
        self.assertEqual(sorted(n for n in os.listxattr(os.path.join(self.src, "f")) if n.startswith("user.")),
                         ["user.a", "user.b"])
        self.assertEqual(os.getxattr(path, "user.b"), b"x" * 1000)
        os.removexattr(path, "user.a")
        with self.assertRaises(OSError) as caught:
            os.getxattr(path, "user.a")
        self.assertEqual(caught.exception.errno, errno.ENODATA)

    def test_big_directory(self):
        cnt = 20000 if mounted.SLOW else 3000
        for i in range(cnt):
            with open(os.path.join(self.src, f"file-{i:06}"), "w"):
                pass
        self.assertEqual(sorted(os.listdir(self.mnt)), [f"file-{i:06}" for i in range(cnt)])
        with os.scandir(self.mnt) as entries:
            self.assertEqual(sum(1 for e in entries if e.stat().st_size == 0), cnt)
        self.run_in("rm file-*", shell=True)
        self.assertEqual(os.listdir(self.src), [])

    def test_changes_behind_its_back(self):
        """Seen at once where nobody looked before, else within the second that the kernel keeps what it saw."""
        with open(os.path.join(self.src, "f"), "w") as file:
            file.write("one")
        with open(os.path.join(self.mnt, "f")) as file:
            self.assertEqual(file.read(), "one")
        with open(os.path.join(self.src, "g"), "w") as file:
            file.write("another")
        os.rename(os.path.join(self.src, "g"), os.path.join(self.src, "f"))
        while True:
            try:
                with open(os.path.join(self.mnt, "f")) as file:
                    if file.read() == "another":
                        break
            except FileNotFoundError:
                pass

    def test_deep_tree(self):
        """Deeper than PATH_MAX."""
        self.run_in(["/usr/bin/python3", "-c", """
import os
name = "d" * 200
for i in range(60):
    os.mkdir(name); os.chdir(name)
open("bottom", "w").write("here")
for i in range(60):
    os.chdir("..")
fds = [os.open(".", os.O_RDONLY)]
for i in range(60):
    fds.append(os.open(name, os.O_RDONLY, dir_fd=fds[-1]))
with open(os.open("bottom", os.O_RDONLY, dir_fd=fds[-1])) as f:
    assert f.read() == "here"
"""])
        self.run_in(["rm", "-r", "d" * 200])
        self.assertEqual(os.listdir(self.src), [])

    def test_statfs(self):
        a, b = os.statvfs(self.mnt), os.statvfs(self.src)
        self.assertEqual((a.f_blocks, a.f_bsize, a.f_files, a.f_namemax), (b.f_blocks, b.f_bsize, b.f_files, b.f_namemax))


class AsRoot(Basics, MountCase):
    options = ("--allow-other",)

    def test_others_own_what_they_make(self):
        os.chmod(self.src, 0o1777)
        self.run_in("echo mine > mine; mkdir dir; chmod 2775 dir; ln -s x link", shell=True, user=NOBODY)
        for name in ("mine", "dir", "link"):
            st = os.lstat(os.path.join(self.src, name))
            self.assertEqual((st.st_uid, st.st_gid), (NOBODY, NOBODY), name)
        os.chmod(os.path.join(self.mnt, "mine"), 0o600)
        os.chown(os.path.join(self.mnt, "mine"), 1, 1)
        self.assertNotEqual(self.run_in(["cat", "mine"], user=NOBODY, check=False).returncode, 0)
        self.assertNotEqual(self.run_in(["rm", "-f", "mine"], user=NOBODY, check=False).returncode, 0)
        self.assertEqual(self.run_in(["cat", "mine"]).stdout, "mine\n")
        open(os.path.join(self.mnt, "dir/new"), "w").close()
        self.assertEqual(os.stat(os.path.join(self.src, "dir/new")).st_gid, NOBODY)

    def test_set_user_id_ends_with_a_write(self):
        path = os.path.join(self.src, "s")
        with open(path, "w"):
            pass
        os.chown(path, NOBODY, NOBODY)
        os.chmod(path, 0o4755)
        self.run_in("echo x >> s", shell=True, user=NOBODY)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o755)


class AsUser(Basics, MountCase):
    pass


if __name__ == "__main__":
    mounted.main()

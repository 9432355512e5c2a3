# SPDX-License-Identifier: Apache-2.0
"""Bytes of files, read and written by the kernel itself (passthrough) and by the server: the same must come of both."""
import concurrent.futures
import errno
import mmap
import os
import re
import shutil
import stat
import subprocess
import unittest

import mounted
from mounted import MountCase

MIB = 1 << 20


def kernel_has_it():
    """Linux 6.9 or later, built with it as far as it tells"""
    if tuple(int(v) for v in re.findall(r"\d+", os.uname().release)[:2]) < (6, 9):
        return False
    told = subprocess.run(["zgrep", "-s", "FUSE_PASSTHROUGH", "/proc/config.gz"], capture_output=True, text=True, check=False).stdout
    return "not set" not in told


def content(path):
    with open(path, "rb") as file:
        return file.read()


class Bytes:
    """What holds however bytes get to the source."""

    def make(self, name, what=b"", mode=0o644):
        path = os.path.join(self.src, name)
        with open(path, "wb") as file:
            file.write(what)
        os.chmod(path, mode)
        if self.user is not None and os.getuid() == 0:
            os.chown(path, self.user, self.user)
        return os.path.join(self.mnt, name)

    def same_attributes(self, path):
        below = os.path.join(self.src, os.path.relpath(path, self.mnt))
        ours, theirs = os.stat(path), os.stat(below)
        for name in ("st_size", "st_blocks", "st_mtime_ns", "st_ctime_ns", "st_mode", "st_ino", "st_nlink"):
            self.assertEqual(getattr(ours, name), getattr(theirs, name), name)

    def test_attributes_follow_writes(self):
        path = self.make("file", b"x" * 5000)
        os.stat(path)  # the kernel keeps what it was
        with open(path, "r+b", buffering=0) as file:
            for change in (lambda: file.write(b"y" * 10), lambda: os.pwrite(file.fileno(), b"z", 20000),
                           lambda: os.ftruncate(file.fileno(), 7000), lambda: os.posix_fallocate(file.fileno(), 0, 100000),
                           lambda: os.fsync(file.fileno())):
                change()
                self.same_attributes(path)
        with open(path, "ab", buffering=0) as file:
            file.write(b"end")
            self.same_attributes(path)
        self.assertEqual(content(path), content(os.path.join(self.src, "file")))

    def test_attributes_follow_mappings(self):
        path = self.make("file", b"x" * 8192)
        file = open(path, "r+b")
        with mmap.mmap(file.fileno(), 8192) as m:
            m[4096:4100] = b"abcd"
            m.flush()
            self.same_attributes(path)
            m[0:4] = b"efgh"
            m.flush()
        file.close()
        self.same_attributes(path)
        self.assertEqual(content(os.path.join(self.src, "file")), b"efgh" + b"x" * 4092 + b"abcd" + b"x" * 4092)

    def test_handles_see_one_another(self):
        path = self.make("file", b"0" * 100)
        with open(path, "rb", buffering=0) as reader, open(path, "r+b", buffering=0) as writer, open(path, "ab", buffering=0) as adder, \
                open(path, "rb") as mapped:
            view = mmap.mmap(mapped.fileno(), 100, prot=mmap.PROT_READ)
            writer.write(b"1234")
            self.assertEqual(reader.read(6), b"123400")
            self.assertEqual(view[:5], b"12340")
            adder.write(b"end")
            writer.seek(0)
            self.assertEqual(writer.read()[-4:], b"0end")
            with open(path, "wb"):
                self.assertEqual(os.fstat(reader.fileno()).st_size, 0)
            self.assertEqual(os.pread(reader.fileno(), 10, 0), b"")
            adder.write(b"again")
            self.assertEqual(os.pread(reader.fileno(), 10, 0), b"again")
            view.close()

    def test_without_a_name(self):
        path = self.make("file", b"abc")
        with open(path, "r+b", buffering=0) as file:
            os.rename(path, path + "2")
            os.unlink(path + "2")
            file.write(b"xyz!")
            self.assertEqual(os.pread(file.fileno(), 10, 0), b"xyz!")
            self.assertEqual(os.fstat(file.fileno()).st_nlink, 0)
        again = self.make("file", b"another")
        self.assertEqual(content(again), b"another")

    def test_direct(self):
        path = self.make("file", b"d" * 8192)
        try:
            os.close(os.open(os.path.join(self.src, "file"), os.O_RDONLY | os.O_DIRECT))
        except OSError as e:
            raise unittest.SkipTest("the source has no O_DIRECT") from e
        with mmap.mmap(-1, 4096) as block:
            fd = os.open(path, os.O_RDWR | os.O_DIRECT)
            self.assertEqual(os.preadv(fd, [block], 4096), 4096)
            self.assertEqual(block[:], b"d" * 4096)
            block[:] = b"e" * 4096
            self.assertEqual(os.pwritev(fd, [block], 0), 4096)
            os.close(fd)
        self.assertEqual(content(path), b"e" * 4096 + b"d" * 4096)

    def test_changed_from_below_between_opens(self):
        path = self.make("file", b"first")
        for what in (b"second!", b"thirds!", b"4"):
            with open(os.path.join(self.src, "file"), "wb") as file:
                file.write(what)
            self.assertEqual(content(path)[:1], what[:1])

    def test_programs_run(self):
        path = self.make("true", content("/bin/true"), 0o755)
        self.run_in([path])
        with open(path, "r+b"), self.assertRaises(OSError) as caught:
            self.run_in([path])
        self.assertEqual(caught.exception.errno, errno.ETXTBSY)

    # What a user, or root, does to a file in the mount, or to its twin beside the source.
    CHANGES = {
        "written": "printf abc | dd of={} conv=notrunc status=none",
        "appended": "printf abc >> {}",
        "replaced": "printf abc > {}",
        "cut": "truncate -s 5 {}",
        "longer": "fallocate -l 100000 {}",
        "copied into": "cp -f --reflink=never /bin/true {}",
        "written by who had it open before": "exec 3<>{}; chmod u+s {}; printf abc >&3",
        "another's": "chown 65534:65534 {}",
    }

    def test_set_user_id_goes_when_somebody_writes(self):
        if os.getuid() != 0:
            raise unittest.SkipTest("root changes owners")
        os.chmod(self.mount.dir, 0o755)
        twin = self.mount.path("twin")
        os.mkdir(twin)
        at, below = os.path.join(self.mnt, "program"), os.path.join(self.src, "program")
        for user in (mounted.NOBODY, None):
            for what, script in self.CHANGES.items():
                if user is None and "before" in what:
                    continue  # there the kernel takes it from root's writes, too
                modes = []
                for path in (os.path.join(twin, "program"), below):
                    shutil.copyfile("/bin/false", path)
                    os.chown(path, mounted.NOBODY, mounted.NOBODY)
                    os.chmod(path, 0o6777)
                for path in (os.path.join(twin, "program"), at):
                    os.stat(path)
                    self.run_in(["/bin/sh", "-c", script.format(*[path] * 2)], user=user)
                    modes.append(oct(os.stat(path).st_mode))
                with self.subTest(user=user, what=what):
                    self.assertEqual(*modes)
                    self.assertEqual(oct(os.stat(below).st_mode), modes[0])
                os.unlink(at)

    def test_capabilities_go_when_somebody_writes(self):
        if os.getuid() != 0:
            raise unittest.SkipTest("root gives capabilities")
        path = self.make("program", b"x" * 10, 0o777)
        value = bytes.fromhex("0100000200040000000000000000000000000000")
        for what in ("written", "replaced", "cut"):
            with self.subTest(what=what):
                os.setxattr(path, "security.capability", value)
                self.assertIn("security.capability", os.listxattr(os.path.join(self.src, "program")))
                self.run_in(["/bin/sh", "-c", self.CHANGES[what].format(path)], user=mounted.NOBODY)
                self.assertNotIn("security.capability", os.listxattr(os.path.join(self.src, "program")))
                self.assertNotIn("security.capability", os.listxattr(path))

    def test_many_at_once(self):
        """Opens and closes of the same file overlap in every way: each is answered, none as something else than the others."""
        path = self.make("file", b"x" * 4096)
        ways = (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR | os.O_APPEND, os.O_RDONLY | os.O_NOFOLLOW, os.O_WRONLY | os.O_TRUNC)

        def work(k):
            for i in range(150):
                fd = os.open(path, ways[(i * 7 + k) % len(ways)])
                try:
                    if (i * 7 + k) % len(ways) in (1, 2, 5):
                        os.pwrite(fd, b"y" * 100, 0)
                    else:
                        os.pread(fd, 100, 0)
                finally:
                    os.close(fd)

        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            for done in [pool.submit(work, k) for k in range(6)]:
                done.result()
        self.same_attributes(path)
        self.assertEqual(content(path), content(os.path.join(self.src, "file")))

    def test_bytes_read_here(self):
        path = self.make("file", os.urandom(4 * MIB))
        before = self.server_read()
        self.assertEqual(content(path), content(os.path.join(self.src, "file")))
        shutil.copyfile(path, path + "2")
        self.assertEqual(content(path + "2"), content(os.path.join(self.src, "file")))
        read = self.server_read() - before
        if self.passes:
            self.assertLess(read, MIB)
        else:
            self.assertGreaterEqual(read, 4 * MIB)

    def server_read(self):
        with open(f"/proc/{self.mount.server.pid}/io") as file:
            return int(re.search(r"rchar: (\d+)", file.read())[1])


class AsRootThrough(Bytes, MountCase):
    options = ("--allow-other",)
    passes = kernel_has_it()


class AsRootNotThrough(Bytes, MountCase):
    options = ("--allow-other", "--no-passthrough")
    passes = False


class AsRootGathered(Bytes, MountCase):
    """The kernel says what times and size it will write."""
    options = ("--allow-other", "--writeback")
    passes = False
    test_attributes_follow_writes = test_attributes_follow_mappings = test_many_at_once = None


class AsUserNotThrough(Bytes, MountCase):
    passes = False


class AsRootOnOverlay(Bytes, MountCase):
    """The source lies on another filesystem itself; and it takes another one on top."""
    options = ("--allow-other",)
    passes = kernel_has_it()

    def prepare(self):
        m = self.mount
        for name in ("low", "up", "work"):
            os.mkdir(m.path(name))
        # What holds upper directories must not be an overlay itself.
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", m.path("up")], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", m.src, m.path("up")], check=False)
        for name in ("u", "w"):
            os.mkdir(m.path("up", name))
        done = subprocess.run(["mount", "-t", "overlay", "overlay", "-o",
                               f"lowerdir={m.path('low')},upperdir={m.path('up', 'u')},workdir={m.path('up', 'w')}", m.src], check=False)
        if done.returncode:
            raise unittest.SkipTest("no overlayfs here")


class AsRootOfANamespace(MountCase):
    """The kernel offers it there, and refuses it when it is wanted."""

    def setUp(self):
        if subprocess.run(["unshare", "-Urm", "true"], stderr=subprocess.DEVNULL, check=False).returncode:
            raise unittest.SkipTest("no user namespaces here")
        super().setUp()

    def test_bytes_pass_the_server(self):
        m = self.mount
        m.stop()
        with open(os.path.join(m.src, "file"), "w") as file:
            file.write("first ")
        script = """: > "$4"; "$0" mount --no-trash --policy "$1" "$2" "$3" > "$4" & server=$!
            tail -f --pid=$server "$4" | grep -q "is seen at"
            echo second >> "$3/file" && cat "$3/file"; result=$?
            kill $server; wait $server && exit $result"""
        done = subprocess.run(["unshare", "-Urm", "sh", "-c", script, m.program, m.policy, m.src, m.mnt, m.path("out")], capture_output=True,
                              text=True, timeout=mounted.WAIT_S, check=False,
                              env=dict(os.environ, MOONFENCE_DATA=os.environ.get("MOONFENCE_DATA", os.path.join(mounted.HERE, "../../lua"))))
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "first second\n", ""))


class AsRootBelowOverlay(MountCase):
    def test_overlay_on_top(self):
        with open(os.path.join(self.src, "file"), "w") as file:
            file.write("below")
        top, tmp = self.mount.path("top"), self.mount.path("tmp")
        os.mkdir(top)
        os.mkdir(tmp)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", tmp], check=False)
        for name in ("u", "w"):
            os.mkdir(os.path.join(tmp, name))
        done = subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={self.mnt},upperdir={tmp}/u,workdir={tmp}/w", top],
                              check=False)
        if done.returncode:
            raise unittest.SkipTest("no overlayfs here")
        try:
            self.assertEqual(content(os.path.join(top, "file")), b"below")
        finally:
            subprocess.run(["umount", top], check=True)


class Redirected:
    """Who writes is led to another file while others have the first one open."""
    policy = """return { name = "twin", file = function(q)
      if q.op == "write" and q.path:find("/copied", 1, true) then return redirect_path { target = "/w/.copy", cow = true } end
      if q.op == "write" and q.path:find("/led", 1, true) then return redirect_path { target = "/w/.other" } end
      if q.op == "chmod" and q.path:find("/led", 1, true) then return deny {} end
      return allow {}
    end }"""
    options = ("--root", "/w")

    def put(self, name, what):
        with open(os.path.join(self.src, name), "wb") as file:
            file.write(what)
        return os.path.join(self.mnt, name)

    def test_writers_go_elsewhere(self):
        path = self.put("led", b"original")
        self.put(".other", b"other...")
        for mode, flags in (("wb", os.O_WRONLY), ("r+b", os.O_RDWR)):
            with self.subTest(mode=mode), open(path, "rb", buffering=0) as reader:
                self.assertEqual(reader.read(), b"original")
                fd = os.open(path, flags)
                os.pwrite(fd, b"O", 0)
                if flags == os.O_RDWR:
                    self.assertEqual(os.pread(fd, 8, 0), b"Other...")
                    with mmap.mmap(fd, 8, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ) as view:
                        self.assertEqual(view[:], b"Other...")
                        with open(path, "rb") as other, mmap.mmap(other.fileno(), 8, prot=mmap.PROT_READ) as first:
                            self.assertEqual(first[:], b"original")
                            self.assertEqual(view[:], b"Other...")
                    self.assertEqual(os.pread(fd, 8, 0), b"Other...")
                os.close(fd)
                self.assertEqual(os.pread(reader.fileno(), 8, 0), b"original")
                self.assertEqual(os.fstat(reader.fileno()).st_size, 8)
                with self.assertRaises(OSError):
                    os.fchmod(reader.fileno(), 0o600)
                self.assertEqual(content(path), b"original")
        self.assertEqual(content(os.path.join(self.src, "led")), b"original")
        self.assertEqual(content(os.path.join(self.src, ".other")), b"Other...")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o644)

    def test_both_at_once(self):
        path = self.put("led", b"original")
        self.put(".other", b"other...")

        def work(k):
            for i in range(100):
                writes = (i + k) % 3 == 0
                try:
                    fd = os.open(path, os.O_RDWR if writes else os.O_RDONLY)
                except OSError as e:
                    # Who met another one while he looked the name up again, twice.
                    self.assertEqual(e.errno, errno.ESTALE)
                    continue
                try:
                    with mmap.mmap(fd, 8, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ) as view:
                        self.assertEqual(view[:], b"other..." if writes else b"original")
                    self.assertEqual(os.pread(fd, 8, 0), b"other..." if writes else b"original")
                finally:
                    os.close(fd)

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(work, k) for k in range(4)]:
                done.result()

    def test_mappings_of_the_first_stay(self):
        path = self.put("led", b"original")
        self.put(".other", b"other...")
        with open(path, "rb") as reader, mmap.mmap(reader.fileno(), 8, prot=mmap.PROT_READ) as view:
            with open(path, "r+b", buffering=0) as writer:
                writer.write(b"changed!")
            self.assertEqual(view[:], b"original")
        self.assertEqual(content(os.path.join(self.src, ".other")), b"changed!")

    def test_a_copy_is_made(self):
        path = self.put("copied", b"original")
        with open(path, "rb", buffering=0) as reader:
            with open(path, "r+b", buffering=0) as writer:
                writer.write(b"C")
                writer.seek(0)
                self.assertEqual(writer.read(), b"Criginal")
            self.assertEqual(reader.read(), b"original")
        self.assertEqual(content(os.path.join(self.src, "copied")), b"original")
        self.assertEqual(content(os.path.join(self.src, ".copy")), b"Criginal")


class AsRootRedirected(Redirected, MountCase):
    pass


class AsRootRedirectedNotThrough(Redirected, MountCase):
    options = ("--root", "/w", "--no-passthrough")


class AsUserRedirected(Redirected, MountCase):
    pass


class AsRootKept(MountCase):
    """What is written over is kept, also while the kernel reads the file by itself for others."""
    policy = """return { name = "keep", file = function(q)
      if q.op == "write" then return soft_delete {} end
      return allow {}
    end }"""

    def test_written_over(self):
        for how in ("write", "map"):
            with self.subTest(how=how):
                path = os.path.join(self.mnt, how)
                with open(os.path.join(self.src, how), "wb") as file:
                    file.write(b"precious" * 512)
                before = len(self.mount.trashed())
                with open(path, "rb", buffering=0) as reader, open(path, "r+b", buffering=0) as writer:
                    self.assertEqual(reader.read(8), b"precious")
                    if how == "write":
                        writer.write(b"worthless")
                    else:
                        with mmap.mmap(writer.fileno(), 4096) as view:
                            view[:9] = b"worthless"
                            view.flush()
                    self.assertEqual(os.pread(reader.fileno(), 9, 0), b"worthless")
                kept = self.mount.trashed()
                self.assertEqual(len(kept), before + 1)
                self.assertIn(b"precious" * 512, [content(self.mount.path("trash", "files", name)) for name in kept])


if __name__ == "__main__":
    mounted.main()

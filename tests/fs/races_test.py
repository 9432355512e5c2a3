# SPDX-License-Identifier: Apache-2.0
"""What is swapped while it is used: nothing outside of the source is ever read, made, changed or removed. Bounded by a count."""
import ctypes
import errno
import os
import random
import shutil
import signal
import stat
import subprocess
import threading
import unittest

import mounted
from mounted import KEEP, SLOW, WAIT_S, MountCase
from waiting import wait_for

LIBC = ctypes.CDLL(None, use_errno=True)
ROUNDS = 6000 if SLOW else 250
EXCHANGE = 2
# What may come of an operation whose place is swapped meanwhile; anything else is a fault of the mount.
FINE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EEXIST, errno.ESTALE, errno.ENOTEMPTY, errno.EACCES, errno.EINVAL,
        errno.ENODATA, errno.ENXIO, errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EBUSY}
if mounted.BY_PATHS:  # to libfuse a path that is of another kind by now is the same inode still, which the kernel then gives up
    FINE.add(errno.EIO)


def exchange(a, b):
    LIBC.renameat2(-100, a.encode(), -100, b.encode(), EXCHANGE)


def quietly(function, *args, **more):
    try:
        return function(*args, **more)
    except OSError:
        return None


def within(root, *names):
    """A descriptor of a directory below root, no link followed; raises OSError"""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for name in names:
        up = fd
        try:
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=up)
        finally:
            os.close(up)
    return fd


def write_within(root, path, data):
    """A file that is not there yet, made without following a link"""
    *names, last = path.split("/")
    at = within(root, *names)
    try:
        fd = os.open(last, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=at)
        os.write(fd, data)
        os.close(fd)
    finally:
        os.close(at)


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


# ---- who swaps ---------------------------------------------------------------------------------------------------------

class Swapper:
    """A process that swaps until it is told to stop; in `root`, with `outside` as what it would lead to"""

    def __init__(self, swap, root, away):
        r, w = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(r)
                os.write(w, b"x")
                rng = random.Random(7)
                while True:
                    swap(root, away, rng)
            finally:
                os._exit(1)
        os.close(w)
        os.read(r, 1)
        os.close(r)

    def stop(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def swap_directories(root, away, rng):
    """A directory and a link to the one outside take turns under the same name, in one step or in two."""
    if rng.random() < 0.5:
        exchange(f"{root}/d", f"{root}/dlink")
    else:
        quietly(os.rename, f"{root}/d", f"{root}/d.tmp")
        quietly(os.rename, f"{root}/dlink", f"{root}/d")
        quietly(os.rename, f"{root}/d", f"{root}/dlink")
        quietly(os.rename, f"{root}/d.tmp", f"{root}/d")
    at = quietly(within, root, "d")
    if at is not None:
        quietly(os.symlink, "../../outside/s", "slink", dir_fd=at)
        LIBC.renameat2(at, b"s", at, b"slink", EXCHANGE)
        os.close(at)


def swap_files(root, away, rng):
    """Files, links, FIFOs and directories under the same names"""
    where, name, up = rng.choice(((("d",), "f", "../../"), (("d",), "g", "../../"), (("d", "s"), "f", "../../../")))
    at = quietly(within, root, *where)
    if at is None:
        return
    kind = rng.randrange(5)
    quietly(os.unlink, ".swap", dir_fd=at)
    quietly(os.rmdir, ".swap", dir_fd=at)
    if kind == 0:
        quietly(os.symlink, up + "outside/f", ".swap", dir_fd=at)
    elif kind == 1:
        quietly(os.mkfifo, ".swap", dir_fd=at)
    elif kind == 2:
        quietly(os.mkdir, ".swap", dir_fd=at)
    elif kind == 3:
        quietly(os.link, f"{root}/inside", ".swap", dst_dir_fd=at)
    else:
        quietly(lambda: os.close(os.open(".swap", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=at)))
    LIBC.renameat2(at, b".swap", at, name.encode(), EXCHANGE)
    os.close(at)


def swap_out(root, away, rng):
    """Directories leave the source and come back."""
    for where, name, up in (((), "d", "../"), (("d",), "s", "../../")):
        at = quietly(within, root, *where)
        if at is None:
            continue
        quietly(os.rename, name, f"{away}/gone", src_dir_fd=at)
        quietly(os.symlink, up + "outside", name, dir_fd=at)
        quietly(os.unlink, name, dir_fd=at)
        quietly(os.rename, f"{away}/gone", name, dst_dir_fd=at)
        os.close(at)


# ---- who works ---------------------------------------------------------------------------------------------------------

def read(path):
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)


def put(path, flags):
    fd = os.open(path, flags | os.O_NONBLOCK, 0o644)
    try:
        os.write(fd, b"touched")
    finally:
        os.close(fd)


def operations(root):
    def at(rng):
        return f"{root}/" + rng.choice(("d/f", "d/g", "d/s/f", "d/s/new", "d/new", "d/s", "d", "d/other"))
    return (
        lambda r: read(at(r)), lambda r: read(at(r)), lambda r: put(at(r), os.O_WRONLY), lambda r: put(at(r), os.O_WRONLY | os.O_TRUNC),
        lambda r: put(at(r), os.O_WRONLY | os.O_CREAT), lambda r: put(at(r), os.O_WRONLY | os.O_CREAT | os.O_EXCL),
        lambda r: put(at(r), os.O_WRONLY | os.O_APPEND), lambda r: os.close(os.open(at(r), os.O_RDONLY | os.O_TRUNC | os.O_NONBLOCK)),
        lambda r: os.stat(at(r)), lambda r: os.lstat(at(r)), lambda r: os.mkdir(f"{at(r)}x"), lambda r: os.rmdir(f"{at(r)}x"),
        lambda r: os.rmdir(at(r)), lambda r: os.unlink(at(r)), lambda r: os.rename(f"{root}/d/" + r.choice(("f", "g", "s/f")), f"{root}/d/" + r.choice(("g", "s/f"))),
        lambda r: os.link(f"{root}/d/" + r.choice(("f", "g")), at(r)), lambda r: os.symlink("nowhere", at(r)), lambda r: os.readlink(at(r)),
        lambda r: os.chmod(at(r), r.choice((0o600, 0o755))), lambda r: os.chown(at(r), os.getuid(), os.getgid()), lambda r: os.utime(at(r), (1, 1)),
        lambda r: os.truncate(at(r), r.choice((0, 3))), lambda r: os.setxattr(at(r), "user.x", b"touched"), lambda r: os.getxattr(at(r), "user.canary"),
        lambda r: os.listxattr(at(r)), lambda r: os.removexattr(at(r), "user.canary"), lambda r: os.mknod(at(r), stat.S_IFIFO | 0o644),
        lambda r: os.listdir(f"{root}/" + r.choice(("d", "d/s"))), lambda r: [e.stat() for e in os.scandir(f"{root}/d")],
        lambda r: os.statvfs(at(r)), lambda r: exchange(f"{root}/d/f", f"{root}/d/s/f"))


class Races:
    policy = KEEP

    def prepare(self):
        m = self.mount
        m.src = m.path("below", "src")
        self.outside, self.away = m.path("below", "outside"), m.path("below", "away")
        for path in (m.src, f"{m.src}/d/s", f"{self.outside}/s", self.away):
            os.makedirs(path)
        for path in (f"{self.outside}/f", f"{self.outside}/g", f"{self.outside}/s/f"):
            write(path, b"canary")
            os.setxattr(path, "user.canary", b"canary")
        self.fill()
        os.symlink("../outside", f"{m.src}/dlink")
        self.seen_outside = self.facts()

    def fill(self):
        src = self.mount.src
        quietly(os.mkdir, f"{src}/d")
        at = quietly(within, src, "d")
        if at is not None:
            quietly(os.mkdir, "s", dir_fd=at)
            os.close(at)
        for path in ("inside", "d/f", "d/g", "d/s/f"):
            quietly(write_within, src, path, b"inside")

    def facts(self):
        """All about what lies outside, but for when it was read (that would be seen in the answers)"""
        found = {}
        for at, dirs, files in os.walk(self.outside):
            for name in [""] + dirs + files:
                path = os.path.join(at, name)
                st = os.lstat(path)
                data = b""
                if stat.S_ISREG(st.st_mode):
                    with open(path, "rb") as file:
                        data = file.read()
                found[path] = (st.st_mode, st.st_ino, st.st_uid, st.st_nlink, st.st_size, st.st_mtime_ns, st.st_ctime_ns, data, os.listxattr(path))
        return found

    def work(self, swap, where):
        inodes = {f[1] for f in self.seen_outside.values()}
        rng = random.Random(20261122)
        todo = operations(self.mnt)
        swapper = Swapper(swap, where, self.away)
        done = failed = 0
        try:
            for i in range(ROUNDS):
                function = rng.choice(todo)
                if i % 8 == 0:
                    self.fill()
                try:
                    r = function(rng)
                    done += 1
                except OSError as e:
                    self.assertIn(e.errno, FINE, f"{errno.errorcode[e.errno]} in round {i}")
                    failed += 1
                    continue
                if isinstance(r, bytes):
                    self.assertNotIn(b"canary", r, f"round {i}")
                elif isinstance(r, os.stat_result):
                    self.assertNotIn(r.st_ino, inodes, f"round {i}")
                elif isinstance(r, list):
                    self.assertNotIn("user.canary", r)
                    self.assertFalse([x for x in r if isinstance(x, os.stat_result) and x.st_ino in inodes])
        finally:
            swapper.stop()
        self.assertEqual(self.facts(), self.seen_outside)
        for at, dirs, files in os.walk(self.mount.path("trash")):
            for name in dirs:  # some of them nobody may search any more
                if not os.path.islink(os.path.join(at, name)):
                    os.chmod(os.path.join(at, name), 0o700)
            for name in files:
                path = os.path.join(at, name)
                if stat.S_ISREG(os.lstat(path).st_mode):
                    with open(path, "rb") as file:
                        self.assertNotIn(b"canary", file.read(), path)
        self.assertGreater(done, ROUNDS // 20, failed)

    def test_directories_on_the_source(self):
        self.work(swap_directories, self.src)

    def test_files_on_the_source(self):
        self.work(swap_files, self.src)

    def test_directories_that_leave_the_source(self):
        self.work(swap_out, self.src)

    def test_directories_on_the_mount(self):
        self.work(swap_directories, self.mnt)

    def test_files_on_the_mount(self):
        self.work(swap_files, self.mnt)

    def test_who_stands_in_a_directory_that_left(self):
        """What has left the source is out of reach a second later, also for who has it open."""
        here = os.open(f"{self.mnt}/d", os.O_RDONLY)
        self.addCleanup(os.close, here)
        self.assertEqual(read(f"/proc/self/fd/{here}/f"), b"inside")
        os.rename(f"{self.src}/d", f"{self.away}/d")
        wait_for("an end of the way to it", lambda: quietly(lambda: os.close(os.open("f", os.O_RDONLY, dir_fd=here)) or "open") != "open")
        write(f"{self.away}/d/later", b"canary")
        for function in (lambda: os.open("later", os.O_RDONLY, dir_fd=here), lambda: os.mkdir("new", dir_fd=here),
                         lambda: os.unlink("f", dir_fd=here), lambda: os.open("made", os.O_WRONLY | os.O_CREAT, dir_fd=here)):
            with self.assertRaises(OSError):
                function()
        self.assertEqual(sorted(os.listdir(f"{self.away}/d")), ["f", "g", "later", "s"])
        os.rename(f"{self.away}/d", f"{self.src}/d")
        # It came back, and is looked up by its name.
        wait_for("it to be back", lambda: quietly(os.stat, f"{self.mnt}/d/f") and quietly(os.stat, "f", dir_fd=here))

    def exchanged(self, make, mode):
        """`make` on the mount, and something else in the place of what it makes, at once; returns its error, if any."""
        made, other, errors = f"{self.src}/made", f"{self.src}/other", []
        before = {os.symlink: ["nowhere"], os.link: [f"{self.mnt}/inside"]}.get(make, [])

        def work():
            try:
                make(*before, f"{self.mnt}/made", *([mode | 0o644] if mode else []))
            except OSError as e:
                errors.append(e.errno)

        os.mkdir(other) if make is not os.mkdir else write(other, b"")
        worker = threading.Thread(target=work)
        worker.start()
        wait_for("it to be made", lambda: os.path.lexists(made))
        exchange(made, other)
        worker.join(WAIT_S)
        for path in (made, other):
            quietly(os.unlink, path)
            quietly(os.rmdir, path)
        return errors

    @unittest.skipIf(mounted.BY_PATHS or os.getuid() or not shutil.which("strace"), "root, strace, and a server that looks at what it made")
    def test_what_was_just_made(self):
        """Somebody puts something of another kind in its place before the server has looked at it: the kernel is told to look again."""
        made, other = f"{self.src}/made", f"{self.src}/other"
        calls = "symlinkat,mkdirat,mknodat,linkat"
        tracer = subprocess.Popen(["strace", "-f", "-o", "/dev/null", "-e", f"trace={calls}", "-e", f"inject={calls}:delay_exit=300000",
                                   "-p", str(self.mount.server.pid)], stderr=subprocess.PIPE, text=True)
        try:
            self.assertIn("attached", tracer.stderr.readline())
            for make, mode in ((os.symlink, 0), (os.mkdir, 0), (os.mknod, stat.S_IFIFO), (os.mknod, stat.S_IFREG), (os.link, 0)):
                found = []
                for _ in range(20):  # until the exchange came in time
                    if found:
                        break
                    found = self.exchanged(make, mode)
                self.assertEqual(found, [errno.EEXIST], make)
        finally:
            tracer.terminate()
            tracer.communicate()

    def test_hard_links_to_the_outside(self):
        """A file with a name outside is the source's by the name inside: its content may change, nothing else out there."""
        os.link(f"{self.outside}/f", f"{self.src}/d/linked")
        before = {k: v for k, v in self.facts().items() if not k.endswith("/outside/f")}
        self.assertEqual(os.stat(f"{self.mnt}/d/linked").st_nlink, 2)
        os.unlink(f"{self.mnt}/d/linked")
        self.assertTrue(os.path.exists(f"{self.outside}/f"))
        self.assertEqual({k: v for k, v in self.facts().items() if not k.endswith("/outside/f")}, before)


class AsRootRaces(Races, MountCase):
    pass


class AsUserRaces(Races, MountCase):
    pass


# ---- floods and deaths -------------------------------------------------------------------------------------------------

class Floods:
    def test_callers_that_are_killed(self):
        """In the middle of whatever they do: the mount goes on, and holds nothing for them."""
        program = "import os\nwhile True:\n  for i in range(20):\n    os.mkdir(f'{os.getpid()}-{i}'); f = open(f'{os.getpid()}-{i}/f', 'w'); f.write('x' * 300000); f.close()\n" \
                  "    os.listdir('.'); os.unlink(f'{os.getpid()}-{i}/f'); os.rmdir(f'{os.getpid()}-{i}')\n"
        rng = random.Random(3)
        for _ in range(200 if SLOW else 15):
            p = subprocess.Popen(["/usr/bin/python3", "-c", program], cwd=self.mnt)
            while not os.path.exists(os.path.join(self.src, f"{p.pid}-{rng.randrange(20)}")):
                self.assertIsNone(p.poll())
            p.kill()
            p.wait()
        subprocess.run("rm -rf *", shell=True, cwd=self.mnt, check=True)
        self.assertEqual(os.listdir(self.src), [])

    def test_signals_all_the_time(self):
        got = []
        old = signal.signal(signal.SIGALRM, lambda *_: got.append(1))
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        try:
            for i in range(3000 if SLOW else 300):
                path = os.path.join(self.mnt, f"f{i % 10}")
                with open(path, "wb") as file:
                    file.write(b"x" * 100000)
                self.assertEqual(os.stat(path).st_size, 100000)
                os.rename(path, path + "r")
                os.unlink(path + "r")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, old)
        self.assertTrue(got)

    def test_lookups_that_are_forgotten(self):
        """Ten thousand names and their ends, by several at once; a directory that is read meanwhile"""
        cnt = 5000 if SLOW else 300

        def work(n):
            for i in range(cnt):
                path = os.path.join(self.mnt, f"d{n}-{i % 7}")
                quietly(os.mkdir, path)
                quietly(write, f"{path}/f", b"x")
                quietly(os.listdir, self.mnt)
                quietly(os.rename, f"{path}/f", os.path.join(self.mnt, f"d{(n + 1) % 4}-{i % 7}", f"f{n}"))
                quietly(os.stat, f"{path}/none{i}")
                quietly(os.rmdir, path)
        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        subprocess.run("rm -rf *", shell=True, cwd=self.mnt, check=True)
        self.assertEqual(os.listdir(self.src), [])


class AsRootFloods(Floods, MountCase):
    pass


class AsUserFloods(Floods, MountCase):
    pass


class Descriptors(MountCase):
    """Whoever opens all that the server can keep open is told so; others go on."""

    def prepare(self):
        self.mount.files_max = 600

    def test_too_many(self):
        os.makedirs(os.path.join(self.mnt, "d"))
        fds = []
        with self.assertRaises(OSError) as caught:
            for i in range(3000):
                fds.append(os.open(os.path.join(self.mnt, f"f{i}"), os.O_CREAT | os.O_RDWR, 0o644))
        self.assertEqual(caught.exception.errno, errno.ENFILE)
        self.assertGreater(len(fds), 100)
        os.mkdir(os.path.join(self.mnt, "d", "e"))  # what needs no handle goes on
        os.rename(os.path.join(self.mnt, "f0"), os.path.join(self.mnt, "d", "e", "f0"))
        os.unlink(os.path.join(self.mnt, "d", "e", "f0"))
        for fd in fds:
            os.close(fd)
        write(os.path.join(self.mnt, "again"), b"x")


# One of many: opens all it can, says how many, holds them until it is told to go, and works on with names meanwhile.
HOG = """import errno, os, sys
fds, name = [], sys.argv[1]
try:
    for i in range(400):
        fds.append(os.open(f'h{name}-{i}', os.O_CREAT | os.O_RDWR, 0o644))
except OSError as e:
    if e.errno != errno.ENFILE: raise
print(len(fds), flush=True)
sys.stdin.readline()
for i in range(20):
    os.mkdir(f'd{name}-{i}'); os.rename(f'd{name}-{i}', f'e{name}-{i}'); os.rmdir(f'e{name}-{i}')
for fd in fds:
    os.pwrite(fd, name.encode(), 0)
    if os.pread(fd, 9, 0) != name.encode(): raise SystemExit('another file')
print('done', flush=True)
sys.stdin.readline()
"""


class FewDescriptors(MountCase):
    """Many processes want more than the server may have, which is little."""
    policy = KEEP
    files_max = 600
    hogs = 6

    def prepare(self):
        self.mount.files_max = self.files_max
        for i in range(40):
            os.makedirs(self.mount.path("src", f"dir{i}", "sub"))
            write(self.mount.path("src", f"dir{i}", "sub", "f"), b"precious %d" % i)
        if self.mount.user is not None and os.getuid() == 0:
            subprocess.run(["chown", "-R", str(self.mount.user), self.mount.src], check=True)

    def server_has(self):
        return len(os.listdir(f"/proc/{self.mount.server.pid}/fd"))

    def test_a_flood_from_many_processes(self):
        at_rest = self.server_has()
        hogs = [subprocess.Popen(["/usr/bin/python3", "-c", HOG, str(n)], cwd=self.mnt, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                for n in range(self.hogs)]
        self.addCleanup(lambda: [h.kill() for h in hogs])
        got = [int(h.stdout.readline()) for h in hogs]
        self.assertLess(sum(got), self.files_max)
        self.assertGreater(sum(got), self.files_max // 10)
        # Who needs no handle goes on, and nothing that is deleted meanwhile is lost.
        kept, refused = set(), set()
        for i in range(40):
            self.assertEqual(os.stat(f"{self.mnt}/dir{i}/sub/f").st_size, len(b"precious %d" % i))
            try:
                os.unlink(f"{self.mnt}/dir{i}/sub/f")
                kept.add(b"precious %d" % i)
            except OSError as e:
                self.assertIn(e.errno, (errno.ENFILE, errno.EMFILE))
                refused.add(i)
        for i in refused:
            self.assertEqual(read(f"{self.src}/dir{i}/sub/f"), b"precious %d" % i)
        for h in hogs:
            h.stdin.write("go\n")
            h.stdin.flush()
        self.assertEqual([h.stdout.readline() for h in hogs], ["done\n"] * self.hogs)
        for h in hogs:
            h.communicate("go\n")
            self.assertEqual(h.returncode, 0)
        files = self.mount.path("trash", "files")
        self.assertEqual({read(os.path.join(files, name)) for name in os.listdir(files)}, kept)
        # Directories are kept open for a while, within what there is.
        wait_for("the server to let go", lambda: self.server_has() < at_rest + self.files_max // 2)
        fds = [os.open(f"{self.mnt}/h0-{i}", os.O_RDONLY) for i in range(min(got[0], 5))]
        for fd in fds:
            os.close(fd)
        for i in refused:
            os.unlink(f"{self.mnt}/dir{i}/sub/f")


class AsRootDescriptors(Descriptors):
    pass


class AsUserDescriptors(Descriptors):
    pass


class AsRootFewDescriptors(FewDescriptors):
    pass


class AsUserVeryFewDescriptors(FewDescriptors):
    files_max, hogs = 64, 3


if SLOW:
    class AsRootVeryFewDescriptors(AsUserVeryFewDescriptors):
        options = ("--no-passthrough",)


class Killed:
    """The server is killed without a word; the next one says what events the file has not of it."""
    says = r"(moonfence: run \w+ was killed: \d+ events are missing in events\.jsonl\n)?"

    @unittest.skipIf(mounted.BY_PATHS, "libfuse itself tells of it, in its words")
    def test_a_dead_mount_is_told_of_and_goes(self):
        path = os.path.join(self.mnt, "f")
        write(path, b"kept")
        fd = os.open(path, os.O_RDONLY)
        os.chdir(self.mnt)
        self.mount.server.kill()
        self.mount.server.wait()
        with self.assertRaises(OSError) as caught:
            os.pread(fd, 10, 0)
            os.stat("none")
        self.assertIn(caught.exception.errno, (errno.ENOTCONN, errno.ECONNABORTED))
        os.chdir("/")
        os.close(fd)
        # fusermount3 unmounts it, by now or any moment from now, if nobody used it when it tried; else it stays, and whoever wants to
        # mount there is told why.
        done = subprocess.run([mounted.MOONFENCE, "mount", "--no-trash", "--policy", self.mount.policy, self.src + "none", self.mnt],
                              capture_output=True, text=True, check=False)
        self.assertIn("No such file", done.stderr)
        if quietly(os.listdir, self.mnt) is None:
            with subprocess.Popen([mounted.MOONFENCE, "mount", "--no-trash", "--policy", self.mount.policy, self.src, self.mnt],
                                  stderr=subprocess.PIPE, text=True) as other:
                wait_for("the next one to be refused, or to be there", lambda: other.poll() is not None or quietly(os.listdir, self.mnt) == ["f"])
                if other.poll() is None:
                    other.terminate()
                else:
                    self.assertIn(f"'fusermount3 -u -z {self.mnt}' takes it away", other.stderr.read())
                    subprocess.run(["fusermount3", "-u", "-z", self.mnt], stderr=subprocess.DEVNULL, check=False)
        wait_for("nothing to be mounted", lambda: not os.path.ismount(self.mnt) and quietly(os.listdir, self.mnt) == [])
        self.assertEqual(read(os.path.join(self.src, "f")), b"kept")
        self.mount.start()
        self.assertEqual(read(path), b"kept")


class AsRootKilled(Killed, MountCase):
    pass


class AsUserKilled(Killed, MountCase):
    pass


if __name__ == "__main__":
    mounted.main()

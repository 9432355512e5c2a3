# SPDX-License-Identifier: Apache-2.0
"""What the filesystem's tests share: a directory, a `moonfence mount` of it, commands as a user."""
import ctypes
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../lab"))
from event_file import read_event_file  # noqa: E402,F401

MOONFENCE = os.environ.get("MOONFENCE", os.path.join(HERE, "../../build/dev/cli/moonfence"))
NOBODY = 65534
SLOW = bool(os.environ.get("MF_SLOW"))
BY_PATHS = os.environ.get("MF_FS_FRONT") == "path"  # macOS' front end: libfuse speaks of paths
WAIT_S = 300

ALLOW = 'return { name = "all", file = function(q) return allow {} end }\n'
# What is deleted goes to the trash, what is called secret is out of bounds.
KEEP = """return { name = "keep", file = function(q)
  if q.path:find("secret", 1, true) then return deny { reason = "secret" } end
  if q.op == "delete" or q.op == "rmdir" then return soft_delete {} end
  return allow {}
end }
"""


def as_user(user, files_max=None):
    """preexec_fn that becomes `user` (None: stays), with so many descriptors at most."""
    def become():
        if files_max:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, files_max))
        if user is not None and os.getuid() == 0:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
    return become


_program = None  # where the one copy of it is that all mounts have links to, with a directory that ends with this run


def place_program(path):
    """The program at `path`, where every user may run it: with sanitizers too large for a copy of each mount's own"""
    global _program
    if not _program:
        _program = tempfile.TemporaryDirectory(prefix="mf-fs-program-")
        os.chmod(shutil.copy(MOONFENCE, os.path.join(_program.name, "moonfence")), 0o755)
    first = os.path.join(_program.name, "moonfence")
    try:
        os.link(first, path)
    except OSError:  # another file system, or one without links
        shutil.copy(first, path)


class Mount:
    """`moonfence mount` around src, seen at mnt; both in a directory of its own that ends with it."""

    def __init__(self, policy=ALLOW, user=None, options=(), trash=True, base=None):
        self.dir = tempfile.mkdtemp(prefix="mf-fs-", dir=base)
        os.chmod(self.dir, 0o755)
        self.user = user
        self.src, self.mnt = self.path("src"), self.path("mnt")
        self.policy, self.events_path = self.path("policy.lua"), self.path("events.jsonl")
        self.program = self.path("moonfence")
        self.options = list(options)
        if trash:
            self.options += ["--trash", self.path("trash")]
        with open(self.policy, "w", encoding="utf-8") as file:
            file.write(policy)
        place_program(self.program)
        for path in (self.src, self.mnt):
            os.mkdir(path)
        if user is not None and os.getuid() == 0:
            for path in (self.dir, self.src, self.mnt):
                os.chown(path, user, user)
        self.files_max = None
        self.server = None
        self.log = ""

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def start(self):
        env = dict(os.environ, HOME=self.dir)
        env.setdefault("MOONFENCE_DATA", os.path.realpath(os.path.join(HERE, "../../lua")))
        self.server = subprocess.Popen(
            [self.program, "mount", "--policy", self.policy, "--events", self.events_path, *self.options,
             self.src, self.mnt], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
            preexec_fn=as_user(self.user, self.files_max), env=env, cwd="/")
        self.reader = threading.Thread(target=self._read_log, daemon=True)
        self.reader.start()
        line = self.server.stdout.readline()
        if "is seen at" not in line:
            self.server.wait(WAIT_S)
            self.reader.join(WAIT_S)
            raise AssertionError(f"moonfence mount did not begin: {line}{self.log}")
        return self

    def _read_log(self):
        for line in self.server.stderr:
            self.log += line

    def stop(self, sig=signal.SIGTERM):
        """Ends the server; Return: its exit status"""
        if self.server.poll() is None:
            self.server.send_signal(sig)
        status = self.server.wait(WAIT_S)
        self.reader.join(WAIT_S)
        return status

    def close(self):
        try:
            if self.server and self.server.poll() is None:
                self.server.kill()
                self.server.wait(WAIT_S)
        finally:
            subprocess.run(["umount", "-l", self.mnt] if os.getuid() == 0 else ["fusermount3", "-u", "-z", self.mnt],
                           stderr=subprocess.DEVNULL, check=False)
            if self.server:
                self.server.stdout.close()
                self.server.stderr.close()
            shutil.rmtree(self.dir, ignore_errors=True)

    def run(self, args, check=True, cwd=None, shell=False, env=None, user=False):
        """A command as the mount's user, in the mount unless told otherwise"""
        done = subprocess.run(args, cwd=cwd or self.mnt, shell=shell, capture_output=True, text=True, errors="replace",
                              env=dict(os.environ, HOME=self.dir, **(env or {})), timeout=1500, check=False,
                              preexec_fn=as_user(self.user if user is False else user))
        if check and done.returncode:
            raise AssertionError(f"{args} ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}\n{self.log}")
        return done

    def events(self):
        return read_event_file(self.events_path)

    def trashed(self):
        """Names in the trash"""
        return sorted(os.listdir(self.path("trash", "files")))


class MountCase(unittest.TestCase):
    """One mount a test; `user` says who mounts and works in it."""
    user = None
    policy = ALLOW
    options = ()
    base = None
    says = ""  # what the mount writes to stderr
    longMessage = True

    def setUp(self):
        if not os.path.exists("/dev/fuse"):
            raise unittest.SkipTest("no /dev/fuse here")
        self.mount = Mount(self.policy, self.user, self.options, base=self.base)
        self.addCleanup(self.mount.close)
        self.prepare()
        self.mount.start()
        self.src, self.mnt = self.mount.src, self.mount.mnt

    def prepare(self):
        """Before the mount"""

    def tearDown(self):
        status = self.mount.stop()
        self.assertEqual(status, 0, self.mount.log)
        self.assertRegex(self.mount.log, rf"\A{self.says}\Z")
        self.assertFalse(os.path.ismount(self.mnt))

    def run_in(self, args, **more):
        return self.mount.run(args, **more)


class OneMountCase(MountCase):
    """One mount for all tests of a class, which each work in a directory of their own"""

    @classmethod
    def setUpClass(cls):
        if not os.path.exists("/dev/fuse"):
            raise unittest.SkipTest("no /dev/fuse here")
        cls.mount = Mount(cls.policy, cls.user, cls.options, base=cls.base)
        cls.addClassCleanup(cls.mount.close)
        cls.mount.start()
        cls.src, cls.mnt = cls.mount.src, cls.mount.mnt

    @classmethod
    def tearDownClass(cls):
        status = cls.mount.stop()
        if status or cls.mount.log or os.path.ismount(cls.mnt):
            raise AssertionError(f"status {status}: {cls.mount.log}")

    def setUp(self):
        pass

    def tearDown(self):
        self.assertEqual(self.mount.log, "")


def _own_mounts():
    """Root's tests see mounts that nobody else does, and a /dev/fuse that ordinary users may open."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x00020000):  # CLONE_NEWNS
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    if os.path.exists("/dev/fuse") and os.stat("/dev/fuse").st_mode & 0o006 != 0o006:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/mnt"], check=True)
        os.mknod("/mnt/fuse", 0o020666, os.makedev(10, 229))
        os.chmod("/mnt/fuse", 0o666)
        subprocess.run(["mount", "--bind", "/mnt/fuse", "/dev/fuse"], check=True)


def _again_as_nobody():
    """The same program as an ordinary user, with what it needs where that one can read it; Return: its exit status"""
    with tempfile.TemporaryDirectory(prefix="mf-fs-user-") as place:
        os.chmod(place, 0o755)
        shutil.copytree(HERE, f"{place}/tests", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(os.path.join(HERE, "../lab"), f"{place}/lab", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(os.path.join(HERE, "../../lua"), f"{place}/lua")
        shutil.copy(MOONFENCE, f"{place}/moonfence")
        subprocess.run(["chmod", "-R", "a+rX", place], check=True)
        work = f"{place}/work"
        os.mkdir(work)
        os.chown(work, NOBODY, NOBODY)
        env = dict(os.environ, MOONFENCE=f"{place}/moonfence", MOONFENCE_DATA=f"{place}/lua", HOME=work, TMPDIR=work)
        return subprocess.run(["/usr/bin/python3", "-B", f"{place}/tests/{os.path.basename(sys.argv[0])}", *sys.argv[1:]],
                              env=env, cwd=work, preexec_fn=as_user(NOBODY), check=False).returncode


def main():
    """Root's classes (named AsRoot...) and an ordinary user's (AsUser...), each as who they are about"""
    if os.getuid() == 0:
        _own_mounts()
    suite = unittest.TestSuite()
    mine = "AsRoot" if os.getuid() == 0 else "AsUser"
    for test in unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"]):
        for case in test:
            if type(case).__name__.startswith(mine) and all(word in case.id() for word in sys.argv[1:]):
                suite.addTest(case)
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    status = 0 if result.wasSuccessful() else 1
    if os.getuid() == 0 and _again_as_nobody() not in (0, 77):
        status = 1
    if status == 0 and result.testsRun and len(result.skipped) == result.testsRun:
        status = 77
    sys.exit(status)

# SPDX-License-Identifier: Apache-2.0
"""One mount and its trash under load by several processes while its policies are reloaded and its trash is listed, restored from and
purged. Under ThreadSanitizer (the tsan preset) whatever is not ordered is a line on stderr, and fails."""
import json
import os
import signal
import subprocess
import sys

import mounted
from mounted import MountCase, SLOW
from waiting import wait_for

ROUNDS = 120 if SLOW else 25
RELOADS = 24 if SLOW else 8

# Every answer there is, on names that all of them use; which file is denied goes with the number.
POLICY = """-- %d
return { name = "load%d", file = function(q)
  if q.path:find("denied%d", 1, true) then return deny {} end
  if q.path:find("/away/", 1, true) then
    return redirect_path { target = (q.path:gsub("/away/", "/there/", 1)), cow = %s }
  end
  if q.op == "delete" or q.op == "rmdir" or (q.op == "write" and q.path:find("kept", 1, true)) then return soft_delete { hash = true } end
  if q.path:find("asked", 1, true) and q.process.name == "nobody" then return deny {} end
  return allow {}
end }
"""

WORKER = """import errno, mmap, os, random, sys
me, rounds = sys.argv[1], int(sys.argv[2])
rng = random.Random(int(me))
def quietly(function, *args, **more):
    try: return function(*args, **more)
    except OSError as e:
        if e.errno in (errno.EIO, errno.EBADF, errno.EFAULT, errno.ENOTCONN): raise
def write(path, flags, data):
    fd = os.open(path, flags | os.O_CREAT, 0o644)
    try:
        os.write(fd, data); os.fsync(fd)
        os.pread(fd, 100, 0) if flags & os.O_RDWR else None
    finally: os.close(fd)
def mapped(path):
    with open(path, 'r+b') as f, mmap.mmap(f.fileno(), 0) as m: m[0:1] = b'm'
def tree(path):
    os.makedirs(path + '/a/b'); write(path + '/a/b/f', os.O_WRONLY, b'x'); os.rename(path, path + '.moved')
    for at, dirs, files in os.walk(path + '.moved', topdown=False):
        for n in files: os.unlink(os.path.join(at, n))
        os.rmdir(at)
for i in range(rounds):
    shared = f'shared{rng.randrange(6)}'
    for function, *args in (
            (write, shared, os.O_RDWR, b's' * rng.randrange(9000)), (write, f'kept{rng.randrange(4)}', os.O_RDWR, b'k' * 5000),
            (write, f'denied{rng.randrange(9)}', os.O_WRONLY, b'd'), (write, f'asked{me}', os.O_WRONLY | os.O_TRUNC, b'a'),
            (write, f'away/f{rng.randrange(3)}', os.O_RDWR, b'away'), (os.listdir, '.'), (os.listdir, 'away'), (os.stat, shared),
            (os.rename, shared, f'shared{rng.randrange(6)}'), (os.truncate, f'kept{rng.randrange(4)}', rng.randrange(3000)),
            (mapped, f'kept{rng.randrange(4)}'), (os.link, shared, f'link{me}'), (os.unlink, f'link{me}'), (os.unlink, f'shared{rng.randrange(6)}'),
            (tree, f'tree{me}'), (os.symlink, 'nowhere', f'soft{me}'), (os.readlink, f'soft{me}'), (os.unlink, f'soft{me}'),
            (os.setxattr, shared, 'user.x', b'1'), (os.chmod, shared, 0o600), (os.utime, shared), (os.mkdir, f'both{i % 3}'), (os.rmdir, f'both{i % 3}')):
        quietly(function, *args)
"""


class Load:
    policy = POLICY % (0, 0, 0, "false")
    options = ("--session", "load", "--trash-count", "60", "--trash-hash", "1M")

    def prepare(self):
        for name in ("away", "there"):
            os.mkdir(self.mount.path("src", name))
            if self.mount.user is not None and os.getuid() == 0:
                os.chown(self.mount.path("src", name), self.mount.user, self.mount.user)

    def generations(self):
        return [e for e in self.mount.events() if e["type"] == "policy_changed"]

    def reload(self, n):
        """A new policy in the old one's place, in one step; it is asked from when the event says so"""
        there = len(self.generations())
        new = self.mount.policy + ".new"
        with open(new, "w", encoding="utf-8") as file:
            file.write(POLICY % (n, n, n % 9, "true" if n % 2 else "false"))
        os.rename(new, self.mount.policy)
        wait_for("the policies to be reloaded", lambda: len(self.generations()) > there)

    def trash(self, *args):
        done = self.run_in([self.mount.program, "trash", *args, "--trash", self.mount.path("trash")], cwd="/", check=False)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        self.assertNotIn("Sanitizer", done.stderr)
        return done.stdout

    def test_load_while_policies_are_reloaded(self):
        workers = [subprocess.Popen(["/usr/bin/python3", "-c", WORKER, str(n), str(ROUNDS)], cwd=self.mnt, stderr=subprocess.PIPE, text=True)
                   for n in range(4)]
        self.addCleanup(lambda: [w.kill() for w in workers])
        for n in range(1, RELOADS + 1):
            self.reload(n)
            entries = json.loads(self.trash("list", "--json"))
            if entries and n % 3 == 0:
                self.trash("restore", "--force", entries[n % len(entries)]["token"])
            if n % 4 == 0:
                self.trash("purge", "--keep-last", "20")
        for w in workers:
            self.assertEqual(w.communicate()[1], "")
            self.assertEqual(w.returncode, 0)
        types = {e["type"] for e in self.mount.events()}
        for wanted in ("file_soft_delete", "path_redirect", "policy_changed"):
            self.assertIn(wanted, types)

    def test_an_end_in_the_middle_of_it(self):
        """SIGTERM while all are busy: it ends when they let go, in order"""
        workers = [subprocess.Popen(["/usr/bin/python3", "-c", WORKER, str(n), "1000000"], cwd=self.mnt, stderr=subprocess.DEVNULL)
                   for n in range(3)]
        self.addCleanup(lambda: [w.kill() for w in workers])
        wait_for("work", lambda: len(self.mount.trashed()) > 5)
        self.mount.server.send_signal(signal.SIGTERM)
        self.mount.server.wait(mounted.WAIT_S)
        for w in workers:
            w.kill()
            w.wait()


class AsRootLoad(Load, MountCase):
    pass


class AsUserLoad(Load, MountCase):
    pass


if __name__ == "__main__":
    mounted.main()

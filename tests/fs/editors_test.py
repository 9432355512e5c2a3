# SPDX-License-Identifier: Apache-2.0
"""How real programs save a file: what it held before can be brought back after each way, under the name that it was lost by."""
import errno
import os
import pty
import select
import shutil
import unittest

import mounted
from mounted import KEEP, MountCase
from waiting import wait_for

BEFORE = "one\ntwo\n" + "".join(f"line {i}\n" for i in range(2000))
AFTER = BEFORE.replace("one", "uno")

# An IDE's "safe write": the new content beside it, the old one out of its way, and gone at last.
SAFE_WRITE = """import os
open('text.tmp', 'w').write(open('text').read().replace('one', 'uno'))
os.rename('text', 'text.old'); os.rename('text.tmp', 'text'); os.unlink('text.old')"""
ATOMIC = """import os
f = open('.text.new', 'w'); f.write(open('text').read().replace('one', 'uno')); f.flush(); os.fsync(f.fileno())
os.rename('.text.new', 'text')"""
IN_PLACE = "f = open('text', 'r+'); s = f.read(); f.seek(0); f.write(s.replace('one', 'uno'))"
SHORTER = "f = open('text', 'r+'); f.write('uno'); f.flush(); f.truncate()"
MAPPED = "import mmap\nf = open('text', 'r+b'); mmap.mmap(f.fileno(), 0)[0:3] = b'uno'"
UNLINKED = "import os\ns = open('text').read(); os.unlink('text'); open('text', 'w').write(s.replace('one', 'uno'))"
TRUNCATED = "s = open('text').read(); open('text', 'w').write(s.replace('one', 'uno'))"


def vi(*settings):
    # It makes no backups in /tmp unless it is told to.
    return ["vi", "-N", "-u", "NONE", "-i", "NONE", "-es", "-c", "set backupskip=", *[x for s in settings for x in ("-c", "set " + s)], "-c", "1s/one/uno/", "-c", "wq", "text"]


def python(text):
    return ["/usr/bin/python3", "-c", text]


# Program, and the name by which it loses what the file held.
WAYS = {
    "sed -i": (["sed", "-i", "s/one/uno/", "text"], "text"),
    "sed -i with a backup": (["sed", "-i~", "s/one/uno/", "text"], "text~"),  # it is there
    "vi": (vi(), "text~"),
    "vi that copies": (vi("backupcopy=yes"), "text"),
    "vi that renames": (vi("backupcopy=no"), "text~"),
    "vi without a backup": (vi("nowritebackup"), "text"),
    "vi that keeps a backup": (vi("backup"), "text~"),
    "vi with a backup elsewhere": (vi("backupcopy=yes", "backupdir=/tmp"), "text"),
    "atomic rename": (python(ATOMIC), "text"),
    "safe write": (python(SAFE_WRITE), "text.old"),
    "truncated": (python(TRUNCATED), "text"),
    "deleted and made anew": (python(UNLINKED), "text"),
    "cp": (["sh", "-c", "sed s/one/uno/ text > /tmp/mf-ed-$$; cp /tmp/mf-ed-$$ text; rm /tmp/mf-ed-$$"], "text"),
    "mv -f": (["sh", "-c", "sed s/one/uno/ text > new; mv -f new text"], "text"),
    "install": (["sh", "-c", "sed s/one/uno/ text > new; install -m 640 new text; rm new"], "text"),
    "tee": (["sh", "-c", "sed s/one/uno/ text > new; tee text < new; rm new"], "text"),
    "git checkout": (["sh", "-c", "git init -q . && sed s/one/uno/ text > new && mv text old && mv new text && git add text && "
                      "git -c user.name=x -c user.email=x@y.example commit -qm x && mv -f old text && git checkout -q -- text"], "text"),
}
# These write over it, which only a soft_delete of `write` keeps.
WRITTEN_OVER = {
    "in place": (python(IN_PLACE), "text"),
    "in place, then cut": (python(SHORTER), "text"),
    "mapped": (python(MAPPED), "text"),
    "dd": (["sh", "-c", "printf uno | dd of=text conv=notrunc status=none"], "text"),
}


class Editors:
    """Each way in a directory of its own, then one undo of the session for all of them"""
    policy = KEEP
    ways = WAYS

    def prepare(self):
        self.mount.options += ["--session", "edit"]
        for name in (*self.ways, "nano"):
            os.mkdir(self.mount.path("src", name))
            path = self.mount.path("src", name, "text")
            with open(path, "w", encoding="utf-8") as file:
                file.write(BEFORE)
            os.chmod(path, 0o640)
            if self.mount.user is not None and os.getuid() == 0:
                os.chown(os.path.dirname(path), self.mount.user, self.mount.user)
                os.chown(path, self.mount.user, self.mount.user)

    def moonfence(self, *args):
        return self.run_in([self.mount.program, *args, "--trash", self.mount.path("trash")], cwd=self.mount.src).stdout

    def read(self, *names):
        with open(os.path.join(self.src, *names), encoding="utf-8") as file:
            return file.read()

    def test_programs(self):
        for name, (command, _) in self.ways.items():
            self.run_in(command, cwd=os.path.join(self.mnt, name),
                        env={"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"})
            self.assertEqual(self.read(name, "text"), "uno" if name == "in place, then cut" else AFTER, name)
        self.mount.stop()
        self.moonfence("undo", "--session", "edit", "--force")  # also over what was deleted and made anew
        for name, (_, lost_by) in self.ways.items():
            with self.subTest(way=name):
                self.assertEqual(self.read(name, lost_by), BEFORE)
                self.assertEqual(os.stat(os.path.join(self.src, name, lost_by)).st_mode & 0o777, 0o640)

    @unittest.skipUnless(shutil.which("nano"), "nano is not installed")
    def test_nano(self):
        pid, terminal = pty.fork()
        if pid == 0:
            try:
                os.chdir(os.path.join(self.mnt, "nano"))
                os.environ.update(TERM="xterm", HOME=self.mount.dir)
                mounted.as_user(self.mount.user)()
                os.execvp("nano", ["nano", "-I", "text"])
            finally:
                os._exit(127)
        shown = b""

        def see(what):
            nonlocal shown
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    shown += os.read(terminal, 65536)
                except OSError as e:
                    if e.errno != errno.EIO:  # the editor has closed its side
                        raise
            return what in shown

        wait_for("the editor", lambda: see(b"two"))
        os.write(terminal, b"\x1b[3~\x1b[3~\x1b[3~uno\x0f")  # Delete three times, a word, ^O
        wait_for("its question", lambda: see(b"File Name to Write"))
        os.write(terminal, b"\r")
        wait_for("it to be written", lambda: see(b"Wrote"))
        os.write(terminal, b"\x18")  # ^X
        wait_for("its end", lambda: see(b"never") or os.waitpid(pid, os.WNOHANG)[0] == pid)
        os.close(terminal)
        self.assertEqual(self.read("nano", "text"), AFTER)
        self.moonfence("trash", "restore", "--force", os.path.join(os.path.realpath(self.src), "nano/text"))
        self.assertEqual(self.read("nano", "text"), BEFORE)
        # And what was saved is in the trash for that.
        self.moonfence("trash", "restore", "--force", os.path.join(os.path.realpath(self.src), "nano/text"))
        self.assertEqual(self.read("nano", "text"), AFTER)


class WrittenOver(Editors):
    policy = KEEP.replace('q.op == "rmdir"', 'q.op == "rmdir" or q.op == "write"')
    ways = {**WRITTEN_OVER, **{name: WAYS[name] for name in ("sed -i", "vi", "vi that copies", "truncated")}}
    test_nano = None


class AsRootEditors(Editors, MountCase):
    pass


class AsUserEditors(Editors, MountCase):
    pass


class AsRootWrittenOver(WrittenOver, MountCase):
    pass


if __name__ == "__main__":
    mounted.main()

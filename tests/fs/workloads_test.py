# SPDX-License-Identifier: Apache-2.0
"""Real programs in the mount: what they leave is what they leave without it."""
import filecmp
import os
import shutil
import sqlite3
import subprocess

import mounted
from mounted import KEEP, SLOW, MountCase

GIT = ["git", "-c", "user.name=x", "-c", "user.email=x@y.example", "-c", "init.defaultBranch=main", "-c", "safe.directory=*",
       "-c", "gc.autoDetach=false"]


class Workloads:
    policy = KEEP

    def make_repository(self, path, files=300):
        os.makedirs(path)
        for i in range(files):
            os.makedirs(os.path.join(path, f"d{i % 20}"), exist_ok=True)
            with open(os.path.join(path, f"d{i % 20}/file{i}.txt"), "w") as file:
                file.write(f"line {i}\n" * (i + 1))
        self.run_in([*GIT, "init", "-q"], cwd=path)
        for n in range(3):
            with open(os.path.join(path, "d0/file0.txt"), "a") as file:
                file.write(f"change {n}\n")
            self.run_in([*GIT, "add", "-A"], cwd=path)
            self.run_in([*GIT, "commit", "-q", "-m", f"change {n}"], cwd=path)

    def test_git(self):
        origin = self.mount.path("origin")
        self.make_repository(origin)
        self.run_in([*GIT, "clone", "-q", "--no-local", origin, "clone"])
        clone = os.path.join(self.mnt, "clone")
        for args in (["fsck", "--full"], ["checkout", "-q", "HEAD~2"], ["checkout", "-q", "main"], ["gc", "-q", "--prune=now"],
                     ["repack", "-q", "-a", "-d", "-f"], ["fsck", "--full"]):
            self.run_in([*GIT, *args], cwd=clone)
        self.assertEqual(self.run_in([*GIT, "status", "--porcelain"], cwd=clone).stdout, "")
        same = filecmp.dircmp(origin, clone, ignore=[".git"])
        self.assertEqual((same.left_only, same.right_only, same.diff_files), ([], [], []))

    def test_build_with_make(self):
        tree = os.path.join(self.mnt, "c")
        os.mkdir(tree)
        for i in range(12):
            with open(os.path.join(tree, f"f{i}.c"), "w") as file:
                file.write(f'#include "all.h"\nint f{i}(void) {{ return {i}; }}\n')
        with open(os.path.join(tree, "all.h"), "w") as file:
            file.write("".join(f"int f{i}(void);\n" for i in range(12)))
        with open(os.path.join(tree, "main.c"), "w") as file:
            file.write('#include <stdio.h>\n#include "all.h"\nint main(void) { printf("%d\\n", ' +
                       " + ".join(f"f{i}()" for i in range(12)) + "); return 0; }\n")
        with open(os.path.join(tree, "Makefile"), "w") as file:
            file.write("OBJS = main.o " + " ".join(f"f{i}.o" for i in range(12)) +
                       "\nall: libf.a prog\nlibf.a: $(OBJS)\n\tar rcs $@ $^\nprog: $(OBJS)\n\tcc -o $@ $^\n%.o: %.c all.h\n\tcc -O1 -c -o $@ $<\n"
                       "clean:\n\trm -f *.o prog libf.a\n")
        for _ in range(2):
            self.run_in(["make", "-s", "-j4"], cwd=tree)
            self.assertEqual(self.run_in(["./prog"], cwd=tree).stdout, "66\n")
            self.assertIn("main.o", self.run_in(["ar", "t", "libf.a"], cwd=tree).stdout)
            self.run_in(["make", "-s", "clean"], cwd=tree)
        self.assertFalse([n for n in os.listdir(tree) if n.endswith(".o")])

    def test_sqlite_wal(self):
        path = os.path.join(self.mnt, "db")
        writer = sqlite3.connect(path, timeout=300)
        self.addCleanup(writer.close)
        self.assertEqual(writer.execute("PRAGMA journal_mode=WAL").fetchone(), ("wal",))
        writer.execute("CREATE TABLE t (i INTEGER PRIMARY KEY, x BLOB)")
        reader = sqlite3.connect(path, timeout=300)
        self.addCleanup(reader.close)
        for i in range(200):
            with writer:
                writer.execute("INSERT INTO t VALUES (?, ?)", (i, os.urandom(2000)))
            if i % 20 == 0:
                self.assertEqual(reader.execute("SELECT count(*) FROM t").fetchone(), (i + 1,))
        other = self.run_in(["/usr/bin/python3", "-c", "import sqlite3; c = sqlite3.connect('db', timeout=300); "
                             "print(c.execute('PRAGMA integrity_check').fetchone()[0], c.execute('SELECT count(*) FROM t').fetchone()[0])"])
        self.assertEqual(other.stdout, "ok 200\n")
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def make_tree(self, path):
        os.makedirs(os.path.join(path, "a/b/c"))
        for i in range(60):
            with open(os.path.join(path, f"a/file{i}"), "wb") as file:
                file.write(os.urandom(i * 300))
            os.utime(os.path.join(path, f"a/file{i}"), ns=(10**18 + i, 10**18 + 12345 * i))
            os.chmod(os.path.join(path, f"a/file{i}"), (0o600, 0o644, 0o755, 0o444)[i % 4])
        os.link(os.path.join(path, "a/file3"), os.path.join(path, "a/b/hard"))
        os.symlink("../file4", os.path.join(path, "a/b/soft"))
        os.symlink("nowhere", os.path.join(path, "a/dangling"))
        os.mkfifo(os.path.join(path, "a/b/fifo"))
        with open(os.path.join(path, "a/sparse"), "wb") as file:
            file.truncate(3 << 20)
            file.seek(1 << 20)
            file.write(b"island")
        os.setxattr(os.path.join(path, "a/file5"), "user.note", b"kept")

    def facts(self, path):
        found = {}
        for at, dirs, files in os.walk(path):
            for name in dirs + files:
                full = os.path.join(at, name)
                st = os.lstat(full)
                text = os.readlink(full) if os.path.islink(full) else None
                data = None
                if os.path.isfile(full) and text is None:
                    with open(full, "rb") as file:
                        data = hash(file.read())
                xattrs = {n: os.getxattr(full, n) for n in os.listxattr(full, follow_symlinks=False)} if text is None and data is not None else None
                links = st.st_nlink if data is not None else 0
                when = st.st_mtime_ns if data is not None else 0
                found[os.path.relpath(full, path)] = (st.st_mode, st.st_uid, st.st_gid, links, when, text, data, xattrs)
        return found

    def test_rsync_keeps_everything(self):
        tree = self.mount.path("tree")
        self.make_tree(tree)
        for _ in range(2):
            self.run_in(["rsync", "-aHAXS", f"{tree}/", "copy/"])
        self.assertEqual(self.facts(tree), self.facts(os.path.join(self.mnt, "copy")))
        self.assertEqual(self.run_in(["rsync", "-aHAXSn", "--itemize-changes", "--checksum", f"{tree}/", "copy/"]).stdout, "")

    def test_tar_there_and_back(self):
        tree = self.mount.path("tree")
        self.make_tree(tree)
        self.run_in(["tar", "--xattrs", "--acls", "-cSf", self.mount.path("one.tar"), "-C", tree, "."])
        os.mkdir(os.path.join(self.mnt, "out"))
        self.run_in(["tar", "--xattrs", "--acls", "-xpSf", self.mount.path("one.tar")], cwd=os.path.join(self.mnt, "out"))
        self.assertEqual(self.facts(tree), self.facts(os.path.join(self.mnt, "out")))

    def test_how_editors_save(self):
        path = os.path.join(self.mnt, "text")
        with open(path, "w") as file:
            file.write("one\ntwo\n")
        self.run_in(["sed", "-i", "s/one/uno/", "text"])
        for options in ("", "set backupcopy=yes", "set backupcopy=no backup", "set nowritebackup"):
            self.run_in(["vi", "-u", "NONE", "-es", "-c", options, "-c", "%s/$/!/", "-c", "wq", "text"])
        with open(path) as file:
            self.assertEqual(file.read(), "uno!!!!\ntwo!!!!\n")
        self.run_in("cp text new && mv new text && sort -o text text", shell=True)
        self.assertEqual(self.run_in(["cat", "text"]).stdout, "two!!!!\nuno!!!!\n")

    def test_fio_verify(self):
        for name, more in (("buffered", ["--rw=randrw", "--bs=4k-64k"]), ("mapped", ["--rw=randwrite", "--bs=4k", "--ioengine=mmap"]),
                           ("direct", ["--rw=randwrite", "--bs=16k", "--direct=1"])):
            self.run_in(["fio", f"--name={name}", "--size=8m", "--verify=crc32c", "--do_verify=1", "--verify_fatal=1", "--numjobs=2",
                         "--group_reporting", "--fallocate=none", "--directory=.", *more])

    def test_stress(self):
        seconds = "3" if SLOW else "1"
        for stressor in ("dentry", "rename", "link", "symlink", "dir", "fstat", "utime", "fallocate", "xattr", "chmod", "filename"):
            self.run_in(["stress-ng", "--temp-path", ".", f"--{stressor}", "2", f"--{stressor}-ops", "50" if not SLOW else "5000",
                         "--timeout", seconds, "--verify"])
        self.assertEqual([n for n in os.listdir(self.src) if n.startswith("tmp-stress")], [])

    def test_npm_install(self):
        if not SLOW:
            return
        with open(os.path.join(self.mnt, "package.json"), "w") as file:
            file.write('{"name": "x", "version": "1.0.0", "dependencies": {"semver": "7.5.4", "yaml": "2.3.4"}}\n')
        self.run_in([shutil.which("npm"), "install", "--no-audit", "--no-fund"])
        self.assertIn("7.5.4", self.run_in([shutil.which("node"), "-p", "require('semver').SEMVER_SPEC_VERSION && require('semver/package.json').version"]).stdout)


class AsRootWorkloads(Workloads, MountCase):
    pass


class AsUserWorkloads(Workloads, MountCase):
    # Loads, and the same code for everybody: once is enough where time is short.
    if not SLOW:
        test_build_with_make = test_fio_verify = test_stress = None


if __name__ == "__main__":
    mounted.main()

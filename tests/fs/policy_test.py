# SPDX-License-Identifier: Apache-2.0
"""What policies say is what happens: denials, the trash, events, other policies."""
import errno
import hashlib
import json
import os
import stat
import subprocess
import unittest

import mounted
from mounted import KEEP, MountCase
from waiting import wait_for


class Refused(MountCase):
    """Everything about a path that is denied."""
    policy = """return { name = "wall", file = function(q)
      if q.path:find("/secret", 1, true) or (q.target and q.target:find("/secret", 1, true)) then
        return deny { reason = "secret" }
      end
      if q.op == "chmod" and q.path:find("/fixed", 1, true) then return deny { errno = "EPERM" } end
      if q.op == "write" and q.path:find("/readonly", 1, true) then return deny { errno = "EROFS" } end
      if q.op == "delete" and q.path:find("/precious", 1, true) then return deny {} end
      return allow {}
    end }"""

    def prepare(self):
        for name in ("secret", "open", "fixed", "readonly", "precious"):
            with open(os.path.join(self.mount.src, name), "w") as file:
                file.write(name)

    def refused(self, want, call, *args):
        with self.assertRaises(OSError) as caught:
            call(*args)
        self.assertEqual(errno.errorcode[caught.exception.errno], want)

    def test_every_way_is_refused(self):
        at = os.path.join(self.mnt, "secret")
        other = os.path.join(self.mnt, "open")
        for call, *args in ((os.stat, at), (open, at), (open, at, "w"), (os.unlink, at), (os.rename, at, other), (os.rename, other, at),
                            (os.link, at, at + "2"), (os.link, other, at), (os.symlink, "x", at), (os.mkdir, at + "dir"),
                            (os.chmod, at, 0o600), (os.truncate, at, 0), (os.utime, at), (os.listxattr, at), (os.mkfifo, at + "p"),
                            (os.stat, at + "-that-is-not-there"), (os.symlink, "/secret", other + "link")):
            with self.subTest(call=call.__name__, args=args):
                self.refused("EACCES", call, *args)
        self.assertIn("secret", os.listdir(self.mnt))
        with os.scandir(self.mnt) as entries:
            for entry in entries:
                if entry.name == "secret":
                    self.refused("EACCES", entry.stat)
        with open(os.path.join(self.src, "secret")) as file:
            self.assertEqual(file.read(), "secret")
        self.mount.stop()
        blocked = [e for e in self.mount.events() if e.get("effective_action") == "blocked"]
        self.assertGreaterEqual(len(blocked), 15)
        self.assertTrue(all(e["policy"]["decision"] == "deny" and e["session_id"] for e in blocked))
        self.assertTrue(any(e["type"] == "symlink_create" and e["fields"].get("blocked") for e in blocked))

    def test_errno_of_the_policy(self):
        self.refused("EPERM", os.chmod, os.path.join(self.mnt, "fixed"), 0o600)
        self.refused("EROFS", open, os.path.join(self.mnt, "readonly"), "a")
        self.refused("EROFS", os.truncate, os.path.join(self.mnt, "readonly"), 0)
        with open(os.path.join(self.mnt, "readonly")) as file:
            self.assertEqual(file.read(), "readonly")

    def test_a_rename_over_it_deletes(self):
        self.refused("EACCES", os.rename, os.path.join(self.mnt, "open"), os.path.join(self.mnt, "precious"))
        with open(os.path.join(self.mnt, "precious")) as file:
            self.assertEqual(file.read(), "precious")

    def test_another_name_is_no_way_around(self):
        """P59: a file that has a name under a denial for writing is not written by another name that is known."""
        os.link(os.path.join(self.src, "readonly"), os.path.join(self.src, "innocent"))
        self.assertEqual(os.stat(os.path.join(self.mnt, "readonly")).st_ino, os.stat(os.path.join(self.mnt, "innocent")).st_ino)
        self.refused("EROFS", open, os.path.join(self.mnt, "innocent"), "a")

    def test_link_texts_are_asked_about(self):
        os.symlink("/secret/place", os.path.join(self.src, "way"))
        self.refused("EACCES", os.readlink, os.path.join(self.mnt, "way"))


class Trash(MountCase):
    policy = KEEP

    def put(self, name, text):
        with open(os.path.join(self.mnt, name), "w") as file:
            file.write(text)

    def kept(self):
        """What is in the trash: {beginning of the name: contents}"""
        found = {}
        for name in self.mount.trashed():
            path = self.mount.path("trash", "files", name)
            if os.path.isfile(path):
                with open(path) as file:
                    found.setdefault(name.split(".")[0], []).append(file.read())
        return found

    def test_every_way_to_lose_a_file(self):
        for name in ("unlinked", "replaced", "new", "emptied", "opened", "grown"):
            self.put(name, f"old {name}")
        os.unlink(os.path.join(self.mnt, "unlinked"))
        os.rename(os.path.join(self.mnt, "new"), os.path.join(self.mnt, "replaced"))
        os.truncate(os.path.join(self.mnt, "emptied"), 3)
        self.put("opened", "n")
        with open(os.path.join(self.mnt, "grown"), "a") as file:
            file.write(" and more")
        os.truncate(os.path.join(self.mnt, "grown"), 100)
        self.assertEqual(self.kept(), {"unlinked": ["old unlinked"], "replaced": ["old replaced"], "emptied": ["old emptied"],
                                       "opened": ["old opened"]})
        with open(os.path.join(self.mnt, "replaced")) as file:
            self.assertEqual(file.read(), "old new")
        with open(os.path.join(self.mnt, "emptied")) as file:
            self.assertEqual(file.read(), "old")
        self.mount.stop()
        told = [e for e in self.mount.events() if e["type"] == "file_soft_delete"]
        self.assertEqual(sorted(os.path.basename(e["path"]) for e in told), ["emptied", "opened", "replaced", "unlinked"])
        for event in told:
            self.assertRegex(event["fields"]["trash_token"], "^[0-9a-v]{39}$")
            self.assertIn(event["fields"]["trash_token"], event["fields"]["restore_hint"])

    def test_open_files_go_on(self):
        fd = os.open(os.path.join(self.mnt, "f"), os.O_RDWR | os.O_CREAT)
        os.write(fd, b"before")
        os.unlink(os.path.join(self.mnt, "f"))
        os.write(fd, b" after")
        self.assertEqual(os.pread(fd, 100, 0), b"before after")
        os.close(fd)
        self.assertEqual(self.kept(), {"f": ["before after"]})

    def test_trees(self):
        os.makedirs(os.path.join(self.mnt, "a/b/c"))
        self.put("a/b/c/f", "deep")
        self.run_in(["rm", "-r", "a"])
        self.assertEqual(os.listdir(self.src), [])
        self.assertEqual(self.kept(), {"f": ["deep"]})

    def test_a_failing_rename_keeps_nothing(self):
        os.mkdir(os.path.join(self.mnt, "d"))
        self.put("d/f", "x")
        self.put("g", "y")
        os.mkdir(os.path.join(self.mnt, "e"))
        with self.assertRaises(OSError):
            os.rename(os.path.join(self.mnt, "e"), os.path.join(self.mnt, "d"))
        with self.assertRaises(OSError):
            os.rename(os.path.join(self.mnt, "g"), os.path.join(self.mnt, "d"))
        self.assertEqual(self.kept(), {})

    def test_names_of_one_file(self):
        self.put("one", "x")
        os.link(os.path.join(self.mnt, "one"), os.path.join(self.mnt, "two"))
        os.rename(os.path.join(self.mnt, "one"), os.path.join(self.mnt, "two"))  # does nothing
        self.assertEqual(sorted(os.listdir(self.src)), ["one", "two"])
        self.assertEqual(self.kept(), {})


class TrashLimits(MountCase):
    """What the options of the trash say of what is kept."""
    policy = """return { name = "keep", file = function(q)
      if q.op == "delete" then return soft_delete { hash = not q.path:find("unhashed", 1, true) } end
      return allow {}
    end }"""

    def prepare(self):
        self.mount.options += ["--trash-hash", "1K", "--trash-count", "3", "--trash-size", "1M"]

    def entries(self):
        done = self.mount.run([self.mount.program, "trash", "list", "--json", "--trash", self.mount.path("trash")], cwd="/")
        return {os.path.basename(e["path"]): e for e in json.loads(done.stdout)}

    def entry(self, name):
        """One of them, with what `show` knows"""
        token = self.entries()[name]["token"]
        done = self.mount.run([self.mount.program, "trash", "show", "--json", "--trash", self.mount.path("trash"), token], cwd="/")
        return json.loads(done.stdout)

    def lose(self, name, text):
        with open(os.path.join(self.mnt, name), "w") as file:
            file.write(text)
        os.unlink(os.path.join(self.mnt, name))

    def test_a_hash_where_it_is_asked_for(self):
        fds = [os.open(os.path.join(self.mnt, "open"), os.O_RDWR | os.O_CREAT) for _ in range(2)]
        os.unlink(os.path.join(self.mnt, "open"))
        self.lose("unhashed", "x")
        for i, fd in enumerate(fds):
            self.assertIsNone(self.entry("open")["sha256"])
            os.pwrite(fd, b"last", 4 * i)
            os.close(fd)
        wait_for("a hash after the last close", lambda: self.entry("open")["sha256"])
        self.assertEqual(self.entry("open")["sha256"], hashlib.sha256(b"lastlast").hexdigest())
        self.assertIsNone(self.entry("unhashed")["sha256"])
        self.lose("big", "x" * 1025)
        self.lose("small", "x" * 1024)
        wait_for("a hash of what is small enough", lambda: self.entry("small")["sha256"])
        self.assertIsNone(self.entry("big")["sha256"])

    def test_the_oldest_goes(self):
        for i in range(6):
            self.lose(f"f{i}", "x")
        wait_for("the newest three alone", lambda: sorted(self.entries()) == ["f3", "f4", "f5"])
        self.mount.stop()
        told = [e for e in self.mount.events() if e["type"] == "trash_purge"]
        self.assertEqual(sorted(os.path.basename(e["path"]) for e in told), ["f0", "f1", "f2"])
        self.assertEqual({e["fields"]["reason"] for e in told}, {"count"})

    def test_what_has_no_room_stays(self):
        with self.assertRaises(OSError) as caught:
            self.lose("huge", "x" * (2 << 20))
        self.assertEqual(caught.exception.errno, errno.ENOSPC)
        self.assertEqual(os.path.getsize(os.path.join(self.src, "huge")), 2 << 20)
        self.mount.stop()
        told = [e for e in self.mount.events() if e["type"] == "trash_full"]
        self.assertEqual([(os.path.basename(e["path"]), e["fields"]["lost"]) for e in told], [("huge", False)])
        self.assertIn("huge: it was not deleted", self.mount.log.replace(self.src, ""))
        self.mount.log = ""


class TrashInside(MountCase):
    """A trash that lies in the source is not there for who uses the mount."""
    policy = KEEP

    def prepare(self):
        self.mount.options = ["--trash", os.path.join(self.mount.src, ".trash")]

    def test_hidden_and_out_of_reach(self):
        path = os.path.join(self.mnt, ".trash")
        with open(os.path.join(self.mnt, "f"), "w") as file:
            file.write("x")
        os.unlink(os.path.join(self.mnt, "f"))
        self.assertEqual(len(os.listdir(os.path.join(self.src, ".trash/files"))), 1)
        self.assertEqual(os.listdir(self.mnt), [])
        self.assertEqual([e.name for e in os.scandir(self.mnt)], [])
        self.assertFalse(os.path.lexists(path))
        with self.assertRaises(FileNotFoundError):
            os.listdir(os.path.join(path, "files"))
        for call, *args in ((os.rmdir, path), (os.rename, path, path + "2"), (os.chmod, path, 0o777)):
            with self.assertRaises(FileNotFoundError):
                call(*args)
        os.mkdir(os.path.join(self.mnt, "d"))
        with self.assertRaises(OSError):
            os.rename(os.path.join(self.mnt, "d"), path)
        with self.assertRaises(OSError):
            os.mkdir(path)
        self.assertEqual(len(os.listdir(os.path.join(self.src, ".trash/files"))), 1)


class NoTrash(MountCase):
    policy = KEEP

    def prepare(self):
        self.mount.options = ["--no-trash"]

    def test_nothing_is_lost_without_one(self):
        with open(os.path.join(self.mnt, "f"), "w") as file:
            file.write("x")
        for call, *args in ((os.unlink, "f"), (os.truncate, "f", 0)):
            with self.assertRaises(PermissionError):
                call(os.path.join(self.mnt, args[0]), *args[1:])
        with open(os.path.join(self.src, "f")) as file:
            self.assertEqual(file.read(), "x")


class Processes(MountCase):
    """Who asks matters, and is never answered from what the kernel kept for somebody else."""
    policy = """return { name = "who", file = function(q)
      if q.path:find("/private", 1, true) and q.process.name ~= "cat" then return deny {} end
      return allow {}
    end }"""

    def prepare(self):
        with open(os.path.join(self.mount.src, "private"), "w") as file:
            file.write("for cat\n")

    def test_by_name(self):
        for _ in range(3):
            self.assertEqual(self.run_in(["cat", "private"]).stdout, "for cat\n")
            self.assertNotEqual(self.run_in(["head", "private"], check=False).returncode, 0)
            self.assertNotEqual(self.run_in(["stat", "private"], check=False).returncode, 0)


class Reloaded(MountCase):
    """Other policies hold at once for what begins after they are in force."""

    def prepare(self):
        with open(os.path.join(self.mount.src, "f"), "w") as file:
            file.write("x")

    def test_a_denial_comes_into_force(self):
        path = os.path.join(self.mnt, "f")
        with open(path) as file:
            self.assertEqual(file.read(), "x")
        with open(self.mount.policy + ".new", "w") as file:
            file.write('return { name = "none", file = function(q) if q.path:find("/f$") then return deny {} end return allow {} end }\n')
        os.rename(self.mount.policy + ".new", self.mount.policy)
        while True:
            try:
                with open(path) as file:
                    file.read()
            except PermissionError:
                break


class RedirectedInPart(MountCase):
    """Opening and making are redirected, looking is not: what is open can be looked at, what is not has no name."""
    policy = """return { name = "away", file = function(q)
      local rest = q.path:match("^/w/out/(.+)$")
      if rest and (q.op == "create" or q.op == "open") then return redirect_path { target = "/w/.scratch/" .. rest } end
      return allow {}
    end }"""
    options = ("--root", "/w")

    @unittest.skipIf(mounted.BY_PATHS, "a path is all that the library passes on, and nothing is there")
    def test_what_is_open_can_be_looked_at(self):
        for name, content in (("out", "original"), (".scratch", "away")):
            os.mkdir(os.path.join(self.src, name))
            with open(os.path.join(self.src, name, "f"), "w") as file:
                file.write(content)
        path = os.path.join(self.mnt, "out", "f")
        with open(path) as file:
            self.assertEqual(file.read(), "away")
            os.unlink(os.path.join(self.src, "out", "f"))
            wait_for("the original's attributes to be forgotten", lambda: os.fstat(file.fileno()).st_size == len("away"))
        wait_for("its name to be gone", lambda: not os.path.exists(path))


class Redirected(MountCase):
    """redirect_path: another place in the source, made as needed; with cow only once somebody writes."""

    def prepare(self):
        with open(self.mount.policy, "w") as file:
            file.write("""return { name = "away", file = function(q)
              local rest = q.path:match("^/w/out/(.+)$")
              if rest then return redirect_path { target = "/w/.scratch/" .. rest } end
              rest = q.path:match("^/w/base/(.+)$")
              if rest then return redirect_path { target = "/w/.copies/" .. rest, cow = true } end
              return allow {}
            end }""")
        self.mount.options += ["--root", "/w"] + (["--allow-other"] if os.getuid() == 0 else [])
        for name in ("out", "base"):
            os.mkdir(os.path.join(self.mount.src, name))
        with open(os.path.join(self.mount.src, "base/f"), "w") as file:
            file.write("original")
        os.chmod(os.path.join(self.mount.src, "base/f"), 0o640)

    def read(self, *names):
        with open(os.path.join(*names)) as file:
            return file.read()

    def test_files_go_elsewhere(self):
        path = os.path.join(self.mnt, "out", "f")
        with open(path, "w") as file:
            file.write("away")
        self.assertEqual(self.read(self.src, ".scratch/f"), "away")
        self.assertEqual(os.listdir(os.path.join(self.src, "out")), [])
        self.assertEqual(self.read(path), "away")
        os.mkdir(os.path.join(self.mnt, "out", "d"))
        with open(os.path.join(self.mnt, "out", "d", "g"), "w") as file:
            file.write("below")
        self.assertEqual(self.read(self.src, ".scratch/d/g"), "below")
        os.unlink(path)
        self.assertEqual(os.listdir(os.path.join(self.src, ".scratch")), ["d"])
        self.mount.stop()
        told = [e for e in self.mount.events() if e["type"] == "path_redirect"]
        self.assertIn("/w/.scratch/f", [e["fields"]["to_path"] for e in told])

    def test_copy_on_write(self):
        path = os.path.join(self.mnt, "base", "f")
        self.assertEqual(self.read(path), "original")
        self.assertFalse(os.path.exists(os.path.join(self.src, ".copies")))
        with open(path, "a") as file:
            file.write(" and more")
        self.assertEqual(self.read(self.src, "base/f"), "original")
        self.assertEqual(self.read(self.src, ".copies/f"), "original and more")
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(self.src, ".copies/f")).st_mode), 0o640)
        self.assertEqual(os.listdir(os.path.join(self.src, ".copies")), ["f"])
        while self.read(path) != "original and more":  # the kernel kept the original's attributes for a second
            pass
        with open(os.path.join(self.mnt, "base", "new"), "w") as file:
            file.write("new")
        self.assertEqual(os.listdir(os.path.join(self.src, "base")), ["f"])
        os.unlink(path)  # the copy
        with self.assertRaises(OSError) as caught:
            os.unlink(path)
        self.assertEqual(errno.errorcode[caught.exception.errno], "EROFS")
        self.assertEqual(self.read(path), "original")

    def test_a_copy_has_what_the_original_has(self):
        base, path = (os.path.join(top, "base", "f") for top in (self.src, self.mnt))
        os.setxattr(base, "user.colour", b"blue")
        self.run_in(["setfacl", "-m", "u:4322:rw", base])
        writer = {}
        if os.getuid() == 0:  # the file is neither root's nor the writer's
            os.chown(base, 4321, 4321)
            os.chmod(self.src, 0o777)  # it makes .copies
            writer = {"user": 4322}
        self.run_in("printf ' and more' >> base/f", shell=True, **writer)
        copy = os.path.join(self.src, ".copies", "f")
        self.assertEqual(self.read(copy), "original and more")
        self.assertEqual(os.getxattr(copy, "user.colour"), b"blue")
        self.assertEqual(os.getxattr(copy, "system.posix_acl_access"), os.getxattr(base, "system.posix_acl_access"))
        self.assertEqual((os.stat(copy).st_uid, os.stat(copy).st_gid), (os.stat(base).st_uid, os.stat(base).st_gid))
        self.assertEqual(self.read(base), "original")

    def test_mv_copies_and_ln_says_why_not(self):
        with open(os.path.join(self.mnt, "f"), "w") as file:
            file.write("here")
        r = self.run_in(["ln", "f", "out/linked"], check=False)
        self.assertEqual(r.returncode, 1)
        self.assertIn("Invalid cross-device link", r.stderr)
        self.run_in(["mv", "f", "out/moved"])
        self.assertEqual(self.read(self.src, ".scratch/moved"), "here")
        self.assertEqual(self.read(self.mnt, "out/moved"), "here")
        self.assertFalse(os.path.lexists(os.path.join(self.src, "f")))
        self.run_in(["mv", "out/moved", "back"])
        self.assertEqual(self.read(self.src, "back"), "here")
        self.assertEqual(os.listdir(os.path.join(self.src, ".scratch")), [])


class Missing(MountCase):
    """What is wrong is said in a sentence."""

    def test_errors(self):
        for args, want in (([self.src + "-none", self.mnt], "-none: No such file"), ([self.src, self.src + "/none"], "No such file"),
                           ([self.mnt], "wanted"), ([os.path.dirname(self.src), self.src], "cannot be seen inside itself")):
            done = subprocess.run([mounted.MOONFENCE, "mount", "--no-trash", "--policy", self.mount.policy, *args],
                                  capture_output=True, text=True, check=False)
            self.assertIn(want, done.stderr)
            self.assertNotEqual(done.returncode, 0)


for case in (Refused, Trash, TrashInside, NoTrash, Processes, RedirectedInPart, Redirected, Reloaded, Missing):
    for who in ("AsRoot", "AsUser"):
        name = who + case.__name__
        globals()[name] = type(name, (case,), {})
    del case

if __name__ == "__main__":
    mounted.main()

# SPDX-License-Identifier: Apache-2.0
"""Real file systems under a mount and under its trash: of every kind, on two devices, full, over quota, read-only, broken. Nobody
loses a byte, what was refused is told of, and what was kept comes back. Root only: images are mounted."""
import errno
import json
import mmap
import os
import stat
import subprocess

import mounted
from devices import Broken, Device
from mounted import KEEP, SLOW, MountCase

OVERWRITTEN_TOO = KEEP.replace('q.op == "rmdir"', 'q.op == "rmdir" or q.op == "write"')
PATTERN = b"".join(b"%07d\n" % i for i in range(1 << 15))  # 256 KiB


def content(i, size):
    """Bytes that tell where they are from"""
    return (b"<%d>" % i + PATTERN * (size // len(PATTERN) + 1))[:size]


class OnDevices(MountCase):
    policy = OVERWRITTEN_TOO
    kind, kind_of_trash = "ext4", None  # None: the trash is on the same device
    size = size_of_trash = 0
    mkfs, mount_options = (), ""
    more_options = ()

    def prepare(self):
        m = self.mount
        self.device = Device(self, m.path("src.img"), m.src, self.kind, self.size, self.mkfs, self.mount_options)
        trash = m.path("src", ".trash")
        if self.kind_of_trash:
            os.mkdir(m.path("away"))
            self.away = Device(self, m.path("away.img"), m.path("away"), self.kind_of_trash, self.size_of_trash)
            trash = m.path("away", "trash")
        m.options[m.options.index("--trash") + 1] = trash
        m.options += ["--session", "s", *self.more_options]
        self.trash = trash
        for path in (m.src, m.path("away") if self.kind_of_trash else m.src):
            if m.user is not None:
                os.chown(path, m.user, m.user)

    def facts(self, at=None):
        """All that a user can tell of the files, by name; not what mkfs made, nor the trash"""
        found = {}
        at = at or self.src
        for where, dirs, files in os.walk(at):
            dirs[:] = [d for d in dirs if d not in ("lost+found", ".trash")]
            for name in dirs + files:
                path = os.path.join(where, name)
                st = os.lstat(path)
                data = target = None
                if stat.S_ISREG(st.st_mode):
                    with open(path, "rb") as file:
                        data = file.read()
                elif stat.S_ISLNK(st.st_mode):
                    target = os.readlink(path)
                xattrs = {n: os.getxattr(path, n) for n in os.listxattr(path, follow_symlinks=False)} if target is None else {}
                found[os.path.relpath(path, at)] = (st.st_mode, st.st_uid, st.st_gid, 0 if stat.S_ISDIR(st.st_mode) else st.st_mtime_ns,
                                                    target, data, xattrs)
        return found

    def left(self):
        """What the trash holds of it, whatever state it is in: files, records and half-made copies"""
        names = []
        for part in ("files", "info", "moonfence"):
            path = os.path.join(self.trash, part)
            names += [n for n in os.listdir(path) if n not in ("writers", "lock") and not n.startswith(".by-")] if os.path.isdir(path) else []
        return names

    def tearDown(self):
        """What the server says of a trash that takes nothing is asked for; of other things it says nothing."""
        self.assertEqual(self.mount.stop(), 0, self.mount.log)
        said = [line for line in self.mount.log.splitlines() if "the trash has no room for " not in line]
        self.assertEqual(said, [])

    def told(self, kind, **want):
        """Events, all of them: it ends the mount"""
        self.mount.stop()
        return [e for e in self.mount.events() if e["type"] == kind
                and all({**e, **e.get("fields", {})}.get(k) == v for k, v in want.items())]

    def trash_list(self):
        done = self.run_in([mounted.MOONFENCE, "trash", "list", "--json", "--trash", self.trash], cwd="/")
        return json.loads(done.stdout)

    def refused(self, function, *args, want=(errno.ENOSPC,)):
        with self.assertRaises(OSError) as caught:
            function(*args)
        self.assertIn(caught.exception.errno, want, errno.errorcode[caught.exception.errno])

    def at(self, *names):
        return os.path.join(self.mnt, *names)

    def put(self, name, data):
        with open(self.at(name), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def overwrite(self, name):
        fd = os.open(self.at(name), os.O_WRONLY)
        try:
            os.pwrite(fd, b"other", 1000)
        finally:
            os.close(fd)


# ---- life ------------------------------------------------------------------------------------------------------------

class Life(OnDevices):
    """A session that loses files in every way, and its undo."""

    def prepare(self):
        super().prepare()
        src = self.mount.src
        os.makedirs(os.path.join(src, "tree/deep/er"))
        for i in range(12):
            path = os.path.join(src, f"tree/deep/f{i}")
            with open(path, "wb") as file:
                file.write(content(i, 1 + i * 9000))
            os.setxattr(path, "user.note", b"%d" % i)
            os.chmod(path, (0o600, 0o644, 0o755, 0o440)[i % 4])
            os.utime(path, ns=(10**18, 10**18 + 12345 * i))
        os.symlink("../f1", os.path.join(src, "tree/deep/er/soft"))
        os.mkfifo(os.path.join(src, "tree/deep/er/fifo"))
        for i, name in enumerate(("replaced", "cut", "emptied", "over", "mapped", "hole")):
            with open(os.path.join(src, name), "wb") as file:
                file.write(content(100 + i, 70000))
                if name == "hole":
                    file.truncate(3 << 20)
                    file.seek(2 << 20)
                    file.write(b"island")

    def test_what_a_session_loses_comes_back(self):
        before = self.facts()
        self.run_in(["rm", "-rf", "tree"])
        self.put("new", b"new")
        os.rename(self.at("new"), self.at("replaced"))
        os.truncate(self.at("cut"), 1000)
        open(self.at("emptied"), "wb").close()
        self.overwrite("over")
        with open(self.at("mapped"), "r+b") as file, mmap.mmap(file.fileno(), 0) as page:
            page[5:8] = b"xyz"
        os.unlink(self.at("hole"))
        self.assertNotEqual(self.facts(), before)
        self.mount.stop()
        self.assertFalse(self.told("trash_full"))
        done = self.run_in([mounted.MOONFENCE, "undo", "--session", "s", "--trash", self.trash], cwd="/")
        self.assertEqual(self.facts(), before, done.stdout + done.stderr)
        with open(os.path.join(self.src, "hole"), "rb") as file:
            self.assertEqual(os.fstat(file.fileno()).st_size, 3 << 20)


class AsRootLifeBtrfs(Life):
    kind = "btrfs"


class AsRootLifeAcross(Life):
    kind_of_trash = "xfs"


if SLOW:
    class AsRootLifeExt4(Life):
        pass

    class AsRootLifeXfs(Life):
        kind = "xfs"

    class AsRootLifeXfsToBtrfs(Life):
        kind, kind_of_trash = "xfs", "btrfs"

    class AsRootLifeBtrfsToExt4(Life):
        kind, kind_of_trash = "btrfs", "ext4"


# ---- no room ---------------------------------------------------------------------------------------------------------

class Full(OnDevices):
    """The trash's device has no room for the copy, and that shows in the middle of it."""
    kind_of_trash = "ext4"
    size_of_trash = 8 << 20

    def prepare(self):
        super().prepare()
        for name, size in (("big", 12 << 20), ("small", 3000)):
            with open(os.path.join(self.mount.src, name), "wb") as file:
                file.write(content(len(name), size))

    def ways(self):
        self.put("new", b"new")
        return ((os.unlink, self.at("big")), (os.rename, self.at("new"), self.at("big")), (os.truncate, self.at("big"), 5000),
                (os.open, self.at("big"), os.O_WRONLY | os.O_TRUNC), (self.overwrite, "big"))


class AsRootFull(Full):
    def test_what_has_no_room_is_refused_and_stays(self):
        ways = self.ways()
        before, left = self.facts(), self.left()
        for function, *args in ways:
            with self.subTest(way=function.__name__):
                self.refused(function, *args)
                self.assertEqual(self.facts(), before)
                self.assertEqual(self.left(), left)
        os.unlink(self.at("small"))  # there is room for that
        self.assertEqual([e["path"] for e in self.trash_list()], [os.path.join(self.src, "small")])
        ops = [e["operation"] for e in self.told("trash_full", lost=False)]
        self.assertEqual(ops, ["delete", "replace", "truncate", "truncate", "overwrite"])

    def test_a_device_that_is_full_to_the_last_block(self):
        self.away.fill()
        before, left = self.facts(), self.left()
        self.refused(os.unlink, self.at("small"))
        self.assertEqual((self.facts(), self.left()), (before, left))
        os.unlink(os.path.join(self.away.at, ".filler"))
        os.unlink(self.at("small"))
        self.assertEqual(len(self.trash_list()), 1)


class AsRootFullDelete(Full):
    more_options = ("--trash-full", "delete")

    def test_what_has_no_room_goes_as_it_was_told(self):
        size = 12 << 20
        self.put("new", b"new")
        os.truncate(self.at("big"), size - 5)
        os.rename(self.at("new"), self.at("big"))
        with open(self.at("big"), "rb") as file:
            self.assertEqual(file.read(), b"new")
        os.unlink(self.at("small"))
        self.assertEqual([e["fields"].get("lost") for e in self.told("trash_full")], [True, True])
        self.assertEqual([e["path"] for e in self.trash_list()], [os.path.join(self.src, "small")])


class FullSource(OnDevices):
    """Source and trash on one device, and that is full to the last block. Deleting is what people do then."""
    size = 24 << 20

    def prepare(self):
        super().prepare()
        for i in range(30):
            with open(os.path.join(self.mount.src, f"f{i}"), "wb") as file:
                file.write(content(i, 40000))

    def test_deleting_where_everything_is_full(self):
        self.device.fill()
        before = self.facts()
        gone, refused = set(), 0
        for i in range(30):
            try:
                os.unlink(self.at(f"f{i}"))
                gone.add(f"f{i}")
            except OSError as e:
                self.assertEqual(e.errno, errno.ENOSPC)
                refused += 1
        self.assertEqual(self.facts(), {n: v for n, v in before.items() if n not in gone})
        self.assertEqual(len(self.told("trash_full", lost=False)), refused)
        os.unlink(os.path.join(self.src, ".filler"))
        if gone:
            self.run_in([mounted.MOONFENCE, "undo", "--session", "s", "--trash", self.trash], cwd="/")
        self.assertEqual({n: v for n, v in before.items() if n != ".filler"}, self.facts())


class AsRootFullSourceExt4(FullSource):
    pass


class AsRootFullSourceXfs(FullSource):
    kind, size = "xfs", 0


if SLOW:
    class AsRootFullSourceBtrfs(FullSource):
        kind, size = "btrfs", 0


# ---- quota -----------------------------------------------------------------------------------------------------------

class AsRootQuota(OnDevices):
    kind_of_trash = "btrfs"

    def prepare(self):
        super().prepare()
        self.away.limit(3 << 20)
        for name, size in (("big", 6 << 20), ("small", 3000)):
            with open(os.path.join(self.mount.src, name), "wb") as file:
                file.write(content(len(name), size))

    def test_the_trash_is_over_its_quota(self):
        before, left = self.facts(), self.left()
        for function, *args in ((os.unlink, self.at("big")), (os.truncate, self.at("big"), 10), (self.overwrite, "big")):
            with self.subTest(way=function.__name__):
                self.refused(function, *args, want=(errno.EDQUOT,))
                self.assertEqual((self.facts(), self.left()), (before, left))
        os.unlink(self.at("small"))
        self.assertEqual([e["path"] for e in self.trash_list()], [os.path.join(self.src, "small")])
        told = self.told("trash_full", lost=False)
        self.assertEqual([e["operation"] for e in told], ["delete", "truncate", "overwrite"])
        self.assertIn("quota", told[0]["fields"]["error"])


# ---- read-only, broken -----------------------------------------------------------------------------------------------

class AsRootReadOnly(OnDevices):
    kind_of_trash = "ext4"

    def prepare(self):
        super().prepare()
        for name in ("one", "two"):
            with open(os.path.join(self.mount.src, name), "wb") as file:
                file.write(content(1, 50000))

    def all_ways(self, want):
        for function, *args in ((os.unlink, self.at("one")), (os.rename, self.at("two"), self.at("one")), (os.truncate, self.at("one"), 7),
                                (self.overwrite, "one")):
            with self.subTest(way=function.__name__):
                self.refused(function, *args, want=want)

    def test_the_source_becomes_read_only(self):
        before, left = self.facts(), self.left()
        self.device.remount("ro")
        self.all_ways((errno.EROFS,))
        self.assertEqual((self.facts(), self.left()), (before, left))
        self.device.remount("rw")
        os.unlink(self.at("one"))
        self.assertEqual([e["path"] for e in self.trash_list()], [os.path.join(self.src, "one")])

    def test_the_trash_becomes_read_only(self):
        """By a fault, that is: the mount holds a file of it open for writing, so that nobody remounts it."""
        before = self.facts()
        os.unlink(self.at("two"))
        self.put("two", content(1, 50000))
        listed = self.trash_list()
        self.away.remount("abort")
        self.all_ways((errno.EROFS,))
        self.assertEqual({n: v[5] for n, v in self.facts().items()}, {n: v[5] for n, v in before.items()})
        self.mount.stop()
        self.assertTrue([e for e in self.mount.events() if e.get("effective_action") == "error" and "Read-only" in e["fields"]["error"]])
        self.away.again()
        self.assertEqual(self.trash_list(), listed)


class AsRootBroken(OnDevices):
    """A device that answers with EIO, and is repaired later."""
    kind_of_trash = "ext4"
    mkfs = ("-O", "^has_journal")  # what is metadata lies in front of it all

    def prepare(self):
        super().prepare()
        for name in ("good", "bad"):
            with open(os.path.join(self.mount.src, name), "wb") as file:
                file.write(content(len(name), 5 << 20))
                os.fsync(file.fileno())

    def forget(self):
        """The pages that the kernel has of the source"""
        subprocess.run(["sync", "-f", self.src], check=True)
        self.device.remount("ro")
        fd = os.open(os.path.join(self.src, "bad"), os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)
        self.device.remount("rw")

    def test_a_file_that_cannot_be_read(self):
        before, left = self.facts(), self.left()
        place = self.device.place_of("bad")
        self.forget()
        with Broken(self.device, place + (1 << 20)):
            for function, *args in ((os.unlink, self.at("bad")), (os.rename, self.at("good"), self.at("bad")),
                                    (os.truncate, self.at("bad"), 10)):
                with self.subTest(way=function.__name__):
                    self.refused(function, *args, want=(errno.EIO,))
                    self.assertEqual(self.left(), left)
        self.forget()
        self.assertEqual(self.facts(), before)
        os.unlink(self.at("bad"))
        self.mount.stop()
        self.assertTrue([e for e in self.mount.events() if e.get("effective_action") == "error" and "Input/output" in e["fields"]["error"]])
        self.run_in([mounted.MOONFENCE, "undo", "--session", "s", "--trash", self.trash], cwd="/")
        self.assertEqual(self.facts(), before)


class AsRootBrokenTrash(OnDevices):
    """The trash's device takes nothing any more: nothing is removed for what did not reach the disk."""
    kind_of_trash = "ext4"

    def prepare(self):
        # The image lies where there is less room than it says.
        m = self.mount
        os.mkdir(m.path("narrow"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", m.path("narrow")], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", m.path("narrow")], check=False)
        os.symlink("narrow/away.img", m.path("away.img"))
        super().prepare()
        with open(os.path.join(m.src, "file"), "wb") as file:
            file.write(content(1, 6 << 20))

    def test_writes_that_fail_on_the_way_to_the_disk(self):
        before = self.facts()
        subprocess.run(["sync", "-f", self.away.at], check=True)
        filler = self.mount.path("narrow", "filler")
        with open(filler, "wb", buffering=0) as file, self.assertRaises(OSError):
            while True:
                file.write(b"x" * 4096)
        for function, *args in ((os.unlink, self.at("file")), (os.truncate, self.at("file"), 10)):
            with self.subTest(way=function.__name__):
                self.refused(function, *args, want=(errno.EIO, errno.ENOSPC, errno.EROFS))
                self.assertEqual(self.facts(), before)
        self.mount.stop()
        said = [e for e in self.mount.events() if e.get("effective_action") == "error" or e["type"] == "trash_full"]
        self.assertTrue(said)


if __name__ == "__main__":
    mounted.main()

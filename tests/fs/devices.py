# SPDX-License-Identifier: Apache-2.0
"""Real file systems on images of their own, for tests that need one that is full, breaks, or is another."""
import fcntl
import os
import shutil
import struct
import subprocess
import unittest

# What mkfs makes at least; images are sparse.
KINDS = {"ext4": (64 << 20, ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,nodiscard"]),
         "xfs": (300 << 20, ["mkfs.xfs", "-q", "-f", "-K"]),
         "btrfs": (128 << 20, ["mkfs.btrfs", "-q", "-f", "-K"])}
FS_IOC_FIEMAP, FIEMAP_FLAG_SYNC = 0xC020660B, 1


class Device:
    """An image in the file `path`, mounted at `at`"""

    def __init__(self, case, path, at, kind="ext4", size=0, mkfs=(), options=""):
        self.path, self.at, self.kind = path, at, kind
        least, command = KINDS[kind]
        command = [*command, *mkfs]
        command[0] = shutil.which(command[0], path="/usr/sbin:/sbin:/usr/bin:/bin")
        if command[0] is None:
            raise unittest.SkipTest(f"no mkfs for {kind} here")
        with open("/proc/filesystems", encoding="ascii") as file:
            if kind not in file.read().split():
                raise unittest.SkipTest(f"this kernel has no {kind}")
        with open(path, "wb") as file:
            file.truncate(size or least)
        subprocess.run([*command, path], check=True, capture_output=True)
        self.mount("loop" + ("," + options if options else ""))
        case.addCleanup(subprocess.run, ["umount", "-l", at], check=False, capture_output=True)

    def mount(self, options):
        done = subprocess.run(["mount", "-t", self.kind, "-o", options, self.path, self.at], capture_output=True, text=True, check=False)
        if done.returncode:
            raise unittest.SkipTest(f"this machine mounts no {self.kind} image: {done.stderr.strip()}")

    def remount(self, options):
        subprocess.run(["mount", "-o", f"remount,{options}", self.at], check=True)

    def again(self):
        """As after a restart"""
        subprocess.run(["umount", self.at], check=True)
        self.mount("loop")

    def fill(self, leave=0):
        """Takes all the room but for `leave` bytes. Return: the file that has it"""
        path = os.path.join(self.at, ".filler")
        fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            for chunk in (1 << 20, 64 << 10, 4 << 10, 512):
                try:
                    while os.write(fd, b"x" * chunk):
                        pass
                except OSError:
                    pass
            os.fsync(fd)
            if leave:
                os.ftruncate(fd, max(os.fstat(fd).st_size - leave, 0))
                os.fsync(fd)
        finally:
            os.close(fd)
        return path

    def place_of(self, name):
        """Where in the image the first byte of a file is"""
        fd = os.open(os.path.join(self.at, name), os.O_RDONLY)
        try:
            ask = bytearray(struct.pack("=QQIIII", 0, 1 << 40, FIEMAP_FLAG_SYNC, 0, 1, 0) + bytes(56))
            fcntl.ioctl(fd, FS_IOC_FIEMAP, ask)
            if struct.unpack_from("=I", ask, 20)[0] != 1:
                raise AssertionError(f"{name} has no extents")
            return struct.unpack_from("=Q", ask, 32 + 8)[0]
        finally:
            os.close(fd)

    def limit(self, bytes_max):
        """No more than so much for all that is in it: a quota of btrfs, which ordinary kernels have and root is bound by"""
        for command in (["quota", "enable", self.at], ["qgroup", "limit", str(bytes_max), self.at]):
            done = subprocess.run(["btrfs", *command], capture_output=True, text=True, check=False)
            if done.returncode:
                raise unittest.SkipTest(f"no quota here: btrfs {command[0]}: {done.stderr.strip()}")


class Broken:
    """The end of a device's image is gone for a while: what lies there is answered with EIO"""

    def __init__(self, device, offset):
        self.device, self.offset = device, offset

    def __enter__(self):
        fd = self.fd = os.open(self.device.path, os.O_RDWR)
        self.size = os.fstat(fd).st_size
        self.tail = os.pread(fd, self.size - self.offset, self.offset)
        os.ftruncate(fd, self.offset)

    def __exit__(self, *_):
        os.pwrite(self.fd, self.tail, self.offset)
        os.fsync(self.fd)
        os.close(self.fd)

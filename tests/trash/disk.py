# SPDX-License-Identifier: Apache-2.0
"""A work directory on a disk of its own, an image that is mounted out of sight; the home trash is on another one."""
import ctypes
import os
import subprocess
import sys
import unittest

from support import Case

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fs"))
from devices import Device  # noqa: E402


def own_mounts():
    """For setUpModule()"""
    if os.getuid() != 0:
        raise unittest.SkipTest("not root: nothing can be mounted")
    if ctypes.CDLL(None).unshare(0x00020000):  # CLONE_NEWNS
        raise unittest.SkipTest("no namespace of mounts can be made here")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


class DiskCase(Case):
    size = 0

    def setUp(self):
        super().setUp()
        self.top = os.path.join(self.base, "disk")
        os.mkdir(self.top)
        self.device = Device(self, os.path.join(self.base, "disk.img"), self.top, size=self.size)
        self.work = os.path.join(self.top, "home/work")
        os.makedirs(self.work)

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""nic_end_test.py MOONFENCE - how moonfence nic-host ends by a signal: QEMU told, its socket gone; and another's socket left alone."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

MOONFENCE = os.path.abspath(sys.argv[1])
WAIT_S = 120
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('there', flush=True); time.sleep(1000)"


def wait_for(check):
    end = time.monotonic() + WAIT_S
    while not check():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.01)


class NicEnd(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="mf-nic-end-")
        self.addCleanup(self.directory.cleanup)
        self.card = os.path.join(self.directory.name, "card")

    def start(self, *command):
        process = subprocess.Popen([MOONFENCE, "nic-host", "--frames", f"{self.card},{self.card}.net", "--", *command],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(lambda: (process.poll() is None and process.kill(), process.wait(), process.stdout.close(), process.stderr.close()))
        return process

    def test_qemu_ends_as_it_was_told_to(self):
        qemu = shutil.which("qemu-system-x86_64")
        if not qemu or b"x-pci-proxy-dev" not in subprocess.run([qemu, "-device", "help"], capture_output=True, check=False).stdout:
            self.skipTest("no QEMU with x-pci-proxy-dev (tools/install-deps.sh guest)")
        for sig in (signal.SIGTERM, signal.SIGINT):
            ready = os.path.join(self.directory.name, f"ready{sig}")
            process = self.start(qemu, "-accel", "tcg", "-m", "64", "-machine", "pc,memory-backend=mem", "-object",
                                 "memory-backend-memfd,id=mem,size=64M,share=on", "-display", "none", "-serial", "none", "-monitor", "none",
                                 "-nic", "none", "-S", "-pidfile", ready)
            wait_for(lambda path=ready: os.path.exists(path) and os.path.getsize(path))  # written when the machine is there
            self.assertTrue(os.path.exists(self.card))
            process.send_signal(sig)
            # by itself, or before it had its handlers: then by the signal that it was passed
            self.assertIn(process.wait(timeout=WAIT_S), (0, 128 + signal.SIGTERM), process.stderr.read())
            self.assertFalse(os.path.exists(self.card))

    def test_a_child_that_does_not_end_is_killed_the_second_time(self):
        process = self.start(sys.executable, "-c", STUBBORN)
        self.assertEqual(process.stdout.readline(), b"there\n")
        process.terminate()
        process.terminate()
        self.assertEqual(process.wait(timeout=WAIT_S), 128 + signal.SIGKILL)
        self.assertFalse(os.path.exists(self.card))

    def test_a_socket_of_somebody_else_stays(self):
        first = self.start(sys.executable, "-c", STUBBORN)
        self.assertEqual(first.stdout.readline(), b"there\n")
        second = self.start(sys.executable, "-c", STUBBORN)
        self.assertEqual(second.wait(timeout=WAIT_S), 125)
        self.assertIn(b"Address already in use", second.stderr.read())
        self.assertTrue(os.path.exists(self.card))
        first.terminate()
        first.terminate()
        first.wait(timeout=WAIT_S)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])

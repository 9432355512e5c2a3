# SPDX-License-Identifier: Apache-2.0
"""What the daemon tells a service manager (sd_notify), at a datagram socket of the test's own."""
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest

from daemon_support import DaemonCase
from support import LAUNCHER, main
from trace_test import WAIT_S, wait_for

POLICY = 'return { name = "p", dns = function(q) return allow {} end }\n'


@unittest.skipIf(LAUNCHER, "Windows has a service manager of its own")
class Notify(DaemonCase):
    def setUp(self):
        super().setUp()
        self.policy = self.write("p.lua", POLICY)

    def set(self, name, value):
        os.environ[name] = value
        self.addCleanup(os.environ.pop, name)

    def listen(self, name):
        """The manager's socket; with a NUL first it has an abstract name."""
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        if sys.platform == "linux":
            manager.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        manager.settimeout(WAIT_S)
        manager.bind(name)
        self.set("NOTIFY_SOCKET", name.replace("\0", "@"))
        return manager

    def told(self, manager, skip=()):
        """The next message but those of @skip as a dictionary, and who sent it."""
        while True:
            text, control, _, _ = manager.recvmsg(4096, socket.CMSG_SPACE(12))
            message = dict(line.split("=", 1) for line in text.decode().splitlines())
            pid = struct.unpack("iII", control[0][2])[0] if control else None
            if not set(message) & set(skip):
                return message, pid

    def check_life(self, manager):
        daemon = self.start(policy=self.policy)
        message, pid = self.told(manager)
        self.assertEqual(message, {"READY": "1", "STATUS": "serving " + daemon.socket})
        self.assertIn(pid, (daemon.pid, None))
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        daemon.send_signal(signal.SIGHUP)
        message = self.told(manager)[0]
        self.assertEqual(message["RELOADING"], "1")
        self.assertTrue(before <= int(message["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000, message)
        self.assertEqual(self.told(manager)[0]["READY"], "1")
        self.assertEqual(self.ask(daemon, "GET", "/v1/health")["generation"], 2)  # it was over when READY came
        self.write("p.lua", "return {")
        daemon.send_signal(signal.SIGHUP)
        self.assertEqual(self.told(manager)[0]["RELOADING"], "1")
        self.assertEqual(self.told(manager)[0]["READY"], "1")  # with the policies that it had
        daemon.terminate()
        self.assertEqual(self.told(manager)[0], {"STOPPING": "1"})
        self.assertEqual(self.end(daemon), 0)
        manager.setblocking(False)
        with self.assertRaises(BlockingIOError):
            manager.recv(1)

    def test_a_socket_with_a_path(self):
        self.check_life(self.listen(os.path.join(self.directory, "notify")))

    @unittest.skipIf(sys.platform != "linux", "abstract names are Linux'")
    def test_a_socket_with_an_abstract_name(self):
        self.check_life(self.listen(f"\0mf-notify-{os.getpid()}-{os.path.basename(self.directory)}"))

    def test_the_watchdog_hears_of_a_loop_that_lives(self):
        manager = self.listen(os.path.join(self.directory, "notify"))
        self.set("WATCHDOG_USEC", "20000")
        daemon = self.start(policy=self.policy)
        self.assertEqual(self.told(manager, skip=("WATCHDOG",))[0]["READY"], "1")
        for _ in range(3):
            self.assertEqual(self.told(manager)[0], {"WATCHDOG": "1"})
        daemon.send_signal(signal.SIGSTOP)
        os.waitpid(daemon.pid, os.WUNTRACED)
        manager.setblocking(False)
        try:
            while manager.recv(4096):
                pass
        except BlockingIOError:
            pass
        with self.assertRaises(BlockingIOError):  # who is stuck says nothing more
            manager.recv(4096)
        manager.settimeout(WAIT_S)
        daemon.send_signal(signal.SIGCONT)
        self.assertEqual(self.told(manager)[0], {"WATCHDOG": "1"})
        daemon.terminate()
        self.assertEqual(self.told(manager, skip=("WATCHDOG",))[0], {"STOPPING": "1"})
        self.assertEqual(self.end(daemon), 0)

    def test_a_watchdog_of_another_process_is_not_ours(self):
        manager = self.listen(os.path.join(self.directory, "notify"))
        self.set("WATCHDOG_USEC", "1000")
        self.set("WATCHDOG_PID", str(os.getpid()))
        daemon = self.start(policy=self.policy)
        self.assertEqual(self.told(manager)[0]["READY"], "1")
        for _ in range(20):
            self.ask(daemon, "GET", "/v1/health")
        self.assertEqual(self.end(daemon), 0)
        self.assertEqual(self.told(manager)[0], {"STOPPING": "1"})

    def test_who_is_started_does_not_speak_for_the_daemon(self):
        manager = self.listen(os.path.join(self.directory, "notify"))
        self.set("WATCHDOG_USEC", "60000000")
        output = os.path.join(self.directory, "out")
        config = self.write("c.yaml", "sessions:\n  - id: s\n    command: [sh, -c, 'env; echo end']\n"
                                      f"    environment: {{GIVEN: here}}\n    output: {output}\n")
        daemon = self.start("-c", config, policy=self.policy)
        self.assertEqual(self.told(manager)[0]["READY"], "1")

        def read():
            with open(output, encoding="utf-8") as file:
                return file.read()
        text = wait_for(lambda: os.path.exists(output) and read().endswith("end\n") and read(), "the session said nothing")
        self.assertIn("GIVEN=here\n", text)
        self.assertNotIn("NOTIFY_SOCKET", text)
        self.assertNotIn("WATCHDOG_USEC", text)
        self.assertEqual(self.end(daemon), 0)

    def test_a_manager_that_is_not_there_is_no_reason_to_end(self):
        self.set("NOTIFY_SOCKET", os.path.join(self.directory, "nobody"))
        daemon = self.start(policy=self.policy)
        self.ask(daemon, "GET", "/v1/health")
        self.assertEqual(self.end(daemon), 0)
        self.assertIn("the service manager cannot be told at", self.daemon_errors())

    @unittest.skipIf(subprocess.run(["sh", "-c", "command -v systemd-analyze"], stdout=subprocess.DEVNULL, check=False).returncode != 0,
                     "systemd-analyze is not here")
    def test_the_unit_with_the_drop_in_for_services_is_good(self):
        units = os.path.join(self.directory, "units")
        os.makedirs(os.path.join(units, "moonfence.service.d"))
        packaging = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../packaging/systemd")
        with open(os.path.join(packaging, "moonfence.service"), encoding="utf-8") as file:
            unit = file.read().replace("/usr/bin/moonfence", "/bin/true").replace("User=moonfence", "User=daemon").replace(
                "Group=moonfence", "Group=daemon")
        self.assertIn("\nType=notify\n", unit)
        with open(os.path.join(units, "moonfence.service"), "w", encoding="utf-8") as file:
            file.write(unit)
        with open(os.path.join(packaging, "services.conf"), encoding="utf-8") as file:
            drop_in = file.read()
        with open(os.path.join(units, "moonfence.service.d/services.conf"), "w", encoding="utf-8") as file:
            file.write(drop_in)
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", os.path.join(units, "moonfence.service")], capture_output=True,
                              timeout=WAIT_S, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, b""))


if __name__ == "__main__":
    main()

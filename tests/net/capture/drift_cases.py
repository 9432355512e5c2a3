# SPDX-License-Identifier: Apache-2.0
"""What is changed behind a session's back ends its traffic, whichever backend it has."""
import errno
import os
import signal
import subprocess
import unittest

from capture_case import Case, DEAD, DEFAULT_GONE, DEFAULT_ROUTE, DEVICE, LIMIT, PYTHON, SLOW, TUN, read, wait_for


class Drift(Case):
    def begin(self, *options):
        loop = (f"import socket, time, os\nopen('{self.folder}/up', 'w').close()\nwhile True:\n  try:\n"
                "    s = socket.create_connection(('93.184.216.34', 80), 1); s.recv(99)\n"
                "  except TimeoutError: pass\n  except OSError: break\n  time.sleep(0.01)\n"
                # the one that broke was under way; the next shows what programs are told from now on
                "try:\n  socket.create_connection(('93.184.216.34', 80), 60); r = 'REACHED'\nexcept OSError as e: r = str(e.errno)\n"
                f"open('{self.folder}/down.new', 'w').write(r)\n"
                f"os.rename('{self.folder}/down.new', '{self.folder}/down')\ntime.sleep(600)")
        s = self.start([PYTHON, "-c", loop], *options)
        wait_for("traffic", lambda: os.path.exists(f"{self.folder}/up") and s.events("flow"))
        return s

    def command_pid(self, s):
        return s.events("flow")[0]["pid"]

    def opener_pid(self, s):
        command = self.command_pid(s)
        parent = int(read(f"/proc/{command}/stat").rsplit(")", 1)[1].split()[1])
        for p in filter(str.isdigit, os.listdir("/proc")):
            fields = read(f"/proc/{p}/stat").rpartition(")")[2].split()
            if fields and int(fields[1]) == parent and int(p) != command:
                return int(p)
        raise AssertionError("no opener")

    def assert_cut(self, s, text):
        event = s.wait_event("drift", text=text)[0]
        wait_for("the end of traffic", lambda: os.path.exists(f"{self.folder}/down"))
        # at once and with a reason
        self.assertIn(read(f"{self.folder}/down"), [str(e) for e in (errno.EACCES, errno.ENETUNREACH, errno.ECONNREFUSED)])
        return event

    def enter(self, s, *argv):
        if os.getuid() != 0:
            self.skipTest("needs root to enter the namespace from outside")
        subprocess.run(["nsenter", "-t", str(self.command_pid(s)), "-n", *argv], check=True)

    # Found by the kernel's message, since the timer is far away.
    NO_TIMER = ("--rescan", "600000")

    def again(self, s):
        """Room for the next session of the same test."""
        s.process.kill()
        s.process.communicate()
        for name in ("up", "down"):
            if os.path.exists(f"{self.folder}/{name}"):
                os.unlink(f"{self.folder}/{name}")

    def test_flushed_rules_end_the_traffic(self):
        s = self.begin(*self.NO_TIMER)
        self.enter(s, "nft", "flush", "ruleset")
        self.assert_cut(s, "nftables rules were changed")

    def test_an_added_rule_table_ends_the_traffic(self):
        s = self.begin(*self.NO_TIMER)
        self.enter(s, "nft", "add", "table", "inet", "leak")
        self.assert_cut(s, "nftables rules were changed")

    def test_a_new_device_ends_the_traffic(self):
        s = self.begin(*self.NO_TIMER)
        self.enter(s, "ip", "link", "add", "mf-leak", "type", "veth", "peer", "name", "mf-leak2")
        self.assert_cut(s, "the device mf-leak")

    def test_a_changed_device_ends_the_traffic(self):
        s = self.begin(*self.NO_TIMER)
        self.enter(s, "ip", "link", "set", "lo", "mtu", "1400")
        self.assert_cut(s, "the device lo was changed")

    def test_a_new_address_ends_the_traffic(self):
        for address in ("10.1.1.1/32", "fd00::9/128"):
            s = self.begin(*self.NO_TIMER)
            self.enter(s, "ip", "addr", "add", address, "dev", "lo")
            self.assert_cut(s, f"the address {address} of device 1 appeared")
            self.again(s)

    def test_a_lost_address_ends_the_traffic(self):
        s = self.begin(*self.NO_TIMER)
        self.enter(s, "ip", "addr", "del", "127.0.0.1/8", "dev", "lo")
        self.assert_cut(s, "the address 127.0.0.1/8 of device 1 is gone")

    def test_a_changed_route_of_any_table_ends_the_traffic(self):
        for family, route, text in (("-4", "unreachable 10.0.0.0/8", "the unreachable route to 10.0.0.0/8 in table 254 appeared"),
                                    ("-6", "blackhole 2001:db8::/32 table 77",
                                     "the blackhole route to 2001:db8::/32 in table 77 appeared")):
            s = self.begin(*self.NO_TIMER)
            self.enter(s, "ip", family, "route", "add", *route.split())
            self.assert_cut(s, text)
            self.again(s)

    def test_a_lost_default_route_ends_the_traffic(self):
        s = self.begin(*self.NO_TIMER)
        self.enter(s, "ip", "route", "del", *DEFAULT_ROUTE.split())
        self.assert_cut(s, DEFAULT_GONE)

    def test_a_new_routing_rule_ends_the_traffic(self):
        for family in ("-4", "-6"):
            s = self.begin(*self.NO_TIMER)
            self.enter(s, "ip", family, "rule", "add", "from", "all", "lookup", "100", "prio", "5")
            self.assert_cut(s, "the routing rule of priority 5 to table 100 appeared")
            self.again(s)

    def test_more_routes_than_can_be_remembered_end_the_traffic(self):
        s = self.begin("--rescan", "50")
        batch = "".join(f"route add unreachable 10.{i // 250}.{i % 250}.0/24\n" for i in range(2000))
        if os.getuid() != 0:
            self.skipTest("needs root to enter the namespace from outside")
        subprocess.run(["nsenter", "-t", str(self.command_pid(s)), "-n", "ip", "-batch", "-"], input=batch, text=True, check=True)
        self.assert_cut(s, "the unreachable route to 10.")

    def test_an_address_that_is_announced_again_is_no_drift(self):
        s = self.begin(*self.NO_TIMER)
        for _ in range(100):
            self.enter(s, "ip", "-6", "addr", "change", "fd6d:6f6f:6e66::2/128", "dev", DEVICE)
        flows = len(s.events("flow"))
        wait_for("more traffic", lambda: len(s.events("flow")) > flows)
        self.assertEqual(s.events("drift"), [])
        # The watch is alive all the same, and tells of what is real.
        self.enter(s, "ip", "addr", "add", "10.1.1.1/32", "dev", "lo")
        self.assert_cut(s, "the address 10.1.1.1/32")

    def test_three_hundred_starts_see_no_drift(self):
        for i in range(60 if TUN and not SLOW else 300):
            # Each second session looks as often as it can, and lives long enough to hear what the kernel says late.
            s, rc, _, err = self.run_in(*([["true"]] if i % 2 else [["sleep", "0.01"], "--rescan", "1"]))
            self.assertEqual((rc, s.events("drift")), (0, []), err)

    def test_a_killed_opener_ends_the_traffic(self):
        s = self.begin()
        os.kill(self.opener_pid(s), signal.SIGKILL)
        self.assert_cut(s, "opener has ended")

    def test_a_stopped_opener_ends_the_traffic(self):
        s = self.begin("--rescan", "50")
        os.kill(self.opener_pid(s), signal.SIGSTOP)
        self.assert_cut(s, "opener does not answer")

    def test_when_moonfence_dies_the_command_is_told_and_background_work_has_no_network(self):
        code = (f"import socket, time, os, signal\nn = []\nsignal.signal(signal.SIGTERM, lambda *a: n.append(1))\n"
                f"open('{self.folder}/up', 'w').write(str(os.getppid()))\nwhile not n: time.sleep(0.01)\n"
                # With threads, descriptors close a moment after the parent's death is told: a SYN may find the device once more.
                f"end = time.monotonic() + {LIMIT // 2}\nr = ''\nwhile not r and time.monotonic() < end:\n"
                "  try:\n    s = socket.create_connection(('93.184.216.34', 80), 2); r = 'REACHED'\n"
                "  except OSError as e: r = str(e.errno) if e.errno else ''\n"
                f"open('{self.folder}/down.new', 'w').write(r); os.rename('{self.folder}/down.new', '{self.folder}/down')")
        s = self.start([PYTHON, "-c", code])
        parent = int(wait_for("the command", lambda: read(f"{self.folder}/up")))
        os.kill(parent, signal.SIGKILL)
        wait_for("the command's last words", lambda: os.path.exists(f"{self.folder}/down"))
        self.assertEqual((read(f"{self.folder}/down"), s.events("drift")), (str(DEAD), []))


@unittest.skipUnless(TUN, "of the TUN device")
class TunDrift(Drift):
    """The device is part of what was built; what it has in common with lo is tested in Drift."""

    def test_a_device_that_goes_down_ends_the_traffic(self):
        s = self.begin(*self.NO_TIMER)
        self.enter(s, "ip", "link", "set", "tun0", "down")
        self.assert_cut(s, "the device tun0 was changed")

    def test_a_changed_mtu_ends_the_traffic(self):
        s = self.begin(*self.NO_TIMER)
        self.enter(s, "ip", "link", "set", "tun0", "mtu", "1400")
        self.assert_cut(s, "the device tun0 was changed")

    def test_a_second_address_of_the_device_ends_the_traffic(self):
        s = self.begin(*self.NO_TIMER)
        self.enter(s, "ip", "addr", "add", "10.1.1.1/32", "dev", "tun0")
        self.assert_cut(s, "the address 10.1.1.1/32 of device 2 appeared")


# Those of Drift itself need not run a second time.
for _name in [n for n in dir(Drift) if n.startswith("test_") and n not in vars(TunDrift)]:
    setattr(TunDrift, _name, None)

# SPDX-License-Identifier: Apache-2.0
"""Firmware's own drivers on our cards: iPXE of Debian's ROMs boots a kernel by HTTP, U-Boot loads a file by TFTP; both through
`moonfence nic-host` and `moonfence vm-net`, whose policy says from where."""
import binascii
import os
import re
import signal
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "net"))

from scenario import Fenced, Scenario, main  # noqa: E402
import guest  # noqa: E402
from event_file import read_event_file  # noqa: E402
from lab import ECHO4  # noqa: E402
from tftp_server import TftpServer  # noqa: E402

LIMIT = 600
ROMS = "/usr/lib/ipxe/qemu"
U_BOOT = "/usr/lib/u-boot/qemu-x86/u-boot.rom"
FILE_SIZE = (2 << 20) + 77

POLICY = f"""return {{
  name = "boot",
  dns = function(q) return allow() end,
  connect = function(c)
    if c.host == "allowed.example" and c.port == 80 then return allow() end
    if c.proto == "udp" and c.ip == "{ECHO4}" and c.port == 69 then return allow() end
    return deny "machines load from allowed.example"
  end,
}}
"""
SCRIPT = """#!ipxe
imgfetch http://denied.example/kernel || echo SAYS-refused
kernel http://allowed.example/kernel console=ttyS0 panic=-1 quiet mitigations=off T_BOOTED=yes initrd=init.cpio
initrd http://allowed.example/init.cpio
boot
"""
INIT = """
say booted $T_BOOTED
"""


class Booted(Scenario):
    model = "e1000"
    net = ()

    @classmethod
    def setUpClass(cls):
        guest.need()
        guest.need_device("x-pci-proxy-dev")
        super().setUpClass()
        cls.folder = cls.lab.path(cls.__name__)
        os.makedirs(cls.folder)
        policy = cls.lab.write(f"{cls.__name__}/policy.lua", POLICY)
        with open(cls.at("vm-net.log"), "wb") as log:
            cls.server = cls.lab.popen([cls.program, "vm-net", "--dgram", cls.at("net"), "--policy", policy, "--events",
                                        cls.at("events.jsonl"), "--verbose", *cls.net], stdout=subprocess.PIPE, stderr=log,
                                       stdin=subprocess.DEVNULL)
        cls.addClassCleanup(cls.server.stdout.close)
        if not cls.server.stdout.readline().startswith(b"machines connect"):
            raise RuntimeError(cls.text("vm-net.log"))

    @classmethod
    def tearDownClass(cls):
        if cls.server.poll() is None:
            cls.end_network()
        super().tearDownClass()

    @classmethod
    def end_network(cls):
        cls.server.send_signal(signal.SIGTERM)
        status = cls.server.wait(60)
        assert status == 0, f"vm-net ended with {status}: {cls.text('vm-net.log')}"
        return Fenced(subprocess.CompletedProcess([], 0, "", ""), read_event_file(cls.at("events.jsonl")))

    @classmethod
    def at(cls, name):
        return os.path.join(cls.folder, name)

    @classmethod
    def text(cls, name):
        with open(cls.at(name), errors="replace") as f:
            return f.read()

    def start(self, *qemu, stdin=subprocess.DEVNULL):
        with open(self.at("console"), "wb") as out, open(self.at("card"), "wb") as err:
            return self.lab.popen([self.program, "nic-host", "--counts", "--verbose", "--model", self.model, "--frames",
                                   f"{self.at('frames')},{self.at('net')}", "--", *guest.machine(*qemu)], stdin=stdin,
                                  stdout=out, stderr=err)

    def wait(self, p):
        try:
            return p.wait(LIMIT)
        except subprocess.TimeoutExpired:
            p.terminate()
            p.wait(60)
            self.fail(f"not ended after {LIMIT} seconds\n{self.told()}")

    def told(self):
        return self.text("console") + self.text("card") + self.text("vm-net.log")

    def card_is_well(self):
        counts = guest.counts(self.text("card"))
        for name in ("tx_lost", "tx_bad", "rx_bad", "bad_ring", "bad_descriptor", "bad_offload", "bad_access"):
            self.assertEqual(counts.get(name), 0, f"{name}\n{self.told()}")


class Ipxe(Booted):
    # iPXE takes a unique local address (RFC 4193) for no destination outside, and asks IPv6's name server where there is one.
    net = ("--boot-file", "http://allowed.example/start.ipxe", "--no-ipv6")
    rom = None

    def boots(self):
        rom = os.path.join(ROMS, self.rom)
        if not os.path.exists(rom):
            self.skipTest(f"no {rom} (tools/install-deps.sh guest)")
        for source, name in ((guest.kernel(), "kernel"), (guest.make_initramfs(self.folder, "init", INIT, []), "init.cpio")):
            target = self.lab.path(f"www/{name}")
            if not os.path.exists(target):
                with open(source, "rb") as f, open(target, "wb") as t:
                    t.write(f.read())
                os.chmod(target, 0o644)
        self.lab.write("www/start.ipxe", SCRIPT)
        self.assertEqual(self.wait(self.start("-machine", "graphics=off", "-option-rom", rom, "-boot", "n")), 0, self.told())
        self.assertEqual(guest.said(self.text("console")), {"booted": "yes", "end": ""}, self.told())
        self.card_is_well()
        events = self.end_network()
        self.assertTrue(events.find("net_connect", domain="denied.example", policy__effective_decision="deny"), events)
        self.assertTrue(events.find("net_connect", domain="allowed.example", policy__effective_decision="allow"), events)


class IpxeE1000(Ipxe, unittest.TestCase):
    rom = "pxe-e1000.rom"

    def test_it_boots_a_kernel_by_http(self):
        self.boots()


class IpxeVirtio(Ipxe, unittest.TestCase):
    model = "virtio-net"
    rom = "pxe-virtio.rom"

    def test_it_boots_a_kernel_by_http(self):
        self.boots()


class UBoot(Booted):
    net = ("--boot-server", ECHO4, "--boot-file", "loaded")

    def test_it_loads_a_file_whose_crc_is_right(self):
        if not os.path.exists(U_BOOT):
            self.skipTest(f"no {U_BOOT} (tools/install-deps.sh guest)")
        data = os.urandom(FILE_SIZE)
        with open(self.at("loaded"), "wb") as f:
            f.write(data)
        self.addCleanup(TftpServer(self.lab, self.folder, ECHO4).close)
        p = self.start("-bios", U_BOOT, stdin=subprocess.PIPE)
        lines = ["", "setenv autoload no", "dhcp", "tftpboot 0x2000000 ${bootfile}",
                 "crc32 0x2000000 ${filesize}", "echo SAYS finished"]
        try:
            self.talk(p, lines)
        finally:
            p.terminate()
            p.stdin.close()
            p.wait(60)
        m = re.search(r"crc32 for \w+ \.\.\. \w+ ==> (\w+)", self.text("console"))
        self.assertEqual(m and m[1], f"{binascii.crc32(data):08x}", self.told())
        self.card_is_well()

    def talk(self, p, lines):
        """Send a line whenever a prompt has come."""
        end = time.monotonic() + LIMIT
        sent, stopped = 0, False
        while True:
            text = self.text("console")
            if p.poll() is not None or time.monotonic() > end:
                self.fail(self.told())
            if "Hit any key" in text and not stopped:
                p.stdin.write(b"\n")
                p.stdin.flush()
                stopped = True
            prompts = text.count("\n=> ")
            if prompts > sent:
                if sent == len(lines):
                    return
                p.stdin.write(lines[sent].encode() + b"\n")
                p.stdin.flush()
                sent += 1
            time.sleep(0.05)


if __name__ == "__main__":
    main()

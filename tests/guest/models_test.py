# SPDX-License-Identifier: Apache-2.0
"""A stock Debian kernel's own drivers, e1000.ko and virtio_net.ko, on our cards (`moonfence nic-host`), in our network
(`moonfence vm-net`), under a policy, between the lab's servers. A machine boots once for a class and does all of its table; each
test looks at a line of it."""
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "net"))

from scenario import Fenced, Scenario, main  # noqa: E402
import guest  # noqa: E402
from event_file import read_event_file  # noqa: E402
from lab import ECHO4, ECHO6  # noqa: E402

LIMIT = 900  # seconds until a machine that hangs is ended
SIZE = 64 << 20
PIECE = 4 << 20
PINGS = (0, 1, 56, 1472, 1473, 4000, 8000)
VLAN = 5
# Whatever of these a card counts, its driver and it do not understand one another.
NEVER = ("tx_lost", "tx_bad", "rx_bad", "bad_ring", "bad_descriptor", "bad_offload", "bad_access")

BEGIN = r"""
load $(echo $T_DRIVERS | tr , ' ')
[ ! -e /sys/bus/virtio ] || say features $(cat /sys/bus/virtio/devices/virtio0/features)
say driver-mtu $(cat /sys/class/net/eth0/mtu)
ip link set eth0 up
lease first
say mtu $(cat /sys/class/net/eth0/mtu)
[ -z "$T_PAIRS" ] || say pairs $(/sbin/ethtool -L eth0 combined $T_PAIRS 2>&1)
say offloads $(/sbin/ethtool -k eth0 | sed -n 's/^\(rx-checksumming\|tx-checksumming\|tcp-segmentation-offload\|.tx-tcp6-segmentation\|rx-vlan-filter\): \(on\|off\).*/\1=\2/p')
"""
# What the shortened table has, too.
COMMON = r"""
say dns $(get -o /dev/null -w '%{remote_ip}' http://allowed.example/)
slaac
say address6 $(ip -6 addr show dev eth0 scope global | sed -n 's/.*inet6 \([^ ]*\).*/\1/p')
say route6 $(ip -6 route show default)
say mtu6 $(cat /proc/sys/net/ipv6/conf/eth0/mtu)
cp /etc/resolv.conf /tmp/by-dhcp
rdisc6 -1 -w 20000 eth0 > /tmp/ra
rdnss=$(sed -n 's/.*Recursive DNS server *: *\([^ ]*\).*/\1/p' /tmp/ra)
say rdnss $rdnss
echo nameserver $rdnss > /etc/resolv.conf
say page6 $(get -6 -o /dev/null -w '%{remote_ip}' http://allowed.example/)
say get6 $(hash_of -6 http://echo.example:8000/)
cp /tmp/by-dhcp /etc/resolv.conf
get -4 -o /tmp/f http://echo.example:8000/; say get4 $(sha256sum /tmp/f | cut -c1-64)
say put4 $(get -4 -T /tmp/f http://echo.example:8000/)
for n in $(echo $T_PINGS | tr , ' '); do
  ping -c 1 -W 60 -s $n 10.0.2.2 >/dev/null && say ping4-$n well
  ping6 -c 1 -W 60 -s $n fd6d:6f6f:6e67::2 >/dev/null && say ping6-$n well
done
# beyond the router: whom a policy lets them
for n in 0 1472 8000; do
  ping -c 1 -W 60 -s $n allowed.example >/dev/null && say far4-$n well
  ping6 -c 1 -W 60 -s $n allowed.example >/dev/null && say far6-$n well
done
ping -c 1 -W 3 cdn-bad.example >/dev/null; say far-denied $?
"""
# The driver's own: every register's bits, the EEPROM's checksum, an interrupt of each kind, frames through the PHY's loopback.
SELF_TEST = r"""
say self-test $(/sbin/ethtool -t eth0 offline 2>&1 | tr -s '\t ()' ' ')
lease fourth
"""
POLICY = r"""
# what a policy says
say denied $(get http://cdn-bad.example/)
say denied-name $(/usr/bin/wget -T 100 -t 1 -O - http://denied.example/ 2>&1 | tail -1)
/usr/bin/wget -q -T 100 -t 1 --no-check-certificate -O - https://cdn-bad.example/ >/dev/null 2>&1; say denied-tls $?
say rewritten $(/usr/bin/wget -q -T 100 -t 1 --no-check-certificate -O - https://api.vendor.example/ 2>&1)
say redirected $(/usr/bin/wget -q -T 100 -t 1 -O - http://registry.npm.example/ 2>&1)
say allowed $(/usr/bin/wget -q -T 100 -t 1 --no-check-certificate -O - https://allowed.example/ 2>&1)

"""
FULL = r"""
say put6 $(get -6 -T /tmp/f http://echo.example:8000/)

# eight at a time, four each way
head -c $T_PIECE /tmp/f > /tmp/piece
for i in 1 2 3 4; do
  (h=$(get -r 0-$((T_PIECE - 1)) http://allowed.example/guest.bin | sha256sum | cut -c1-64); say down-$i $h > /tmp/down-$i) &
  (say up-$i $(get -T /tmp/piece http://echo.example:8000/) > /tmp/up-$i) &
done
wait
cat /tmp/down-* /tmp/up-*
say interrupts $(sed -n 's/^ *[0-9]*: *\([0-9]*\) .*\(virtio[0-9]-.*\|eth0\)$/\2=\1/p' /proc/interrupts)

"""
END = r"""
# the size of frames changes under a device that is in use
for n in 1280 1000 3000 1500; do
  ip link set eth0 mtu $n && ping -c 1 -W 60 -s 2000 10.0.2.2 >/dev/null && say mtu-$n $(get -T /tmp/piece http://echo.example:8000/)
done

# a VLAN, with frames of up to 9,000 bytes; the other end is a kernel, too
load $(echo $T_VLAN_DRIVERS | tr , ' ')
ip link set eth0 mtu 9000
ip link add link eth0 name eth0.$T_VLAN type vlan id $T_VLAN
ip link set eth0.$T_VLAN up
ip addr add 10.$T_VLAN.0.2/24 dev eth0.$T_VLAN
for n in 0 1472 8900; do ping -c 1 -W 60 -s $n 10.$T_VLAN.0.1 >/dev/null && say vlan-ping-$n well; done
say vlan-get $(hash_of http://10.$T_VLAN.0.1:8000/$T_PIECE)
say vlan-put $(get -T /tmp/piece http://10.$T_VLAN.0.1:8000/)
ping -c 1 -W 1 10.$T_VLAN.0.99 >/dev/null
ip link del eth0.$T_VLAN
ip link set eth0 mtu 1500

# away and back
ip link set eth0 down; ip link set eth0 up
lease second
say after-down $(get -T /tmp/piece http://echo.example:8000/)
ip link set eth0 down
unload $(echo $T_UNLOAD | tr , ' ') && say unloaded
virtio_pci_with=$T_AGAIN_WITH
load $(echo $T_DRIVERS | tr , ' ')
ip link set eth0 up
lease third
[ ! -e /sys/bus/virtio ] || say features-again $(cat /sys/bus/virtio/devices/virtio0/features)
say after-reload $(get -T /tmp/piece http://echo.example:8000/)
"""


class Networked(Scenario):
    """vm-net, the lab's servers, and the folder of a class."""

    net = ()  # options of vm-net
    drivers = "e1000"
    script = BEGIN + COMMON + POLICY
    variables = {}
    qemu = ()

    @classmethod
    def setUpClass(cls):
        guest.need()
        super().setUpClass()
        make_peer(cls)
        cls.folder = cls.lab.path(cls.__name__)
        os.makedirs(cls.folder)
        cls.begin_network()
        try:
            cls.boot()
        finally:
            cls.end_network()

    @classmethod
    def at(cls, name):
        return os.path.join(cls.folder, name)

    @classmethod
    def spawn(cls, name, cmd, ready, **kwargs):
        with open(cls.at(f"{name}.log"), "wb") as log:
            p = cls.lab.popen(cmd, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, **kwargs)
        line = p.stdout.readline()
        if not line.startswith(ready):
            raise RuntimeError(f"{name}: {line} {cls.log(name)}")
        cls.addClassCleanup(p.stdout.close)
        return p

    @classmethod
    def text(cls, name):
        with open(cls.at(name), errors="replace") as f:
            return f.read()

    @classmethod
    def log(cls, name):
        return cls.text(f"{name}.log")

    @classmethod
    def begin_network(cls):
        policy = cls.at("policy.lua")
        with open(cls.policy) as f:
            cls.lab.write(policy, f.read())
        cls.server = cls.spawn("vm-net", [cls.program, "vm-net", "--dgram", cls.at("net"), "--socket", cls.at("wire"), "--policy",
                                          policy, "--events", cls.at("events.jsonl"), "--metrics", cls.at("metrics"), "--verbose",
                                          *cls.net], b"machines connect")

    @classmethod
    def end_network(cls):
        cls.server.send_signal(signal.SIGTERM)
        cls.server_status = cls.server.wait(60)
        cls.events = Fenced(subprocess.CompletedProcess([], 0, "", ""), read_event_file(cls.at("events.jsonl")))
        cls.metrics = cls.text("metrics")

    @classmethod
    def command(cls, boot):
        """Of a machine that boots as `boot` says."""
        raise NotImplementedError

    @classmethod
    def boot(cls):
        initramfs = guest.make_initramfs(cls.folder, "init", cls.script, ["vlan", cls.drivers])
        modules = guest.DRIVERS[cls.drivers]
        words = {"DRIVERS": ",".join(modules), "UNLOAD": ",".join(reversed(modules)),
                 "VLAN_DRIVERS": ",".join(guest.DRIVERS["vlan"]), "VLAN": VLAN, "PIECE": PIECE,
                 "PINGS": ",".join(str(n) for n in PINGS), **cls.variables}
        with open(cls.at("console"), "wb") as out, open(cls.at("card"), "wb") as err:
            p = cls.lab.popen(cls.command([*guest.machine(*cls.qemu), *guest.linux(initramfs, **words)]), stdout=out, stderr=err,
                              stdin=subprocess.DEVNULL)
        try:
            cls.status = p.wait(LIMIT)
        except subprocess.TimeoutExpired:
            p.terminate()
            cls.status = f"not ended after {LIMIT} seconds: {p.wait(60)}"
        os.unlink(initramfs)
        cls.console, cls.card_log = cls.text("console"), cls.text("card")
        cls.said, cls.counts = guest.said(cls.console), guest.counts(cls.card_log)

    def says(self, **want):
        for key, value in want.items():
            key = key.replace("_", "-")
            self.assertEqual(self.said.get(key), value, f"{key}\n{self.console}\n{self.card_log}\n{self.log('vm-net')}")

    def has(self, key, pattern):
        self.assertRegex(self.said.get(key, ""), pattern, f"{key}\n{self.console}\n{self.log('vm-net')}")


class Carded(Networked):
    """A machine with one of our cards, and the switch with a VLAN between it and vm-net."""

    card = ()  # options of nic-host

    @classmethod
    def setUpClass(cls):
        guest.need()
        guest.need_device("x-pci-proxy-dev")
        if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
            raise unittest.SkipTest("/dev/net/tun may not be opened here")
        super().setUpClass()

    @classmethod
    def begin_network(cls):
        super().begin_network()
        place = cls.lab._holder(mounts=False)
        cls.addClassCleanup(place.stdout.close)
        address = f"10.{VLAN}.0.1"
        cls.switch = cls.spawn("switch", [sys.executable, "-B", os.path.join(HERE, "vlan_switch.py"), cls.at("switch"),
                                          cls.at("net"), cls.at("own"), "far", str(VLAN), "9000", address], b"ready", where=place)
        cls.spawn("vlan-peer", [sys.executable, "-B", os.path.join(HERE, "peer.py"), cls.lab.path("www/guest.bin"), "8000",
                                address], b"ready", where=place)

    @classmethod
    def end_network(cls):
        cls.switch.send_signal(signal.SIGTERM)
        cls.seen = json.loads(cls.switch.stdout.readline())
        super().end_network()

    @classmethod
    def command(cls, boot):
        return [cls.program, "nic-host", "--counts", "--verbose", "--frames", f"{cls.at('frames')},{cls.at('switch')}", *cls.card,
                "--", *boot]


def make_peer(cls):
    """The file, and the servers that give it and take it back: once for all classes."""
    if hasattr(Scenario, "digest"):
        return
    data = os.urandom(SIZE)
    path = cls.lab.path("www/guest.bin")
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, 0o644)
    p = cls.lab.popen([sys.executable, "-B", os.path.join(HERE, "peer.py"), path, "8000", ECHO4, ECHO6],
                      where=cls.lab.internet, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    if p.stdout.readline() != b"ready\n":
        raise RuntimeError("peer.py did not start")
    Scenario.digest = hashlib.sha256(data).hexdigest()
    Scenario.piece = hashlib.sha256(data[:PIECE]).hexdigest()


def features(bits):
    """Of a virtio device, as sysfs has them."""
    return {name: int(bits[n]) for name, n in (("VERSION_1", 32), ("MQ", 22), ("PACKED", 34), ("MTU", 3))}


def queues(text):
    """Interrupts of each queue: "virtio0-input.0=12 ..."."""
    return {m[1]: int(m[2]) for m in re.finditer(r"virtio0-((?:in|out)put\.\d)=(\d+)", text)}


class Table:
    """What every card and driver must do."""

    mtu = 1500       # that the machine has after its DHCP
    driver_mtu = 1500  # before

    def test_the_machine_comes_to_its_end(self):
        self.assertEqual((self.status, self.said.get("end")), (0, ""), self.console + self.card_log)
        self.assertNotIn("kernel", self.said, self.console)
        self.assertNotIn("failed", self.said, self.console)
        self.assertEqual(self.server_status, 0, self.log("vm-net"))

    def test_no_error_is_counted(self):
        if self.counts:  # else it is QEMU's card
            self.assertEqual({name: self.counts[name] for name in NEVER}, dict.fromkeys(NEVER, 0), self.card_log)
            self.assertGreater(self.counts["tx_frames"], 1000)

    def test_dhcp_and_mtu(self):
        self.says(first=f"ip=10.0.2.15 router=10.0.2.2 dns=10.0.2.3 mtu={self.mtu}", mtu=str(self.mtu),
                  driver_mtu=str(self.driver_mtu), mtu6=str(self.mtu))

    def test_names(self):
        self.says(dns="11.0.0.80")

    def test_ipv6(self):
        self.has("address6", r"^fd6d:6f6f:6e67:1:")
        self.has("route6", r"via fe80::2")
        self.says(rdnss="fd6d:6f6f:6e67::3", page6="2a0f:77::80", get6=self.digest)

    def test_64_mib_each_way(self):
        self.says(get4=self.digest, put4=self.digest)

    def test_pings_beyond_the_router(self):
        for n in (0, 1472, 8000):
            self.says(**{f"far4_{n}": "well", f"far6_{n}": "well"})
        self.says(far_denied="1")
        for domain, action in (("allowed.example", "allowed"), ("cdn-bad.example", "blocked")):
            self.assertTrue(self.events.find("net_connect", domain=domain, fields__proto="icmp", effective_action=action), domain)

    def test_what_ends_its_connections(self):
        self.assertEqual([e["fields"]["backend"] for e in self.events.find("transparent_net_setup")],
                         ["lwip" if "lwip" in self.net else "tproxy"])

    def test_a_policy_denies(self):
        self.has("denied", "cdn-bad is out")
        self.has("denied-name", "unable to resolve host")
        self.assertNotIn(self.said.get("denied-tls"), (None, "0"), self.console)
        self.assertTrue(self.events.find("net_connect", domain="cdn-bad.example", source="nic",
                                         policy__effective_decision="deny"))
        self.assertTrue(self.events.find("dns_query", domain="denied.example", policy__effective_decision="deny"))

    def test_a_policy_redirects_and_rewrites_the_name(self):
        self.says(rewritten="server=llm host=api.vendor.example sni=llm.corp.example port=8443",
                  redirected="server=llm host=registry.npm.example sni= port=80",
                  allowed="server=web host=allowed.example sni=allowed.example port=443")

    def test_it_joined_and_left(self):
        joined, left = self.events.find("guest_joined"), self.events.find("guest_left")
        self.assertEqual([e["fields"]["address"] for e in joined + left], ["10.0.2.15"] * 2)
        self.assertEqual(joined[0]["fields"]["prefix"], "fd6d:6f6f:6e67:1::/64")
        self.assertEqual(left[0]["fields"]["mac"], joined[0]["fields"]["mac"])
        self.assertGreater(left[0]["fields"]["bytes_sent"], SIZE)
        self.assertGreater(left[0]["fields"]["bytes_received"], 2 * SIZE)
        sent = re.search(rf'moonfence_guest_bytes_total{{guest="{joined[0]["fields"]["mac"]}",direction="from_guest"}} (\d+)', self.metrics)
        self.assertEqual(int(sent[1]) if sent else None, left[0]["fields"]["bytes_sent"], self.metrics)


class FullTable(Table):
    def test_upload_by_ipv6(self):
        self.says(put6=self.digest)

    def test_pings(self):
        for n in PINGS:
            self.says(**{f"ping4_{n}": "well", f"ping6_{n}": "well"})

    def test_eight_streams(self):
        for i in range(1, 5):
            self.says(**{f"down_{i}": self.piece, f"up_{i}": self.piece})

    def test_other_mtus(self):
        self.says(**{f"mtu_{n}": self.piece for n in (1280, 1000, 3000, 1500)})

    def test_a_vlan_with_jumbo_frames(self):
        self.says(vlan_ping_0="well", vlan_ping_1472="well", vlan_ping_8900="well", vlan_get=self.piece, vlan_put=self.piece)
        self.assertGreater(self.seen["longest_to_card"], 8900)
        self.assertGreater(self.seen["longest_from_card"], 8900)

    def test_another_vlan_is_filtered_by_the_card(self):
        self.assertGreaterEqual(self.counts["rx_filtered"], 3, self.card_log)

    def test_down_and_up(self):
        lease = f"ip=10.0.2.15 router=10.0.2.2 dns=10.0.2.3 mtu={self.mtu}"
        self.says(second=lease, after_down=self.piece)

    def test_the_driver_goes_and_comes(self):
        lease = f"ip=10.0.2.15 router=10.0.2.2 dns=10.0.2.3 mtu={self.mtu}"
        self.says(unloaded="", third=lease, after_reload=self.piece)


class E1000(Carded, FullTable, unittest.TestCase):
    """The machine is told a smaller MTU by DHCP and by advertisements; what it leaves to the card to cut goes to the network whole."""

    card = ("--large-frames",)

    script = BEGIN + COMMON + FULL + POLICY + END + SELF_TEST
    net = ("--mtu", "1400")
    mtu = 1400

    def test_the_drivers_own_test(self):
        self.has("self-test", "PASS.*Register test offline 0.*Eeprom test offline 0.*Interrupt test offline 0.*Loopback test offline 0"
                              ".*Link test on/offline 0")
        self.says(fourth="ip=10.0.2.15 router=10.0.2.2 dns=10.0.2.3 mtu=1400")


class VirtioNet(Carded, FullTable, unittest.TestCase):
    """Two pairs of queues, frames of 64 KiB to the network; and the driver comes back as one from before virtio 1.0."""

    script = BEGIN + COMMON + FULL + POLICY + END
    card = ("--model", "virtio-net", "--queues", "2", "--large-frames")
    drivers = "virtio"
    variables = {"AGAIN_WITH": "force_legacy=1", "PAIRS": 2}

    def test_features(self):
        self.assertEqual(features(self.said["features"]), {"VERSION_1": 1, "MQ": 1, "PACKED": 0, "MTU": 0}, self.console)
        self.assertEqual(features(self.said["features-again"]), {"VERSION_1": 0, "MQ": 1, "PACKED": 0, "MTU": 0}, self.console)

    def test_both_pairs_work(self):
        self.assertEqual({q: n for q, n in queues(self.said["interrupts"]).items() if not n}, {}, self.console)
        self.assertEqual(len(queues(self.said["interrupts"])), 4, self.console)

    def test_segmentation_is_left_to_the_network(self):
        self.assertGreater(self.seen["longest_untagged"], 9100)


class Packed(Carded, Table, unittest.TestCase):
    """Packed rings, a card that is modern only, and jumbo frames, which the driver, DHCP and advertisements tell of."""

    card = ("--model", "virtio-net", "--queues", "2", "--packed", "--modern", "--mtu", "4000")
    net = ("--mtu", "4000", "--stack", "lwip")
    drivers = "virtio"
    variables = {"PAIRS": 2}
    mtu = driver_mtu = 4000

    def test_features(self):
        self.assertEqual(features(self.said["features"]), {"VERSION_1": 1, "MQ": 1, "PACKED": 1, "MTU": 1}, self.console)


class Own(Networked):
    """QEMU's own card, with its frames in a socket."""

    device = "e1000"

    @classmethod
    def setUpClass(cls):
        guest.need()
        guest.need_network(cls.wire)
        super().setUpClass()

    @classmethod
    def command(cls, boot):
        return [*boot, "-device", f"{cls.device},netdev=n0,romfile=,mac=52:54:00:4d:46:02", "-netdev",
                {"stream": f"stream,id=n0,server=off,addr.type=unix,addr.path={cls.at('wire')}",
                 "dgram": f"dgram,id=n0,local.type=unix,local.path={cls.at('own')},remote.type=unix,"
                          f"remote.path={cls.at('net')}"}[cls.wire]]


class QemuE1000ByStream(Own, Table, unittest.TestCase):
    """With lwIP, names, both families, 64 MiB each way and all."""

    wire = "stream"
    net = ("--stack", "lwip")


class QemuVirtioByDatagrams(Own, Table, unittest.TestCase):
    wire = "dgram"
    device = "virtio-net-pci,host_mtu=1400"
    drivers = "virtio"
    net = ("--mtu", "1400")
    mtu = driver_mtu = 1400


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Guests' downloads and uploads: `moonfence vm-net` beside passt and slirp, our network cards beside QEMU's, in one run.

  wire       one guest with three equal cards of QEMU's (virtio-net, or e1000): one leads to slirp (-netdev user), one to passt, one
             to moonfence vm-net with a policy that allows (both -netdev stream). They take turns within that guest.
  e1000, virtio  one guest with two cards: ours by moonfence nic-host, whose frames go to vm-net, and QEMU's own of the same kind
             with slirp

The guest is a stock Debian kernel under TCG; its curl fetches and puts zeros over HTTP. The server, which takes the time, is in
another namespace behind a veth pair, the same for all. Figures: Mbit/s by who and direction, and processor time of a network's own
process per MB (QEMU's with slirp includes the guest). As root, or where user namespaces are allowed; packages: tools/install-deps.sh guest.
"""
import argparse, json, os, shutil, socket, statistics, subprocess, sys, tempfile, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../tests/guest"))
import guest  # noqa: E402  (tests/guest/guest.py: what boots a guest)

SERVER, HOST, PORT = "11.0.0.80", "11.0.0.2", 8000
POLICY = """
return { name = "bench", dns = function(q) return allow() end, connect = function(c) return allow() end }
"""
MACS = {"slirp": "52:54:00:00:01:01", "passt": "52:54:00:00:01:02", "moonfence": "52:54:00:00:01:03"}
# What DHCP would say, without its time.
ADDRESSES = {"slirp": ("10.0.2.15/24", "10.0.2.2"), "passt": (f"{HOST}/24", SERVER), "moonfence": ("10.0.2.15/24", "10.0.2.2")}
KINDS = {"e1000": ("e1000", "e1000"), "virtio": ("virtio-net-pci", "virtio")}
SCRIPT = r"""
case $T_KIND in virtio) load virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci failover net_failover virtio_net;; *) load e1000;; esac
dd if=/dev/zero of=/tmp/zeros bs=65536 count=$((T_BYTES / 65536)) 2>/dev/null
use() { # its address and a route by it, and nobody else's
  for d in /sys/class/net/*; do
    d=${d##*/}; [ $d = lo ] && continue
    ip addr flush dev $d; ip link set $d down
    [ "$(cat /sys/class/net/$d/address)" = $1 ] && dev=$d
  done
  ip link set $dev up; ip addr add $2 dev $dev; ip route add default via $3 dev $dev
}
turn() {
  use $2 $3 $4
  i=0; until get -o /dev/null http://SERVER/$1/0; do i=$((i + 1)); [ $i -lt 20 ] || { say failed $1; return; }; usleep 200000; done
  get -o /dev/null http://SERVER/$1/$T_BYTES || say failed $1
  get -o /dev/null -H Expect: -T /tmp/zeros http://SERVER/$1/up || say failed $1
}
TURNS
"""


def sh(*argv, **kw):
    return subprocess.run(argv, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kw).stdout


def serve():
    """In the other namespace: GET /WHO/BYTES, PUT /WHO/up. Says "WHO direction Mbit/s" for each that was whole."""
    zeros = bytes(1 << 20)
    said = threading.Lock()

    def one(s):
        data = b""
        while b"\r\n\r\n" not in data:
            more = s.recv(65536)
            if not more:
                return
            data += more
        head, rest = data.split(b"\r\n\r\n", 1)
        method, path = head.split()[:2]
        _, who, what = path.decode().split("/")
        begun = time.monotonic()
        if method == b"GET":
            want = left = int(what)
            s.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % want)
            while left:
                left -= s.send(zeros[:min(left, len(zeros))])
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass
        else:
            want = left = int(next(line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")))
            left -= len(rest)
            into = memoryview(bytearray(1 << 20))
            while left > 0:
                n = s.recv_into(into)
                if not n:
                    return
                left -= n
            s.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        if want:
            with said:
                print(who, "download" if method == b"GET" else "upload", want * 8 / 1e6 / (time.monotonic() - begun), flush=True)

    def handle(s):
        try:
            one(s)
        except OSError:
            pass
        s.close()

    listener = socket.create_server((SERVER, PORT), backlog=16)
    print("ready", flush=True)
    while True:
        threading.Thread(target=handle, args=(listener.accept()[0],), daemon=True).start()


class Bench:
    def __init__(self, args):
        self.args, self.procs, self.samples, self.failed = args, [], {}, set()
        self.dir = tempfile.mkdtemp(prefix="vm-bench-")
        os.chmod(self.dir, 0o755)
        self.moonfence = os.path.join(args.build, "cli/moonfence")

    def path(self, name):
        return os.path.join(self.dir, name)

    def spawn(self, argv, wait=None, **kw):
        p = subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, **kw)
        self.procs.append(p)
        if wait is not None and wait not in p.stdout.readline():
            raise RuntimeError(f"{argv[0]} did not start")
        return p

    def setup(self):
        sh("ip", "link", "set", "lo", "up")
        net = self.spawn(["unshare", "--net", "sh", "-c", "echo up; exec sleep infinity"], "up")
        inside = ["nsenter", f"--net=/proc/{net.pid}/ns/net", "--"]
        sh("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", str(net.pid))
        for prefix, addr in (([], HOST), (inside, SERVER)):
            for c in ("link set lo up", f"addr add {addr}/24 dev eth0", "link set eth0 up"):
                sh(*prefix, "ip", *c.split())
        sh("ip", "route", "add", "default", "via", SERVER)
        self.server = self.spawn([*inside, sys.executable, os.path.abspath(__file__), "--serve"], "ready")
        resolv = self.path("resolv.conf")
        with open(resolv, "w") as f:
            f.write(f"nameserver {SERVER}\n")
        sh("mount", "--bind", resolv, os.path.realpath("/etc/resolv.conf"))
        with open(self.path("bench.lua"), "w") as f:
            f.write(POLICY)
        threading.Thread(target=self.read_server, daemon=True).start()

    def read_server(self):
        for line in self.server.stdout:
            who, direction, rate = line.split()
            self.samples.setdefault(f"{self.mode}, {direction} (Mbit/s)", {}).setdefault(who, []).append(float(rate))

    def vm_net(self, *place):
        return self.spawn([self.moonfence, "vm-net", *place, "--policy", self.path("bench.lua"), *self.args.more], "machines connect")

    def passt(self, path):
        p = self.spawn(["passt", "--foreground", "--quiet", "--runas", "0", "--no-map-gw", "-s", path], stderr=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while not os.path.exists(path):
            if p.poll() is not None or time.monotonic() > end:
                raise RuntimeError("passt did not start")
            time.sleep(0.02)
        return p

    def boot(self, mode, kind, who, nets, prefix=()):
        """A guest with these networks; each of @who is measured --rounds times."""
        self.mode = mode
        turns = []
        for r in range(self.args.rounds):
            turns += [f"turn {w} {MACS[w]} {' '.join(ADDRESSES[w])}" for w in (who if r % 2 == 0 else who[::-1])]
        script = SCRIPT.replace("TURNS", "\n".join(turns)).replace("SERVER", f"{SERVER}:{PORT}")
        init = guest.make_initramfs(self.dir, mode, script, [KINDS[kind][1]], programs=["/usr/bin/curl"])
        command = [*prefix, *guest.machine(*guest.linux(init, KIND=kind, BYTES=str(self.args.mib << 20)), *nets)]
        r = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                           timeout=120 + 90 * self.args.rounds)
        said = guest.said(r.stdout)
        end = time.monotonic() + 10
        while any(len(self.samples.get(f"{mode}, {way} (Mbit/s)", {}).get(w, [])) < self.args.rounds for way in ("download", "upload")
                  for w in who) and time.monotonic() < end:
            time.sleep(0.05)
        for way in ("download", "upload"):
            for w in who:
                if len(self.samples.get(f"{mode}, {way} (Mbit/s)", {}).get(w, [])) < self.args.rounds:
                    self.failed.add(f"{mode}: {way} by {w} did not end")
        if "end" not in said:
            raise RuntimeError(f"{mode}: the guest did not end: {r.stdout[-600:]} {r.stderr[-600:]}")
        if self.args.verbose:
            print(r.stdout, r.stderr, file=sys.stderr)
        if "failed" in said:
            self.failed.add(f"{mode}: {said['failed']}")

    def wire(self, kind):
        model = KINDS[kind][0]
        sockets = {"passt": self.path("passt.sock"), "moonfence": self.path("vm.sock")}
        procs, who = [self.vm_net("--socket", sockets["moonfence"])], ["slirp", "moonfence"]
        if shutil.which("passt"):
            procs.append(self.passt(sockets["passt"]))
            who.append("passt")
        nets = []
        for w in who:
            nets += ["-netdev", f"stream,id={w},server=off,addr.type=unix,addr.path={sockets[w]}" if w in sockets else f"user,id={w}",
                     "-device", f"{model},netdev={w},mac={MACS[w]},romfile="]
        self.boot(f"wire-{kind}", kind, who, nets)
        self.end(procs)

    def card(self, kind):
        ours, net = self.path("card"), self.path("net")
        p = self.vm_net("--dgram", net)
        nets = ["-netdev", "user,id=slirp", "-device", f"{KINDS[kind][0]},netdev=slirp,mac={MACS['slirp']},romfile=,addr=0x6"]
        self.boot(f"card-{kind}", kind, ["slirp", "moonfence"], nets,
                  [self.moonfence, "nic-host", "--model", "e1000" if kind == "e1000" else "virtio-net", "--mac", MACS["moonfence"],
                   "--frames", f"{ours},{net}", *self.args.host, "--"])
        self.end([p])

    def end(self, procs):
        for p in procs:
            p.terminate()
            try:
                p.wait(20)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
            self.procs.remove(p)

    def stop(self):
        for p in reversed(self.procs):
            p.kill()
            p.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def report(self):
        if self.args.json:
            print(json.dumps({"rows": self.samples, "failed": sorted(self.failed)}))
            return
        for what, by in self.samples.items():
            line = f"{what:34}" + "".join(f"  {w} {statistics.median(v):.0f}" for w, v in by.items())
            for peer in ("slirp", "passt"):
                ratios = [a / b for a, b in zip(by.get("moonfence", []), by.get(peer, []))]
                line += f"  {statistics.median(ratios):.2f} x {peer}" if ratios else ""
            print(line)
        for why in sorted(self.failed):
            print("failed:", why)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("what", nargs="*", help="wire-virtio, wire-e1000, card-virtio, card-e1000 (default: all)")
    ap.add_argument("--json", action="store_true")
    ap.add_argument("--rounds", type=int, default=4)
    ap.add_argument("--mib", type=int, default=64, help="of one transfer")
    ap.add_argument("--build", default=os.path.join(HERE, "../../build/release"))
    ap.add_argument("--more", action="append", default=[], help="further option of moonfence vm-net")
    ap.add_argument("--host", action="append", default=[], help="further option of moonfence nic-host")
    ap.add_argument("--verbose", action="store_true")
    ap.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = ap.parse_args()
    if args.serve:
        serve()
    if not os.environ.get("VM_BENCH_INSIDE"):
        os.environ["VM_BENCH_INSIDE"] = "1"
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        os.execvp("unshare", ["unshare", *user, "--net", "--mount", "--kill-child", "--fork", sys.executable, *sys.argv])
    args.build = os.path.realpath(args.build)
    b = Bench(args)
    try:
        b.setup()
        for what in args.what or ["wire-virtio", "wire-e1000", "card-virtio", "card-e1000"]:
            part, kind = what.split("-")
            try:
                getattr(b, part)(kind)
            except (RuntimeError, subprocess.TimeoutExpired) as e:
                b.failed.add(f"{what}: {e}")
    finally:
        b.stop()
    b.report()
    return 0 if b.samples else 1


sys.exit(main())

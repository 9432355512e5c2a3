#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Captured traffic through a TUN device: moonfence beside slirp4netns and pasta, in one run.

Two namespaces, joined by a veth pair: "host", where every program runs, and "net" with the servers. Each program gives a
client a network of its own (slirp4netns and pasta their tap device, moonfence its session) and carries its connections to
the server. iperf3 measures throughput from the client to the server, bench_relay_load the time of a request and its
response (1 KiB each). The programs take turns, the order is turned round every other round.

Figures: throughput in Gbit/s by device MTU and number of streams; the added time of a request and response, which is its
median less that of a client without any fence. As root, or where unprivileged user namespaces and /dev/net/tun allow it.
"""
import argparse, json, os, re, shutil, statistics, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
SERVER, HOST = "11.0.0.80", "11.0.0.2"
# To the session's programs the gateway of slirp4netns and pasta is nobody: SERVER is reached by its own address.
IPERF, ECHO = 5201, 7003
POLICY = """
return { name = "bench", dns = function(q) return allow() end, connect = function(c) return allow() end }
"""


class Failed(Exception):
    pass


def sh(*argv, **kw):
    return subprocess.run(argv, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kw).stdout


class Bench:
    def __init__(self, args):
        self.args, self.procs, self.failed = args, [], {}
        self.dir = tempfile.mkdtemp(prefix="tun-bench-")
        os.chmod(self.dir, 0o755)
        self.load = os.path.join(args.build, "bench/relay/bench_relay_load")
        self.moonfence = os.path.join(args.build, "cli/moonfence")
        self.samples = {}

    # -- the place ---------------------------------------------------------------------------------------------------

    def spawn(self, argv, wait=None, **kw):
        p = subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, **kw)
        self.procs.append(p)
        if wait is not None and wait not in p.stdout.readline():
            raise Failed(f"{argv[0]} did not start")
        return p

    def holder(self, *more):
        return self.spawn(["unshare", "--net", *more, "sh", "-c", "echo up; exec sleep infinity"], "up")

    def in_net(self, *argv):
        return ["nsenter", f"--net=/proc/{self.net.pid}/ns/net", "--", *argv]

    def setup(self):
        sh("ip", "link", "set", "lo", "up")
        self.net = self.holder()
        sh("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", str(self.net.pid))
        sh("ip", "addr", "add", f"{HOST}/24", "dev", "eth0")
        sh("ip", "link", "set", "eth0", "up")
        sh("ip", "route", "add", "default", "via", SERVER)
        for c in ("link set lo up", f"addr add {SERVER}/24 dev eth0", "link set eth0 up"):
            sh(*self.in_net("ip", *c.split()))
        self.procs.append(subprocess.Popen(self.in_net("iperf3", "-s"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        self.spawn(self.in_net(self.load, "server", str(ECHO)), "ready")
        probe = f"import socket; socket.create_connection(('{SERVER}', {IPERF}), 5).close()"
        for _ in range(200):
            if subprocess.run([sys.executable, "-c", probe], stderr=subprocess.DEVNULL).returncode == 0:
                break
            time.sleep(0.02)
        self.policy = os.path.join(self.dir, "bench.lua")
        with open(self.policy, "w") as f:
            f.write(POLICY)
        # Nobody needs the machine's resolvers here.
        resolv = os.path.join(self.dir, "resolv.conf")
        with open(resolv, "w") as f:
            f.write(f"nameserver {SERVER}\n")
        sh("mount", "--bind", resolv, os.path.realpath("/etc/resolv.conf"))

    # -- ways for a client: a prefix for its command -----------------------------------------------------------------

    def direct(self, mtu):
        return [], None

    def slirp4netns(self, mtu):
        ns = self.holder()
        r, w = os.pipe()
        p = subprocess.Popen(["slirp4netns", "--configure", f"--mtu={mtu}", f"--ready-fd={w}", str(ns.pid), "tap0"],
                             pass_fds=(w,), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        os.close(w)
        self.procs.append(p)
        ready = os.read(r, 1)
        os.close(r)
        if not ready:
            raise Failed(p.communicate()[1].strip().split("\n")[-1])
        return ["nsenter", f"--net=/proc/{ns.pid}/ns/net", "--"], [p, ns]

    def pasta(self, mtu):
        # In a user namespace of its own, as it is used: it refuses to run as root.
        ns = self.spawn(["unshare", "--user", "--map-root-user", "--net", "sh", "-c", "echo up; exec sleep infinity"], "up")
        p = subprocess.Popen(["pasta", "--config-net", "--mtu", str(mtu), "--foreground", "--quiet", "--no-map-gw", "-t", "none", "-u",
                              "none", "-T", "none", "-U", "none", "--runas", "0", str(ns.pid)],
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.procs.append(p)
        prefix = ["nsenter", f"--net=/proc/{ns.pid}/ns/net", f"--user=/proc/{ns.pid}/ns/user", "--preserve-credentials", "--"]
        deadline = time.monotonic() + 10
        while subprocess.run(prefix + ["ping", "-c1", "-W1", SERVER], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL).returncode:
            route = subprocess.run(prefix + ["ip", "route"], text=True, capture_output=True).stdout
            if "default" in route:
                break
            if p.poll() is not None or time.monotonic() > deadline:
                raise Failed((p.stderr.read() if p.poll() is not None else "no route").strip().split("\n")[-1])
            time.sleep(0.02)
        return prefix, [p, ns]

    def tun(self, mtu):
        return [self.moonfence, "run", "--capture", "tun", "--mtu", str(mtu), *self.args.more, "--policy", self.policy,
                "--"], None

    def tproxy(self, mtu):
        return [self.moonfence, "run", "--capture", "tproxy", "--policy", self.policy, "--"], None

    def end(self, procs):
        for p in procs or []:
            p.kill()
            p.communicate()
            self.procs.remove(p)

    # -- measuring ---------------------------------------------------------------------------------------------------

    def record(self, what, who, value):
        self.samples.setdefault(what, {}).setdefault(who, []).append(value)

    def iperf(self, prefix, streams, reverse):
        # iperf3 knows whole seconds only, and 0 as for ever
        out = json.loads(sh(*prefix, "iperf3", "-c", SERVER, "-J", "-P", str(streams), "-t", str(max(round(self.args.seconds), 1)), *(["-R"] if reverse else []), timeout=60))
        if "error" in out:
            raise Failed(out["error"])
        return out["end"]["sum_received"]["bits_per_second"] / 1e9

    def one(self, who, mtu, what):
        prefix, procs = getattr(self, who)(mtu)
        try:
            if what == "rr":
                out = sh(*prefix, self.load, "rr", SERVER, str(ECHO), "1", str(self.args.seconds), timeout=60).split()
                self.record(f"request/response, MTU {mtu} (us)", who, float(out[2]))
                self.record(f"its 99th percentile, MTU {mtu} (us)", who, float(out[3]))
                return
            for streams in (1, 8):
                for reverse in ((False, True) if self.args.reverse else (False,)):
                    name = f"{'download' if reverse else 'upload'}, MTU {mtu}, {streams} stream{'s' * (streams > 1)} (Gbit/s)"
                    self.record(name, who, self.iperf(prefix, streams, reverse))
        finally:
            self.end(procs)

    def measure(self):
        who = [w for w in self.args.who if w in ("direct", "tun", "tproxy") or shutil.which(w)]
        for r in range(self.args.rounds):
            for what in self.args.what:
                for mtu in self.args.mtu:
                    for w in who if r % 2 == 0 else who[::-1]:
                        if w in self.failed:
                            continue
                        try:
                            self.one(w, mtu, what)
                        except (Failed, subprocess.TimeoutExpired) as e:
                            self.failed[w] = str(e)
                        except subprocess.CalledProcessError as e:
                            self.failed[w] = (e.stderr or e.stdout or str(e)).strip().split("\n")[-1]
                            print(e.stdout[-300:], e.stderr[-300:], file=sys.stderr)

    def stop(self):
        for p in reversed(self.procs):
            p.kill()
            p.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def report(self):
        rows = {}
        for what, by in self.samples.items():
            rows[what] = by
            if what.startswith("request/response") and "direct" in by:
                rows["added by " + what] = {w: [a - b for a, b in zip(v, by["direct"])] for w, v in by.items() if w != "direct"}
        if self.args.json:
            print(json.dumps({"rows": rows, "failed": self.failed}))
            return
        who = [w for w in self.args.who if any(w in by for by in rows.values())]
        print(f"{'':44}" + "".join(f"{w:>13}" for w in who) + "     tun/slirp  tun/pasta")
        for what, by in rows.items():
            m = {w: statistics.median(by[w]) for w in who if by.get(w)}
            line = f"{what:44}" + "".join(f"{m[w]:13.2f}" if w in m else f"{'':13}" for w in who)
            for peer in ("slirp4netns", "pasta"):
                # On a busy machine a fence can seem to add nothing in some round.
                ratios = [a / b for a, b in zip(by.get("tun", []), by.get(peer, [])) if b]
                line += f"{statistics.median(ratios):11.2f}" if ratios else f"{'':11}"
            print(line)
        for w, why in self.failed.items():
            print(f"{w}: {why}")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--json", action="store_true")
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--seconds", type=float, default=1.0)
    ap.add_argument("--mtu", type=int, action="append")
    ap.add_argument("--who", action="append", help="direct, slirp4netns, pasta, tun, tproxy")
    ap.add_argument("--what", action="append", choices=["bulk", "rr"])
    ap.add_argument("--reverse", action="store_true", help="also from the server to the client")
    ap.add_argument("--build", default=os.path.join(HERE, "../../build/release"))
    ap.add_argument("--more", action="append", default=[], help="further option of moonfence run")
    args = ap.parse_args()
    args.build = os.path.realpath(args.build)
    args.mtu = args.mtu or [65520, 1500]
    args.who = args.who or ["direct", "slirp4netns", "pasta", "tun", "tproxy"]
    args.what = args.what or ["bulk", "rr"]
    if not os.environ.get("TUN_BENCH_INSIDE"):
        os.environ["TUN_BENCH_INSIDE"] = "1"
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        os.execvp("unshare", ["unshare", *user, "--net", "--mount", "--kill-child", "--fork", sys.executable, *sys.argv])
    b = Bench(args)
    try:
        b.setup()
        b.measure()
    finally:
        b.stop()
    b.report()
    return 1 if "tun" in b.failed else 0


sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures moonfence's proxies and HAProxy as transparent TCP relays, alternating in one run.

Inside a fresh network namespace P (run.sh made it) are the server, on an address of P's loopback, and one proxy at a
time; a second namespace C holds the clients. A veth pair joins them; TPROXY hands what comes from C to the proxy, which
dials the original destination. Both proxies have one thread.
"""
import argparse, json, os, platform, re, resource, signal, statistics, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
SERVER = "11.0.0.80"
# The port chooses the proxy (TPROXY rule); both are ports where TLS is usual, for the same inspection.
PORTS = {"moonfence": (7001, 8443), "haproxy": (7002, 443), "direct": (7003, 7003)}
LISTEN = {"moonfence": 15001, "haproxy": 15002}


def sh(cmd, **kw):
    return subprocess.run(cmd, shell=True, check=True, text=True, stdout=subprocess.PIPE, **kw).stdout


def haproxy_config(splice):
    opts = {"always": "  option splice-request\n  option splice-response\n", "auto": "  option splice-auto\n", "never": ""}
    return f"""
global
  nbthread 1
  maxconn {(min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 120000) - 2500) // 2}
  maxpipes 1000
defaults
  mode tcp
  timeout connect 5s
  timeout client 300s
  timeout server 300s
{opts[splice]}
frontend plain
  bind :{LISTEN["haproxy"]} transparent
  tcp-request inspect-delay 5s
  acl tls dst_port 443
  tcp-request content accept if !tls
  tcp-request content accept if tls {{ req.ssl_hello_type 1 }} {{ req.ssl_sni -m end .vendor.example }}
  tcp-request content reject if tls {{ req.ssl_hello_type 1 }}
  default_backend orig
backend orig
  server s 0.0.0.0
"""


class Bench:
    def __init__(self, args):
        self.args, self.tmp = args, tempfile.mkdtemp(prefix="relay-bench-")
        self.load = os.path.join(args.build, "bench/relay/bench_relay_load")
        self.host = args.host or os.path.join(args.build, "bench/relay/bench_relay_host")
        self.procs, self.results = {}, {}

    def spawn(self, name, argv, wait=None, **kw):
        p = subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, **kw)
        self.procs[name] = p
        if wait and wait not in (line := p.stdout.readline()):
            sys.exit(f"{name} did not start: {line}")
        return p

    def in_c(self, *argv):
        return ["nsenter", f"--net=/proc/{self.c.pid}/ns/net", "--", *argv]

    def setup(self):
        sh("ip link set lo up")
        self.c = self.spawn("C", ["unshare", "--net", "sh", "-c", "echo up; read x"], "up")
        sh(f"ip link add p0 type veth peer name c0 && ip link set c0 netns {self.c.pid}")
        sh(f"ip addr add 10.9.0.2/30 dev p0 && ip link set p0 up && ip addr add {SERVER}/32 dev lo")
        sh(" ".join(self.in_c("sh", "-c", '"ip link set lo up; ip addr add 10.9.0.1/30 dev c0; ip link set c0 up; '
                              'ip route add default via 10.9.0.2; sysctl -qw net.ipv4.ip_local_port_range=\'1024 65000\' '
                              'net.ipv4.tcp_tw_reuse=1"')))
        sh("sysctl -qw net.ipv4.ip_local_port_range='16384 65000' net.ipv4.tcp_tw_reuse=1 net.core.somaxconn=4096")
        sh("ip rule add fwmark 1 lookup 100 && ip route add local default dev lo table 100")
        rules = "table ip bench { chain pre { type filter hook prerouting priority mangle;\n"
        for who in LISTEN:
            ports = ", ".join(str(p) for p in PORTS[who])
            rules += f'iifname "p0" tcp dport {{ {ports} }} tproxy to :{LISTEN[who]} meta mark set 1 accept\n'
        sh("nft -f -", input=rules + "}\n}\n")
        ports = sorted({str(p) for v in PORTS.values() for p in v})
        self.spawn("server", [self.load, "server", *ports], "ready")
        cfg = os.path.join(self.tmp, "haproxy.cfg")
        open(cfg, "w").write(haproxy_config(self.args.haproxy_splice))
        self.spawn("haproxy", ["haproxy", "-db", "-q", "-f", cfg])
        self.spawn("moonfence", [self.host, os.path.join(HERE, "policy.lua"), str(LISTEN["moonfence"]),
                                 f"api.vendor.example={SERVER}", f"www.server.example={SERVER}"][:4 if self.args.one_name else 5],
                   "ready")
        for _ in range(200):
            r = subprocess.run(self.in_c(self.load, "conn", SERVER, "443", "1", "0.02"), capture_output=True)
            if r.returncode == 0 and f":{LISTEN['haproxy']}" in sh("ss -ltn"):
                return
            if self.procs["haproxy"].poll() is not None:
                break
            time.sleep(0.02)
        sys.exit("HAProxy did not start")

    def client(self, what, who, *more):
        port = PORTS[who][1 if what == "conn" else 0]
        out = sh(" ".join(self.in_c(self.load, what, SERVER, str(port), *[str(m) for m in more])))
        return [float(x) for x in out.split()[1:]]

    def cpu(self, who):
        """CPU seconds that a proxy has used, user and system, from the scheduler's own account (ns)."""
        return int(open(f"/proc/{self.procs[who].pid}/schedstat").read().split()[0]) / 1e9 if who in LISTEN else 0.0

    def timed(self, row, unit, what, who, *more):
        """One client run: its figure, and what an operation cost the proxy, which other load on the machine moves less."""
        before, start = self.cpu(who), time.monotonic()
        v = self.client(what, who, *more)[0]
        spent = self.cpu(who) - before
        self.record(f"{row} ({unit})", who, v)
        if who in LISTEN:
            done = more[1] / 1024 if what == "bulk" else v * (time.monotonic() - start)
            self.record(f"  CPU of the proxy ({'ms per GiB' if what == 'bulk' else 'us each'})", who,
                        spent / done * (1e3 if what == "bulk" else 1e6), row)

    def record(self, row, who, value, under=""):
        self.results.setdefault((under, row) if under else (row, ""), {}).setdefault(who, []).append(value)

    def measure(self):
        a = self.args
        who = ["moonfence", "haproxy"] + (["direct"] if a.direct else [])
        for r in range(a.rounds):
            for w in who if r % 2 == 0 else who[::-1]:
                for n in (1, 4):
                    self.timed(f"bulk, {n} connection{'s' * (n > 1)}", "Gbit/s", "bulk", w, n, a.mib)
                for n in (1, 64):
                    self.timed(f"1 KiB request/response, {n} connection{'s' * (n > 1)}", "/s", "rr", w, n, a.seconds)
                self.timed("new connections with SNI inspection", "/s", "conn", w, 64, a.seconds)

    def rss(self, who):
        pid = self.procs[who].pid
        if self.procs[who].poll() is not None:
            sys.exit(f"{who} ended with {self.procs[who].returncode}")
        text = open(f"/proc/{pid}/smaps_rollup").read()
        return int(re.search(r"Private_Dirty:\s+(\d+)", text).group(1)) * 1024

    def heap(self):
        p = self.procs["moonfence"]
        p.send_signal(signal.SIGUSR1)
        m = re.match(r"heap (\d+) open (\d+)", p.stdout.readline())
        return int(m.group(1)), int(m.group(2))

    def memory(self):
        n = self.args.idle
        for who in ("moonfence", "haproxy"):
            before, heap = self.rss(who), self.heap()[0] if who == "moonfence" else 0
            p = self.spawn("idle", self.in_c(self.load, "idle", SERVER, str(PORTS[who][0]), str(n)), "idle")
            self.record("private memory per idle connection (bytes)", who, (self.rss(who) - before) / n)
            if who == "moonfence":
                now, opened = self.heap()
                self.record("heap per idle connection (bytes)", who, (now - heap) / max(opened, 1))
            p.stdin.close()
            p.wait()
            time.sleep(0.3)

    def stop(self):
        for p in self.procs.values():
            p.kill()
            p.wait()

    def report(self):
        rows = []
        for (under, row), v in self.results.items():
            row, of = (row, under) if row else (under, None)
            m, h = statistics.median(v["moonfence"]), statistics.median(v["haproxy"]) if "haproxy" in v else None
            rows.append({"what": row, "of": of, "moonfence": round(m, 2), "haproxy": h and round(h, 2),
                         "direct": round(statistics.median(v["direct"]), 2) if "direct" in v else None,
                         "ratio": h and round(m / h, 3), "samples": v})
        info = {"machine": platform.platform(), "cpus": os.cpu_count(), "rounds": self.args.rounds,
                "haproxy": sh("haproxy -v").split("\n")[0], "haproxy_splice": self.args.haproxy_splice, "rows": rows}
        if self.args.json:
            print(json.dumps(info))
            return
        print(f"{info['machine']}, {info['cpus']} CPUs; {info['haproxy']}, splice {self.args.haproxy_splice}; "
              f"medians of {self.args.rounds}")
        print(f"{'':48}{'moonfence':>12}{'haproxy':>12}{'ratio':>8}{'direct':>12}")
        for r in rows:
            print(f"{r['what']:48}{r['moonfence']:>12}{r['haproxy'] or '':>12}{r['ratio'] or '':>8}{r['direct'] or '':>12}")


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--json", action="store_true")
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--seconds", type=float, default=1.0)
    ap.add_argument("--mib", type=int, default=1024)
    ap.add_argument("--idle", type=int, default=5000)
    ap.add_argument("--direct", action="store_true", help="also without any proxy")
    ap.add_argument("--one-name", action="store_true")
    ap.add_argument("--build", default=os.path.join(HERE, "../../build/release"))
    ap.add_argument("--host", help="another bench_relay_host")
    ap.add_argument("--haproxy-splice", choices=["always", "auto", "never"], default="auto")
    ap.add_argument("--only", choices=["speed", "memory"])
    b = Bench(ap.parse_args())
    try:
        b.setup()
        if b.args.only != "memory":
            b.measure()
        if b.args.only != "speed":
            b.memory()
    finally:
        b.stop()
    b.report()


main()

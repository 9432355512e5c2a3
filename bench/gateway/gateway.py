#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures `moonfence gateway` on loopback beside a minimal Node proxy (ws, net), websockify and dnsdist's DoH, by turns in one run.

  gateway.py [tcp] [mux] [dns] [idle] [busy] [--json] [--rounds N]

tcp   /tcp: bytes down and up, 1 KiB messages there and back, 1 and 64 connections
mux   /tcp-mux: floods of 1,000 streams
dns   DoH, GET of an answer from the cache, TLS, HTTP/1.1 (wrk) and HTTP/2 (h2load)
idle  resident memory of a session that says nothing, with and without TLS
busy  100 connections with 1 KiB messages, alone and beside 10,000 that are idle

The measured server has a processor of its own, clients and the servers behind share the other. What stands beside each rate is the server's
processor time per unit: with so few processors the rate may be its client's.

Everything listens in a network namespace of its own (made here), so that no port of the machine is taken.
"""
import argparse, base64, json, os, re, shutil, statistics, struct, subprocess, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from beside import Beside, cpu_of, sh, tree  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
ECHO, FLOOD, SINK, EVEN, DNS = 4430, 4431, 4432, 4433, 4453
PORTS = {"moonfence": 5001, "node": 5002, "websockify": 5003, "moonfence-tls": 5011, "dnsdist": 5012,
         "idle": 5021, "idle tls": 5022, "idle tcp": 5023}
NAME = "cached.example"
QUERY = base64.urlsafe_b64encode(struct.pack(">HHHHHH", 0, 0x100, 1, 0, 0, 0) + b"".join(
    bytes([len(p)]) + p.encode() for p in NAME.split(".")) + b"\0\0\1\0\1").decode().rstrip("=")

POLICY = """
return { name = "bench", dns = function() return allow() end, connect = function() return allow() end }
"""


def dnsdist_conf(tmp):
    return f"""
setLocal("127.0.0.1:4454")
newServer("127.0.0.1:{DNS}")
pc = newPacketCache(10000)
getPool(""):setCache(pc)
addDOHLocal("127.0.0.1:{PORTS['dnsdist']}", "{tmp}/cert.pem", "{tmp}/key.pem", "/dns-query")
"""


# The resolver behind both: one name, an answer that may be kept for long.
RESOLVER = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", int(sys.argv[1])))
t = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    q, to = s.recvfrom(4096)
    end = 12
    while q[end]:
        end += q[end] + 1
    s.sendto(q[:2] + b"\\x81\\x80" + b"\\0\\1\\0\\1\\0\\0\\0\\0" + q[12:end + 5] + b"\\xc0\\x0c\\0\\1\\0\\1\\0\\1\\x51\\x80\\0\\4\\x5d\\xb8\\xd8\\x22", to)
"""


class Bench(Beside):
    def __init__(self, args):
        super().__init__(args, "gateway")
        self.load = os.path.join(args.build, "bench/gateway/bench_gateway_load")
        self.moonfence = os.path.join(args.build, "cli/moonfence")
        cpus = sorted(os.sched_getaffinity(0))
        self.pin, self.pin_rest = (cpus[:1], cpus[1:]) if len(cpus) > 1 else (cpus, cpus)
        os.sched_setaffinity(0, self.pin_rest)
        self.peers = []
        if "tcp" in args.what:
            self.peers = [*(["node"] if self.node() else []), *(["websockify"] if shutil.which("websockify") else [])]

    def node(self):
        self.modules = os.environ.get("MF_BENCH_NODE", "")
        return self.modules and shutil.which("node")

    def measured(self, name, argv, port, **env):
        """A server on the processor of its own."""
        cpu = ",".join(map(str, self.pin))
        self.spawn(name, ["taskset", "-c", cpu, *argv], port, **env)

    def gateway(self, name, *more):
        self.measured(name, [self.moonfence, "gateway", "--listen", f"127.0.0.1:{PORTS[name]}", "--policy", f"{self.tmp}/policy.lua",
                             "--auth", "none", "--open", "127.0.0.0/8", "--dns", f"127.0.0.1:{DNS}", "--dns-rate", "0", *more], PORTS[name])

    def setup(self):
        what = self.args.what
        sh(["ip", "link", "set", "lo", "up"])
        self.path("policy.lua", POLICY)
        self.spawn("behind", [self.load, "serve", str(ECHO)], ECHO)
        self.gateway("moonfence")
        if "dns" in what or "idle" in what:
            sh(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-subj", "/CN=doh.example", "-keyout", f"{self.tmp}/key.pem", "-out", f"{self.tmp}/cert.pem"], stderr=subprocess.DEVNULL)
        if "dns" in what:
            self.gateway("moonfence-tls", "--tls-cert", f"{self.tmp}/cert.pem", "--tls-key", f"{self.tmp}/key.pem")
        if "dns" in what:
            self.spawn("resolver", [sys.executable, "-c", RESOLVER, str(DNS)], DNS)
            self.measured("dnsdist", ["dnsdist", "--supervised", "--disable-syslog", "-C", self.path("dnsdist.conf", dnsdist_conf(self.tmp))],
                          PORTS["dnsdist"])
        if "tcp" in what and "node" in self.peers:
            self.measured("node", ["node", os.path.join(HERE, "proxy.cjs"), str(PORTS["node"])], PORTS["node"], NODE_PATH=self.modules)
        if "tcp" in what and "websockify" in self.peers:  # a process for each target, one more for each connection
            for to in (ECHO, FLOOD, SINK):
                port = PORTS["websockify"] + to - ECHO
                self.measured(f"websockify {to}", ["websockify", f"127.0.0.1:{port}", f"127.0.0.1:{to}"], port)

    def run(self, who, what, to, *more, pid=None):
        """One run of the load through @who. Return: what it says, with the server's processor seconds"""
        port = PORTS[who] + (to - ECHO if who == "websockify" else 0)
        pid = self.procs[f"websockify {to}" if who == "websockify" else who].pid
        path = str(to) if what == "mux" else f"/tcp?v=1&host=127.0.0.1&port={to}"
        while who == "websockify" and len(tree(pid)) > 1:  # those of the last run
            time.sleep(0.02)
        p = subprocess.Popen([self.load, what, f"127.0.0.1:{port}", path, *map(str, more)], stdout=subprocess.PIPE, text=True)
        if p.stdout.readline() != "begin\n":
            sys.exit(f"{what} through {who} failed")
        before = cpu_of(pid)
        # websockify's children end with their connections: what they used is read before
        kids, last = who == "websockify", before
        while kids and p.poll() is None:
            try:
                last = max(last, cpu_of(pid))
            except OSError:
                pass
            time.sleep(0.02)
        said = json.loads(p.stdout.readline())
        p.wait()
        said["cpu"] = (last if kids else cpu_of(pid)) - before
        return said

    def tcp(self, turn):
        who = ["moonfence", *self.peers]
        who = who[turn % len(who):] + who[:turn % len(who)]
        for n in (1, 64):
            for what, to in (("rr", ECHO), ("down", FLOOD), ("up", SINK)):
                for w in who:
                    said = self.run(w, what, to, n, self.args.seconds)
                    unit = 1 if what == "rr" else 8e-9  # messages; Gbit
                    self.record(f"{what} {n}", w, said["rate"] * unit)
                    self.record(f"{what} {n} per core", w, said["done"] * unit / said["cpu"])
                    if what == "rr":
                        self.record(f"rr {n} p50_us", w, said["p50_us"])
                        self.record(f"rr {n} p99_us", w, said["p99_us"])

    def mux(self):
        said = self.run("moonfence", "mux", EVEN, 1000, self.args.seconds * 6)  # pieces are 64 KiB: each has to have many
        self.record("mux", "moonfence", said["rate"] * 8e-9)
        self.record("mux per core", "moonfence", said["done"] * 8e-9 / said["cpu"])
        self.record("mux slowest", "moonfence", said["slowest"])
        self.record("mux fastest", "moonfence", said["fastest"])

    def dns(self, turn):
        who, seconds = ["moonfence-tls", "dnsdist"], max(round(self.args.seconds), 1)
        for w in who[turn % 2:] + who[:turn % 2]:
            url = f"https://127.0.0.1:{PORTS[w]}/dns-query?dns={QUERY}"
            for what in ("h1", "h2"):
                argv = ["h2load", *(["--h1"] if what == "h1" else []), "-t1", "-c32", "-m", "1" if what == "h1" else "10",
                        "-D", str(seconds), "-H", "accept: application/dns-message", url]
                before = cpu_of(self.procs[w].pid)
                out = sh(argv, stderr=subprocess.STDOUT)
                cpu = cpu_of(self.procs[w].pid) - before
                done = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", out)
                if not done or not int(done[1]) or any(map(int, done.groups()[1:])):
                    sys.exit(f"{w}, {what}: {out}")
                self.record(f"dns {what}", w, int(done[1]) / seconds)
                self.record(f"dns {what} per core", w, int(done[1]) / cpu)

    def rss(self, who):
        return sum(int(re.search(r"Rss:\s+(\d+)", open(f"/proc/{p}/smaps_rollup").read())[1]) * 1024 for p in tree(self.procs[who].pid))

    def hold(self, who, path, n, *more):
        p = subprocess.Popen([self.load, "idle", f"127.0.0.1:{PORTS[who]}", path, str(n), *more],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if p.stdout.readline() != "begin\n":
            sys.exit(f"idle sessions through {who} failed")
        return p

    def let_go(self, p):
        p.stdin.close()
        p.wait()
        time.sleep(1)

    def idle(self):
        """Each in a process of its own, so that nothing is there to be used again."""
        n = self.args.idle
        for what, path, cnt, more in (("idle", "/tcp-mux", n, ()), ("idle tls", "/tcp-mux", n, ("tls",)),
                                      ("idle tcp", f"/tcp?host=127.0.0.1&port={ECHO}", n // 4, ())):
            self.gateway(what, *(("--tls-cert", f"{self.tmp}/cert.pem", "--tls-key", f"{self.tmp}/key.pem") if more else ()))
            p = self.hold(what, path, 10, *more)  # what one-off set-up costs is not theirs
            self.let_go(p)
            before = self.rss(what)
            p = self.hold(what, path, cnt, *more)
            self.record(what, "moonfence", (self.rss(what) - before) / cnt)
            self.let_go(p)
            self.procs[what].terminate()

    def busy(self):
        alone = self.run("moonfence", "rr", ECHO, 100, self.args.seconds * 2)
        p = self.hold("moonfence", "/tcp-mux", self.args.idle)
        beside = self.run("moonfence", "rr", ECHO, 100, self.args.seconds * 2)
        self.let_go(p)
        # the slowest session beside the idle ones, as a share of what one of 100 gets alone
        self.record("busy slowest", "moonfence", beside["slowest"] * beside["rate"] / alone["rate"])
        self.record("busy per core", "moonfence", beside["done"] / beside["cpu"] / (alone["done"] / alone["cpu"]))
        self.record("busy rate", "moonfence", beside["rate"] / alone["rate"])

    def report(self):
        if self.args.json:
            print(json.dumps({"samples": self.samples}))
            return
        names = ["moonfence", "node", "websockify", "moonfence-tls", "dnsdist"]
        print(f"{'':24}" + "".join(f"{w:>16}" for w in names))
        for row, by in self.samples.items():
            print(f"{row:24}" + "".join(f"{statistics.median(by[w]):16.3f}" if w in by else f"{'':16}" for w in names))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("what", nargs="*")
    ap.add_argument("--json", action="store_true")
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--seconds", type=float, default=1.0, help="of one measurement")
    ap.add_argument("--idle", type=int, default=10000)
    ap.add_argument("--build", default=os.path.join(HERE, "../../build/release"))
    args = ap.parse_args()
    args.what = args.what or ["tcp", "mux", "dns", "idle", "busy"]
    if os.environ.get("MF_BENCH_INSIDE") != "1":
        node = subprocess.run([os.path.join(TOP, "tools/install-node-deps.sh")], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        os.environ["MF_BENCH_NODE"] = node.stdout.strip() if node.returncode == 0 else ""  # inside there is no network to fetch it by
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        os.execvpe("unshare", ["unshare", *user, "--net", "--kill-child", "--", sys.executable, *sys.argv],
                   {**os.environ, "MF_BENCH_INSIDE": "1"})
    missing = [p for p in (["dnsdist", "h2load"] if "dns" in args.what else []) + ["openssl"] if not shutil.which(p)]
    if missing:
        print(f"gateway.py: not installed: {', '.join(missing)}", file=sys.stderr)
        sys.exit(77)
    b = Bench(args)
    try:
        b.setup()
        if "idle" in args.what:  # first: of processes that have done nothing yet
            b.idle()
        for turn in range(args.rounds):
            for what in ("tcp", "dns"):
                if what in args.what:
                    getattr(b, what)(turn)
            for what in ("mux", "busy"):
                if what in args.what:
                    getattr(b, what)()
    finally:
        b.stop()
    b.report()


if __name__ == "__main__":
    main()

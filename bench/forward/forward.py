#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures TLS connections that are routed by their server name on loopback: moonfence, HAProxy and nginx (stream with
ssl_preread), each with one process and thread, by turns in one run, and the server itself without any of them.

Everything listens in a network namespace of its own (made here), so that no port of the machine is taken.
"""
import argparse, json, os, re, shutil, statistics, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from beside import Beside, cpu_of, sh, tree  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
NAME = "app.forward.example"
SERVER, FLOOD = 4430, 4431
PORTS = {"direct": SERVER, "moonfence": 5001, "haproxy": 5002, "nginx": 5003}
FLOOD_NAME = "flood.forward.example"


def nginx_server(tmp):
    return f"""
worker_processes 1; daemon off; pid {tmp}/server.pid; error_log {tmp}/server.log;
events {{ worker_connections 8000; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 3600s;
  server {{
    listen 127.0.0.1:{SERVER} ssl backlog=4096; server_name {NAME};
    ssl_certificate {tmp}/cert.pem; ssl_certificate_key {tmp}/key.pem;
    ssl_protocols TLSv1.3; ssl_session_tickets off;
    location /small {{ default_type text/plain; return 200 "{'x' * 100}"; }}
  }}
}}
"""


def nginx_stream(tmp):
    return f"""
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
worker_processes 1; daemon off; pid {tmp}/stream.pid; error_log {tmp}/stream.log;
events {{ worker_connections 8000; }}
stream {{
  map $ssl_preread_server_name $to {{ {NAME} 127.0.0.1:{SERVER}; {FLOOD_NAME} 127.0.0.1:{FLOOD}; default 127.0.0.1:1; }}
  server {{ listen 127.0.0.1:{PORTS["nginx"]} backlog=4096; ssl_preread on; proxy_pass $to; tcp_nodelay on; proxy_timeout 1h; }}
}}
"""


HAPROXY = f"""
global
  nbthread 1
  maxconn 8000
  maxpipes 1000
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  option splice-auto
frontend tls
  bind 127.0.0.1:{PORTS["haproxy"]} backlog 4096
  tcp-request inspect-delay 5s
  tcp-request content accept if {{ req.ssl_hello_type 1 }}
  use_backend app if {{ req.ssl_sni -i {NAME} }}
  use_backend flood if {{ req.ssl_sni -i {FLOOD_NAME} }}
backend app
  server s 127.0.0.1:{SERVER}
backend flood
  server s 127.0.0.1:{FLOOD}
"""


class Bench(Beside):
    def __init__(self, args):
        super().__init__(args, "forward")
        self.moonfence = os.path.join(args.build, "cli/moonfence")

    def map(self, name, port):
        sh([self.moonfence, "proxy", "map", "add", "--dir", f"{self.tmp}/service", "--mode", "pass", name, f"127.0.0.1:{port}"])

    def start_moonfence(self):
        os.mkdir(f"{self.tmp}/service", 0o700)
        self.path("service/proxy.json", '{"limits": {"max_connections": 8000, "max_connections_per_client": 8000}}')
        self.spawn("moonfence", [self.moonfence, "proxy", "enable", "--foreground", "--no-hosts", "--dir", f"{self.tmp}/service",
                                 "--ca-dir", f"{self.tmp}/ca", "--listen", f"127.0.0.1:{PORTS['moonfence']}"],
                   PORTS["moonfence"])
        for _ in range(500):  # its control socket comes last
            if os.path.exists(f"{self.tmp}/service/proxy.sock"):
                break
            time.sleep(0.02)
        self.map(NAME, SERVER)
        self.map(FLOOD_NAME, FLOOD)

    def setup(self):
        sh(["ip", "link", "set", "lo", "up"])
        sh(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", f"/CN={NAME}", "-keyout", f"{self.tmp}/key.pem", "-out", f"{self.tmp}/cert.pem"], stderr=subprocess.DEVNULL)
        self.spawn("server", ["nginx", "-e", f"{self.tmp}/server.log", "-c", self.path("server.conf", nginx_server(self.tmp))], SERVER)
        self.spawn("flood", [self.load, "flood", str(FLOOD)], FLOOD)
        self.spawn("haproxy", ["haproxy", "-db", "-q", "-f", self.path("haproxy.cfg", HAPROXY)], PORTS["haproxy"])
        self.spawn("nginx", ["nginx", "-e", f"{self.tmp}/stream.log", "-c", self.path("stream.conf", nginx_stream(self.tmp))], PORTS["nginx"])
        self.start_moonfence()

    def run(self, what, name, *more, who=PORTS):
        out = sh([self.load, what, name, *map(str, more), *[f"{w}=127.0.0.1:{PORTS[w]}" for w in who]])
        return json.loads(out)

    def latency(self):
        for what in ("kept", "new"):
            got = self.run(what, NAME, self.args.requests)
            for who in PORTS:
                for p in ("p50_us", "p99_us"):
                    self.record(f"{what} {p}", who, got[who][p])
                    if who != "direct":
                        self.record(f"{what} added {p}", who, got[who][p] - got["direct"][p])

    def throughput(self, turn):
        who = ["moonfence", "haproxy", "nginx"]
        who = who[turn % 3:] + who[:turn % 3]
        for n in (1, 4):
            for w, v in self.run("bulk", FLOOD_NAME, self.args.mib, n, who=who).items():
                self.record(f"bulk {n}", w, v)

    def memory(self, who):
        """Resident bytes of a proxy's processes that it does not share with their files (and without: Pss)."""
        total = 0
        for pid in tree(self.procs[who].pid):
            total += int(re.search(r"Rss:\s+(\d+)", open(f"/proc/{pid}/smaps_rollup").read())[1]) * 1024
        return total

    def idle(self):
        for who in ("moonfence", "haproxy", "nginx"):
            p = subprocess.Popen([self.load, "idle", NAME, str(self.args.idle), f"x=127.0.0.1:{PORTS[who]}"],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            if "idle" not in p.stdout.readline():
                sys.exit(f"idle connections through {who} failed")
            self.record("idle rss", who, self.memory(who))
            p.stdin.close()
            p.wait()

    def idle_cpu(self):
        for i in range(20):
            self.map(f"idle{i}.forward.example", SERVER)
        time.sleep(1)
        before, start = cpu_of(self.procs["moonfence"].pid), time.monotonic()
        time.sleep(self.args.idle_seconds)
        self.record("idle cpu", "moonfence", (cpu_of(self.procs["moonfence"].pid) - before) / (time.monotonic() - start) * 100)

    def report(self):
        m = {row: {w: statistics.median(v) for w, v in by.items()} for row, by in self.samples.items()}
        if self.args.json:
            print(json.dumps({"samples": self.samples, "requests": self.args.requests}))
            return
        print(f"{'':28}" + "".join(f"{w:>14}" for w in PORTS))
        for row, by in m.items():
            print(f"{row:28}" + "".join(f"{by[w]:14.2f}" if w in by else f"{'':14}" for w in PORTS))


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--json", action="store_true")
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--requests", type=int, default=1500)
    ap.add_argument("--mib", type=int, default=2048)
    ap.add_argument("--idle", type=int, default=1000)
    ap.add_argument("--idle-seconds", type=float, default=10)
    ap.add_argument("--build", default=os.path.join(HERE, "../../build/release"))
    ap.add_argument("--only", choices=["latency", "bulk", "idle"])
    args = ap.parse_args()
    if os.environ.get("MF_BENCH_INSIDE") != "1":
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        os.execvpe("unshare", ["unshare", *user, "--net", "--kill-child", "--", sys.executable, *sys.argv],
                   {**os.environ, "MF_BENCH_INSIDE": "1"})
    missing = [p for p in ("haproxy", "nginx", "openssl") if not shutil.which(p)]
    if missing or not os.path.exists("/usr/lib/nginx/modules/ngx_stream_module.so"):
        print(f"forward.py: not installed: {', '.join(missing) or 'libnginx-mod-stream'}", file=sys.stderr)
        sys.exit(77)
    b = Bench(args)
    try:
        b.setup()
        for turn in range(args.rounds):
            if args.only in (None, "latency"):
                b.latency()
            if args.only in (None, "bulk"):
                b.throughput(turn)
        if args.only in (None, "idle"):
            b.idle()
            b.idle_cpu()
    finally:
        b.stop()
    b.report()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures intercepted TLS handshakes (P-256, TLS 1.3), each with a request, on loopback: moonfence with a policy that says
terminate, mitmproxy, and nginx as a plain TLS-terminating proxy, by turns in one run; and the clients with their server alone.

Each proxy has one core. Clients and server, which are one program (load.c), have another one, and keep a number of connections
going, so that nobody waits to be woken. A core that is not busy all the time waited for the other one, or for programs that
have nothing to do with this: what a proxy does in a second of its own processor time says more then.

moonfence and mitmproxy make a handshake of their own with the server for each client, and show the client a certificate that
they made. The server gives tickets: moonfence and nginx use them, mitmproxy does not. "moonfence, no tickets" is before a server
that gives none. nginx has its certificate from a file.

Everything listens in a network namespace of its own (made here), so that no port of the machine is taken.
"""
import argparse, json, os, shutil, statistics, subprocess, sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from beside import Beside, cpu_of, sh  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
NAME = "intercept.bench.example"
PORTS = {"moonfence": 5001, "moonfence, no tickets": 5002, "mitmproxy": 5003, "nginx": 5004}
RATE, CPU, BUSY = "connections/s", "connections/s of processor time", "of its core (%)"


def nginx(tmp, port, server):
    return f"""
worker_processes 1; daemon off; pid {tmp}/nginx.pid; error_log {tmp}/nginx.log;
events {{ worker_connections 8000; }}
http {{
  access_log off; keepalive_requests 100000000; proxy_temp_path {tmp}/nginx.p; client_body_temp_path {tmp}/nginx.b;
  fastcgi_temp_path {tmp}/nginx.f; uwsgi_temp_path {tmp}/nginx.u; scgi_temp_path {tmp}/nginx.s;
  server {{
    listen 127.0.0.1:{port} ssl backlog=4096; server_name {NAME};
    ssl_certificate {tmp}/cert.pem; ssl_certificate_key {tmp}/key.pem;
    ssl_protocols TLSv1.3;
    location /small {{
      proxy_pass https://127.0.0.1:{server}; proxy_ssl_verify on; proxy_ssl_name {NAME}; proxy_ssl_server_name on;
      proxy_ssl_trusted_certificate {tmp}/ca.pem; proxy_ssl_protocols TLSv1.3;
    }}
  }}
}}
"""


class Bench(Beside):
    def certificates(self):
        t = self.tmp
        ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        quiet = dict(stderr=subprocess.DEVNULL)
        sh(["openssl", "req", "-x509", *ec, "-days", "9", "-subj", "/CN=bench CA", "-keyout", f"{t}/ca.key", "-out", f"{t}/ca.pem",
            "-addext", "keyUsage=critical,keyCertSign"], **quiet)
        sh(["openssl", "req", *ec, "-subj", f"/CN={NAME}", "-keyout", f"{t}/key.pem", "-out", f"{t}/req.pem"], **quiet)
        ext = self.path("ext", f"subjectAltName=DNS:{NAME},IP:127.0.0.1\n")
        sh(["openssl", "x509", "-req", "-in", f"{t}/req.pem", "-CA", f"{t}/ca.pem", "-CAkey", f"{t}/ca.key", "-set_serial", "2", "-days",
            "9", "-extfile", ext, "-out", f"{t}/cert.pem"], **quiet)

    def start_load(self, name, tickets):
        """The clients and their server; the port of the latter."""
        self.procs[name] = subprocess.Popen(
            [*self.core(-1), os.path.join(self.args.build, "bench/intercept/bench_intercept_load"), NAME, self.tmp + "/cert.pem",
             self.tmp + "/key.pem", str(tickets)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return int(self.procs[name].stdout.readline())

    @staticmethod
    def core(which):
        return ["taskset", "-c", str(sorted(os.sched_getaffinity(0))[which])]

    def start_proxy(self, name, argv, **env):
        self.spawn(name, self.core(0) + argv, PORTS[name], **env)

    def setup(self):
        t = self.tmp
        sh(["ip", "link", "set", "lo", "up"])
        self.certificates()
        self.server = self.start_load("load", 2)
        for name, port in (("moonfence", self.server), ("moonfence, no tickets", self.start_load("load, no tickets", 0))):
            self.start_proxy(name, [os.path.join(self.args.build, "bench/intercept/bench_intercept_host"), HERE + "/policy.lua",
                                    str(PORTS[name]), str(port), NAME], SSL_CERT_FILE=f"{t}/ca.pem")
        self.start_proxy("nginx", ["nginx", "-e", f"{t}/nginx.log", "-c",
                                   self.path("nginx.conf", nginx(t, PORTS["nginx"], self.server))])
        if shutil.which("mitmdump"):
            self.start_proxy("mitmproxy", ["mitmdump", "-q", "--mode", f"reverse:https://127.0.0.1:{self.server}", "--listen-host",
                                           "127.0.0.1", "--listen-port", str(PORTS["mitmproxy"]), "--set",
                                           f"ssl_verify_upstream_trusted_ca={t}/ca.pem", "--set", f"confdir={t}/mitm"])

    def who(self):
        return ["direct", *[w for w in PORTS if w in self.procs]]

    def run(self, who, seconds):
        """What the load says, and the seconds of processor time of who is measured."""
        load = self.procs["load, no tickets" if who == "moonfence, no tickets" else "load"]
        pid = self.procs["load" if who == "direct" else who].pid
        before = cpu_of(pid)
        print(PORTS.get(who, self.server), self.args.clients, seconds, file=load.stdin, flush=True)
        line = load.stdout.readline()
        if not line:
            sys.exit(f"intercept.py: the load through {who} failed")
        return json.loads(line), cpu_of(pid) - before

    def rates(self, turn):
        who = self.who()
        for w in who[turn % len(who):] + who[:turn % len(who)]:
            out, cpu = self.run(w, self.args.seconds)
            self.record(RATE, w, out["done"] / out["seconds"])
            self.record(CPU, w, out["done"] / cpu)
            self.record(BUSY, w, 100 * cpu / out["seconds"])

    def report(self):
        if self.args.json:
            print(json.dumps({"samples": self.samples}))
            return
        print(f"{'':34}" + "".join(f"{w:>22}" for w in self.who()))
        for row, by in self.samples.items():
            print(f"{row:34}" + "".join(f"{statistics.median(by[w]):22.1f}" for w in self.who()))


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--json", action="store_true")
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--seconds", type=float, default=2)
    ap.add_argument("--clients", type=int, default=32, help="connections at a time")
    ap.add_argument("--build", default=os.path.join(HERE, "../../build/release"))
    args = ap.parse_args()
    if os.environ.get("MF_BENCH_INSIDE") != "1":
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        os.execvpe("unshare", ["unshare", *user, "--net", "--kill-child", "--", sys.executable, *sys.argv],
                   {**os.environ, "MF_BENCH_INSIDE": "1"})
    missing = [p for p in ("nginx", "openssl", "taskset") if not shutil.which(p)]
    if missing:
        print(f"intercept.py: not installed: {', '.join(missing)}", file=sys.stderr)
        sys.exit(77)
    b = Bench(args, "intercept")
    try:
        b.setup()
        for w in b.who():
            b.run(w, 0.5)  # certificates are made, tickets given
        for turn in range(args.rounds):
            b.rates(turn)
    finally:
        b.stop()
    b.report()


if __name__ == "__main__":
    main()

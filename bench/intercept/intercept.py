#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures intercepted TLS handshakes (P-256, TLS 1.3) on loopback: moonfence with a policy that says terminate, mitmproxy, and
nginx as a plain TLS-terminating proxy, by turns in one run; and the server itself without any of them.

moonfence and mitmproxy make a handshake of their own with the server for each client, and show the client a certificate that
they made. The server gives tickets: moonfence uses them, mitmproxy does not. nginx has its certificate from a file, and dials its
server, with TLS, verification and tickets, only when a request comes: its row of bare handshakes is the client's half of the
work. Who hangs up right behind the handshake often leaves before the tickets are there; who asks for something does not.

Everything listens in a network namespace of its own (made here), so that no port of the machine is taken.
"""
import argparse, json, os, shutil, statistics, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from beside import Beside, cpu_of, sh  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
NAME = "intercept.bench.example"
SERVER = 4430
WARM_UP = 50  # requests that the load makes before it counts
PORTS = {"direct": SERVER, "moonfence": 5001, "mitmproxy": 5002, "nginx": 5003}


def nginx(tmp, what, port, more):
    return f"""
worker_processes 1; daemon off; pid {tmp}/{what}.pid; error_log {tmp}/{what}.log;
events {{ worker_connections 8000; }}
http {{
  access_log off; keepalive_requests 100000000; proxy_temp_path {tmp}/{what}.p; client_body_temp_path {tmp}/{what}.b;
  fastcgi_temp_path {tmp}/{what}.f; uwsgi_temp_path {tmp}/{what}.u; scgi_temp_path {tmp}/{what}.s;
  server {{
    listen 127.0.0.1:{port} ssl backlog=4096; server_name {NAME};
    ssl_certificate {tmp}/cert.pem; ssl_certificate_key {tmp}/key.pem;
    ssl_protocols TLSv1.3;
    location /small {{ {more} }}
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

    def setup(self):
        t = self.tmp
        sh(["ip", "link", "set", "lo", "up"])
        self.certificates()
        self.spawn("server", ["nginx", "-e", f"{t}/server.log", "-c",
                              self.path("server.conf", nginx(t, "server", SERVER, 'return 200 "%s";' % ("x" * 100)))], SERVER)
        self.spawn("nginx", ["nginx", "-e", f"{t}/nginx.log", "-c",
                             self.path("nginx.conf", nginx(t, "nginx", PORTS["nginx"],
                                       f"proxy_pass https://127.0.0.1:{SERVER}; proxy_ssl_verify on; proxy_ssl_name {NAME}; "
                                       f"proxy_ssl_server_name on; proxy_ssl_trusted_certificate {t}/ca.pem; "
                                       "proxy_ssl_protocols TLSv1.3;"))], PORTS["nginx"])
        self.spawn("moonfence", [os.path.join(self.args.build, "bench/intercept/bench_intercept_host"), HERE + "/policy.lua",
                                 str(PORTS["moonfence"]), str(SERVER), NAME], PORTS["moonfence"], SSL_CERT_FILE=f"{t}/ca.pem")
        if shutil.which("mitmdump"):
            self.spawn("mitmproxy", ["mitmdump", "-q", "--mode", f"reverse:https://127.0.0.1:{SERVER}", "--listen-host", "127.0.0.1",
                                     "--listen-port", str(PORTS["mitmproxy"]), "--set", f"ssl_verify_upstream_trusted_ca={t}/ca.pem",
                                     "--set", f"confdir={t}/mitm"], PORTS["mitmproxy"])

    def who(self):
        return [w for w in PORTS if w == "direct" or w in self.procs]

    def rates(self, turn):
        who = self.who()
        who = who[turn % len(who):] + who[:turn % len(who)]
        for w in who:
            at = f"{w}=127.0.0.1:{PORTS[w]}"
            out = json.loads(sh([self.load, "rate", NAME, str(self.args.seconds), str(self.args.clients), at]))
            self.record("handshakes/s", w, out[w])
            pid = self.procs["server" if w == "direct" else w].pid
            before = cpu_of(pid)
            sh([self.load, "new", NAME, str(self.args.requests), at])
            self.record("handshakes and requests/s of processor time", w, (self.args.requests + WARM_UP) / (cpu_of(pid) - before))

    def requests(self):
        out = json.loads(sh([self.load, "new", NAME, str(self.args.requests),
                             *[f"{w}=127.0.0.1:{PORTS[w]}" for w in self.who()]]))
        for w, v in out.items():
            self.record("connection, handshake and request, median (us)", w, v["p50_us"])

    def report(self):
        if self.args.json:
            print(json.dumps({"samples": self.samples}))
            return
        print(f"{'':48}" + "".join(f"{w:>12}" for w in self.who()))
        for row, by in self.samples.items():
            print(f"{row:48}" + "".join(f"{statistics.median(by[w]):12.1f}" for w in self.who()))


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--json", action="store_true")
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--seconds", type=float, default=2)
    ap.add_argument("--clients", type=int, default=2)
    ap.add_argument("--requests", type=int, default=200)
    ap.add_argument("--build", default=os.path.join(HERE, "../../build/release"))
    args = ap.parse_args()
    if os.environ.get("MF_BENCH_INSIDE") != "1":
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        os.execvpe("unshare", ["unshare", *user, "--net", "--kill-child", "--", sys.executable, *sys.argv],
                   {**os.environ, "MF_BENCH_INSIDE": "1"})
    missing = [p for p in ("nginx", "openssl") if not shutil.which(p)]
    if missing:
        print(f"intercept.py: not installed: {', '.join(missing)}", file=sys.stderr)
        sys.exit(77)
    b = Bench(args, "intercept")
    try:
        b.setup()
        for turn in range(args.rounds):
            b.rates(turn)
            b.requests()
    finally:
        b.stop()
    b.report()


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""A small internet in two network namespaces, for tests and for the demo.

    with Lab() as lab:
        lab.serve()                                  # DNS, web, TLS, TCP and UDP servers on their addresses
        lab.run(["curl", "http://allowed.example/"]) # on the "host": one uplink to that internet
        lab.run([...], user=65534)                   # the same as an ordinary user

"host" is where moonfence runs: a namespace with one interface and its own /etc/resolv.conf. "internet" holds every
server. Nothing in either reaches the machine's own network. Needs root, or unprivileged user namespaces.
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))

HOST4, GATE4 = "172.31.77.2", "172.31.77.1"
HOST6, GATE6 = "fd77::2", "fd77::1"

# Servers' addresses: public ones, because policies treat private ones differently. Only these namespaces know them.
DNS4, DNS6 = "11.0.0.53", "2a0f:77::53"
WEB4, WEB6 = "11.0.0.80", "2a0f:77::80"
WEB2_4, WEB2_6 = "11.0.0.81", "2a0f:77::81"
CDN4 = "11.0.0.90"
LLM4, LLM6 = "11.0.0.100", "2a0f:77::100"
ECHO4, ECHO6 = "11.0.0.7", "2a0f:77::7"
RAW4 = "11.0.0.66"

ZONE = f"""
$ORIGIN .
$TTL 60
. SOA ns.example. admin.example. 1 3600 600 86400 60
. NS ns.example.
ns.example. A {DNS4}
allowed.example. A {WEB4}
allowed.example. AAAA {WEB6}
www.allowed.example. CNAME allowed.example.
denied.example. A {WEB2_4}
denied.example. AAAA {WEB2_6}
sneaky.allowed.example. CNAME denied.example.
api.vendor.example. A {WEB2_4}
api.vendor.example. AAAA {WEB2_6}
api.vendor.example. HTTPS 1 . alpn=h2,h3 ipv4hint={WEB2_4} ipv6hint={WEB2_6}
wrong.vendor.example. A {WEB2_4}
llm.corp.example. A {LLM4}
llm.corp.example. AAAA {LLM6}
mirror.corp.example. A {LLM4}
registry.npm.example. A {WEB2_4}
registry.npm.example. AAAA {WEB2_6}
registry.npm.example. HTTPS 1 . alpn=h2 ipv4hint={WEB2_4}
cdn-good.example. A {CDN4}
cdn-bad.example. A {CDN4}
rebind.example. A 127.0.0.1
rebind-lan.example. A 10.1.2.3
rebind-meta.example. A 169.254.169.254
rebind-mapped.example. AAAA ::ffff:10.1.2.3
rebind-nat64.example. AAAA 64:ff9b::a01:203
rebind-mix.example. A {WEB4}
rebind-mix.example. A 10.1.2.3
echo.example. A {ECHO4}
echo.example. AAAA {ECHO6}
many.example. TXT "{'x' * 200}" "{'y' * 200}" "{'z' * 200}" "{'u' * 200}" "{'v' * 200}" "{'w' * 200}" "{'t' * 200}"
dark.example. A 11.0.0.250
refusing.example. A {ECHO4}
"""

CERT_NAMES = ["allowed.example", "denied.example", "api.vendor.example", "llm.corp.example", "cdn-good.example",
              "cdn-bad.example", "registry.npm.example", "echo.example"]


# Ends as soon as there is somebody at an address and port.
PROBE = """import socket, sys, time
while True:
    try:
        socket.create_connection((sys.argv[1], int(sys.argv[2])), 60).close()
        break
    except OSError:
        time.sleep(0.01)
"""


class LabError(Exception):
    pass


def enter_user_namespace():
    """Without root: start the program again as root of a user namespace of its own."""
    if os.geteuid() == 0:
        return
    os.execvp("unshare", ["unshare", "--user", "--map-root-user", "--net", "--mount", sys.executable] + sys.argv)


class Lab:
    def __init__(self, keep=False):
        self.processes = []
        self.keep = keep

    def __enter__(self):
        # Not TMPDIR: other users must get there, and a Unix socket's path has 107 bytes.
        self.dir = tempfile.mkdtemp(prefix="moonfence-lab-", dir="/tmp")
        os.chmod(self.dir, 0o755)
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc):
        for p in reversed(self.processes):
            if p.poll() is None:
                p.terminate()
        for p in reversed(self.processes):
            try:
                p.wait(60)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        if not self.keep:
            shutil.rmtree(self.dir, ignore_errors=True)

    # -- namespaces ----------------------------------------------------------------------------------------------

    def _holder(self, *, mounts):
        """A process that keeps a network (and mount) namespace; ends with us."""
        cmd = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net"] + (["--mount"] if mounts else []) + \
              ["sh", "-c", "echo ready; exec sleep infinity"]
        p = subprocess.Popen(cmd, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.processes.append(p)
        if p.stdout.readline() != b"ready\n":
            raise LabError("cannot make a network namespace")
        return p

    def _in(self, holder):
        return ["nsenter", "-t", str(holder.pid), "-n", "-m", f"--wd={self.dir}", "--"]

    def _ip(self, holder, *lines):
        subprocess.run(self._in(holder) + ["ip", "-batch", "-"], input="\n".join(lines) + "\n", text=True, check=True)

    def _build(self):
        self.internet = self._holder(mounts=True)
        self.host = self._holder(mounts=True)
        every4 = [DNS4, WEB4, WEB2_4, CDN4, LLM4, ECHO4, RAW4, "169.254.169.254", "10.1.2.3"]
        every6 = [DNS6, WEB6, WEB2_6, LLM6, ECHO6]
        self._ip(self.internet, "link set lo up",
                 f"link add down0 type veth peer name eth0 netns {self.host.pid}",
                 f"addr add {GATE4}/24 dev down0", f"addr add {GATE6}/64 dev down0 nodad", "link set down0 up",
                 *[f"addr add {a}/32 dev lo" for a in every4], *[f"addr add {a}/128 dev lo nodad" for a in every6])
        self._ip(self.host, "link set lo up", f"addr add {HOST4}/24 dev eth0", f"addr add {HOST6}/64 dev eth0 nodad",
                 "link set eth0 up", f"route add default via {GATE4}", f"route add default via {GATE6} dev eth0")
        resolv = self.write("resolv.conf", f"nameserver {DNS4}\n")
        subprocess.run(self._in(self.host) + ["mount", "--bind", resolv, os.path.realpath("/etc/resolv.conf")],
                       check=True)

    # -- files ---------------------------------------------------------------------------------------------------

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def install(self, binary):
        """A copy of a program where any user can run it."""
        target = self.path(os.path.basename(binary))
        shutil.copy(binary, target)
        os.chmod(target, 0o755)
        return target

    # -- running -------------------------------------------------------------------------------------------------

    def command(self, cmd, user=None, where=None):
        prefix = self._in(where or self.host)
        if user is not None:
            prefix += ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--"]
        return prefix + list(cmd)

    def run(self, cmd, user=None, timeout=300, **kwargs):
        """On the host; returns CompletedProcess with text in stdout and stderr."""
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(self.command(cmd, user), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              errors="replace", timeout=timeout, cwd=self.dir, **kwargs)

    def popen(self, cmd, user=None, where=None, **kwargs):
        p = subprocess.Popen(self.command(cmd, user, where), cwd=self.dir, **kwargs)
        self.processes.append(p)
        return p

    # -- servers -------------------------------------------------------------------------------------------------

    def certificates(self):
        """A CA and one certificate for all names; curl --cacert lab.path("ca.pem")."""
        def openssl(*args):
            subprocess.run(["openssl", *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        ca_key, ca, key, csr, cert = (self.path(n) for n in ("ca.key", "ca.pem", "tls.key", "tls.csr", "tls.pem"))
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", ca_key,
                "-out", ca, "-days", "2", "-subj", "/CN=Lab CA")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", csr,
                "-subj", "/CN=allowed.example")
        names = ",".join("DNS:" + n for n in CERT_NAMES) + ",DNS:*.allowed.example"
        ext = self.write("tls.ext", f"subjectAltName={names}\n")
        openssl("x509", "-req", "-in", csr, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "2", "-extfile",
                ext, "-out", cert)
        os.chmod(key, 0o644)
        os.chmod(ca, 0o644)

    def trust(self):
        """The lab's CA becomes one of the host's, as an administrator would add it."""
        bundle = os.path.realpath("/etc/ssl/certs/ca-certificates.crt")
        if not os.path.exists(bundle):
            raise LabError("no CA bundle on this machine: install ca-certificates")
        with open(bundle) as system, open(self.path("ca.pem")) as ca:
            text = system.read() + ca.read()
        subprocess.run(self._in(self.host) + ["mount", "--bind", self.write("bundle.pem", text), bundle], check=True)

    def serve(self):
        self.certificates()
        self.trust()
        self._serve_dns()
        self._serve_web()
        self._serve_plain()

    def _wait_port(self, addr, port, process, what):
        probe = subprocess.Popen(self._in(self.internet) + [sys.executable, "-S", "-c", PROBE, addr, str(port)])
        deadline = time.monotonic() + 120
        while probe.poll() is None:
            if process.poll() is not None or time.monotonic() > deadline:
                probe.kill()
                probe.wait()
                raise LabError(f"{what} did not start: see {self.dir}")
            time.sleep(0.01)
        if probe.returncode:
            raise LabError(f"{what}: nobody could look whether it started")

    def _serve_dns(self):
        os.makedirs(self.path("knot"), exist_ok=True)
        self.write("knot/root.zone", ZONE)
        conf = self.write("knot/knot.conf", f"""
server:
    rundir: "{self.path('knot')}"
    listen: [{DNS4}@53, {DNS6}@53]
    tcp-workers: 1
    udp-workers: 1
    background-workers: 1
log:
  - target: stderr
    any: error
database:
    storage: "{self.path('knot/db')}"
template:
  - id: default
    storage: "{self.path('knot')}"
    zonefile-load: whole
    journal-content: none
    zonefile-sync: -1
zone:
  - domain: .
    file: root.zone
""")
        with open(self.path("knot.log"), "wb") as log:
            p = self.popen(["knotd", "-c", conf], where=self.internet, stdout=log, stderr=log,
                           stdin=subprocess.DEVNULL)
        self._wait_port(DNS4, 53, p, "knotd")

    def _serve_web(self):
        os.makedirs(self.path("www"), exist_ok=True)
        self.write("www/big", "")
        os.truncate(self.path("www/big"), 8 << 20)
        servers = ""
        for name, addr4, addr6 in (("web", WEB4, WEB6), ("web2", WEB2_4, WEB2_6), ("llm", LLM4, LLM6),
                                   ("cdn", CDN4, None), ("raw", RAW4, None), ("meta", "169.254.169.254", None),
                                   ("lan", "10.1.2.3", None)):
            listen = "".join(f"listen {a}:80; listen {a}:443 ssl http2; listen {a}:8443 ssl http2;"
                             for a in ([addr4] + ([f"[{addr6}]"] if addr6 else [])))
            servers += f"""
  server {{ {listen}
    ssl_certificate {self.path('tls.pem')}; ssl_certificate_key {self.path('tls.key')};
    root {self.path('www')};
    location / {{ try_files $uri @say; }}
    location @say {{ default_type text/plain;
      return 200 "server={name} host=$host sni=$ssl_server_name port=$server_port\\n"; }}
  }}"""
        conf = self.write("nginx.conf", f"""
daemon off; worker_processes 1; pid {self.path('nginx.pid')}; error_log {self.path('nginx.err')};
user root root;
events {{ worker_connections 512; }}
http {{
  access_log {self.path('nginx.log')} combined;
  client_body_temp_path {self.path('t1')}; proxy_temp_path {self.path('t2')}; fastcgi_temp_path {self.path('t3')};
  uwsgi_temp_path {self.path('t4')}; scgi_temp_path {self.path('t5')};
  {servers}
}}
""")
        with open(self.path("nginx.out"), "wb") as log:
            p = self.popen(["nginx", "-p", self.dir, "-c", conf], where=self.internet, stdout=log, stderr=log,
                           stdin=subprocess.DEVNULL)
        self._wait_port(WEB4, 443, p, "nginx")

    def serve_quic(self):
        """HTTP/3 servers beside the web servers; the one on LLM4 answers with a Retry first."""
        for addr, more in ((WEB4, ()), (WEB6, ()), (WEB2_4, ()), (CDN4, ()), (LLM4, ("-V",))):
            with open(self.path(f"quic-{addr}.log"), "wb") as log:
                self.popen(["gtlsserver", "--handshake-timeout=60s", "--timeout=60s", *more, "-d", self.path("www"),
                            addr, "443", self.path("tls.key"), self.path("tls.pem")], where=self.internet, stdout=log,
                           stderr=log, stdin=subprocess.DEVNULL)

    def quic_log(self, addr):
        with open(self.path(f"quic-{addr}.log"), errors="replace") as f:
            return f.read()

    def _serve_plain(self):
        p = self.popen([sys.executable, os.path.join(HERE, "servers.py"), self.path("seen.jsonl"), ECHO4, ECHO6, RAW4],
                       where=self.internet, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        if p.stdout.readline() != b"ready\n":
            raise LabError("servers.py did not start")

    def seen(self):
        """What the plain servers received: a list of {proto, server, port, data}."""
        try:
            with open(self.path("seen.jsonl")) as f:
                return [json.loads(line) for line in f]
        except FileNotFoundError:
            return []

    def web_log(self):
        with open(self.path("nginx.log")) as f:
            return f.read()

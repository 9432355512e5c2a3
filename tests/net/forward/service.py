# SPDX-License-Identifier: Apache-2.0
"""The service of "moonfence proxy" in a directory of its own, and development servers for it to lead to."""
import http.client
import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../lab"))
from waiting import wait_for  # noqa: E402

MOONFENCE = os.environ.get("MOONFENCE", "moonfence")


def be_alone():
    """Run this program again in a network of its own: whoever looks for servers on this machine, as other tests do, would
    connect to those of a test, and be counted."""
    if os.environ.get("FORWARD_ALONE"):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    os.environ["FORWARD_ALONE"] = "1"
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    os.execvp("unshare", ["unshare", *user, "--net", sys.executable, *sys.argv])


class Authority:
    """A local authority in a directory of its own; pem(): a file with the certificate that is in force."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="moonfence-forward-ca-", dir="/tmp")
        self.dir = os.path.join(self.folder, "ca")
        self.count = 0

    def call(self, *args):
        return subprocess.run([MOONFENCE, "ca", *args, "--dir", self.dir], check=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120).stdout

    def pem(self):
        self.count += 1
        path = os.path.join(self.folder, f"{self.count}.pem")
        with open(path, "wb") as f:
            f.write(self.call("show", "--pem"))
        return path

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        shutil.rmtree(self.folder)


def is_real_root():
    """Not one of a user namespace, who may become nobody else."""
    with open("/proc/self/uid_map") as f:
        return os.geteuid() == 0 and int(f.read().split()[2]) > 65536


class Service:
    """with Service("--map", "app.localhost=3000", limits={...}) as s: s.port, s.ca, s.call("status")"""

    def __init__(self, *args, limits=None, settings=None, listen="127.0.0.1:0", folder=None, prefix=(),
                 detection=False):
        # what else listens on this machine is nothing to a test
        self.args = list(args) + ([] if detection else ["--no-detection"])
        self.listen = listen
        self.prefix = list(prefix)
        self.own_folder = folder is None
        self.dir = folder or tempfile.mkdtemp(prefix="moonfence-forward-", dir="/tmp")
        if limits:
            settings = {"limits": limits}
        if settings:
            with open(os.path.join(self.dir, "proxy.json"), "w") as f:
                json.dump(settings, f)
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def start(self):
        listen = ["--listen", self.listen] if self.listen else []
        self.process = subprocess.Popen(
            [*self.prefix, MOONFENCE, "proxy", "enable", "--foreground", "--dir", self.dir, *listen, *self.args],
            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the service did not start: {self.process.wait()}")
        self.line = line
        self.port = int(line.split()[-1].rsplit(":", 1)[1])
        self.ca = os.path.join(self.dir, "temporary-ca.pem")

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(120)
            self.process.stdout.close()
            status, self.process = self.process.returncode, None
            return status
        return None

    def __exit__(self, *exc):
        self.stop()
        if self.own_folder:
            shutil.rmtree(self.dir, ignore_errors=True)

    def command(self, *args):
        return subprocess.run([*self.prefix, MOONFENCE, "proxy", *args, "--dir", self.dir], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)

    def json(self, *args):
        p = self.command(*args, "--json")
        assert p.returncode == 0, p
        return json.loads(p.stdout)

    def errors(self):
        return self.json("status")["errors"]

    def curl(self, url, *more):
        """As a browser that was redirected: whatever the name is, the connection comes to the service."""
        return subprocess.run(
            [*self.prefix, "curl", "-sS", "--noproxy", "*", "--max-time", "60", "--cacert", self.ca, "--connect-to",
             f"::127.0.0.1:{self.port}", *more, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), 60)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = f"{self.server.word} {self.headers.get('host')} {self.path}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class DevServer:
    """A plain HTTP server that says @word, on a port of its own; family 6 listens on ::1 only."""

    def __init__(self, word, family=4, tls=None):
        kind = type("Server", (http.server.ThreadingHTTPServer,),
                    {"address_family": socket.AF_INET6 if family == 6 else socket.AF_INET, "daemon_threads": True})
        self.server = kind(("::1" if family == 6 else "127.0.0.1", 0), Handler)
        self.server.word = word
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.server.server_close()

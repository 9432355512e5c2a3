#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Domain forwarding as people meet it: a browser that trusts the local authority, its page, a development server with a
WebSocket; with the explicit listener, and with redirected connections, where nothing is configured at all."""
import base64
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../lab"))

import service  # noqa: E402
from lab import Lab  # noqa: E402
from service import Service, wait_for  # noqa: E402

NEEDED = ("chromium", "certutil")

# The page of a development server: its script talks to where the page came from. The picture, and so the page, is not
# loaded before the script has had its answer.
PAGE = b"""<!doctype html><title>dev</title><body><img src="/hold"><script>
const ws = new WebSocket("wss://" + location.host + "/ws");
const tell = text => { document.body.append(text); fetch("/told"); };
ws.onmessage = e => tell("socket said " + e.data + " to " + location.hostname);
ws.onerror = () => tell("socket failed");
</script></body>"""

told = threading.Event()


def recv_head(c):
    head = b""
    while b"\r\n\r\n" not in head:
        data = c.recv(4096)
        if not data:
            return None
        head += data
    return head


def serve_one(c):
    with c:
        while head := recv_head(c):
            fields = dict(x.split(": ", 1) for x in head.decode().split("\r\n")[1:] if ": " in x)
            key = {k.lower(): v for k, v in fields.items()}.get("sec-websocket-key")
            if head.startswith(b"GET /told "):
                told.set()
            elif head.startswith(b"GET /hold "):
                told.wait(300)
            if not key:
                body = PAGE if head.startswith(b"GET / ") else b""
                c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                continue
            accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
            c.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                      b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + b"\x81\x05hello")
            while c.recv(4096):
                pass


def serve(listener):
    while True:
        try:
            threading.Thread(target=serve_one, args=(listener.accept()[0],), daemon=True).start()
        except OSError:
            return


class Browser:
    """One person's home, where Chromium trusts what "moonfence ca trust" made it trust."""

    def __init__(self, folder, prefix=()):
        self.folder, self.prefix = folder, list(prefix)
        self.env = {**os.environ, "HOME": folder, "XDG_CONFIG_HOME": os.path.join(folder, "config")}
        self.authority = os.path.join(folder, "authority")
        for command in (["create", "--dir", self.authority],
                        ["trust", "--store", "nss", "--dir", self.authority]):
            subprocess.run([service.MOONFENCE, "ca", *command], env=self.env, check=True, stdout=subprocess.DEVNULL)

    def dump(self, url):
        # On a busy machine Chromium sometimes shows nothing at all the first time. It does so, too, where it does not trust
        # a certificate, but then each time.
        for _ in range(3):
            data = tempfile.mkdtemp(dir=self.folder)
            p = subprocess.run([*self.prefix, "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--no-proxy-server",
                                "--disable-background-networking", f"--user-data-dir={data}",
                                "--dump-dom", url], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               timeout=600)
            if p.stdout:
                return p.stdout
        raise AssertionError(f"Chromium ended with {p.returncode} and shows nothing: {p.stderr[-2000:]}")


class Case(unittest.TestCase):
    def look(self, browser, port, dev_name):
        page = browser.dump(f"https://moonfence.localhost{port}/")
        self.assertIn(f'<a href="https://{dev_name}{port}/">{dev_name}</a>', page)
        self.assertIn("is valid until", page)
        self.assertNotIn("class=\"bad\"", page)
        app = browser.dump(f"https://{dev_name}{port}/")
        self.assertIn(f"socket said hello to {dev_name}", app)


@unittest.skipUnless(all(shutil.which(x) for x in NEEDED), "no Chromium or no certutil")
class Explicit(Case):
    def test_browser(self):
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
            browser = Browser(home)
            with Service("--ca-dir", browser.authority, "--map", f"app.localhost={listener.getsockname()[1]}") as s:
                self.look(browser, f":{s.port}", "app.localhost")
                # a name that the authority may not vouch for is mapped with a warning
                p = s.command("map", "add", "bank.example", "3000")
                self.assertEqual(p.returncode, 0)
                self.assertIn("warning", p.stderr)
                self.assertTrue(s.json("status")["health"]["certificates"]["ok"])


@unittest.skipUnless(all(shutil.which(x) for x in NEEDED), "no Chromium or no certutil")
@unittest.skipUnless(service.is_real_root(), "rules for other users need root")
class Redirected(Case):
    def test_browser(self):
        moonfence = service.MOONFENCE
        self.addCleanup(setattr, service, "MOONFENCE", moonfence)
        with Lab() as lab:
            service.MOONFENCE = lab.install(moonfence)
            hosts = lab.write("hosts", "127.0.0.1 localhost\n::1 localhost\n")
            subprocess.run(lab.command(["mount", "--bind", hosts, "/etc/hosts"]), check=True)
            os.mkdir(lab.path("home"))
            browser = Browser(lab.path("home"), lab.command([]))
            dev = lab.popen([sys.executable, os.path.abspath(__file__), "--serve"], stdout=subprocess.PIPE,
                            stdin=subprocess.DEVNULL, text=True)
            port = dev.stdout.readline().strip()
            with Service("--user", "65534", "--ca-dir", browser.authority, "--map", f"app.localhost={port}", listen=None,
                         prefix=lab.command([])):
                self.look(browser, "", "app.localhost")


class Strangers(unittest.TestCase):
    """What a project calls itself is text on the page, and nothing else."""

    def test_escaped(self):
        with tempfile.TemporaryDirectory() as folder, Service(detection=True) as s:
            project = os.path.join(folder, f"<img src=x onerror=alert(1)>&'\"{os.getpid()}")
            os.mkdir(project)
            with open(os.path.join(project, "package.json"), "w") as f:
                json.dump({"name": f"page-{os.getpid()}"}, f)
            p = subprocess.Popen([sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1"], cwd=project,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                wait_for("the server", lambda: [x for x in s.json("list") if x["pid"] == p.pid and x["name"]])
                out = s.curl("https://moonfence.localhost/", "-i").stdout.decode()
            finally:
                p.kill()
                p.wait()
            head, page = out.split("\r\n\r\n", 1)
            self.assertIn("content-security-policy: default-src 'none'", head.lower())
            self.assertIn("&lt;img src=x onerror=alert(1)&gt;&amp;&#39;&quot;", page)
            self.assertNotIn("<img", page)
            self.assertNotIn("<script", page)
            self.assertNotIn(folder, page)  # whose directories are where is nobody's business


if __name__ == "__main__":
    if "--serve" not in sys.argv:
        service.be_alone()
    else:
        own = socket.create_server(("127.0.0.1", 0))
        print(own.getsockname()[1], flush=True)
        serve(own)
    unittest.main(verbosity=2)

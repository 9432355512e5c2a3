#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Domain forwarding without privileges: clients connect to the listener; maps, page, limits, control socket, persistence."""
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest

from service import MOONFENCE, Authority, DevServer, Service, be_alone, is_real_root, wait_for

PORTS_NOBODY_LISTENS_ON = "1"  # tcpmux; no test machine has it


def certificate(folder):
    """A certificate that nobody trusts, as development servers have."""
    key, pem = os.path.join(folder, "dev.key"), os.path.join(folder, "dev.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    key, "-out", pem, "-days", "2", "-subj", "/CN=localhost"], check=True, stderr=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    return context


class Routes(unittest.TestCase):
    def test_mapped_name(self):
        with DevServer("dev") as dev, Service("--map", f"app.localhost={dev.port}") as s:
            p = s.curl("https://app.localhost/x?y")
            self.assertEqual((p.returncode, p.stdout), (0, b"dev app.localhost /x?y\n"), p)
            # however it is written; the certificate is for the name that was asked for
            self.assertEqual(s.curl("https://APP.localhost./").returncode, 0)
            # and by HTTP
            self.assertEqual(s.curl("http://app.localhost/z").stdout, b"dev app.localhost /z\n")

    def test_both_families(self):
        with DevServer("six", family=6) as dev, Service("--map", f"six.localhost={dev.port}") as s:
            self.assertEqual(s.curl("https://six.localhost/").stdout, b"six six.localhost /\n")

    def test_server_that_speaks_tls(self):
        with tempfile.TemporaryDirectory() as folder, DevServer("tls", tls=certificate(folder)) as dev, Service() as s:
            self.assertEqual(s.command("map", "add", "t.localhost", str(dev.port), "--mode", "tls").returncode, 0)
            self.assertEqual(s.curl("https://t.localhost/").stdout, b"tls t.localhost /\n")
            # passed: its own certificate, which our client does not trust
            self.assertEqual(s.command("map", "add", "p.localhost", str(dev.port), "--mode", "pass").returncode, 0)
            self.assertEqual(s.curl("https://p.localhost/").returncode, 60)
            self.assertEqual(s.curl("https://p.localhost/", "--cacert", os.path.join(folder, "dev.pem"),
                                    "--insecure").stdout, b"tls p.localhost /\n")
            # cleartext for a server that has none is refused with a reason
            p = s.curl("http://t.localhost/")
            self.assertIn(b"speaks TLS", p.stdout)
            self.assertEqual(s.errors()["cleartext"], 1)

    def test_wildcard_and_exact(self):
        with DevServer("one") as one, DevServer("two") as two, \
                Service("--map", f"*.w.localhost={one.port}", "--map", f"x.w.localhost={two.port}") as s:
            self.assertEqual(s.curl("https://a.b.w.localhost/").stdout[:3], b"one")
            self.assertEqual(s.curl("https://x.w.localhost/").stdout[:3], b"two")
            self.assertNotEqual(s.curl("https://w.localhost/").returncode, 0)

    def test_others_are_refused_as_loops(self):
        with Service() as s:
            p = s.curl("https://foreign.example/", "-v")
            self.assertEqual(p.returncode, 35, p)
            self.assertIn(b"unrecognized name", p.stderr)
            self.assertIn(b"no server of this machine", s.curl("http://foreign.example/").stdout)
            with s.connect() as c:  # neither TLS nor HTTP
                c.sendall(b"\x01\x02\x03\x04binary")
                self.assertIn(self.end_of(c), (b"", "reset"))
            self.assertEqual(s.errors()["loop"], 3)

    @staticmethod
    def end_of(c):
        try:
            return c.recv(4096)
        except ConnectionResetError:
            return "reset"

    def test_page_in_place_of_a_server(self):
        with Service("--map", f"gone.localhost={PORTS_NOBODY_LISTENS_ON}", "--map", f"*.low.test={PORTS_NOBODY_LISTENS_ON}") as s:
            for url, more, version in (("https://gone.localhost/a/b?c", (), b"2"), ("http://gone.localhost/", (), b"1.1"),
                                       ("https://gone.localhost/", ("--http1.1",), b"1.1"),
                                       ("https://gone.localhost/", ("-X", "DELETE"), b"2"),
                                       ("https://gone.localhost/", ("--data", "x" * 20000), b"2"),
                                       ("http://gone.localhost/", ("--data", "x" * 20000), b"1.1")):
                p = s.curl(url, "-w", " %{http_code} %{http_version}", *more)
                self.assertTrue(p.stdout.endswith(b" 502 " + version), p)
                for text in (b'http-equiv="refresh"', f"localhost:{PORTS_NOBODY_LISTENS_ON}</code>".encode(),
                             b"connection refused", b"gone.localhost: its server", b"proxy map add gone.localhost PORT"):
                    self.assertIn(text.lower(), p.stdout.lower())
            p = s.curl("https://x%3Cscript%3E.low.test/", "-H", "Host: <script>.low.test")
            self.assertNotIn(b"<script>", p.stdout)
            self.assertIn(b"map add *.low.test PORT", s.curl("https://x.low.test/").stdout)
            errors = s.errors()
            self.assertEqual({k: v for k, v in errors.items() if v and k != "server_down"}, {})
            self.assertGreaterEqual(errors["server_down"], 7)
            [route] = [r for r in s.json("map", "list") if r["name"] == "gone.localhost"]
            self.assertEqual(route["failures"], 6)
            self.assertEqual(s.json("status")["latency"]["count"], 0)
            # once it is there it is reached
            with DevServer("dev") as dev:
                self.assertEqual(s.command("map", "add", "gone.localhost", str(dev.port)).returncode, 0)
                self.assertIn(b"dev gone.localhost /", s.curl("https://gone.localhost/").stdout)

    def test_tls_server_that_is_not_there(self):
        with Service("--map", f"gone.localhost={PORTS_NOBODY_LISTENS_ON}") as s:
            for mode, says in (("pass", "alert internal error"), ("tls", "CONNECTED")):
                s.command("map", "add", "gone.localhost", str(PORTS_NOBODY_LISTENS_ON), "--mode", mode)
                p = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{s.port}", "-servername", "gone.localhost"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   timeout=120)
                self.assertIn(says, p.stdout)
            self.assertEqual(s.curl("https://gone.localhost/", "-w", "%{http_code}").stdout[-3:], b"502")
            # nothing that can be told anything
            with s.connect() as c:
                c.sendall(b"GET / HTTP/1.1\r\nHost: gone.localhost\r\n\r\n")
                self.assertIn(b"403", c.recv(4096))

    def test_server_that_is_not_there(self):
        with Service("--map", f"gone.localhost={PORTS_NOBODY_LISTENS_ON}") as s:
            self.assertEqual(s.curl("https://gone.localhost/", "-w", "%{http_code}").stdout[-3:], b"502")
            self.assertEqual((s.errors()["server_down"], s.errors()["dial"]), (1, 0))
            self.assertEqual(s.json("map", "list")[0]["failures"], 1)

    def test_upgrade(self):
        """What a WebSocket needs: after 101 bytes go both ways, each side may be the first."""
        listener = socket.create_server(("127.0.0.1", 0))

        def serve():
            c, _ = listener.accept()
            with c:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += c.recv(4096)
                c.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello")
                while data := c.recv(4096):
                    c.sendall(data.upper())

        threading.Thread(target=serve, daemon=True).start()
        with Service("--map", f"ws.localhost={listener.getsockname()[1]}") as s:
            context = ssl.create_default_context(cafile=s.ca)
            with context.wrap_socket(s.connect(), server_hostname="ws.localhost") as c:
                c.sendall(b"GET /ws HTTP/1.1\r\nHost: ws.localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
                got = b""
                while not got.endswith(b"hello"):
                    got += c.recv(4096)
                c.sendall(b"frame")
                self.assertEqual(c.recv(5), b"FRAME")
        listener.close()


class Control(unittest.TestCase):
    def test_maps_live_and_stay(self):
        with DevServer("dev") as dev, tempfile.TemporaryDirectory() as folder:
            with Service(folder=folder) as s:
                self.assertNotEqual(s.curl("https://app.localhost/").returncode, 0)
                p = s.command("map", "add", "App.Localhost.", str(dev.port))
                self.assertEqual((p.returncode, p.stderr), (0, ""))
                self.assertEqual(s.curl("https://app.localhost/").returncode, 0)
                self.assertEqual(s.json("test", "app.localhost")["target"], f"localhost:{dev.port}")
                self.assertEqual(s.json("test", "other.example:443")["source"], "original")
                self.assertEqual(s.stop(), 0)
            with Service(folder=folder) as s:
                self.assertEqual(s.curl("https://app.localhost/").returncode, 0)
                self.assertEqual(s.json("map", "remove", "app.localhost"), {"removed": "app.localhost"})
                self.assertNotEqual(s.curl("https://app.localhost/").returncode, 0)
            with Service(folder=folder) as s:
                self.assertNotEqual(s.curl("https://app.localhost/").returncode, 0)
                self.assertEqual([r["source"] for r in s.json("map", "list")], ["own"])

    def test_wrong_maps(self):
        with Service() as s:
            for args, why in ((("add", "a b", "80"), "not a host name"), (("add", "app.localhost", "99999"), "neither PORT"),
                              (("add", "app.localhost", "22"), "blocked"), (("remove", "app.localhost"), "no manual route"),
                              (("add", "app.localhost", "80", "--mode", "x"), "mode is")):
                p = s.command("map", *args)
                self.assertEqual(p.returncode, 1, p)
                self.assertIn(why, p.stderr)
            for args in ((), ("add", "x"), ("add", "x", "1", "2", "3"), ("frobnicate",), ("list", "x")):
                self.assertEqual(s.command("map", *args).returncode, 2, args)
            self.assertEqual([r["source"] for r in s.json("map", "list")], ["own"])

    def test_only_the_owner_may_open_the_socket(self):
        with Service() as s:
            self.assertEqual(os.stat(os.path.join(s.dir, "proxy.sock")).st_mode & 0o777, 0o600)

    def test_enable_and_disable_are_idempotent(self):
        with Service() as s:
            p = s.command("enable", "--listen", "127.0.0.1:0")
            self.assertEqual(p.returncode, 0)
            self.assertIn("already", p.stdout)
            self.assertEqual(s.json("disable"), {"stopped": True})
            self.assertEqual(s.process.wait(120), 0)
            self.assertEqual(s.json("disable"), {"stopped": False})
            self.assertEqual(s.command("status").returncode, 1)
            self.assertFalse(os.path.exists(os.path.join(s.dir, "proxy.sock")))

    def test_background(self):
        with tempfile.TemporaryDirectory() as folder:
            p = subprocess.run([MOONFENCE, "proxy", "enable", "--dir", folder, "--listen", "127.0.0.1:0"], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
            self.assertEqual((p.returncode, p.stderr), (0, ""))
            self.assertIn("Listening on 127.0.0.1:", p.stdout)
            run = [MOONFENCE, "proxy"]
            p = subprocess.run([*run, "status", "--json", "--dir", folder], stdout=subprocess.PIPE, timeout=120)
            self.assertEqual(json.loads(p.stdout)["backend"], "explicit")
            self.assertEqual(subprocess.run([*run, "disable", "--dir", folder], stdout=subprocess.DEVNULL,
                                            timeout=120).returncode, 0)
            self.assertEqual(subprocess.run([*run, "status", "--dir", folder], stderr=subprocess.DEVNULL,
                                            timeout=120).returncode, 1)

    def test_killed_service_leaves_nothing_in_the_way(self):
        with tempfile.TemporaryDirectory() as folder:
            with Service(folder=folder) as s:
                s.process.kill()
                s.process.wait(120)
                self.assertEqual(s.command("status").returncode, 1)
            with Service(folder=folder) as s:
                self.assertEqual(s.json("status")["connectionsTotal"], 0)

    def test_settings_that_are_none(self):
        for settings, why in (({"max_connections": 5}, 'no setting "max_connections"'),
                              ({"limits": {"max_connections": 0}}, "max_connections"),
                              ({"limits": {"frobs": 1}}, "frobs"),
                              ({"limits": {"allowed_networks": ["10.0.0.0/33"]}}, "10.0.0.0/33"),
                              ({"limits": {"no_sni": "maybe"}}, "no_sni"),
                              ({"maps": {"a b": "80"}}, "a b"), ([], "object")):
            with tempfile.TemporaryDirectory() as folder:
                with open(os.path.join(folder, "proxy.json"), "w") as f:
                    json.dump(settings, f)
                p = subprocess.run([MOONFENCE, "proxy", "enable", "--foreground", "--dir", folder, "--listen",
                                    "127.0.0.1:0"], text=True, stderr=subprocess.PIPE, timeout=120)
                self.assertEqual(p.returncode, 1)
                self.assertIn(why, p.stderr)


class Detection(unittest.TestCase):
    def start(self, folder, name):
        project = os.path.join(folder, name)
        os.mkdir(project)
        with open(os.path.join(project, "package.json"), "w") as f:
            json.dump({"name": name}, f)
        p = subprocess.Popen([sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"], cwd=project,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(p.stdout.close)
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)
        return p, int(p.stdout.readline().split(" port ")[1].split()[0])

    def test_detected_servers_have_names(self):
        name = f"shop-{os.getpid()}"
        with tempfile.TemporaryDirectory() as folder, Service(detection=True) as s:
            p, port = self.start(folder, name)
            found = wait_for("the server", lambda: [x for x in s.json("list") if x["port"] == port and x["name"]])[0]
            self.assertEqual((found["name"], found["pid"], found["speech"]), (f"{name}.localhost", p.pid, "http"))
            self.assertEqual(s.json("test", f"{name}.localhost")["source"], "detected")
            self.assertIn(b"package.json", s.curl(f"https://{name}.localhost/").stdout)
            # a person's map goes before it, and hides it no longer than it is there
            with DevServer("mine") as mine:
                self.assertEqual(s.command("map", "add", f"{name}.localhost", str(mine.port)).returncode, 0)
                self.assertEqual(s.curl(f"https://{name}.localhost/").stdout[:4], b"mine")
                self.assertEqual(s.command("map", "remove", f"{name}.localhost").returncode, 0)
            wait_for("the detected one", lambda: b"package.json" in s.curl(f"https://{name}.localhost/").stdout)
            p.kill()
            wait_for("its end", lambda: not [x for x in s.json("list") if x["port"] == port])
            self.assertEqual(s.json("test", f"{name}.localhost")["source"], "original")

    def test_off(self):
        with tempfile.TemporaryDirectory() as folder, Service() as s:
            self.start(folder, f"unseen-{os.getpid()}")
            self.assertEqual(s.json("list"), [])


class Limits(unittest.TestCase):
    def end_of(self, port, source="127.0.0.1"):
        """What comes of a connection that should be refused at once."""
        try:
            with socket.create_connection(("127.0.0.1", port), 60, (source, 0)) as c:
                return c.recv(1)
        except ConnectionResetError:
            return "reset"

    def test_networks(self):
        with DevServer("dev") as dev, Service("--map", f"app.localhost={dev.port}",
                                              limits={"allowed_networks": ["10.0.0.0/8", "127.0.0.2/32"]}) as s:
            self.assertEqual(self.end_of(s.port), "reset")
            self.assertEqual(s.errors()["client_network"], 1)
            p = s.curl("https://app.localhost/", "--interface", "127.0.0.2")
            self.assertEqual(p.returncode, 0, p)

    def test_connections_per_client_and_all(self):
        with Service(limits={"max_connections": 3, "max_connections_per_client": 2}) as s:
            held = [s.connect(), s.connect()]
            wait_for("two connections", lambda: s.json("status")["connectionsActive"] == 2)
            self.assertEqual(self.end_of(s.port), "reset")
            self.assertEqual(s.errors()["max_connections_per_client"], 1)
            held.append(socket.create_connection(("127.0.0.1", s.port), 60, ("127.0.0.2", 0)))
            wait_for("three connections", lambda: s.json("status")["connectionsActive"] == 3)
            self.assertEqual(self.end_of(s.port, "127.0.0.3"), "reset")
            self.assertEqual(s.errors()["max_connections"], 1)
            for c in held:
                c.close()
            wait_for("none", lambda: s.json("status")["connectionsActive"] == 0)
            held = [s.connect(), s.connect()]  # as many as before
            wait_for("two again", lambda: s.json("status")["connectionsActive"] == 2)
            for c in held:
                c.close()

    def test_blocked_ports(self):
        with tempfile.TemporaryDirectory() as folder, DevServer("dev") as dev:
            with Service("--map", f"app.localhost={dev.port}", folder=folder) as s:
                self.assertEqual(s.curl("https://app.localhost/").returncode, 0)
                s.command("map", "add", "kept.localhost", str(dev.port))
            with open(os.path.join(folder, "proxy.json")) as f:
                settings = json.load(f)
            settings["limits"] = {"blocked_ports": [dev.port]}
            # a map of before the port was blocked: refused when it is used
            with Service(folder=folder, settings=settings) as s:
                self.assertNotEqual(s.curl("https://kept.localhost/").returncode, 0)
                self.assertEqual(s.errors()["blocked_port"], 1)

    def test_hello_time(self):
        with Service(limits={"hello_timeout_ms": 200}) as s, s.connect() as c:
            c.sendall(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a hello
            self.assertTrue(c.recv(100).startswith(b"\x15\x03"))  # an alert
            self.assertEqual(c.recv(100), b"")
            self.assertEqual(s.errors()["hello_timeout"], 1)

    def test_idle_time(self):
        listener = socket.create_server(("127.0.0.1", 0))
        with Service("--map", f"idle.localhost={listener.getsockname()[1]}", limits={"idle_timeout_ms": 200}) as s, \
                s.connect() as c:
            c.sendall(b"GET / HTTP/1.1\r\nHost: idle.localhost\r\n\r\n")
            server, _ = listener.accept()
            self.assertRaises(ConnectionResetError, c.recv, 1)
            self.assertEqual(s.errors()["idle_timeout"], 1)
            server.close()
        listener.close()

    def test_dial_time(self):
        # a listener whose queue is full answers nobody: its kernel drops what comes
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fill = []
        for _ in range(4):
            c = socket.socket()
            c.setblocking(False)
            c.connect_ex(listener.getsockname())
            fill.append(c)
        with Service("--map", f"slow.localhost={listener.getsockname()[1]}", limits={"dial_timeout_ms": 200}) as s:
            p = s.curl("http://slow.localhost/")
            self.assertIn(b"timed out", p.stdout, p)
            self.assertEqual(s.errors()["server_down"], 1)
        for c in [*fill, listener]:
            c.close()


class Reports(unittest.TestCase):
    def test_health_and_metrics(self):
        with DevServer("dev") as dev, Service("--map", f"app.localhost={dev.port}") as s:
            self.assertEqual(s.curl("https://app.localhost/").returncode, 0)
            wait_for("its end", lambda: s.json("status")["connectionsActive"] == 0)
            p = s.curl("https://moonfence.localhost/healthz", "-w", "%{http_code} %{http_version}")
            health, status = p.stdout.rsplit(b"}", 1)
            health = json.loads(health + b"}")
            self.assertEqual(set(health), {"proxy", "certificates", "rules", "devServers"})
            for part in health.values():
                self.assertEqual(set(part), {"ok", "detail", "since"})
            # a temporary authority is no good health
            self.assertEqual([k for k, v in health.items() if not v["ok"]], ["certificates"])
            self.assertEqual(status.split()[0], b"503")
            text = s.curl("https://moonfence.localhost/metrics", "--http1.1").stdout.decode()
            for line in ('moonfence_forward_routes_total{source="manual",domain="app.localhost"} 1',
                         'moonfence_forward_errors_total{kind="loop"} 0', "moonfence_forward_latency_seconds_count 3",
                         'moonfence_forward_healthy{part="certificates"} 0'):
                self.assertIn(line + "\n", text)
            sent = [x for x in text.splitlines() if x.startswith("moonfence_forward_bytes_total")]
            self.assertEqual(len(sent), 2)
            self.assertTrue(all(int(x.split()[-1]) > 50 for x in sent), sent)

    def test_authority_is_rotated(self):
        with Authority() as ca, DevServer("dev") as dev:
            ca.call("create")
            first = ca.pem()
            with Service("--ca-dir", ca.dir, "--map", f"app.localhost={dev.port}") as s:
                def works(pem):
                    s.ca = pem
                    return s.curl("https://app.localhost/").returncode == 0

                self.assertTrue(works(first))
                context = ssl.create_default_context(cafile=first)
                with context.wrap_socket(s.connect(), server_hostname="app.localhost") as before:
                    ca.call("rotate")
                    second = ca.pem()
                    wait_for("the new one", lambda: works(second))
                    self.assertFalse(works(first))
                    before.sendall(b"GET /x HTTP/1.1\r\nHost: app.localhost\r\n\r\n")
                    self.assertIn(b"200", before.recv(4096))

    def test_foreign_names_make_no_series(self):
        with Service() as s:
            for i in range(20):
                s.curl(f"https://n{i}.example/")
            text = s.curl("https://moonfence.localhost/metrics").stdout.decode()
            self.assertNotIn("example", text)
            self.assertIn('moonfence_forward_errors_total{kind="loop"} 20\n', text)

    def test_page_reads_only(self):
        with Service() as s:
            self.assertEqual(s.curl("https://moonfence.localhost/maps", "-X", "POST", "-w", "%{http_code}").stdout[-3:],
                             b"404")
            self.assertEqual(s.curl("https://moonfence.localhost/stop", "-X", "POST", "-w", "%{http_code}").stdout[-3:],
                             b"404")


class Setup(unittest.TestCase):
    def test_authority_and_unit(self):
        with tempfile.TemporaryDirectory() as folder:
            ca, unit = os.path.join(folder, "ca"), os.path.join(folder, "x.service")
            run = [MOONFENCE, "proxy", "setup", "--proxy-mode", "explicit", "--ca-dir", ca, "--unit", unit, "--json"]
            for _ in range(2):  # what is there stays
                p = subprocess.run(run, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
                self.assertEqual(p.returncode, 0, p)
                self.assertEqual([x["step"] for x in json.loads(p.stdout)["steps"]], ["authority", "unit"])
            with open(unit) as f:
                self.assertIn(f"ExecStart={MOONFENCE} proxy enable --foreground --user moonfence\n", f.read())
            with DevServer("dev") as dev, Service("--ca-dir", ca, "--map", f"app.localhost={dev.port}") as s:
                s.ca = os.path.join(folder, "ca.pem")
                with open(s.ca, "wb") as f:
                    f.write(subprocess.run([MOONFENCE, "ca", "show", "--pem", "--dir", ca], stdout=subprocess.PIPE,
                                           check=True).stdout)
                self.assertEqual(s.curl("https://app.localhost/").returncode, 0)

    @unittest.skipUnless(is_real_root() and os.path.exists("/usr/sbin/useradd"), "needs root and useradd")
    def test_user(self):
        with tempfile.TemporaryDirectory() as folder:
            etc = os.path.join(folder, "etc")
            script = f"""set -e
                cp -a /etc {etc}; mount --bind {etc} /etc
                {MOONFENCE} proxy setup --user mf-forward-test --ca-dir {folder}/ca --json
                id mf-forward-test >&2; grep ^mf-forward-test: /etc/passwd >&2"""
            p = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", script], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
            self.assertEqual(p.returncode, 0, p)
            self.assertEqual([x["step"] for x in json.loads(p.stdout)["steps"]], ["rules", "user", "authority"])
            self.assertIn(":/nonexistent:/usr/sbin/nologin", p.stderr)

    def test_wrong_usage(self):
        for args in (["--proxy-mode", "pf"], ["frobnicate"]):
            self.assertEqual(subprocess.run([MOONFENCE, "proxy", "setup", *args], stderr=subprocess.DEVNULL).returncode, 2)


class Doctor(unittest.TestCase):
    def doctor(self, *args):
        p = subprocess.run([MOONFENCE, "doctor", "--json", *args], text=True, stdout=subprocess.PIPE, timeout=300,
                           env={**os.environ, "HOME": self.home})
        return p.returncode, {x["name"]: x for x in json.loads(p.stdout)["checks"]}

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = folder.name
        self.ca = os.path.join(self.home, "ca")
        subprocess.run([MOONFENCE, "ca", "create", "--dir", self.ca], check=True, stdout=subprocess.DEVNULL)

    def test_what_runs(self):
        with Service("--ca-dir", self.ca, "--map", f"gone.localhost={PORTS_NOBODY_LISTENS_ON}") as s:
            _, checks = self.doctor("--dir", s.dir, "--ca-dir", self.ca)
            for name in ("service", "proxy", "certificates", "rules", "authority", "dialling", "latency", "servers"):
                self.assertTrue(checks[name]["ok"], checks[name])
            if checks["names"]["ok"]:  # not every system's resolver knows *.localhost
                self.assertTrue(checks["page"]["ok"], checks["page"])
            s.ca = os.path.join(self.home, "none.pem")
            with open(s.ca, "w") as f:
                f.write(subprocess.run([MOONFENCE, "ca", "show", "--pem", "--dir", self.ca], text=True,
                                       stdout=subprocess.PIPE).stdout)
            self.assertIn(b"its server cannot be reached", s.curl("https://gone.localhost/").stdout)
            status, checks = self.doctor("--dir", s.dir, "--ca-dir", self.ca)
            self.assertEqual(status, 1)
            self.assertFalse(checks["dialling"]["ok"])
            self.assertIn("map list", checks["dialling"]["hint"])

    def test_another_authority(self):
        """The page is signed by another authority than the one that is looked at: said, not passed over."""
        with Service() as s:
            status, checks = self.doctor("--dir", s.dir, "--ca-dir", self.ca)
            self.assertEqual(status, 1)
            self.assertFalse(checks["certificates"]["ok"])
            self.assertFalse(checks["page"]["ok"])

    def test_nothing_runs(self):
        status, checks = self.doctor("--dir", self.home)
        self.assertEqual(status, 1)
        self.assertFalse(checks["service"]["ok"])
        self.assertIn("proxy enable", checks["service"]["hint"])


class Policies(unittest.TestCase):
    """What no map decides, policies do, before our own and detected names and before what is passed (D3)."""

    POLICY = """
return {
  name = "forward-test",
  connect = function(c)
    if c:is "elsewhere.localhost" then return redirect { to = "127.0.0.1:%d" } end
  end,
  sni = function(q)
    if q.sni == "denied.localhost" then return deny "not this one" end
  end,
}
"""

    def test_order(self):
        with tempfile.TemporaryDirectory() as folder, DevServer("mapped") as mapped:
            listener = socket.create_server(("127.0.0.1", 0))
            path = os.path.join(folder, "p.lua")
            with open(path, "w") as f:
                f.write(self.POLICY % listener.getsockname()[1])
            with Service("--policy", path, "--map", f"app.localhost={mapped.port}") as s:
                self.assertEqual(s.curl("https://app.localhost/").returncode, 0)
                p = s.curl("https://denied.localhost/", "-v")
                self.assertEqual(p.returncode, 35, p)
                # a redirect goes where the policy says, and the hello with it
                threading.Thread(target=s.curl, args=("https://elsewhere.localhost/", "--max-time", "2"), daemon=True).start()
                c, _ = listener.accept()
                with c:
                    self.assertIn(b"elsewhere.localhost", c.recv(4096))
                # a person's map goes before the policy
                self.assertEqual(s.command("map", "add", "denied.localhost", str(mapped.port)).returncode, 0)
                self.assertEqual(s.curl("https://denied.localhost/").stdout[:6], b"mapped")
            listener.close()


if __name__ == "__main__":
    be_alone()
    unittest.main(verbosity=2)

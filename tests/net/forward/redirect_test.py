#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Domain forwarding with real rules, in the lab: own names lead to their servers, all else goes where it went, nothing loops,
and whatever is killed leaves no rule behind."""
import json
import os
import shutil
import signal
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../lab"))

import lab as lab_module  # noqa: E402
import service  # noqa: E402
from lab import ECHO4, WEB4, Lab  # noqa: E402
from service import Service, wait_for  # noqa: E402

PROXY_USER, OTHER_USER = "65534", "65533"  # both exist on no machine as anybody's; numbers are enough

# What a client sends and hears in the clear, told by a program that runs beside the service
TALK = """
import socket, sys
c = socket.create_connection((sys.argv[1], int(sys.argv[2])), 60)
c.sendall(bytes.fromhex(sys.argv[3]))
if sys.argv[4] == "end":
    c.shutdown(socket.SHUT_WR)
got = b""
try:
    while data := c.recv(65536):
        got += data
        if sys.argv[4] != "end" and got.endswith(sys.argv[4].encode()):
            break
except ConnectionResetError:
    got = b"reset"
print(got.decode("latin-1"), end="")
"""

UPGRADE = """
import socket, ssl, sys
context = ssl.create_default_context()
c = context.wrap_socket(socket.create_connection((sys.argv[1], 443), 60), server_hostname="echo.example")
c.sendall(b"GET / HTTP/1.1\\r\\nHost: echo.example\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n\\r\\n")
got = b""
while not got.endswith(b"hello"):
    got += c.recv(65536)
c.sendall(b"frame")
print(c.recv(5).decode(), c.getpeercert()["subject"][0][0][1], c.getpeername()[0])
"""


class Redirect(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab()
        cls.lab.__enter__()
        cls.addClassCleanup(cls.lab.__exit__)
        cls.lab.serve()
        service.MOONFENCE = cls.lab.install(service.MOONFENCE)
        cls.dev = cls.peer("web", "127.0.0.1", 0, where=cls.lab.host)

    @classmethod
    def peer(cls, kind, address, port, *more, where=None):
        p = cls.lab.popen([sys.executable, os.path.join(HERE, "peers.py"), kind, address, str(port), *more],
                          where=where or cls.lab.internet, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        return int(p.stdout.readline())

    def setUp(self):
        self.hosts = self.lab.write("hosts", "127.0.0.1 localhost\n::1 localhost\n# a person's\n10.9.8.7 kept.example\n")
        with open(self.hosts) as f:
            self.hosts_before = f.read()
        subprocess.run(self.lab.command(["mount", "--bind", self.hosts, "/etc/hosts"]), check=True)
        self.addCleanup(subprocess.run, self.lab.command(["umount", "/etc/hosts"]), check=True)

    def service(self, *args, **kwargs):
        return Service("--user", PROXY_USER, *args, listen=None, prefix=self.lab.command([]), **kwargs)

    def curl(self, url, *more, user=None):
        """By IPv4 unless told: a client that tries both families may make two connections, and they are counted."""
        if "-6" not in more:
            more = ("-4", *more)
        return self.lab.run(["curl", "-sS", "--noproxy", "*", "--max-time", "60", *more, url], user=user)

    def talk(self, address, port, text, until="end"):
        return self.lab.run([sys.executable, "-c", TALK, address, str(port), text.hex(), until]).stdout

    def rules(self):
        return self.lab.run(["nft", "list", "ruleset"]).stdout

    def read_hosts(self):
        return self.lab.run(["cat", "/etc/hosts"]).stdout

    def came(self, s):
        return s.json("status")["connectionsTotal"]

    def assert_gone(self):
        self.assertEqual(self.rules(), "")
        self.assertEqual(self.read_hosts(), self.hosts_before)
        self.assertIn("server=web", self.curl("https://allowed.example/").stdout)

    # -- what is not ours ------------------------------------------------------------------------------------------

    def test_foreign_names_go_where_they_went(self):
        for more in (("-4",), ("-6",), ("--http1.1",), ("--tls-max", "1.2")):
            direct = self.curl("https://allowed.example/", "-w", "%{http_version} %{remote_ip}", *more)
            with self.service() as s:
                through = self.curl("https://allowed.example/", "-w", "%{http_version} %{remote_ip}", *more)
                self.assertEqual((through.returncode, through.stdout), (0, direct.stdout), through)
                self.assertEqual(self.came(s), 1)
        self.assertIn("\n1.1 ", direct.stdout.replace("\n2 ", "\n1.1 "))

    def test_every_byte(self):
        with self.service() as s:
            p = self.lab.run(["sh", "-c", "curl -4 -sS https://allowed.example/big | sha256sum"])
            direct = self.lab.run(["sha256sum", self.lab.path("www/big")])
            self.assertEqual(p.stdout.split()[0], direct.stdout.split()[0])
            wait_for("its end", lambda: s.json("status")["connectionsActive"] == 0)
            self.assertGreater(s.json("status")["bytesToClient"], 8 << 20)

    def test_certificate_is_the_servers_own(self):
        with self.service():
            p = self.lab.run(["openssl", "s_client", "-connect", f"{WEB4}:443", "-servername", "allowed.example"])
            self.assertIn("CN = Lab CA", p.stdout)
            self.assertNotIn("Moonfence", p.stdout)

    def test_upgraded_connections_pass(self):
        self.peer("upgrade", ECHO4, 443, self.lab.path("tls.pem"), self.lab.path("tls.key"))
        with self.service() as s:
            p = self.lab.run([sys.executable, "-c", UPGRADE, ECHO4])
            self.assertEqual(p.stdout, f"FRAME allowed.example {ECHO4}\n", p)
            self.assertEqual(self.came(s), 1)

    def test_words_that_are_no_hello_pass_as_they_are(self):
        address = "11.0.0.250"
        subprocess.run(self.lab.command(["ip", "addr", "add", f"{address}/32", "dev", "lo"], where=self.lab.internet),
                       check=True)
        self.peer("record", address, 443)
        with self.service() as s:
            for words in (b"\x16\x03\x01\x00\x05hallo", b"\x16\x03\x01\x00\x04\x01\x00\x00\x10", b"binary\x00\xff\r\n\r\n",
                          b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"x", b"POST / HTTP/1.1\r\n", b""):
                self.assertEqual(self.talk(address, 443, words), words.hex() + "\n", words)
            self.assertGreaterEqual(s.errors()["hello_malformed"], 2)

    def test_server_that_speaks_first(self):
        address = "11.0.0.251"
        subprocess.run(self.lab.command(["ip", "addr", "add", f"{address}/32", "dev", "lo"], where=self.lab.internet),
                       check=True)
        self.peer("banner", address, 443)
        with self.service(limits={"hello_timeout_ms": 300}):
            self.assertEqual(self.talk(address, 443, b"", "ready\r\n"), "220 ready\n")

    def test_other_listeners_of_this_host(self):
        port = self.peer("record", "127.0.0.1", 443, where=self.lab.host)
        self.assertEqual(port, 443)
        with self.service():
            self.assertEqual(self.talk("127.0.0.1", 443, b"binary\x00"), b"binary\x00".hex() + "\n")

    def test_no_name(self):
        hello = ["openssl", "s_client", "-connect", f"{WEB4}:443", "-noservername", "-brief"]
        with self.service() as s:
            p = self.lab.run(hello)
            self.assertIn("allowed.example", p.stdout + p.stderr)
            self.assertEqual(s.errors()["no_name"], 0)
        with self.service(limits={"no_sni": "deny"}) as s:
            p = self.lab.run(hello)
            self.assertNotEqual(p.returncode, 0)
            self.assertEqual(s.errors()["no_name"], 1)
            self.assertIn("server=web", self.curl("https://allowed.example/").stdout)

    def test_blocked_original_port(self):
        with self.service(limits={"blocked_ports": [443]}) as s:
            self.assertNotEqual(self.curl("https://allowed.example/").returncode, 0)
            self.assertEqual(s.errors()["blocked_port"], 1)

    # -- what is ours ----------------------------------------------------------------------------------------------

    def test_own_names(self):
        with self.service("--map", f"app.localhost={self.dev}", "--map", f"shop.test={self.dev}", "--http") as s:
            ca = ["--cacert", s.ca]
            for name in ("app.localhost", "shop.test"):
                for family in ("-4", "-6"):
                    p = self.curl(f"https://{name}/", family, *ca)
                    self.assertEqual(p.stdout, f"GET / HTTP/1.1 ['Host: {name}']\n", p)
            self.assertIn("'Host: app.localhost'", self.curl("http://app.localhost/").stdout)
            self.assertEqual(self.came(s), 5)
            p = self.curl("https://moonfence.localhost/healthz", *ca)
            self.assertTrue(json.loads(p.stdout)["rules"]["ok"])

    def test_foreign_requests_on_port_80(self):
        with self.service("--http") as s:
            self.assertIn("server=web host=allowed.example", self.curl("http://allowed.example/").stdout)
            self.assertEqual(self.came(s), 1)
        with self.service() as s:
            self.assertIn("server=web host=allowed.example", self.curl("http://allowed.example/").stdout)
            self.assertEqual(self.came(s), 0)

    def test_names_in_the_hosts_file(self):
        with self.service("--map", "a.test=3000", "--map", "*.b.test=3000", "--no-dns") as s:
            self.assertIn("127.0.0.1 a.test # moonfence proxy\n", self.read_hosts())
            self.assertNotIn("b.test", self.read_hosts())
            self.assertEqual(s.command("map", "add", "c.test", "3000").returncode, 0)
            wait_for("the name", lambda: "::1 c.test # moonfence proxy\n" in self.read_hosts())
            self.assertEqual(s.command("map", "remove", "c.test").returncode, 0)
            wait_for("its end", lambda: "c.test" not in self.read_hosts())
            self.assertIn("10.9.8.7 kept.example\n", self.read_hosts())
        self.assert_gone()

    def test_another_users_development_server(self):
        """The service itself may not look into that user's processes: its broker does."""
        name = f"shop-{os.getpid()}"
        folder = self.lab.path(name)
        self.lab.write(f"{name}/package.json", json.dumps({"name": name}))
        os.chmod(folder, 0o700)
        for path in (folder, os.path.join(folder, "package.json")):
            os.chown(path, int(OTHER_USER), int(OTHER_USER))
        # one that every user may run
        python = shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable
        with self.service("--no-dns", detection=True) as s:
            p = self.lab.popen(["env", "-C", folder, python, "-u", "-m", "http.server", "0", "--bind",
                                "127.0.0.1"], user=int(OTHER_USER), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            wait_for("the server", lambda: [x for x in s.json("list") if x["name"] == f"{name}.localhost"])
            wait_for("its name", lambda: f"127.0.0.1 {name}.localhost # moonfence proxy\n" in self.read_hosts())
            out = self.curl(f"https://{name}.localhost/", "--cacert", s.ca)
            self.assertIn("package.json", out.stdout, out)
            p.kill()
            wait_for("its end", lambda: name not in self.read_hosts())

    def test_hosts_file_is_replaced_in_one_step(self):
        path = self.lab.write("more/hosts", "127.0.0.1 localhost\n127.0.0.1 old.test # moonfence proxy\nno newline", 0o640)
        held = open(path)  # so that its number is not given again
        self.addCleanup(held.close)
        before = os.fstat(held.fileno())
        with self.service("--hosts-file", path, "--map", "a.test=3000", "--no-dns"):
            with open(path) as f:
                text = f.read()
            self.assertIn("\nno newline\n", text)
            self.assertIn("::1 a.test # moonfence proxy\n", text)
            self.assertNotIn("old.test", text)
            after = os.stat(path)
            self.assertEqual((before.st_mode, before.st_uid), (after.st_mode, after.st_uid))
            self.assertNotEqual(before.st_ino, after.st_ino)
            self.assertEqual(os.listdir(os.path.dirname(path)), ["hosts"])
        with open(path) as f:
            self.assertEqual(f.read(), "127.0.0.1 localhost\nno newline\n")

    def test_authority_is_rotated(self):
        """The service may not read the key: its broker hands it over. A temporary one gives way to the first that is made."""
        def works(*pems):
            return [self.curl("https://app.test/", "--cacert", pem).returncode == 0 for pem in pems]

        with service.Authority() as ca:
            with self.service("--map", f"app.test={self.dev}", "--ca-dir", ca.dir) as s:
                self.assertEqual(works(s.ca), [True])
                ca.call("create")
                first = ca.pem()
                wait_for("the first", lambda: works(s.ca, first) == [False, True])
                self.assertTrue(s.json("status")["health"]["certificates"]["ok"])
                ca.call("rotate")
                second = ca.pem()
                wait_for("the second", lambda: works(first, second) == [False, True])

    # -- loops -----------------------------------------------------------------------------------------------------

    def test_nothing_loops(self):
        with self.service() as s:
            # straight to the listener, which has an answer of its own for where it wanted to go
            p = self.curl("https://allowed.example/", "--connect-to", f"::127.0.0.1:{s.port}")
            q = self.lab.run(["curl", "-sS", "--connect-to", f"::[::1]:{s.port}", "https://allowed.example/"])
            self.assertEqual(p.returncode, 7 if "[::1]" in s.line.split(" and ")[0] else p.returncode)
            self.assertIn(35, (p.returncode, q.returncode))
            self.assertEqual(s.errors()["loop"], 1)
            # the proxy's own user is never redirected
            before = self.came(s)
            self.assertIn("server=web", self.curl("https://allowed.example/", user=int(PROXY_USER)).stdout)
            self.assertEqual(self.came(s), before)
            # to this host's own port, where nobody is: refused, not redirected again
            self.assertNotEqual(self.curl("https://foreign.example/", "--connect-to", "::127.0.0.2:443").returncode, 0)
            self.assertEqual(self.came(s), before + 1)
            self.assertEqual(s.errors()["dial"], 1)

    def test_only_for_some_users(self):
        with self.service("--for-user", OTHER_USER) as s:
            self.assertIn("server=web", self.curl("https://allowed.example/").stdout)
            self.assertEqual(self.came(s), 0)
            self.assertIn("server=web", self.curl("https://allowed.example/", user=int(OTHER_USER)).stdout)
            self.assertEqual(self.came(s), 1)

    # -- ends ------------------------------------------------------------------------------------------------------

    def service_pid(self, s):
        return s.json("status")["pid"]

    def test_disabled(self):
        with self.service() as s:
            self.assertIn("moonfence_forward", self.rules())
            self.assertEqual(s.command("disable").returncode, 0)
            self.assert_gone()
            self.assertEqual(s.process.wait(120), 0)

    def test_service_killed(self):
        with self.service() as s:
            os.kill(self.service_pid(s), signal.SIGKILL)
            self.assertEqual(s.process.wait(120), 1)
            self.assert_gone()

    def test_broker_killed(self):
        with self.service("--no-dns") as s:
            pid = self.service_pid(s)
            s.process.kill()
            s.process.wait(120)
            wait_for("the rules' end", lambda: self.rules() == "")
            wait_for("the service's end", lambda: not os.path.exists(f"/proc/{pid}"))
        # its names are taken away by the next one
        self.assertIn("moonfence.localhost", self.read_hosts())
        with self.service("--no-hosts"):
            pass
        with self.service():
            pass
        self.assert_gone()

    def test_both_killed(self):
        with self.service() as s:
            for pid in (s.process.pid, self.service_pid(s)):
                os.kill(pid, signal.SIGKILL)
            s.process.wait(120)
            wait_for("the rules' end", lambda: self.rules() == "")
        with self.service() as s:
            self.assertIn("server=web", self.curl("https://allowed.example/").stdout)
            self.assertEqual(self.came(s), 1)
        self.assert_gone()

    def test_rules_left_behind_are_replaced(self):
        self.lab.run(["nft", "add table inet moonfence_forward; add chain inet moonfence_forward out "
                      "{ type nat hook output priority -100; }; "
                      "add rule inet moonfence_forward out tcp dport 443 redirect to :1"])
        self.assertNotEqual(self.curl("https://allowed.example/").returncode, 0)
        with self.service() as s:
            self.assertIn("server=web", self.curl("https://allowed.example/").stdout)
            self.assertEqual(self.came(s), 1)
            self.assertEqual(self.rules().count("tcp dport 443 redirect to"), 2)
        self.assert_gone()

    def test_rules_are_nobody_elses(self):
        """While it runs, the kernel lets nobody else change them."""
        with self.service():
            self.assertNotEqual(self.lab.run(["nft", "delete table inet moonfence_forward"]).returncode, 0)
            self.assertIn("moonfence_forward", self.rules())

    # -- privileges ------------------------------------------------------------------------------------------------

    def test_service_has_no_privileges(self):
        with self.service() as s:
            with open(f"/proc/{self.service_pid(s)}/status") as f:
                fields = dict(line.split(":", 1) for line in f if ":" in line)
            self.assertEqual(set(fields["Uid"].split()), {PROXY_USER})
            self.assertEqual(set(fields["Gid"].split()), {PROXY_USER})
            self.assertEqual(fields["Groups"].split(), [])
            for caps in ("CapPrm", "CapEff", "CapAmb"):
                self.assertEqual(int(fields[caps], 16), 0)
            self.assertEqual(fields["NoNewPrivs"].strip(), "1")
            # and keeps its settings all the same
            self.assertEqual(s.command("map", "add", "a.test", "3000").returncode, 0)
            with open(os.path.join(s.dir, "proxy.json")) as f:
                self.assertIn("a.test", json.load(f)["maps"])

    def test_wrong_users(self):
        for user, why in (("root", "must not run as root"), ("0", "must not run as root"), ("no-such-user", "no user")):
            p = self.lab.run([service.MOONFENCE, "proxy", "enable", "--foreground", "--user", user, "--dir",
                              self.lab.path("wrong")])
            self.assertEqual(p.returncode, 1)
            self.assertIn(why, p.stderr)
        p = self.lab.run([service.MOONFENCE, "proxy", "enable", "--foreground", "--dir", self.lab.path("wrong")],
                         user=int(OTHER_USER))
        self.assertIn("needs root", p.stderr)


if __name__ == "__main__":
    if not service.is_real_root():
        print("rules for other users need root")
        sys.exit(77)
    unittest.main(verbosity=2)

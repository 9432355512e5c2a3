#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Dev-server detection with real servers: they appear with their names, change, and go. Runs where every port is free."""
import os, shutil, signal, subprocess, sys, tempfile, unittest

from watcher import Watcher, write

PYTHON = os.path.realpath(sys.executable)
SYSTEM_PYTHON = "/usr/bin/python3"  # which has Debian's packages


class Tcp:
    """A server of ours in a process of its own, so that it counts as anybody's: says nothing, or @answer; counts."""

    CODE = """
import os, socket, sys, threading, time
addrs, answer, flags = eval(sys.argv[1]), eval(sys.argv[2]), sys.argv[3]
count, ls = 0, []
for a, p in addrs:
    l = socket.socket(socket.AF_INET6 if ":" in a else socket.AF_INET)
    l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if "share" in flags:
        l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if ":" in a and "dual" not in flags:
        l.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    l.bind((a, p)); l.listen(16); ls.append(l)
if "fork" in flags and os.fork():
    os.wait()
    sys.exit()
print("ready", os.getpid(), flush=True)
def one(c):
    global count
    try:
        c.settimeout(60)
        if answer is None:
            c.recv(1)
            while c.recv(65536): pass
        elif callable(answer):
            answer(c, count)
        else:
            if "first" not in flags: c.recv(65536)
            c.sendall(answer)
    except OSError: pass
    c.close()
def serve(l):
    global count
    while True:
        c, _ = l.accept()
        count += 1
        threading.Thread(target=one, args=(c,), daemon=True).start()
for l in ls: threading.Thread(target=serve, args=(l,), daemon=True).start()
for line in sys.stdin: print(count, flush=True)
"""

    def __init__(self, addrs, answer="None", flags="", cwd=None):
        if isinstance(addrs, int):
            addrs = [("127.0.0.1", addrs)]
        self.p = subprocess.Popen([PYTHON, "-c", self.CODE, repr(addrs), answer, flags], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True, cwd=cwd)
        word, pid = self.p.stdout.readline().split()
        self.pid = int(pid)

    def count(self):
        self.p.stdin.write("\n")
        self.p.stdin.flush()
        return int(self.p.stdout.readline())

    def close(self):
        if self.pid != self.p.pid:
            os.kill(self.pid, signal.SIGKILL)
        self.p.kill()
        self.p.wait()
        self.p.stdin.close()
        self.p.stdout.close()


HTTP = repr(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


class Detection(unittest.TestCase):
    def setUp(self):
        # not below /tmp itself by name: what lies directly in it is nobody's project
        self.top = tempfile.mkdtemp(prefix="dev-")
        self.addCleanup(shutil.rmtree, self.top)

    def watch(self, *args):
        # a probe's limit is out of the way where it is not what is tried: machines may be slow
        w = Watcher(*(() if "--probe" in args else ("--probe", "60000")), *args)
        self.addCleanup(w.close)
        return w

    def spawn(self, argv, **kw):
        p = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, **kw)

        def end():
            if kw.get("start_new_session"):  # with its children
                os.killpg(p.pid, signal.SIGKILL)
            p.kill()
            p.wait()
        self.addCleanup(end)
        return p

    def tcp(self, *args, **kw):
        t = Tcp(*args, **kw)
        self.addCleanup(t.close)
        return t

    def project(self, name, **files):
        path = os.path.join(self.top, name)
        os.makedirs(path)
        for f, text in files.items():
            write(os.path.join(path, f.replace("__", ".")), text)
        return path

    # --- real servers ---

    def test_a_python_server_comes_and_goes(self):
        w = self.watch()
        d = self.project("My Shop (v2)")
        p = self.spawn([PYTHON, "-m", "http.server", "--bind", "127.0.0.1", "8000"], cwd=d)
        s = w.wait(8000, speech="http")
        self.assertEqual((s["kind"], s["name"], s["pid"], s["at"]),
                         ("python-http", "my-shop-v2.localhost", p.pid, "127.0.0.1:8000"))
        self.assertEqual((s["url"], s["cwd"], s["project"]), ("https://my-shop-v2.localhost", d, ""))
        self.assertEqual((s["on_v4"], s["on_v6"], s["on_any_address"], s["uid"]), (True, False, False, os.getuid()))
        p.kill()
        w.gone(8000)
        self.assertEqual([c for c, _ in w.changes], ["appeared", "disappeared"])

    def test_what_runs_already_is_told_of(self):
        t = self.tcp(8001, HTTP)
        w = self.watch()
        w.wait(8001, speech="http", pid=t.pid)

    @unittest.skipUnless(shutil.which("node"), "no node")
    def test_node_servers_of_one_project(self):
        w = self.watch()
        d = self.project("somewhere", package__json='{"name": "@acme/Web_App", "dependencies": {"express": "*"}}')
        os.mkdir(d + "/src")
        js = "require('http').createServer((q, r) => { r.setHeader('X-Powered-By', 'Express'); r.end('hi') }).listen(%d, '127.0.0.1')"
        for port, name in ((3000, "web-app.localhost"), (3001, "web-app-3001.localhost")):
            write(d + f"/src/s{port}.js", js % port)
            self.spawn(["node", f"s{port}.js"], cwd=d + "/src")
            s = w.wait(port, speech="http")
            self.assertEqual((s["kind"], s["name"], s["project"]), ("express", name, d))
        self.assertEqual(len(w.ask("list")["list"]), 2)

    @unittest.skipUnless(shutil.which("php"), "no php")
    def test_php(self):
        w = self.watch()
        self.spawn(["php", "-S", "127.0.0.1:9100"], cwd=self.project("blog", index__php="<?php echo 1;"))
        w.wait(9100, speech="http", kind="php", name="blog.localhost")

    @unittest.skipIf(subprocess.run([SYSTEM_PYTHON, "-c", "import flask"], stderr=subprocess.DEVNULL).returncode, "no flask")
    def test_flask_and_its_reloader(self):
        w = self.watch()
        d = self.project("notes", app__py="import flask\napp = flask.Flask('notes')\n@app.route('/')\ndef x(): return 'x'\n")
        # the reloader's parent holds the socket as well, and the child serves
        self.spawn([SYSTEM_PYTHON, "-m", "flask", "--debug", "run", "--port", "5000"], cwd=d, start_new_session=True)
        s = w.wait(5000, speech="http", kind="flask", name="notes.localhost")
        self.assertEqual(s["cwd"], d)

    @unittest.skipIf(subprocess.run([SYSTEM_PYTHON, "-c", "import django"], stderr=subprocess.DEVNULL).returncode, "no django")
    def test_django(self):
        w = self.watch()
        d = self.project("site")
        subprocess.run([SYSTEM_PYTHON, "-m", "django", "startproject", "site1", d], check=True)
        self.spawn([SYSTEM_PYTHON, "manage.py", "runserver", "8000"], cwd=d, start_new_session=True)
        s = w.wait(8000, speech="http", kind="django", name="site.localhost")
        self.assertEqual(s["project"], d)

    @unittest.skipUnless(shutil.which("node"), "no node")
    def test_node_speaks_http2_in_clear_and_tls(self):
        w = self.watch()
        d = self.project("rpc", package__json="{}")
        self.spawn(["node", "-e", "require('http2').createServer(() => {}).listen(3100, '127.0.0.1')"], cwd=d)
        w.wait(3100, speech="h2c", kind="node", name="rpc.localhost")

    @unittest.skipUnless(shutil.which("openssl"), "no openssl")
    def test_openssl_speaks_tls(self):
        d = self.project("secure")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                        "/CN=localhost", "-keyout", d + "/k", "-out", d + "/c"], check=True, stderr=subprocess.DEVNULL)
        w = self.watch()
        # it reads commands from its input, and ends with it
        p = subprocess.Popen(["openssl", "s_server", "-accept", "4433", "-key", d + "/k", "-cert", d + "/c", "-quiet"], cwd=d,
                             stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: (p.kill(), p.wait(), p.stdin.close()))
        w.wait(4433, speech="tls", kind="openssl", name="secure.localhost", on_any_address=True)

    # --- protocols that are none of ours ---

    def test_a_silent_server_is_asked_again_until_it_speaks(self):
        w = self.watch("--probe", "1000")
        # the first two connections hear nothing, the later ones an answer
        t = self.tcp(8100, "lambda c, n: c.recv(9999) and (time.sleep(60) if n <= 2 else c.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\n'))")
        w.wait(8100, speech="silent", name="")
        w.wait(8100, speech="http", pid=t.pid)
        self.assertEqual([c for c, _ in w.changes], ["appeared", "changed"])

    def test_endless_garbage_ends(self):
        w = self.watch("--probe", "2000")
        endless = "lambda c, n: [c.sendall(%s) for _ in iter(int, 1)]"
        self.tcp(8110, endless % repr(b"garbage " * 4096))
        self.tcp(8111, endless % repr(b"\0" * 4096))
        self.tcp(8112, "lambda c, n: (c.sendall(b'HTTP/1.1 200 OK\\r\\n'), [c.sendall(b'x: y\\r\\n' * 999) for _ in iter(int, 1)])")
        self.tcp(8113, "lambda c, n: (c.sendall(b'HTTP/1.1 200 OK\\r\\n'), [(c.sendall(b'x'), time.sleep(0.01)) for _ in iter(int, 1)])")
        w.wait(8110, speech="other", name="")
        w.wait(8111, speech="other")
        w.wait(8112, speech="http")
        w.wait(8113, speech="http")

    def test_a_server_that_speaks_first_is_asked_nothing_more(self):
        w = self.watch()
        t = self.tcp(8120, repr(b"220 mail.test ESMTP\r\n"), "first")
        w.wait(8120, speech="other")
        w.ticks(3)
        self.assertEqual(t.count(), 1)

    def test_a_server_that_hangs_up_is_asked_each_question_once(self):
        w = self.watch()
        t = self.tcp(8121, "lambda c, n: c.recv(9999)")
        w.wait(8121, speech="other")
        w.ticks(3)
        self.assertEqual(t.count(), 3)

    def test_a_server_is_asked_once(self):
        w = self.watch("--tick", "50")
        t = self.tcp(8130, HTTP)
        w.wait(8130, speech="http")
        w.ticks(20)
        self.assertEqual(t.count(), 1)

    def test_plain_http_to_a_tls_port(self):
        # what nginx and Go do: an HTTP error in clear to HTTP, TLS to TLS
        w = self.watch()
        self.tcp(8140, "lambda c, n: c.sendall(b'\\x15\\x03\\x03\\0\\2\\2\\x28' if c.recv(9999)[0] == 0x16 else "
                       "b'HTTP/1.0 400 Bad Request\\r\\n\\r\\nClient sent an HTTP request to an HTTPS server.\\n')")
        self.tcp(8141, "lambda c, n: c.recv(9999) and c.sendall(b'HTTP/1.0 400 Bad Request\\r\\n\\r\\n')")
        w.wait(8140, speech="tls")
        w.wait(8141, speech="http")

    # --- who is not connected to, and who is not seen ---

    def test_privileged_and_skipped_ports_and_our_own_are_left_out(self):
        w = self.watch("--skip", "8150", "--own", "8151")
        quiet = [self.tcp(p, HTTP) for p in (22, 443, 8150)]
        self.tcp(8152, HTTP)
        w.wait(8152, speech="http")
        w.ticks(3)
        self.assertEqual([s["port"] for s in w.now.values()], [8152])
        self.assertEqual([t.count() for t in quiet], [0, 0, 0])

    def test_databases_are_not_connected_to(self):
        w = self.watch()
        t = self.tcp(5432, HTTP)
        w.wait(5432, speech="other", name="")
        w.ticks(3)
        self.assertEqual(t.count(), 0)

    def test_other_users_servers_are_not_seen(self):
        w = self.watch("--uid", "12345")
        t = self.tcp(8160, HTTP)
        w.ticks(3)
        self.assertEqual((w.now, t.count()), ({}, 0))

    def test_addresses_beyond_loopback_are_not_looked_at(self):
        subprocess.run(["ip", "addr", "add", "192.0.2.1/32", "dev", "lo"], check=True)
        self.addCleanup(subprocess.run, ["ip", "addr", "del", "192.0.2.1/32", "dev", "lo"], check=True)
        w = self.watch()
        self.tcp([("192.0.2.1", 8170)], HTTP)
        self.tcp([("127.3.2.1", 8171)], HTTP)
        w.wait(8171, at="127.3.2.1:8171", speech="http")
        w.ticks(2)
        self.assertEqual(w.at(8170), [])

    # --- one server, several sockets ---

    def test_both_families_are_one_server(self):
        w = self.watch()
        self.tcp([("127.0.0.1", 8200), ("::1", 8200)], HTTP)
        self.tcp([("::", 8201)], HTTP, "dual")
        self.tcp([("::", 8202)], HTTP)
        self.tcp([("::1", 8203)], HTTP)
        self.tcp([("0.0.0.0", 8204)], HTTP)
        for port, at, v4, v6, beyond in ((8200, "127.0.0.1:8200", True, True, False), (8201, "127.0.0.1:8201", True, True, True),
                                         (8202, "[::1]:8202", False, True, True), (8203, "[::1]:8203", False, True, False),
                                         (8204, "127.0.0.1:8204", True, False, True)):
            w.wait(port, speech="http", at=at, on_v4=v4, on_v6=v6, on_any_address=beyond)
            self.assertEqual(len(w.at(port)), 1)

    def test_workers_that_share_a_port_are_one_server(self):
        w = self.watch()
        d = self.project("workers")
        a, b = (self.tcp([("0.0.0.0", 8210)], HTTP, "share", cwd=d) for _ in range(2))
        w.wait(8210, speech="http", name="workers.localhost")
        w.ticks(2)
        self.assertEqual(len(w.at(8210)), 1)
        first = w.at(8210)[0]["pid"]
        self.assertIn(first, (a.pid, b.pid))
        (a if first == a.pid else b).close()
        w.ticks(2)
        self.assertEqual(w.at(8210)[0]["name"], "workers.localhost")

    def test_two_servers_on_one_port_are_two(self):
        w = self.watch()
        a = self.tcp([("127.0.0.1", 8220)], HTTP, cwd=self.project("a"))
        b = self.tcp([("::1", 8220)], HTTP, cwd=self.project("b"))
        w.wait(8220, name="a.localhost", at="127.0.0.1:8220", pid=a.pid)
        w.wait(8220, name="b.localhost", at="[::1]:8220", pid=b.pid)

    def test_a_child_keeps_the_socket_of_a_parent_that_dies(self):
        w = self.watch()
        t = self.tcp(8230, HTTP, "fork")
        s = w.wait(8230, speech="http")
        self.assertIn(s["pid"], (t.pid, t.p.pid))
        os.kill(t.p.pid, signal.SIGKILL)
        t.p.wait()
        w.wait(8230, pid=t.pid, speech="http")
        self.assertNotIn("disappeared", [c for c, _ in w.changes])

    def test_a_server_restarted_on_its_port_keeps_its_name(self):
        w = self.watch()
        d = self.project("again")
        pids = []
        for _ in range(3):
            t = Tcp(8240, HTTP, cwd=d)
            pids.append(t.pid)
            w.wait(8240, pid=t.pid, speech="http", name="again.localhost")
            self.assertEqual(len(w.at(8240)), 1)
            t.close()
        w.gone(8240)
        self.assertEqual(len(set(pids)), 3)

    def test_forty_servers_at_once(self):
        w = self.watch("--probe", "100")
        d = self.project("many")
        for port in range(8300, 8340):
            self.spawn([PYTHON, "-c", f"import socket,time;l=socket.create_server(('127.0.0.1',{port}));time.sleep(600)"], cwd=d)
        t = [self.tcp(p, HTTP, cwd=d) for p in range(8340, 8345)]
        for port in range(8300, 8340):
            w.wait(port, speech="silent")
        for x, port in zip(t, range(8340, 8345)):
            w.wait(port, speech="http", pid=x.pid)
        names = [s["name"] for s in w.now.values() if s["name"]]
        self.assertEqual(len(names), len(set(names)))

    # --- names ---

    def test_names_that_are_taken(self):
        w = self.watch("--taken", "shop.localhost")
        self.tcp(8400, HTTP, cwd=self.project("shop"))
        self.tcp(8401, HTTP, cwd=self.project("moonfence"))
        self.tcp(8402, HTTP, cwd=self.project("localhost"))
        self.tcp(8403, HTTP, cwd=self.project("later"))
        self.tcp(8404, HTTP, cwd=self.project("((("))
        w.wait(8400, speech="http", name="shop-8400.localhost")
        w.wait(8401, speech="http", name="moonfence-8401.localhost")
        w.wait(8402, speech="http", name="localhost-8402.localhost")
        w.wait(8403, speech="http", name="later.localhost")
        w.wait(8404, speech="http", name="", url="")
        w.tell("taken later.localhost")
        w.wait(8403, name="later-8403.localhost")

    # --- files that are not what they seem ---

    def test_files_that_are_not_believed(self):
        w = self.watch()
        secret = self.project("secret", package__json='{"name": "leaked"}')
        cases = {"link": lambda p: os.symlink(secret + "/package.json", p), "fifo": os.mkfifo, "dir": os.mkdir,
                 "huge": lambda p: write(p, '{"name": "huge-name", "x": "%s"}' % ("y" * 70000)),
                 "bad": lambda p: write(p, '{"name": '), "number": lambda p: write(p, '{"name": 7}')}
        for port, (name, make) in enumerate(cases.items(), 8410):
            d = self.project("case-" + name)
            make(d + "/package.json")
            self.tcp(port, HTTP, cwd=d)
            w.wait(port, speech="http", name=f"case-{name}.localhost")

    def test_a_directory_that_was_removed(self):
        w = self.watch()
        d = self.project("gone")
        self.tcp(8420, HTTP, cwd=d)
        d2 = self.project("gone2")
        t = Tcp(8421, HTTP, cwd=d2)
        self.addCleanup(t.close)
        w.wait(8420, name="gone.localhost")
        os.rmdir(d)
        w.wait(8421, speech="http")


if __name__ == "__main__":
    unittest.main(verbosity=1)

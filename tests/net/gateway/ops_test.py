#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""moonfence gateway as a service: threads, ends, certificates, its manager's sockets and words, the filter of system calls."""
import glob, os, signal, socket, ssl, struct, subprocess, tempfile, time, unittest

from rig import *

TIED = """
return {
  name = "tied",
  dns = function(q)
    if q.name == "tied.test" then return resolve "127.0.0.1" end
    return allow()
  end,
  connect = function(c)
    if c.host == "tied.test" then return allow() end
    return deny "no name"
  end,
}
"""
echoes = Server(echo)
upstream = Udp(dns_answer)
ECHO = f"/tcp?host=127.0.0.1&port={echoes.port}"


def certificate(name):
    """(certificate, key) for CN=@name."""
    cert, key = tempfile.mktemp(dir=TMP), tempfile.mktemp(dir=TMP)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=" + name,
                    "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), WAIT).close()
        return True
    except ConnectionRefusedError:
        return False


class KeptAlive:
    """One HTTP connection, and so one thread, for several requests."""

    def __init__(self, gw):
        self.s, self.buf = gw.socket(), b""

    def ask(self, method, path, fields=(), body=b""):
        head = f"{method} {path} HTTP/1.1\r\nHost: gw.test\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields)
        head += f"Content-Length: {len(body)}\r\n" if body else ""
        self.s.sendall(head.encode() + b"\r\n" + body)
        while b"\r\n\r\n" not in self.buf:
            self.more()
        head, _, self.buf = self.buf.partition(b"\r\n\r\n")
        n = next((int(l.split(b":")[1]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length:")), 0)
        while len(self.buf) < n:
            self.more()
        body, self.buf = self.buf[:n], self.buf[n:]
        return int(head.split()[1]), body

    def more(self):
        b = self.s.recv(65536)
        if not b:
            raise EOFError
        self.buf += b


def status_of(gw, path, fields=()):
    """What an upgrade gets: 101 with the WebSocket, or (status, None)."""
    try:
        return 101, gw.ws(path, fields)
    except Refused as e:
        return e.status, None


class Threads(unittest.TestCase):
    def of_threads(self, gw):
        text = gw.http("GET", "/metrics")[2].decode()
        return [int(l.split()[1]) for l in text.splitlines() if l.startswith("moonfence_gateway_thread_websockets{")]

    def test_every_thread_serves_and_figures_are_of_all(self):
        gw = Gateway("--auth", "none", "--threads", "4", "--ethernet", "off")
        open = [gw.ws(ECHO) for _ in range(64)]
        for i, ws in enumerate(open):
            ws.send(b"%d" % i)
        for i, ws in enumerate(open):
            self.assertEqual(ws.recv(), (2, b"%d" % i))
        for _ in range(16): # by whichever thread
            self.assertEqual(gw.metric("moonfence_gateway_websockets"), 64)
            self.assertEqual(gw.metric("moonfence_gateway_members"), 1)
            self.assertEqual(gw.metric("moonfence_gateway_flows"), 64)
        parts = self.of_threads(gw)
        self.assertEqual((len(parts), sum(parts)), (4, 64))
        # 64 hashed to four places: that two stay empty would take a hash that is none
        self.assertGreater(sum(n > 0 for n in parts), 2, parts)
        for ws in open:
            ws.close()
        wait_for("all closed", lambda: gw.metric("moonfence_gateway_websockets") == 0)
        self.assertEqual(gw.stop(), 0)

    def test_a_name_of_one_thread_is_known_to_all(self):
        gw = Gateway("--threads", "4", "--ethernet", "off", "--dns", f"127.0.0.1:{upstream.port}", policy=TIED)
        cookies = [gw.http("POST", "/session")[1]["set-cookie"].split(";")[0] for _ in range(2)]
        mine, other = ([("Cookie", c)] for c in cookies)
        for _ in range(8):
            self.assertEqual(status_of(gw, ECHO, mine)[0], 403)
        self.assertEqual(gw.http("POST", "/dns-query", mine + [("Content-Type", "application/dns-message")], question("tied.test"))[0], 200)
        for _ in range(32):
            status, ws = status_of(gw, ECHO, mine)
            self.assertEqual(status, 101)
            ws.close()
            self.assertEqual(status_of(gw, ECHO, other)[0], 403)
        self.assertEqual(gw.stop(), 0)

    def test_limits_are_of_the_whole(self):
        gw = Gateway("--auth", "none", "--threads", "4", "--ethernet", "off", "--max-connections", "20")
        got = [status_of(gw, ECHO) for _ in range(60)]
        self.assertEqual(sum(s == 101 for s, _ in got), 20)
        self.assertEqual(sum(s == 429 for s, _ in got), 40)
        for _, ws in got:
            if ws:
                ws.close()
        wait_for("room", lambda: status_of(gw, ECHO)[0] == 101)
        self.assertEqual(gw.stop(), 0)
        gw = Gateway("--auth", "none", "--threads", "4", "--ethernet", "off", "--max-session-connections", "10")
        got = [status_of(gw, ECHO) for _ in range(40)]
        self.assertEqual(sum(s == 101 for s, _ in got), 10)
        self.assertEqual(gw.stop(), 0)

    def test_the_rate_of_an_address_is_of_the_whole(self):
        gw = Gateway("--auth", "none", "--threads", "4", "--ethernet", "off", "--dns", f"127.0.0.1:{upstream.port}", "--dns-rate", "5")
        began = time.monotonic()
        got = [gw.http("POST", "/dns-query", [("Content-Type", "application/dns-message")], question("a.test"))[0] for _ in range(60)]
        took = time.monotonic() - began
        good = got.count(200)
        self.assertGreaterEqual(good, 10)
        self.assertLessEqual(good, 10 + 5 * took + 1)
        self.assertEqual(got.count(429), 60 - good)
        self.assertEqual(gw.stop(), 0)

    def test_a_new_policy_is_everybodys(self):
        gw = Gateway("--auth", "none", "--threads", "4", "--ethernet", "off")
        for _ in range(16):
            gw.ws(ECHO).close()
        with open_file(gw.policy, "w") as f:
            f.write('return { name = "rig", connect = function() return deny "closed" end }\n')
        wait_for("the new policy", lambda: status_of(gw, ECHO)[0] == 403)
        for _ in range(32):
            self.assertEqual(status_of(gw, ECHO)[0], 403)
        self.assertEqual(gw.stop(), 0)

    def test_a_port_that_is_taken(self):
        gw = Gateway("--auth", "none", "--threads", "2", "--ethernet", "off")
        r = subprocess.run([MOONFENCE, "gateway", "--threads", "2", "--ethernet", "off", "--policy", gw.policy, "--listen", f"127.0.0.1:{gw.port}"],
                           capture_output=True, text=True, timeout=WAIT)
        self.assertEqual(r.returncode, 125)
        self.assertIn("cannot serve at", r.stderr)
        self.assertEqual(gw.stop(), 0)


class End(unittest.TestCase):
    def test_what_is_open_finishes_and_another_takes_the_place(self):
        gw = Gateway("--auth", "none", "--threads", "2", "--ethernet", "off", "--drain", "600")
        ws, kept = gw.ws(ECHO), KeptAlive(gw)
        self.assertEqual(kept.ask("GET", "/readyz")[0], 200)
        gw.p.terminate()
        wait_for("no listener", lambda: not listens(gw.port))
        self.assertEqual(kept.ask("GET", "/readyz")[0], 503)
        self.assertEqual(kept.ask("POST", "/session")[0], 503)
        ws.send(b"still here")
        self.assertEqual(ws.recv(), (2, b"still here"))
        upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")]
        self.assertEqual(kept.ask("GET", ECHO, upgrade)[0], 503)
        after = Gateway("--auth", "none", "--listen", f"127.0.0.1:{gw.port}", "--threads", "2", "--ethernet", "off")
        self.assertTrue(listens(gw.port))
        ws.send(b"and here")
        self.assertEqual(ws.recv(), (2, b"and here"))
        self.assertIsNone(gw.p.poll())
        self.assertEqual(ws.close()[0], 1000)
        self.assertEqual(gw.p.wait(WAIT), 0)
        self.assertEqual(after.stop(), 0)

    def test_the_limit(self):
        gw = Gateway("--auth", "none", "--threads", "3", "--ethernet", "off", "--drain", "1")
        open = [gw.ws(ECHO) for _ in range(12)]
        began = time.monotonic()
        gw.p.terminate()
        for ws in open:
            self.assertEqual(ws.recv_close()[0], 1001)
            ws.send(struct.pack(">H", 1001), 8)
        self.assertGreaterEqual(time.monotonic() - began, 0.9)
        self.assertEqual(gw.p.wait(WAIT), 0)

    def test_a_second_signal_ends_at_once(self):
        gw = Gateway("--auth", "none", "--threads", "2", "--ethernet", "off", "--drain", "600")
        ws = gw.ws(ECHO)
        gw.p.terminate()
        wait_for("no listener", lambda: not listens(gw.port))
        gw.p.terminate()
        self.assertEqual(gw.p.wait(WAIT), 0)
        self.assertIsNone(ws.recv_close()[0])

    def test_interrupted_it_tells_at_once(self):
        gw = Gateway("--auth", "none", "--threads", "2", "--ethernet", "off", "--drain", "600")
        ws = gw.ws(ECHO)
        gw.p.send_signal(signal.SIGINT)
        self.assertEqual(ws.recv_close()[0], 1001)
        ws.send(struct.pack(">H", 1001), 8)
        self.assertEqual(gw.p.wait(WAIT), 0)

    def test_idle_it_ends_at_once(self):
        gw = Gateway("--auth", "none", "--threads", "4", "--ethernet", "off", "--drain", "600")
        self.assertEqual(gw.stop(), 0)


class Certificates(unittest.TestCase):
    def serial(self, gw):
        with gw.socket() as s:
            return s.getpeercert(True)

    def test_new_files_are_seen(self):
        first, second = certificate("first.test"), certificate("second.test")
        der = [ssl.PEM_cert_to_DER_cert(open_file(c[0]).read()) for c in (first, second)]
        cert, key = TMP + "/live.pem", TMP + "/live.key"
        os.link(first[0], cert)
        os.link(first[1], key)
        gw = Gateway("--auth", "none", "--threads", "4", "--ethernet", "off", "--tls-cert", cert, "--tls-key", key, tls=True)
        self.assertEqual(self.serial(gw), der[0])
        ws = gw.ws(ECHO)
        os.replace(second[0], cert)
        for _ in range(8): # the two do not match: what was good goes on
            self.assertEqual(self.serial(gw), der[0])
        os.replace(second[1], key)
        wait_for("the new certificate", lambda: self.serial(gw) == der[1])
        wait_for("by all threads", lambda: all(self.serial(gw) == der[1] for _ in range(24)))
        ws.send(b"as before")
        self.assertEqual(ws.recv(), (2, b"as before"))
        ws.close()
        self.assertEqual(gw.stop(), 0)


class Manager(unittest.TestCase):
    """systemd's protocols, without it; tests/package has the real one."""

    def start(self, *args, env=(), given=()):
        command = [MOONFENCE, "gateway", "--policy", self.policy, "--auth", "none", "--open", "127.0.0.0/8", "--drain", "0", *args]
        env = {**os.environ, **dict(env)}
        if given:
            names = dict(env).get("LISTEN_FDNAMES", "http")
            # beyond the lot first, so that none is overwritten before it was copied
            moved = "; ".join([f"exec {20 + i}<&{s.fileno()}" for i, s in enumerate(given)] + [f"exec {3 + i}<&{20 + i}" for i in range(len(given))])
            command = ["bash", "-c", f'{moved}; export LISTEN_PID=$$ LISTEN_FDS={len(given)} LISTEN_FDNAMES={names}; exec "$@"', "-", *command]
        p = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
                             pass_fds=[s.fileno() for s in given])
        self.addCleanup(p.stdout.close)
        self.addCleanup(p.stderr.close)
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)
        return p

    def setUp(self):
        self.policy = tempfile.mktemp(dir=TMP, suffix=".lua")
        with open_file(self.policy, "w") as f:
            f.write(POLICY)

    def test_sockets_that_are_given(self):
        with socket.create_server(("127.0.0.1", 0)) as s:
            port = s.getsockname()[1]
            early = socket.create_connection(("127.0.0.1", port)) # before anybody serves
            early.sendall(b"GET /healthz HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\n\r\n")
            p = self.start("--threads", "3", "--ethernet", "off", given=[s])
            self.assertEqual(p.stdout.readline(), f"http://127.0.0.1:{port}/\n")
            self.assertTrue(early.makefile("rb").readline().startswith(b"HTTP/1.1 200"))
            for _ in range(16):
                with socket.create_connection(("127.0.0.1", port)) as c:
                    c.sendall(b"GET /readyz HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\n\r\n")
                    self.assertTrue(c.makefile("rb").readline().startswith(b"HTTP/1.1 200"))
            p.terminate()
            self.assertEqual(p.wait(WAIT), 0)
            socket.create_connection(("127.0.0.1", port)).close() # its owner still has it: the next one gets who waits
            early.close()

    def test_a_socket_for_webrtc_that_is_given(self):
        with socket.create_server(("127.0.0.1", 0)) as s, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
            u.bind(("127.0.0.1", 0))
            p = self.start(env={"LISTEN_FDNAMES": "http:webrtc"}, given=[s, u])
            said = [p.stdout.readline(), p.stdout.readline()]
            self.assertEqual(said, [f"http://127.0.0.1:{s.getsockname()[1]}/\n", f"udp://127.0.0.1:{u.getsockname()[1]}/\n"])
            p.terminate()
            self.assertEqual(p.wait(WAIT), 0)
            wrong = self.start(env={"LISTEN_FDNAMES": "webrtc:http"}, given=[s, u])
            self.assertEqual(wrong.wait(WAIT), 125)
            self.assertIn("no UDP socket for WebRTC", wrong.stderr.read())

    def test_a_socket_that_is_none(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(("127.0.0.1", 0))
            p = self.start(given=[s])
            self.assertEqual(p.wait(WAIT), 125)
            self.assertIn("is no TCP listener", p.stderr.read())

    def test_what_it_is_told(self):
        path = TMP + "/notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.bind(path)
            s.settimeout(WAIT)
            p = self.start("--listen", "127.0.0.1:0", "--threads", "2", "--ethernet", "off", env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "200000"})

            def hear(word):
                while True:
                    if word in (lines := s.recv(4096).decode().split("\n")):
                        return lines
            self.assertIn("STATUS=serving, 2 threads", hear("READY=1"))
            for _ in range(3):
                hear("WATCHDOG=1")
            p.send_signal(signal.SIGHUP)
            self.assertTrue(any(l.startswith("MONOTONIC_USEC=") for l in hear("RELOADING=1")))
            hear("READY=1")
            p.terminate()
            hear("STOPPING=1")
            self.assertEqual(p.wait(WAIT), 0)


class Filter(unittest.TestCase):
    def states(self, *args):
        gw = Gateway("--auth", "none", "--threads", "3", "--ethernet", "off", *args)
        got = set()
        for path in glob.glob(f"/proc/{gw.p.pid}/task/*/status"):
            with open_file(path) as f:
                of = dict(l.split(":\t") for l in f.read().splitlines() if ":\t" in l)
            got.add((of["Seccomp"], of["NoNewPrivs"]))
        self.assertEqual(gw.stop(), 0)
        return got

    def test_every_thread_has_it(self):
        self.assertEqual(self.states(), {("2", "1")})

    def test_without(self):
        self.assertEqual({s for s, _ in self.states("--no-seccomp")}, {self.mine()})

    def mine(self):
        with open_file("/proc/self/status") as f:
            return next(l.split()[1] for l in f if l.startswith("Seccomp:"))


if __name__ == "__main__":
    unittest.main(warnings="ignore") # sockets are left to their tests' ends

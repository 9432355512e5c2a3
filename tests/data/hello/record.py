#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Record the ClientHello of real clients, and describe each with a reader that shares nothing with ours.

usage: record.py DIR    writes DIR/NAME.bin (wire bytes) and DIR/NAME.txt (what is in them)
"""
import hashlib, os, shutil, socket, struct, subprocess, sys, threading

NAME = "api.vendor.example"


def capture(make_argv):
    srv = socket.socket()
    srv.bind(("127.0.0.1", 0))
    srv.listen(1)
    port = srv.getsockname()[1]
    p = subprocess.Popen(make_argv(port), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    srv.settimeout(20)
    conn, _ = srv.accept()
    conn.settimeout(5)
    data = b""
    while True:
        data += conn.recv(65536)
        msg, pos = b"", 0
        while pos + 5 <= len(data):
            n = struct.unpack(">H", data[pos + 3:pos + 5])[0]
            msg += data[pos + 5:pos + 5 + n]
            pos += 5 + n
            if len(msg) >= 4 and len(msg) == 4 + int.from_bytes(msg[1:4], "big") and pos <= len(data):
                conn.close()
                p.kill()
                p.wait()
                return data[:pos], msg


def grease(v):
    return v & 0x0f0f == 0x0a0a and v >> 8 == v & 255


def describe(msg):
    r = memoryview(msg)[4:]
    legacy = struct.unpack(">H", r[:2])[0]
    r = r[34:]
    r = r[1 + r[0]:]
    n = struct.unpack(">H", r[:2])[0]
    ciphers = [c for c in struct.unpack(">%dH" % (n // 2), r[2:2 + n]) if not grease(c)]
    r = r[2 + n:]
    r = r[1 + r[0]:]
    exts = []
    r = r[2:]
    while r:
        t, n = struct.unpack(">HH", r[:4])
        exts.append((t, bytes(r[4:4 + n])))
        r = r[4 + n:]
    e = dict(exts)
    sni = e[0][5:].decode() if 0 in e else ""
    alpn, versions, sigs = [], [legacy], []
    if 16 in e:
        b = e[16][2:]
        while b:
            alpn.append(b[1:1 + b[0]])
            b = b[1 + b[0]:]
    if 43 in e:
        versions = [v for v in struct.unpack(">%dH" % ((len(e[43]) - 1) // 2), e[43][1:]) if not grease(v)]
    if 13 in e:
        sigs = struct.unpack(">%dH" % ((len(e[13]) - 2) // 2), e[13][2:])
    types = [t for t, _ in exts if not grease(t)]
    a = "00"
    if alpn:
        f, l = alpn[0][:1], alpn[0][-1:]
        a = (f + l).decode() if f.isalnum() and l.isalnum() else f.hex()[0] + l.hex()[1]
    h = lambda s: hashlib.sha256(s.encode()).hexdigest()[:12] if s else "0" * 12
    cs = ",".join("%04x" % c for c in sorted(ciphers))
    es = ",".join("%04x" % t for t in sorted(types) if t not in (0, 16))
    if es and sigs:
        es += "_" + ",".join("%04x" % s for s in sigs)
    names = {0x304: "13", 0x303: "12", 0x302: "11", 0x301: "10", 0x300: "s3"}
    ja4 = "t%s%s%02d%02d%s_%s_%s" % (names.get(max(versions), "00"), "d" if sni else "i", min(len(ciphers), 99),
                                    min(len(types), 99), a, h(cs), h(es))
    text = {0x304: "TLS1.3", 0x303: "TLS1.2", 0x302: "TLS1.1", 0x301: "TLS1.0", 0x300: "SSL3"}
    return "sni=%s\nalpn=%s\nversions=%s\nech=%d\npsk=%d\nextensions=%d\nja4=%s\n" % (
        sni, ",".join(x.decode() for x in alpn), ",".join(text[v] for v in versions if v in text), 0xfe0d in e, 41 in e,
        len(exts), ja4)




CLIENTS = {
    "openssl": lambda p: ["openssl", "s_client", "-connect", "127.0.0.1:%d" % p, "-servername", NAME],
    "openssl-tls12": lambda p: ["openssl", "s_client", "-connect", "127.0.0.1:%d" % p, "-servername", NAME, "-tls1_2"],
    "openssl-nosni": lambda p: ["openssl", "s_client", "-connect", "127.0.0.1:%d" % p, "-noservername"],
    "openssl-alpn": lambda p: ["openssl", "s_client", "-connect", "127.0.0.1:%d" % p, "-servername", NAME,
                               "-alpn", "h2,http/1.1"],
    "curl": lambda p: ["curl", "-sk", "--connect-to", "%s:443:127.0.0.1:%d" % (NAME, p), "https://%s/" % NAME],
    "curl-http11": lambda p: ["curl", "-sk", "--http1.1", "--connect-to", "%s:443:127.0.0.1:%d" % (NAME, p),
                              "https://%s/" % NAME],
    "gnutls": lambda p: ["gnutls-cli", "--insecure", "--sni-hostname", NAME, "-p", str(p), "127.0.0.1"],
    "wget": lambda p: ["wget", "-q", "-t1", "--no-check-certificate", "-O-", "https://localhost:%d/" % p],
    "python": lambda p: [sys.executable, "-c",
                         "import socket,ssl;c=ssl._create_unverified_context();"
                         "c.wrap_socket(socket.create_connection(('127.0.0.1',%d)),server_hostname='%s')" % (p, NAME)],
    "node": lambda p: ["node", "-e", "require('tls').connect({host:'127.0.0.1',port:%d,servername:'%s',"
                       "rejectUnauthorized:false,ALPNProtocols:['h2','http/1.1']})" % (p, NAME)],
    "git": lambda p: ["git", "-c", "http.sslVerify=false", "ls-remote", "https://localhost:%d/x.git" % p],
}


def resumed(tmp):
    """A second connection of openssl with a session: its hello carries a pre_shared_key."""
    key, crt, ses = (os.path.join(tmp, f) for f in ("key.pem", "crt.pem", "ses.pem"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", key, "-out", crt, "-subj", "/CN=" + NAME, "-days", "2"], check=True,
                   stderr=subprocess.DEVNULL)
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    port = s.getsockname()[1]
    s.close()
    srv = subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:%d" % port, "-cert", crt, "-key", key, "-quiet"],
                           stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(100):
        c = subprocess.Popen(["openssl", "s_client", "-connect", "127.0.0.1:%d" % port, "-servername", NAME,
                              "-sess_out", ses], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        try:
            c.communicate(b"Q\n", timeout=1)
        except subprocess.TimeoutExpired:
            c.kill()
        if os.path.exists(ses) and os.path.getsize(ses):
            break
    srv.kill()
    return lambda p: ["openssl", "s_client", "-connect", "127.0.0.1:%d" % p, "-servername", NAME, "-sess_in", ses]


def main():
    out = sys.argv[1]
    import tempfile
    with tempfile.TemporaryDirectory() as tmp:
        clients = dict(CLIENTS)
        clients["openssl-psk"] = resumed(tmp)
        for name, argv in clients.items():
            if not shutil.which(argv(1)[0]):
                print("skipped", name)
                continue
            wire, msg = capture(argv)
            open(os.path.join(out, name + ".bin"), "wb").write(wire)
            open(os.path.join(out, name + ".txt"), "w").write(describe(msg))
            print(name, len(wire))


main()

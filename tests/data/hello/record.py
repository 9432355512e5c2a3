#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Record the ClientHello of real clients, and describe each with a reader that shares nothing with ours.

usage: record.py DIR [NAME]...    writes DIR/NAME.bin (wire bytes) and DIR/NAME.txt (what is in them)

`tools/install-deps.sh clients` installs every client; one that is missing is skipped. Small ones are written here, in
their libraries' own languages, and built when they are needed.
"""
import hashlib, json, os, shutil, signal, socket, struct, subprocess, sys, tempfile

NAME = "api.vendor.example"


def records_of(data):
    """The handshake message in @data and how many bytes its records take; None until it is whole."""
    msg, pos = b"", 0
    while pos + 5 <= len(data):
        n = struct.unpack(">H", data[pos + 3:pos + 5])[0]
        msg += data[pos + 5:pos + 5 + n]
        pos += 5 + n
        if len(msg) >= 4 and len(msg) == 4 + int.from_bytes(msg[1:4], "big") and pos <= len(data):
            return msg, pos
    return None


def capture(make_argv):
    srv = socket.socket()
    srv.bind(("127.0.0.1", 0))
    srv.listen(8)
    srv.settimeout(60)
    p = subprocess.Popen(make_argv(srv.getsockname()[1]), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        while True:
            conn, _ = srv.accept()
            conn.settimeout(20)
            data = b""
            while not (whole := records_of(data)):
                more = conn.recv(65536)
                if not more:
                    break
                data += more
                if data.startswith(b"CONNECT") and data.endswith(b"\r\n\r\n"):
                    # a browser also asks for what its makers serve: those get no answer
                    if NAME.encode() not in data:
                        break
                    conn.sendall(b"HTTP/1.1 200 yes\r\n\r\n")
                    data = b""
            conn.close()
            if whole:
                return data[:whole[1]], whole[0]
    finally:
        os.killpg(p.pid, signal.SIGKILL)
        p.wait()


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
        sigs = [s for s in struct.unpack(">%dH" % ((len(e[13]) - 2) // 2), e[13][2:]) if not grease(s)]
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
    return "sni=%s\nalpn=%s\nversions=%s\nech=%d\npsk=%d\nearly=%d\nextensions=%d\nja4=%s\n" % (
        sni, ",".join(x.decode("latin-1") for x in alpn), ",".join(text[v] for v in versions if v in text), 0xfe0d in e, 41 in e, 42 in e,
        len(exts), ja4)


MBEDTLS = r"""
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
int main(int argc, char **argv)
{
	mbedtls_net_context net;
	mbedtls_entropy_context entropy;
	mbedtls_ctr_drbg_context drbg;
	mbedtls_ssl_context ssl;
	mbedtls_ssl_config conf;

	mbedtls_net_init(&net);
	mbedtls_entropy_init(&entropy);
	mbedtls_ctr_drbg_init(&drbg);
	mbedtls_ssl_init(&ssl);
	mbedtls_ssl_config_init(&conf);
	mbedtls_ctr_drbg_seed(&drbg, mbedtls_entropy_func, &entropy, NULL, 0);
	mbedtls_ssl_config_defaults(&conf, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
	mbedtls_ssl_conf_rng(&conf, mbedtls_ctr_drbg_random, &drbg);
	mbedtls_ssl_conf_authmode(&conf, MBEDTLS_SSL_VERIFY_NONE);
	mbedtls_ssl_setup(&ssl, &conf);
	mbedtls_ssl_set_hostname(&ssl, argv[2]);
	mbedtls_net_connect(&net, "127.0.0.1", argv[1], MBEDTLS_NET_PROTO_TCP);
	mbedtls_ssl_set_bio(&ssl, &net, mbedtls_net_send, mbedtls_net_recv, NULL);
	return argc && mbedtls_ssl_handshake(&ssl) != 0;
}
"""

WOLFSSL = r"""
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1])) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	WOLFSSL_CTX *ctx;
	WOLFSSL *ssl;

	inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
	connect(fd, (struct sockaddr *)&to, sizeof(to));
	wolfSSL_Init();
	ctx = wolfSSL_CTX_new(wolfSSLv23_client_method());
	wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_NONE, NULL);
	wolfSSL_CTX_UseSNI(ctx, WOLFSSL_SNI_HOST_NAME, argv[2], (unsigned short)strlen(argv[2]));
	ssl = wolfSSL_new(ctx);
	wolfSSL_set_fd(ssl, fd);
	return argc && wolfSSL_connect(ssl) != WOLFSSL_SUCCESS;
}
"""

GO = """package main

import (
	"crypto/tls"
	"os"
)

func main() {
	tls.Dial("tcp", "127.0.0.1:"+os.Args[1], &tls.Config{ServerName: os.Args[2], InsecureSkipVerify: true,
		NextProtos: []string{"h2", "http/1.1"}})
}
"""

JAVA = """
import java.util.List;
import javax.net.ssl.*;

public class Hello {
    public static void main(String[] args) throws Exception {
        SSLSocket s = (SSLSocket) SSLContext.getDefault().getSocketFactory().createSocket("127.0.0.1", Integer.parseInt(args[0]));
        SSLParameters p = s.getSSLParameters();
        p.setServerNames(List.of(new SNIHostName(args[1])));
        s.setSSLParameters(p);
        s.startHandshake();
    }
}
"""

ERLANG = ("ssl:start(), ssl:connect({127,0,0,1}, %d, [{server_name_indication, \"%s\"}, {verify, verify_none}, "
          "{versions, ['tlsv1.3', 'tlsv1.2']}], 5000), halt().")


def openssl(*more):
    return lambda p, tmp: ["openssl", "s_client", "-connect", "127.0.0.1:%d" % p, *more]


def curl(*more):
    return lambda p, tmp: ["curl", "-sk", *more, "--connect-to", "%s:443:127.0.0.1:%d" % (NAME, p), "https://%s/" % NAME]


def compiled(name, suffix, source, *compiler):
    """A client of our own: (what must be there, what makes its command)."""
    def make(p, tmp):
        src, exe = os.path.join(tmp, name + suffix), os.path.join(tmp, name)
        if not os.path.exists(exe):
            open(src, "w").write(source)
            cc = [compiler[0], *compiler[1].split(), exe, src, *compiler[2:]]
            subprocess.run(cc, check=True, env={**os.environ, "GOCACHE": tmp, "GOFLAGS": "", "HOME": tmp})
        return [exe, str(p), NAME]
    make.needs = compiler[0]
    return make


def java(p, tmp):
    src = os.path.join(tmp, "Hello.java")
    open(src, "w").write(JAVA)
    return ["java", src, str(p), NAME]


def chromium(*more):
    return lambda p, tmp: ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                           "--disable-component-update", "--no-first-run", "--user-data-dir=" + os.path.join(tmp, "chromium"),
                           "--host-resolver-rules=MAP %s 127.0.0.1:%d, MAP * ~NOTFOUND" % (NAME, p), *more, "https://%s/" % NAME]


def firefox(p, tmp):
    """Firefox asks this port by name through a CONNECT that capture() answers; nothing else gets out of it."""
    profile = os.path.join(tmp, "firefox")
    os.makedirs(profile, exist_ok=True)
    prefs = {"network.proxy.type": 1, "network.proxy.ssl": "127.0.0.1", "network.proxy.ssl_port": p,
             "network.proxy.http": "127.0.0.1", "network.proxy.http_port": 9, "network.captive-portal-service.enabled": False,
             "network.connectivity-service.enabled": False, "app.update.enabled": False, "network.dns.disablePrefetch": True,
             "services.settings.server": "http://127.0.0.1:9", "toolkit.telemetry.enabled": False,
             "browser.safebrowsing.malware.enabled": False, "browser.safebrowsing.phishing.enabled": False,
             "network.trr.mode": 5, "extensions.getAddons.cache.enabled": False}
    open(os.path.join(profile, "user.js"), "w").writelines(
        "user_pref(%s, %s);\n" % (json.dumps(k), json.dumps(v)) for k, v in prefs.items())
    return ["firefox-esr", "--headless", "--no-remote", "--profile", profile, "https://%s/" % NAME]


def resumed(p, tmp):
    """A second connection of openssl with a session: its hello carries a pre_shared_key."""
    return openssl("-servername", NAME, "-sess_in", make_session(tmp))(p, tmp)


def early(p, tmp):
    """The same with early data behind the hello."""
    data = os.path.join(tmp, "early.txt")
    open(data, "w").write("GET / HTTP/1.0\r\n\r\n")
    return openssl("-servername", NAME, "-sess_in", make_session(tmp), "-early_data", data)(p, tmp)


def make_session(tmp):
    key, crt, ses = (os.path.join(tmp, f) for f in ("key.pem", "crt.pem", "ses.pem"))
    if os.path.exists(ses):
        return ses
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", key, "-out", crt, "-subj", "/CN=" + NAME, "-days", "2"], check=True,
                   stderr=subprocess.DEVNULL)
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    port = s.getsockname()[1]
    s.close()
    srv = subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:%d" % port, "-cert", crt, "-key", key, "-quiet",
                            "-early_data"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(100):
        c = subprocess.Popen([*openssl("-servername", NAME, "-sess_out", ses)(port, tmp)], stdin=subprocess.PIPE,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            c.communicate(b"Q\n", timeout=1)
        except subprocess.TimeoutExpired:
            c.kill()
        if os.path.exists(ses) and os.path.getsize(ses):
            break
    srv.kill()
    srv.wait()
    return ses


PYTHON = ("import socket,ssl;c=ssl._create_unverified_context();"
          "c.wrap_socket(socket.create_connection(('127.0.0.1',%d)),server_hostname='%s')")
NODE = "require('tls').connect({host:'127.0.0.1',port:%d,servername:'%s',rejectUnauthorized:false,ALPNProtocols:['h2','http/1.1']})"

CLIENTS = {
    "openssl": openssl("-servername", NAME),
    "openssl-tls12": openssl("-servername", NAME, "-tls1_2"),
    "openssl-nosni": openssl("-noservername"),
    "openssl-alpn": openssl("-servername", NAME, "-alpn", "h2,http/1.1"),
    "openssl-psk": resumed,
    "openssl-early": early,
    "curl": curl(),
    "curl-http11": curl("--http1.1"),
    "gnutls": lambda p, tmp: ["gnutls-cli", "--insecure", "--sni-hostname", NAME, "-p", str(p), "127.0.0.1"],
    "wget": lambda p, tmp: ["wget", "-q", "-t1", "--no-check-certificate", "-O-", "https://localhost:%d/" % p],
    "busybox": lambda p, tmp: ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/%d; busybox ssl_client -s 3 -n %s" % (p, NAME)],
    "python": lambda p, tmp: [sys.executable, "-c", PYTHON % (p, NAME)],
    "node": lambda p, tmp: ["node", "-e", NODE % (p, NAME)],
    "git": lambda p, tmp: ["git", "-c", "http.sslVerify=false", "ls-remote", "https://localhost:%d/x.git" % p],
    "chromium": chromium(),
    "firefox": firefox,
    "go": compiled("go-hello", ".go", GO, "go", "build -o"),
    "java": java,
    "erlang": lambda p, tmp: ["erl", "-noshell", "-eval", ERLANG % (p, NAME)],
    "botan": lambda p, tmp: ["botan", "tls_client", "localhost", "--port=%d" % p],
    "mbedtls": compiled("mbedtls-hello", ".c", MBEDTLS, "gcc", "-o", "-lmbedtls", "-lmbedcrypto", "-lmbedx509"),
    "wolfssl": compiled("wolfssl-hello", ".c", WOLFSSL, "gcc", "-o", "-lwolfssl"),
}


def main():
    out, wanted = sys.argv[1], sys.argv[2:]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as tmp:
        for name, make in CLIENTS.items():
            if wanted and name not in wanted:
                continue
            try:
                if not shutil.which(getattr(make, "needs", None) or make(1, tmp)[0]):
                    raise OSError("not installed")
                wire, msg = capture(lambda p: make(p, tmp))
            except (OSError, subprocess.SubprocessError) as e:
                print("skipped", name, e)
                continue
            open(os.path.join(out, name + ".bin"), "wb").write(wire)
            open(os.path.join(out, name + ".txt"), "w").write(describe(msg))
            print(name, len(wire))


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Changed server names and resumed sessions: OpenSSL's and GnuTLS' clients and servers, TLS 1.2 and 1.3."""
import os, shutil, socket, subprocess, unittest

import proxies_test as bed
from proxies_test import HERE, HOST, MORE, TMP, wait_for

PORT = 15002
CLIENTS = {"bridged.test": "127.0.0.18", "bridged-gnutls.test": "127.0.0.19"}
SERVERS = {"bridged.test": ("127.0.1.17", 8443), "bridged-gnutls.test": ("127.0.1.17", 8444)}
CA, CERT, KEY = TMP + "/session-ca.pem", TMP + "/bridge.pem", TMP + "/bridge.key"


def setUpModule():
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", KEY,
                    "-out", CERT, "-subj", "/CN=bridge.corp", "-addext", "subjectAltName=DNS:bridge.corp", "-days", "2"],
                   check=True, capture_output=True)
    quiet = dict(stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    bed.spawn(["openssl", "s_server", "-accept", "127.0.1.17:8443", "-cert", CERT, "-key", KEY, "-www", "-quiet"], **quiet)
    bed.spawn(["gnutls-serv", "-q", "--http", "-p", "8444", "--x509certfile", CERT, "--x509keyfile", KEY], **quiet)
    open(TMP + "/hosts-bridge", "w").write("127.0.1.17 bridge.corp\n")
    setUpModule.host = bed.spawn(
        [*HOST, "--policy", HERE + "/policy.lua", "--tcp", str(PORT), "--dns", "127.0.1.154:5300", "--events",
         TMP + "/events.jsonl", "--hosts", TMP + "/hosts-bridge", "--authority", CA, *MORE,
         *[x for n, a in CLIENTS.items() for x in ("--map", "%s=127.0.1.%d:8443" % (a, 17 + list(CLIENTS).index(n)),
                                                   "--name", "%s=127.0.1.%d" % (n, 17 + list(CLIENTS).index(n)))]],
        stdout=subprocess.PIPE, text=True, env=dict(os.environ, SSL_CERT_FILE=CERT))
    assert "ready" in setUpModule.host.stdout.readline()
    for at in SERVERS.values():
        def is_there():
            with socket.socket() as s:
                return s.connect_ex(at) == 0
        wait_for("%s:%d" % at, is_there)


def tearDownModule():
    host = setUpModule.host
    host.send_signal(bed.STOP)
    try:
        host.wait(60)
    finally:
        for p in bed.procs:
            p.kill()
            p.wait()
        shutil.rmtree(TMP, ignore_errors=True)
    assert host.returncode == 0


def s_client(name, at, *more):
    """OpenSSL's client, until it has asked for a page."""
    p = subprocess.run(["openssl", "s_client", "-connect", at, "-servername", name, "-verify_hostname", name,
                        "-verify_return_error", "-ign_eof", *more], input=b"GET / HTTP/1.0\r\n\r\n", capture_output=True, timeout=60)
    return p.stdout.decode(errors="replace") + p.stderr.decode(errors="replace")


class Resumption(unittest.TestCase):
    def test_openssl_that_wants_to_resume_gets_a_full_handshake(self):
        for name, addr in CLIENTS.items():
            for version in ("-tls1_2", "-tls1_3"):
                with self.subTest(f"{name} {version}"):
                    ses = TMP + "/" + name + version
                    at = f"{addr}:{PORT}"
                    resume = ()
                    for _ in range(2):
                        out = s_client(name, at, version, "-CAfile", CA, *resume, "-sess_out", ses)
                        self.assertIn("Verify return code: 0 (ok)", out)
                        self.assertIn("\nNew, TLS", out)
                        self.assertIn("200 ", out)
                        resume = ("-sess_in", ses) if os.path.exists(ses) and os.path.getsize(ses) else ()

    def test_gnutls_that_wants_to_resume_gets_a_full_handshake(self):
        for name, addr in CLIENTS.items():
            for version in ("1.2", "1.3"):
                with self.subTest(f"{name} {version}"):
                    p = subprocess.run(["gnutls-cli", "--resume", "--priority", f"NORMAL:-VERS-ALL:+VERS-TLS{version}", "--x509cafile",
                                        CA, "--sni-hostname", name, "--verify-hostname", name, "-p", str(PORT), addr],
                                       input=b"GET / HTTP/1.0\r\n\r\n", capture_output=True, timeout=60)
                    self.assertEqual(p.stdout.count(b"Handshake was completed"), 2, p)
                    self.assertNotIn(b"This is a resumed session", p.stdout)

    def test_a_session_of_the_server_itself_is_a_full_handshake_with_the_bridge(self):
        for version in ("-tls1_2", "-tls1_3"):
            with self.subTest(version):
                ses = TMP + "/own" + version
                own = s_client("bridge.corp", "127.0.1.17:8443", version, "-CAfile", CERT, "-sess_out", ses)
                self.assertIn("Verify return code: 0 (ok)", own)
                out = s_client("bridged.test", f"{CLIENTS['bridged.test']}:{PORT}", version, "-CAfile", CA, "-sess_in", ses)
                self.assertIn("\nNew, TLS", out)
                self.assertIn("200", out)


if __name__ == "__main__":
    unittest.main(verbosity=1)

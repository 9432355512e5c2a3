# SPDX-License-Identifier: Apache-2.0
"""`moonfence run` around a real QUIC client and HTTP/3 servers (ngtcp2's). What no client does is in proxies/quic_test.py."""
import os
import shutil
import subprocess
import tempfile
import unittest

from scenario import HERE, NOBODY, Scenario, main, slow

CURL = ["curl", "-sS", "--max-time", "30"]
# Nobody waits that long, unless something fails.
PATIENCE = ["--handshake-timeout=50s", "--timeout=50s", "--exit-on-all-streams-close"]


def h3(name, *options, addr=None, path="/page"):
    return ["gtlsclient", *PATIENCE, *options, addr or name, "443", f"https://{name}{path}"]


class Quic:
    policy = os.path.join(HERE, "policies", "quic.lua")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not shutil.which("gtlsclient"):
            raise unittest.SkipTest("no gtlsclient")
        if not os.path.exists(cls.lab.path("www/page")):
            cls.lab.write("www/page", "a page by HTTP/3\n")
            cls.lab.serve_quic()

    def assert_page(self, r):
        self.assertEqual(r.status, 0, r)
        self.assertIn("[:status: 200]", r.out + r.err, r)

    def assert_refused(self, r, code):
        """The client was told, and did not run into its time-out."""
        self.assertIn(f"CONNECTION_CLOSE(0x1c) error_code=CRYPTO_ERROR(0x{code:x})", r.out + r.err, r)
        self.assertNotIn("HANDSHAKE_TIMEOUT", r.out + r.err, r)
        self.assertNotIn("handshake has completed", r.out + r.err, r)

    def test_a_page_both_families(self):
        for options in ((), ("--max-udp-payload-size=1200",)):
            r = self.fence(h3("allowed.example", *options))
            self.assert_page(r)
            hello, = r.find("net_tls_hello", fields__sni="allowed.example")
            f = hello["fields"]
            self.assertEqual((f["quic"], f["sni_verified"], f["alpn"], f["versions"], f["ja4"][:3]),
                             (True, True, ["h3"], ["TLS1.3"], "q13"), r)
            self.assertTrue(r.find("net_connect", fields__proto="udp", domain="allowed.example", effective_action="allowed"), r)
            close, = r.find("net_close", fields__proto="udp")
            self.assertGreater(close["fields"]["bytes_received"], 1200, r)

    def test_a_large_body_with_loss(self):
        out = os.path.join(self.work, f"h3-{type(self).__name__}")
        os.makedirs(out, exist_ok=True)
        os.chmod(out, 0o777)
        r = self.fence(h3("allowed.example", "-q", "--tx-loss=0.03", "--rx-loss=0.03", f"--download={out}", path="/big"))
        self.assertEqual(r.status, 0, r)
        self.assertEqual(os.path.getsize(f"{out}/big"), os.path.getsize(self.lab.path("www/big")), r)

    def test_the_first_datagrams_are_lost(self):
        # a third of what the client says never leaves it: hellos come again, in other packets
        r = self.fence(h3("allowed.example", "--tx-loss=0.3", "--initial-rtt=50ms"))
        self.assert_page(r)

    def test_a_retry_changes_the_keys(self):
        r = self.fence(h3("llm.corp.example"))
        self.assert_page(r)
        self.assertIn("type=Retry", r.out + r.err, r)
        self.assertEqual(len(r.find("net_tls_hello", fields__sni="llm.corp.example", effective_action="allowed")), 2, r)

    def test_early_data(self):
        name = os.path.join(self.work, f"session-{type(self).__name__}")
        session = (f"--session-file={name}", f"--tp-file={name}-tp")
        self.assert_page(self.fence(h3("allowed.example", *session)))
        r = self.fence(h3("allowed.example", *session))
        self.assert_page(r)
        self.assertIn("type=0RTT", r.out + r.err, r)

    def test_the_client_moves_to_another_port(self):
        r = self.fence(h3("allowed.example", "--change-local-addr=1ms", "--nat-rebinding", "--delay-stream=1s"))
        self.assert_page(r)
        self.assertEqual(len(r.find("net_connect", fields__proto="udp", effective_action="allowed")), 2, r)

    def test_another_version_is_told_which_there_are(self):
        r = self.fence(h3("allowed.example", "-v", "v2draft", "--preferred-versions=v1,v2draft"))
        self.assert_page(r)
        self.assertTrue(r.find("net_connect", fields__proto="udp", effective_action="blocked", policy__rule="protocol"), r)

    def test_names_of_one_address(self):
        both = "dig +short cdn-good.example cdn-bad.example >&2; "
        for name, ok in (("cdn-good.example", True), ("cdn-bad.example", False)):
            r = self.fence(both + " ".join(h3(name)))
            if ok:
                self.assert_page(r)
            else:
                self.assert_refused(r, 0x131)
        self.assertNotIn("cdn-bad", self.lab.quic_log("11.0.0.90"))

    def test_a_name_that_does_not_belong_to_the_address(self):
        # of an address, this client makes the name "localhost"
        r = self.fence("dig +short allowed.example >&2; " + " ".join(h3("allowed.example", addr="11.0.0.80")))
        self.assert_refused(r, 0x170)
        self.assertTrue(r.find("net_tls_hello", fields__sni="localhost", effective_action="blocked",
                               policy__reason="SNI does not belong to this address"), r)

    def test_denied_by_connect(self):
        r = self.fence(h3("denied.example"))
        self.assert_refused(r, 0x131)

    def test_sent_to_tcp(self):
        r = self.fence(" ".join(h3("www.allowed.example")) + "; " + " ".join([*CURL, "https://www.allowed.example/"]))
        self.assert_refused(r, 0x170)
        self.assertIn("server=web host=www.allowed.example sni=www.allowed.example port=443\n", r.out, r)

    def test_redirected_names_fall_back_to_tcp(self):
        r = self.fence(" ".join(h3("api.vendor.example")) + "; " + " ".join([*CURL, "http://api.vendor.example/"]))
        self.assert_refused(r, 0x131)
        self.assertIn("server=llm ", r.out, r)


class Browser:
    """Chromium, whose hellos take two datagrams and come in shuffled crumbs."""

    def browse(self, name):
        pin = subprocess.run("openssl x509 -pubkey -noout -in tls.pem | openssl pkey -pubin -outform der | "
                             "openssl dgst -sha256 -binary | base64", shell=True, cwd=self.lab.dir, capture_output=True,
                             text=True, check=True).stdout.strip()
        self.lab.write("www/protocol.html", "<p><script>document.write('<b>by ' + "
                       "performance.getEntriesByType('navigation')[0].nextHopProtocol + '</b>')</script>\n")
        home = tempfile.mkdtemp(dir=self.work)
        return self.fence(["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={home}",
                           f"--ignore-certificate-errors-spki-list={pin}", f"--origin-to-force-quic-on={name}:443",
                           "--dump-dom", f"https://{name}/protocol.html"], timeout=120)

    @unittest.skipUnless(shutil.which("chromium"), "no Chromium")
    def test_chromium_gets_a_page_by_http3(self):
        r = self.browse("allowed.example")
        self.assertIn("<b>by h3</b>", r.out, r)
        self.assertTrue(r.find("net_tls_hello", fields__sni="allowed.example", fields__quic=True, effective_action="allowed"), r)
        self.assertFalse(r.find("net_tls_hello", fields__sni="allowed.example", fields__quic=False), r)

    @unittest.skipUnless(shutil.which("chromium"), "no Chromium")
    def test_chromium_understands_a_refusal(self):
        # told to use nothing else, it cannot fall back, and says why it failed
        r = self.browse("www.allowed.example")
        self.assertIn("ERR_QUIC_PROTOCOL_ERROR", r.out + r.err, r)
        self.assertTrue(r.find("net_tls_hello", fields__sni="www.allowed.example", fields__quic=True, effective_action="blocked"), r)


class AsRoot(Quic, Browser, Scenario):
    user = None


class TunAsUser(Quic, Scenario):
    user = NOBODY
    backend = "tun"


@slow
class AsUser(Quic, Scenario):
    user = NOBODY


@slow
class TunAsRoot(Quic, Scenario):
    user = None
    backend = "tun"


if __name__ == "__main__":
    main()

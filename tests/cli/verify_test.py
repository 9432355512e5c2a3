# SPDX-License-Identifier: Apache-2.0
"""moonfence policy verify: agentsh's signatures of policies, made by openssl, against a directory of keys."""
import base64
import hashlib
import json
import os
import subprocess
import unittest

import support
from support import LAUNCHER, Case

POLICY = "version: 1\nname: signed\nfile_rules: []\n"


class Verify(Case):
    def setUp(self):
        super().setUp()
        self.policy = self.write("p.yaml", POLICY)
        self.store = os.path.join(self.directory, "keys")
        os.mkdir(self.store, 0o755)
        os.chmod(self.store, 0o755)
        self.made = 0

    def openssl(self, *words):
        return subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=self.directory, timeout=300).stdout

    def key(self, **changes):
        """A new pair; the public half as agentsh writes it. Returns (name of the PEM file, that)"""
        self.made += 1
        pem = f"key{self.made}.pem"
        self.openssl("genpkey", "-algorithm", "ed25519", "-out", pem)
        public = self.openssl("pkey", "-in", pem, "-pubout", "-outform", "DER")[-32:]
        key = {"key_id": hashlib.sha256(public).hexdigest(), "algorithm": "ed25519", "public_key": base64.b64encode(public).decode(),
               "label": "security team", "trusted_since": "2026-01-01T00:00:00Z", **changes}
        self.write(f"keys/key{self.made}.json", json.dumps(key))
        return pem, key

    def sign(self, pem, key, path=None, **changes):
        path = path or self.policy
        self.openssl("pkeyutl", "-sign", "-rawin", "-inkey", pem, "-in", path, "-out", "raw")
        with open(os.path.join(self.directory, "raw"), "rb") as file:
            raw = base64.b64encode(file.read()).decode()
        signature = {"version": 1, "algorithm": "ed25519", "key_id": key["key_id"], "signer": "ci", "signed_at": "2026-02-03T04:05:06Z",
                     "signature": raw, "cert_chain": [], **changes}
        self.write(os.path.basename(path) + ".sig", json.dumps(signature))

    def verify(self, word, *options, status=1):
        out, err = self.call("policy", "verify", "--trust-store", self.store, *options, self.policy, status=status)
        self.assertTrue(out.startswith(f"{self.policy}: {word} "), out + err)
        return out

    def test_who_signed_is_told(self):
        self.sign(*self.key())
        self.assertIn("signed by security team", self.verify("signed", status=0))
        self.key()  # another one beside it
        self.write("keys/manifest.json", '{"version": 1}')
        self.write("keys/list.json", "[1, 2]")
        self.write("keys/README", "not a key")
        self.verify("signed", status=0)
        pem, key = self.key(expires_at="2999-01-01T00:00:00Z")
        self.sign(pem, key)
        self.verify("signed", status=0)

    def test_each_word_of_what_is_wrong(self):
        self.key()
        self.verify("missing_signature")
        pem, key = self.key()
        self.sign(pem, key)
        self.write("p.yaml", POLICY + "#\n")
        self.verify("invalid_signature")
        self.write("p.yaml", POLICY)
        self.verify("signed", status=0)
        self.sign(pem, key, cert_chain=["x"])
        self.verify("unsupported_cert_chain")
        for change in ({"version": 2}, {"algorithm": "rsa"}, {"signature": "AAAA"}, {"signature": base64.b64encode(bytes(64)).decode()},
                       {"key_id": "x"}):
            self.sign(pem, key, **change)
            self.verify("invalid_signature")
        self.write("p.yaml.sig", "not json")
        self.verify("invalid_signature")
        other, foreign = self.key()
        os.remove(os.path.join(self.store, "key3.json"))
        self.sign(other, foreign)
        self.verify("unknown_key")
        self.sign(other, key)  # with another one's name
        self.verify("invalid_signature")
        self.sign(*self.key(expires_at="2026-01-02T00:00:00Z"))
        self.assertIn("2026-01-02T00:00:00Z", self.verify("expired_key"))
        self.verify("expired_key", "--mode", "warn", status=0)

    def test_ours_can_be_checked_too_and_every_file_counts(self):
        pem, key = self.key()
        self.openssl("pkey", "-in", pem, "-outform", "DER", "-out", "der")
        with open(os.path.join(self.directory, "der"), "rb") as file:
            seed = file.read()[-32:]
        secret = base64.b64encode(seed + base64.b64decode(key["public_key"])).decode()
        self.write("secret.json", json.dumps({"key_id": key["key_id"], "algorithm": "ed25519", "private_key": secret}))
        self.call("pack", "sign", "--key", "secret.json", "--format", "agentsh", "p.yaml")
        self.verify("signed", status=0)
        self.write("q.yaml", POLICY)
        out = self.call("policy", "verify", "--trust-store", self.store, "p.yaml", "q.yaml", status=1)[0]
        self.assertIn("p.yaml: signed", out)
        self.assertIn("q.yaml: missing_signature", out)
        self.assertIn("cannot", self.call("policy", "verify", "--trust-store", self.store, "none.yaml", status=1)[1])

    def test_a_store_with_a_mistake_is_none(self):
        pem, key = self.key()
        self.sign(pem, key)
        for name, text, says in (("bad.json", "{", "JSON"), ("id.json", json.dumps({**key, "key_id": "0" * 64}), "SHA-256"),
                                 ("copy.json", json.dumps(key), "another file has the key"),
                                 ("short.json", json.dumps({**key, "public_key": "AAAA"}), "32 bytes")):
            path = self.write("keys/" + name, text)
            for mode in ("enforce", "warn"):
                out, err = self.call("policy", "verify", "--trust-store", self.store, "--mode", mode, self.policy, status=1)
                self.assertIn(says, err)
                self.assertEqual(out, "")
            os.remove(path)
        if not LAUNCHER:
            os.chmod(self.store, 0o777)
            self.assertIn("others may write", self.call("policy", "verify", "--trust-store", self.store, self.policy, status=1)[1])
            out, err = self.call("policy", "verify", "--trust-store", self.store, "--mode", "warn", self.policy)
            self.assertIn("warning", err)
            self.assertIn("signed by", out)
        self.call("policy", "verify", "--trust-store", os.path.join(self.directory, "none"), self.policy, status=1)

    def start(self, *options, mode="enforce", policy=None, status=None):
        """A resolver under the policy; with a status the error of one that must not start."""
        words = ["resolver", "--listen", "127.0.0.1:0", "--dns", "127.0.0.1", "--policy", policy or self.policy,
                 "--trust-store", self.store, "--signing", mode, *options]
        if status is not None:
            return self.call(*words, status=status)[1]
        environment = dict(os.environ, MOONFENCE_DATA=os.path.join(support.ROOT, "lua"))
        p = subprocess.Popen([support.PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.directory,
                             env=environment)
        self.addCleanup(p.stderr.close)
        self.addCleanup(p.stdout.close)
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)
        self.assertIn("127.0.0.1:", p.stdout.readline())
        return p

    @unittest.skipIf(LAUNCHER, "signals of the system's own")
    def test_what_is_not_signed_does_not_load(self):
        """At the start, and at each reload: then the policies before stay."""
        self.assertIn("missing_signature", self.start(status=1))
        pem, key = self.key()
        self.sign(pem, key)
        p = self.start("--verbose")
        self.write("p.yaml", POLICY + "# later\n")
        while "were not reloaded" not in (line := p.stderr.readline()):
            self.assertTrue(line)
        self.assertIn("invalid_signature", line)
        self.sign(pem, key)
        while "policies loaded: generation 2" not in (line := p.stderr.readline()):
            self.assertTrue(line)
        self.write("p.yaml", POLICY)
        self.assertIn("invalid_signature", self.start(status=1))
        for mode, says in (("warn", "invalid_signature"), ("off", "")):
            p = self.start(mode=mode)
            p.terminate()
            self.assertEqual(p.wait(120), 0)
            self.assertIn(says, p.stderr.read())

    @unittest.skipIf(LAUNCHER, "signals of the system's own")
    def test_what_a_policy_reads_counts_too(self):
        pem, key = self.key()
        policy = self.write("m.lua", 'local m = require "words"\nlocal d = domains { file = "data/d.txt" }\n'
                                     'return { name = m.name, dns = function(q) if q:under(d) then return deny() end end }\n')
        module, data = self.write("lib/words.lua", 'return { name = "m" }\n'), self.write("data/d.txt", "bad.example\n")
        self.sign(pem, key, policy)
        self.assertIn("words.lua: missing_signature", self.start(policy=policy, status=1))
        self.sign(pem, key, module)
        os.rename(os.path.join(self.directory, "words.lua.sig"), module + ".sig")
        self.assertIn("d.txt: missing_signature", self.start(policy=policy, status=1))
        self.sign(pem, key, data)
        os.rename(os.path.join(self.directory, "d.txt.sig"), data + ".sig")
        self.start(policy=policy)

    @unittest.skipIf(LAUNCHER, "signals of the system's own")
    def test_what_a_policy_extends_counts_too(self):
        """P72: each file is verified, and its change is a reload."""
        def sign(path):
            self.sign(pem, key, path)
            made = os.path.join(self.directory, os.path.basename(path) + ".sig")
            if made != path + ".sig":
                os.rename(made, path + ".sig")

        base = "version: 1\nname: base\nnetwork_rules:\n  - {name: b, domains: [b.example], decision: deny}\n"
        pem, key = self.key()
        parent = self.write("lib/base.yaml", base)
        policy = self.write("top.yaml", "version: 1\nname: top\nextends: [lib/base.yaml]\n")
        sign(policy)
        err = self.start(policy=policy, status=1)
        self.assertIn("top.yaml:3:11: ", err)
        self.assertIn("extends[0]: lib/base.yaml: ", err)
        self.assertIn("missing_signature", err)
        sign(parent)
        p = self.start("--verbose", policy=policy)
        self.write("lib/base.yaml", base + "# later\n")
        while "were not reloaded" not in (line := p.stderr.readline()):
            self.assertTrue(line)
        self.assertIn("invalid_signature", line)
        sign(parent)
        while "policies loaded: generation 2" not in (line := p.stderr.readline()):
            self.assertTrue(line)

    @unittest.skipIf(LAUNCHER, "rights of the system's own")
    def test_a_store_that_others_may_write_to(self):
        self.sign(*self.key())
        os.chmod(self.store, 0o777)
        self.assertIn("others may write", self.start(status=1))
        p = self.start(mode="warn")
        p.terminate()
        self.assertEqual(p.wait(120), 0)
        self.assertIn("others may write", p.stderr.read())

    def test_wrong_usage(self):
        self.assertIn("--signing knows", self.start(mode="strict", status=2))
        self.assertIn("Give --trust-store", self.call("resolver", "--listen", "127.0.0.1:0", "--policy", self.policy, "--signing", "warn",
                                                     status=1)[1])
        self.call("policy", "verify", self.policy, status=2)
        self.call("policy", "verify", "--trust-store", self.store, status=2)
        self.call("policy", "verify", "--trust-store", self.store, "--mode", "off", self.policy, status=2)


if __name__ == "__main__":
    support.main()

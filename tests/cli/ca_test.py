# SPDX-License-Identifier: Apache-2.0
"""moonfence ca: what it makes, shows and refuses. Stores of this host are asked, and changed only where they are wine's."""
import os
import unittest

import support
from support import LAUNCHER, Case

KNOWN = ["localhost", "127.0.0.0/8", "::1/128"]


class Ca(Case):
    def setUp(self):
        super().setUp()
        self.options = ["--dir", "place/ca"]  # below the test's directory, where the program runs

    def ca(self, command, *words, status=0):
        return self.call("ca", command, *self.options, *words, status=status)

    def show(self, status=0):
        return self.call_json("ca", "show", "--json", *self.options, status=status)

    def test_made_once_and_shown(self):
        self.assertIn("'moonfence ca create' makes one", self.ca("show", status=1)[1])
        out, _ = self.ca("create")
        shown = self.show()
        self.assertIn(shown["sha256"], out)
        self.assertEqual(shown["permits"], KNOWN + ["local", "test", "internal"])
        self.assertTrue(shown["valid"])
        self.assertRegex(shown["subject"], r"^/O=Moonfence/CN=Moonfence local CA [0-9a-f]{8}$")
        self.assertLess(shown["not_before"], shown["not_after"])
        self.assertTrue(shown["key"]["access"])
        self.assertIn("has an authority already", self.ca("create", status=1)[1])
        self.assertEqual(self.show()["sha256"], shown["sha256"])
        text, _ = self.ca("show")
        for word in (shown["sha256"], shown["not_after"], "127.0.0.0/8", "internal"):
            self.assertIn(word, text)
        self.assertRegex(self.ca("show", "--pem")[0], r"^-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n$")

    def test_domains_and_networks(self):
        self.ca("create", "--permit", "Dev.Example.", "--permit=10.0.0.0/8", "--permit", "fd00::/8", "--days", "3650")
        self.assertEqual(self.show()["permits"], KNOWN + ["dev.example", "10.0.0.0/8", "fd00::/8"])

    def test_every_name_only_when_it_is_asked_for(self):
        self.assertIn("whoever gets its key can pass for any site", self.ca("create", "--any-name")[0])
        self.assertEqual(self.show()["permits"], [])
        self.assertIn("every name", self.ca("show")[0])

    def test_wrong_usage(self):
        for words, why in ((["--permit", "*.dev.example"], "neither a domain nor a network"),
                           (["--permit", "10.0.0.1/8"], "bits behind its prefix"),
                           (["--any-name", "--permit", "a.example"], "exclude each other"),
                           (["--days", "0"], "--days"), (["--days", "3651"], "--days"), (["--days", "1e3"], "--days"),
                           (["operand"], "unexpected operand"), (["--dir"], "--dir")):
            self.assertIn(why, self.ca("create", *words, status=2)[1])
        self.assertFalse(os.path.exists(os.path.join(self.directory, "place")))
        self.assertIn("neither system nor nss", self.ca("trust", "--store", "windows", status=2)[1])
        self.call("ca", "show", "--json", "--pem", status=2)
        self.call("ca", "trust", "a.pem", "b.pem", status=2)

    def test_what_is_no_authority_is_refused(self):
        self.ca("create")
        path = os.path.join(self.directory, "place", "ca", "authority.pem")
        with open(path, "r+b") as file:
            file.truncate(300)
        for command in ("show", "create", "rotate", "trust", "untrust"):
            _, err = self.ca(command, status=1)
            self.assertIn("authority.pem holds no", err)

    def test_rotated_it_has_another_key_and_the_same_names(self):
        self.ca("create", "--permit", "dev.example")
        old = self.show()
        self.ca("rotate")
        new = self.show()
        self.assertNotEqual(new["sha256"], old["sha256"])
        self.assertNotEqual(new["subject"], old["subject"])
        self.assertEqual(new["permits"], old["permits"])
        self.ca("rotate", "--permit", "other.example")
        self.assertEqual(self.show()["permits"], KNOWN + ["other.example"])
        self.assertEqual([n for n in os.listdir(os.path.join(self.directory, "place", "ca")) if n != "lock"], ["authority.pem"])

    @unittest.skipUnless(LAUNCHER, "would change this host's stores: tests/net/ca does it in namespaces")
    def test_windows_roots(self):
        self.ca("create")
        trusted = lambda: [s["trusted"] for s in self.show()["stores"]]
        self.assertEqual(trusted(), [False])
        self.assertIn("trusted now", self.ca("trust")[0])
        self.assertIn("trusted already", self.ca("trust")[0])
        self.assertEqual(trusted(), [True])
        old = self.ca("show", "--pem")[0]
        self.ca("rotate")
        self.assertEqual(trusted(), [True])
        self.assertIn("not trusted", self.call("ca", "untrust", self.write("old.pem", old))[0])
        self.assertIn("no longer trusted", self.ca("untrust")[0])
        self.assertEqual(trusted(), [False])


if __name__ == "__main__":
    support.main()

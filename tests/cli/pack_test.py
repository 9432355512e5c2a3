#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Packs from the directory to the fence: build, sign, verify, trust, install, roll back. Debian's minisign is the other side."""
import base64
import hashlib
import json
import os
import shutil
import subprocess
import tarfile

from pack_support import MINISIGN, PackCase
from support import LAUNCHER, main


def offset(data, name):
    """Where a file's contents begin in an archive."""
    at = 0
    while data[at:at + 100].rstrip(b"\0").decode() != name:
        at += 512 + (int(data[at + 124:at + 135], 8) + 511) // 512 * 512
    return at + 512


class Packs(PackCase):
    # --- the archive

    def test_the_same_files_are_the_same_bytes(self):
        one, two = self.pack(), self.path("elsewhere")
        shutil.copytree(one, two)
        os.utime(os.path.join(two, "policy.lua"), (1, 1))
        os.chmod(os.path.join(two, "policy.lua"), 0o600)
        self.write("elsewhere/.hidden", "x")
        self.call("pack", "build", "-o", "a", one)
        self.call("pack", "build", "-o", "b", two)
        with open(self.path("a"), "rb") as a, open(self.path("b"), "rb") as b:
            self.assertEqual(a.read(), b.read())
        with tarfile.open(self.path("a")) as tar:
            self.assertEqual(["MANIFEST", "pack.lua", "policy.lua", "tests/t.lua"], tar.getnames())
            manifest = tar.extractfile("MANIFEST").read().decode().splitlines()
            policy = tar.extractfile("policy.lua").read()
        self.assertEqual(["moonfence-pack 1", "name egress", "version 1.0.0", "channel stable", "tier normal",
                          "order 0"], manifest[:6])
        self.assertIn(f"file {hashlib.sha256(policy).hexdigest()} {len(policy)} policy.lua", manifest)

    def test_what_no_system_could_unpack_is_not_built(self):
        for names, says in ((("A.txt", "a.txt"), "cannot be beside each other"),
                            (("aux.lua.txt",), "Windows takes for a device"),
                            (("a b",), "not portable"), (("MANIFEST",), "packs have a file of that name"),
                            (("d/x", "D/y"), "cannot be beside each other")):
            with self.subTest(names):
                if LAUNCHER and names == ("aux.lua.txt",):
                    continue  # wine shows the host's file as a device, which is no file of a pack before that
                place = self.pack(version="1.0.1")
                for name in names:
                    self.write(f"src-egress-1.0.1/data/{name}" if name != "MANIFEST" else f"src-egress-1.0.1/{name}", "x")
                self.assertIn(says, self.call("pack", "build", place, status=1)[1])
                shutil.rmtree(place)

    def test_a_pack_says_what_it_is(self):
        for lua, says in (('name = "Big"', "the name of a pack"), ('version = "1"', "is not a version"),
                          ('version = nil', "version is missing"), ('tire = "x"', 'unknown key "tire"'),
                          ('requires = { base = "x" }', "is not a range of versions"),
                          ('channel = "A"', "lower-case letters")):
            with self.subTest(lua):
                place = self.pack(lua=lua)
                err = self.call("pack", "build", place, status=1)[1]
                self.assertIn(says, err)
                self.assertIn("pack.lua", err)

    def test_a_pack_whose_tests_fail_is_not_built(self):
        place = self.pack()
        self.write("src-egress-1.0.0/tests/t.lua", 'test("x", function(t) t:connect{host = "bad.example", '
                                                   'ip = "192.0.2.1", port = 1}:is_allowed() end)')
        self.call("pack", "build", place, status=1)
        self.assertFalse(os.path.exists(self.path("egress-1.0.0.mfpack")))

    def test_lists_of_names_are_compiled(self):
        place = self.pack(lua='compile = { "data/names.txt" }')
        self.write("src-egress-1.0.0/policy.lua", """local names = domains { file = "data/names.txt" }
return { name = "egress", connect = function(c) if c:under(names) then return deny("listed " .. #names) end end }""")
        self.write("src-egress-1.0.0/data/names.txt", "".join(f"n{i}.example\n" for i in range(2000)) + "bad.example # x\n")
        archive = self.call("pack", "build", place)[0].strip()
        self.sign(archive)
        with tarfile.open(self.path(archive)) as tar:
            self.assertTrue(tar.extractfile("data/names.txt").read().startswith(b"\x89mfset\r\n"))
        self.trust()
        self.pack_call("install", archive)
        self.assertEqual("listed 2001", self.reason(place))
        self.assertEqual("listed 2001", self.reason(self.store))
        self.assertNotIn("listed", self.reason(self.store, "n2000.example"))
        for text, says in (("a b\n", "names.txt:1"), (None, "there is no file data/names.txt")):
            if text:
                self.write("src-egress-1.0.0/data/names.txt", text)
            else:
                os.remove(self.path("src-egress-1.0.0/data/names.txt"))
            self.assertIn(says, self.call("pack", "build", place, status=1)[1])

    # --- signatures

    def test_minisign_and_we_read_each_other(self):
        archive = self.build()
        out = self.call("pack", "verify", "--key", "release.pub", archive)[0]
        self.assertIn("egress 1.0.0, channel stable, tier normal, signed by", out)
        self.sign(archive, "release", "-l")  # the format before
        self.call("pack", "verify", "--key", "release.pub", archive)
        os.remove(self.path(archive + ".minisig"))
        self.call("pack", "sign", "--key", "release.key", "--comment", "by us", archive)
        done = subprocess.run([MINISIGN, "-V", "-p", self.path("release.pub"), "-m", self.path(archive), "-Q"],
                              check=True, capture_output=True)
        self.assertEqual(b"by us\n", done.stdout)
        self.call("pack", "verify", "--key", "release.pub", archive)

    def test_nothing_of_a_signature_can_be_changed(self):
        archive = self.build()
        with open(self.path(archive + ".minisig"), encoding="ascii") as file:
            lines = file.read().splitlines()
        blob = bytearray(base64.b64decode(lines[1]))
        for name, change in (("comment", lambda l: l.__setitem__(2, l[2] + "x")),
                             ("global", lambda l: l.__setitem__(3, "AAAA" + l[3][4:])),
                             ("signature", lambda l: l.__setitem__(1, l[1][:40] + "AAAA" + l[1][44:])),
                             ("legacy", lambda l: l.__setitem__(
                                 1, base64.b64encode(b"Ed" + blob[2:]).decode())),
                             ("more", lambda l: l.append("x")), ("less", lambda l: l.pop())):
            with self.subTest(name):
                changed = list(lines)
                change(changed)
                self.write("s", "\n".join(changed) + "\n")
                self.call("pack", "verify", "--key", "release.pub", "--signature", "s", archive, status=1)
        self.write("s", "\n".join(lines))
        self.call("pack", "verify", "--key", "release.pub", "--signature", "s", archive)

    def test_agentsh_signatures(self):
        archive = self.build()
        os.remove(self.path(archive + ".minisig"))
        self.call("pack", "sign", "--key", "release.key", "--format", "agentsh", "--comment", "ci", archive)
        with open(self.path(archive + ".sig"), encoding="utf-8") as file:
            signature = json.load(file)
        with open(self.path("release.pub"), encoding="ascii") as file:
            public = base64.b64decode(file.read().splitlines()[1])[10:]
        self.assertEqual((1, "ed25519", hashlib.sha256(public).hexdigest(), "ci"),
                         tuple(signature[k] for k in ("version", "algorithm", "key_id", "signer")))
        key = {"key_id": signature["key_id"], "algorithm": "ed25519",
               "public_key": base64.b64encode(public).decode(), "label": "agentsh-ci",
               "trusted_since": "2026-01-01T00:00:00Z"}
        self.write("key.json", json.dumps(key))
        self.call("pack", "verify", "--key", "key.json", archive)
        self.pack_call("trust", "add", self.path("key.json"))
        self.pack_call("install", archive)
        self.assertEqual({"egress": "1.0.0"}, self.installed())
        self.pack_call("verify")
        for change, says in (({"cert_chain": ["x"]}, "cert_chain"), ({"version": 2}, "version"),
                             ({"algorithm": "none"}, "algorithm"), ({"signature": "AAAA"}, "64 bytes")):
            self.write("s", json.dumps({**signature, **change}))
            self.assertIn(says, self.call("pack", "verify", "--key", "key.json", "--signature", "s", archive,
                                          status=1)[1])
        self.write("key.json", json.dumps({**key, "key_id": "0" * 64}))
        self.assertIn("SHA-256", self.call("pack", "verify", "--key", "key.json", archive, status=1)[1])

    # --- trust

    def test_only_trusted_keys_and_only_for_what_they_may(self):
        archive, law = self.build(), self.build("law", lua='tier = "mandatory"')
        self.refused("which is not trusted here", "install", archive)
        self.trust("release", "--pack", "corp-*", "--pack", "law")
        self.refused('may not sign a pack "egress"', "install", archive)
        self.assertIn('"co*rp" is no name of a pack', self.pack_call("trust", "add", self.path("release.pub"), "--name", "b",
                                                                     "--pack", "co*rp", status=2)[1])
        self.refused("may not sign packs of tier mandatory", "install", law)
        self.pack_call("trust", "remove", "release")
        self.trust("release", "--role", "packs", "--role", "mandatory")
        self.pack_call("install", archive, law)
        self.assertEqual({"egress": "1.0.0", "law": "1.0.0"}, self.installed())

    def test_expired_and_revoked_keys(self):
        archive = self.build()
        self.trust("release", "--expires", "2020-01-01")
        self.refused("expired on 2020-01-01T00:00:00Z", "install", archive)
        self.pack_call("trust", "remove", "release")
        self.trust("release", "--expires", "2999-01-01")
        self.pack_call("install", archive)
        self.pack_call("trust", "revoke", "release", "--reason", 'lost "it"\\')
        self.assertIn('revoked: lost "it"\\', self.pack_call("verify", status=1)[1])
        self.refused("revoked", "install", self.build(version="1.1.0"))
        self.assertIn("added again", self.pack_call("trust", "remove", "release", status=1)[1])
        self.assertIn("revoked", self.pack_call("trust", "add", self.path("release.pub"), "--name", "again",
                                                status=1)[1])

    def test_a_trust_store_is_read_strictly(self):
        self.trust()
        place = os.path.join(self.store, "trust.yaml")
        with open(place, encoding="utf-8") as file:
            good = file.read()
        for text, says in ((good.replace("roles:", "role:"), "trust.yaml:5:3"), (good.replace("[packs]", "[root]"), ":5:11"),
                           (good + good[good.index("- name"):], "already"), (good.replace("RW", "RX"), ":4:8"),
                           (good + '  packs: [ort"]\n', 'trust.yaml:6:11'), (good + '  packs: ["*a"]\n', ":6:11"),
                           ("keys: 1\n", ":1:7"), ("", "trust.yaml")):
            self.write("store/trust.yaml", text)
            self.assertIn(says, self.pack_call("trust", "list", status=1)[1])
        self.write("store/trust.yaml", good)
        if LAUNCHER:
            return  # Windows has access lists in the place of modes
        os.chmod(self.store, 0o777)
        self.assertIn("others may write", self.pack_call("trust", "list", status=1)[1])

    # --- installing

    def test_install_update_and_roll_back(self):
        self.trust()
        self.pack_call("install", self.build(version="1.0.0"))
        self.assertEqual("1.0.0", self.reason(self.store))
        self.assertEqual("1.0.0", self.reason(os.path.join(self.store, "egress")))
        self.pack_call("install", self.build(version="1.1.0"))
        self.assertEqual("1.1.0", self.reason(self.store))
        self.assertIn("egress 1.0.0", self.pack_call("rollback")[0])
        self.assertEqual("1.0.0", self.reason(self.store))
        self.assertIn("before generation 1 there was none", self.pack_call("rollback", status=1)[1])
        self.pack_call("rollback", "--to", "2")
        self.assertEqual("1.1.0", self.reason(self.store))
        self.pack_call("verify")
        self.pack_call("remove", "egress")
        self.assertEqual({}, self.installed())
        self.pack_call("rollback")
        self.assertEqual({"egress": "1.1.0"}, self.installed())
        self.assertIn("in force already", self.pack_call("install", "egress-1.1.0.mfpack")[0])

    def test_old_archives_do_not_come_back(self):
        self.trust()
        old, new = self.build(version="1.0.0"), self.build(version="1.1.0")
        other = self.build(version="1.1.0", reason="changed")
        self.assertEqual(new, other)
        self.pack_call("install", other)
        self.refused("older than 1.1.0", "install", old)
        shutil.rmtree(self.path("src-egress-1.1.0"))
        self.build(version="1.1.0")
        self.refused("one version is one archive", "install", new)
        self.pack_call("remove", "egress")
        self.refused("older than 1.1.0", "install", old)
        beta = self.build(version="2.0.0-beta.1", lua='channel = "beta"')
        self.pack_call("rollback")
        self.refused("--switch-channel", "install", beta)
        self.pack_call("install", "--switch-channel", beta)
        self.assertEqual({"egress": "2.0.0-beta.1"}, self.installed())

    def test_what_a_pack_requires(self):
        self.trust()
        base1, base2 = self.build("base", "1.2.0"), self.build("base", "2.0.0")
        top = self.build("top", "1.0.0", lua='requires = { base = "^1.1" }, order = -1')
        self.refused("top 1.0.0 requires base ^1.1, which is not installed", "install", top)
        self.pack_call("install", top, base1)
        self.refused("requires base ^1.1, but base 2.0.0 would be in force", "install", base2)
        self.refused("requires base", "remove", "base")
        self.pack_call("install", self.build("other"))
        policies = self.call("policy", "explain", "-p", os.path.join(self.store, "top"), "connect", "192.0.2.1:443",
                             "host=bad.example")[0]
        self.assertIn("top", policies)
        self.assertIn("no pack \"gone\" is installed", self.call("policy", "check", os.path.join(self.store, "gone"),
                                                                 status=1)[1])

    def test_archives_that_lie(self):
        """Signed by a trusted key, and still nothing that 'pack build' would have made."""
        self.trust()
        with open(self.path(self.build()), "rb") as file:
            good = file.read()
        at = offset(good, "policy.lua")
        header = at - 512

        def sealed(data, where):
            """With the checksum of the header made right."""
            data = bytearray(data)
            data[where + 148:where + 156] = b" " * 8
            data[where + 148:where + 156] = b"%06o\0 " % sum(data[where:where + 512])
            return bytes(data)

        def with_bytes(where, text):
            return good[:where] + text + good[where + len(text):]

        renamed = lambda name: sealed(with_bytes(header, name.ljust(100, b"\0")), header)
        for name, data, says in (
                ("link", sealed(with_bytes(header + 156, b"2"), header), "does not write"),
                ("device", sealed(with_bytes(header + 156, b"3"), header), "does not write"),
                ("mode", sealed(with_bytes(header + 100, b"0004755"), header), "does not write"),
                ("above", renamed(b"../policy.lua"), "in order"), ("up", renamed(b"q/../policy.lua"), "begins or ends"),
                ("absolute", renamed(b"/etc/passwd"), "in order"), ("hidden", renamed(b"q/.x"), "begins or ends"),
                ("drive", renamed(b"q:x"), "not portable"), ("device name", renamed(b"q/nul.lua"), "device"),
                ("case", renamed(b"tests/T.lua"), "cannot be beside"), ("renamed", renamed(b"policy2.lua"), "MANIFEST"),
                ("contents", with_bytes(at, b"-"), "MANIFEST does not say"),
                ("manifest", with_bytes(offset(good, "MANIFEST"), b"M"), "is not what"),
                ("behind", good + b"\0" * 512, "does not write"), ("cut", good[:-512], "two blocks"), ("cut more", good[:header + 512], "two blocks"),
                ("cut off", sealed(with_bytes(header + 124, b"00000077777"), header), "cut off"),
                ("size", sealed(with_bytes(header + 124, b"77777777777"), header), "does not write"),
                ("padding", with_bytes(offset(good, "tests/t.lua") - 513, b"x"), "hidden behind"), ("empty", b"", "no archive")):
            with self.subTest(name):
                with open(self.path("lie.mfpack"), "wb") as file:
                    file.write(data)
                self.sign("lie.mfpack")
                self.refused(says, "install", "lie.mfpack")
                self.assertEqual(["trust.yaml"], [f for f in os.listdir(self.store) if f[0] != "."])

    def test_what_was_changed_after_it_was_installed_is_found(self):
        self.trust()
        self.pack_call("install", self.build())
        for root, _, files in os.walk(os.path.join(self.store, "egress")):
            for name in files:
                place = os.path.join(root, name)
                with open(place, "r+b") as file:
                    good = file.read()
                    file.write(b"\n-- x")
                self.pack_call("verify", status=1)
                with open(place, "wb") as file:
                    file.write(good)
        self.pack_call("verify")

    def test_what_is_no_archive_is_said(self):
        self.trust()
        for what, says in (("https://packs.example/x.mfpack", "pack source add"), (self.pack(), "pack build")):
            self.assertIn(says, self.pack_call("install", what, status=1)[1])
        archive = self.build()
        os.remove(self.path(archive + ".minisig"))
        self.refused("is not signed", "install", archive)
        self.assertIn("installed ('moonfence pack install')", self.call("policy", "check", archive, status=1)[1])


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sources of packs, from directories: publish, update, canaries; and indexes that were changed, are old, expired or another channel's."""
import hashlib
import json
import os
import shutil
import subprocess

from pack_support import MINISIGN, SourceCase, index_text
from support import LAUNCHER, main

def share(session):
    """Where a session stands among all, as docs/packs.md says: 0 to 9,999."""
    return int.from_bytes(hashlib.sha256(b"moonfence canary\n" + session.encode()).digest()[:8], "big") % 10000


SOME_40, SOME_70, SOME_99 = (next(f"s{i}" for i in range(10000) if low <= share(f"s{i}") < high)
                             for low, high in ((0, 4000), (4000, 7000), (7000, 9900)))


class Sources(SourceCase):
    def version_for(self, session):
        """Which version of egress a session loads."""
        out = json.loads(self.pack_call("list", "--session", session, "--json")[0])
        return {p["name"]: p["version"] for g in out for p in g["packs"]}.get("egress")

    def sides(self):
        """What a session with a share below 40 %, one below 70 % and one above that load."""
        return [self.version_for(s) for s in (SOME_40, SOME_70, SOME_99)]

    # --- publishing and following

    def test_publish_and_update(self):
        self.put(version="1.0.0")
        self.put("other", "0.1.0")
        self.assertIn("index 1", self.publish()[0])
        self.assertIn("egress 1.0.0, other 0.1.0", self.update("--check"))
        self.assertEqual({}, self.installed())
        self.assertIn("corp: channel stable, index 1: egress 1.0.0, other 0.1.0\n", self.update())
        self.assertEqual({"egress": "1.0.0", "other": "0.1.0"}, self.installed())
        self.assertIn("nothing new", self.update())
        self.put(version="1.1.0")
        self.put(version="1.2.0-rc.1", lua='channel = "beta"')
        self.publish()
        self.assertIn("index 2: egress 1.1.0\n", self.update())
        self.assertEqual("1.1.0", self.reason(self.store))
        self.pack_call("verify")
        # What the operator took back stays so until the channel says something new.
        self.pack_call("rollback")
        self.assertIn("nothing new", self.update())
        self.assertEqual("1.0.0", self.installed()["egress"])
        self.assertIn("egress 1.1.0", self.update("--force"))
        # Signed with minisign itself, from what '--unsigned' writes.
        self.call("pack", "publish", "--unsigned", self.repo)
        subprocess.run([MINISIGN, "-S", "-s", self.path("channel.key"), "-m", "stable.channel"], cwd=self.repo,
                       check=True, capture_output=True, input=b"\n")
        with open(os.path.join(self.repo, "stable.mfchannel"), "wb") as out:
            for name in ("stable.channel.minisig", "stable.channel"):
                with open(os.path.join(self.repo, name), "rb") as file:
                    out.write(file.read())
        self.assertIn("index 3: nothing new", self.update())
        self.assertIn("another key", self.publish(key="release", status=1)[1].replace("is signed by key", "another key"))

    def test_sources_are_listed_and_removed(self):
        self.assertIn("there is a source", self.pack_call("source", "add", "corp", self.repo, status=1)[1])
        for address, says in (("http://packs.example/", "nowhere else"), ("ftp://x/", "nowhere else"),
                              ("https://", "names no host"), ("https://user:x@h/", "has no '@'"), ("https://h/?x", "has no '?'"),
                              ("oci://h", "names no repository")):
            self.assertIn(says, self.pack_call("source", "add", "x", address, status=2)[1])
        self.assertEqual([{"name": "corp", "channel": "stable", "address": ("Z:" if LAUNCHER else "") + self.repo}],
                         json.loads(self.pack_call("source", "list", "--json")[0]))
        self.pack_call("source", "remove", "corp")
        self.assertIn("there is no source", self.pack_call("source", "remove", "corp", status=1)[1])
        self.assertIn("there are no sources", self.pack_call("update")[1])
        for text, says in (("sources: 1\n", ":1:1"), ("sources:\n- name: a\n", ":2:3"),
                           ("sources:\n- nam: a\n", ":2:3"), ("sources:\n- {name: a, channel: s, address: http://x}\n", ":2:3")):
            self.write("store/sources.yaml", text)
            self.assertIn("sources.yaml" + says, self.pack_call("source", "list", status=1)[1])

    def test_a_source_that_is_one_archive(self):
        archive = self.put()
        self.pack_call("source", "add", "one", os.path.join(self.repo, archive))
        self.assertIn("one: channel stable: egress 1.0.0", self.update("one"))
        self.assertIn("nothing new", self.update("one"))
        self.put(version="1.1.0")
        os.replace(os.path.join(self.repo, "egress-1.1.0.mfpack"), os.path.join(self.repo, archive))
        self.assertIn("does not belong", self.update("one", status=1))
        os.replace(os.path.join(self.repo, "egress-1.1.0.mfpack.minisig"), os.path.join(self.repo, archive + ".minisig"))
        self.update("one")
        self.assertEqual({"egress": "1.1.0"}, self.installed())

    # --- attacks

    def refused_update(self, *says):
        before = self.installed()
        err = self.update(status=1)
        for text in says:
            self.assertIn(text, err)
        self.assertEqual(before, self.installed())

    def test_indexes_that_lie(self):
        old = self.line(self.put(version="1.0.0"))
        new = self.line(self.put(version="1.1.0"))
        beta = self.line(self.put(version="1.2.0", lua='channel = "beta"'))
        law = self.line(self.put("law"))
        first = self.put_index(index_text(packs=[old]))
        self.update()
        with self.subTest("nothing before the signature"):
            self.write("repo/stable.mfchannel", first.replace("number 1", "number 2"))
            self.refused_update("does not belong to these bytes")
            self.write("repo/stable.mfchannel", index_text(number=2, packs=[new]))
            self.refused_update("no signed index")
            self.write("repo/stable.mfchannel", "\n" * 3)
            self.refused_update("no signed index")
            self.write("repo/stable.mfchannel", "x" * 65537)
            self.refused_update("stable.mfchannel", "65536 bytes")
        with self.subTest("another key"):
            self.put_index(index_text(number=2, packs=[new]), key="release")
            self.refused_update('"release" may not sign channels')
        with self.subTest("freeze"):
            self.put_index(index_text(number=2, packs=[old], expires="2026-01-01T00:00:00Z"))
            self.refused_update("expired on 2026-01-01T00:00:00Z")
        with self.subTest("another channel"):
            self.put_index(index_text(name="beta", number=2, packs=[beta]))
            self.refused_update("is the index of channel beta, not of stable")
        with self.subTest("an archive of another channel"):
            self.put_index(index_text(number=2, packs=[beta]))
            self.refused_update("is egress 1.2.0 of channel beta; the index of channel stable gives it as egress 1.2.0")
        with self.subTest("another pack's archive"):
            shutil.copy(os.path.join(self.repo, "law-1.0.0.mfpack"), os.path.join(self.repo, "egress-1.3.0.mfpack"))
            shutil.copy(os.path.join(self.repo, "law-1.0.0.mfpack.minisig"),
                        os.path.join(self.repo, "egress-1.3.0.mfpack.minisig"))
            self.put_index(index_text(number=2, packs=[law.replace("law 1.0.0", "egress 1.3.0")]))
            self.refused_update("is law 1.0.0 of channel stable; the index of channel stable gives it as egress 1.3.0")
        with self.subTest("an archive that was exchanged"):
            self.put_index(index_text(number=2, packs=[new]))
            shutil.copy(os.path.join(self.repo, "egress-1.0.0.mfpack"), os.path.join(self.repo, "egress-1.1.0.mfpack"))
            self.refused_update("is not the archive that the index of channel stable names")
            self.put_index(index_text(number=2, packs=[new.replace(" minisig", " sig")]))
            self.refused_update("egress-1.1.0.mfpack")
        with self.subTest("malformed, though signed"):
            for text in (index_text(number=0, packs=[new]), index_text(packs=[new, new]), index_text(packs=[new, old]),
                         index_text(packs=[new]).replace("name", "nam"), index_text(canary=(100, [new])), index_text(canary=(10, [])),
                         index_text(expires="2099-01-01", packs=[new]), index_text(packs=[new])[:-1], index_text(packs=[new]) + "x\n",
                         index_text(packs=[new.replace("egress", "../x")]), index_text(packs=[new + " x"])):
                self.put_index(text)
                self.refused_update("of the index is not what" if "2099-01-01\n" not in text else "the index is not what")
        with self.subTest("rollback"):
            self.put(version="1.1.0")
            self.put_index(index_text(number=7, packs=[new]))
            self.update()
            self.write("repo/stable.mfchannel", first)
            self.refused_update("gives index 1 of channel stable, older than index 7")
            self.put_index(index_text(number=7, packs=[old, law]))
            self.refused_update("another index 7")
            self.put_index(index_text(number=8, packs=[old]))
            self.refused_update("egress 1.0.0 is older than 1.1.0")
        with self.subTest("what the key may name"):
            self.pack_call("trust", "remove", "channel")
            self.trust("channel", "--role", "channel", "--pack", "egress")
            self.put_index(index_text(number=9, packs=[new, law]))
            self.refused_update('may not name a pack "law"')

    # --- canaries

    def test_a_canary_from_the_channel(self):
        self.put(version="1.0.0")
        self.assertIn("no index of that channel", self.publish("--canary", "10%", status=1)[1])
        self.publish()
        self.update()
        self.put(version="1.1.0")
        self.publish("--canary", "40%")
        self.assertIn("egress 1.1.0 for 40 % of sessions", self.update())
        self.assertEqual(["1.1.0", "1.0.0", "1.0.0"], self.sides())
        self.publish("--canary", "70%")
        self.assertIn("the canary changed", self.update())
        self.assertEqual(["1.1.0", "1.1.0", "1.0.0"], self.sides())
        # A fault is found: the publisher takes it back, and goes on with what was in force.
        self.publish("--withdraw")
        self.update()
        self.assertEqual(["1.0.0"] * 3, self.sides())
        self.put(version="1.2.0")
        self.publish("--canary", "50%")
        self.update()
        self.publish()
        self.assertIn("egress 1.2.0\n", self.update())
        self.assertEqual(["1.2.0"] * 3, self.sides())
        self.assertEqual({"egress": "1.2.0"}, self.installed())

    def test_a_canary_of_the_operator(self):
        self.put(version="1.0.0")
        self.publish()
        self.update()
        self.put(version="1.1.0")
        self.publish()
        for wrong in ("0", "100", "x", "10%%", "-1"):
            self.pack_call("update", "--canary", wrong, status=2)
        self.assertIn("egress 1.1.0 for 40 % of sessions", self.update("--canary", "40%"))
        self.assertEqual(["1.1.0", "1.0.0", "1.0.0"], self.sides())
        # Whoever asks without a session is told by what is in force for all.
        self.assertEqual("1.0.0", self.reason(self.store))
        self.pack_call("promote", "--canary", "99%")
        self.assertIn("~2 (99 %)", self.pack_call("list")[0])
        self.assertEqual(["1.1.0"] * 3, self.sides())
        self.pack_call("promote", "--canary", "40")
        # Installed for all meanwhile, it goes on over that.
        self.pack_call("install", self.build("other"))
        self.assertEqual(["1.1.0", "1.0.0", "1.0.0"], self.sides())
        self.pack_call("verify")
        self.assertIn("egress 1.0.0, other 1.0.0", self.pack_call("rollback")[0])
        self.assertEqual(["1.0.0"] * 3, self.sides())
        self.assertIn("there is no canary", self.pack_call("promote", status=1)[1])
        self.assertIn("egress 1.1.0 for 10 % of sessions", self.update("--force", "--canary", "10%"))
        self.assertIn("egress 1.1.0, other", self.pack_call("promote")[0])
        self.assertEqual({"egress": "1.1.0", "other": "1.0.0"}, self.installed())
        self.assertIn("older than 1.1.0", self.pack_call("install", os.path.join(self.repo, "egress-1.0.0.mfpack"), status=1)[1])

    def test_a_canary_that_does_not_load_changes_nothing(self):
        self.put(version="1.0.0")
        self.publish()
        self.update()
        self.put("top", "1.0.0", lua='requires = { egress = "^2" }')
        self.publish("--canary", "10%")
        before = self.pack_call("list", "--all")[0]
        self.assertIn("requires egress ^2", self.update(status=1))
        self.assertEqual(before, self.pack_call("list", "--all")[0])
        self.assertEqual(["egress", "packs.state", "sources.yaml", "trust.yaml"], sorted(f for f in os.listdir(self.store) if f[0] != "."))

    def test_reading_needs_no_right_to_write(self):
        self.pack_call("install", self.build())
        before = sorted(os.listdir(self.store))
        os.remove(os.path.join(self.store, ".lock"))
        os.chmod(self.store, 0o555)
        try:
            for call in (("verify",), ("trust", "list"), ("list",), ("source", "list")):
                self.pack_call(*call)
            self.assertNotIn(".lock", os.listdir(self.store))
        finally:
            os.chmod(self.store, 0o755)
        self.assertIn(".lock", before)
        self.call("pack", "trust", "--store", "nowhere", "list")
        self.assertFalse(os.path.exists(self.path("nowhere")))


if __name__ == "__main__":
    main()

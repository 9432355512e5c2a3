# SPDX-License-Identifier: Apache-2.0
"""What the tests of packs share: making packs, keys and signatures, and a store of their own."""
import hashlib
import json
import os
import shutil
import subprocess
import unittest

from support import Case

MINISIGN = shutil.which("minisign")
POLICY = """return {{
  name = "{name}",
  connect = function(c) if c.host == "{host}" then return deny "{reason}" end end,
}}
"""


@unittest.skipUnless(MINISIGN, "minisign is not installed")
class PackCase(Case):
    def setUp(self):
        super().setUp()
        self.store = os.path.join(self.directory, "store")
        self.key("release")

    def path(self, name):
        return os.path.join(self.directory, name)

    def key(self, name):
        """A key pair of minisign, without a password."""
        subprocess.run([MINISIGN, "-G", "-W", "-p", self.path(name + ".pub"), "-s", self.path(name + ".key")],
                       check=True, capture_output=True)

    def pack(self, name="egress", version="1.0.0", host="bad.example", lua="", reason=None):
        """A pack's directory."""
        place = f"src-{name}-{version}"
        self.write(place + "/pack.lua", f'return {{ name = "{name}", version = "{version}", {lua} }}')
        self.write(place + "/policy.lua", POLICY.format(name=name, host=host, reason=reason or version))
        self.write(place + "/tests/t.lua", 'test("x", function(t) t:connect{host = "%s", ip = "192.0.2.1", port = 1}'
                                           ':is_denied() end)' % host)
        return self.path(place)

    def sign(self, archive, key="release", *options):
        subprocess.run([MINISIGN, "-S", "-s", self.path(key + ".key"), "-m", self.path(archive), *options],
                       check=True, capture_output=True, input=b"\n")

    def build(self, *arguments, key="release", **named):
        """Build and sign; returns the archive's name."""
        archive = self.call("pack", "build", self.pack(*arguments, **named))[0].strip()
        self.sign(archive, key)
        return archive

    def pack_call(self, *arguments, status=0):
        return self.call("pack", arguments[0], "--store", self.store, *arguments[1:], status=status)

    def trust(self, name="release", *options):
        self.pack_call("trust", "add", self.path(name + ".pub"), "--name", name, *options)

    def refused(self, text, *arguments):
        """The call fails with this text, and what is in force is what was."""
        before = self.installed()
        err = self.pack_call(*arguments, status=1)[1]
        self.assertIn(text, err)
        self.assertEqual(before, self.installed())

    def installed(self):
        out = json.loads(self.pack_call("list", "--json")[0])
        return {p["name"]: p["version"] for g in out if g["active"] for p in g["packs"]}

    def reason(self, policy, host="bad.example"):
        out = self.call("policy", "explain", "-p", policy, "--json", "connect", "192.0.2.1:443", f"host={host}")[0]
        decision = json.loads(out)
        return (decision.get("decision") or decision).get("reason")


LATER = "2099-01-01T00:00:00Z"


def index_text(name="stable", number=1, expires=LATER, packs=(), canary=None):
    lines = ["moonfence-channel 1", f"name {name}", f"number {number}", f"expires {expires}", *packs]
    if canary:
        lines += [f"canary {canary[0]}", *canary[1]]
    return "\n".join(lines) + "\n"


class SourceCase(PackCase):
    """A directory that is published as channel stable, and a store that follows it as source corp."""

    def setUp(self):
        super().setUp()
        self.key("channel")
        self.trust()
        self.trust("channel", "--role", "channel")
        self.repo = self.path("repo")
        os.mkdir(self.repo)
        self.pack_call("source", "add", "corp", self.repo)

    def put(self, *arguments, **named):
        """Build, sign and move an archive into the directory of the source; returns its name."""
        archive = self.build(*arguments, **named)
        for name in (archive, archive + ".minisig"):
            os.replace(self.path(name), os.path.join(self.repo, name))
        return archive

    def publish(self, *options, status=0, key="channel"):
        return self.call("pack", "publish", "--key", key + ".key", *options, self.repo, status=status)

    def line(self, archive, name=None, version=None):
        with open(os.path.join(self.repo, archive), "rb") as file:
            data = file.read()
        base, _, number = archive[:-len(".mfpack")].rpartition("-")
        return f"pack {name or base} {version or number} {len(data)} {hashlib.sha256(data).hexdigest()} minisig"

    def put_index(self, text, key="channel", name="stable"):
        """Sign an index by hand and put it in place."""
        self.write("index", text)
        self.sign("index", key)
        with open(self.path("index.minisig"), encoding="ascii") as file:
            signed = file.read() + text
        self.write(f"repo/{name}.mfchannel", signed)
        return signed

    def update(self, *options, status=0):
        out, err = self.pack_call("update", *options, status=status)
        return err if status else out

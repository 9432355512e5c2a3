# SPDX-License-Identifier: Apache-2.0
"""`moonfence undo`: what a session lost comes back as it was; what the session made itself does not."""
import json
import os
import stat
import struct

import mounted
from mounted import MountCase

POLICY = """return { name = "keep", file = function(q)
  if q.op == "delete" or q.op == "rmdir" or q.op == "write" then return soft_delete {} end
  return allow {}
end }"""


def acl(*entries):
    """A POSIX access list as extended attributes have it: (tag, permissions, id)"""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


class Undo(MountCase):
    policy = POLICY

    def prepare(self):
        for path in ("tree/sub/deep", "other"):
            os.makedirs(os.path.join(self.mount.src, path))
        for path in ("tree/one", "tree/sub/two", "other/three", "other/four"):
            with open(os.path.join(self.mount.src, path), "w") as file:
                file.write(f"old {path}")
        sub = os.path.join(self.mount.src, "tree/sub")
        none = 0xffffffff
        try:
            os.setxattr(sub, "user.note", b"of the directory")
            os.setxattr(sub, "system.posix_acl_default", acl((1, 7, none), (2, 5, 12345), (4, 5, none), (0x10, 5, none), (0x20, 0, none)))
        except OSError as error:
            self.skipTest(f"no extended attributes here: {error}")
        os.chmod(os.path.join(self.mount.src, "tree/sub/deep"), 0o2750)
        for path in ("tree/sub/deep", "tree/sub", "tree"):
            os.utime(os.path.join(self.mount.src, path), ns=(10**18 + 1, 10**18 + 2))
        self.before = self.look()

    def look(self):
        """All there is below src: {path: (mode, mtime of directories, attributes, content)}"""
        found = {}
        for top, dirs, files in os.walk(self.mount.src):
            for name in dirs + files:
                path = os.path.join(top, name)
                st = os.lstat(path)
                content = None
                if stat.S_ISREG(st.st_mode):
                    with open(path) as file:
                        content = file.read()
                attributes = {key: os.getxattr(path, key) for key in os.listxattr(path)}
                found[os.path.relpath(path, self.mount.src)] = (st.st_mode, content or st.st_mtime_ns, attributes)
        return found

    def moonfence(self, *args, check=True):
        return self.mount.run([self.mount.program, *args, "--trash", self.mount.path("trash")], cwd="/", check=check)

    def session(self):
        return json.loads(self.moonfence("trash", "list", "--json").stdout)[0]["session"]

    def test_a_session_is_undone(self):
        self.run_in(["sh", "-ec", """
            mkdir tmp; echo 1 > tmp/a; echo 2 > tmp/b; ln -s a tmp/l; echo more >> tmp/a; echo again > tmp/b; rm -r tmp
            echo new > other/.three.tmp; mv other/.three.tmp other/three; echo newer > other/three; rm other/three
            echo cut > other/four
            rm -r tree
            mkdir made; echo stays > made/file"""])
        out = self.moonfence("undo", "--session", self.session()).stdout
        self.assertIn(" that the session had made itself stay in the trash\n", out)
        after = self.look()
        made = {path: after.pop(path) for path in list(after) if path.startswith("made")}
        self.assertEqual(sorted(made), ["made", "made/file"])
        for path, was in self.before.items():
            if path == "other":  # its time is that of the changes in it
                after.pop(path)
                continue
            self.assertEqual(after.pop(path, None), was, path)
        self.assertEqual(after, {})
        left = json.loads(self.moonfence("trash", "list", "--json").stdout)
        names = {os.path.basename(e["path"]) for e in left if e["made_by_session"]}
        self.assertTrue({"a", "b", "l", "tmp", "three"} <= names, names)

    def test_since(self):
        self.run_in(["rm", "other/three"])
        entry = json.loads(self.moonfence("trash", "list", "--json").stdout)[0]
        for since, status in (("@9999999999", 1), (entry["deleted"], 0)):
            done = self.moonfence("undo", "--session", entry["session"], "--since", since, check=False)
            self.assertEqual((done.returncode, os.path.exists(os.path.join(self.src, "other/three"))), (status, status == 0), done)

    def test_what_others_made_comes_back(self):
        """Known by the inode, not by the name: a file of somebody else under a name that the session had used as well."""
        self.run_in(["sh", "-ec", "echo mine > f; rm f"])
        with open(os.path.join(self.src, "f"), "w") as file:
            file.write("theirs")
        self.mount.run(["sh", "-c", "until rm f 2>/dev/null; do :; done"])
        self.moonfence("undo", "--session", self.session())
        with open(os.path.join(self.src, "f")) as file:
            self.assertEqual(file.read(), "theirs")

    def test_own_files_alone(self):
        self.run_in(["sh", "-ec", "echo mine > f; rm f"])
        out = self.moonfence("undo", "--session", self.session()).stdout
        self.assertEqual(out, "1 that the session had made itself stay in the trash\n")
        self.assertFalse(os.path.exists(os.path.join(self.src, "f")))


for case in (Undo,):
    for who in ("AsRoot", "AsUser"):
        globals()[who + case.__name__] = type(who + case.__name__, (case,), {})
    del case

if __name__ == "__main__":
    mounted.main()

# SPDX-License-Identifier: Apache-2.0
"""What a program did in a real mount that audits is learned; under what was learned it works again, and nothing else does."""
import os
import subprocess
import unittest

import mounted
from mounted import MOONFENCE, NOBODY, Mount

AUDIT = 'return { name = "audit", file_rules = { { paths = { "/**" }, decision = "audit" } } }\n'
SCRIPT = """set -e
ls . deep >/dev/null
cat deep/er/file >/dev/null
echo new >new; echo more >>new; cat new >/dev/null
echo atomic >.tmp; mv .tmp replaced
mkdir -p made/tree; rmdir made/tree
ln -s new soft; readlink soft >/dev/null; cat soft >/dev/null
chmod 600 new; touch new; truncate -s 1 new
exec 3<>both; echo x >&3; exec 3>&-
test -e missing || true
mv moved there; rm gone
ln both hard
"""


class AsRoot(unittest.TestCase):
    user = None

    def setUp(self):
        if not os.path.exists("/dev/fuse"):
            raise unittest.SkipTest("no /dev/fuse here")

    def mounted(self, policy, name="policy.lua"):
        """A mount of the same files each time; policy(src) is its policy's text."""
        mount = Mount("", self.user)
        self.addCleanup(mount.close)
        for path in ("deep/er/file", "replaced", "both", "moved", "gone", "other"):
            path = os.path.join(mount.src, path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write("a\n")
        if self.user is not None and os.getuid() == 0:
            subprocess.run(["chown", "-R", str(self.user), mount.src], check=True)
        mount.policy = mount.path(name)
        with open(mount.policy, "w", encoding="utf-8") as file:
            file.write(policy(mount.src))
        return mount.start()

    def learn(self, mount, *options):
        env = dict(os.environ)
        env.setdefault("MOONFENCE_DATA", os.path.realpath(os.path.join(mounted.HERE, "../../lua")))
        return subprocess.run([MOONFENCE, "policy", "learn", *options, mount.events_path], check=True, capture_output=True,
                              text=True, env=env).stdout

    def test_what_a_program_did_it_can_do_again(self):
        first = self.mounted(lambda src: AUDIT)
        first.run(["sh", "-c", SCRIPT])
        first.stop()
        for form, name in (("lua", "policy.lua"), ("agentsh", "policy.yaml")):
            learned = self.learn(first, "--format", form)
            second = self.mounted(lambda src, text=learned: text.replace(first.src, src), name)
            done = second.run(["sh", "-c", SCRIPT], check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""), learned + second.log)
            for beside in ("cat other", "echo x >other", "rm other", "mv other there2", "ln other x", "chmod 600 other", "cat deep/er",
                           "rm deep/er/file", "echo x >deep/new", "echo x >deep/er/file"):
                done = second.run(["sh", "-c", beside], check=False)
                self.assertNotEqual(done.returncode, 0, f"{beside}\n{learned}")
            with open(os.path.join(second.src, "other"), encoding="utf-8") as file:
                self.assertEqual(file.read(), "a\n")
            self.assertEqual(second.stop(), 0, second.log)


class AsUser(AsRoot):
    user = NOBODY


if __name__ == "__main__":
    mounted.main()

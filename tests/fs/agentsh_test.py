# SPDX-License-Identifier: Apache-2.0
"""A policy of agentsh, as it is, before real files: `moonfence mount` and `moonfence run --workspace`."""
import json
import os
import shutil
import subprocess
import tempfile
import threading
import unittest

import mounted
from mounted import MOONFENCE, NOBODY, Mount

# Without a key of our own. The last rules are those that agentsh's policies end with.
POLICY = """version: 1
name: agentsh-files
file_rules:
  - {name: no-keys, paths: ["${PROJECT_ROOT}/**/.env", "**/id_*"], operations: ["*"], decision: deny, message: "keep out of {{.Path}}"}
  - {name: read-only, paths: ["${PROJECT_ROOT}/vendor/**"], operations: [write, create, delete, rename, mkdir, rmdir, chmod], decision: deny}
  - {name: ask, paths: ["${PROJECT_ROOT}/deploy/**"], operations: [write, create], decision: approve, timeout: 5m}
  - {name: kept, paths: ["${PROJECT_ROOT}/**"], operations: [delete, rmdir], decision: soft_delete}
  - {name: elsewhere, paths: ["${PROJECT_ROOT}/logs/*.log"], decision: redirect, redirect_to: "${PROJECT_ROOT}/.scratch"}
  - {name: seen, paths: ["${PROJECT_ROOT}/seen/**"], decision: audit}
  - {name: project, paths: ["${PROJECT_ROOT}", "${PROJECT_ROOT}/**"], decision: allow}
  - {name: default-deny-files, paths: ["/**"], decision: deny}
network_rules:
  - {name: default-deny-network, domains: ["*"], decision: deny}
audit: {log_denied: true}
"""


class Judged:
    """What is the same in a mount and in a session's workspace. sh() runs a command there; Return: output of both"""

    def make(self, top):
        for name in ("vendor", "deploy", "logs", "seen", ".scratch", "deep/er"):
            os.makedirs(os.path.join(top, name))
        for name in (".env", "deep/er/.env", "vendor/lib.c", "deploy/now", "plain", "seen/x", "gone"):
            with open(os.path.join(top, name), "w") as file:
                file.write(name + "\n")
        os.mkdir(os.path.join(top, ".git"))  # what makes it a project
        os.link(os.path.join(top, "vendor", "lib.c"), os.path.join(top, "innocent"))

    def rules_of(self, *types, **want):
        return [e["policy"]["rule"] for e in self.told() if e["type"] in types and "policy" in e
                and all(e["policy"].get(k) == v for k, v in want.items())]

    def test_files_are_judged(self):
        out = self.sh("cat .env deep/er/.env; cat plain; echo new > new && cat new; cat vendor/lib.c; echo x > vendor/lib.c; "
                      "echo x > vendor/new; mv vendor/lib.c .; cat seen/x; chmod 600 vendor/lib.c")
        self.assertEqual(out.count("Permission denied"), 6, out)
        for line in ("plain\n", "new\n", "vendor/lib.c\n", "seen/x\n"):
            self.assertIn(line, out)
        self.assertIn("file_rules[0] no-keys", self.rules_of("file_stat", "file_open", effective_decision="deny"))
        self.assertIn("file_rules[1] read-only", self.rules_of("file_create", effective_decision="deny"))
        self.assertIn("file_rules[5] seen", self.rules_of("file_open", decision="audit", effective_decision="allow"))
        self.assertTrue([e for e in self.told() if e.get("policy", {}).get("message") == "keep out of {{.Path}}"])

    def test_an_approval_that_nobody_gives(self):
        out = self.sh("cat deploy/now; echo x > deploy/now; cat deploy/now")
        self.assertEqual(out.count("deploy/now\n"), 2, out)
        self.assertIn("Permission denied", out)
        self.assertIn("file_rules[2] ask", self.rules_of("file_open", "file_truncate", "file_write", decision="ask",
                                                         effective_decision="deny", reason="approve_without_channel"))

    def test_what_is_deleted_is_kept(self):
        self.sh("rm gone plain")
        self.assertEqual(sorted(n.split(".")[0] for n in self.kept()), ["gone", "plain"])
        self.assertIn("file_rules[3] kept", self.rules_of("file_soft_delete"))

    def test_files_go_elsewhere(self):
        out = self.sh("echo line > logs/a.log; cat logs/a.log; ls logs .scratch")
        self.assertIn("line\n", out)
        with open(os.path.join(self.top, ".scratch", "a.log")) as file:
            self.assertEqual(file.read(), "line\n")
        self.assertFalse(os.path.exists(os.path.join(self.top, "logs", "a.log")))

    def test_another_name_of_a_denied_file(self):
        """P59: vendor/lib.c had another name before; whoever writes that writes vendor/lib.c, and the mount knows both."""
        out = self.sh("ls -l vendor/lib.c innocent && echo stolen >> innocent; cat plain")
        self.assertIn("Permission denied", out)
        with open(os.path.join(self.top, "vendor", "lib.c")) as file:
            self.assertEqual(file.read(), "vendor/lib.c\n", out)


class MountJudged(Judged):
    user = None

    def setUp(self):
        if not os.path.exists("/dev/fuse"):
            raise unittest.SkipTest("no /dev/fuse here")
        self.mount = Mount("", self.user)
        self.addCleanup(self.mount.close)
        self.write(POLICY)
        self.top = self.mount.src
        self.make(self.top)
        subprocess.run(["chown", "-R", f"{os.stat(self.top).st_uid}", self.top], check=True)
        self.mount.start()

    def write(self, text):
        self.mount.policy = self.mount.path("policy.yaml")
        with open(self.mount.policy + ".new", "w") as file:
            file.write(text)
        os.rename(self.mount.policy + ".new", self.mount.policy)

    def sh(self, command):
        done = self.mount.run(["sh", "-c", command], check=False, cwd=self.mount.mnt)
        return done.stdout + done.stderr

    def told(self):
        self.mount.stop()
        return self.mount.events()

    def kept(self):
        return self.mount.trashed()

    def wait_for(self, type_):
        for _ in range(mounted.WAIT_S * 50):
            if any(e["type"] == type_ for e in self.mount.events()):
                return
            threading.Event().wait(0.02)
        self.fail(f"no {type_}")

    def test_it_is_read_anew_when_it_changes(self):
        self.assertIn("plain", self.sh("cat plain"))
        self.write(POLICY.replace("file_rules:", "file_rulez:"))
        self.wait_for("policy_reload_failed")
        self.assertIn("plain", self.sh("cat plain"))
        self.assertIn("Permission denied", self.sh("cat .env"))
        self.write(POLICY.replace('"**/id_*"', '"${PROJECT_ROOT}/plain"'))
        self.wait_for("policy_changed")
        self.assertIn("Permission denied", self.sh("cat plain"))


class WorkspaceJudged(Judged):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="mf-fs-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.top, self.policy, self.events, self.trash = (os.path.join(self.dir, n) for n in ("ws", "p.yaml", "events", "trash"))
        os.mkdir(self.top)
        self.make(self.top)
        with open(self.policy, "w") as file:
            file.write(POLICY)

    def sh(self, command):
        env = dict(os.environ, HOME=self.dir)
        env.setdefault("MOONFENCE_DATA", os.path.realpath(os.path.join(mounted.HERE, "../../lua")))
        done = subprocess.run([MOONFENCE, "run", "--policy", self.policy, "--workspace", self.top, "--trash", self.trash, "--events",
                               self.events, "--", "sh", "-c", command], cwd=self.top, env=env, text=True, capture_output=True,
                              timeout=mounted.WAIT_S, check=False)
        return done.stdout + done.stderr

    def told(self):
        with open(self.events) as file:
            return [json.loads(line) for line in file]

    def kept(self):
        return os.listdir(os.path.join(self.trash, "files"))


class AsRootMount(MountJudged, unittest.TestCase):
    pass


class AsUserMount(MountJudged, unittest.TestCase):
    user = NOBODY


class AsRootWorkspace(WorkspaceJudged, unittest.TestCase):
    pass


if __name__ == "__main__":
    mounted.main()

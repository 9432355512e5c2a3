#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A real Vite project, started as people start it. Runs where every port is free; vite.sh has installed Vite."""
import os, shutil, signal, subprocess, tempfile, unittest

from watcher import Watcher, write


class Vite(unittest.TestCase):
    def test_npm_run_dev(self):
        top = tempfile.mkdtemp(prefix="vite-")
        self.addCleanup(shutil.rmtree, top)
        write(top + "/package.json", '{"name": "@acme/Store_Front", "private": true, "scripts": {"dev": "vite --port 5173 --strictPort"},'
                                     ' "devDependencies": {"vite": "*"}}')
        write(top + "/index.html", "<script type=module src=main.js></script>")
        write(top + "/main.js", "document.title = 'x'")
        os.symlink(os.environ["VITE_MODULES"], top + "/node_modules")
        w = Watcher("--probe", "60000")
        self.addCleanup(w.close)
        p = subprocess.Popen(["npm", "run", "dev"], cwd=top, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, start_new_session=True, env={**os.environ, "npm_config_update_notifier": "false"})

        def end():
            try:
                os.killpg(p.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            p.wait()
        self.addCleanup(end)
        s = w.wait(5173, speech="http")
        self.assertEqual((s["kind"], s["name"], s["project"]), ("vite", "store-front.localhost", top))
        end()
        w.gone(5173)


if __name__ == "__main__":
    unittest.main(verbosity=1)

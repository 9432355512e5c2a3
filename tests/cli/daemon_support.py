# SPDX-License-Identifier: Apache-2.0
"""A daemon of a test's own, and curl at its socket."""
import json
import os
import subprocess

from support import LAUNCHER, ROOT, Case
import support


class DaemonCase(Case):
    """A test that may start daemons, which know of no sessions but its own; what is left of them is ended."""

    def setUp(self):
        super().setUp()
        os.environ["MOONFENCE_RUN_DIR"] = os.path.join(self.directory, "run")
        self.addCleanup(os.environ.pop, "MOONFENCE_RUN_DIR")

    def start(self, *arguments, policy=None, socket="api.sock", prefix=()):
        """Start a daemon and wait until it serves; returns its process, with .socket."""
        words = ["--socket", os.path.join(self.directory, socket)] if socket else []
        if policy:
            words += ["--policy", policy]
        errors = open(os.path.join(self.directory, "daemon.err"), "ab")
        self.addCleanup(errors.close)
        process = subprocess.Popen([*prefix, *LAUNCHER, support.PROGRAM, "daemon", *words, *arguments], stdout=subprocess.PIPE,
                                   stderr=errors, cwd=self.directory,
                                   env=dict(os.environ, MOONFENCE_DATA=os.path.join(ROOT, "lua")))
        self.addCleanup(self.end, process)
        line = process.stdout.readline().decode()
        self.assertTrue(line.startswith("serving "), (line, self.daemon_errors()))
        process.socket = line.split(" ", 1)[1].strip()
        return process

    def daemon_errors(self):
        with open(os.path.join(self.directory, "daemon.err"), encoding="utf-8") as file:
            return file.read()

    def end(self, process):
        """Stop it as an operator does; returns its exit status."""
        if process.poll() is None:
            process.terminate()
        status = process.wait(timeout=120)
        process.stdout.close()
        return status

    def curl(self, process, method, path, body=None, content_type="application/json", prefix=(), options=()):
        """One request by curl; returns (status, content type, text)."""
        words = ["curl", "--silent", "--show-error", "--unix-socket", process.socket, "-X", method, "--max-time", "120",
                 "-w", "\n%{http_code} %{content_type}", *options, "http://localhost" + path]
        if body is not None:
            text = body if isinstance(body, str) else json.dumps(body)
            words += ["-H", "content-type: " + content_type, "--data-binary", "@-"]
        done = subprocess.run([*prefix, *words], input=text.encode() if body is not None else b"", capture_output=True,
                              timeout=300, check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        text, last = done.stdout.decode().rsplit("\n", 1)
        status, _, kind = last.partition(" ")
        return int(status), kind, text

    def ask(self, process, method, path, body=None, status=200, **more):
        """As curl(); the status must be as expected, and the answer JSON, which is returned."""
        found, kind, text = self.curl(process, method, path, body, **more)
        self.assertEqual(found, status, text)
        self.assertEqual(kind, "application/json" if status < 400 or path == "/v1/health" else "application/problem+json", text)
        return json.loads(text)

# SPDX-License-Identifier: Apache-2.0
"""Dev-server detection as tests see it: dev_host, what it told of, what it lists."""
import json, os, queue, subprocess, threading, time

HOST = os.environ["DEV_HOST"]


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def wait_for(what, check, seconds=180):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if r := check():
            return r
        time.sleep(0.01)
    raise AssertionError("did not happen: " + what)


class Watcher:
    """dev_host: what it told of, and what it has now, by port."""

    def __init__(self, *args):
        self.p = subprocess.Popen([HOST, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.changes, self.answers, self.now = [], queue.Queue(), {}
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.p.stdout:
            m = json.loads(line)
            if "change" not in m:
                self.answers.put(m)
                continue
            s, change = m["server"], m["change"]
            self.changes.append((change, s))
            # two servers may have one port, on different addresses
            if change == "disappeared":
                self.now.pop(s["id"])
            else:
                self.now[s["id"]] = s

    def ask(self, line):
        self.p.stdin.write(line + "\n")
        self.p.stdin.flush()
        return self.answers.get(timeout=180)

    def tell(self, line):
        self.p.stdin.write(line + "\n")
        self.p.stdin.flush()

    def at(self, port):
        return [s for s in list(self.now.values()) if s["port"] == port]

    def wait(self, port, **want):
        def check():
            for s in self.at(port):
                if all(s[k] == v for k, v in want.items()):
                    return s
        try:
            return wait_for(f"{port}: {want}", check)
        except AssertionError as e:
            raise AssertionError(f"{e}; there is {self.at(port)}") from None

    def gone(self, port):
        wait_for(f"{port} gone", lambda: not self.at(port))

    def ticks(self, more):
        """Until it has looked so many times more."""
        first = self.ask("stats")["ticks"]
        wait_for("ticks", lambda: self.ask("stats")["ticks"] >= first + more)

    def close(self):
        self.p.stdin.close()
        self.p.wait(timeout=180)
        self.reader.join()
        self.p.stdout.close()
        assert self.p.returncode == 0, self.p.returncode

# SPDX-License-Identifier: Apache-2.0
"""What the benches share that put Moonfence beside other servers of one namespace: their start, their end, their samples."""
import os, shutil, socket, subprocess, sys, tempfile, time


def sh(argv, **kw):
    return subprocess.run(argv, check=True, text=True, stdout=subprocess.PIPE, **kw).stdout


def tree(pid):
    """A process and its descendants."""
    out, kids = [pid], {}
    for p in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{p}/stat") as f:
                kids.setdefault(int(f.read().rsplit(")", 1)[1].split()[1]), []).append(int(p))
        except OSError:
            pass
    for p in out:
        out += kids.get(p, [])
    return out


def cpu_of(pid):
    """Seconds of a core that a process and its descendants have used."""
    total = 0.0
    for p in tree(pid):
        for t in os.listdir(f"/proc/{p}/task"):
            with open(f"/proc/{p}/task/{t}/schedstat") as f:
                total += int(f.read().split()[0]) / 1e9
    return total


class Beside:
    def __init__(self, args, name):
        self.args, self.procs, self.samples = args, {}, {}
        self.tmp = tempfile.mkdtemp(prefix=f"{name}-bench-")
        os.chmod(self.tmp, 0o755)
        self.load = os.path.join(args.build, "bench/forward/bench_forward_load")

    def path(self, name, text):
        with open(os.path.join(self.tmp, name), "w") as f:
            f.write(text)
        return f.name

    def spawn(self, name, argv, port, **env):
        """Start a program, and wait until it accepts connections."""
        log = open(os.path.join(self.tmp, f"{name}.out"), "w")
        p = self.procs[name] = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                env={**os.environ, "HOME": self.tmp, **env})
        end = time.monotonic() + 60
        while time.monotonic() < end and p.poll() is None:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.02)
        with open(log.name) as f:
            sys.exit(f"{name} did not start: {f.read()}")

    def record(self, row, who, value):
        self.samples.setdefault(row, {}).setdefault(who, []).append(value)

    def stop(self):
        for p in reversed(self.procs.values()):
            p.terminate()
        for p in self.procs.values():
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                p.kill()
        shutil.rmtree(self.tmp, ignore_errors=True)

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What requests notice when a list of a million names is replaced: `moonfence resolver` with a pack beside unbound with the same names.

Two versions of the pack are installed; the store's state is put back and forth between them, so that the resolver's watch loads the
other one. unbound is told to reload. One client asks without a pause, one question after the other; each answer is timed. The same
again while nothing is reloaded: that is the machine, the client included. And the same in one process: bench_reload.
"""
import argparse, atexit, json, os, shutil, signal, socket, statistics, struct, subprocess, sys, tempfile, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))
TMP = tempfile.mkdtemp(prefix="bench-reload-")
os.chmod(TMP, 0o755)
atexit.register(shutil.rmtree, TMP, True)


def path(*names):
    return os.path.join(TMP, *names)


def write(name, text):
    os.makedirs(os.path.dirname(path(name)), exist_ok=True)
    with open(path(name), "w", encoding="ascii") as f:
        f.write(text)
    return path(name)


def run(*argv):
    r = subprocess.run(argv, capture_output=True, text=True)
    if r.returncode:
        sys.exit(f"{' '.join(argv)}: {r.stdout[-300:]}{r.stderr[-300:]}")
    return r.stdout.strip()


def make_packs(moonfence, names):
    """Two installed versions; returns the store and what its state says with each in force."""
    store, states = path("store"), []
    run("minisign", "-G", "-W", "-p", path("k.pub"), "-s", path("k.key"))
    run(moonfence, "pack", "trust", "add", "--store", store, path("k.pub"), "--name", "bench")
    for minor in (0, 1):
        place = f"pack{minor}"
        write(place + "/pack.lua", f'return {{ name = "egress", version = "1.{minor}.0", compile = {{ "data/names.txt" }} }}\n')
        write(place + "/policy.lua", 'local names = domains { file = "data/names.txt" }\nreturn { name = "egress",\n'
              f'  dns_redirects = {{ {{ match = "version.example", resolve_to = "10.0.0.{minor}" }} }},\n'
              '  dns = function(q) if q:under(names) then return deny "listed" end end }\n')
        write(place + "/data/names.txt", "".join(f"n{i}.bad.example\n" for i in range(names + minor)))
        run(moonfence, "pack", "build", "-o", path(place + ".mfpack"), path(place))
        run(moonfence, "pack", "sign", "--key", path("k.key"), path(place + ".mfpack"))
        run(moonfence, "pack", "install", "--store", store, path(place + ".mfpack"))
        with open(store + "/packs.state", "rb") as f:
            states.append(f.read())
    return store, states


def question(name):
    return struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\0\0\1\0\1"


class Client(threading.Thread):
    """Asks on; keeps (when it was sent, how long it took) of each."""

    def __init__(self, port, names):
        super().__init__(daemon=True)
        self.port, self.questions = port, [question(f"n{i * 7919 % names}.bad.example") for i in range(5000)]
        self.times, self.stopping, self.lost = [], False, 0

    def run(self):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.connect(("127.0.0.1", self.port))
        s.settimeout(60)
        clock, i = time.perf_counter, 0
        while not self.stopping:
            q = self.questions[i % len(self.questions)]
            i += 1
            start = clock()
            s.send(q)
            try:
                s.recv(512)
            except OSError:
                self.lost += 1
            self.times.append((start, clock() - start))


class Server:
    def __init__(self, argv, port=None):
        self.p = subprocess.Popen(argv, stdout=subprocess.PIPE if not port else subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
        atexit.register(self.p.kill)
        self.port = port or int(self.p.stdout.readline().rsplit(":", 1)[1])

    def version(self):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(60)
        s.sendto(question("version.example"), ("127.0.0.1", self.port))
        try:
            return s.recv(512)[-1]
        except OSError:
            return None

    def memory(self):
        """Bytes that it has, and of them those that other processes may have as well (memory files)."""
        with open(f"/proc/{self.p.pid}/status") as f:
            v = dict(line.split(":", 1) for line in f)
        return int(v["RssAnon"].split()[0]) * 1024, int(v["RssShmem"].split()[0]) * 1024


class Moonfence(Server):
    def __init__(self, moonfence, names):
        self.store, self.states = make_packs(moonfence, names)
        super().__init__([moonfence, "resolver", "--listen", "127.0.0.1:0", "--policy", self.store + "/egress", "--dns", "127.0.0.1:9"])
        self.at = 1

    def reload(self):
        self.at ^= 1
        with open(self.store + "/packs.new", "wb") as f:
            f.write(self.states[self.at])
        os.rename(self.store + "/packs.new", self.store + "/packs.state")
        while self.version() != self.at:
            time.sleep(0.005)


class Unbound(Server):
    def __init__(self, names):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        write("names.conf", "server:\n" + "".join(f'local-zone: "n{i}.bad.example" always_refuse\n' for i in range(names)))
        self.conf = write("unbound.conf", f"""server:
  interface: 127.0.0.1
  port: {port}
  num-threads: 1
  chroot: ""
  username: ""
  directory: "{TMP}"
  pidfile: ""
  use-syslog: no
  logfile: "{TMP}/unbound.log"
  do-daemonize: no
  module-config: "iterator"
  local-data: "version.example. A 10.0.0.1"
include: "{TMP}/names.conf"
remote-control:
  control-enable: yes
  control-interface: {TMP}/unbound.sock
  control-use-cert: no
""")
        super().__init__(["unbound", "-c", self.conf], port)
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.connect(("127.0.0.1", port))
        s.settimeout(0.2)
        for _ in range(1500):
            try:
                s.send(question("version.example"))
                s.recv(512)
                return
            except OSError:
                time.sleep(0.05)
        sys.exit("unbound does not answer")

    def reload(self):
        run("unbound-control", "-c", self.conf, "reload")
        self.version()


def measure(server, names, rounds):
    client = Client(server.port, names)
    client.start()
    time.sleep(0.3)
    quiet, busy, took = [], [], []
    for _ in range(rounds):
        a = time.perf_counter()
        server.reload()
        time.sleep(0.05)
        b = time.perf_counter()
        time.sleep(b - a)
        c = time.perf_counter()
        took.append(b - a)
        # A question that was sent before a reload and waited for it belongs to it.
        for start, t in list(client.times):
            if a - 0.001 <= start + t and start <= b:
                busy.append(t)
            elif b < start and start + t < c:
                quiet.append(t)
        client.times.clear()
    client.stopping = True
    client.join()
    server.p.send_signal(signal.SIGTERM)
    server.p.wait()

    def of(times):
        times.sort()
        return {"requests": len(times), "p50_us": times[len(times) // 2] * 1e6, "p999_us": times[int(len(times) * 0.999)] * 1e6,
                "longest_ms": times[-1] * 1e3, "over_5ms": sum(t > 0.005 for t in times)}
    return {"reload": of(busy), "quiet": of(quiet), "took_ms": statistics.median(took) * 1e3, "lost": client.lost}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--json", action="store_true")
    p.add_argument("--names", type=int, default=1000000)
    p.add_argument("--rounds", type=int, default=6)
    p.add_argument("--build", default=os.path.join(HERE, "../../build/release"))
    a = p.parse_args()
    ours = Moonfence(os.path.join(a.build, "cli/moonfence"), a.names)
    anon, shared = ours.memory()
    result = {"moonfence": measure(ours, a.names, a.rounds)}
    result["moonfence"]["bytes_per_name"] = shared / a.names
    result["moonfence"]["own_bytes"] = anon
    if shutil.which("unbound"):
        peer = Unbound(a.names)
        anon, _ = peer.memory()
        result["unbound"] = measure(peer, a.names, max(a.rounds // 3, 1))
        result["unbound"]["bytes_per_name"] = anon / a.names
    place = [os.path.dirname(d) for minor in (0, 1) for d, _, f in os.walk(ours.store) if d.endswith("/data") and f"/1.{minor}.0-" in d]
    result["decide"] = json.loads(run(os.path.join(a.build, "bench/reload/bench_reload"), "--json", "--rounds", str(a.rounds), *place))
    if a.json:
        print(json.dumps(result))
        return
    for who in ("moonfence", "unbound"):
        if who not in result:
            continue
        r = result[who]
        print(f"{who}: {r['bytes_per_name']:.1f} bytes a name; a reload takes {r['took_ms']:.0f} ms, {r['lost']} lost")
        for what in ("reload", "quiet"):
            v = r[what]
            print(f"  {what:7} {v['requests']:8} requests, median {v['p50_us']:.0f} us, p99.9 {v['p999_us']:.0f} us, "
                  f"longest {v['longest_ms']:.2f} ms, {v['over_5ms']} over 5 ms")
    print("in one process:", json.dumps(result["decide"]))


if __name__ == "__main__":
    main()

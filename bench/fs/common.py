# SPDX-License-Identifier: Apache-2.0
"""What the figures of files share: the source and the mounts of it that take turns, processors kept awake, medians and ratios.

A program of figures is a module with COLUMNS = {column: what it is}, PLACES and measure(args, place) -> {column: figure}, or
together(args, places) -> {column: {place: [figure, ...]}}; fs.py runs them. Higher is better, but in columns of seconds (s) and microseconds (us).
"""
import ctypes, json, os, shutil, statistics, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
POLICY = """return { name = "bench", file = function(q)
  if q.path:find("/secret", 1, true) then return deny { reason = "secret" } end
  if q.op == "chown" then return deny { reason = "owners stay" } end
  return allow {}
end }
"""
# By the words of a place's name: "trash" keeps what is deleted, "kept" only what is called so, "rules" has thirty, "none" says nothing.
POLICIES = {
    "trash": POLICY.replace('if q.op == "chown"', 'if q.op == "delete" then return soft_delete {} end\n  if q.op == "chown"'),
    "kept": """return { name = "kept", file = function(q)
  if q.op == "delete" and q:glob("/**/kept*") then return soft_delete {} end
  return allow {}
end }
""",
    "none": 'return { name = "none", file = function() return allow {} end }\n',
}
with open(os.path.join(HERE, "../decide/policy.lua"), encoding="utf-8") as rules:
    POLICIES["rules"] = rules.read().replace("/workspace/", "/**/")
PEERS = {
    "bindfs": ["bindfs", "-f", "--multithreaded"],
    "mergerfs": ["mergerfs", "-f", "-o", "cache.files=partial,dropcacheonclose=false,category.create=ff"],
}


class Failed(Exception):
    """It could not be measured; the text says why."""


class Awake:
    """One loop of the lowest priority for each processor: what wakes up finds it running, as on a machine that is in use."""

    def __enter__(self):
        self.loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"], preexec_fn=lambda: os.setpriority(os.PRIO_PROCESS, 0, 19))
                      for _ in os.sched_getaffinity(0)]

    def __exit__(self, *_):
        for loop in self.loops:
            loop.kill()
        for loop in self.loops:
            loop.wait()


class Place:
    """A directory of files and a way to see it. Names: "source", a peer's, or "moonfence" with options, comma separated:
    "moonfence,writeback" has --writeback; a word of POLICIES is its policy."""

    def __init__(self, base, name, args):
        self.name, self.args = name, args
        plain = name.replace(",", "-")
        self.src, self.mnt = os.path.join(base, f"src-{plain}"), os.path.join(base, f"mnt-{plain}")
        self.policy = os.path.join(base, f"{plain}.lua")
        os.mkdir(self.src)
        os.mkdir(self.mnt)
        self.server = None
        if name == "source":
            self.mnt = self.src

    def argv(self):
        who, *words = self.name.split(",")
        if who != "moonfence":
            return PEERS[who] + [self.src, self.mnt]
        with open(self.policy, "w", encoding="utf-8") as file:
            file.write(next((POLICIES[w] for w in words if w in POLICIES), POLICY))
        trash = ["--trash", f"{self.src}-trash"] if {"trash", "kept"} & set(words) else ["--no-trash"]
        return [self.args.moonfence, "mount", "--policy", self.policy, "--no-watch", *trash,
                *["--" + w for w in words if w not in POLICIES], self.src, self.mnt]

    def start(self):
        if self.name == "source":
            return
        self.server = subprocess.Popen(self.argv(), stdout=subprocess.DEVNULL)
        while not os.path.ismount(self.mnt):
            if self.server.poll() is not None:
                raise Failed(f"{self.name} did not begin")
            time.sleep(0.01)

    def stop(self):
        if self.server:
            subprocess.run(["umount", "-l", self.mnt], check=False)
            self.server.terminate()
            self.server.wait(60)

    def program(self, name, *more):
        """Run a program of the build on the mount, with its server's pid where there is one. Return: what it found"""
        server = [str(self.server.pid)] if self.server else []
        out = subprocess.run([os.path.join(self.args.build, "bench/fs", name), self.mnt, *server, *more], capture_output=True, text=True, check=False)
        if out.returncode:
            raise Failed(f"{name} at {self.name}: {out.stderr.strip()[-300:]}")
        return json.loads(out.stdout)


def installed(name):
    return name.split(",")[0] in ("source", "moonfence") or shutil.which(name)


def arguments(p):
    """Options that every program of figures has"""
    p.add_argument("--build", default=os.path.join(HERE, "../../build/release"), help="build directory to measure")
    p.add_argument("--moonfence", help="program to measure, in place of the build's")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--json", action="store_true")
    p.add_argument("--places", help="of these only, separated by spaces: source bindfs mergerfs moonfence moonfence,trash ...")
    p.add_argument("--where", metavar="DIR", help="sources lie in a directory made there (default: on a tmpfs of its own)")


def interleave(args, modules):
    """Every place by turns, @args.rounds times, forth and back. Return: {column: {place: [figure, ...]}}"""
    only = args.places.split() if args.places else None
    of = {module: [n for n in only or module.PLACES if installed(n)] for module in modules}
    args.moonfence = args.moonfence or os.path.join(args.build, "cli/moonfence")
    if ctypes.CDLL(None, use_errno=True).unshare(0x00020000):  # CLONE_NEWNS
        raise Failed("wants root: it mounts, in a namespace of its own")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    found = {}
    with tempfile.TemporaryDirectory(prefix="mf-bench-fs-", dir=args.where) as base, Awake():
        if not args.where:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8g", "tmpfs", base], check=True)
        places = {name: Place(base, name, args) for names in of.values() for name in names}
        try:
            for place in places.values():
                place.start()
            for i in range(args.rounds):
                for module, names in of.items():
                    if hasattr(module, "together"):
                        for column, by in module.together(args, [places[n] for n in names]).items():
                            for name, v in by.items():
                                found.setdefault(column, {}).setdefault(name, []).extend(v)
                        continue
                    for name in names if i % 2 == 0 else names[::-1]:
                        for column, v in module.measure(args, places[name]).items():
                            found.setdefault(column, {}).setdefault(name, []).append(v)
        finally:
            for place in places.values():
                place.stop()
            if not args.where:
                subprocess.run(["umount", "-l", base], check=False)
    return found


def ratio(ours, theirs):
    """The median of the ratios of neighbouring measurements"""
    return statistics.median(a / b for a, b in zip(ours, theirs) if b)


def figure(v):
    return f"{v:,.0f}" if v >= 1000 else f"{v:.3g}"


def show(found, modules, ours=("moonfence",), peers=("bindfs", "mergerfs", "source")):
    """A table: medians of every place, then each of @ours as a multiple of each peer"""
    for module in modules:
        columns = [c for c in module.COLUMNS if c in found]
        if not columns:
            continue
        print("\n".join(f"{c}: {module.COLUMNS[c]}" for c in columns))
        names = list(found[columns[0]])
        width = max(map(len, names)) + 14
        print(f"{'':{width}}" + "".join(f"{c:>16}" for c in columns))
        for name in names:
            print(f"{name:{width}}" + "".join(f"{figure(statistics.median(found[c][name])):>16}" if name in found[c] else f"{'-':>16}" for c in columns))
        for us in names:
            if us.split(",")[0] not in ours:
                continue
            for peer in peers:
                if peer in names:
                    print(f"{us + ' / ' + peer:{width}}" + "".join(f"{ratio(found[c][us], found[c][peer]):16.2f}" if us in found[c] and peer in found[c] else f"{'-':>16}" for c in columns))
        print()

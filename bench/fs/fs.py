#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The policy filesystem beside bindfs, mergerfs and the source itself: metadata of 20,000 files, sequential and random I/O.

Sources lie on a tmpfs of its own, so that what is measured is the filesystem and no disk. All take turns; figures are medians.
Wants root (mounts in a namespace of its own), fio, bindfs, mergerfs; what is missing is left out and named.
"""
import argparse, ctypes, json, os, shutil, statistics, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
POLICY = """return { name = "bench", file = function(q)
  if q.path:find("/secret", 1, true) then return deny { reason = "secret" } end
  if q.op == "chown" then return deny { reason = "owners stay" } end
  return allow {}
end }
"""
KEEP = POLICY.replace('if q.op == "chown"', 'if q.op == "delete" then return soft_delete {} end\n  if q.op == "chown"')


class Place:
    """A source and a way to see it."""

    def __init__(self, base, name, args):
        self.name, self.args = name, args
        self.src, self.mnt = os.path.join(base, f"src-{name}"), os.path.join(base, f"mnt-{name}")
        self.policy = os.path.join(base, f"{name}.lua")
        os.mkdir(self.src)
        os.mkdir(self.mnt)
        self.server = None

    def start(self):
        if self.name == "source":
            self.mnt = self.src
            return
        if self.name.startswith("moonfence"):
            with open(self.policy, "w") as file:
                file.write(KEEP if "trash" in self.name else POLICY)
            trash = ["--trash", f"{self.src}-trash"] if "trash" in self.name else ["--no-trash"]
            more = ["--writeback"] if "writeback" in self.name else []
            argv = [self.args.moonfence, "mount", "--policy", self.policy, "--no-watch", *trash, *more, self.src, self.mnt]
            self.server = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
            if not self.server.stdout.readline():
                raise SystemExit("moonfence mount did not begin")
            return
        argv = {"bindfs": ["bindfs", "-f", "--multithreaded", self.src, self.mnt],
                "mergerfs": ["mergerfs", "-f", "-o", "cache.files=partial,dropcacheonclose=false,category.create=ff", self.src, self.mnt]}[self.name]
        self.server = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        while not os.path.ismount(self.mnt):
            if self.server.poll() is not None:
                raise SystemExit(f"{self.name} did not begin")
            time.sleep(0.01)

    def stop(self):
        if self.server:
            subprocess.run(["umount", "-l", self.mnt], check=False)
            self.server.terminate()
            self.server.wait(60)


def meta(args, place):
    out = subprocess.run([args.meta, place.mnt, str(args.files)], capture_output=True, text=True, check=True).stdout
    return json.loads(out)


def fio(args, place, name, rw, bs, jobs, size):
    more = ["--filename_format=data.$jobnum", "--fallocate=none", "--end_fsync=0", f"--runtime={args.seconds}", "--time_based"]
    out = subprocess.run(["fio", f"--name={name}", f"--directory={place.mnt}", f"--rw={rw}", f"--bs={bs}", f"--numjobs={jobs}", f"--size={size}",
                          "--ioengine=psync", "--group_reporting", "--output-format=json", *more], capture_output=True, text=True, check=True).stdout
    job = json.loads(out)["jobs"][0]
    return job["read" if "read" in rw else "write"]["bw_bytes" if bs == "1m" else "iops"]


def round_of(args, place):
    found = {}
    if "meta" in args.what:
        found.update(meta(args, place))
    if "io" in args.what:
        found["seq_write"] = fio(args, place, "w", "write", "1m", 1, "256m")
        found["seq_read"] = fio(args, place, "r", "read", "1m", 1, "256m")
        found["rand_read_4k_4"] = fio(args, place, "r", "randread", "4k", 4, "64m")
        for name in os.listdir(place.mnt):
            os.unlink(os.path.join(place.mnt, name))
    return found


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--moonfence", default=os.path.join(HERE, "../../build/release/cli/moonfence"))
    p.add_argument("--meta", default=os.path.join(HERE, "../../build/release/bench/fs/bench_fs_meta"))
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--files", type=int, default=20000)
    p.add_argument("--seconds", type=float, default=2)
    p.add_argument("--json", action="store_true")
    p.add_argument("--what", default="meta,io")
    p.add_argument("--places", default="source,bindfs,mergerfs,moonfence,moonfence-trash")
    args = p.parse_args()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x00020000):
        raise SystemExit("wants root")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    with tempfile.TemporaryDirectory(prefix="mf-bench-fs-") as base:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8g", "tmpfs", base], check=True)
        places = [Place(base, n, args) for n in args.places.split(",") if n in ("source",) or n.startswith("moonfence") or shutil.which(n)]
        samples = {place.name: {} for place in places}
        try:
            for place in places:
                place.start()
            for i in range(args.rounds):
                for place in places if i % 2 == 0 else places[::-1]:
                    for k, v in round_of(args, place).items():
                        samples[place.name].setdefault(k, []).append(v)
        finally:
            for place in places:
                place.stop()
            subprocess.run(["umount", "-l", base], check=False)
    if args.json:
        print(json.dumps(samples))
        return
    columns = list(next(iter(samples.values())))
    print(f"{'':18}" + "".join(f"{c:>16}" for c in columns))
    for name, values in samples.items():
        print(f"{name:18}" + "".join(f"{statistics.median(values[c]):16.0f}" for c in columns))


if __name__ == "__main__":
    main()

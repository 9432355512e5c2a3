#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Events to a file on one core, until the last is written: moonfence's stream beside spdlog and jansson.

Each writes the same net_close event of about 400 bytes, so many times, with its maker and its writer on one core; then the
file is read: every event must be in it, once. They take turns. "rotated" is moonfence with files of 64 MiB, compressed
while the next is written.
"""
import argparse, json, os, re, shutil, statistics, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
NUMBER = re.compile(rb'"bytes_sent":(\d+)')


def build_spdlog(where):
    """The peer's program, or None where spdlog is not installed."""
    program = os.path.join(where, "spdlog")
    if not shutil.which("g++"):
        return None
    r = subprocess.run(["g++", "-O2", "-DSPDLOG_SHARED_LIB", "-DSPDLOG_COMPILED_LIB", "-DSPDLOG_FMT_EXTERNAL", os.path.join(HERE, "spdlog.cpp"), "-o",
                        program, "-lspdlog", "-lfmt", "-pthread"], capture_output=True, text=True)
    return program if r.returncode == 0 else None


def count(folder):
    """Events in the folder's files; 0 when one is missing or there twice."""
    seen = bytearray()
    total = 0
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        text = subprocess.run(["gzip", "-dc", path], stdout=subprocess.PIPE, check=True).stdout if name.endswith(".gz") else open(path, "rb").read()
        for n in NUMBER.findall(text):
            n = int(n)
            if n >= len(seen):
                seen.extend(bytes(n + 1 - len(seen)))
            if seen[n]:
                return 0
            seen[n] = 1
            total += 1
    return total if total == len(seen) - 1 else 0


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--json", action="store_true")
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--events", type=int, default=1000000)
    ap.add_argument("--build", default=os.path.join(HERE, "../../build/release"))
    ap.add_argument("--where", default=None, help="a directory on the disk to write to")
    args = ap.parse_args()
    ours = os.path.join(args.build, "bench/events/bench_events")
    samples = {}
    with tempfile.TemporaryDirectory(prefix="mf-bench-events-", dir=args.where) as top:
        spdlog = build_spdlog(top)
        who = {"moonfence": [ours, "moonfence"], "spdlog": [spdlog], "moonfence, rotated": [ours, "moonfence"], "jansson": [ours, "jansson"]}
        if not spdlog:
            del who["spdlog"]
        for _ in range(args.rounds):
            for name, argv in who.items():
                folder = os.path.join(top, "out")
                os.mkdir(folder)
                more = ["size=64M,keep=1000,gzip"] if "rotated" in name else []
                p = subprocess.run(argv + [os.path.join(folder, "events.jsonl"), str(args.events)] + more, capture_output=True, text=True)
                if p.returncode:
                    sys.exit(f"{name}: {p.stderr.strip()}")
                there = count(folder)
                if there != args.events:
                    sys.exit(f"{name}: {there} of {args.events} events are in the file")
                took = json.loads(p.stdout)
                s = samples.setdefault(name, {"rate": [], "cpu_ns": []})
                s["rate"].append(args.events / took["wall_s"])
                s["cpu_ns"].append(took["cpu_s"] / args.events * 1e9)
                shutil.rmtree(folder)
    if args.json:
        json.dump(samples, sys.stdout)
        return 0
    print(f"{'':20}{'events/s':>12}{'slowest':>12}{'fastest':>12}{'processor ns':>14}")
    for name, s in samples.items():
        print(f"{name:20}{statistics.median(s['rate']):12,.0f}{min(s['rate']):12,.0f}{max(s['rate']):12,.0f}{statistics.median(s['cpu_ns']):14,.0f}")
    return 0


sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a session costs to start, beside the bare command, unshare and bwrap, all in one run.

usage: startup.py PROGRAM [-n RUNS] [--json] [--user UID]

PROGRAM is capture_host, or moonfence (then `run` is put before the command). The ways take turns, so that a busy moment of
the machine hits all of them.
"""
import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import time

COMMAND = "/bin/true"


def once(argv):
    start = time.perf_counter_ns()
    pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=[
        (os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1, 2)])
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return (time.perf_counter_ns() - start) / 1e6, status


def main():
    p = argparse.ArgumentParser()
    p.add_argument("program")
    p.add_argument("-n", type=int, default=100)
    p.add_argument("--json", action="store_true")
    p.add_argument("--user", type=int, help="run as this user (needs root)")
    args = p.parse_args()
    program = os.path.abspath(args.program)
    ways = {"bare command": [COMMAND]}
    if shutil.which("unshare"):
        ways["unshare -Urn"] = [shutil.which("unshare"), "-Urn", COMMAND]
    if shutil.which("bwrap"):
        ways["bwrap --unshare-net"] = [shutil.which("bwrap"), "--dev-bind", "/", "/", "--unshare-net", COMMAND]
    name = os.path.basename(program)
    ways[name] = [program, *(["run"] if name == "moonfence" else []), "--", COMMAND]
    if args.user is not None:
        os.setgroups([])
        os.setgid(args.user)
        os.setuid(args.user)
    times = {way: [] for way in ways}
    for way, argv in ways.items():
        status = once(argv)[1]
        if status != 0:
            sys.exit(f"{' '.join(argv)} ends with {status}: nothing to measure")
    for _ in range(args.n):
        for way, argv in ways.items():
            times[way].append(once(argv)[0])
    bare = statistics.median(times["bare command"])
    rows = [{"way": way, "median_ms": round(statistics.median(t), 2), "p95_ms": round(sorted(t)[int(len(t) * 0.95)], 2),
             "min_ms": round(min(t), 2), "added_ms": round(statistics.median(t) - bare, 2)} for way, t in times.items()]
    if args.json:
        print(json.dumps({"machine": platform.machine(), "kernel": platform.release(), "cpus": os.cpu_count(),
                          "runs": args.n, "uid": os.getuid(), "target_added_ms": 30, "rows": rows}))
        return
    print(f"start-up of {COMMAND}, {args.n} runs, user {os.getuid()}, Linux {platform.release()}, {os.cpu_count()} CPUs")
    print(f"{'way':24}{'median ms':>10}{'p95':>8}{'min':>8}{'added':>8}")
    for r in rows:
        print(f"{r['way']:24}{r['median_ms']:>10}{r['p95_ms']:>8}{r['min_ms']:>8}{r['added_ms']:>8}")


if __name__ == "__main__":
    main()

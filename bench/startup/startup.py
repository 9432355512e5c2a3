#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `moonfence run` adds to the start and the end of a command, beside unshare(1) and bwrap(1).

Each runs /bin/echo. Two wall times count, both from the start of the process: "start" until the first byte of what the
command prints arrives, and "whole" until the process has been waited for, so with taking the fence down again. The
commands take turns, the order is turned round every other time, and figures are medians. As root everything is measured
twice: as root and as an ordinary user (nobody).
"""
import argparse, json, os, shutil, statistics, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
ECHO = "/bin/echo"
NOBODY = 65534


def commands(args):
    """The commands to compare, by name; those that this machine lacks are left out."""
    found = {
        "bare": [ECHO],
        "unshare": ["unshare", "--user", "--map-root-user", "--net", ECHO],
        "bwrap": ["bwrap", "--dev-bind", "/", "/", "--unshare-net", ECHO],
        "moonfence": [args.moonfence, "run", "--policy", args.policy, "--", ECHO],
    }
    return {name: [shutil.which(argv[0]) or argv[0], *argv[1:]] for name, argv in found.items()
            if name == "moonfence" or shutil.which(argv[0])}


def run_once(argv, verbose=False):
    """One run: (milliseconds until its first byte, until its end), exit status. posix_spawn() costs the same whatever
    the size of this process."""
    null, (out, into) = os.open(os.devnull, os.O_RDWR), os.pipe()
    files = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, into, 1)]
    if not verbose:
        files.append((os.POSIX_SPAWN_DUP2, null, 2))
    start = time.perf_counter_ns()
    pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=files)
    os.close(into)
    os.read(out, 1)
    first = time.perf_counter_ns()
    status = os.waitpid(pid, 0)[1]
    end = time.perf_counter_ns()
    os.close(null)
    os.close(out)
    return ((first - start) / 1e6, (end - start) / 1e6), os.waitstatus_to_exitcode(status)


def measure(args):
    """One user's runs. Return: {name: [(start, whole)]}; what fails at the first attempt is left out and named."""
    cmds, failed = commands(args), {}
    for name, argv in list(cmds.items()):
        code = run_once(argv, args.verbose)[1]
        if code:
            failed[name] = f"exit status {code}"
            del cmds[name]
    samples = {name: [] for name in cmds}
    for i in range(args.runs):
        for name in list(cmds) if i % 2 == 0 else list(cmds)[::-1]:
            took, code = run_once(cmds[name])
            if code:
                failed[name] = f"exit status {code} in run {i + 1}"
            samples[name].append(took)
    return {"samples": samples, "failed": failed}


def as_nobody(argv):
    out = subprocess.run(["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", sys.executable,
                          os.path.abspath(__file__), *argv, "--one-user", "--json"], stdout=subprocess.PIPE, text=True,
                         check=True, cwd="/")
    return next(iter(json.loads(out.stdout).values()))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--json", action="store_true")
    ap.add_argument("--runs", type=int, default=60)
    ap.add_argument("--build", default=os.path.join(HERE, "../../build/release"))
    ap.add_argument("--policy", default=os.path.join(HERE, "../../lua/policies/default"))
    ap.add_argument("--one-user", action="store_true", help="only as the user that runs this")
    ap.add_argument("--verbose", action="store_true", help="show what the first run of each command prints")
    args = ap.parse_args()
    args.moonfence = os.path.realpath(os.path.join(args.build, "cli/moonfence"))
    args.policy = os.path.realpath(args.policy)
    who = "root" if os.getuid() == 0 else "user"
    result = {who: measure(args)}
    if who == "root" and not args.one_user:
        result["user"] = as_nobody(["--runs", str(args.runs), "--build", os.path.realpath(args.build), "--policy",
                                    args.policy])
    if args.json:
        json.dump(result, sys.stdout)
        return 0
    print(f"{'milliseconds':18}{'start':>9}{'+ bare':>9}{'fastest':>9}{'slowest':>9}"
          f"{'whole':>12}{'+ bare':>9}{'fastest':>9}{'slowest':>9}")
    for who, r in result.items():
        for name, v in r["samples"].items():
            line = f"{who + ', ' + name:18}"
            for k in (0, 1):
                t, bare = [x[k] for x in v], statistics.median([x[k] for x in r["samples"]["bare"]])
                m = statistics.median(t)
                line += f"{m:>{9 + 3 * k}.2f}{m - bare:>9.2f}{min(t):>9.2f}{max(t):>9.2f}"
            print(line)
        for name, why in r["failed"].items():
            print(f"{who}, {name}: {why}")
    return 1 if any("moonfence" in r["failed"] for r in result.values()) else 0


sys.exit(main())

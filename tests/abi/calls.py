#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Usage: calls.py HOST POLICY - every system call that the library makes in a host, from strace: only those that are listed here,
# nothing written to descriptors that the host owns, and files opened for reading only.
import os
import re
import subprocess
import sys
import tempfile

host, policy = sys.argv[1:3]

# Memory, time and threads; reading; watching directories; telling our own watch to end.
ALLOWED = set("""brk mmap munmap mprotect mremap madvise futex clock_gettime clock_nanosleep nanosleep sched_yield
    clone3 clone rseq set_robust_list exit rt_sigprocmask gettid getpid getrandom restart_syscall sched_getaffinity
    open openat openat2 read pread64 readv close fstat stat lstat newfstatat statx lseek getdents64 readlink readlinkat getcwd fcntl access faccessat
    faccessat2 inotify_init1 inotify_add_watch inotify_rm_watch poll ppoll eventfd2 write sysinfo getpriority setpriority getuid geteuid getgid getegid mlock munlock
    membarrier""".split())

with tempfile.TemporaryDirectory(prefix="mf-calls-") as work:
    log = os.path.join(work, "log")
    p = subprocess.run(["strace", "-f", "-o", log, "-s", "64", host, policy, work, "2"], capture_output=True, text=True, timeout=600)
    if p.returncode:
        print(p.stdout, p.stderr)
        sys.exit(1)
    lines = open(log).read().splitlines()

begin = next(i for i, line in enumerate(lines) if 'write(-1, "begin"' in line)
end = next(i for i, line in enumerate(lines) if 'write(-1, "end"' in line)
bad, calls = [], {}
for line in lines[begin + 1:end]:
    m = re.match(r"\d+ +(?:<\.\.\. )?(\w+)", line)
    if not m or "resumed>" in line or "+++ exited with 0 +++" in line:
        continue
    name = m[1]
    calls[name] = calls.get(name, 0) + 1
    if name not in ALLOWED:
        bad.append(line)
    elif name in ("open", "openat", "openat2") and re.search(r"O_(WRONLY|RDWR|CREAT|TRUNC|APPEND)", line):
        bad.append(line)
    elif name == "setpriority" and line.split()[0] != re.search(r"PRIO_PROCESS, (\d+)", line)[1]:
        bad.append(line)  # another thread's than the caller's
    elif name in ("write", "read", "fcntl") and re.match(r"\d+ +\w+\([012],", line):
        bad.append(line)
    elif name in ("clone", "clone3") and "CLONE_THREAD" not in line:
        bad.append(line)
print(f"{end - begin} calls of {len(calls)} kinds: " + ", ".join(f"{k} {v}" for k, v in sorted(calls.items(), key=lambda x: -x[1])))
assert sum(calls.values()) > 200, "the library did nothing"
for line in bad[:20]:
    print("not allowed:", line)
sys.exit(bool(bad))

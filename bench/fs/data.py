# SPDX-License-Identifier: Apache-2.0
"""Bytes of big files, by fio: blocks of 1 MiB one after the other, and of 4 KiB at random places by four at a time.

The source's pages are warm throughout. "first": what the kernel keeps of the mount is dropped before, so that each byte takes its
way; "warm": it has been read before.
"""
import json, os, shutil, subprocess

from common import Failed

COLUMNS = {
    "seq_write": "a file overwritten, 1 MiB blocks (MB/s)",
    "seq_first": "a file read for the first time, 1 MiB blocks (MB/s)",
    "seq_read": "a file read, 1 MiB blocks, warm (MB/s)",
    "rand_first": "four files read for the first time by four at a time, 4 KiB at random places, each once (/s)",
    "rand_read": "the same, warm (/s)",
}
PLACES = ("source", "bindfs", "mergerfs", "moonfence", "moonfence,no-passthrough", "moonfence,writeback")
SEQ, RAND = "256m", "16m"


def arguments(p):
    p.add_argument("--seconds", type=float, default=0.7, help="of each measurement that has no end of its own")


def fio(place, rw, bs, jobs, size, *more):
    out = subprocess.run(["fio", f"--name={rw}-{size}", f"--directory={place.mnt}", f"--rw={rw}", f"--bs={bs}", f"--numjobs={jobs}", f"--size={size}",
                          "--ioengine=psync", "--thread", "--group_reporting", "--output-format=json", "--fallocate=none", "--end_fsync=0",
                          "--filename_format=data.$jobnum", *more], capture_output=True, text=True, check=False)
    if out.returncode:
        raise Failed(f"fio at {place.name}: {(out.stderr or out.stdout).strip()[-300:]}")
    job = json.loads(out.stdout[out.stdout.index("{"):])["jobs"][0]["read" if "read" in rw else "write"]
    return job["iops"] if bs == "4k" else job["bw_bytes"] / 1e6


def measure(args, place):
    if not shutil.which("fio"):
        raise Failed("fio is not installed")
    timed = [f"--runtime={args.seconds}s", "--time_based", "--invalidate=0"]
    found = {}
    fio(place, "write", "1m", 1, SEQ)
    found["seq_write"] = fio(place, "write", "1m", 1, SEQ, *timed)
    found["seq_first"] = fio(place, "read", "1m", 1, SEQ, "--invalidate=1")
    found["seq_read"] = fio(place, "read", "1m", 1, SEQ, *timed)
    fio(place, "write", "1m", 4, RAND)
    found["rand_first"] = fio(place, "randread", "4k", 4, RAND, "--invalidate=1")
    found["rand_read"] = fio(place, "randread", "4k", 4, RAND, *timed)
    for name in os.listdir(place.mnt):
        os.unlink(os.path.join(place.mnt, name))
    return found

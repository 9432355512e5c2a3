# SPDX-License-Identifier: Apache-2.0
"""Metadata of many small files: create and write 4 KiB, stat, open and read, rename, unlink."""
import json, os, subprocess

from common import Failed

WHAT = {
    "create": "files made and written, 4 KiB each",
    "stat": "files looked at",
    "open_read": "files opened, read and closed",
    "rename": "files renamed",
    "unlink": "files removed",
}
COLUMNS = {**{c: f"{what} (/s)" for c, what in WHAT.items()},
           **{f"{c}_cpu": f"{what} (/s of processor time, of who asks and who serves)" for c, what in WHAT.items()}}
PLACES = ("source", "bindfs", "mergerfs", "moonfence", "moonfence,trash")


def arguments(p):
    p.add_argument("--files", type=int, default=20000)


def together(args, places):
    """All places at once: they take turns within the program"""
    files = str(max(args.files // 100, 1) * 100)
    argv = [os.path.join(args.build, "bench/fs/bench_fs_meta"), files]
    for place in places:
        argv += [place.mnt, str(place.server.pid) if place.server else "0"]
    out = subprocess.run(argv, capture_output=True, text=True, check=False)
    if out.returncode:
        raise Failed(f"bench_fs_meta: {out.stderr.strip()[-300:]}")
    found = {}
    for place, columns in zip(places, json.loads(out.stdout)):
        for column, v in columns.items():
            found.setdefault(column, {})[place.name] = v
    return found

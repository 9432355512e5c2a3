# SPDX-License-Identifier: Apache-2.0
"""Deleted files that are kept, beside deleted files that are not, through one mount."""
COLUMNS = {
    "unlink_us": "a file of 4 KiB deleted (us)",
    "keep_us": "the same, kept in the trash (us)",
    "more_us": "the difference, of neighbouring batches (us)",
    "more_cpu_us": "the same in processor time, of who asks and who serves, trashinfos included (us)",
}
PLACES = ("moonfence,kept",)


def arguments(p):
    p.add_argument("--batches", type=int, default=50, help="of 100 files each way")


def measure(args, place):
    return place.program("bench_fs_keep", str(args.batches))

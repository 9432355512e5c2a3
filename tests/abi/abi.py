#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the ABI of libmoonfence.so with the one that was recorded, by abidiff.

  abi.py LIBRARY SOURCE             fails on any difference, and says of which kind it is
  abi.py --record LIBRARY SOURCE    takes the library's ABI as the recorded one (docs/embedding.md says when)

The library needs debug information (preset release).
"""
import os
import re
import subprocess
import sys
import tempfile

record = sys.argv[1] == "--record"
library, source = sys.argv[-2:]
baseline = os.path.join(source, "tests/abi/libmoonfence.abi")
headers = os.path.join(source, "core/include/moonfence")
rules = os.path.join(source, "tests/abi/abi.suppr")

CHANGED, ERROR = 4 | 8, 1 | 2  # bits of abidiff's exit status


def describe(path):
    # What the header does not define (a runtime's inside) is no part of it; nor is where sources were.
    subprocess.run(["abidw", "--no-corpus-path", "--no-comp-dir-path", "--no-show-locs", "--exported-interfaces-only", "--drop-private-types",
                    "--headers-dir", headers, "--type-id-style", "hash", "--no-elf-needed", library, "--out-file", path], check=True)
    with open(path) as f:
        text = f.read()
    for struct in ("mf_decision", "mf_runtime_options", "mf_vm_stats"):
        assert f"<class-decl name='{struct}' size-in-bits" in text, f"{struct} is not described: no debug information?"
    text = re.sub(r" path='[^']*/(core/)", r" path='\1", text)
    with open(path, "w") as f:
        f.write(text)


def compare(*more):
    p = subprocess.run(["abidiff", *more, baseline, now], capture_output=True, text=True)
    if p.returncode & ERROR:
        print(p.stdout, p.stderr)
        sys.exit("abidiff did not work")
    return p.returncode & CHANGED, p.stdout


if record:
    describe(baseline)
    print(f"recorded in {baseline}")
    sys.exit(0)
with tempfile.TemporaryDirectory(prefix="mf-abi-") as work:
    now = os.path.join(work, "now.abi")
    describe(now)
    changed, text = compare()
    breaks, _ = compare("--suppressions", rules, "--no-added-syms")
if not changed:
    print("the ABI is the recorded one")
    sys.exit(0)
print(text)
if breaks:
    print("INCOMPATIBLE: a host that was built against the recorded ABI breaks. Take it back, or give the library another soname "
          "(docs/embedding.md), and record it: tests/abi/abi.py --record LIBRARY SOURCE")
else:
    print("Compatible: functions, enumerators or members at the end were added. Record it with the change: "
          "tests/abi/abi.py --record LIBRARY SOURCE")
sys.exit(1)

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Usage: exports.py LIBRARY MAP HEADER - what the library exports, the map lists and the header declares must be the same.
import re
import subprocess
import sys

library, map_file, header = sys.argv[1:]

out = subprocess.run(["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
exported = set()
for line in out.splitlines():
    fields = line.split()
    name = fields[-1].split("@")[0]
    if fields[-2] != "A" and not re.match(r"__(start|stop|odr_asan)", name):
        exported.add(name)

text = re.sub(r"/\*.*?\*/", "", open(map_file).read(), flags=re.S)
listed = set(re.findall(r"\b(mf_\w+);", text.split("local:")[0]))

text = re.sub(r"/\*.*?\*/|//[^\n]*", "", open(header).read(), flags=re.S)
declared = set(re.findall(r"MF_API\b[^;(]*?\b(mf_\w+)\s*\(", text))

assert declared, "no MF_API function found in the header"
bad = False
for a, b, what in [
    (declared, listed, "declared in the header, not in the map"),
    (listed, declared, "in the map, not declared in the header"),
    (listed, exported, "in the map, not exported"),
    (exported, listed, "exported, not in the map"),
]:
    for name in sorted(a - b):
        print(f"{name}: {what}")
        bad = True
print(f"{len(exported)} functions exported")
sys.exit(bad)

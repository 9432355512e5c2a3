#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Usage: exports.py LIBRARY MAP HEADER - what the library exports, the map lists and the header declares must be the same.
import re
import subprocess
import sys

library, map_file, header = sys.argv[1:]

exported = set()
if library.endswith(".dll"):
    out = subprocess.run(["x86_64-w64-mingw32-objdump", "-p", library], check=True, capture_output=True, text=True).stdout
    exported.update(re.findall(r"^\s*\[ *\d+\].* (\w+)$", out.split("[Ordinal/Name Pointer] Table")[1].split("\n\n")[0],
                               flags=re.M))
    # Only the system's own DLLs: nothing else has to be there.
    system = {"advapi32", "bcrypt", "crypt32", "kernel32", "msvcrt", "ws2_32"}
    foreign = {name.lower() for name in re.findall(r"DLL Name: (\S+)\.dll", out, flags=re.I)} - system
    assert not foreign, f"needs {foreign}"
else:
    out = subprocess.run(["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
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

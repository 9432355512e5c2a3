#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Puts the Windows program into a zip that a user unpacks and runs.

  tools/package-windows.py --version V --program EXE --dll DLL --import-lib A --strip TOOL --sysroot DIR --output ZIP

The same inputs give the same bytes: entries are sorted, times and modes are fixed, and what the compiler's debug information
would tell of the build is taken out. Nothing is packed without the licence of every library in it.
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What is linked into the program, and the Debian source package that it was built from.
LIBRARIES = ("jansson", "libevent", "libidn2", "libyaml", "lua5.4", "openssl", "pcre2")
# The compiler's own libraries, from the machine that builds: libgcc, and mingw-w64 with winpthreads.
RUNTIMES = {"gcc": "/usr/share/doc/gcc-mingw-w64-base/copyright",
            "mingw-w64": "/usr/share/doc/mingw-w64-x86-64-dev/copyright"}
DOCUMENTS = ("windows.md", "lua-api.md", "rules.md", "patterns.md", "events.md", "reload.md", "threat-model.md")
# What Windows 10 and later have in their system folder.
SYSTEM_DLLS = {"advapi32", "bcrypt", "crypt32", "fltlib", "fwpuclnt", "gdi32", "iphlpapi", "kernel32", "msvcrt", "ntdll", "ole32",
               "shell32", "user32", "ws2_32"}
TIME = (1980, 1, 1, 0, 0, 0)  # the first that a zip knows


def fail(message):
    sys.exit(f"package-windows.py: {message}")


def stripped(tool, path):
    """The bytes of a program without symbols and debug information."""
    with tempfile.TemporaryDirectory() as directory:
        out = os.path.join(directory, path.name)
        # Without it strip writes the present time into the header.
        environment = dict(os.environ, SOURCE_DATE_EPOCH="0")
        subprocess.run([tool, "--strip-all", "-o", out, str(path)], check=True, env=environment)
        data = pathlib.Path(out).read_bytes()
    # The folder of the sources, as it stands in assertions and debug information.
    if str(ROOT).encode() in data:
        fail(f"{path.name} names the folder that it was built in")
    return data


def check_imports(name, data):
    """Only DLLs that every Windows has: their names stand in the import table as they are."""
    for dll in set(re.findall(rb"([A-Za-z0-9_.-]+)\.(?:dll|DLL)\0", data)):
        base = dll.decode().lower()
        if base not in SYSTEM_DLLS and base not in ("libmoonfence", "windivert") and not base.startswith("api-ms-"):
            fail(f"{name} wants {base}.dll, which is not part of Windows")


def licence(path, name):
    path = pathlib.Path(path)
    if not path.is_file() or path.stat().st_size == 0:
        fail(f"no licence of {name}: {path} is missing")
    return path.read_bytes()


def versions(sysroot):
    lines = (sysroot / "share/moonfence/sysroot").read_text().splitlines()
    found = dict(line.split(" ", 1) for line in lines if not line.startswith("script "))
    missing = [name for name in LIBRARIES if name not in found]
    if missing:
        fail(f"{sysroot} does not say the versions of {', '.join(missing)}")
    return found


def contents(args):
    """Name in the zip -> bytes."""
    files = {"moonfence.exe": stripped(args.strip, args.program), "libmoonfence.dll": stripped(args.strip, args.dll)}
    for name, data in files.items():
        check_imports(name, data)
    files["lib/libmoonfence.dll.a"] = args.import_lib.read_bytes()
    files["include/moonfence/moonfence.h"] = (ROOT / "core/include/moonfence/moonfence.h").read_bytes()
    for folder in ("stdlib", "policies"):
        for path in sorted((ROOT / "lua" / folder).rglob("*")):
            if path.is_file():
                files[path.relative_to(ROOT / "lua").as_posix()] = path.read_bytes()
    for name in DOCUMENTS:
        files["docs/" + name] = (ROOT / "docs" / name).read_bytes()
    files["INSTALL.txt"] = (ROOT / "docs/windows-install.txt").read_bytes().replace(b"@VERSION@", args.version.encode())
    files["LICENSE.txt"] = (ROOT / "LICENSE").read_bytes()
    found = versions(args.sysroot)
    for name in LIBRARIES:
        files[f"licenses/{name}.txt"] = licence(args.sysroot / "share/licenses" / name / "copyright", name)
    for name, path in RUNTIMES.items():
        files[f"licenses/{name}.txt"] = licence(path, name)
    files["licenses/README.txt"] = (
        "moonfence.exe and libmoonfence.dll contain, beside Moonfence (LICENSE.txt), these libraries, built from Debian's source\n"
        "packages in the versions below by tools/build-windows-deps.sh of Moonfence's sources. Their terms are in the files of\n"
        "this folder. libidn2 and the libunistring in it are under the LGPL, version 3 or later, or the GPL, version 2 or later:\n"
        "Moonfence's sources and that script are all that is needed to link the program to other versions of them.\n\n"
        + "".join(f"{name} {found[name]}\n" for name in LIBRARIES)
        + "\ngcc and mingw-w64: the compiler's own run-time libraries.\n"
        "WinDivert is not part of this package.\n").encode()
    return files


def main():
    parser = argparse.ArgumentParser(description="Zip of the Windows program")
    for name in ("version", "strip"):
        parser.add_argument("--" + name, required=True)
    for name in ("program", "dll", "import-lib", "sysroot", "output"):
        parser.add_argument("--" + name, required=True, type=pathlib.Path)
    args = parser.parse_args()
    files = contents(args)
    top = f"moonfence-{args.version}-win64/"
    temp = args.output.with_name(args.output.name + ".new")
    with zipfile.ZipFile(temp, "w") as out:
        for name in sorted(files):
            info = zipfile.ZipInfo(top + name, TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3
            info.external_attr = (0o100755 if name.endswith((".exe", ".dll")) else 0o100644) << 16
            out.writestr(info, files[name], compresslevel=9)
    temp.replace(args.output)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The policy filesystem beside bindfs, mergerfs and the source itself.

Sources lie on a tmpfs of its own, so that what is measured is the filesystem and no disk; all of them take turns. Wants root (it mounts, in a
namespace of its own); fio, bindfs and mergerfs are left out where they are missing.

  fs.py data          bytes of big files
  fs.py meta          metadata of many small files
  fs.py programs      git status, npm ci, tar x
  fs.py policy        what asking costs
  fs.py keep          deleted files that are kept
  fs.py               all of them
"""
import argparse, json, sys

import common, data, keep, meta, policy, programs

WHAT = {"data": data, "meta": meta, "programs": programs, "policy": policy, "keep": keep}


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("what", nargs="*", choices=[[], *WHAT], help="of what (default: all)")
    common.arguments(p)
    for module in WHAT.values():
        module.arguments(p)
    args = p.parse_args()
    modules = [WHAT[w] for w in args.what or WHAT]
    try:
        found = common.interleave(args, modules)
    except common.Failed as e:
        print(e, file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(found))
    else:
        common.show(found, modules)
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every type and field of docs/events.md is sent by some code: a table alone promises what nobody keeps."""
import os
import re
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../..")
ROOMS = ("capture", "cli", "core", "daemon", "fs", "nic", "packs", "proxies")


def sources():
    for room in ROOMS:
        for top, _, files in os.walk(os.path.join(ROOT, room)):
            if not top.endswith("core/observe"):  # the tables, and what filters by them
                yield from (os.path.join(top, f) for f in files if f.endswith((".c", ".h")))


class Sent(unittest.TestCase):
    def test_types_and_fields(self):
        used = set()
        for path in sources():
            with open(path, encoding="utf-8") as file:
                used.update(re.findall(r"\bMF_EVF?_\w+", file.read()))
        with open(os.path.join(ROOT, "core/observe/event_table.c"), encoding="utf-8") as file:
            tables = re.findall(r"^FIELDS\((\w+), ([^;]*)\);", file.read(), re.M)
        self.assertGreater(len(tables), 40)
        wanted = {f"MF_EV_{t}" for t, _ in tables} | {f"MF_EVF_{f}" for _, fields in tables for f in re.findall(r"F\((\w+)\)", fields)}
        self.assertEqual(sorted(wanted - used), [])


if __name__ == "__main__":
    unittest.main()

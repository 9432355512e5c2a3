#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""No room includes a header of a floor above, or of a sibling on floor 4: static libraries link all the same, so nothing else would say."""
import os
import re
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
FLOORS = {"core/base": 0, "core/packet": 1, "core/match": 1, "core/wire": 1, "core/loop": 1, "core/observe": 2, "core/names": 2,
          "core/policy": 3, "core/journal": 3, "core/ask": 3, "core/approve": 3,
          "capture": 4, "proxies": 4, "fs": 4, "nic": 4, "packs": 4, "daemon": 4, "cli": 5}


def room_of(path):
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] == "core" else parts[0]


class Floors(unittest.TestCase):
    def test_includes_point_downwards(self):
        wrong, seen = [], 0
        for room, floor in FLOORS.items():
            for top, _, files in os.walk(os.path.join(ROOT, room)):
                for name in (f for f in files if f.endswith((".c", ".h"))):
                    with open(os.path.join(top, name), encoding="utf-8") as file:
                        text = file.read()
                    for header in re.findall(r'^#\s*include "([^"]+/[^"]+)"', text, re.M):
                        other = room_of(header)
                        if other not in FLOORS or other == room:
                            continue
                        seen += 1
                        if FLOORS[other] > floor or (FLOORS[other] == floor == 4):
                            wrong.append(f"{room}/{name}: {header}")
        self.assertGreater(seen, 500)
        self.assertEqual(wrong, [])


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/internals/agentsh-rules.md names a test for each rule, and the tests are there.

rules_listed.py SOURCE-DIRECTORY
"""
import os
import re
import sys

LAST = 80
ROW = re.compile(r"^\| P(\d+) \| ([^|]+) \| ([^|]+) \|$")
TEST = re.compile(r"`([^`]+)` (\w+)")


def is_test(text, name):
    """Whether @text has a test of that name: a function that takes the state, or a method."""
    return re.search(rf"void {name}\(void \*\*", text) or re.search(rf"def {name}\(self", text)


def main(root):
    wrong, tested = [], {}
    with open(os.path.join(root, "docs", "internals", "agentsh-rules.md"), encoding="utf-8") as page:
        for line in page:
            row = ROW.match(line)
            if not row:
                continue
            rule, tests = int(row[1]), TEST.findall(row[3])
            if rule in tested:
                wrong.append(f"P{rule} stands there twice")
            tested[rule] = bool(tests)
            for file, name in tests:
                path = os.path.join(root, "tests", file)
                if not os.path.exists(path):
                    wrong.append(f"P{rule}: there is no tests/{file}")
                    continue
                with open(path, encoding="utf-8") as source:
                    if not is_test(source.read(), name):
                        wrong.append(f"P{rule}: tests/{file} has no test {name}")
    wrong += [f"P{n} is not listed" for n in range(1, LAST + 1) if n not in tested]
    with open(os.path.join(root, "docs", "agentsh.md"), encoding="utf-8") as page:
        named = {int(n) for n in re.findall(r"\bP(\d+)\b", page.read())}
    wrong += [f"docs/agentsh.md: P{n} has no test" for n in sorted(named) if not tested.get(n)]
    if len(named) < 20:
        wrong.append("docs/agentsh.md hardly names a rule: has its form changed?")
    print("\n".join(wrong) or f"{sum(tested.values())} of {len(tested)} rules have tests that are there")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

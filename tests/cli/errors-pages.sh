#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# errors-pages.sh HEADER DIRECTORY - every MF_E_* of moonfence.h has a page with its number, and no page is left over
set -euo pipefail
declared=$(sed -n 's/^\t\(MF_E_[A-Z_]*\) = \(-[0-9]*\).*/\1 (\2)/p' "$1" | sort)
pages=$(sed -n '1s/^# \(MF_E_[A-Z_]* (-[0-9]*)\): .*/\1/p' -s "$2"/MF_E_*.md | sort)
diff -u <(echo "$declared") <(echo "$pages")
for page in "$2"/MF_E_*.md; do
  name=$(basename "$page" .md)
  grep -q "^# $name " "$page" || { echo "$page: the title is not the file's name"; exit 1; }
  grep -q "(${name}.md)" "$2/README.md" || { echo "$name is not in README.md"; exit 1; }
done
[ "$(wc -l <<<"$declared")" -ge 20 ]

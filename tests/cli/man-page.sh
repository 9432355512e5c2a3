#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# man-page.sh PAGE - the manual page formats without a warning
set -euo pipefail
command -v man >/dev/null || exit 77
warnings=$(LC_ALL=C.UTF-8 MANROFFSEQ= MANWIDTH=80 man --warnings=all -E UTF-8 -l "$1" 2>&1 >/dev/null)
[ -z "$warnings" ] || { printf '%s\n' "$warnings"; exit 1; }
# And has text: a page that fails to format prints nothing, without a warning.
[ "$(LC_ALL=C.UTF-8 MANWIDTH=80 man -l "$1" | wc -l)" -gt 100 ]

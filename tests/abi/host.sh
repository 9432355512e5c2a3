#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: host.sh HOST SOURCE - tests/abi/host.c in the plain locale, and in one whose decimal point is a comma: policies are the same.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# ThreadSanitizer has a thread of its own.
case $(nm -D --undefined-only "$1") in *__tsan_init*) export MF_HOST_THREADS=1 ;; esac
"$1" "$2/examples/policy" "$work" 5
if [ -e /usr/share/i18n/locales/de_DE ] && localedef -i de_DE -f UTF-8 "$work/de_DE.UTF-8" 2>/dev/null; then
  LOCPATH=$work LC_ALL=de_DE.UTF-8 "$1" "$2/examples/policy" "$work" 2
else
  echo "no locale with a comma here"
fi

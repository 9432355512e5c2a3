#!/usr/bin/env bash
# Writes what the demo prints into the README, or compares (--check).
#
#   tools/update-transcript.sh [--check] [MOONFENCE]
set -euo pipefail
cd "$(dirname "$0")/.."
check=
[ "${1:-}" != --check ] || { check=1; shift; }
moonfence=${1:-build/release/cli/moonfence}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Colours off, and what differs from run to run made the same: session names and temporary folders.
python3 examples/demo/demo.py "$moonfence" --no-shell </dev/null >"$work/raw" 2>&1 || { cat "$work/raw"; exit 1; }
# Tokens and times of the trash, too.
sed -E -e 's/^[0-9a-v]{39}  [0-9T:-]+Z/33l42i7h5b0f8t5r6aqj1nb6knpvt0431bdp7cg  2026-11-22T10:00:00Z/' "$work/raw" >"$work/same"
sed -e 's/\x1b\[[0-9;]*m//g' -e 's/run-[0-9T]*-[0-9]*/run-…/g' -e 's/ id: [0-9]*/ id: …/' -e "s#/tmp/moonfence-lab-[a-z0-9_]*/##g" -e 's/[[:space:]]*$//' \
  "$work/same" | sed -n '/^# moonfence run/,$p' >"$work/transcript"
awk -v file="$work/transcript" '
  /^<!-- end of transcript -->/ { skip = 0 }
  !skip { print }
  /^<!-- transcript:/ { skip = 1; print "```"; while ((getline line < file) > 0) print line; print "```" }
' README.md >"$work/README.md"
if [ -n "$check" ]; then
  # Not the summary's counts: a busy machine may make a client ask twice.
  for file in README.md "$work/README.md"; do
    sed '/^moonfence: session/,/^$/d' "$file" >"$work/compared-$(basename "$(dirname "$file")")"
  done
  diff -u "$work/compared-." "$work/compared-$(basename "$work")" || { echo "the README's transcript is not what the demo prints: tools/update-transcript.sh" >&2; exit 1; }
  echo "the README's transcript is what the demo prints"
else
  cp "$work/README.md" README.md
fi

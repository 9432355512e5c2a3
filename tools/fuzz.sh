#!/usr/bin/env bash
# Runs every libFuzzer target of build/fuzz for SECONDS each, from its kept corpus; new inputs stay in build/fuzz.
# MF_FUZZ_SEED=N: always the same inputs from a clean build/fuzz (how many, the machine decides); else others each time.
#
#   tools/fuzz.sh [SECONDS] [TARGET]...
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-20}
shift || true
mapfile -t targets < <(find build/fuzz -type f -executable -name 'fuzz_*' | sort)
[ ${#targets[@]} -gt 0 ] || { echo "no fuzz targets: cmake --preset fuzz && cmake --build --preset fuzz" >&2; exit 1; }

fuzz_one() {
  local target=$1 seconds=$2 name work
  name=${target##*/fuzz_}
  work=build/fuzz/corpus/$name
  mkdir -p "$work" "build/fuzz/findings"
  if ! "$target" -max_total_time="$seconds" -timeout=60 -rss_limit_mb=1024 -seed="${MF_FUZZ_SEED:-0}" -print_final_stats=1 \
      -artifact_prefix="build/fuzz/findings/$name-" "$work" "tests/fuzz/corpus/$name" >"$work.log" 2>&1; then
    tail -40 "$work.log"
    echo "FINDING: $name (build/fuzz/findings)"
    return 1
  fi
  awk -v name="$name" '/stat::number_of_executed_units/ { n = $2 } END { printf "%-24s %12d runs, no finding\n", name, n }' \
    "$work.log"
}
export -f fuzz_one
found=()
if [ $# -gt 0 ]; then
  for t in "$@"; do
    path=$(find build/fuzz -type f -executable -name "fuzz_$t" | head -1)
    [ -n "$path" ] || { echo "no fuzz target $t" >&2; exit 1; }
    found+=("$path")
  done
  targets=("${found[@]}")
fi
printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I{} bash -c 'fuzz_one {} '"$seconds"

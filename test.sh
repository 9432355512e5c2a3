#!/usr/bin/env bash
# Sets up, builds and tests.
#
#   ./test.sh          the suites that every change must pass, with AddressSanitizer and UndefinedBehaviorSanitizer
#   ./test.sh --all    also: those of them that take long, format check, compilation for macOS, release build with the slow suites, ThreadSanitizer,
#                      the Windows build under wine, clang and short fuzzing
#   ./test.sh -R NAME  only tests whose name matches (passed on to ctest)
set -euo pipefail
cd "$(dirname "$0")"

all=
ctest_args=()
while [ $# -gt 0 ]; do
  case $1 in
    --all) all=1 ;;
    -h|--help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) ctest_args+=("$1") ;;
  esac
  shift
done

step() { printf '\n== %s\n' "$*"; }

tools/install-deps.sh build test ${all:+bench darwin package guest}
command -v ccache >/dev/null && export CMAKE_C_COMPILER_LAUNCHER=ccache
jobs=$(nproc)

build() { # preset
  cmake --preset "$1" >build/configure-"$1".log 2>&1 || { cat build/configure-"$1".log >&2; return 1; }
  cmake --build --preset "$1" -j "$jobs" -- --quiet
}
run() { # preset, ctest arguments...
  local preset=$1 known=build/$1/Testing/Temporary/CTestCostData.txt
  shift
  # ctest begins with what took longest before, so that no long one is left alone at the end: here is what a first run goes by.
  [ -e "$known" ] || { mkdir -p "${known%/*}" && { awk '!/^#/ { print $1, 1, $2 }' tests/longest.txt; echo ---; } >"$known"; }
  local none=error # a suite without tests is a mistake, unless some were asked for by name
  [ ${#ctest_args[@]} -eq 0 ] || none=ignore
  ctest --preset "$preset" --no-tests="$none" "$@" ${ctest_args[@]+"${ctest_args[@]}"}
}

# Names of tests that only --all runs, as a regular expression of ctest
later() { awk '$3 == "all" { gsub(/\./, "[.]", $1); printf "%s%s", n++ ? "|" : "^(", $1 } END { print ")$" }' tests/longest.txt; }

mkdir -p build
step "dev: build with sanitizers"
build dev
step "dev: unit, corpus, policy, command line, file and network suites"
# Those of the network mostly wait, each in namespaces of its own: they come last, more at a time. Beside those that write files without end
# they would wait for the disk, for longer than a fence waits for its proof.
short=(-E "$(later)")
[ ${#ctest_args[@]} -eq 0 ] || short=() # what is asked for by name is run
run dev -LE 'slow|net|darwin' "${short[@]}" -j "$jobs"
run dev -L net -LE slow "${short[@]}" -j $((3 * jobs))

[ -n "$all" ] || exit 0

if [ ${#short[@]} -ne 0 ]; then
  step "dev: what takes long"
  run dev -LE 'slow|net' -R "$(later)" -j "$jobs"
  run dev -L net -LE slow -R "$(later)" -j $((3 * jobs))
fi

step "format"
tools/check-format.sh
step "darwin: what is not another system's compiles for both kinds of Mac"
tools/check-darwin.sh --setup-only
run dev -L darwin
step "release: build; the slow suites, and all those of libraries and files"
build release
# Of the command line's and the network's only what there is more of with MF_SLOW=1: the rest has just run.
MF_SLOW=1 run release -LE 'net|cli|darwin' -j "$jobs"
MF_SLOW=1 run release -L 'net|cli' -L 'slow|deep' -j $((2 * jobs))
step "tsan: the unit suites, interception with real clients, and a mount under load"
build tsan
run tsan -L 'unit|threads' -LE 'slow|one_thread' -j $((2 * jobs))
step "windows: build with mingw-w64, every suite under wine"
tools/install-deps.sh windows
tools/build-windows-deps.sh >build/windows-sysroot.log
build mingw
# A process that wine 8.0 was to start did not, once, and nobody has found out why: a test may fail once, and is shown to.
run mingw -LE slow -j "$jobs" --repeat until-pass:2
step "fuzz: every target for ${MF_FUZZ_SECONDS:-5} s from its corpus"
build fuzz
# What a change broke shows here; new inputs are looked for outside CI, with a seed of each run's own.
MF_FUZZ_SEED=${MF_FUZZ_SEED:-1} tools/fuzz.sh "${MF_FUZZ_SECONDS:-5}"

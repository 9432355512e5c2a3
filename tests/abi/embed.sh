#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: embed.sh BUILD SOURCE CC SANITIZERS LIBDIR [RUNNER...] - installs into a fresh prefix, builds examples/embed.c there with
# pkg-config against the shared and the static library, and compares what it prints.
set -euo pipefail
# RUNNER: what runs the programs where they are Windows'; everything is linked in then but the system's DLLs.
build=$1 source=$2 cc=$3 sanitize=$4 libdir=$5
shift 5
runner=("$@")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/prefix" >/dev/null
# The prefix of the build is in moonfence.pc; a package that was moved is found with an override.
export PKG_CONFIG_PATH="$work/prefix/$libdir/pkgconfig"
pkg() { pkg-config --define-variable=prefix="$work/prefix" "$@" moonfence; }
flags=(-std=c11 -Wall -Wextra -Werror)
[ -n "$sanitize" ] && flags+=("-fsanitize=$sanitize")

cp "$source/examples/embed.c" "$work"
cp -r "$source/examples/policy" "$work/policy"
cd "$work"
read -ra cflags <<<"$(pkg --cflags)"
read -ra shared <<<"$(pkg --libs)"
# The archive with the system's shared libraries: what a distribution's packages give.
read -ra needs <<<"$(pkg --print-requires-private | tr '\n' ' ')"
read -ra static <<<"$work/prefix/$libdir/libmoonfence.a $(pkg-config --libs "${needs[@]}") -pthread -lm"
if [ ${#runner[@]} -gt 0 ]; then
  flags+=(-D__USE_MINGW_ANSI_STDIO=1)
  shared+=(-static-libgcc)
  static+=(-static -fstack-protector-strong -lws2_32 -lbcrypt -ladvapi32)
fi
"$cc" "${flags[@]}" "${cflags[@]}" embed.c "${shared[@]}" -o embed_shared
"$cc" "${flags[@]}" "${cflags[@]}" embed.c "${static[@]}" -o embed_static

cat >expected <<'END'
moonfence VERSION
event    policy_loaded
dns      resolve by dns_redirects[1] mirror of policy example: dns_redirects[1] mirror
connect  deny by network_rules[1] no-metadata of policy example: network_rules[1] no-metadata
sni      allow by sni() of policy example
file     soft_delete by file() of policy example
event    policy_loaded
event    policy_changed
dns      resolve by dns_redirects[1] mirror of policy example: dns_redirects[1] mirror
connect  deny by network_rules[1] no-metadata of policy example: network_rules[1] no-metadata
sni      allow by sni() of policy example
file     soft_delete by file() of policy example
END
if [ ${#runner[@]} -gt 0 ]; then
  cp "$work/prefix/bin/"*.dll .
  static_libs=$(x86_64-w64-mingw32-objdump -p embed_static.exe)
  shared_libs=$(x86_64-w64-mingw32-objdump -p embed_shared.exe)
  shared_name=libmoonfence.dll
  run_shared() { "${runner[@]}" "$work/embed_shared.exe" "$@"; }
  run_static() { "${runner[@]}" "$work/embed_static.exe" "$@"; }
else
  static_libs=$(ldd ./embed_static)
  shared_libs=$(LD_LIBRARY_PATH="$work/prefix/$libdir" ldd ./embed_shared)
  shared_name=$work/prefix
  run_shared() { LD_LIBRARY_PATH="$work/prefix/$libdir" ./embed_shared "$@"; }
  run_static() { env -u LD_LIBRARY_PATH ./embed_static "$@"; }
fi
run_shared policy | tr -d '\r' >shared.out
run_static policy | tr -d '\r' >static.out
# Captured first: grep -q ends the pipe early.
case $static_libs in *libmoonfence*) echo "embed_static uses the shared library"; exit 1 ;; esac
case $shared_libs in *"$shared_name"*) ;; *) echo "embed_shared does not use the installed library"; exit 1 ;; esac
for f in shared static; do
  sed -E 's/^moonfence [0-9.]+$/moonfence VERSION/; s/^event .*"type": ?"([a-z_]+)".*$/event    \1/' "$f.out" >"$f.text"
  diff -u expected "$f.text"
done
# A policy that does not load: status 1, file and line.
echo 'return {' >policy/policy.lua
! run_shared policy >/dev/null 2>err.out
grep -q 'policy/policy.lua:[12]: ' err.out || { cat err.out; exit 1; }
echo "installed library, shared and static: as expected"

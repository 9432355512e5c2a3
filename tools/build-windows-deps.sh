#!/usr/bin/env bash
# Builds the libraries of the Windows program with mingw-w64, from Debian's own source packages, into a static sysroot.
#
#   tools/build-windows-deps.sh          build what is not in the cache yet; prints the sysroot's folder
#   tools/build-windows-deps.sh --path   print the newest sysroot that this script has built, without asking anybody
#
# The sysroot is kept in ${XDG_CACHE_HOME:-~/.cache}/moonfence/mingw-KEY, where KEY stands for this script, the compiler
# and the versions on offer. MF_WINDOWS_SYSROOT names another folder, which is then taken as it is when it is complete.
# Sources come through an apt configuration of our own that borrows only the system's addresses and keys: nothing in /etc
# changes. A version whose files the archive does not hand out is passed over for the next older one.
set -euo pipefail

self=$(readlink -f "$0")
cc=x86_64-w64-mingw32-gcc-posix
host=x86_64-w64-mingw32
packages=(lua5.4 libevent openssl pcre2 jansson libyaml libidn2 cmocka curl)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/moonfence
script_key=$(sha256sum <"$self" | cut -c1-16)
flags="-O2 -g0 -D_WIN32_WINNT=0x0A00 -ffunction-sections -fdata-sections -fstack-protector-strong"
complete=share/moonfence/sysroot # a sysroot without this file is not finished

fail() { echo "$0: $*" >&2; exit 1; }

newest() { # prints the newest sysroot of this script
  local found
  found=$(cd "$cache" 2>/dev/null && grep -lx "script $script_key" mingw-*/$complete 2>/dev/null | xargs -r ls -t | head -n 1)
  [ -n "$found" ] && echo "$cache/${found%/"$complete"}"
}

if [ -n "${MF_WINDOWS_SYSROOT:-}" ] && [ -e "$MF_WINDOWS_SYSROOT/$complete" ]; then
  echo "$MF_WINDOWS_SYSROOT"
  exit 0
fi
case ${1:-} in
  --path) newest || fail "no sysroot yet: run $0"; exit 0 ;;
  "") ;;
  *) sed -n '4,5s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
command -v $cc >/dev/null || fail "$cc is missing: tools/install-deps.sh windows"

mkdir -p "$cache"
exec 9>"$cache/mingw.lock"
flock 9 # one build at a time; who waited finds the other's result
rm -rf "$cache"/build.* # of one that was interrupted
temp=$(mktemp -d "$cache/build.XXXXXX")
logs= long=
cleanup() {
  local status=$?
  [ -z "$long" ] || kill -- "-$long" 2>/dev/null || true
  if [ $status -ne 0 ] && [ -n "$logs" ]; then
    rm -rf "$cache/failed-logs"
    mv "$logs" "$cache/failed-logs"
    echo "$0: failed; the logs are in $cache/failed-logs" >&2
  fi
  rm -rf "$temp"
}
trap cleanup EXIT

# --- where the sources come from -----------------------------------------------------------------------------------

# Every binary archive of the system that is Debian's (its Release file says so), as a deb-src line of our own.
apt_sources() {
  local file
  mkdir -p "$temp"/apt/{lists,archives,parts,state}
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -e "$file" ] || continue
    sed -En 's/^[[:space:]]*deb[[:space:]]/deb-src /p' "$file" >"$temp/apt/parts/$(basename "$file" .list).list"
  done
  for file in /etc/apt/sources.list.d/*.sources; do
    [ -e "$file" ] || continue
    sed -E 's/^Types:.*/Types: deb-src/; /^Architectures:/d' "$file" >"$temp/apt/parts/$(basename "$file")"
  done
  cat >"$temp/apt/conf" <<CONF
Dir::State "$temp/apt/state";
Dir::State::lists "$temp/apt/lists";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "$temp/apt";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$temp/apt/parts";
APT::Sandbox::User "$(id -un)";
Acquire::Languages "none";
Acquire::Retries "2";
CONF
  export APT_CONFIG=$temp/apt/conf
}

versions() { # source package: what is on offer, the newest first
  local list=() a i j
  mapfile -t list < <(apt-cache showsrc --only-source "$1" 2>/dev/null | sed -n 's/^Version: //p' | sort -u)
  for ((i = 0; i < ${#list[@]}; i++)); do
    for ((j = i + 1; j < ${#list[@]}; j++)); do
      if dpkg --compare-versions "${list[j]}" gt "${list[i]}"; then
        a=${list[i]} list[i]=${list[j]} list[j]=$a
      fi
    done
  done
  printf '%s\n' ${list[@]+"${list[@]}"}
}

fetch() { # source package: unpacks it, with Debian's patches, as $temp/src/PACKAGE
  local version versions
  mapfile -t versions < <(versions "$1")
  for version in "${versions[@]}"; do
    rm -rf "$temp/src/$1.get"
    mkdir -p "$temp/src/$1.get"
    if (cd "$temp/src/$1.get" && apt-get source -q --download-only --only-source "$1=$version" &&
      dpkg-source --no-check -x ./*.dsc ../"$1") >>"$logs/fetch-$1.log" 2>&1; then
      echo "$1 $version" >>"$temp/versions"
      return 0
    fi
    rm -rf "$temp/src/$1"
    echo "$1 $version is not handed out" >&2
  done
  fail "no version of the source package $1 could be fetched"
}

apt_sources
if ! apt-get update -q >"$temp/update.log" 2>&1; then
  # An archive that is not Debian's may fail; what counts is that every package is on offer.
  tail -n 3 "$temp/update.log" >&2
fi
offers=$(for package in "${packages[@]}"; do echo "$package" $(versions "$package"); done)
if grep -qvE '^[^ ]+ .' <<<"$offers"; then
  newest && exit 0 # offline, but built before
  fail "no source of: $(grep -vE '^[^ ]+ .' <<<"$offers" | tr '\n' ' ')"
fi
key=$({ echo "$script_key"; $cc --version; echo "$offers"; } | sha256sum | cut -c1-16)
sysroot=${MF_WINDOWS_SYSROOT:-$cache/mingw-$key}
if [ -e "$sysroot/$complete" ]; then
  touch "$sysroot/$complete"
  echo "$sysroot"
  exit 0
fi

# --- building ------------------------------------------------------------------------------------------------------

out=$temp/sysroot
logs=$temp/logs
jobs=$(nproc)
mkdir -p "$out"/{include,lib/pkgconfig,share/licenses,share/moonfence} "$logs" "$temp/src"
unset CFLAGS CPPFLAGS LDFLAGS CC PKG_CONFIG_PATH CMAKE_TOOLCHAIN_FILE CMAKE_C_COMPILER_LAUNCHER
ccache=$(command -v ccache || true) # most of a sysroot stays the same when this script or one version changes
# Each build has another folder; what the compiler sees must not.
export CCACHE_BASEDIR=$temp CCACHE_NOHASHDIR=1
export PKG_CONFIG_LIBDIR=$out/lib/pkgconfig

cat >"$temp/toolchain.cmake" <<TOOLCHAIN
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_C_COMPILER $cc)
set(CMAKE_C_COMPILER_LAUNCHER $ccache)
set(CMAKE_RC_COMPILER $host-windres)
set(CMAKE_C_FLAGS_INIT "$flags")
set(CMAKE_FIND_ROOT_PATH $out /usr/$host)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
TOOLCHAIN

with_cmake() { # package, options...
  local source=$temp/src/$1
  shift
  cmake -G "Unix Makefiles" -S "$source" -B "$source/_build" -DCMAKE_TOOLCHAIN_FILE="$temp/toolchain.cmake" \
    -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS_RELEASE= -DCMAKE_INSTALL_PREFIX="$out" -DCMAKE_INSTALL_LIBDIR=lib \
    -DBUILD_SHARED_LIBS=OFF "$@"
  make -C "$source/_build" -j"$jobs"
  make -C "$source/_build" install
}

# Our own .pc files: upstreams' differ in what they tell about static linking, and some write none.
pc() { # name, version, libs, private libs, cflags
  cat >"$out/lib/pkgconfig/$1.pc" <<PC
prefix=\${pcfiledir}/../..
Name: $1
Description: $1 for Windows, static
Version: $2
Libs: -L\${prefix}/lib $3
Libs.private: $4
Cflags: -I\${prefix}/include $5
PC
}

build_lua5.4() {
  local objects=() file
  cd "$temp/src/lua5.4/src"
  # An error of Lua jumps back over frames of C. longjmp() asks Windows to unwind each of them, which costs microseconds an
  # error and which no frame here needs: without a frame's address it only sets the registers.
  cat >"$temp/jump.h" <<'JUMP'
#include <setjmp.h>
#define LUAI_THROW(L, c) longjmp((c)->b, 1)
#define LUAI_TRY(L, c, a) if (_setjmp((c)->b, NULL) == 0) { a }
#define luai_jmpbuf jmp_buf
JUMP
  for file in *.c; do
    case $file in lua.c | luac.c) continue ;; esac
    objects+=("${file%.c}.o")
  done
  printf '%s\n' "${objects[@]%.o}" | xargs -P "$jobs" -I{} $ccache $cc $flags -std=gnu99 -DLUA_COMPAT_5_3 -include "$temp/jump.h" -c {}.c -o {}.o
  $host-gcc-ar rcs "$out/lib/liblua5.4.a" "${objects[@]}"
  install -m 644 lua.h luaconf.h lualib.h lauxlib.h "$out/include"
}

build_libevent() {
  with_cmake libevent -DEVENT__LIBRARY_TYPE=STATIC -DEVENT__DISABLE_OPENSSL=ON -DEVENT__DISABLE_TESTS=ON \
    -DEVENT__DISABLE_REGRESS=ON -DEVENT__DISABLE_SAMPLES=ON -DEVENT__DISABLE_BENCHMARK=ON
}

build_pcre2() {
  with_cmake pcre2 -DPCRE2_SUPPORT_JIT=ON -DPCRE2_BUILD_PCRE2GREP=OFF -DPCRE2_BUILD_TESTS=OFF -DPCRE2_SUPPORT_UNICODE=ON
}

build_jansson() {
  with_cmake jansson -DJANSSON_BUILD_DOCS=OFF -DJANSSON_WITHOUT_TESTS=ON -DJANSSON_EXAMPLES=OFF
}

build_libyaml() {
  with_cmake libyaml -DBUILD_TESTING=OFF
  # The archive's name differs between its versions.
  [ -e "$out/lib/libyaml.a" ] || cp "$(find "$temp/src/libyaml/_build" -name 'libyaml*.a' | head -n 1)" "$out/lib/libyaml.a"
}

build_cmocka() {
  with_cmake cmocka -DWITH_STATIC_LIB=ON -DWITH_EXAMPLES=OFF -DUNIT_TESTING=OFF -DWITH_CMOCKERY_SUPPORT=OFF
  rm -f "$out"/lib/libcmocka.dll.a
  cp "$(find "$temp/src/cmocka/_build" -name 'libcmocka*static*.a')" "$out/lib/libcmocka.a"
}

build_libidn2() {
  cd "$temp/src/libidn2"
  CC="$ccache $cc" CFLAGS=$flags ./configure --host=$host --build="$(dpkg-architecture -qDEB_BUILD_GNU_TYPE)" --prefix="$out" \
    --disable-shared --enable-static --with-included-libunistring --without-libiconv-prefix --disable-nls --disable-doc \
    --disable-gtk-doc --disable-dependency-tracking am_cv_func_iconv=no
  local part
  for part in gl unistring lib; do make -C $part -j"$jobs"; done
  make -C lib install
}

build_openssl() {
  cd "$temp/src/openssl"
  # What the TLS proxy never offers is left out, for the build's and the program's size.
  CC="$ccache $cc" AR=$host-ar RANLIB=$host-ranlib RC=$host-windres \
    ./Configure mingw64 --prefix=/openssl --libdir=lib --openssldir=/openssl no-shared no-tests no-dso \
    no-engine no-module no-legacy no-ssl3 no-idea no-seed no-aria no-camellia no-bf no-cast no-rc2 no-rc4 no-rc5 no-md4 \
    no-mdc2 no-whirlpool no-sm2 no-sm3 no-sm4 no-gost no-cms no-ts no-srp no-cmp no-comp no-dsa no-dtls no-ct no-async \
    no-ui-console no-capieng no-padlockeng no-unit-test $flags
  # Where configuration and certificates are looked for unless a program says otherwise: a folder that only administrators
  # may write to. "/ssl" would be below the current drive's root, where every user may make one.
  local dirs=("OPENSSLDIR=C:/Program Files/Common Files/SSL" ENGINESDIR=C:/none MODULESDIR=C:/none)
  make -j"$jobs" "${dirs[@]}" build_generated
  make -j"$jobs" "${dirs[@]}" libcrypto.a libssl.a
  install -d "$out/include/openssl"
  install -m 644 include/openssl/*.h "$out/include/openssl"
  install -m 644 libcrypto.a libssl.a "$out/lib"
}

build_curl() {
  # One GET over HTTPS (packs/http.h), upon the OpenSSL that the proxies have; nothing else of it. Addresses are ASCII. Dates stay:
  # Retry-After may be one. The host's bundle of certificates would be found, and its path kept.
  local off=() part
  for part in ALTSVC COOKIES CRYPTO_AUTH DOH GETOPTIONS HSTS MIME NETRC NTLM PROGRESS_METER OPENSSL_AUTO_LOAD_CONFIG; do
    off+=("-DCURL_DISABLE_$part=ON")
  done
  with_cmake curl -DHTTP_ONLY=ON "${off[@]}" -DBUILD_CURL_EXE=OFF -DBUILD_TESTING=OFF -DCURL_USE_OPENSSL=ON -DCURL_ZLIB=OFF \
    -DCURL_USE_LIBPSL=OFF -DCURL_USE_LIBSSH2=OFF -DCURL_CA_BUNDLE=none -DCURL_CA_PATH=none -DUSE_LIBIDN2=OFF \
    -DENABLE_UNIX_SOCKETS=OFF -DENABLE_MANUAL=OFF -DPICKY_COMPILER=OFF
  rm -f "$out"/bin/curl-config "$out"/lib/pkgconfig/libcurl.pc
}

build() { # package
  # Not as a condition: -e must hold inside.
  (set -e; "build_$1") >"$logs/$1.log" 2>&1
  install -D -m 644 "$temp/src/$1/debian/copyright" "$out/share/licenses/$1/copyright"
}

echo "building the Windows libraries into $sysroot" >&2
for package in "${packages[@]}"; do fetch "$package"; done
set -m # a process group of its own, so that it can be ended as a whole
build openssl 9>&- & # the long one; the others' configure scripts run beside it
long=$!
set +m
for package in "${packages[@]}"; do
  case $package in openssl | curl) ;; *) build "$package" ;; esac
done
wait "$long"
long=
build curl # upon OpenSSL

version() { sed -n "s/^$1 \([0-9]*:\)\{0,1\}\([0-9][0-9.]*\).*/\2/p" "$temp/versions"; }
rm -rf "$out"/lib/pkgconfig/* "$out"/lib/cmake "$out"/cmake "$out"/lib/*.la "$out"/{bin,share/{doc,man,info}}
pc lua5.4 "$(version lua5.4)" -llua5.4 "" ""
pc libevent "$(version libevent)" "-levent_extra -levent_core" "-lws2_32 -liphlpapi -ladvapi32 -lshell32" ""
pc libcrypto "$(version openssl)" -lcrypto "-lws2_32 -lcrypt32 -ladvapi32 -luser32 -lgdi32" ""
pc libssl "$(version openssl)" "-lssl -lcrypto" "-lws2_32 -lcrypt32 -ladvapi32 -luser32 -lgdi32" ""
pc libpcre2-8 "$(version pcre2)" -lpcre2-8 "" -DPCRE2_STATIC
pc jansson "$(version jansson)" -ljansson "" ""
pc yaml-0.1 "$(version libyaml)" -lyaml "" -DYAML_DECLARE_STATIC
pc libidn2 "$(version libidn2)" -lidn2 "" -DIDN2_STATIC
pc libcurl "$(version curl)" "-lcurl -lssl -lcrypto" "-lws2_32 -lcrypt32 -lbcrypt -ladvapi32 -luser32 -lgdi32" -DCURL_STATICLIB
pc cmocka "$(version cmocka)" -lcmocka "" ""
for lib in lua5.4 event_core event_extra crypto ssl pcre2-8 jansson yaml idn2 cmocka curl; do
  [ -s "$out/lib/lib$lib.a" ] || fail "lib$lib.a was not made"
done
{ echo "script $script_key"; cat "$temp/versions"; } >"$out/$complete"
mkdir -p "$(dirname "$sysroot")"
[ ! -e "$sysroot" ] || rmdir "$sysroot" || fail "$sysroot is not empty, and no sysroot"
mv -T "$out" "$sysroot"
sed -n 's/^script .*//; /./p' "$sysroot/$complete" >&2
echo "$sysroot"

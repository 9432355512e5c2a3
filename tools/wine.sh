#!/usr/bin/env bash
# Runs a Windows program under wine: tools/wine.sh PREFIX PROGRAM [ARGUMENT]...
# Ends what still runs in a prefix:  tools/wine.sh --end PREFIX
#
# Without a display, and in a wine prefix of its own that is copied from a template; the template is made once for each
# version of wine, in ${XDG_CACHE_HOME:-~/.cache}/moonfence. Any number of these may run at once: the first one starts the
# prefix's server, the others find it, and it leaves by itself a while after the last. Nothing else is ever ended.
#
#   MF_WINE_DEBUG   what wine tells on stderr (WINEDEBUG); default: nothing
set -euo pipefail

ending=
[ "${1:-}" != --end ] || { ending=1; shift; set -- "${1:?}" -; }
[ $# -ge 2 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
prefix=$1
shift

wine= server=
for dir in /usr/lib/wine /usr/bin /usr/local/bin; do
  # Debian's "wine" is a script that complains about a missing wine32: the loader is called directly.
  for name in wine64 wine; do [ -n "$wine" ] || [ ! -x $dir/$name ] || wine=$dir/$name; done
  for name in wineserver64 wineserver; do [ -n "$server" ] || [ ! -x $dir/$name ] || server=$dir/$name; done
done
[ -n "$wine" ] && [ -n "$server" ] || { echo "$0: wine is missing: tools/install-deps.sh windows" >&2; exit 127; }

export WINELOADER=$wine WINESERVER=$server WINEARCH=win64 WINEDEBUG=${MF_WINE_DEBUG:--all}
# No browser engines, no menu entries on the host; what a test links must come from it or from the system's DLLs.
export WINEDLLOVERRIDES="mscoree,mshtml=;winemenubuilder.exe=d;${WINEDLLOVERRIDES:-}"
unset DISPLAY WAYLAND_DISPLAY WINEPREFIX

if [ -n "$ending" ]; then
  [ ! -d "$prefix" ] || WINEPREFIX=$(cd "$prefix" && pwd -P) "$server" -k || true # no server is no error
  exit 0
fi

make_template() { # folder
  local temp
  temp=$(mktemp -d "$1.XXXXXX")
  # WINEPREFIX is where it is made: a prefix can be moved afterwards.
  WINEPREFIX=$temp "$wine" wineboot.exe --init >"$1.log" 2>&1 &&
    WINEPREFIX=$temp "$wine" reg.exe add 'HKCU\Software\Wine' /v Version /d win10 /f >>"$1.log" 2>&1 &&
    WINEPREFIX=$temp "$server" -w && [ -s "$temp/user.reg" ] || {
    echo "$0: cannot make a wine prefix; see $1.log" >&2
    return 1
  }
  mv -T "$temp" "$1"
}

if [ ! -e "$prefix/system.reg" ]; then
  cache=${XDG_CACHE_HOME:-$HOME/.cache}/moonfence
  template=$cache/wine-$({ "$wine" --version; declare -f make_template; } | sha256sum | cut -c1-16)
  mkdir -p "$cache" "$(dirname "$prefix")"
  exec 8>"$cache/wine.lock"
  flock 8
  # A wine process keeps what it inherits for as long as it lives: locks are closed in children by hand.
  [ -e "$template/user.reg" ] || make_template "$template" 8>&-
  if [ ! -e "$prefix/system.reg" ]; then
    temp=$(mktemp -d "$prefix.XXXXXX")
    # Some 700 MB of wine's own DLLs, which nobody writes to: linked where that works. The registry is copied.
    cp -al "$template/drive_c" "$temp" 2>/dev/null || { rm -rf "$temp/drive_c"; cp -a "$template/drive_c" "$temp"; }
    rm -rf "$temp/drive_c/users"
    (cd "$template" && cp -a --parents drive_c/users dosdevices .update-timestamp ./*.reg "$temp")
    rmdir "$prefix" 2>/dev/null || true
    mv -T "$temp" "$prefix"
  fi
  exec 8>&-
fi

export WINEPREFIX
WINEPREFIX=$(cd "$prefix" && pwd -P)
# One starts the server and the system's services, the others wait until both are there: a program that found the server alone
# would start services by itself, and they would keep its standard output open for as long as they live.
exec 8>"$WINEPREFIX/start.lock"
flock 8
if ! "$server" -k0 2>/dev/null; then
  "$server" -p60 8>&- </dev/null >/dev/null 2>&1
  "$wine" wineboot.exe 8>&- </dev/null >/dev/null 2>&1 || true
fi
exec 8>&-
exec "$wine" "$@"

#!/usr/bin/env bash
# Builds Debian's packages from what is committed, into build/deb, and has lintian look at them.
#
#   tools/build-deb.sh [--worktree]      --worktree: from the files as they are, not as they are committed
#
# Needs tools/install-deps.sh build package. The debian/ directory is packaging/debian.
set -euo pipefail
cd "$(dirname "$0")/.."
top=$PWD out=$PWD/build/deb
from=HEAD
[ "${1:-}" != --worktree ] || from=
# One place for all builds: the compiler's cache knows it again.
rm -rf "$out"
mkdir -p "$out/src"
if [ -n "$from" ] && git rev-parse --git-dir >/dev/null 2>&1; then
  git archive "$from" | tar -x -C "$out/src"
else
  tar -c --exclude=./build --exclude=./.git --exclude=./.cache . | tar -x -C "$out/src"
fi
cp -r "$out/src/packaging/debian" "$out/src/debian"
version=$(sed -n 's/^project(moonfence VERSION \([0-9.]*\) .*/\1/p' CMakeLists.txt)
packaged=$(sed -n '1s/.*(\([^)]*\)).*/\1/p' packaging/debian/changelog)
[ "$version" = "${packaged%%-*}" ] || { echo "packaging/debian/changelog says $packaged, CMakeLists.txt $version" >&2; exit 1; }
if command -v ccache >/dev/null; then
  export CMAKE_C_COMPILER_LAUNCHER=ccache CCACHE_DIR=${CCACHE_DIR:-$(ccache --get-config cache_dir)}
fi
cd "$out/src"
DEB_BUILD_OPTIONS="parallel=$(nproc) ${DEB_BUILD_OPTIONS:-}" dpkg-buildpackage -b -us -uc >"$out/build.log" 2>&1 || { tail -60 "$out/build.log" >&2; exit 1; }
cd "$top"
ls "$out"/*.deb
command -v lintian >/dev/null || { echo "lintian is not installed: not looked at" >&2; exit 0; }
# Run by root it says so; what is not in the archive has no bug to close, and its maintainer no address.
lintian --allow-root --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs,bogus-mail-host "$out"/*.changes

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# api-page.sh GENERATOR PAGE - the page is what the generator writes from the stubs
set -euo pipefail
lua5.4 "$1" | diff -u "$2" - || { echo "stale: run 'lua5.4 tools/gen-lua-api.lua >docs/lua-api.md'"; exit 1; }

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Chromium against our WebRTC, on loopback."""
import os, shutil, subprocess, sys

HERE = os.path.dirname(os.path.abspath(__file__))

if not shutil.which("node") or not os.path.exists("/usr/bin/chromium"):
    print("node or chromium is missing: tools/install-deps.sh test")
    sys.exit(77)
got = subprocess.run([HERE + "/../../../tools/install-node-deps.sh"], stdout=subprocess.PIPE, text=True)
if got.returncode:
    sys.exit(got.returncode)
sys.exit(subprocess.run(["node", HERE + "/browser.mjs", got.stdout.strip(), "/usr/bin/chromium", os.environ["RTC_HOST"]],
                        timeout=600).returncode)

# SPDX-License-Identifier: Apache-2.0
"""Waiting for what a test needs: always for a condition, never for a time."""
import time

# For a broken run only: whatever is waited for comes much sooner, but on a busy machine.
LIMIT = 120


def wait_for(what, check, limit=LIMIT):
    """Poll until check() is true; its value."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        value = check()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"{what}: not within {limit} s")

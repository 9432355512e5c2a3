# SPDX-License-Identifier: Apache-2.0
"""What asking costs through a mount: thirty rules and a hook beside a hook that allows all; nothing is kept by the kernel."""
COLUMNS = {
    "ask_us": "attributes asked for (us)",
    "ask_cpu_us": "of the server's processor time (us)",
}
PLACES = ("moonfence,no-cache,none", "moonfence,no-cache,rules")


def arguments(p):
    p.add_argument("--calls", type=int, default=50000)


def measure(args, place):
    return place.program("bench_fs_ask", str(args.calls))

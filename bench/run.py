#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures every figure that Moonfence promises, and prints one table: what, must reach, measured, beside whom.

The release preset is built first. Each program of bench/ runs several times, spread over the whole run; figures are
medians over all of these. Where a peer is named, peer and Moonfence take turns within one run, and the ratio is the
median of the ratios of their neighbouring runs. Rows without a target stand beside those that have one. As root the
programs run at the highest niceness priority, both sides alike, so that other work on the machine disturbs less.

  bench/run.py                      the whole table
  bench/run.py relay startup        only rows of these programs, or single rows by their key (see --list)
  bench/run.py --save now.json      keep everything that was measured, --from now.json prints it again
  bench/run.py --from now.json --markdown > docs/figures.md
"""
import argparse, datetime, json, os, platform, re, resource, shutil, statistics, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(HERE)
TEMPLATE = os.path.join(HERE, "figures.md.in")


class Failed(Exception):
    """A program could not measure; the text says why."""


# --- programs -------------------------------------------------------------------------------------------------------
# Each function runs one program once. Return: {figure: [ours, ...]} or {figure: ([ours, ...], [peer, ...])} where a
# peer was measured in turns; the lists are parallel.

def output(argv, env=None, timeout=150):
    try:
        p = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout,
                           env={**os.environ, **(env or {})})
    except subprocess.TimeoutExpired:
        raise Failed(f"took more than {timeout} s") from None
    except OSError as e:
        raise Failed(str(e)) from None
    if p.returncode:
        said = (p.stderr.strip() or p.stdout.strip()).split("\n")[-1]
        raise Failed(f"exit status {p.returncode}: {said}")
    return p.stdout


def flat(values):
    return {k: [v] for k, v in values.items() if isinstance(v, (int, float))}


def named(text):
    return {v["name"]: [v["value"]] for v in json.loads(text)}


def run_decide(a):
    return flat(json.loads(output([a.program("decide"), "--json", "--seconds", str(a.scale)])))


def run_sandbox(a):
    return flat(json.loads(output([a.program("sandbox"), "--json", str(round(20 * a.scale) or 1)])))


def run_packet(a):
    return named(output([a.program("packet"), "--json", "--seconds", str(0.12 * a.scale)]))


def run_pipeline(a):
    return named(output([a.program("pipeline"), "--json", "--seconds", str(0.05 * a.scale)]))


def run_e1000(a):
    return named(output([a.program("nic", "bench_e1000"), "--json", "--seconds", str(0.1 * a.scale)]))


def run_virtio(a):
    return named(output([a.program("nic", "bench_virtio_net"), "--json", "--seconds", str(0.1 * a.scale)]))


def run_guests(a):
    return named(output([a.program("nic", "bench_guests"), "--json", "--seconds", str(0.3 * a.scale)]))


def run_vm(a):
    """Downloads and uploads of guests: each mode is one guest, in which all take turns."""
    d = json.loads(output([sys.executable, os.path.join(HERE, "vm/vm.py"), "--json", "--rounds", str(round(4 * a.scale) or 1), "--mib",
                           str(int(48 * a.scale) or 1), "--build", a.build], timeout=900))
    if not d["rows"]:
        raise Failed("; ".join(d["failed"]) or "nothing was measured")
    return {f"{what} | {peer}": (by["moonfence"], by[peer]) for what, by in d["rows"].items() for peer in ("slirp", "passt")
            if "moonfence" in by and peer in by}


def run_nat(a):
    return named(output([a.program("nat"), "--json", "--rounds", str(min(round(a.scale) or 1, 15))]))


def run_match(a):
    r = named(output([a.program("match"), "--json", "--seconds", str(0.1 * a.scale)]))
    for what in ("under", "hot"):
        r[f"domain_set_{what}_per_second"] = [1e9 / v for v in r[f"domain_set_{what}_ns"]]
    r["beside_sorted"] = (r["domain_set_under_ns"], r["sorted_names_ns"])
    r["bytes_beside_sorted"] = (r["domain_set_bytes_per_name"], r["sorted_names_bytes_per_name"])
    return r


def run_rules(a):
    r = {}
    for line in output([a.program("rules"), "1000", "10000"]).splitlines():
        m = re.match(r"\s*(\d+) rules\s+load\s+([\d.]+) ms", line)
        if not m:
            raise Failed(f"cannot read: {line}")
        r[f"load_{m[1]}_ms"] = [float(m[2])]
        for kind, mean in re.findall(r"(dns|connect|file)\s+([\d.]+) ns", line):
            r[f"{kind}_{m[1]}_ns"] = [float(mean)]
    for form, v in json.loads(output([a.program("rules", "bench_rule_policies"), "10000"])).items():
        r.update({f"{form}_{k}": [x] for k, x in v.items()})
    return r


def run_reload(a):
    """A list of a million names is replaced under requests, beside unbound with the same names."""
    d = json.loads(output([sys.executable, os.path.join(HERE, "reload/reload.py"), "--json", "--rounds",
                           str(max(round(6 * a.scale), 2)), "--names", str(int(1e6 * min(a.scale, 1)) or 1000), "--build", a.build],
                          timeout=600))
    ours, peer = d["moonfence"], d.get("unbound")
    r = {k: ([ours[k]], [peer[k]] if peer else []) for k in ("took_ms", "bytes_per_name")}
    for what in ("reload", "quiet"):
        for k in ("longest_ms", "p999_us"):
            r[f"{what}_{k}"] = ([ours[what][k]], [peer[what][k]] if peer else [])
    return {**r, **flat({f"decide_{k}": v for k, v in d["decide"].items()})}


def run_relay(a):
    if not shutil.which("haproxy"):
        raise Failed("haproxy is not installed")
    d = json.loads(output([os.path.join(HERE, "relay/run.sh"), "--json", "--rounds", "2", "--seconds",
                           str(0.6 * a.scale), "--mib", str(int(768 * a.scale) or 1), "--build", a.build]))
    a.versions["HAProxy"] = re.search(r"\d[\d.]+", d["haproxy"])[0]
    return {(r["of"] + ": " if r["of"] else "") + r["what"].strip():
            (r["samples"]["moonfence"], r["samples"].get("haproxy") or []) for r in d["rows"]}


def run_startup(a):
    d = json.loads(output([sys.executable, os.path.join(HERE, "startup/startup.py"), "--json", "--runs",
                           str(int(40 * a.scale) or 2), "--build", a.build]))
    r = {}
    for who, m in d.items():
        if "moonfence" in m["failed"]:
            raise Failed(f"moonfence run as {who}: {m['failed']['moonfence']}")
        for k, part in enumerate(("start", "whole")):
            bare = statistics.median([x[k] for x in m["samples"]["bare"]])
            more = {name: [x[k] - bare for x in v] for name, v in m["samples"].items()}
            for peer in ("unshare", "bwrap"):
                r[f"{who}_{part}_{peer}"] = (more["moonfence"], more.get(peer, []))
    return r


def run_tun(a):
    """Captured traffic through a TUN device, beside both peers; the added latency is that above a client without a fence."""
    if not shutil.which("iperf3"):
        raise Failed("iperf3 is not installed")
    call = [sys.executable, os.path.join(HERE, "tun/tun.py"), "--json", "--rounds", "1", "--seconds", str(0.7 * a.scale),
            "--build", a.build]
    who = ["--who", "slirp4netns", "--who", "pasta", "--who", "tun"]
    r = {}
    for more in (["--what", "bulk", *who], ["--what", "rr", "--mtu", "65520", "--who", "direct", "--who", "tproxy", *who]):
        d = json.loads(output(call + more))
        for what, by in d["rows"].items():
            for peer in ("slirp4netns", "pasta", "tproxy"):
                if "tun" in by and (peer in by or peer == "slirp4netns"):
                    r[f"{what} | {peer}"] = (by["tun"], by.get(peer, []))
    return r


def run_forward(a):
    """Connections routed by their server name, beside HAProxy and nginx; what is added is that above the server alone."""
    d = json.loads(output([sys.executable, os.path.join(HERE, "forward/forward.py"), "--json", "--rounds", "1", "--requests",
                           str(int(600 * a.scale) or 20), "--mib", str(int(768 * a.scale) or 1), "--build", a.build]))
    r = {}
    for what, by in d["samples"].items():
        r[what] = (by["moonfence"], [])
        for peer in ("haproxy", "nginx"):
            r[f"{what} | {peer}"] = (by["moonfence"], by.get(peer, []))
    return r


def run_gateway(a):
    """Browsers' TCP and names, beside a minimal Node proxy, websockify and dnsdist's DoH."""
    d = json.loads(output([sys.executable, os.path.join(HERE, "gateway/gateway.py"), "--json", "--rounds", "1", "--seconds",
                           str(a.scale), "--idle", str(int(10000 * min(a.scale, 1)) or 100), "--build", a.build], timeout=300))
    r = {}
    for what, by in d["samples"].items():
        if "moonfence" in by:
            r[what] = (by["moonfence"], [])
        for ours, peer in (("moonfence", "node"), ("moonfence", "websockify"), ("moonfence-tls", "dnsdist")):
            if ours in by and peer in by:
                r[f"{what} | {peer}"] = (by[ours], by[peer])
    return r


def run_detect(a):
    return named(output([a.program("detect"), "--json", "--ticks", str(int(300 * a.scale) or 20)]))


def run_dns(a):
    """Answers out of a warm cache behind 30 rules in Lua, beside dnsdist with the same rules in Lua, and as its own."""
    d = json.loads(output([sys.executable, os.path.join(HERE, "dns/dns.py"), "--json", "--rounds", "2", "--seconds", str(1.5 * a.scale),
                           "--build", a.build]))
    a.versions["dnsdist"] = d["dnsdist"]
    s = d["samples"]
    return {f"{what} | {peer}": (s["moonfence"][what], s[peer][what]) for what in ("rate", "cpu") for peer in ("dnsdist-lua", "dnsdist-native")}


def run_intercept(a):
    """TLS connections that are looked into, beside mitmproxy and nginx; and before a server that gives no tickets."""
    d = json.loads(output([sys.executable, os.path.join(HERE, "intercept/intercept.py"), "--json", "--rounds", "1", "--seconds",
                           str(2 * a.scale), "--build", a.build]))
    return {f"{what} | {us} | {peer}": (by[us], by.get(peer, [])) for what, by in d["samples"].items()
            for us in ("moonfence", "moonfence, no tickets") for peer in ("mitmproxy", "nginx")}


def run_trash(a):
    return named(output([a.program("trash"), "--json", "--files", str(int(100000 * a.scale) or 1000)]))


def run_fs(what):
    """Files through the policy filesystem, beside bindfs, mergerfs and the source; @what: a module of bench/fs."""
    def run(a):
        size = {"data": ["--seconds", str(0.5 * a.scale)], "meta": ["--files", str(int(20000 * a.scale) or 100)],
                "programs": ["--tree", str(a.scale)], "policy": ["--calls", str(int(10000 * a.scale) or 100), "--rounds", "7"],
                "keep": ["--batches", str(int(50 * a.scale) or 1)]}[what]
        d = json.loads(output([sys.executable, "-B", os.path.join(HERE, "fs/fs.py"), what, "--json", "--rounds", "1", "--build", a.build, *size], timeout=900))
        found = {f"{column} | {us} | {peer}": (by[us], by.get(peer, [])) for column, by in d.items()
                 for us in by if us.startswith("moonfence") for peer in ("bindfs", "mergerfs", "source")}
        if what == "keep":
            found = {column: by["moonfence,kept"] for column, by in d.items()}
        if what == "policy":
            with_rules, without = (d["ask_cpu_us"][f"moonfence,no-cache,{w}"] for w in ("rules", "none"))
            found = {"rules_more_us": [statistics.median(a - b for a, b in zip(with_rules, without))], "ask_cpu_us": with_rules}
        return found
    return run


def run_events(a):
    """Events to a file on one core, none lost, beside spdlog and jansson."""
    d = json.loads(output([sys.executable, "-B", os.path.join(HERE, "events/events.py"), "--json", "--rounds", "2", "--events",
                           str(int(500000 * a.scale) or 10000), "--build", a.build]))
    return {f"{us} | {what} | {peer}": (d[us][what], d.get(peer, {}).get(what, [])) for us in ("moonfence", "moonfence, rotated")
            for what in ("rate", "cpu_ns") for peer in ("spdlog", "jansson")}


def run_fs_policy(a):
    return named(output([a.program("fs", "bench_fs_policy"), "--json"]))


def run_daemon(a):
    d = json.loads(output([sys.executable, os.path.join(HERE, "daemon/daemon.py"), "--json", "--rounds", "1", "--seconds",
                           str(2 * a.scale), "--build", a.build]))
    return {what: (ours, theirs) for what, (ours, theirs) in d.items()}


# Programs in the order of a pass, with the passes they make; short ones more often.
PROGRAMS = {
    "decide": (run_decide, 5), "sandbox": (run_sandbox, 2), "packet": (run_packet, 3), "nat": (run_nat, 4),
    "pipeline": (run_pipeline, 3), "virtio": (run_virtio, 3), "e1000": (run_e1000, 3), "guests": (run_guests, 2), "vm": (run_vm, 1),
    "match": (run_match, 2),
    "rules": (run_rules, 3), "reload": (run_reload, 1), "events": (run_events, 3), "relay": (run_relay, 4), "startup": (run_startup, 2),
    "tun": (run_tun, 3), "forward": (run_forward, 3), "gateway": (run_gateway, 2), "detect": (run_detect, 3), "dns": (run_dns, 3),
    "intercept": (run_intercept, 3), "trash": (run_trash, 3), "daemon": (run_daemon, 3),
    "fs-data": (run_fs("data"), 3), "fs-meta": (run_fs("meta"), 2),
    "fs-policy": (run_fs_policy, 3), "fs-mounted-policy": (run_fs("policy"), 2), "fs-keep": (run_fs("keep"), 3),
    "fs-programs": (run_fs("programs"), 1),
}


# --- rows -----------------------------------------------------------------------------------------------------------

class Row:
    """One line of the table. @goal: (">=" or "<=", value in @unit, or times the peer when @of is "peer")."""

    def __init__(self, key, what, program, figure, unit, goal=None, of="self", peer=None, pick=statistics.median):
        self.key, self.what, self.program, self.figure, self.unit = key, what, program, figure, unit
        self.goal, self.of, self.peer, self.pick = goal, of, peer, pick

    def goal_text(self):
        if not self.goal:
            return "–"
        sign = "≥" if self.goal[0] == ">=" else "≤"
        return f"{sign} {self.goal[1]:.2f} × {self.peer}" if self.of == "peer" else f"{sign} {show(self.goal[1], self.unit)}"

    def judge(self, samples):
        """What the samples of this row come to, as a dictionary for the table and --json."""
        ours, theirs = samples
        value = self.pick(ours)
        out = {"key": self.key, "what": self.what, "goal": self.goal_text(), "unit": self.unit, "value": value,
               "low": min(ours), "high": max(ours), "runs": len(ours), "peer": None, "peer_value": None,
               "ratio": None, "reached": None}
        if theirs:
            out.update(peer=self.peer, peer_value=self.pick(theirs),
                       ratio=statistics.median([a / b for a, b in zip(ours, theirs) if b]))
        if self.goal and (self.of == "self" or theirs):
            x = out["ratio"] if self.of == "peer" else value
            out["reached"] = x >= self.goal[1] if self.goal[0] == ">=" else x <= self.goal[1]
        return out


BULK, RR = "bulk, {} (Gbit/s)", "1 KiB request/response, {} (/s)"
HA = {"peer": "HAProxy", "of": "peer"}

ROWS = [
    Row("graph-rate", "decision found in the graph, 30-rule policy, one core", "decide", "memo_per_second", "/s",
        (">=", 10e6)),
    Row("graph-p99", "its 99th percentile", "decide", "memo_p99_ns", "ns", ("<=", 250)),
    Row("graph-filled", "the same with the request filled anew each time", "decide", "filled_per_second", "/s"),
    Row("graph-walk", "answered by rules and graph without the memo of exact repeats", "decide", "graph_per_second",
        "/s"),
    Row("graph-walk-p99", "its 99th percentile", "decide", "graph_p99_ns", "ns"),
    Row("lua", "decision through Lua, same policy, median", "decide", "lua_p50_ns", "ns", ("<=", 2000)),
    Row("stop", "stop of a hostile policy, beyond its limit: median of the corpus", "sandbox",
        "stop_overshoot_median_ns", "ns", ("<=", 1e6)),
    Row("stop-default", "the slowest script with the default limits (100,000 instructions, 5 ms), its median", "sandbox",
        "stop_overshoot_worst_script_by_default_ns", "ns", ("<=", 1e6)),
    Row("stop-script", "the slowest script with no limit but time, its median", "sandbox", "stop_overshoot_worst_script_median_ns", "ns",
        ("<=", 1e6)),
    Row("stop-max", "the slowest single stop of all, no limit but time", "sandbox", "stop_overshoot_max_ns", "ns", ("<=", 1e6), pick=max),
    Row("packet", "view + NAT hit + rewrite + checksum, 64-byte TCP, one core", "packet", "packet_path", "M packets/s",
        (">=", 10)),
    Row("packet-verify", "and both checksums of each packet verified first", "packet", "packet_path_verified",
        "M packets/s"),
    Row("packet-1m", "the first with 1,000,000 flows in random order", "packet", "packet_path_1m_flows",
        "M packets/s"),
    Row("pipeline", "the whole pipeline: 70 % NAT hits, 20 % foreign, 10 % new flows (judged by a VM), one core",
        "pipeline", "pipeline_mix", "M packets/s", (">=", 4)),
    Row("pipeline-64k", "the same with 65,536 flows that have an entry in place of 4,096", "pipeline", "pipeline_mix_64k",
        "M packets/s"),
    Row("pipeline-hits", "NAT hits alone", "pipeline", "pipeline_hits", "M packets/s"),
    Row("pipeline-foreign", "packets of other processes alone", "pipeline", "pipeline_foreign", "M packets/s"),
    Row("pipeline-new", "new flows alone: event, decision, insertion into a full table, rewriting", "pipeline",
        "pipeline_new", "M packets/s"),
    Row("e1000-tx", "82540EM in memory, 1,500-byte frames sent, driver included, one core", "e1000", "e1000_tx",
        "M frames/s", (">=", 3)),
    Row("e1000-rx", "received, checksums judged", "e1000", "e1000_rx", "M frames/s", (">=", 3)),
    Row("e1000-tso", "64 KiB frames cut into segments with checksums", "e1000", "e1000_tso", "Gbit/s", (">=", 20)),
    Row("virtio-tx", "virtio card in memory, 1,500-byte frames sent, driver included, one core", "virtio", "virtio_tx",
        "M frames/s", (">=", 5)),
    Row("virtio-rx", "received", "virtio", "virtio_rx", "M frames/s", (">=", 5)),
    Row("virtio-packed-tx", "sent, packed ring", "virtio", "virtio_packed_tx", "M frames/s", (">=", 5)),
    Row("virtio-packed-rx", "received, packed ring", "virtio", "virtio_packed_rx", "M frames/s", (">=", 5)),
    Row("virtio-tso", "64 KiB frames cut into segments with checksums", "virtio", "virtio_tso", "Gbit/s", (">=", 20)),
    Row("guests-idle", "1,000 guests in one process: memory of an idle one", "guests", "idle", "kB", ("<=", 1000)),
    Row("guests-idle-again", "the same after its queues have been full", "guests", "idle_again", "kB", ("<=", 1000)),
    Row("guests-card-e1000", "memory of an 82540EM", "guests", "card_e1000", "kB"),
    Row("guests-card-virtio", "memory of a virtio card", "guests", "card_virtio", "kB"),
    Row("guests-frames", "frames of ten busy guests among 1,000, there and back, one core", "guests", "frames", "M frames/s"),
    Row("guests-alone", "the same ten without the others", "guests", "frames_alone", "M frames/s"),
    Row("guests-share", "ten guests of 1,000 with 100 Mbit/s each, there and back: of a core", "guests", "share", "%", ("<=", 100)),
    *[Row(f"vm-{mode}-{way[:2]}-{peer[:2]}", f"{what}: {way}", "vm", f"{mode}, {way} (Mbit/s) | {peer}", "Mbit/s", (">=", goal), of="peer", peer=peer)
      for mode, what, peers in (("wire-virtio", "`vm-net`, QEMU's virtio card under TCG", (("slirp", 1), ("passt", 0.8))),
                                ("wire-e1000", "`vm-net`, QEMU's e1000 under TCG", (("slirp", 1), ("passt", 0.8))),
                                ("card-virtio", "our virtio card (`nic-host`) and `vm-net` beside QEMU's own card with slirp", (("slirp", 1),)),
                                ("card-e1000", "our 82540EM (`nic-host`) and `vm-net` beside QEMU's own card with slirp", (("slirp", 1),)))
      for way in ("download", "upload") for peer, goal in peers],
    Row("bulk-1", "TCP relay, bulk, 1 connection", "relay", BULK.format("1 connection"), "Gbit/s", (">=", 1.15), **HA),
    Row("bulk-4", "TCP relay, bulk, 4 connections", "relay", BULK.format("4 connections"), "Gbit/s", (">=", 1.15),
        **HA),
    Row("rr-1", "TCP relay, 1 KiB request/response, 1 connection", "relay", RR.format("1 connection"), "/s",
        (">=", 1.15), **HA),
    Row("rr-64", "TCP relay, 1 KiB request/response, 64 connections", "relay", RR.format("64 connections"), "/s",
        (">=", 1.15), **HA),
    Row("connections", "new connections with SNI inspection", "relay", "new connections with SNI inspection (/s)", "/s",
        (">=", 1.0), **HA),
    Row("rr-64-cpu", "the proxy's processor time per request and response, 64 connections", "relay",
        "1 KiB request/response, 64 connections: CPU of the proxy (us each)", "µs", peer="HAProxy"),
    Row("connections-cpu", "the proxy's processor time per new connection", "relay",
        "new connections with SNI inspection: CPU of the proxy (us each)", "µs", peer="HAProxy"),
    Row("memory", "user memory per idle relayed connection", "relay", "private memory per idle connection (bytes)",
        "bytes", ("<=", 1500), peer="HAProxy"),
    Row("start-root", "`moonfence run` as root: more than the bare command, until it runs", "startup",
        "root_start_bwrap", "ms", ("<=", 30), peer="bwrap"),
    Row("start-user", "`moonfence run` as a user: more than the bare command, until it runs", "startup",
        "user_start_bwrap", "ms", ("<=", 30), peer="bwrap"),
    Row("start-unshare", "the same beside `unshare`", "startup", "user_start_unshare", "ms", peer="unshare"),
    Row("whole-root", "until all is taken down again, as root", "startup", "root_whole_bwrap", "ms", ("<=", 30),
        peer="bwrap"),
    Row("whole-user", "until all is taken down again, as a user", "startup", "user_whole_bwrap", "ms", ("<=", 30),
        peer="bwrap"),
    *[Row(f"tun-{n}-{mtu}{'' if peer == 'slirp4netns' else '-' + peer}", f"`run --capture tun`, MTU {mtu}, {n} TCP "
          f"stream{'s' * (n > 1)}", "tun", f"upload, MTU {mtu}, {n} stream{'s' * (n > 1)} (Gbit/s) | {peer}", "Gbit/s",
          (">=", goal), of="peer", peer=peer)
      for mtu in (65520, 1500) for n in (1, 8) for peer, goal in (("slirp4netns", 3.0), ("pasta", 1.0))],
    Row("tun-rr", "what a 1 KiB request and response takes longer than without a fence", "tun",
        "added by request/response, MTU 65520 (us) | slirp4netns", "µs", ("<=", 0.5), of="peer", peer="slirp4netns"),
    Row("tun-rr-tproxy", "the same beside `--capture tproxy`", "tun",
        "added by request/response, MTU 65520 (us) | tproxy", "µs", peer="tproxy"),
    *[Row(f"forward-{what}-{p[:3]}{'' if peer == 'haproxy' else '-nginx'}",
          f"`moonfence proxy`, {text}: added to it, {name}", "forward", f"{what} added {p} | {peer}", "µs", ("<=", 1.0), of="peer",
          peer={"haproxy": "HAProxy", "nginx": "nginx"}[peer])
      for what, text in (("kept", "TLS request on a kept connection"), ("new", "TLS connection, handshake and request"))
      for p, name in (("p50_us", "median"), ("p99_us", "99th percentile")) for peer in ("haproxy", "nginx")],
    Row("forward-p50", "the first of these beside its goal in time", "forward", "kept added p50_us", "µs", ("<=", 100)),
    Row("forward-p99", "its 99th percentile", "forward", "kept added p99_us", "µs", ("<=", 1000)),
    *[Row(f"forward-bulk-{n}{'' if peer == 'haproxy' else '-nginx'}", f"routed connection{'s' * (n > 1)}, throughput, {n}",
          "forward", f"bulk {n} | {peer}", "Gbit/s", (">=", 1.0), of="peer", peer={"haproxy": "HAProxy", "nginx": "nginx"}[peer])
      for n in (1, 4) for peer in ("haproxy", "nginx")],
    Row("forward-memory", "resident memory of the service with 1,000 idle routed connections", "forward", "idle rss",
        "bytes", ("<=", 20e6)),
    Row("forward-idle", "the idle service with 20 mapped names and detection on, of a core", "forward", "idle cpu", "%",
        ("<=", 0.5)),
    *[Row(f"gw-{what}-{n}{'-core' if core else ''}-{peer[:4]}", f"gateway, `/tcp`, {text}, {n} connection{'s' * (n > 1)}{', per core of the server' if core else ''}",
          "gateway", f"{what} {n}{' per core' if core else ''} | {peer}", unit, (">=", goal) if core else None, of="peer", peer=name)
      for what, text, unit in (("rr", "1 KiB messages there and back", "/s"), ("down", "to the browser", "Gbit/s"), ("up", "from the browser", "Gbit/s"))
      for n in (1, 64) for core in (True, False)
      for peer, name, goal in (("node", "Node, ws", 5.0), ("websockify", "websockify", 2.0))],
    Row("gw-mux", "gateway, `/tcp-mux`, floods of 1,000 streams, per core", "gateway", "mux per core", "Gbit/s", (">=", 5)),
    Row("gw-mux-slowest", "its slowest stream, beside the mean of all", "gateway", "mux slowest", "×", (">=", 0.8)),
    Row("gw-mux-fastest", "its fastest", "gateway", "mux fastest", "×", ("<=", 1.2)),
    *[Row(f"gw-doh-{h}{'-core' if core else ''}", f"gateway, DoH over TLS, GET of a cached answer, {text}{', per core of the server' if core else ''}", "gateway",
          f"dns {h}{' per core' if core else ''} | dnsdist", "/s", (">=", 1.0), of="peer", peer="dnsdist")
      for h, text in (("h1", "HTTP/1.1"), ("h2", "HTTP/2")) for core in (False, True)],
    Row("gw-idle", "gateway, memory of an idle WebSocket", "gateway", "idle", "bytes", ("<=", 16384)),
    Row("gw-idle-tls", "the same with TLS", "gateway", "idle tls", "bytes", ("<=", 16384)),
    Row("gw-idle-tcp", "an idle `/tcp` with its server's connection", "gateway", "idle tcp", "bytes", ("<=", 16384)),
    Row("gw-busy", "gateway, the slowest of 100 busy sessions beside 10,000 idle ones, of what one of them has alone", "gateway", "busy slowest", "×", (">=", 0.9)),
    Row("detect-idle", "dev-server detection alone, 20 servers, nothing changes: of a core", "detect", "idle", "%", ("<=", 0.5)),
    Row("detect-come", "20 servers begin at once: until the last is probed and told of", "detect", "come", "ms", ("<=", 1000)),
    Row("detect-gone", "their sockets are closed: until the end of the last is told", "detect", "gone", "ms", ("<=", 1000)),
    Row("detect-cpu", "processor time for a new server: its owner, its project, what it speaks", "detect", "come_cpu", "µs"),
    Row("detect-events", "what the kernel's events of closed sockets would cost each connection of the host instead", "detect",
        "destroy_events", "µs"),
    Row("dns-lua", "DNS: cached answers, 30-rule Lua policy, dnsperf, one core; dnsdist with the same rules in Lua", "dns",
        "rate | dnsdist-lua", "/s", (">=", 1.0), of="peer", peer="dnsdist, Lua"),
    Row("dns-native", "the same beside dnsdist's native rules", "dns", "rate | dnsdist-native", "/s", (">=", 0.8), of="peer",
        peer="dnsdist, native"),
    Row("dns-lua-cpu", "the server's processor time per answer", "dns", "cpu | dnsdist-lua", "µs", peer="dnsdist, Lua"),
    Row("dns-native-cpu", "the same beside dnsdist's native rules", "dns", "cpu | dnsdist-native", "µs", peer="dnsdist, native"),
    *[Row(f"intercept-{key}{'' if peer == 'mitmproxy' else '-nginx'}", f"intercepted TLS connections (P-256, TLS 1.3): handshakes, "
          f"request, answer; {what}", "intercept", f"{figure} | {us} | {peer}", "/s", (">=", 10.0) if goal and peer == "mitmproxy" else None,
          of="peer", peer=peer)
      for key, what, figure, us, goal in (
          ("cpu", "per second of the proxy's processor time", "connections/s of processor time", "moonfence", True),
          ("wall", "wall time, the proxy has one core, 32 clients and their server another one", "connections/s", "moonfence", True),
          ("full", "the first before a server that gives no tickets", "connections/s of processor time", "moonfence, no tickets", False))
      for peer in ("mitmproxy", "nginx")],
    Row("domains-load", "domain set of 1,000,000 names: file read and table made", "match", "domain_set_load_ms", "ms"),
    Row("domains-bytes", "its memory per name (a name has 20 bytes itself)", "match", "domain_set_bytes_per_name",
        "bytes"),
    Row("domains-lookups", "look-ups of names below an entry, half of them hits, one core", "match",
        "domain_set_under_per_second", "/s"),
    Row("domains-sorted", "one such look-up beside bsearch() for each suffix in names that are sorted", "match", "beside_sorted", "ns",
        peer="bsearch"),
    Row("domains-hot", "the same, 1,024 questions again and again", "match", "domain_set_hot_per_second", "/s"),
    Row("nat-lookups", "NAT table of 1,000,000 entries: look-ups in bursts of 32", "packet", "nat_1m_lookups_burst",
        "M/s"),
    Row("nat-single", "look-ups one at a time", "packet", "nat_1m_lookups", "M/s"),
    Row("nat-inserts", "insertions, memory touched the first time", "packet", "nat_1m_inserts", "M/s"),
    Row("nat-bytes", "memory per entry, both directions indexed", "packet", "nat_1m_bytes_per_entry", "bytes"),
    Row("nat-wait", "all of them expire at once: longest wait of a packet, one thread by turns", "nat", "turns_max", "µs",
        ("<=", 1000)),
    Row("nat-wait-lookup", "longest look-up in another thread meanwhile", "nat", "reader_max", "µs", ("<=", 1000)),
    Row("nat-wait-insert", "longest insertion of a new flow in another thread meanwhile", "nat", "writer_max", "µs",
        ("<=", 1000)),
    *[Row(f"fs-{column.replace('_', '-')}{key}-{peer[:3]}", f"files seen through a policy, {who}: {what}", "fs-data",
          f"{column} | {us} | {peer}", unit, (">=", goal) if goal else None, of="peer", peer=peer)
      for us, key, who in (("moonfence", "", "root's mount"), ("moonfence,no-passthrough", "-plain", "without passthrough"),
                           ("moonfence,writeback", "-wb", "`--writeback`"))
      for column, what, unit, goals in (
          ("seq_read", "read, 1 MiB blocks, warm", "MB/s", (1.0, 1.0, 0.7)),
          ("seq_first", "the same for the first time", "MB/s", (1.0, 1.0, 0.7)),
          ("seq_write", "overwritten, 1 MiB blocks", "MB/s", (1.0, 1.0, 0.7)),
          ("rand_read", "read at random, 4 KiB, four at a time, warm", "/s", (1.0, None, None)),
          ("rand_first", "the same for the first time", "/s", (1.0, None, None)))
      for peer, goal in zip(("bindfs", "mergerfs", "source"), goals)],
    *[Row(f"fs-{column.replace('_', '-')}-{peer[:3]}", f"20,000 files through a policy: {what}", "fs-meta", f"{column} | moonfence | {peer}",
          "/s", (">=", goal) if goal else None, of="peer", peer=peer)
      for column, what in (("create", "made, 4 KiB each"), ("stat", "looked at"), ("open_read", "opened and read"), ("rename", "renamed"),
                           ("unlink", "removed"))
      for peer, goal in (("bindfs", 1.2), ("mergerfs", 1.0), ("source", None))],
    *[Row(f"fs-{column.replace('_', '-')}-cpu-{peer[:3]}", f"20,000 files through a policy: {what}, by processor time of who asks and who serves", "fs-meta",
          f"{column}_cpu | moonfence | {peer}", "/s", of="peer", peer=peer)
      for column, what in (("create", "made, 4 KiB each"), ("stat", "looked at"), ("open_read", "opened and read"), ("rename", "renamed"),
                           ("unlink", "removed"))
      for peer in ("bindfs", "mergerfs")],
    *[Row(f"fs-{column.replace('_', '-')}-{peer[:3]}", f"{what} through a policy", "fs-programs", f"{column} | moonfence | {peer}", "s",
          ("<=", 2.0) if peer == "source" else None, of="peer", peer=peer)
      for column, what in (("git_status", "`git status` of 50,000 files"), ("npm_ci", "`npm ci` of npm's own packages, twice"),
                           ("tar_x", "`tar x` of 80,000 files, 1 GB"))
      for peer in ("source", "bindfs", "mergerfs")],
    Row("fs-policy", "a file operation: to be asked about and told of, answer known", "fs-policy", "found", "ns", ("<=", 300)),
    Row("fs-policy-1k", "the same, 1,024 files in random order", "fs-policy", "found_1k", "ns"),
    Row("fs-policy-new", "the same, of files that were never asked about", "fs-policy", "new", "ns"),
    Row("fs-policy-mounted", "thirty rules instead of one that allows all, through a mount: the server's processor time, more", "fs-mounted-policy",
        "rules_more_us", "µs"),
    Row("events", "events to a file on one core until the last is written, none lost", "events", "moonfence | rate | spdlog", "/s", (">=", 500e3),
        peer="spdlog"),
    Row("events-jansson", "the same beside the same objects built by jansson and written through stdio", "events", "moonfence | rate | jansson", "/s",
        peer="jansson"),
    Row("events-rotated", "the same with files of 64 MiB, compressed meanwhile on the same core", "events", "moonfence, rotated | rate | spdlog", "/s",
        peer="spdlog"),
    Row("events-cpu", "processor time of an event, maker and writer", "events", "moonfence | cpu_ns | spdlog", "ns", peer="spdlog"),
    Row("fs-keep", "a deleted file is kept, through a mount: more than deleted there", "fs-keep", "more_us", "µs", ("<=", 25)),
    Row("fs-keep-cpu", "the same in processor time, trashinfos included", "fs-keep", "more_cpu_us", "µs"),
    Row("daemon-batch", "decisions of the daemon over its socket, batches of 32; nginx: the same bytes, decided by nobody", "daemon",
        "per_s 32", "/s", (">=", 100e3), peer="nginx"),
    Row("daemon-batch-cpu", "the daemon's processor time of one of them", "daemon", "server_us 32", "µs", peer="nginx"),
    Row("daemon-single-p99", "one decision a request, 99th percentile", "daemon", "p99_us 1", "µs", ("<=", 1000), peer="nginx"),
    Row("trash-put", "a deleted file is kept: more than its unlink", "trash", "put_more", "µs", ("<=", 25)),
    Row("trash-put-all", "the same with what the trash's own thread does afterwards (trashinfos)", "trash", "put_more_all", "µs"),
    Row("trash-unlink", "the unlink alone", "trash", "unlink", "µs"),
    Row("trash-tree", "a tree of 100,000 files is kept", "trash", "tree_large", "µs"),
    Row("trash-tree-small", "a tree of 100 files", "trash", "tree_small", "µs"),
    Row("trash-list", "listing, an entry of 100,000", "trash", "list", "µs"),
]
for n in (1000, 10000):
    ROWS.append(Row(f"rules-{n}-load", f"{n:,} declarative rules: loading", "rules", f"load_{n}_ms", "ms"))
    for kind in ("dns", "connect", "file"):
        ROWS.append(Row(f"rules-{n}-{kind}", f"`{kind}` decided by {n:,} rules, nothing cached", "rules",
                        f"{kind}_{n}_ns", "ns"))
for form, name in (("lua", "Lua"), ("yaml", "agentsh's YAML")):
    ROWS += [Row(f"rules-{form}-load", f"10,000 rules in {name}: a policy loaded", "rules", f"{form}_load_ms", "ms", ("<=", 1000)),
             Row(f"rules-{form}-cold", f"10,000 rules in {name}: a question never asked before", "rules", f"{form}_cold_us", "µs", ("<=", 50)),
             Row(f"rules-{form}-cold-p99", "its 99th percentile", "rules", f"{form}_cold_p99_us", "µs", ("<=", 50))]
ROWS += [
    Row("reload-longest", "a pack of 1,000,000 names is replaced: the slowest DNS answer meanwhile", "reload", "reload_longest_ms", "ms",
        ("<=", 5), peer="unbound", pick=max),
    Row("reload-quiet", "the slowest one in as much time without a reload: the machine's part", "reload", "quiet_longest_ms", "ms",
        peer="unbound", pick=max),
    Row("reload-p999", "99.9th percentile of answers during reloads", "reload", "reload_p999_us", "µs", peer="unbound"),
    Row("reload-took", "until the new list is in force", "reload", "took_ms", "ms", peer="unbound"),
    Row("reload-bytes", "memory per name, that processes share", "reload", "bytes_per_name", "bytes", peer="unbound"),
    Row("reload-decide", "the slowest `mf_decide()` in a process that reloads such packs by turns", "reload", "decide_reload_longest_us", "µs",
        ("<=", 5000), pick=max),
    Row("reload-decide-quiet", "the slowest one in as much time without a reload", "reload", "decide_quiet_longest_us", "µs", pick=max),
]


def show(v, unit):
    """A figure with three digits, in a unit that a person reads."""
    for name, steps in (("ns", ("ns", "µs", "ms", "s")), ("/s", ("/s", "k/s", "M/s", "G/s"))):
        if unit == name:
            i = 0
            while abs(v) >= 1000 and i < 3:
                v, i = v / 1000, i + 1
            unit = steps[i]
            break
    if unit == "bytes":
        return f"{v:,.0f} B" if v >= 100 else f"{v:.1f} B"
    digits = 0 if abs(v) >= 100 else 1 if abs(v) >= 10 else 2
    text = f"{v:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} {unit}"


# --- the machine ----------------------------------------------------------------------------------------------------

def read(path):
    try:
        with open(path) as f:
            return f.read()
    except OSError:
        return ""


def busy_seconds():
    """Processor seconds that programs of this machine used, and those that its host took away, since boot."""
    v = [int(x) / os.sysconf("SC_CLK_TCK") for x in read("/proc/stat").split("\n")[0].split()[1:]]
    return v[0] + v[1] + v[2], v[7] if len(v) > 7 else 0


def own_seconds():
    return sum(resource.getrusage(w).ru_utime + resource.getrusage(w).ru_stime
               for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def describe_machine():
    m = re.search(r"model name\s*:\s*(.*)", read("/proc/cpuinfo"))
    system = re.search(r'PRETTY_NAME="(.*)"', read("/etc/os-release"))
    kib = re.search(r"MemTotal:\s+(\d+)", read("/proc/meminfo"))
    return {"cpu": m[1] if m else platform.machine(), "cores": os.cpu_count(), "kernel": platform.release(),
            "system": system[1] if system else platform.system(), "memory_gib": round(int(kib[1]) / 2**20, 1) if kib else 0,
            "load": os.getloadavg()[0], "date": datetime.date.today().isoformat()}


class Meter:
    """How much of the machine other programs used between construction and used()."""

    def __init__(self):
        self.wall, self.busy, self.own = time.monotonic(), busy_seconds(), own_seconds()

    def used(self):
        wall, (busy, steal) = time.monotonic() - self.wall, busy_seconds()
        others = busy - self.busy[0] - (own_seconds() - self.own)
        return max(others, 0) / max(wall, 0.01), (steal - self.busy[1]) / max(wall, 0.01)


def wait_quiet(limit):
    """Waits until other programs leave the machine alone for a second, at most @limit seconds."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        m = Meter()
        time.sleep(1)
        if m.used()[0] < 0.2:
            return


# --- measuring ------------------------------------------------------------------------------------------------------

class Args(argparse.Namespace):
    def program(self, name, file=None):
        return os.path.join(self.build, f"bench/{name}/{file or 'bench_' + name}")


def merge(into, result):
    for figure, v in result.items():
        ours, theirs = v if isinstance(v, tuple) else (v, [])
        have = into.setdefault(figure, [[], []])
        have[0] += ours
        have[1] += theirs


def measure(a, programs):
    """Return: {program: {"figures": {figure: [[ours], [peer]]}, "passes": n, "others": share, "failed": why}}"""
    found = {p: {"figures": {}, "passes": 0, "others": [], "failed": None} for p in programs}
    end = time.monotonic() + a.budget
    for i in range(max(PROGRAMS[p][1] for p in programs)):
        for p in programs:
            fn, passes = PROGRAMS[p]
            f = found[p]
            if i >= (a.passes or passes) or f["failed"] or (i and time.monotonic() > end):
                continue
            wait_quiet(min(a.wait_quiet, max(end - time.monotonic(), 0)))
            print(f"{p}, pass {i + 1}", file=sys.stderr, flush=True)
            meter = Meter()
            try:
                merge(f["figures"], fn(a))
                f["passes"] += 1
            except Failed as e:
                f["failed"] = str(e)
            f["others"].append(round(meter.used()[0], 2))
    return found


def build(a):
    if not os.path.exists(os.path.join(a.build, "build.ninja")):
        subprocess.run(["cmake", "--preset", "release"], cwd=TOP, check=True, stdout=sys.stderr)
    subprocess.run(["cmake", "--build", "--preset", "release"], cwd=TOP, check=True, stdout=sys.stderr)


def judge(found, rows):
    out = []
    for r in rows:
        f = found.get(r.program)
        if not f:
            continue
        samples = f["figures"].get(r.figure)
        if samples and samples[0]:
            out.append(r.judge(samples))
        else:
            out.append({"key": r.key, "what": r.what, "goal": r.goal_text(), "value": None, "reached": None,
                        "failed": f["failed"] or "not measured by this program"})
    return out


# --- printing -------------------------------------------------------------------------------------------------------

def cells(r):
    if r["value"] is None:
        return [r["what"], r["goal"], f"not measured: {r['failed']}", "", "", "NO" if r["goal"] != "–" else ""]
    spread = f"{show(r['low'], r['unit'])} … {show(r['high'], r['unit'])}" if r["runs"] > 1 else ""
    beside = f"{r['ratio']:.2f} × {r['peer']} ({show(r['peer_value'], r['unit'])})" if r["ratio"] else ""
    reached = "" if r["reached"] is None else "yes" if r["reached"] else "NO"
    return [r["what"], r["goal"], show(r["value"], r["unit"]), spread, beside, reached]


HEAD = ["what", "must reach", "measured", "lowest … highest run", "beside", "reached"]


def machine_line(d):
    m = d["machine"]
    others = [x for p in d["programs"].values() for x in p["others"]]
    with_ = ", ".join(f"{k} {v}" for k, v in d["versions"].items())
    return (f"{m['cpu']}, {m['cores']} cores, {m['memory_gib']} GiB; {m['system']}, Linux {m['kernel']}"
            f"{'; ' + with_ if with_ else ''}; commit {d['commit']}; {m['date']}; load {m['load']:.1f} at the start, other "
            f"programs used {statistics.mean(others) if others else 0:.2f} cores while it ran"
            f"{' (niceness -20)' if d['nice'] else ''}; {d['seconds']:.0f} s")


def print_text(d):
    table = [HEAD] + [cells(r) for r in d["rows"]]
    wide = [max(len(row[i]) for row in table if i != 2 or not row[2].startswith("not ")) for i in range(6)]
    print(machine_line(d))
    for row in table:
        print("  ".join(c.rjust(w) if i in (2, 3) else c.ljust(w) for i, (c, w) in enumerate(zip(row, wide))).rstrip())


def markdown(d):
    lines = ["| " + " | ".join(HEAD) + " |", "|---|---|--:|--:|---|---|"]
    lines += ["| " + " | ".join(c.replace("|", "\\|") for c in cells(r)) + " |" for r in d["rows"]]
    with open(TEMPLATE) as f:
        return f.read().replace("@MACHINE@", machine_line(d)).replace("@TABLE@", "\n".join(lines))


def select(words):
    if not words:
        return ROWS
    known = {r.key for r in ROWS} | set(PROGRAMS)
    for w in words:
        if w not in known:
            sys.exit(f"run.py: no row or program {w!r}; --list shows them")
    return [r for r in ROWS if r.key in words or r.program in words]


def run(a):
    rows = select(a.rows)
    if not a.no_build:
        build(a)
    data = {"machine": describe_machine(), "nice": False}
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
        with open("/proc/self/autogroup", "w") as f:  # else it counts among the programs of one terminal only
            f.write("-20")
        data["nice"] = True
    except PermissionError:
        pass
    start = time.monotonic()
    wanted = {r.program for r in rows}
    data["programs"] = measure(a, [p for p in PROGRAMS if p in wanted])
    data["seconds"] = time.monotonic() - start
    data["versions"] = a.versions
    git = subprocess.run(["git", "-C", TOP, "describe", "--always", "--dirty"], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, text=True).stdout.strip() if shutil.which("git") else ""
    data["commit"] = git or "unknown"
    return data, rows


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("rows", nargs="*", help="programs or keys of rows; all when none is given")
    ap.add_argument("--list", action="store_true", help="keys of the rows, with their programs")
    ap.add_argument("--json", action="store_true")
    ap.add_argument("--markdown", action="store_true", help="the page docs/figures.md")
    ap.add_argument("--save", metavar="FILE", help="write what was measured, as JSON")
    ap.add_argument("--from", dest="source", metavar="FILE", help="measure nothing, print what FILE holds")
    ap.add_argument("--build", default=os.path.join(TOP, "build/release"), help="build directory to measure")
    ap.add_argument("--no-build", action="store_true")
    ap.add_argument("--passes", type=int, default=0, help="passes of each program, instead of 2 to 5")
    ap.add_argument("--scale", type=float, default=1.0, help="length of each measurement (0.2 for a quick look)")
    ap.add_argument("--budget", type=float, default=240, help="start no further pass after so many seconds")
    ap.add_argument("--wait-quiet", type=float, default=0, metavar="SECONDS",
                    help="before each pass, wait at most so long until other programs are quiet")
    a = ap.parse_args(namespace=Args(versions={}))
    if a.list:
        for r in ROWS:
            print(f"{r.key:18}{r.program:10}{r.what}")
        return 0
    if a.source:
        with open(a.source) as f:
            data, rows = json.load(f), select(a.rows)
    else:
        a.build = os.path.realpath(a.build)
        data, rows = run(a)
    if a.save:
        with open(a.save, "w") as f:
            json.dump(data, f)
    data["rows"] = judge(data["programs"], rows)
    if a.json:
        json.dump({k: v for k, v in data.items()}, sys.stdout, ensure_ascii=False, indent=1)
        print()
    elif a.markdown:
        print(markdown(data), end="")
    else:
        print_text(data)
    return 1 if any(r["value"] is None for r in data["rows"]) else 0


if __name__ == "__main__":
    sys.exit(main())

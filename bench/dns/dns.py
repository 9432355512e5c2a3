#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`moonfence resolver` with a Lua policy of 30 rules beside dnsdist with the same rules, once in Lua, once as its native rules.

All answers come out of warm caches (and, for one name in twenty, from a rule that refuses it). Each server has one processor, dnsperf
the other ones; they take turns. Figures: answers per second, and the server's own processor time per answer.
"""
import argparse, atexit, json, os, random, re, shutil, socket, statistics, struct, subprocess, sys, tempfile, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))
TMP = tempfile.mkdtemp(prefix="bench-dns-")
atexit.register(shutil.rmtree, TMP, True)

# The rules, as (kind, argument): refuse names below a domain, a very name, a type below a domain. None is ever a match but the first two kinds.
RULES = [("under", f"bad{i}.example") for i in range(18)] + [("is", f"worst{i}.net.example") for i in range(6)] + \
        [("type", t, f"zone{i}.example") for i, t in enumerate((10, 13, 16, 35, 99, 255))]
TYPE_NAMES = {10: "NULL", 13: "HINFO", 16: "TXT", 35: "NAPTR", 99: "SPF", 255: "ANY"}
assert len(RULES) == 30


def moonfence_policy():
    sets, ifs = [], []
    for i, r in enumerate(RULES):
        if r[0] == "is":
            ifs.append(f'    if q.name == "{r[1]}" then return deny "rule {i + 1}" end')
            continue
        sets.append(f'local s{i} = domains {{ "{r[-1]}" }}')
        more = f' and q.type == "{TYPE_NAMES[r[1]]}"' if r[0] == "type" else ""
        ifs.append(f'    if q:under(s{i}){more} then return deny "rule {i + 1}" end')
    return "\n".join(sets) + '\nreturn {\n  name = "thirty",\n  dns = function(q)\n' + "\n".join(ifs) + \
        "\n    return allow()\n  end,\n  connect = function() return allow() end,\n}\n"


def dnsdist_lua():
    """One function for all rules, which is what costs dnsdist least; names are parsed once."""
    names = "\n".join(f'local n{i} = newDNSName("{r[-1]}")' for i, r in enumerate(RULES))
    ifs = []
    for i, r in enumerate(RULES):
        test = {"under": f"q:isPartOf(n{i})", "is": f"q == n{i}", "type": f"dq.qtype == {r[1]} and q:isPartOf(n{i})"}[r[0]]
        ifs.append(f'  if {test} then dq.rcode = DNSRCode.REFUSED return DNSAction.Refused, "" end')
    return names + "\nfunction thirty(dq)\n  local q = dq.qname\n" + "\n".join(ifs) + \
        '\n  return DNSAction.None, ""\nend\naddAction(AllRule(), LuaAction(thirty))\n'


def dnsdist_native():
    out = []
    for r in RULES:
        suffix = f'below("{r[-1]}")'
        rule = {"under": suffix, "is": f'QNameRule("{r[1]}")', "type": f"AndRule{{QTypeRule({r[1]}), {suffix}}}"}[r[0]]
        out.append(f"addAction({rule}, RCodeAction(DNSRCode.REFUSED))")
    return "function below(d)\n  local s = newSuffixMatchNode()\n  s:add(newDNSName(d))\n  return SuffixMatchNodeRule(s)\nend\n" + "\n".join(out) + "\n"


class Upstream:
    """Answers every A with an address for an hour; only asked while caches warm."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.asked = 0
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            q, peer = self.sock.recvfrom(4096)
            at = 12
            while q[at]:
                at += 1 + q[at]
            self.asked += 1
            self.sock.sendto(q[:2] + struct.pack(">5H", 0x8180, 1, 1, 0, 0) + q[12:at + 5] +
                             b"\xc0\x0c" + struct.pack(">2HIH", 1, 1, 3600, 4) + socket.inet_aton("192.0.2.1"), peer)


def write(name, text):
    path = os.path.join(TMP, name)
    with open(path, "w") as f:
        f.write(text)
    return path


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, argv, port):
        cpu = ["taskset", "-c", "0"] if shutil.which("taskset") and os.cpu_count() > 1 else []
        self.log = open(os.path.join(TMP, "log"), "a")
        self.p = subprocess.Popen(cpu + argv, stdout=subprocess.PIPE if not port else self.log, stderr=self.log, stdin=subprocess.DEVNULL, text=True)
        atexit.register(self.p.kill)
        if port:
            self.port = port
        else:
            line = self.p.stdout.readline()
            if not line.startswith("dns "):
                sys.exit(f"moonfence resolver did not begin; see its log:\n{open(os.path.join(TMP, 'log')).read()}")
            self.port = int(line.rsplit(":", 1)[1])

    def seconds(self):
        with open(f"/proc/{self.p.pid}/stat") as f:
            v = f.read().rsplit(")", 1)[1].split()
        return (int(v[11]) + int(v[12])) / os.sysconf("SC_CLK_TCK")


def perf(server, path, *args):
    """Return: (answers per second, seconds of the server's processor time per answer)"""
    cpu = ["taskset", "-c", f"1-{os.cpu_count() - 1}"] if shutil.which("taskset") and os.cpu_count() > 1 else []
    before = server.seconds()
    if server.p.poll() is not None:
        sys.exit("a server ended; its log:\n" + open(os.path.join(TMP, "log")).read())
    r = subprocess.run([*cpu, "dnsperf", "-s", "127.0.0.1", "-p", str(server.port), "-d", path, "-c", "8", *args], capture_output=True, text=True)
    done = re.search(r"Queries completed:\s+(\d+)", r.stdout)
    rate = re.search(r"Queries per second:\s+([\d.]+)", r.stdout)
    if not done or not int(done[1]):
        sys.exit("dnsperf measured nothing: " + (r.stderr or r.stdout)[-300:])
    return float(rate[1]), (server.seconds() - before) / int(done[1])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--json", action="store_true")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=float, default=2)
    p.add_argument("--names", type=int, default=2000)
    p.add_argument("--build", default=os.path.join(HERE, "../../build/release"))
    p.add_argument("--only", help="measure one of moonfence, dnsdist-lua, dnsdist-native, e.g. to look at it with perf")
    a = p.parse_args()
    for tool in ("dnsperf", "dnsdist"):
        if not shutil.which(tool):
            sys.exit(tool + " is not installed")
    upstream = Upstream()
    rnd = random.Random(1)
    good = [f"host{i}.site{i % 97}.example" for i in range(a.names * 19 // 20)]
    bad = [f"host{i}.bad{i % 18}.example" for i in range(a.names // 20)]
    names = good + bad
    rnd.shuffle(names)
    queries = write("queries", "".join(f"{n} A\n" for n in names))
    warm = write("warm", "".join(f"{n} A\n" for n in good))
    servers = {}

    def dnsdist(rules):
        port = free_port()
        conf = write(f"dnsdist-{port}.conf", f'setLocal("127.0.0.1:{port}")\nnewServer("127.0.0.1:{upstream.port}")\n'
                     'setSecurityPollSuffix("")\npc = newPacketCache(100000, {maxTTL=86400})\ngetPool(""):setCache(pc)\n' + rules)
        return Server(["dnsdist", "-C", conf, "--supervised", "--disable-syslog"], port)

    make = {
        "moonfence": lambda: Server([os.path.join(a.build, "cli/moonfence"), "resolver", "--policy", write("thirty.lua", moonfence_policy()),
                                     "--listen", "127.0.0.1:0", "--dns", f"127.0.0.1:{upstream.port}", "--no-watch"], 0),
        "dnsdist-lua": lambda: dnsdist(dnsdist_lua()),
        "dnsdist-native": lambda: dnsdist(dnsdist_native()),
    }
    for who in make:
        if a.only in (None, who):
            servers[who] = make[who]()
    for s in servers.values():
        # until it answers, then every name once and again for what was lost
        perf(s, warm, "-n", "1", "-q", "20", "-t", "5")
        perf(s, warm, "-n", "2", "-q", "20", "-t", "5")
    asked = upstream.asked
    samples = {who: {"rate": [], "cpu": []} for who in servers}
    for i in range(a.rounds):
        order = list(servers)
        for who in order if i % 2 == 0 else order[::-1]:
            rate, cpu = perf(servers[who], queries, "-l", str(a.seconds), "-q", "300")
            samples[who]["rate"].append(rate)
            samples[who]["cpu"].append(cpu * 1e6)
    if upstream.asked > asked + a.rounds * len(servers) * 20:
        sys.exit(f"the caches were not warm: {upstream.asked - asked} questions left")
    version = re.search(r"dnsdist ([\d.]+)", subprocess.run(["dnsdist", "--version"], capture_output=True, text=True).stdout)
    if a.json:
        print(json.dumps({"dnsdist": version[1] if version else "?", "samples": samples}))
        return
    for who, s in samples.items():
        print(f"{who:16} {statistics.median(s['rate']):10,.0f} answers/s  {statistics.median(s['cpu']):6.2f} us of the server each   "
              f"({min(s['rate']):,.0f} … {max(s['rate']):,.0f})")
    for peer in ("dnsdist-lua", "dnsdist-native"):
        if peer in samples and "moonfence" in samples:
            ratio = lambda f, k: statistics.median(f(x, y) for x, y in zip(samples["moonfence"][k], samples[peer][k]))
            print(f"beside {peer}: {ratio(lambda x, y: x / y, 'rate'):.2f} x the answers, {ratio(lambda x, y: y / x, 'cpu'):.2f} x per processor time")


if __name__ == "__main__":
    main()

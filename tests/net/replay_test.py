# SPDX-License-Identifier: Apache-2.0
"""A replay says what a session would have said: the same clients, once captured and once behind the fence.

Real clients (curl, dig, openssl, Python) run on the lab's host while tcpdump captures, without any fence; then the same
script runs under `moonfence run`. Every decision that the events of the session report must be the one that the replay of
the capture prints for the same name, port and protocol. And what --write makes of real packets (with checksums that a
card was to finish, and segments longer than the link) is without fault for tshark.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest

import scenario
from scenario import Scenario

MARK = b"the capture ends here"

SCRIPT = r"""
get() { curl -s -o /dev/null --max-time 60 "$@" || true; }
get http://allowed.example/
get https://allowed.example/
get -6 https://allowed.example/
get http://www.allowed.example/big
get https://denied.example/
get https://sneaky.allowed.example/
get https://registry.npm.example/
get https://api.vendor.example/
get https://cdn-good.example/
get https://cdn-bad.example/
get https://cdn-good.example/
get http://cdn-bad.example/
get -k https://11.0.0.81/
get -H 'Host: denied.example' http://allowed.example/
get -k --connect-to front.example:443:allowed.example:443 https://front.example/
dig +time=60 +tries=1 allowed.example A >/dev/null || true
dig +time=60 +tries=1 +tcp allowed.example AAAA >/dev/null || true
dig +time=60 +tries=1 api.vendor.example HTTPS >/dev/null || true
dig +time=60 +tries=1 many.example TXT >/dev/null || true
echo | timeout 60 openssl s_client -connect allowed.example:8443 -servername allowed.example >/dev/null 2>&1 || true
/usr/bin/python3 - <<'END'
import socket
for port in (7, 443):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(20)
    try:
        s.connect((socket.gethostbyname("echo.example"), port))
        s.send(b"hello")
        s.recv(100)
    except OSError:
        pass
END
"""


@unittest.skipUnless(shutil.which("tcpdump") and shutil.which("tshark"), "no tcpdump, no tshark")
class Replay(Scenario):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.trace = cls.lab.path("work/trace.pcap")
        cls.record(cls.trace)

    @classmethod
    def record(cls, path):
        """The script's traffic on the host's only link."""
        tcpdump = cls.lab.popen(["tcpdump", "-i", "eth0", "-U", "--immediate-mode", "-n", "-s", "0", "-Z", "root", "-w", path],
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        line = tcpdump.stderr.readline()
        if b"listening on" not in line:
            raise scenario.LabError(f"tcpdump: {line!r}")
        cls.lab.run(["bash", "-c", SCRIPT], timeout=600,
                    env=dict(os.environ, CURL_CA_BUNDLE=cls.lab.path("ca.pem"), LC_ALL="C.UTF-8"))
        send = f"import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto({MARK!r}, ('11.0.0.7', 7))"
        cls.lab.run([sys.executable, "-c", send])
        deadline = time.monotonic() + 120
        def has_mark():
            with open(path, "rb") as f:
                return MARK in f.read()
        while not has_mark():
            if time.monotonic() > deadline:
                raise scenario.LabError("tcpdump does not write what it captures")
            time.sleep(0.05)
        tcpdump.send_signal(signal.SIGINT)
        tcpdump.wait(120)
        tcpdump.stderr.close()

    def replay(self, *options, status=0, policy=None):
        done = self.lab.run([self.program, "policy", "replay", "--policy", policy or self.installed_policy(),
                             "--source", "session", *options, self.trace])
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stdout

    @staticmethod
    def keys(question):
        """What a question of a replay and an event of a session have in common."""
        port = question["server"].rsplit(":", 1)[1]
        if question["kind"] == "dns":
            return "dns", question.get("name"), question["type"]
        if question["kind"] == "sni":
            return "sni", question.get("sni"), port
        return "connect", question["proto"], question["new"].get("host"), port

    def test_a_replay_decides_as_the_session_did(self):
        replayed = {}
        for q in json.loads(self.replay("--json"))["questions"]:
            verdict = q["new"]["verdict"]
            if verdict is not None:
                replayed.setdefault(self.keys(q), []).append(verdict)
        live, missing = {}, []
        for e in self.fence(SCRIPT, timeout=600).events:
            fields, decided = e.get("fields", {}), (e.get("policy") or {}).get("decision")
            if decided is None or fields.get("aliases") and decided != "allow":
                continue
            kind = {"query": "dns", "connect": "connect", "sni": "sni"}.get(e.get("operation"))
            port = (e.get("remote") or ":").rsplit(":", 1)[1]
            if kind == "dns":
                key = kind, e.get("domain"), fields.get("qtype")
            elif kind == "sni":
                key = kind, fields.get("sni"), port
            elif kind == "connect" and e["type"] in ("net_connect", "connect_redirect"):
                key = kind, fields.get("proto", "tcp"), e.get("domain"), port
            else:
                continue
            live.setdefault(key, []).append(decided)
        self.assertGreater(len(live), 20, live)
        for key, verdicts in live.items():
            if key not in replayed:
                missing.append(key)
                continue
            self.assertEqual(set(replayed[key]), set(verdicts), key)
        # What a session changes (an address of the policy's own) leads elsewhere than what was captured; nothing else may.
        self.assertEqual([key for key in missing if key[2] != "registry.npm.example"], [], replayed)

    def test_the_name_of_every_connection_is_known_and_every_hello_read(self):
        result = json.loads(self.replay("--json"))
        unnamed = [q["server"] for q in result["questions"] if q["kind"] == "connect" and not q["hosts"]]
        self.assertEqual(unnamed, [])  # the bare addresses of the script were resolved before
        for key in ("old_connections", "malformed", "cut_packets", "disagreeing_streams", "bad_dns", "unasked_answers"):
            self.assertEqual(result["summary"][key], 0, key)
        shown = subprocess.run(["tshark", "-r", self.trace, "-Y", "tls.handshake.type == 1", "-T", "fields", "-e",
                                "tls.handshake.extensions_server_name"], capture_output=True, text=True, check=False)
        hellos = [q.get("sni", "") for q in result["questions"] if q["kind"] == "sni"]
        self.assertEqual(hellos, shown.stdout.split("\n")[:-1])

    def test_what_is_written_of_real_packets_is_without_fault(self):
        deny = self.lab.write("deny.lua", 'return { name = "d", connect = function(c) if c.port == 80 then return deny() end '
                              'return redirect("llm.corp.example:8443") end, dns = function() return allow() end }')
        for name, policy in (("e2e", None), ("other", deny)):
            out = self.lab.path(f"work/{name}.pcapng")
            self.replay("--write", out, policy=policy)
            done = subprocess.run(
                ["tshark", "-r", out, "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o",
                 "udp.check_checksum:TRUE", "-Y",
                 "ip.checksum.status == 0 || ((tcp.checksum.status == 0 || udp.checksum.status == 0) && !icmp && !icmpv6) "
                 "|| icmp.checksum.status == 0 || icmpv6.checksum.status == 0 || _ws.malformed"],
                capture_output=True, text=True, check=False)
            # What an ICMP error quotes never left its host: the kernel had not yet computed its checksum (a client that
            # asked twice and was gone at the second answer).
            self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
            frames = subprocess.run(["tshark", "-r", out, "-T", "fields", "-e", "tcp.flags.reset", "-e", "tcp.dstport"],
                                    capture_output=True, text=True, check=False).stdout.split("\n")
            self.assertGreater(len(frames), 50)
            # Also where names disagree at the SYN, and the client's words redirect.
            self.assertTrue(any(f.endswith("\t61080") for f in frames))
            self.assertTrue(any(f.startswith("1\t") for f in frames))

    def test_two_policies_that_differ_in_one_thing_differ_there_only(self):
        with open(self.policy) as f:
            text = f.read()
        old = self.lab.write("old.lua", text.replace('c:is "cdn-bad.example"', 'c:is "nobody.example"'))
        result = json.loads(self.replay("--json", "--against", old, status=1))
        changed = [q for q in result["questions"] if q["differs"]]
        self.assertTrue(changed)
        self.assertEqual({q["kind"] for q in changed}, {"connect"})
        self.assertEqual({q["new"]["host"] for q in changed}, {"cdn-bad.example"})


if __name__ == "__main__":
    scenario.enter_user_namespace()
    unittest.main(verbosity=1)

# SPDX-License-Identifier: Apache-2.0
"""A policy of agentsh, as it is, before real clients and servers: `moonfence run` and `moonfence resolver`."""
import base64
import hashlib
import json
import os
import re
import signal
import subprocess
import time

from scenario import HERE, NOBODY, PYTHON, Scenario, main

CURL = ["curl", "-sS", "--max-time", "90"]
DIG = ["dig", "+tries=1", "+time=60"]
TAIL = "network_rules:\n  - {name: web, domains: [allowed.example], decision: allow}\n"


class Agentsh:
    policy = os.path.join(HERE, "policies", "agentsh.yaml")

    def test_allowed_and_denied_names(self):
        r = self.fence([*CURL, "https://allowed.example/"])
        self.assertEqual((r.status, r.out), (0, "server=web host=allowed.example sni=allowed.example port=443\n"), r)
        with open(self.policy, "rb") as file:
            version = "sha256:" + hashlib.sha256(file.read()).hexdigest()[:16]
        self.assertTrue(r.find("net_connect", domain="allowed.example", policy__rule="network_rules[2] web", policy__line=14,
                               policy__pack_version=version), r)
        r = self.fence([*DIG, "denied.example"])
        self.assertIn("status: REFUSED", r.out, r)
        self.assertTrue(r.find("dns_query", domain="denied.example", policy__rule="network_rules[6] default-deny-network"), r)
        r = self.fence([*CURL, "http://allowed.example:8080/"])
        self.assertNotIn("server=", r.out, r)
        self.assertTrue(r.find("net_connect", domain="allowed.example", policy__rule="network_rules[6] default-deny-network"), r)

    def test_families_that_are_not_enforced_are_told(self):
        r = self.fence(["true"])
        self.assertIn("accepted, not enforced: command_rules", r.err, r)

    def test_a_name_that_leads_into_a_private_network(self):
        """Its address is not told, and who knows it all the same is judged by it."""
        r = self.fence([*DIG, "+short", "rebind-lan.example"])
        self.assertEqual(r.out, "", r)
        for address, rule in (("10.1.2.3", "network_rules[1] no-private"), ("169.254.169.254", "network_rules[0] no-metadata")):
            r = self.fence([*CURL, "--resolve", f"rebind-lan.example:80:{address}", "http://rebind-lan.example/"])
            self.assertNotIn("server=", r.out, r)
            self.assertTrue(r.find("net_connect", policy__rule=rule, policy__effective_decision="deny"), r)

    def test_names_are_sent_to_the_mirror(self):
        r = self.fence([*DIG, "+short", "registry.npm.example"])
        self.assertEqual(r.out, "11.0.0.80\n", r)
        self.assertTrue(r.find("dns_redirect", domain="registry.npm.example", fields__rule="dns_redirects[0] mirror"), r)
        self.assertIn("dns_redirects[0] mirror", r.err, r)
        r = self.fence([*CURL, "http://registry.npm.example/"])
        self.assertEqual((r.status, r.out), (0, "server=web host=registry.npm.example sni= port=80\n"), r)

    def test_other_types_of_a_redirected_name(self):
        """P73: nothing, or what the resolvers say"""
        def ask(setting, *types):
            policy = self.lab.write(f"policies/types-{type(self).__name__}.yaml", f"""version: 1
name: types
{setting}
dns_redirects:
  - {{name: many, match: '^many\\.example$', resolve_to: 11.0.0.80}}
""")
            r = self.fence("; ".join(f"dig +tries=1 +time=60 +short many.example {t}" for t in types), policy=policy)
            self.assertEqual(r.status, 0, r)
            return r
        self.assertEqual(ask("", "A", "TXT", "AAAA").out, "11.0.0.80\n")
        r = ask("redirect_other_types: forward", "A", "HTTPS", "TXT", "AAAA")
        self.assertRegex(r.out, r'\A11\.0\.0\.80\n("x{200}" .*\n)\Z', r)
        self.assertTrue(r.find("dns_query", domain="many.example", policy__rule="dns_redirects[0] many", policy__decision="allow",
                               policy__reason="redirect_other_types"), r)

    def test_connections_are_sent_to_the_gateway_under_its_name(self):
        r = self.fence([*CURL, "https://api.vendor.example/"])
        self.assertEqual((r.status, r.out), (0, "server=llm host=api.vendor.example sni=llm.corp.example port=8443\n"), r)
        self.assertTrue(r.find("connect_redirect", domain="api.vendor.example",
                               policy__message="sent through the company gateway"), r)

    def test_what_is_audited_passes_and_is_told(self):
        r = self.fence([*CURL, "https://cdn-good.example/"])
        self.assertEqual(r.status, 0, r)
        self.assertTrue(r.find("net_connect", domain="cdn-good.example", policy__decision="audit",
                               policy__effective_decision="allow"), r)

    def test_an_approval_that_nobody_gives(self):
        """P4: denied, with a reason of its own; the policy may have it allowed, and then each is told of."""
        def asked(r, effective):
            return r.find("dns_query", domain="echo.example", policy__decision="ask", policy__effective_decision=effective,
                          policy__rule="network_rules[5] owner", policy__reason="approve_without_channel")
        r = self.fence("printf 'hello\\n' | nc -4 -N -w 90 echo.example 7")
        self.assertNotEqual((r.status, r.out), (0, "hello\n"), r)
        self.assertTrue(asked(r, "deny"), r)
        with open(self.policy, encoding="utf-8") as file:
            lax = self.lab.write(f"policies/lax-{type(self).__name__}.yaml", file.read() + "approve_without_channel: allow\n")
        r = self.fence("printf 'hello\\n' | nc -4 -N -w 90 echo.example 7", policy=lax)
        self.assertEqual((r.status, r.out), (0, "hello\n"), r)
        self.assertTrue(asked(r, "allow"), r)
        self.assertTrue(r.find("net_connect", domain="echo.example", policy__decision="ask", policy__effective_decision="allow"), r)
        self.assertIn("allowed where nobody can be asked", r.err, r)

    def test_nothing_happens_that_events_cannot_tell_of(self):
        """P48: the events' file is gone, then it is there again"""
        place = os.path.join(self.work, f"strict-{type(self).__name__}")
        os.makedirs(os.path.join(place, "ev"))
        for path in (place, os.path.join(place, "ev")):
            os.chmod(path, 0o777)
        self.events_path = os.path.join(place, "ev", "events.jsonl")
        r = self.fence(f"""get() {{ curl -sS --max-time 90 http://allowed.example/ 2>/dev/null; }}
get && mv {place}/ev {place}/away || exit 1
for i in $(seq 1000); do get >/dev/null || break; done
echo after $i
dig +tries=1 +time=60 allowed.example | grep -o 'status: [A-Z]*'
mv {place}/away {place}/ev
for i in $(seq 1000); do get && break; sleep 0.05; done""", "--events-strict")
        page = "server=web host=allowed.example sni= port=80\n"
        self.assertRegex(r.out, rf"\A{page}after \d\d?\nstatus: REFUSED\n{page}\Z", r)
        self.assertTrue(r.find("dns_query", domain="allowed.example", policy__decision="deny", policy__reason="events_not_stored",
                               policy__rule="strict_on_audit_failure"), r)
        self.assertIn("Events cannot be stored in events.jsonl", r.err)
        self.assertIn("Events are stored in events.jsonl again", r.err)

    def test_a_policy_that_must_be_signed(self):
        where = f"signed-{type(self).__name__}"
        policy = self.lab.write(f"{where}/p.yaml", "version: 1\nname: s\n" + TAIL)
        for command in (["openssl", "genpkey", "-algorithm", "ed25519", "-out", "key.pem"],
                        ["openssl", "pkey", "-in", "key.pem", "-outform", "DER", "-out", "private"],
                        ["openssl", "pkey", "-in", "key.pem", "-pubout", "-outform", "DER", "-out", "public"]):
            subprocess.run(command, check=True, capture_output=True, cwd=os.path.dirname(policy), timeout=300)
        keys = []
        for name in ("private", "public"):
            with open(self.lab.path(f"{where}/{name}"), "rb") as file:
                keys.append(file.read()[-32:])
        private, public = keys
        key = {"key_id": hashlib.sha256(public).hexdigest(), "algorithm": "ed25519"}
        text = base64.b64encode(public).decode()
        store = os.path.dirname(self.lab.write(f"{where}/keys/a.json", json.dumps({**key, "public_key": text, "label": "a",
                                                                                  "trusted_since": "2026-01-01T00:00:00Z"})))
        secret = self.lab.write(f"{where}/secret.json", json.dumps({**key, "private_key": base64.b64encode(private + public).decode()}))
        for path in (os.path.dirname(policy), store):
            os.chmod(path, 0o755)
        curl = [*CURL, "https://allowed.example/"]
        r = self.fence(curl, "--trust-store", store, policy=policy)
        self.assertEqual((r.status, r.out), (1, ""), r)
        self.assertIn("missing_signature", r.err, r)
        subprocess.run([self.program, "pack", "sign", "--key", secret, "--format", "agentsh", policy], check=True, capture_output=True,
                       timeout=300)
        os.chmod(policy + ".sig", 0o644)
        r = self.fence(curl, "--trust-store", store, policy=policy)
        self.assertEqual(r.status, 0, r)
        self.lab.write(f"{where}/p.yaml", "version: 1\nname: s\n" + TAIL.replace("allowed.example", '"**"'))
        r = self.fence(curl, "--trust-store", store, policy=policy)
        self.assertEqual((r.status, r.out), (1, ""), r)
        self.assertIn("invalid_signature", r.err, r)
        r = self.fence(curl, "--trust-store", store, "--signing", "warn", policy=policy)
        self.assertEqual(r.status, 0, r)
        self.assertIn("invalid_signature", r.err, r)

    def test_hosts_of_http_services_are_not_reached_around_them(self):
        """Though a rule of the network allows it."""
        rule = "http_services[0] http_service_declared_fail_closed"
        r = self.fence([*DIG, "cdn-bad.example"])
        self.assertIn("status: REFUSED", r.out, r)
        self.assertTrue(r.find("dns_query", domain="cdn-bad.example", policy__rule=rule), r)
        r = self.fence([*CURL, "-k", "--resolve", "cdn-bad.example:443:11.0.0.90", "https://cdn-bad.example/"])
        self.assertNotEqual(r.status, 0, r)

    def served(self):
        """How many requests the servers of the internet have had."""
        with open(self.lab.path("nginx.log"), encoding="utf-8") as file:
            return len(file.readlines())

    def test_requests_to_http_services_go_through_their_gateway(self):
        """What the rules allow reaches the server, under its own name and with its certificate verified; nothing else does."""
        policy = self.lab.write(f"policies/services-{type(self).__name__}.yaml", """version: 1
name: services
http_services:
  - name: cdn
    upstream: https://cdn-bad.example
    rules:
      - {name: secret, paths: ["/secret/**"], decision: deny, message: "not for agents"}
      - {name: read, methods: [GET, POST], paths: ["/**"], decision: allow}
  - {name: plain, upstream: "http://allowed.example/base", expose_as: PLAIN_URL, default: allow}
  - {name: wrong, upstream: "https://11.0.0.90", default: allow}
  - {name: gone, upstream: "https://cdn-bad.example:9", default: allow}
""")
        before = self.served()
        r = self.fence("curl -sS --max-time 90 $CDN_API_URL/x?y; curl -sS $CDN_API_URL -w '%{http_code}' -d body; curl -sS $PLAIN_URL/z;"
                       "curl -sS $CDN_API_URL/big | wc -c", policy=policy)
        self.assertEqual(r.out, "server=cdn host=cdn-bad.example sni=cdn-bad.example port=443\n"
                                "server=cdn host=cdn-bad.example sni=cdn-bad.example port=443\n200"
                                "server=web host=allowed.example sni= port=80\n" f"{8 << 20}\n", r)
        self.assertEqual(self.served(), before + 4)
        self.assertTrue(r.find("net_http_request", domain="cdn-bad.example", policy__rule="http_services[0].rules[1] read",
                               fields__method="GET", fields__url_path="/x", policy__effective_decision="allow"), r)
        before = self.served()
        r = self.fence("curl -sS -w '%{http_code}\\n' $CDN_API_URL/secret/a -w '%{http_code}\\n' -X DELETE; curl -sS $CDN_API_URL/secret/a;"
                       "curl -sS --path-as-is $CDN_API_URL/x/../secret/a; curl -sS $CDN_API_URL/x%2f..%2fsecret/a;"
                       "curl -sS -X DELETE $CDN_API_URL/x; curl -sS http://192.0.0.8/svc/none/; curl -sS -H 'Host: evil.example' $CDN_API_URL/x",
                       policy=policy)
        said = [line.split("(")[0] for line in r.out.replace("403", "").split("\n") if line]
        self.assertEqual([said[0], said[1]], ["moonfence: not for agents "] * 2, r)
        self.assertIn("dotted", said[2], r)
        self.assertIn("encoded slash", said[3], r)
        self.assertIn("is not allowed", said[4], r)
        self.assertIn("no policy declares", said[5], r)
        self.assertIn("nobody of this name", said[6], r)
        self.assertEqual(self.served(), before)
        self.assertTrue(r.find("net_http_request", policy__rule="http_services[0].rules[0] secret", remote="cdn-bad.example:443",
                               effective_action="blocked", fields__url_path="/secret/a"), r)
        # A server is who its certificate says, and what is not there is not there.
        r = self.fence("curl -sS $WRONG_API_URL/; curl -sS $GONE_API_URL/", policy=policy)
        self.assertIn("did not prove who it is", r.out, r)
        self.assertIn("no connection to cdn-bad.example", r.out, r)
        self.assertEqual(self.served(), before)

    def test_one_request_of_a_connection_reaches_a_service(self):
        """A second one, in whatever body or behind whatever end, is nobody's."""
        policy = self.lab.write(f"policies/smuggled-{type(self).__name__}.yaml", """version: 1
name: smuggled
http_services:
  - {name: plain, upstream: "http://allowed.example", rules: [{methods: [POST], paths: [/ok], decision: allow}]}
""")
        code = '''import socket
head = b"POST /svc/plain/ok HTTP/1.1\\r\\nHost: 192.0.0.8\\r\\n"
for more in (b"Content-Length: 3\\r\\n\\r\\nabc", b"Transfer-Encoding: chunked\\r\\n\\r\\n3\\r\\nabc\\r\\n0\\r\\n\\r\\n", b"\\r\\n",
             b"Content-Length: 3\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n",
             b"Connection: Upgrade\\r\\nUpgrade: websocket\\r\\n\\r\\n"):
    s = socket.create_connection(("192.0.0.8", 80), 90)
    s.sendall(head + more + b"GET /stolen HTTP/1.1\\r\\nHost: allowed.example\\r\\n\\r\\n")
    said = b""
    while True:
        try:
            got = s.recv(65536)
        except ConnectionError:
            break
        if not got:
            break
        said += got
    print(said.count(b"HTTP/1.1"), said[9:12].decode(), said.count(b"onnection: close"))
'''
        r = self.python(code, policy=policy)
        self.assertEqual(r.out.splitlines(), ["1 200 1"] * 3 + ["1 400 1", "1 501 1"], r)
        with open(self.lab.path("nginx.log"), encoding="utf-8") as file:
            self.assertNotIn("stolen", file.read())

    def test_rules_of_services_change_with_the_policy(self):
        text = """version: 1
name: r
http_services:
  - {name: plain, upstream: "http://allowed.example", default: %s}
"""
        policy = self.lab.write(f"policies/live-{type(self).__name__}.yaml", text % "allow")
        p = self.lab.popen(self.fence_command(["bash", "-c", "while read -r x; do curl -sS $PLAIN_API_URL/; done"], policy=policy),
                           user=self.user, env=self.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        p.stdin.write("x\n")
        self.assertIn("server=web", p.stdout.readline())
        self.lab.write(policy + ".new", text % "deny")
        os.rename(policy + ".new", policy)
        deadline = time.monotonic() + 120
        while True:
            p.stdin.write("x\n")
            line = p.stdout.readline()
            if "not allowed" in line:
                break
            self.assertLess(time.monotonic(), deadline, line)
            time.sleep(0.02)
        p.stdin.close()
        self.assertEqual(p.wait(120), 0)
        p.stdout.close()

    def test_it_is_read_anew_when_it_changes(self):
        """P69, P70: a valid edit comes into force for what runs, a broken one changes nothing and says where it is broken."""
        if os.path.exists(self.events_path):
            os.unlink(self.events_path)
        head = "version: 1\nname: r\n"
        redirect = "dns_redirects: [{name: a, match: '^x\\.example$', resolve_to: %s}]\n"
        good = self.lab.write(f"policies/reload-{type(self).__name__}.yaml", head + redirect % "11.0.0.1")
        p = self.lab.popen(self.fence_command(["bash", "-c", "while read -r cmd; do eval \"$cmd\"; echo done; done"], policy=good),
                           user=self.user, env=self.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

        def ask():
            p.stdin.write("dig +tries=1 +time=60 +short x.example\n")
            lines = []
            while (line := p.stdout.readline()) not in ("done\n", ""):
                lines.append(line.strip())
            return lines

        def edit(text, type_):
            self.lab.write(good + ".new", text)
            os.rename(good + ".new", good)
            deadline = time.monotonic() + 120
            while not (found := [e for e in self.read_events() if e["type"] == type_]):
                self.assertLess(time.monotonic(), deadline, f"no {type_}")
                time.sleep(0.02)
            return found[-1]

        self.assertEqual(ask(), ["11.0.0.1"])
        failed = edit(head + (redirect % "11.0.0.2").replace("resolve_to", "resolve_too"), "policy_reload_failed")
        self.assertIn("resolve_too", str(failed))
        self.assertEqual(ask(), ["11.0.0.1"])
        edit(head + redirect % "11.0.0.2", "policy_changed")
        self.assertEqual(ask(), ["11.0.0.2"])
        p.stdin.close()
        self.assertEqual(p.wait(120), 0)
        p.stdout.close()

    def test_what_is_open_when_the_policy_changes(self):
        """P69: with --reevaluate-open it ends when it would be denied or sent elsewhere now, and else goes on; without it goes on."""
        script = """import socket, sys
t = socket.create_connection(("echo.example", 7))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.connect((t.getpeername()[0], 7))
w = socket.create_connection(("allowed.example", 80))
w.sendall(b"GET /w HTTP/1.1\\r\\nHost: allowed.example\\r\\n\\r\\n")
w.recv(65536)
print("open", flush=True)
for what in sys.stdin:
    try:
        if what == "talk\\n":
            t.sendall(b"t")
            u.send(b"u")
            print(t.recv(1), u.recv(1), flush=True)
        else:
            print((w if what == "web\\n" else t).recv(1), flush=True)
    except ConnectionError:
        print("ended", flush=True)
"""
        rules = "version: 1\nname: open\nnetwork_rules: [{name: echo, domains: [echo.example], decision: %s}, {name: web, domains: [%s], decision: %s}]\n"
        moved = "connect_redirects: [{name: m, match: '^echo\\.example:7$', redirect_to: 'allowed.example:80'}]\n"
        first = rules % ("allow", "allowed.example", "allow")
        option = "--reevaluate-open"
        for option, edit, ended, cnt, alive in (
                (option, rules % ("allow", "allowed.example", "deny"), "web", 1, True),
                (option, rules % ("deny", "allowed.example", "allow"), "echo", 2, False),
                (option, first + moved, "echo", 2, False), # datagrams cannot be sent to a name
                ("--verbose", rules % ("deny", "allowed.example", "deny"), None, 0, True)):
            with self.subTest(edit=edit, option=option):
                if os.path.exists(self.events_path):
                    os.unlink(self.events_path)
                policy = self.lab.write(f"policies/open-{type(self).__name__}.yaml", first)
                p = self.lab.popen(self.fence_command([PYTHON, "-c", script], option, policy=policy), user=self.user, env=self.environment(),
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1)
                self.addCleanup(p.stdout.close)

                def say(what):
                    p.stdin.write(what + "\n")
                    return p.stdout.readline()
                self.assertEqual(p.stdout.readline(), "open\n")
                self.assertEqual(say("talk"), "b't' b'u'\n")
                self.lab.write(policy + ".new", edit)
                os.rename(policy + ".new", policy)

                def closed():
                    return [e for e in self.read_events() if e["type"] == "net_close" and e["fields"]["reason"] == "policy"]
                deadline = time.monotonic() + 120
                while len(closed()) < cnt or not any(e["type"] == "policy_changed" for e in self.read_events()):
                    self.assertLess(time.monotonic(), deadline, self.read_events())
                    time.sleep(0.02)
                # all that is open was looked at in one turn of the loop
                if alive:
                    self.assertEqual(say("talk"), "b't' b'u'\n")
                if ended:
                    self.assertEqual(say(ended), "ended\n")
                self.assertEqual(len(closed()), cnt)
                p.stdin.close()
                self.assertEqual(p.wait(120), 0)
                if ended == "echo" and edit != first + moved:
                    self.assertEqual([e["policy"]["rule"] for e in self.read_events() if e["type"] == "net_connect" and
                                      e["effective_action"] == "blocked"], ["network_rules[0] echo"] * 2)

    def test_variables(self):
        """Those of the command line before the environment's; one without a value ends the load."""
        text = "version: 1\nname: v\n" + TAIL.replace("allowed.example", '"allowed.${TOP}", "${USER}.example"')
        policy = self.lab.write(f"policies/vars-{type(self).__name__}.yaml", text)
        r = self.fence([*DIG, "+short", "allowed.example"], "--var", "TOP=example", policy=policy, env={"USER": "echo"})
        self.assertEqual(r.out, "11.0.0.80\n", r)
        r = self.fence([*DIG, "+short", "echo.example"], "--var", "TOP=example", "--var", "USER=allowed", policy=policy,
                       env={"USER": "echo"})
        self.assertEqual(r.out, "", r)
        r = self.fence(["true"], policy=policy, env={"TOP": "example"})
        self.assertEqual(r.status, 1, r)
        self.assertIn("the variable TOP has no value", r.err, r)
        r = self.fence(["true"], "--var", "1TOP=x", policy=policy)
        self.assertEqual(r.status, 2, r)

    def test_the_resolver(self):
        """By dig, from outside of any session."""
        p = self.lab.popen([self.program, "resolver", "--policy", self.installed_policy(), "--listen", "127.0.0.1:0",
                            "--dns", "11.0.0.53", "--events", self.events_path], user=self.user, env=self.environment(),
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        port = re.search(r"127\.0\.0\.1:(\d+)", p.stdout.readline())[1]
        for name, words in (("allowed.example", "11.0.0.80"), ("registry.npm.example", "11.0.0.80"), ("denied.example", "REFUSED"),
                            ("cdn-bad.example", "REFUSED"), ("echo.example", "REFUSED")):
            for transport in ("+notcp", "+tcp"):
                done = self.lab.run([*DIG, transport, "@127.0.0.1", "-p", port, name], user=self.user, env=self.environment())
                self.assertIn(words, done.stdout, name)
        p.send_signal(signal.SIGTERM)
        self.assertEqual(p.wait(120), 0)
        p.stdout.close()
        p.stderr.close()


class AsRoot(Agentsh, Scenario):
    user = None


class TunAsUser(Agentsh, Scenario):
    user = NOBODY
    backend = "tun"


if __name__ == "__main__":
    main()

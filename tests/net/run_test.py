# SPDX-License-Identifier: Apache-2.0
"""`moonfence run` with real clients against real servers, as root and as an ordinary user."""
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

from scenario import NOBODY, PYTHON, Scenario, main, slow

CURL = ["curl", "-sS", "--max-time", "90"]


class Clients:
    """Allowed traffic goes through, unchanged, for every client."""

    def test_curl_http_both_families(self):
        for family in ("-4", "-6"):
            r = self.fence([*CURL, family, "http://allowed.example/"])
            self.assertEqual((r.status, r.out), (0, "server=web host=allowed.example sni= port=80\n"), r)
            e, = r.find("net_connect", domain="allowed.example", policy__effective_decision="allow")
            self.assertEqual(e["fields"]["names"], ["allowed.example"], r)
            self.assertTrue([e["fields"] for e in r.find("dns_query", domain="allowed.example", fields__rcode="NOERROR")
                             if e["fields"].get("ttl") and e["fields"]["elapsed_us"] > 0], r)
            self.assertTrue(r.find("session_start", fields__backend=self.backend, fields__generation=1), r)
            end, = r.find("session_end")
            self.assertGreater(end["fields"]["bytes_sent"], len("GET / HTTP/1.1"), r)
            self.assertGreater(end["fields"]["bytes_received"], len(r.out), r)
            self.assertTrue(r.find("net_http_request", fields__method="GET", fields__url_path="/"), r)

    def test_curl_https_both_families_and_http2(self):
        for args in (["-4"], ["-6"], ["--http2"], ["--http1.1"], ["--tls-max", "1.2"]):
            r = self.fence([*CURL, *args, "https://allowed.example/"])
            self.assertEqual((r.status, r.out), (0, "server=web host=allowed.example sni=allowed.example port=443\n"), r)

    def test_wget(self):
        r = self.fence(["wget", "-q", "-T", "90", "-t", "1", "-O", "-", "--ca-certificate", self.lab.path("ca.pem"),
                        "https://allowed.example/"])
        self.assertEqual((r.status, r.out), (0, "server=web host=allowed.example sni=allowed.example port=443\n"), r)

    def test_python_urllib(self):
        r = self.python("import urllib.request as u; print(u.urlopen('https://allowed.example/', timeout=90)"
                        ".read().decode(), end='')")
        self.assertEqual((r.status, r.out), (0, "server=web host=allowed.example sni=allowed.example port=443\n"), r)

    def test_node_https(self):
        r = self.fence(["node", "-e", "require('https').get('https://allowed.example/', s => s.pipe(process.stdout))"])
        self.assertEqual((r.status, r.out), (0, "server=web host=allowed.example sni=allowed.example port=443\n"), r)

    def test_openssl_s_client(self):
        r = self.fence("printf 'GET / HTTP/1.0\\r\\nHost: allowed.example\\r\\n\\r\\n' | openssl s_client -quiet "
                       "-verify_return_error -connect allowed.example:443 -servername allowed.example")
        self.assertIn("server=web host=allowed.example sni=allowed.example", r.out, r)

    def test_git_clone_over_https(self):
        www = self.lab.path("www")
        if not os.path.exists(f"{www}/repo.git"):
            tree = self.lab.path("tree")
            for cmd in (["init", "-q", tree], ["-C", tree, "-c", "user.name=x", "-c", "user.email=x@y.example", "commit",
                        "-q", "--allow-empty", "-m", "first"], ["clone", "-q", "--bare", tree, f"{www}/repo.git"],
                        ["-C", f"{www}/repo.git", "update-server-info"]):
                subprocess.run(["git", *cmd], check=True)
        target = os.path.join(self.work, f"clone-{type(self).__name__}")
        shutil.rmtree(target, ignore_errors=True)
        r = self.fence(["git", "clone", "-q", "https://allowed.example/repo.git", target])
        self.assertEqual(r.status, 0, r)
        r = self.fence(["git", "-C", target, "log", "--format=%s"])
        self.assertEqual(r.out, "first\n", r)

    def test_nc_echo_with_half_close(self):
        for family in ("-4", "-6"):
            r = self.fence(f"printf 'hello\\n' | nc {family} -N -w 90 echo.example 7")
            self.assertEqual((r.status, r.out), (0, "hello\n"), r)

    def test_server_that_speaks_first(self):
        r = self.fence("printf 'SSH-2.0-me\\r\\n' | nc -w 90 echo.example 22")
        self.assertIn("SSH-2.0-lab", r.out, r)
        self.assertIn("got SSH-2.0-me", r.out, r)

    def test_a_large_body_arrives_whole(self):
        r = self.fence(f"curl -sS --max-time 120 https://allowed.example/big | sha256sum")
        with open(self.lab.path("www/big"), "rb") as f:
            want = hashlib.sha256(f.read()).hexdigest()
        self.assertEqual((r.status, r.out.split()[0]), (0, want), r)

    def test_both_directions_at_once_with_back_pressure(self):
        r = self.python("""
import socket, threading, hashlib, os
data = os.urandom(1 << 20) * 16
s = socket.create_connection(("echo.example", 7), 90)
def send():
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
threading.Thread(target=send).start()
h = hashlib.sha256()
n = 0
while b := s.recv(65536):
    h.update(b)
    n += len(b)
print(n == len(data) and h.digest() == hashlib.sha256(data).digest())
""")
        self.assertEqual((r.status, r.out), (0, "True\n"), r)

    def test_udp_echo_both_families(self):
        for family, addr in (("AF_INET", "11.0.0.7"), ("AF_INET6", "2a0f:77::7")):
            r = self.python(f"""
import socket
socket.getaddrinfo("echo.example", 7)
s = socket.socket(socket.{family}, socket.SOCK_DGRAM)
s.settimeout(90)
for i in range(3):
    s.sendto(b"ping%d" % i, ("{addr}", 7))
    d, a = s.recvfrom(100)
    print(d.decode(), a[0], a[1])
""")
            self.assertEqual((r.status, r.out), (0, "".join(f"ping{i} {addr} 7\n" for i in range(3))), r)


class Dns:
    def test_types_and_transports(self):
        for args, want in (
                (["+short", "allowed.example"], "11.0.0.80\n"),
                (["+short", "allowed.example", "AAAA"], "2a0f:77::80\n"),
                (["+short", "+tcp", "allowed.example"], "11.0.0.80\n"),
                (["+short", "www.allowed.example"], "allowed.example.\n11.0.0.80\n"),
                (["+short", "aLLoWeD.ExAmPlE"], "11.0.0.80\n"),
                (["+short", "@9.9.9.9", "allowed.example"], "11.0.0.80\n"),
                (["+short", "@2620:fe::fe", "allowed.example"], "11.0.0.80\n"),
                (["+short", "@127.0.0.53", "allowed.example"], "11.0.0.80\n"),
                (["+short", "+bufsize=512", "many.example", "TXT"], None),
                (["+short", "+keepopen", "+tcp", "allowed.example", "echo.example"], "11.0.0.80\n11.0.0.7\n")):
            r = self.fence(["dig", "+tries=1", "+time=60", *args])
            self.assertEqual(r.status, 0, r)
            if want is not None:
                self.assertEqual(r.out, want, r)
            else:
                self.assertIn("x" * 200, r.out, r)

    def test_a_name_that_is_not_there(self):
        r = self.fence(["dig", "+tries=1", "+time=60", "nowhere.example"])
        self.assertIn("status: NXDOMAIN", r.out, r)

    def test_denied_with_rcode_and_reason(self):
        r = self.fence(["dig", "+tries=1", "+time=60", "denied.example"])
        self.assertIn("status: NXDOMAIN", r.out, r)
        self.assertRegex(r.out, r"EDE: 1[578].*names: denied", r)
        r = self.fence(["dig", "+tries=1", "+time=60", "refused.example", "TXT"])
        self.assertIn("status: REFUSED", r.out, r)
        self.assertTrue(r.find("dns_query", domain="refused.example", policy__decision="deny"), r)

    def test_resolved_by_policy_and_no_other_record_around_it(self):
        r = self.fence("for t in A AAAA HTTPS SVCB; do dig +tries=1 +time=60 +short registry.npm.example $t; done")
        self.assertEqual((r.status, r.out), (0, "11.0.0.100\n"), r)
        self.assertTrue(r.find("dns_redirect", fields__ips=["11.0.0.100"], fields__ttl=30), r)
        # What is made visible is a line each, and nothing behind it.
        self.assertEqual(r.err, "moonfence: registry.npm.example:53: resolve (dns())\n" * 4, r)
        r = self.fence([*CURL, "http://registry.npm.example/"])
        self.assertEqual(r.out, "server=llm host=registry.npm.example sni= port=80\n", r)

    def test_https_records_of_a_redirected_connection_are_withheld(self):
        r = self.fence(["dig", "+tries=1", "+time=60", "+short", "api.vendor.example", "HTTPS"])
        self.assertNotIn("ipv4hint", r.out, r)

    def test_a_policy_that_loops_is_stopped_and_refuses(self):
        r = self.fence(["dig", "+tries=1", "+time=60", "loop.example"])
        self.assertRegex(r.out, "status: (REFUSED|SERVFAIL)", r)
        r = self.fence("dig +tries=1 +time=60 loop.example >/dev/null; dig +tries=1 +time=60 +short allowed.example")
        self.assertEqual(r.out, "11.0.0.80\n", r)

    def test_two_questions_in_one_query_are_refused(self):
        r = self.python(r"""
import socket
q = lambda n: b"".join(bytes([len(p)]) + p for p in n.split(b".")) + b"\0\0\1\0\1"
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(60)
s.sendto(b"\x12\x34\1\0\0\2\0\0\0\0\0\0" + q(b"allowed.example") + q(b"denied.example"), ("9.9.9.9", 53))
print(s.recv(512)[3] & 15)
""")
        self.assertIn(r.out, ("1\n", "5\n"), r)

    def test_loopback_resolver_in_resolv_conf(self):
        conf = self.lab.write("resolv-loopback.conf", "nameserver 127.0.0.53\noptions edns0\n")
        done = self.lab.run(["unshare", "--mount", "sh", "-c", f"mount --bind {conf} $(readlink -f /etc/resolv.conf) && "
                             'exec "$@"', "sh"] + ([] if self.user is None else
                            ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups", "--"]) +
                            self.fence_command([*CURL, "http://allowed.example/"], "--dns", "11.0.0.53"),
                            env=self.environment())
        self.assertEqual((done.returncode, done.stdout), (0, "server=web host=allowed.example sni= port=80\n"),
                         done.stderr)


class Interception:
    """terminate{}: every client of the session trusts the session's authority, and nobody else's certificate stands in between."""
    LOOK = ("--label", "look=inside")

    def test_every_client_is_looked_into(self):
        want = "server=web host=allowed.example sni=allowed.example port=443\n"
        for cmd in ([*CURL, "--http2", "https://allowed.example/"], [*CURL, "--http1.1", "-6", "https://allowed.example/"],
                    [*CURL, "--tls-max", "1.2", "https://allowed.example/"],
                    ["wget", "-q", "-T", "90", "-t", "1", "-O", "-", "https://allowed.example/"],
                    ["node", "-e", "require('https').get('https://allowed.example/', s => s.pipe(process.stdout))"],
                    [PYTHON, "-c", "import urllib.request as u; print(u.urlopen('https://allowed.example/', timeout=90)"
                     ".read().decode(), end='')"]):
            r = self.fence(cmd, *self.LOOK)
            self.assertEqual((r.status, r.out), (0, want), r)
            self.assertTrue(r.find("net_tls_intercept", fields__status="joined", fields__sni="allowed.example"), r)

    def test_a_host_that_is_not_the_server_name_is_refused(self):
        r = self.fence([*CURL, "--http1.1", "-i", "-H", "Host: llm.corp.example", "https://allowed.example/"], *self.LOOK)
        self.assertTrue(r.find("net_connect", domain="llm.corp.example", effective_action="blocked"), r)
        self.assertIn("HTTP/1.1 403", r.out, r)

    def test_the_local_authority_may_sign_for_its_domains(self):
        ca = os.path.join(self.work, f"ca-{type(self).__name__}")
        made = subprocess.run([*(() if self.user is None else ("setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups",
                               "--")), self.program, "ca", "create", "--dir", ca, "--permit", "allowed.example"],
                              env=self.environment(), capture_output=True, text=True)
        self.assertEqual(made.returncode, 0, made)
        r = self.fence([*CURL, "https://allowed.example/"], "--ca", ca, *self.LOOK)
        self.assertEqual((r.status, r.out), (0, "server=web host=allowed.example sni=allowed.example port=443\n"), r)
        r = self.fence([*CURL, "https://cdn-good.example/"], "--ca", ca, *self.LOOK)
        self.assertNotEqual(r.status, 0, r)
        self.assertTrue([e for e in r.find("net_close") if "intercept" in e["fields"].get("error", "")], r)

    def test_a_client_with_a_store_of_its_own_is_told_of(self):
        own = self.lab.path("own-store.pem")
        shutil.copy(self.lab.path("ca.pem"), own)
        r = self.fence([*CURL, "--cacert", own, "https://allowed.example/"], *self.LOOK)
        self.assertEqual(r.status, 60, r)
        # The session ends with its program: whether the alert was read before is chance.
        told = r.find("net_tls_intercept", effective_action="blocked")
        self.assertTrue(told and told[0].get("pid"), r)
        self.assertIn(told[0]["fields"]["status"], ("client_refused", "client_left"), r)


class Redirects:
    def test_connect_redirect_rewrites_the_sni(self):
        for args in ([], ["--http2"], ["--tls-max", "1.2"], ["-6"]):
            r = self.fence([*CURL, *args, "https://api.vendor.example/"])
            self.assertEqual((r.status, r.out), (0, "server=llm host=api.vendor.example sni=llm.corp.example port=8443\n"),
                             r)
            self.assertTrue(r.find("connect_redirect", domain="api.vendor.example", fields__original="api.vendor.example:443",
                                   fields__sni="llm.corp.example"), r)

    def test_every_client_trusts_the_bridge(self):
        want = "server=llm host=api.vendor.example sni=llm.corp.example port=8443\n"
        for cmd in (["wget", "-q", "-T", "90", "-t", "1", "-O", "-", "https://api.vendor.example/"],
                    ["node", "-e", "require('https').get('https://api.vendor.example/', s => s.pipe(process.stdout))"],
                    [PYTHON, "-c", "import urllib.request as u; print(u.urlopen('https://api.vendor.example/', timeout=90)"
                     ".read().decode(), end='')"]):
            r = self.fence(cmd)
            self.assertEqual((r.status, r.out), (0, want), r)

    def test_a_large_body_through_the_bridge(self):
        r = self.fence("curl -sSk --max-time 120 https://api.vendor.example/big | sha256sum")
        with open(self.lab.path("www/big"), "rb") as f:
            want = hashlib.sha256(f.read()).hexdigest()
        self.assertEqual((r.status, r.out.split()[0]), (0, want), r)

    def test_the_redirects_target_must_prove_its_name(self):
        r = self.fence([*CURL, "-k", "https://wrong.vendor.example/"])
        self.assertNotIn(r.status, (0, 28), r)
        self.assertTrue([e for e in r.find("net_close") if "mismatch" in e["fields"].get("error", "")], r)
        self.assertEqual([line for line in self.lab.web_log().splitlines() if "wrong.vendor" in line], [])

    def test_retry_original_after_a_refused_target(self):
        r = self.fence("printf 'back\\n' | nc -N -w 90 refusing.example 7")
        self.assertEqual((r.status, r.out), (0, "back\n"), r)
        self.assertTrue(r.find("connect_redirect_fallback"), r)

    def test_fail_closed_after_a_refused_target(self):
        r = self.fence([*CURL, "http://refusing.example:22/"])
        self.assertNotIn(r.status, (0, 28), r)

    def test_a_name_made_by_cname(self):
        r = self.fence([*CURL, "http://alias.example/"])
        self.assertEqual((r.status, r.out), (0, "server=web host=alias.example sni= port=80\n"), r)


# How a denial by connect shows to curl, by backend: where packets are seen, a SYN is answered by a reset, so that there is
# no connection on which anything could be said; the reason stands in the event.
CURL_STATUS = {"tproxy": {"http": 0, "tls": 35}, "tun": {"http": 7, "tls": 7}}


class Denials:
    """Denials come at once, with the reason, and never as a time-out (curl's status 28)."""

    def assert_denied(self, r, scheme, reason):
        self.assertEqual(r.status, CURL_STATUS[self.backend][scheme], r)
        if self.backend == "tun":
            self.assertIn("onnect to", r.err, r)
        elif scheme == "http":
            self.assertRegex(r.out, r"^HTTP/1.1 403", r)
            self.assertIn(reason, r.out, r)
        else:
            self.assertIn("alert", r.err, r)
        self.assertTrue([e for e in r.find("net_connect", policy__decision="deny") if reason in json.dumps(e)], r)

    def test_http_gets_403_with_rule_and_reason(self):
        r = self.fence([*CURL, "-i", "http://11.0.0.80/"])
        self.assert_denied(r, "http", "no name led here")
        self.assertEqual([e for e in self.lab.web_log().splitlines() if "11.0.0.80/" in e], [])

    def test_tls_gets_an_alert(self):
        r = self.fence([*CURL, "-k", "https://11.0.0.80/"])
        self.assert_denied(r, "tls", "no name led here")

    def test_tls_to_a_name_that_sni_denies_gets_an_alert(self):
        r = self.fence("dig +short cdn-good.example >/dev/null; " +
                       " ".join(CURL) + " -k --resolve cdn-bad.example:443:11.0.0.90 https://cdn-bad.example/")
        self.assertEqual(r.status, 35, r)
        self.assertIn("alert", r.err, r)

    def test_other_tcp_is_reset(self):
        r = self.python("""
import socket
try:
    s = socket.create_connection(("11.0.0.7", 7), 90)
    print("got", s.recv(10))
except ConnectionResetError:
    print("reset")
except ConnectionRefusedError:
    print("refused")
""")
        self.assertEqual((r.status, r.out), (0, {"tproxy": "reset\n", "tun": "refused\n"}[self.backend]), r)
        self.assertTrue(r.find("net_connect", policy__decision="deny"), r)

    def test_udp_gets_an_icmp_error(self):
        for family, addr in (("AF_INET", "11.0.0.7"), ("AF_INET6", "2a0f:77::7")):
            r = self.python(f"""
import socket, errno
s = socket.socket(socket.{family}, socket.SOCK_DGRAM)
s.connect(("{addr}", 7))
s.settimeout(90)
s.send(b"x")
try:
    print("got", s.recv(10))
except OSError as e:
    print(errno.errorcode[e.errno])
""")
            self.assertEqual(r.status, 0, r)
            self.assertIn(r.out, ("EHOSTUNREACH\n", "EACCES\n", "ECONNREFUSED\n"), r)
        self.assertEqual([s for s in self.lab.seen() if s["proto"] == "udp" and s["data"] == "78"], [])

    def test_shared_address_goes_by_the_server_name(self):
        ask = "dig +short cdn-good.example cdn-bad.example >/dev/null; "
        r = self.fence(ask + " ".join(CURL) + " https://cdn-good.example/")
        self.assertEqual((r.status, r.out), (0, "server=cdn host=cdn-good.example sni=cdn-good.example port=443\n"), r)
        r = self.fence(ask + " ".join(CURL) + " -k https://cdn-bad.example/")
        self.assertEqual(r.status, 35, r)
        r = self.fence(ask + " ".join(CURL) + " -i http://cdn-bad.example/")
        self.assertIn("403", r.out, r)

    def test_policy_by_process(self):
        r = self.fence(["wget", "-q", "-T", "90", "-t", "1", "-O", "-", "--no-check-certificate",
                        "https://allowed.example:8443/"])
        self.assertNotEqual(r.status, 0, r)
        r = self.fence([*CURL, "https://allowed.example:8443/"])
        self.assertEqual(r.status, 0, r)

    def test_labels_reach_the_policy(self):
        r = self.fence([*CURL, "-i", "http://allowed.example/"], "--label", "lockdown=yes")
        self.assert_denied(r, "http", "lockdown")


class Fidelity:
    """The command runs as it would without the fence."""

    def test_exit_status(self):
        for cmd, want in (("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", -signal.SIGTERM), ("kill -KILL $$", -signal.SIGKILL)):
            self.assertEqual(self.fence(cmd).status, want, cmd)
        self.assertEqual(self.fence(["/nonexistent/program"]).status, 127)
        self.assertEqual(self.fence(["/etc/passwd"]).status, 126)

    def test_streams_arguments_environment_and_directory(self):
        r = self.fence(["bash", "-c", 'cat; echo "$1|$X|$PWD"; echo err >&2', "sh", "a b"], stdin=None, input="in\n",
                       env={"X": "y z"})
        self.assertEqual((r.status, r.out), (0, f"in\na b|y z|{self.lab.dir}\n"), r)
        self.assertIn("err\n", r.err)

    def test_the_local_authoritys_key_is_out_of_reach(self):
        if not self.user:
            self.skipTest("root's is not this test's to make: tests/net/ca")
        state = {"XDG_STATE_HOME": os.path.join(self.work, type(self).__name__)}
        place = state["XDG_STATE_HOME"] + "/moonfence/ca"
        made = self.lab.run([self.program, "ca", "create"], user=self.user, env={**self.environment(), **state})
        self.assertEqual(made.returncode, 0, made.stderr)
        r = self.fence(f"ls -A {place}; echo end; mv {place} {place}2; umount {place}; cat {place}*/authority.pem", env=state)
        self.assertEqual(r.out, "end\n", r)

    def test_identity_is_kept(self):
        r = self.fence("id -u; id -g")
        want = self.user or 0
        self.assertEqual(r.out, f"{want}\n{want}\n", r)

    def test_a_signal_reaches_the_command(self):
        # Blocked and waited for: there is no moment at which the signal could be missed.
        p = self.lab.popen(self.fence_command([PYTHON, "-c", """
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
print("up", flush=True)
signal.sigwait({signal.SIGTERM})
print("got", flush=True)
sys.exit(3)
"""]), user=self.user, env=self.environment(), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        self.assertEqual(p.stdout.readline(), "up\n")
        p.send_signal(signal.SIGTERM)
        self.assertEqual(p.stdout.readline(), "got\n")
        self.assertEqual(p.wait(120), 3)
        p.stdout.close()

    def left_behind(self, how):
        """A process that forked twice, made a session of its own and ignores whatever can be ignored; its parents are gone."""
        p = self.lab.popen(self.fence_command([PYTHON, "-c", """
import os, signal, sys, time
r, w = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(s, signal.SIG_IGN)
    os.close(1)
    os.write(w, b"%d" % os.getpid())
    os.close(w)
    time.sleep(3600)
os.close(w)
os.wait()
print(os.read(r, 32).decode(), flush=True)
""" + how]), user=self.user, env=self.environment(), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        return p, int(p.stdout.readline())

    def test_who_was_left_behind_ends_with_the_session(self):
        for how, sig, want in (("time.sleep(3600)", signal.SIGTERM, -signal.SIGTERM), ("time.sleep(3600)", signal.SIGINT, -signal.SIGINT),
                               ("sys.exit(3)", None, 3)):
            p, left = self.left_behind(how)
            if sig:
                os.kill(left, 0)
                p.send_signal(sig)
            self.assertEqual(p.wait(120), want)
            self.assertRaises(ProcessLookupError, os.kill, left, 0)
            p.stdout.close()

    def test_orphans_are_reaped_while_the_session_runs(self):
        r = self.python("""
import os, time
for i in range(200):
    if os.fork() == 0:
        if os.fork() == 0:
            os._exit(0)
        os._exit(0)
    os.wait()
parent = os.getppid()
def left():
    n = 0
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            n += fields[0] == "Z" and int(fields[1]) == parent
        except (OSError, IndexError):
            pass
    return n
end = time.monotonic() + 90
while left() and time.monotonic() < end:
    time.sleep(0.01)
print(left())
""")
        self.assertEqual((r.status, r.out), (0, "0\n"), r)

    def test_loopback_inside_the_session_is_its_own(self):
        r = self.python("""
import socket, threading
l = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=lambda: l.accept()[0].sendall(b"mine")).start()
print(socket.create_connection(l.getsockname(), 90).recv(4).decode())
""")
        self.assertEqual((r.status, r.out), (0, "mine\n"), r)

    def test_summary(self):
        r = self.fence(" ".join(CURL) + " http://allowed.example/ >/dev/null; dig +short denied.example", "--summary")
        self.assertRegex(r.err, r"(?i)denied", r)
        self.assertIn("allowed.example", r.err, r)

    def test_metrics(self):
        path = os.path.join(self.work, f"{type(self).__name__}.prom")
        # One family: who tries both may make a connection of each.
        r = self.fence(" ".join(CURL) + " -4 http://allowed.example/; dig +short +tries=1 +time=60 denied.example", "--metrics", path)
        with open(path) as f:
            text = f.read()
        self.assertRegex(text, r'moonfence_dns_queries_total\{outcome="denied"\} 1\n', r)
        self.assertRegex(text, r'moonfence_tcp_connections_total\{outcome="allowed"\} 1\n', r)
        self.assertRegex(text, r'moonfence_relayed_bytes_total\{direction="to_client"\} [1-9]', r)
        if self.backend == "tun":
            self.assertRegex(text, r'moonfence_flows_redirected_total\{backend="tun"\} [1-9]', r)

    def test_hangup_reloads(self):
        policy = self.lab.write(f"policies/hup-{type(self).__name__}.lua",
                                'return { name = "h", dns = function(q) return resolve { "11.0.0.1" } end }\n')
        if os.path.exists(self.events_path):
            os.unlink(self.events_path)
        # Without a watch, so that only the signal can be the cause.
        p = self.lab.popen(self.fence_command(["bash", "-c", "dig +tries=1 +time=60 +short x.example; read -r _; "
                           "dig +tries=1 +time=60 +short x.example"], "--no-watch", policy=policy), user=self.user,
                           env=self.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.assertEqual(p.stdout.readline(), "11.0.0.1\n")
        self.lab.write(policy, 'return { name = "h", dns = function(q) return resolve { "11.0.0.2" } end }\n')
        p.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 120
        while not any(e["type"] == "policy_changed" for e in self.read_events()):
            self.assertLess(time.monotonic(), deadline, "no policy_changed")
            time.sleep(0.02)
        p.stdin.write("\n")
        p.stdin.flush()
        self.assertEqual(p.stdout.readline(), "11.0.0.2\n")
        self.assertEqual(p.wait(120), 0)
        p.stdin.close()
        p.stdout.close()

    def test_usage_and_policy_errors(self):
        r = self.lab.run([self.program, "run", "--no-such-option"], user=self.user)
        self.assertEqual(r.returncode, 2, r)
        bad = self.lab.write("bad.lua", 'return {\n  name = "bad",\n  dns = function(q) retrun allow() end,\n}\n')
        r = self.fence(["true"], policy=bad)
        self.assertEqual(r.status, 1, r)
        self.assertIn("bad.lua:3", r.err, r)


class ShippedPolicy:
    """Without --policy: the default one, from where it is installed."""

    def shipped(self, cmd, *options):
        data = self.lab.path("share")
        if not os.path.exists(data):
            shutil.copytree(os.path.join(os.path.dirname(__file__), "../../lua"), data)
            subprocess.run(["chmod", "-R", "a+rX", data], check=True)
        command = self.fence_command(["bash", "-c", cmd], *options)
        at = command.index("--policy")
        del command[at:at + 2]
        done = self.lab.run(command, user=self.user, env=dict(self.environment(), MOONFENCE_DATA=data))
        return done

    def test_shipped_policy_allows_what_the_operator_names_and_refuses_the_rest(self):
        r = self.shipped(" ".join(CURL) + " https://allowed.example/", "--label", "allow=allowed.example")
        self.assertEqual((r.returncode, r.stdout), (0, "server=web host=allowed.example sni=allowed.example port=443\n"), r)
        r = self.shipped("dig +tries=1 +time=60 allowed.example | grep status; " + " ".join(CURL) +
                         " -i http://169.254.169.254/; " + " ".join(CURL) + " -i http://11.0.0.80/")
        self.assertIn("status: NXDOMAIN", r.stdout, r)
        if self.backend == "tun":
            self.assertEqual(r.stderr.count("curl: (7)"), 2, r)
        else:
            self.assertEqual(r.stdout.count("HTTP/1.1 403"), 2, r)


class Reload:
    def test_edit_while_running_and_a_broken_edit_keeps_the_old(self):
        if os.path.exists(self.events_path):
            os.unlink(self.events_path)
        good = self.lab.write(f"policies/reload-{type(self).__name__}.lua",
                              'return { name = "r", dns = function(q) return resolve { "11.0.0.1" } end }\n')
        p = self.lab.popen(self.fence_command(["bash", "-c", "while read -r cmd; do eval \"$cmd\"; echo done; done"],
                           policy=good), user=self.user, env=self.environment(), stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, text=True, bufsize=1)

        def ask():
            p.stdin.write("dig +tries=1 +time=60 +short x.example\n")
            lines = []
            while (line := p.stdout.readline()) not in ("done\n", ""):
                lines.append(line.strip())
            return lines

        def wait_event(type_):
            deadline = time.monotonic() + 120
            while not any(e["type"] == type_ for e in self.read_events()):
                self.assertLess(time.monotonic(), deadline, f"no {type_}")
                time.sleep(0.02)

        self.assertEqual(ask(), ["11.0.0.1"])
        self.lab.write(good + ".new", 'return { name = "r", dns = function(q) return oops } end }\n')
        os.rename(good + ".new", good)
        wait_event("policy_reload_failed")
        self.assertEqual(ask(), ["11.0.0.1"])
        self.lab.write(good + ".new", 'return { name = "r", dns = function(q) return resolve { "11.0.0.2" } end }\n')
        os.rename(good + ".new", good)
        wait_event("policy_changed")
        self.assertEqual(ask(), ["11.0.0.2"])
        p.stdin.close()
        self.assertEqual(p.wait(120), 0)
        p.stdout.close()


class All(Clients, Dns, Interception, Redirects, Denials, Fidelity, ShippedPolicy, Reload):
    pass


class AsRoot(All, Scenario):
    user = None


@slow
class AsUser(All, Scenario):
    user = NOBODY


class TunAsUser(All, Scenario):
    user = NOBODY
    backend = "tun"


@slow
class TunAsRoot(All, Scenario):
    user = None
    backend = "tun"
    more = ("--tun-queues", "4")


if __name__ == "__main__":
    main()

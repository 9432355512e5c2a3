#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""moonfence ca with Debian's store, NSS databases and real clients: curl, OpenSSL, GnuTLS, Chromium.

Runs in user, mount and network namespaces of its own: what is added to the system's store is added to a copy of it.
"""
import json, os, shutil, signal, ssl, subprocess, sys, tempfile, threading, unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MOONFENCE, CA_LEAF = os.environ["MOONFENCE"], os.environ["CA_LEAF"]
LOCAL, CERTS = "/usr/local/share/ca-certificates", "/etc/ssl/certs"
CONF = "/etc/ca-certificates.conf"
BUNDLE = CERTS + "/ca-certificates.crt"
PAGE = b"<title>t</title><p>signed by ours"
IN_NAMESPACE = "MF_CA_TEST_DIR"
# Variables that would lead clients to another bundle.
STRAY = ("SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "XDG_STATE_HOME", "XDG_CONFIG_HOME")


def enter_namespaces():
    """Start this program again as root of namespaces; not to be had: 77."""
    if os.environ.get(IN_NAMESPACE):
        return
    flags = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--kill-child"]
    if subprocess.run([*flags, "true"], capture_output=True, check=False).returncode != 0:
        print("no user namespaces")
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="moonfence-ca-") as work:
        env = {k: v for k, v in os.environ.items() if k not in STRAY}
        sys.exit(subprocess.run([*flags, sys.executable, *sys.argv], env={**env, IN_NAMESPACE: work}, check=False).returncode)


def copy_stores(work):
    """The system's store becomes a copy, so that this host's stays as it is."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for name, path in (("local", LOCAL), ("certs", CERTS)):
        copy = os.path.join(work, name)
        shutil.copytree(path, copy, symlinks=True, ignore=lambda *_: ["java"])
        subprocess.run(["mount", "--bind", copy, path], check=True)
    # a few authorities are enough, and quicker; those that others added by hand stay
    short = os.path.join(work, "conf")
    with open(CONF, encoding="utf-8") as whole, open(short, "w", encoding="utf-8") as file:
        file.writelines([line for line in whole if line[0] not in "#!\n"][:3])
    subprocess.run(["mount", "--bind", short, CONF], check=True)
    # links that other tools left as files become links again: before and after shall be the same
    subprocess.run(["update-ca-certificates", "--fresh"], check=True, capture_output=True)


def run(*argv, env=None, **kw):
    return subprocess.run(argv, capture_output=True, text=True, env={**os.environ, **(env or {})}, check=False, timeout=600, **kw)


def store_files():
    """Names and links of the system's store, and the bundle's text."""
    listing = {}
    for top in (LOCAL, CERTS):
        for name in os.listdir(top):
            path = os.path.join(top, name)
            listing[path] = os.readlink(path) if os.path.islink(path) else os.path.isdir(path) or os.path.getsize(path)
    with open(BUNDLE, encoding="ascii") as file:
        return listing, file.read()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    """HTTPS with what the PEM file holds, on a port of its own."""
    daemon_threads = True

    def __init__(self, pem):
        super().__init__(("127.0.0.1", 0), Handler)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pem)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def finish_request(self, request, client_address):
        try:
            with self.context.wrap_socket(request, server_side=True) as tls:
                super().finish_request(tls, client_address)
        except OSError:  # clients that do not trust us
            pass


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        directory = tempfile.TemporaryDirectory(dir=os.environ[IN_NAMESPACE])
        self.addCleanup(directory.cleanup)
        self.home = directory.name
        self.dir = os.path.join(self.home, "ca")
        self.nssdb = os.path.join(self.home, ".pki", "nssdb")
        self.before = store_files()
        self.env = {"HOME": self.home}

    def ca(self, command, *words, status=0, env=None, prefix=()):
        words = words if any(w.endswith(".pem") for w in words) else ("--dir", self.dir, *words)
        r = run(*prefix, MOONFENCE, "ca", command, *words, env={**self.env, **(env or {})})
        self.assertEqual(r.returncode, status, f"ca {command}: {r.stdout}{r.stderr}")
        return r.stdout + r.stderr

    def show(self, status=0):
        return json.loads(self.ca("show", "--json", status=status))

    def trusted(self):
        return {s["path"]: s["trusted"] for s in self.show()["stores"]}

    def write(self, name, text):
        path = os.path.join(self.home, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def pem(self):
        """The authority's certificate in a file."""
        return self.write("shown.pem", self.ca("show", "--pem"))

    def leaf(self, name):
        r = run(CA_LEAF, self.dir, name)
        self.assertEqual(r.returncode, 0, r.stderr)
        return self.write(name.replace(":", "_") + ".leaf", r.stdout)

    def forged(self, name):
        """What a thief of the key would make: a leaf for a name that the authority may not vouch for."""
        key, csr, out = (os.path.join(self.home, n) for n in ("f.key", "f.csr", name + ".forged"))
        authority = os.path.join(self.dir, "authority.pem")
        ext = self.write("f.ext", f"subjectAltName=DNS:{name}\nextendedKeyUsage=serverAuth\nbasicConstraints=critical,CA:FALSE\n"
                         "keyUsage=critical,digitalSignature\n")
        for argv in (["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                      "-subj", "/O=thief", "-out", csr],
                     ["openssl", "x509", "-req", "-in", csr, "-CA", authority, "-CAkey", authority, "-CAcreateserial",
                      "-CAserial", key + ".srl", "-days", "30", "-extfile", ext, "-out", out]):
            r = run(*argv)
            self.assertEqual(r.returncode, 0, r.stderr)
        with open(key, encoding="ascii") as k, open(out, "a", encoding="ascii") as o:
            o.write(k.read())
        return out

    def serve(self, pem):
        server = Server(pem)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server

    def curl(self, name, port):
        return run("curl", "-sS", "--noproxy", "*", "--resolve", f"{name}:{port}:127.0.0.1", f"https://{name}:{port}/", env=self.env)

    def nicknames(self, db=None):
        return run("certutil", "-L", "-d", "sql:" + (db or self.nssdb)).stdout

    def make_profile(self):
        """A Firefox profile's database with somebody else's authority in it."""
        db = os.path.join(self.home, ".mozilla", "firefox", "abc.default")
        os.makedirs(db)
        run("certutil", "-N", "--empty-password", "-d", "sql:" + db)
        other = os.path.join(self.home, "other")
        self.assertEqual(run(MOONFENCE, "ca", "create", "--dir", other).returncode, 0)
        pem = run(MOONFENCE, "ca", "show", "--pem", "--dir", other, env=self.env).stdout
        self.other = self.write("other-ca.pem", pem)
        # under the very name of ours
        name = self.show()["subject"].split("CN=")[1]
        r = run("certutil", "-A", "-a", "-t", "C,,", "-n", name, "-d", "sql:" + db, "-i", self.other)
        self.assertEqual(r.returncode, 0, r.stderr)
        return db, name

    def tool(self, script):
        """A certutil before the real one in PATH."""
        path = self.write("bin/certutil", "#!/bin/bash\n" + script + '\nexec /usr/bin/certutil "$@"\n')
        os.chmod(path, 0o755)
        return {"PATH": os.path.dirname(path) + ":" + os.environ["PATH"]}


class System(Case):
    """Debian's store."""

    def test_curl_trusts_after_trust_and_no_longer_after_untrust(self):
        self.ca("create")
        server = self.serve(self.leaf("app.local"))
        self.assertEqual(self.curl("app.local", server.port).returncode, 60)
        self.assertIn("trusted now", self.ca("trust", "--store", "system"))
        got = self.curl("app.local", server.port)
        self.assertEqual((got.returncode, got.stdout), (0, PAGE.decode()), got.stderr)
        self.assertIn("trusted already", self.ca("trust", "--store", "system"))
        self.assertFalse(os.path.exists(self.nssdb))  # another store was not asked for
        self.assertIn("no longer trusted", self.ca("untrust", "--store", "system"))
        self.assertIn("not trusted", self.ca("untrust"))
        self.assertEqual(self.curl("app.local", server.port).returncode, 60)
        self.assertEqual(store_files(), self.before)

    def test_a_forged_name_is_refused_by_curl(self):
        self.ca("create")
        self.ca("trust", "--store", "system")
        self.addCleanup(self.ca, "untrust")
        server = self.serve(self.forged("bank.example"))
        got = self.curl("bank.example", server.port)
        self.assertEqual(got.returncode, 60, got)
        self.assertIn("permitted subtree violation", got.stderr)

    def test_without_root_the_systems_store_is_skipped_and_said_so(self):
        self.ca("create")
        nobody = ("unshare", "--user")  # the same user without its root
        out = self.ca("trust", prefix=nobody)
        self.assertRegex(out, r"(?m)^system .*skipped: Only root")
        self.assertRegex(out, r"(?m)^nss .*trusted now$")
        self.assertIn("Only root", self.ca("trust", "--store", "system", prefix=nobody, status=1))
        self.ca("trust", "--store", "system")
        # what an ordinary user cannot take out keeps the old one in force
        old = self.show()["sha256"]
        self.assertIn("Only root", self.ca("rotate", prefix=nobody, status=1))
        self.assertEqual(self.show()["sha256"], old)
        self.assertEqual(set(self.trusted().values()), {True})
        self.assertEqual(self.nicknames().count("Moonfence"), 1)
        self.assertEqual(os.listdir(self.dir), ["authority.pem"])
        self.ca("untrust", prefix=nobody, status=1)
        self.ca("untrust")
        self.assertEqual(store_files(), self.before)

    def test_without_ca_certificates_it_says_which_package(self):
        self.ca("create")
        # seen from a mount namespace of its own where that package is not
        hidden = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /usr/local/share && exec "$@"', "-")
        self.assertIn("install Debian's package ca-certificates", self.ca("trust", "--store", "system", prefix=hidden, status=1))
        self.assertIn("not trusted", self.ca("untrust", "--store", "system", prefix=hidden))
        self.assertEqual(store_files(), self.before)

    def test_a_certificate_can_be_handed_over(self):
        self.ca("create")
        pem = self.pem()
        self.assertIn("trusted now", self.ca("trust", "--store", "system", pem))
        self.assertTrue(self.trusted()[LOCAL])
        self.ca("untrust", pem)
        self.assertEqual(store_files(), self.before)
        # nothing but an authority of ours becomes a root by mistake
        for wrong in (self.leaf("app.local"), BUNDLE, "/nowhere"):
            copy = os.path.join(self.home, "wrong.pem")
            if os.path.exists(wrong):
                shutil.copyfile(wrong, copy)
            else:
                os.remove(copy)
            self.assertIn("is no certificate that", self.ca("trust", copy, status=1))
        self.assertEqual(store_files(), self.before)


class Constraints(Case):
    """What OpenSSL and GnuTLS say of our leaves, and of forged ones."""

    def test_openssl(self):
        self.ca("create", "--permit", "dev.example", "--permit", "192.0.2.0/24")
        ca = self.pem()
        verify = lambda pem, *words: run("openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", ca, *words, pem)
        for name in ("dev.example", "a.b.dev.example", "localhost"):
            r = verify(self.leaf(name), "-verify_hostname", name)
            self.assertEqual(r.returncode, 0, r.stderr)
        for addr in ("192.0.2.9", "::1"):
            r = verify(self.leaf(addr), "-verify_ip", addr)
            self.assertEqual(r.returncode, 0, r.stderr)
        r = verify(self.forged("bank.example"))
        self.assertNotEqual(r.returncode, 0)
        self.assertIn("permitted subtree violation", r.stdout + r.stderr)
        self.assertIn("may not vouch for 'app.local'", run(CA_LEAF, self.dir, "app.local").stderr)

    def test_s_client_and_gnutls_cli_take_ours_and_refuse_a_forged_one(self):
        self.ca("create")
        ca = self.pem()
        for name, pem, good in (("app.local", self.leaf("app.local"), True), ("bank.example", self.forged("bank.example"), False)):
            port = str(self.serve(pem).port)
            r = run("openssl", "s_client", "-connect", "127.0.0.1:" + port, "-servername", name, "-verify_hostname", name,
                    "-verify_return_error", "-CAfile", ca, input="")
            self.assertEqual(r.returncode == 0, good, r.stdout + r.stderr)
            r = run("gnutls-cli", "--x509cafile", ca, "--sni-hostname", name, "--verify-hostname", name, "-p", port, "127.0.0.1",
                    input="")
            self.assertEqual(r.returncode == 0, good, r.stdout + r.stderr)
            if not good:
                self.assertIn("constraints", r.stdout + r.stderr)

    def test_certtool_finds_the_certificate_in_order(self):
        self.ca("create")
        text = run("certtool", "--certificate-info", "--infile", self.pem()).stdout
        self.assertIn("Name Constraints (critical)", text)
        self.assertIn("Path Length Constraint: 0", text)
        self.assertIn("TLS WWW Server", text)


@unittest.skipUnless(shutil.which("certutil"), "no certutil")
class Nss(Case):
    """The databases of Chromium and Firefox."""

    def test_a_missing_database_is_made_and_goes_again(self):
        self.ca("create")
        self.ca("trust", "--store", "nss")
        self.assertRegex(self.nicknames(), r"(?m)^Moonfence local CA [0-9a-f]{8} +C,,")
        self.assertEqual(store_files(), self.before)
        self.ca("untrust")
        self.assertFalse(os.path.exists(os.path.join(self.home, ".pki")))

    def test_what_others_put_into_it_stays(self):
        self.ca("create")
        self.ca("trust", "--store", "nss")
        db, name = self.make_profile()
        self.assertIn("trusted now", self.ca("trust", "--store", "nss"))
        run("certutil", "-A", "-a", "-t", "C,,", "-n", "other", "-d", "sql:" + self.nssdb, "-i", self.other)
        self.ca("untrust")
        self.assertEqual(set(self.trusted().values()), {False})
        self.assertIn("other", self.nicknames())
        # one of the same name in a profile is not ours
        with open(self.other, encoding="ascii") as file:
            self.assertEqual(run("certutil", "-L", "-a", "-n", name, "-d", "sql:" + db).stdout.split(), file.read().split())

    def test_under_another_nickname_or_without_trust_it_is_found(self):
        self.ca("create")
        db, name = self.make_profile()
        r = run("certutil", "-A", "-a", "-t", ",,", "-n", name + " - imported", "-d", "sql:" + db, "-i", self.pem())
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertFalse(self.trusted()[db])
        self.ca("trust", "--store", "nss")
        self.assertTrue(self.trusted()[db])
        self.ca("untrust")
        self.assertNotIn("imported", self.nicknames(db))
        self.assertIn(name, self.nicknames(db))

    def test_without_certutil_it_says_which_package(self):
        self.ca("create")
        empty = os.path.join(self.home, "empty")
        os.mkdir(empty)
        out = self.ca("trust", "--store", "nss", status=1, env={"PATH": empty})
        self.assertIn("install Debian's package libnss3-tools", out)
        self.assertFalse(os.path.exists(os.path.join(self.home, ".pki")))

    def test_somebody_elses_home_is_left_alone(self):
        self.ca("create")
        places = [p for p in ("/", "/var/cache/man", "/var/cache/apt/archives/partial") if os.path.isdir(p) and os.stat(p).st_uid != 0]
        if not places:
            self.skipTest("everything belongs to this user")
        shown = json.loads(self.ca("show", "--json", env={"HOME": places[0]}))
        self.assertEqual([s["kind"] for s in shown["stores"]], ["system"])


class Rotation(Case):
    def setUp(self):
        super().setUp()
        if not shutil.which("certutil"):
            self.skipTest("no certutil")
        self.ca("create", "--permit", "dev.example")
        self.ca("trust")
        self.addCleanup(self.ca, "untrust")
        self.old = self.show()

    def assert_only_trusted(self, sha256):
        """Every store trusts this one, and no other of ours."""
        now = self.show()
        self.assertEqual(now["sha256"], sha256)
        self.assertEqual({s["trusted"] for s in now["stores"]}, {True}, now)
        self.assertEqual(self.nicknames().count("Moonfence"), 1, self.nicknames())
        self.assertEqual(len([n for n in os.listdir(LOCAL) if n.startswith("moonfence-")]), 1)
        self.assertEqual(len([n for n in os.listdir(CERTS) if n.startswith("moonfence-")]), 1)
        self.assertEqual(os.listdir(self.dir), ["authority.pem"])

    def test_the_new_one_takes_the_place_of_the_old_one_everywhere(self):
        leaf = self.serve(self.leaf("a.dev.example"))
        self.assertIn("within seconds", self.ca("rotate"))
        now = self.show()
        self.assertNotEqual(now["sha256"], self.old["sha256"])
        self.assertEqual(now["permits"], self.old["permits"])
        self.assert_only_trusted(now["sha256"])
        self.assertEqual(self.curl("a.dev.example", leaf.port).returncode, 60)
        self.assertEqual(self.curl("a.dev.example", self.serve(self.leaf("a.dev.example")).port).returncode, 0)
        self.ca("rotate", "--permit", "other.example")
        self.assertIn("other.example", self.show()["permits"])

    def test_where_a_store_cannot_be_asked_nothing_is_begun(self):
        empty = os.path.join(self.home, "empty")
        os.mkdir(empty)
        self.assertIn("libnss3-tools", self.ca("rotate", env={"PATH": empty}, status=1))
        self.assert_only_trusted(self.old["sha256"])

    def test_where_the_new_one_cannot_be_trusted_the_old_one_stays(self):
        env = self.tool('case " $* " in *" -A "*) echo no such luck; exit 1 ;; esac')
        self.assertIn("no such luck", self.ca("rotate", env=env, status=1))
        self.assert_only_trusted(self.old["sha256"])

    def test_where_the_old_one_cannot_be_taken_out_it_stays_in_force(self):
        # fails once: what was made before it must be undone with the same tool
        env = self.tool(f'case " $* " in *" -D "*) [ -e {self.home}/failed ] || {{ touch {self.home}/failed; echo no such luck; exit 1; }} ;; esac')
        self.assertIn("no such luck", self.ca("rotate", env=env, status=1))
        self.assert_only_trusted(self.old["sha256"])

    def kill_at(self, words, after):
        """A rotation that is killed when it runs certutil with @words, before or after that has done its work."""
        step = '/usr/bin/certutil "$@" >/dev/null 2>&1 </dev/stdin; ' if after else ""
        env = self.tool(f'case " $* " in *" {words} "*) {step}kill -9 $PPID; exit 1 ;; esac')
        self.ca("rotate", env=env, status=-signal.SIGKILL)

    def test_killed_before_the_new_one_is_in_force(self):
        for after in (False, True):
            self.kill_at("-A", after)
            self.assertEqual(self.show()["sha256"], self.old["sha256"])
            self.assertIn("next.pem", os.listdir(self.dir))
            self.ca("trust")
            self.assert_only_trusted(self.old["sha256"])

    def test_killed_when_the_new_one_is_in_force(self):
        for after in (False, True):
            before = self.show()["sha256"]
            self.kill_at("-D", after)
            now = self.show()["sha256"]
            self.assertNotEqual(now, before)
            self.ca("trust")
            self.assert_only_trusted(now)


class Creation(Case):
    def test_show_tells_what_it_is(self):
        self.ca("create", "--permit", "dev.example", "--days", "9")
        shown = self.show()
        info = run("openssl", "x509", "-in", self.pem(), "-noout", "-fingerprint", "-sha256", "-checkend", str(10 * 86400)).stdout
        self.assertIn("will expire", info)
        self.assertIn(shown["sha256"].upper(), info.replace(":", ""))
        self.assertEqual(shown["permits"], ["localhost", "127.0.0.0/8", "::1/128", "dev.example"])
        self.assertEqual(shown["key"], {"type": "ECDSA P-256", "access": "mode 0600"})
        self.assertTrue(shown["valid"])
        self.assertEqual(set(self.trusted().values()), {False})

    def test_check_names_what_is_wrong(self):
        check = lambda *words, status=0: json.loads(self.ca("check", "--json", *words, status=status))
        wrong = lambda found: [(f["what"], f["about"]) for f in found["findings"] if not f["ok"]]
        self.assertEqual(wrong(check(status=1)), [("key", "")])
        self.ca("create", "--days", "29")
        self.assertEqual(wrong(check("App.Local", "bank.example", "a b", status=1)),
                         [("dates", ""), ("store", LOCAL), ("store", self.nssdb), ("chain", "App.Local"), ("name", "bank.example"),
                          ("name", "a b")])
        self.ca("rotate", "--days", "200", "--permit", "local")
        self.ca("trust")
        self.addCleanup(self.ca, "untrust")
        found = check("app.local", "127.0.0.1")
        self.assertTrue(found["ok"])
        self.assertEqual([f["what"] for f in found["findings"]], ["key", "dates", "store", "store", "name", "chain", "name", "chain"])
        self.assertIn("FAULT  name", self.ca("check", "app.test", status=1))

    def test_the_place_follows_the_user(self):
        state = {"XDG_STATE_HOME": os.path.join(self.home, "state")}
        for env, place in ((state, "state/moonfence/ca"), ({}, ".local/state/moonfence/ca")):
            r = run("unshare", "--user", MOONFENCE, "ca", "create", env={**self.env, **env})
            self.assertEqual(r.returncode, 0, r.stderr)
            path = os.path.join(self.home, place)
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o700)
            self.assertEqual(os.stat(path + "/authority.pem").st_mode & 0o777, 0o600)

    def test_a_key_that_others_can_read_is_refused_by_every_command(self):
        self.ca("create")
        os.chmod(os.path.join(self.dir, "authority.pem"), 0o640)
        for command in ("show", "trust", "untrust", "rotate", "create"):
            self.assertIn("is open to others (mode 0640)", self.ca(command, status=1))
        self.assertEqual(store_files(), self.before)

    def test_roots_key_is_out_of_reach_of_a_fenced_command(self):
        script = ('mount -t tmpfs none /var/lib && "$0" ca create >/dev/null && echo made && cat /var/lib/moonfence/ca/authority.pem | head -1 && '
                  'exec "$0" run -- sh -c "ls -A /var/lib/moonfence/ca; umount /var/lib/moonfence/ca; cat /var/lib/moonfence/ca/authority.pem; echo end"')
        r = run("unshare", "--mount", "sh", "-c", script, MOONFENCE, env=self.env)
        self.assertEqual(r.stdout, "made\n-----BEGIN PRIVATE KEY-----\nend\n", r.stderr)

    def test_of_many_at_once_one_makes_it(self):
        made = [subprocess.Popen([MOONFENCE, "ca", "create", "--dir", self.dir], stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE, text=True) for _ in range(8)]
        errors = [p.communicate()[1] for p in made]
        self.assertEqual(sorted(p.returncode for p in made), [0] + [1] * 7, errors)
        self.assertEqual(sum("has an authority already" in e for e in errors), 7)
        self.show()

    def test_killed_at_any_moment_there_is_a_whole_one_or_none(self):
        # Killed when it makes its Nth system call on a file, for every N, by a counting tracer where there is one.
        if not shutil.which("strace") or run("strace", "-o", "/dev/null", "true").returncode != 0:
            self.skipTest("no strace")
        calls = "openat,unlinkat,renameat,write,fsync,mkdir,flock"
        for n in range(1, 200):
            shutil.rmtree(self.dir, ignore_errors=True)
            r = run("strace", "-f", "-o", "/dev/null", "-e", f"trace={calls}", "-e", f"inject={calls}:signal=KILL:when={n}",
                    MOONFENCE, "ca", "create", "--dir", self.dir, env={"ASAN_OPTIONS": "detect_leaks=0"})
            if r.returncode == 0:
                break
            whole = run(CA_LEAF, self.dir, "app.local").returncode == 0
            again = run(MOONFENCE, "ca", "create", "--dir", self.dir)
            self.assertEqual(again.returncode, 1 if whole else 0, again.stderr)
            self.assertEqual(run(CA_LEAF, self.dir, "app.local").returncode, 0)
        self.assertEqual(r.returncode, 0)
        self.assertGreater(n, 10)


@unittest.skipUnless(shutil.which("chromium") and shutil.which("certutil"), "no Chromium or no certutil")
class Browser(Case):
    def browse(self, name, port):
        data = tempfile.mkdtemp(dir=self.home)
        return run("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--no-proxy-server", f"--user-data-dir={data}",
                   f"--host-resolver-rules=MAP {name} 127.0.0.1", "--dump-dom", f"https://{name}:{port}/", env=self.env)

    def test_chromium_shows_a_page_of_ours_once_it_is_trusted(self):
        self.ca("create")
        server = self.serve(self.leaf("app.local"))
        self.assertNotIn("signed by ours", self.browse("app.local", server.port).stdout)
        self.ca("trust", "--store", "nss")
        r = self.browse("app.local", server.port)
        self.assertIn("signed by ours", r.stdout, r.stderr)
        forged = self.serve(self.forged("bank.example"))
        self.assertNotIn("signed by ours", self.browse("bank.example", forged.port).stdout)
        self.ca("untrust", "--store", "nss")
        self.assertNotIn("signed by ours", self.browse("app.local", server.port).stdout)


if __name__ == "__main__":
    enter_namespaces()
    copy_stores(os.environ[IN_NAMESPACE])
    unittest.main()

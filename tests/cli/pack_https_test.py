#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Packs over HTTPS and from OCI registries and layouts: what a server, or somebody in its place, may do to whoever asks."""
import base64
import hashlib
import http.server
import json
import os
import re
import shutil
import ssl
import subprocess
import threading
import unittest
import urllib.request

from pack_support import SourceCase
from support import main

TITLE = "org.opencontainers.image.title"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Server(http.server.ThreadingHTTPServer):
    """Files of a directory over TLS; what `act` does first decides."""
    daemon_threads = True

    def __init__(self, directory, certificate):
        super().__init__(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate + ".pem", certificate + ".key")
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.directory = directory
        self.asked = []  # (path, headers)
        self.act = lambda request: False
        self.url = f"https://localhost:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # clients that hang up are what is tested


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, status, data=b"", **headers):
        self.send_response(status)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers.setdefault("Content-Type", "application/octet-stream")
        headers.setdefault("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        return True

    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        if self.server.act(self):
            return
        try:
            with open(os.path.join(self.server.directory, self.path.lstrip("/")), "rb") as file:
                data = file.read()
        except OSError:
            self.answer(404, b"<html>not here</html>", Content_Type="text/html")
            return
        etag = f'"{hashlib.sha256(data).hexdigest()[:12]}"'
        if self.headers.get("If-None-Match") == etag:
            self.answer(304, ETag=etag)
            return
        begin = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if begin:
            at = int(begin.group(1))
            self.answer(206, data[at:], ETag=etag, Content_Range=f"bytes {at}-{len(data) - 1}/{len(data)}")
        else:
            self.answer(200, data, ETag=etag)


class Https(SourceCase):
    @classmethod
    def setUpClass(cls):
        cls.certificates = subprocess.run(["mktemp", "-d"], check=True, capture_output=True, text=True).stdout.strip()
        cls.addClassCleanup(shutil.rmtree, cls.certificates)
        for name, more in (("ca", ["-addext", "keyUsage=keyCertSign"]),
                           ("server", ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=CA:FALSE",
                                       "-addext", "subjectAltName=DNS:localhost"])):
            if "-CA" in more and b"-CA " not in subprocess.run(["openssl", "req", "-help"], capture_output=True, check=False).stderr:
                raise unittest.SkipTest("openssl req has no -CA")
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                            "-subj", f"/CN=moonfence test {name}", "-keyout", name + ".key", "-out", name + ".pem", *more],
                           cwd=cls.certificates, check=True, capture_output=True)
        cls.ca = os.path.join(cls.certificates, "ca.pem")

    def setUp(self):
        super().setUp()
        self.pack_call("source", "remove", "corp")
        self.server = self.serve(self.repo)

    def serve(self, directory):
        server = Server(directory, os.path.join(self.certificates, "server"))
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server

    def follow(self, address=None, *options, name="corp"):
        self.pack_call("source", "add", name, address or self.server.url, "--ca", self.ca, *options)

    def published(self, version="1.0.0"):
        archive = self.put(version=version)
        self.publish()
        return archive

    def asked(self, ending):
        return [headers for path, headers in self.server.asked if path.endswith(ending)]

    # --- HTTPS

    def test_nothing_is_fetched_twice(self):
        self.published()
        self.follow(self.server.url + "/")
        self.update()
        self.assertEqual({"egress": "1.0.0"}, self.installed())
        self.assertIn("index 1: nothing new", self.update())
        self.assertEqual(2, len(self.asked("stable.mfchannel")))
        self.assertIn("If-None-Match", self.asked("stable.mfchannel")[1])
        self.assertEqual(1, len(self.asked("egress-1.0.0.mfpack")))
        # Without an ETag, by time. An answer "not modified" does not help against an index that has expired: that is kept and looked at.
        day = "Sun, 22 Nov 2026 10:00:00 GMT"

        def by_time(request):
            if not request.path.endswith("mfchannel"):
                return False
            if request.headers.get("If-Modified-Since") == day:
                return request.answer(304)
            with open(os.path.join(self.repo, "stable.mfchannel"), "rb") as file:
                return request.answer(200, file.read(), Last_Modified=day)
        self.server.act = by_time
        self.published("1.1.0")
        self.update()
        self.assertIn("nothing new", self.update())
        self.assertEqual(day, self.asked("stable.mfchannel")[-1]["If-Modified-Since"])
        place = os.path.join(self.store, ".sources", "corp.memory")
        with open(place, encoding="utf-8") as file:
            memory = file.read()
        self.write("store/.sources/corp.memory", memory.replace("number 2", "number 3"))
        self.assertIn("does not belong", self.update(status=1))  # what is kept is not believed
        self.write("store/.sources/corp.memory", memory[:-1])
        self.assertIn("nothing new", self.update())

    def test_one_archive(self):
        archive = self.put()
        self.follow(f"{self.server.url}/{archive}", name="one")
        self.assertIn("egress 1.0.0", self.update())
        self.assertIn("nothing new", self.update())
        self.assertEqual(1, len(self.asked(".minisig")))

    def test_what_a_server_may_not_do(self):
        self.published()
        self.follow()

        def endless(request):
            request.send_response(200)
            request.end_headers()
            while True:
                request.wfile.write(b"x" * 65536)
        cases = (
            ("endless", endless, "has more than 65536 bytes"),
            ("a page", lambda r: r.answer(200, b"<html>log in</html>", Content_Type="text/html; charset=utf-8"), "does something else answer"),
            ("compressed", lambda r: r.answer(200, b"x", Content_Encoding="gzip"), "encoding gzip"),
            ("to http", lambda r: r.answer(302, Location="http://localhost:1/x"), "not https"),
            ("to a file", lambda r: r.answer(302, Location="file:///etc/passwd"), "not https"),
            ("in a circle", lambda r: r.answer(302, Location=r.path), "more than 5 times"),
            ("nothing", lambda r: r.answer(404), "there is no https://localhost"),
            ("forbidden", lambda r: r.answer(403), "status 403"),
            ("teapot", lambda r: r.answer(418), "status 418"),
            ("an empty file", lambda r: r.answer(200), "no signed index"),
            ("unasked for", lambda r: r.answer(304), "status 304"))
        for name, act, says in cases:
            with self.subTest(name):
                self.server.act = act
                self.assertIn(says, self.update("--force", status=1))
                self.assertEqual({}, self.installed())
        with self.subTest("an endless archive"):
            self.server.act = lambda r: endless(r) if r.path.endswith(".mfpack") else False
            self.assertRegex(self.update("--force", status=1), r"egress-1.0.0.mfpack has more than \d+ bytes")
        with self.subTest("elsewhere"):
            self.server.act = lambda r: not r.path.startswith("/x/") and r.answer(302, Location="/x" + r.path)
            os.symlink(self.repo, os.path.join(self.repo, "x"))
            self.update("--force")
            self.assertEqual({"egress": "1.0.0"}, self.installed())

    def test_who_the_server_is(self):
        self.published()
        self.pack_call("source", "add", "system", self.server.url)
        self.assertIn("is not who it should be", self.update("system", status=1))
        self.follow(self.server.url.replace("localhost", "127.0.0.1"), name="name")
        self.assertIn("is not who it should be", self.update("name", status=1))

    def test_a_source_that_fails_is_left_alone(self):
        self.published()
        self.follow()
        self.server.act = lambda r: r.answer(503, Retry_After="7200")
        self.assertIn("status 503; it is asked again after 2", self.update(status=1))
        self.assertIn("failed 1 times and is left alone until", self.update(status=1))
        self.assertEqual(1, len(self.server.asked))
        with open(os.path.join(self.store, ".sources", "corp.memory"), encoding="utf-8") as file:
            self.assertIn("failures 1\n", file.read())

        def drip(request):
            request.send_response(200)
            request.send_header("Content-Length", "60000")
            request.end_headers()
            while not self.done.wait(0.01):
                request.wfile.write(b"x")
        self.done = threading.Event()
        self.addCleanup(self.done.set)
        self.server.act = drip
        self.assertIn("took too long", self.update("--force", "--timeout", "1", status=1))
        self.assertIn("failed 2 times", self.update(status=1))
        self.server.act = lambda r: False
        self.update("--force")
        self.assertIn("nothing new", self.update())

    def test_an_archive_goes_on_where_it_was_cut_off(self):
        self.write("src-egress-1.0.0/data/x", "".join(str(i) for i in range(200000)))
        archive = self.published()
        size = os.path.getsize(os.path.join(self.repo, archive))
        self.follow()

        def cut(request):
            if not request.path.endswith(".mfpack") or "Range" in request.headers:
                return False
            with open(os.path.join(self.repo, archive), "rb") as file:
                data = file.read()
            request.send_response(200)
            request.send_header("Content-Length", str(size))
            request.end_headers()
            request.wfile.write(data[:300000])
            request.close_connection = True
            return True
        self.server.act = cut
        self.assertIn("cannot be had", self.update(status=1))
        parts = [f for f in os.listdir(os.path.join(self.store, ".sources")) if f.startswith("part-")]
        self.assertEqual(1, len(parts))
        self.assertEqual({}, self.installed())
        self.update("--force")
        self.assertEqual({"egress": "1.0.0"}, self.installed())
        self.assertEqual("bytes=300000-", self.asked(".mfpack")[-1]["Range"])
        self.assertEqual(["corp.memory"], [f for f in os.listdir(os.path.join(self.store, ".sources")) if f[0] != "."])
        # A beginning that was damaged meanwhile costs a second fetch, and nothing else.
        self.pack_call("remove", "egress")
        self.write("store/.sources/" + parts[0], "not that")
        self.server.act = lambda r: False
        self.update("--force")
        self.assertEqual({"egress": "1.0.0"}, self.installed())
        self.assertNotIn("Range", self.asked(".mfpack")[-1])

    def test_credentials_stay_with_the_server(self):
        self.published()
        other = self.serve(self.repo)
        self.write("secret", "user:geheim\n")
        self.follow(None, "--credentials", "secret")
        self.server.act = lambda r: r.path.endswith(".mfpack") and r.answer(302, Location=other.url + r.path)
        self.update()
        self.assertEqual({"egress": "1.0.0"}, self.installed())
        self.assertEqual("Basic " + base64.b64encode(b"user:geheim").decode(), self.asked("mfchannel")[0]["Authorization"])
        self.assertEqual(["/egress-1.0.0.mfpack"], [path for path, _ in other.asked])
        self.assertNotIn("Authorization", other.asked[0][1])

    # --- OCI

    def blobs(self):
        """The files of the directory as blobs, and the manifest that names them."""
        files = {}
        for name in sorted(os.listdir(self.repo)):
            with open(os.path.join(self.repo, name), "rb") as file:
                files[name] = file.read()
        blobs = {hashlib.sha256(data).hexdigest(): data for data in (*files.values(), b"{}")}

        def describe(data, kind, **more):
            return {"mediaType": kind, "digest": "sha256:" + hashlib.sha256(data).hexdigest(), "size": len(data), **more}
        manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST,
                               "config": describe(b"{}", "application/vnd.oci.image.config.v1+json"),
                               "layers": [describe(data, "application/octet-stream", annotations={TITLE: name})
                                          for name, data in files.items()]}).encode()
        return blobs, manifest

    def layout(self):
        blobs, manifest = self.blobs()
        place = self.path("layout")
        shutil.rmtree(place, ignore_errors=True)
        digest = hashlib.sha256(manifest).hexdigest()
        self.write("layout/oci-layout", '{"imageLayoutVersion": "1.0.0"}')
        self.write("layout/index.json", json.dumps({"schemaVersion": 2, "manifests": [
            {"mediaType": MANIFEST, "digest": "sha256:" + digest, "size": len(manifest),
             "annotations": {"org.opencontainers.image.ref.name": "stable"}}]}))
        os.makedirs(os.path.join(place, "blobs/sha256"))
        for name, data in {**blobs, digest: manifest}.items():
            with open(os.path.join(place, "blobs/sha256", name), "wb") as file:
                file.write(data)
        return place

    def test_an_image_layout(self):
        archive = self.published()
        place = self.layout()
        self.pack_call("source", "add", "corp", "oci:" + place)
        with open(os.path.join(self.repo, archive), "rb") as file:
            blob = "layout/blobs/sha256/" + hashlib.sha256(file.read()).hexdigest()
        with open(self.path(blob), "r+b") as file:
            file.write(b"x")
        self.assertIn("egress-1.0.0.mfpack is not what its digest says", self.update(status=1))
        self.layout()
        self.update()
        self.assertEqual({"egress": "1.0.0"}, self.installed())
        for text, says in (("[]", "is no JSON object"), ("{}", "there is no stable"), ('{"a":1,"a":1}', "is no JSON object"),
                           ('{"manifests": [{"digest": "sha256:../../x", "annotations": '
                            '{"org.opencontainers.image.ref.name": "stable"}}]}', "there is no stable")):
            self.write("layout/index.json", text)
            self.assertIn(says, self.update(status=1))

    def registry(self, blobs, manifest):
        """A registry that gives nothing without a token; its own server, so that it can lie."""
        self.given = {"/v2/team/packs/manifests/stable": manifest}
        self.given.update({"/v2/team/packs/blobs/sha256:" + digest: data for digest, data in blobs.items()})

        def act(request):
            if request.path.startswith("/token?"):
                self.assertIn("scope=repository%3Ateam%2Fpacks%3Apull", request.path)
                return request.answer(200, b'{"token": "t0k.en"}', Content_Type="application/json")
            if request.headers.get("Authorization") != "Bearer t0k.en":
                return request.answer(401, WWW_Authenticate=f'Bearer realm="{self.server.url}/token",service="r",'
                                                            'scope="repository:team/packs:pull"')
            data = self.given.get(request.path)
            if data is None:
                return request.answer(404)
            etag = '"' + hashlib.sha256(data).hexdigest() + '"'
            if request.headers.get("If-None-Match") == etag:
                return request.answer(304)
            kind = MANIFEST if "manifests" in request.path else "application/octet-stream"
            return request.answer(200, data, Content_Type=kind, ETag=etag)
        self.server.act = act
        self.follow(self.server.url.replace("https://", "oci://") + "/team/packs")

    def test_a_registry_with_tokens(self):
        self.published()
        blobs, manifest = self.blobs()
        self.registry(blobs, manifest)
        self.update()
        self.assertEqual({"egress": "1.0.0"}, self.installed())
        self.server.asked.clear()
        self.assertIn("nothing new", self.update())
        self.assertEqual([], self.asked("blobs"))
        self.published("1.1.0")
        blobs, good = self.blobs()
        self.given.update({"/v2/team/packs/blobs/sha256:" + digest: data for digest, data in blobs.items()})
        layers = json.loads(good)["layers"]
        archive = next(l for l in layers if l["annotations"][TITLE] == "egress-1.1.0.mfpack")
        old = next(l for l in layers if l["annotations"][TITLE] == "egress-1.0.0.mfpack")
        for name, text, says in (
                ("another blob", good.replace(archive["digest"].encode(), old["digest"].encode()), "egress-1.1.0.mfpack is not the archive"),
                ("a blob that lies", good.replace(archive["digest"].encode(), b"sha256:" + b"0" * 64), "is not what its digest says"),
                ("twice", good.replace(b"egress-1.0.0.mfpack\"", b"egress-1.1.0.mfpack\""), "has egress-1.1.0.mfpack twice"),
                ("another hash", good.replace(archive["digest"].encode(), b"sha512:" + b"0" * 128), "has no SHA-256"),
                ("no manifest", b"[1]", "is no JSON object"), ("an index", b'{"schemaVersion": 2, "manifests": []}', "is no OCI manifest"),
                ("deep", b"[" * 100000, "is no JSON object"),
                ("large", good.replace(f'"size": {archive["size"]}'.encode(), b'"size": 99999999'), "has more than")):
            with self.subTest(name):
                self.given["/v2/team/packs/blobs/sha256:" + "0" * 64] = b"x" * archive["size"]
                self.given["/v2/team/packs/manifests/stable"] = text
                self.assertIn(says, self.update("--force", status=1))
                self.assertEqual({"egress": "1.0.0"}, self.installed())
        self.given["/v2/team/packs/manifests/stable"] = good
        self.update("--force")
        self.assertEqual({"egress": "1.1.0"}, self.installed())
        for challenge, says in (('Bearer realm="http://localhost/token"', "no https address"), ("Basic", "no https address")):
            self.server.act = lambda r, c=challenge: r.answer(401, WWW_Authenticate=c)
            self.assertIn(says, self.update("--force", status=1))

    @unittest.skipUnless(shutil.which("docker-registry"), "docker-registry is not installed")
    def test_the_registry_that_debian_has(self):
        self.published()
        blobs, manifest = self.blobs()
        certificate = os.path.join(self.certificates, "server")
        self.write("registry.yml", f"""version: 0.1
log: {{level: info}}
storage: {{filesystem: {{rootdirectory: {self.path("registry")}}}}}
http:
  addr: 127.0.0.1:0
  tls: {{certificate: {certificate}.pem, key: {certificate}.key}}
""")
        registry = subprocess.Popen(["docker-registry", "serve", self.path("registry.yml")], stderr=subprocess.PIPE,
                                    stdout=subprocess.DEVNULL, text=True)
        self.addCleanup(registry.stderr.close)
        self.addCleanup(registry.wait)
        self.addCleanup(registry.kill)
        port = None
        while not port:
            line = registry.stderr.readline()
            self.assertTrue(line, "the registry ended")
            port = re.search(r"listening on 127\.0\.0\.1:(\d+)", line)
        threading.Thread(target=registry.stderr.read, daemon=True).start()
        base = f"https://localhost:{port.group(1)}"
        context = ssl.create_default_context(cafile=self.ca)

        def send(method, url, data=b"", kind="application/octet-stream"):
            request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": kind})
            with urllib.request.urlopen(request, context=context) as answer:
                return answer.headers
        for digest, data in blobs.items():
            place = send("POST", base + "/v2/team/packs/blobs/uploads/")["Location"]
            send("PUT", f"{place}{'&' if '?' in place else '?'}digest=sha256:{digest}", data)
        send("PUT", base + "/v2/team/packs/manifests/stable", manifest, MANIFEST)
        self.follow(base.replace("https://", "oci://") + "/team/packs")
        self.assertIn("egress 1.0.0", self.update())
        self.assertIn("nothing new", self.update())
        self.assertEqual({"egress": "1.0.0"}, self.installed())


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A page in Chromium and the gateway: WebSockets, sessions across origins, names, data channels (browser.mjs says what is checked)."""
import base64, hashlib, hmac, json, os, shutil, socket, subprocess, sys, time

from rig import *

HERE = os.path.dirname(os.path.abspath(__file__))
CHROMIUM = "/usr/bin/chromium"
if not shutil.which("node") or not os.path.exists(CHROMIUM):
    print("node or chromium is missing: tools/install-deps.sh test")
    sys.exit(77)
modules = subprocess.run([HERE + "/../../../tools/install-node-deps.sh"], stdout=subprocess.PIPE, text=True)
if modules.returncode:
    sys.exit(modules.returncode)


def b64url(b):
    return base64.urlsafe_b64encode(b).rstrip(b"=").decode()


def jwt(exp):
    text = b64url(b'{"alg":"HS256","typ":"JWT"}') + "." + b64url(json.dumps({"iat": 1, "exp": exp, "sid": "browser"}).encode())
    return text + "." + b64url(hmac.new(b"another", text.encode(), hashlib.sha256).digest())


with open_file(TMP + "/jwt", "w") as f:
    f.write("another\n")


def serve_page(conn):
    while b"\r\n\r\n" not in conn.recv(65536):
        pass
    body = b"<!doctype html><title>page</title>"
    conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


page = Server(serve_page).port
args = ["--origin", f"http://127.0.0.1:{page}", "--webrtc-port", "127.0.0.1:0", "--open", "::1"]
gateways = {
    "session": Gateway("--auth", "session", "--threads", "3", *args),
    "open": Gateway("--auth", "none", "--relay", "filter=any", *args),
    "tokens": Gateway("--auth", "jwt", "--jwt-secret-file", TMP + "/jwt", "--threads", "2", *args),
}
tcp = Server(echo)
facts = {"pagePort": page, "tcp": tcp.port, "token": jwt(int(time.time()) + 3600), "expired": jwt(int(time.time()) - 1)}
facts |= {name: f"127.0.0.1:{gw.port}" for name, gw in gateways.items()}
r = subprocess.run(["node", HERE + "/browser.mjs", modules.stdout.strip(), CHROMIUM, json.dumps(facts)], stdout=subprocess.PIPE, text=True, timeout=300)
print(r.stdout, end="")
ends = [gw.stop() for gw in gateways.values()]
assert r.returncode == 0, r.returncode
assert r.stdout.count(" ok\n") == 9, r.stdout
assert ends == [0, 0, 0], ends

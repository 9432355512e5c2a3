#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two PCs that v86 emulates boot iPXE from Debian, with a card whose frames go through /raw: one is let through, the other is not."""
import os, shutil, subprocess, sys, threading

HERE = os.path.dirname(os.path.abspath(__file__))
FILES = ("/boot/ipxe.lkrn", "/usr/share/seabios/bios.bin", "/usr/share/seabios/vgabios-stdvga.bin")
missing = [f for f in FILES if not os.path.exists(f)] + ([] if shutil.which("node") else ["node"])
if missing:
    print("skipped: no " + ", ".join(missing))
    sys.exit(77)
got = subprocess.run([HERE + "/../../../tools/install-node-deps.sh"], stdout=subprocess.PIPE, text=True)
if got.returncode:
    print("skipped: no npm packages")
    sys.exit(77)

from guest import *

POLICY = """
return {
  name = "v86",
  connect = function(c)
    if c.port == 9 then return deny "no discard" end
    return redirect("127.0.0.1:" .. c.port)
  end,
}
"""
asked = []


def web(conn):
    asked.append(conn.recv(4096))
    conn.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 36\r\n\r\n#!ipxe\necho from-behind-the-gateway\n")


upstream, pages = Udp(dns_answer), Server(web)
gw = Gateway("--auth", "none", "--dns", f"127.0.0.1:{upstream.port}", "--open", "192.0.2.0/24", policy=POLICY)


class Pc:
    def __init__(self, commands):
        self.screen, self.seen = "", ""
        self.p = subprocess.Popen(["node", HERE + "/v86_guest.mjs", got.stdout.strip(), f"ws://127.0.0.1:{gw.port}/raw", commands],
                                  stdout=subprocess.PIPE, text=True)
        atexit.register(self.p.kill)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.p.stdout:
            self.seen += line

    def wait(self, text, seconds=600):
        end = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < end and self.p.poll() is None, self.seen[-2000:]
            time.sleep(0.1)


good = Pc(f"dhcp && chain http://www.example.com:{pages.port}/x || echo it-went-wrong")
bad = Pc("dhcp && chain http://www.example.com:9/x || echo it-was-refused")
good.wait("from-behind-the-gateway")
bad.wait("it-was-refused")
assert len(asked) == 1 and asked[0].startswith(b"GET /x HTTP/1.1\r\n") and f"Host: www.example.com:{pages.port}".encode() in asked[0], asked
assert "it-went-wrong" not in good.seen and "from-behind" not in bad.seen
denied = gw.events_of(effective_action="blocked")
assert denied and all(e["domain"] == "www.example.com" and e["policy"]["reason"] == "no discard" for e in denied), denied
for pc in (good, bad):
    pc.p.kill()
    pc.p.wait()
wait_for("both gone", lambda: gw.metric("l2_sessions_active") == 0)
assert gw.stop() == 0
print("two PCs booted")

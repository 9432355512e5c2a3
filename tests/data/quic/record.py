#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Record the first datagrams of real QUIC clients, up to a whole ClientHello, as `unit.quic_initial` and the fuzzer read them.

usage: record.py DIR    writes DIR/NAME.bin: each datagram behind its length in two bytes, in the order sent

The RFCs' packets (rfc9001-a2.bin, rfc9369-a2.bin) are their Appendix A.2, bare.
"""
import os, shutil, socket, subprocess, sys, tempfile

NAME = "api.vendor.example"


def firefox(port, home):
    with open(os.path.join(home, "user.js"), "w") as f:
        for name, value in (("network.http.http3.alt-svc-mapping-for-testing", f'"{NAME};h3=:{port}"'),
                            ("network.dns.localDomains", f'"{NAME}"'), ("network.dns.disableIPv6", "true"),
                            ("browser.shell.checkDefaultBrowser", "false")):
            f.write(f'user_pref("{name}", {value});\n')
    return ["firefox", "--headless", "--no-remote", "--profile", home, f"https://{NAME}/"]


CLIENTS = {
    "firefox": firefox,
    "ngtcp2": lambda port, home: ["gtlsclient", "-q", "127.0.0.1", str(port), "https://localhost/"],
    "chromium": lambda port, home: ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={home}",
                                    f"--host-resolver-rules=MAP {NAME} 127.0.0.1", f"--origin-to-force-quic-on={NAME}:{port}",
                                    f"https://{NAME}:{port}/"],
}


def record(make_argv):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(30)
    home = tempfile.mkdtemp()
    p = subprocess.Popen(make_argv(sock.getsockname()[1], home), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
    try:
        first, peer = sock.recvfrom(65536)
        datagrams = [first]
        sock.settimeout(0.2)  # a client waits longer than this before it says anything twice
        try:
            while True:
                d, who = sock.recvfrom(65536)
                if who == peer and d not in datagrams:
                    datagrams.append(d)
        except socket.timeout:
            return datagrams
    finally:
        p.kill()
        p.wait()
        shutil.rmtree(home, ignore_errors=True)


def main():
    for name, argv in CLIENTS.items():
        datagrams = record(argv)
        with open(os.path.join(sys.argv[1], name + ".bin"), "wb") as f:
            for d in datagrams:
                f.write(len(d).to_bytes(2, "big") + d)
        print(name, [len(d) for d in datagrams])


main()

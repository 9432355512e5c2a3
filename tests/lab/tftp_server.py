# SPDX-License-Identifier: Apache-2.0
"""A real TFTP server (dnsmasq) on the lab's internet: it answers each request from a port of its own (RFC 1350, 4)."""
import subprocess


class TftpServer:
    """Gives the files of a folder at the addresses."""

    def __init__(self, lab, folder, *addresses):
        self.process = lab.popen(["dnsmasq", "-d", "--conf-file=/dev/null", "--port=0", "--user=root", "--enable-tftp", "--bind-interfaces",
                                  f"--tftp-root={folder}", *(f"--listen-address={a}" for a in addresses)],
                                 where=lab.internet, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        said = ""
        while "TFTP root" not in said:  # its sockets are there by then
            line = self.process.stderr.readline()
            said += line
            if not line:
                raise RuntimeError(f"dnsmasq did not start: {said}")

    def close(self):
        self.process.terminate()
        self.process.communicate(timeout=60)

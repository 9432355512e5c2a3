#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Asks the Moonfence daemon over its Unix socket, with nothing but Python's standard library.

  ask.py [--socket PATH] file op=delete path=/workspace/notes.txt
  ask.py connect host=packages.example ip=192.0.2.1 port=443 process.name=curl

As a module:

  with Moonfence("/run/moonfence/api.sock") as m:
      if m.decide("file", op="write", path="/workspace/a")["verdict"] != "allow": ...
      m.decide_all("dns", [{"name": "a.example"}, {"name": "b.example"}])     # one request, up to 512 questions

One connection is kept for all questions, and made anew when the daemon was restarted meanwhile. A Moonfence belongs to one
thread. Whoever cannot ask must not go on as if it were allowed: every failure is an exception.
"""
import argparse
import http.client
import json
import socket
import sys

SOCKET = "/run/moonfence/api.sock"


class Refused(Exception):
    """The daemon's answer is no decision: status, and the problem (RFC 9457) as a dictionary."""

    def __init__(self, status, problem):
        super().__init__(problem.get("detail") or f"HTTP status {status}")
        self.status, self.problem = status, problem


class _Connection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Moonfence:
    def __init__(self, path=SOCKET, timeout=5.0):
        self._connection = _Connection(path, timeout)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self._connection.close()

    def request(self, method, path, body=None):
        """One request of the API. Returns what the JSON says; raises Refused, OSError, http.client.HTTPException."""
        text = None if body is None else json.dumps(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        for last in (False, True):
            fresh = self._connection.sock is None
            try:
                self._connection.request(method, path, text, headers)
                answer = self._connection.getresponse()
                break
            except (ConnectionError, http.client.BadStatusLine):
                # A kept connection may have been closed meanwhile; to ask twice does no harm, a decision changes nothing.
                self._connection.close()
                if fresh or last:
                    raise
        data = answer.read()
        is_json = "json" in answer.headers.get("Content-Type", "")
        value = json.loads(data) if is_json else data.decode()
        if answer.status != 200:
            raise Refused(answer.status, value if isinstance(value, dict) else {})
        return value

    def decide(self, kind, **fields):
        """A decision: a dictionary with "verdict", "rule", "policy", "reason" and so on."""
        return self.decide_all(kind, [fields])[0]

    def decide_all(self, kind, questions):
        """The decisions of a list of questions of one kind, in their order."""
        return self.request("POST", f"/v1/decide/{kind}", list(questions))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--socket", default=SOCKET)
    ap.add_argument("kind")
    ap.add_argument("fields", nargs="*", help="NAME=VALUE")
    args = ap.parse_args()
    fields = dict(f.partition("=")[::2] for f in args.fields)
    if "port" in fields:
        fields["port"] = int(fields["port"])
    try:
        with Moonfence(args.socket) as m:
            d = m.decide(args.kind, **fields)
    except (Refused, OSError, http.client.HTTPException) as e:
        print(f"denied: {e}", file=sys.stderr)
        return 2
    print(d["verdict"], d.get("rule") or "", d.get("reason") or "")
    return 0 if d["verdict"] != "deny" else 1


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI document against the wire, and against the code: every operation is asked for, every answer is as its schema says."""
import glob
import http.server
import json
import os
import re
import socket
import socketserver
import subprocess
import threading
import unittest

import jsonschema

import support
from sessions_support import SessionsCase
from support import LAUNCHER, ROOT
from trace_test import WAIT_S, wait_for

POLICY = """return {
  name = "wire",
  dns = function(q)
    if q:is "bad.example" then return deny { reason = "bad", rcode = "NXDOMAIN" } end
    if q:is "ask.example" then return ask{ message = "may it be looked up?" } end
    return resolve { "203.0.113.7", ttl = 30 }
  end,
  connect = function(c) if c.process.name == "curl" then return deny "no curl" end return allow() end,
  file = function(f) if f.op == "delete" then return soft_delete() end return allow() end,
}
"""
CONFIG = """api: {socket: %(dir)s/api.sock}
policy: {paths: [%(policy)s]}
sessions:
  - {id: kept, command: [sleep, "1000"]}
"""
# What only a session's own control socket answers (docs/approvals.md, session_self_routes.h): the daemon asks there.
SESSIONS_OWN = ("session_self_routes.c", "approval_routes.c")


class OwnSession(http.server.BaseHTTPRequestHandler):
    """This process as a session that registers: it says who it is, and nothing else."""

    def do_GET(self):
        good = self.path == "/v1/session"
        body = json.dumps({"id": "registered", "kind": "run", "pid": os.getpid()} if good else {}).encode()
        self.send_response(200 if good else 404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


def operations(document):
    return {(method.upper(), path): operation for path, methods in document["paths"].items() for method, operation in methods.items()}


@unittest.skipIf(LAUNCHER, "by curl over a Unix socket, with sessions; daemon_windows_test.py has the pipe")
class OpenApi(SessionsCase):
    def setUp(self):
        super().setUp()
        self.policy = self.write("wire.lua", POLICY)
        self.document = self.call_json("daemon", "--openapi")
        self.operations = operations(self.document)
        self.schemas = self.document["components"]["schemas"]
        self.answered = set()  # (method, path, status, type)
        self.used = set()  # schemas that something was checked against

    def check(self, value, schema):
        for name in re.findall(r"#/components/schemas/(\w+)", json.dumps(schema)):
            self.used.add(name)
        jsonschema.Draft202012Validator({**schema, "components": {"schemas": self.schemas}}).validate(value)

    def answer_of(self, method, path, status, kind):
        """The schema of what was answered; it must be in the document."""
        responses = self.operations[method, path]["responses"]
        key = str(status) if str(status) in responses else "default"
        self.assertTrue(key != "default" or status >= 400, (method, path, status, "is not documented"))
        self.assertIn(kind, responses[key]["content"], (method, path, status))
        self.answered.add((method, path, key, kind))
        return responses[key]["content"][kind]["schema"]

    def go(self, method, path, body=None, status=None, template=None, query="", options=()):
        """One request: it and its answer are as the document says."""
        template = template or path
        operation = self.operations[method, template]
        if body is not None and (status or 200) < 400:
            self.check(body, operation["requestBody"]["content"]["application/json"]["schema"])
        for name in re.findall(r"(\w+)=", query):
            self.assertIn(name, {p["name"] for p in operation["parameters"] if p["in"] == "query"}, template)
        found, kind, text = self.curl(self.daemon, method, path + ("?" + query if query else ""), body, options=options)
        wanted = status or min(int(s) for s in operation["responses"] if s != "default")
        self.assertEqual(found, wanted, (method, path, text))
        schema = self.answer_of(method, template, found, kind)
        if kind not in ("application/json", "application/problem+json"):
            return text
        value = json.loads(text)
        self.check(value, schema)
        return value

    def decide(self):
        for kind, body in (("dns", {"name": "bad.example", "type": None}), ("dns", {"name": "here.example"}), ("dns", []),
                           ("dns_answer", {"name": "x.example", "answer.ips": ["192.0.2.1"]}),
                           ("connect", [{"ip": "203.0.113.1", "port": 1, "session.labels": {"a": "b"}}] * 3),
                           ("connect", {"host": "x.example", "port": 443, "process.name": "curl"}),
                           ("sni", {"sni": "x.example", "alpn": ["h2"], "ech": True}),
                           ("file", [{"op": "delete", "path": "/a"}])):
            self.go("POST", f"/v1/decide/{kind}", body, template="/v1/decide/{kind}")
        self.go("POST", "/v1/decide/dns", {"name": "bad.example"}, template="/v1/decide/{kind}", query="explain=true")
        problem = self.go("POST", "/v1/decide/dns", {"nane": "x"}, 422, template="/v1/decide/{kind}")
        self.assertEqual(problem["pointer"], "/nane")

    def policies(self):
        self.go("POST", "/v1/policy/load", {"paths": [self.policy]})
        self.go("GET", "/v1/policy")
        self.go("POST", "/v1/policy/test", {"candidate": 1})
        self.go("POST", "/v1/policy/activate", {"sessions": True})
        self.go("POST", "/v1/policy/activate", None, 409)
        self.go("POST", "/v1/policy/rollback", {"to": 1, "sessions": True})
        self.go("POST", "/v1/policy/reload")
        self.write("broken.lua", "return {\n")
        problem = self.go("POST", "/v1/policy/load", {"paths": [os.path.join(self.directory, "broken.lua")]}, 422)
        self.assertEqual(problem["line"], 2, problem)

    def sessions(self):
        one = "/v1/sessions/{id}"
        self.pids.append(self.go("POST", "/v1/sessions", {
            "kind": "run", "id": "a1", "labels": {"team": "red"}, "options": ["--approvals", "control"], "environment": {"A": "b"},
            "directory": self.directory, "output": os.path.join(self.directory, "out"), "policies": [self.policy],
            "command": ["sh", "-c", "getent ahostsv4 in.example; getent ahostsv4 ask.example; exec sleep 1000"]})["pid"])
        self.go("GET", "/v1/sessions")
        self.assertIn("processes", self.go("GET", "/v1/sessions/a1", template=one))
        self.go("GET", "/v1/sessions/a1/maps", template=one + "/maps", query="limit=5&name=in.example")
        self.go("GET", "/v1/sessions/a1/maps/flows", template=one + "/maps/flows", query="limit=5")
        wait_for(lambda: self.go("GET", "/v1/approvals")["approvals"], "nothing waits")
        asked, = self.go("GET", "/v1/sessions/a1/approvals", template=one + "/approvals")["approvals"]
        self.go("POST", f"/v1/sessions/a1/approvals/{asked['id']}", {"answer": "allow", "scope": "time", "for_s": 60},
                template=one + "/approvals/{number}")
        # in another session the same is asked again
        self.pids.append(self.go("POST", "/v1/sessions", {"kind": "run", "id": "a2", "options": ["--approvals", "control"],
                                                          "command": ["getent", "ahostsv4", "ask.example"]})["pid"])
        asked = wait_for(lambda: self.go("GET", "/v1/approvals")["approvals"], "nothing waits")[0]
        self.go("POST", f"/v1/approvals/{asked['session']}/{asked['id']}", {"answer": "deny"}, template="/v1/approvals/{session}/{number}")
        self.assertEqual(self.go("DELETE", "/v1/sessions/a1", status=202, template=one, query="force=true&grace_s=300")["id"], "a1")
        self.wait_for_state(self.daemon, "a1", "ended")
        self.assertEqual(self.go("DELETE", "/v1/sessions/a1", status=200, template=one)["state"], "ended")
        hand = self.by_hand("hand", "read go")  # one that the daemon did not start answers in the same way
        self.wait_for_state(self.daemon, "hand", "running")
        self.assertEqual(self.go("DELETE", "/v1/sessions/hand", status=202, template=one)["pid"], hand.pid)
        self.go("GET", "/v1/sessions/nobody", status=404, template=one)

    def services(self):
        one = "/v1/services/{id}"
        wait_for(lambda: self.go("GET", "/v1/services")["services"][0]["state"] == "running", "no service runs")
        self.pids.append(self.go("GET", "/v1/services/kept", template=one)["pid"])
        self.go("POST", "/v1/services/kept/restart", template=one + "/restart")
        wait_for(lambda: self.go("GET", "/v1/services/kept", template=one)["state"] == "running", "it is not started again")
        self.pids.append(self.go("GET", "/v1/services/kept", template=one)["pid"])
        self.go("POST", "/v1/services/kept/stop", template=one + "/stop")
        self.go("POST", "/v1/config/reload")
        self.write("moonfence.yaml", CONFIG % {"dir": self.directory, "policy": self.policy} + "walls: []\n")
        self.assertEqual(self.go("POST", "/v1/config/reload", status=422)["line"], 5)

    def attach(self):
        path = os.path.join(self.directory, "own.sock")
        server = UnixServer(path, OwnSession)
        self.addCleanup(server.server_close)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.shutdown)
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(WAIT_S)
            s.connect(self.daemon.socket)
            body = json.dumps({"socket": path})
            self.check(json.loads(body), self.operations["POST", "/v1/attach"]["requestBody"]["content"]["application/json"]["schema"])
            s.sendall(f"POST /v1/attach HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
            text = b""
            while b'{"attached":' not in text.replace(b" ", b"") or not text.endswith(b"\n"):
                more = s.recv(4096)
                self.assertTrue(more, text)
                text += more
            head = text.decode().split("\r\n\r\n")[0].lower()
            self.answer_of("POST", "/v1/attach", int(head.split()[1]), re.search(r"content-type: ([^\r\n]+)", head).group(1))
            self.assertTrue(self.session(self.daemon, "registered")["attached"])
        self.go("POST", "/v1/attach", {"socket": "relative"}, 422)

    def trash(self):
        for name in ("src", "mnt"):
            os.mkdir(os.path.join(self.directory, name))
        self.addCleanup(subprocess.run, ["umount", "--lazy", os.path.join(self.directory, "mnt")], capture_output=True, check=False)
        where = "dir=" + os.path.join(self.directory, "trash")
        self.pids.append(self.go("POST", "/v1/sessions", {
            "kind": "mount", "id": "m1", "source": os.path.join(self.directory, "src"), "place": os.path.join(self.directory, "mnt"),
            "options": ["--trash", os.path.join(self.directory, "trash")]})["pid"])
        one = "/v1/trash/{token}"
        for restored in (True, False):
            self.write("mnt/lost", "precious")
            os.unlink(os.path.join(self.directory, "mnt/lost"))
            entries = self.go("GET", "/v1/trash", query=where + "&session=m1&limit=5")["entries"]
            entry = next(e for e in entries if e["operation"] == "delete")
            self.go("GET", "/v1/trash/" + entry["token"], template=one, query=where)
            if restored:
                self.go("POST", f"/v1/trash/{entry['token']}/restore", {"replace": False}, template=one + "/restore", query=where)
            else:
                self.go("DELETE", "/v1/trash/" + entry["token"], template=one, query=where)
        self.go("DELETE", "/v1/sessions/m1", status=202, template="/v1/sessions/{id}")
        self.wait_for_state(self.daemon, "m1", "ended")

    def status(self):
        for path in ("/v1/health", "/v1/version", "/v1/metrics", "/v1/openapi.json"):
            self.go("GET", path)
        self.go("GET", "/v1/metrics", query="format=json")
        self.go("GET", "/v1/metrics", query="format=xml", status=422)
        for query in ("follow=false&after=", "follow=false&after=&format=sse", "follow=false&after=&kind=dns&verdict=deny&session=a*&type=dns_query&host=**.example&path=/**"):
            text = self.go("GET", "/v1/events", query=query)
            for line in text.splitlines() if "sse" not in query else ():
                self.assertIn("id", json.loads(line))

    def mistakes(self):
        """Each operation refuses what is no JSON, or a body that it does not want, and says so as the document says."""
        for (method, path), operation in self.operations.items():
            target = path.replace("{kind}", "dns").replace("{", "").replace("}", "")
            found, kind, text = self.curl(self.daemon, method, target, "{", content_type="application/json")
            self.assertEqual(found, 400, (method, path, text))
            self.check(json.loads(text), self.answer_of(method, path, found, kind))

    def test_every_operation_and_every_answer_is_as_the_document_says(self):
        for schema in self.schemas.values():
            jsonschema.Draft202012Validator.check_schema(schema)
        config = self.write("moonfence.yaml", CONFIG % {"dir": self.directory, "policy": self.policy})
        self.daemon = self.start("--config", config, socket=None)
        self.assertEqual(self.go("GET", "/v1/openapi.json"), self.document)
        for part in (self.decide, self.policies, self.sessions, self.services, self.attach, self.trash, self.status, self.mistakes):
            part()
        documented = {(method, path, status, kind) for (method, path), operation in self.operations.items()
                      for status, response in operation["responses"].items() for kind in response["content"]}
        # a daemon with a control socket has policies: 503 is for those who serve this table without any (tests/unit/daemon)
        documented.discard(("GET", "/v1/health", "503", "application/json"))
        self.assertEqual(documented - self.answered, set(), "documented, and never answered here")
        for schema in [self.schemas[name] for name in self.used]:
            self.used.update(re.findall(r"#/components/schemas/(\w+)", json.dumps(schema)))
        self.assertEqual(set(self.schemas) - self.used, set(), "schemas that nothing refers to")

    def test_the_document_has_the_routes_of_the_code(self):
        """Read from the sources: a set of routes that nobody adds is missing from the document, and a document cannot invent any."""
        code = set()
        for path in glob.glob(os.path.join(ROOT, "daemon/*.c")) + glob.glob(os.path.join(ROOT, "cli/*.c")):
            if os.path.basename(path) in SESSIONS_OWN:
                continue
            with open(path, encoding="utf-8") as file:
                text = file.read()
            found = re.findall(r'\.method\s*=\s*"(\w+)",\s*\.path\s*=\s*"(/v1/[^"]+)"', text)
            self.assertEqual(len(found), len(re.findall(r'\.path\s*=\s*"/v1/', text)), path)
            code.update(found)
        self.assertGreater(len(code), 20)
        self.assertEqual(code, set(self.operations))
        with open(os.path.join(ROOT, "docs/daemon.md"), encoding="utf-8") as file:
            manual = file.read()
        for method, path in code:
            words = path.split("/")
            shown = path in manual or f"`, `/{words[-1]}`" in manual or f"/{words[-1]}`" in manual
            self.assertTrue(shown, f"docs/daemon.md does not have {method} {path}")


if __name__ == "__main__":
    support.main()

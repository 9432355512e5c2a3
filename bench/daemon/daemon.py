# SPDX-License-Identifier: Apache-2.0
"""The daemon's decisions over its Unix socket, beside nginx answering the same bytes over one.

  daemon.py --build DIR [--rounds N] [--seconds S]

Clients and servers are the same machine's: what a server costs is its processor time. One client on one connection; single
requests and batches of 32; ours and nginx (which decides nothing: a fixed answer of the size of ours) take turns.
"""
import argparse
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
POLICY = """local denied = domains { "bad.example", "tracker.example" }
return { name = "bench", dns = function(q) if q:under(denied) then return deny "listed" end return allow() end }
"""


class Client:
    """One connection that is kept; answers are read by their content-length."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)

    def call(self, request):
        self.socket.sendall(request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.receive()
        head, _, body = data.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += self.receive()
        return body

    def receive(self):
        data = self.socket.recv(262144)
        assert data, "the server ended the connection"
        return data


def post(body):
    text = json.dumps(body).encode()
    return (b"POST /v1/decide/dns HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
            % len(text)) + text


def requests(batch):
    names = [f"host{i % 997}.{'tracker' if i % 3 == 0 else 'fine'}.example" for i in range(64 * batch)]
    questions = [{"name": n, "type": "A", "process.name": "curl"} for n in names]
    if batch == 1:
        return [post(q) for q in questions]
    return [post(questions[i:i + batch]) for i in range(0, len(questions), batch)]


def processor_seconds(pid):
    total = 0
    for one in [pid] + [int(p) for p in open(f"/proc/{pid}/task/{pid}/children").read().split()]:
        fields = open(f"/proc/{one}/stat").read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def measure(path, pid, batch, seconds):
    client, todo = Client(path), requests(batch)
    for request in todo:
        client.call(request)
    times, before, began = [], processor_seconds(pid), time.monotonic()
    while time.monotonic() - began < seconds:
        for request in todo:
            t = time.perf_counter()
            client.call(request)
            times.append(time.perf_counter() - t)
    elapsed = time.monotonic() - began
    times.sort()
    decisions = len(times) * batch
    return {"per_s": decisions / elapsed, "p50_us": times[len(times) // 2] * 1e6, "p99_us": times[len(times) * 99 // 100] * 1e6,
            "server_us": (processor_seconds(pid) - before) / decisions * 1e6}


def start_ours(build, directory):
    with open(os.path.join(directory, "p.lua"), "w", encoding="utf-8") as file:
        file.write(POLICY)
    path = os.path.join(directory, "ours.sock")
    process = subprocess.Popen([os.path.join(build, "cli", "moonfence"), "daemon", "-s", path, "-p", os.path.join(directory, "p.lua")],
                               stdout=subprocess.PIPE, env=dict(os.environ, MOONFENCE_DATA=os.path.join(ROOT, "lua")))
    assert process.stdout.readline().startswith(b"serving")
    return process, path


def start_nginx(directory, answers):
    path = os.path.join(directory, "nginx.sock")
    for batch, answer in answers.items():
        os.makedirs(os.path.join(directory, f"b{batch}", "v1", "decide"))
        with open(os.path.join(directory, f"b{batch}", "v1", "decide", "dns"), "w", encoding="utf-8") as file:
            file.write(answer)
    with open(os.path.join(directory, "nginx.conf"), "w", encoding="utf-8") as file:
        file.write(f"user root; daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/nginx.err;\n"
                   f"events {{}}\nhttp {{ access_log off; default_type application/json; keepalive_requests 100000000;\n"
                   f" client_body_temp_path {directory}; proxy_temp_path {directory}; fastcgi_temp_path {directory};\n"
                   f" uwsgi_temp_path {directory}; scgi_temp_path {directory}; open_file_cache max=8;\n"
                   + "".join(f" server {{ listen unix:{path}.{b}; root {directory}/b{b}; error_page 405 =200 $uri; }}\n"
                             for b in answers) + "}\n")
    process = subprocess.Popen(["nginx", "-c", os.path.join(directory, "nginx.conf"), "-e", os.path.join(directory, "nginx.err")])
    while not os.path.exists(f"{path}.32"):
        time.sleep(0.01)
        assert process.poll() is None
    return process, path


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--json", action="store_true", help="for bench/run.py: every round, by what was measured")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    options = parser.parse_args()
    spinners = [subprocess.Popen(["nice", "-n", "19", "sh", "-c", "while :; do :; done"]) for _ in range(2)]
    with tempfile.TemporaryDirectory(prefix="mf-bench-daemon-") as directory:
        ours, ours_path = start_ours(options.build, directory)
        answers = {b: Client(ours_path).call(requests(b)[0]).decode().strip() for b in (1, 32)}
        nginx, nginx_path = start_nginx(directory, answers)
        try:
            rows = {}
            for _ in range(options.rounds):
                for batch in (32, 1):
                    for name, path, pid in (("moonfence", ours_path, ours.pid), ("nginx", nginx_path, nginx.pid)):
                        rows.setdefault((name, batch), []).append(measure(path if name == "moonfence" else f"{path}.{batch}",
                                                                              pid, batch, options.seconds))
        finally:
            for process in (ours, nginx, *spinners):
                process.terminate()
                process.wait()
    if options.json:
        print(json.dumps({f"{key} {batch}": [[r[key] for r in rows[name, batch]] for name in ("moonfence", "nginx")]
                          for batch in (32, 1) for key in rows["nginx", batch][0]}))
        return
    result = [{"server": name, "batch": batch, **{key: round(statistics.median(r[key] for r in found), 2) for key in found[0]}}
              for (name, batch), found in rows.items()]
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Many connections through the service: ten thousand that are idle, thousands that come and go, more than are allowed, and more
than there are descriptors. Nothing here depends on how long it takes."""
import asyncio
import os
import resource
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))

from service import MOONFENCE, Service, be_alone, wait_for  # noqa: E402

IDLE, BRIEF, AT_ONCE = 10000, 5000, 200

SERVER = """
import asyncio
async def serve(r, w):
    try:
        while True:
            head = await r.readuntil(b"\\r\\n\\r\\n")
            w.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
    except (asyncio.IncompleteReadError, ConnectionError):
        w.close()
async def main():
    s = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=4096)
    print(s.sockets[0].getsockname()[1], flush=True)
    await s.serve_forever()
asyncio.run(main())
"""
REQUEST = b"GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n"


def memory_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(next(line for line in f if line.startswith("VmRSS")).split()[1])


class Load(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        cls.addClassCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        cls.server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
        cls.port = int(cls.server.stdout.readline())
        cls.addClassCleanup(cls.server.wait)
        cls.addClassCleanup(cls.server.kill)

    def service(self, limit, **limits):
        return Service("--map", f"app.localhost={self.port}",
                       limits={"max_connections": limit, "max_connections_per_client": limit, **limits})

    async def open(self, s):
        reader, writer = await asyncio.open_connection("127.0.0.1", s.port)
        await self.ask(reader, writer)
        return reader, writer

    async def ask(self, reader, writer):
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 200"), head)
        self.assertEqual(await reader.readexactly(2), b"ok")

    async def open_many(self, s, cnt):
        conns, gate = [], asyncio.Semaphore(AT_ONCE)

        async def one():
            async with gate:
                conns.append(await self.open(s))

        await asyncio.gather(*[one() for _ in range(cnt)])
        return conns

    async def idle(self, s, cnt):
        pid = s.json("status")["pid"]
        before = memory_kib(pid)
        conns = await self.open_many(s, cnt)
        status = s.json("status")
        self.assertEqual((status["connectionsActive"], status["connectionsTotal"]), (cnt, cnt))
        # less than 20 KiB each, whatever a sanitizer adds
        self.assertLess(memory_kib(pid) - before, cnt * 20 + (64 << 10))
        # one more than is allowed is reset, and told
        with self.assertRaises(ConnectionError):
            reader, writer = await asyncio.open_connection("127.0.0.1", s.port)
            writer.write(REQUEST)
            if not await reader.read(1):
                raise ConnectionError
        self.assertEqual(s.errors()["max_connections"], 1)
        # all that were there still are
        for reader, writer in conns:
            await self.ask(reader, writer)
        for _, writer in conns:
            writer.close()

    def test_idle_connections(self):
        cnt = min(IDLE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 1000) // 2)
        with self.service(cnt) as s:
            asyncio.run(self.idle(s, cnt))
            wait_for("their ends", lambda: s.json("status")["connectionsActive"] == 0)
            errors = s.errors()
            self.assertEqual({k: v for k, v in errors.items() if v}, {"max_connections": 1})

    async def brief(self, s, cnt):
        gate = asyncio.Semaphore(AT_ONCE)

        async def one():
            async with gate:
                _, writer = await self.open(s)
                writer.close()

        await asyncio.gather(*[one() for _ in range(cnt)])

    def test_connections_that_come_and_go(self):
        with self.service(1000) as s:
            pid = s.json("status")["pid"]
            asyncio.run(self.brief(s, BRIEF))
            before = memory_kib(pid)
            asyncio.run(self.brief(s, BRIEF))
            wait_for("their ends", lambda: s.json("status")["connectionsActive"] == 0)
            status = s.json("status")
            self.assertEqual((status["connectionsTotal"], {k: v for k, v in status["errors"].items() if v}), (2 * BRIEF, {}))
            self.assertLess(memory_kib(pid) - before, 32 << 10)
            self.assertLess(len(os.listdir(f"/proc/{pid}/fd")), 200)

    def test_no_more_descriptors(self):
        """Who cannot be accepted waits, without the service spinning, and is served once others have gone."""
        with self.service(1000) as s:
            pid = s.json("status")["pid"]
            room = len(os.listdir(f"/proc/{pid}/fd")) + 60
            old = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (room, old[1]))
            self.assertGreater(old[0], 1024)  # it was raised

            async def crowd():
                conns = [await asyncio.open_connection("127.0.0.1", s.port) for _ in range(100)]
                for _, writer in conns:
                    writer.write(REQUEST)
                answers = [asyncio.ensure_future(reader.read(1)) for reader, _ in conns]
                await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
                with open(f"/proc/{pid}/stat") as f:
                    used = sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13]))
                await asyncio.sleep(1)
                with open(f"/proc/{pid}/stat") as f:
                    self.assertLess(sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13])) - used, 60)
                pending = list(zip(answers, conns))
                served = 0
                while pending:
                    await asyncio.wait([a for a, _ in pending], return_when=asyncio.FIRST_COMPLETED)
                    rest = []
                    for answer, conn in pending:
                        if not answer.done():
                            rest.append((answer, conn))
                            continue
                        served += answer.exception() is None and answer.result() == b"H"
                        conn[1].close()
                    pending = rest
                return served

            served = asyncio.run(crowd())
            self.assertGreater(served, 20)
            wait_for("their ends", lambda: s.json("status")["connectionsActive"] == 0)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, old)
            asyncio.run(self.brief(s, 100))


if __name__ == "__main__":
    if not os.environ.get("MF_SLOW"):
        print("thousands of connections: MF_SLOW=1 makes them")
        sys.exit(77)
    be_alone()
    unittest.main(verbosity=2)

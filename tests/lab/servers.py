# SPDX-License-Identifier: Apache-2.0
"""Plain TCP and UDP servers of the lab: servers.py LOG ADDRESS...

On every address: port 7 echoes (TCP and UDP), port 22 speaks first, port 443/udp, 853, 5353/udp, 3478/udp and 123/udp only record.
What arrives is appended to LOG as one JSON object a line.
"""
import asyncio
import json
import sys

log = open(sys.argv[1], "a", buffering=1)


def record(proto, server, data):
    log.write(json.dumps({"proto": proto, "server": server[0], "port": server[1], "data": data.hex()}) + "\n")


async def echo(reader, writer):
    server = writer.get_extra_info("sockname")
    record("tcp", server, b"")
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except (ConnectionError, OSError):
        pass
    finally:
        writer.close()


async def banner(reader, writer):
    record("tcp", writer.get_extra_info("sockname"), b"")
    writer.write(b"SSH-2.0-lab\r\n")
    try:
        line = await reader.readline()
        writer.write(b"got " + line)
        await writer.drain()
    except (ConnectionError, OSError):
        pass
    finally:
        writer.close()


async def sink(reader, writer):
    server = writer.get_extra_info("sockname")
    try:
        record("tcp", server, await reader.read(4096))
    except (ConnectionError, OSError):
        record("tcp", server, b"")
    finally:
        writer.close()


class Datagram(asyncio.DatagramProtocol):
    def __init__(self, answer):
        self.answer = answer

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        record("udp", self.transport.get_extra_info("sockname"), data)
        if self.answer:
            self.transport.sendto(data, addr)


async def main():
    loop = asyncio.get_running_loop()
    for address in sys.argv[2:]:
        await asyncio.start_server(echo, address, 7)
        await asyncio.start_server(banner, address, 22)
        await asyncio.start_server(sink, address, 853)
        for port, answer in ((7, True), (443, True), (853, False), (5353, False), (3478, True), (123, True), (53, True)):
            await loop.create_datagram_endpoint(lambda a=answer: Datagram(a), local_addr=(address, port))
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())

"""Client that goes through the cases of `autobahn.py server`, and sends every message back.

    client_autobahn.py URL [--lenient] [--parallel N] [--timeout SECONDS]

It is on the library `websockets`; with --lenient on plain sockets, and then it checks nothing behind the handshake:
every frame goes back, however wrong it is. Verdicts are printed by the server.
"""

import argparse
import asyncio
import signal
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

CLOSE, PING, PONG = 8, 9, 10
NO_MASK = bytes(4)


async def main():
    flags = command_line()
    signal.alarm(flags.timeout)
    echo = echo_unchecked if flags.lenient else echo_messages
    async with open_connection(f"{flags.url}/getCaseCount") as ws:
        count = int(await ws.recv())
    turn = asyncio.Semaphore(flags.parallel)

    async def run(case):
        async with turn:
            await echo(f"{flags.url}/runCase?case={case}&agent=client")

    await asyncio.gather(*(run(case + 1) for case in range(count)))
    async with open_connection(f"{flags.url}/updateReports?agent=client") as ws:
        await ws.wait_closed()


def command_line():
    flags = argparse.ArgumentParser(description="client of the Autobahn test suite")
    flags.add_argument("url", help="of the server, without a path")
    flags.add_argument("--lenient", action="store_true", help="check nothing")
    flags.add_argument("--parallel", type=int, default=1, help="cases at a time")
    flags.add_argument("--timeout", type=int, default=60, help="seconds for all, 0 for no limit")
    return flags.parse_args()


# --- on the library ---


async def echo_messages(url):
    async with open_connection(url) as ws:
        try:
            while True:
                await ws.send(await ws.recv())
        except ConnectionClosed:
            pass


def open_connection(url):
    return connect(url, max_size=None, proxy=None, ping_interval=None)


# --- on plain sockets ---


async def echo_unchecked(url):
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write(handshake(where).encode())
    try:
        await reader.readuntil(b"\r\n\r\n")
        while await echo_frame(reader, writer):
            pass
        # The server ends the connection (RFC 6455 7.1.1).
        await reader.read()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()


def handshake(where):
    return (
        f"GET {where.path}?{where.query} HTTP/1.1\r\nHost: {where.netloc}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )


async def echo_frame(reader, writer):
    """Send the next frame back, a ping as a pong; whether more may come."""
    first, second = await reader.readexactly(2)
    longer = await reader.readexactly({126: 2, 127: 8}.get(second & 0x7F, 0))
    if second & 0x80:  # no server may mask, and we go on without a word
        await reader.readexactly(4)
    payload = await reader.readexactly(int.from_bytes(longer) if longer else second & 0x7F)

    opcode = first & 0x0F
    if opcode == PING:
        first = first & 0xF0 | PONG
    if opcode != PONG:
        writer.write(bytes([first, second | 0x80]) + longer + NO_MASK + payload)
    return opcode != CLOSE


asyncio.run(main())

"""Client on the library `aiohttp`: runs checks against a URL that leads to an echo backend.

    client_aiohttp.py URL [--size N] [--no-deflate] [--timeout SECONDS]

The backend must accept the subprotocol `chat.v1` and not `chat.v2`. Prints one line,
{"ok": true, "checks": 10, "failed": []}, and exits with 1 if a check failed (see ../README.md). The library cannot
send fragments, so that check is missing here.
"""

import asyncio
import contextlib
import sys

import aiohttp
from aiohttp import WSMsgType

import peer

flags = peer.client_flags("client on aiohttp").parse_args()


async def text():
    await expect_echo("grüß dich, ропевей, 索道")


async def binary():
    await expect_echo(bytes(range(256)))


async def empty():
    await expect_echo("", b"")


async def largest():
    await expect_echo(peer.noise(flags.size), "x" * flags.size)


async def ping():
    async with open_connection(autoping=False) as ws:
        for payload in (b"", b"are you there?", b"p" * 125):
            await ws.ping(payload)
            pong = await ws.receive()
            peer.expect_equal("pong", (pong.type, pong.data), (WSMsgType.PONG, payload))


async def subprotocols():
    async with open_connection(protocols=["chat.v2", "chat.v1"]) as ws:
        peer.expect_equal("subprotocol", ws.protocol, "chat.v1")


async def compressed():
    async with open_connection(compress=15) as ws:
        peer.expect_equal("compression", bool(ws.compress), not flags.no_deflate)
        for message in ("again and again, " * 1000, peer.noise(5000), ""):
            await expect_echo_on(ws, message)


async def in_order():
    async with open_connection() as ws:
        messages = [f"message {n} " + "x" * n for n in range(200)]
        received = []

        async def receive():
            while len(received) < len(messages):
                received.append((await ws.receive()).data)

        receiving = asyncio.create_task(receive())
        for message in messages:
            await ws.send_str(message)
        await receiving
        peer.expect_equal("messages", received, messages)


async def close():
    async with open_connection() as ws:
        await ws.close(code=4001, message="tschüß".encode())
        peer.expect_equal("close code", ws.close_code, 4001)


async def closed_by_backend():
    async with open_connection() as ws:
        await ws.send_str(peer.CLOSE_COMMAND + "4002 bye")
        last = await ws.receive()
        peer.expect_equal("close", (last.type, last.data, last.extra), (WSMsgType.CLOSE, 4002, "bye"))


async def expect_echo(*messages):
    async with open_connection() as ws:
        for message in messages:
            await expect_echo_on(ws, message)


async def expect_echo_on(ws, message):
    await (ws.send_str(message) if isinstance(message, str) else ws.send_bytes(message))
    echo = await ws.receive()
    wanted = WSMsgType.TEXT if isinstance(message, str) else WSMsgType.BINARY
    peer.expect_equal("echo", (echo.type, echo.data), (wanted, message))


@contextlib.asynccontextmanager
async def open_connection(**options):
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(flags.url, max_msg_size=0, **options) as ws:
            yield ws


CHECKS = [text, binary, empty, largest, ping, subprotocols, compressed, in_order, close, closed_by_backend]

sys.exit(asyncio.run(peer.run_checks(CHECKS, flags.timeout)))

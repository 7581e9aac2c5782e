"""Client on the library `websockets`: runs checks against a URL that leads to an echo backend.

    client_websockets.py URL [--size N] [--no-deflate] [--timeout SECONDS]

The backend must accept the subprotocol `chat.v1` and not `chat.v2`. Prints one line,
{"ok": true, "checks": 11, "failed": []}, and exits with 1 if a check failed (see ../README.md).
"""

import asyncio
import sys

from websockets.asyncio.client import connect

import peer

flags = peer.client_flags("client on websockets").parse_args()


async def text():
    await expect_echo("grüß dich, ропевей, 索道")


async def binary():
    await expect_echo(bytes(range(256)))


async def empty():
    await expect_echo("", b"")


async def largest():
    # Without compression, because a limit may count the bytes on the wire.
    await expect_echo(peer.noise(flags.size), "x" * flags.size, compression=None)


async def fragmented():
    async with open_connection(compression=None) as ws:
        for fragments in (["one, ", "", "two, ", "three"], [b"\x00", b"\x01" * 300, b"\x02"]):
            await ws.send(fragments)
            whole = fragments[0][:0].join(fragments)
            peer.expect_equal("echo of fragments", await ws.recv(), whole)


async def ping():
    async with open_connection() as ws:
        # The library sets a waiter only when a pong brings the payload of its ping.
        for payload in (b"", b"are you there?", b"p" * 125):
            await (await ws.ping(payload))


async def subprotocols():
    async with open_connection(subprotocols=["chat.v2", "chat.v1"]) as ws:
        peer.expect_equal("subprotocol", ws.subprotocol, "chat.v1")


async def compressed():
    async with open_connection(compression="deflate") as ws:
        names = [extension.name for extension in ws.protocol.extensions]
        peer.expect_equal("extensions", names, [] if flags.no_deflate else ["permessage-deflate"])
        for message in ("again and again, " * 1000, peer.noise(5000), "", ["again ", "and ", "again"]):
            await ws.send(message)
            whole = "".join(message) if isinstance(message, list) else message
            peer.expect_equal("echo", await ws.recv(), whole)


async def in_order():
    async with open_connection() as ws:
        messages = [f"message {n} " + "x" * n for n in range(200)]
        received = []

        async def receive():
            while len(received) < len(messages):
                received.append(await ws.recv())

        receiving = asyncio.create_task(receive())
        for message in messages:
            await ws.send(message)
        await receiving
        peer.expect_equal("messages", received, messages)


async def close():
    async with open_connection() as ws:
        await ws.close(4001, "tschüß")
        peer.expect_equal("close", (ws.close_code, ws.close_reason), (4001, "tschüß"))


async def closed_by_backend():
    async with open_connection() as ws:
        await ws.send(peer.CLOSE_COMMAND + "4002 bye")
        await ws.wait_closed()
        peer.expect_equal("close", (ws.close_code, ws.close_reason), (4002, "bye"))


async def expect_echo(*messages, **options):
    async with open_connection(**options) as ws:
        for message in messages:
            await ws.send(message)
            peer.expect_equal("echo", await ws.recv(), message)


def open_connection(**options):
    return connect(flags.url, max_size=None, proxy=None, open_timeout=flags.timeout, **options)


CHECKS = [
    text,
    binary,
    empty,
    largest,
    fragmented,
    ping,
    subprotocols,
    compressed,
    in_order,
    close,
    closed_by_backend,
]

sys.exit(asyncio.run(peer.run_checks(CHECKS, flags.timeout)))

"""Echo backend on the library `websockets`.

    echo_websockets.py [--port N] [--subprotocol NAME]... [--no-deflate] [--tls-cert FILE --tls-key FILE]

Prints {"event": "ready", "port": N}, then "open" and "close" events (see ../README.md). A fragmented message is
echoed with the fragments it came in. Ends when its standard input is closed.
"""

import asyncio
import itertools
import ssl

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

import peer

ids = itertools.count(1)


async def main():
    flags = peer.echo_flags("echo backend on websockets")
    flags.add_argument("--tls-cert", help="speak TLS, with the certificate in this PEM file")
    flags.add_argument("--tls-key", help="its private key")
    flags = flags.parse_args()
    compression = None if flags.no_deflate else "deflate"

    def select(_connection, offered):
        return next((name for name in flags.subprotocol if name in offered), None)

    async with serve(
        echo,
        "127.0.0.1",
        flags.port,
        select_subprotocol=select,
        compression=compression,
        max_size=None,
        ssl=tls_context(flags),
        ping_interval=None,  # what it sends is only what it was sent
        close_timeout=1,
    ) as server:
        peer.emit("ready", port=server.sockets[0].getsockname()[1])
        await peer.stdin_closed()


def tls_context(flags):
    if not flags.tls_cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(flags.tls_cert, flags.tls_key)
    return context


async def echo(connection):
    connection_id, messages = next(ids), 0
    request = connection.request
    peer.emit(
        "open",
        id=connection_id,
        path=request.path,
        headers=list(request.headers.raw_items()),
        subprotocol=connection.subprotocol,
    )
    try:
        while True:
            fragments = [fragment async for fragment in connection.recv_streaming()]
            messages += 1
            if command := peer.close_command(fragments[0]):
                await connection.close(*command)
            else:
                await connection.send(fragments if len(fragments) > 1 else fragments[0])
    except ConnectionClosed:
        code, reason = connection.close_code, connection.close_reason
        peer.emit("close", id=connection_id, code=code, reason=reason, messages=messages)


asyncio.run(main())

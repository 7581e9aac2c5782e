"""Echo backend on the library `aiohttp`.

    echo_aiohttp.py [--port N] [--subprotocol NAME]... [--no-deflate]

Prints {"event": "ready", "port": N}, then "open", "close" and "refused" events (see ../README.md). Its 101 carries
`Set-Cookie: backend=aiohttp; Path=/` and `X-Backend: aiohttp`. A path that ends in /refuse/STATUS is answered with
that status and the body {"refused": STATUS}. Ends when its standard input is closed.
"""

import asyncio
import itertools
import re

from aiohttp import WSMsgType, web

import peer

ids = itertools.count(1)
flags = peer.echo_flags("echo backend on aiohttp").parse_args()


async def main():
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", flags.port).start()
    peer.emit("ready", port=runner.addresses[0][1])
    await peer.stdin_closed()
    await runner.cleanup()


async def answer(request):
    if refusal := re.search(r"/refuse/(\d{3})$", request.path):
        return refuse(request, int(refusal[1]))
    return await echo(request)


def refuse(request, status):
    peer.emit("refused", path=request.path_qs, headers=headers(request), status=status)
    return web.json_response({"refused": status}, status=status, headers={"X-Backend": "aiohttp"})


async def echo(request):
    connection_id, messages = next(ids), 0
    # autoclose is off because aiohttp answers every Close with 1000; an echo backend echoes the code.
    ws = web.WebSocketResponse(
        protocols=flags.subprotocol, compress=not flags.no_deflate, max_msg_size=0, autoclose=False
    )
    ws.headers["X-Backend"] = "aiohttp"
    ws.set_cookie("backend", "aiohttp")
    await ws.prepare(request)
    peer.emit(
        "open",
        id=connection_id,
        path=request.path_qs,
        headers=headers(request),
        subprotocol=ws.ws_protocol,
    )
    reason = None
    while not ws.closed:
        message = await ws.receive()
        messages += message.type in (WSMsgType.TEXT, WSMsgType.BINARY)
        if message.type is WSMsgType.BINARY:
            await ws.send_bytes(message.data)
        elif message.type is WSMsgType.CLOSE:
            reason = message.extra or ""
            await ws.close(code=message.data or 1000, message=reason.encode())
        elif command := peer.close_command(message.data):
            await ws.close(code=command[0], message=command[1].encode())
        elif message.type is WSMsgType.TEXT:
            await ws.send_str(message.data)
    peer.emit("close", id=connection_id, code=ws.close_code, reason=reason, messages=messages)
    return ws


def headers(request):
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers]


asyncio.run(main())

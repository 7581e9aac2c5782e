"""What the Python peers share: their output, their life time, and the list of checks that every client runs."""

import argparse
import asyncio
import json
import sys
import threading

# A message that makes an echo backend close: "!close 4002 bye".
CLOSE_COMMAND = "!close "


# --- output ---


def emit(event, **fields):
    """Print one event as one line of JSON."""
    print(json.dumps({"event": event, **fields}), flush=True)


# --- echo backends ---


def echo_flags(description):
    """The flags that every echo backend takes."""
    flags = argparse.ArgumentParser(description=description)
    flags.add_argument("--port", type=int, default=0, help="port on 127.0.0.1, 0 for any free one")
    flags.add_argument("--subprotocol", action="append", default=[], help="a subprotocol to accept; may be repeated")
    flags.add_argument("--no-deflate", action="store_true", help="refuse permessage-deflate")
    return flags


async def stdin_closed():
    """Wait until the program that started this one closes our standard input, or ends."""
    loop, closed = asyncio.get_running_loop(), asyncio.Event()

    def read_to_end():
        sys.stdin.buffer.read()
        loop.call_soon_threadsafe(closed.set)

    threading.Thread(target=read_to_end, daemon=True).start()
    await closed.wait()


def close_command(message):
    """The (code, reason) that a "!close CODE REASON" message asks for, or None for any other message."""
    if not isinstance(message, str) or not message.startswith(CLOSE_COMMAND):
        return None
    code, _, reason = message.removeprefix(CLOSE_COMMAND).partition(" ")
    return int(code), reason


# --- clients ---


def client_flags(description):
    """The flags that every client takes."""
    flags = argparse.ArgumentParser(description=description)
    flags.add_argument("url", help="a ws:// address that leads to an echo backend")
    flags.add_argument("--size", type=int, default=32769, help="size of the largest message, bytes")
    flags.add_argument("--no-deflate", action="store_true", help="expect permessage-deflate to be refused")
    flags.add_argument("--timeout", type=float, default=20, help="seconds for one check")
    return flags


async def run_checks(checks, timeout):
    """Run the checks one after the other, each on its own connection; print the result and return the exit code."""
    failed = []
    for check in checks:
        try:
            await asyncio.wait_for(check(), timeout)
        except Exception as error:
            failed.append({"check": check.__name__, "why": f"{type(error).__name__}: {error}"})
    print(json.dumps({"ok": not failed, "checks": len(checks), "failed": failed}), flush=True)
    return 1 if failed else 0


def expect_equal(what, seen, wanted):
    """Fail the running check unless `seen` equals `wanted`."""
    if seen != wanted:
        raise AssertionError(f"{what}: {shorten(seen)}, expected {shorten(wanted)}")


def noise(size):
    """`size` bytes that do not compress and are the same in every run."""
    state, out = 1, bytearray()
    for _ in range(size):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        out.append(state >> 16 & 0xFF)
    return bytes(out)


def shorten(value):
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(value)} long)"

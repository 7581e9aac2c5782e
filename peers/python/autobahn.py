"""The Autobahn test suite on the library `kosoku`: protocol cases, run against a server or a client.

    autobahn.py client URL [CASE]... [--parallel N] [--timeout SECONDS]
    autobahn.py server [CASE]... [--timeout SECONDS]

CASE is an id or a pattern, as 1.1.1 or 9.*; all cases without one. As a client it opens one connection to URL for each
case. As a server it prints {"event": "ready", "port": N} and serves case N of those chosen at /runCase?case=N&agent=A,
their number at /getCaseCount, until someone comes to /updateReports?agent=A.

Both print one line for each case: its id, the verdict on what was sent, the verdict on how the connection was closed.
The exit code says only whether all cases could be run.
"""

import argparse
import asyncio
import os
import signal
import sys

from kosoku import FailureError, run_fuzzingclient, run_fuzzingserver

import peer


def main():
    flags = command_line()
    # The library cannot be stopped otherwise.
    signal.alarm(flags.timeout)
    results = asyncio.run(client(flags) if flags.role == "client" else server(flags))
    for result in results:
        print(result.case_id, label(result.behavior), label(result.behavior_close))
    sys.stdout.flush()
    # The library's threads may still run, and abort an interpreter that is being taken down.
    os._exit(0)


def command_line():
    flags = argparse.ArgumentParser(description="Autobahn test suite")
    roles = flags.add_subparsers(dest="role", required=True)
    as_client, as_server = roles.add_parser("client"), roles.add_parser("server")
    as_client.add_argument("url")
    as_client.add_argument("--parallel", type=int, default=1, help="cases at a time")
    for role in as_client, as_server:
        role.add_argument("cases", nargs="*")
        role.add_argument("--timeout", type=int, default=60, help="seconds for all, 0 for no limit")
    return flags.parse_args()


async def client(flags):
    try:
        return await run_fuzzingclient(flags.url, flags.cases or None, concurrency=flags.parallel)
    except FailureError as failure:
        return failure.results


async def server(flags):
    async with run_fuzzingserver(flags.cases or None, port=0) as running:
        peer.emit("ready", port=running.port)
        try:
            return await running.get_result()
        except FailureError as failure:
            return failure.results


def label(verdict):
    return verdict.value.replace(" ", "-")


main()

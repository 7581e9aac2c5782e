"""Ordinary requests by http.client to peers/node/site.mjs, over one connection.

    python3 client_http.py HOST:PORT
"""

import http.client
import sys


def main():
    connection = http.client.HTTPConnection(sys.argv[1], timeout=20)
    connection.connect()
    name = connection.sock.getsockname()
    for number in range(100):
        body = f"number {number}".encode()
        # In chunks where it is an iterator.
        connection.request("POST", "/echo", body=body if number % 2 else iter([body, b"!"]), encode_chunked=not number % 2,
                           headers={} if number % 2 else {"Transfer-Encoding": "chunked"})
        answer = connection.getresponse()
        found = (answer.status, answer.read())
        assert found == (200, body if number % 2 else body + b"!"), found
        connection.request("HEAD", "/")
        answer = connection.getresponse()
        found = (answer.status, answer.read())
        assert found == (200, b""), found
        assert connection.sock.getsockname() == name, "another connection"


main()

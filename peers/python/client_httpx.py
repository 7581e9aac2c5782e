"""Ordinary requests by httpx to peers/node/site.mjs, over HTTP/1.1 and HTTP/2.

    python3 client_httpx.py URL

URL leads through a gateway that puts X-Leg on answers and redirects /old/ to /. SSL_CERT_FILE names whom to believe.
Prints {"ok": true, …} and exits with 1 if a check failed.
"""

import asyncio
import ssl
import sys

import httpx
from peer import expect_equal, noise, run_checks

SIZE = 1 << 20


class Checks:
    """The checks over one version of HTTP."""

    def __init__(self, url, http2):
        self.url, self.version = url, "HTTP/2" if http2 else "HTTP/1.1"
        verify = ssl.create_default_context()
        self.client = httpx.AsyncClient(base_url=url, http1=not http2, http2=http2, verify=verify, timeout=20)

    def expect(self, what, answer, status, body):
        expect_equal(what, (answer.status_code, answer.http_version, answer.content), (status, self.version, body))
        expect_equal(f"{what}: x-leg", answer.headers.get_list("x-leg"), ["application"])

    async def page(self):
        self.expect("page", await self.client.get("/"), 200, b"<h1>site</h1>\n")
        self.expect("head", await self.client.head("/"), 200, b"")
        self.expect("nowhere", await self.client.get("/nowhere"), 404, b"nothing here\n")

    async def methods(self):
        for method in ["POST", "PUT", "PATCH", "DELETE"]:
            answer = await self.client.request(method, "/echo", content=b"hello")
            self.expect(method, answer, 200, b"hello")
            expect_equal("x-method", answer.headers["x-method"], method)

    async def large(self):
        """With its length, and in parts of which nobody knows how many there are."""
        body = noise(SIZE)
        self.expect("a length", await self.client.post("/echo", content=body), 200, body)

        async def parts():
            for at in range(0, SIZE, 10_000):
                yield body[at : at + 10_000]

        self.expect("parts", await self.client.post("/echo", content=parts()), 200, body)

    async def many(self):
        bodies = [f"number {number}".encode() for number in range(100)]
        answers = await asyncio.gather(*(self.client.post("/echo", content=body) for body in bodies))
        for body, answer in zip(bodies, answers, strict=True):
            self.expect("many", answer, 200, body)

    async def redirected(self):
        """308 keeps method and body."""
        answer = await self.client.post("/old/echo?a=b", content=b"hello", follow_redirects=True)
        self.expect("redirected", answer, 200, b"hello")
        expect_equal("status", [answer.status_code for answer in answer.history], [308])
        expect_equal("where to", str(answer.url), f"{self.url}/echo?a=b")

    async def headers(self):
        """What the gateway adds, and what belongs to one hop."""
        sent = [("X-Twice", "1"), ("X-Twice", "2"), ("Connection", "X-Hop"), ("X-Hop", "1"), ("X-Debug", "1")]
        if self.version == "HTTP/2":
            sent = [pair for pair in sent if pair[0] not in ("Connection", "X-Hop")]
        seen = (await self.client.get("/headers", headers=sent)).json()
        expect_equal("x-twice", seen.get("x-twice"), "1, 2")
        expect_equal("x-gateway", seen.get("x-gateway"), "ropeway")
        expect_equal("x-forwarded-proto", seen.get("x-forwarded-proto"), "https")
        for gone in ["x-hop", "x-debug", "te", "upgrade"]:
            expect_equal(gone, seen.get(gone), None)


async def main():
    sides = [Checks(sys.argv[1], http2) for http2 in (False, True)]
    names = ["page", "methods", "large", "many", "redirected", "headers"]
    return await run_checks([getattr(side, name) for side in sides for name in names], 60)


sys.exit(asyncio.run(main()))

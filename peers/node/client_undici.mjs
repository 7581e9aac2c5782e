// Requests and a WebSocket by undici, over HTTP/1.1 and HTTP/2.
//
//   node client_undici.mjs URL
//
// URL leads through a gateway that puts X-Leg on answers, redirects /old/ to /, leads /ws to an echo backend, and all else
// to site.mjs. NODE_EXTRA_CA_CERTS names whom to believe. Prints {"ok": true, …} and exits with 1 if a check failed.

import { once } from "node:events";
import { Agent, WebSocket, fetch, request } from "undici";
import { expectEqual, noise, runChecks } from "./peer.mjs";

const url = process.argv[2];
const SIZE = 1 << 20;

/** The checks over one version of HTTP. */
function checksOver(allowH2) {
  // Without `pipelining` it has one request at a time under way on a connection, over HTTP/2 too.
  const dispatcher = new Agent(allowH2 ? { allowH2, connections: 1, pipelining: 100 } : { connections: 8 });
  // Over HTTP/1.1 events take a connection for themselves.
  const apart = allowH2 ? dispatcher : new Agent();

  async function expectAnswer(what, response, status, body) {
    expectEqual(`${what}: status`, response.status, status);
    expectEqual(`${what}: x-leg`, response.headers.get("x-leg"), "application");
    const found = Buffer.from(await response.arrayBuffer());
    if (!found.equals(Buffer.from(body))) throw new Error(`${what}: another body, ${found.length} bytes`);
  }

  return [
    async function page() {
      await expectAnswer("page", await fetch(url, { dispatcher }), 200, "<h1>site</h1>\n");
      await expectAnswer("nowhere", await fetch(`${url}/nowhere`, { dispatcher }), 404, "nothing here\n");
    },
    async function methods() {
      for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
        const response = await fetch(`${url}/echo`, { dispatcher, method, body: "hello" });
        expectEqual("method", response.headers.get("x-method"), method);
        await expectAnswer(method, response, 200, "hello");
      }
    },
    async function large() {
      const body = noise(SIZE);
      await expectAnswer("a length", await fetch(`${url}/echo`, { dispatcher, method: "POST", body }), 200, body);
      let at = 0;
      const parts = new ReadableStream({
        pull(controller) {
          if (at >= SIZE) return controller.close();
          controller.enqueue(body.subarray(at, (at += 10_000)));
        },
      });
      const response = await fetch(`${url}/echo`, { dispatcher, method: "POST", body: parts, duplex: "half" });
      await expectAnswer("parts", response, 200, body);
    },
    async function many() {
      const bodies = Array.from({ length: 100 }, (_, n) => `number ${n}`);
      await Promise.all(
        bodies.map(async (body) => {
          const response = await fetch(`${url}/echo`, { dispatcher, method: "POST", body });
          await expectAnswer("many", response, 200, body);
        }),
      );
    },
    async function events() {
      const response = await fetch(`${url}/events`, { dispatcher: apart });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let n = 1; n <= 5; n++) {
        await (await fetch(`${url}/next`, { dispatcher })).text();
        const { value } = await reader.read();
        if (!/^data: \d+\n\n$/.test(value)) throw new Error(`events: ${value}`);
      }
      await reader.cancel();
    },
    async function redirected() {
      const response = await fetch(`${url}/old/echo?a=b`, { dispatcher, method: "POST", body: "hello" });
      expectEqual("redirected", [response.redirected, response.url], [true, `${url}/echo?a=b`]);
      await expectAnswer("redirected", response, 200, "hello");
    },
    async function lowLevel() {
      const { statusCode, headers, body } = await request(`${url}/headers`, { dispatcher, headers: { "X-Debug": "1" } });
      const seen = await body.json();
      expectEqual("status", [statusCode, headers["x-leg"]], [200, "application"]);
      expectEqual("added", [seen["x-gateway"], seen["x-forwarded-proto"]], ["ropeway", "https"]);
      expectEqual("taken", [seen["x-debug"] ?? null, seen["upgrade"] ?? null], [null, null]);
    },
  ];
}

/** A client that would speak HTTP/2 opens it by HTTP/1.1, too: the gateway does not announce WebSockets over HTTP/2. */
async function websocket() {
  const socket = new WebSocket(`${url.replace("https", "wss")}/ws`, ["chat.v2", "chat.v1"]);
  socket.binaryType = "arraybuffer";
  await once(socket, "open");
  expectEqual("subprotocol", socket.protocol, "chat.v1");
  for (const message of ["grüß dich", "x".repeat(32_000)]) {
    socket.send(message);
    expectEqual("text", (await once(socket, "message"))[0].data, message);
  }
  socket.send(noise(32_000));
  const { data } = (await once(socket, "message"))[0];
  if (!Buffer.from(data).equals(noise(32_000))) throw new Error("a message came back changed");
  socket.close(4001, "tschüß");
  const [{ code, wasClean }] = await once(socket, "close");
  expectEqual("close", [code, wasClean], [4001, true]);
}

await runChecks([...checksOver(false), ...checksOver(true), websocket], 60);

// A client of site.mjs, on Node's fetch (undici) and on socket.io's own client with its usual transports.
//
//   node site_client.mjs URL

import { request } from "node:http";
import { io } from "socket.io-client";
import { expectEqual, runChecks } from "./peer.mjs";

const url = process.argv[2];

async function page() {
  const response = await fetch(url);
  expectEqual("page", [response.status, await response.text()], [200, "<h1>site</h1>\n"]);
}

async function nothing() {
  const response = await fetch(`${url}/nowhere`);
  expectEqual("nothing", [response.status, await response.text()], [404, "nothing here\n"]);
}

async function many() {
  const bodies = await Promise.all(
    Array.from({ length: 200 }, async (_, n) => {
      const response = await fetch(`${url}/echo`, { method: "POST", body: `number ${n}` });
      return response.text();
    }),
  );
  expectEqual("many", bodies, Array.from({ length: 200 }, (_, n) => `number ${n}`));
}

async function streamedBody() {
  const part = new Uint8Array(65536).fill(120);
  let left = 64;
  const body = new ReadableStream({
    pull(controller) {
      if (left-- > 0) controller.enqueue(part);
      else controller.close();
    },
  });
  const response = await fetch(`${url}/echo`, { method: "PUT", body, duplex: "half" });
  const echoed = await response.arrayBuffer();
  expectEqual("streamedBody", [echoed.byteLength, response.headers.get("x-method")], [64 * 65536, "PUT"]);
}

async function expectContinue() {
  const text = await new Promise((resolve, reject) => {
    const call = request(`${url}/echo`, { method: "POST", headers: { Expect: "100-continue", "Content-Length": 5 } });
    call.on("continue", () => call.end("hello"));
    call.on("error", reject);
    call.on("response", async (response) => resolve((await response.toArray()).join("")));
    call.flushHeaders();
  });
  expectEqual("expectContinue", text, "hello");
}

async function events() {
  const response = await fetch(`${url}/events`);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let n = 1; n <= 10; n++) {
    await (await fetch(`${url}/next`)).text();
    expectEqual("events", (await reader.read()).value, `data: ${n}\n\n`);
  }
  await reader.cancel();
}

async function socketOverBothTransports() {
  const socket = io(url);
  // Listened for at once: the upgrade may come before or behind the socket's own "connect".
  const engine = socket.io.engine;
  const opened = new Promise((resolve) => engine.once("open", () => resolve(engine.transport.name)));
  const upgraded = new Promise((resolve) => engine.once("upgrade", (transport) => resolve(transport.name)));
  expectEqual("socketOverBothTransports", await opened, "polling");
  expectEqual("socketOverBothTransports", await upgraded, "websocket");
  expectEqual("socketOverBothTransports", await socket.emitWithAck("say", "hello"), "hello, hello");
  const large = "x".repeat(500_000);
  expectEqual("socketOverBothTransports", (await socket.emitWithAck("say", large)).length, 1_000_002);
  socket.disconnect();
}

async function socketByPollingAlone() {
  const [one, other] = [io(url, { transports: ["polling"] }), io(url, { transports: ["polling"] })];
  await Promise.all([one, other].map((socket) => new Promise((resolve) => socket.on("connect", resolve))));
  const heard = new Promise((resolve) => other.on("shouted", resolve));
  one.emit("shout", "over the valley");
  expectEqual("socketByPollingAlone", await heard, "over the valley");
  one.disconnect();
  other.disconnect();
}

const checks = [page, nothing, many, streamedBody, expectContinue, events, socketOverBothTransports, socketByPollingAlone];
await runChecks(checks, 20);

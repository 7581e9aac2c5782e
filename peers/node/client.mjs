// Client on the library `ws`: runs checks against a URL that leads to an echo backend.
//
//   node client.mjs URL [--size N] [--no-deflate] [--timeout SECONDS]
//
// The backend must accept the subprotocol `chat.v1` and not `chat.v2`. Prints one line,
// {"ok": true, "checks": 11, "failed": []}, and exits with 1 if a check failed (see ../README.md).

import { once } from "node:events";
import { parseArgs } from "node:util";
import WebSocket from "ws";
import { CLOSE_COMMAND, expectEqual, noise, runChecks } from "./peer.mjs";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    size: { type: "string", default: "32769" },
    "no-deflate": { type: "boolean", default: false },
    timeout: { type: "string", default: "20" },
  },
});
const [url] = positionals;

async function text() {
  await expectEcho({}, "grüß dich, ропевей, 索道");
}

async function binary() {
  await expectEcho({}, Buffer.from(Array.from({ length: 256 }, (_, n) => n)));
}

async function empty() {
  await expectEcho({}, "", Buffer.alloc(0));
}

async function largest() {
  // Without compression, because a limit may count the bytes on the wire.
  const size = Number(flags.size);
  await expectEcho({ perMessageDeflate: false }, noise(size), "x".repeat(size));
}

async function fragmented() {
  await connected({ perMessageDeflate: false }, [], async (socket) => {
    const echo = once(socket, "message");
    ["one, ", "", "two, "].forEach((fragment) => socket.send(fragment, { fin: false }));
    socket.ping("between two fragments");
    socket.send("three", { fin: true });
    expectEqual("echo of fragments", String((await echo)[0]), "one, two, three");
  });
}

async function ping() {
  await connected({}, [], async (socket) => {
    for (const payload of ["", "are you there?", "p".repeat(125)]) {
      const pong = once(socket, "pong");
      socket.ping(payload);
      expectEqual("pong", String((await pong)[0]), payload);
    }
  });
}

async function subprotocols() {
  await connected({}, ["chat.v2", "chat.v1"], async (socket) => {
    expectEqual("subprotocol", socket.protocol, "chat.v1");
  });
}

async function compressed() {
  await connected({ perMessageDeflate: { threshold: 0 } }, [], async (socket) => {
    expectEqual("extensions", socket.extensions, flags["no-deflate"] ? "" : "permessage-deflate");
    for (const message of ["again and again, ".repeat(1000), noise(5000), ""]) await expectEchoOn(socket, message);
  });
}

async function inOrder() {
  await connected({}, [], async (socket) => {
    const messages = Array.from({ length: 200 }, (_, n) => `message ${n} ` + "x".repeat(n));
    const received = [];
    const all = new Promise((resolve) => {
      socket.on("message", (data) => received.push(String(data)) === messages.length && resolve());
    });
    messages.forEach((message) => socket.send(message));
    await all;
    expectEqual("messages", received, messages);
  });
}

async function close() {
  await connected({}, [], async (socket) => {
    const closed = once(socket, "close");
    socket.close(4001, "tschüß");
    const [code, reason] = await closed;
    expectEqual("close", [code, String(reason)], [4001, "tschüß"]);
  });
}

async function closedByBackend() {
  await connected({}, [], async (socket) => {
    const closed = once(socket, "close");
    socket.send(CLOSE_COMMAND + "4002 bye");
    const [code, reason] = await closed;
    expectEqual("close", [code, String(reason)], [4002, "bye"]);
  });
}

async function expectEcho(options, ...messages) {
  await connected(options, [], async (socket) => {
    for (const message of messages) await expectEchoOn(socket, message);
  });
}

async function expectEchoOn(socket, message) {
  const echo = once(socket, "message");
  socket.send(message);
  const [data, isBinary] = await echo;
  expectEqual("echo", isBinary ? data : String(data), message);
}

/** Opens a connection, uses it, and closes it with the closing handshake. */
async function connected(options, subprotocols, use) {
  const socket = new WebSocket(url, subprotocols, options);
  await once(socket, "open"); // rejects when the socket reports an error
  socket.on("error", () => {}); // a later error shows as a missing message or close
  await use(socket);
  if (socket.readyState === WebSocket.CLOSED) return;
  const closed = once(socket, "close");
  socket.close(1000);
  await closed;
}

const CHECKS = [
  text,
  binary,
  empty,
  largest,
  fragmented,
  ping,
  subprotocols,
  compressed,
  inOrder,
  close,
  closedByBackend,
];

await runChecks(CHECKS, Number(flags.timeout));

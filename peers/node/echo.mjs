// Echo backend on the library `ws`.
//
//   node echo.mjs [--port N] [--subprotocol NAME]... [--no-deflate] [--page FILE]
//
// Prints {"event": "ready", "port": N}, then "open" and "close" events (see ../README.md). With --page it answers
// plain requests with that HTML file, so that a browser can be tried without a gateway. Ends when its standard
// input is closed.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { WebSocketServer } from "ws";
import { CLOSE_COMMAND, emit, exitWithStdin, headerPairs } from "./peer.mjs";

const { values: flags } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    subprotocol: { type: "string", multiple: true, default: [] },
    "no-deflate": { type: "boolean", default: false },
    page: { type: "string" },
  },
});

const http = createServer((request, response) => {
  if (flags.page === undefined) return response.writeHead(426, { Upgrade: "websocket" }).end();
  response.writeHead(200, { "Content-Type": "text/html; charset=utf-8" }).end(readFileSync(flags.page));
});
const server = new WebSocketServer({
  server: http,
  maxPayload: 0, // no limit
  perMessageDeflate: flags["no-deflate"] ? false : { threshold: 0 },
  handleProtocols: (offered) => flags.subprotocol.find((name) => offered.has(name)) ?? false,
});

let connections = 0;
server.on("connection", (socket, request) => {
  const id = ++connections;
  let messages = 0;
  const subprotocol = socket.protocol || null;
  emit("open", { id, path: request.url, headers: headerPairs(request), subprotocol });
  socket.on("message", (data, isBinary) => {
    messages += 1;
    const text = isBinary ? "" : data.toString();
    if (text.startsWith(CLOSE_COMMAND)) closeAsTold(socket, text);
    else socket.send(data, { binary: isBinary });
  });
  socket.on("error", (error) => emit("error", { id, message: error.message }));
  socket.on("close", (code, reason) => emit("close", { id, code, reason: reason.toString(), messages }));
});

http.listen(Number(flags.port), "127.0.0.1", () => emit("ready", { port: http.address().port }));
exitWithStdin();

function closeAsTold(socket, text) {
  const [code, ...reason] = text.slice(CLOSE_COMMAND.length).split(" ");
  socket.close(Number(code), reason.join(" "));
}

// A whole application on one port: a page, an echo of bodies, events, and socket.io with its usual transports.
//
//   node site.mjs [--tls-cert FILE --tls-key FILE]
//
// Prints {"event": "ready", "port": N}. Ends when its standard input is closed.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { parseArgs } from "node:util";
import { Server } from "socket.io";
import { emit, exitWithStdin } from "./peer.mjs";

const { values: flags } = parseArgs({ options: { "tls-cert": { type: "string" }, "tls-key": { type: "string" } } });

function onRequest(request, response) {
  const { pathname } = new URL(request.url, "http://site");
  if (pathname === "/echo") {
    const length = request.headers["content-length"];
    response.writeHead(200, { "X-Method": request.method, ...(length && { "Content-Length": length }) });
    request.pipe(response);
  } else if (pathname === "/events") {
    // One at a time: each answer to /next lets the next one be sent.
    response.writeHead(200, { "Content-Type": "text/event-stream" }).flushHeaders();
    listeners.push(response);
    request.on("close", () => emit("gone", {}));
  } else if (pathname === "/next") {
    for (const listener of listeners) listener.write(`data: ${++events}\n\n`);
    response.end();
  } else if (pathname === "/headers") {
    response.setHeader("Content-Type", "application/json").end(JSON.stringify(request.headers));
  } else if (pathname === "/") {
    response.setHeader("Content-Type", "text/html; charset=utf-8").end("<h1>site</h1>\n");
  } else {
    response.writeHead(404).end("nothing here\n");
  }
}

const http = flags["tls-cert"]
  ? createTlsServer({ cert: readFileSync(flags["tls-cert"]), key: readFileSync(flags["tls-key"]) }, onRequest)
  : createServer(onRequest);
const listeners = [];
let events = 0;

const sockets = new Server(http);
sockets.on("connection", (socket) => {
  emit("connection", { transport: socket.conn.transport.name });
  socket.conn.on("upgrade", (transport) => emit("upgrade", { transport: transport.name }));
  socket.on("say", (text, answer) => answer(`${text}, ${text}`));
  socket.on("shout", (text) => sockets.emit("shouted", text));
});

http.listen(0, "127.0.0.1", () => emit("ready", { port: http.address().port }));
exitWithStdin();

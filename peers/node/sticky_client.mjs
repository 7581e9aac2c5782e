// Many clients of socket.io with its usual transports, each with cookies of its own, on servers that do not know each
// other's sessions.
//
//   node sticky_client.mjs URL COUNT
//
// Prints {"event": "connected"} when all have spoken over a WebSocket. For each line on standard input all speak again,
// those first that have lost their server and must connect anew, and {"event": "spoken"} is printed. Ends when its standard
// input is closed. A session that a server does not know is an error: {"event": "error"}.

import { createInterface } from "node:readline";
import { io } from "socket.io-client";
import { emit } from "./peer.mjs";

const [url, count] = process.argv.slice(2);

const sockets = Array.from({ length: Number(count) }, () => {
  const socket = io(url, { forceNew: true, withCredentials: true, reconnectionDelay: 50, reconnectionDelayMax: 200 });
  socket.on("connect_error", (error) => emit("error", { text: error.message, more: String(error.context?.responseText) }));
  return socket;
});

// What was on its way when the connection was lost is said again.
const say = async (socket, tries = 3) => {
  try {
    await socket.timeout(20_000).emitWithAck("say", "hello");
  } catch (error) {
    if (tries === 0) throw error;
    await say(socket, tries - 1);
  }
};
const speak = () => Promise.all(sockets.map((socket) => say(socket)));
const isUpgraded = (socket) => socket.io.engine?.transport?.name === "websocket";

await speak();
while (!sockets.every(isUpgraded)) await new Promise((resolve) => setTimeout(resolve, 20));
emit("connected", {});
for await (const _ of createInterface({ input: process.stdin })) {
  await speak();
  emit("spoken", {});
}
process.exit(0);

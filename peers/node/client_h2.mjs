// Requests over one HTTP/2 connection, several at a time, with bodies larger than any window.
//
//   node client_h2.mjs URL
//
// URL leads to site.mjs. Prints {"ok": true} and exits with 0 if every body came back whole.

import { randomBytes } from "node:crypto";
import { connect } from "node:http2";

const SIZE = 8 << 20;
// All of the bodies wait within Node, which by itself resets streams when there is more than 10 MB of it.
const session = connect(process.argv[2], { rejectUnauthorized: false, maxSessionMemory: 1000 });
session.on("error", (error) => finish(error.message));

/** Sends a body and gives what comes back. */
function echo(body) {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ":method": "POST", ":path": "/echo" });
    const parts = [];
    stream.on("data", (part) => parts.push(part));
    stream.on("end", () => resolve(Buffer.concat(parts)));
    stream.on("error", reject);
    stream.end(body);
  });
}

function finish(why) {
  console.log(JSON.stringify(why ? { ok: false, why } : { ok: true }));
  process.exit(why ? 1 : 0);
}

const bodies = [1, 2, 3, 4].map(() => randomBytes(SIZE));
const answers = await Promise.all(bodies.map(echo)).catch((error) => finish(error.message));
finish(answers.every((answer, at) => answer.equals(bodies[at])) ? undefined : "a body came back changed");

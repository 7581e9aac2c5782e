// What the Node peers share: their output, their life time, and how a client runs its checks.

import { once } from "node:events";

// A message that makes an echo backend close: "!close 4002 bye".
export const CLOSE_COMMAND = "!close ";

/** Prints one event as one line of JSON. */
export function emit(event, fields) {
  console.log(JSON.stringify({ event, ...fields }));
}

/** Ends the process when the program that started it closes our standard input, or ends. */
export async function exitWithStdin() {
  process.stdin.resume();
  await once(process.stdin, "close");
  process.exit(0);
}

/** Header lines as [name, value] pairs, in the letter case in which they came. */
export function headerPairs(message) {
  const raw = message.rawHeaders;
  return Array.from({ length: raw.length / 2 }, (_, n) => [raw[2 * n], raw[2 * n + 1]]);
}

/** Runs the checks one after the other, prints the result and ends the process. */
export async function runChecks(checks, timeoutSeconds) {
  const failed = [];
  for (const check of checks) {
    try {
      await withTimeout(check(), timeoutSeconds);
    } catch (error) {
      failed.push({ check: check.name, why: String(error) });
    }
  }
  console.log(JSON.stringify({ ok: failed.length === 0, checks: checks.length, failed }));
  process.exit(failed.length === 0 ? 0 : 1);
}

/** Fails the running check unless `seen` equals `wanted`. */
export function expectEqual(what, seen, wanted) {
  const [seenText, wantedText] = [JSON.stringify(seen), JSON.stringify(wanted)];
  if (seenText !== wantedText) throw new Error(`${what}: ${shorten(seenText)}, expected ${shorten(wantedText)}`);
}

/** `size` bytes that do not compress and are the same in every run. */
export function noise(size) {
  let state = 1;
  return Buffer.from({ length: size }, () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >> 16) & 0xff;
  });
}

async function withTimeout(promise, seconds) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no result after ${seconds} s`)), seconds * 1000);
  });
  await Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function shorten(text = "undefined") {
  return text.length <= 80 ? text : `${text.slice(0, 60)}... (${text.length} long)`;
}

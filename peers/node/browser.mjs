// Opens a page in headless Chromium, sends a message with it and waits for the echo.
//
//   node browser.mjs URL [--message TEXT] [--screenshot FILE] [--timeout SECONDS] [--insecure]
//
// The browser is /usr/bin/chromium, or what the environment variable ROPEWAY_CHROMIUM names.
//
// The page has `#state` (text "open" once its WebSocket is), `#message` (a text input), `#send` (a button) and
// `#log` (shows what came back). Prints one line, {"ok": true, "state": "open", "log": "...", "received": ["..."],
// "errors": [], "protocol": "h2"}, and exits with 1 if no frame brought the message back or the page logged an error.

import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    message: { type: "string", default: "over the valley" },
    screenshot: { type: "string" },
    timeout: { type: "string", default: "30" },
    insecure: { type: "boolean", default: false },
  },
});
const [url] = positionals;
const timeout = Number(flags.timeout) * 1000;

const browser = await chromium.launch({
  executablePath: process.env.ROPEWAY_CHROMIUM ?? "/usr/bin/chromium",
  timeout,
  // No sandbox: the tests run as root in containers. The rest keeps the browser from calling anybody else.
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    ...(flags.insecure ? ["--ignore-certificate-errors"] : []),
  ],
});
const result = await talk(browser).catch((error) => ({ ok: false, error: error.message }));
await browser.close();
console.log(JSON.stringify(result));
process.exit(result.ok ? 0 : 1);

async function talk(browser) {
  const page = await browser.newPage({ ignoreHTTPSErrors: flags.insecure });
  page.setDefaultTimeout(timeout);
  const errors = [];
  page.on("console", (entry) => entry.type() === "error" && errors.push(entry.text()));
  page.on("pageerror", (error) => errors.push(error.message));

  const received = [];
  page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => received.push(String(payload))));

  await page.goto(url);
  await page.locator("#state", { hasText: /^open$/ }).waitFor();
  await page.locator("#message").fill(flags.message);
  await page.locator("#send").click();
  await page.locator("#log", { hasText: flags.message }).waitFor();
  if (flags.screenshot !== undefined) await page.screenshot({ path: flags.screenshot });

  const [state, log] = await Promise.all(["#state", "#log"].map((id) => page.locator(id).innerText()));
  const cameBack = received.some((payload) => payload.includes(flags.message));
  const protocol = await page.evaluate(() => performance.getEntriesByType("navigation")[0].nextHopProtocol);
  return { ok: cameBack && errors.length === 0, state, log, received, errors, protocol };
}

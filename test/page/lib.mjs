// What the scripts that drive the browser share.

import {readFileSync} from "node:fs";
import {chromium} from "playwright-core";

const axe = readFileSync(new URL("./node_modules/axe-core/axe.min.js", import.meta.url), "utf8");

// judge runs one case and prints what came of it; a case may return a note.
export async function judge(group, name, f) {
  try {
    const note = await f();
    console.log(JSON.stringify({group, name, note: note ?? ""}));
  } catch (e) {
    console.log(JSON.stringify({group, name, error: String(e.message ?? e).slice(0, 1500) || "failed"}));
  }
}

export function must(condition, text) {
  if (!condition) throw new Error(text);
}

// until asks again until f is content, and returns what it gives.
export async function until(what, f, limit = 30000) {
  const end = Date.now() + limit;
  let last = "";
  while (Date.now() < end) {
    try {
      const got = await f();
      if (got) return got;
    } catch (e) {
      last = `: ${e.message}`;
    }
    await new Promise((r) => setTimeout(r, 50));
  }
  throw new Error(`${what}: not within ${limit / 1000} s${last}`);
}

// open starts the browser and notes whatever it complains about or asks of another host.
export async function open(url) {
  const browser = await chromium.launch({executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--enable-precise-memory-info", "--js-flags=--expose-gc"]});
  const context = await browser.newContext({viewport: {width: 1360, height: 820}, colorScheme: "light", reducedMotion: "reduce"});
  const page = await context.newPage();
  page.setDefaultTimeout(30000);
  const complaints = [], foreign = [];
  page.on("console", (m) => { if (["error", "warning"].includes(m.type())) complaints.push(`${m.type()}: ${m.text()}`); });
  page.on("pageerror", (e) => complaints.push(`exception: ${e.message}`));
  page.on("request", (r) => { if (!r.url().startsWith(new URL(url).origin + "/")) foreign.push(r.url()); });
  return {browser, page, complaints, foreign};
}

// violations are those that axe-core finds in the page as it is.
export async function violations(page) {
  const client = await page.context().newCDPSession(page); // the page's own policy lets no script in
  await client.send("Runtime.evaluate", {expression: axe});
  const {result, exceptionDetails} = await client.send("Runtime.evaluate", {awaitPromise: true, returnByValue: true,
    expression: "axe.run(document, {resultTypes: ['violations']}).then((r) => r.violations.map((v) => v.id + ': ' + v.help + ': ' + v.nodes.slice(0, 4).map((n) => n.target.join(' ') + ' (' + (n.failureSummary || '').replace(/\\s+/g, ' ') + ')').join('; ')))"});
  await client.detach();
  if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
  return result.value;
}

// shot takes a picture if somebody wants to look at it: SHOTS names the directory.
export async function shot(page, name) {
  if (process.env.SHOTS) await page.screenshot({path: `${process.env.SHOTS}/${name}.png`});
}

// Measures the page under load: node load.mjs URL NAME SECONDS

import {judge, must, open, shot, until} from "./lib.mjs";

const [url, name, seconds] = process.argv.slice(2);
const {browser, page, complaints, foreign} = await open(url);
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const client = await page.context().newCDPSession(page);
await client.send("Performance.enable", {timeDomain: "threadTicks"}); // CPU time: others may have the machine
const memory = async () => {
  await client.send("HeapProfiler.collectGarbage");
  return Object.fromEntries((await client.send("Performance.getMetrics")).metrics.map((m) => [m.name, m.value]));
};
const mib = (n) => `${(n / 1048576).toFixed(1)} MiB`;

await judge(name, "the map is there", async () => {
  const begun = Date.now();
  await page.goto(url);
  await until("100 vertices", async () => (await page.locator(".vertex").count()) >= 150, 60000);
  return `after ${Date.now() - begun} ms`;
});

// cost is the main thread's CPU time, in milliseconds, and what the clock says, from an input to the picture that has its effect.
const cpu = async () => 1000 * (await client.send("Performance.getMetrics")).metrics.find((m) => m.name === "TaskDuration").value;
const took = {"opening a view": [], "filtering flows": [], "finding on the map": [], "choosing a workload": []};
async function cost(what, f, arg) {
  const before = await cpu();
  const clock = await page.evaluate(f, arg);
  took[what].push({cpu: await cpu() - before, clock});
}
const view = (hash) => new Promise((done) => {
  const begun = performance.now();
  addEventListener("hashchange", () => requestAnimationFrame(() => setTimeout(() => done(performance.now() - begun))), {once: true});
  location.hash = hash;
});
const type = ([id, value]) => new Promise((done) => {
  const begun = performance.now(), input = document.getElementById(id);
  input.value = value;
  input.dispatchEvent(new Event("input", {bubbles: true}));
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - begun)));
});
const click = () => new Promise((done) => {
  const begun = performance.now();
  document.querySelector(".vertex").dispatchEvent(new MouseEvent("click", {bubbles: true}));
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - begun)));
});
await page.waitForTimeout(4000);
const first = await memory();
const [quiet, since] = [await cpu(), Date.now()];
await page.waitForTimeout(8000);
const share = (await cpu() - quiet) / (Date.now() - since);
const end = Date.now() + Number(seconds) * 1000;
for (let turn = 0; turn < 3 || Date.now() < end; turn++) {
  await cost("opening a view", view, "#flows");
  for (const value of ["workload-1", "workload-17", ""]) await cost("filtering flows", type, ["flows-pod", value]);
  await page.waitForTimeout(300);
  await cost("opening a view", view, "#nodes");
  await page.waitForTimeout(300);
  await cost("opening a view", view, "#map");
  for (const value of [`workload-${turn % 40}`, ""]) await cost("finding on the map", type, ["map-search", value]);
  await cost("choosing a workload", click);
  await page.keyboard.press("Escape");
  await page.waitForTimeout(300);
}
const last = await memory();

for (const [what, list] of Object.entries(took)) {
  await judge(name, `${what} is quick`, () => {
    const middle = median(list.map((t) => t.cpu)), worst = Math.max(...list.map((t) => t.cpu));
    const text = `${list.length} times: half of them take ${middle.toFixed()} ms of CPU, the worst ${worst.toFixed()} ms; by the clock, on a busy machine, ${median(list.map((t) => t.clock)).toFixed()} ms`;
    must(middle < 300 && worst < 1500, text);
    return text;
  });
}
await judge(name, "what comes leaves the page idle for the most part", () => {
  const text = `${(100 * share).toFixed()} % of a CPU while the map is looked at`;
  must(share < 0.5, text);
  return text;
});
await judge(name, "its memory is flat", () => {
  const text = `heap ${mib(first.JSHeapUsedSize)}, then ${mib(last.JSHeapUsedSize)}; ${first.Nodes} nodes, then ${last.Nodes}`;
  must(last.JSHeapUsedSize < first.JSHeapUsedSize + 24 * 1048576 && last.Nodes < 60000, text);
  return text;
});
await judge(name, "map and list keep their bounds, and say what they leave out", async () => {
  await page.evaluate(() => { location.hash = "#map"; });
  const vertices = await page.locator(".vertex").count(), edges = await page.locator(".edge").count();
  must(vertices <= 700 && edges <= 1000, `${vertices} vertices, ${edges} edges`);
  const more = await page.locator(".more").textContent();
  await shot(page, `crowd-${vertices}-${edges}`);
  await page.evaluate(() => { location.hash = "#flows"; });
  const rows = await page.locator("tbody tr").count(), said = await page.locator(".bar [role=status]").textContent();
  must(rows <= 100, `${rows} rows`);
  return `${vertices} vertices, ${edges} edges, ${more || "all of them"}; ${said}`;
});
await judge(name, "names are text, whatever is in them", async () => must((await page.locator("main img").count()) === 0, "a name became an element"));
await judge(name, "no error on the console, no request to anybody else", () => must(complaints.length + foreign.length === 0, [...complaints, ...foreign].join("\n")));
await browser.close();
console.log("done");

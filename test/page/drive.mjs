// Drives the page against a lab or a cluster: node drive.mjs URL-OF-THE-PAGE HAND
// The hand does what a user of the cluster would: a URL that takes POST, or a program that takes words after "hand".

import {execFile} from "node:child_process";
import {promisify} from "node:util";
import {judge, must, open, shot, until, violations} from "./lib.mjs";

const [url, hand] = process.argv.slice(2);
const {browser, page, complaints, foreign} = await open(url);
const lab = async (what, params) => {
  if (!hand.startsWith("http:")) {
    await promisify(execFile)(hand, ["hand", what, ...Object.values(params)]);
    return;
  }
  const r = await fetch(`${hand}/${what}?${new URLSearchParams(params)}`, {method: "POST"});
  must(r.ok, `${what}: ${await r.text()}`);
};
const show = async (hash) => {
  await page.evaluate((h) => { location.hash = h; }, hash);
  await page.locator("h1").first().waitFor();
};
const text = (selector) => page.locator(selector).first().innerText();
const vertex = (id) => page.locator(`.vertex[data-id="${id}"]`);
// edges are those that the drawing has, by the names of their ends.
const edges = () => page.evaluate(() => [...document.querySelectorAll(".edge")].map((g) => ({classes: g.getAttribute("class"),
  good: getComputedStyle(g.children[1]).display !== "none", bad: getComputedStyle(g.children[2]).display !== "none",
  colour: getComputedStyle(g.children[2]).stroke, dashes: getComputedStyle(g.children[2]).strokeDasharray, id: g.dataset.id})));

await page.goto(url);

await judge("map", "workloads and Services that talk are there", async () => {
  for (const id of ["w:shop/Deployment/frontend", "s:shop/cart", "w:shop/Deployment/cart", "s:data/db", "w:data/Deployment/db"]) {
    await until(id, () => vertex(id).count());
  }
});
await judge("map", "edges lead by the Service, with their rate", async () => {
  for (const id of ["w:shop/Deployment/frontend>s:shop/cart", "s:shop/cart>w:shop/Deployment/cart", "w:shop/Deployment/catalog>s:data/db"]) {
    await until(id, async () => (await edges()).some((e) => e.id === id && e.good && !e.bad && !e.classes.includes("idle")));
  }
  const all = (await edges()).map((e) => e.id);
  must(!all.includes("w:shop/Deployment/frontend>w:shop/Deployment/cart"), "the same connection is drawn twice: by the Service and straight");
  return `${await text(".tile")}`.replace(/\s+/g, " ");
});

await judge("refused", "an edge that a NetworkPolicy refuses is red and dashed", async () => {
  await lab("ask", {from: "default/reports", to: "data/db"});
  const id = "w:default/Deployment/reports>s:data/db";
  const e = await until(id, async () => (await edges()).find((e) => e.id === id && e.bad));
  must(!e.good, "it is drawn as if it passed, too");
  must(e.dashes !== "none", `no dashes: ${e.dashes}`);
  const [r, g, b] = e.colour.match(/\d+/g).map(Number);
  must(r > 150 && r > 2 * g && r > 2 * b, `not red: ${e.colour}`);
  must((await page.locator(".label.bad").allTextContents()).some((t) => t.startsWith("✕")), "no sign beside the colour");
  return e.colour;
});
await judge("refused", "a click on it leads to the flow, the policy's rule and the text of why", async () => {
  await page.locator('.edge[data-id="w:default/Deployment/reports>s:data/db"] .hit').dispatchEvent("click");
  await page.locator("#panel li button").first().click();
  await until("the title", async () => (await text("#panel h2")) === "Flow that was refused");
  const facts = await text("#panel dl");
  must(facts.includes("default deny") && facts.includes("data/db"), facts);
  const rule = await until("the rule", async () => (await page.locator("#panel mark").allInnerTexts()).join(""));
  must(/^ {2}ingress:/.test(rule) && rule.includes("kubernetes.io/metadata.name: shop") && !rule.includes("podSelector:\n    matchLabels"), rule);
  const why = await until("why", async () => { const t = await text("#panel pre.answer"); return t.includes("only-the-shop") && t; });
  await shot(page, "panel-light");
  must((await violations(page)).length === 0, (await violations(page)).join("\n"));
  return why.split("\n")[0];
});
await page.keyboard.press("Escape");
await judge("refused", "a rule of a ClusterNetworkPolicy is the one that is marked", async () => {
  await show("#flows?verdict=ended&text=guardrail");
  await until("its flow", async () => { // the kind may have been found a moment ago only
    await lab("ask", {from: "default/reports", to: "shop/cart"});
    return (await page.locator("tbody tr").count()) > 0;
  }, 60000);
  await page.locator("tbody button").first().click();
  const rule = await until("the rule", async () => (await page.locator("#panel mark").allInnerTexts()).join(""));
  must(rule.includes("not-the-cart") && !rule.includes("to-data"), rule);
  must((await text("#panel dl")).includes("spec.egress[1]"), await text("#panel dl"));
  await page.keyboard.press("Escape");
});

await judge("flows", "a flow appears within 2 s", async () => {
  await show("#flows?pod=reports&verdict=ended&port=5432");
  const count = await page.locator("tbody tr").count();
  const begun = Date.now();
  await lab("ask", {from: "default/reports", to: "data/db"});
  await until("the new row", async () => (await page.locator("tbody tr").count()) > count, 20000);
  const took = Date.now() - begun;
  must(took < 2000, `it took ${took} ms`);
  return `${took} ms after the packet was sent`;
});
await judge("flows", "filters leave what matches", async () => {
  await show("#flows");
  await until("flows", async () => (await page.locator("tbody tr").count()) > 10);
  await page.fill("#flows-pod", "catalog");
  await page.fill("#flows-port", "5432");
  await until("the filter", async () => (await page.locator("tbody tr").allInnerTexts()).every((r) => r.includes("catalog")));
  const rows = await page.locator("tbody tr").allInnerTexts();
  must(rows.length > 0 && rows.every((r) => r.includes("catalog") && r.includes(":5432")), rows.slice(0, 3).join("\n"));
  await page.fill("#flows-port", "");
  await page.fill("#flows-pod", "");
  await page.selectOption("#flows-verdict", "ended");
  await until("rows", async () => (await page.locator("tbody tr").count()) > 0);
  must((await page.locator("tbody tr").allInnerTexts()).every((r) => /refused|dropped/.test(r)), "a flow that passed is among those that didn't");
  await page.selectOption("#flows-verdict", "");
  await page.selectOption("#flows-namespace", "data");
  await page.fill("#flows-text", "default deny");
  await until("the text", async () => (await page.locator("tbody tr").allInnerTexts()).every((r) => r.includes("default deny") && r.includes("data/")));
});
await judge("flows", "a reload keeps view, filters and colours", async () => {
  await show("#flows?verdict=ended&pod=reports");
  await page.click("#theme"); // dark
  await page.reload();
  await until("rows", async () => (await page.locator("tbody tr").count()) > 0);
  must((await page.inputValue("#flows-pod")) === "reports" && (await page.inputValue("#flows-verdict")) === "ended", "the filters are gone");
  must((await page.locator("tbody tr").allInnerTexts()).every((r) => r.includes("reports")), "the filters don't count");
  must((await page.evaluate(() => document.documentElement.dataset.theme)) === "dark", "the colours are others");
  must((await page.locator('nav a[aria-current="page"]').innerText()) === "Flows", "another view");
  await page.click("#theme"); // light
  await page.click("#theme"); // system
});

await judge("views", "nodes, all well", async () => {
  await show("#nodes");
  await until("three rows", async () => (await page.locator("tbody tr").count()) === 3);
  must((await page.locator("tbody tr").allInnerTexts()).every((r) => r.includes("well") && r.includes("2 of 2 established")), await text("tbody"));
  await until("the chip", async () => (await text("#health")).includes("3 nodes well"));
});
await judge("views", "BGP sessions of every node", async () => {
  await show("#bgp");
  await until("six rows", async () => (await page.locator("tbody tr").count()) === 6);
  must((await page.locator("tbody tr").allInnerTexts()).every((r) => r.includes("established")), await text("tbody"));
});
await judge("views", "Services with their backends, those without first", async () => {
  await show("#services");
  await until("Services", async () => (await page.locator("details").count()) >= 5);
  must((await page.locator("summary").first().innerText()).includes("no endpoint"), await page.locator("summary").first().innerText());
  await page.fill("#finder", "shop/cart");
  await page.locator("summary").first().click();
  const backends = await page.locator("details[open] td li").allInnerTexts();
  must(backends.length === 2 && backends.every((b) => b.includes("(shop/cart-")), backends.join());
});
await judge("views", "policies with what they ended", async () => {
  await show("#policies");
  for (const name of ["only-the-shop", "guardrail"]) {
    const row = await until(name, async () => (await page.locator("tbody tr").allInnerTexts()).find((r) => r.includes(name)));
    must(/✕ [1-9]/.test(row), row);
  }
  await page.getByRole("button", {name: "data/only-the-shop"}).click();
  await until("its text", async () => (await text("#panel pre")).includes("kubernetes.io/metadata.name: shop"));
  await page.keyboard.press("Escape");
});
await judge("views", "pools and gateways, and encryption, say that there are none", async () => {
  await show("#pools");
  await until("pools", async () => /no AddressPool|no kind/.test(await text("#main")));
  await show("#encryption");
  await until("encryption", async () => /encryption is off/.test(await text("#main")));
});

await judge("keyboard", "the map is walked by arrows, opened by Enter, closed by Escape", async () => {
  await show("#map");
  await until("vertices", async () => (await page.locator(".vertex").count()) > 5);
  await page.focus("button.plain >> text=Fit");
  await page.keyboard.press("Tab");
  const at = () => page.evaluate(() => document.activeElement?.dataset?.id ?? document.activeElement?.tagName);
  const first = await at();
  must(/^[wsp]:|nodes|world/.test(first), `Tab leads to ${first}`);
  await page.keyboard.press("ArrowRight");
  const second = await at();
  must(second !== first, "the arrow leads nowhere");
  await page.keyboard.press("Enter");
  must(await page.locator("#panel").isVisible(), "Enter opens nothing");
  must((await page.evaluate(() => document.activeElement.tagName)) === "H2", "the focus is not in the details");
  await page.keyboard.press("Escape");
  must(await page.locator("#panel").isHidden(), "Escape closes nothing");
  must((await at()) === second, `the focus is at ${await at()}, and was at ${second}`);
});
await judge("keyboard", "the map is there as a table", async () => {
  await page.click("text=As a table");
  await until("rows", async () => (await page.locator("tbody tr").allInnerTexts()).some((r) => r.includes("default/reports") && r.includes("refused")));
  await page.click("text=As a table");
});

for (const scheme of ["light", "dark"]) {
  await page.emulateMedia({colorScheme: scheme, reducedMotion: "reduce"});
  for (const view of ["map", "flows", "nodes", "bgp", "services", "policies", "pools", "encryption"]) {
    await judge("axe-core", `${view}, ${scheme}: no violation`, async () => {
      await show(`#${view}`);
      await until("content", async () => !/asking the nodes/.test(await text("#main")) && (view !== "map" || (await page.locator(".vertex").count()) > 5));
      await page.waitForTimeout(300);
      await shot(page, `${view}-${scheme}`);
      const list = await violations(page);
      must(list.length === 0, list.join("\n"));
    });
  }
}
await judge("axe-core", "360 pixels: nothing hangs over, no violation", async () => {
  await page.setViewportSize({width: 360, height: 740});
  for (const view of ["map", "flows", "nodes"]) {
    await show(`#${view}`);
    await page.waitForTimeout(300);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    must(wide <= 360, `${view} is ${wide} wide`);
    const list = await violations(page);
    must(list.length === 0, list.join("\n"));
  }
  await shot(page, "small-dark");
  await page.setViewportSize({width: 1360, height: 820});
});

await judge("node down", "is told in every view, and its flows are missed", async () => {
  await show("#nodes");
  const begun = Date.now();
  await lab("stop", {node: "n3"});
  await until("the stream", async () => /no flows of n3/.test(await text("#live")), 20000);
  const missed = Date.now() - begun;
  await until("the chip", async () => /n3 silent/.test(await text("#health")), 25000);
  await until("the row", async () => /n3\s+✕ silent/.test(await text("tbody tr")), 25000);
  await shot(page, "down-dark");
  return `its flows are missed after ${missed} ms, it is silent after ${Date.now() - begun} ms`;
});
await judge("node down", "comes back by itself", async () => {
  await lab("start", {node: "n3"});
  await until("well", async () => /3 nodes well/.test(await text("#health")) && /live/.test(await text("#live")), 60000);
});

await judge("browser", "no error and no warning on the console", () => must(complaints.length === 0, complaints.join("\n")));
await judge("browser", "no request to anybody else", () => must(foreign.length === 0, foreign.join("\n")));
await browser.close();
console.log("done");

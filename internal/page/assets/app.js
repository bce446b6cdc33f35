// The page: which view is shown, how the nodes are, and how the stream goes.

import {h, ask, number} from "./dom.js";
import {store, listen, follow} from "./store.js";
import {route} from "./route.js";
import {mapView} from "./map.js";
import {flowsView} from "./flows.js";
import {views} from "./views.js";
import {closePanel} from "./panel.js";

// Each view has a sign of its own, drawn in a square of 16.
const tabs = [
  ["map", "Map", "M3 3h4v4H3zM9.500 9.500h4v4h-4zM7 5h2.500a2 2 0 0 1 2 2v2.500"], ["flows", "Flows", "M2 5h11l-2.500-2.500M14 11H3l2.500 2.500"],
  ["nodes", "Nodes", "M2.500 3h11v4h-11zM2.500 9h11v4h-11zM5 5h.5M5 11h.5"], ["bgp", "BGP", "M3.500 12.500a1.500 1.500 0 1 0 0-.1M9.500 4a1.500 1.500 0 1 0 0-.1M4.500 11.200l6-6M4 6a5 5 0 0 1 2-3M12.500 9a5 5 0 0 1-3 3.500"],
  ["services", "Services", "M8 8m-2 0a2 2 0 1 0 4 0a2 2 0 1 0-4 0M8 2v2.500M8 11.500V14M2 8h2.500M11.500 8H14"], ["policies", "Policies", "M8 1.800l5 2v4c0 3-2 5.200-5 6.400c-3-1.200-5-3.400-5-6.400v-4zM5.800 8l1.700 1.700l3-3.200"],
  ["pools", "Pools & gateways", "M2.500 3.500h11M2.500 8h6M2.500 12.500h4M11 6.500v7M11 13.500l-2-2M11 13.500l2-2"], ["encryption", "Encryption", "M4 7.500h8v6H4zM5.800 7.500V5.300a2.200 2.200 0 0 1 4.400 0v2.200"],
];
const main = document.getElementById("main"), nav = document.getElementById("nav");
let leave = null, present = null;

nav.append(...tabs.map(([name, title, sign]) => h("a", {href: `#${name}`, "data-view": name}, h("svg", {"aria-hidden": "true", class: "sign", viewBox: "0 0 16 16"}, h("path", {d: sign})), h("span", {}, title))));
document.getElementById("skip").addEventListener("click", () => main.focus());

function show() {
  const {view, params} = route();
  const title = tabs.find(([name]) => name === view);
  leave?.();
  closePanel(true);
  main.replaceChildren();
  main.className = `view-${view}`;
  for (const a of nav.children) {
    if (a.dataset.view === view) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  document.title = `${title?.[1] ?? "Not found"} · kube-router`;
  follow(view === "map" ? params.get("namespace") ?? "" : "");
  if (view === "map") leave = mapView(main, follow);
  else if (view === "flows") leave = flowsView(main);
  else if (views[view]) leave = views[view](main);
  else main.append(h("p", {class: "empty"}, "There is no such view."));
  if (present !== null && present !== view) main.focus({preventScroll: true});
  present = view;
}
addEventListener("hashchange", show);

// Colours: as the system has them, or chosen.
const theme = document.getElementById("theme");
function paintTheme() {
  const now = document.documentElement.dataset.theme ?? "system";
  const name = {system: "System", dark: "Dark", light: "Light"}[now];
  theme.lastElementChild.textContent = name;
  theme.setAttribute("aria-label", `Colours: ${name}`);
}
theme.addEventListener("click", () => {
  const order = {system: "dark", dark: "light", light: "system"};
  const next = order[document.documentElement.dataset.theme ?? "system"];
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem("kube-router-theme", next);
  } catch { /* it lasts as long as the page, then */ }
  paintTheme();
});
paintTheme();

// How the nodes are, in every view.
const health = document.getElementById("health"), live = document.getElementById("live"), losses = document.getElementById("losses");
function say(node, kind, text) {
  const sign = {good: "✓ ", bad: "✕ ", warn: "! "}[kind] ?? "";
  node.className = `chip ${kind}`;
  if (node.textContent !== sign + text) node.textContent = sign + text; // else a screen reader would say it again
}
async function look() {
  try {
    if (!document.hidden) {
      const seen = await ask("view/nodes");
      const silent = seen.items.filter((n) => n.state === "silent"), odd = seen.items.filter((n) => n.state !== "silent" && (n.state !== "well" || (n.causes ?? []).length > 0));
      const well = seen.items.length - silent.length - odd.length;
      const names = (list) => list.length <= 3 ? list.map((n) => n.node).join(", ") : `${list.length} nodes`;
      if (silent.length > 0) say(health, "bad", `${names(silent)} silent, ${well} of ${seen.items.length} well`);
      else if (odd.length > 0) say(health, "warn", `${names(odd)} not well, ${well} of ${seen.items.length} well`);
      else say(health, "good", `${number(seen.items.length)} node${seen.items.length === 1 ? "" : "s"} well`);
    }
  } catch (e) {
    say(health, "bad", `no answer: ${e.message.slice(0, 120)}`);
  }
  setTimeout(look, 5000);
}
look();

function streamState() {
  const {troubles, notes, lost} = store.state;
  const away = Object.entries(troubles);
  if (!store.connected) say(live, "bad", "the command that serves this page has gone");
  else if (away.length > 0) say(live, "bad", `no flows of ${away.map(([n]) => n).slice(0, 3).join(", ")}${away.length > 3 ? ` and ${away.length - 3} more` : ""}`);
  else if (Object.keys(notes).length > 0) say(live, "warn", `flows in part: ${Object.values(notes)[0]}`.slice(0, 90));
  else say(live, "good", "live");
  live.title = [...away, ...Object.entries(notes)].map(([n, why]) => `${n}: ${why}`).join("\n");
  const sum = Object.values(lost).reduce((a, b) => a + b, 0);
  losses.hidden = sum === 0;
  losses.title = Object.entries(lost).map(([s, n]) => `${s}: ${n}`).join("\n");
  say(losses, "warn", `${number(sum)} events lost`);
}
listen((what) => { if (what === "state" || what === "connected") streamState(); });

ask("about").then((about) => { document.getElementById("title").textContent = about.title; }).catch(() => {});
show();

// Small helpers to build elements. Text is always set as text: nothing that a cluster says becomes markup.

const svgNames = new Set(["svg", "g", "path", "rect", "text", "tspan", "circle", "title", "defs", "marker", "polygon"]);

// h makes an element: h("td", {class: "num", onclick: f}, "text", child).
export function h(tag, attributes = {}, ...children) {
  const node = svgNames.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else node.setAttribute(key, value);
  }
  node.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}

// table makes a table of columns [{name, num, cell(row)}]. Without rows it says so.
export function table(caption, columns, rows, empty, attributesOf = () => ({})) {
  if (rows.length === 0) return h("p", {class: "empty"}, empty);
  return h("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": caption},
    h("table", {},
      h("caption", {class: "hidden"}, caption),
      h("thead", {}, h("tr", {}, columns.map((c) => h("th", {scope: "col", class: c.num ? "num" : null}, c.name)))),
      h("tbody", {}, rows.map((r) => h("tr", attributesOf(r), columns.map((c) => h("td", {class: c.num ? "num" : null}, c.cell(r))))))));
}

// chip is a word with a sign before it, so that colour is never all that tells.
export function chip(kind, text) {
  const sign = {good: "✓", bad: "✕", warn: "!", off: "–"}[kind] ?? "";
  return h("span", {class: `chip ${kind}`}, h("span", {"aria-hidden": "true"}, sign + " "), text);
}

export function verdictChip(verdict, times) {
  const chips = {forwarded: ["good", "passed"], sent: ["off", "sent"], refused: ["bad", "refused"], dropped: ["bad", "dropped"]}[verdict] ?? ["off", verdict];
  return h("span", {}, chip(...chips), times > 1 ? ` ×${times}` : "");
}

export const number = (n) => n.toLocaleString("en");

export function bytes(n) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let i = 0;
  for (; n >= 1000 && i < units.length - 1; i++) n /= 1000;
  return `${i === 0 ? n : n.toPrecision(3)} ${units[i]}`;
}

export const clock = (time) => new Date(time).toLocaleTimeString("en-GB", {hour12: false}) + "." + String(new Date(time).getMilliseconds()).padStart(3, "0");

// ago is how long since a time, in one unit.
export function ago(time) {
  const s = Math.max(0, Math.round((Date.now() - new Date(time)) / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 48 * 3600) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} d`;
}

// The one place that asks the server for JSON; an answer that is the same as before costs a 304.
const before = new Map();
export async function ask(path, signal) {
  const known = before.get(path);
  const response = await fetch(`api/${path}`, {signal, headers: known ? {"If-None-Match": known.tag} : {}});
  if (response.status === 304) return known.data;
  if (!response.ok) throw new Error(await response.text());
  const data = await response.json();
  if (data.error) throw new Error(data.error);
  if (path.startsWith("view/")) before.set(path, {tag: response.headers.get("ETag"), data});
  return data;
}

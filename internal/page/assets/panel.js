// The details of what somebody chose: a flow, an edge, a workload or a policy.

import {h, ask, ago, bytes, chip, clock, number, verdictChip} from "./dom.js";
import {store, listen} from "./store.js";
import {address, keep} from "./route.js";

const panel = document.getElementById("panel");
let chosen = null, closed = null, asked = null;

// choose opens the details; back is called when they are closed.
export function choose(what, back) {
  chosen = what;
  closed = back;
  asked?.abort();
  asked = new AbortController();
  panel.hidden = false;
  document.body.classList.add("with-panel");
  if (what.kind === "flow") keep({flow: String(what.id)});
  draw();
  panel.querySelector("h2")?.focus({preventScroll: true});
}

export function closePanel(quietly = false) {
  if (panel.hidden) return;
  panel.hidden = true;
  document.body.classList.remove("with-panel");
  asked?.abort();
  const back = quietly ? null : closed;
  if (!quietly && chosen?.kind === "flow") keep({flow: ""});
  chosen = closed = null;
  back?.();
}

document.addEventListener("keydown", (e) => { if (e.key === "Escape") closePanel(); });
listen((what) => { // numbers go on; what was asked for stays
  if (what === "map" && (chosen?.kind === "edge" || chosen?.kind === "vertex") && !panel.contains(document.activeElement?.closest("button"))) draw(true);
});

function draw(again = false) {
  const at = panel.scrollTop;
  const content = {flow: flowDetails, edge: edgeDetails, vertex: vertexDetails, policy: policyDetails}[chosen.kind](chosen);
  const focused = panel.contains(document.activeElement);
  panel.replaceChildren(h("div", {class: "panel-head"}, h("h2", {tabindex: "-1"}, content.title),
    h("button", {type: "button", class: "plain", "aria-label": "Close the details", onclick: () => closePanel()}, "✕")), ...content.parts);
  if (again) {
    panel.scrollTop = at;
    if (focused) panel.querySelector("h2").focus({preventScroll: true});
  }
}

// endName names a vertex by its id.
export function endName(id) {
  const v = store.vertices.get(id);
  if (!v) return id.replace(/^.:/, "");
  return v.namespace ? `${v.namespace}/${v.name}` : v.name;
}

// endText is an end of a flow in words.
export function endText(end, protocol) {
  const port = end.port ? `:${end.port}` : "";
  const note = protocol ? ` ${protocol}` : "";
  if (end.pod) return h("span", {title: end.address}, h("span", {class: "muted"}, `${end.namespace}/`), end.pod, h("span", {class: "muted"}, (protocol ? port : "") + note));
  const at = end.address.includes(":") && port ? `[${end.address}]` : end.address;
  return h("span", {}, at, h("span", {class: "muted"}, (protocol ? port : "") + note + (end.node ? ` (node ${end.node})` : " (outside)")));
}

function facts(pairs) {
  return h("dl", {}, pairs.filter(([, v]) => v !== undefined && v !== null && v !== "").flatMap(([k, v]) => [h("dt", {}, k), h("dd", {}, v)]));
}

function plain(end) {
  const port = end.port ? ` port ${end.port}` : "";
  if (!end.pod) return `${end.address}${port}${end.node ? `, node ${end.node}` : ", outside of the cluster"}`;
  return `${end.namespace}/${end.pod}${end.workload ? ` of ${end.workloadKind} ${end.workload}` : ""}, ${end.address}${port}`;
}

function flowDetails({id}) {
  const l = store.lines.get(id);
  if (!l) return {title: "Flow", parts: [h("p", {class: "empty"}, "This flow is no longer among the latest ones.")]};
  const parts = [
    facts([
      ["Verdict", verdictChip(l.verdict, l.times)], ["Why", l.verdict === "sent" ? "it left the client's node; the destination's node didn't tell what became of it" : l.reason], ["Time", `${clock(l.time)}, ${ago(l.time)} ago`], ["From", plain(l.source)],
      ["To", plain(l.destination)], ["Protocol", l.protocol], ["Service", l.service ? `${l.service}${l.frontend ? " at " + l.frontend : ""}` : l.frontend],
      ["Client as seen", l.clientAsSeen], ["Tier", l.tier], ["Rule", l.rule], ["Bytes", l.bytes ? bytes(l.bytes) : ""], ["Seen by", l.nodes.join(", ")],
    ]),
  ];
  if ((l.policies ?? []).length > 0) {
    const blamed = l.reason === "default deny" ? "Policies that isolate the pod, none of whose rules allows it" : "Policy that ended it";
    parts.push(h("h3", {}, `${blamed}${l.direction ? ` (${l.direction})` : ""}`), ...l.policies.map((p) => rule(p, l)));
  }
  parts.push(h("h3", {}, "Why, as the nodes see it now"), why(l));
  parts.push(h("h3", {}, "As a line"), h("pre", {tabindex: "0"}, l.text));
  return {title: l.verdict === "forwarded" ? "Flow that passed" : `Flow that was ${l.verdict}`, parts};
}

// rule shows a policy with the rule that decided.
function rule(p, l) {
  const name = `${p.namespace ? p.namespace + "/" : ""}${p.name}`;
  const out = h("div", {class: "rule"}, h("p", {}, h("strong", {}, name), h("span", {class: "muted"}, ` ${p.kind}`)));
  const text = h("pre", {class: "yaml", tabindex: "0", "aria-label": `${p.kind} ${name}`}, "asking…");
  out.append(text);
  ask(`policy?${new URLSearchParams({kind: p.kind, namespace: p.namespace ?? "", name: p.name})}`, asked.signal)
    .then((answer) => text.replaceChildren(...marked(answer.text, l)))
    .catch((e) => { if (e.name !== "AbortError") text.textContent = `It can't be read: ${e.message}`; });
  return out;
}

// marked is the YAML with the lines of the rule that decided, or of the direction in which none allowed it, set apart.
function marked(text, l) {
  const rows = text.trimEnd().split("\n");
  const [, direction, index] = /^spec\.(ingress|egress)\[(\d+)\]/.exec(l?.rule ?? "") ?? [];
  const section = direction ?? l?.direction;
  let first = rows.findIndex((r) => r.startsWith(`  ${section}:`)), last = -1;
  if (section && first >= 0) {
    last = rows.findIndex((r, i) => i > first && !/^ {2}(-| )/.test(r));
    if (last < 0) last = rows.length;
    if (index !== undefined) {
      const items = [];
      for (let i = first + 1; i < last; i++) if (/^ {2}- /.test(rows[i])) items.push(i);
      if (items[index] !== undefined) [first, last] = [items[index], items[Number(index) + 1] ?? last];
    }
  }
  return rows.map((r, i) => i >= first && i < last && first >= 0 ? h("mark", {}, r + "\n") : r + "\n");
}

// why asks the nodes concerned.
function why(l) {
  const out = h("pre", {class: "answer", tabindex: "0", role: "status"}, "asking the nodes…");
  const end = (e) => e.pod ? `${e.namespace}/${e.pod}` : e.address;
  const port = ["TCP", "UDP", "SCTP"].includes(l.protocol) ? `${l.destination.port}/${l.protocol.toLowerCase()}` : "";
  if (!port) {
    out.textContent = "This protocol has no ports: ask with `why` in a terminal.";
    return out;
  }
  ask(`why?${new URLSearchParams({from: end(l.source), to: end(l.destination), port})}`, asked.signal)
    .then((answer) => { out.textContent = answer.text.trimEnd(); })
    .catch((e) => { if (e.name !== "AbortError") out.textContent = `No answer: ${e.message}`; });
  return out;
}

const ended = (l) => l.verdict === "refused" || l.verdict === "dropped";

function flowButton(l) {
  return h("li", {}, h("button", {type: "button", class: "link", onclick: () => choose({kind: "flow", id: l.id}, closed)}, clock(l.time)), " ", verdictChip(l.verdict, l.times), " ",
    endText(l.source), " → ", endText(l.destination, l.protocol));
}

// of tells whether a line leads along an edge, as the server draws it.
function along(l, from, to) {
  const vertex = (e) => e.pod ? (e.workload ? `w:${e.namespace}/${e.workloadKind}/${e.workload}` : `p:${e.namespace}/${e.pod}`) : e.kind === "node" ? "nodes" : "world";
  const path = [vertex(l.source), ...(l.service ? [`s:${l.service}`] : []), vertex(l.destination)];
  return path.some((v, i) => v === from && path[i + 1] === to);
}

function edgeDetails({id}) {
  const e = store.edges.get(id);
  if (!e) return {title: "Edge", parts: [h("p", {class: "empty"}, "Nothing is known of it any more.")]};
  const lines = [];
  for (const l of store.lines.values()) if (along(l, e.from, e.to)) lines.push(l);
  lines.sort((a, b) => ended(b) - ended(a) || b.id - a.id);
  const parts = [
    facts([
      ["State", e.ended > 0 ? chip("bad", e.refused > 0 ? "refused or dropped" : "was refused or dropped") : chip("good", "passed")],
      ["Passed", `${number(e.passed)} a minute, ${number(e.total - e.ended)} in all`],
      ["Refused", e.ended > 0 ? `${number(e.refused)} a minute, ${number(e.ended)} in all` : "none"],
      ["Why", e.reason], ["Policies", (e.policies ?? []).map((p) => `${p.namespace ? p.namespace + "/" : ""}${p.name}`).join(", ")],
      ["Ports", (e.ports ?? []).join(", ")], ["Bytes", e.bytes ? `${bytes(e.bytes)} of connections that have ended` : ""],
    ]),
    h("h3", {}, "Latest flows, the refused first"),
    lines.length > 0 ? h("ul", {class: "plain-list"}, lines.slice(0, 12).map(flowButton)) : h("p", {class: "empty"}, "None of them is among the latest."),
  ];
  return {title: `${endName(e.from)} → ${endName(e.to)}`, parts};
}

function vertexDetails({id}) {
  const v = store.vertices.get(id);
  if (!v) return {title: "Workload", parts: [h("p", {class: "empty"}, "Nothing is known of it any more.")]};
  const side = (mine, other) => [...store.edges.values()].filter((e) => e[mine] === id).sort((a, b) => b.refused - a.refused || b.passed - a.passed || (a.id < b.id ? -1 : 1))
    .map((e) => h("li", {}, h("button", {type: "button", class: "link", onclick: () => choose({kind: "edge", id: e.id}, closed)}, endName(e[other])), " ",
      e.ended > 0 ? chip("bad", `${number(e.refused)} a minute`) : "", ` ${number(e.passed)} a minute`));
  const list = (items, none) => items.length > 0 ? h("ul", {class: "plain-list"}, items.slice(0, 40)) : h("p", {class: "empty"}, none);
  const filter = v.kind === "Service" ? {text: `${v.namespace}/${v.name}`} : v.namespace ? {namespace: v.namespace, pod: v.name} : {};
  return {title: v.namespace ? `${v.namespace}/${v.name}` : v.name, parts: [
    facts([["Kind", v.kind]]),
    h("p", {}, h("a", {href: address("flows", filter)}, "Its flows")),
    h("h3", {}, "Who talks to it"), list(side("to", "from"), "Nobody that was seen."),
    h("h3", {}, "Whom it talks to"), list(side("from", "to"), "Nobody that was seen."),
  ]};
}

function policyDetails({policy}) {
  const p = policy;
  return {title: p.name, parts: [
    facts([["Kind", p.kind], ["Namespace", p.namespace], ["Tier", p.tier ? `${p.tier}, priority ${p.priority}` : ""], ["Pods", number(p.pods)],
      ["Ended", `${number(p.drops)} of those that the nodes remember`], ["Latest", p.lastText]]),
    p.drops > 0 ? h("p", {}, h("a", {href: address("flows", {verdict: "ended", text: p.name})}, "What it ended")) : null,
    h("h3", {}, "As its author wrote it"), rule(p, null),
  ].filter(Boolean)};
}

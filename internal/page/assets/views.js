// Views that are asked for while they are looked at: nodes, BGP, Services, policies, pools, gateways, encryption.

import {h, ask, ago, bytes, chip, number, table} from "./dom.js";
import {choose} from "./panel.js";
import {route, keep} from "./route.js";

const every = 5000; // milliseconds between two questions

// asking makes a view that asks the server for one or several names, again and again, and draws what came.
function asking(title, names, draw, extra) {
  return (main) => {
    const body = h("div", {}, h("p", {class: "empty", role: "status"}, "asking the nodes…"));
    const when = h("span", {class: "muted"});
    const tools = extra?.(() => data && show(data)) ?? [];
    const stop = new AbortController();
    let timer = 0, data = null, shown = "";
    main.append(h("div", {class: "bar"}, h("h1", {}, title), when, h("span", {class: "grow"}), ...tools), body);
    const show = (answers) => {
      const open = new Set([...body.querySelectorAll("details[open]")].map((d) => d.dataset.key));
      const focused = document.activeElement?.dataset?.key;
      body.replaceChildren(...draw(...answers).flat().filter(Boolean));
      for (const d of body.querySelectorAll("details")) if (open.has(d.dataset.key)) d.open = true;
      if (focused && !body.contains(document.activeElement)) body.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
    };
    const turn = async () => {
      try {
        const answers = await Promise.all(names.map((n) => ask(`view/${n}`, stop.signal)));
        const text = JSON.stringify(answers);
        if (text !== shown && getSelection().isCollapsed) {
          shown = text;
          show(data = answers);
        }
        when.textContent = "";
      } catch (e) {
        if (e.name === "AbortError") return;
        when.textContent = `no answer: ${e.message}`;
        if (!data) body.replaceChildren(h("p", {class: "empty"}, e.message));
      }
      timer = setTimeout(function again() {
        if (document.hidden) timer = setTimeout(again, 1000); // nobody looks
        else turn();
      }, every);
    };
    turn();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  };
}

const notes = (seen) => [...(seen.silent ?? []).map((s) => h("p", {class: "note bad"}, chip("bad", "no answer"), " ", s)), ...(seen.notes ?? []).map((n) => h("p", {class: "note"}, n))];

export function nodeChip(n) {
  if (n.state === "silent") return chip("bad", "silent");
  if (n.state === "well") return (n.causes ?? []).length > 0 ? chip("warn", "well, but") : chip("good", "well");
  return chip(n.state === "unwell" ? "bad" : "warn", n.state);
}

const nodesView = asking("Nodes", ["nodes"], (seen) => [
  table("Nodes, the unwell first", [
    {name: "node", cell: (n) => h("strong", {}, n.node)}, {name: "state", cell: nodeChip},
    {name: "cause", cell: (n) => h("span", {class: "why"}, (n.causes ?? []).join("; "))},
    {name: "kubelet", cell: (n) => n.ready ? "ready" : chip("bad", "not ready")},
    {name: "BGP", cell: (n) => n.sessions ?? ""}, {name: "engine", cell: (n) => n.serviceEngine ?? ""}, {name: "version", cell: (n) => n.version ?? ""}, {name: "up", cell: (n) => n.up ?? ""},
    {name: "rows", num: true, cell: (n) => n.state === "silent" ? "" : number(n.rows)}, {name: "failing", num: true, cell: (n) => n.failing > 0 ? chip("bad", String(n.failing)) : n.state === "silent" ? "" : "0"},
    {name: "remarks", num: true, cell: (n) => n.remarks >= 0 ? number(n.remarks) : "?"},
    {name: "addresses", cell: (n) => (n.addresses ?? []).join(" ")}, {name: "pods' ranges", cell: (n) => (n.ranges ?? []).join(" ")},
  ], seen.items, "No node.", (n) => ({class: n.state === "silent" || n.state === "unwell" ? "bad" : null})),
  notes(seen),
]);

const peersView = asking("BGP sessions", ["peers"], (seen) => [
  notes(seen),
  table("BGP sessions, those that aren't established first", [
    {name: "node", cell: (p) => h("strong", {}, p.node)}, {name: "peer", cell: (p) => p.peer + (p.peerNode ? ` (${p.peerNode})` : "")}, {name: "AS", num: true, cell: (p) => p.asn},
    {name: "state", cell: (p) => p.state === "ESTABLISHED" ? (p.remark ? chip("warn", "established") : chip("good", "established")) : chip("bad", p.state.toLowerCase())},
    {name: "since", cell: (p) => p.since ? ago(p.since) : "never"}, {name: "received", num: true, cell: (p) => number(p.received)}, {name: "accepted", num: true, cell: (p) => number(p.accepted)},
    {name: "advertised", num: true, cell: (p) => number(p.advertised)}, {name: "flaps", num: true, cell: (p) => number(p.flaps)}, {name: "reason", cell: (p) => p.remark ?? (p.state === "ESTABLISHED" ? "" : p.reason ?? "")},
  ], [...seen.items].sort((a, b) => (a.state === "ESTABLISHED") - (b.state === "ESTABLISHED")), "No BGP session: the nodes speak it with nobody.", (p) => ({class: p.state === "ESTABLISHED" ? null : "bad"})),
]);

// finder is a field that leaves what has its text; the URL keeps it.
function finder(label) {
  let input = null;
  return {
    text: () => input?.value.trim().toLowerCase() ?? "",
    tools: (redraw) => {
      input = h("input", {type: "search", id: "finder", placeholder: "namespace, name, address", value: route().params.get("text") ?? "", oninput: () => { keep({text: input.value.trim()}); redraw(); }});
      return [h("label", {for: "finder"}, label), input];
    },
  };
}

const services = finder("Find");
const servicesView = asking("Services", ["services"], (seen) => {
  const wanted = seen.items.filter((s) => JSON.stringify(s).toLowerCase().includes(services.text()));
  return [
    h("p", {class: "muted"}, `${number(wanted.length)} of ${number(seen.items.length)} Services; those without an endpoint first.`), notes(seen),
    ...wanted.slice(0, 300).map((s) => h("details", {"data-key": `d/${s.namespace}/${s.name}`, class: "item"},
      h("summary", {"data-key": `s/${s.namespace}/${s.name}`}, h("span", {class: "muted"}, `${s.namespace}/`), h("strong", {}, s.name), " ",
        s.endpoints > 0 ? chip("good", `${s.endpoints} endpoint${s.endpoints === 1 ? "" : "s"}`) : chip("bad", "no endpoint"), " ",
        h("span", {class: "muted"}, s.frontends.filter((f) => f.kind !== "node").map((f) => f.address).slice(0, 4).join("  "))),
      table(`Frontends of ${s.namespace}/${s.name}`, [
        {name: "frontend", cell: (f) => f.address}, {name: "kind", cell: (f) => f.kind}, {name: "port", cell: (f) => f.port ?? ""},
        {name: "backends", cell: (f) => f.backends.length > 0 ? h("ul", {class: "plain-list"}, f.backends.map((b) => h("li", {}, b))) : chip("bad", "none")},
        {name: "note", cell: (f) => f.note ?? ""},
      ], s.frontends, "No frontend."))),
    wanted.length > 300 ? h("p", {class: "muted"}, `${number(wanted.length - 300)} more: find them by name.`) : null,
  ];
}, services.tools);

const policiesView = asking("Policies", ["policies"], (seen) => {
  const most = Math.max(1, ...seen.items.map((p) => p.drops));
  return [
    notes(seen),
    table("Policies, those that end most first", [
      {name: "policy", cell: (p) => h("button", {type: "button", class: "link", "data-key": `p/${p.kind}/${p.namespace ?? ""}/${p.name}`,
        onclick: () => choose({kind: "policy", policy: p}, () => document.querySelector(`[data-key="${CSS.escape(`p/${p.kind}/${p.namespace ?? ""}/${p.name}`)}"]`)?.focus())},
      `${p.namespace ? p.namespace + "/" : ""}${p.name}`)},
      {name: "kind", cell: (p) => p.kind}, {name: "tier", cell: (p) => p.tier ? `${p.tier} ${p.priority}` : ""}, {name: "pods", num: true, cell: (p) => number(p.pods)},
      {name: "ingress", cell: (p) => rules(p.ingress, p.tier)}, {name: "egress", cell: (p) => rules(p.egress, p.tier)},
      {name: "enforcement", cell: (p) => p.audit ? chip("warn", "audit") : chip("off", "enforced")},
      {name: "ended", num: true, cell: (p) => p.drops > 0 ? h("span", {class: "count ended"}, chip("bad", number(p.drops)), h("meter", {min: "0", max: String(most), value: String(p.drops), "aria-label": `${p.drops} ended`})) : "0"},
      {name: "latest", cell: (p) => p.last ? `${ago(p.last)} ago` : ""},
    ], seen.items, "There is no policy: everybody may talk to everybody."),
    h("p", {class: "muted"}, "“ended” counts the tries that the nodes remember, each for every policy that isolates the pod. Packets are counted below, since the rules were made."),
    h("h2", {}, "Packets that were refused or dropped"),
    table("Packets that were refused or dropped", [
      {name: "node", cell: (c) => c.node}, {name: "pod", cell: (c) => c.pod ?? ""}, {name: "direction or reason", cell: (c) => c.direction},
      {name: "packets", num: true, cell: (c) => number(c.packets)}, {name: "bytes", num: true, cell: (c) => bytes(c.bytes)},
    ], seen.counters.slice(0, 200), "None so far."),
  ];
});

function rules(n, tier) {
  if (n < 0 || tier && n === 0) return "–";
  return n === 0 ? "nothing allowed" : `${n} rule${n === 1 ? "" : "s"}`;
}

const conditions = (o) => (o.status?.conditions ?? []).map((c) => h("span", {title: c.message}, chip(c.status === "True" ? (/Ready|Accepted/.test(c.type) ? "good" : "warn") : /Ready|Accepted/.test(c.type) ? "bad" : "off", c.type), " "));

const poolsView = asking("Pools and gateways", ["pools", "gateways"], (pools, gateways) => [
  h("h2", {}, "Address pools"), notes(pools),
  table("Address pools", [
    {name: "pool", cell: (p) => h("strong", {}, p.metadata.name)}, {name: "uses", cell: (p) => (p.spec.uses ?? ["LoadBalancer"]).join(", ")},
    {name: "addresses", cell: (p) => (p.spec.addresses ?? []).join(" ")}, {name: "IPv4", cell: (p) => usage(p.status?.ipv4, "IPv4")}, {name: "IPv6", cell: (p) => usage(p.status?.ipv6, "IPv6")},
    {name: "state", cell: (p) => p.spec.disabled ? chip("off", "disabled") : h("span", {}, conditions(p))},
  ], pools.items, "There is no AddressPool."),
  h("h2", {}, "Egress gateways"), notes(gateways),
  table("Egress gateways", [
    {name: "gateway", cell: (g) => h("strong", {}, g.metadata.name)}, {name: "pods", num: true, cell: (g) => number(g.status?.pods ?? 0)},
    {name: "address → node", cell: (g) => h("ul", {class: "plain-list"}, (g.status?.addresses ?? []).map((a) => h("li", {}, `${a.address} → `, a.node ? a.node : chip("bad", "no node"))))},
    {name: "state", cell: (g) => h("span", {}, conditions(g))},
  ], gateways.items, "There is no EgressGateway."),
]);

function usage(u, family) {
  if (!u) return "";
  return h("span", {class: "count"}, h("meter", {min: "0", max: String(u.total), value: String(u.assigned), high: String(u.total * 0.85), "aria-label": `${family}: ${u.assigned} of ${u.total} given`}),
    ` ${number(u.available)} of ${number(u.total)} free`);
}

const encryptionView = asking("Encryption", ["encryption"], (seen) => {
  const names = [...new Set(seen.items.flatMap((w) => [w.from, w.to]))].sort(new Intl.Collator("en", {numeric: true}).compare);
  const at = new Map(seen.items.map((w) => [`${w.from}>${w.to}`, w]));
  const state = (w) => !w ? "" : w.state === "encrypted" ? chip("good", "encrypted") : w.state.startsWith("waiting") ? chip("warn", "waiting") : chip("bad", w.state.split(":")[0]);
  const good = seen.items.filter((w) => w.state === "encrypted").length;
  return [
    notes(seen),
    seen.items.length > 0 ? h("p", {class: "muted"}, `${number(good)} of ${number(seen.items.length)} ways between nodes are encrypted.`) : null,
    names.length > 0 && names.length <= 16 ? table("Encryption from node to node", [{name: "from \\ to", cell: (n) => h("strong", {}, n)}, ...names.map((to) => ({name: to, cell: (from) => from === to ? "·" : state(at.get(`${from}>${to}`))}))], names, "") : null,
    table("Ways between nodes, those in clear first", [
      {name: "from", cell: (w) => w.from}, {name: "to", cell: (w) => w.to}, {name: "state", cell: (w) => h("span", {}, state(w), w.state === "encrypted" ? "" : ` ${w.state}`)},
      {name: "endpoint", cell: (w) => w.endpoint ?? ""}, {name: "handshake", cell: (w) => w.handshake ? `${ago(w.handshake)} ago` : "never"},
      {name: "received", num: true, cell: (w) => bytes(w.received)}, {name: "sent", num: true, cell: (w) => bytes(w.sent)},
    ], [...seen.items].sort((a, b) => (a.state === "encrypted") - (b.state === "encrypted")).slice(0, 500), "Nothing between the nodes is encrypted."),
  ];
});

export const views = {nodes: nodesView, bgp: peersView, services: servicesView, policies: policiesView, pools: poolsView, encryption: encryptionView};

// Flows as they come, newest first, with filters that the URL keeps.

import {h, clock, number, verdictChip} from "./dom.js";
import {store, listen, namespaces} from "./store.js";
import {route, keep} from "./route.js";
import {choose, endText} from "./panel.js";

const step = 100; // rows that are shown at first, and that "more" adds
const gap = 250; // milliseconds between two paintings

const ended = (l) => l.verdict === "refused" || l.verdict === "dropped";

export function flowsView(main) {
  const {params} = route();
  let shown = step, paused = false, timer = 0, dirty = false, waiting = 0;
  let rows = new Map(); // id → {line, tr}

  const field = (name, label, input) => {
    input.id = `flows-${name}`;
    input.value = params.get(name) ?? "";
    input.addEventListener("input", () => {
      keep({[name]: input.value.trim()});
      shown = step;
      paint();
    });
    return h("span", {class: "field"}, h("label", {for: input.id}, label), input);
  };
  const verdict = h("select", {}, h("option", {value: ""}, "all"), h("option", {value: "forwarded"}, "passed"), h("option", {value: "ended"}, "refused or dropped"));
  const space = h("select", {}, h("option", {value: ""}, "all"));
  const who = h("input", {type: "search", size: "16", placeholder: "web-1, client"});
  const port = h("input", {type: "search", size: "6", inputmode: "numeric", placeholder: "5432"});
  const text = h("input", {type: "search", size: "18", placeholder: "address, policy, reason"});
  spaces();
  const bar = h("form", {class: "bar filters", role: "search", "aria-label": "Filters", onsubmit: (e) => e.preventDefault()},
    field("verdict", "Verdict", verdict), field("namespace", "Namespace", space), field("pod", "Pod or workload", who), field("port", "Port", port), field("text", "Text", text));
  const pause = h("button", {type: "button", class: "plain", "aria-pressed": "false", onclick: () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    waiting = 0;
    paint();
  }}, "Pause");
  const clear = h("button", {type: "button", class: "plain", onclick: () => {
    for (const input of [verdict, space, who, port, text]) input.value = "";
    keep({verdict: "", namespace: "", pod: "", port: "", text: ""});
    paint();
  }}, "Clear filters");
  const count = h("span", {class: "muted", role: "status"});
  const tbody = h("tbody", {});
  const list = h("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": "Flows"}, h("table", {class: "flows"},
    h("caption", {class: "hidden"}, "Flows, newest first"),
    h("thead", {}, h("tr", {}, ["time", "verdict", "from", "to", "Service", "why", "node"].map((n) => h("th", {scope: "col"}, n)))), tbody));
  const more = h("button", {type: "button", class: "plain", onclick: () => { shown += step; paint(); }}, "More");
  const empty = h("p", {class: "empty"}, "No flow matches.");
  main.append(h("div", {class: "bar"}, h("h1", {}, "Flows"), count, h("span", {class: "grow"}), clear, pause), bar, list, empty, more);

  function spaces() {
    const wanted = space.value || params.get("namespace") || "";
    const all = [...new Set([...namespaces(), ...(wanted ? [wanted] : [])])].sort();
    if (all.join() === [...space.options].slice(1).map((o) => o.value).join()) return;
    space.replaceChildren(h("option", {value: ""}, "all"), ...all.map((n) => h("option", {value: n}, n)));
    space.value = wanted;
  }

  // test is the filter as a function.
  function test() {
    const [v, n, p, t] = [verdict.value, space.value, who.value.trim().toLowerCase(), text.value.trim().toLowerCase()];
    const number = Number(port.value.trim()) || 0;
    const named = (end) => (end.pod ?? "").toLowerCase().includes(p) || (end.workload ?? "").toLowerCase().includes(p) ||
      `${end.namespace}/${end.pod}`.toLowerCase().includes(p) || `${end.namespace}/${end.workload}`.toLowerCase().includes(p);
    return (l) => (v === "" || (v === "ended") === ended(l)) &&
      (n === "" || l.source.namespace === n || l.destination.namespace === n) &&
      (p === "" || named(l.source) || named(l.destination)) &&
      (number === 0 || l.destination.port === number || l.source.port === number || (l.frontend ?? "").endsWith(`:${number}`)) &&
      (t === "" || l.words.includes(t));
  }

  function row(l) {
    const pick = () => choose({kind: "flow", id: l.id}, () => rows.get(l.id)?.tr.querySelector("button")?.focus());
    const why = !ended(l) ? "" : [l.reason, (l.policies ?? []).map((p) => p.name).join(", "), l.rule].filter(Boolean).join(" · ");
    return h("tr", {class: ended(l) ? "bad" : "", onclick: (e) => { if (!e.target.closest("button") && getSelection().isCollapsed) pick(); }},
      h("td", {class: "time"}, h("button", {type: "button", class: "link", "aria-label": `Open the flow of ${clock(l.time)}`, onclick: pick}, clock(l.time))),
      h("td", {}, verdictChip(l.verdict, l.times)), h("td", {}, endText(l.source)), h("td", {}, endText(l.destination, l.protocol)),
      h("td", {}, l.service ?? ""), h("td", {class: "why"}, why), h("td", {}, l.nodes.join(", ")));
  }

  function paint() {
    dirty = false;
    const matches = test();
    const all = [...store.lines.values()];
    const list = [];
    let matching = 0;
    for (let i = all.length - 1; i >= 0; i--) {
      if (matches(all[i]) && ++matching <= shown) list.push(all[i]);
    }
    const next = new Map();
    for (const l of list) {
      const old = rows.get(l.id);
      next.set(l.id, old?.line === l ? old : {line: l, tr: row(l)});
    }
    rows = next;
    sync(tbody, [...next.values()].map((r) => r.tr));
    count.textContent = `${number(matching)} of ${number(store.lines.size)} flows` + (store.skipped > 0 ? `; ${number(store.skipped)} came too fast to be listed, and are in the map` : "") +
      (paused ? `; paused, ${number(waiting)} new` : "");
    empty.hidden = list.length > 0;
    more.hidden = matching <= shown;
  }

  function later() {
    dirty = true;
    if (timer) return;
    timer = setTimeout(() => {
      timer = 0;
      if (dirty) {
        spaces();
        paint();
      }
    }, gap);
  }
  const stop = listen((what, fresh) => {
    if (what !== "flows") return;
    if (!paused) {
      later();
      return;
    }
    waiting += fresh.length;
    count.textContent = count.textContent.replace(/; paused.*|$/, `; paused, ${number(waiting)} new`);
  });
  paint();
  const sel = Number(params.get("flow"));
  if (sel) choose({kind: "flow", id: sel});
  return () => {
    stop();
    clearTimeout(timer);
  };
}

// sync makes the children those that are wanted, and leaves rows that stay where they are, with focus and selection.
function sync(parent, wanted) {
  const keep = new Set(wanted);
  for (const child of [...parent.children]) if (!keep.has(child)) child.remove();
  let at = parent.firstElementChild;
  for (const node of wanted) {
    if (node === at) at = at.nextElementSibling;
    else parent.insertBefore(node, at);
  }
}

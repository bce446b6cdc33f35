// The service map: who talks to whom. A drawing, and the same as a table.

import {h, number, bytes, table, chip} from "./dom.js";
import {store, listen, namespaces} from "./store.js";
import {layout, card} from "./layout.js";
import {route, keep} from "./route.js";
import {choose, endName} from "./panel.js";

const few = 60; // edges up to which each has its rate written on it

export function mapView(main, follow) {
  const params = route().params;
  let asTable = params.get("as") === "table", focus = params.get("sel") || "";
  let labelled = "", shape = -1, box = null, zoomed = false, drawn = new Map(), paths = new Map(), placed = null, due = false;

  const stats = h("div", {class: "stats"});
  const space = h("select", {id: "map-namespace", onchange: () => { keep({namespace: space.value}); follow(space.value); }});
  const search = h("input", {type: "search", id: "map-search", placeholder: "find a workload", oninput: paint});
  const toggle = h("button", {type: "button", class: "plain", "aria-pressed": String(asTable), onclick: () => {
    asTable = !asTable;
    toggle.setAttribute("aria-pressed", String(asTable));
    keep({as: asTable ? "table" : ""});
    whole();
  }}, "As a table");
  const fit = h("button", {type: "button", class: "plain", onclick: () => { zoomed = false; frame(); }}, "Fit");
  const zoomIn = h("button", {type: "button", class: "plain", "aria-label": "Zoom in", onclick: () => zoom(0.8)}, "+");
  const zoomOut = h("button", {type: "button", class: "plain", "aria-label": "Zoom out", onclick: () => zoom(1.25)}, "−");
  const edgesG = h("g", {"aria-hidden": "true"}), labelsG = h("g", {"aria-hidden": "true"}), verticesG = h("g", {});
  const marker = (id) => h("marker", {id, viewBox: "0 0 8 8", refX: "6.5", refY: "4", markerWidth: "9", markerHeight: "9", markerUnits: "userSpaceOnUse", orient: "auto"},
    h("path", {d: "M0,0.5 L8,4 L0,7.5 z"}));
  const svg = h("svg", {class: "map", role: "group", "aria-label": "Service map. Arrow keys go from one to the next, Enter opens it."},
    h("defs", {}, marker("arrow"), marker("arrow-bad"), marker("arrow-idle")), edgesG, labelsG, verticesG);
  const legend = h("div", {class: "legend"},
    h("span", {}, h("i", {class: "line good"}), "passed"), h("span", {}, h("i", {class: "line bad"}), "✕ refused or dropped"),
    h("span", {}, h("i", {class: "line idle"}), "nothing in the last minute"), h("span", {}, h("i", {class: "box pill"}), "Service"),
    h("span", {}, h("i", {class: "box"}), "workload"));
  const more = h("p", {class: "muted more"});
  const area = h("div", {class: "map-area"}, svg, legend);
  const body = h("div", {class: "map-body"});
  main.append(h("div", {class: "bar"}, h("h1", {}, "Map"), h("label", {for: "map-namespace"}, "Namespace"), space,
    h("label", {for: "map-search", class: "hidden"}, "Find a workload"), search, h("span", {class: "grow"}), toggle, h("span", {class: "group"}, zoomOut, zoomIn, fit)), stats, body);

  function rates() {
    let passed = 0, refused = 0;
    const workloads = new Set();
    for (const e of store.edges.values()) {
      if (!e.to.startsWith("s:") || e.refused > 0) refused += e.refused;
      if (!e.to.startsWith("s:")) passed += e.passed;
    }
    for (const v of store.vertices.values()) if (/^[wp]:/.test(v.id)) workloads.add(v.id);
    const tile = (value, text, kind = "") => h("div", {class: `tile ${kind}`}, h("b", {}, value), h("span", {}, text));
    stats.replaceChildren(tile(number(passed), "connections a minute"), tile(number(refused), "refused or dropped a minute", refused > 0 ? "bad" : ""),
      tile(number(workloads.size), "workloads"), tile(number(store.edges.size + store.more), "edges"));
    more.textContent = store.more > 0 ? `+${number(store.more)} more edges: choose a namespace to see its own` : "";
  }

  function options() {
    const wanted = route().params.get("namespace") || "";
    const all = [...new Set([...namespaces(), ...(wanted ? [wanted] : [])])];
    const have = [...space.options].slice(1).map((o) => o.value);
    if (space.options.length > 0 && all.join() === have.join()) return;
    space.replaceChildren(h("option", {value: ""}, "all"), ...all.map((n) => h("option", {value: n}, n)));
    space.value = wanted;
  }

  // whole draws all anew; paint only changes what is there.
  function whole() {
    options();
    rates();
    shape = store.shape;
    if (asTable) {
      body.replaceChildren(more, edgeTable());
      return;
    }
    if (svg.parentNode !== area || area.parentNode !== body) body.replaceChildren(area, more);
    if (store.vertices.size === 0) {
      verticesG.replaceChildren();
      edgesG.replaceChildren();
      labelsG.replaceChildren();
      area.classList.add("nothing");
      if (!area.querySelector(".empty")) area.append(h("p", {class: "empty"}, "Nobody has talked to anybody yet, as far as the nodes tell. ",
        "Nodes keep every connection with --flows=all; otherwise only what was refused or dropped is here."));
      return;
    }
    area.classList.remove("nothing");
    area.querySelector(".empty")?.remove();
    const rect = svg.getBoundingClientRect();
    placed = layout([...store.vertices.values()], [...store.edges.values()], rect.height > 0 ? rect.width / rect.height : 1.6);
    const had = document.activeElement?.dataset?.id;
    drawn = new Map();
    paths = new Map();
    verticesG.replaceChildren(...[...store.vertices.values()].map(drawVertex));
    edgesG.replaceChildren(...[...store.edges.values()].filter((e) => placed.ways.has(e.id)).map(drawEdge));
    labelsG.replaceChildren();
    labelled = "";
    if (!zoomed) frame();
    roving(had);
    if (had) drawn.get(had)?.focus({preventScroll: true});
    paint();
  }

  function drawVertex(v) {
    const p = placed.places.get(v.id);
    const kind = v.kind === "nodes" || v.kind === "world" ? "place" : v.kind === "Service" ? "service" : "workload";
    const [name, second] = words(v);
    const g = h("g", {class: `vertex ${kind}`, role: "button", tabindex: "-1", "data-id": v.id, transform: `translate(${p.x},${p.y})`,
      onclick: () => open(v.id), onkeydown: (e) => key(e, v.id)},
    h("title", {}, `${v.kind} ${v.namespace ? v.namespace + "/" : ""}${v.name}`),
    h("rect", {class: "card", width: card.width, height: p.height, rx: kind === "service" ? p.height / 2 : kind === "place" ? 2 : 9}),
    kind === "workload" ? h("rect", {class: `stripe n${hue(v.namespace)}`, x: "0", y: "9", width: "4", height: p.height - 18}) : null,
    ...(kind === "service" ? [h("text", {class: "name", x: "18", y: "20"}, name, " ", h("tspan", {class: "kind", dx: "4"}, second))] :
      [h("text", {class: "name", x: "18", y: "21"}, `${name} `), h("text", {class: "kind", x: "18", y: "37"}, second)]),
    h("g", {class: "badge", transform: `translate(${card.width - 18},${p.height / 2})`}, h("circle", {r: "9"}), h("path", {d: "M-3.500,-3.500 L3.500,3.500 M3.500,-3.500 L-3.500,3.500"})));
    drawn.set(v.id, g);
    return g;
  }

  function drawEdge(e) {
    const c = placed.ways.get(e.id);
    const g = h("g", {class: "edge", "data-id": e.id, onclick: () => open(e.id)}, h("path", {class: "hit", d: c.d}), h("path", {class: "good", d: c.d}), h("path", {class: "bad", d: c.d}));
    paths.set(e.id, {g, c});
    return g;
  }

  function paint() {
    if (asTable || placed === null) return;
    const text = search.value.trim().toLowerCase();
    const near = new Set(focus && store.vertices.has(focus) ? [focus] : []);
    const trouble = new Map(), busy = new Map();
    for (const e of store.edges.values()) {
      if (e.from === focus || e.to === focus || e.id === focus) near.add(e.from).add(e.to);
      if (e.refused > 0) trouble.set(e.to, (trouble.get(e.to) ?? 0) + e.refused);
      busy.set(e.to, (busy.get(e.to) ?? 0) + e.passed);
    }
    const labels = [];
    for (const [id, {g, c}] of paths) {
      const e = store.edges.get(id);
      if (!e) continue;
      const idle = e.passed === 0 && e.refused === 0, bad = e.ended > 0, good = e.total > e.ended;
      set(g, "class", ["edge", c.within ? "within" : "", bad ? "is-bad" : "", good ? "is-good" : "", idle ? "idle" : "", bad && e.refused === 0 ? "was-bad" : "",
        e.id === focus ? "chosen" : "", near.size > 0 && !(near.has(e.from) && near.has(e.to)) ? "dim" : ""].join(" "));
      set(g.children[1], "stroke-width", Math.min(7, 1.4 + Math.log2(1 + e.passed) * 0.6).toFixed(1));
      if (!c.within && (paths.size <= few || bad || e.from === focus || e.to === focus) && (!idle || bad)) labels.push({id, c, bad, text: rate(e)});
    }
    const said = labels.map((l) => l.id + l.text).join();
    if (said !== labelled) {
      labelled = said;
      labelsG.replaceChildren(...labels.map(label));
    }
    for (const [id, g] of drawn) {
      const v = store.vertices.get(id);
      if (!v) continue;
      const found = text === "" || `${v.namespace}/${v.name}`.toLowerCase().includes(text);
      g.classList.toggle("chosen", id === focus);
      g.classList.toggle("dim", !found || near.size > 0 && !near.has(id));
      g.classList.toggle("found", text !== "" && found);
      g.classList.toggle("trouble", trouble.has(id));
      const said = `${words(v).join(" ")}: ${busy.get(id) ?? 0} connections a minute` +
        (trouble.has(id) ? `, ${trouble.get(id)} refused or dropped` : "");
      set(g, "aria-label", said);
    }
  }

  function label({text, c, bad}) {
    const width = text.length * 6.4 + 14;
    return h("g", {class: `label ${bad ? "bad" : ""}`, transform: `translate(${c.x},${c.y})`},
      h("rect", {x: -width / 2, y: "-10", width, height: "20", rx: "10"}), h("text", {y: "4", "text-anchor": "middle"}, text));
  }

  function open(id) {
    focus = id;
    keep({sel: id});
    paint();
    choose({kind: id.includes(">") ? "edge" : "vertex", id}, () => {
      const was = focus;
      focus = "";
      keep({sel: ""});
      paint();
      drawn.get(was)?.focus();
    });
  }

  // roving keeps one vertex in the order of the Tab key; arrows move among them.
  function roving(id) {
    const first = drawn.get(id) ?? verticesG.firstElementChild;
    for (const g of drawn.values()) g.setAttribute("tabindex", g === first ? "0" : "-1");
  }

  function key(e, id) {
    if (e.key === "Enter" || e.key === " ") {
      e.preventDefault();
      open(id);
      return;
    }
    const way = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[e.key];
    if (!way) return;
    e.preventDefault();
    const from = placed.places.get(id);
    let best = null, least = Infinity;
    for (const [other, p] of placed.places) {
      const along = (p.x - from.x) * way[0] + (p.y - from.y) * way[1], aside = Math.abs((p.x - from.x) * way[1]) + Math.abs((p.y - from.y) * way[0]);
      if (other !== id && along > 4 && along + 2 * aside < least) [best, least] = [other, along + 2 * aside];
    }
    if (best !== null) {
      roving(best);
      drawn.get(best).focus();
    }
  }

  // The part of the drawing that is seen.
  function frame() {
    if (!placed) return;
    const rect = svg.getBoundingClientRect();
    const w = Math.max(placed.width + 60, rect.width), hh = Math.max(placed.height + 90, rect.height);
    box = {x: -(w - placed.width) / 2, y: -(hh - placed.height) / 2, w, h: hh};
    show();
  }

  function show() {
    svg.setAttribute("viewBox", `${box.x} ${box.y} ${box.w} ${box.h}`);
  }

  function zoom(by, at = {x: box.x + box.w / 2, y: box.y + box.h / 2}) {
    if (!box || by < 1 && box.w < 200 || by > 1 && box.w > 40000) return;
    zoomed = true;
    box = {x: at.x - (at.x - box.x) * by, y: at.y - (at.y - box.y) * by, w: box.w * by, h: box.h * by};
    show();
  }

  function point(e) {
    const p = new DOMPoint(e.clientX, e.clientY).matrixTransform(svg.getScreenCTM().inverse());
    return {x: p.x, y: p.y};
  }
  svg.addEventListener("wheel", (e) => {
    e.preventDefault();
    zoom(e.deltaY > 0 ? 1.12 : 0.89, point(e));
  }, {passive: false});
  svg.addEventListener("pointerdown", (e) => {
    if (e.button !== 0 || e.target.closest(".vertex, .edge") || !box) return;
    const from = point(e);
    const move = (m) => {
      const p = point(m);
      zoomed = true;
      box.x += from.x - p.x;
      box.y += from.y - p.y;
      show();
    };
    svg.setPointerCapture(e.pointerId);
    svg.addEventListener("pointermove", move);
    svg.addEventListener("pointerup", () => svg.removeEventListener("pointermove", move), {once: true});
  });

  function edgeTable() {
    const rows = [...store.edges.values()].sort((a, b) => b.refused - a.refused || b.passed - a.passed || (a.id < b.id ? -1 : 1));
    return table("Who talks to whom", [
      {name: "from", cell: (e) => endName(e.from)},
      {name: "to", cell: (e) => endName(e.to)},
      {name: "state", cell: (e) => e.ended > 0 ? chip("bad", e.refused > 0 ? "refused" : "was refused") : e.passed > 0 ? chip("good", "passed") : chip("off", "idle")},
      {name: "a minute", num: true, cell: (e) => number(e.passed)},
      {name: "refused a minute", num: true, cell: (e) => number(e.refused)},
      {name: "in all", num: true, cell: (e) => number(e.total)},
      {name: "bytes", num: true, cell: (e) => bytes(e.bytes)},
      {name: "ports", cell: (e) => (e.ports ?? []).join(", ")},
      {name: "details", cell: (e) => h("button", {type: "button", class: "link", onclick: () => open(e.id)}, "open")},
    ], rows, "Nobody has talked to anybody yet.");
  }

  const stop = listen((what) => {
    if (what === "flows") options();
    if (what !== "map" || due) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      if (!main.contains(body)) return;
      if (shape !== store.shape) whole();
      else if (asTable) { // a table that somebody reads stays
        rates();
        if (!body.contains(document.activeElement)) body.replaceChildren(more, edgeTable());
      } else {
        rates();
        paint();
      }
    });
  });
  const resize = new ResizeObserver(() => { if (!zoomed && placed && !asTable) frame(); });
  resize.observe(body);
  whole();
  if (focus) open(focus);
  return () => {
    stop();
    resize.disconnect();
  };
}

// rate is what is written on an edge.
function rate(e) {
  if (e.ended === 0) return `${number(e.passed)}/min`;
  return `✕ ${e.refused > 0 ? e.refused + "/min" : number(e.ended)}`;
}

// set changes an attribute only where it is another: what stays needs no new picture.
function set(node, key, value) {
  if (node.getAttribute(key) !== value) node.setAttribute(key, value);
}

// words are what is written on a vertex, in one line or two.
function words(v) {
  if (v.kind === "Service") {
    const name = short(v.name, 15);
    return [name, short(`Service · ${v.namespace}`, 26 - name.length)];
  }
  return [short(v.name, 22), short({nodes: "of this cluster", world: "of the cluster"}[v.kind] ?? `${v.kind} · ${v.namespace}`, 28)];
}

function short(text, most) {
  return text.length > most ? text.slice(0, most - 1) + "…" : text;
}

// hue is one of eight colours, by the name.
function hue(name) {
  let sum = 0;
  for (const c of name ?? "") sum = (sum * 31 + c.codePointAt(0)) >>> 0;
  return sum % 8;
}


// What the stream has told: the latest flows, the map, and how it goes. All of it has a bound.

const mostLines = 5000;

export const store = {
  lines: new Map(), // id → line, oldest first
  vertices: new Map(),
  edges: new Map(),
  more: 0, // edges that the map leaves out
  skipped: 0, // lines that came too fast for the list
  state: {troubles: {}, notes: {}, lost: {}, nodes: []},
  connected: false,
  shape: 0, // grows when vertices or edges come or go
};

const listeners = new Set();
const spaces = new Set(); // namespaces that have been seen

// listen calls f(what) after something came: "flows", "map", "state", "connected". It returns how to stop.
export function listen(f) {
  listeners.add(f);
  return () => listeners.delete(f);
}

function tell(what, detail) {
  for (const f of listeners) f(what, detail);
}

let stream = null;
let namespace = null;

// follow connects, or connects anew for another namespace of the map.
export function follow(wanted) {
  if (stream && wanted === namespace) return;
  stream?.close();
  namespace = wanted;
  stream = new EventSource(`api/stream?namespace=${encodeURIComponent(wanted)}`);
  stream.onopen = () => connected(true);
  stream.onerror = () => connected(false);
  stream.addEventListener("flows", (e) => flows(JSON.parse(e.data)));
  stream.addEventListener("map", (e) => map(JSON.parse(e.data)));
  stream.addEventListener("state", (e) => {
    store.state = JSON.parse(e.data);
    tell("state");
  });
}

function connected(yes) {
  if (store.connected === yes) return;
  store.connected = yes;
  tell("connected");
}

function flows(batch) {
  store.skipped += batch.skipped;
  const fresh = batch.lines ?? [];
  for (const line of fresh) {
    line.words = [line.text, line.source.address, line.destination.address, line.service, line.reason, line.source.workload, line.destination.workload,
      ...(line.policies ?? []).map((p) => p.name)].join(" ").toLowerCase();
    store.lines.set(line.id, line);
    if (line.source.namespace) spaces.add(line.source.namespace);
    if (line.destination.namespace) spaces.add(line.destination.namespace);
  }
  for (const id of store.lines.keys()) {
    if (store.lines.size <= mostLines) break;
    store.lines.delete(id);
  }
  tell("flows", fresh);
}

function map(change) {
  let shape = false;
  if (change.whole) {
    store.vertices.clear();
    store.edges.clear();
    shape = true;
  }
  for (const v of change.vertices ?? []) {
    shape ||= !store.vertices.has(v.id);
    store.vertices.set(v.id, v);
    if (v.namespace) spaces.add(v.namespace);
  }
  for (const e of change.edges ?? []) {
    shape ||= !store.edges.has(e.id);
    store.edges.set(e.id, e);
  }
  for (const id of change.gone ?? []) {
    shape = store.vertices.delete(id) || store.edges.delete(id) || shape;
  }
  store.more = change.more;
  if (shape) store.shape++;
  tell("map");
}

// namespaces that have been seen, sorted.
export const namespaces = () => [...spaces].sort();

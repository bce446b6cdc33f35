// Places vertices in columns, clients left of whom they talk to. A Service whose backends are one workload sits on top of that workload. The same graph
// always gets the same places: nothing is random.

export const card = {width: 196, height: 48, pill: 32, across: 96, down: 26, seam: 8};

const detailed = 150; // edges up to which long ones get ways of their own between the cards
const airy = 70; // units up to which they are moved to the height of their neighbours

// layout gives {places: Map id → {x, y, height, unit}, ways: Map edge id → {d, x, y}, width, height} for vertices [{id, kind}] and edges [{id, from, to}],
// to fit an area of this ratio of width to height.
export function layout(vertices, edges, ratio = 1.6) {
  const {units, of} = unite(vertices, edges);
  const between = new Map();
  for (const e of edges) {
    const from = of.get(e.from), to = of.get(e.to);
    if (from !== undefined && to !== undefined && from !== to) between.set(`${from}>${to}`, {from, to});
  }
  const links = [...between.keys()].sort().map((k) => between.get(k));
  const ids = [...units.keys()].sort();
  const ranks = rank(ids, links);
  const layers = [];
  for (const id of ids) (layers[ranks.get(id)] ??= []).push(id);
  const height = new Map(ids.map((id) => [id, units.get(id).height]));
  const near = new Map(ids.map((id) => [id, []]));
  const meet = (a, b) => {
    near.get(a).push(b);
    near.get(b).push(a);
  };
  const bends = new Map(); // link → the points that it passes, as ids of units without a card
  for (const l of links) {
    const first = ranks.get(l.from), last = ranks.get(l.to);
    if (edges.length > detailed || last - first < 2) {
      meet(l.from, l.to);
      continue;
    }
    let before = l.from;
    const points = [];
    for (let r = first + 1; r < last; r++) {
      const point = `~${l.from}>${l.to}~${r}`;
      layers[r].push(point);
      near.set(point, []);
      height.set(point, 10);
      meet(before, point);
      points.push(before = point);
    }
    meet(before, l.to);
    bends.set(`${l.from}>${l.to}`, points);
  }
  arrange(layers, near);
  const at = place(layers, near, height, ratio);
  const places = spread(units, at.places);
  const ways = new Map();
  for (const e of edges) {
    const a = places.get(e.from), b = places.get(e.to);
    if (a && b) ways.set(e.id, way(a, b, (bends.get(`${of.get(e.from)}>${of.get(e.to)}`) ?? []).map((p) => at.places.get(p))));
  }
  return {places, ways, width: at.width, height: at.height};
}

// unite puts Services on top of the workload that alone answers for them.
function unite(vertices, edges) {
  const backends = new Map(), kinds = new Map(vertices.map((v) => [v.id, v.kind]));
  for (const e of edges) {
    if (kinds.get(e.from) === "Service") (backends.get(e.from) ?? backends.set(e.from, new Set()).get(e.from)).add(e.to);
  }
  const units = new Map(), of = new Map();
  const sorted = [...vertices].sort((a, b) => (a.id < b.id ? -1 : 1));
  for (const v of sorted) {
    const alone = backends.get(v.id)?.size === 1 ? [...backends.get(v.id)][0] : null;
    if (alone === null || kinds.get(alone) === undefined || /^(Service|nodes|world)$/.test(kinds.get(alone))) units.set(v.id, {pills: [], service: v.kind === "Service"});
    else of.set(v.id, alone);
  }
  for (const [service, workload] of of) units.get(workload).pills.push(service);
  for (const [id, u] of units) {
    of.set(id, id);
    u.height = u.service ? card.pill : card.height + u.pills.length * (card.pill + card.seam);
  }
  return {units, of};
}

// spread gives each vertex of a unit its place.
function spread(units, at) {
  const places = new Map();
  for (const [id, u] of units) {
    const p = at.get(id);
    u.pills.forEach((s, i) => places.set(s, {x: p.x, y: p.y + i * (card.pill + card.seam), height: card.pill, unit: id}));
    const y = p.y + u.pills.length * (card.pill + card.seam);
    places.set(id, {x: p.x, y, height: u.service ? card.pill : card.height, unit: id});
  }
  return places;
}

// rank is the length of the longest way to a unit, after links that would lead in a circle are left out.
function rank(ids, links) {
  const next = new Map(ids.map((id) => [id, []])), fed = new Set();
  for (const l of links) {
    next.get(l.from).push(l.to);
    fed.add(l.to);
  }
  const order = [], state = new Map(), back = new Set();
  const visit = (root) => { // depth first, without recursion: a chain may be long
    const stack = [[root, 0]];
    state.set(root, 1);
    while (stack.length > 0) {
      const top = stack[stack.length - 1];
      const to = next.get(top[0])[top[1]++];
      if (to === undefined) {
        state.set(top[0], 2);
        order.push(top[0]);
        stack.pop();
      } else if (state.get(to) === 1) back.add(top[0] + ">" + to);
      else if (!state.has(to)) {
        state.set(to, 1);
        stack.push([to, 0]);
      }
    }
  };
  // Whom nobody talks to comes first, so that circles are cut where they are entered.
  for (const id of [...ids.filter((i) => !fed.has(i)), ...ids]) if (!state.has(id)) visit(id);
  const ranks = new Map(ids.map((id) => [id, 0]));
  for (const id of order.reverse()) {
    for (const to of next.get(id)) {
      if (!back.has(id + ">" + to)) ranks.set(to, Math.max(ranks.get(to), ranks.get(id) + 1));
    }
  }
  return ranks;
}

// arrange orders each column by where its neighbours stand in the others, a few times there and back.
function arrange(layers, near) {
  const at = new Map();
  const note = (layer) => layer.forEach((id, i) => at.set(id, (i + 0.5) / layer.length));
  layers.forEach(note);
  for (let sweep = 0; sweep < 10; sweep++) {
    for (const layer of sweep % 2 === 0 ? layers : [...layers].reverse()) {
      const mean = new Map(layer.map((id) => {
        const list = near.get(id);
        return [id, list.length === 0 ? at.get(id) : list.reduce((sum, n) => sum + at.get(n), 0) / list.length];
      }));
      layer.sort((a, b) => mean.get(a) - mean.get(b) || (a < b ? -1 : 1));
      note(layer);
    }
  }
}

// place gives coordinates. Columns that are too long become several, as many as fit the area best.
function place(layers, near, height, ratio) {
  const dx = card.width + card.across;
  const tall = (list) => list.reduce((sum, id) => sum + height.get(id) + card.down, 0);
  const longest = Math.max(1, ...layers.map(tall));
  let most = longest, best = 0;
  for (let h = longest; h >= Math.min(longest, 300); h *= 0.9) {
    const columns = layers.reduce((sum, l) => sum + Math.ceil(tall(l) / h), 0);
    const scale = Math.min(ratio / (columns * dx), 1 / h);
    if (scale > best * (height.size > airy ? 1 : 1.15)) [best, most] = [scale, h]; // what is in one column is easier to read
  }
  const places = new Map();
  let column = 0;
  for (const layer of layers) {
    const parts = Math.ceil(tall(layer) / most), each = tall(layer) / parts;
    let y = 0, part = [];
    const end = () => {
      for (const id of part) places.get(id).y -= y / 2;
      column++;
      [y, part] = [0, []];
    };
    for (const id of layer) {
      places.set(id, {x: column * dx, y});
      part.push(id);
      y += height.get(id) + card.down;
      if (y >= each && parts > 1) end();
    }
    if (part.length > 0) end();
  }
  if (most === longest && height.size <= airy) straighten(layers, near, height, places);
  let low = 0, top = 0, right = 0;
  for (const [id, p] of places) {
    top = Math.min(top, p.y);
    low = Math.max(low, p.y + height.get(id));
    right = Math.max(right, p.x);
  }
  for (const p of places.values()) p.y -= top;
  return {places, width: right + card.width, height: low - top};
}

// straighten moves units towards the middle of their neighbours without changing the order or coming too close.
function straighten(layers, near, height, places) {
  const middle = (id) => places.get(id).y + height.get(id) / 2;
  for (let sweep = 0; sweep < 8; sweep++) {
    for (const layer of sweep % 2 === 0 ? layers : [...layers].reverse()) {
      const want = layer.map((id) => {
        const list = near.get(id);
        return (list.length === 0 ? middle(id) : list.reduce((sum, n) => sum + middle(n), 0) / list.length) - height.get(id) / 2;
      });
      const y = [...want];
      for (let i = 1; i < y.length; i++) y[i] = Math.max(y[i], y[i - 1] + height.get(layer[i - 1]) + card.down);
      const shift = y.reduce((sum, v, i) => sum + v - want[i], 0) / Math.max(1, y.length);
      layer.forEach((id, i) => { places.get(id).y = y[i] - shift; });
    }
  }
}

// way is the path of an edge between two places by some points, and where its label goes.
function way(a, b, points) {
  const x1 = a.x + card.width, y1 = a.y + a.height / 2, y2 = b.y + b.height / 2;
  if (a === b) { // to itself
    const x = a.x + card.width;
    return {d: `M${x},${y1 - 12} C${x + 44},${y1 - 34} ${x + 44},${y1 + 34} ${x + 7},${y1 + 12}`, x: x + 34, y: y1};
  }
  if (a.unit === b.unit && b.y > a.y) { // a Service to the workload below it
    const x = a.x + 34;
    return {d: `M${x},${a.y + a.height} L${x},${b.y - 6}`, x: a.x + card.width - 40, y: (a.y + a.height + b.y) / 2, within: true};
  }
  if (b.x > a.x) {
    let d = `M${x1},${y1}`, x = x1, y = y1;
    const to = (px, py) => {
      const bend = Math.max(30, (px - x) / 2);
      d += ` C${x + bend},${y} ${px - bend},${py} ${px},${py}`;
      [x, y] = [px, py];
    };
    for (const p of points) {
      to(p.x, p.y + 5);
      x = p.x + card.width;
      d += ` L${x},${y}`;
    }
    const last = [x, y];
    to(b.x - 7, y2);
    if (points.length > 0) return {d, x: points[0].x + card.width / 2, y: points[0].y + 5}; // where it is straight
    return {d, x: (last[0] + x) / 2, y: (last[1] + y) / 2};
  }
  if (b.x === a.x) { // in one column: out and in at the right
    const x2 = b.x + card.width + 7;
    return {d: `M${x1},${y1} C${x1 + 60},${y1} ${x2 + 53},${y2} ${x2},${y2}`, x: x1 + 44, y: (y1 + y2) / 2};
  }
  const x0 = a.x, x2 = b.x + card.width + 7, low = Math.max(a.y + a.height, b.y + b.height) + 22; // back to the left, below
  return {d: `M${x0},${y1 + 8} C${x0 - 50},${low} ${x2 + 50},${low} ${x2},${y2 + 8}`, x: (x0 + x2) / 2, y: (y1 + y2 + 16 + 6 * low) / 8};
}

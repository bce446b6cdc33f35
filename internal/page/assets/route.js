// Which view is shown, and with which filters, is in the URL behind "#": a reload and the browser's back button keep it.

export function route() {
  const [view, query = ""] = location.hash.slice(1).split("?");
  return {view: view || "map", params: new URLSearchParams(query)};
}

// go changes the view; params that are empty are left out.
export function go(view, params = {}) {
  location.hash = address(view, params);
}

export function address(view, params = {}) {
  const query = new URLSearchParams(Object.entries(params).filter(([, v]) => v));
  return `#${view}${query.size > 0 ? "?" + query : ""}`;
}

// keep changes params of the present view without a new entry in the browser's history. Nobody is told: who calls knows.
export function keep(changes) {
  const {view, params} = route();
  for (const [key, value] of Object.entries(changes)) {
    if (value) params.set(key, value);
    else params.delete(key);
  }
  history.replaceState(null, "", address(view, Object.fromEntries(params)));
}

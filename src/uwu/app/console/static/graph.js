// The graph page: Cytoscape holds the picture and draws its edges, the nodes are elements that take focus.
"use strict";
(() => {
  const view = document.getElementById("graph");
  if (!view) return;
  const layer = document.getElementById("g-nodes");
  const kindsBox = document.getElementById("g-kinds");
  const side = document.getElementById("g-node");
  const said = document.getElementById("g-said");
  const MOST = Number(view.dataset.most);
  const ROOT = view.dataset.subject;
  const asking = (id) => new URLSearchParams({ subject: id, ...(view.dataset.at && { at: view.dataset.at }) });
  const WIDTH = 176, HEIGHT = 44, ROW = 58, COLUMN = 262, TALL = 14, OPEN_MOST = 12, FOLD = 6, LABELS = 16;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

  const nodes = new Map(); // id -> {point, column, parent, element}
  const edges = new Map();
  const open = new Set();
  const more = new Map();
  const folds = new Map(); // id of a stack -> what it holds
  const asked = new URLSearchParams(location.search);
  const hidden = new Set(asked.getAll("hide"));
  let chosen = ROOT;

  // Cytoscape writes a style element unless one of this id is there; the page's policy allows none.
  if (!document.getElementById("__________cytoscape_stylesheet")) {
    const held = document.createElement("meta");
    held.id = "__________cytoscape_stylesheet";
    document.head.append(held);
  }

  // ---- colours: the page's own, as the theme resolves them

  const probe = document.createElement("span");
  probe.hidden = true;
  view.append(probe);
  const colour = (name) => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; };

  const cy = cytoscape({
    container: document.getElementById("g-canvas"),
    minZoom: 0.2, maxZoom: 2, boxSelectionEnabled: false, autounselectify: true,
    style: [],
  });

  function paint() {
    cy.style([
      { selector: "node", style: { shape: "round-rectangle", width: WIDTH, height: HEIGHT, opacity: 0, "overlay-opacity": 0 } },
      { selector: "edge", style: {
        width: 1.25, "line-color": colour("--line-strong"), "curve-style": "unbundled-bezier",
        "control-point-weights": "data(weights)", "control-point-distances": "data(distances)", "edge-distances": "endpoints",
        "source-endpoint": `${WIDTH / 2} 0`, "target-endpoint": `${-WIDTH / 2} 0`, "overlay-opacity": 0,
        "target-arrow-shape": "triangle", "target-arrow-color": colour("--line-strong"), "arrow-scale": 0.7,
        "font-family": "Inter", "font-size": 11, color: colour("--ink-3"),
        "text-background-color": colour("--bg"), "text-background-opacity": 1, "text-background-padding": 3,
      } },
      { selector: "edge.named", style: { label: "data(label)", "min-zoomed-font-size": 8 } },
      { selector: "edge.near", style: { width: 1.75, "line-color": colour("--ink-3"), "target-arrow-color": colour("--ink-3"), color: colour("--ink-2") } },
      { selector: "edge.way", style: { width: 2.5, "line-color": colour("--accent"), "target-arrow-color": colour("--accent"), color: colour("--ink") } },
      { selector: "edge[kind = 'closed']", style: { "line-style": "dashed", "line-color": colour("--red"), "target-arrow-color": colour("--red"), color: colour("--red") } },
    ]);
  }
  paint();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  new MutationObserver(paint).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });

  // ---- the nodes, as elements over the canvas

  const SVG = "http://www.w3.org/2000/svg";
  function glyph(name) {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("class", "i");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("aria-hidden", "true");
    const use = document.createElementNS(SVG, "use");
    use.setAttribute("href", `${view.dataset.sprite}#i-${name}`);
    svg.append(use);
    return svg;
  }

  function draw(id) {
    const { point } = nodes.get(id);
    const element = document.createElement("button");
    element.type = "button";
    element.className = "gnode";
    element.tabIndex = -1;
    element.dataset.id = id;
    const text = document.createElement("span");
    text.className = "clip";
    const name = Object.assign(document.createElement("b"), { className: "clip", textContent: point.name });
    const detail = Object.assign(document.createElement("small"), { className: "clip", textContent: point.detail });
    const state = Object.assign(document.createElement("span"), { className: "vh" });
    text.append(name, " ", detail, state);
    element.append(glyph(point.icon), text);
    if (point.findings) {
      const flag = Object.assign(document.createElement("span"), { className: "flag" });
      flag.setAttribute("aria-hidden", "true");
      element.append(flag);
    }
    layer.append(element);
    return element;
  }

  function tell(id) {
    const { point, element } = nodes.get(id);
    const wrong = point.findings ? `, ${point.findings} ${point.findings === 1 ? "finding" : "findings"}` : "";
    element.querySelector(".vh").textContent = `${wrong}${folds.has(id) ? ", a stack" : open.has(id) ? "" : ", not expanded"}`;
    element.classList.toggle("me", id === ROOT);
    element.classList.toggle("sel", id === chosen);
    element.tabIndex = id === chosen ? 0 : -1;
    if (id === chosen) element.setAttribute("aria-current", "true"); else element.removeAttribute("aria-current");
  }

  const shown = (id) => !nodes.get(id).element.hidden;
  function follow() {
    const { x, y } = cy.pan();
    layer.style.transform = `translate(${x}px, ${y}px) scale(${cy.zoom()})`;
  }
  cy.on("pan zoom resize", follow);
  cy.on("position", "node", (event) => {
    const { x, y } = event.target.position();
    const { element } = nodes.get(event.target.id());
    element.style.transform = `translate(${x - WIDTH / 2}px, ${y - HEIGHT / 2}px)`;
    event.target.connectedEdges().forEach(bend);
  });
  cy.on("mouseover", "node", (event) => { nodes.get(event.target.id()).element.classList.add("hover"); view.style.cursor = "pointer"; });
  cy.on("mouseout", "node", (event) => { nodes.get(event.target.id()).element.classList.remove("hover"); view.style.cursor = ""; });
  cy.on("tap", "node", (event) => choose(event.target.id(), { focus: true }));
  cy.on("dbltap", "node", (event) => expand(event.target.id()));

  // An S between two sides: its control points lie half way, at the height of either end.
  function bend(edge) {
    const a = edge.source().position(), b = edge.target().position();
    const dx = b.x - a.x - WIDTH || 1, dy = b.y - a.y;
    const square = dx * dx + dy * dy, length = Math.sqrt(square);
    edge.data({
      weights: [(dx * dx) / 2 / square, ((dx * dx) / 2 + dy * dy) / square],
      distances: [(-dx * dy) / (2 * length), (dx * dy) / (2 * length)],
    });
  }

  // ---- where everything stands: columns by distance, children near their parent

  function place() {
    const columns = new Map();
    for (const [id, node] of nodes) if (shown(id)) (columns.get(node.column) ?? columns.set(node.column, []).get(node.column)).push(id);
    const spots = new Map([[ROOT, { x: 0, y: 0 }]]);
    // what a neighbour leads back to stands above and below the root
    const beside = columns.get(0).filter((id) => id !== ROOT);
    beside.forEach((id, i) => spots.set(id, { x: 0, y: (i % 2 ? -1 : 1) * ROW * (1 + Math.ceil((i + 1) / 2)) }));
    const longest = Math.max(0, ...[...edges.values()].map((edge) => edge.label.length));
    const step = Math.max(COLUMN, WIDTH + 24 + 6.2 * longest); // a label fits between two columns
    for (const way of [1, -1]) {
      let x = 0;
      for (let column = way; columns.has(column); column += way) {
        const ids = columns.get(column);
        const wish = (id) => spots.get(nodes.get(id).parent)?.y ?? 0;
        ids.sort((a, b) => wish(a) - wish(b));
        const parts = Math.ceil(ids.length / TALL);
        for (let part = 0; part < parts; part++) {
          x += way * (part ? WIDTH + 24 : step);
          const some = ids.slice(part * TALL, (part + 1) * TALL);
          const ys = [];
          some.forEach((id, i) => ys.push(i ? Math.max(ys[i - 1] + ROW, wish(id)) : wish(id)));
          const shift = some.reduce((sum, id, i) => sum + wish(id) - ys[i], 0) / some.length;
          some.forEach((id, i) => spots.set(id, { x, y: ys[i] + shift }));
        }
      }
    }
    cy.batch(() => cy.nodes().forEach((node) => {
      const spot = spots.get(node.id());
      if (spot) node.position(spot);
    }));
    cy.edges().forEach(bend);
  }

  function fit() {
    cy.resize();
    const spots = [...nodes.keys()].filter(shown).map((id) => cy.getElementById(id).position());
    const [xs, ys] = [spots.map((spot) => spot.x), spots.map((spot) => spot.y)];
    const [left, right, top, bottom] = [Math.min(...xs) - WIDTH / 2, Math.max(...xs) + WIDTH / 2, Math.min(...ys) - HEIGHT / 2, Math.max(...ys) + HEIGHT / 2];
    const zoom = Math.min(1, (cy.width() - 48) / (right - left), (cy.height() - 96) / (bottom - top));
    if (zoom >= 0.45) {
      cy.viewport({ zoom, pan: { x: cy.width() / 2 - zoom * (left + right) / 2, y: (cy.height() - 40) / 2 - zoom * (top + bottom) / 2 } });
    } else {
      const { x, y } = cy.getElementById(chosen).position();
      cy.viewport({ zoom: 0.7, pan: { x: cy.width() / 2 - 0.7 * x, y: cy.height() / 2 - 0.7 * y } });
    }
    follow();
  }

  // ---- what is known

  let loading = 0;
  async function ask(id) {
    const slow = setTimeout(() => { said.textContent = "Reading neighbours"; }, 300);
    loading++;
    try {
      const answer = await fetch(`${view.dataset.neighbours}?${asking(id)}`);
      if (!answer.ok) throw new Error(String(answer.status));
      return await answer.json();
    } catch {
      said.textContent = "The neighbours could not be read; Enter tries again";
      return null;
    } finally {
      clearTimeout(slow);
      loading--;
    }
  }

  function add(point, column, parent) {
    if (nodes.has(point.id)) return true;
    if (nodes.size >= MOST) return false;
    nodes.set(point.id, { point, column, parent });
    nodes.get(point.id).element = draw(point.id);
    cy.add({ group: "nodes", data: { id: point.id }, position: { x: 0, y: 0 } });
    return true;
  }

  function join(id, edge, points) {
    const outward = edge.source === id;
    const point = points.get(outward ? edge.target : edge.source);
    if (!add(point, nodes.get(id).column + (outward ? 1 : -1), id)) return false;
    const key = `${edge.source} ${edge.kind} ${edge.target}`;
    if (!edges.has(key)) {
      edges.set(key, edge);
      cy.add({ group: "edges", data: { id: key, source: edge.source, target: edge.target, kind: edge.kind, label: edge.label, weights: [0.5, 0.5], distances: [0, 0] } });
    }
    return true;
  }

  // Of many neighbours of one kind a few are drawn, those with findings first; the others lie in a stack.
  async function expand(id, { quiet = false } = {}) {
    if (open.has(id)) return true;
    let cut = 0;
    if (folds.has(id)) {
      const { parent, held, points } = folds.get(id);
      folds.delete(id);
      for (const [key, edge] of edges) if (edge.source === id || edge.target === id) edges.delete(key);
      cy.getElementById(id).remove();
      nodes.get(id).element.remove();
      nodes.delete(id);
      if (chosen === id) chosen = parent;
      cy.batch(() => { for (const edge of held) if (!join(parent, edge, points)) cut++; });
    } else {
      const found = await ask(id);
      if (!found) return false;
      const points = new Map(found.nodes.map((point) => [point.id, point]));
      const ways = new Map();
      for (const edge of found.edges) {
        const key = `${edge.source === id ? "to" : "from"} ${edge.kind}`;
        (ways.get(key) ?? ways.set(key, []).get(key)).push(edge);
      }
      cy.batch(() => {
        add(found.subject, 0, "");
        for (const [way, all] of ways) {
          const other = (edge) => points.get(edge.source === id ? edge.target : edge.source);
          all.sort((a, b) => other(b).findings - other(a).findings);
          const drawn = all.length > FOLD + 2 ? all.slice(0, FOLD) : all;
          for (const edge of drawn) if (!join(id, edge, points)) cut++;
          const held = all.slice(drawn.length);
          if (!held.length) continue;
          const stack = `stack ${id} ${way}`;
          const alike = new Set(held.map((edge) => other(edge).detail));
          const detail = alike.size === 1 ? [...alike][0] : held[0].label;
          const point = { id: stack, name: `${held.length} more`, detail, icon: "layers", href: "", findings: held.filter((edge) => other(edge).findings).length };
          folds.set(stack, { parent: id, held, points });
          points.set(stack, point);
          const edge = way.startsWith("to") ? { source: id, target: stack } : { source: stack, target: id };
          join(id, { ...edge, kind: held[0].kind, label: held[0].label }, points);
        }
      });
      more.set(id, found.more);
    }
    open.add(id);
    if (!quiet) { settle(); remember(); }
    said.textContent = cut ? `${nodes.size} nodes; ${cut} more do not fit` : summary();
    return true;
  }

  const count = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
  const summary = () => {
    const left = [...more.values()].reduce((sum, n) => sum + n, 0);
    return `${count([...nodes.keys()].filter(shown).length, "node")}, ${count(cy.edges(":visible").length, "relation")}${left ? `, ${left} more in the lists` : ""}`;
  };

  // A way that was asked for: its nodes in their order, its relations marked.
  async function walk() {
    let found;
    try {
      found = await (await fetch(view.dataset.way)).json();
    } catch {
      return false;
    }
    if (!found.nodes.length) return false;
    const ids = found.nodes.map((point) => point.id);
    cy.batch(() => {
      // outwards from the root, so that each finds the one before it
      const order = found.nodes.map((_, i) => i).sort((a, b) => Math.abs(found.columns[a]) - Math.abs(found.columns[b]));
      for (const i of order) {
        const edge = found.edges.find((each) => [each.source, each.target].includes(ids[i]) && Math.abs(found.columns[ids.indexOf(each.source === ids[i] ? each.target : each.source)]) < Math.abs(found.columns[i]));
        add(found.nodes[i], found.columns[i], edge ? (edge.source === ids[i] ? edge.target : edge.source) : "");
        nodes.get(ids[i]).element.classList.add("way");
        if (ids[i] === "internet") open.add("internet");
      }
      for (const edge of found.edges) {
        const key = `${edge.source} ${edge.kind} ${edge.target}`;
        edges.set(key, edge);
        cy.add({ group: "edges", classes: "way", data: { id: key, source: edge.source, target: edge.target, kind: edge.kind, label: edge.label, weights: [0.5, 0.5], distances: [0, 0] } });
      }
    });
    return nodes.has(ROOT);
  }

  // Hides the kinds that are not wanted, and what they alone led to.
  function settle() {
    cy.edges().forEach((edge) => { edge.style("display", hidden.has(edge.data("kind")) ? "none" : "element"); });
    const reached = new Set([ROOT]);
    const way = [ROOT];
    while (way.length) {
      for (const edge of cy.getElementById(way.pop()).connectedEdges(":visible").toArray()) {
        for (const id of [edge.source().id(), edge.target().id()]) if (!reached.has(id)) { reached.add(id); way.push(id); }
      }
    }
    for (const [id, node] of nodes) {
      node.element.hidden = !reached.has(id);
      cy.getElementById(id).style("display", reached.has(id) ? "element" : "none");
    }
    if (!reached.has(chosen)) chosen = ROOT;
    place();
    listKinds();
    mark();
    said.textContent = summary();
  }

  function listKinds() {
    const counts = new Map();
    for (const edge of edges.values()) counts.set(edge.kind, { label: edge.label, n: (counts.get(edge.kind)?.n ?? 0) + 1 });
    const focused = document.activeElement?.dataset?.kind;
    kindsBox.replaceChildren(...[...counts].sort().map(([kind, { label, n }]) => {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "gkind" });
      button.dataset.kind = kind;
      button.setAttribute("aria-pressed", String(!hidden.has(kind)));
      const number = Object.assign(document.createElement("span"), { className: "n num", textContent: n });
      button.append(label, number);
      return button;
    }));
    if (focused) [...kindsBox.children].find((each) => each.dataset.kind === focused)?.focus();
    if (!counts.size) kindsBox.textContent = "No relation is known";
  }

  function mark() {
    for (const id of nodes.keys()) tell(id);
    cy.edges().removeClass("near named");
    const near = cy.getElementById(chosen).connectedEdges(":visible");
    near.addClass("near");
    if (near.length <= LABELS) near.addClass("named");
    if (cy.edges(":visible").length <= LABELS) cy.edges().addClass("named");
  }

  // ---- choosing, and the list beside

  let telling = null;
  async function choose(id, { focus = false, beside = true } = {}) {
    if (!nodes.has(id)) return;
    chosen = id;
    mark();
    bring(id);
    if (focus) nodes.get(id).element.focus({ preventScroll: true });
    remember();
    if (!beside || folds.has(id)) return;
    telling?.abort();
    telling = new AbortController();
    try {
      const answer = await fetch(`${view.dataset.beside}?${asking(id)}`, { signal: telling.signal });
      if (answer.ok) { Idiomorph.morph(side, await answer.text(), { morphStyle: "innerHTML" }); side.parentElement.scrollTop = 0; }
    } catch (error) {
      if (error.name !== "AbortError") said.textContent = "The server does not answer";
    }
  }

  function bring(id) {
    const spot = cy.getElementById(id).renderedPosition();
    const room = 110 * cy.zoom();
    if (spot.x > room && spot.y > 40 && spot.x < cy.width() - room && spot.y < cy.height() - 40) return;
    const target = { center: { eles: cy.getElementById(id) } };
    if (still) cy.center(target.center.eles); else cy.animate(target, { duration: 160 });
  }

  function remember() {
    const query = new URLSearchParams([["subject", ROOT]]);
    if (asked.get("way")) query.set("way", asked.get("way"));
    for (const id of [...open].slice(1, OPEN_MOST)) query.append("open", id);
    for (const kind of hidden) query.append("hide", kind);
    if (chosen !== ROOT) query.set("node", chosen);
    history.replaceState(history.state, "", `${location.pathname}?${query}`);
    const path = document.querySelector(".menu-form input[name=path]");
    if (path) path.value = location.pathname + location.search;
  }

  // The nearest node in a direction: what lies straight ahead counts more than what is merely close.
  function towards(key) {
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
    const here = cy.getElementById(chosen).position();
    let best = null, least = Infinity;
    for (const id of nodes.keys()) {
      if (id === chosen || !shown(id)) continue;
      const { x, y } = cy.getElementById(id).position();
      const ahead = (x - here.x) * dx + (y - here.y) * dy;
      const aside = Math.abs((x - here.x) * dy) + Math.abs((y - here.y) * dx);
      if (ahead <= 1 || (dy && aside > WIDTH / 2)) continue;
      const cost = ahead + aside * (dx ? 1.4 : 4);
      if (cost < least) { least = cost; best = id; }
    }
    return best;
  }

  layer.addEventListener("keydown", (event) => {
    if (event.key.startsWith("Arrow")) {
      event.preventDefault();
      const id = towards(event.key);
      if (id) choose(id, { focus: true });
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      expand(chosen).then(() => nodes.get(chosen).element.focus({ preventScroll: true }));
    } else if (event.key === "o" && nodes.get(chosen).point.href) {
      location.assign(nodes.get(chosen).point.href);
    }
  });
  layer.addEventListener("click", (event) => {
    const element = event.target.closest(".gnode");
    if (element) choose(element.dataset.id, { focus: true });
  });
  layer.addEventListener("focusin", (event) => {
    const id = event.target.dataset.id;
    if (id && id !== chosen) choose(id);
  });
  kindsBox.addEventListener("click", (event) => {
    const kind = event.target.closest("[data-kind]")?.dataset.kind;
    if (!kind) return;
    if (!hidden.delete(kind)) hidden.add(kind);
    settle();
    remember();
  });
  side.addEventListener("click", async (event) => {
    const line = event.target.closest("a[data-node]");
    if (!line || event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    const id = line.dataset.node;
    if (!nodes.has(id)) await expand(chosen);
    const stack = [...folds].find(([, fold]) => fold.points.has(id))?.[0];
    if (!nodes.has(id) && stack) await expand(stack);
    if (nodes.has(id) && shown(id)) choose(id, { focus: true }); else location.assign(line.href);
  });
  view.addEventListener("click", (event) => {
    const zoom = event.target.closest("[data-zoom]");
    if (zoom) cy.zoom({ level: cy.zoom() * Number(zoom.dataset.zoom), renderedPosition: { x: cy.width() / 2, y: cy.height() / 2 } });
    if (event.target.closest("[data-fit]")) fit();
  });

  (async () => {
    if (!(view.dataset.way && await walk()) && !(await expand(ROOT, { quiet: true }))) return;
    for (const id of asked.getAll("open").slice(0, OPEN_MOST)) if (nodes.has(id)) await expand(id, { quiet: true });
    settle();
    fit();
    await document.fonts.ready;
    paint();
    const wanted = asked.get("node");
    if (wanted && nodes.has(wanted)) choose(wanted);
    view.dataset.ready = "true";
  })();
})();

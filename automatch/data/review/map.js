// Both sides as icicles: a scope is as wide as it has parameters, so that what is not restored is seen at once.

class Maps {
  constructor(box, model, pick) {
    this.model = model;
    this.pick = pick;
    this.side = "target";
    this.trees = { source: scopeTree(model, "source"), target: scopeTree(model, "target") };
    this.unknown = model.data.source.filter(([name, shape]) => !shape && !(model.holders.get(name) || { size: 0 }).size).length;
    this.zoom = { source: [this.trees.source], target: [this.trees.target] };
    this.at = { source: this.trees.source, target: this.trees.target };
    this.boxes = {};
    const make = (side) => {
      this.boxes[side] = el("div", { class: "icicle", id: "map-" + side });
      return el("section", { class: "map" }, el("div", { class: "caption", id: "caption-" + side }), this.boxes[side]);
    };
    box.replaceChildren(el("div", { class: "maps", tabindex: "0", role: "group", "aria-label": "Parameters of both sides" }, make("source"), make("target"), this.legend()));
    const watch = (side) => this.boxes[side].addEventListener("click", (event) => this.click(side, event));
    watch("source");
    watch("target");
  }

  legend() {
    const entry = (state, text) => el("span", { class: "key" }, el("span", { class: "swatch " + state }), text);
    const note = this.unknown ? `${count(this.unknown, "tensor")} of the source of unknown size left out` : "";
    return el("div", { class: "legend" }, entry("accepted", "✓ restored"), entry("undecided", "? to decide"), entry("none", "– stays as initialised"), entry("unused", "· not used"), el("span", { class: "note" }, note));
  }

  leaves(node) {
    const out = [];
    const walk = (scope) => {
      if (scope.leaf !== null) out.push(scope.leaf);
      scope.children.forEach(walk);
    };
    walk(node);
    return out;
  }

  /** Parameters by state of every scope, in one walk. */
  sums(side) {
    const all = new Map();
    const walk = (scope) => {
      const sums = { accepted: 0, undecided: 0, none: 0, unused: 0 };
      if (scope.leaf !== null && !scope.children.size) sums[this.state(side, scope.leaf)] += scope.size;
      for (const child of scope.children.values()) {
        const inner = walk(child);
        for (const state in sums) sums[state] += inner[state];
      }
      all.set(scope, sums);
      return sums;
    };
    walk(this.trees[side]);
    return all;
  }

  state(side, at) {
    let i = at;
    if (side === "source") {
      const held = this.model.holders.get(this.model.data.source[at][0]);
      if (!held || !held.size) return "unused";
      i = [...held][0];
    }
    const state = this.model.state(i);
    return state === "rejected" ? (side === "source" ? "unused" : "none") : state;
  }

  item() {
    const node = this.at[this.side], leaves = this.leaves(node);
    if (this.side === "target") return { type: "node", key: "m" + node.path, name: node.path || "all", targets: leaves, sources: [] };
    const names = leaves.map((at) => this.model.data.source[at][0]);
    const held = (name) => [...(this.model.holders.get(name) || [])];
    const sources = names.filter((name) => !held(name).length);
    return { type: "node", key: "m" + node.path, name: node.path || "all", targets: [...new Set(names.flatMap(held))], sources };
  }

  show() {
    for (const side of ["source", "target"]) this.draw(side);
  }

  draw(side) {
    const box = this.boxes[side], width = box.clientWidth || 800;
    const root = this.zoom[side][this.zoom[side].length - 1];
    const record = this.model.plan[side];
    const everySum = this.sums(side), sums = everySum.get(root), all = root.size || 1;
    const share = (n) => ((100 * n) / all).toFixed(n && n < all / 1000 ? 2 : 1) + "%";
    document.getElementById("caption-" + side).replaceChildren(
      el("b", {}, side), " ", root.path ? nameEl(root.path) : fileEl(record), el("span", { class: "note" }, ` ${short(root.size)} parameters`),
      el("span", { class: "number" }, side === "target" ? `– ${share(sums.none)} stay as initialised, ? ${share(sums.undecided)} to decide` : sums.unused ? `· ${share(sums.unused)} not used` : "all used"));
    const cells = [];
    const levels = depthOf(root, width);
    this.level = Math.max(22, Math.min(46, (box.closest(".maps").clientHeight / 2 - 60) / levels));
    const place = (node, x, w, level) => {
      if (w < 1.5) return;
      cells.push(this.cell(side, node, everySum.get(node), x, w, level));
      let at = x;
      const children = [...node.children.values()];
      for (const child of children) {
        const part = node.size ? (w * child.size) / node.size : 0;
        place(child, at, part, level + 1);
        at += part;
      }
    };
    place(root, 0, width, 0);
    box.style.height = levels * this.level + "px";
    box.replaceChildren(...cells);
  }

  cell(side, node, sums, x, w, level) {
    const states = Object.keys(sums).filter((state) => sums[state] > 0);
    const pure = states.length === 1 ? states[0] : "mixed";
    const cell = el("div", {
      class: `cell ${pure}${node === this.at[side] && side === this.side ? " cursor" : ""}`,
      title: `${shown(node.path || "all")}\n${node.size.toLocaleString("en")} parameters`,
      style: { left: x + "px", width: Math.max(1, w - 1) + "px", top: level * this.level + "px", height: this.level - 1 + "px" },
    }, w > 34 ? el("bdi", { dir: "ltr" }, shown(node.name || "all")) : null);
    if (pure === "mixed") {
      const strip = states.map((state) => el("span", { class: state, style: { flexGrow: String(sums[state]) } }));
      cell.append(el("span", { class: "strip" }, ...strip));
    }
    cell.scope = node;
    return cell;
  }

  click(side, event) {
    const cell = event.target.closest(".cell");
    if (!cell) return;
    this.side = side;
    const again = this.at[side] === cell.scope;
    this.at[side] = cell.scope;
    if (again) this.enter();
    this.pick();
  }

  turn() {
    this.side = this.side === "source" ? "target" : "source";
  }

  enter() {
    const node = this.at[this.side], path = this.zoom[this.side];
    if (node.children.size && path[path.length - 1] !== node) path.push(node);
    else if (path.length > 1) this.at[this.side] = path[path.length - 2], path.pop();
  }

  /** in, out, next, before: the selection walks the tree. */
  move(how) {
    const side = this.side, node = this.at[side], tree = this.trees[side];
    const parent = parentOf(tree, node);
    const widest = [...node.children.values()].sort((a, b) => b.size - a.size)[0];
    if (how === "in" && widest) this.at[side] = widest;
    if (how === "out" && parent) this.at[side] = parent;
    if ((how === "next" || how === "before") && parent) {
      const all = [...parent.children.values()];
      this.at[side] = all[Math.max(0, Math.min(all.length - 1, all.indexOf(node) + (how === "next" ? 1 : -1)))];
    }
    const path = this.zoom[side];
    while (path.length > 1 && !inside(path[path.length - 1], this.at[side])) path.pop();
  }
}

/** How many levels of scopes are wide enough to be seen. */
function depthOf(node, width) {
  if (width < 1.5) return 0;
  let most = 0;
  for (const child of node.children.values()) most = Math.max(most, depthOf(child, node.size ? (width * child.size) / node.size : 0));
  return 1 + most;
}

function parentOf(tree, node) {
  for (const child of tree.children.values()) {
    if (child === node) return tree;
    if (inside(child, node)) return parentOf(child, node);
  }
  return null;
}

function inside(outer, node) {
  return outer === node || outer.path === "" || node.path.startsWith(outer.path + "/") || node.path.startsWith(outer.path + ".");
}

/** How the scores are spread, in twenty steps, with the score from which pairs were accepted. */
function drawHistogram(model, choose) {
  const box = document.getElementById("histogram");
  const bins = Array.from({ length: 20 }, () => ({ accepted: 0, undecided: 0, rejected: 0 }));
  model.pairs.forEach((pair, i) => {
    if (pair && model.now[i].source !== null) bins[Math.min(19, Math.floor(model.score(i) * 20 + 1e-9))][model.state(i)]++;
  });
  const most = Math.max(1, ...bins.map((bin) => bin.accepted + bin.undecided + bin.rejected));
  const tall = (n) => (n ? Math.max(2, 26 * Math.sqrt(n / most)) : 0);
  const columns = bins.map((bin, b) => {
    const all = bin.accepted + bin.undecided + bin.rejected, low = (b / 20).toFixed(2), high = ((b + 1) / 20).toFixed(2);
    const height = tall(all);
    const parts = ["rejected", "undecided", "accepted"].map((state) => el("span", { class: state, style: { height: (all ? (height * bin[state]) / all : 0) + "px" } }));
    return el("button", { type: "button", class: "bin", tabindex: "-1", title: `${count(all, "variable")} with a score of ${low} to ${high}`, "aria-label": `${all} scores from ${low}`, onclick: () => choose(b < 19 ? `score>=${low} score<${high}` : `score>=${low}`) }, ...parts);
  });
  const edge = model.plan.options.min_score;
  box.replaceChildren(el("div", { class: "bins" }, ...columns, el("span", { class: "edge", style: { left: 100 * edge + "%" }, title: `accepted from ${edge}` })),
    el("div", { class: "axis" }, el("span", {}, "0"), el("span", { class: "what" }, "score"), el("span", { class: "edge-text", style: { left: 100 * edge + "%" } }, edge > 0.08 && edge < 0.95 ? String(edge) : ""), el("span", {}, "1")));
}

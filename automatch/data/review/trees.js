// Both sides as trees of scopes; siblings that are alike but for a number share a row.

class Scope {
  constructor(name, path) {
    this.name = name;
    this.path = path;
    this.children = new Map();
    this.leaf = null;
    this.size = 0;
  }

  /** What this scope holds, names of its own left out: two with the same text are alike. */
  get shape() {
    if (this._shape === undefined) {
      const inner = [...this.children.values()].map((child) => skeleton(child.name) + ":" + child.shape).sort().join(",");
      this._shape = (this.leaf === null ? "" : "=" + this.kind) + (inner ? `(${inner})` : "");
      if (this._shape.length > 200) this._shape = String(hash(this._shape)) + this._shape.length;
    }
    return this._shape;
  }
}

function skeleton(name) {
  return name.replace(/\d+/g, "*");
}

function hash(text) {
  let h = 5381;
  for (let i = 0; i < text.length; i++) h = (Math.imul(h, 33) ^ text.charCodeAt(i)) >>> 0;
  return h;
}

/** A tree of scopes from [name, shape, dtype] entries; leaf holds the entry's position, size counts parameters. */
function treeOf(entries, sizeOf) {
  const cut = entries.some(([name]) => name.includes("/")) ? "/" : ".";
  const root = new Scope("", "");
  entries.forEach(([name, shape, dtype], at) => {
    const size = sizeOf(at);
    let node = root;
    node.size += size;
    for (const step of name.split(cut)) {
      if (!node.children.has(step)) node.children.set(step, new Scope(step, node.path ? node.path + cut + step : step));
      node = node.children.get(step);
      node.size += size;
    }
    node.leaf = at;
    node.kind = typed(dtype, shape);
  });
  root.cut = cut;
  return root;
}

/** One side's tree, built once a plan: scopes sized by parameters; where a source's shape is unknown, by its target's. */
function scopeTree(model, side) {
  const target = (at) => [...(model.holders.get(model.data.source[at][0]) || [])][0];
  const size = (at) => numbers(model.data[side][at][1]) || (side === "source" && target(at) !== undefined ? numbers(model.shapes[target(at)]) : 0);
  model.trees = model.trees || {};
  model.trees[side] = model.trees[side] || treeOf(model.data[side], size);
  return model.trees[side];
}

/** The scopes inside these, those that are alike in one list. */
function alikeChildren(scopes) {
  const groups = new Map();
  for (const scope of scopes)
    for (const child of scope.children.values()) {
      const key = skeleton(child.name) + " " + child.shape;
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(child);
    }
  return [...groups.values()];
}

/** Scopes that share a row, and the rows beneath: children that are alike share one again. */
class Fold {
  constructor(scopes, level, cut) {
    this.scopes = scopes;
    this.cut = cut;
    this.level = level;
    this.label = shorter(alikeNames([...new Set(scopes.map((scope) => scope.name))]));
    this.key = scopes[0].path;
    // A scope that holds one scope and nothing else needs no row of its own.
    for (let inner = alikeChildren(scopes); inner.length === 1 && inner[0].length === this.scopes.length && this.scopes[0].leaf === null; inner = alikeChildren(this.scopes)) {
      this.scopes = inner[0];
      this.label += cut + alikeNames([...new Set(this.scopes.map((scope) => scope.name))]);
    }
  }

  get children() {
    if (!this._children) this._children = alikeChildren(this.scopes).map((scopes) => new Fold(scopes, this.level + 1, this.cut));
    return this._children;
  }

  get leaves() {
    if (!this._leaves) {
      this._leaves = [];
      const walk = (scope) => {
        if (scope.leaf !== null) this._leaves.push(scope.leaf);
        for (const child of scope.children.values()) walk(child);
      };
      this.scopes.forEach(walk);
    }
    return this._leaves;
  }
}

function shorter(text) {
  return text.length > 60 ? text.slice(0, 40) + "…" + text.slice(-18) : text;
}

/** The two trees side by side, and the lines between what is selected. */
class Trees {
  constructor(box, model, pick) {
    this.model = model;
    this.side = "target";
    this.cursors = { source: 0, target: 0 };
    this.lines = el("svg:svg", { class: "lines", "aria-hidden": "true" });
    this.columns = {};
    this.tops = {};
    this.open = { source: new Set(), target: new Set() };
    const make = (side) => {
      const column = el("div", { class: "column " + side, id: "tree-" + side });
      const record = model.plan[side];
      column.append(el("div", { class: "caption" }, fileEl(record), el("span", { class: "number" }, record.tensors.toLocaleString("en"))));
      const rows = new Rows(column, (r) => this.row(side, r), (r, event) => {
        this.side = side;
        this.cursors[side] = r;
        if (event.target.closest(".fold") || event.detail === 2) this.toggle();
        pick();
      }, side === "source" ? "Scopes of the source" : "Scopes of the target");
      // Tab goes from list to list as on any page; the side in focus is the side that keys are about.
      rows.list.addEventListener("focus", () => this.side !== side && this.visible && ((this.side = side), pick()));
      rows.painted = () => !this.painting && this.draw();
      this.columns[side] = rows;
      return column;
    };
    box.replaceChildren(el("div", { class: "both-trees" }, make("source"), this.lines, make("target")));
    for (const side of ["source", "target"]) {
      const tree = scopeTree(model, side);
      if (!tree.folds) tree.folds = alikeChildren([tree]).map((scopes) => new Fold(scopes, 0, tree.cut));
      this.tops[side] = tree.folds;
      this.unfold(side, 24);
    }
  }

  /** Opens the largest scopes first until about `most` rows are in sight. */
  unfold(side, most) {
    const queue = [...this.tops[side]];
    let rows = queue.length;
    while (queue.length) {
      queue.sort((a, b) => b.leaves.length - a.leaves.length);
      const fold = queue.shift();
      if (!fold.children.length || rows + fold.children.length > most) continue;
      this.open[side].add(fold.key);
      rows += fold.children.length;
      queue.push(...fold.children);
    }
  }

  /** The targets that stand behind a row: its own, or those that hold its tensors. */
  targets(side, fold) {
    if (side === "target") return fold.leaves;
    const found = [];
    for (const at of fold.leaves) found.push(...(this.model.holders.get(this.model.data.source[at][0]) || []));
    return found;
  }

  show(filter) {
    this.visible = { source: [], target: [] };
    for (const side of ["source", "target"]) {
      const passes = (at) => {
        if (filter.empty) return true;
        if (side === "target") return filter.target(this.model, at);
        const name = this.model.data.source[at][0], held = [...(this.model.holders.get(name) || [])];
        return held.length ? held.some((i) => filter.target(this.model, i)) : filter.source(name, this.model.unused.get(name) || "");
      };
      const walk = (fold, level) => {
        const leaves = filter.empty ? fold.leaves : fold.leaves.filter(passes);
        if (!leaves.length) return;
        const targets = this.targets(side, { leaves });
        const sources = side === "source" ? leaves.map((at) => this.model.data.source[at][0]).filter((name) => !(this.model.holders.get(name) || { size: 0 }).size) : [];
        this.visible[side].push({ type: "node", key: side + ":" + fold.key + fold.label, fold, level, side, name: fold.scopes.length > 1 ? alikeNames(fold.scopes.map((scope) => scope.path)) : fold.scopes[0].path || "all", leaves, targets, sources, total: leaves.length });
        if (this.open[side].has(fold.key)) fold.children.forEach((child) => walk(child, level + 1));
      };
      this.tops[side].forEach((fold) => walk(fold, 0));
      this.cursors[side] = Math.max(0, Math.min(this.cursors[side], this.visible[side].length - 1));
    }
    this.paint();
  }

  turn() {
    this.side = this.side === "source" ? "target" : "source";
  }

  get items() {
    return this.visible[this.side];
  }

  paint() {
    this.painting = true;
    for (const side of ["source", "target"]) this.columns[side].show(this.visible[side].length, side === this.side ? this.cursors[side] : -1);
    this.painting = false;
    this.draw();
  }

  row(side, r) {
    const item = this.visible[side][r], sums = this.model.tally(item.targets);
    const opened = this.open[side].has(item.fold.key), inner = item.fold.children.length > 0;
    const left = sums.none + sums.rejected;
    const unused = item.sources.length;
    const state = item.targets.length ? (sums.undecided ? "undecided" : left === item.targets.length ? "none" : "accepted") : "unused";
    return el("div", { class: "row node " + state, role: "option" },
      el("span", { class: "indent", style: { width: item.level * 14 + "px" } }),
      el("span", { class: "fold", "aria-hidden": "true" }, inner ? (opened ? "▾" : "▸") : ""),
      markEl(state), nameEl(item.fold.label),
      el("span", { class: "number" },
        sums.undecided ? el("span", { class: "undecided" }, `? ${sums.undecided} `) : null,
        left ? el("span", { class: "none" }, `– ${left} `) : null,
        unused ? el("span", { class: "unused" }, `· ${unused} `) : null,
        item.total.toLocaleString("en")));
  }

  toggle(open) {
    const item = this.items[this.cursors[this.side]];
    if (!item || !item.fold.children.length) return false;
    const set = this.open[this.side], key = item.fold.key;
    const want = open === undefined ? !set.has(key) : open;
    if (want === set.has(key)) return false;
    want ? set.add(key) : set.delete(key);
    return true;
  }

  /** The row of the scope around this one. */
  parent() {
    const items = this.items, at = this.cursors[this.side];
    for (let r = at - 1; r >= 0; r--) if (items[r].level < items[at].level) return r;
    return at;
  }

  /** Lines from the selected row to where its tensors go, or come from; the thicker, the more of them. */
  draw() {
    const box = this.lines.getBoundingClientRect();
    const item = this.items && this.items[this.cursors[this.side]];
    if (!item || !box.height) return this.lines.replaceChildren();
    const deepest = (side) => {
      const rows = new Map();
      this.visible[side].forEach((row, r) => row.leaves.forEach((at) => rows.set(at, r)));
      return rows;
    };
    const rows = { source: deepest("source"), target: deepest("target") };
    const sums = new Map();
    for (const i of item.targets) {
      const source = this.model.now[i].source;
      const from = source === null ? undefined : rows.source.get(this.model.places.get(source)), to = rows.target.get(i);
      if (from === undefined || to === undefined) continue;
      const key = `${from} ${to} ${this.model.state(i)}`;
      sums.set(key, (sums.get(key) || 0) + 1);
    }
    const y = (side, r) => {
      const list = this.columns[side].list.getBoundingClientRect();
      return Math.max(list.top, Math.min(list.bottom, list.top + (r + 0.5) * ROW - this.columns[side].list.scrollTop)) - box.top;
    };
    const paths = [...sums].map(([key, n]) => {
      const [from, to, state] = key.split(" ");
      const a = y("source", Number(from)), b = y("target", Number(to)), w = box.width;
      return el("svg:path", { class: state, d: `M0 ${a} C${w / 2} ${a} ${w / 2} ${b} ${w} ${b}`, "stroke-width": Math.min(7, 1 + Math.log2(n)) });
    });
    this.lines.replaceChildren(...paths);
  }
}

// The plan under review: what is proposed, what is decided, and how to take it back.

/**
 * The state of one plan. Targets are numbered in the order of the target; `now[i]` is what target i has now:
 * {source, decision, by}, with source null where it stays as initialised. `first[i]` is what the plan said.
 */
class Model {
  constructor(data) {
    this.data = data;
    this.plan = data.plan;
    this.names = data.target.map(([name]) => name);
    this.index = new Map(this.names.map((name, i) => [name, i]));
    this.pairs = new Array(this.names.length).fill(null);
    this.reasons = new Array(this.names.length).fill("");
    this.shapes = data.target.map(([, shape]) => shape);
    this.dtypes = data.target.map(([, , dtype]) => dtype);
    for (const pair of this.plan.pairs) this.pairs[this.index.get(pair.target)] = pair;
    for (const entry of this.plan.unmatched) this.reasons[this.index.get(entry.target)] = entry.why;
    this.unused = new Map(this.plan.unused.map((entry) => [entry.source, entry.why]));
    this.sources = new Map(data.source.map(([name, shape, dtype]) => [name, { shape, dtype }]));
    this.places = new Map(data.source.map(([name], i) => [name, i]));
    this.first = this.pairs.map((pair) =>
      pair ? { source: pair.source, decision: pair.decision, by: pair.by } : { source: null, decision: "none", by: "" });
    this.now = this.first.slice();
    this.holders = new Map();
    this.now.forEach((state, i) => state.source !== null && this.hold(state.source, i));
    this.moved = new Set((data.moved || []).map((move) => this.index.get(move.target)));
    this.moves = new Map((data.moved || []).map((move) => [this.index.get(move.target), move]));
    this.groups = data.groups.map((group, id) => this.group(group, id));
    this.groupOf = new Map();
    this.groups.forEach((group) => group.targets.forEach((i) => this.groupOf.set(i, group)));
    this.done = [];
    this.undone = [];
    this.saved = this.first.slice();
    this.texts = new Map();
  }

  group(group, id) {
    const lists = { ask: "pairs", rule: "pairs", none: "unmatched", unused: "unused" };
    const entries = group.members.map((m) => this.plan[lists[group.kind]][m]);
    return {
      ...group, id,
      targets: group.kind === "unused" ? [] : entries.map((entry) => this.index.get(entry.target)),
      sources: group.kind === "unused" ? entries.map((entry) => entry.source) : [],
    };
  }

  hold(source, i) {
    if (!this.holders.has(source)) this.holders.set(source, new Set());
    this.holders.get(source).add(i);
  }

  /** One step that can be taken back: changes are [target, state] pairs. */
  apply(changes, label) {
    const step = [];
    for (const [i, state] of changes) {
      const before = this.now[i];
      if (before.source === state.source && before.decision === state.decision && before.by === state.by) continue;
      step.push([i, before, state]);
      this.set(i, state);
    }
    if (!step.length) return 0;
    this.done.push({ step, label });
    this.undone = [];
    return step.length;
  }

  set(i, state) {
    const before = this.now[i];
    if (before.source !== null) this.holders.get(before.source).delete(i);
    if (state.source !== null) this.hold(state.source, i);
    this.now[i] = state;
    this.texts.delete(i);
  }

  undo() {
    const last = this.done.pop();
    if (!last) return null;
    for (const [i, before] of last.step.slice().reverse()) this.set(i, before);
    this.undone.push(last);
    return last;
  }

  redo() {
    const next = this.undone.pop();
    if (!next) return null;
    for (const [i, , after] of next.step) this.set(i, after);
    this.done.push(next);
    return next;
  }

  /** Targets that may be accepted or refused: those with a source. */
  decidable(targets) {
    return targets.filter((i) => this.now[i].source !== null);
  }

  decide(targets, decision) {
    const changes = this.decidable(targets).map((i) => [i, { source: this.now[i].source, decision, by: "person" }]);
    return this.apply(changes, decision);
  }

  /** Who else has these sources: what has to be asked before they are taken. */
  rivals(choice) {
    const rivals = [];
    for (const [i, source] of choice)
      for (const other of this.holders.get(source) || [])
        if (!choice.has(other) && other !== i && this.now[other].decision !== "reject") rivals.push([other, i, source]);
    return rivals;
  }

  /** Give targets other sources; swap hands each former holder the source that was given up for its own, where it fits. */
  take(choice, swap) {
    const changes = new Map();
    const freed = new Map([...choice].map(([i]) => [i, this.now[i].source]));
    for (const [i, source] of choice) {
      changes.set(i, { source, decision: "accept", by: "person" });
      for (const other of this.holders.get(source) || []) {
        if (choice.has(other)) continue;
        const back = freed.get(i);
        const fits = swap && this.now[other].decision !== "reject" && back !== null && this.alike(i, other) && ![...choice.values()].includes(back);
        changes.set(other, fits ? { source: back, decision: "accept", by: "person" } : { source: null, decision: "none", by: "person" });
        if (fits) freed.set(i, null);
      }
    }
    return this.apply([...changes], "take");
  }

  alike(i, j) {
    return String(this.shapes[i]) === String(this.shapes[j]);
  }

  alternatives(i) {
    const pair = this.pairs[i], now = this.now[i].source;
    if (!pair) return [];
    const known = [{ source: pair.source, score: pair.score }, ...(pair.alternatives || [])];
    return known.filter((entry) => entry.source !== now);
  }

  /** What a group could take instead, each way for as many members as it fits: the same change of name counts as one. */
  ways(targets) {
    if (targets.length === 1) {
      return this.alternatives(targets[0]).slice(0, 9).map((entry) => ({ choice: new Map([[targets[0], entry.source]]), score: entry.score, name: entry.source }));
    }
    const found = new Map();
    for (const i of targets)
      for (const entry of this.alternatives(i)) {
        const [key, back] = change(this.now[i].source || "", entry.source);
        if (!found.has(key)) found.set(key, { choice: new Map(), sum: 0, name: null, back });
        const way = found.get(key);
        if (way.choice.has(i)) continue;
        way.choice.set(i, entry.source);
        way.sum += entry.score;
      }
    // What fits less than half of them is no answer to their question; split, each has its own.
    return this.joined(found)
      .filter((way) => 2 * way.choice.size >= targets.length)
      .map((way) => ({ choice: way.choice, score: way.sum / way.choice.size, name: way.name || alikeNames([...way.choice.values()]) }))
      .sort((a, b) => b.choice.size - a.choice.size || b.score - a.score).slice(0, 9);
  }

  /** The ways; two that are each other's return are one, in which they change places. */
  joined(found) {
    const out = [], gone = new Set();
    const gives = (way, back) => {
      const taken = new Set(back.choice.values());
      return way.choice.size === taken.size && [...way.choice.keys()].every((i) => taken.has(this.now[i].source));
    };
    for (const way of found.values()) {
      if (gone.has(way)) continue;
      const back = found.get(way.back);
      if (back && back !== way && gives(way, back) && gives(back, way)) {
        gone.add(back);
        const name = exchange(alikeNames([...way.choice.keys()].map((i) => this.now[i].source)), alikeNames([...way.choice.values()]));
        out.push({ choice: new Map([...way.choice, ...back.choice]), sum: way.sum + back.sum, name });
      } else out.push(way);
    }
    return out;
  }

  /** accepted, undecided, rejected or none: the state of one target. */
  state(i) {
    const state = this.now[i];
    return state.source === null ? "none" : { accept: "accepted", undecided: "undecided", reject: "rejected" }[state.decision];
  }

  tally(targets = this.now.keys()) {
    const sums = { accepted: 0, undecided: 0, rejected: 0, none: 0 };
    for (const i of targets) sums[this.state(i)]++;
    return sums;
  }

  score(i) {
    const pair = this.pairs[i], source = this.now[i].source;
    if (!pair || source === null) return null;
    if (pair.source === source) return pair.score;
    const other = (pair.alternatives || []).find((entry) => entry.source === source);
    return other ? other.score : 0;
  }

  margin(i) {
    return this.pairs[i] && this.pairs[i].source === this.now[i].source ? this.pairs[i].margin : 0;
  }

  /** Only what a person changed: [[target, source or null, decision], …]. */
  answers() {
    const out = [];
    this.now.forEach((state, i) => {
      const first = this.first[i];
      if (state.source === first.source && state.decision === first.decision && state.by === first.by) return;
      out.push([this.names[i], state.source, state.source === null ? "reject" : state.decision]);
    });
    return out;
  }

  unsaved() {
    return this.now.reduce((n, state, i) => n + (state !== this.saved[i] && (state.source !== this.saved[i].source || state.decision !== this.saved[i].decision || state.by !== this.saved[i].by) ? 1 : 0), 0);
  }

  /** What the filter looks at, in lower case. */
  text(i) {
    let text = this.texts.get(i);
    if (text === undefined) {
      const state = this.now[i];
      const marks = [`is:${this.state(i)}`, state.by && `by:${state.by}`, this.moved.has(i) && "is:moved", state.source === null && "is:unmatched"];
      text = [shown(this.names[i]), shown(state.source || ""), typed(this.dtypes[i], this.shapes[i]), this.reasons[i], ...marks.filter(Boolean)].join(" ").toLowerCase();
      this.texts.set(i, text);
    }
    return text;
  }
}

/** How one name becomes another, and back: the words that differ, and by how much a number moved. */
function change(before, after) {
  const a = words(before), b = words(after), [start, end] = shared(a, b);
  const gone = a.slice(start, a.length - end), come = b.slice(start, b.length - end);
  const moved = gone.length === 1 && come.length === 1 && /^\d+$/.test(gone[0]) && /^\d+$/.test(come[0]);
  const under = a.slice(0, start).filter((word) => !/^\d+$/.test(word)).join("");
  return moved ? [`${under}${come[0] - gone[0]}`, `${under}${gone[0] - come[0]}`] : [`${gone.join("")}>${come.join("")}`, `${come.join("")}>${gone.join("")}`];
}

/** How many words two names begin with together, and of the rest how many they end with. */
function shared(a, b) {
  let start = 0, end = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  return [start, end];
}

/** Two names as one, the steps that change places in braces. */
function exchange(one, other) {
  const a = scopes(one), b = scopes(other), [start, end] = shared(a, b);
  const middle = [a, b].map((steps) => steps.slice(start, steps.length - end).join("")).join(" <=> ");
  return `${a.slice(0, start).join("")}{${middle}}${a.slice(a.length - end).join("")}`;
}

/** Names as one: each number that differs between them written `*`, and `**` where more differs. */
function alikeNames(names) {
  const bare = (text) => text.replace(/\d+/g, "*");
  if (names.every((name) => bare(name) === bare(names[0]))) {
    const split = names.map((name) => name.match(/\d+|\D+/g) || []);
    return split[0].map((part, c) => (split.every((parts) => parts[c] === part) ? part : "*")).join("");
  }
  const split = names.map(scopes), room = Math.min(...split.map((steps) => steps.length));
  const alike = (at) => split.every((steps) => bare(steps.at(at)) === bare(split[0].at(at)));
  let start = 0, end = 0;
  while (start < room && alike(start)) start++;
  while (end < room - start && alike(-1 - end)) end++;
  // Cut beside a separator, never before one half of a path.
  while (start && !/[/.]/.test(split[0][start - 1])) start--;
  // The separator before the tail may be that of the head, once more.
  if (end && !/[/.]/.test(split[0].at(-end))) end += alike(-1 - end) ? 1 : -1;
  const column = (at) => alikeNames(split.map((steps) => steps.at(at)));
  return [...Array(start).keys()].map(column).join("") + "**" + [...Array(end).keys()].map((k) => column(k - end)).join("");
}

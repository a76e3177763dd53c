// What stands in the list: sections, groups, their members; and what the filter leaves of them.

const SECTIONS = {
  ask: ["To decide", "most doubtful first"],
  none: ["No counterpart", "stay as initialised"],
  rule: ["By rule", "accepted without you"],
  unused: ["Not used", "tensors that no variable takes"],
};
const MARKS = { accepted: "✓", undecided: "?", rejected: "–", none: "–", unused: "·", mixed: "◐" };
const WORDS = { accepted: "accepted", undecided: "to decide", rejected: "refused", none: "no counterpart", unused: "not used", mixed: "mixed" };

/** A filter as a test of one target: words that must all occur, score<0.9, margin>=0.1, -word for what must not. */
function filterOf(text) {
  const tests = text.toLowerCase().split(/\s+/).filter(Boolean).map((word) => {
    const limit = word.match(/^(score|margin)(<=|>=|<|>)([\d.]+)$/);
    if (limit) {
      const [, what, sign, value] = limit, edge = Number(value);
      return (model, i) => {
        const n = what === "score" ? model.score(i) : model.margin(i);
        if (n === null) return false;
        return sign === "<" ? n < edge : sign === ">" ? n > edge : sign === "<=" ? n <= edge : n >= edge;
      };
    }
    if (word.length > 1 && word[0] === "-") return (model, i) => !model.text(i).includes(word.slice(1));
    return (model, i) => model.text(i).includes(word);
  });
  const plain = text.toLowerCase().split(/\s+/).filter((word) => word && !/^(score|margin)(<|>)/.test(word));
  return {
    empty: !tests.length,
    target: (model, i) => tests.every((test) => test(model, i)),
    source: (name, why) => plain.length === tests.length && plain.every((word) => `${shown(name)} ${why} is:unused`.toLowerCase().includes(word)),
  };
}

/** The items of the list by rule: every target and every unused source is in exactly one group. */
function ruleItems(model, ui, filter) {
  const items = [];
  for (const kind of Object.keys(SECTIONS)) {
    const rows = [];
    let sum = 0, open = 0;
    for (const group of model.groups) {
      if (group.kind !== kind) continue;
      const targets = filter.empty ? group.targets : group.targets.filter((i) => filter.target(model, i));
      const sources = filter.empty ? group.sources : group.sources.filter((name) => filter.source(name, group.why));
      if (!targets.length && !sources.length) continue;
      sum += targets.length + sources.length;
      open += targets.filter((i) => model.state(i) === "undecided").length;
      rows.push({ type: "group", key: "g" + group.id, group, targets, sources });
      if (!ui.open.has(group.id)) continue;
      rows.push(...targets.map((i) => ({ type: "one", key: "t" + i, targets: [i], sources: [], group, member: true })));
      rows.push(...sources.map((name) => ({ type: "source", key: "s" + name, targets: [], sources: [name], group, member: true })));
    }
    if (rows.length) items.push({ type: "section", key: "x" + kind, kind, sum, open }, ...rows);
  }
  return items;
}

/** The items of the list of all names: every target in order, then what is not used. */
function nameItems(model, ui, filter) {
  const items = [];
  model.names.forEach((_, i) => {
    if (filter.empty || filter.target(model, i)) items.push({ type: "one", key: "t" + i, targets: [i], sources: [], group: model.groupOf.get(i) });
  });
  for (const group of model.groups)
    for (const name of group.sources)
      if (filter.empty || filter.source(name, group.why)) items.push({ type: "source", key: "s" + name, targets: [], sources: [name], group });
  return items;
}

/** True where j and k stop: what one answer decides, still undecided. */
function isStop(model, ui, item) {
  if (item.type === "section" || !item.targets.length) return false;
  if (item.type === "group" && ui.split.has(item.group.id)) return false;
  if (item.member && !ui.split.has(item.group.id)) return false;
  return item.targets.some((i) => model.state(i) === "undecided");
}

/** The state that an item shows: that of its targets if they agree. */
function stateOf(model, item) {
  if (!item.targets.length) return "unused";
  const states = new Set(item.targets.map((i) => model.state(i)));
  if (states.size === 1) return [...states][0];
  return states.has("undecided") ? "undecided" : "mixed";
}

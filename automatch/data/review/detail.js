// The pane beside the list: why, what else it could be, what stands beside it on both sides.

function drawDetail(model, ui, item, act) {
  const pane = document.getElementById("detail");
  if (!item || item.type === "section") return pane.replaceChildren(overview(model));
  if (!item.targets.length) return pane.replaceChildren(...unusedDetail(model, item));
  if (item.type === "node" && item.targets.length > 1) return pane.replaceChildren(...scopeDetail(model, item, act));
  const i = speaker(model, item);
  const parts = [titleOf(model, item, i), buttons(model, item, act)];
  if (model.moves.has(i)) parts.push(movedPart(model.moves.get(i)));
  parts.push(whyPart(model, item, i), evidencePart(model, i), insteadPart(model, item, act), neighboursPart(model, i));
  if (item.targets.length > 1) parts.push(membersPart(model, item));
  pane.replaceChildren(...parts.filter(Boolean));
  pane.scrollTop = 0;
}

/** The member that stands for a group: its most doubtful one. */
function speaker(model, item) {
  const doubt = (i) => (model.score(i) ?? 9) + model.margin(i);
  return item.targets.reduce((best, i) => (doubt(i) < doubt(best) ? i : best));
}

function part(title, ...children) {
  return el("section", {}, el("h2", {}, title), ...children);
}

function titleOf(model, item, i) {
  const now = model.now[i], state = stateOf(model, item);
  const pair = model.pairs[i];
  const source = now.source !== null ? now.source : null;
  const transform = pair && source === pair.source && pair.transform !== "identity" ? pair.transform : null;
  return el("div", { class: "title" },
    el("div", { class: "state " + state }, `${MARKS[state]} ${WORDS[state]}`,
      item.targets.length > 1 ? el("span", { class: "note" }, ` ${count(item.targets.length, "variable")}${waits(item) ? ", one answer; shown is the most doubtful" : "; shown is one of them"}`) : null),
    el("div", { class: "big" }, nameEl(model.names[i])),
    source !== null ? el("div", { class: "big from" }, el("span", { class: "arrow" }, "← "), nameEl(source)) : null,
    el("div", { class: "types" }, typesText(model, i, source), transform ? el("b", { class: "transform" }, transform) : null));
}

function typesText(model, i, source) {
  const wanted = typed(model.dtypes[i], model.shapes[i]);
  const held = source !== null ? model.sources.get(source) : null;
  return held && held.shape ? `${wanted} ← ${typed(held.dtype, held.shape)}  ` : wanted + "  ";
}

function buttons(model, item, act) {
  const undecided = model.decidable(item.targets).length > 0;
  if (!undecided) return null;
  const key = (k, text, run, cls) => el("button", { type: "button", class: cls, onclick: run }, el("kbd", {}, k), " " + text);
  return el("div", { class: "buttons" },
    key("y", "accept", () => act("y"), "yes"), key("n", "none: leave as initialised", () => act("n"), "no"),
    item.targets.length > 1 ? key("s", "split", () => act("s")) : null);
}

function movedPart(move) {
  const was = move.before === null ? "without counterpart" : null;
  return part("Moved", el("p", {}, "Before it was matched again: ", was || nameEl(move.before)));
}

function whyPart(model, item, i) {
  const pair = model.pairs[i], now = model.now[i];
  const suggestion = model.plan.suggestions.find((entry) => entry.target === model.names[i]);
  const lines = [];
  if (now.source === null) lines.push(model.reasons[i] || "Its source went to another variable.");
  else if (pair && pair.source === now.source && pair.why) lines.push(pair.why);
  else if (now.by === "person") lines.push(pair && pair.source === now.source ? "Decided by you." : "Chosen by you.");
  else lines.push(item.group && item.group.kind === "rule" ? `Follows a rule with ${count(item.group.targets.length, "pair")}.` : "Its score says so.");
  if (suggestion) lines.push(`It could be made of several tensors (${suggestion.how}), which a restore does not do by itself:`);
  return part("Why", ...lines.map((line) => el("p", {}, shown(line))),
    suggestion ? el("ul", { class: "plain" }, ...suggestion.sources.slice(0, 8).map((name) => el("li", {}, nameEl(name)))) : null);
}

/** The parts of the score as steps of one sum: each bar begins where the one before ended. */
function evidencePart(model, i) {
  const pair = model.pairs[i];
  if (!pair || model.now[i].source !== pair.source) return null;
  const foot = el("div", { class: "sum" }, el("span", {}, "score"), el("span", {}), el("b", {}, scoreText(pair.score)));
  const margin = el("div", { class: "sum margin" }, el("span", {}, "margin to the next best"), el("span", {}), el("b", {}, scoreText(pair.margin)));
  const evidence = pair.evidence || [];
  let at = 0, low = 0, high = 1;
  for (const [, value] of evidence) (at += value), (low = Math.min(low, at)), (high = Math.max(high, at));
  at = 0;
  const rows = evidence.map(([label, value]) => {
    const from = Math.min(at, at + value), to = Math.max(at, at + value);
    at += value;
    const place = { left: (100 * (from - low)) / (high - low) + "%", width: Math.max(0.5, (100 * (to - from)) / (high - low)) + "%" };
    return el("div", { class: "evidence" }, el("span", {}, shown(label)), el("span", { class: "scale" }, el("span", { class: value < 0 ? "bar minus" : "bar", style: place })), el("span", { class: "value" }, (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2)));
  });
  return part("Evidence", ...rows, foot, margin);
}

function insteadPart(model, item, act) {
  const ways = waysOf(model, item);
  const none = model.decidable(item.targets).length ? el("li", { onclick: () => act("n") }, el("kbd", {}, "n"), " none: leave as initialised") : null;
  if (!ways.length && !none) return null;
  const rows = ways.map((way, k) => {
    const takers = [...way.choice].map(([i, source]) => [...(model.holders.get(source) || [])].filter((other) => other !== i)).flat();
    const some = item.targets.length > 1 ? `${way.choice.size} of ${item.targets.length}` : "";
    const whose = takers.length ? "taken by " + shown(model.names[takers[0]]) + (takers.length > 1 ? ` and ${takers.length - 1} more` : "") : "";
    return el("li", { onclick: () => act(String(k + 1)) }, el("kbd", {}, String(k + 1)), el("span", { class: "score" }, way.score === null ? "" : scoreText(way.score)), nameEl(way.name), el("span", { class: "note" }, [some, whose].filter(Boolean).join(" · ")));
  });
  return part("Instead", el("ul", { class: "instead" }, ...rows, none));
}

/** Runners-up; for a variable without counterpart the unused tensors of its very shape and dtype. */
function waysOf(model, item) {
  const met = item.targets.filter((i) => model.pairs[i]);
  if (met.length) return model.ways(met);
  if (item.targets.length !== 1) return [];
  const i = item.targets[0];
  const found = [];
  for (const [name, tensor] of model.sources) {
    if (found.length === 9) break;
    const held = model.holders.get(name);
    if (held && held.size) continue;
    if (tensor.shape && tensor.dtype === model.dtypes[i] && String(tensor.shape) === String(model.shapes[i])) found.push({ choice: new Map([[i, name]]), score: null, name });
  }
  return found;
}

/** Two before and two after, on both sides, each with its partner. */
function neighboursPart(model, i) {
  const around = (at, size) => [-2, -1, 0, 1, 2].map((step) => at + step).filter((place) => place >= 0 && place < size);
  const targets = around(i, model.names.length).map((j) => {
    const source = model.now[j].source;
    return el("div", { class: "beside " + model.state(j) + (j === i ? " here" : "") }, markEl(model.state(j)), nameEl(model.names[j]), el("span", { class: "partner" }, source !== null ? nameEl(source) : null));
  });
  const place = model.places.get(model.now[i].source);
  const sources = place === undefined ? [] : around(place, model.data.source.length).map((p) => {
    const name = model.data.source[p][0], held = [...(model.holders.get(name) || [])];
    const state = held.length ? model.state(held[0]) : "unused";
    return el("div", { class: "beside " + state + (p === place ? " here" : "") }, markEl(state), nameEl(name), el("span", { class: "partner" }, held.length ? nameEl(model.names[held[0]]) : null));
  });
  return part("Neighbours", el("h3", {}, "in the target, and what they get"), ...targets, sources.length ? el("h3", {}, "in the source, and who gets them") : null, ...sources);
}

function membersPart(model, item) {
  const rows = item.targets.slice(0, 12).map((i) => el("div", { class: "beside " + model.state(i) }, markEl(model.state(i)), nameEl(model.names[i]), el("span", { class: "partner" }, model.now[i].source !== null ? nameEl(model.now[i].source) : null)));
  const more = item.targets.length - rows.length;
  return part(count(item.targets.length, "variable"), ...rows, more > 0 ? el("p", { class: "note" }, `and ${more.toLocaleString("en")} more: press o to open the group`) : null);
}

/** A scope with several variables: how many are in which state, by number and by parameters, and which are not restored. */
function scopeDetail(model, item, act) {
  const groups = { undecided: [], none: [], rejected: [], accepted: [] };
  item.targets.forEach((i) => groups[model.state(i)].push(i));
  const size = (list) => list.reduce((sum, i) => sum + numbers(model.shapes[i]), 0);
  const figures = Object.entries(groups).filter(([, list]) => list.length).map(([state, list]) =>
    el("span", { class: "total " + state }, el("b", {}, `${MARKS[state]} ${list.length.toLocaleString("en")}`), ` ${WORDS[state]}, ${short(size(list))} parameters`));
  const unused = item.sources.length ? el("span", { class: "total unused" }, el("b", {}, `· ${item.sources.length.toLocaleString("en")}`), " not used") : null;
  const rows = (list) => list.slice(0, 12).map((i) => el("div", { class: "beside " + model.state(i) }, markEl(model.state(i)), nameEl(model.names[i]), el("span", { class: "partner" }, model.now[i].source !== null ? nameEl(model.now[i].source) : shown(model.reasons[i]))));
  const more = (list) => (list.length > 12 ? el("p", { class: "note" }, `and ${(list.length - 12).toLocaleString("en")} more`) : null);
  return [
    el("div", { class: "title" }, el("div", { class: "big" }, nameEl(item.name)), el("div", { class: "figures" }, ...figures, unused)),
    groups.undecided.length ? buttons(model, { ...item, targets: groups.undecided.slice(0, 1) }, act) : null,
    ...Object.entries(groups).filter(([, list]) => list.length).map(([state, list]) => part(WORDS[state], ...rows(list), more(list))),
  ].filter(Boolean);
}

function unusedDetail(model, item) {
  const known = item.sources.map((name) => model.sources.get(name));
  const size = known.reduce((sum, tensor) => sum + (tensor ? numbers(tensor.shape) : 0), 0);
  return [
    el("div", { class: "title" }, el("div", { class: "state unused" }, `· not used`), el("div", { class: "big" }, nameEl(item.sources.length > 1 ? item.name || item.group.source : item.sources[0]))),
    part("Why", el("p", {}, shown(model.unused.get(item.sources[0]) || "given up by a person")), size ? el("p", { class: "note" }, `${count(item.sources.length, "tensor")}, ${short(size)} parameters`) : null),
    part("Tensors", ...item.sources.slice(0, 30).map((name) => el("div", { class: "beside unused" }, markEl("unused"), nameEl(name)))),
  ];
}

function overview(model) {
  const side = (record, what) => el("p", {}, el("b", {}, what + " "), nameEl(record.path || "a live object"), el("span", { class: "note" }, ` ${count(record.tensors, "tensor")}, ${record.format}`));
  return part("This plan", side(model.plan.source, "source"), side(model.plan.target, "target"), el("p", { class: "note" }, `Pairs with a score of ${model.plan.options.min_score} or more were accepted; nothing has been restored.`));
}

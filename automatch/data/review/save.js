// The plan with the decisions in it: as a file to keep, or told to the command that serves the page.

const PAIR_KEYS = ["target", "source", "shape", "dtype", "transform", "score", "margin", "rule", "decision", "by", "alternatives", "evidence", "why", "group", "tied"];

/** The plan as `automatch` itself would write it: one entry a line, decisions of a person marked as such. */
function planText(model) {
  const plan = planWith(model);
  const line = (name, value) => `"${name}": ${json(value)}`;
  const list = (name) => `"${name}": ` + (plan[name].length ? "[\n  " + plan[name].map((entry) => json(entry)).join(",\n  ") + "]" : "[]");
  const head = ["made_by", "source", "target", "options"].map((name) => line(name, plan[name]));
  const lists = ["rules", "pairs", "unmatched", "unused", "suggestions"].map(list);
  return '{"automatch_plan": 1, ' + [...head, ...lists].join(",\n ") + "}\n";
}

const FLOATS = new Set(["score", "margin", "min_score"]);

/** JSON in which a score of 1 stays the fraction 1.0 that it is. */
function json(value, key) {
  if (typeof value === "number") return (FLOATS.has(key) || key === "evidence") && Number.isInteger(value) ? value.toFixed(1) : String(value);
  if (Array.isArray(value)) return "[" + value.map((entry) => json(entry, key === "evidence" ? key : undefined)).join(",") + "]";
  if (value && typeof value === "object") return "{" + Object.entries(value).map(([name, entry]) => `${JSON.stringify(name)}:${json(entry, name)}`).join(",") + "}";
  return JSON.stringify(value);
}

function planWith(model) {
  const plan = model.plan;
  const given = new Map(model.answers().map(([target, source, decision]) => [target, { source, decision }]));
  const former = new Map(plan.pairs.map((pair) => [pair.source, pair]));
  const pairs = [], left = [];
  for (const pair of plan.pairs) {
    const answer = given.get(pair.target);
    if (!answer) pairs.push(pair);
    else if (answer.source === null) left.push({ target: pair.target, shape: pair.shape, dtype: pair.dtype, why: "a person gave its source to another variable" });
    else if (answer.source === pair.source) pairs.push({ ...pair, decision: answer.decision, by: "person" });
    else pairs.push(chosen(pair, answer, former.get(answer.source)));
  }
  for (const entry of plan.unmatched) {
    const answer = given.get(entry.target);
    if (answer && answer.source !== null) pairs.push(chosen({ ...entry, source: "", score: 0, alternatives: [] }, answer, former.get(answer.source)));
  }
  return assembled(plan, pairs, left);
}

function chosen(pair, answer, former) {
  const taken = (pair.alternatives || []).find((entry) => entry.source === answer.source);
  const alike = former && String(former.shape) === String(pair.shape) && former.dtype === pair.dtype;
  const before = pair.source ? [{ source: pair.source, score: pair.score, transform: pair.transform }] : [];
  return {
    target: pair.target, source: answer.source, shape: pair.shape, dtype: pair.dtype,
    transform: taken ? taken.transform || "identity" : alike ? former.transform : "identity",
    score: taken ? taken.score : 0, margin: 0, rule: null, decision: answer.decision, by: "person",
    alternatives: [...before, ...(pair.alternatives || []).filter((entry) => entry !== taken)],
    why: "chosen by a person", group: pair.group,
  };
}

/** All lists brought into line with the pairs; what has its default value is left out, as in every plan file. */
function assembled(plan, pairs, left) {
  const met = new Set(pairs.map((pair) => pair.target)), taken = new Map(pairs.map((pair) => [pair.source, pair.target]));
  const freed = [...new Set(plan.pairs.map((pair) => pair.source))].filter((source) => !taken.has(source));
  const members = new Map();
  pairs.forEach((pair) => members.set(pair.rule, (members.get(pair.rule) || 0) + 1));
  return {
    ...plan,
    rules: plan.rules.filter((rule) => members.has(rule.id)).map((rule) => ({ ...rule, pairs: members.get(rule.id) })),
    pairs: pairs.map((pair) => lean({ ...pair, alternatives: (pair.alternatives || []).map((entry) => runnerUp(entry, taken)) })),
    unmatched: [...plan.unmatched.filter((entry) => !met.has(entry.target)), ...left],
    unused: [...plan.unused.filter((entry) => !taken.has(entry.source)), ...freed.map((source) => ({ source, why: "a person gave its target another source" }))],
    suggestions: plan.suggestions.filter((entry) => !met.has(entry.target)),
  };
}

function runnerUp(entry, taken) {
  const out = { source: entry.source, score: entry.score };
  if (taken.has(entry.source)) out.taken_by = taken.get(entry.source);
  if (entry.transform && entry.transform !== "identity") out.transform = entry.transform;
  return out;
}

function lean(pair) {
  const out = {};
  for (const key of PAIR_KEYS) {
    const value = pair[key];
    const bare = value === undefined || value === "" || value === false || (Array.isArray(value) && !value.length && key !== "shape");
    if (!bare) out[key] = value;
  }
  return out;
}

/** Asks the command that serves the page; throws a sentence when it refuses or is gone. */
async function post(path, body) {
  let response;
  try {
    response = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json", "X-Automatch-Token": DATA.token }, body: JSON.stringify(body), cache: "no-store" });
  } catch {
    throw new Error("The command that serves this page has ended. Download the plan to keep your decisions (Ctrl+S).");
  }
  const text = await response.text();
  if (!response.ok) throw new Error(text.trim());
  return JSON.parse(text);
}

function download(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = el("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

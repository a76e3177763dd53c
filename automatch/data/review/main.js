// The page put together: what is on the screen, and what an answer does.

const DATA = JSON.parse(document.getElementById("data").textContent);
const TABS = [["rules", "Rules"], ["trees", "Trees"], ["map", "Parameters"], ["names", "All names"]];
const SERVED = DATA.mode === "served";

let model = new Model(DATA);
const ui = { tab: "rules", filter: "", cursor: null, open: new Set(), split: new Set(), items: [], width: 800, earlier: [], gone: false, lost: false };
let rows = null, trees = null, maps = null;

function listTab() {
  return ui.tab === "rules" || ui.tab === "names";
}

/** Everything on the screen, drawn again from the model. */
function refresh() {
  const filter = filterOf(ui.filter);
  if (listTab()) {
    ui.items = (ui.tab === "rules" ? ruleItems : nameItems)(model, ui, filter);
    if (row() < 0 && ui.items.length) ui.cursor = firstKey();
    rows.show(ui.items.length, row());
  } else if (ui.tab === "trees") trees.show(filter);
  else maps.show();
  drawHead(filter);
  drawDetail(model, ui, current(), act);
}

function drawHead(filter) {
  drawProgress(model);
  drawHistogram(model, (text) => search(ui.filter === text ? "" : text));
  const all = model.names.length;
  const left = filter.empty ? all : model.names.reduce((n, _, i) => n + (filter.target(model, i) ? 1 : 0), 0);
  document.getElementById("shown").textContent = filter.empty ? "" : `${left.toLocaleString("en")} of ${count(all, "variable")}`;
  const unsaved = changed();
  const button = (key, text, run, cls) => el("button", { type: "button", class: cls, onclick: run }, text + " ", el("kbd", {}, key));
  document.getElementById("actions").replaceChildren(
    SERVED ? button("r", "Match the rest again", () => act("r")) : "",
    button("w", SERVED ? (unsaved ? `Save (${unsaved})` : "Saved") : "Download plan", () => act("w"), unsaved ? "primary" : ""),
    SERVED ? button("q", "Done", () => act("q")) : "");
  document.title = (unsaved ? "• " : "") + document.title.replace(/^• /, "");
}

/** How many answers the file does not have yet; after matching again at least one. */
function changed() {
  return model.unsaved() || (model.fresh ? 1 : 0);
}

function firstKey() {
  const stop = ui.items.find((item) => isStop(model, ui, item)) || ui.items.find((item) => item.type !== "section");
  return stop ? stop.key : null;
}

function row() {
  return ui.items.findIndex((item) => item.key === ui.cursor);
}

function current() {
  if (ui.tab === "trees") return trees.items[trees.cursors[trees.side]];
  if (ui.tab === "map") return maps.item();
  return ui.items[row()];
}

function tab(name) {
  ui.tab = name;
  const box = document.getElementById("view");
  box.dataset.tab = name;
  box.replaceChildren();
  rows = trees = maps = null;
  if (listTab()) rows = new Rows(box, (r) => rowOf(model, ui, ui.items[r]), clicked, "Variables");
  else if (name === "trees") trees = new Trees(box, model, refreshAll);
  else maps = new Maps(box, model, refreshAll);
  document.getElementById("tabs").replaceChildren(...TABS.map(([id, text]) =>
    el("button", { type: "button", role: "tab", "aria-selected": String(id === name), tabindex: "-1", onclick: () => tab(id) }, text)));
  measure();
  refresh();
  focusView();
  if (listTab() && row() >= 0) rows.reveal(row());
}

function refreshAll() {
  refresh();
  focusView();
}

function focusView() {
  const side = trees ? trees.columns[trees.side].list : null;
  const list = rows ? rows.list : side || document.querySelector(".maps");
  if (list) list.focus({ preventScroll: true });
}

function measure() {
  ui.width = document.getElementById("view").clientWidth || 800;
}

function clicked(r, event) {
  const item = ui.items[r];
  if (item.type === "section") return;
  ui.cursor = item.key;
  if (item.type === "group" && (event.target.closest(".fold") || event.detail === 2)) toggle(item);
  refreshAll();
}

function toggle(item) {
  if (item.type !== "group" || item.targets.length + item.sources.length < 2) return;
  if (!ui.open.delete(item.group.id)) ui.open.add(item.group.id);
  ui.split.delete(item.group.id);
}

function search(text) {
  ui.filter = text;
  document.getElementById("filter").value = text;
  refresh();
}

let fading = 0;
/** A line at the foot of the page; a failure stays until the next one. */
function say(text, bad) {
  const box = document.getElementById("message");
  box.textContent = text;
  box.className = bad ? "bad" : "";
  clearTimeout(fading);
  if (!bad) fading = setTimeout(() => (box.textContent = ""), 8000);
}

/** The cursor on another row: any, or the next that waits for a decision. */
function walk(step, stops) {
  if (ui.tab === "map") return maps.move(step > 0 ? "next" : "before");
  const items = ui.tab === "trees" ? trees.items : ui.items;
  const at = ui.tab === "trees" ? trees.cursors[trees.side] : row();
  const fits = (item) => (stops ? (item.type === "node" ? waits(item) && !trees.open[trees.side].has(item.fold.key) : isStop(model, ui, item)) : item.type !== "section");
  for (let n = 1; n <= items.length; n++) {
    const r = stops ? (at + step * n + items.length * n) % items.length : at + step * n;
    if (r < 0 || r >= items.length) break;
    if (fits(items[r])) return point(r);
  }
  if (stops && !model.tally().undecided) say(`Nothing is left to decide. ${SERVED ? "w saves, q is done." : "w downloads the plan."}`);
  else if (stops) say("Nothing more to decide here: clear the filter, or look in another view.");
}

function point(r) {
  if (ui.tab === "trees") trees.cursors[trees.side] = r;
  else ui.cursor = ui.items[r].key;
  (trees ? trees.columns[trees.side] : rows).reveal(r);
}

function waits(item) {
  return item.targets.some((i) => model.state(i) === "undecided");
}

/** What an answer for an item is about: what is still undecided in it, or all of it where nothing is. */
function meant(item) {
  const open = item.targets.filter((i) => model.state(i) === "undecided");
  if (open.length) return open;
  return item.type === "node" && item.targets.length > 1 ? [] : model.decidable(item.targets);
}

function decide(decision) {
  const item = current();
  if (!item || item.type === "section") return;
  const targets = meant(item);
  if (!targets.length) return say(item.targets.length > 1 ? "Nothing in here waits for a decision." : "There is nothing to accept: choose a source with a number, if one is offered.");
  const waited = waits(item);
  model.decide(targets, decision);
  say(`${count(targets.length, "variable")} ${decision === "accept" ? "accepted" : "left as initialised"}. u takes it back.`);
  refresh();
  if (waited) walk(1, true);
}

/** All that is in sight and undecided, in one step. */
function decideAll(decision) {
  const items = listTab() ? ui.items : ui.tab === "trees" ? trees.visible.target : [maps.item()];
  const targets = [...new Set(items.flatMap((item) => item.targets || []))].filter((i) => model.state(i) === "undecided");
  if (!targets.length) return say("Nothing in sight waits for a decision.");
  model.decide(targets, decision);
  say(`${count(targets.length, "variable")} ${decision === "accept" ? "accepted" : "left as initialised"}${ui.filter ? ", those that the filter shows" : ""}. u takes it back.`);
}

function choose(k) {
  const item = current();
  if (!item || !item.targets || !item.targets.length) return;
  const way = waysOf(model, item)[k - 1];
  if (!way) return say(`There is no alternative ${k}.`);
  const targets = new Set(item.targets);
  const choice = new Map([...way.choice].filter(([i]) => targets.has(i)));
  const rivals = model.rivals(choice);
  const waited = waits(item);
  const take = (swap) => {
    model.take(choice, swap);
    say(`${count(choice.size, "variable")} given another source${rivals.length ? (swap ? ", exchanged" : `; ${count(rivals.length, "variable")} left without`) : ""}. u takes it back.`);
    refresh();
    if (waited) walk(1, true);
    refresh();
  };
  if (!rivals.length) return take(false);
  const [other, mine, source] = rivals[0];
  const more = rivals.length > 1 ? ` and ${rivals.length - 1} more like it` : "";
  const own = model.now[mine].source;
  ask("Swap?", [
    el("p", {}, nameEl(source), " is taken by ", nameEl(model.names[other]), more + "."),
    own === null ? null : el("p", {}, "Swap, and give that variable ", nameEl(own), " instead?"),
  ], [["y", own === null ? "take it, and leave the other without" : "swap", () => take(own !== null)], ...(own === null ? [] : [["n", "take it, and leave the other without", () => take(false)]])]);
}

/** A question in the middle of the page, answered by one key; Escape leaves everything as it was. */
function ask(title, body, answers) {
  const sheet = document.getElementById("ask");
  const close = (run) => {
    sheet.close();
    focusView();
    if (run) run();
  };
  const rows = [...answers, ["Esc", "leave everything as it is", null]];
  sheet.replaceChildren(el("h2", {}, title), ...body.filter(Boolean),
    el("div", { class: "buttons" }, ...rows.map(([key, text, run]) => el("button", { type: "button", onclick: () => close(run) }, el("kbd", {}, key), " " + text))));
  sheet.onkeydown = (event) => {
    const found = answers.find(([key]) => key === event.key);
    event.stopPropagation();
    if (!found) return;
    event.preventDefault();
    close(found[2]);
  };
  sheet.showModal();
}

function undo() {
  const last = model.undo();
  if (last) {
    const i = last.step[0][0];
    if (ui.tab === "names") ui.cursor = "t" + i;
    else if (ui.tab === "rules") {
      const group = model.groupOf.get(i);
      ui.cursor = last.step.length === 1 && ui.open.has(group.id) ? "t" + i : "g" + group.id;
    }
    say(`Taken back: ${count(last.step.length, "variable")}. U does it again.`);
  } else if (ui.earlier.length) {
    model = ui.earlier.pop();
    tab(ui.tab);
    say("Taken back: the plan is as it was before it was matched again.");
  } else say("There is nothing to take back.");
  refresh();
  if (rows && row() >= 0) rows.reveal(row());
}

async function save() {
  const kept = model;
  if (!SERVED || ui.lost) {
    download(DATA.name, planText(model));
    kept.saved = kept.now.slice();
    kept.fresh = false;
    say(`Downloaded as ${DATA.name}. Put it where the plan was.`);
    return refresh();
  }
  const state = model.now.slice();
  try {
    const answer = await post("save", { base: model.data.base, answers: model.answers() });
    kept.saved = state;
    kept.fresh = false;
    for (const other of ui.earlier) other.fresh = true;
    say(answer.message);
  } catch (error) {
    ui.lost = /has ended|Download/.test(error.message);
    say(error.message, true);
  }
  refresh();
}

async function again() {
  if (!SERVED) return say("A report cannot match again: run 'automatch review' with the plan.", true);
  say("Matching again …");
  document.body.classList.add("busy");
  try {
    const data = await post("solve", { base: model.data.base, answers: model.answers() });
    ui.earlier.push(model);
    model = new Model(data);
    model.fresh = true;
    ui.open.clear();
    ui.split.clear();
    ui.cursor = null;
    if (ui.filter) document.getElementById("filter").value = ui.filter = "";
    tab(ui.tab);
    say(data.message);
  } catch (error) {
    say(error.message, true);
  }
  document.body.classList.remove("busy");
}

async function finish() {
  if (!SERVED) return;
  if (changed()) await save();
  if (changed()) return;
  try {
    const answer = await post("done", {});
    ui.gone = true;
    document.body.replaceChildren(el("div", { class: "gone" }, el("h1", {}, "Done"), el("p", {}, answer.message), el("p", { class: "note" }, "You can close this window.")));
  } catch (error) {
    say(error.message, true);
  }
}

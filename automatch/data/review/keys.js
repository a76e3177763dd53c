// Keys: the same letters as in the terminal. Every one has a button or a click as well.

const SHEET = [
  ["y  space", "accept, and go on to the next that waits"],
  ["n", "none: leave as initialised, and go on"],
  ["1 … 9", "take another source; asks before it takes one that is in use"],
  ["s", "split: answer for each variable by itself"],
  ["o  Enter", "open or close a group"],
  ["Y  N", "accept or refuse all that is in sight and undecided (the filter counts)"],
  ["u  U", "take back, do again: without limit"],
  ["j  k", "next, previous that waits for a decision"],
  ["J  K  ↓  ↑", "next, previous row of any kind"],
  ["h  l  ←  →", "close, open a scope; in Parameters: out, in (Enter zooms)"],
  ["x", "the other side, in Trees and Parameters"],
  ["/", "filter; Esc clears it. is:undecided  by:person  score<0.9  -word"],
  ["t", "next view"],
  ["r", "keep what is decided, match the rest again"],
  ["c", "copy the name"],
  ["w  Ctrl+S", "save the plan"],
  ["q", "save, and done"],
  ["?", "these keys"],
];
const FOOT = [["y", "accept"], ["n", "none"], ["1-9", "another"], ["s", "split"], ["o", "open"], ["u", "undo"], ["j/k", "next"], ["J/K", "any"], ["/", "filter"], ["t", "view"], ["w", "save"], ["?", "keys"]];

const ACTIONS = {
  y: () => decide("accept"),
  n: () => decide("reject"),
  Y: () => decideAll("accept"),
  N: () => decideAll("reject"),
  u: undo,
  U: () => say(model.redo() ? "Done again." : "There is nothing to do again."),
  j: () => walk(1, true),
  k: () => walk(-1, true),
  J: () => walk(1, false),
  K: () => walk(-1, false),
  s: split,
  o: open,
  h: () => fold(false),
  l: () => fold(true),
  x: () => (trees || maps ? (trees || maps).turn() : say("x goes to the other side, in Trees and Parameters.")),
  t: () => tab(TABS[(TABS.findIndex(([id]) => id === ui.tab) + 1) % TABS.length][0]),
  w: save,
  r: again,
  q: finish,
  c: copy,
  "/": () => document.getElementById("filter").select(),
  "?": sheet,
  " ": () => (current() && current().targets && waits(current()) ? decide("accept") : walk(1, true)),
};
const SAME = { ArrowDown: "J", ArrowUp: "K", ArrowLeft: "h", ArrowRight: "l", Enter: "o" };
for (let k = 1; k <= 9; k++) ACTIONS[k] = () => choose(k);

/** Does what a key means, and draws the page again. */
function act(key) {
  const result = ACTIONS[key]();
  if (!(result instanceof Promise)) refresh();
  const quiet = key === "/" || key === "?" || document.querySelector("dialog[open]");
  if (!quiet && !ui.gone) focusView();
}

function split() {
  const item = current();
  if (!item || item.type !== "group" || item.targets.length < 2) return say("There is nothing to split here.");
  ui.open.add(item.group.id);
  ui.split.add(item.group.id);
  refresh();
  const first = item.targets.find((i) => model.state(i) === "undecided") ?? item.targets[0];
  ui.cursor = "t" + first;
  rows.reveal(row());
  say("Each variable by itself now; o on the group puts it together again.");
}

function open() {
  const item = current();
  if (ui.tab === "map") return maps.enter();
  if (ui.tab === "trees") return trees.toggle();
  if (!item) return;
  if (item.member) ui.cursor = "g" + item.group.id;
  toggle(item.member ? { ...ui.items[row()], type: "group" } : item);
}

function fold(out) {
  if (ui.tab === "map") return maps.move(out ? "in" : "out");
  if (ui.tab === "trees") {
    if (!trees.toggle(out) && !out) point(trees.parent());
    return;
  }
  const item = current();
  if (!item || !item.group) return;
  if (item.member && !out) return open();
  if (item.type === "group" && ui.open.has(item.group.id) !== out) toggle(item);
}

async function copy() {
  const item = current();
  if (!item || !item.targets) return;
  const name = item.targets.length ? model.names[item.targets[0]] : item.sources[0];
  try {
    await navigator.clipboard.writeText(name);
    say(`Copied ${shown(name)}`);
  } catch {
    say("The browser does not let this page copy: mark the name at the right with the mouse.", true);
  }
}

function sheet() {
  const box = document.getElementById("sheet");
  box.replaceChildren(el("h2", {}, "Keys"), el("table", {}, ...SHEET.map(([keys, what]) =>
    el("tr", {}, el("th", { scope: "row" }, ...keys.split("  ").flatMap((key) => [el("kbd", {}, key), " "])), el("td", {}, what)))),
    el("p", { class: "note" }, "Nothing is restored here, and the plan on disk changes only when you save."));
  box.onkeydown = (event) => {
    event.stopPropagation();
    if (event.key === "?" || event.key === "q") event.preventDefault(), box.close();
  };
  box.onclose = focusView;
  box.showModal();
}

function pressed(event) {
  if (ui.gone || document.querySelector("dialog[open]")) return;
  if ((event.ctrlKey || event.metaKey) && event.key === "s") return event.preventDefault(), act("w");
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.id === "filter") {
    if (event.key === "Escape") search(""), focusView();
    if (event.key === "Enter" || event.key === "ArrowDown") event.preventDefault(), focusView();
    return;
  }
  // A button in focus keeps its own keys, so that the page can be walked with Tab as any other.
  if (event.target.closest("button") && (event.key === " " || event.key === "Enter")) return;
  if (event.key === "Escape" && ui.filter) return search("");
  const key = SAME[event.key] || event.key;
  if (!Object.hasOwn(ACTIONS, key)) return;
  event.preventDefault();
  act(key);
  if (rows && row() >= 0) rows.reveal(row());
}

document.addEventListener("keydown", pressed);
document.getElementById("filter").addEventListener("input", (event) => search(event.target.value));
window.addEventListener("resize", () => (measure(), refresh()));
window.addEventListener("beforeunload", (event) => SERVED && !ui.gone && changed() && event.preventDefault());
document.getElementById("keys").replaceChildren(...FOOT.map(([key, what]) => el("button", { type: "button", tabindex: "-1", onclick: () => key.length === 1 && act(key) }, el("kbd", {}, key), " " + what)));
document.getElementById("sides").replaceChildren(fileEl(model.plan.source), el("span", { class: "arrow", "aria-label": "to" }, " → "), fileEl(model.plan.target));
tab("rules");

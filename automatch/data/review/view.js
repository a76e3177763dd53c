// The list on the screen: only the rows in sight are elements, so that 100,000 names cost as much as 40.

const ROW = 26;

class Rows {
  /** draw(index) gives the element of a row; pick(index) is told of clicks. */
  constructor(box, draw, pick, label) {
    this.box = box;
    this.draw = draw;
    this.room = el("div", { class: "room" });
    this.list = el("div", { class: "rows", tabindex: "0", role: "listbox", "aria-label": label }, this.room);
    this.total = 0;
    this.list.addEventListener("scroll", () => this.paint());
    this.list.addEventListener("click", (event) => {
      const row = event.target.closest("[data-row]");
      if (row) pick(Number(row.dataset.row), event);
    });
    box.append(this.list);
  }

  show(total, cursor) {
    this.total = total;
    this.cursor = cursor;
    this.room.style.height = total * ROW + "px";
    this.paint();
  }

  /** Scrolls no more than needed to have the row in sight, with two rows around it. */
  reveal(row) {
    const top = row * ROW, height = this.list.clientHeight;
    if (top - 2 * ROW < this.list.scrollTop) this.list.scrollTop = Math.max(0, top - 2 * ROW);
    else if (top + 3 * ROW > this.list.scrollTop + height) this.list.scrollTop = top + 3 * ROW - height;
  }

  paint() {
    const from = Math.max(0, Math.floor(this.list.scrollTop / ROW) - 8);
    const until = Math.min(this.total, Math.ceil((this.list.scrollTop + this.list.clientHeight) / ROW) + 8);
    const rows = [];
    for (let r = from; r < until; r++) {
      const row = this.draw(r);
      row.dataset.row = r;
      row.id = `${this.box.id}-${r}`;
      row.style.top = r * ROW + "px";
      if (r === this.cursor) row.classList.add("cursor"), row.setAttribute("aria-selected", "true");
      rows.push(row);
    }
    this.room.replaceChildren(...rows);
    if (this.cursor >= from && this.cursor < until) this.list.setAttribute("aria-activedescendant", `${this.box.id}-${this.cursor}`);
    else this.list.removeAttribute("aria-activedescendant");
    if (this.painted) this.painted(from, until);
  }
}

function markEl(state) {
  return el("span", { class: "mark " + state, title: WORDS[state] }, el("span", { "aria-hidden": "true" }, MARKS[state]), el("span", { class: "only-read" }, WORDS[state]));
}

function scoreText(n) {
  return n === null ? "" : n.toFixed(2);
}

/** How many characters of a name fit in the list. */
function roomFor(ui) {
  return Math.max(30, Math.floor((ui.width - 190) / 7.3));
}

function sectionRow(item) {
  let [title, note] = SECTIONS[item.kind];
  if (item.kind === "ask" && item.open < item.sum) [title, note] = item.open ? [title, `${item.open.toLocaleString("en")} of ${item.sum.toLocaleString("en")} left, ${note}`] : ["Decided", "nothing is left"];
  return el("div", { class: "row section " + item.kind, role: "presentation" },
    el("b", {}, title), el("span", { class: "note" }, note), el("span", { class: "number" }, item.sum.toLocaleString("en")),
    el("span", { class: "score" }, item.kind === "ask" || item.kind === "rule" ? "score" : ""));
}

function groupRow(model, ui, item) {
  const group = item.group, state = stateOf(model, item);
  const all = group.targets.length + group.sources.length, some = item.targets.length + item.sources.length;
  const open = ui.open.has(group.id);
  const name = titleEl(model, group, roomFor(ui));
  const score = item.targets.length ? Math.min(...item.targets.map((i) => model.score(i) ?? 2)) : 2;
  return el("div", { class: `row group ${state}`, role: "option" },
    markEl(state),
    el("span", { class: "fold", "aria-hidden": "true" }, all > 1 ? (open ? "▾" : "▸") : ""),
    name,
    item.targets.some((i) => model.moved.has(i)) ? el("span", { class: "moved", title: "moved when matched again" }, "↻") : null,
    group.kind === "none" || group.kind === "unused" ? el("span", { class: "why" }, group.why) : null,
    el("span", { class: "number" }, some === all ? all.toLocaleString("en") : `${some} of ${all}`),
    el("span", { class: "score" }, score > 1 ? "" : scoreText(score)));
}

/** The title of a group: as the report words it, unless a person gave its members other sources. */
function titleEl(model, group, room) {
  const changed = group.targets.filter((i) => model.now[i].source !== null && model.now[i].source !== model.first[i].source);
  if (!changed.length) return spansEl(group.title, `${group.source} => ${group.target}`.replace(/^ => | => $/, ""), room);
  const source = alikeNames(changed.map((i) => model.now[i].source));
  if (source !== "**" && group.target !== "**") return diffEl(source, group.target, room);
  const [first] = changed;
  const more = changed.length > 1 ? el("span", { class: "note" }, `  and ${changed.length - 1} that go with it`) : "";
  return el("span", {}, diffEl(model.now[first].source, model.names[first], room), more);
}

function oneRow(model, ui, item) {
  const i = item.targets[0], now = model.now[i], state = model.state(i);
  const name = now.source === null ? nameEl(model.names[i]) : diffEl(now.source, model.names[i], roomFor(ui) - (item.member ? 4 : 0));
  return el("div", { class: `row one ${state}${item.member ? " member" : ""}`, role: "option" },
    markEl(state), el("span", { class: "fold" }), name,
    model.moved.has(i) ? el("span", { class: "moved", title: "moved when matched again" }, "↻") : null,
    now.source === null ? el("span", { class: "why" }, model.reasons[i] || "its source went to another variable") : null,
    now.by === "person" && now.source !== null ? el("span", { class: "by" }, "you") : null,
    el("span", { class: "type" }, typed(model.dtypes[i], model.shapes[i])),
    el("span", { class: "score" }, scoreText(model.score(i))));
}

function sourceRow(model, item) {
  const name = item.sources[0], held = model.holders.get(name);
  const taken = held && held.size;
  const known = model.sources.get(name);
  return el("div", { class: `row one ${taken ? "accepted" : "unused"}${item.member ? " member" : ""}`, role: "option" },
    markEl(taken ? "accepted" : "unused"), el("span", { class: "fold" }), nameEl(name),
    el("span", { class: "why" }, taken ? "taken now" : item.group.why),
    el("span", { class: "type" }, known && known.shape ? typed(known.dtype, known.shape) : ""), el("span", { class: "score" }));
}

function rowOf(model, ui, item) {
  if (item.type === "section") return sectionRow(item);
  if (item.type === "group") return groupRow(model, ui, item);
  return item.type === "one" ? oneRow(model, ui, item) : sourceRow(model, item);
}

/** The header's bar: what is restored, what waits, what stays as initialised, by number of variables. */
function drawProgress(model) {
  const sums = model.tally(), total = model.names.length || 1;
  const left = sums.rejected + sums.none;
  const parts = [["accepted", sums.accepted], ["undecided", sums.undecided], ["none", left]];
  document.getElementById("bar").replaceChildren(...parts.filter(([, n]) => n).map(([state, n]) =>
    el("div", { class: "part " + state, style: { flexGrow: String(n) } })));
  const size = (state) => model.now.reduce((sum, _, i) => sum + (model.state(i) === state ? numbers(model.shapes[i]) : 0), 0);
  const all = model.shapes.reduce((sum, shape) => sum + numbers(shape), 0) || 1;
  const percent = (100 * size("accepted")) / all;
  document.getElementById("totals").replaceChildren(
    totalEl("accepted", sums.accepted, "restored"), totalEl("undecided", sums.undecided, "to decide"), totalEl("none", left, "stay as initialised"),
    el("span", { class: "note" }, `${percent > 99.9 && percent < 100 ? "99.9" : percent.toFixed(1)}% of ${short(all)} parameters restored`));
  document.getElementById("progress").setAttribute("aria-label", `${sums.accepted} restored, ${sums.undecided} to decide, ${left} stay as initialised, of ${total}`);
}

function totalEl(state, n, what) {
  return el("span", { class: `total ${state}${n ? "" : " zero"}` }, el("b", {}, `${MARKS[state]} ${n.toLocaleString("en")}`), " " + what);
}

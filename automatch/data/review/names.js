// Names: shown safely, taken apart, compared.

const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** A name as printable text: what has no shape of its own, or turns the text around, becomes \x1b or \u202e. */
function shown(name) {
  return name.replace(UNSEEN, (c) => {
    const code = c.charCodeAt(0);
    return code < 256 ? "\\x" + code.toString(16).padStart(2, "0") : "\\u" + code.toString(16).padStart(4, "0");
  });
}

/** Words, numbers and separators of a name. */
function words(name) {
  return name.match(/[\p{L}\p{M}]+|\d+|[^\p{L}\p{M}\d]/gu) || [];
}

/** The longest common run of words decides what stayed; returns [[kind, text], …] with kind "=", "-" or "+". */
function diff(before, after) {
  const a = scopes(before), b = scopes(after);
  if (a.length * b.length > 40000) return [["-", before], ["+", after]];
  const best = Array.from({ length: a.length + 1 }, () => new Float64Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      best[i][j] = a[i] === b[j] ? best[i + 1][j + 1] + 1 + a[i].length / 100 : Math.max(best[i + 1][j], best[i][j + 1]);
  const parts = [];
  const put = (kind, text) => {
    const last = parts[parts.length - 1];
    if (last && last[0] === kind) last[1] += text;
    else parts.push([kind, text]);
  };
  let i = 0, j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) put("=", a[i++]), j++;
    else if (j >= b.length || (i < a.length && best[i + 1][j] >= best[i][j + 1])) put("-", a[i++]);
    else put("+", b[j++]);
  }
  return gathered(parts);
}

/** Steps of a path with their separators apart: a scope is kept or replaced as a whole, never in its middle. */
function scopes(name) {
  return name.match(/[^/.]+|[/.]/g) || [];
}

/** All that goes before all that comes, where only a separator stood between: one change reads better than three. */
function gathered(parts) {
  const out = [];
  let gone = "", come = "";
  const flush = () => {
    if (gone) out.push(["-", gone]);
    if (come) out.push(["+", come]);
    gone = come = "";
  };
  parts.forEach(([kind, text], i) => {
    const inside = kind === "=" && /^[/.]$/.test(text) && i > 0 && i < parts.length - 1 && gone && come;
    if (kind === "-") gone += text;
    else if (kind === "+") come += text;
    else if (inside) gone += text, come += text;
    else flush(), out.push([kind, text]);
  });
  flush();
  return out;
}

/** Parts shortened to about `room` characters in their middles: first what stayed, then what went, last what came. */
function fitted(parts, room) {
  let over = parts.reduce((sum, [, text]) => sum + text.length, 0) - room;
  const out = parts.map((part) => [...part]);
  for (const kind of ["=", "-", "+"])
    for (const part of out.filter((part) => part[0] === kind).sort((a, b) => b[1].length - a[1].length)) {
      const keep = Math.max(24, part[1].length - over - 1);
      if (over <= 0 || keep + 1 >= part[1].length) continue;
      over -= part[1].length - keep - 1;
      part[1] = part[1].slice(0, Math.floor(keep / 3)) + "…" + part[1].slice(part[1].length - Math.ceil((2 * keep) / 3));
    }
  return out;
}

const KINDS = [["bfloat", "bf"], ["float", "f"], ["uint", "u"], ["complex", "c"], ["int", "i"]];

/** f32[3,3,64]: dtype and shape as the terminal writes them. */
function typed(dtype, shape) {
  const found = KINDS.find(([long]) => dtype.startsWith(long));
  const short = found ? found[1] + dtype.slice(found[0].length) : dtype;
  return short + (shape ? "[" + shape.map((n) => (n < 0 ? "?" : n)).join(",") + "]" : "[?]");
}

/** How many numbers a tensor holds; 0 where its shape is not known. */
function numbers(shape) {
  return shape && shape.every((n) => n >= 0) ? shape.reduce((a, b) => a * b, 1) : 0;
}

function short(n) {
  for (const [unit, size] of [["B", 1e9], ["M", 1e6], ["k", 1e3]])
    if (n >= size) return (n / size).toFixed(n / size < 10 ? 2 : n / size < 100 ? 1 : 0) + unit;
  return String(n);
}

function count(n, one, many = one + "s") {
  return n.toLocaleString("en") + " " + (n === 1 ? one : many);
}

/** An element with text and children; the only way names get into the page. */
function el(tag, props = {}, ...children) {
  const node = tag.startsWith("svg:") ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4)) : document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "style") Object.assign(node.style, value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** A name as an element: left to right whatever it holds. */
function nameEl(text, cls = "name") {
  return el("bdi", { class: cls, dir: "ltr", title: shown(text) }, shown(text));
}

/** The file of one side by its last name, the whole path where the mouse rests. */
function fileEl(side) {
  const path = side.path || "a live object";
  return el("bdi", { class: "name", dir: "ltr", title: shown(path) }, shown(path.replace(/[/\\]+$/, "").split(/[/\\]/).pop() || path));
}

/** The change from one name to another as an element: what went struck through, what came in its place. */
function diffEl(source, target, room = 1e9) {
  return partsEl(diff(source, target), source + " => " + target, room);
}

/** The same from the spans of the report, [text, style] with braces around what changed. */
function spansEl(spans, full, room) {
  const kinds = { old: "-", new: "+" };
  const parts = spans.filter(([text, style]) => style !== "dim" || !/^(\{|\}| => |=> )$/.test(text)).map(([text, style]) => [kinds[style] || "=", text]);
  return partsEl(parts, full, room);
}

function partsEl(parts, full, room) {
  const marks = { "=": "span", "-": "del", "+": "ins" };
  return el("bdi", { class: "name", dir: "ltr", title: shown(full) }, ...fitted(parts, room).map(([kind, text]) => el(marks[kind], {}, shown(text))));
}

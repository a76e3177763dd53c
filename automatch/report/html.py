"""Plans and listings as a notebook shows them: one piece of HTML without script, style sheet or network.

Notebooks bring their own colours, light or dark; the text keeps them, and what is coloured reads on both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from automatch.plan import Plan
from automatch.report.folding import fold_names
from automatch.report.groups import Group, groups
from automatch.report.lines import Span, shown
from automatch.report.listing import totals
from automatch.tensor import Listing, Tensor, short_type

__all__ = ["listing_html", "plan_html"]

# Rows of a section, and tensors of a scope; the rest is counted.
MOST = 20
DEEPEST = 6

_YES, _ASK, _NO, _IDLE = "#0d9488", "#d97706", "#dc4a5e", "#8a929a"
_MONO = (
    "font-family:ui-monospace,Menlo,Consolas,monospace;font-size:12px;text-align:left;white-space:pre-wrap"
)
_NUMBER = "text-align:right;vertical-align:top;font-variant-numeric:tabular-nums"


def plan_html(plan: Plan) -> str:
    """A plan as HTML: totals, the spread of its scores, what to decide, rules, what is left out and why."""
    sides = f"{_name(plan.source.path)} &rarr; {_name(plan.target.path)}"
    body = [f"<div><b>{sides}</b></div>", _totals(plan), _bar(plan), _histogram(plan), *_sections(plan)]
    return f'<div style="max-width:1000px">{"".join(body)}</div>'


def _name(path: str | None) -> str:
    return escape(shown(path or "a live object"))


def _totals(plan: Plan) -> str:
    counts = plan.counts
    parts = (
        (_YES, "&check;", counts.accepted, "to restore"),
        (_ASK, "?", counts.undecided, "to decide"),
        (_NO, "&ndash;", counts.rejected + counts.unmatched, "stay as initialised"),
        (_IDLE, "&middot;", counts.unused, "not used"),
    )
    return "<div>" + "".join(
        f'<span style="margin-right:18px"><b style="color:{color}">{mark} {count:,}</b> {words}</span>'
        for color, mark, count, words in parts
    ) + "</div>"  # fmt: skip


def _bar(plan: Plan) -> str:
    counts = plan.counts
    parts = (
        (_YES, counts.accepted),
        (_ASK, counts.undecided),
        (_NO, counts.rejected + counts.unmatched),
    )
    cells = (f'<div style="flex:{count};background:{color}"></div>' for color, count in parts if count)
    return f'<div style="display:flex;gap:2px;height:8px;margin:4px 0">{"".join(cells)}</div>'


def _histogram(plan: Plan) -> str:
    """Twenty columns by score; root-scaled, so that a few doubtful pairs stay in sight beside many."""
    if not plan.pairs:
        return ""
    bins: Counter[tuple[int, str]] = Counter()
    for pair in plan.pairs:
        bins[min(19, int(pair.score * 20 + 1e-9)), pair.decision] += 1
    most = max(sum(bins[column, decision] for decision in _COLORS) for column in range(20))
    score = plan.options.min_score
    edge = 240 * score
    cells = (cell for column in range(20) for cell in _column(bins, column, most))
    return (
        '<svg width="240" height="52" role="img" aria-label="Scores from 0 to 1"><g>'
        f'{"".join(cells)}</g><path d="M0 40.5H240" stroke="{_IDLE}"/>'
        f'<path d="M{edge:g} 0V40" stroke="#3b82c4" stroke-width="1.5" stroke-dasharray="4 2"/>'
        f'<text x="0" y="51" font-size="10" fill="{_IDLE}">score 0</text>'
        f'<text x="{edge:g}" y="51" font-size="10" fill="#3b82c4" '
        f'text-anchor="middle">{score:g}</text>'
        f'<text x="240" y="51" font-size="10" fill="{_IDLE}" text-anchor="end">1</text></svg>'
    )


_COLORS = {"accept": _YES, "undecided": _ASK, "reject": _NO}


def _column(bins: Counter[tuple[int, str]], column: int, most: int) -> Iterator[str]:
    count = sum(bins[column, decision] for decision in _COLORS)
    height = 40 * (count / most) ** 0.5
    top = 40.0
    for decision, color in _COLORS.items():
        share = height * bins[column, decision] / count if count else 0.0
        top -= share
        if share:
            place = f'x="{column * 12 + 1}" y="{top:.1f}" width="10" height="{share:.1f}"'
            yield f'<rect {place} fill="{color}"/>'


def _sections(plan: Plan) -> Iterator[str]:
    titles = {"ask": "To decide", "rule": "By rule", "none": "No counterpart"}
    if not plan.undecided:
        titles["ask"] = "Decided by a person"
    lines = groups(plan)
    for kind, title in titles.items():
        rows = [_group_row(plan, group) for group in lines if group.kind == kind]
        yield from _table(title, rows, closed=False)
    unused = fold_names((entry.source, entry.why) for entry in plan.unused)
    rows = [_row(entry.count, "", ((shown(entry.pattern), ""),), entry.why, False) for entry in unused]
    yield from _table("Not used", rows, closed=True)


def _group_row(plan: Plan, group: Group) -> str:
    pairs = [plan.pairs[i] for i in group.members] if group.kind in ("ask", "rule") else []
    score = f"{min(pair.score for pair in pairs):.2f}" if pairs else ""
    is_open = any(pair.decision == "undecided" for pair in pairs)
    why = "" if group.kind == "rule" else group.why
    return _row(len(group.members), score, group.title, why, is_open)


def _row(count: int, score: str, title: Sequence[Span], why: str, is_open: bool) -> str:
    mark = f'<b style="color:{_ASK}">?</b> ' if is_open else ""
    reason = f'<div style="color:{_IDLE}">{escape(shown(why))}</div>' if why else ""
    return (
        f'<tr><td style="{_NUMBER}">{count:,}</td><td style="{_NUMBER}">{score}</td>'
        f'<td style="{_MONO}">{mark}{_spans(title)}{reason}</td></tr>'
    )


def _spans(spans: Iterable[Span]) -> str:
    styles = {
        "old": f"color:{_NO};text-decoration:line-through",
        "new": f"color:{_YES};font-weight:600",
        "dim": f"color:{_IDLE}",
    }
    return "<bdi>" + "".join(
        f'<span style="{styles[style]}">{escape(text)}</span>' if style in styles else escape(text)
        for text, style in spans
    ) + "</bdi>"  # fmt: skip


def _table(title: str, rows: list[str], *, closed: bool) -> Iterator[str]:
    if not rows:
        return
    more = (
        f"<div>and {len(rows) - MOST:,} lines more: plan.review() shows all</div>" if len(rows) > MOST else ""
    )
    yield (
        f"<details{'' if closed else ' open'}><summary><b>{title}</b></summary>"
        f'<table style="margin:2px 0 8px;color:inherit;font-size:13px">'
        f"{''.join(rows[:MOST])}</table>{more}</details>"
    )


def listing_html(listing: Listing) -> str:
    """A listing as HTML: where it comes from, sums, and its scopes to unfold."""
    head = f"<b>{_name(listing.path)}</b> <span style='color:{_IDLE}'>{escape(listing.format)}</span>"
    notes = "".join(f'<div style="color:{_IDLE}">{escape(shown(note))}</div>' for note in listing.notes)
    named = [(_steps(tensor.name), tensor) for tensor in listing.tensors]
    return f"<div>{head}<div>{totals(listing)}</div>{notes}{''.join(_scopes(named, 0))}</div>"


def _steps(name: str) -> list[str]:
    return name.split("/") if "/" in name else name.split(".")


def _scopes(named: list[tuple[list[str], Tensor]], depth: int) -> Iterator[str]:
    """The scopes at this depth, each to unfold, then the tensors that stand in no further one."""
    inside: dict[str, list[tuple[list[str], Tensor]]] = {}
    leaves = []
    for steps, tensor in named:
        if len(steps) == depth + 1 or depth == DEEPEST:
            leaves.append(("/".join(steps[depth:]), tensor))
        else:
            inside.setdefault(steps[depth], []).append((steps, tensor))
    for step, members in list(inside.items())[:MOST]:
        size = sum(tensor.size or 0 for _, tensor in members)
        yield (
            f'<details style="margin-left:{14 if depth else 0}px">'
            f'<summary style="{_MONO}"><bdi>{escape(shown(step))}</bdi>'
            f' <span style="color:{_IDLE}">{len(members):,} tensors, {size:,} parameters</span></summary>'
            f"{''.join(_scopes(members, depth + 1))}</details>"
        )
    yield from _leaves(leaves[:MOST], depth)
    if (more := max(0, len(inside) - MOST) + max(0, len(leaves) - MOST)) > 0:
        yield f'<div style="margin-left:14px;color:{_IDLE}">and {more:,} more</div>'


def _leaves(leaves: list[tuple[str, Tensor]], depth: int) -> Iterator[str]:
    for name, tensor in leaves:
        kind = escape(short_type(tensor.dtype, tensor.shape))
        yield (
            f'<div style="{_MONO};margin-left:{14 if depth else 0}px"><bdi>{escape(shown(name))}</bdi>'
            f' <span style="color:{_IDLE}">{kind}</span></div>'
        )

"""A plan folded into questions: what one answer decides together stands together."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from automatch.plan import Pair, Plan, RuleRecord
from automatch.report.lines import Span, shown
from automatch.report.notation import notation, renamed

__all__ = ["Group", "doubt", "groups", "is_question", "pattern", "titled"]

Kind = Literal["ask", "rule", "none", "unused"]
_Records = Mapping[int | None, RuleRecord]


@dataclass(frozen=True, slots=True)
class Group:
    """One line of a review.

    kind: `ask` (a person decides), `rule` (accepted without a person), `none` (targets without
        counterpart), `unused` (source tensors nobody takes).
    title: the names as one line, as the report in the terminal words them.
    source, target: the names, what differs between the members written `*`; empty where a side has none.
    members: positions in `plan.pairs`, `plan.unmatched` or `plan.unused`, by kind.
    """

    kind: Kind
    title: tuple[Span, ...]
    source: str
    target: str
    members: tuple[int, ...]
    why: str = ""


def groups(plan: Plan) -> list[Group]:
    """All lines of a review: questions, the most doubtful first, rules, no counterpart, not used.

    Every entry of the plan is in exactly one.
    """
    asked = [i for i, pair in enumerate(plan.pairs) if is_question(pair)]
    settled = [i for i, pair in enumerate(plan.pairs) if not is_question(pair)]
    records: dict[int | None, RuleRecord] = {rule.id: rule for rule in plan.rules}
    questions = [_pairs_group(plan, records, "ask", members) for members in _by_key(plan, asked)]
    rules = [_pairs_group(plan, records, "rule", members) for members in _by_key(plan, settled)]
    questions.sort(key=lambda group: doubt(plan, group.members))
    rules.sort(key=lambda group: -len(group.members))
    none = _folded("none", [(entry.target, entry.why) for entry in plan.unmatched])
    unused = [_typed(plan, group) for group in _folded("unused", [(e.source, e.why) for e in plan.unused])]
    return questions + rules + none + unused


def is_question(pair: Pair) -> bool:
    """True for a pair that a person decides or has decided."""
    return pair.decision != "accept" or pair.by == "person"


def doubt(plan: Plan, members: Iterable[int]) -> tuple[float, float]:
    """Sort key of a question, the most doubtful first.

    Score and margin count alike: 0.79 with a twin at 0.71 is more in doubt than 0.77 without a rival.
    """
    pairs = [plan.pairs[i] for i in members]
    return min(pair.score + pair.margin for pair in pairs), min(pair.score for pair in pairs)


def pattern(names: Iterable[str]) -> str:
    """The names as one: each number that differs between them written `*`, and `**` where more differs.

    >>> pattern(["block1/unit_1/w", "block1/unit_2/w"])
    'block1/unit_*/w'
    """
    names = list(names)
    split = [re.split(r"(\d+)", name) for name in names]
    if any(parts[::2] != split[0][::2] for parts in split):
        return _common_scope(names)
    columns = [set(column) for column in zip(*split, strict=True)]
    return "".join(part if len(seen) == 1 else "*" for part, seen in zip(split[0], columns, strict=True))


def _pairs_group(
    plan: Plan, records: Mapping[int | None, RuleRecord], kind: Kind, members: list[int]
) -> Group:
    pairs = [plan.pairs[i] for i in members]
    rule = records.get(pairs[0].rule)
    whole = rule is not None and rule.pairs == len(pairs) and len({pair.rule for pair in pairs}) == 1
    source = pattern(pair.source for pair in pairs)
    target = pattern(pair.target for pair in pairs)
    exact = rule and whole and len(pairs) > 1
    title = (
        notation(rule.from_, rule.to)
        if rule and exact
        else titled([(pair.source, pair.target) for pair in pairs])
    )
    return Group(
        kind, title, source, target, tuple(members), next((pair.why for pair in pairs if pair.why), "")
    )


def titled(names: Sequence[tuple[str, str]]) -> tuple[Span, ...]:
    """The (source, target) names of a question as one line; where they share nothing, one pair's for all."""
    source, target = (pattern(side) for side in zip(*names, strict=True))
    if "**" not in (source, target):
        return renamed(source, target)
    return (*renamed(*names[0]), (f"  and {len(names) - 1:,} that go with it", "dim"))


def _by_key(plan: Plan, members: list[int]) -> list[list[int]]:
    found: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for i in members:
        found[_key(plan.pairs[i])].append(i)
    return list(found.values())


def _key(pair: Pair) -> tuple[object, ...]:
    if pair.group and is_question(pair):
        return ("question", pair.group)
    if pair.rule is not None:
        return ("rule", pair.rule)
    return ("alike", _skeleton(pair.source), _skeleton(pair.target), pair.transform)


def _skeleton(name: str) -> str:
    return re.sub(r"\d+", "*", name)


def _folded(kind: Kind, entries: list[tuple[str, str]]) -> list[Group]:
    """Entries of one reason and outermost scope on one line; scopes that differ in a number count as one."""
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, (name, why) in enumerate(entries):
        # Reasons that differ in the names and numbers they mention are one reason.
        reason = re.sub(r"'[^']*'|\d+(?:\.\d+)?", "", why)
        found[reason, _skeleton(re.split(r"[/.]", name, maxsplit=1)[0])].append(i)
    result = []
    for members in found.values():
        names = [entries[i][0] for i in members]
        text = names[0] if len(names) == 1 else _common_scope(names)
        source, target = (text, "") if kind == "unused" else ("", text)
        whys = dict.fromkeys(entries[i][1] for i in members)
        why = next(iter(whys)) + ("; the others alike" if len(whys) > 1 else "")
        result.append(Group(kind, ((shown(text), ""),), source, target, tuple(members), why))
    return sorted(result, key=lambda group: -len(group.members))


def _typed(plan: Plan, group: Group) -> Group:
    """A line of unused tensors with their type before the reason, where all have one."""
    types = {plan.unused[i].type for i in group.members}
    return replace(group, why=f"{types.pop()}  {group.why}".lstrip()) if len(types) == 1 else group


def _common_scope(names: list[str]) -> str:
    """What the names share at both ends, with `**` between: `block*/**/Momentum`."""
    raw = [re.split(r"([/.])", name) for name in names]
    split = [[_skeleton(part) for part in parts] for parts in raw]
    shortest = min(len(parts) for parts in split)
    ahead = _shared(split, range(shortest))
    behind = _shared([parts[::-1] for parts in split], range(shortest - ahead))
    # A number that all share stays. The separator before the tail may be that of the head, once more.
    between = max(split, key=len)[-behind - 1] if behind % 2 else ""
    first = [*map(pattern, zip(*(parts[:ahead] for parts in raw), strict=True))]
    last = [*map(pattern, zip(*(parts[len(parts) - behind :] for parts in raw), strict=True))]
    # Names stand at even places, separators at odd ones: the head ends with one.
    ahead -= ahead % 2
    return "".join(first[:ahead]) + "**" + between + "".join(last)


def _shared(split: list[list[str]], columns: range) -> int:
    return next((c for c in columns if len({parts[c] for parts in split}) > 1), len(columns))

"""The report of a plan: rules, what to decide, what is left alone or not used, totals, what to type next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from automatch.plan import Decision, Pair, Plan, RuleRecord, Side
from automatch.report.folding import fold_names
from automatch.report.groups import pattern
from automatch.report.lines import Line, Span, line, shown
from automatch.report.notation import is_table, notation, renamed
from automatch.report.ways import ways

__all__ = ["next_steps", "report", "summary"]

_FORMATS = {
    "tf-checkpoint": "TensorFlow checkpoint",
    "tf-checkpoint-v1": "TensorFlow checkpoint, V1",
    "tf-object-checkpoint": "TensorFlow checkpoint, object-based",
    "tf-meta": "MetaGraphDef",
    "tf-graph": "graph",
    "saved-model": "SavedModel",
    "keras-h5": "Keras, .h5",
    "keras-weights": "Keras 3",
    "torch": "PyTorch",
    "flax-msgpack": "Flax",
    "orbax": "Orbax",
}


@dataclass(frozen=True, slots=True)
class _Group:
    """The pairs of one rule that are in one state; of no rule, a pair by itself."""

    rule: RuleRecord | None
    members: tuple[Pair, ...]

    @property
    def number(self) -> int:
        return self.rule.id if self.rule else 0

    @property
    def questions(self) -> set[str]:
        return {pair.group for pair in self.members} - {""}

    @property
    def doubtful(self) -> Pair:
        return min(self.members, key=lambda pair: (pair.score, pair.margin))


def report(plan: Plan, *, most: int | None = None, whole: bool = False) -> Iterator[Line]:
    """The lines of the report.

    most: lines of accepted rules, and rules of another section; one more counts the rest. None shows all.
    whole: rules that are tables are written out, where otherwise their beginning and end stand for them.
    """
    yield from _sides(plan)
    yield from _by_rule(plan, most, whole)
    yield from _to_decide(plan, most, whole)
    yield from _rejected(plan, most, whole)
    yield from _no_counterpart(plan)
    yield from _not_used(plan)
    yield line()
    yield line(summary(plan), "head")


def summary(plan: Plan) -> str:
    """The totals in one line; what it counts adds up to the variables of the target."""
    counts = plan.counts
    total = counts.accepted + counts.undecided + counts.rejected + counts.unmatched
    parts = [f"{counts.accepted:,} by rule", f"{counts.undecided:,} to decide"]
    if counts.rejected:
        parts.append(f"{counts.rejected:,} rejected")
    parts.append(f"{counts.unmatched:,} without counterpart")
    return f"{_many(total, 'variable')}: {', '.join(parts)}."


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _sides(plan: Plan) -> Iterator[Line]:
    places = [shown(side.path or "a live object") for side in (plan.source, plan.target)]
    width = max(len(place) for place in places)
    for word, side, place, noun in (
        ("source", plan.source, places[0], "tensor"),
        ("target", plan.target, places[1], "variable"),
    ):
        yield line(f"{place:<{width}}   {_many(side.tensors, noun):<17} {_format(side)}", left=f"{word}  ")


def _format(side: Side) -> str:
    return _FORMATS.get(side.format, side.format)


def _groups(plan: Plan, decision: Decision) -> list[_Group]:
    rules = {rule.id: rule for rule in plan.rules}
    members: dict[object, list[Pair]] = {}
    for pair in plan.pairs:
        if pair.decision == decision:
            members.setdefault(pair.rule if pair.rule in rules else (pair.target,), []).append(pair)
    groups = [
        _Group(rules.get(key) if isinstance(key, int) else None, tuple(pairs))
        for key, pairs in members.items()
    ]
    return sorted(groups, key=lambda group: group.rule.id if group.rule else 0)


_COLUMNS = "  {:>4} {:>5}  {:>5} {:>6}  "


def _row(group: _Group, *, whole: bool) -> Line:
    number = f"#{group.rule.id}" if group.rule else ""
    score = min(pair.score for pair in group.members)
    margin = min(pair.margin for pair in group.members)
    left = _COLUMNS.format(number, len(group.members), f"{score:.2f}", f"{margin:.2f}")
    return Line(left, (*_spans(group, whole), *_values(group.members)))


def _spans(group: _Group, whole: bool) -> tuple[tuple[str, str], ...]:
    first = group.members[0]
    if group.rule is None or len(group.members) == 1:
        return renamed(first.source, first.target)
    return notation(group.rule.from_, group.rule.to, whole=whole)


def _note(text: str) -> Line:
    return line(text, "dim", left=" " * 9)


def _values(members: Sequence[Pair]) -> tuple[Span, ...]:
    """How values change, where they do."""
    counts = Counter(pair.transform for pair in members)
    if set(counts) <= {"identity"}:
        return ()
    if len(counts) == 1:
        return ((f"   values: {shown(next(iter(counts)))}", "dim"),)
    parts = [f"{shown(text)} ({count:,})" for text, count in counts.most_common()]
    return ((f"   values: {', '.join(parts)}", "dim"),)


def _head(title: str, *, columns: bool = False) -> Iterator[Line]:
    yield line()
    yield line(title, "head")
    if columns:
        yield line(_COLUMNS.format("rule", "vars", "score", "margin").rstrip(), "dim")


def _rest(groups: Sequence[_Group], most: int | None) -> Iterator[Line]:
    if most is not None and len(groups) > most:
        count = sum(len(group.members) for group in groups[most:])
        left = _COLUMNS.format("…", count, "", "")
        yield line(
            f"in {_many(len(groups) - most, 'rule')} more, which 'automatch show' prints", "dim", left=left
        )


def _by_rule(plan: Plan, most: int | None, whole: bool) -> Iterator[Line]:
    groups = _groups(plan, "accept")
    yield from _head(f"By rule: {_many(len(plan.accepted), 'variable')}", columns=bool(groups))
    # The line that counts the others is one of so many, too.
    fit = len(groups) if most is None or len(groups) <= most else max(most - 1, 1)
    for group in groups[:fit]:
        yield _row(group, whole=whole)
    yield from _rest(groups, fit)


def _to_decide(plan: Plan, most: int | None, whole: bool) -> Iterator[Line]:
    questions = _questions(plan)
    if not questions:
        return
    title = f"To decide: {_many(len(plan.undecided), 'variable')} in {_many(len(questions), 'question')}"
    yield from _head(f"{title}, most doubtful first", columns=True)
    shown_lines = 0
    for number, question in enumerate(questions):
        if most is not None and shown_lines >= most:
            yield from _rest([group for late in questions[number:] for group in late], 0)
            return
        shown_lines += len(question)
        for group in question:
            yield _row(group, whole=whole)
        yield from _why(question, plan.options.min_score)
        if len(question) > 1:
            count = sum(len(group.members) for group in question)
            yield _note(f"one answer to #{question[0].number} decides these {count:,}")


def decisions(plan: Plan) -> int:
    """How many answers decide all that is undecided."""
    return len(_questions(plan))


def _questions(plan: Plan) -> list[list[_Group]]:
    """The undecided rules, each with those that its answer decides as well, since all pairs share groups."""
    groups = _groups(plan, "undecided")
    holders: dict[str, list[_Group]] = {}
    for group in groups:
        for name in group.questions:
            holders.setdefault(name, []).append(group)
    asked: set[int] = set()
    questions = []
    for group in groups:
        if id(group) in asked:
            continue
        near = {id(other): other for name in group.questions for other in holders[name] if other is not group}
        together = [
            other
            for other in near.values()
            if id(other) not in asked and all(pair.group in group.questions for pair in other.members)
        ]
        asked |= {id(group), *map(id, together)}
        questions.append([group, *together])
    return questions


def _why(question: Sequence[_Group], min_score: float) -> Iterator[Line]:
    pair = question[0].doubtful
    yield _note(shown(pair.why) or f"its score is below {min_score:g}, and nothing else speaks against it")
    members = [member for group in question for member in group.members]
    if len(members) == 1:
        others = [(other, _holder(other.taken_by)) for other in pair.alternatives[:1]]
        yield from (_note(f"or {other.score:.2f}  {shown(other.source)}{holder}") for other, holder in others)
        return
    found = ways(members, {member.target: member.source for member in members}, most=1)
    if found and len(found[0].sources) == len(members):
        way = found[0]
        spans = ((shown(way.name), ""),) if way.exchange else renamed(way.name, pattern(way.sources))
        holders = {other.source: other.taken_by for member in members for other in member.alternatives}
        holder = next((who for name in way.sources.values() if (who := holders.get(name))), None)
        holder = None if holder in way.sources else holder
        text = "".join(text for text, _ in spans)
        yield _note(f"or {way.score:.2f}  {text} for all {len(members):,}{_holder(holder)}")
    elif pair.alternatives:
        other = pair.alternatives[0]
        yield _note(f"or {other.score:.2f}  {shown(other.source)}{_holder(other.taken_by)}")
        yield _note(f"         for {shown(pair.target)} alone")


def _holder(target: str | None) -> str:
    return f", taken by {shown(target)}" if target else ""


def _rejected(plan: Plan, most: int | None, whole: bool) -> Iterator[Line]:
    groups = _groups(plan, "reject")
    if groups:
        count = sum(len(group.members) for group in groups)
        yield from _head(f"Rejected: {_many(count, 'variable')} stay as initialised", columns=True)
        for group in groups[:most]:
            yield _row(group, whole=whole)
        yield from _rest(groups, most)


def _folded(entries: Iterable[tuple[str, str]], types: Mapping[str, str]) -> Iterator[Line]:
    """A line a fold of names; their type, where all have the same."""
    folded = fold_names(entries)
    width = min(40, max((len(shown(entry.pattern)) for entry in folded), default=0))
    for entry in folded:
        text = f"{shown(entry.pattern):<{width}}   "
        found = {types.get(name, "") for name in entry.names}
        kind = f"{found.pop()}   ".lstrip() if len(found) == 1 else ""
        yield Line(f"  {'':>4} {entry.count:>5}  ", ((text, ""), (kind + shown(entry.why), "dim")))


def _no_counterpart(plan: Plan) -> Iterator[Line]:
    if plan.unmatched:
        stay = "stays" if len(plan.unmatched) == 1 else "stay"
        yield from _head(f"No counterpart: {_many(len(plan.unmatched), 'variable')} {stay} as initialised")
        yield from _folded(((entry.target, entry.why) for entry in plan.unmatched), {})
        for suggestion in plan.suggestions:
            sources = " + ".join(shown(source) for source in suggestion.sources)
            yield line(
                f"{shown(suggestion.target)} could be made: {shown(suggestion.how)} of {sources}",
                left=" " * 9,
            )


def _not_used(plan: Plan) -> Iterator[Line]:
    if plan.unused:
        total = _many(plan.source.tensors, "tensor")
        yield from _head(f"Not used: {len(plan.unused):,} of {total} of the source")
        types = {entry.source: entry.type for entry in plan.unused}
        yield from _folded(((entry.source, entry.why) for entry in plan.unused), types)


# What apply writes for whoever reads the target's format.
_WRITTEN_AS = {
    "keras-h5": "keras-h5",
    "keras-weights": "keras-h5",
    "npz": "npz",
    "pickle": "npz",
    "safetensors": "safetensors",
    "torch": "safetensors",
}


def _code(plan: Plan) -> str:
    """The plainest export that can do what the plan asks for: a Saver only renames, its builder reshapes."""
    transforms = {pair.transform for pair in plan.accepted}
    if any("cast" in transform for transform in transforms) or plan.target.format in _WRITTEN_AS:
        return "json"
    shared = len({pair.source for pair in plan.accepted}) < len(plan.accepted)
    return "saver_builder" if shared or not transforms <= {"identity"} else "var_list"


# Columns that a command may take if a terminal of 80 is to show what it does beside it.
MOST_ALIGNED = 48


def next_steps(plan: Plan, path: str | None, *, names_only: bool = False) -> Iterator[Line]:
    """Where the plan is, and the commands that follow.

    names_only: the source has no values to write; whoever applies the plan says where they are.
    """
    if path is None:
        return
    import shlex

    name = shlex.quote(path)
    yield line(f"Saved the plan to {shown(path)}. Nothing has been restored.")
    yield line()
    commands = []
    if waiting := plan.counts.undecided:
        answers = _many(decisions(plan), "question")
        commands.append((f"automatch review {name}", f"decide the {waiting:,} ({answers}), in the browser"))
        first = _questions(plan)[0][0]
        what = f"'#{first.rule.id}'" if first.rule else shlex.quote(first.members[0].target)
        commands.append((f"automatch show {name} {what}", "why, and what else it could be"))
    table = next((rule for rule in plan.rules if rule.pairs > 1 and is_table(rule.from_, rule.to)), None)
    if table:
        commands.append((f"automatch show {name} '#{table.id}'", "the names in its table"))
    to = _WRITTEN_AS.get(plan.target.format)
    kind, option = (to, f" --to {to}") if to else ("a checkpoint", "")
    option += " --source CHECKPOINT" if names_only else ""
    option += " --skip-undecided" if waiting else ""
    commands.append((f"automatch apply {name}{option} -o OUT", f"write {kind} with the target's names"))
    commands.append((f"automatch export {name} --as {_code(plan)}", "or code to paste"))
    # Where the comments would stand far to the right, each follows its command.
    width = max(len(command) for command, _ in commands)
    for command, text in commands:
        padded = f"{command:<{width}}" if width <= MOST_ALIGNED else command
        yield Line("    ", ((shown(f"{padded}  "), ""), (f"# {text}", "dim")))

"""The review in the terminal: the same questions as on the page, the same keys, one line an answer."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TextIO

from automatch.errors import AutomatchError
from automatch.plan import Decision, Pair, Plan, RuleRecord
from automatch.report.groups import groups, pattern, titled
from automatch.report.lines import Span, shown
from automatch.report.notation import notation, renamed
from automatch.report.ways import Way, ways
from automatch.review.answers import Answer
from automatch.review.choices import rivals, swapped
from automatch.review.session import Session, summary

__all__ = ["review"]

_HELP = """\
y      accept and go on (a space does the same)
n      none: leave as initialised, and go on
1-9    take another source; asks before it takes one that is in use
s      split: answer for each variable by itself
u      take the last answer back, without limit
j k    next, previous question that is still open
J K    next, previous question of any kind
/TEXT  only questions with TEXT in a name; / alone shows all again
Y N    accept, refuse all questions that are open and in sight
r      keep what is decided, match the rest again
w      save, and stay
q      save, and end (so does the end of the input); Ctrl-C ends without saving
?      these keys
"""


def review(
    plan_path: str | os.PathLike[str], *, lines: TextIO | None = None, out: TextIO | None = None
) -> Plan:
    """The plan as it is on disk after a person has answered its questions in the terminal.

    lines: where the answers come from, one a line; left out, stdin.
    out: where the questions go; left out, stdout.

    Raises:
        UnreadableFile, PlanError, PlanConflict: the plan cannot be loaded.
        UnwritableFile: it cannot be written; the old one is as it was.
    """
    dialogue = _Dialogue(Session(plan_path), lines or sys.stdin, out or sys.stdout)
    try:
        dialogue.run()
    except KeyboardInterrupt:
        dialogue.say("\nNothing more was saved.")
    dialogue.say(f"{dialogue.session.path}: {summary(dialogue.session.plan)}")
    return dialogue.session.plan


# Of more rules than this, one line has to say enough.
_RULES = 6


def _rule(rule: RuleRecord, pairs: list[Pair]) -> tuple[Span, ...]:
    if len(pairs) == 1:
        return renamed(pairs[0].source, pairs[0].target)
    return (*notation(rule.from_, rule.to), (f"   {len(pairs)}", "dim"))


@dataclass(frozen=True)
class _State:
    """All that an answer changes, so that taking it back is going to the state before."""

    plan: Plan
    base: int
    now: dict[str, str | None]
    decisions: dict[str, Decision]
    questions: tuple[tuple[int, ...], ...]
    at: int = 0


class _Dialogue:
    def __init__(self, session: Session, lines: TextIO, out: TextIO) -> None:
        self.session = session
        self.lines = lines
        self.out = out
        self.filter = ""
        self.earlier: list[_State] = []
        base = session.data()["base"]
        self.state = self._begin(session.plan, base)
        self.keys: dict[str, Callable[[], None]] = {
            "y": partial(self._decide, "accept"),
            " ": partial(self._decide, "accept"),
            "n": partial(self._decide, "reject"),
            "Y": partial(self._decide_all, "accept"),
            "N": partial(self._decide_all, "reject"),
            "s": self._split,
            "u": self._undo,
            "r": self._again,
            "w": self._save,
            "?": partial(self.say, _HELP),
            "j": partial(self._go, 1, open_only=True),
            "k": partial(self._go, -1, open_only=True),
            "J": partial(self._go, 1),
            "K": partial(self._go, -1),
        }

    def _begin(self, plan: Plan, base: int) -> _State:
        now: dict[str, str | None] = {pair.target: pair.source for pair in plan.pairs}
        decisions = {pair.target: pair.decision for pair in plan.pairs}
        questions = tuple(group.members for group in groups(plan) if group.kind == "ask")
        state = _State(plan, base, now, decisions, questions)
        first = next((i for i, question in enumerate(questions) if self._open(state, question)), 0)
        return replace(state, at=first)

    def run(self) -> None:
        """Asks until the person, or the input, says it is enough; then saves."""
        if not self.state.questions:
            self.say("There is nothing to decide in this plan.")
            return
        shown = None
        while True:
            if shown is not self.state:
                self._show()
                shown = self.state
            line = self._read(self._prompt())
            if line is None or line == "q":
                self._save()
                return
            self._obey(line)

    def _obey(self, line: str) -> None:
        if line.startswith("/"):
            self._search(line[1:].strip())
        elif len(line) == 1 and line in "123456789":
            self._take(int(line))
        elif line in self.keys:
            self.keys[line]()
        elif line:
            self.say(f"'{shown(line)}' is no answer here. ? shows the keys.")

    def say(self, text: str) -> None:
        self.out.write(text.rstrip("\n") + "\n")
        self.out.flush()

    def _read(self, prompt: str) -> str | None:
        self.out.write(prompt)
        self.out.flush()
        line = self.lines.readline()
        if not line:
            self.out.write("\n")
            return None
        line = line.rstrip("\r\n")
        return line if line == " " else line.strip()

    # What is asked

    def _question(self) -> list[Pair]:
        return [self.state.plan.pairs[i] for i in self.state.questions[self.state.at]]

    def _open(self, state: _State, question: tuple[int, ...]) -> bool:
        return any(state.decisions[state.plan.pairs[i].target] == "undecided" for i in question)

    def _in_sight(self, question: tuple[int, ...]) -> bool:
        if not self.filter:
            return True
        pairs = (self.state.plan.pairs[i] for i in question)
        return any(self.filter in shown(f"{pair.source} {pair.target}").lower() for pair in pairs)

    def _prompt(self) -> str:
        pairs = self._question()
        if not any(self._open(self.state, question) for question in self.state.questions):
            return "nothing is left to decide [q,u,J,K,r,?]? "
        what = "load this one" if len(pairs) == 1 else f"load these {len(pairs)}"
        count = len(ways(pairs, self.state.now))
        numbers = [] if not count else ["1"] if count == 1 else [f"1-{count}"]
        split = ["s"] if len(pairs) > 1 else []
        return f"{what} [{','.join(['y', 'n', *numbers, *split, *'ujkJK/rwq?'])}]? "

    def _show(self) -> None:
        pairs = self._question()
        worst = min(pairs, key=lambda pair: pair.score + pair.margin)
        count = "1 variable" if len(pairs) == 1 else f"{len(pairs)} variables"
        place = f"{self.state.at + 1} of {len(self.state.questions)}"
        figures = f"{worst.score:.2f}, margin {worst.margin:.2f}"
        self.say(f"\n{place}   {count}   {figures}   {self._standing(pairs)}".rstrip())
        for spans in self._titles(pairs):
            self.say("  " + "".join(text for text, _ in spans))
        if worst.why:
            width = min(100, shutil.get_terminal_size().columns)
            self.say(textwrap.fill(shown(worst.why), width, initial_indent="  ", subsequent_indent="  "))
        for i, way in enumerate(ways(pairs, self.state.now)):
            self.say(f"  {i + 1}  {way.score:.2f}  {shown(way.name)}{self._whose(way, len(pairs))}")

    def _titles(self, pairs: list[Pair]) -> list[tuple[Span, ...]]:
        """The rules of the question, where they are few and as proposed; else one line for all."""
        state = self.state
        kinds: dict[int | None, list[Pair]] = {}
        for pair in pairs:
            kinds.setdefault(pair.rule, []).append(pair)
        rules = [rule for rule in state.plan.rules if rule.id in kinds]
        as_proposed = all(state.now[pair.target] == pair.source for pair in pairs)
        if as_proposed and 1 < len(rules) == len(kinds) <= _RULES:
            return [_rule(rule, kinds[rule.id]) for rule in rules]
        names = [(source, pair.target) for pair in pairs if (source := state.now[pair.target])]
        targets = pattern(pair.target for pair in pairs)
        return [titled(names) if names else ((f"{shown(targets)}  <-  nothing", ""),)]

    def _standing(self, pairs: list[Pair]) -> str:
        """What was decided of these so far; nothing where all are open."""
        words = {"accept": "accepted", "reject": "refused", "undecided": "open"}
        state = self.state
        found = {words[state.decisions[p.target]] if state.now[p.target] else "no counterpart" for p in pairs}
        return "" if found == {"open"} else "/".join(sorted(found))

    def _whose(self, way: Way, size: int) -> str:
        others = [other for other, _ in rivals(way, self._holders())]
        some = f"   {len(way.sources)} of {size}" if len(way.sources) < size else ""
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        return some + (f"   taken by {shown(others[0])}{more}" if others else "")

    def _holders(self) -> dict[str, str]:
        state = self.state
        held = (
            (target, source) for target, source in state.now.items() if state.decisions[target] != "reject"
        )
        return {source: target for target, source in held if source}

    # What an answer does

    def _become(self, state: _State) -> None:
        self.earlier.append(self.state)
        self.state = state

    def _decide(self, decision: Decision) -> None:
        pairs = [pair for pair in self._question() if self.state.now[pair.target] is not None]
        undecided = [pair for pair in pairs if self.state.decisions[pair.target] == "undecided"]
        changed = {pair.target: decision for pair in undecided or pairs}
        self._become(replace(self.state, decisions={**self.state.decisions, **changed}))
        self._go(1, open_only=True, quiet=True)

    def _decide_all(self, decision: Decision) -> None:
        state = self.state
        seen = [state.plan.pairs[i].target for q in state.questions if self._in_sight(q) for i in q]
        changed = {target: decision for target in seen if state.decisions[target] == "undecided"}
        self._become(replace(state, decisions={**state.decisions, **changed}))
        self.say(f"{len(changed)} variables {'accepted' if decision == 'accept' else 'left as initialised'}.")

    def _take(self, number: int) -> None:
        pairs, state = self._question(), self.state
        found = ways(pairs, state.now)
        if number > len(found):
            self.say(f"There is no alternative {number}.")
            return
        way, holders = found[number - 1], self._holders()
        taken = rivals(way, holders)
        swap = self._swap(taken) if taken else False
        if swap is None:
            return
        after = swapped(way, state.now, holders, swap=swap)
        decisions: dict[str, Decision] = {t: "accept" if source else "reject" for t, source in after.items()}
        self._become(replace(state, now={**state.now, **after}, decisions={**state.decisions, **decisions}))
        self._go(1, open_only=True, quiet=True)

    def _swap(self, taken: list[tuple[str, str]]) -> bool | None:
        other, target = taken[0]
        more = f" and {len(taken) - 1} more like it" if len(taken) > 1 else ""
        instead = shown(self.state.now[target] or "nothing")
        self.say(f"  {shown(other)} has it{more}. y: swap, so that it gets {instead}")
        self.say("  n: take it, and leave the other without; anything else: leave all as it is")
        answer = self._read("  swap [y,n]? ")
        return {"y": True, "n": False}.get(answer or "")

    def _split(self) -> None:
        state = self.state
        question = state.questions[state.at]
        if len(question) == 1:
            self.say("This is one variable already.")
            return
        before, behind = state.questions[: state.at], state.questions[state.at + 1 :]
        self._become(replace(state, questions=(*before, *((i,) for i in question), *behind)))

    def _undo(self) -> None:
        if not self.earlier:
            self.say("There is nothing to take back.")
            return
        self.state = self.earlier.pop()

    def _search(self, text: str) -> None:
        self.filter = text.lower()
        if self.filter and not any(self._in_sight(question) for question in self.state.questions):
            self.say(f"No question has '{shown(text)}' in a name.")
            self.filter = ""
        elif not self._in_sight(self.state.questions[self.state.at]):
            self._go(1)

    def _go(self, step: int, *, open_only: bool = False, quiet: bool = False) -> None:
        questions, size = self.state.questions, len(self.state.questions)
        for n in range(1, size + 1):
            at = (self.state.at + step * n) % size
            if self._in_sight(questions[at]) and (not open_only or self._open(self.state, questions[at])):
                self.state = replace(self.state, at=at)
                return
        if not quiet:
            self.say("Nothing else to decide here.")

    # What becomes of it

    def _answers(self) -> list[Answer]:
        state = self.state
        first = {pair.target: pair for pair in state.plan.pairs}
        return [
            Answer(target, source, state.decisions[target])
            for target, source in state.now.items()
            if source != first[target].source or state.decisions[target] != first[target].decision
        ]

    def _save(self) -> None:
        self.say(self.session.save(self.state.base, self._answers()))

    def _again(self) -> None:
        try:
            data = self.session.solve(self.state.base, self._answers())
        except AutomatchError as error:
            self.say(f"Not matched again: {error}")
            return
        self.say(f"{len(data['moved'])} variables have another source now, or none.")
        self._become(self._begin(self.session.plan_of(data["base"]), data["base"]))

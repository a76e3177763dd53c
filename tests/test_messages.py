"""Errors: what is so, with both sides named; then what to do."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

import automatch
from automatch.errors import AutomatchError
from automatch.export import export
from automatch.plan import Plan
from automatch.planfile import decode
from automatch.saver import SaverBuilder
from plan_cases import listing, pair, plan

SOURCE, TARGET = listing("a/w", "a/b"), listing("x/w", "x/b", path="graph.meta")


def proposed() -> Plan:
    return automatch.suggest(SOURCE, TARGET, pairs={"x/w": "a/w", "x/b": "a/b"})


MESSAGES: dict[str, Callable[[], object]] = {
    "min_score is 1.2, and scores lie between 0 and 1. Take 0.8, for instance.": lambda: automatch.suggest(
        SOURCE, TARGET, min_score=1.2
    ),
    "the target has no 'x/ww'. Did you mean 'x/w', 'x/b'?": lambda: automatch.suggest(
        SOURCE, TARGET, pairs={"x/ww": "a/w"}
    ),
    "the source has no 'zzzzz'. 'automatch inspect FILE' lists the names.": lambda: automatch.suggest(
        SOURCE, TARGET, pairs={"x/w": "zzzzz"}
    ),
    "'x/w' is given a source and excluded by 'x/*'. Leave one of them out.": lambda: automatch.suggest(
        SOURCE, TARGET, pairs={"x/w": "a/w"}, exclude=["x/*"]
    ),
    "the plan was made for other variables: 'graph.meta' has 1 that the plan has not seen, 'x/v f32[2,3]'; "
    "'graph.meta' lacks 1 that the plan names, 'x/b'. "
    "'automatch suggest model.ckpt graph.meta' makes a new plan.": lambda: proposed().check(
        SOURCE, listing("x/w", "x/v", path="graph.meta")
    ),
    "'a/b' is taken by 'x/b'. Pass swap=True to exchange the two.": lambda: proposed().take("x/w", "a/b"),
    "the plan has no rule #7, only 1 rules. 'automatch show PLAN' lists them.": lambda: plan(
        [pair("a", "b")]
    ).decide("#7", "accept"),
    "'plan' is no plan: input data was truncated. "
    "Correct it by hand, or make it anew with 'automatch suggest'.": lambda: decode("{"),
    "a var_list can only rename, and 'a' becomes 'b' by 'transpose:1,0'. "
    "Export a saver_builder, use automatch.restore, or reject the pair.": lambda: export(
        plan([pair("a", "b", transform="transpose:1,0")]), "var_list"
    ),
    "'a' becomes 'b' by 'identity+cast', which converts to float32. "
    "Pass cast=True, or reject the pair to leave it out.": lambda: SaverBuilder(
        plan([pair("a", "b", transform="identity+cast")])
    ),
}


@pytest.mark.parametrize("message", MESSAGES)
def test_errors_say_what_is_so_and_what_to_do(message: str) -> None:
    with pytest.raises(AutomatchError) as caught:
        MESSAGES[message]()
    assert str(caught.value) == message


def test_errors_name_five_and_count_the_rest() -> None:
    many = listing(*(f"v{i}" for i in range(30)), path="graph.meta")
    with pytest.raises(AutomatchError) as caught:
        proposed().check(SOURCE, many)
    assert "and 25 more" in str(caught.value)


def test_names_in_errors_are_harmless() -> None:
    with pytest.raises(AutomatchError) as caught:
        proposed().check(SOURCE, listing("x\x1b[31m", "y\u202e", path="graph.meta"))
    assert not re.search("[\x1b\u202e]", str(caught.value))

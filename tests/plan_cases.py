"""Listings and plans for tests: from the truths of the corpus, or made by hand."""

from __future__ import annotations

import random
from collections.abc import Iterable
from functools import cache

import msgspec

from automatch.plan import Alternative, Options, Pair, Plan, RuleRecord, Side, Unmatched, Unused
from automatch.rules import Mark, fold
from automatch.tensor import Listing, Shape, Tensor
from benchmarks.corpus import LISTINGS, cases

EVIDENCE = (("leaf name", 0.26), ("scope path", 0.32))


def listing(*names: str, path: str = "model.ckpt", shape: Shape = (2, 3), dtype: str = "float32") -> Listing:
    return Listing(tuple(Tensor(name, shape, dtype) for name in names), path=path)


@cache
def truth(name: str) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...], tuple[str, ...]]:
    """The true `(source, target)` pairs of a corpus case, all source names and all target names."""
    case = next(case for case in cases(only=[name]) if case.name == name)
    targets = [tensor.name for tensor in case.listing("target").tensors]
    sources = [tensor.name for tensor in case.listing("source").tensors]
    known = case.data["truth"]
    pairs = [(known[target]["source"], target) for target in targets if target in known]
    return tuple(pairs), tuple(sources), tuple(targets)


def pair(source: str, target: str, **changes: object) -> Pair:
    plain = Pair(target, source, (2, 3), "float32", "identity", 0.97, 0.4, None, "accept", "score")
    return msgspec.structs.replace(plain, **changes)


def doubtful(source: str, target: str, **changes: object) -> Pair:
    plain = {
        "score": 0.58,
        "margin": 0.03,
        "decision": "undecided",
        "evidence": EVIDENCE,
        "alternatives": (Alternative(f"{source}_other", 0.41),),
        "why": "only shape and order speak for it",
    }
    return pair(source, target, **{**plain, **changes})


def plan(pairs: Iterable[Pair], unmatched: Iterable[Unmatched] = (), unused: Iterable[Unused] = ()) -> Plan:
    """A plan with these entries, its rules folded and everything counted."""
    pairs, unmatched, unused = list(pairs), tuple(unmatched), tuple(unused)
    sources = {entry.source for entry in pairs}
    rules = fold(
        [(entry.source, entry.target) for entry in pairs],
        [entry.source for entry in unused],
        [entry.target for entry in unmatched],
        [(entry.decision, entry.group) for entry in pairs],
        [Mark("accepted") if entry.decision == "accept" else None for entry in pairs],
    )
    records = []
    for number, rule in enumerate(rules, start=1):
        records.append(RuleRecord(number, *rule.pattern.text(), len(rule.members)))
        for member in rule.members:
            pairs[member] = msgspec.structs.replace(pairs[member], rule=number)
    return Plan(
        made_by="automatch 0.1.0",
        source=Side("model.ckpt", "tf-checkpoint", len(sources) + len(unused), "sha256:0"),
        target=Side("graph.meta", "tf-meta", len(pairs) + len(unmatched), "sha256:1"),
        options=Options(),
        rules=tuple(records),
        pairs=tuple(pairs),
        unmatched=unmatched,
        unused=unused,
    )


def true_plan(name: str, *, doubts: int = 0) -> Plan:
    """The plan that a perfect matcher would make of a corpus case; so many of the pairs left to decide."""
    case = next(case for case in cases(only=[name]) if case.name == name)
    known, used = case.data["truth"], set()
    pairs, unmatched = [], []
    chosen = set(random.Random(0).sample(sorted(known), doubts))
    for tensor in case.listing("target").tensors:
        if tensor.name not in known:
            unmatched.append(
                Unmatched(tensor.name, tensor.shape, tensor.dtype, "no tensor left has this shape")
            )
            continue
        source, transform = known[tensor.name]["source"], known[tensor.name].get("transform", "identity")
        make = doubtful if tensor.name in chosen else pair
        more = {"shape": tensor.shape, "dtype": tensor.dtype, "transform": transform}
        pairs.append(make(source, tensor.name, tied=source in used, **more))
        used.add(source)
    tied = {entry.source for entry in pairs if entry.tied}
    pairs = [msgspec.structs.replace(entry, tied=entry.source in tied) for entry in pairs]
    left = [tensor.name for tensor in case.listing("source").tensors if tensor.name not in used]
    return plan(pairs, unmatched, [Unused(name, "no target takes it") for name in left])


__all__ = ["LISTINGS", "doubtful", "listing", "pair", "plan", "true_plan", "truth"]

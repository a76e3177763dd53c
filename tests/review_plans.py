"""Plans to review, with the listings they were made from on disk beside them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from automatch.plan import Alternative, Options, Pair, Plan, RuleRecord, Side, Unmatched, Unused
from automatch.read.listing import dumps
from automatch.tensor import Listing, Shape, Tensor

LAYERS = 12
EVIDENCE = (("leaf name", 0.26), ("scope path", 0.11), ("position", 0.22), ("shape", 0.2))


def pair(source: str, target: str, shape: Shape, **more: object) -> Pair:
    fields = {
        "target": target,
        "source": source,
        "shape": shape,
        "dtype": "float32",
        "transform": "identity",
        "score": 0.97,
        "margin": 0.4,
        "rule": None,
        "decision": "accept",
        "by": "score",
    }
    return Pair(**{**fields, **more})  # type: ignore[arg-type]


def doubtful(
    source: str, target: str, shape: Shape, group: str, *others: tuple[str, str], **more: object
) -> Pair:
    """An undecided pair; others are `(source, target that has it)` runners-up."""
    alternatives = tuple(
        Alternative(name, 0.7 - i / 10, holder or None) for i, (name, holder) in enumerate(others)
    )
    fields = {
        "score": 0.79,
        "margin": 0.09,
        "decision": "undecided",
        "group": group,
        "alternatives": alternatives,
        "evidence": EVIDENCE,
        "why": "Nothing but the neighbours tells these apart.",
    }
    return pair(source, target, shape, **{**fields, **more})


def write(
    folder: Path,
    pairs: Iterable[Pair],
    *,
    unmatched: Iterable[Unmatched] = (),
    unused: Iterable[tuple[str, Shape]] = (),
    rules: Iterable[RuleRecord] = (),
) -> Path:
    """The path of a plan with these entries, its two listings beside it."""
    pairs, unmatched, unused = tuple(pairs), tuple(unmatched), tuple(unused)
    sources = [Tensor(p.source, p.shape, p.dtype) for p in pairs] + [
        Tensor(n, s, "float32") for n, s in unused
    ]
    targets = [Tensor(p.target, p.shape, p.dtype) for p in (*pairs, *unmatched)]
    plan = Plan(
        made_by="automatch",
        source=_side(folder / "model.json", sources),
        target=_side(folder / "graph.json", targets),
        options=Options(),
        rules=tuple(rules),
        pairs=pairs,
        unmatched=unmatched,
        unused=tuple(Unused(name, "no variable has this shape") for name, _ in unused),
    )
    return plan.save(folder / "model.plan.json")


def _side(path: Path, tensors: list[Tensor]) -> Side:
    listing = Listing(tuple(tensors), order="creation", path=str(path))
    path.write_text(dumps(listing))
    return Side(str(path), "listing", len(listing), listing.fingerprint)


def encoder(folder: Path) -> Path:
    """300 variables, 6 of them without counterpart: 12 layers of 24, and three questions about 25 of them."""
    kept = ["attention/value", "attention/output", "intermediate", "output", "LayerNorm_1", "LayerNorm_2"]
    kept += [f"adapter_{i}" for i in range(5)]
    pairs, rules = [], []
    for number, part in enumerate(kept, 1):
        rules.append(
            RuleRecord(number, f"bert/encoder/layer_*/{part}/*", f"tower/block*/{part}/*", 2 * LAYERS)
        )
    for layer in range(LAYERS):
        old, new = f"bert/encoder/layer_{layer}", f"tower/block{layer}"
        for number, part in enumerate(kept, 1):
            for leaf, shape in (("kernel", (64, 32 + number)), ("bias", (32 + number,))):
                pairs.append(pair(f"{old}/{part}/{leaf}", f"{new}/{part}/{leaf}", shape, rule=number))
        for mine, other in (("query", "key"), ("key", "query")):
            rival = (f"{old}/attention/{other}", f"{new}/attention/{other}")
            pairs.append(
                doubtful(f"{old}/attention/{mine}", f"{new}/attention/{mine}", (64, 64), mine, rival)
            )
    pairs.append(
        doubtful("bert/mean", "tower/shift", (3,), "shift", ("bert/deviation", ""), score=0.55, margin=0.02)
    )
    pairs += [pair(f"bert/extra_{i}", f"tower/extra_{i}", (i + 2,), score=0.85) for i in range(5)]
    unmatched = [
        Unmatched(f"head/logits_{i}", (7, i + 1), "float32", "no tensor has this shape") for i in range(6)
    ]
    return write(folder, pairs, unmatched=unmatched, unused=[("bert/deviation", (3,))], rules=rules)

"""The matches of a few members of each orbit extended to all of them.

Comparing the ranks of matched members shows which axis of the source each axis of the target is:

    target  layer_#/expert_#/up     (0, 0) (0, 255) (59, 0)     ranks of members that are matched
    source  experts.#.block.#.w1    (0, 0) (255, 0) (0, 59)     so the first axis is the second there

Axes of one length correspond rank by rank, others number by number. Where the matched members contradict
each other, nothing is extended, and they are in doubt themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from automatch.matching import Match
from automatch.orbits import Axis, Orbits, Ranks

__all__ = ["spread"]

_DOUBTED = 0.6
_DOUBT = "the rest of its row has another counterpart, or none"
_BROKEN = "the members of its row that were compared do not agree on a counterpart of the row"
_ABSENT = "its row has a counterpart, which has no member at this place"
_TAKEN = "the source at this place of its row's counterpart is taken or was refused"

Members = Mapping[Ranks, int]
Found = dict[int, Match]


def spread(
    target: Orbits,
    source: Orbits,
    kept: Collection[int],
    found: Mapping[int, Match],
    decided: Mapping[int, int],
    refused: Collection[tuple[int, int]],
) -> tuple[Found, dict[int, str]]:
    """The matches of all variables by target, and why of those that were not compared some have none.

    kept: the target variables that were compared; found: what was found for them.
    decided: target -> source, pairs by a person, never doubted; refused: pairs that must not be made.
    """
    everything, why = dict(found), dict[int, str]()
    compared, by_source = set(kept), source.members()
    uses = Counter(match.source for match in found.values())
    claims: list[_Claim] = []
    for members in target.members().values():
        matched = {ranks: found[t] for ranks, t in members.items() if t in found}
        if not matched:
            continue
        row = _row(target, source, by_source, members, matched)
        rest = {ranks: t for ranks, t in members.items() if t not in compared}
        if row is None or not _holds(row, members, compared, matched):
            everything |= {t: _doubted(found[t]) for t in members.values() if t in found and t not in decided}
            why |= dict.fromkeys(rest.values(), _BROKEN)
            continue
        pattern = min(matched.values(), key=lambda match: (match.score, match.margin))
        tied = all(uses[match.source] > 1 for match in matched.values())
        for ranks, t in rest.items():
            s = row.counterpart(ranks)
            if source.of.get(decided.get(t, -1)) == source.of[pattern.source]:
                s = decided[t]
            if s is None:
                why[t] = _ABSENT
            else:
                claims.append(_Claim(t, s, pattern, tied))
    for claim in _granted(claims, uses, decided, refused):
        everything[claim.target] = replace(
            claim.pattern, target=claim.target, source=claim.source, runners_up=()
        )
    why |= {claim.target: _TAKEN for claim in claims if claim.target not in everything}
    return everything, why


@dataclass(frozen=True, slots=True)
class _Claim:
    """A pair that a row predicts; the pattern is the row's weakest match.

    tied: whether the matches of the row share their sources with another row (a copy of a tower).
    """

    target: int
    source: int
    pattern: Match
    tied: bool


def _granted(
    claims: Sequence[_Claim],
    uses: Mapping[int, int],
    decided: Mapping[int, int],
    refused: Collection[tuple[int, int]],
) -> Iterator[_Claim]:
    """The claims of a person, and those whose source nobody else has or claims, or shares by nature."""
    promised = {s: t for t, s in decided.items()}
    wanted = Counter(claim.source for claim in claims if not claim.tied)
    for claim in claims:
        owner = promised.get(claim.source)
        alone = wanted[claim.source] <= 1 and claim.source not in uses and owner is None
        free = (claim.tied or alone) and (claim.target, claim.source) not in refused
        if owner == claim.target or free:
            yield claim


@dataclass(frozen=True, slots=True)
class _Row:
    """A target orbit and the source orbit that corresponds to it.

    along: for each axis of the source, the axis of the target that it is and the rank for each rank there.
    """

    there: Members
    along: tuple[tuple[int, Mapping[int, int]], ...]

    def counterpart(self, ranks: Ranks) -> int | None:
        """The source variable for the target's at these ranks."""
        moved = tuple(step.get(ranks[axis], -1) for axis, step in self.along)
        return self.there.get(moved)


def _row(
    target: Orbits,
    source: Orbits,
    by_source: Mapping[int, Members],
    members: Members,
    matched: Mapping[Ranks, Match],
) -> _Row | None:
    """The row that the matched members show; None where they show none or more than one."""
    orbits = {source.of.get(match.source) for match in matched.values()}
    orbit = orbits.pop()
    if orbits or orbit is None:
        return None
    axes_t = target.axes[target.of[next(iter(members.values()))]]
    axes_s = source.axes[orbit]
    if len(axes_t) != len(axes_s):
        return None
    pairs = [(ranks, source.ranks[match.source]) for ranks, match in matched.items()]
    along = []
    for at, axis_s in enumerate(axes_s):
        steps = [(i, _step(axis_t, axis_s)) for i, axis_t in enumerate(axes_t)]
        fitting = [(i, step) for i, step in steps if all(step.get(t[i]) == s[at] for t, s in pairs)]
        if len(fitting) != 1:
            return None
        along.append(fitting[0])
    if len({i for i, _ in along}) < len(axes_t):
        return None
    return _Row(by_source.get(orbit, {}), tuple(along))


def _step(target: Axis, source: Axis) -> dict[int, int]:
    """Which rank of the source goes with each rank of the target; empty where nothing says so."""
    if len(target) == len(source):
        shifts = {t - s for t, s in zip(target.values, source.values, strict=True)}
        # Where both have gaps, and not the same ones, the numbers mean something else than a place.
        if len(shifts) == 1 or _gapless(target) or _gapless(source):
            return {rank: rank for rank in range(len(target))}
        return {}
    rank_of = {value: rank for rank, value in enumerate(source.values)}
    return {rank: rank_of[value] for rank, value in enumerate(target.values) if value in rank_of}


def _gapless(axis: Axis) -> bool:
    return axis.values[-1] - axis.values[0] == len(axis) - 1


def _holds(row: _Row, members: Members, compared: Collection[int], matched: Mapping[Ranks, Match]) -> bool:
    """Whether the row gives each compared member the match it has, or none where it has none."""
    return all(
        row.counterpart(ranks) == (matched[ranks].source if ranks in matched else None)
        for ranks, t in members.items()
        if t in compared
    )


def _doubted(match: Match) -> Match:
    """The match with a score that nobody takes for sure; the last part of its evidence tells the rest."""
    less = max(0.0, match.score - _DOUBTED)
    evidence = match.evidence
    if evidence:
        label, value = evidence[-1]
        evidence = (*evidence[:-1], (label, value - less))
    return replace(
        match, score=match.score - less, margin=match.margin - less, evidence=evidence, doubt=_DOUBT
    )

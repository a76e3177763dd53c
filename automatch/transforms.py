"""Which of several transforms a pair means: one decision for all kernels of a model, not one a tensor.

A square kernel fits transposed and as it is. The kernels that leave no choice vote, those with the same words
first, then those of the same part of the model, then all of the same rank; embeddings vote apart, since
frameworks agree on them. Pairs that a person names are decided by the same vote.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from automatch.describe import Features, describe
from automatch.layout import convention, flattened
from automatch.shapes import OptionKind, Options, fitting, is_vector, named, squeezed
from automatch.tensor import Listing, Shape

__all__ = ["Chosen", "choose", "settle"]

Key = tuple[object, ...]

_UNSHOWN = "the shape does not show whether the kernel is transposed, and other kernels disagree"
_BARE = "a parameter of one's own may be used transposed or not"
_IMAGE = "its inputs may be a flattened image, which the two frameworks flatten in different orders"
_UNKNOWN = "no layer's layout is known for a parameter of this kind and rank"

# One head that is kept in another layout does not bring all square kernels into doubt.
_MAJORITY, _FEW = 0.9, 3
_VECTORS = frozenset(("bias", "offset", "mean", "variance"))


@dataclass(frozen=True, slots=True)
class Chosen:
    """The transform of a pair, and what brings it into doubt."""

    text: str
    doubt: str = ""


def choose(target: Features, source: Features, pairs: Iterable[tuple[int, int]]) -> dict[int, Chosen]:
    """Target index -> its transform, for (target, source) pairs that some transform fits."""
    chosen: dict[int, Chosen] = {}
    votes: dict[Key, Counter[OptionKind]] = defaultdict(Counter)
    open_pairs: list[tuple[int, int, Options]] = []
    images = _images(target, source)
    for t, s in pairs:
        ways = _ways(target, source, t, s)
        if len(ways) == 1 or is_vector(target.tensors[t].shape) or is_vector(source.tensors[s].shape):
            doubt = _own_doubt(target, source, t, s, ways[0], images)
            chosen[t] = Chosen(_cast(ways[0][0], target, source, t, s), doubt)
            if len(ways) == 1 and not _loose(target, source, t, s):
                for key in _keys(target, source, t, s):
                    votes[key][ways[0][1]] += 1
        else:
            open_pairs.append((t, s, ways))
    for t, s, ways in open_pairs:
        electorates = [votes[key] for key in _keys(target, source, t, s)]
        if (target.roles[t] or source.roles[s]) and not _own(target, t) and not _own(source, s):
            text, sure = _elect(ways, electorates, _default(target, source, t, s))
            # A kernel is transposed and an embedding is not; who calls it which?
            sure = sure and {target.roles[t], source.roles[s]} != {"kernel", "embedding"}
            doubt = _UNSHOWN
        else:
            # What is no layer's kernel is kept as its author likes: only its namesakes know how.
            text, sure = _elect(ways, electorates[:1], "keep")
            sure = sure and bool(electorates[0])
            doubt = _BARE
        chosen[t] = Chosen(_cast(text, target, source, t, s), "" if sure else doubt)
    return chosen


def settle(
    target: Listing, source: Listing, decided: Mapping[int, int], others: Mapping[int, int]
) -> dict[int, Chosen]:
    """Target index -> its transform, for the pairs that a person names; the other pairs vote.

    Raises UsageError: nothing turns one shape into the other.
    """
    wanted, given = describe(target, range(len(target))), describe(source, range(len(source)))
    voters = {
        t: s
        for t, s in others.items()
        if fitting(source.tensors[s], target.tensors[t], source.framework, target.framework)
    }
    chosen = choose(wanted, given, {**voters, **decided}.items())
    return {t: chosen[t] for t in decided}


def _images(target: Features, source: Features) -> Mapping[Shape, int]:
    """The shapes of PyTorch's dense kernels behind a flattened image; none where both sides flatten alike."""
    torch = [side for side in (target, source) if convention(side.framework) == "torch"]
    return flattened([tensor.shape for tensor in torch[0].tensors]) if len(torch) == 1 else {}


def _own_doubt(
    target: Features,
    source: Features,
    t: int,
    s: int,
    way: tuple[str, OptionKind],
    images: Mapping[Shape, int],
) -> str:
    """What brings the only transform that fits into doubt."""
    shapes = target.tensors[t].shape or (), source.tensors[s].shape or ()
    if way[1] != "layout":
        return _BARE if _bare(target, source, t, s) else ""
    if len(shapes[0]) == len(shapes[1]) == 2:
        return _IMAGE if any(shape in images for shape in shapes) else ""
    return _UNKNOWN if {target.roles[t], source.roles[s]} & _VECTORS else ""


def _ways(target: Features, source: Features, t: int, s: int) -> Options:
    # What only a person would pair comes here because a person has.
    return named(source.tensors[s], target.tensors[t], source.framework, target.framework)


def _cast(text: str, target: Features, source: Features, t: int, s: int) -> str:
    return text if target.tensors[t].dtype == source.tensors[s].dtype else f"{text}+cast"


def _loose(target: Features, source: Features, t: int, s: int) -> bool:
    return is_vector(target.tensors[t].shape) or is_vector(source.tensors[s].shape)


def _bare(target: Features, source: Features, t: int, s: int) -> bool:
    """Whether a square parameter of PyTorch stands in a layer on one side only.

    `Linear` multiplies by its weight transposed, and a parameter of one's own is used as its author likes.
    """
    shape = target.tensors[t].shape or ()
    torch = {convention(side.framework) for side in (target, source)} == {"torch"}
    square = len(shape) == 2 and shape[0] == shape[1]
    return torch and square and {target.roles[t], source.roles[s]} == {"kernel", ""}


def _own(side: Features, i: int) -> bool:
    """Whether a parameter of PyTorch is one of a module's own: those of its layers are called weights."""
    words = side.names[i].atoms[side.names[i].leaf :]
    return convention(side.framework) == "torch" and not {"weight", "weights"} & set(words)


def _embeds(target: Features, source: Features, t: int, s: int) -> bool:
    return "embedding" in (target.roles[t], source.roles[s])


def _keys(target: Features, source: Features, t: int, s: int) -> Iterator[Key]:
    """Who votes on a pair, the closest first: same last words, same outermost scopes, same rank."""
    torch = source if convention(source.framework) == "torch" else target
    shape = torch.tensors[s if torch is source else t].shape or ()
    kernel = "kernel" in (target.roles[t], source.roles[s]) and not _own(target, t) and not _own(source, s)
    common = (len(squeezed(shape)) > 2, _embeds(target, source, t, s), kernel)
    yield (*common, target.words[t][-1:], source.words[s][-1:])
    yield (*common, target.names[t].components[0], source.names[s].components[0])
    yield common


def _default(target: Features, source: Features, t: int, s: int) -> OptionKind:
    same = convention(target.framework) == convention(source.framework)
    return "keep" if same or _embeds(target, source, t, s) else "layout"


def _elect(ways: Options, electorates: list[Counter[OptionKind]], default: OptionKind) -> tuple[str, bool]:
    """What the closest electorate that votes elects, and whether that is sure.

    A vote or two that the rest of the model outvotes may be an exception themselves, as a tied decoder is.
    """
    offered = {kind: text for text, kind in reversed(ways)}
    elected: list[tuple[OptionKind, int, bool]] = []
    for votes in electorates:
        counted = [(count, kind) for kind, count in votes.items() if kind in offered]
        if counted:
            count, kind = max(counted, key=lambda vote: (vote[0], vote[1]))
            elected.append((kind, count, count >= _MAJORITY * sum(number for number, _ in counted)))
    if not elected:
        return offered.get(default, ways[0][0]), default in offered and len(offered) == len(ways)
    kind, count, sure = elected[0]
    return offered[kind], sure and (count >= _FEW or kind == elected[-1][0])

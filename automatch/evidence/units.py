"""Which normalisation goes with which kernel, where no scope holds the two together.

conv2d_7/kernel       batch_normalization_7/gamma        rows that Keras numbers side by side
features.0.weight     features.1.weight                  what was created right after it
res2a/weights         bn2a/gamma                         what is named as it is, but for a word
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, pairwise, product

from automatch.describe import NORM_ROLES, Features, Path
from automatch.evidence.orders import layers_in_rows

__all__ = ["kernels_before", "units"]

_Unit = tuple[int, ...]
"""A kernel and the variables of a normalisation."""
_Row = Sequence[tuple[int, ...]]
"""The variables of each layer of a row, by number."""

# A kernel with its bias and the four variables of a normalisation; more is no unit.
_UNIT = 6
# The axis of a kernel that may hold what it gives.
_OUTPUTS = (-1, -2, 0)
# Share of the kernels that a row holds whose layers are looked at beside another row's.
_LONG = 0.15
# Share of the normalisations that stand right behind kernels where their place says which kernel is theirs.
_SHOWN = 0.75


def units(side: Features) -> Iterator[_Unit]:
    """Each kernel with the batch normalisation created right after it, or right before it throughout.

    Only these: before a kernel stands, in some codebases, the layer normalisation that belongs to the next.
    """
    possible = _possible(side)
    for norm, kernels in possible.items():
        if len(kernels) == 1:
            yield (kernels[0], *norm)
    told = {i: kernels for norm, kernels in possible.items() for i in norm}
    lists = _lists(side)
    for kernel, *others in _in_sequence(side) if side.sequence else _by_name(side):
        if all(i not in told or (len(told[i]) > 1 and kernel in told[i]) for i in others) and not any(
            _of_another_list(side, lists, kernel, i) for i in others
        ):
            yield (kernel, *others)


def kernels_before(target: Features, source: Features) -> tuple[dict[int, int], dict[int, int]]:
    """Each variable of a normalisation -> the kernel it goes with, if both sides show their layers.

    A PyTorch module may have all its convolutions first, and then all its normalisations.
    """
    found = []
    for side in (target, source):
        kernels = {i: kernel for kernel, *norm in units(side) for i in norm}
        means = [i for i, role in enumerate(side.roles) if role == "mean"]
        if not kernels or sum(i in kernels for i in means) < _SHOWN * len(means):
            return {}, {}
        found.append(kernels)
    return found[0], found[1]


def _possible(side: Features) -> dict[tuple[int, ...], tuple[int, ...]]:
    """The kernels that the normalisations of a row may have been created after."""
    found: dict[tuple[int, ...], tuple[int, ...]] = {}
    for kernels, norms in _rows_by_number(side):
        if norms[0] in found:
            continue  # the first kernels that fit are theirs
        shapes = [side.tensors[layer[0]].shape or (0,) for layer in kernels]
        outputs = ([shape[max(axis, -len(shape))] for shape in shapes] for axis in _OUTPUTS)
        widths = [side.sizes[norm[0]] for norm in norms]
        ranges = next(filter(None, (_ranges(one, widths) for one in outputs)), [])
        found |= {
            norm: tuple([kernel for kernel, *_ in kernels[places.start : places.stop]])
            for norm, places in zip(norms, ranges, strict=False)
        }
    return found


def _rows_by_number(side: Features) -> Iterator[tuple[_Row, _Row]]:
    """Rows of kernels and of normalisations that are not listed as they were created.

    Keras lists the layers of a model by their depth, so that what stands beside may be another branch's.
    """
    long = max(1, _LONG * sum(not vector for vector in side.vectors))
    every = layers_in_rows(side) if side.creation else []
    with_kernels = [row for row in every if not any(side.vectors[layer[0]] for layer in row)]
    kernels = [row for row in with_kernels if len(row) > long]
    rows = (row for row in every if len(row) > long)
    norms = [row for row in rows if all(side.roles[i] in NORM_ROLES for layer in row for i in layer)]
    for pair in product(kernels, norms):
        if any(map(_out_of_order, pair)) or _stacked(side, pair[1]):
            yield pair
            yield [*pair[0], *_after(pair[0], with_kernels)], pair[1]


def _out_of_order(row: _Row) -> bool:
    firsts = [layer[0] for layer in row]
    return firsts != sorted(firsts)


def _stacked(side: Features, norms: _Row) -> bool:
    """Whether batch normalisations stand one right behind the other, as those of two branches do."""
    return _is_batch(side, norms[0]) and any(max(one) + 1 == min(other) for one, other in pairwise(norms))


def _after(row: _Row, rows: Sequence[_Row]) -> Iterator[tuple[int, ...]]:
    """The layers of the rows that begin where one ends, as dense layers do after convolutions."""
    end = max(map(max, row))
    for other in sorted(rows, key=min):
        if min(map(min, other)) > end:
            yield from other
            end = max(map(max, other))


def _ranges(outputs: Sequence[int], widths: Sequence[int]) -> list[range]:
    """From the first to the last place among the outputs that each width may have, if both are in order.

    >>> _ranges([8, 8, 4, 8, 3], [8, 4, 8])
    [range(0, 2), range(2, 3), range(3, 4)]
    """
    first = _first_fit(outputs, widths)
    last = [len(outputs) - at for at in _first_fit(outputs[::-1], widths[::-1])[::-1]]
    return [range(at, end) for at, end in zip(first, last, strict=True)]


def _first_fit(outputs: Sequence[int], widths: Sequence[int]) -> list[int]:
    """The first place of each width among the outputs, behind the one before; empty if any has none."""
    places = iter(range(len(outputs)))
    found = [place for width in widths for place in islice((at for at in places if outputs[at] == width), 1)]
    return found if len(found) == len(widths) else []


def _in_sequence(side: Features) -> Iterator[_Unit]:
    """Each kernel with the normalisation behind it, or before it where that is so of more."""
    after, before = (list(_behind(side, way)) for way in (side.sequence, side.sequence[::-1]))
    # Of a model that has them before its kernels the first normalisation is behind none. What has fewer
    # variables than most normalises the inputs.
    usual = Counter(map(len, after)).most_common(1)[0][0] if after else 0
    more = sum(len(unit) == usual for unit in before) > sum(len(unit) == usual for unit in after)
    yield from before if more else after


def _behind(side: Features, sequence: Sequence[int]) -> Iterator[_Unit]:
    """Each kernel with what stands between it and the next one of a sequence."""
    unit: list[int] = []
    for i in [*sequence, -1]:
        if i < 0 or not side.vectors[i]:
            if unit:
                yield from _unit(side, unit)
            unit = [i]
        elif unit:
            unit.append(i)


def _is_batch(side: Features, norm: Sequence[int]) -> bool:
    return any(side.roles[i] == "mean" for i in norm)


def _unit(side: Features, unit: list[int]) -> Iterator[_Unit]:
    shape = side.tensors[unit[0]].shape or ()
    outputs = {*shape[-2:], *shape[:1]} - {1}
    vectors = [i for i in unit[1:] if side.sizes[i] in outputs]
    of_one_size = len({side.sizes[i] for i in vectors}) == 1
    if of_one_size and len(vectors) <= _UNIT and _is_batch(side, vectors):
        yield (unit[0], *vectors)


def _lists(side: Features) -> dict[Path, tuple[int, int]]:
    """Scopes that hold numbered ones, each with the first and the last variable in them."""
    found: dict[Path, tuple[int, int]] = {}
    for i, parent in enumerate(side.parents):
        if parent and isinstance(parent[-1], int):
            first, _ = found.get(parent[:-1], (i, i))
            found[parent[:-1]] = first, i
    return found


def _of_another_list(side: Features, lists: Mapping[Path, tuple[int, int]], kernel: int, norm: int) -> bool:
    """Whether a list of kernels ends before a list of normalisations begins: `linears.1`, `norms.0`."""
    here, there = side.parents[kernel], side.parents[norm]
    if here[:-1] not in lists or there[:-1] not in lists or here[:-1] == there[:-1]:
        return False
    (first_k, last_k), (first_n, last_n) = lists[here[:-1]], lists[there[:-1]]
    return here[-1] != there[-1] and (last_k < first_n or last_n < first_k)


def _by_name(side: Features) -> Iterator[_Unit]:
    """Each kernel with the batch normalisation that is named as it is but for a word.

    Nothing if the width of one does not fit: it stands before the kernel of that name then.
    """
    named: dict[tuple[int, ...], list[int]] = defaultdict(list)
    norms: dict[Path, list[int]] = defaultdict(list)
    for i, name in enumerate(side.names):
        if not side.vectors[i]:
            named[name.numbers].append(i)
        elif side.roles[i] in NORM_ROLES and "norm" in side.words[i]:
            norms[side.parents[i]].append(i)
    owned: dict[int, list[list[int]]] = defaultdict(list)
    for norm in norms.values():
        if not _is_batch(side, norm):
            continue
        rest = set(side.words[norm[0]]) - {"norm"}
        fitting = [i for i in named[side.names[norm[0]].numbers] if rest.issubset(side.words[i])]
        shortest = min((len(side.words[i]) for i in fitting), default=0)
        nearest = [i for i in fitting if len(side.words[i]) == shortest]
        if len(nearest) == 1:
            owned[nearest[0]].append(norm)
    alone = [(kernel, *several[0]) for kernel, several in owned.items() if len(several) == 1]
    if all((side.tensors[kernel].shape or ())[-1] == side.sizes[norm] for kernel, norm, *_ in alone):
        yield from alone

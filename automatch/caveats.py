"""What a right pair may still need: values in another order, or settings that no checkpoint holds.

Shapes and names do not show these, and automatch changes no values but by the transform that a plan shows.
They are said, so that a person can check them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from automatch.cells import cells
from automatch.layout import convention, flattened
from automatch.names import parse
from automatch.tensor import Listing, Tensor

__all__ = ["caveats"]

Couple = tuple[Tensor, Tensor]
"""A source tensor and the target variable that takes it."""


def caveats(source: Listing, target: Listing, pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Sentences about what to check by hand, for pairs of source name and target name; few, or none.

    >>> cell = Tensor("rnn/basic_lstm_cell/kernel", (6, 16), "float32")
    >>> kernel = Tensor("lstm/kernel", (2, 16), "float32")
    >>> recurrent = Tensor("lstm/recurrent_kernel", (4, 16), "float32")
    >>> found = caveats(Listing((cell,)), Listing((kernel, recurrent)), [(cell.name, kernel.name)])
    >>> found[0].partition(":")[0]
    'LSTM gates stand in another order'
    """
    couples = [(source.by_name[given], target.by_name[wanted]) for given, wanted in pairs]
    return [sentence for check in _CHECKS for sentence in check(source, target, couples)]


def _gates(source: Listing, target: Listing, couples: Sequence[Couple]) -> Iterator[str]:
    given, wanted = cells(source), cells(target)
    groups = defaultdict(list)
    for couple in couples:
        a, b = given.get(couple[0].name), wanted.get(couple[1].name)
        if a is not None and b is not None and a.kind == b.kind and a != b:
            groups[a, b].append(couple)
    for (a, b), found in groups.items():
        if a.order != b.order:
            yield (
                f"{a.kind} gates stand in another order: {a.order} in {_example(found, 0)}, {b.order} in "
                f"{_example(found, 1)}. Reorder the blocks of these {len(found)} after restoring."
            )
        if a.added != b.added:
            adding, change = ("source", "add 1 to") if a.added else ("target", "take 1 from")
            yield (
                f"{a.kind} cells of the {adding} add 1 to the forget gate's bias as they run, "
                f"the others keep it in the bias. Set forget_bias to match, or {change} "
                "the forget block of restored biases."
            )


def _biases(source: Listing, target: Listing, couples: Sequence[Couple]) -> Iterator[str]:
    """PyTorch has two biases a recurrent layer that are added up; others have one."""
    for one, other, side in ((0, 1, "source"), (1, 0, "target")):
        recurrent = cells(source if one == 0 else target)
        found = [
            couple for couple in couples if _is_one_of_two(couple[one].name) and couple[one].name in recurrent
        ]
        if found and not any(_is_one_of_two(couple[other].name) for couple in found):
            yield (
                f"The {side} splits the bias of a recurrent layer into two, {_example(found, one)} and its "
                "twin, and uses their sum. Where the other side has one bias, it has to be that sum."
            )


def _is_one_of_two(name: str) -> bool:
    return parse(name).components[-1].startswith(("bias_ih", "bias_hh"))


def _flattened(source: Listing, target: Listing, couples: Sequence[Couple]) -> Iterator[str]:
    """A dense layer on a flattened image: PyTorch flattens it channels first, the others channels last."""
    if (convention(source.framework) == "torch") == (convention(target.framework) == "torch"):
        return
    torch, one = (source, 0) if convention(source.framework) == "torch" else (target, 1)
    channels = flattened([tensor.shape for tensor in torch.tensors if tensor.slot is None])
    for couple in couples:
        shape = couple[one].shape
        if shape in channels:
            yield (
                f"{_named(couple[one])} seems to take a flattened image of {channels[shape]} channels, which "
                "PyTorch flattens channels first and the other side channels last. "
                f"Permute its {shape[1]} inputs after restoring, unless the model does."
            )


def _turned(source: Listing, target: Listing, couples: Sequence[Couple]) -> Iterator[str]:
    """Flax and Haiku turn kernels of transposed convolutions by 180 degrees against all others."""
    turned = [convention(side.framework) in ("flax", "haiku") for side in (source, target)]
    if turned[0] == turned[1]:
        return
    found = [
        couple
        for couple in couples
        if len(couple[1].shape or ()) >= 3 and any(_is_transposed(tensor.name) for tensor in couple)
    ]
    if found:
        yield (
            f"Kernels of transposed convolutions such as {_example(found, 1)} are turned by 180 degrees "
            f"between these two frameworks. Flip the spatial axes of these {len(found)} after restoring."
        )


def _is_transposed(name: str) -> bool:
    words = parse(name).words
    return "deconv" in words or ("transpose" in words and "conv" in words)


def _channels(source: Listing, target: Listing, couples: Sequence[Couple]) -> Iterator[str]:
    """Nothing in a checkpoint tells whether a first convolution sees red or blue first."""
    if _library(source.framework) == _library(target.framework):
        return
    axis = 1 if convention(target.framework) == "torch" else -2
    for _, wanted in couples:
        if len(wanted.shape or ()) == 4 and wanted.shape and wanted.shape[axis] == 3:
            yield (
                f"{_named(wanted)} sees the image. Prepare images as the source's model was trained on them: "
                "RGB or BGR, and the same scaling."
            )
            return


def _library(framework: str) -> str:
    """Keras is one library, in each of its versions and formats."""
    word = framework.partition("-")[0]
    return "keras" if word.startswith("keras") or framework == "tf2-object" else word


def _settings(source: Listing, target: Listing, couples: Sequence[Couple]) -> Iterator[str]:
    """The epsilon of a batch norm and the padding of a strided convolution are arguments; defaults differ."""
    if convention(source.framework) == convention(target.framework):
        return
    statistics = [couple for couple in couples if {"var", "variance"} & set(parse(couple[1].name).words)]
    strided = any(len(couple[1].shape or ()) == 4 for couple in couples)
    if statistics:
        padding = " and pads strided convolutions on other sides" if strided else ""
        yield (
            f"No checkpoint holds the epsilon of a batch norm ({_example(statistics, 1)}), and each "
            f"framework has its own default{padding}. Set such arguments in the target as in the source."
        )


_CHECKS: tuple[Callable[[Listing, Listing, Sequence[Couple]], Iterator[str]], ...]
_CHECKS = (_gates, _biases, _flattened, _turned, _channels, _settings)


def _named(tensor: Tensor) -> str:
    return f"'{tensor.name}'"


def _example(couples: Sequence[Couple], side: int) -> str:
    return _named(couples[0][side])

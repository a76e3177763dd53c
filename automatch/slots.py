"""Optimizer slots, moving averages and counters: what follows a variable and is no variable of the model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from automatch.names import is_of_optimizer, moment
from automatch.tensor import Listing, Tensor
from automatch.vocabulary import slot_kind, slot_words

__all__ = ["Satellite", "optimizer_slots", "satellites"]

_SUFFIX = re.compile(r"(/\.ATTRIBUTES/VARIABLE_VALUE|:\d+)$")
_OBJECT_SLOT = re.compile(r"^(?P<base>.+)/\.OPTIMIZER_SLOT/[^/]+/(?P<kind>[^/]+)$")
# Adafactor's: T5X keeps what belongs to `target/x` in a folder of its own, Mesh TensorFlow beside `x`.
_STATE = re.compile(r"^(?P<above>(?:.+/)?)state/param_states/(?P<base>.+)/(?P<kind>[^/]+)$")
_MESH_SLOT = re.compile(r"^(?P<base>.+)_(?P<kind>slot_(?:m|v|vr|vc))$")
_CUT_PART = re.compile(r"^(|t|rt|art|part)_\d+$")
_REPLICA = re.compile(r"/(replica_\d+)$")

_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"

# Words that say "slot" wherever they end a name, even if the variable itself is not in the file; the
# others (`m`, `linear`, …) could be a variable's own name.
_SURE = re.compile(
    r"^(Adam|AdamAsync|LAMB|Momentum|Nesterov|RMSProp|Adagrad|AdagradDA|Ftrl|Adadelta|Adafactor"
    r"|ExponentialMovingAverage|adam_[mv])(_\d+)?$"
)
_HYPER = re.compile(
    r"(^|[/_.])(beta_?[12]_?power(_\d+)?|learning_rate|decay|momentum|save_counter|_lr|lr|rho|epsilon|beta_[12])$"
)
# Keras 3 keeps in an optimizer's folder also what it trains, as did Flax; a step is a step wherever it is.
_TRAINED = re.compile(r"/_trainable_variables/\d+$|(^|/)optimizer/target/|(^|/)_?iterations?$")


# Keras names what an optimizer keeps `adam/dense_kernel_velocity` or, before version 3, `Adam/v/dense/kernel`
# or `v/dense/kernel`.
_OPTIMIZERS = re.compile(
    r"^(n?adam(_?w|_?ax)?|sgd|rm_?s_?prop|adagrad|adadelta|adafactor|ftrl|lion|lamb|muon)(_\d+)?$",
    re.IGNORECASE,
)
_KEPT = frozenset(
    [
        *("m", "v", "u", "r", "c", "vhat", "momentum", "velocity", "accumulator", "linear"),
        *("average_gradient", "accumulated_grad", "accumulated_delta_var"),
    ]
)
# Of these Adam keeps what TensorFlow's own calls `m` and `v`; others have a momentum of another kind.
_OF_ADAM = {"momentum": "m", "velocity": "v"}

# PyTorch's batch normalisations count their batches.
_TRACKED = "num_batches_tracked"

_NO_SLOTS = frozenset({"batches", "ema", "number", "object graph"})


@dataclass(frozen=True, slots=True)
class Satellite:
    """A tensor that follows another: `base` is the index of its variable (None: not in the listing)."""

    base: int | None
    kind: str


def satellites(listing: Listing) -> dict[int, Satellite]:
    """Index of each slot, moving average or optimizer's own number -> what it follows."""
    index = {_plain(tensor.name): i for i, tensor in enumerate(listing.tensors)}
    by_full = {t.full_name: i for i, t in enumerate(listing.tensors) if t.full_name}
    kept = _kept(listing)
    found: dict[int, Satellite] = {}
    for i, tensor in enumerate(listing.tensors):
        if tensor.name == _OBJECT_GRAPH:
            found[i] = Satellite(None, "object graph")
            continue
        satellite = _known(tensor, index, by_full) or kept.get(i) or _by_name(tensor, index, listing)
        if satellite is not None and satellite.base != i:
            found[i] = satellite
    return kept | _without_chance(found, listing)


def optimizer_slots(listing: Listing) -> frozenset[str]:
    """The names of what optimizers keep for variables; their own numbers and moving averages are none."""
    aside = satellites(listing).items()
    return frozenset(listing.tensors[i].name for i, it in aside if it.kind not in _NO_SLOTS)


def _kept(listing: Listing) -> dict[int, Satellite]:
    """What optimizers of Keras keep for a variable, by names that begin with the optimizer or the kind."""
    names = [_plain(tensor.known_as) for tensor in listing.tensors]
    beginnings = [name.partition("/") for name in names]
    theirs = [i for i, (first, _, _) in enumerate(beginnings) if first in _KEPT or _OPTIMIZERS.match(first)]
    if not theirs:
        return {}
    index = {name: i for i, name in enumerate(names)}
    flat = {name.replace("/", "_"): i for i, name in enumerate(names)}
    found: dict[int, Satellite] = {}
    strange: set[str] = set()
    for i in theirs:
        first, _, rest = beginnings[i]
        if first not in _KEPT:
            satellite = _of_optimizer(first, rest, index, flat)
        else:
            satellite = Satellite(index[rest], slot_kind(first)) if rest in index else None
            strange |= set() if satellite else {first}
        if satellite:
            found[i] = satellite
    # A scope of a kind that holds anything else is part of the model.
    return {i: satellite for i, satellite in found.items() if beginnings[i][0] not in strange}


def _of_optimizer(
    optimizer: str, name: str, index: Mapping[str, int], flat: Mapping[str, int]
) -> Satellite | None:
    """The slot that an optimizer's scope holds under a name.

    index: the names of variables. flat: the same with `_` for `/`.
    """
    kind, _, base = name.partition("/")
    if base:
        return Satellite(index.get(base), slot_kind(kind)) if base in index or kind in _KEPT else None
    words = name.split("_")
    for end in range(len(words) - 1, 0, -1):
        base, kind = "_".join(words[:end]), "_".join(words[end:])
        if base in flat or kind in _KEPT:
            adam = "adam" in optimizer.lower()
            return Satellite(flat.get(base), (_OF_ADAM.get(kind) if adam else None) or slot_kind(kind))
    return None


def _plain(name: str) -> str:
    return _SUFFIX.sub("", name)


def _known(tensor: Tensor, index: dict[str, int], by_full: dict[str, int]) -> Satellite | None:
    """What the file itself says."""
    if tensor.slot_of is None:
        return None
    base = index.get(_plain(tensor.slot_of), by_full.get(tensor.slot_of))
    return Satellite(base, slot_kind(tensor.slot or "slot"))


def _by_name(tensor: Tensor, index: dict[str, int], listing: Listing) -> Satellite | None:
    name = _plain(tensor.name)
    match = _OBJECT_SLOT.match(name)
    if match:
        return Satellite(index.get(match["base"]), slot_kind(match["kind"]))
    match = _STATE.match(name)
    if match:
        return Satellite(
            index.get(f"{match['above']}target/{match['base']}"), slot_kind(f"slot_{match['kind']}")
        )
    match = _MESH_SLOT.match(name)
    if match and match["base"] in index:
        return Satellite(index[match["base"]], slot_kind(match["kind"]))
    replica = _REPLICA.search(name)
    stem = name[: replica.start()] if replica else name
    separator = max(stem.rfind("/"), stem.rfind("."))
    if separator < 0:
        return Satellite(None, "number") if _is_number(tensor, name) else None
    head, last = stem[:separator], stem[separator + 1 :]
    if last == _TRACKED and tensor.shape == ():
        base = index.get(f"{name.removesuffix(_TRACKED)}running_mean")
        return None if base is None else Satellite(base, "batches")
    if moment(name):
        return None
    if last in slot_words() or _SURE.match(last):
        base = _owner(head, replica, index)
        if base is not None and listing.tensors[base].shape == tensor.shape:
            return Satellite(base, slot_kind(last))
        if _SURE.match(last):
            return Satellite(base, slot_kind(last))
    if (is_of_optimizer(name) and not _TRAINED.search(name)) or _is_number(tensor, name):
        return Satellite(None, "number" if tensor.shape == () else "slot")
    return None


def _is_number(tensor: Tensor, name: str) -> bool:
    return tensor.shape == () and _HYPER.search(name) is not None


def _owner(head: str, replica: re.Match[str] | None, index: dict[str, int]) -> int | None:
    """The variable whose slot has this name less its last word.

    `training/Adam/dense/kernel/m` belongs to `dense/kernel`: an optimizer may put its own scope in front.
    """
    if replica and head + replica.group() in index:
        return index[head + replica.group()]
    parts = head.split("/")
    for start in range(len(parts)):
        base = index.get("/".join(parts[start:]))
        if base is not None and (start == 0 or len(parts) - start >= 2):
            return base
    # TensorFlow cuts the first letters off a partition's name: the slot of `x/part_0` is `x/t_0/Adagrad`.
    if len(parts) > 1 and _CUT_PART.match(parts[-1]):
        whole = "/".join(parts[:-1])
        return index.get(whole, index.get(f"{whole}/part_{parts[-1].rpartition('_')[2]}"))
    return None


def _without_chance(found: dict[int, Satellite], listing: Listing) -> dict[int, Satellite]:
    """Less those whose word occurs once only and could be a variable's own name (`layer/linear`)."""
    counts = Counter(satellite.kind for satellite in found.values())
    return {
        i: satellite
        for i, satellite in found.items()
        if counts[satellite.kind] > 1
        or satellite.base is None
        or listing.tensors[i].slot_of is not None
        or _SURE.match(_plain(listing.tensors[i].name).rsplit("/", 1)[-1])
    }

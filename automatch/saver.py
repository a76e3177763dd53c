"""Plans in the forms that TensorFlow itself understands: a Saver's builder or var_list, an assignment map."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from automatch.errors import PlanConflict, RestoreError, UnsupportedTarget
from automatch.moves import stored
from automatch.nodes import transformed
from automatch.pieces import asked
from automatch.plan import Pair, Plan
from automatch.tensor import Tensor
from automatch.transform import parse

__all__ = ["SaverBuilder", "assignment_map", "graph_variables", "var_list"]

_ELSE = "Use automatch.restore, or reject the pair to leave it out"


def SaverBuilder(  # noqa: N802 - it stands where TensorFlow has a class of this name
    plan: Plan, *, cast: bool = False, source: Any = None
) -> Any:
    """A builder for `tf.compat.v1.train.Saver(builder=…)` that restores by the plan.

    Reading takes the accepted pairs, by the names of the checkpoint, with their transposes and reshapes;
    variables without an accepted pair are left alone. `save` writes all variables under their own names.
    As in any Saver, the pairs are checked while they are read; a cast loses what does not fit without a word.

    cast: convert dtypes where the plan says `+cast`. A node that reads has to know the stored dtype, for
        which the plan's source is looked at.
    source: where that is, if no longer where the plan says.

    Raises:
        PlanConflict: a pair converts its dtype without `cast=True`.
        PlanError, PlanIsStale, UnreadableFile: nothing says what the stored dtypes are.
        RestoreError: a stored dtype cannot be converted. When the Saver is made: TensorFlow cannot join what
            is stored in parts.
    """
    pairs = _accepted(plan)
    for pair in pairs:
        if not cast and parse(pair.transform).cast:
            raise PlanConflict(
                f"'{pair.source}' becomes '{pair.target}' by '{pair.transform}', which converts to "
                f"{pair.dtype}. Pass cast=True, or reject the pair to leave it out."
            )
    return _builder_class()({pair.target: pair for pair in pairs}, stored(plan, source))


def var_list(plan: Plan, graph: Any = None) -> dict[str, Any]:
    """The accepted pairs as `{name in the checkpoint: variable}`, for `tf.compat.v1.train.Saver`.

    graph: a `tf.Graph`; left out, the default graph. A partitioned variable is the list of its parts.

    Raises:
        PlanConflict: a pair changes values, or two take one tensor, which no var_list can say.
        UnsupportedTarget: the graph has no such variable.
    """
    pairs = _renames(plan, "a Saver's var_list")
    variables = graph_variables(graph)
    unknown = [pair.target for pair in pairs if pair.target not in variables]
    if unknown:
        raise UnsupportedTarget(
            f"the graph has no variable '{unknown[0]}' among its {len(variables)} in collections. "
            "Pass the graph that the plan was made for."
        )
    return {pair.source: variables[pair.target] for pair in pairs}


def assignment_map(plan: Plan) -> dict[str, str]:
    """The accepted pairs as `{name in the checkpoint: name in the graph}`, for `init_from_checkpoint`.

    `init_from_checkpoint` knows variables made by `get_variable` by their names; for others use var_list.

    Raises:
        PlanConflict: a pair changes values, or two take one tensor, which no assignment map can say.
    """
    return {pair.source: pair.target for pair in _renames(plan, "an assignment map")}


def graph_variables(graph: Any = None) -> dict[str, Any]:
    """The variables in a graph's collections by name; a partitioned one by the whole's name, as a list."""
    import tensorflow as tf

    graph = graph or tf.compat.v1.get_default_graph()
    found: dict[str, Any] = {}
    parts: dict[str, list[tuple[list[int], Any]]] = {}
    for variable in {id(variable): variable for variable in _in_collections(graph)}.values():
        # The one place where TensorFlow keeps what a partitioned variable's part is a part of.
        slice_info = getattr(variable, "_save_slice_info", None)
        if slice_info is None:
            found[variable.op.name] = variable
        else:
            parts.setdefault(slice_info.full_name, []).append((list(slice_info.var_offset), variable))
    for name, members in parts.items():
        found[name] = [variable for _, variable in sorted(members, key=lambda member: member[0])]
    return found


def _in_collections(graph: Any) -> Iterable[Any]:
    for name in ("variables", "trainable_variables", "model_variables"):
        for variable in graph.get_collection(name):
            yield getattr(variable, "value", variable) if hasattr(variable, "path") else variable


def _accepted(plan: Plan) -> tuple[Pair, ...]:
    return tuple(pair for pair in plan.pairs if pair.decision == "accept")


def _renames(plan: Plan, form: str) -> tuple[Pair, ...]:
    """The accepted pairs, if each is a mere change of name."""
    taken: dict[str, str] = {}
    for pair in (pairs := _accepted(plan)):
        if pair.transform != "identity":
            raise PlanConflict(
                f"{form} can only rename, and '{pair.source}' becomes '{pair.target}' by '{pair.transform}'. "
                f"{_ELSE}; SaverBuilder takes transposes and reshapes."
            )
        if pair.source in taken:
            raise PlanConflict(
                f"{form} names each tensor once, and '{pair.source}' goes to both '{taken[pair.source]}' and "
                f"'{pair.target}'. {_ELSE}; SaverBuilder takes both."
            )
        taken[pair.source] = pair.target
    return pairs


@cache
def _builder_class() -> Callable[[dict[str, Pair], dict[str, Tensor]], Any]:
    """The class, made when it is first needed: its base comes with TensorFlow."""
    from tensorflow.python.training.saver import BulkSaverBuilder

    class PlanSaverBuilder(BulkSaverBuilder):  # type: ignore[misc]
        """Reads by a plan, in one RestoreV2."""

        def __init__(self, pairs: dict[str, Pair], sources: dict[str, Tensor]) -> None:
            super().__init__()
            self._pairs = pairs
            self._sources = sources

        def _AddRestoreOps(  # noqa: N802 - TensorFlow's name
            self, filename_tensor: Any, saveables: list[Any], *rest: Any, **options: Any
        ) -> Any:
            wanted = [saveable for saveable in saveables if self._knows(saveable)]
            return super()._AddRestoreOps(filename_tensor, wanted, *rest, **options)

        def _knows(self, saveable: Any) -> bool:
            return all(spec.name in self._pairs for spec in saveable.specs)

        def bulk_restore(self, filename_tensor: Any, saveables: list[Any], *_: Any) -> list[Any]:
            specs = [spec for saveable in saveables for spec in saveable.specs]
            return _read(filename_tensor, specs, self._pairs, self._sources)

    return PlanSaverBuilder


def _read(filename: Any, specs: list[Any], pairs: dict[str, Pair], sources: dict[str, Tensor]) -> list[Any]:
    """The tensors for a Saver's specs, read under the source's names, transformed and converted.

    Raises RestoreError where TensorFlow cannot join the parts that are stored.
    """
    import tensorflow as tf

    if not specs:
        return []
    wanted = [pairs[spec.name] for spec in specs]
    dtypes = [
        tf.as_dtype(sources[spec.name].dtype if parse(pair.transform).cast else spec.dtype).base_dtype
        for pair, spec in zip(wanted, specs, strict=True)
    ]
    slices = [_slice(pair, sources[pair.target], spec) for pair, spec in zip(wanted, specs, strict=True)]
    with tf.device("cpu:0"):
        tensors = tf.raw_ops.RestoreV2(
            prefix=filename,
            tensor_names=[pair.source for pair in wanted],
            shape_and_slices=slices,
            dtypes=dtypes,
        )
        made = [
            tensor if cut else _made(tensor, pair, spec.slice_spec)
            for tensor, cut, pair, spec in zip(tensors, slices, wanted, specs, strict=True)
        ]
        # Nothing is added for what has its dtype already.
        return [tf.cast(tensor, spec.dtype) for tensor, spec in zip(made, specs, strict=True)]


def _slice(pair: Pair, source: Tensor, spec: Any) -> str:
    """What to read for a Saver's spec; the whole where that is empty."""
    found = asked(source, parse(pair.transform), spec.slice_spec)
    if found is None:
        raise RestoreError(
            f"TensorFlow does not join parts of {source.dtype}, as '{pair.source}' has them and "
            f"'{pair.target}' needs. {_ELSE}."
        )
    return found


def _made(tensor: Any, pair: Pair, slice_spec: str) -> Any:
    """The value of a variable or of a part of it, from a whole tensor; another shape is refused when read."""
    import tensorflow as tf

    tensor = transformed(tensor, parse(pair.transform), pair.shape)
    if pair.shape is not None:
        tensor = tf.ensure_shape(tensor, [axis if axis >= 0 else None for axis in pair.shape])
    if not slice_spec:
        return tensor
    extents = [extent.split(",") for extent in slice_spec.rsplit(" ", maxsplit=1)[-1].split(":")]
    cut = [slice(None) if e == ["-"] else slice(int(e[0]), int(e[0]) + int(e[1])) for e in extents]
    return tensor[tuple(cut)]

"""Live objects: sessions, graphs, models, modules, checkpoints, and lists or dicts of variables or arrays.

What is told apart by what it can do, not by its class, so that nothing has to be imported for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

from automatch.errors import UnsupportedTarget
from automatch.layout import framework_of_names
from automatch.read.full_names import NAMELESS, telling
from automatch.read.graph import read_graph
from automatch.read.graph_variables import VARIABLE_OPS, Collections, SliceInfo, VariableDef
from automatch.read.meta import MetaGraph, listing_of
from automatch.tensor import Listing, Shape, Tensor, Values

if TYPE_CHECKING:
    import numpy as np

__all__ = ["graph_of", "named_variables", "read"]

_KEY_END = "/.ATTRIBUTES/VARIABLE_VALUE"


def read(thing: Any, *, evidence: bool = True) -> Listing:
    """The listing of a live object, in order of creation.

    It may be a session or graph, a Keras model or layer, a `tf.Module`, a `tf.train.Checkpoint`, a list of
    variables, or a dict from names to variables or arrays. Raises UnsupportedTarget for anything else.

    evidence: look for what a graph knows of its variables (slots, dataflow, saveables); without, it takes a
    tenth of the time.
    """
    if hasattr(thing, "state_dict") and not hasattr(thing, "get_weights"):
        thing = thing.state_dict()
    if isinstance(thing, Mapping) and thing and all(_is_array(value) for value in thing.values()):
        return _of_arrays(thing)
    graph = graph_of(thing)
    if graph is not None:
        listing = _of_graph(graph, evidence=evidence)
        return replace(listing, path="<session>" if graph is not thing else "<graph>")
    kind = f"<{type(thing).__name__}>"
    return _of_variables(named_variables(thing), _framework(thing), kind, evidence=evidence)


def graph_of(thing: Any) -> Any | None:
    """The graph of a session, or the graph itself; None for anything else."""
    if hasattr(thing, "as_graph_def") and hasattr(thing, "get_collection"):
        return thing
    graph = getattr(thing, "graph", None)
    return graph if hasattr(thing, "run") and hasattr(graph, "as_graph_def") else None


def named_variables(thing: Any) -> dict[str, Any]:
    """The variables of a model, module, checkpoint, list or dict, by the names that its listing has.

    Raises UnsupportedTarget where there are none, or two of one name.
    """
    if isinstance(thing, Mapping):
        found = [(str(name), variable) for name, variable in thing.items()]
    elif isinstance(thing, (list, tuple)):
        found = _numbered([(variable_name(variable), variable) for variable in thing])
    elif hasattr(thing, "layers") or hasattr(thing, "add_weight"):
        found = _by_name_or_path(thing, thing.weights)
    elif hasattr(thing, "save_counter") or not hasattr(thing, "variables"):
        found = [(path + _KEY_END, variable) for path, variable in _tracked(thing)]
    else:
        found = _by_name_or_path(thing, thing.variables)
    _check(thing, found)
    return dict(found)


def _numbered(found: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """The variables, where those without a name of their own are numbered, as a graph numbers them."""
    numbers = count()

    def numbered(name: str) -> str:
        number = next(numbers) if name == NAMELESS else 0
        return f"{name}_{number}" if number else name

    return [(numbered(name), variable) for name, variable in found]


def variable_name(variable: Any) -> str:
    """A variable's own name: the path of a Keras 3 variable, else its name without `:0`."""
    name = getattr(variable, "path", None) or getattr(variable, "name", "")
    return str(name).partition(":")[0]


def _check(thing: Any, found: list[tuple[str, Any]]) -> None:
    kind = type(thing).__name__
    if not found and hasattr(thing, "run") and getattr(thing, "graph", thing) is None:
        raise UnsupportedTarget(f"this {kind} is closed. Give one that is open.")
    if not found:
        raise UnsupportedTarget(
            f"this {kind} has no variables. Build the model first, or give a session, a graph, "
            "a Keras model, a tf.Module, or a list or dict of variables."
        )
    strange = [value for _, value in found if not _is_variable(value)]
    if strange:
        strange_kind = type(strange[0]).__name__
        raise UnsupportedTarget(f"this {kind} holds a {strange_kind}, which is no variable. Leave it out.")
    name, count = Counter(name for name, _ in found).most_common(1)[0]
    if count > 1:
        raise UnsupportedTarget(
            f"{count} variables of this {kind} are named '{name}'. Give a dict from your own names to them."
        )


def _by_name_or_path(thing: Any, variables: Iterable[Any]) -> list[tuple[str, Any]]:
    """Variables with their names, or where two are named alike with the attributes that lead to them."""
    found = [(variable_name(variable), variable) for variable in _once(variables)]
    if len({name for name, _ in found}) == len(found):
        return found
    paths = {id(variable): path for path, variable in _tracked(thing)}
    return [(paths.get(id(variable), name), variable) for name, variable in found]


def _once(variables: Iterable[Any]) -> list[Any]:
    return list({id(variable): variable for variable in variables}.values())


def _tracked(thing: Any) -> Iterator[tuple[str, Any]]:
    """Variables by the attributes that lead to them, as object-based checkpoints have them, nearest first."""
    import tensorflow as tf

    try:
        view = tf.train.TrackableView(thing)
        queue = [("", thing)]
    except (TypeError, ValueError, AttributeError):
        return
    seen = {id(thing)}
    for prefix, parent in queue:
        try:
            children = view.children(parent).items()
        except (TypeError, ValueError, AttributeError):
            continue
        for name, child in children:
            path = prefix + str(name).replace(".", "..").replace("/", ".S")
            if id(child) in seen:
                continue
            seen.add(id(child))
            if _is_variable(child):
                yield path, child
            else:
                queue.append((path + "/", child))


def _is_variable(value: Any) -> bool:
    return _has_type(value) and (hasattr(value, "assign") or _is_partitioned(value))


def _is_partitioned(value: Any) -> bool:
    return hasattr(value, "as_tensor") and hasattr(value, "partitions")


def _is_array(value: Any) -> bool:
    return _has_type(value) and not _is_variable(value) and not hasattr(value, "graph")


def _has_type(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _framework(thing: Any) -> str:
    """Whose layers these are: Keras 3 gives its variables a path."""
    if not hasattr(thing, "layers") and not hasattr(thing, "add_weight"):
        return "tf1" if isinstance(thing, (Mapping, list, tuple)) else "tf2-object"
    return "keras3" if any(hasattr(variable, "path") for variable in thing.weights[:1]) else "keras2-tf"


def _of_arrays(arrays: Mapping[str, Any]) -> Listing:
    tensors = tuple(
        Tensor(str(name), _shape(array.shape), _type(array.dtype)) for name, array in arrays.items()
    )

    def value(name: str) -> np.ndarray[Any, Any]:
        import numpy as np

        array = arrays[name]
        return np.asarray(array.detach() if hasattr(array, "detach") else array)

    framework = framework_of_names(tensors, "numpy")
    return Listing(tensors, "arrays", framework, "creation", "<dict of arrays>", values=value)


def _of_variables(variables: Mapping[str, Any], framework: str, path: str, *, evidence: bool) -> Listing:
    """Variables with what their graph knows of them, if they are in one; else with values."""
    graphs = {id(graph): graph for variable in variables.values() if (graph := _graph_of_variable(variable))}
    full_names = telling(
        {key: variable_name(variable) for key, variable in variables.items() if key.endswith(_KEY_END)}
    )
    tensors = [_tensor(name, variable, full_names.get(name)) for name, variable in variables.items()]
    if graphs:
        listings = [_of_graph(graph, evidence=evidence) for graph in graphs.values()]
        known = {tensor.name: tensor for listing in listings for tensor in listing.tensors}
        nodes = {tensor.name: variable_name(_inner(variables[tensor.name])) for tensor in tensors}
        tensors = _joined([_with_flow(tensor, known.get(nodes[tensor.name])) for tensor in tensors], known)
    values: Values | None = None if graphs else _reader(variables)
    return Listing(tuple(tensors), "variables", framework, "creation", path, values=values)


def _with_flow(tensor: Tensor, known: Tensor | None) -> Tensor:
    return replace(known, name=tensor.name) if known else tensor


def _joined(tensors: list[Tensor], known: Mapping[str, Tensor]) -> list[Tensor]:
    """The tensors with the pieces of a partitioned variable, where all are there, as one."""
    names = {tensor.name for tensor in tensors}
    wholes = {
        part.name: whole
        for whole in known.values()
        if whole.parts and names.issuperset(part.name for part in whole.parts)
        for part in whole.parts
    }
    found = [wholes.get(tensor.name, tensor) for tensor in tensors]
    return list({tensor.name: tensor for tensor in found}.values())


def _tensor(name: str, variable: Any, full_name: str | None) -> Tensor:
    trainable = getattr(variable, "trainable", None)
    return Tensor(name, _shape(variable.shape), _type(variable.dtype), trainable, full_name=full_name)


def _reader(variables: Mapping[str, Any]) -> Callable[[str], np.ndarray[Any, Any]]:
    def value(name: str) -> np.ndarray[Any, Any]:
        import numpy as np

        return np.asarray(variables[name])

    return value


def _shape(shape: Any) -> Shape | None:
    if getattr(shape, "rank", 0) is None:
        return None
    return tuple(-1 if axis is None else int(axis) for axis in shape)


def _type(dtype: Any) -> str:
    """TensorFlow's name of a dtype of TensorFlow, Keras, numpy or torch."""
    name = str(getattr(dtype, "name", dtype)).removeprefix("torch.").removesuffix("_ref")
    return "string" if name.startswith(("str", "bytes", "object")) else name


def _inner(variable: Any) -> Any:
    """TensorFlow's own variable in one of Keras 3."""
    inner = getattr(variable, "value", None)
    return inner if hasattr(inner, "shape") else variable


def _graph_of_variable(variable: Any) -> Any | None:
    """The graph that a variable lives in, None for an eager one."""
    if _is_partitioned(variable):
        variable = next(iter(variable))
    variable = _inner(variable)
    if getattr(variable, "_in_graph_mode", True) is False:
        return None
    graph = getattr(variable, "graph", None)
    return graph if hasattr(graph, "get_collection") and not hasattr(graph, "captures") else None


def _of_graph(graph: Any, *, evidence: bool) -> Listing:
    """The listing of a graph's variables, with the evidence that its nodes hold if that is wanted."""
    from google.protobuf.message import EncodeError

    collections = Collections({key: _definitions(graph, key) for key in _keys(graph)})
    try:
        data = (graph.as_graph_def() if evidence else _variable_nodes(graph)).SerializeToString()
    except (ValueError, EncodeError):
        raise UnsupportedTarget(
            "this graph is larger than 2 GiB, mostly constants. Give the list of its variables instead."
        ) from None
    return listing_of(MetaGraph(read_graph(data), collections), None)


def _variable_nodes(graph: Any) -> Any:
    """The graph's variable nodes alone, as a GraphDef."""
    import tensorflow as tf

    nodes = [node.node_def for node in graph.get_operations() if node.type in VARIABLE_OPS]
    return tf.compat.v1.GraphDef(node=nodes)


def _keys(graph: Any) -> list[str]:
    return [
        key for key in graph.get_all_collection_keys() if isinstance(key, str) and key.endswith("variables")
    ]


def _definitions(graph: Any, key: str) -> list[VariableDef]:
    """The variables of a collection, as a `.meta` describes them."""
    members = [part for member in graph.get_collection(key) for part in _parts(member)]
    return [
        _definition(member) for member in members if hasattr(member, "op") and hasattr(member, "initializer")
    ]


def _parts(variable: Any) -> list[Any]:
    return list(variable) if _is_partitioned(variable) else [variable]


def _definition(variable: Any) -> VariableDef:
    info = getattr(variable, "_save_slice_info", None)
    place = None
    if info is not None:
        axes = (info.full_shape, info.var_offset, info.var_shape)
        place = SliceInfo(info.full_name, *(tuple(map(int, sizes)) for sizes in axes))
    return VariableDef(variable.op.name, getattr(variable.initializer, "name", ""), place)

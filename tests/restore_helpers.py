"""Plans written by hand, and checkpoints written by TensorFlow."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import tensorflow as tf

from automatch.plan import Options, Pair, Plan, Side, Unmatched, Unused
from automatch.read import read
from automatch.tensor import Listing

tf1 = tf.compat.v1

# For strategies with two replicas; too late where a test module before this one has made a tensor, in which
# case both replicas lie on one device.
with contextlib.suppress(RuntimeError):
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )

# Values, a dtype that one of them does not fit into, and how that one is told.
MISFITS = [
    (np.array([1, 2**40]), "int32", "1099511627776"),
    (np.array([-1, 5]), "uint8", "-1"),
    (np.array([1.5, np.nan], np.float32), "int32", "nan"),
    (np.array([1, np.inf], ml_dtypes.bfloat16), "int64", "inf"),
    (np.array([2.0**63, 0]), "int64", r"9\.22"),
    (np.array([0.1, 1e300]), "float32", r"1e\+300"),
    (np.array([7e4, 1], np.float32), "float16", "70000"),
    (np.array([3.4e38, 1], np.float32), "bfloat16", r"3\.4e\+38"),
]
# Values that fit, rounded perhaps.
FITS = [
    (np.array([2**31 - 1, -(2**31)]), "int32"),
    (np.array([1.75, -(2.0**31)]), "int32"),
    (np.array([0.1, np.nan, np.inf]), "float16"),
    (np.array([2**63 - 1, 1]), "float32"),
    (np.array([1e-30, 0.1], np.float32), "bfloat16"),
]


def plan_of(
    source: Listing, target: Listing, pairs: Mapping[str, str | tuple[str, str]], decision: str = "accept"
) -> Plan:
    """A plan with these pairs: target name -> source name, or (source name, transform)."""
    wanted = {name: (pair, "identity") if isinstance(pair, str) else pair for name, pair in pairs.items()}
    used = [name for name, _ in wanted.values()]
    assert set(wanted) <= set(target.by_name), f"the target has only {list(target.by_name)}"
    return Plan(
        made_by="test",
        source=Side.of(source),
        target=Side.of(target),
        options=Options(),
        pairs=tuple(
            Pair(
                target=t.name,
                source=wanted[t.name][0],
                shape=t.shape,
                dtype=t.dtype,
                transform=wanted[t.name][1],
                score=0.9,
                margin=0.5,
                rule=None,
                decision=decision,
                by="person",
                tied=used.count(wanted[t.name][0]) > 1,
            )
            for t in target.tensors
            if t.name in wanted
        ),
        unmatched=tuple(
            Unmatched(t.name, t.shape, t.dtype, "nothing fits")
            for t in target.tensors
            if t.name not in wanted
        ),
        unused=tuple(Unused(t.name, "no target takes it") for t in source.tensors if t.name not in used),
    )


def checkpoint(folder: Path, values: Mapping[str, np.ndarray], name: str = "old.ckpt") -> str:
    """The prefix of a checkpoint with these tensors, written by TensorFlow."""
    with tf.Graph().as_default(), tf1.Session() as session:
        variables = {key: tf1.Variable(value, name=f"v{i}") for i, (key, value) in enumerate(values.items())}
        session.run(tf1.global_variables_initializer())
        prefix: str = tf1.train.Saver(variables).save(session, str(folder / name), write_meta_graph=False)
    return prefix


def partitioned_checkpoint(folder: Path, values: Mapping[str, np.ndarray], parts: int) -> str:
    """The same, with each tensor partitioned along its first axis."""
    with tf.Graph().as_default(), tf1.Session() as session:
        for key, value in values.items():
            partitioned(key, value, parts)
        session.run(tf1.global_variables_initializer())
        saver = tf1.train.Saver()
        prefix: str = saver.save(session, str(folder / "parts.ckpt"), write_meta_graph=False)
    return prefix


def partitioned(name: str, value: np.ndarray, parts: int) -> list[tf1.Variable]:
    """The parts, along the first axis, of a variable whose initial value this is."""

    def part(shape: list[int], dtype: object = None, partition_info: Any = None) -> tf.Tensor:
        first = partition_info.var_offset[0]
        return tf.constant(value[first : first + shape[0]], dtype)

    dtype = tf.string if value.dtype == object else tf.as_dtype(value.dtype)
    partitioner = tf1.fixed_size_partitioner(parts)
    return list(tf1.get_variable(name, value.shape, dtype, initializer=part, partitioner=partitioner))


def sharded_checkpoint(folder: Path, values: Mapping[str, np.ndarray], shards: int) -> str:
    """The same, with tensors dealt to data shards in turn, as parameter servers write them."""
    prefix = str(folder / "sharded.ckpt")
    names = list(values)
    pieces = [f"{prefix}_{shard}" for shard in range(shards)]
    for shard, piece in enumerate(pieces):
        mine = names[shard::shards]
        tf.raw_ops.SaveV2(
            prefix=piece,
            tensor_names=mine,
            shape_and_slices=[""] * len(mine),
            tensors=[values[name] for name in mine],
        )
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=pieces, destination_prefix=prefix)
    return prefix


def random_values(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, np.ndarray]:
    """Distinct values for each name."""
    random = np.random.default_rng(seed)
    return {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


__all__ = [
    "FITS",
    "MISFITS",
    "checkpoint",
    "partitioned",
    "partitioned_checkpoint",
    "plan_of",
    "random_values",
    "read",
    "sharded_checkpoint",
    "tf1",
]

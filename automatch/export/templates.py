"""The code that is exported, with holes for names."""

from __future__ import annotations

__all__ = ["ASSIGNMENT_MAP", "LOOK_UP", "REGEX", "SAVER_BUILDER", "VAR_LIST"]

# The body of a function that is given a name.
LOOK_UP = """\
    if name in NAMES:
        return NAMES[name]
    for pattern, replacement in RULES:
        found = re.fullmatch(pattern, name)
        if found:
            return replacement(found) if callable(replacement) else found.expand(replacement)
    return None"""

VAR_LIST = '''"""Restores {variables} of {target} from {source}."""

import tensorflow as tf

# Name in the checkpoint: name in the graph.
NAMES = {{
{names}
}}


def var_list(graph=None):
    """The dict for tf.compat.v1.train.Saver; a partitioned variable is the list of its parts."""
    graph = graph or tf.compat.v1.get_default_graph()
    variables = {{}}
    for key in (tf.compat.v1.GraphKeys.GLOBAL_VARIABLES, tf.compat.v1.GraphKeys.MODEL_VARIABLES):
        for variable in graph.get_collection(key):
            part = getattr(variable, "_save_slice_info", None)
            if part is None:
                variables[variable.op.name] = variable
            elif variable not in variables.setdefault(part.full_name, []):
                variables[part.full_name].append(variable)
    return {{old: variables[new] for old, new in NAMES.items()}}


# saver = tf.compat.v1.train.Saver(var_list())
# saver.restore(session, {path})
'''

ASSIGNMENT_MAP = '''"""Initialises {variables} of {target} from {source}.

The names are those of variables made by tf.compat.v1.get_variable. Call init_from_checkpoint after the graph
is built and before the initializers run.
"""

# Name in the checkpoint: name in the graph.
assignment_map = {{
{names}
}}

# tf.compat.v1.train.init_from_checkpoint({path}, assignment_map)
'''


SAVER_BUILDER = '''"""Restores {variables} of {target} from {source}."""

import re

import tensorflow as tf
from tensorflow.python.training.saver import BaseSaverBuilder

# From the names of the graph to those of the checkpoint. What no rule and no name says is left alone.
RULES = [
{rules}
]
NAMES = {{
{names}
}}
# What is done to a tensor before it is assigned.
CHANGES = {{
{changes}
}}
# What the checkpoint holds, where that is converted to the variable's own dtype.
DTYPES = {{
{dtypes}
}}
# Of these TensorFlow reads no other slices than are stored: the whole, or these.
AS_STORED = (tf.float16, tf.uint16, tf.uint32, tf.uint64, tf.string)
PARTS = {{
{parts}
}}


def name_in_checkpoint(name):
{look_up}


class RenamingBuilder(BaseSaverBuilder):
    """Reads each variable under the name that the checkpoint has for it."""

    def _AddRestoreOps(self, filename_tensor, saveables, *rest, **named):
        known = [saveable for saveable in saveables if name_in_checkpoint(saveable.specs[0].name)]
        return super()._AddRestoreOps(filename_tensor, known, *rest, **named)

    def restore_op(self, filename_tensor, saveable, preferred_shard):
        return [self._read(filename_tensor, spec) for spec in saveable.specs]

    def _read(self, filename_tensor, spec):
        steps = CHANGES.get(spec.name, [])
        stored = tf.as_dtype(DTYPES.get(spec.name, spec.dtype)).base_dtype
        known = PARTS.get(spec.name, [""]) if stored in AS_STORED else ["", spec.slice_spec]
        # What is changed is cut afterwards.
        whole = bool(steps) or spec.slice_spec not in known
        if whole and "" not in known:
            raise ValueError(f"TensorFlow does not join the stored parts of {{spec.name}}. Leave it out.")
        tensor = tf.raw_ops.RestoreV2(
            prefix=filename_tensor,
            tensor_names=[name_in_checkpoint(spec.name)],
            shape_and_slices=["" if whole else spec.slice_spec],
            dtypes=[stored],
        )[0]
        for step, axes in steps:
            tensor = tf.transpose(tensor, axes) if step == "transpose" else tf.reshape(tensor, axes)
        if whole and spec.slice_spec:
            # "6 4 0,2:0,4": the whole shape, then start and length on each axis.
            *_, place = spec.slice_spec.split()
            spans = [("0,-1" if span == "-" else span).split(",") for span in place.split(":")]
            tensor = tf.slice(tensor, [int(start) for start, _ in spans], [int(count) for _, count in spans])
        return tf.cast(tensor, spec.dtype)


# saver = tf.compat.v1.train.Saver(builder=RenamingBuilder())
# saver.restore(session, {path})
'''


REGEX = '''"""Renames {variables} of {source} to those of {target}."""

import re

# Name in the checkpoint, name in the graph; the first that matches the whole name counts.
RULES = [
{rules}
]
# What no rule says.
NAMES = {{
{names}
}}


def renamed(name):
    """The name in the graph; None for a tensor that has no counterpart there."""
{look_up}
'''

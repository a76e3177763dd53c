"""A graph tells what its own Savers ask a checkpoint for, and which variables take it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.training.saver import BaseSaverBuilder, BulkSaverBuilder

from automatch.read import read
from automatch.read.graph import read_graph
from automatch.read.saver_keys import find_saver_keys

tf1 = tf.compat.v1


class Mean(BaseSaverBuilder.SaveableObject):
    """Copies of a variable, saved as their mean and each restored from it."""

    def __init__(self, copies, name):
        self.copies = copies
        mean = tf.add_n([copy + 0 for copy in copies]) / len(copies)
        super().__init__(copies[0], [BaseSaverBuilder.SaveSpec(mean, "", name)], name)

    def restore(self, restored_tensors, restored_shapes):
        return tf.group(*[copy.assign(restored_tensors[0]) for copy in self.copies])


class OldNames(BulkSaverBuilder):
    """A restore builder that reads each variable under the name that it had."""

    def bulk_restore(self, filename_tensor, saveables, preferred_shard, restore_sequentially):
        specs = [spec for saveable in saveables for spec in saveable.specs]
        return tf1.raw_ops.RestoreV2(
            prefix=filename_tensor,
            tensor_names=["old/" + spec.name for spec in specs],
            shape_and_slices=[spec.slice_spec for spec in specs],
            dtypes=[spec.dtype for spec in specs],
        )


def keys_of(graph):
    found = find_saver_keys(read_graph(graph.as_graph_def().SerializeToString()))
    return [(key.key, key.piece, *key.variables) for key in found]


@pytest.fixture(params=[False, True], ids=["ref", "resource"])
def graph(request):
    with tf.Graph().as_default() as graph, tf1.variable_scope("", use_resource=request.param):
        yield graph


@pytest.mark.parametrize("sharded", [False, True])
def test_pieces_tables_and_copies_are_asked_for_as_the_saver_does(graph, tmp_path, sharded):
    parted = tf1.get_variable("parted", [10, 4], partitioner=tf1.fixed_size_partitioner(2))
    plain = tf1.get_variable("plain", [3])
    copies = [tf1.get_variable(f"copy_{i}", [3]) for i in range(2)]
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.float32, 0.0, name="table")
    everything = {"parted": parted, "renamed": plain, "mean": Mean(copies, "mean"), "words": table}
    tf1.train.Saver(everything, sharded=sharded)
    assert keys_of(graph) == [
        ("mean", "", "copy_0", "copy_1"),
        ("parted", "10 4 0,5:0,4", "parted/part_0"),
        ("parted", "10 4 5,5:0,4", "parted/part_1"),
        ("renamed", "", "plain"),
        ("words-keys", ""),
        ("words-values", ""),
    ]
    tf1.train.export_meta_graph(str(tmp_path / "graph.meta"))
    listing = read(tmp_path / "graph.meta")
    assert list(listing.by_name) == ["parted", "plain", "copy_0", "copy_1"]
    assert listing.saveables == ("mean", "words-keys", "words-values")


def test_what_is_restored_counts_where_it_is_saved_under_other_names(graph):
    for name in ("a", "b"):
        tf1.get_variable(name, [3])
    tf1.train.Saver(builder=OldNames())
    assert keys_of(graph) == [("old/a", "", "a"), ("old/b", "", "b")]


@pytest.mark.parametrize("version", [tf1.train.SaverDef.V1, tf1.train.SaverDef.V2])
@pytest.mark.filterwarnings("ignore")
def test_a_saver_that_restores_one_by_one_and_reshapes(graph, version):
    for name in ("a", "b"):
        tf1.get_variable(name, [3])
    tf1.train.Saver(builder=BaseSaverBuilder(version), reshape=True, write_version=version)
    assert keys_of(graph) == [("a", "", "a"), ("b", "", "b")]


def test_averages_that_are_restored_into_their_variables_name_both(graph):
    weight = tf1.get_variable("w", [3])
    average = tf1.train.ExponentialMovingAverage(0.9)
    average.apply([weight])
    tf1.train.Saver(average.variables_to_restore())
    assert keys_of(graph) == [("w/ExponentialMovingAverage", "", "w")]


def test_another_file_that_gives_first_values_is_not_asked_for_by_a_saver(graph, tmp_path):
    tf1.get_variable("new/w", [3])
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.get_variable("old/w", initializer=np.ones(3, "f4"))
        session.run(tf1.global_variables_initializer())
        tf1.train.Saver().save(session, str(tmp_path / "old"))
    tf1.train.init_from_checkpoint(str(tmp_path / "old"), {"old/w": "new/w"})
    assert keys_of(graph) == []
    tf1.train.Saver()
    assert keys_of(graph) == [("new/w", "", "new/w")]


def test_a_graph_that_only_saves_tells_its_keys_by_that(graph):
    weight = tf1.get_variable("w", [3])
    file = tf1.placeholder(tf.string, [])
    tf1.raw_ops.SaveV2(
        prefix=file, tensor_names=["k", "sum"], shape_and_slices=["", ""], tensors=[weight, weight + 1]
    )
    assert keys_of(graph) == [("k", "", "w"), ("sum", "")]

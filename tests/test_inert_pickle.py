"""Pickles of plain data come out as the standard library reads them, everything else as a record."""

from __future__ import annotations

import io
import pickle
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automatch.read.inert_pickle import Bounded, Call, Global, loads

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner) | st.tuples(inner, inner)
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(PLAIN, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_data_is_read_as_the_library_reads_it(data, protocol):
    assert loads(io.BytesIO(pickle.dumps(data, protocol))) == data


def test_what_is_pickled_twice_is_one_thing():
    shared = [1]
    first, second = loads(io.BytesIO(pickle.dumps([shared, shared])))
    assert first is second


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_class_is_its_name_and_an_instance_what_it_was_made_of(protocol):
    record = loads(io.BytesIO(pickle.dumps([complex, ValueError("no")], protocol)))
    assert record[0].name.endswith(".complex")
    assert isinstance(record[0], Global)
    assert isinstance(record[1], Call)
    assert record[1].name.endswith(".ValueError")
    assert record[1].args == ("no",)


def test_several_pickles_in_a_file_are_read_one_after_the_other():
    file = io.BytesIO(pickle.dumps(1) + pickle.dumps("two") + b"rest")
    assert [loads(Bounded(file, 1000)), loads(Bounded(file, 1000))] == [1, "two"]
    assert file.read() == b"rest"


def test_a_pickle_over_the_limit_is_refused():
    with pytest.raises(ValueError, match="exhausted|newline|expected"):
        loads(Bounded(io.BytesIO(pickle.dumps("a" * 100)), 50))


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 5))
def test_noise_is_read_or_raises_what_readers_expect(noise, protocol):
    with suppress(ValueError, IndexError, KeyError, TypeError):
        loads(io.BytesIO(bytes([0x80, protocol]) + noise + b"."))

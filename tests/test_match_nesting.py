"""A side that is sorted by name still says which scope holds what: that shows the order it was created in."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from automatch.evidence.scopes import Way, places_in, tree
from match_models import answer, listed, side

Layer = tuple[str, str, int, int]
"""Name of the source, name of the target, input and output channels."""


def _kernels(layers: Sequence[Layer]) -> tuple[str, str, dict[str, str]]:
    """Both listings of kernels, and which source each target has."""
    return listed(
        [(f"{name}/weights", f"{wanted}/kernel", f"1 1 {into} {out}") for name, wanted, into, out in layers]
    )


def _row(names: Sequence[tuple[str, int, int]]) -> list[Layer]:
    return [(name, f"conv2d_{i}", into, out) for i, (name, into, out) in enumerate(names)]


def test_words_without_a_known_order_are_put_in_the_one_that_the_shapes_leave() -> None:
    """By the alphabet a block would begin with `bottle`; no two of its layers could change places."""
    layers = _row(
        [("zero", 3, 64)]
        + [
            (f"stage_{stage}/{word}", into * 2**stage, out * 2**stage)
            for stage in range(4)
            for word, into, out in (
                ("squeeze", 64, 16),
                ("gather", 16, 20),
                ("bottle", 20, 64),
                ("mask", 64, 6),
                ("alter", 6, 64),
            )
        ]
    )
    source, target, right = _kernels(layers)
    assert answer(side(source), side(target, order="creation")).accepted == right


def test_layers_that_could_change_places_stay_a_question() -> None:
    """`left` and `right` hold the same in every block, and one of them was created first."""
    layers = _row(
        [("zero", 3, 64)]
        + [
            (f"stage_{stage}/{word}", 64, out)
            for stage in range(4)
            for word, out in (("squeeze", 16), ("right", 24), ("left", 24), ("bottle", 40))
        ]
    )
    source, target, right = _kernels(layers)
    found = answer(side(source), side(target, order="creation")).accepted
    assert found == {
        name: given for name, given in right.items() if not given.endswith(("left/weights", "right/weights"))
    }


def test_a_block_that_leaves_no_choice_decides_for_those_that_are_written_by_the_same_code() -> None:
    """Only in stage 0 does `right` have another shape than `left`."""
    layers = _row(
        [("zero", 3, 64)]
        + [
            (f"stage_{stage}/{word}", 64, out)
            for stage in range(4)
            for word, out in (
                ("squeeze", 16),
                ("right", 20 if stage == 0 else 24),
                ("left", 24),
                ("bottle", 40),
            )
        ]
    )
    source, target, right = _kernels(layers)
    assert answer(side(source), side(target, order="creation")).accepted == right


def test_what_stands_beside_a_row_that_counts_down_counts_down() -> None:
    """The shapes of `score_4` to `score_1` say so; those of the normalisations are all alike."""
    layers = [("net/decode/score_5/weights", "conv2d/kernel", "1 1 400 64")]
    for i, stage in enumerate((4, 3, 2, 1)):
        layers.append((f"net/decode/score_{stage}/weights", f"conv2d_{i + 1}/kernel", f"1 1 {80 * stage} 64"))
        layers += [
            (f"net/decode/up_{stage}_bn/{leaf}", f"batch_normalization_{i}/{leaf}", "64")
            for leaf in ("beta", "gamma")
        ]
    source, target, right = listed(layers)
    found = answer(side(source), side(target, order="creation")).accepted
    assert {name: right[name] for name in found} == found


def test_a_row_within_a_row_that_counts_down_may_count_down_as_well() -> None:
    """`up2_3` comes before `up2_2`, as `up2_4` shows; so may `up3_3` before `up3_2`, which nothing shows."""
    widths, names = {0: 3, 1: 16, 2: 24, 3: 40}, []
    for level in (1, 2, 3):
        names.append((f"net/down{level}_1", widths[level - 1], widths[level]))
        names += [
            (f"net/down{level}_{block}/{word}", widths[level], widths[level])
            for block in (2, 3, 4)
            for word in ("conv1", "conv2")
        ]
    for level in (3, 2, 1):
        names += [(f"net/up{level}_4", widths[level + 1], widths[level])] if level < 3 else []
        names += [
            (f"net/up{level}_{block}/{word}", widths[level], widths[level])
            for block in (3, 2, 1)
            for word in ("conv1", "conv2")
        ]
    source, target, right = _kernels(_row([*names, ("net/up1_0", 16, 5)]))
    found = answer(side(source), side(target, order="creation")).accepted
    assert {name: right[name] for name in found} == found
    assert len(found) > 0.5 * len(right)


def test_lists_that_stand_side_by_side_may_have_been_created_in_turn() -> None:
    """`first/0`, `second/0`, `first/1`, `second/1` here; all hold the same, so that no shape says so."""
    turns = [
        (f"stack/{stage}/convs{which}/{number}", 32 * (stage + 1), 32 * (stage + 1))
        for stage in range(3)
        for number in range(2)
        for which in range(2)
    ]
    source, target, right = _kernels(_row([("zero", 3, 32), *turns]))
    found = answer(side(source), side(target, order="creation")).accepted
    assert {name: right[name] for name in found} == found
    assert not any("convs0/1" in given or "convs1/0" in given for given in found.values())


def test_a_graph_lists_its_variables_as_they_were_created() -> None:
    """Nothing else says whether `res0/b` or `res1/a` comes second; a module might list them by attribute."""
    names = ["net/stage0/conv0", "net/stage0/conv1"]
    for stage in range(1, 4):
        steps = [f"res{unit}/{step}" for unit in range(max(2, stage)) for step in "ab"]
        names += [f"net/stage{stage}/{step}" for step in ("conv0", *steps)]
    pairs = [(f"conv2d_{i}", name, 16 if i else 3, 16) for i, name in enumerate(names)]
    count = len(pairs)
    pairs += [(f"conv2d_{count + 1}", "net/affine", 16, 6), (f"conv2d_{count}", "net/score", 16, 2)]
    source, target, right = _kernels(pairs)
    assert answer(side(source), side(target, order="creation")).accepted == right


def test_a_listing_by_depth_is_not_taken_for_one_by_creation() -> None:
    """`conv2d_23` is listed before `conv2d_22`; the other side counts layers as they are listed."""
    pairs = [
        (f"layer_with_weights-{2 * i}", f"conv2d_{21 + number}", into, out)
        for i, (number, into, out) in enumerate(
            ((0, 3, 16), (2, 16, 16), (1, 16, 16), (3, 16, 32), (5, 32, 32), (4, 32, 32), (6, 32, 64))
        )
    ]
    source, target, right = _kernels(pairs)
    found = answer(side(source, framework="tf2-object"), side(target, order="creation")).accepted
    assert {name: right[name] for name in found} == found


def test_a_normalisation_that_may_stand_before_or_behind_its_kernel_stays_a_question() -> None:
    """That of the stem before all blocks and each block's behind its kernel, or the other way round."""
    layers = [("net/first/weights", "conv2d/kernel", "1 1 3 32")]
    layers.append(("net/mean_norm/gamma", "batch_normalization/gamma", "32"))
    for block in range(6):
        layers.append((f"net/unit_{block}/mix/weights", f"conv2d_{block + 1}/kernel", "3 3 32 32"))
        layers.append((f"net/unit_{block}/mean_norm/gamma", f"batch_normalization_{block + 1}/gamma", "32"))
    source, target, right = listed(layers)
    found = answer(side(source), side(target, order="creation")).accepted
    assert found == {name: given for name, given in right.items() if name.startswith("conv2d")}


def test_what_only_one_side_holds_is_left_out_if_it_is_a_scope_of_its_own() -> None:
    """A discriminator of the same sizes beside the generator that is asked for."""
    words = (("widen", 8, 40), ("apply", 40, 24), ("mean", 24, 8))
    layers = [
        (
            f"maker/part_{part}/{word}/weights",
            f"conv2d_{3 * part + i}/kernel",
            f"1 1 {into << part} {out << part}",
        )
        for part in range(4)
        for i, (word, into, out) in enumerate(words)
    ]
    source, target, right = listed(layers)
    judge = "\n".join(
        f"judge/{word}/weights 1 1 {into << part} {out << part}"
        for part, (word, into, out) in enumerate(words)
    )
    assert answer(side(f"{judge}\n{source}"), side(target, order="creation")).accepted == right


_WORDS = ("blick", "dax", "fep", "wug")


@st.composite
def _created(draw: st.DrawFn) -> list[tuple[Way, int]]:
    """Ways to items in the order of creation, with their labels: scopes that are named alike are alike."""
    orders: dict[tuple[str, ...], list[str]] = {}

    def scope(path: tuple[str, ...]) -> list[tuple[Way, int]]:
        order = orders.setdefault(path, draw(st.permutations(_WORDS)))
        held = draw(st.sets(st.sampled_from(_WORDS), min_size=1))
        found: list[tuple[Way, int]] = []
        for word in filter(held.__contains__, order):
            for number in range(draw(st.integers(1, 3))) if draw(st.booleans()) else (-1,):
                deeper = len(path) < 3 and draw(st.booleans())
                inner = scope((*path, word)) if deeper else [((), draw(st.integers(0, 2)))]
                found += [((((word,), number), *way), label) for way, label in inner]
        return found

    return scope(())


@given(_created())
def test_the_order_of_creation_is_among_the_ways_to_read_it(created: list[tuple[Way, int]]) -> None:
    """So that an item which is alone at its place is the right one."""
    by_name = sorted(range(len(created)), key=lambda place: created[place][0])
    whole = tree([(created[place][0], item) for item, place in enumerate(by_name)])
    places = places_in(whole, [created[place][1] for place in by_name], [label for _, label in created])
    assert places
    assert all(item in places[place] for item, place in enumerate(by_name))


def test_of_two_numbers_in_one_component_either_may_be_the_outer_one() -> None:
    """`fuse_1_to_0` comes before `fuse_0_to_1` here, and both before what leads to 2."""
    names = [("first", 3, 32)]
    for block in range(3):
        for end in range(3):
            names += [
                (f"net/block_{block}/fuse_{start}_to_{end}", 32 << start, 32 << end)
                for start in range(3)
                if start != end
            ]
        names.append((f"net/block_{block}/mixed", 32, 40 + block))
        names.append((f"net/block_{block}/down", 40 + block, 32))
    source, target, right = _kernels(_row(names))
    found = answer(side(source), side(target, order="creation")).accepted
    assert {name: right[name] for name in found} == found
    assert {name for name in right if "fuse" in right[name]} <= found.keys()


def test_what_stands_behind_a_number_may_be_no_part_of_what_it_counts() -> None:
    """`conv1_skip` is made behind all blocks that come after `conv1`."""
    layers = [("conv1", "conv2d", 3, 16)]
    for block in range(2, 8):
        number = 3 * block - 5
        layers += [
            (f"fire{block}/squeeze", f"conv2d_{number}", 16, 8),
            (f"fire{block}/large", f"conv2d_{number + 1}", 8, 24),
            (f"fire{block}/small", f"conv2d_{number + 2}", 8, 16),
        ]
    layers += [("conv1_skip", "conv2d_19", 3, 12), ("conv14_prob", "conv2d_20", 16, 4)]
    source, target, right = _kernels(layers)
    found = answer(side(source), side(target, order="creation")).accepted
    assert {name: right[name] for name in found} == found
    assert found["conv2d_19/kernel"] == "conv1_skip/weights"
    assert found["conv2d_4/kernel"] == "fire3/squeeze/weights"


def test_what_one_pair_of_numbers_shows_holds_for_no_others_beside_it() -> None:
    """`conv_1` comes between `block_1` and `block_2`, as the widths say; `conv_0` anywhere before that."""
    names = [("net/conv_0", 16, 16)]
    for block in range(5):
        width = 16 if block < 2 else 32
        names += [(f"net/block_{block}/conv_{i}", width, width) for i in range(2)]
        if block == 1:
            names.append(("net/conv_1", 16, 32))
    source, target, right = _kernels(_row(names))
    found = answer(side(source), side(target, order="creation")).accepted
    assert {name: right[name] for name in found} == found


def test_of_two_rows_that_hold_the_same_the_one_that_codebases_begin_with_comes_first() -> None:
    """All layers of the encoder were created before those of the decoder, which are no others."""
    names = [("stem", 3, 32)]
    names += [
        (f"net/{part}_layer_{i}/{word}", into, out)
        for part in ("encoder", "decoder")
        for i in range(4)
        for word, into, out in (("shrink", 32, 16), ("mix", 16, 20), ("grow", 20, 32))
    ]
    source, target, right = _kernels(_row(names))
    assert answer(side(source), side(target, order="creation")).accepted == right


def test_letters_count_what_a_block_holds_twice() -> None:
    """`conv_a` was created before `conv_b`, in every block."""
    names = [("zero", 3, 16)]
    names += [
        (f"block_{i}/{word}_{letter}", into, out)
        for i in range(6)
        for letter in "ab"
        for word, into, out in (("wide", 16, 24), ("narrow", 24, 20), ("last", 20, 16))
    ]
    source, target, right = _kernels(_row(names))
    assert answer(side(source), side(target, order="creation")).accepted == right


def test_layers_that_a_constructor_makes_are_read_as_another_code_calls_them() -> None:
    """`last` is made before the gate that it is called behind, in every block."""
    block = (
        ("first", "3 3 16 16"),
        ("second", "3 3 12 16"),
        ("third", "3 3 12 4"),
        ("gate.down", "1 1 16 2"),
        ("gate.up", "1 1 2 16"),
        ("last", "1 1 16 16"),
    )
    called = [("stem", "3 3 3 16"), *((f"block{i}.{name}", shape) for i in range(4) for name, shape in block)]
    source, target, right = listed(
        [(f"{name}.kernel", f"conv2d_{i}/kernel", shape) for i, (name, shape) in enumerate(called)]
    )

    def constructed(line: str) -> tuple[str, bool]:
        return line.split(".", maxsplit=1)[0], ".gate." in line

    lines = sorted(source.splitlines(), key=constructed)
    made = [lines[-1], *lines[:-1]]
    found = answer(side("\n".join(made), order="creation"), side(target, order="creation")).accepted
    assert found == right


def test_scopes_that_are_the_same_are_read_where_the_whole_cannot_be() -> None:
    """`norm` was created before `norm_1`, as TensorFlow counts; the heads of the models differ."""
    layers = []
    for leaf in ("beta", "gamma"):
        layers += [
            (f"net/shared/norm/{leaf}", f"layer/first_ln/{leaf}", "16"),
            (f"net/shared/norm_1/{leaf}", f"layer/second_ln/{leaf}", "16"),
        ]
    kernels = [
        ("net/shared/mix/kernel", "layer/mix/kernel", "16 24"),
        ("net/shared/merge/kernel", "layer/merge/kernel", "24 16"),
        ("net/shared/wide/kernel", "layer/wide/kernel", "16 64"),
        ("net/shared/narrow/kernel", "layer/narrow/kernel", "64 16"),
    ]
    source, _, right = listed([*layers, *kernels])
    created = [*kernels[:2], *layers[::2], *kernels[2:], *layers[1::2]]
    target = "\n".join(f"{name} {shape}" for _, name, shape in created)
    heads = "net/head_a/kernel 16 7\nnet/head_b/kernel 16 9", "other/kernel 16 11\nother/bias 11"
    found = answer(side(f"{source}\n{heads[0]}"), side(f"{target}\n{heads[1]}", order="creation")).accepted
    assert found == right

"""Who goes with whom, and who with nobody: heads, towers, layers, shifted numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest

import automatch
from automatch.tensor import Listing, Order, Shape, Tensor
from match_models import (
    Model,
    Part,
    answer,
    keras,
    less,
    listing,
    perceptron,
    residual,
    side,
    slim,
    transformer,
    truth,
    twice,
)

ORDERS: list[Order] = ["sorted", "creation"]


@pytest.mark.parametrize("order", ORDERS)
def test_a_new_head_has_no_counterpart(order: Order) -> None:
    source = listing(transformer(), slim)
    target = listing(transformer(classes=16), keras, order=order)
    found = answer(source, target)
    assert found.accepted == truth(transformer(), keras, slim)
    assert "net/classifier/kernel" not in found.accepted


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("make", [lambda n: transformer(classes=n), lambda n: residual(classes=n)])
def test_a_head_of_another_class_count_stays_as_it_is(make: Callable[[int], Model], order: Order) -> None:
    found = answer(listing(make(10), slim), listing(make(7), keras, order=order))
    assert {name for name in found.unmatched if "classifier" in name} == {
        "net/classifier/kernel",
        "net/classifier/bias",
    }
    assert found.accepted.items() <= truth(make(7), keras, slim).items()


def test_a_missing_pooler_is_nobodys_guess() -> None:
    found = answer(listing(less(transformer(), ("pooler",)), slim), listing(transformer(), keras))
    assert found.accepted == truth(less(transformer(), ("pooler",)), keras, slim)


def test_what_the_target_lacks_is_left_over() -> None:
    found = answer(listing(transformer(classes=16), slim), listing(less(transformer(), ("pooler",)), keras))
    assert found.accepted == truth(less(transformer(), ("pooler",)), keras, slim)


@pytest.mark.parametrize(("here", "there"), [(3, 4), (4, 3), (2, 5)])
def test_layers_more_or_fewer_are_no_reason_for_a_wrong_pair(here: int, there: int) -> None:
    source, target = transformer(here), transformer(there)
    found = answer(listing(source, slim), listing(target, keras, order="creation"))
    both = transformer(min(here, there))
    wrong = set(found.accepted.items()) - set(truth(both, keras, slim).items())
    assert not wrong


@pytest.mark.parametrize("shift", [1, 7])
def test_numbers_may_start_anywhere(shift: int) -> None:
    def shifted(part: Part) -> str:
        return slim(("layer", int(part[1]) + shift, *part[2:]) if part[0] == "layer" else part)

    found = answer(listing(transformer(4), shifted), listing(transformer(4), slim, order="creation"))
    assert found.accepted == truth(transformer(4), slim, shifted)


def test_ten_comes_after_nine() -> None:
    model = transformer(12, 8)
    found = answer(listing(model, slim), listing(model, keras, order="creation"))
    assert found.accepted == truth(model, keras, slim)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("model", [transformer(2), residual((1, 1))], ids=["transformer", "residual"])
def test_one_tower_initialises_both(model: Model, order: Order) -> None:
    found = answer(listing(model, slim), twice(model, keras, "query_tower", "document_tower", order=order))
    right = {
        f"{tower}/{t}": s
        for tower in ("query_tower", "document_tower")
        for t, s in truth(model, keras, slim).items()
    }
    assert found.accepted.items() <= right.items()
    assert len(found.accepted) >= 0.8 * len(right)
    of_tower = [
        {name.partition("/")[2] for name in found.accepted if name.startswith(tower)} for tower in ("q", "d")
    ]
    assert of_tower[0] == of_tower[1]


@pytest.mark.parametrize("order", ORDERS)
def test_two_equal_towers_of_the_source_are_not_guessed_between(order: Order) -> None:
    model = transformer(2)
    source = twice(model, slim, "student", "teacher", order="sorted")
    assert answer(source, listing(model, keras, order=order)).accepted == {}


def test_equal_layers_of_unrelated_names_are_one_question() -> None:
    source = side("\n".join(f"{word} 16 16" for word in ("apple", "birch", "cedar", "olive", "plum")))
    target = side("\n".join(f"{word} 16 16" for word in ("granite", "jade", "onyx", "quartz", "ruby")))
    found = answer(source, target)
    assert found.accepted == {}
    assert len(found.undecided) + len(found.unmatched) == 5


def blocks(write: str, wide: str, narrow: str, framework: str) -> Listing:
    """Two blocks of a square kernel between others that are not."""
    kernels = {"attn": "8 8", "wide": wide, "narrow": narrow}
    lines = [f"{write.format(i, word)} {shape}" for i in range(2) for word, shape in kernels.items()]
    return side("\n".join(lines), framework=framework)


@pytest.mark.parametrize("framework", ["tf1", "keras2", "keras3", "flax"])
def test_square_kernels_are_transposed_as_the_others_are(framework: str) -> None:
    torch = blocks("layer.{}.{}.weight", "32 8", "8 32", "torch")
    other = blocks("layer/{}/{}/kernel", "8 32", "32 8", framework)
    for source, target in ((torch, other), (other, torch)):
        found = answer(source, target)
        assert len(found.accepted) == 6
        assert set(found.transforms.values()) == {"transpose:1,0"}


def test_square_kernels_that_share_a_source_are_all_transposed_as_the_others_are() -> None:
    source = side("a.fc.weight 8 4\na.out.weight 3 8\na.mid.weight 8 8", framework="torch")
    target = side("b/fc/kernel 4 8\nb/out/kernel 8 3\nb/mid/kernel 8 8\nc/mid/kernel 8 8")
    pairs = dict.fromkeys(("b/mid/kernel", "c/mid/kernel"), "a.mid.weight")
    found = answer(source, target, pairs=pairs)
    assert {name: found.transforms[name] for name in pairs} == dict.fromkeys(pairs, "transpose:1,0")


def test_square_kernels_stay_as_they_are_where_the_others_do() -> None:
    torch = blocks("layer.{}.{}.weight", "32 8", "8 32", "torch")
    other = blocks("layer/{}/{}/kernel", "32 8", "8 32", "keras2")
    found = answer(torch, other)
    assert len(found.accepted) == 6
    assert set(found.transforms.values()) == {"identity"}


def test_nothing_is_transposed_between_two_tensorflow_sides() -> None:
    source = side("a/dense/kernel 5 9\na/out/kernel 9 3")
    target = side("b/dense/kernel 9 5\nb/out/kernel 3 9")
    found = answer(source, target)
    assert found.accepted == {}
    assert found.transforms == {}
    assert set(found.unmatched) == {"b/dense/kernel", "b/out/kernel"}


def test_a_stem_may_be_called_anything() -> None:
    """What stands before all that is known is no new head, and neither is a normalisation."""
    body = less(residual((3, 3)), ("head",))

    def foreign(part: Part) -> str:
        return slim(part).replace("model/conv1", "entry")

    extra = tuple(Tensor(f"new{i}/kernel", (5, 5), "float32") for i in range(3))
    target = listing(body, foreign, order="creation")
    found = answer(
        listing(residual((3, 3)), slim, order="creation"), replace(target, tensors=(*target.tensors, *extra))
    )
    assert found.accepted == truth(body, foreign, slim)


def test_a_table_of_integers_is_never_transposed() -> None:
    names = ["block/attention/bias_idxs", "block/attention/query/weight", "block/mlp/fc1/weight"]
    shapes = [((9, 9), "int64"), ((8, 8), "float32"), ((16, 8), "float32")]
    source = Listing(
        tuple(Tensor(name.replace("/", "."), *shape) for name, shape in zip(names, shapes, strict=True)),
        framework="torch",
        order="creation",
    )
    wanted = side("m/block/attention/query/kernel 8 8\nm/block/mlp/fc1/kernel 8 16", order="creation")
    table = Tensor("m/block/attention/bias_idxs", (9, 9), "int64")
    found = answer(source, replace(wanted, tensors=(table, *wanted.tensors)))
    assert found.transforms["m/block/attention/bias_idxs"] == "identity"
    assert found.transforms["m/block/attention/query/kernel"] == "transpose:1,0"


@pytest.mark.parametrize("shapes", [((5, 4), (4, 5)), ((3, 2, 4, 5), (4, 5, 2, 3))])
def test_a_table_of_integers_that_fits_transposed_alone_is_left(shapes: tuple[Shape, Shape]) -> None:
    source = Listing(
        (Tensor("x.table", shapes[0], "int64"), Tensor("y.weight", (7, 4), "float32")), framework="torch"
    )
    target = Listing((Tensor("x/table", shapes[1], "int64"), Tensor("y/kernel", (4, 7), "float32")))
    assert answer(source, target).accepted == {"y/kernel": "y.weight"}


def test_a_square_parameter_outside_any_layer_is_a_question_between_torch_sides() -> None:
    source = side("text_projection 8 8\ntext.mlp.fc1.weight 16 8", framework="torch", order="creation")
    target = side("text_projection.weight 8 8\ntext.mlp.fc1.weight 16 8", framework="torch", order="creation")
    found = answer(source, target)
    assert "text_projection.weight" in found.undecided
    assert found.accepted == {"text.mlp.fc1.weight": "text.mlp.fc1.weight"}


@pytest.mark.parametrize("order", ORDERS)
def test_two_equal_towers_are_one_question_with_one_tower_proposed(order: Order) -> None:
    model = transformer(2)
    source = twice(model, slim, "student", "teacher", order="sorted")
    plan = automatch.suggest(source, listing(model, keras, order=order))
    assert {pair.source.partition("/")[0] for pair in plan.pairs} == {"student"}
    assert len({pair.group for pair in plan.pairs}) == 1


def test_checksums_for_names_decide_nothing() -> None:
    def hashed(seed: str) -> Listing:
        names = sorted(hashlib.md5(f"{seed}{i}".encode()).hexdigest()[:12] for i in range(60))
        return Listing(tuple(Tensor(name, (8, 8), "float32") for name in names))

    assert answer(hashed("here"), hashed("there")).accepted == {}
    assert len(answer(hashed("here"), hashed("here")).accepted) == 60


def test_the_first_of_a_numbered_row_has_no_number() -> None:
    """TensorFlow makes names unique as `dense`, `dense_1`, `dense_2`: the first is number 0."""
    lines = "{0}{1}/{2}/w 8 8\n{0}{1}/{3}/w 8 8\n{0}{1}/down/w 8 32"
    numbered = side("\n".join(lines.format("a/block", i, "in_0", "in_1") for i in range(3)))
    unique = side("\n".join(lines.format("b/layer", i, "dense", "dense_1") for i in range(3)))
    found = answer(numbered, unique)
    pairs = (("dense", "in_0"), ("dense_1", "in_1"), ("down", "down"))
    right = {f"b/layer{i}/{here}/w": f"a/block{i}/{there}/w" for i in range(3) for here, there in pairs}
    assert found.accepted == right


TOWER = """\
{0}/layer0/w 8 16
{0}/layer0/b 16
{0}/layer1/w 16 12
{0}/layer1/b 12
{0}/top/w 12 5
"""


def test_a_tower_of_another_name_is_no_copy_of_one_that_has_its_name() -> None:
    source = side(TOWER.format("electra"))
    target = side(TOWER.format("electra") + TOWER.format("generator"))
    found = answer(source, target)
    assert found.accepted == {name: name for name in source.by_name}


def test_a_tower_with_a_source_of_its_own_word_is_no_copy() -> None:
    words = {"v": "values", "q": "quality", "p": "policy", "r": "reward"}
    given = [f"model/{word}" for word in words.values()] + ["target/values"]
    source = side("".join(TOWER.format(scope) for scope in given))
    target = side("".join(TOWER.format(f"{net}/{word}") for net in ("main", "target") for word in words))
    taken = answer(source, target).accepted
    assert {
        name for name, given in taken.items() if name.startswith("target") and given.startswith("model")
    } == set()


def test_two_rows_of_many_are_not_many_rows_of_two() -> None:
    leaves = ("beta", "moving_mean", "moving_variance")
    norms = {1: "BatchNorm", 2: "BatchNorm_1"}
    given = "a/block_{0}/{1}/{2} 8"
    source = [
        given.format(i + 1, norm, leaf) for i in range(16) for norm in norms.values() for leaf in leaves
    ]
    kernels = [f"a/block_{i + 1}/conv_{j}/weights 3 3 8 8" for i in range(16) for j in norms]
    rows = []
    for i in range(16):
        for j in norms:
            rows += [f"n/c{j}/{i}/kernel 3 3 8 8", *(f"n/b{j}/{i}/{leaf} 8" for leaf in leaves)]
    found = answer(side("\n".join(source + kernels)), side("\n".join(rows), order="creation"))
    right = {
        f"n/b{j}/{i}/{leaf}": given.format(i + 1, norms[j], leaf)[:-2]
        for i in range(16)
        for j in norms
        for leaf in leaves
    }
    right |= {f"n/c{j}/{i}/kernel": f"a/block_{i + 1}/conv_{j}/weights" for i in range(16) for j in norms}
    assert found.accepted.items() <= right.items()


def test_a_single_number_is_not_taken_for_being_the_only_one() -> None:
    count = Tensor("normalization/count", (), "int64")
    step = Tensor("global_step", (), "int64")
    body, other = listing(perceptron(), slim), listing(perceptron(), keras)
    found = answer(
        replace(body, tensors=(*body.tensors, step)), replace(other, tensors=(*other.tensors, count))
    )
    assert found.accepted == truth(perceptron(), keras, slim)


def test_the_mark_of_a_moving_average_hides_no_role() -> None:
    lines = "{0}/bn/gamma 8\n{0}/bn/beta 8\n{0}/bn/{1} 8\n{0}/bn/{2} 8\n{0}/W 3 3 8 8"
    marked = side("\n".join(lines.format(f"conv{i}", "mean/EMA", "variance/EMA") for i in range(3)))
    plain = side("\n".join(lines.format(f"block{i}", "moving_mean", "moving_variance") for i in range(3)))
    found = answer(marked, plain)
    words = {"moving_mean": "mean/EMA", "moving_variance": "variance/EMA"}
    for i in range(3):
        for word, meant in words.items():
            assert found.accepted[f"block{i}/bn/{word}"] == f"conv{i}/bn/{meant}"


def test_what_neither_side_calls_a_kernel_may_be_laid_out_either_way() -> None:
    torch = blocks("layer.{}.{}.weight", "32 8", "8 32", "torch")
    other = blocks("layer/{}/{}/kernel", "8 32", "32 8", "keras2")
    noise = [
        replace(a, tensors=(*a.tensors, Tensor(name, (8, 8), "float32")))
        for a, name in ((torch, "layer.noise"), (other, "layer/noise"))
    ]
    found = answer(*noise)
    assert len(found.accepted) == 6
    assert "layer/noise" in found.undecided


def test_the_letter_d_counts_on_after_c() -> None:
    lines = "res{0}_branch/kernel 3 3 8 8\nbn{0}_branch/gamma 8\nbn{0}_branch/beta 8"
    there = "stage{0}/block{1}/conv/kernel 3 3 8 8\nstage{0}/block{1}/bn/gamma 8\nstage{0}/block{1}/bn/beta 8"
    places = [(stage, block) for stage in (2, 3, 4) for block in range(4)]
    source = side("\n".join(lines.format(f"{stage}{'abcd'[block]}") for stage, block in places))
    target = side("\n".join(there.format(stage, block) for stage, block in places))
    right = {}
    for stage, block in places:
        scope, mark = f"stage{stage}/block{block}", f"{stage}{'abcd'[block]}_branch"
        right |= {f"{scope}/conv/kernel": f"res{mark}/kernel"}
        right |= {f"{scope}/bn/{leaf}": f"bn{mark}/{leaf}" for leaf in ("gamma", "beta")}
    assert answer(source, target).accepted == right


def test_a_dense_kernel_behind_a_flattened_image_is_a_question_between_torch_and_tensorflow() -> None:
    """PyTorch flattens channels first: the rows of the right kernel still stand in another order."""
    torch = side(
        "conv.weight 16 3 3 3\nconv.bias 16\nfc1.weight 20 400\nfc1.bias 20\nfc2.weight 7 20\nfc2.bias 7",
        order="creation",
        framework="torch",
    )
    layers = "conv/kernel 3 3 3 16\nconv/bias 16\nfc1/kernel 400 20\nfc1/bias 20\nfc2/kernel 20 7\nfc2/bias 7"
    keras_side = side(layers, order="creation", framework="keras3")
    plan = automatch.suggest(torch, keras_side)
    (asked,) = plan.undecided
    assert asked.target == "fc1/kernel"
    assert "flattened image" in asked.why
    assert len(plan.accepted) == 5
    assert (
        answer(keras_side, replace(keras_side, framework="tf1")).accepted.keys() == keras_side.by_name.keys()
    )


def test_a_bias_of_three_axes_is_not_laid_out_as_a_kernel() -> None:
    torch = side("local.weight 9 8 4\nlocal.bias 16 9 9\nfc.weight 5 16", order="creation", framework="torch")
    other = side(
        "local/kernel 4 8 9\nlocal/bias 9 9 16\nfc/kernel 16 5", order="creation", framework="keras3"
    )
    assert "local/bias" in answer(torch, other).undecided

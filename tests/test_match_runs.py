"""Layers in rows: what is inside of a run is known, at its ends and between like siblings it is not."""

from __future__ import annotations

from match_models import answer, side

NORM = (
    ("weight", "gamma"),
    ("bias", "beta"),
    ("running_mean", "moving_mean"),
    ("running_var", "moving_variance"),
)


def test_a_layer_and_the_same_one_in_a_scope_of_its_own_follow_each_other_either_way() -> None:
    """`conv_block/conv` is the first of the two here, which stands behind `conv` in the alphabet."""
    source, target = [], []
    for block in range(6):
        size = 8 + 8 * (block // 2)
        for number, scope in ((1, "conv_block/"), (2, "")):
            source.append(f"blocks.{block}.conv{number}.weight {size} {size} 3 3")
            target.append(f"net/blocks/{block}/{scope}conv/kernel 3 3 {size} {size}")
            for given, wanted in NORM:
                source.append(f"blocks.{block}.bn{number}.{given} {size}")
                target.append(f"net/blocks/{block}/{scope}norm/{wanted} {size}")
    found = answer(side("\n".join(source), framework="torch", order="creation"), side("\n".join(target)))
    assert not found.accepted


def test_blocks_of_a_stage_are_no_levels_of_a_pyramid() -> None:
    """Codebases count a pyramid's levels from either end; what is within one is counted from its first."""
    rows = [
        (
            f"fpn.C{level}.{block}.conv{conv}.weight",
            f"res{level}{'abcdef'[block]}_branch2{'ab'[conv - 1]}/kernel",
            2**level,
        )
        for level in (2, 3)
        for block in range(6)
        for conv in (1, 2)
    ]
    source = side("\n".join(f"{given} 3 3 {size} {size}" for _, given, size in rows), order="creation")
    target = side(
        "\n".join(f"{name} {size} {size} 3 3" for name, _, size in rows), framework="torch", order="creation"
    )
    assert answer(source, target).accepted == {name: given for name, given, _ in rows}


def test_layers_of_numbered_scopes_do_not_take_turns() -> None:
    """All layers hold the same: their order is all there is, and it is that of both sides."""
    rows: list[tuple[str, str, str]] = []
    for block in range(12):
        for half, (conv, norm) in enumerate(((0, 1), (4, 5))):
            number = f"_{2 * block + half}" if block or half else ""
            rows.append((f"layers.{block}.{conv}.weight", f"conv2d{number}/kernel", "8 8 3 3"))
            rows.append((f"layers.{block}.{conv}.bias", f"conv2d{number}/bias", "8"))
            rows.append((f"layers.{block}.{norm}.weight", f"InstanceNorm{number}/gamma", "8"))
            rows.append((f"layers.{block}.{norm}.bias", f"InstanceNorm{number}/beta", "8"))
    target = side(
        "\n".join(f"{name} {shape}" for name, _, shape in rows), framework="torch", order="creation"
    )
    source = side("\n".join(f"{given} {shape.replace('8 8 3 3', '3 3 8 8')}" for _, given, shape in rows))
    assert answer(source, target).accepted == {name: given for name, given, _ in rows}


def test_what_was_moved_beside_a_long_branch_leaves_the_inside_of_it_known() -> None:
    """The way around a branch is created before it, and comes behind it where Keras sorts layers by depth.

    Which of the two ways from there is which, no listing says.
    """
    created: list[tuple[str, int]] = []
    by_depth: list[tuple[str, int]] = []
    for size in (32, 64, 128):
        branch = [("into", size), *((f"{half}{i}", size) for i in range(8) for half in "ab"), ("out", size)]
        created += [("down", size), ("around", size), *branch, ("join", size)]
        by_depth += [("down", size), *branch, ("around", size), ("join", size)]
    target = [
        line
        for i, layer in enumerate(created)
        for line in (f"conv2d_{i}/kernel {_kernel(*layer)}", *_norm(f"batch_normalization_{i}", *layer))
    ]
    source = [
        line
        for i, layer in enumerate(by_depth)
        for line in (
            f"layer_with_weights-{2 * i}/kernel {_kernel(*layer)}",
            *_norm(f"layer_with_weights-{2 * i + 1}", *layer),
        )
    ]
    place = {layer: 2 * i for i, layer in enumerate(by_depth)}
    right = {
        f"conv2d_{i}/kernel": f"layer_with_weights-{place[layer]}/kernel" for i, layer in enumerate(created)
    }
    right |= {
        f"batch_normalization_{i}/{part}": f"layer_with_weights-{place[layer] + 1}/{part}"
        for i, layer in enumerate(created)
        for _, part in NORM
    }
    found = answer(
        side("\n".join(source), framework="tf2-object"), side("\n".join(target), order="creation")
    ).accepted
    assert found == {name: right[name] for name in found}
    number = {layer: i for i, layer in enumerate(created)}
    assert not any(f"conv2d_{number['around', size]}/kernel" in found for size in (32, 64, 128))
    inside = [number[f"{half}{i}", size] for size in (32, 64, 128) for i in range(2, 6) for half in "ab"]
    assert {f"conv2d_{i}/kernel" for i in inside} <= found.keys()


def _kernel(part: str, size: int) -> str:
    wide = 2 * size
    shapes = {
        "down": (3, 3, size, wide),
        "around": (1, 1, wide, size),
        "into": (1, 1, wide, size),
        "join": (1, 1, wide, wide),
        "a": (1, 1, size, size),
        "b": (3, 3, size, size),
        "out": (1, 1, size, size),
    }
    return " ".join(map(str, shapes.get(part) or shapes[part[0]]))


def _norm(scope: str, part: str, size: int) -> list[str]:
    outputs = _kernel(part, size).split()[-1]
    return [f"{scope}/{of} {outputs}" for _, of in NORM]


def test_normalisations_that_stand_behind_all_kernels_of_a_block_are_in_order_among_themselves() -> None:
    """PyTorch lists a module as it was written: `conv1`, `conv2`, `bn1`, `bn2`."""
    source = [f"bn0.{of} 64" for of, _ in NORM]
    target = [f"batch_normalization/{of} 64" for _, of in NORM]
    right = {f"batch_normalization/{of}": f"bn0.{given}" for given, of in NORM}
    for i in range(12):
        block, number, size = i // 2, i % 2 + 1, 64 * 2 ** (i // 2)
        inputs = 1 if not i else size if number == 2 else size // 2
        norms = [f"block{block}.bn{n}.{of} {size}" for n in (1, 2) for of, _ in NORM]
        source += [f"block{block}.conv{number}.weight {size} {inputs} 3 3", *(norms if number == 2 else ())]
        suffix = f"_{i}" if i else ""
        target += [f"conv2d{suffix}/kernel 3 3 {inputs} {size}"]
        target += [f"batch_normalization_{i + 1}/{of} {size}" for _, of in NORM]
        right[f"conv2d{suffix}/kernel"] = f"block{block}.conv{number}.weight"
        right |= {
            f"batch_normalization_{i + 1}/{of}": f"block{block}.bn{number}.{given}" for given, of in NORM
        }
    found = answer(
        side("\n".join(source), framework="torch", order="creation"),
        side("\n".join(target), framework="keras", order="creation"),
    )
    assert found.accepted == right

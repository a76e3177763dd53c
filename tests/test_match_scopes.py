"""What holds scopes together, and rows whose numbers say less than they seem to."""

from __future__ import annotations

from match_models import answer, keras, listed, side, slim, transformer, twice


def test_which_way_layers_are_nested_is_a_question_where_there_are_as_many_both_ways() -> None:
    """`res_convs0/1` is the first convolution of the second block here, and no shape says so."""
    places = [(stack, a, b) for stack in range(3) for a in range(2) for b in range(2)]
    target = side(
        "\n".join(
            f"net/residual_{stack}_{a}/conv_2d{'_1' * b}/w 3 3 {8 + stack} {8 + stack}"
            for stack, a, b in places
        ),
        order="creation",
    )
    source = side(
        "\n".join(f"agent/stacks/{s}/res_convs{a}/{b}/kernel 3 3 {8 + s} {8 + s}" for s, a, b in places)
    )
    found = answer(source, target)
    assert not any(
        "residual_0_0/conv_2d_1" in name or "residual_0_1/conv_2d/" in name for name in found.accepted
    )


def test_attention_to_the_memory_is_attention_to_the_encoder() -> None:
    rows = [
        (f"model/decoder/layers.{i}/{ours}/{part}/kernel", f"decoder/layer_{i}/{theirs}/{part}/kernel")
        for i in range(3)
        for ours, theirs in (("self_attn", "self_attention"), ("encoder_attn", "memory_attention"))
        for part in ("q_proj", "k_proj", "v_proj", "out_proj")
    ]
    target = side("\n".join(f"{name} 8 8" for name, _ in rows), order="creation")
    assert answer(side("\n".join(f"{given} 8 8" for _, given in rows)), target).accepted == dict(rows)


def test_what_is_in_a_block_stays_in_it_whatever_its_row_would_rather() -> None:
    """Levels are counted from either end; the last part of a level holds the same in all of them."""
    levels = ((3, 32, 24), (2, 24, 24), (1, 16, 24), (0, 8, 24))
    rows: list[tuple[str, str, str]] = []
    for level, inner, outer in levels:
        for block in range(3):
            for part, shape in (("conv1", f"3 3 {outer} {inner}"), ("conv2", f"3 3 {inner} {outer}")):
                ours = f"model/up_{level}/block_{block}/{part}"
                theirs = f"up_blocks.{3 - level}.resnets.{block}.{part}"
                rows.append((f"{ours}/W", f"{theirs}.weight", shape))
        if level:
            name, given = (
                f"model/up_{level}/upsample/conv/W",
                f"up_blocks.{3 - level}.upsamplers.0.conv.weight",
            )
            rows.append((name, given, f"3 3 {outer} {outer}"))
    source = side(
        "\n".join(f"{given} {_torch(shape)}" for _, given, shape in rows), framework="torch", order="creation"
    )
    found = answer(source, side("\n".join(f"{name} {shape}" for name, _, shape in rows), order="creation"))
    right = {name: given for name, given, _ in rows}
    assert {name: right[name] for name in found.accepted} == found.accepted
    assert len(found.accepted) > len(rows) / 2


def _torch(shape: str) -> str:
    """A convolution's shape as PyTorch has it."""
    *space, given, made = shape.split()
    return " ".join((made, given, *space))


def test_equal_numbers_do_not_stand_against_the_order_where_a_row_is_parted() -> None:
    """`layers.0` is `proj_in`, and `layers_0` is `layers.1`: the same number, and another layer."""
    parts = (
        ("proj_in", "layers.0", 16, 16),
        ("proj_out", "layers.2", 16, 4),
        ("layers_0", "layers.1", 16, 16),
    )
    ours, theirs = [], []
    for i in range(6):
        for part, a, b in (("up", 8 + i, 9), ("down", 9, 8 + i)):
            ours.append(f"encoder/layer_{i}/{part}/kernel {a} {b}")
            theirs.append(f"encoder.layer.{i}.{part}.weight {b} {a}")
    for head in range(3):
        ours += [f"sam/decoder/mlps_{head}/{mine}/kernel {a} {b}" for mine, _, a, b in parts]
        theirs += sorted(f"decoder.mlps.{head}.{other}.weight {b} {a}" for _, other, a, b in parts)
    found = answer(
        side("\n".join(theirs), framework="torch", order="creation"),
        side("\n".join(ours), framework="keras", order="creation"),
    )
    for name, given in found.accepted.items():
        if "proj_in" in name or "layers_0" in name:
            assert given.endswith("layers.0.weight") == ("proj_in" in name)


def test_levels_of_a_pyramid_that_hold_the_same_are_a_question() -> None:
    parts = ("out_conv", "unit1/conv1", "unit1/conv2")
    target = side(
        "\n".join(f"scratch/refinenet{i}/{part}/kernel 3 3 8 8" for i in range(1, 5) for part in parts),
        order="creation",
    )
    source = side(
        "\n".join(f"neck/fusion_stage/layers/{i}/{part}/kernel 3 3 8 8" for i in range(4) for part in parts)
    )
    assert not answer(source, target).accepted
    assert len(answer(target, target).accepted) == 4 * len(parts)


def test_levels_whose_row_has_one_name_on_both_sides_are_no_question() -> None:
    """Whoever took over `pan_blocks` took over how it is counted."""
    parts = ("out_conv", "unit1/conv1", "unit1/conv2")
    target, source = (
        [f"{scope}/pan_blocks/{i}/{part}/kernel" for i in range(4) for part in parts]
        for scope in ("encoder", "neck")
    )
    found = answer(*(side("\n".join(f"{name} 3 3 8 8" for name in names)) for names in (source, target)))
    assert found.accepted == dict(zip(target, source, strict=True))


def test_a_step_of_three_is_no_step_of_one() -> None:
    """A Sequential counts its activations too: its `3` is the second convolution."""
    ours = [f"head/cls_convs/{i}/conv/kernel 3 3 8 8" for i in range(4)]
    theirs = [f"classification_head/conv/{3 * i}/kernel 3 3 8 8" for i in range(4)]
    found = answer(side("\n".join(theirs)), side("\n".join(ours), order="creation")).accepted
    assert all(3 * int(name.split("/")[2]) == int(given.split("/")[2]) for name, given in found.items())


def test_words_say_which_normalisation_of_a_block_is_the_first() -> None:
    rows = []
    for i in range(6):
        for ours, theirs in (("norm1", "layernorm_before"), ("norm2", "layernorm_after")):
            for leaf, role in (("weight", "scale"), ("bias", "bias")):
                rows.append((f"blocks.{i}.{ours}.{leaf}", f"beit/encoder/layer/{i}/{theirs}/{role}", "8"))
        rows.append(
            (f"blocks.{i}.mlp.fc1.weight", f"beit/encoder/layer/{i}/intermediate/dense/kernel", "16 8")
        )
        rows.append((f"blocks.{i}.mlp.fc2.weight", f"beit/encoder/layer/{i}/output/dense/kernel", "8 16"))
    target = side(
        "\n".join(f"{name} {shape}" for name, _, shape in rows), framework="torch", order="creation"
    )
    given = [(given, " ".join(shape.split()[::-1])) for _, given, shape in rows]
    source = side(
        "\n".join(f"{name} {shape}" for name, shape in sorted(given)), framework="flax", order="sorted"
    )
    assert answer(source, target).accepted == {name: given for name, given, _ in rows}


def test_counters_of_batches_follow_their_normalisation() -> None:
    leaves = ("weight", "bias", "running_mean", "running_var")
    ours = [f"backbone.layer{i}.bn{j}" for i in range(3) for j in range(2)]
    lines = [
        "\n".join((*(f"{name}.{leaf} {8 + i}" for leaf in leaves), f"{name}.num_batches_tracked"))
        for i, name in enumerate(ours)
    ]
    target = side("\n".join(lines), framework="torch", order="creation")
    source = side("\n".join(lines).replace("backbone.", "model.body."), framework="torch", order="creation")
    found = answer(source, target).accepted
    assert len(found) == len(target)
    assert all(name.replace("backbone.", "model.body.") == given for name, given in found.items())


def test_a_decoder_counted_from_its_end_is_put_in_order_by_what_is_settled() -> None:
    """`deconv3` comes before `deconv2`: two of its layers that have no double say so."""
    down = [(3, 8), (8, 8), (8, 16), (16, 16), (16, 24), (24, 24)]
    theirs = [f"enc{1 + i // 2}_{1 + i % 2}" for i in range(6)] + [
        f"dec{3 - i // 2}_{1 + i % 2}" for i in range(6)
    ]
    shapes = [*down, (24, 24), (24, 16), (16, 16), (16, 8), (8, 8), (8, 4)]
    rows = [
        (f"conv2d_{i}/kernel" if i else "conv2d/kernel", f"{given}/weights", f"3 3 {a} {b}")
        for i, (given, (a, b)) in enumerate(zip(theirs, shapes, strict=True))
    ]
    target = side("\n".join(f"{name} {shape}" for name, _, shape in rows), order="creation")
    found = answer(side("\n".join(f"{given} {shape}" for _, given, shape in rows)), target).accepted
    right = {name: given for name, given, _ in rows}
    assert {name: right[name] for name in found} == found
    assert found["conv2d_7/kernel"] == "dec3_2/weights"


def test_own_parameters_say_nothing_of_the_layout_of_layers() -> None:
    """A square kernel is transposed as the others of its model are, whatever a table of positions is."""
    rows = []
    for i in range(4):
        layer, block = f"vision/layers_{i}", f"encoder.blocks.{i}"
        rows.append((f"{layer}/attn/rel_pos_w", f"{block}.attn.rel_pos_w", "27 8"))
        rows.append((f"{layer}/attn/qkv/kernel", f"{block}.attn.qkv.weight", "8 24"))
        rows.append((f"{layer}/attn/proj/kernel", f"{block}.attn.proj.weight", "8 8"))
    target = side(
        "\n".join(f"{name} {shape}" for name, _, shape in rows), framework="keras", order="creation"
    )
    given = [
        f"{given} {shape if 'rel_pos' in given else ' '.join(shape.split()[::-1])}"
        for _, given, shape in rows
    ]
    found = answer(side("\n".join(given), framework="torch", order="creation"), target)
    assert found.accepted == {name: given for name, given, _ in rows}
    assert found.transforms["vision/layers_0/attn/proj/kernel"] == "transpose:1,0"


def test_a_tower_is_the_one_of_its_name_wherever_it_stands() -> None:
    """`question` was created first on one side, `context` on the other; both hold the same."""
    model = transformer(layers=2)
    given = twice(model, slim, "question_model", "ctx_model", order="creation")
    wanted = twice(model, keras, "ctx_encoder", "question_encoder", order="creation")
    found = answer(given, wanted).accepted
    assert {name.partition("_")[0]: given.partition("_")[0] for name, given in found.items()} == {
        "ctx": "ctx",
        "question": "question",
    }
    assert len(found) > 0.9 * len(wanted.tensors)


def test_a_vector_is_no_surer_than_the_kernels_of_its_scope() -> None:
    """Which feed-forward is the first one no name says; then none says it of the normalisations."""
    source, target = [], []
    for block in range(6):
        for word in ("", "_extra"):
            source += [
                f"encoder/{block}/forward{word}/w_1/kernel 16 64",
                f"encoder/{block}/forward{word}/w_2/kernel 64 16",
            ]
        source += [
            f"encoder/{block}/norm_forward{word}/{leaf} 16"
            for word in ("", "_extra")
            for leaf in ("gamma", "beta")
        ]
        for module in (1, 2):
            scope = f"net/block_{block}/forward_{module}"
            target += [f"{scope}/ln/gamma 16", f"{scope}/ln/beta 16"]
            target += [f"{scope}/dense_1/kernel 16 64", f"{scope}/dense_2/kernel 64 16"]
    found = answer(side("\n".join(source), order="creation"), side("\n".join(target), order="creation"))
    kernels = {name.rpartition("/dense")[0] for name in found.accepted if "dense" in name}
    norms = {name.rpartition("/ln")[0] for name in found.accepted if "/ln/" in name}
    assert norms <= kernels


def test_a_layer_normalisation_is_not_the_kernels_of_its_number() -> None:
    """`ln1` is what follows the attention, and no part of `ffn/1`."""
    parts = (("query", "q"), ("key", "k_"), ("value", "v"))
    layers = [(f"attention/self/{part}", f"attention/{letter}", "16 16") for part, letter in parts]
    layers += [("attention/output/dense", "attention/out", "16 16")]
    layers += [("intermediate/dense", "ffn/0", "16 64"), ("output/dense", "ffn/1", "64 16")]
    norms = (("attention/output", "ln1"), ("output", "ln2"))
    variables = [
        ("bert/embeddings/word_embeddings", "model/item_emb/embeddings", "50 16"),
        ("cls/predictions/output_bias", "model/item_bias/bias", "50"),
        ("bert/embeddings/LayerNorm/gamma", "model/norm/gamma", "16"),
        ("bert/embeddings/LayerNorm/beta", "model/norm/beta", "16"),
    ]
    for i in range(2):
        here, there = f"bert/encoder/layer_{i}", f"model/blocks/{i}"
        for given, wanted, shape in layers:
            variables.append((f"{here}/{given}/kernel", f"{there}/{wanted}/kernel", shape))
            variables.append((f"{here}/{given}/bias", f"{there}/{wanted}/bias", shape.split()[1]))
        for given, wanted in norms:
            norm = f"{here}/{given}/LayerNorm", f"{there}/{wanted}"
            variables += [(f"{norm[0]}/{leaf}", f"{norm[1]}/{leaf}", "16") for leaf in ("gamma", "beta")]
    source, target, right = listed(variables)
    found = answer(side(source), side(target, framework="tf2-object")).accepted
    assert {name: right[name] for name in found} == found
    assert sum("/kernel" in name for name in found) == 12


def test_what_is_repeated_is_no_new_head_though_a_name_like_its_own_has_another_shape() -> None:
    """By its words `in_layers` is most like `cond_layer`, which the target has not."""
    variables, more = [], []
    for flow in range(4):
        here, there = f"net/glow_{flow}/wavenet", f"model/wn/{flow}"
        for layer in range(3):
            for given, wanted, shape in (
                ("dilated_conv", "in_layers", "3 16 32"),
                ("skip", "skip", "1 16 24"),
            ):
                name = f"{here}/{given}_{layer}", f"{there}/{wanted}/{layer}"
                variables.append((f"{name[0]}/kernel", f"{name[1]}/kernel", shape))
                variables.append((f"{name[0]}/bias", f"{name[1]}/bias", shape.split()[2]))
            more += [f"{here}/cond_layer_{layer}/kernel 1 8 20", f"{here}/cond_layer_{layer}/bias 20"]
    source, target, right = listed(variables)
    found = answer(side("\n".join([source, *more])), side(target, framework="tf2-object"))
    assert found.accepted == right

"""Writes small models of real libraries with random weights, and in `<name>.npz` what they make of an input.

pip install torch==2.13.0 transformers safetensors    python write.py torch
                                                          python write.py efficientnet
                                                          python write.py recurrent
pip install flax==0.12.8                              python write.py flax
pip install dm-haiku==0.0.17                           python write.py haiku
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def write_torch() -> None:
    """BERT as safetensors, a training checkpoint of a ResNet, a ConvNeXt in PyTorch's older format."""
    import torch
    from safetensors.torch import save_file
    from transformers import BertConfig, BertModel, ConvNextConfig, ConvNextModel, ResNetConfig, ResNetModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    bert = BertModel(BertConfig(vocab_size=50, max_position_embeddings=12, **sizes))
    resnet = ResNetModel(
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[2, 2], layer_type="basic")
    )
    convnext = ConvNextModel(ConvNextConfig(num_stages=2, hidden_sizes=[8, 12], depths=[1, 2]))
    tokens = torch.arange(20).reshape(2, 10) * 7 % 50
    images = torch.rand(2, 3, 32, 32)
    for name, model, given in (
        ("bert", bert, tokens),
        ("resnet", resnet, images),
        ("convnext", convnext, images),
    ):
        _shake(model)
        with torch.no_grad():
            output = model.eval()(given).last_hidden_state
        np.savez(HERE / f"{name}.npz", input=given.numpy(), output=output.numpy())
    save_file(bert.state_dict(), HERE / "bert.safetensors", metadata={"format": "pt"})
    torch.save({"model": resnet.state_dict(), "epoch": 1}, HERE / "resnet.pt")
    torch.save(convnext.state_dict(), HERE / "convnext.bin", _use_new_zipfile_serialization=False)


def write_efficientnet() -> None:
    """An EfficientNet of two stages, whose every block changes the number of channels or repeats."""
    import torch
    from transformers import EfficientNetConfig, EfficientNetModel

    torch.manual_seed(0)
    stages = {"kernel_sizes": [3, 5], "in_channels": [32, 64], "out_channels": [64, 96], "strides": [2, 2]}
    stages |= {"num_block_repeats": [1, 2], "expand_ratios": [1, 4], "depthwise_padding": []}
    sizes = {"image_size": 32, "width_coefficient": 0.25, "depth_coefficient": 1.0, "hidden_dim": 320}
    model = EfficientNetModel(EfficientNetConfig(**sizes, **stages))
    _shake(model)
    images = torch.rand(2, 3, 32, 32)
    for tensor in model.state_dict().values():
        if tensor.ndim > 1:
            tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5)
    with torch.no_grad():
        output = model.eval()(images).last_hidden_state
    np.savez(HERE / "efficientnet.npz", input=images.numpy(), output=output.numpy())
    torch.save(model.state_dict(), HERE / "efficientnet.pt")


def write_recurrent() -> None:
    """The weights of an LSTM and of a GRU, and what they make of three steps, in one file."""
    import torch

    torch.manual_seed(0)
    steps = torch.rand(2, 3, 5)
    layers = {"lstm": torch.nn.LSTM(5, 4, batch_first=True), "gru": torch.nn.GRU(5, 4, batch_first=True)}
    weights = {
        f"{kind}.{name}": w for kind, layer in layers.items() for name, w in layer.state_dict().items()
    }
    with torch.no_grad():
        outputs = {f"{kind} output": layer(steps)[0] for kind, layer in layers.items()}
    np.savez(HERE / "recurrent.npz", input=steps, **outputs, **weights)


def _shake(model: object) -> None:
    """Makes every vector random: scales of one and biases of zero would forgive being swapped."""
    import torch

    for name, tensor in model.state_dict().items():
        if tensor.dtype == torch.float32 and tensor.ndim == 1:
            tensor.uniform_(0.5, 1.5) if name.endswith(("running_var", "weight")) else tensor.uniform_(
                -0.3, 0.3
            )


def write_haiku() -> None:
    """The weights of an LSTM of Haiku, and what it makes of the steps of the other recurrent layers."""
    import haiku
    import jax

    def run(steps: jax.Array) -> jax.Array:
        cell = haiku.LSTM(4)
        return haiku.dynamic_unroll(cell, steps, cell.initial_state(len(steps)), time_major=False)[0]

    model = haiku.without_apply_rng(haiku.transform(run))
    steps = np.load(HERE / "recurrent.npz")["input"]
    params = model.init(jax.random.PRNGKey(0), steps)
    params["lstm/linear"]["b"] = np.linspace(-1, 1, 16, dtype="f4")
    weights = {f"lstm/linear/{leaf}": value for leaf, value in params["lstm/linear"].items()}
    np.savez(HERE / "haiku.npz", output=model.apply(params, steps), **weights)


def write_flax() -> None:
    """A transformer block with convolutions before it, made of Flax's own layers."""
    import jax
    import jax.numpy as jnp
    from flax import linen, serialization

    class Block(linen.Module):
        @linen.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            y = linen.MultiHeadDotProductAttention(2)(linen.LayerNorm()(x))
            x = x + y
            y = linen.Dense(16)(linen.gelu(linen.Dense(24)(linen.LayerNorm()(x)), approximate=False))
            return x + y

    class Model(linen.Module):
        @linen.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            x = linen.relu(
                linen.BatchNorm(use_running_average=True)(linen.Conv(8, (3, 3), padding="VALID")(x))
            )
            x = linen.Conv(16, (4, 4), (4, 4), padding="VALID")(x)
            x = x.reshape(x.shape[0], -1, 16)
            for _ in range(2):
                x = Block()(x)
            return linen.Dense(5)(x.mean(1))

    rng = np.random.default_rng(0)
    images = rng.uniform(size=(2, 18, 18, 3)).astype("f4")
    variables = jax.tree_util.tree_map_with_path(
        lambda path, a: a if a.ndim > 1 else jnp.asarray(rng.uniform(*_range(str(path[-1])), a.shape), "f4"),
        Model().init(jax.random.PRNGKey(0), images),
    )
    (HERE / "flax.msgpack").write_bytes(serialization.to_bytes(variables))
    np.savez(HERE / "flax.npz", input=images, output=np.asarray(Model().apply(variables, images)))


def _range(leaf: str) -> tuple[float, float]:
    return (0.5, 1.5) if "scale" in leaf or "var" in leaf else (-0.3, 0.3)


if __name__ == "__main__":
    globals()[f"write_{sys.argv[1]}"]()

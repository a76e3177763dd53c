"""Writes the files beside it with the libraries whose formats they are; tests read them without those.

    pip install torch==2.13.0                                        python write.py torch
    pip install jax==0.10.2                                          python write.py jax
    pip install flax==0.12.8 orbax-checkpoint==0.12.8 optax==0.2.8   python write.py flax

Every tensor holds 0, 1, 2, … in row-major order, plus a hundred times its place in the file.
"""

from __future__ import annotations

import io
import shutil
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).parent


def write_torch() -> None:
    """A training checkpoint, weights in the older format, a whole module, TorchScript."""
    import torch
    from torch import nn

    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    numbered = {
        name: (torch.arange(tensor.numel()) + 100 * place).reshape(tensor.shape).to(tensor.dtype)
        for place, (name, tensor) in enumerate(model.state_dict().items())
    }
    model.load_state_dict(numbered)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(2, 3, 3, 3)).sum().backward()
    optimizer.step()
    model.load_state_dict(numbered)
    checkpoint = {"epoch": 3, "state_dict": model.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(checkpoint, HERE / "training.pt")
    torch.save(model.state_dict(), HERE / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(model, HERE / "module.pt")
    _without_debugging(torch.jit.script(model), HERE / "script.pt")
    table = torch.arange(12.0).reshape(3, 4)
    views = {
        "embedding": table, "output": table, "turned": table.t(), "part": table[1:, 1:3],
        "spread": torch.ones(1).expand(5), "brain": table.bfloat16(), "eight": table.to(torch.float8_e5m2),
        "parameter": nn.Parameter(table), "counter": torch.tensor(7), "nothing": torch.zeros(0, 3),
    }  # fmt: skip
    torch.save(views, HERE / "views.pt")


def _without_debugging(script: object, path: Path) -> None:
    """Saves TorchScript less the members that name the source files of this machine."""
    import torch

    buffer = io.BytesIO()
    torch.jit.save(script, buffer)
    with zipfile.ZipFile(buffer) as whole, zipfile.ZipFile(path, "w") as kept:
        for info in whole.infolist():
            if not info.filename.endswith(".debug_pkl"):
                kept.writestr(info, whole.read(info))


def write_jax() -> None:
    """Arrays of JAX as Haiku's users pickle them."""
    import pickle

    import jax.numpy as jnp

    weights = {"linear": {"w": jnp.ones((2, 3)), "b": jnp.zeros(3, jnp.bfloat16)}}
    (HERE / "jax.pkl").write_bytes(pickle.dumps(weights))


def write_flax() -> None:
    """Variables, a training state and bfloat16 in chunks as MessagePack; Orbax, apart and packed."""
    import jax
    import jax.numpy as jnp
    import optax
    import orbax.checkpoint as ocp
    from flax import linen, serialization
    from flax.training import train_state

    class Model(linen.Module):
        @linen.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            x = linen.BatchNorm(use_running_average=True)(linen.Conv(4, (3, 3))(x))
            return linen.Dense(2)(x.mean((1, 2)))

    variables = Model().init(jax.random.PRNGKey(0), jnp.ones((1, 8, 8, 3)))
    leaves, tree = jax.tree.flatten(variables)
    numbered = [
        jnp.arange(a.size).reshape(a.shape).astype(a.dtype) + 100 * place for place, a in enumerate(leaves)
    ]
    variables = jax.tree.unflatten(tree, numbered)
    params = variables["params"]
    (HERE / "variables.msgpack").write_bytes(serialization.to_bytes(variables))
    state = train_state.TrainState.create(apply_fn=Model().apply, params=params, tx=optax.adam(1e-3))
    (HERE / "training.msgpack").write_bytes(serialization.to_bytes(state))
    serialization.MAX_CHUNK_SIZE = 64
    halves = {"params": jax.tree.map(lambda a: a.astype(jnp.bfloat16), params)}
    (HERE / "chunks.msgpack").write_bytes(serialization.to_bytes(halves))
    for name, handler in {
        "orbax_apart": ocp.PyTreeCheckpointHandler(use_ocdbt=False),
        "orbax_packed": ocp.PyTreeCheckpointHandler(use_ocdbt=True),
        "orbax_zarr3": ocp.PyTreeCheckpointHandler(use_ocdbt=True, use_zarr3=True),
    }.items():
        shutil.rmtree(HERE / name, ignore_errors=True)
        ocp.Checkpointer(handler).save((HERE / name).absolute(), variables)
        (HERE / name / "commit_success.txt").unlink(missing_ok=True)


if __name__ == "__main__":
    {"torch": write_torch, "jax": write_jax, "flax": write_flax}[sys.argv[1]]()

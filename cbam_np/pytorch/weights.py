"""Trained weights from elsewhere as blocks of this package, and blocks as files that others can open."""

from __future__ import annotations  # the site is built without PyTorch, where types can't be joined by |

import json
import os
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from cbam_np.arrays import Params, to_numpy
from cbam_np.attention.block import CBAM
from cbam_np.inputs import Ties
from cbam_np.pytorch.layouts import Found, find
from cbam_np.pytorch.trained import TrainedCBAM
from cbam_np.pytorch.weight_files import content_of

TIES = "cbam_np.ties"  # in the text of our files: {prefix: ties}, of the blocks whose ties are split


def load_weights(source: Any) -> dict[str, CBAM]:
    """Every CBAM of a checkpoint as a block that evaluates as the trained one does, by its prefix ("" at the root).

    The layout is told by the keys: ours, the authors' release, timm, luuuyi or mmyolo. In every block the kernel's
    input channels are in our order [avg, max], biases are in params under "channel.b1", "channel.b2" and
    "spatial.bias", and `ties` is what the layout's maximum does. Batch norm after the convolution is folded in,
    exactly, for evaluation:

        BN(K ∗ x + b) = γ (K ∗ x + b - μ)/√(v + ε) + β = K′ ∗ x + b′      s = γ/√(v + ε)
        K′ = s K        b′ = s (b - μ) + β

    To train on, take `load_modules`, which keeps it. The dtype of a block is that of its weights (the widest, if there
    are several; bfloat16 becomes float32). A file is never trusted: no code in it runs, no pickle is loaded but as
    weights only, and memory is bounded by its size.

    Raises FileNotFoundError if there is no such file, and ValueError if it is damaged, holds no CBAM in a known layout,
    one that is not complete, or one without a hidden unit.

    Parameters
    ----------
    source : state dict, PyTorch module, or path of a .safetensors, .npz or .pt (.pth, ...) file
        A dict inside, such as "state_dict", is found, and "module." in front of all keys is dropped.

    Returns
    -------
    blocks : dict of `cbam_np.CBAM`
    """
    return {prefix: block_of(prefix, found) for prefix, found in find_blocks(source).items()}


def load_modules(source: Any) -> dict[str, TrainedCBAM]:
    """Every CBAM of a checkpoint as a PyTorch module to train on, by its prefix; batch norm stays a layer of its own.

    Errors as in `load_weights`.

    Parameters
    ----------
    source : as in `load_weights`

    Returns
    -------
    modules : dict of TrainedCBAM
    """
    return {prefix: TrainedCBAM(alive(prefix, found)) for prefix, found in find_blocks(source).items()}


def save_weights(blocks: Mapping[str, CBAM | nn.Module] | CBAM | nn.Module, path: str | PathLike[str]) -> None:
    """Write blocks, one or several by prefix, as safetensors that `load_weights` reads back bit for bit.

    The keys are those of its parameters with the prefix in front, "layer1.0.cbam.channel.w1". The file is written whole
    or not at all. Raises TypeError for anything else, ValueError if there is no block, or if two would have one key.

    Parameters
    ----------
    blocks : a block, or a dict of blocks by prefix
        A block is a `cbam_np.CBAM` on any array library, a `pytorch.CBAM`, or one of `load_modules`.
    path : str or path
    """
    from safetensors.numpy import save

    named = blocks if isinstance(blocks, Mapping) else {"": blocks}
    if not named:
        raise ValueError("blocks: expected at least one, got none")
    arrays: Params = {}
    for prefix, block in named.items():
        for name, x in params_of(prefix, block).items():
            arrays[f"{prefix}.{name}" if prefix else name] = np.asarray(to_numpy(x), order="C")
    split = {prefix: "split" for prefix, block in named.items() if getattr(block, "ties", "first") == "split"}
    content = save(arrays, {TIES: json.dumps(split)})
    target = Path(path)
    part = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        part.write_bytes(content)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


# --- from one form to another ---------------------------------------------------------------------------------------


def find_blocks(source: Any) -> dict[str, Found]:
    """The blocks as they are in the checkpoint."""
    content = content_of(source)
    return find(content, ties_in(content.metadata.get(TIES, "{}")))


def ties_in(text: str) -> dict[str, Ties]:
    """The ties by prefix that a file of ours says. Raises ValueError for a text of another form."""
    try:
        found = json.loads(text)
        assert all(value in ("first", "split") for value in found.values())
    except (ValueError, AttributeError, AssertionError, RecursionError):
        raise ValueError(f"source: expected {TIES} to be a dict of ties in JSON, got {text[:60]!r}") from None
    return found


def alive(prefix: str, found: Found) -> Found:
    """The same. Raises ValueError if the MLP has no hidden unit: the channel gate is then one number for any input."""
    if found.parts["w1"].shape[0] == 0:
        C = found.parts["w1"].shape[1]
        raise ValueError(
            f"source: {prefix or 'the block'} has {C} channels and no hidden unit (C < r), so that its channel gate "
            "is the same for every input; cbam-np inspect shows it"
        )
    return found


def block_of(prefix: str, found: Found) -> CBAM:
    """A block with the parameters that were found, batch norm folded in."""
    params = folded(alive(prefix, found))
    hidden, C = params["channel.w1"].shape
    kernel = params["spatial.kernel"]
    block = CBAM(C, max(C // hidden, 1), kernel.shape[-1], kernel.dtype, ties=found.ties)
    block.params = params
    return block


def folded(found: Found) -> Params:
    """The parameters of the block, with batch norm multiplied into the kernel and added to the bias, in float64."""
    params, norm = found.params(), found.norm()
    if not norm:
        return params
    dtype = params["spatial.kernel"].dtype
    gamma, beta, mu, v = (norm[name].astype(np.float64) for name in ("weight", "bias", "running_mean", "running_var"))
    s = gamma / np.sqrt(v + found.layout.eps)
    kernel, bias = s * params["spatial.kernel"], s * (params.get("spatial.bias", 0.0) - mu) + beta
    return params | {"spatial.kernel": kernel.astype(dtype), "spatial.bias": bias.astype(dtype)}


def params_of(prefix: str, block: Any) -> Params:
    """The arrays of a block by name, in the form that is written. Raises TypeError if it is none."""
    if isinstance(block, CBAM):
        return block.params
    if isinstance(block, nn.Module) and {"channel.w1", "channel.w2", "spatial.kernel"} <= block.state_dict().keys():
        state = block.state_dict()
        return {name: x for name, x in state.items() if not name.endswith("num_batches_tracked")}
    whose = f"blocks[{prefix!r}]" if prefix else "blocks"
    raise TypeError(f"{whose}: expected a block of this package, got {type(block).__name__}")

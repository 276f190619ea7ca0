"""The comparison of networks with PyTorch notices mistakes in their layers, planted one at a time."""

from typing import Any

import numpy as np
import pytest
import torch
from support import deviation

import cbam_np.nets
from cbam_np.checking.mutants import Mutant, load
from cbam_np.reference.nets_in_pytorch import ResNet, by_our_names, copy_into_torch, gradients

VARIANTS: dict[str, dict[str, Any]] = {
    "cbam": {},
    "released": {"variant": "released"},
    "parallel": {"order": "parallel", "variant": "released"},
    "one vector": {"pooling": "max", "spatial_pooling": "conv"},
}


def passes(package: Any, variant: str, training: bool = True) -> bool:
    """Whether the networks of `package` have PyTorch's output, gradients and buffers."""
    options = {"reduction": 4} | VARIANTS[variant]
    net = package.nets.resnet(8, "cbam", width=8, channels=2, classes=5, dtype="float64", seed=2, **options)
    rng = np.random.default_rng(5)
    for arrays in (net.params, net.buffers):
        arrays |= {name: x + rng.uniform(0.1, 0.5, x.shape) for name, x in arrays.items() if x.ndim == 1}
    net.training = training
    module = ResNet([1, 1, 1], False, False, 8, 2, 5, "cbam", **options).double().train(training)
    copy_into_torch(net.state(), module)
    x = rng.normal(size=(4, 2, 9, 10))
    t = torch.tensor(x, requires_grad=True)
    expected, out = module(t), net(x)
    d_out = rng.normal(size=out.shape)
    expected.backward(torch.from_numpy(d_out))
    assert t.grad is not None
    pairs = [(out, expected.detach().numpy()), (net.backward(d_out), t.grad.numpy())]
    pairs += [(net.grads.get(name, np.nan), grad) for name, grad in gradients(module).items()]
    buffers = by_our_names(module, dict(module.named_buffers()))
    pairs += [(net.buffers[name], x.numpy()) for name, x in buffers.items() if "num_batches" not in name]
    return all(deviation(got, wanted) < 1e-10 for got, wanted in pairs)


FILES = "layers", "attention", "convolution", "on_numpy"
LAYERS, GATES, LINES, NUMPY = (f"cbam_np/nets/{name}.py" for name in FILES)

# file, mistake, original, replacement, variant
# fmt: off
MISTAKES = [
    (LAYERS, "shortcut's gradient dropped", "return add(d_x_branch, d_x_shortcut)[0],", "return d_x_branch,", "cbam"),
    (LAYERS, "branch's gradient dropped", "return add(d_x_branch, d_x_shortcut)[0],", "return d_x_shortcut,", "cbam"),
    (LAYERS, "shortcut's parameters forgotten", "branch_grads | shortcut_grads", "branch_grads", "cbam"),
    (LAYERS, "last ReLU forgotten", "add_backward(relu_backward(d_out))", "add_backward(d_out)", "cbam"),
    (LAYERS, "γ and β swapped", "dict(zip(names, d_params, strict=False))", "dict(zip(names, d_params[1::-1]))",
     "cbam"),
    (LAYERS, "biased running variance", '* (M / max(M - 1, 1))', "* 1", "cbam"),
    (LAYERS, "momentum the other way round", "(1 - self.momentum) * buffers[name] + self.momentum * value",
     "self.momentum * buffers[name] + (1 - self.momentum) * value", "cbam"),
    (LAYERS, "training forgotten", "if net.training:", "if False:", "cbam"),
    (GATES, "map path dropped", "return d_f_direct + d_f_map, grads", "return d_f_direct, grads", "cbam"),
    (GATES, "direct path dropped", "return d_f_direct + d_f_map, grads", "return d_f_map, grads", "cbam"),
    (GATES, "momentum of the gate's batch norm", "momentum=0.01", "momentum=0.1", "released"),
    (GATES, "order of the pooled maps", "ops.concat(avg_s, max_s)", "ops.concat(max_s, avg_s)", "released"),
    (GATES, "average of the pooled maps dropped", "avg_backward(d_avg_s) + max_backward(d_max_s)",
     "max_backward(d_max_s)",
     "released"),
    (GATES, "spatial map's path dropped", "d_f_directs + d_f_spatial + d_f_channel",
     "d_f_directs + d_f_channel", "parallel"),
    (GATES, "channel map's path dropped", "d_f_directs + d_f_spatial + d_f_channel",
     "d_f_directs + d_f_spatial", "parallel"),
    (GATES, "parallel in sequence", "self.spatial.read(f, net)", "self.spatial.read(m_c * f, net)", "parallel"),
    (GATES, "sigmoid forgotten", "mlp_backward(sigmoid_backward(d_m_c[:, :, 0, 0]))", "mlp_backward(d_m_c[:, :, 0, 0])",
     "one vector"),
    (GATES, "average for maximum", 'if self.pooling == "max" else', 'if self.pooling == "avg" else', "one vector"),
    (LINES, "kernel not flipped", "flipped = kernel[:, :, ::-1, ::-1]", "flipped = kernel[:, :, :, :]", "cbam"),
    (LINES, "d_kernel not flipped", "reshape(k, k, O, C)[::-1, ::-1]", "reshape(k, k, O, C)[:, :]", "cbam"),
    (LINES, "d_kernel of the last samples only", "d_K[u] += d_lines", "d_K[u] = d_lines", "cbam"),
    (LINES, "d_kernel of one row only", "d_lines.moved(d_columns, u)", "d_lines.moved(d_columns, 0)", "cbam"),
    (LINES, "d_kernel of the last piece only", "d_kernel += d_kernel_piece", "d_kernel[...] = d_kernel_piece", "cbam"),
    (LINES, "zeros behind a row forgotten", "= H + p, W + p", "= H + p, W", "cbam"),
    (LINES, "last row of the kernel forgotten", "for u in range(1, self.k)", "for u in range(1, self.k - 1)", "cbam"),
    (NUMPY, "gradients of the first share only", "np.add.reduce(d_kernels)", "d_kernels[0]", "cbam"),
    (NUMPY, "one addend for both", "np.add(f[piece], s[piece],", "np.add(f[piece], f[piece],", "cbam"),
    (NUMPY, "sums of the first piece only", "np.add.reduce(on_each_piece(both_sums, x))",
     "np.stack(on_each_piece(both_sums, x)[0])", "cbam"),
    (NUMPY, "variance between the pieces forgotten", "(variance + (mean - mu) ** 2)", "variance", "cbam"),
    (NUMPY, "d_beta not sent back", "d_x[piece] += alone", "pass", "cbam"),
    (NUMPY, "variance not sent back", "d_x[piece] *= of_centred", "d_x[piece] *= 0", "cbam"),
    (NUMPY, "ReLU lets everything back", "~(out[piece] <= 0)", "~(out[piece] < 0)", "cbam"),
]
# fmt: on


def in_two_shares_and_small_pieces(package: Any) -> Any:
    """The package, with so little cache and two cores at least, that a batch of four is taken apart in every way."""
    cores = package.nets.cores
    cores.CACHE = cores.COLUMNS = 1
    cores.shares = lambda N: [slice(0, N // 2), slice(N // 2, N)]
    return package


@pytest.mark.parametrize(("file", "mistake", "original", "replacement", "variant"), MISTAKES)
def test_a_mistake_in_a_layer_is_noticed(
    file: str, mistake: str, original: str, replacement: str, variant: str
) -> None:
    package = load(Mutant(mistake, file, original, replacement, variant), "cbam_np.nets")
    assert not passes(in_two_shares_and_small_pieces(package), variant)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_networks_as_they_are_pass(variant: str, training: bool) -> None:
    assert passes(cbam_np, variant, training)
    package = load(Mutant("nothing", LAYERS, "d_f, d_s = add_", "d_f, d_s  = add_", variant), "cbam_np.nets")
    assert passes(in_two_shares_and_small_pieces(package), variant, training)

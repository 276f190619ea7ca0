"""A network whose attention is compiled is the same network."""

import sys
from typing import Any

import numpy as np
import pytest
from support import deviation

from cbam_np import nets
from cbam_np.fused.block import compiled_loops

OTHER_OPTIONS: list[dict[str, Any]] = [
    {"attention": "se"},
    {"attention": "none"},
    {"attention": "spatial"},
    {"attention": "cbam", "variant": "released"},
    {"attention": "cbam", "pooling": "avg"},
    {"attention": "cbam", "spatial_pooling": "conv"},
    {"attention": "cbam", "order": "parallel"},
]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-4)])
def test_outputs_gradients_and_maps_are_those_of_the_network_without(dtype: str, tolerance: float) -> None:
    rng = np.random.default_rng(0)
    fast, slow = (
        nets.resnet(8, "cbam", classes=5, channels=1, dtype=dtype, fused=fused, reduction=4, kernel_size=3)
        for fused in (True, False)
    )
    assert list(fast.params) == list(slow.params)
    for key in slow.params:
        np.testing.assert_array_equal(fast.params[key], slow.params[key], strict=True)
    x, d = rng.normal(size=(3, 1, 16, 12)).astype(dtype), rng.normal(size=(3, 5)).astype(dtype)
    assert deviation(fast(x), slow(x)) < tolerance
    assert deviation(fast.backward(d), slow.backward(d)) < tolerance
    assert fast.grads.keys() == slow.grads.keys()
    for key in slow.grads:
        assert deviation(fast.grads[key], slow.grads[key]) < tolerance, key
    for block in slow.maps:
        assert fast.maps[block].keys() == slow.maps[block].keys()
        for kind in slow.maps[block]:
            assert deviation(fast.maps[block][kind], slow.maps[block][kind]) < tolerance


def test_vgg_takes_it_too() -> None:
    assert repr(nets.vgg(11, "cbam", classes=3, width=4, fused=True, reduction=2))


@pytest.mark.parametrize("options", OTHER_OPTIONS, ids=str)
def test_what_the_loops_do_not_know_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="fused: expected attention='cbam' without other options, got Attention"):
        nets.resnet(8, classes=5, fused=True, **options)


def test_fused_is_true_or_false_and_needs_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="fused: expected True or False, got 1"):
        nets.resnet(8, "cbam", classes=5, fused=1)
    monkeypatch.setitem(sys.modules, "numba", None)
    for name in [name for name in sys.modules if name.startswith(("cbam_np.fused.loops", "cbam_np.fused.compiling"))]:
        monkeypatch.delitem(sys.modules, name)
    compiled_loops.cache_clear()
    with pytest.raises(RuntimeError, match="the compiled loops need Numba"):
        nets.resnet(8, "cbam", classes=5, fused=True)

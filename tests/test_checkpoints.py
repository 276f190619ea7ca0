"""The files of a training: whole at any moment, exactly what was saved, and refused with a reason if they are not."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backends import opened
from numpy.testing import assert_array_equal
from safetensors.numpy import load_file, save_file

from cbam_np.arrays import library_name
from cbam_np.nets import Network, checkpoints, resnet
from cbam_np.nets.training import State, at_rest


def small(width: int = 2, seed: int = 1, attention: str = "cbam") -> Network:
    return resnet(8, attention, classes=3, channels=1, width=width, reduction=2, seed=seed)


def moving(net: Network) -> State:
    rng = np.random.default_rng(2)
    return State(17, {name: rng.standard_normal(w.shape).astype(w.dtype) for name, w in net.params.items()})


def test_everything_that_is_saved_comes_back_bit_for_bit(tmp_path: Path) -> None:
    net, path = small(), tmp_path / "c.safetensors"
    state, maps = moving(net), {"maps layer1.0": np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 3, 4)}
    checkpoints.save(path, net, state, {"settings": {"peak": 0.1}, "log": 5}, maps)
    arrays, about = checkpoints.read(path)
    assert about == {"step": 17, "others": ["maps layer1.0"], "settings": {"peak": 0.1}, "log": 5}
    other = small(seed=2)
    restored, others = checkpoints.restore(other, arrays, about)
    assert restored.step == 17
    for got, expected in ((other.state(), net.state()), (restored.velocity, state.velocity), (others, maps)):
        assert got.keys() == expected.keys()
        for name, x in expected.items():
            assert_array_equal(got[name], x, strict=True, err_msg=name)
    assert [path.name for path in tmp_path.iterdir()] == [path.name]


def test_the_same_training_gives_the_same_file(tmp_path: Path) -> None:
    net = small()
    for name in "ab":
        checkpoints.save(tmp_path / name, net, moving(net), {"x": 1, "y": 2, "z": 3})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_arrays_are_stored_as_they_are_read_whatever_their_memory_looks_like(tmp_path: Path) -> None:
    x = np.arange(12.0).reshape(3, 4)
    arrays = {"transposed": x.T, "every second": x[:, ::2], "a number": np.array(3.0), "backwards": x[::-1], "x": x}
    checkpoints.write(tmp_path / "c", arrays, {})
    for name, got in load_file(tmp_path / "c").items():
        assert_array_equal(got, arrays[name], strict=True, err_msg=name)


def test_the_network_can_be_read_without_this_package(tmp_path: Path) -> None:
    net = small()
    checkpoints.save(tmp_path / "c", net, at_rest(net), {})
    assert_array_equal(
        load_file(tmp_path / "c")["layer1.0.cbam.spatial.kernel"], net.params["layer1.0.cbam.spatial.kernel"]
    )


def test_a_checkpoint_goes_to_the_library_of_the_network(tmp_path: Path) -> None:
    net = small()
    checkpoints.save(tmp_path / "c", net, moving(net), {})
    arrays, about = checkpoints.read(tmp_path / "c")
    with opened("cupy-standin"):
        there = small().to("cupy")
        state, _ = checkpoints.restore(there, arrays, about)
        assert {library_name(x) for x in [*there.params.values(), *state.velocity.values()]} == {"cupy"}
        checkpoints.save(tmp_path / "d", there, state, {})
    assert (tmp_path / "c").read_bytes() == (tmp_path / "d").read_bytes()


@pytest.mark.parametrize("other", [{"width": 4}, {"attention": "none"}, {"attention": "spatial"}])
def test_a_checkpoint_of_another_network_is_one_clear_error(other: dict[str, Any], tmp_path: Path) -> None:
    net = small()
    checkpoints.save(tmp_path / "c", net, at_rest(net), {})
    wrong = small(**other)
    before = wrong.state()
    with pytest.raises(ValueError, match=r"checkpoint: expected one of resnet\(8.*, got another \("):
        checkpoints.restore(wrong, *checkpoints.read(tmp_path / "c"))
    assert all(np.array_equal(before[name], x) for name, x in wrong.state().items())


def test_a_damaged_or_foreign_file_is_one_clear_error(tmp_path: Path) -> None:
    net, path = small(), tmp_path / "c"
    checkpoints.save(path, net, at_rest(net), {})
    content = path.read_bytes()
    for wrong in (content[:-1], content[: len(content) // 2], b"", b"no tensors at all", content[8:]):
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match="checkpoint: expected a whole one of cbam-np train, got "):
            checkpoints.read(path)
    save_file({"x": np.zeros(2)}, path)
    with pytest.raises(ValueError, match="checkpoint: expected a whole one of cbam-np train, got "):
        checkpoints.read(path)


def test_a_number_that_json_does_not_have_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "c"
    checkpoints.write(path, {"x": np.zeros(2)}, {"loss": 1.0})
    before = path.read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        checkpoints.write(path, {"x": np.ones(2)}, {"loss": float("nan")})
    assert path.read_bytes() == before


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c"
    checkpoints.put(path, b"old")

    def fails(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails) if failing == "fsync" else monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(OSError, match="No space left"):
        checkpoints.put(path, b"new")
    assert path.read_bytes() == b"old"


def test_what_takes_the_place_of_the_old_file_is_on_the_disk_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor: int) -> None:
        order.append("fsync")
        fsync(descriptor)

    def noted_replace(old: Path, new: Path) -> Path:
        order.append("replace")
        return replace(old, new)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    checkpoints.put(tmp_path / "c", b"content")
    assert order == ["fsync", "replace", "fsync"]


def test_a_file_that_is_replaced_over_and_over_is_whole_whenever_its_writer_is_killed(tmp_path: Path) -> None:
    code = f"""
import numpy as np
from pathlib import Path
from cbam_np.nets import checkpoints
i = 0
while True:
    checkpoints.write(Path({str(tmp_path / "c")!r}), {{"x": np.full(200_000, i)}}, {{"i": i}})
    i += 1
"""
    writer = subprocess.Popen([sys.executable, "-c", code])
    try:
        seen: set[int] = set()
        deadline = time.monotonic() + 60
        while len(seen) < 20 and time.monotonic() < deadline:
            if (tmp_path / "c").exists():
                arrays, about = checkpoints.read(tmp_path / "c")
                assert (arrays["x"] == about["i"]).all()
                seen.add(about["i"])
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    arrays, about = checkpoints.read(tmp_path / "c")
    assert len(seen) == 20
    assert (arrays["x"] == about["i"]).all()


# --- the log --------------------------------------------------------------------------------------------------------


def test_a_log_is_cut_to_what_the_checkpoint_knows(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = checkpoints.Log(path)
    log.append({"step": 1, "loss": 0.1 + 0.2})
    length = log.length()
    log.append({"step": 2, "loss": 2.0})
    log.close()
    with path.open("a") as file:
        file.write('{"step": 3, "lo')  # killed while it wrote
    log = checkpoints.Log(path, length)
    assert log.length() == length
    log.append({"step": 2, "loss": 3.0})
    log.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"step": 1, "loss": 0.1 + 0.2},
        {"step": 2, "loss": 3.0},
    ]


def test_a_line_can_be_read_as_soon_as_it_is_added(tmp_path: Path) -> None:
    log = checkpoints.Log(tmp_path / "log.jsonl")
    log.append({"step": 1})
    assert (tmp_path / "log.jsonl").read_text() == '{"step": 1}\n'
    log.close()


def test_a_new_log_begins_empty_and_one_that_is_too_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 9}\n')
    with pytest.raises(ValueError, match="log: expected 40 bytes or more, as at the checkpoint, got 12"):
        checkpoints.Log(path, 40)
    assert path.read_text() == '{"step": 9}\n'
    checkpoints.Log(path).close()
    assert path.read_text() == ""

"""`cbam-np train` as people run it: killed and resumed, in several processes, and with every mistake they can make."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from backends import opened
from numpy.testing import assert_allclose
from PIL import Image

from cbam_np.arrays import library_name, to_numpy
from cbam_np.commands import cli, train
from cbam_np.nets import checkpoints, mpi, pictures
from cbam_np.nets.data import fashion

ROOT = Path(__file__).parents[1]
MPIEXEC = Path(sys.executable).with_name("mpiexec")  # comes with the wheel of MPICH, which is in the extra "test"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
TINY = ["--count", "60", "--epochs", "3", "--width", "4", "--reduction", "2", "--batch-size", "8", "--peak", "0.05"]
STEPS = 24
FILES = {"checkpoint.safetensors", "log.jsonl", "maps.png", "maps.gif"}


def command(output: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "cbam_np", "train", "--output", str(output), *options]


def ran(*arguments: str | Path, status: int = 0, **variables: str) -> str:
    """What a process printed, errors as well; its status is checked."""
    done = subprocess.run(
        arguments, env=ENVIRONMENT | variables, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode == 0) == (status == 0), done.stdout + done.stderr
    return done.stdout + done.stderr


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def picture(folder: Path) -> Image.Image:
    with Image.open(folder / "maps.png") as image:
        return image.convert("RGB")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    ran(*command(folder, *TINY))
    return folder


# --- one process ----------------------------------------------------------------------------------------------------


def test_it_leaves_a_log_a_checkpoint_and_a_picture(whole: Path) -> None:
    assert contents(whole).keys() == FILES
    assert [r["step"] for r in records(whole)] == list(range(1, STEPS + 1))
    assert [r["epoch"] for r in records(whole) if "accuracy" in r] == [1, 2, 3]
    arrays, about = checkpoints.read(whole / "checkpoint.safetensors")
    assert about["step"] == STEPS
    assert arrays["maps layer2.0"].shape == (25, train.SCENES, 12, 12)  # before training, and after each step
    assert picture(whole).size[0] > 1000


@pytest.mark.long
def test_killed_at_any_moment_and_resumed_it_is_the_same_bit_for_bit(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    options = TINY
    for step in (2, 13):  # the first while there is but the checkpoint of step 0
        process = subprocess.Popen(command(folder, "--save-every", "5", *options), env=ENVIRONMENT)
        try:
            lines = 0
            while lines < step:
                assert process.poll() is None, "it ended before it could be killed"
                lines = len((folder / "log.jsonl").read_bytes().splitlines()) if (folder / "log.jsonl").exists() else 0
                time.sleep(0.001)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        _, about = checkpoints.read(folder / "checkpoint.safetensors")
        assert about["step"] < STEPS
        options = ["--resume"]
    ran(*command(folder, "--resume"))
    assert contents(folder) == contents(whole)


def test_to_resume_what_is_finished_only_draws_the_picture_again(whole: Path, tmp_path: Path) -> None:
    for name, content in contents(whole).items():
        if not name.startswith("maps"):
            (tmp_path / name).write_bytes(content)
    assert cli.main(["train", "--output", str(tmp_path), "--resume", "--epochs", "3"]) == 0
    assert contents(tmp_path) == contents(whole)


def test_without_maps_the_picture_is_the_curve_and_dark_is_dark(tmp_path: Path) -> None:
    options = ["--count", "10", "--epochs", "1", "--width", "2", "--attention", "none", "--dark"]
    assert cli.main(["train", "--output", str(tmp_path / "new" / "folder"), *options]) == 0
    assert picture(tmp_path / "new" / "folder").getpixel((2, 2)) == (13, 17, 23)


def test_the_default_folder_is_hidden_from_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "--count", "10", "--epochs", "1", "--width", "2", "--attention", "none"]) == 0
    assert contents(tmp_path / "cbam-np-results" / "train").keys() == FILES - {"maps.gif"}
    assert (tmp_path / "cbam-np-results" / ".gitignore").read_text() == "*\n"


def error(capsys: pytest.CaptureFixture[str], folder: Path, *options: str) -> str:
    """The one line of a command that could not be run."""
    capsys.readouterr()
    assert cli.main(["train", "--output", str(folder), *options]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    return line


def test_nothing_is_overwritten_and_a_training_is_not_changed_half_way(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(whole)
    assert "holds a training; add --resume to go on with it" in error(capsys, whole)
    assert "--batch-size: expected 8, as this training was begun, got 16; leave it out" in error(
        capsys, whole, "--resume", "--batch-size", "16"
    )
    assert "--flip: expected False, as this training was begun, got True" in error(capsys, whole, "--resume", "--flip")
    assert contents(whole) == before
    assert f"--resume: expected a training in {tmp_path}, got none" in error(capsys, tmp_path, "--resume")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epochs", "0"], "epochs: expected an integer of at least 1, got 0"),
        (["--epochs", "x"], "argument --epochs: invalid int value: 'x'"),
        (["--peak", "-1"], "peak: expected a positive number, got -1.0"),
        (["--data", "letters"], "data: expected one of digits, fashion, got 'letters'"),
        (["--count", "4"], "count: expected an integer of at least 5, got 4"),
        (["--attention", "all"], "attention: expected one of none, se, channel, spatial, cbam, got 'all'"),
        (["--depth", "9"], "depth: expected one of 8, 14, 18, 34, 50, 101, got 9"),
        (["--dtype", "int8"], "dtype: expected float64 or float32, got 'int8'"),
        (["--backend", "nosuch"], "expected an installed array library"),
        (["--save-every", "0"], "argument --save-every: expected a positive integer, got 0"),
    ],
)
def test_what_cannot_be_trained_is_one_line(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in error(capsys, tmp_path, *options)


def test_a_nan_is_told_with_step_and_layer_and_the_checkpoint_before_it_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.errstate(all="ignore"):
        line = error(capsys, tmp_path, *TINY, "--peak", "1e30", "--save-every", "1")
    assert line.startswith("cbam-np train: step ")
    assert "the first layer at fault is " in line or "the gradient of " in line
    arrays, about = checkpoints.read(tmp_path / "checkpoint.safetensors")
    assert about["step"] == len(records(tmp_path)) >= 1
    assert all(np.isfinite(x).all() for name, x in arrays.items() if not name.startswith("maps"))


def test_fashion_mnist_is_read_from_the_folder_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "Fashion-MNIST: expected" in error(capsys, tmp_path, "--data", "fashion", "--folder", str(tmp_path))
    asked: list[Any] = []

    def made_up(split: str, *, folder: Path) -> fashion.FashionMNIST:
        asked.append((split, folder))
        rng = np.random.default_rng(0)
        return fashion.FashionMNIST(rng.standard_normal((40, 1, 28, 28)).astype(np.float32), rng.integers(10, size=40))

    monkeypatch.setattr(train, "fashion_mnist", made_up)
    options = ["--data", "fashion", "--folder", "there", "--count", "20", "--epochs", "1", "--width", "2", "--flip"]
    assert cli.main(["train", "--output", str(tmp_path / "f"), *options, "--reduction", "2"]) == 0
    assert asked == [("train", Path("there")), ("validation", Path("there"))]
    assert "20 pictures of fashion" in capsys.readouterr().out
    assert len(records(tmp_path / "f")) == 1


def test_every_setting_has_an_option_that_reaches_it() -> None:
    assert train.HELP.keys() == {setting.name for setting in fields(train.Settings)}
    arguments = ["--output", "o", "--batch-size", "7", "--flip", "--weight-decay", "0.1", "--data", "fashion"]
    options = vars(cli.parser(["train"]).parse_args(["train", *arguments]))
    assert options["settings"] == {"batch_size": 7, "flip": True, "weight_decay": 0.1, "data": "fashion"}


# --- the picture ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("epochs", "shown"), [(0, [0]), (1, [0, 1]), (2, [0, 1, 2]), (3, [0, 1, 3]), (6, [0, 1, 3, 6])]
)
def test_the_picture_shows_the_first_the_middle_and_the_last_epoch(epochs: int, shown: list[int]) -> None:
    assert pictures.epochs_to_show(epochs) == shown


def test_the_maps_are_kept_before_after_each_epoch_and_between() -> None:
    assert pictures.steps_to_look(3, 8) == list(range(25))
    assert pictures.steps_to_look(2, 2) == [0, 1, 2, 3, 4]
    steps = pictures.steps_to_look(7, 100)
    assert {*range(0, 701, 100)} <= {*steps} <= {*range(701)}
    assert len(steps) == 25 + 6  # the ends of six epochs lie between


@pytest.mark.parametrize("dark", [False, True])
def test_an_animation_has_a_frame_for_each_step_and_a_tile_for_each_map(dark: bool) -> None:
    maps = {"layer1.0": np.zeros((3, 2, 4, 4)), "layer2.0": np.ones((3, 2, 2, 2))}
    maps["layer1.0"][2, 1, 0, 3] = 1
    content = pictures.animate(np.ones((2, 1, 8, 8)), ["a 1", "a 2"], maps, [0, 3, 9], dark)
    with Image.open(BytesIO(content)) as animation:
        animation.seek(2)
        frame = np.asarray(animation.convert("RGB")).astype(int)
        with pytest.raises(EOFError):
            animation.seek(3)
    yellow = np.all(np.abs(frame - (253, 231, 36)) < 20, axis=2)
    tile = pictures.TILE**2
    assert yellow.sum() == 2 * tile + tile // 16  # the second block's two maps, and one of 4×4 pixels
    assert np.flatnonzero(yellow.any(axis=0))[-1] == frame.shape[1] - pictures.GAP - 1
    np.testing.assert_allclose(frame[-1, -1], [0x0D, 0x11, 0x17] if dark else [255, 255, 255], atol=6)


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_a_map_is_drawn_as_it_is_at_its_place(blocks: int) -> None:
    maps = {f"layer{b}.0": np.zeros((3, 2, 4, 4)) for b in range(1, blocks + 1)}
    middle = f"layer{blocks // 2 + 1}.0"
    maps[middle][2, 1, 0, 3] = 1
    record = {"step": 1, "epoch": 1, "lr": 0.1, "loss": 2.0, "accuracy": 0.5}
    figure = pictures.draw(np.ones((2, 1, 8, 8)), ["a 1", "a 2"], maps, [record])
    figure.savefig(BytesIO())
    axes = {ax.get_title().replace("\n", " "): ax for ax in figure.axes if ax.get_title()}
    assert len(axes) == 2 + 5 + blocks - 1
    images = [np.asarray(ax.images[0].get_array()) for ax in figure.axes if ax.images]
    assert sum(np.array_equal(image, maps[middle][2, 1]) for image in images) == 1
    gated = np.zeros((8, 8))
    gated[:2, 6:] = 1
    assert [np.array_equal(image, gated) for image in images if image.shape == (8, 8)] == [False, False, False, True]


def test_the_maps_are_those_of_evaluation_and_the_network_stays_as_it_was() -> None:
    net, data, _ = train.prepared(train.Settings(count=6, width=2, reduction=2), None)
    before = net.state()
    maps = pictures.spatial_maps(net, data[0][:3])
    assert net.training
    assert all(np.array_equal(before[name], x) for name, x in net.state().items())
    net.eval()(data[0][:1])
    assert {block: m.shape for block, m in maps.items()} == {
        "layer1.0": (3, 24, 24),
        "layer2.0": (3, 12, 12),
        "layer3.0": (3, 6, 6),
    }
    for block, m_s in maps.items():
        assert_allclose(m_s[:1], net.maps[block]["spatial"][:, 0], rtol=1e-5)


# --- several processes ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training by two processes in float64."""
    folder = tmp_path_factory.mktemp("two") / "run"
    ran(MPIEXEC, "-n", "2", *command(folder, *TINY, "--dtype", "float64"))
    return folder


@pytest.mark.long
def test_two_processes_are_one_process_with_two_parts(two: Path, tmp_path: Path) -> None:
    assert contents(two).keys() == FILES
    ran(*command(tmp_path, *TINY, "--dtype", "float64", "--parts", "2"))
    got, expected = (checkpoints.read(folder / "checkpoint.safetensors") for folder in (two, tmp_path))
    assert got[1]["settings"] == expected[1]["settings"]
    assert got[0].keys() == expected[0].keys()
    for name, x in expected[0].items():
        assert_allclose(got[0][name], x, rtol=1e-12, atol=1e-12 * np.abs(x).max(), err_msg=name)
    for ours, theirs in zip(records(two), records(tmp_path), strict=True):
        assert ours == theirs | {"loss": pytest.approx(theirs["loss"], rel=1e-12)}


FAULT = """
import os, signal, sys
from cbam_np.commands import cli
from cbam_np.nets import training
true, calls = training.gradient, []
def gradient(net, *rest):
    calls.append(1)
    if len(calls) == 12 and os.environ["PMI_RANK"] == "1":
        if "{fault}" == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise {fault}("the second one is lost")
    return true(net, *rest)
training.gradient = gradient
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.long
@pytest.mark.parametrize("fault", ["killed", "KeyError"])
def test_a_process_that_dies_ends_the_others_and_the_checkpoint_is_whole(fault: str, two: Path, tmp_path: Path) -> None:
    script, folder = tmp_path / "faulty.py", tmp_path / "run"
    script.write_text(FAULT.format(fault=fault))
    options = ["train", "--output", str(folder), *TINY, "--dtype", "float64", "--save-every", "3"]
    said = ran(MPIEXEC, "-n", "2", sys.executable, script, *options, status=1)
    if fault != "killed":
        assert "process 1 of 2 ended all of them: " in said
        assert "the second one is lost" in said
        assert "Traceback" in said
    assert checkpoints.read(folder / "checkpoint.safetensors")[1]["step"] == 9
    if fault == "killed":
        ran(MPIEXEC, "-n", "2", *command(folder, "--resume"))
        assert contents(folder) == contents(two)


def test_mpirun_of_another_mpi_is_noticed() -> None:
    code = "from cbam_np.nets import mpi; mpi.world()"
    said = ran(sys.executable, "-c", code, status=1, OMPI_COMM_WORLD_RANK="0", OMPI_COMM_WORLD_SIZE="2")
    assert "mpirun: expected 2 processes that see each other, got 1: mpirun is of another MPI than mpi4py" in said


def test_mpirun_without_mpi4py_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(
        RuntimeError, match=r"expected mpi4py with an MPI, got .*; install both with: pip install mpi4py mpich"
    ):
        mpi.world()


def test_without_mpirun_mpi_is_not_loaded() -> None:
    code = "from cbam_np.nets import mpi; import sys; print(mpi.world().size, 'mpi4py' in sys.modules)"
    assert ran(sys.executable, "-c", code) == "1 False\n"


class Communicator:
    """Of two processes, the other of which always has the same arrays; it keeps what it was asked for."""

    def __init__(self, kinds: str = "mpi,system") -> None:
        self.kinds = {"mpi_memory_alloc_kinds": kinds} if kinds else {}
        self.seen: list[Any] = []

    def Get_rank(self) -> int:
        return 0

    def Get_size(self) -> int:
        return 2

    def Get_info(self) -> Any:
        return SimpleNamespace(Get=self.kinds.get)

    def Allreduce(self, sent: Any, received: Any) -> None:
        self.seen.append(sent)
        received[...] = 2 * sent

    def Abort(self, status: int) -> None:
        self.seen.append(status)


@pytest.mark.parametrize(
    ("backend", "kinds", "seen"),
    [
        ("numpy", "system", "numpy"),
        ("cupy-standin", "system", "numpy"),
        ("cupy-standin", "", "numpy"),
        ("cupy-standin", "mpi,system,cuda:device", "cupy"),
    ],
)
def test_arrays_travel_in_one_message_of_the_library_that_mpi_can_read(backend: str, kinds: str, seen: str) -> None:
    communicator = Communicator(kinds)
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array(7.0), "c": np.zeros((0, 4)), "d": np.array([8.0])}
    with opened(backend) as found:
        sums = mpi.World(communicator).total({name: found.array(x) for name, x in arrays.items()})
        assert {library_name(x) for x in sums.values()} == {found.library}
        assert [library_name(x) for x in communicator.seen] == [seen]
        for name, x in arrays.items():
            np.testing.assert_array_equal(to_numpy(sums[name]), 2 * x, strict=True)


THREADS = """
import numba
from threadpoolctl import threadpool_info
from cbam_np.nets import mpi

def threads():
    return max(x["num_threads"] for x in threadpool_info() if x["user_api"] == "blas"), numba.get_num_threads()

world, before = mpi.world(), threads()
with world.sharing_cores():
    inside = threads()
assert threads() == before
each = world.cores_each()
if world.rank == 0:
    print(len(mpi.usable_cores()), each, *inside)
"""


@pytest.mark.parametrize(
    ("processes", "given", "expected"),
    [
        ("2", {}, lambda cores: (max(1, cores // 2),) * 2),  # of matrix products, and of compiled loops
        ("3", {"OMP_NUM_THREADS": "2"}, lambda cores: (2, min(2, cores))),
        ("2", {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "2"}, lambda cores: (1, 2)),
    ],
)
def test_processes_on_one_machine_share_its_cores(processes: str, given: dict[str, str], expected: Any) -> None:
    plain = {k: x for k, x in ENVIRONMENT.items() if k not in (*mpi.OF_PRODUCTS, "NUMBA_NUM_THREADS")}
    arguments = [str(MPIEXEC), "-n", processes, sys.executable, "-c", THREADS]
    said = subprocess.run(arguments, env=plain | given, capture_output=True, text=True, timeout=120, check=True).stdout
    cores, each, *threads = map(int, said.split())
    assert each == max(1, cores // int(processes))
    assert tuple(threads) == expected(cores)


@pytest.mark.parametrize(
    ("own", "others", "each"),
    [
        ({0, 1, 2, 3}, [{0, 1, 2, 3}], 2),  # nobody is bound
        ({0, 1}, [{2, 3}], 2),  # each is bound to cores of its own
        ({0}, [{1, 2, 3, 4, 5}], 1),
        ({0}, [{0}], 1),
        ({0, 1, 2, 3, 4, 5}, [{0, 1, 2, 3, 4, 5}] * 3, 1),
    ],
)
def test_cores_are_divided_as_processes_are_bound(
    own: set[int], others: list[set[int]], each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Local(Communicator):
        def Split_type(self, kind: int) -> Any:
            return SimpleNamespace(
                allgather=lambda mine: [mine, *others], Get_size=lambda: 1 + len(others), Free=lambda: None
            )

    monkeypatch.setattr(mpi, "usable_cores", lambda: own)
    assert mpi.World(Local()).cores_each() == each
    assert mpi.World().cores_each() == len(own)


def test_cbam_np_train_shares_the_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[int] = []

    @contextmanager
    def sharing(self: mpi.World) -> Iterator[None]:
        entered.append(self.size)
        yield

    monkeypatch.setattr(mpi.World, "sharing_cores", sharing)
    assert cli.main(["train", "--output", str(tmp_path), "--resume"]) == 2  # there is no training to go on with
    assert entered == [1]


def test_an_expected_error_is_told_without_a_traceback_and_ends_all(capsys: pytest.CaptureFixture[str]) -> None:
    communicator = Communicator()
    with mpi.World(communicator).all_or_none():
        raise ValueError("no such thing")
    assert capsys.readouterr().err == "process 0 of 2 ended all of them: no such thing\n"
    assert communicator.seen == [2]
    with pytest.raises(ValueError, match="alone"), mpi.World().all_or_none():
        raise ValueError("alone")

"""The studies: runs are kept whole and made once, and verdicts say what the results say, no more."""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from cbam_np.commands.cli import main
from cbam_np.nets.studies import figures, plan, running, store, summary
from cbam_np.nets.studies.plan import MISTAKES, Run
from cbam_np.nets.studies.statistics import Difference, difference, interval, verdict

TINY = Run("features", count=50, epochs=2)


# --- runs -----------------------------------------------------------------------------------------------------------


def test_every_run_of_the_full_plan_has_a_file_of_its_own(tmp_path: Path) -> None:
    runs = [run for study in plan.STUDIES for run in plan.every_run(study)]
    assert len({store.path_of(tmp_path, run) for run in runs}) == len(set(runs)) > 500
    assert all(
        set(run.name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_=.-") for run in runs
    )


def test_a_run_gives_the_same_twice_and_survives_its_file(tmp_path: Path) -> None:
    first, second = running.run_one(TINY), running.run_one(TINY)
    for found in (first, second):
        del found["seconds"]
    assert first == second
    assert len(first["losses"]) == 2
    assert set(first["looks"][0]) == {"layer1.0", "layer2.0", "layer3.0"}
    store.save(tmp_path, TINY, first)
    (result,) = store.read(tmp_path)
    assert (result.run, result.found) == (TINY, first)
    assert store.missing(tmp_path, [TINY, replace(TINY, seed=1)]) == [replace(TINY, seed=1)]


def test_a_result_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", cut)
        with pytest.raises(KeyboardInterrupt):
            store.save(tmp_path, TINY, {"losses": []})
    assert store.missing(tmp_path, [TINY]) == [TINY]
    assert store.read(tmp_path) == []
    with pytest.raises(ValueError, match="JSON"):
        store.save(tmp_path, TINY, {"losses": [float("nan")]})
    assert store.missing(tmp_path, [TINY]) == [TINY]


def test_a_file_that_is_no_result_is_named(tmp_path: Path) -> None:
    path = store.path_of(tmp_path, TINY)
    path.parent.mkdir()
    path.write_text('{"run": ')
    with pytest.raises(ValueError, match=path.name.replace(".", r"\.")):
        store.read(tmp_path)


@pytest.mark.parametrize(("head", "score"), [("box", "IoU"), ("mask", "IoU"), ("class", "accuracy")])
def test_pytorch_repeats_a_run(head: str, score: str) -> None:
    run = replace(TINY, head=head, epochs=1)
    ours, theirs = running.run_one(run), running.run_one(replace(run, library="torch"))
    np.testing.assert_allclose(ours["first"], theirs["first"], rtol=1e-5)
    assert abs(ours["scores"][score] - theirs["scores"][score]) < 0.01


def test_a_run_that_pytorch_cannot_repeat_says_so() -> None:
    with pytest.raises(ValueError, match="library"):
        running.run_one(replace(TINY, variant="spatial first", net="vgg11", library="torch"))


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_makes_the_gradient_wrong_and_leaves_the_loss_alone(mistake: str) -> None:
    run = replace(TINY, study="bugs", mistake=mistake)
    scenes = running.of(run, "train", 50, 0)
    assert running.gradient_error(run, scenes) > 0.01
    right, wrong = (running.outputs(running.network(r), scenes.images) for r in (replace(run, mistake=""), run))
    np.testing.assert_array_equal(right, wrong)


def test_the_right_backward_has_no_gradient_error() -> None:
    assert running.gradient_error(TINY, running.of(TINY, "train", 50, 0)) == 0


def test_gates_that_start_open() -> None:
    net = running.network(replace(TINY, variant=plan.OPEN)).eval()
    before = running.network(replace(TINY, variant="as released")).eval()
    images = running.of(TINY, "train", 20, 0).images
    net(images)
    before(images)
    for block, maps in net.maps.items():
        for kind, m in maps.items():
            assert m.min() > 0.95, (block, kind)
            assert before.maps[block][kind].max() < 0.7, (block, kind)


def test_a_learning_rate_is_chosen_before_the_runs_it_is_for() -> None:
    for study in plan.SEARCHED:
        chosen = set()
        for searches, runs in plan.stages(study):
            chosen |= {(summary.cell_of(run), run.peak) for run in searches}
            assert {(summary.cell_of(run), peak) for run in runs for peak in plan.PEAKS} <= chosen
    assert not any(searches for study in plan.STUDIES for searches, _ in plan.stages(study, quick=True))


# --- measures -------------------------------------------------------------------------------------------------------


def test_boxes() -> None:
    box = np.array([[0.0, 0.0, 0.5, 0.5]])
    others = np.array([[0.25, 0.0, 0.75, 0.5], [0.5, 0.5, 1, 1], [0.5, 0.5, 0, 0]])  # half of it, beside it, inside out
    np.testing.assert_allclose(running.box_iou(np.repeat(box, 3, axis=0), others), [1 / 3, 0, 0])
    np.testing.assert_allclose(running.box_iou(box, box), 1)


def test_masks() -> None:
    masks = np.zeros((1, 1, 4, 4))
    masks[..., :2, :] = 1
    at = running.Scenes(masks, np.zeros(1), None, masks)
    half = np.where([[[[True, False], [True, False]]]], 1.0, -1.0)
    assert running.scores_of(half, "mask", at) == {"IoU": 1 / 3}


def test_a_map_on_the_digit_and_one_that_is_everywhere() -> None:
    masks = np.zeros((2, 1, 4, 4))
    masks[:, :, 0, :2] = 1  # an eighth
    assert running.share_inside(masks[:, 0], masks) == {"inside": 8, "pointing": 8}
    assert running.share_inside(np.full((2, 4, 4), 0.5), masks) == {"inside": 1, "pointing": 1}
    assert running.share_inside(1 - masks[:, 0], masks) == {"inside": 0, "pointing": 0}


def test_grad_cam_is_the_gradient_of_the_logit() -> None:
    run = replace(TINY, variant="none")
    net, at = running.network(run), running.of(run, "validation", 3, 0)
    found = running.grad_cam(net, at)
    net.eval()
    layers = running.Chain(net.layers.layers[:-2]), running.Chain(net.layers.layers[-2:])  # type: ignore[attr-defined]
    f, _ = layers[0](at.images, net)
    _, backward = layers[1](f, net)
    d_f, _ = backward(np.eye(10, dtype=np.float32)[at.labels])
    expected = np.maximum((d_f.mean(axis=(2, 3), keepdims=True) * f).sum(axis=1), 0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_counts_are_those_of_the_formulas() -> None:
    from cbam_np.nets.studies.counting import NETS, multiply_adds
    from cbam_np.reference.cost import cbam_cost, se_cost

    make, shape, _ = NETS["resnet8"]
    x = np.zeros((1, *shape[1:]), np.float32)
    stages = (8, 16), (16, 8), (32, 4)  # C, H = W
    none, se, cbam = (multiply_adds(make(kind), x) for kind in ("none", "se", "cbam"))
    assert se - none == sum(se_cost(C, 4).multiply_adds for C, _ in stages)
    assert cbam - none == sum(cbam_cost(C, H, H, 4).multiply_adds for C, H in stages)
    convolutions = 256 * 9 * (8 + 2 * 64) + 64 * (9 * (128 + 256) + 128) + 16 * (9 * (512 + 1024) + 512)
    assert none == convolutions + 320


# --- statistics -----------------------------------------------------------------------------------------------------


def test_an_interval_is_student_s() -> None:
    values = [0.5, 0.7, 0.6, 0.9]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    found = interval(values)
    np.testing.assert_allclose([found.mean - found.half, found.mean + found.half], [low, high])


def test_differences_are_paired_by_seed() -> None:
    found = difference({0: 0.1, 1: 0.5, 2: 0.9, 9: 0.0}, {2: 0.92, 1: 0.51, 0: 0.13})
    assert found.n == 3
    np.testing.assert_allclose(found.mean, 0.02)
    assert found.p < 0.1  # unpaired, the spread of the seeds would hide it
    assert difference({0: 0.5, 1: 0.6}, {0: 0.5, 1: 0.6}).p == 1


@pytest.mark.parametrize(
    ("p", "mean", "expected"),
    [
        (0.0124, 0.01, "better"),
        (0.0126, 0.01, "no difference shown"),
        (0.0124, -0.01, "worse"),
        (0.0126, -0.01, "no difference shown"),
        (float("nan"), 0.1, "no difference shown"),
    ],
)
def test_a_verdict_on_both_sides_of_its_limit(p: float, mean: float, expected: str) -> None:
    assert verdict(Difference(mean, 0.1, 5, p), comparisons=4) == expected
    assert verdict(Difference(mean, 0.1, 4, p), comparisons=4) == "too few runs"


def made_up(gain: float, rng: np.random.Generator, seeds: int = 5) -> list[store.Result]:
    """Results in which CBAM gains so much; the seeds differ by far more, the noise within a pair is 0.01."""
    results = []
    for seed in range(seeds):
        level = 0.6 + 0.1 * rng.standard_normal()
        for variant in ("none", "SE", "CBAM"):
            score = level + 0.01 * rng.standard_normal() + gain * (variant == "CBAM")
            found = {"scores": {"accuracy": score}, "seconds": [1.0, 2.0], "losses": [2.0, 1.0], "diverged": False}
            results.append(store.Result(Run("features", variant, seed=seed), found, store.machine()))
    return results


def test_a_planted_gain_is_found_and_none_is_found_where_there_is_none() -> None:
    rng = np.random.default_rng(0)
    assert "better than none: CBAM" in summary.features(made_up(0.1, rng))
    assert "worse than none: CBAM" in summary.features(made_up(-0.1, rng))
    said = [summary.features(made_up(0.0, rng)) for _ in range(100)]
    false_alarms = sum("better" in text or "worse" in text for text in said)
    assert false_alarms <= 9  # 3 expected: in 1.25 and 1.67 % of the tables for each variant; more than 9 hardly ever


def test_the_learning_rate_is_chosen_on_the_validation_split_alone() -> None:
    def result(peak: float, score: float, purpose: str) -> store.Result:
        return store.Result(Run("features", peak=peak, purpose=purpose), {"scores": {"accuracy": score}}, {})

    results = [result(0.03, 0.5, "validation"), result(0.1, 0.7, "validation"), result(0.3, 0.6, "validation")]
    results += [result(0.3, 0.9, "test"), result(0.1, 0.2, "test")]
    assert list(summary.best_peaks(results).values()) == [0.1]
    assert [r.run.peak for r in summary.of_study(results, "features")] == [0.1]


@pytest.mark.parametrize(
    ("falls", "right_trains", "p", "mean", "expected"),
    [
        (5, True, 0.5, -0.1, "trains, no loss shown"),
        (5, True, 0.001, -0.1, "trains, only worse"),
        (4, True, 0.001, -0.1, "doesn't always train"),
        (0, True, 0.001, -0.1, "doesn't train"),
        (0, False, 0.001, -0.1, "too short a training to say"),
    ],
)
def test_what_is_said_of_a_mistake(falls: int, right_trains: bool, p: float, mean: float, expected: str) -> None:
    assert summary.bug_verdict(Difference(mean, 0.1, 5, p), falls, 5, right_trains, 6) == expected


@pytest.mark.parametrize(("low", "said"), [(1.01, "takes 1.20 times as long"), (0.99, "isn't shown")])
def test_when_a_step_takes_longer(low: float, said: str) -> None:
    assert said in summary.longer([low, low, 1.2, 1.3, 1.3])


def test_a_claim_in_short_is_what_its_table_says() -> None:
    rng = np.random.default_rng(1)
    for gain, said in ((0.1, "better"), (-0.1, "worse"), (0.0, "no difference shown")):
        assert f"): {said}." in summary.in_short("features", made_up(gain, rng))
    assert summary.in_short("everywhere", made_up(0.1, rng)) == "Not run yet."
    results = [r._replace(run=replace(r.run, study="everywhere")) for r in made_up(0.1, rng)]
    assert "class head of resnet8, +" in (said := summary.in_short("everywhere", results))
    assert said.endswith("): better.")
    cost = {"parameters": 100, "multiply-adds": 1000, "training s": [1.0, 1.0, 1.0]}
    more = {"parameters": 110, "multiply-adds": 1001, "training s": [1.5, 1.5, 1.6]}
    light = store.Result(Run("light", net="vgg16"), {"none": cost, "SE": cost, "CBAM": more}, {})
    assert "in 1 of 1 networks. In vgg16 it adds 10 % more parameters" in summary.in_short("light", [light])
    assert "1.50 times as long" in summary.in_short("light", [light])
    same = store.Result(Run("light", net="vgg16"), {"none": cost, "SE": more, "CBAM": more}, {})
    assert "in 0 of 1 networks" in summary.in_short("light", [same])


@pytest.mark.parametrize(("seeds", "shown"), [(4, False), (5, True)])
def test_a_comparison_of_fewer_than_five_pairs_is_called_incomplete_and_not_shown(seeds: int, shown: bool) -> None:
    """A large planted gain: its size is in no table and no sentence until there are enough pairs."""
    results = made_up(0.3, np.random.default_rng(2), seeds)
    for said in (summary.features(results), summary.in_short("features", results)):
        assert ("better" in said) == shown
        assert ("4 of 5 pairs" in said) != shown
        assert ("+30." in said or "+29." in said) == shown
    everywhere = [r._replace(run=replace(r.run, study="everywhere")) for r in results]
    assert summary.in_short("everywhere", everywhere).endswith("better." if shown else "incomplete (4 of 5 pairs).")


def test_the_bugs_in_short() -> None:
    def result(mistake: str, seed: int, score: float, last: float) -> store.Result:
        found = {"scores": {"accuracy": score}, "losses": [2.0, last], "diverged": False}
        return store.Result(Run("bugs", mistake=mistake, seed=seed), found, {})

    dropped, ignored, flipped = "maximum dropped", "upstream ignored", "kernel not flipped"
    results = []
    for seed, noise in enumerate((0.0, 0.01, 0.02, 0.01, 0.0)):
        results += [result("", seed, 0.6, 1.0), result(dropped, seed, 0.6 + noise, 1.0)]
        results += [result(ignored, seed, 0.1, 2.0), result(flipped, seed, 0.3 + noise, 1.0)]
    said = summary.in_short("bugs", results)
    assert said.startswith("Of 3 wrong backwards: ")
    assert all(f"1 “{answer}”" in said for answer in ("trains, no loss shown", "doesn't train", "trains, only worse"))


@pytest.mark.parametrize(("last", "count"), [(0.94, 1), (0.96, 0)])
def test_when_a_loss_has_fallen(last: float, count: int) -> None:
    found = {"losses": [2.0, 2 * last], "diverged": False}
    assert summary.fallen([store.Result(TINY, found, {})]) == count
    assert summary.fallen([store.Result(TINY, found | {"diverged": True}, {})]) == 0


def test_where_a_map_looks() -> None:
    assert summary.looking_verdict([1.5, 1.6, 1.4, 1.5, 1.5]) == "on the digit"
    assert summary.looking_verdict([0.5, 0.6, 0.4, 0.5, 0.5]) == "off the digit"
    assert summary.looking_verdict([1.5, 0.6, 0.9, 1.1, 1.0]) == "chance not ruled out"
    assert summary.looking_verdict([1.5, 1.6, 1.4, 1.5]) == "too few runs"


def test_at_equal_time_the_nearest_longer_training_is_compared_with() -> None:
    def result(variant: str, epochs: int, seconds: float, score: float, seed: int) -> store.Result:
        found = {"scores": {"accuracy": score + 0.001 * seed**2}, "seconds": [seconds]}
        return store.Result(Run("features", variant, epochs=epochs, seed=seed), found, {})

    results = []
    for seed in range(5):
        results += [result("none", 10, 10, 0.5, seed), result("CBAM", 10, 18, 0.6 + 0.001 * seed, seed)]
        results += [result("none", 20, 20, 0.7, seed), result("none", 40, 40, 0.9, seed)]
    setting = {"data": "digits", "clutter": 4, "epochs": 10, "count": 2000}
    said = summary.equal_time(results, setting)
    assert "20 epochs take 1.11 times as long" in said
    assert "-9.8" in said
    assert said.endswith("worse.")
    assert summary.equal_time(results, setting | {"epochs": 40}) == ""


@pytest.mark.parametrize(("p", "said"), [(0.0062, "on the digit"), (0.0063, "chance not ruled out")])
def test_chance_is_ruled_out_below_a_limit(p: float, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "against", lambda values, chance: p)
    assert summary.looking_verdict([1.5, 1.6, 1.5, 1.6, 1.5], comparisons=8) == said


@pytest.mark.parametrize(("factor", "agrees"), [(1.0009, True), (1.0011, False)])
def test_when_pytorch_agrees(factor: float, agrees: bool) -> None:
    run = Run("features")
    found = {"first": [2.0, 2.0], "scores": {"accuracy": 0.5}}
    theirs = found | {"first": [2.0, 2.0 / factor]}
    text = summary.in_pytorch([store.Result(run, found, {}), store.Result(replace(run, library="torch"), theirs, {})])
    assert ("**differs**" not in text) == agrees
    assert ("Rounding alone" in text) == agrees


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command_stops_goes_on_and_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [replace(TINY, study="bugs", epochs=1, seed=seed) for seed in range(2)]
    monkeypatch.setitem(plan.PLANS, "bugs", lambda quick=False: runs)
    assert main(["study", "bugs", "--output", str(tmp_path)]) == 0
    assert "2 of 2: bugs" in capsys.readouterr().out
    files = {path: path.stat().st_mtime_ns for path in tmp_path.glob("bugs/*.json")}
    assert len(files) == 2
    assert {path.name for path in tmp_path.glob("*.png")} == {"study_bugs_light.png", "study_bugs_dark.png"}
    next(iter(files)).unlink()
    assert main(["study", "bugs", "--output", str(tmp_path)]) == 0
    assert "1 of 1: bugs" in capsys.readouterr().out
    assert main(["study", "bugs", "--output", str(tmp_path), "--only-show"]) == 0
    out = capsys.readouterr().out
    assert "1 of 1" not in out
    assert "2 of 2 runs of the plan have been made" in out


def test_the_command_trains_with_the_learning_rate_that_did_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made_up(run: Run) -> dict[str, object]:
        score = 1 - abs(run.peak - 0.3) if run.purpose == "validation" else 0.5
        return {"scores": {"accuracy": score}, "losses": [2.0, 1.0], "seconds": [1.0, 2.0], "diverged": False}

    monkeypatch.setattr(running, "run_one", made_up)
    monkeypatch.setitem(plan.PLANS, "features", lambda quick=False: [TINY])
    assert main(["study", "features", "--output", str(tmp_path)]) == 0
    runs = [result.run for result in store.read(tmp_path)]
    assert sorted(run.peak for run in runs if run.purpose == "validation") == list(plan.PEAKS)
    assert [run.peak for run in runs if run.purpose == "test"] == [0.3]
    assert [run.peak for run in plan.PLANS["features"]()] == [0.1]  # what is not searched for stays as it is


MPIEXEC = Path(sys.executable).with_name("mpiexec")  # comes with the wheel of MPICH, which is in the extra "test"
SPREAD = """
import sys
from cbam_np.commands.cli import main
from cbam_np.nets.studies import plan
plan.PLANS["bugs"] = lambda quick: [plan.Run("bugs", count=50, epochs=1, seed=seed) for seed in range(2)]
sys.exit(main(["study", "bugs", "--quick", "--output", sys.argv[1]]))
"""


@pytest.mark.long
def test_mpirun_spreads_the_runs_and_one_process_tells(tmp_path: Path) -> None:
    command = [str(MPIEXEC), "-n", "2", sys.executable, "-c", SPREAD, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.count("2 of 2: bugs") == 1
    assert len(store.read(tmp_path / "quick")) == 2


def test_an_unknown_study_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "heavy", "--output", str(tmp_path)]) == 2
    assert "expected light, features, everywhere, bugs, got 'heavy'" in capsys.readouterr().err


def test_the_results_on_the_site_are_of_runs_of_the_plan_and_say_where_they_come_from() -> None:
    folder = Path(__file__).parents[1] / "docs" / "_generated" / "studies"
    results = store.read(folder)
    assert results
    planned = {replace(run, peak=0.1) for study in plan.STUDIES for run in plan.every_run(study)}
    for run, _, machine in results:
        assert replace(run, peak=0.1) in planned
        assert {"date", "processor", "cores", "threads", "load", "python", "numpy"} <= machine.keys()
    for study in plan.STUDIES:
        assert "runs of the plan have been made" in summary.report(study, results)
    for path in folder.glob("*/*.json"):
        assert store.path_of(folder, Run(**json.loads(path.read_text("utf-8"))["run"])) == path


def test_pictures_are_drawn_of_what_there_is(tmp_path: Path) -> None:
    assert figures.write_all([], tmp_path) == []


def test_the_page_says_when_cbam_lies_behind_and_when_level() -> None:
    root = Path(__file__).parents[1]
    page = (root / "docs" / "measured.md").read_text(encoding="utf-8")
    assert "After 10 epochs CBAM lies behind among clutter; after 40 it lies level" in page
    results = summary.of_study(store.read(root / "docs" / "_generated" / "studies"), "features")
    behind = []
    for setting in summary.settings(results):
        pair = (summary.scores(results, variant=variant, **setting) for variant in ("none", "CBAM"))
        d = difference(*pair)
        behind.append((setting["data"], setting["epochs"], d.mean + d.half < 0))
        assert d.mean - d.half < 0  # nowhere ahead
    assert Counter(behind) == {
        ("digits", 10, True): 3, ("digits", 40, False): 3, ("fashion", 10, False): 1, ("fashion", 40, False): 1,
    }  # fmt: skip


def test_readme_says_what_the_results_say() -> None:
    root = Path(__file__).parents[1]
    results = store.read(root / "docs" / "_generated" / "studies")
    readme = (root / "README.md").read_text(encoding="utf-8")
    for study in plan.STUDIES:
        said = summary.in_short(study, results)
        assert f" {said}\n" in readme, f"README.md, What was measured: put in {said!r}"

"""The loop: it learns, goes on bit for bit where it stopped, and stops where it should."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ChiSepPreprocessLib.errors import CancelledError, InputError, MissingDependencyError, OutputError
from ChiSepPreprocessLib.progress import Reporter, Status
from ChiSepReconstructLib.training.loop import Outcome, duration, train
from ChiSepReconstructLib.training.optimisation import learning_rate
from ChiSepReconstructLib.training.options import (
    AugmentationOptions,
    DataOptions,
    OptimiserOptions,
    PatchOptions,
    TrainingOptions,
)
from ChiSepReconstructLib.training.packing import read_trained
from training_heads import make_maps, write_heads

SHAPE = (22, 21, 20)

TINY = TrainingOptions(
    base_width=2, epochs=3, batch_size=3, checkpoint_steps=2, device="cpu",
    patches=PatchOptions(size_voxels=16, sampling="random", per_epoch=12),
    augmentation=AugmentationOptions(angles_deg=(0.0,), flips=True), data=DataOptions(qsm_source="truth"),
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_heads(tmp_path_factory.mktemp("heads"), 3, SHAPE)


class Stopped(BaseException):
    """As a kill: nothing catches it."""


def stopping(after: int, how: Callable[[], Any]) -> Reporter:
    """Reporter that ends a training after some steps."""
    steps = iter(range(10**6))

    def hear(status: Status) -> Any:
        return how() if status.step == "train" and next(steps) == after - 1 else None

    return Reporter(hear)


def kill() -> None:
    raise Stopped


def last(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(folder / "last.ckpt", weights_only=True)
    return content


def timeless(row: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in row.items() if name != "seconds"}


def assert_same(one: Path, other: Path) -> None:
    """Same weights, optimiser and history, bit for bit; times apart."""
    assert (one / "best.safetensors").read_bytes() == (other / "best.safetensors").read_bytes()
    first, second = last(one), last(other)
    for name, value in first["network"].items():
        assert torch.equal(value, second["network"][name]), name
    for number, state in first["optimiser"]["state"].items():
        for name, value in state.items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(second["optimiser"]["state"][number][name]))
    for key, value in first["progress"].items():
        if key == "rows":
            value = [{name: one for name, one in row.items() if name != "seconds"} for row in value]
            assert value == [
                {name: v for name, v in row.items() if name != "seconds"} for row in second["progress"][key]
            ]
        elif key != "seconds":
            assert value == second["progress"][key], key


@pytest.mark.parametrize("optimiser", ["rmsprop", "adamw"])
@pytest.mark.parametrize("after", [3, 5, 8])  # in the first epoch, in the second after and at a checkpoint
def test_killed_training_goes_on_bit_for_bit(folder: Path, tmp_path: Path, optimiser: Any, after: int) -> None:
    options = replace(TINY, optimiser=OptimiserOptions(name=optimiser, schedule="one-cycle"))
    train("chisepnet", folder, tmp_path / "whole", options)
    with pytest.raises(Stopped):
        train("chisepnet", folder, tmp_path / "parts", options, report=stopping(after, kill))
    assert last(tmp_path / "parts")["progress"]["epoch"] * 4 + last(tmp_path / "parts")["progress"]["step"] < 12
    train("chisepnet", folder, tmp_path / "parts", options, resume=True)
    assert_same(tmp_path / "whole", tmp_path / "parts")


def test_cancelled_training_keeps_its_last_step(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CancelledError):
        train("qsmnet", folder, tmp_path / "parts", TINY, report=stopping(7, lambda: False))
    assert (last(tmp_path / "parts")["progress"]["epoch"], last(tmp_path / "parts")["progress"]["step"]) == (1, 3)
    train("qsmnet", folder, tmp_path / "parts", TINY, resume=True)
    train("qsmnet", folder, tmp_path / "whole", TINY)
    assert_same(tmp_path / "whole", tmp_path / "parts")


def test_more_epochs_follow_where_the_schedule_allows(folder: Path, tmp_path: Path) -> None:
    train("qsmnet", folder, tmp_path / "parts", replace(TINY, epochs=1))
    train("qsmnet", folder, tmp_path / "parts", TINY, resume=True)
    train("qsmnet", folder, tmp_path / "whole", TINY)
    assert_same(tmp_path / "whole", tmp_path / "parts")


def test_resuming_with_other_options_or_data_is_refused_with_the_difference(folder: Path, tmp_path: Path) -> None:
    one_cycle = replace(TINY, epochs=1, optimiser=OptimiserOptions(schedule="one-cycle"))
    train("qsmnet", folder, tmp_path / "run", one_cycle)
    before = (tmp_path / "run" / "last.ckpt").read_bytes()
    for other, message in (
        (replace(one_cycle, batch_size=4), "options.batch_size: 3 → 4"),
        (replace(one_cycle, epochs=2), "options.epochs: 1 → 2"),
        (replace(one_cycle, optimiser=OptimiserOptions(schedule="one-cycle", learning_rate=0.1)),
         "options.optimiser.learning_rate: 0.001 → 0.1"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            train("qsmnet", folder, tmp_path / "run", other, resume=True)
    with pytest.raises(InputError, match="role: qsmnet → r2primenet"):
        train("r2primenet", folder, tmp_path / "run", one_cycle, resume=True)
    with pytest.raises(InputError, match="a new folder, or --resume"):
        train("qsmnet", folder, tmp_path / "run", one_cycle)
    with pytest.raises(InputError, match=r"training: .*content_sha256"):
        train("qsmnet", write_heads(tmp_path / "more", 4, SHAPE), tmp_path / "run", one_cycle, resume=True)
    assert (tmp_path / "run" / "last.ckpt").read_bytes() == before


def test_nothing_to_resume(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="training to resume"):
        train("qsmnet", folder, tmp_path / "other", TINY, resume=True)


def test_broken_checkpoint_is_told(folder: Path, tmp_path: Path) -> None:
    train("qsmnet", folder, tmp_path, replace(TINY, epochs=1))
    (tmp_path / "last.ckpt").write_bytes(b"broken")
    with pytest.raises(InputError, match="checkpoint"):
        train("qsmnet", folder, tmp_path, replace(TINY, epochs=1), resume=True)


def test_full_disk_keeps_the_last_good_checkpoint(folder: Path, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    train("qsmnet", folder, tmp_path / "parts", replace(TINY, epochs=1))
    good = (tmp_path / "parts" / "last.ckpt").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> None:  # from now on the system refuses to write so much, as a full disk does
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(good) // 2, limits[1]))

    try:
        with pytest.raises(OutputError, match="Cannot write"):
            train("qsmnet", folder, tmp_path / "parts", TINY, resume=True, report=stopping(1, fill))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "parts" / "last.ckpt").read_bytes() == good
    assert not list((tmp_path / "parts").glob(".part-*"))
    train("qsmnet", folder, tmp_path / "parts", TINY, resume=True)
    train("qsmnet", folder, tmp_path / "whole", TINY)
    assert_same(tmp_path / "whole", tmp_path / "parts")


def test_diverging_loss_stops_and_keeps_the_best(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ChiSepReconstructLib.training import loop

    monkeypatch.setattr(loop, "learning_rate", lambda options, step, steps: 1e-3 if step < 8 else 300.0)
    with pytest.raises(InputError, match=r"in step \d+, 2 times its lowest value; .*best weights so far are kept"):
        train("qsmnet", folder, tmp_path, replace(TINY, epochs=60, divergence=2.0))
    assert int(read_trained(tmp_path).epoch) <= 2 and last(tmp_path)["progress"]["best_epoch"] <= 2


def test_values_that_are_not_finite_stop_before_they_reach_the_weights(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ChiSepReconstructLib.training import losses

    calls, whole = iter(range(100)), losses.l1_loss
    monkeypatch.setattr(losses, "l1_loss", lambda *maps: whole(*maps) * (float("nan") if next(calls) == 6 else 1.0))
    with pytest.raises(InputError, match="training loss: got nan with a gradient of norm nan in step 7"):
        train("qsmnet", folder, tmp_path, TINY)
    found = last(tmp_path)
    assert found["progress"]["best_epoch"] == 1
    assert all(torch.isfinite(value).all() for value in found["network"].values())


def test_overfits_two_small_heads(tmp_path: Path) -> None:
    data = write_heads(tmp_path / "data", 3, (32, 32, 32))
    options = TrainingOptions(
        base_width=4, epochs=30, batch_size=2, patches=PatchOptions(size_voxels=32), device="cpu",
        augmentation=AugmentationOptions(angles_deg=(0.0,)), data=DataOptions(qsm_source="truth"),
        optimiser=OptimiserOptions(name="adamw", schedule="one-cycle", learning_rate=0.03),
    )  # fmt: skip
    rows = train("chisepnet", data, tmp_path / "run", options).rows
    assert rows[-1]["l1"] < rows[0]["l1"] / 2.7  # 2.9 was measured
    assert rows[-1]["loss"] < rows[0]["loss"] / 2.2  # 2.3: the field of a patch alone is not the measured one


@pytest.fixture(scope="module")
def done(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return train("chisepnet", folder, tmp_path_factory.mktemp("done"), TINY)


def test_best_weights_have_the_lowest_nrmse_of_the_table(done: Outcome) -> None:
    with (done.folder / "log.csv").open() as opened:
        rows = list(csv.DictReader(opened))
    nrmse = [float(row["nrmse"]) for row in rows]
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3] and rows[-1]["steps"] == "12"
    assert done.best_epoch == 1 + int(np.argmin(nrmse)) and done.best_nrmse_percent == pytest.approx(
        min(nrmse), rel=1e-5
    )
    weights = {"l1": 1, "gradient": 0.1, "model_qsm": 1, "model_field": 1, "model_r2prime": 1}
    total = sum(float(rows[0][name]) * weight for name, weight in weights.items())
    assert float(rows[0]["loss"]) == pytest.approx(total, rel=1e-4)


def test_nrmse_is_that_of_the_written_weights_in_the_units_of_the_maps(done: Outcome) -> None:
    trained, maps = read_trained(done.folder), make_maps(2, SHAPE)
    network, scales = trained.network(), trained.constants.normalisation
    mask, relaxivity = maps["brain_mask"], trained.constants.relaxivity_hz_per_ppm
    given = [(maps["truth/chi_total"], "chi_total"), (maps["local_field"], "local_field"),
             (maps["r2prime"] / relaxivity, "r2prime")]  # fmt: skip
    images = np.stack([scales[name].normalise(one, mask) for one, name in given])
    sums = np.zeros((2, 2))
    for i in (0, 6):  # the patches of 22×21×20 voxels, as the grid has them
        for j in (0, 5):
            for k in (0, 4):
                box = (slice(i, i + 16), slice(j, j + 16), slice(k, k + 16))
                with torch.no_grad():
                    found = network(torch.from_numpy(images[(slice(None), *box)][None].copy()))[0].numpy()
                for n, name in enumerate(("chi_para", "chi_dia")):
                    estimate = scales[name].restore(found[n], mask[box])
                    true = maps[f"truth/{name}"][box]
                    sums[:, n] += np.sum((estimate - true) ** 2), np.sum(true**2)
    percent = 100 * np.sqrt(sums[0] / sums[1])
    row = done.rows[done.best_epoch - 1]
    # Inputs were rounded to float16.
    assert percent == pytest.approx([row["nrmse_chi_para"], row["nrmse_chi_dia"]], rel=1e-3)
    assert float(trained.nrmse_percent) == pytest.approx(percent.mean(), rel=1e-3)


def test_bfloat16_is_refused_where_the_processor_has_no_units_for_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # There oneDNN's weight gradients of levels with 2³ voxels were at times infinite (PyTorch 2.13, AVX-512 BF16).
    from ChiSepReconstructLib.training import loop

    monkeypatch.setattr(loop, "has_bfloat16_units", lambda device: False)
    with pytest.raises(InputError, match="precision: got bfloat16 on cpu"):
        train("qsmnet", folder, tmp_path, replace(TINY, precision="bfloat16"))


def test_layout_in_memory_changes_nothing_but_rounding(folder: Path, tmp_path: Path, done: Outcome) -> None:
    found = train("chisepnet", folder, tmp_path, replace(TINY, channels_last=False))
    assert found.rows[0]["loss"] == pytest.approx(done.rows[0]["loss"], rel=1e-3)


def test_progress_tells_the_time_left(folder: Path, tmp_path: Path) -> None:
    heard: list[Status] = []
    train("qsmnet", folder, tmp_path, replace(TINY, epochs=1), report=Reporter(heard.append))
    steps = [one for one in heard if one.step == "train"]
    assert "epoch 1 of 1, loss " in steps[0].detail and steps[0].detail.endswith(" s left")
    assert [one.fraction for one in heard] == sorted(one.fraction for one in heard) and steps[-1].fraction == 1
    assert {one.step for one in heard} == {"read", "prepare", "train"}


@pytest.mark.parametrize(("seconds", "words"), [(4.4, "4 s"), (130, "2 min"), (4860, "1 h 21 min")])
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_learning_rates() -> None:
    step = OptimiserOptions(learning_rate=3e-4)
    assert [learning_rate(step, n, 0) for n in (0, 999, 1000, 2500)] == pytest.approx(
        [3e-4, 3e-4, 3e-4 * 0.98, 3e-4 * 0.98**2]
    )
    cosine = OptimiserOptions(schedule="cosine", learning_rate=1.0)
    assert [learning_rate(cosine, n, 100) for n in (0, 50, 100)] == pytest.approx([1, 0.5, 0], abs=1e-12)
    cycle = [learning_rate(OptimiserOptions(schedule="one-cycle", learning_rate=1.0), n, 100) for n in range(101)]
    torch_own = torch.optim.lr_scheduler.OneCycleLR(
        torch.optim.SGD([torch.zeros(1, requires_grad=True)]), max_lr=1.0, total_steps=1001, final_div_factor=4000
    )
    assert cycle[0] == pytest.approx(torch_own.get_last_lr()[0]) and cycle[30] == 1 and cycle[100] < 2e-5
    assert np.argmax(cycle) == 30 and np.all(np.diff(cycle[:31]) > 0) and np.all(np.diff(cycle[30:]) < 0)


def test_chisepnet_needs_a_qsmnet(folder: Path, tmp_path: Path) -> None:
    options = replace(TINY, data=DataOptions())
    with pytest.raises(InputError, match="--qsmnet"):
        train("chisepnet", folder, tmp_path / "a", options)
    with pytest.raises(InputError, match="takes no QSM of a network"):
        train("qsmnet", folder, tmp_path / "b", options, qsmnet=tmp_path)
    assert not (tmp_path / "a").exists()


def test_batches_too_small_for_the_deepest_level_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="batch size: got 1 patch"):
        train("qsmnet", folder, tmp_path, replace(TINY, batch_size=1))


def test_missing_tensorboard_is_named(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingDependencyError, match="pip install tensorboard"):
        train("qsmnet", folder, tmp_path, replace(TINY, tensorboard=True))

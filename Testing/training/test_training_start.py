"""Networks that start from a classical result: what they are given, what they add to, in training and in use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Grid, MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import read_json
from ChiSepPreprocessLib.progress import Reporter
from ChiSepReconstructLib.networks.engine import EngineOptions
from ChiSepReconstructLib.networks.inference import NetworkChain, run_chisepnet_r2prime
from ChiSepReconstructLib.networks.inversion import tv_start
from ChiSepReconstructLib.networks.options import NetworkOptions
from ChiSepReconstructLib.networks.weights.weight_set import CLOSED_FORM, START, Role, added_inputs
from ChiSepReconstructLib.solvers import tv
from ChiSepReconstructLib.training.loop import train
from ChiSepReconstructLib.training.options import AugmentationOptions, DataOptions, PatchOptions, TrainingOptions
from ChiSepReconstructLib.training.packing import PackOptions, pack, read_trained
from ChiSepReconstructLib.training.patches import grid_patches
from ChiSepReconstructLib.training.qsm_input import qsm_by_network
from installed_weights import map_set
from training_heads import TRAINED, make_maps, write_heads

SHAPE = (20, 19, 18)
OPTIONS = TrainingOptions(
    base_width=2, epochs=1, batch_size=2, device="cpu", inputs=("local_field", START), storage="float32",
    augmentation=AugmentationOptions(angles_deg=(0.0, 20.0)), data=DataOptions(centred_qsm=True),
    patches=PatchOptions(size_voxels=16, sampling="random", per_epoch=4),
)  # fmt: skip


SEPARATING = replace(OPTIONS, inputs=(*CLOSED_FORM, "local_field"), augmentation=AugmentationOptions(angles_deg=(0.0,)))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("started")
    train("qsmnet", write_heads(folder / "data", 3, SHAPE), folder / "qsmnet", OPTIONS)
    return folder / "qsmnet"


@pytest.fixture(scope="module")
def separating(trained: Path) -> Path:
    folder = trained.parent / "chisepnet"
    train("chisepnet", trained.parent / "data", folder, SEPARATING, qsmnet=trained)
    return folder


def by_total_variation(maps: MapSet, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The method's own result, with the mean 0 over the brain."""
    chi = tv.run(maps, mask, tv.TvOptions(), Reporter()).maps["chi_total"]
    return np.where(mask, chi - chi[mask].mean(), 0).astype(np.float32)


def trained_maps(seed: int, voxel_mm: float = 1.0) -> tuple[MapSet, dict[str, Any]]:
    maps = make_maps(seed, SHAPE)
    grid = Grid(SHAPE, TRAINED @ np.diag([voxel_mm, voxel_mm, voxel_mm, 1]))
    return map_set(grid, local_field=maps["local_field"], brain_mask=maps["brain_mask"]), maps


def silenced(folder: Path, tmp_path: Path) -> Path:
    """The training with an output of 0."""
    from ChiSepReconstructLib.networks.weights.state import to_safetensors

    state = read_trained(folder).network().state_dict()
    for name in ("out.conv.weight", "out.conv.bias"):
        state[name].zero_()
    (tmp_path / "best.safetensors").write_bytes(to_safetensors(state, notes={"epoch": "1", "nrmse_percent": "50"}))
    (tmp_path / "training.json").write_bytes((folder / "training.json").read_bytes())
    return tmp_path


def qsm_of(maps: MapSet, mask: NDArray[np.bool_], resolution: Any = "best") -> NDArray[np.float32]:
    options = NetworkOptions(engine=EngineOptions(device="cpu"), resolution=resolution)
    chain = NetworkChain("qsmnet", maps, mask, options, ("qsmnet",), ("local_field",))
    return chain.frame.back({"chi_total": chain.restored("chi_total", chain.qsm(Reporter()))})["chi_total"]


def test_start_is_what_total_variation_makes_of_the_field() -> None:
    maps, plain = trained_maps(5)
    start = tv_start(plain["local_field"], plain["brain_mask"], (1.0, 1.0, 1.0), Reporter())
    expected = by_total_variation(maps, plain["brain_mask"])
    np.testing.assert_allclose(start, expected, atol=1e-6)
    assert start.std() > 0.01 and not start[~plain["brain_mask"]].any()
    empty = np.zeros(SHAPE, np.bool_)
    assert not tv_start(plain["local_field"], empty, (1.0, 1.0, 1.0), Reporter()).any()


def test_a_network_that_adds_nothing_gives_the_start(trained: Path, tmp_path: Path, data_folder: Path) -> None:
    """In the pipeline and as χ-sepnet's input in training, but for the mean of the training's labels, which is 0."""
    pack("ours", {"qsmnet": silenced(trained, tmp_path)}, PackOptions(compression="float32"))
    maps, plain = trained_maps(5)
    mask = plain["brain_mask"]
    expected = by_total_variation(maps, mask)
    np.testing.assert_allclose(qsm_of(maps, mask), expected, atol=1e-6)
    kept = qsm_by_network(tmp_path, tmp_path / "kept", "cpu")("head", plain["local_field"], mask)
    np.testing.assert_allclose(kept, expected, atol=1e-6)


def test_training_counts_the_start(trained: Path, tmp_path: Path) -> None:
    """Without a step, the error in validation is that of total variation."""
    record = read_json(trained / "training.json")["data"]
    assert record["qsm"] == {"source": "tv"} and record["inputs"] == ["local_field", START]
    assert sorted(one.stem for one in (trained / "qsm").glob("*.npy")) == [
        "s0000-0", "s0000-1", "s0001-0", "s0001-1", "s0002-0"
    ]  # fmt: skip
    scales = read_trained(trained).constants.normalisation
    assert scales[START].mean == 0 and scales[START].std == scales["chi_total"].std
    assert abs(scales["chi_total"].mean) < 1e-6 * scales["chi_total"].std

    from ChiSepReconstructLib.training import loop
    from ChiSepReconstructLib.training.examples import load
    from ChiSepReconstructLib.training.parallel import ranks
    from ChiSepReconstructLib.training.qsm_input import qsm_by_total_variation

    data = load(trained.parent / "data", "qsmnet", OPTIONS, Reporter(),
                make_qsm=qsm_by_total_variation(trained / "qsm"))  # fmt: skip
    with ranks("cpu") as here:
        trainer = loop.Trainer(data, OPTIONS, tmp_path / "none", here)
        for value in trainer.network.out.parameters():
            torch.nn.init.zeros_(value)
        errors, _ = trainer._validate()
    maps, plain = trained_maps(2)
    mask = plain["brain_mask"]
    label = plain["truth/chi_total"][mask] - plain["truth/chi_total"][mask].mean()
    difference = by_total_variation(maps, mask)[mask] - label
    # Patches overlap, so that voxels in the middle count more often than others.
    expected = 100 * np.linalg.norm(difference) / np.linalg.norm(label)
    assert errors["chi_total"] == pytest.approx(expected, rel=0.03)


def test_other_voxel_sizes_start_from_the_samplings(trained: Path, tmp_path: Path, data_folder: Path) -> None:
    """27 of them together are close to total variation on the voxels themselves, as far as 1 mm can show it."""
    pack("ours", {"qsmnet": silenced(trained, tmp_path)}, PackOptions(compression="float32", largest_voxel_mm=2.0))
    maps, plain = trained_maps(5, voxel_mm=1.25)
    mask = plain["brain_mask"]
    found, expected = qsm_of(maps, mask), by_total_variation(maps, mask)
    error = 100 * np.linalg.norm((found - expected)[mask]) / np.linalg.norm(expected[mask])
    assert error == pytest.approx(13.07, abs=0.3)


def test_chisepnet_that_adds_nothing_gives_the_closed_form(
    trained: Path, separating: Path, tmp_path: Path, data_folder: Path
) -> None:
    """Of the same QSM and of R2′, clipped at 0, which the network's own inputs are not."""
    (tmp_path / "silent").mkdir()
    networks: dict[Role, Path] = {"qsmnet": trained, "chisepnet": silenced(separating, tmp_path / "silent")}
    weights = pack("ours", networks, PackOptions(compression="float32"))
    assert weights.file("chisepnet").inputs == (*CLOSED_FORM, "local_field")
    assert added_inputs(weights.file("chisepnet").inputs) == (0, 1)
    plain = make_maps(5, SHAPE)
    mask, r2prime = plain["brain_mask"], plain["r2prime"]
    maps = map_set(Grid(SHAPE, TRAINED), **{name: plain[name] for name in ("local_field", "brain_mask", "r2prime")})
    options = NetworkOptions(engine=EngineOptions(device="cpu"))
    found = run_chisepnet_r2prime(maps, mask, options, Reporter())
    qsm, relaxed = qsm_of(maps, mask), r2prime / found.record["relaxivity"]["para_hz_per_ppm"]
    assert (relaxed < qsm)[mask].any() and (relaxed < -qsm)[mask].any()
    for name, expected in (("chi_para", relaxed + qsm), ("chi_dia", relaxed - qsm)):
        np.testing.assert_allclose(found.maps[name][mask], np.maximum(expected[mask] / 2, 0), atol=2e-7)
    assert set(found.record["network_weights"]["sha256"]) == {"qsmnet", "chisepnet"}


def test_training_counts_the_closed_form(trained: Path, separating: Path, tmp_path: Path) -> None:
    """Each label is compared with the sum; the inputs have the labels' scale, so that the sum is one of ppm."""
    from ChiSepReconstructLib.training import loop
    from ChiSepReconstructLib.training.examples import load
    from ChiSepReconstructLib.training.parallel import ranks

    scales = read_trained(separating).constants.normalisation
    assert [scales[name] for name in CLOSED_FORM] == [scales["chi_para"], scales["chi_dia"]]
    data = load(trained.parent / "data", "chisepnet", SEPARATING, Reporter(),
                make_qsm=qsm_by_network(trained, separating / "qsm", "cpu"))  # fmt: skip
    with ranks("cpu") as here:
        trainer = loop.Trainer(data, SEPARATING, tmp_path / "none", here)
        for value in trainer.network.out.parameters():
            torch.nn.init.zeros_(value)
        errors, _ = trainer._validate()
    plain = make_maps(2, SHAPE)
    mask, hz_per_ppm = plain["brain_mask"], data.constants.relaxivity_hz_per_ppm
    qsm = qsm_by_network(trained, separating / "qsm", "cpu")("s0002", plain["local_field"], mask)
    often = np.zeros(data.validation[0].mask.shape)  # patches overlap
    for patch in grid_patches(data.validation, SEPARATING.patches, trainer.size):
        often[tuple(slice(first, first + trainer.size) for first in patch.corner)] += 1
    often = often[tuple(slice(n) for n in mask.shape)]
    for name, sign in (("chi_para", 1), ("chi_dia", -1)):
        label = plain[f"truth/{name}"]
        difference = (plain["r2prime"] / hz_per_ppm + sign * qsm) / 2 - label
        expected = 100 * np.sqrt((often * difference**2)[mask].sum() / (often * label**2)[mask].sum())
        assert errors[name] == pytest.approx(expected, rel=1e-4)


def test_start_is_qsmnets_alone(tmp_path: Path) -> None:
    data = write_heads(tmp_path / "data", 3, SHAPE)
    with pytest.raises(InputError, match="inputs of r2primenet"):
        train("r2primenet", data, tmp_path / "run", OPTIONS)

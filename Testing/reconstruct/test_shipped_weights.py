"""The weights that ship: whole, small, named for what they are, and as accurate as when they were packed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ChiSepPhantoms import Phantom
from ChiSepPreprocessLib.progress import Reporter
from ChiSepReconstructLib.evaluation.evaluate import evaluate
from ChiSepReconstructLib.networks.weights.store import SHIPPED, check_networks, find
from ChiSepReconstructLib.networks.weights.weight_set import MANIFEST, ROLES, read_set
from ChiSepReconstructLib.pipeline import reconstruct

NAME = "simulated-1"


@pytest.fixture(autouse=True)
def _no_weights_of_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("CHISEP_DATA", str(tmp_path_factory.mktemp("data") / "none"))


def test_all_three_networks_are_there_whole_and_small() -> None:
    folder = SHIPPED / NAME
    one = read_set(folder)
    check_networks(one, Reporter())
    assert set(one.networks) == set(ROLES)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 20e6
    assert {path.name for path in folder.iterdir()} == {MANIFEST, *(f"{role}.safetensors" for role in ROLES)}
    assert find() == one


def test_they_are_named_as_our_own() -> None:
    one = find(NAME)
    assert one.training_domain == "simulated" and one.licence == "Apache-2.0"
    assert "own simulated weights" in one.title and "TRAINING.md" in one.source
    assert (SHIPPED / "TRAINING.md").is_file()


def test_errors_on_true_inputs_are_those_of_the_release(patient: Phantom) -> None:
    """Simulated, 2.2×2.0×2.5 mm, oblique, inputs without error: far from the voxels of the training."""
    found = reconstruct(patient.truth, method="chi-sepnet-r2prime")
    errors = {name: one["nrmse_percent"] for name, one in evaluate(found, patient.truth).items()}
    assert errors["chi_para"] == pytest.approx(11.84, abs=0.3)
    assert errors["chi_dia"] == pytest.approx(10.29, abs=0.3)
    mask = patient.truth.array("brain_mask")
    for name, correlation in (("chi_para", 0.952), ("chi_dia", 0.954)):
        true, mine = patient.truth.array(name)[mask], found.array(name)[mask]
        assert np.corrcoef(true, mine)[0, 1] == pytest.approx(correlation, abs=0.01)
    assert any("simulated heads" in text for text in found["chi_para"].warnings)


def test_bfloat16_changes_the_maps_by_half_a_percent_at_most(patient: Phantom) -> None:
    """In a block of 48 mm in the middle; what is written in the results is of a larger one."""
    mask = patient.truth["brain_mask"]
    block = np.zeros_like(mask.data)
    i, j, k = (slice(n // 2 - round(24 / size), n // 2 + round(24 / size))
               for n, size in zip(mask.data.shape, patient.truth.grid.voxel_size_mm, strict=True))  # fmt: skip
    block[i, j, k] = True
    maps = patient.truth.including(replace(mask, data=mask.data & block))
    exact, rounded = (
        reconstruct(maps, method="chi-sepnet-r2prime", options={"engine": {"device": "cpu", "precision": one}})
        for one in ("float32", "bfloat16")
    )
    runs = rounded["chi_para"].options["network_engine"]["runs"]
    assert {one["precision"] for one in runs.values()} == {"bfloat16"}
    for name in ("chi_para", "chi_dia"):
        true, found = exact.array(name), rounded.array(name)
        assert 0.0005 < np.linalg.norm(found - true) / np.linalg.norm(true) < 0.005

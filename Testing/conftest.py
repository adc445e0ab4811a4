"""Fixtures that several areas share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ChiSepPhantoms import Phantom, PhantomOptions, simulate, write_dicom_study, write_truth

if TYPE_CHECKING:
    from weight_files import Published

ROOT = Path(__file__).resolve().parents[1]

#: Small enough for seconds, oblique and anisotropic so that no direction is taken for granted.
SMALL_PATIENT = PhantomOptions(
    seed=3, voxel_size_mm=(2.2, 2.0, 2.5), fine_mm=1.25, tilt_deg=(18.0, -7.0, 4.0), se_voxel_size_mm=(2.2, 2.0, 4.0),
    flair_voxel_size_mm=(2.0, 2.0, 3.0), snr=100.0,
)  # fmt: skip


def pytest_configure() -> None:
    """Give each parallel worker one core of its own: more threads than cores wait for each other."""
    name, setting = os.environ.get("PYTEST_XDIST_WORKER", ""), getattr(os, "sched_setaffinity", None)
    if setting and name.startswith("gw"):
        cores = sorted(os.sched_getaffinity(0))
        if int(os.environ["PYTEST_XDIST_WORKER_COUNT"]) >= len(cores):
            setting(0, {cores[int(name[2:]) % len(cores)]})


@pytest.fixture(scope="session")
def patient() -> Phantom:
    """A small simulated patient with its truth."""
    return simulate(SMALL_PATIENT)


@pytest.fixture(scope="session")
def patient_folder(patient: Phantom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small patient on disk: ``dicom/`` and ``truth/``."""
    folder = tmp_path_factory.mktemp("patient")
    write_dicom_study(patient, folder / "dicom")
    write_truth(patient, folder / "truth")
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real acquisitions; the test is skipped, and says so, where there is none."""
    folder = Path(os.environ.get("CHISEP_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; set CHISEP_TEST_DATA")
    return folder


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the user's own data, for this test alone, which does not exist yet; and no shipped weights."""
    from ChiSepReconstructLib.networks.weights import store

    monkeypatch.setattr(store, "SHIPPED", tmp_path / "nothing is shipped")
    monkeypatch.setenv("CHISEP_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Checkpoints and constants in the published formats, random and small; to be read only."""
    from weight_files import publish  # loads torch

    return publish(tmp_path_factory.mktemp("published"))

"""Fixtures for scenes: errors that VTK only prints become failures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet, ScanParameters


class VtkMessages:
    """Errors and warnings that VTK and Slicer report while a test runs."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def collect(self, _window: Any, event: str, text: str) -> None:
        self.found.append(f"{event}: {text}")

    collect.CallDataType = "string0"  # type: ignore[attr-defined]  # VTK's way to ask for the text


@pytest.fixture(autouse=True)
def vtk_messages() -> Iterator[VtkMessages]:
    """Fail the test on any VTK error or warning that it does not take out of the list."""
    from vtkmodules.vtkCommonCore import vtkOutputWindow, vtkStringOutputWindow

    before, window, messages = vtkOutputWindow.GetInstance(), vtkStringOutputWindow(), VtkMessages()
    for event in ("ErrorEvent", "WarningEvent"):
        window.AddObserver(event, messages.collect)  # type: ignore[arg-type]
    vtkOutputWindow.SetInstance(window)
    yield messages
    vtkOutputWindow.SetInstance(before)
    assert not messages.found, messages.found


@pytest.fixture
def scene() -> Iterator[Any]:
    """A fresh scene with all logics."""
    from ChiSepPreprocessLib.scene.session import close_session, open_session

    fresh = open_session().scene
    yield fresh
    close_session(fresh)


def oblique_affine(handedness: int) -> np.ndarray:
    """Double-oblique axes with voxels of 1 × 1.25 × 2.1 mm; left-handed for -1."""
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    rotation[:, 0] *= handedness * np.sign(np.linalg.det(rotation))
    affine = np.eye(4)
    affine[:3, :3] = rotation * [1.0, 1.25, 2.1]
    affine[:3, 3] = [31.7, -12.25, 8.125]
    return affine


@pytest.fixture(params=[1, -1], ids=["right-handed", "left-handed"])
def maps(request: pytest.FixtureRequest) -> MapSet:
    """Real maps, masks and lesions with random voxels on a double-oblique grid of odd size."""
    grid = Grid((11, 8, 13), oblique_affine(request.param))
    random = np.random.default_rng(2)
    lesions = np.zeros(grid.shape, dtype=np.int64)
    lesions[1:3, 2:4, 3:5], lesions[6:9, 5:7, 7:9], lesions[9, 1, 12] = 1, 3, 40
    arrays = {
        "chi_para": random.random(grid.shape, dtype=np.float32) * 0.1,
        "chi_total": random.normal(0.0, 0.05, grid.shape).astype(np.float32),
        "r2star": random.random(grid.shape, dtype=np.float32) * 50.0,
        "brain_mask": random.random(grid.shape) > 0.3,
        "lesions": lesions,
    }
    scan = ScanParameters(echo_times_s=(0.005, 0.01), field_strength_t=3.0, b0_direction_ijk=grid.b0_direction_ijk)
    note: dict[str, Any] = {
        "method": "closed form",
        "options": {"β": 0.5, "mask | any": "a|b:c"},
        "warnings": ("reference: CSF",),
    }
    return MapSet(grid, scan, {name: Map(name=name, data=data, grid=grid, **note) for name, data in arrays.items()})

"""Constants, grids, scans and maps: what they accept, and what they refuse."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Acquisition, Grid, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter, Status
from ChiSepPreprocessLib.quantities import GAMMA_HZ_PER_T, PAPER_FIELD_STRENGTH_T, hz_to_ppm, ppm_to_hz

AXIAL = ScanParameters(echo_times_s=(0.005, 0.010), field_strength_t=3.0, b0_direction_ijk=(0.0, 0.0, 1.0))


def rotation(axis: int, degrees: float) -> np.ndarray:
    """Rotation matrix about one of the scanner's axes."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    first, second = [i for i in range(3) if i != axis]
    matrix = np.eye(3)
    matrix[first, first], matrix[first, second], matrix[second, first], matrix[second, second] = c, -s, s, c
    return matrix


def oblique_affine(voxel_size_mm: tuple[float, float, float]) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = rotation(0, 25.0) @ rotation(1, -10.0) @ np.diag(voxel_size_mm)
    affine[:3, 3] = (-90.0, -120.0, -60.0)
    return affine


def test_papers_scanner_has_its_published_frequency() -> None:
    assert pytest.approx(123.177385e6) == GAMMA_HZ_PER_T * PAPER_FIELD_STRENGTH_T
    assert pytest.approx(2.893, abs=5e-4) == PAPER_FIELD_STRENGTH_T


def test_ppm_and_hz_are_inverse() -> None:
    field_hz = np.array([-30.0, 0.0, 12.8], dtype=np.float32)
    assert hz_to_ppm(12.8, 128e6) == pytest.approx(0.1)
    np.testing.assert_allclose(ppm_to_hz(hz_to_ppm(field_hz, 127.7e6), 127.7e6), field_hz, rtol=1e-6)


def test_b0_direction_is_exact_on_an_oblique_anisotropic_grid() -> None:
    """Moving along b by one mm in voxel axes must move one mm along scanner z in RAS."""
    grid = Grid((11, 13, 7), oblique_affine((0.7, 1.0, 2.5)))
    step_ijk = np.asarray(grid.b0_direction_ijk) / np.asarray(grid.voxel_size_mm)
    np.testing.assert_allclose(grid.affine[:3, :3] @ step_ijk, (0.0, 0.0, 1.0), atol=1e-12)
    assert grid.voxel_volume_mm3 == pytest.approx(0.7 * 1.0 * 2.5)


def test_grid_refuses_shear_and_singular_matrices() -> None:
    sheared = np.eye(4)
    sheared[0, 1] = 0.01
    with pytest.raises(InputError, match="shear"):
        Grid((2, 2, 2), sheared)
    with pytest.raises(InputError, match="voxel size"):
        Grid((2, 2, 2), np.diag([1.0, 0.0, 1.0, 1.0]))


def test_grids_match_within_their_tolerance_at_the_far_corner() -> None:
    affine = oblique_affine((1.0, 1.0, 1.0))
    turned = affine.copy()
    turned[:3, :3] = rotation(2, 0.02) @ affine[:3, :3]
    grid = Grid((200, 200, 100), affine)
    assert grid.matches(Grid((200, 200, 100), affine + 0.0))
    assert not grid.matches(Grid((200, 200, 100), turned))
    assert not grid.matches(Grid((200, 200, 101), affine))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"echo_times_s": ()}, "echo times"),
        ({"echo_times_s": (0.01, 0.01)}, "strictly increasing"),
        ({"echo_times_s": (0.02, 0.01)}, "strictly increasing"),
        ({"echo_times_s": (-0.01, 0.01)}, "positive"),
        ({"echo_times_s": (4.0, 8.0)}, "milliseconds"),
        ({"field_strength_t": 0.0}, "field strength"),
        ({"field_strength_t": 30000.0}, "field strength"),
        ({"b0_direction_ijk": (0.0, 0.0, 2.0)}, "unit vector"),
        ({"imaging_frequency_hz": 63.9e6}, "imaging frequency"),
        ({"imaging_frequency_hz": 127.7}, "imaging frequency"),
    ],
)
def test_scan_refuses(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(AXIAL, **change)  # type: ignore[arg-type]


def test_reference_frequency_says_where_it_comes_from() -> None:
    assert AXIAL.frequency_source == "nominal field strength"
    assert AXIAL.reference_frequency_hz == pytest.approx(3.0 * GAMMA_HZ_PER_T)
    tuned = replace(AXIAL, imaging_frequency_hz=123.2e6)
    assert (tuned.frequency_source, tuned.reference_frequency_hz) == ("imaging frequency", 123.2e6)


def acquisition(magnitude: np.ndarray, phase: np.ndarray) -> Acquisition:
    grid = Grid((3, 4, 5), np.eye(4))
    return Acquisition(gre_magnitude=magnitude, gre_phase=phase, grid=grid, scan=AXIAL)


def test_acquisition_refuses_wrong_shapes_nan_and_foreign_phase() -> None:
    good = np.zeros((3, 4, 5, 2), np.float32)
    acquisition(good, good)
    bad = good.copy()
    bad[1, 1, 1, 0], bad[1, 1, 2, 1] = np.nan, np.inf
    with pytest.raises(InputError, match="2 voxels that are NaN or infinite"):
        acquisition(good, bad)
    with pytest.raises(InputError, match="gre_magnitude: got shape"):
        acquisition(good[..., :1], good)
    with pytest.raises(InputError, match="radians"):
        acquisition(good, good + 2048.0)


def test_map_holds_its_row_of_the_table() -> None:
    grid = Grid((2, 2, 2), np.eye(4))
    zeros = np.zeros((2, 2, 2), np.float32)
    with pytest.raises(InputError, match="artifact name"):
        Map(name="chi", data=zeros, grid=grid)
    with pytest.raises(InputError, match="values ≥ 0"):
        Map(name="chi_dia", data=zeros - 1, grid=grid)
    with pytest.raises(InputError, match="bool"):
        Map(name="brain_mask", data=zeros, grid=grid)


def test_mapset_refuses_another_grid() -> None:
    grid, moved = Grid((2, 2, 2), np.eye(4)), np.eye(4)
    moved[0, 3] = 5.0
    stranger = Map(name="r2", data=np.zeros((2, 2, 2), np.float32), grid=Grid((2, 2, 2), moved))
    with pytest.raises(InputError, match="r2: got grid"):
        MapSet(grid, AXIAL, {"r2": stranger})


def test_input_error_travels_between_processes() -> None:
    error = InputError("echo times", "none", "one for each echo", "Use --echo-times.")
    back = pickle.loads(pickle.dumps(error))
    assert (str(back), back.hint) == (str(error), "Use --echo-times.")


def test_reporter_spans_add_up_and_cancel() -> None:
    seen: list[Status] = []
    Reporter(seen.append).span(0.5, 1.0).span(0.0, 0.5)("unwrap", 1.0)
    assert seen[0].fraction == pytest.approx(0.75)
    with pytest.raises(CancelledError, match="unwrap"):
        Reporter(lambda status: False)("unwrap", 0.0)

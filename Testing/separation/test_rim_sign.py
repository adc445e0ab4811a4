"""The rim sign on spheres of known contrast, and the codes of every measure."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.sr.codedict import codes

from ChiSeparationLib.lesions.components import label_mask
from ChiSeparationLib.lesions.grading import grade_lesions
from ChiSeparationLib.lesions.measures import (
    GEOMETRY_MEASURES,
    MAP_MEASURES,
    PRIVATE_SCHEME,
    SUSCEPTIBILITY_CODE,
    UNIT_CODES,
    MeasureSpec,
)
from ChiSeparationLib.lesions.suggestion import THRESHOLDS_FILE, RimSign, read_thresholds
from ChiSeparationLib.lesions.table import LesionRow
from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.errors import InputError

SIZES = [(1.0, 1.0, 1.0), (0.7, 0.8, 1.6)]
RADIUS_MM, RIM_MM, WHITE_PPB = 7.0, 2.0, 17.0
SPECS = [*GEOMETRY_MEASURES.values(), *MAP_MEASURES.values()]


def oblique(size_mm: tuple[float, float, float], extent_mm: float = 28.0) -> Grid:
    turn = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    affine = np.eye(4)
    affine[:3, :3] = np.array([[1, 0, 0], [0, 0.96, -0.28], [0, 0.28, 0.96]]) @ turn @ np.diag(size_mm)
    i, j, k = (int(extent_mm / length) for length in size_mm)
    return Grid((i, j, k), affine)


def offsets_mm(grid: Grid) -> NDArray[np.float64]:
    """RAS of every voxel from the middle of the grid, (3, I, J, K)."""
    index = np.indices(grid.shape) - (np.array(grid.shape) // 2)[:, None, None, None]
    return np.asarray(np.tensordot(grid.affine[:3, :3], index, axes=1))


def graded(
    grid: Grid, para_ppb: NDArray[np.float64], noise_ppb: float = 0.0, radius_mm: float = RADIUS_MM
) -> LesionRow:
    scan = ScanParameters(echo_times_s=(0.005,), field_strength_t=3.0, b0_direction_ijk=grid.b0_direction_ijk)
    noise = np.random.default_rng(8).normal(0, noise_ppb, grid.shape) if noise_ppb else 0.0
    maps = {"chi_para": (para_ppb + noise) / 1e3, "field_mask": np.ones(grid.shape, dtype=bool)}
    lesions = label_mask(np.linalg.norm(offsets_mm(grid), axis=0) <= radius_mm, grid).lesions
    every = MapSet(grid, scan, {name: Map(name=name, data=data, grid=grid) for name, data in maps.items()})
    return grade_lesions(every, lesions).rows[0]


def rim_lesion(grid: Grid, rim_ppb: float, core_ppb: float, part: float = 1.0) -> NDArray[np.float64]:
    """A sphere with its own rim along a part of the azimuth about the body's long axis."""
    x, y, z = offsets_mm(grid)
    radius = np.sqrt(x**2 + y**2 + z**2)
    covered = (np.arctan2(y, x) + np.pi) / (2 * np.pi) <= part
    inside = np.where((radius > RADIUS_MM - RIM_MM) & covered, rim_ppb, core_ppb)
    return np.where(radius <= RADIUS_MM, inside, WHITE_PPB)


@pytest.mark.parametrize("size_mm", SIZES)
@pytest.mark.parametrize(
    # Without a rim, 16 % of a normal distribution lie above one standard deviation.
    ("part", "score", "flagged"),
    [(1.0, 1.0, True), (0.8, 0.8, True), (0.5, 0.5, False), (0.0, 0.16, False)],
)
def test_score_is_the_share_of_the_edge(
    size_mm: tuple[float, float, float], part: float, score: float, flagged: bool
) -> None:
    grid = oblique(size_mm)
    row = graded(grid, rim_lesion(grid, 40.0, 20.0, part), noise_ppb=1.5)
    assert row.measures["chi_para"].values["rim_sign_score"] == pytest.approx(score, abs=0.04)
    assert any("possible paramagnetic rim" in flag for flag in row.flags) is flagged


@pytest.mark.parametrize(("core_ppb", "edge_sd"), [(20.0, 20.0 / 2.0), (10.0, 23.0 / 2.0)])
def test_the_rim_is_held_against_the_brighter_of_core_and_surroundings(core_ppb: float, edge_sd: float) -> None:
    grid = oblique((1.0, 1.0, 1.0))
    shell_ppb = WHITE_PPB + np.where(np.indices(grid.shape).sum(axis=0) % 2, 2.0, -2.0)
    chi = rim_lesion(grid, 40.0, core_ppb)
    # A core deeper than the painted rim alone: the measured one starts 1 mm under the surface.
    inside = np.linalg.norm(offsets_mm(grid), axis=0) <= RADIUS_MM
    values = graded(grid, np.where(inside, chi, shell_ppb)).measures["chi_para"].values
    core, spread, edge = values["core_mean_ppb"], values["nawm_sd_ppb"], values["rim_edge_sd"]
    assert core is not None and spread is not None and edge is not None
    assert spread == pytest.approx(2.0, rel=1e-2)
    assert edge == pytest.approx((40.0 - max(core, WHITE_PPB)) / spread, rel=1e-2)
    assert edge < edge_sd  # part of the rim lies in the measured core


def test_a_bright_lesion_without_rim_scores_nothing() -> None:
    grid = oblique((1.0, 1.0, 1.0))
    values = graded(grid, rim_lesion(grid, 40.0, 40.0), noise_ppb=2.0).measures["chi_para"].values
    assert values["rim_sign_score"] == pytest.approx(0.16, abs=0.05)  # a normal distribution above one SD
    assert values["rim_edge_sd"] == pytest.approx(0.0, abs=0.2)


def test_a_lesion_that_is_all_rim_has_no_rim_sign() -> None:
    grid = oblique((1.0, 1.0, 1.0))
    row = graded(grid, rim_lesion(grid, 40.0, 40.0), radius_mm=2.0)
    values = row.measures["chi_para"].values
    assert values["rim_sign_score"] is values["rim_edge_sd"] is None
    assert values["rim_mean_ppb"] == pytest.approx(40.0)
    assert not any("possible" in flag for flag in row.flags)


def test_a_rim_below_the_surroundings_is_none() -> None:
    grid = oblique((1.0, 1.0, 1.0))
    values = graded(grid, rim_lesion(grid, 15.0, 5.0), noise_ppb=0.5).measures["chi_para"].values
    assert values["rim_sign_score"] == 0.0


@pytest.mark.parametrize("change", [{"share": 0.0}, {"share": 1.1}, {"rise_sd": -1.0}, {"rise_sd": float("nan")}])
def test_senseless_limits_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(InputError, match="rim sign"):
        RimSign(**change)  # type: ignore[arg-type]


def test_the_users_own_limits_decide(tmp_path: Path) -> None:
    content = json.loads(THRESHOLDS_FILE.read_text(encoding="utf-8"))
    assert read_thresholds().rim_sign.share == pytest.approx(2 / 3, abs=1e-4)
    assert "two thirds" in read_thresholds().rim_sign.why
    del content["rim_sign"]
    path = tmp_path / "limits.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError, match="rim_sign"):
        read_thresholds(path)


@pytest.mark.parametrize("spec", SPECS, ids=[spec.key for spec in SPECS])
def test_every_measure_has_a_code_that_dicom_can_hold(spec: MeasureSpec) -> None:
    for code in (spec.code, spec.unit_code):  # lengths of the value representations SH and LO
        assert 0 < len(code.value) <= 16 and 0 < len(code.scheme) <= 16 and 0 < len(code.meaning) <= 64
    assert (spec.code.scheme == PRIVATE_SCHEME) == (spec.standard is None)


def test_public_codes_are_those_of_the_standard() -> None:
    public = {spec.key: (spec.code.value, spec.code.meaning) for spec in SPECS if spec.standard}
    known = {
        "volume_mm3": codes.SCT.Volume, "mean_ppb": codes.SCT.Mean, "sd_ppb": codes.SCT.StandardDeviation,
        "median_ppb": codes.SCT.Median, "p10_ppb": codes.SCT._10thPercentileValueOfPopulation,
        "p90_ppb": codes.SCT._90thPercentileValueOfPopulation,
    }  # fmt: skip
    assert public == {key: (code.value, code.meaning) for key, code in known.items()}
    assert (*SUSCEPTIBILITY_CODE[:2],) == (codes.DCM.MagneticSusceptibility.value, "DCM")
    units = {unit: code.value for unit, code in UNIT_CODES.items()}
    assert units == {"1": "1", "mm": "mm", "mm3": "mm3", "ppb": "[ppb]"}

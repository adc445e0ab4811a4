"""Regions of known values: means, medians, slope and z-scores; and label maps on other grids."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from numpy.typing import NDArray

from ChiSeparationLib.evaluation import Estimate
from ChiSeparationLib.normative import read_normative
from ChiSeparationLib.region_labels import RegionLabels, read_region_labels
from ChiSeparationLib.regions_analysis import analyse_regions
from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import write_nifti

_GRID = Grid((24, 20, 16), np.diag([1.0, 1.2, 2.0, 1.0]))
_SCAN = ScanParameters(echo_times_s=(0.005,), field_strength_t=3.0, b0_direction_ijk=(0.0, 0.0, 1.0))
#: 0 outside; regions 1, 2, 3 of 8 planes each but for the first two planes.
_LABELS = np.where(np.arange(24)[:, None, None] < 2, 0, 1 + np.arange(24)[:, None, None] // 8) * np.ones(
    _GRID.shape, dtype=np.int32
)
_PPB = np.array([0.0, 20.0, 40.0, 70.0])
_NAMES = {1: "Caudate", 2: "Putamen", 3: "Pallidum"}


def maps_of(**arrays: NDArray[Any]) -> MapSet:
    full = {"brain_mask": np.ones(_GRID.shape, dtype=bool), **arrays}
    return MapSet(_GRID, _SCAN, {name: Map(name=name, data=data, grid=_GRID) for name, data in full.items()})


def estimate(**arrays: NDArray[Any]) -> Estimate:
    return Estimate(maps_of(**arrays), tuple(arrays))


def test_mean_sd_and_median_of_every_region_in_ppb() -> None:
    rng = np.random.default_rng(3)
    para, rate = _PPB[_LABELS] + rng.exponential(3.0, _GRID.shape), 20.0 + _LABELS
    found = analyse_regions(
        {"m": estimate(chi_para=para / 1e3, r2star=rate.astype(float))}, RegionLabels(_LABELS, _NAMES)
    )
    rows = {(row.map, row.region): row for row in found.rows}
    assert list(rows) == [(name, region) for name in ("chi_para", "r2star") for region in _NAMES.values()]
    for label, region in _NAMES.items():
        values, row = para[label == _LABELS], rows["chi_para", region]
        assert (row.unit, row.voxels, row.label) == ("ppb", values.size, label)
        assert (row.mean, row.sd, row.median) == pytest.approx((values.mean(), values.std(ddof=1), np.median(values)))
        assert row.reference_mean is row.z_score is None
        assert (rows["r2star", region].unit, rows["r2star", region].mean) == ("1/s", 20.0 + label)


def test_slope_against_a_reference_in_the_same_voxels() -> None:
    masked = np.arange(24)[:, None, None] % 2 * np.ones(_GRID.shape) > 0
    true = _PPB[_LABELS] / 1e3
    one = Estimate(maps_of(chi_dia=0.8 * true + 0.003, brain_mask=masked), ("chi_dia",))
    other = {"a": one, "reference": estimate(chi_dia=true)}
    found = analyse_regions(other, RegionLabels(_LABELS, {}), ("reference", other["reference"].maps))
    line = found.lines["a"]["chi_dia"]
    assert (line.slope, line.intercept, line.r_squared, line.points) == pytest.approx((0.8, 3.0, 1.0, 3))
    assert set(found.lines) == {"a"}  # the reference is not held against itself
    row = found.rows[0]
    assert row.region == "1" and (row.reference_mean, row.mean) == pytest.approx((20.0, 19.0))


def test_one_region_has_a_mean_and_no_line() -> None:
    maps = estimate(chi_para=np.full(_GRID.shape, 0.02))
    found = analyse_regions({"a": maps}, RegionLabels((_LABELS == 1).astype(int), {}), ("b", maps.maps))
    assert found.lines == {"a": {}} and found.rows[0].reference_mean == pytest.approx(20.0)


def test_a_reference_on_another_grid_is_refused() -> None:
    maps = estimate(chi_para=np.full(_GRID.shape, 0.02))
    moved = Grid(_GRID.shape, _GRID.affine + np.eye(4, k=3))
    shifted = MapSet(moved, _SCAN, {"chi_para": replace(maps.maps["chi_para"], grid=moved)})
    with pytest.raises(InputError, match="reference"):
        analyse_regions({"a": maps}, RegionLabels(_LABELS, {}), ("b", shifted))
    with pytest.raises(InputError, match="no label inside"):
        analyse_regions({"a": maps}, RegionLabels(np.zeros(_GRID.shape, dtype=int), {}))


TABLE = """region,map,mean_ppb,sd_ppb,age_from,age_to
caudate,chi_para,15,2.5,,50
caudate,chi_para,25,5,50,
2,chi_para,40,4,,
Thalamus,chi_para,30,3,,
"""


HEADER = "region,map,mean_ppb,sd_ppb\n"


@pytest.mark.parametrize(("age", "z_score"), [(49.9, 2.0), (50.0, -1.0)])
def test_z_scores_by_name_number_and_age(tmp_path: Path, age: float, z_score: float) -> None:
    path = tmp_path / "normal.csv"
    path.write_text(TABLE, encoding="utf-8")
    found = analyse_regions(
        {"m": estimate(chi_para=_PPB[_LABELS] / 1e3)}, RegionLabels(_LABELS, _NAMES), None, read_normative(path, age)
    )
    rows = {row.region: row for row in found.rows}
    assert rows["Caudate"].z_score == pytest.approx(z_score)
    assert rows["Putamen"].z_score == pytest.approx(0.0, abs=1e-9) and rows["Pallidum"].z_score is None
    assert found.warnings == ("Normative regions that the labels lack: thalamus.",)


@pytest.mark.parametrize(
    ("text", "message"),
    [("region,map,mean_ppb\na,chi_para,1", "sd_ppb"), (TABLE, "age"), (HEADER, "without a value"),
     (HEADER + "a,r2star,1,1", "r2star"), (HEADER + "a,chi_dia,x,1", "'x'"), (HEADER + "a,chi_dia,1,0", "deviation 0"),
     (HEADER + ",chi_dia,1,1", "line 2"), (HEADER + "a,chi_dia,1,1\nA,chi_dia,2,1", "two values"), ("#", "sd_ppb")],
)  # fmt: skip
def test_unusable_normative_values_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "normal.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_normative(path)
    with pytest.raises(InputError, match=r"absent\.csv"):
        read_normative(tmp_path / "absent.csv")


def write_segmentation(path: Path, labels: NDArray[np.int32], grid: Grid, names: dict[int, str]) -> None:
    """As Slicer writes it: cut to the segments, LPS, with the names in the header."""
    inside = np.argwhere(labels > 0)
    low, high = inside.min(axis=0), inside.max(axis=0) + 1
    part = labels[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(part.transpose()))
    flip = np.diag([-1.0, -1.0, 1.0])
    size = np.linalg.norm(grid.affine[:3, :3], axis=0)
    image.SetSpacing(size.tolist())
    image.SetDirection((flip @ grid.affine[:3, :3] / size).ravel().tolist())
    image.SetOrigin((flip @ (grid.affine[:3, :3] @ low + grid.affine[:3, 3])).tolist())
    for number, (label, name) in enumerate(names.items()):
        for key, value in (("Name", name), ("LabelValue", str(label)), ("Layer", "0")):
            image.SetMetaData(f"Segment{number}_{key}", value)
    SimpleITK.WriteImage(image, str(path))


def test_a_segmentation_of_slicer_brings_its_names(tmp_path: Path) -> None:
    maps = maps_of(chi_para=_PPB[_LABELS] / 1e3)
    labels = np.where(np.arange(16) < 12, _LABELS, 0).astype(np.int32)
    write_segmentation(tmp_path / "regions.seg.nrrd", labels, _GRID, {2: "Putamen: left | rechts", 3: "脳"})
    found = read_region_labels(tmp_path / "regions.seg.nrrd", maps)
    assert np.array_equal(found.labels, labels)
    assert found.names == {2: "Putamen: left | rechts", 3: "脳"} and found.warnings == ()
    (tmp_path / "names.csv").write_text("label,name\n3,Pallidum\n", encoding="utf-8")
    assert read_region_labels(tmp_path / "regions.seg.nrrd", maps, tmp_path / "names.csv").names[3] == "Pallidum"


def test_labels_on_another_grid_are_placed_by_the_scanners_geometry(tmp_path: Path) -> None:
    fine = Grid((48, 40, 32), np.diag([0.5, 0.6, 1.0, 1.0]))
    write_nifti(tmp_path / "fine.nii.gz", np.kron(_LABELS, np.ones((2, 2, 2))).astype(np.int16), fine)
    found = read_region_labels(tmp_path / "fine.nii.gz", maps_of())
    assert np.mean(found.labels == _LABELS) > 0.9  # half a voxel between the two grids
    assert "another grid" in found.warnings[0]
    far = np.eye(4)
    far[:3, 3] = 500.0
    write_nifti(tmp_path / "far.nii.gz", _LABELS.astype(np.int16), Grid(_GRID.shape, far))
    with pytest.raises(InputError, match="outside the maps"):
        read_region_labels(tmp_path / "far.nii.gz", maps_of())


def test_labels_of_a_t1_move_with_it(tmp_path: Path) -> None:
    grid = Grid((40, 44, 36), np.diag([2.0, 2.0, 2.0, 1.0]))
    place = np.indices(grid.shape) - np.array([20, 22, 18])[:, None, None, None]
    head = np.sqrt(((place / np.array([15, 18, 13])[:, None, None, None]) ** 2).sum(axis=0))
    rng = np.random.default_rng(5)
    bumps = sum(
        np.exp(-((place - rng.uniform(-9, 9, 3)[:, None, None, None]) ** 2).sum(axis=0) / (2 * size**2)) * sign
        for size, sign in zip(rng.uniform(2, 4, 12), rng.choice([-1, 1], 12), strict=True)
    )
    brain = head < 0.9
    magnitude = np.where(head < 1, 100 + 40 * bumps, 5.0) + rng.normal(0, 1, grid.shape)
    maps = {"magnitude": np.abs(magnitude), "brain_mask": brain}
    gre = MapSet(grid, _SCAN, {name: Map(name=name, data=data, grid=grid) for name, data in maps.items()})
    moved = grid.affine.copy()
    moved[:3, 3] += (6.0, -4.0, 3.0)
    t1_grid = Grid(grid.shape, moved)
    labels = (np.linalg.norm(place, axis=0) < 5).astype(np.int16)
    write_nifti(tmp_path / "t1.nii.gz", (300 - np.abs(magnitude)).astype(np.float32), t1_grid)
    write_nifti(tmp_path / "labels.nii.gz", labels, t1_grid)
    found = read_region_labels(tmp_path / "labels.nii.gz", gre, t1=tmp_path / "t1.nii.gz")
    dice = 2 * np.sum((found.labels > 0) & (labels > 0)) / (np.sum(found.labels > 0) + np.sum(labels > 0))
    assert dice > 0.93
    write_nifti(tmp_path / "other.nii.gz", labels[:-1], Grid((39, 44, 36), moved))
    with pytest.raises(InputError, match="T1's grid"):
        read_region_labels(tmp_path / "other.nii.gz", gre, t1=tmp_path / "t1.nii.gz")

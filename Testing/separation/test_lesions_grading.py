"""Lesions with known contrast, and what must not be graded."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ChiSeparationLib.lesions.components import label_mask
from ChiSeparationLib.lesions.grades import Grade
from ChiSeparationLib.lesions.grading import grade_lesions
from ChiSeparationLib.lesions.measures import GEOMETRY_MEASURES, MAP_MEASURES, measure_map
from ChiSeparationLib.lesions.regions import Region, RegionOptions
from ChiSeparationLib.lesions.table import LesionRow
from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter

SHAPE = (40, 36, 22)
CENTRE = (20, 18, 11)


def make_grid() -> Grid:
    """Turned about z and tilted about x, anisotropic."""
    turn = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    tilt = np.array([[1.0, 0.0, 0.0], [0.0, 0.96, -0.28], [0.0, 0.28, 0.96]])
    affine = np.eye(4)
    affine[:3, :3] = tilt @ turn @ np.diag((0.9, 1.1, 1.8))
    return Grid(SHAPE, affine)


def distance_mm(grid: Grid, index: tuple[int, int, int] = CENTRE) -> NDArray[np.float64]:
    offsets = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), axis=-1) - np.array(index)
    return np.linalg.norm(offsets @ grid.affine[:3, :3].T, axis=-1)


def make_maps(grid: Grid, **arrays: NDArray[Any]) -> MapSet:
    scan = ScanParameters(echo_times_s=(0.005, 0.010), field_strength_t=3.0, b0_direction_ijk=grid.b0_direction_ijk)
    full = np.ones(grid.shape, dtype=bool)
    arrays = {"brain_mask": full, "field_mask": full, **arrays}
    return MapSet(grid, scan, {name: Map(name=name, data=data, grid=grid) for name, data in arrays.items()})


def make_lesions(grid: Grid, mask: NDArray[np.bool_]) -> Map:
    return label_mask(mask, grid).lesions


def test_known_contrast_comes_back() -> None:
    grid = make_grid()
    noise = np.random.default_rng(3).normal(0.0, 5.0, SHAPE)
    lesion = distance_mm(grid) <= 6.0
    para_ppb = 40.0 + noise + 12.0 * lesion
    maps = make_maps(grid, chi_para=para_ppb / 1e3, chi_dia=np.where(lesion, 14.0, 28.0) / 1e3)
    (row,) = grade_lesions(maps, make_lesions(grid, lesion)).rows
    para, dia = row.measures["chi_para"].values, row.measures["chi_dia"].values
    count, around = np.count_nonzero(lesion), para["nawm_voxels"]
    assert around is not None and around > 500
    # Four standard errors of a difference of means; the seed is fixed.
    assert para["contrast_ppb"] == pytest.approx(12.0, abs=4 * 5.0 * np.sqrt(1 / count + 1 / around))
    assert para["nawm_sd_ppb"] == pytest.approx(5.0, rel=0.07)
    assert para["mean_ppb"] == pytest.approx(para_ppb[lesion].mean(), abs=1e-9)
    assert para["median_ppb"] == pytest.approx(np.median(para_ppb[lesion]), abs=1e-9)
    assert (para["p10_ppb"], para["p90_ppb"]) == pytest.approx(tuple(np.percentile(para_ppb[lesion], (10, 90))))
    assert dia["contrast_ppb"] == pytest.approx(-14.0, abs=1e-9)
    assert row.suggestions["chi_para"].grade is Grade.HYPER
    assert row.suggestions["chi_dia"].grade is Grade.HYPO
    assert row.flags == ()


def test_measures_by_hand() -> None:
    chi_ppb = np.array([1.0, 2.0, 3.0, 6.0, 500.0, 10.0, 20.0, 60.0, 700.0]).reshape(9, 1, 1)
    shell, core, rim = (np.zeros(chi_ppb.shape, dtype=bool) for _ in range(3))
    shell[:5], core[5], rim[6:9] = True, True, True
    box = (slice(0, 9), slice(0, 1), slice(0, 1))
    region = Region(
        label=1, box=box, lesion=core | rim, core=core, rim=rim, shell=shell, centroid_ras_mm=(0.0, 0.0, 0.0)
    )
    valid, nawm = chi_ppb < 600.0, chi_ppb < 400.0
    four, five = (RegionOptions(minimum_nawm_voxels=count, minimum_core_voxels=1) for count in (4, 5))
    measured = measure_map(chi_ppb, region, valid, nawm, four)
    assert measured.missing == ""
    # Lesion 10, 20, 60; NAWM 1, 2, 3, 6 with squared deviations 4 + 1 + 0 + 9 over 3.
    assert measured.values == pytest.approx({
        "mean_ppb": 30.0, "sd_ppb": 700.0**0.5, "median_ppb": 20.0, "p10_ppb": 12.0, "p90_ppb": 52.0,
        "core_mean_ppb": 10.0, "rim_mean_ppb": 40.0, "nawm_voxels": 4, "nawm_mean_ppb": 3.0,
        "nawm_sd_ppb": (14 / 3) ** 0.5,
        "contrast_ppb": 27.0, "contrast_sd": 27.0 / (14 / 3) ** 0.5, "rim_contrast_ppb": 37.0,
        "core_contrast_ppb": 7.0, "rim_edge_sd": 30.0 / (14 / 3) ** 0.5, "rim_sign_score": 1.0,
    })  # fmt: skip
    few = measure_map(chi_ppb, region, valid, nawm, five)
    assert few.missing == "4 voxels of white matter around the lesion, 5 are needed"
    assert few.values["mean_ppb"] == 30.0 and few.values["contrast_ppb"] is few.values["nawm_mean_ppb"] is None


def test_a_linear_background_leaves_the_contrast_of_a_centred_lesion() -> None:
    grid = make_grid()
    index = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), axis=-1)
    ramp_ppb = 60.0 + (index - np.array(CENTRE)) @ np.array([0.9, -0.5, 0.7])
    lesion = distance_mm(grid) <= 6.0
    maps = make_maps(grid, chi_para=(ramp_ppb + 7.0 * lesion) / 1e3)
    (row,) = grade_lesions(maps, make_lesions(grid, lesion)).rows
    assert row.measures["chi_para"].values["contrast_ppb"] == pytest.approx(7.0, abs=1e-6)


def test_core_and_rim_of_a_rim_lesion_and_the_flag_for_it() -> None:
    grid = make_grid()
    distance = distance_mm(grid)
    # Inner part as bright as the surroundings, outer part brighter; the whole stays subtle.
    chi_ppb = np.where((distance > 5.0) & (distance <= 8.0), 36.0, 20.0)
    maps = make_maps(grid, chi_para=chi_ppb / 1e3)
    options = RegionOptions(rim_width_mm=1.0)
    (row,) = grade_lesions(maps, make_lesions(grid, distance <= 8.0), options=options).rows
    values = row.measures["chi_para"].values
    assert values["rim_mean_ppb"] == pytest.approx(36.0)
    assert values["rim_contrast_ppb"] == pytest.approx(16.0)
    core, whole = values["core_contrast_ppb"], values["contrast_ppb"]
    assert core is not None and whole is not None and core < whole < 16.0
    assert row.suggestions["chi_para"].grade is Grade.HYPER

    thin = np.where((distance > 7.0) & (distance <= 8.0), 36.0, 20.0)
    (row,) = grade_lesions(
        make_maps(grid, chi_para=thin / 1e3), make_lesions(grid, distance <= 8.0), options=options
    ).rows  # fmt: skip
    assert row.suggestions["chi_para"].grade is Grade.SUBTLE_HYPER
    assert len(row.flags) == 2 and row.flags[0].startswith("chi_para: the rim alone would be hyperintense")
    assert row.flags[1].startswith("chi_para: possible paramagnetic rim")


def test_other_lesions_vessels_csf_and_dropped_lesions_are_no_white_matter() -> None:
    grid = make_grid()
    distance = distance_mm(grid)
    lesion = distance <= 5.0
    chi = np.full(SHAPE, 20.0)
    neighbour = distance_mm(grid, (20, 28, 11)) <= 2.5
    vessel, csf, dropped = (distance_mm(grid, index) <= 2.0 for index in ((29, 18, 11), (20, 9, 11), (11, 18, 11)))
    for number, mask in enumerate((neighbour, vessel, csf, dropped), start=1):
        chi[mask] = 1000.0 * number
    chi[lesion] = 30.0
    maps = make_maps(grid, chi_para=chi / 1e3, csf_mask=csf, vessel_mask_para=vessel)
    row = grade_lesions(maps, make_lesions(grid, lesion | neighbour), excluded=dropped).rows[0]
    assert row.measures["chi_para"].values["nawm_mean_ppb"] == pytest.approx(20.0)
    assert row.measures["chi_para"].values["contrast_sd"] is None
    assert "ppb alone" in row.suggestions["chi_para"].reason
    for left_out in ("csf_mask", "vessel_mask_para"):
        fewer = MapSet(grid, maps.scan, {name: one for name, one in maps.items() if name != left_out})
        table = grade_lesions(fewer, make_lesions(grid, lesion | neighbour), excluded=dropped)
        mean = table.rows[0].measures["chi_para"].values["nawm_mean_ppb"]
        # A few voxels of 1000 ppb and more in constant tissue of 20 ppb.
        assert mean is not None and mean > 25.0
        assert any(left_out in text for text in table.warnings)


def test_a_white_matter_mask_limits_the_surroundings() -> None:
    grid = make_grid()
    lesion = distance_mm(grid) <= 5.0
    white = np.zeros(SHAPE, dtype=bool)
    white[:20] = True
    chi = np.where(white, 20.0, 90.0) + 10.0 * lesion
    table = grade_lesions(make_maps(grid, chi_para=chi / 1e3), make_lesions(grid, lesion), white_matter=white)
    assert table.rows[0].measures["chi_para"].values["nawm_mean_ppb"] == pytest.approx(20.0)
    assert not any("white matter mask" in text for text in table.warnings)


def test_no_white_matter_gives_no_grade_and_says_why() -> None:
    grid = make_grid()
    lesion = distance_mm(grid) <= 5.0
    none = np.zeros(SHAPE, dtype=bool)
    maps = make_maps(grid, chi_para=np.full(SHAPE, 0.02))
    (row,) = grade_lesions(maps, make_lesions(grid, lesion), white_matter=none).rows
    suggestion = row.suggestions["chi_para"]
    assert suggestion.grade is None and suggestion.label == "no suggestion"
    assert "0 voxels of white matter" in suggestion.reason
    assert row.measures["chi_para"].values["contrast_ppb"] is None
    assert row.measures["chi_para"].values["mean_ppb"] == pytest.approx(20.0)
    assert any(suggestion.reason in flag for flag in row.flags)


@pytest.mark.parametrize(("valid_until", "graded"), [(18, False), (25, True), (0, False)])
def test_a_lesion_outside_the_field_mask_is_flagged(valid_until: int, graded: bool) -> None:
    grid = make_grid()
    lesion = distance_mm(grid) <= 5.0
    valid = np.zeros(SHAPE, dtype=bool)
    valid[:valid_until] = True
    chi = np.where(valid, 20.0, 500.0) + 10.0 * lesion
    maps = make_maps(grid, chi_para=chi / 1e3, field_mask=valid)
    (row,) = grade_lesions(maps, make_lesions(grid, lesion)).rows
    outside = np.count_nonzero(lesion & ~valid) / np.count_nonzero(lesion)
    assert row.geometry["outside_fraction"] == pytest.approx(outside)
    assert row.flags[0].startswith(f"{outside:.0%} of the lesion's voxels lie outside")
    assert row.flags[1:] == (() if graded else ("That is too much for a suggested grade.",))
    assert (row.suggestions["chi_para"].grade is not None) is graded
    if valid_until:
        assert row.measures["chi_para"].values["mean_ppb"] == pytest.approx(30.0)
        assert row.measures["chi_para"].values["nawm_mean_ppb"] == pytest.approx(20.0)


def test_a_lesion_in_the_corner_of_the_volume_is_measured() -> None:
    grid = make_grid()
    lesion = distance_mm(grid, (0, 0, 0)) <= 5.0
    maps = make_maps(grid, chi_dia=(28.0 - 6.0 * lesion) / 1e3)
    (row,) = grade_lesions(maps, make_lesions(grid, lesion)).rows
    assert row.measures["chi_dia"].values["contrast_ppb"] == pytest.approx(-6.0)
    assert row.suggestions["chi_dia"].grade is Grade.SUBTLE_HYPO


def test_no_lesions_give_an_empty_table_with_all_columns(tmp_path: Path) -> None:
    grid = make_grid()
    maps = make_maps(grid, chi_para=np.full(SHAPE, 0.02), chi_total=np.zeros(SHAPE))
    table = grade_lesions(maps, make_lesions(grid, np.zeros(SHAPE, dtype=bool)))
    table.to_csv(tmp_path / "lesions.csv")
    with (tmp_path / "lesions.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows == [list(table.columns)]
    assert "chi_total_mean_ppb" in table.columns and "chi_total_suggested_grade" not in table.columns


NAME = 'a|b: c; "d", e\n<script>病変 ὄγκος'


def example_row() -> tuple[LesionRow, Any]:
    grid = make_grid()
    lesion = distance_mm(grid) <= 6.0
    para = 40.0 + np.random.default_rng(5).normal(0.0, 5.0, SHAPE) + 12.0 * lesion
    maps = make_maps(grid, chi_para=para / 1e3, chi_dia=np.full(SHAPE, 0.02))
    table = grade_lesions(maps, make_lesions(grid, lesion), names={1: NAME})
    return table.rows[0], table


def test_csv_comes_back_as_written(tmp_path: Path) -> None:
    row, table = example_row()
    table.to_csv(tmp_path / "lesions.csv")
    with (tmp_path / "lesions.csv").open(encoding="utf-8", newline="") as stream:
        (read,) = csv.DictReader(stream)
    assert read["name"] == NAME
    assert tuple(read) == table.columns == tuple(row.cells())
    assert float(read["chi_para_contrast_ppb"]) == row.measures["chi_para"].values["contrast_ppb"]
    assert read["chi_para_suggested_grade"] == "hyperintense"
    assert read["chi_dia_contrast_sd"] == ""


def test_json_holds_units_limits_and_marks_suggestions(tmp_path: Path) -> None:
    row, table = example_row()
    table.to_json(tmp_path / "lesions.json")
    read = json.loads((tmp_path / "lesions.json").read_text(encoding="utf-8"))
    assert "not a reading" in read["notice"]
    assert set(read["measures"]) == {*GEOMETRY_MEASURES, *MAP_MEASURES}
    assert all(one["unit"] and one["description"] for one in read["measures"].values())
    (lesion,) = read["lesions"]
    assert lesion["name"] == NAME
    suggestion = lesion["suggestions"]["chi_para"]
    assert suggestion["is_reading"] is False and suggestion["code"] == "hyper"
    assert suggestion["thresholds"] == table.thresholds.maps["chi_para"].numbers
    assert suggestion["measures"]["contrast_ppb"] == row.measures["chi_para"].values["contrast_ppb"]


def test_inputs_that_cannot_be_graded_are_refused() -> None:
    grid = make_grid()
    chi = np.full(SHAPE, 0.02)
    lesions = make_lesions(grid, distance_mm(grid) <= 5.0)
    maps = make_maps(grid, chi_para=chi)
    unmasked = MapSet(grid, maps.scan, {"chi_para": maps["chi_para"]})
    shift = np.zeros((4, 4))
    shift[0, 3] = 0.1
    moved = Grid(SHAPE, grid.affine + shift)
    cases = (
        (make_maps(grid, chi_total=chi), lesions, "maps to grade"),
        (unmasked, lesions, "neither brain_mask nor field_mask"),
        (maps, Map(name="lesions", data=lesions.data, grid=moved), "grid"),
        (maps, maps["chi_para"], "artifact 'lesions'"),
        (maps, Map(name="lesions", data=lesions.data > 0, grid=grid), "label_mask"),
    )
    for given, label_map, message in cases:
        with pytest.raises(InputError, match=message):
            grade_lesions(given, label_map)
    with pytest.raises(InputError, match="white_matter"):
        grade_lesions(maps, lesions, white_matter=chi)


def test_grading_can_be_cancelled() -> None:
    grid = make_grid()
    maps = make_maps(grid, chi_para=np.full(SHAPE, 0.02))
    with pytest.raises(CancelledError):
        grade_lesions(maps, make_lesions(grid, distance_mm(grid) <= 5.0), report=Reporter(lambda status: False))


def test_each_lesion_among_many_has_its_own_contrast() -> None:
    grid = Grid((48, 48, 48), np.eye(4))
    labels = np.zeros(grid.shape, dtype=np.int32)
    chi = np.full(grid.shape, 50.0)
    places = list(itertools.product(range(4, 44, 12), repeat=3))
    for label, (i, j, k) in enumerate(places, start=1):
        labels[i : i + 3, j : j + 3, k : k + 3] = label
        chi[i : i + 3, j : j + 3, k : k + 3] += label - 32
    maps = make_maps(grid, chi_dia=chi / 1e3)
    table = grade_lesions(maps, Map(name="lesions", data=labels, grid=grid))
    found = [row.measures["chi_dia"].values["contrast_ppb"] for row in table.rows]
    assert found == pytest.approx([label - 32.0 for label in range(1, len(places) + 1)], abs=1e-9)

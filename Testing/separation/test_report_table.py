"""The summary of maps against numbers computed by hand."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from ChiSeparationLib.report.table import MapSummary, summarise_maps, write_summary_csv
from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.errors import InputError

METHOD = "a|b: c; 'd', \"e\"\n病変 ὄγκος"


def make_maps(brain: tuple[int, ...]) -> MapSet:
    grid = Grid((5, 1, 1), np.diag((1.0, 2.0, 3.0, 1.0)))
    mask = np.zeros(grid.shape, dtype=bool)
    mask[list(brain)] = True
    chi = np.array([1.0, 2.0, 3.0, 6.0, 900.0], dtype=np.float32).reshape(grid.shape)
    scan = ScanParameters(echo_times_s=(0.005,), field_strength_t=3.0, b0_direction_ijk=(0.0, 0.0, 1.0))
    maps = (
        Map(name="brain_mask", data=mask, grid=grid),
        Map(name="chi_para", data=chi, grid=grid, method=METHOD),
        Map(name="r2star", data=chi * 0 + 7, grid=grid),
        Map(name="lesions", data=np.zeros(grid.shape, dtype=np.int16), grid=grid),
    )
    return MapSet(grid, scan, {one.name: one for one in maps})


def test_mean_and_spread_in_the_brain() -> None:
    para, r2star = summarise_maps(make_maps((0, 1, 2, 3)))
    assert (para.name, para.unit, para.method, para.voxels) == ("chi_para", "ppm", METHOD, 4)
    # Mean of 1, 2, 3, 6; squared deviations 4 + 1 + 0 + 9 over 3.
    assert (para.mean, para.sd) == pytest.approx((3.0, (14 / 3) ** 0.5))
    assert r2star == MapSummary("r2star", "1/s", "given", 7.0, 0.0, "brain_mask", 4)


def test_fields_are_summarised_where_they_are_valid() -> None:
    """Outside the field mask χ is 0, which must not dilute its mean."""
    maps = make_maps((0, 1, 2, 3))
    valid = maps.array("brain_mask") & (maps.array("chi_para") > 1.5)
    para, r2star = summarise_maps(maps.including(Map(name="field_mask", data=valid, grid=maps.grid)))
    assert para.mean == pytest.approx(11 / 3)
    assert (para.region, para.voxels) == ("field_mask", 3)
    assert (r2star.region, r2star.voxels) == ("brain_mask", 4)


def test_csv_comes_back_as_written(tmp_path: Path) -> None:
    summaries = summarise_maps(make_maps((0, 1, 2, 3)))
    write_summary_csv(tmp_path / "maps.csv", summaries)
    with (tmp_path / "maps.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    read = tuple(
        MapSummary(
            row["name"],
            row["unit"],
            row["method"],
            float(row["mean"]),
            float(row["sd"]),
            row["region"],
            int(row["voxels"]),
        )
        for row in rows
    )
    assert read == summaries


@pytest.mark.parametrize("brain", [(), (2,)])
def test_too_small_a_brain_is_refused(brain: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="at least two voxels"):
        summarise_maps(make_maps(brain))


def test_a_missing_brain_mask_is_refused() -> None:
    maps = make_maps((0, 1))
    rest = MapSet(maps.grid, maps.scan, {name: one for name, one in maps.items() if name != "brain_mask"})
    with pytest.raises(InputError, match="brain_mask"):
        summarise_maps(rest)

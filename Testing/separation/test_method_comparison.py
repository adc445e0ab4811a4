"""Several methods on one data set: numbers against numpy, pictures, CSV, report."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from ChiSeparationLib.report.comparison import (
    compare_methods,
    write_comparison_csv,
    write_difference_pictures,
)
from ChiSeparationLib.report.html import ReportContent, render_report
from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet, ScanParameters

_GRID = Grid((12, 11, 10), np.diag([1.0, 1.2, 2.0, 1.0]))


def _results() -> dict[str, MapSet]:
    """Two methods that give chi_total, one that gives chi_para too; a rate that none of them made."""
    rng = np.random.default_rng(1)
    scan = ScanParameters(echo_times_s=(0.005,), field_strength_t=3.0, b0_direction_ijk=(0.0, 0.0, 1.0))
    brain = np.zeros(_GRID.shape, dtype=bool)
    brain[1:-1, 1:-1, 1:-1] = True
    valid = brain & (rng.random(_GRID.shape) < 0.9)
    base = MapSet(_GRID, scan, {
        "brain_mask": Map(name="brain_mask", data=brain, grid=_GRID),
        "field_mask": Map(name="field_mask", data=valid, grid=_GRID),
        "r2star": Map(name="r2star", data=np.full(_GRID.shape, 17.0), grid=_GRID, method="auto"),
    })  # fmt: skip
    chi = rng.normal(0, 0.04, _GRID.shape)

    def made(name: str, data: np.ndarray, method: str) -> Map:
        return Map(name=name, data=data, grid=_GRID, method=method)

    return {
        "tkd": base.including(made("chi_total", chi, "tkd")),
        "closed-form": base.including(
            made("chi_total", 0.8 * chi + 0.01, "closed-form"), made("chi_para", np.abs(chi), "closed-form")
        ),
    }


def test_rows_are_those_of_numpy() -> None:
    results = _results()
    rows = compare_methods(results, {"tkd": 0.3, "preprocess": 60.0})
    assert [(one.name, one.method, one.against) for one in rows] == [
        ("chi_total", "tkd", ""), ("chi_total", "closed-form", "tkd"), ("chi_para", "closed-form", ""),
    ]  # fmt: skip
    first, second, para = rows
    mask = results["tkd"].array("field_mask")
    x, y = (results[name].array("chi_total")[mask] for name in ("tkd", "closed-form"))
    assert (first.mean, first.sd, first.voxels) == pytest.approx((x.mean(), x.std(ddof=1), mask.sum()))
    assert (first.seconds, first.difference, first.correlation) == (0.3, None, None)
    assert second.difference == pytest.approx((y - x).mean())
    assert second.difference_sd == pytest.approx((y - x).std(ddof=1))
    assert second.correlation == pytest.approx(1.0)
    assert (second.seconds, para.against, para.unit) == (None, "", "ppm")


def test_one_method_is_compared_with_none(tmp_path: Path) -> None:
    alone = {"tkd": _results()["tkd"]}
    assert compare_methods(alone, {}) == ()
    assert list(write_difference_pictures(tmp_path, alone)) == []


def test_a_map_without_contrast_has_no_correlation() -> None:
    results = _results()
    flat = Map(name="chi_total", data=np.zeros(_GRID.shape), grid=_GRID, method="tkd")
    rows = compare_methods({**results, "tkd": results["tkd"].including(flat)}, {})
    assert rows[1].correlation is None


def test_differences_are_drawn_for_maps_of_several_methods(tmp_path: Path) -> None:
    from matplotlib.image import imread

    drawn = list(write_difference_pictures(tmp_path, _results()))
    assert drawn == [("chi_total", tmp_path / "difference-chi_total.png")]
    colours = imread(drawn[0][1])[..., :3]
    half = colours.shape[0] // 2
    for row in (colours[:half], colours[half:]):
        assert np.unique(row.reshape(-1, 3), axis=0).shape[0] > 50


def test_csv_and_report_hold_every_row(tmp_path: Path) -> None:
    rows = compare_methods(_results(), {"tkd": 0.34, "closed-form": 12.3})
    write_comparison_csv(tmp_path / "comparison.csv", rows)
    with (tmp_path / "comparison.csv").open(encoding="utf-8", newline="") as stream:
        back = list(csv.DictReader(stream))
    assert [(one["name"], one["method"], one["seconds"]) for one in back] == [
        ("chi_total", "tkd", "0.34"), ("chi_total", "closed-form", "12.3"), ("chi_para", "closed-form", "12.3"),
    ]  # fmt: skip
    assert float(back[1]["difference"]) == rows[1].difference
    assert back[0]["difference"] == ""
    page = render_report(ReportContent(title="x", comparison=rows))
    assert "Methods side by side" in page
    assert page.count("12.3</td>") == 2
    assert "Methods side by side" not in render_report(ReportContent(title="x"))

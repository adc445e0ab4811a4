"""Means of regions against numpy, region by region; the regression against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import linregress

from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.errors import InputError
from ChiSepReconstructLib.evaluation.evaluate import evaluate_regions
from ChiSepReconstructLib.evaluation.regions import as_labels, compare_regions, fit_line, region_statistics

_SHAPE = (9, 7, 8)


def test_statistics_are_those_of_each_region_alone() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 6, _SHAPE).astype(np.int32) * 7
    values = (5.0 + rng.normal(0, 0.1, _SHAPE) + labels).astype(np.float32)
    mask = (rng.random(_SHAPE) < 0.6) & (labels != 14)
    found = region_statistics(values, labels, {7: "CN", 14: "Put", 21: "GP"}, mask)
    assert [(one.label, one.name) for one in found] == [(7, "CN"), (21, "GP"), (28, "28"), (35, "35")]
    for one in found:
        inside = values[mask & (labels == one.label)].astype(np.float64)
        assert one.voxels == inside.size
        assert one.mean == pytest.approx(inside.mean(), rel=1e-12)
        assert one.sd == pytest.approx(inside.std(ddof=1), rel=1e-9)


def test_a_region_of_one_voxel_has_no_spread_and_none_gives_none() -> None:
    labels = np.zeros(_SHAPE, dtype=np.int32)
    assert region_statistics(np.ones(_SHAPE), labels) == ()
    labels[4, 3, 2] = 5
    assert [(one.voxels, one.mean, one.sd) for one in region_statistics(np.ones(_SHAPE), labels)] == [(1, 1.0, 0.0)]


def test_line_is_that_of_scipy() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(0.05, 0.03, 24)
    y = 0.93 * x + 0.002 + rng.normal(0, 0.004, 24)
    line, expected = fit_line(list(x), list(y)), linregress(x, y)
    assert (line.slope, line.intercept) == pytest.approx((expected.slope, expected.intercept), rel=1e-12)
    assert line.slope_error == pytest.approx(expected.stderr, rel=1e-9)
    assert line.r_squared == pytest.approx(expected.rvalue**2, rel=1e-9)
    assert line.points == 24


def test_line_at_its_limits() -> None:
    assert fit_line([1.0, 2.0], [3.0, 5.0]).slope_error is None
    assert fit_line([1.0, 2.0, 4.0], [3.0, 3.0, 3.0]).r_squared is None
    for x, y in (([1.0], [2.0]), ([1.0, 1.0], [2.0, 3.0]), ([], [])):
        with pytest.raises(InputError, match="means differ"):
            fit_line(x, y)


def _set(**data: np.ndarray) -> MapSet:
    grid = Grid(_SHAPE, np.diag([1.0, 1.0, 2.0, 1.0]))
    scan = ScanParameters(echo_times_s=(0.005,), field_strength_t=3.0, b0_direction_ijk=(0.0, 0.0, 1.0))
    return MapSet(grid, scan, {name: Map(name=name, data=value, grid=grid) for name, value in data.items()})


def test_estimates_are_compared_where_evaluation_compares_them() -> None:
    """Vessels differ by a factor of 100; in them nothing is compared. Slope and intercept are those put in."""
    rng = np.random.default_rng(5)
    labels = np.broadcast_to(np.arange(9)[:, None, None], _SHAPE).astype(np.int32)
    truth, vessels = 0.01 * labels, rng.random(_SHAPE) < 0.3
    estimate = np.where(vessels, 100.0, 0.9 * truth + 0.005)
    brain = np.ones(_SHAPE, dtype=bool)
    true = _set(chi_para=truth, chi_dia=truth, brain_mask=brain, vessel_mask_para=vessels)
    found = evaluate_regions(_set(chi_para=estimate, chi_dia=truth), true, labels, {3: "Put"})
    para = found["chi_para"]
    assert para.line is not None and para.truth is not None
    assert (para.line.slope, para.line.intercept, para.line.r_squared) == pytest.approx((0.9, 0.005, 1.0))
    assert [one.name for one in para.estimate][:4] == ["1", "2", "Put", "4"]
    assert para.estimate[2].voxels == para.truth[2].voxels == int((~vessels[3]).sum())
    assert found["chi_dia"].line is not None and found["chi_dia"].line.slope == pytest.approx(1.0)


def test_without_a_truth_there_are_means_alone() -> None:
    labels = np.ones(_SHAPE, dtype=np.int32)
    alone = _set(chi_para=np.full(_SHAPE, 0.04), brain_mask=labels > 0)
    found = evaluate_regions(alone, None, labels, {})["chi_para"]
    assert (found.truth, found.line) == (None, None)
    assert found.estimate[0].mean == pytest.approx(0.04)


def test_label_maps_that_do_not_fit_are_refused() -> None:
    values, labels = np.ones(_SHAPE), np.ones(_SHAPE, dtype=np.int32)
    with pytest.raises(InputError, match="the map's shape"):
        region_statistics(values, labels[1:])
    with pytest.raises(InputError, match="no label inside the brain"):
        compare_regions(values, values, labels, np.zeros(_SHAPE, dtype=bool))
    with pytest.raises(InputError, match="two regions or more"):
        compare_regions(values, values, labels, labels > 0)


@pytest.mark.parametrize("value", [0.5, -1.0, np.nan, 0.0])
def test_what_is_no_label_map_is_refused(value: float) -> None:
    data = np.zeros(_SHAPE, dtype=np.float32)
    data[0, 0, 0] = value
    with pytest.raises(InputError, match="label map"):
        as_labels(data, "atlas.nii")


def test_labels_stored_as_reals_are_whole_numbers() -> None:
    labels = as_labels(np.full(_SHAPE, 24.0, dtype=np.float32), "atlas.nii")
    assert labels.dtype == np.int32 and int(labels.max()) == 24

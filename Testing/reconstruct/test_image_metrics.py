"""Metrics against their formulas written another way, and against scikit-image."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import convolve
from skimage.metrics import structural_similarity

from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.errors import InputError
from ChiSepReconstructLib.evaluation import metrics
from ChiSepReconstructLib.evaluation.evaluate import evaluate

_SHAPE = (22, 19, 24)


def _images() -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
    rng = np.random.default_rng(10)
    truth = rng.normal(0.03, 0.05, _SHAPE)
    estimate = 0.8 * truth + rng.normal(0.01, 0.02, _SHAPE)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in _SHAPE), indexing="ij")
    return estimate, truth, np.square(axes).sum(axis=0) < 0.9


def test_root_mean_square_metrics_are_their_formulas() -> None:
    estimate, truth, mask = _images()
    square = sum((float(a) - float(b)) ** 2 for a, b in zip(estimate[mask], truth[mask], strict=True))
    assert metrics.nrmse(estimate, truth, mask) == pytest.approx(100 * np.sqrt(square / (truth[mask] ** 2).sum()))
    assert metrics.psnr_db(estimate, truth, mask) == pytest.approx(10 * np.log10(mask.sum() / square))
    assert metrics.psnr_db(estimate, truth, mask, peak=0.1) == pytest.approx(10 * np.log10(mask.sum() / square) - 20)
    assert metrics.psnr_db(truth, truth, mask) == np.inf


def test_detrended_error_is_what_a_fitted_line_leaves() -> None:
    estimate, truth, mask = _images()
    line = np.polyval(np.polyfit(estimate[mask], truth[mask], 1), estimate[mask])
    expected = 100 * np.std(line - truth[mask]) / np.std(truth[mask])
    assert metrics.nrmse_detrended(estimate, truth, mask) == pytest.approx(expected)
    assert metrics.nrmse_detrended(-3.0 * estimate + 5.0, truth, mask) == pytest.approx(expected)
    assert metrics.nrmse_detrended(2.0 * truth - 1.0, truth, mask) < 1e-10
    assert metrics.nrmse_detrended(np.ones(_SHAPE), truth, mask) == pytest.approx(100.0)


def test_high_frequency_error_is_that_of_the_explicit_kernel() -> None:
    estimate, truth, mask = _images()
    offset = np.stack(np.meshgrid(*[np.arange(-7.0, 8.0)] * 3, indexing="ij"))
    squared = np.square(offset).sum(axis=0)
    gaussian = np.exp(-squared / (2 * 1.5**2))
    kernel = (squared / 1.5**4 - 3 / 1.5**2) * gaussian / gaussian.sum()
    x, r = (convolve(image * mask, kernel, mode="constant")[mask] for image in (estimate, truth))
    expected = 100 * np.linalg.norm(x - r) / np.linalg.norm(r)
    assert metrics.hfen(estimate, truth, mask) == pytest.approx(expected, rel=1e-9)


def test_structural_similarity_is_that_of_scikit_image() -> None:
    estimate, truth, mask = _images()
    lowest = min(estimate[mask].min(), truth[mask].min())
    largest = max(estimate[mask].max(), truth[mask].max())
    x, r = (np.where(mask, 255 * (image - lowest) / (largest - lowest), 0) for image in (estimate, truth))
    _, similarity = structural_similarity(x, r, data_range=255, full=True)
    assert metrics.ssim(estimate, truth, mask) == pytest.approx(similarity[mask].mean(), rel=1e-9)
    assert metrics.ssim(truth, truth, mask) == pytest.approx(1.0)


def test_similarity_in_ppm_is_that_of_windows_taken_one_by_one() -> None:
    """XSIM by its formula on each 5³ window; a mask far from the border, where windows need no mirror."""
    estimate, truth, _ = _images()
    mask = np.zeros(_SHAPE, dtype=bool)
    mask[3:18, 4:14, 5:19] = np.random.default_rng(12).random((15, 10, 14)) < 0.7
    x, r = estimate * mask, truth * mask
    values = []
    for i, j, k in np.argwhere(mask):
        a, b = (one[i - 2 : i + 3, j - 2 : j + 3, k - 2 : k + 3].ravel() for one in (x, r))
        (saa, sab), (_, sbb) = np.cov(a, b)
        light = (2 * a.mean() * b.mean() + 1e-4) / (a.mean() ** 2 + b.mean() ** 2 + 1e-4)
        values.append(light * (2 * sab + 1e-6) / (saa + sbb + 1e-6))
    assert metrics.xsim(estimate, truth, mask) == pytest.approx(np.mean(values), rel=1e-9)


def test_similarity_in_ppm_is_that_of_scikit_image_and_keeps_its_scale() -> None:
    estimate, truth, mask = _images()
    _, similarity = structural_similarity(
        estimate * mask, truth * mask, win_size=5, K1=0.01, K2=0.001, data_range=1.0, full=True
    )
    assert metrics.xsim(estimate, truth, mask) == pytest.approx(similarity[mask].mean(), rel=1e-9)
    assert metrics.xsim(truth, truth, mask) == pytest.approx(1.0)
    # One outlier stretches the scale of SSIM, which then sees hardly any error elsewhere; XSIM keeps its scale.
    spoiled = estimate.copy()
    spoiled[tuple(np.argwhere(mask)[0])] = 20.0
    assert metrics.ssim(spoiled, truth, mask) > metrics.ssim(estimate, truth, mask)
    assert metrics.xsim(spoiled, truth, mask) < metrics.xsim(estimate, truth, mask)


@pytest.mark.parametrize("name", metrics.METRICS)
def test_images_without_contrast_or_of_other_shape_are_refused(name: str) -> None:
    estimate, truth, mask = _images()
    with pytest.raises(InputError, match="no contrast"):
        metrics.METRICS[name](estimate, np.ones(_SHAPE), mask)
    with pytest.raises(InputError, match="no contrast in the 0 voxels"):
        metrics.METRICS[name](estimate, truth, np.zeros(_SHAPE, dtype=bool))
    with pytest.raises(InputError, match="equal shapes"):
        metrics.METRICS[name](estimate[1:], truth, mask)


def _set(**data: NDArray[Any]) -> MapSet:
    grid = Grid(_SHAPE, np.diag([1.0, 1.0, 2.0, 1.0]))
    scan = ScanParameters(echo_times_s=(0.005,), field_strength_t=3.0, b0_direction_ijk=(0.0, 0.0, 1.0))
    return MapSet(grid, scan, {name: Map(name=name, data=value, grid=grid) for name, value in data.items()})


def test_evaluate_compares_in_the_stated_mask() -> None:
    estimate, truth, brain = _images()
    field_mask, csf, para, dia = np.random.default_rng(11).random((4, *_SHAPE)) < np.array(
        [0.9, 0.1, 0.2, 0.3]
    ).reshape(4, 1, 1, 1)
    found = _set(chi_para=np.abs(estimate), chi_dia=np.abs(truth), chi_total=estimate, field_mask=field_mask)
    true = _set(
        chi_para=np.abs(truth), chi_dia=np.abs(truth), chi_total=truth, r2star=np.abs(truth), brain_mask=brain,
        csf_mask=csf, vessel_mask_para=para, vessel_mask_dia=dia,
    )  # fmt: skip
    result = evaluate(found, true)
    assert list(result) == ["chi_total", "chi_para", "chi_dia"]
    inside = brain & field_mask & ~csf
    expected = {"chi_total": inside & ~para & ~dia, "chi_para": inside & ~para, "chi_dia": inside & ~dia}
    assert {name: one["voxels"] for name, one in result.items()} == {n: int(m.sum()) for n, m in expected.items()}
    assert (
        result["chi_para"]["mask"] == "brain_mask, and field_mask of the estimate, not csf_mask, not vessel_mask_para"
    )
    assert result["chi_para"]["nrmse_percent"] == metrics.nrmse(np.abs(estimate), np.abs(truth), expected["chi_para"])
    assert result["chi_dia"]["psnr_db"] is None
    assert result["chi_para"]["xsim"] == metrics.xsim(np.abs(estimate), np.abs(truth), expected["chi_para"])
    assert list(evaluate(found, true, only=("chi_dia", "csf_mask"))) == ["chi_dia"]
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_similarity_in_ppm_is_left_out_for_rates() -> None:
    estimate, truth, brain = _images()
    result = evaluate(_set(r2star=np.abs(estimate)), _set(r2star=np.abs(truth), brain_mask=brain))
    assert result["r2star"]["xsim"] is None
    assert result["r2star"]["ssim"] == metrics.ssim(np.abs(estimate), np.abs(truth), brain)


def test_evaluate_refuses_what_cannot_be_compared() -> None:
    _, truth, brain = _images()
    true = _set(chi_total=truth, brain_mask=brain)
    with pytest.raises(InputError, match="maps to compare"):
        evaluate(_set(r2star=np.abs(truth)), true)
    with pytest.raises(InputError, match="brain_mask"):
        evaluate(true, _set(chi_total=truth))
    other = Grid(_SHAPE, np.diag([1.0, 1.0, 1.0, 1.0]))
    shifted = MapSet(other, true.scan, {"chi_total": Map(name="chi_total", data=truth, grid=other)})
    with pytest.raises(InputError, match="the truth's grid"):
        evaluate(shifted, true)

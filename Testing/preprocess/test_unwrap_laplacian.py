"""Laplacian unwrapping against analytic fields; its error is harmonic."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.quantities import TWO_PI
from ChiSepPreprocessLib.unwrap.echoes import wrap
from ChiSepPreprocessLib.unwrap.laplacian import LaplacianOptions
from ChiSepPreprocessLib.unwrap.laplacian import unwrap as unwrap_laplacian
from ChiSepPreprocessLib.unwrap.methods import UnwrapOptions, unwrap_echoes
from ChiSepPreprocessLib.unwrap.romeo import RomeoOptions
from ChiSepPreprocessLib.unwrap.romeo import unwrap as unwrap_romeo

SHAPE = (47, 38, 29)
VOXEL_MM = (1.0, 1.2, 2.0)
TIMES = (0.0077, 0.01273, 0.01776)
SILENT = Reporter()


def coordinates_mm() -> list[Array]:
    axes = [(np.arange(n) - n / 2) * size for n, size in zip(SHAPE, VOXEL_MM, strict=True)]
    return list(np.meshgrid(*axes, indexing="ij"))


def true_phase() -> Array:
    """Smooth field with steps of up to 2.4 rad between voxels at the first echo, 5.5 rad at the last."""
    x, y, z = coordinates_mm()
    field_hz = 300 * np.exp(-((x - 5) ** 2 + (y + 8) ** 2 + z**2) / 170) + 5 * x - 3 * z
    return TWO_PI * field_hz[..., None] * np.asarray(TIMES)


def ellipsoid() -> Array:
    x, y, z = coordinates_mm()
    return np.asarray((x / 22) ** 2 + (y / 21) ** 2 + (z / 26) ** 2 < 1)


def laplacian(volume: Array) -> Array:
    """Second differences over squared voxel sizes, inside the outermost layer."""
    total = np.zeros(volume.shape)
    for axis, size in enumerate(VOXEL_MM):
        core = tuple(slice(1, -1) if other == axis else slice(None) for other in range(3))
        total[core] += np.diff(volume, 2, axis=axis) / size**2
    return total


def test_a_mask_that_fills_its_box_is_exact() -> None:
    true = true_phase()
    everywhere = np.ones(SHAPE, np.bool_)
    options = LaplacianOptions(padding_mm=0)
    values = unwrap_laplacian(wrap(true).astype(np.float32), TIMES, everywhere, VOXEL_MM, options, SILENT)
    np.testing.assert_allclose(values, true, atol=5e-5)


def test_the_error_inside_a_mask_is_harmonic() -> None:
    """Noise outside does no harm; what is wrong inside has no Laplacian."""
    from scipy.ndimage import binary_erosion

    true, mask = true_phase(), ellipsoid()
    rng = np.random.default_rng(0)
    phase = np.where(mask[..., None], wrap(true), rng.uniform(-np.pi, np.pi, true.shape)).astype(np.float32)
    values = unwrap_laplacian(phase, TIMES, mask, VOXEL_MM, LaplacianOptions(), SILENT)
    assert not values[~mask].any()
    deep = binary_erosion(mask)
    for echo in range(3):
        error = values[..., echo] - true[..., echo]
        ratio = np.sqrt(np.mean(laplacian(error)[deep] ** 2) / np.mean(laplacian(true[..., echo])[deep] ** 2))
        assert ratio < 4e-5  # 2e-5 measured: float32
    slopes = np.asarray(np.gradient(true[..., 0], *VOXEL_MM))[:, deep]
    wrong = np.asarray(np.gradient(values[..., 0] - true[..., 0], *VOXEL_MM))[:, deep]
    share = np.sqrt(np.mean(wrong**2) / np.mean(slopes**2))
    # This is why it is a fallback only: boundary slopes are lost.
    assert 0.14 < share < 0.175  # 0.158 measured


def test_echoes_are_placed_on_one_field() -> None:
    true, mask = true_phase(), ellipsoid()
    values = unwrap_laplacian(wrap(true).astype(np.float32), TIMES, mask, VOXEL_MM, LaplacianOptions(), SILENT)
    for echo in (1, 2):
        ratio = TIMES[echo] / TIMES[echo - 1]
        assert abs(np.median((values[..., echo] - ratio * values[..., echo - 1])[mask])) < np.pi


def test_nan_is_left_out() -> None:
    true, mask = true_phase(), ellipsoid()
    phase = wrap(true).astype(np.float32)
    phase[20:23, 18:20, 14, 1] = np.nan
    values = unwrap_laplacian(phase, TIMES, mask, VOXEL_MM, LaplacianOptions(), SILENT)
    assert np.isfinite(values).all()
    assert not values[20:23, 18:20, 14].any()


def test_the_chosen_method_runs() -> None:
    true, mask = true_phase(), ellipsoid()
    phase = wrap(true).astype(np.float32)
    for options, expected in (
        (UnwrapOptions(), unwrap_romeo(phase, None, TIMES, mask, RomeoOptions(), SILENT)),
        (
            UnwrapOptions(method="laplacian", laplacian=LaplacianOptions(padding_mm=5)),
            unwrap_laplacian(phase, TIMES, mask, VOXEL_MM, LaplacianOptions(padding_mm=5), SILENT),
        ),
    ):
        np.testing.assert_array_equal(unwrap_echoes(phase, None, TIMES, mask, VOXEL_MM, options, SILENT), expected)


@pytest.mark.parametrize(
    ("options_type", "values", "quantity"),
    [
        (UnwrapOptions, {"method": "guess"}, "unwrapping method"),
        (LaplacianOptions, {"padding_mm": -1}, "Laplacian padding"),
        (LaplacianOptions, {"padding_mm": 501}, "Laplacian padding"),
        (LaplacianOptions, {"padding_mm": math.nan}, "Laplacian padding"),
    ],
)
def test_bad_options_are_named(options_type: type, values: dict[str, Any], quantity: str) -> None:
    with pytest.raises(InputError) as caught:
        options_type(**values)
    assert caught.value.quantity == quantity


def test_phase_without_any_value_is_refused_and_cancel_works() -> None:
    phase = np.full((*SHAPE, 3), np.nan, np.float32)
    with pytest.raises(InputError, match="finite"):
        unwrap_laplacian(phase, TIMES, ellipsoid(), VOXEL_MM, LaplacianOptions(), SILENT)
    stop = Reporter(lambda status: status.fraction < 0.3)
    with pytest.raises(CancelledError):
        unwrap_laplacian(np.zeros_like(phase), TIMES, ellipsoid(), VOXEL_MM, LaplacianOptions(), stop)

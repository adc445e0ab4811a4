"""Both ways to one field, and averaging before or after a linear step."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_laplace

from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.fieldmap.combine import CombineOptions, Weighting, combine_echoes, combine_fields
from ChiSepPreprocessLib.fieldmap.field import FieldMethod, FieldOptions, measure_field
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.quantities import TWO_PI
from ChiSepPreprocessLib.unwrap.methods import UnwrapOptions

TIMES = np.asarray([0.0052, 0.0101, 0.0150, 0.0199])
SHAPE = (19, 22, 17)
VOXEL_MM = (1.0, 0.9, 1.7)


def sample() -> tuple[Array, Array, Array]:
    """Field (Hz) within the range that the spacing allows at its median, magnitude and mask."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    field_hz = 220 * (x * y + 0.4 * z**2) + 15
    magnitude = (80 + 20 * x)[..., None] * np.exp(-30 * TIMES)
    return field_hz, magnitude.astype(np.float32), x**2 + y**2 + z**2 < 0.95


@pytest.mark.parametrize("method", ["weighted-average", "complex-fit"])
def test_both_methods_find_the_field(method: FieldMethod) -> None:
    field_hz, magnitude, mask = sample()
    phase = np.angle(np.exp(1j * TWO_PI * field_hz[..., None] * TIMES)).astype(np.float32)
    fit, _ = measure_field(
        phase, magnitude, tuple(TIMES), mask, VOXEL_MM, FieldOptions(method=method), UnwrapOptions(), Reporter()
    )
    np.testing.assert_allclose(fit.field_hz[mask], field_hz[mask], atol=2e-3)
    assert fit.residual_rad[mask].max() < 1e-4
    assert fit.misfit[mask].max() < 0.01
    assert not fit.field_hz[~mask].any()


@pytest.mark.parametrize("method", ["weighted-average", "complex-fit"])
def test_the_misfit_of_both_methods_is_the_noise(method: FieldMethod) -> None:
    field_hz, magnitude, mask = sample()
    rng, sigma = np.random.default_rng(5), 0.8
    noisy = magnitude * np.exp(1j * TWO_PI * field_hz[..., None] * TIMES)
    noisy += sigma * (rng.standard_normal(noisy.shape) + 1j * rng.standard_normal(noisy.shape))
    phase, magnitude = np.angle(noisy).astype(np.float32), np.abs(noisy).astype(np.float32)
    fit, _ = measure_field(
        phase, magnitude, tuple(TIMES), mask, VOXEL_MM, FieldOptions(method=method), UnwrapOptions(), Reporter()
    )
    assert np.sqrt(np.mean(fit.misfit[mask] ** 2)) == pytest.approx(sigma, rel=0.03)


@pytest.mark.parametrize("weighting", ["wu2012", "magnitude"])
def test_averaging_before_or_after_a_linear_step_is_the_same(weighting: Weighting) -> None:
    # Equal weights everywhere commute with any linear step; a filter stands for background removal.
    field_hz, magnitude, mask = sample()
    magnitude[...] = magnitude[5, 5, 5]
    rng = np.random.default_rng(6)
    phase = TWO_PI * field_hz[..., None] * TIMES + 0.1 * rng.standard_normal(magnitude.shape)
    options, times = CombineOptions(weighting=weighting), tuple(TIMES)
    everywhere = np.ones_like(mask)
    before = gaussian_laplace(combine_echoes(phase, magnitude, times, everywhere, options).field_hz, 1.2)
    single = [gaussian_laplace(phase[..., echo] / (TWO_PI * TIMES[echo]), 1.2) for echo in range(len(TIMES))]
    after = combine_fields(np.stack(single, axis=-1), magnitude, times, mask, options)
    np.testing.assert_allclose(after[mask], before[mask], atol=2e-3)
    assert np.abs(before[mask]).max() > 5
    assert not after[~mask].any()


def test_fields_weigh_as_their_phases_do() -> None:
    rng = np.random.default_rng(7)
    fields_hz, magnitude = rng.normal(0, 30, (6, 5, 4, 4)), rng.uniform(1, 9, (6, 5, 4, 4))
    mask = np.ones((6, 5, 4), np.bool_)
    found = combine_fields(fields_hz, magnitude, tuple(TIMES), mask, CombineOptions())
    weights = (magnitude * TIMES) ** 2
    np.testing.assert_allclose(found, (weights * fields_hz).sum(-1) / weights.sum(-1), rtol=1e-4, atol=1e-4)
    phase = combine_echoes(TWO_PI * fields_hz * TIMES, magnitude, tuple(TIMES), mask, CombineOptions()).field_hz
    np.testing.assert_allclose(found, phase, rtol=1e-5, atol=1e-5)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(InputError, match="field method"):
        FieldOptions(method="best")  # type: ignore[arg-type]

"""The phase offset that is left after unwrapping: found exactly where it is smooth, at the noise that theory says."""

from __future__ import annotations

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.fieldmap.combine import CombineOptions, combine_echoes
from ChiSepPreprocessLib.fieldmap.offset import remove_remaining_offset
from ChiSepPreprocessLib.quantities import TWO_PI

TIMES = (0.0077, 0.0127, 0.0178, 0.0241, 0.0329)
VOXEL_MM = (1.0, 1.4, 2.0)


def sample() -> tuple[Array, Array, Array, Array]:
    """Field (Hz), smooth offset (rad), magnitude and mask."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in (43, 32, 25)), indexing="ij")
    field_hz = 40 * x * y + 25 * z + 8 * np.sin(14 * x)
    offset = 0.15 * x - 0.1 * y + 0.08 * z * x + 0.05
    magnitude = (90 + 15 * y)[..., None] * np.exp(-(20 + 15 * z)[..., None] * np.asarray(TIMES))
    return field_hz, offset, magnitude.astype(np.float32), x**2 + y**2 + z**2 < 0.9


def corrected(phase: Array, magnitude: Array, mask: Array, sigma_mm: float) -> Array:
    """Field (Hz) after the offset was removed from a copy."""
    copy = phase.astype(np.float32)
    remove_remaining_offset(copy, magnitude, TIMES, mask, VOXEL_MM, sigma_mm)
    return combine_echoes(copy, magnitude, TIMES, mask, CombineOptions()).field_hz


def test_smooth_offset_no_longer_shifts_the_field() -> None:
    field_hz, offset, magnitude, mask = sample()
    phase = TWO_PI * field_hz[..., None] * np.asarray(TIMES) + offset[..., None]
    before, after = (corrected(phase, magnitude, mask, sigma) for sigma in (0.0, 4.0))
    assert np.abs(before - field_hz)[mask].max() > 1.5
    assert np.abs(after - field_hz)[mask].max() < 0.09  # 0.086 measured; 0.127 with one pass
    assert np.sqrt(np.mean((after - field_hz)[mask] ** 2)) < 0.0175  # 0.0168 measured


def test_noise_grows_by_less_than_the_smoothing_lets_through() -> None:
    """Without offset the average has the noise of theory; smoothing the offset over 4 mm adds 0.3 %."""
    field_hz, _, magnitude, mask = sample()
    rng = np.random.default_rng(3)
    clean = TWO_PI * field_hz[..., None] * np.asarray(TIMES)
    phase = clean + 0.5 * rng.standard_normal(clean.shape) / magnitude
    errors = [(corrected(phase, magnitude, mask, sigma) - field_hz)[mask].std() for sigma in (0.0, 4.0)]
    power = (magnitude**2 @ np.asarray(TIMES) ** 2)[mask]
    assert errors[0] == pytest.approx(np.sqrt(np.mean((0.5 / TWO_PI) ** 2 / power)), rel=0.02)
    assert errors[1] < 1.004 * errors[0]


def test_voxels_far_off_do_not_pull_their_neighbours() -> None:
    field_hz, offset, magnitude, mask = sample()
    phase = TWO_PI * field_hz[..., None] * np.asarray(TIMES) + offset[..., None]
    bad = np.zeros_like(mask)
    bad[20:22, 15:17, 11:13] = True
    phase[bad] += np.linspace(3, -3, len(TIMES))
    good = mask & ~bad
    assert np.abs(corrected(phase, magnitude, mask, 4.0) - field_hz)[good].max() < 0.09  # as without them


def test_nothing_changes_outside_the_mask_or_with_one_echo() -> None:
    _, offset, magnitude, mask = sample()
    phase = np.repeat(offset[..., None], len(TIMES), axis=3).astype(np.float32)
    copy = phase.copy()
    remove_remaining_offset(copy, magnitude, TIMES, mask, VOXEL_MM, 4.0)
    np.testing.assert_array_equal(copy[~mask], phase[~mask])
    single = phase[..., :1].copy()
    remove_remaining_offset(single, magnitude[..., :1], TIMES[:1], mask, VOXEL_MM, 4.0)
    np.testing.assert_array_equal(single, phase[..., :1])
    with pytest.raises(InputError, match="magnitude"):
        remove_remaining_offset(copy, magnitude[:-1], TIMES, mask, VOXEL_MM, 4.0)

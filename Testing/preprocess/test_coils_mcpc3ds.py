"""A known smooth phase offset is found and removed."""

from __future__ import annotations

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.coils.bipolar import BipolarOptions
from ChiSepPreprocessLib.coils.combine import CoilOptions
from ChiSepPreprocessLib.coils.mcpc3ds import PhaseOffsetOptions, remove_phase_offset
from ChiSepPreprocessLib.coils.smoothing import smooth_phase
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.quantities import TWO_PI
from ChiSepPreprocessLib.unwrap.echoes import wrap

SHAPE = (45, 50, 27)
VOXEL_MM = (1.5, 1.5, 3.0)
TIMES = tuple(0.0077 + 0.00503 * echo for echo in range(6))
SILENT = Reporter()


def coordinates_mm() -> list[Array]:
    axes = [(np.arange(n) - n / 2) * size for n, size in zip(SHAPE, VOXEL_MM, strict=True)]
    return list(np.meshgrid(*axes, indexing="ij"))


def acquire(times: tuple[float, ...], noise: float, shift_hz: float = 0.0) -> tuple[Array, Array, Array, Array, Array]:
    """Magnitude, phase, true offset, true phase without offset, mask."""
    x, y, z = coordinates_mm()
    field_hz = 120 * np.exp(-((x - 5) ** 2 + (y + 12) ** 2 + z**2) / 300) + 0.8 * x - 0.5 * z + shift_hz
    offset = 1.0 + 0.03 * x - 0.02 * y + 0.0006 * y * z
    true = TWO_PI * field_hz[..., None] * np.asarray(times)
    signal = np.exp(1j * (true + offset[..., None]) - np.asarray(times) / 0.04)
    rng = np.random.default_rng(0)
    signal += noise * (rng.standard_normal(signal.shape) + 1j * rng.standard_normal(signal.shape))
    mask = (x / 30) ** 2 + (y / 34) ** 2 + (z / 36) ** 2 < 1
    return np.abs(signal).astype(np.float32), np.angle(signal).astype(np.float32), offset, true, np.asarray(mask)


@pytest.mark.parametrize("n_echoes", [2, 6])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_a_smooth_offset_is_removed(n_echoes: int, noise: float) -> None:
    limit_rad = 0.036  # 0.033 measured: the Gaussian flattens the curvature at the mask's border
    times = TIMES[:n_echoes]
    magnitude, phase, offset, true, mask = acquire(times, noise)
    corrected, found = remove_phase_offset(magnitude, phase, times, mask, VOXEL_MM, PhaseOffsetOptions(), SILENT)
    # A multiple of 2π in the echo difference is free; here the field's median is near zero, so it is none.
    error = wrap(found - offset)[mask]
    assert np.sqrt(np.mean(error**2)) < limit_rad
    np.testing.assert_allclose(wrap(corrected - (phase - found[..., None]))[mask], 0, atol=2e-6)
    assert np.abs(corrected).max() < np.pi + 1e-5
    if noise == 0:
        misfit = wrap(corrected - true)[mask]
        assert np.sqrt(np.mean(misfit**2)) < limit_rad


def test_the_free_multiple_is_a_constant_field() -> None:
    """A field shifted by 1/ΔTE gives the same wrapped phase apart from a constant offset."""
    times = TIMES[:3]
    magnitude, phase, _, _, mask = acquire(times, 0.0)
    shift = TWO_PI * np.asarray(times) / (times[1] - times[0])
    shifted = wrap(phase + shift.astype(np.float32))
    one, _ = remove_phase_offset(magnitude, phase, times, mask, VOXEL_MM, PhaseOffsetOptions(), SILENT)
    other, _ = remove_phase_offset(magnitude, shifted, times, mask, VOXEL_MM, PhaseOffsetOptions(), SILENT)
    np.testing.assert_allclose(wrap(one - other)[mask], 0, atol=2e-4)


@pytest.mark.parametrize("turns", [-2, -1, 0, 1, 3])
def test_uneven_echoes_tell_the_number_of_turns(turns: int) -> None:
    """Whatever the median field, all echoes end on one line through zero (uneven echoes, noise)."""
    times = (0.004, 0.010, 0.0185)
    magnitude, phase, _, true, mask = acquire(times, 0.05, turns / (times[1] - times[0]))
    corrected, _ = remove_phase_offset(magnitude, phase, times, mask, VOXEL_MM, PhaseOffsetOptions(), SILENT)
    misfit = wrap(corrected - true)[mask]
    assert np.sqrt(np.mean(misfit[:, 0] ** 2)) < 0.067  # 0.064 measured: noise and smoothed curvature
    assert abs(np.median(misfit[:, 2])) < 0.004  # 0.002 measured


def test_smoothing_equals_a_direct_gaussian_mean_about_the_mean_slope() -> None:
    rng = np.random.default_rng(3)
    slopes = np.asarray((0.5, -0.3, 0.2))
    ramp = np.tensordot(slopes, np.indices((15, 14, 13)), axes=1)
    phase = wrap((ramp + rng.uniform(-1.5, 1.5, ramp.shape)).astype(np.float32))
    mask = rng.random(phase.shape) < 0.7
    sigma = (1.5, 2.0, 1.0)
    smooth = smooth_phase(phase, mask, sigma)
    at = (7, 6, 1)
    signal = mask * np.exp(1j * phase)
    weights = np.ones(phase.shape)
    for axis, (centre, width) in enumerate(zip(at, sigma, strict=True)):
        distance = np.arange(phase.shape[axis]) - centre
        taps = np.exp(-(distance**2) / (2 * width**2)) * (np.abs(distance) <= int(3 * width + 0.5))
        weights *= taps.reshape([-1 if other == axis else 1 for other in range(3)])
        steps = (
            np.take(signal, range(1, phase.shape[axis]), axis)
            * np.take(signal, range(phase.shape[axis] - 1), axis).conj()
        )
        step = np.angle(steps.sum())
        assert step == pytest.approx(slopes[axis], abs=0.05)
        weights = weights * np.exp(-1j * step * distance).reshape([-1 if other == axis else 1 for other in range(3)])
    assert smooth[at] == pytest.approx(np.angle(np.sum(weights * signal)), abs=1e-5)


def test_a_linear_phase_is_its_own_smooth_version_up_to_the_border() -> None:
    x, y, z = coordinates_mm()
    mask = (x / 30) ** 2 + (y / 34) ** 2 + (z / 36) ** 2 < 1
    phase = wrap((0.7 + 0.09 * x - 0.05 * y + 0.02 * z).astype(np.float32))
    smooth = smooth_phase(phase, mask, (4.7, 4.7, 2.3))
    np.testing.assert_allclose(wrap(smooth - phase)[mask], 0, atol=5e-6)


def test_one_echo_is_refused() -> None:
    magnitude, phase, _, _, mask = acquire(TIMES[:1], 0.0)
    with pytest.raises(InputError, match="at least two"):
        remove_phase_offset(magnitude, phase, TIMES[:1], mask, VOXEL_MM, PhaseOffsetOptions(), SILENT)


@pytest.mark.parametrize("options", [PhaseOffsetOptions, BipolarOptions, CoilOptions])
@pytest.mark.parametrize(
    "sigma_mm", [(7.0, -1.0, 7.0), (7.0, 7.0, np.nan), (np.inf, 7.0, 7.0), (7.0, 7.0), (7.0,) * 4, ("a", "b", "c")]
)
def test_a_smoothing_that_is_none_is_refused(options: type, sigma_mm: tuple[object, ...]) -> None:
    with pytest.raises(InputError, match="sigma_mm"):
        options(sigma_mm=sigma_mm)
    assert options(sigma_mm=(0, 0.0, 1.5)).sigma_mm == (0, 0.0, 1.5)

"""Nonlinear complex fit: exact on exact signals, at the Cramér-Rao bound, and robust to a wrong echo."""

from __future__ import annotations

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.fieldmap.complex_fit import ComplexFitOptions, complex_fit_field, fit_complex
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.quantities import TWO_PI

EVEN = np.asarray([0.0077 + 0.00503 * echo for echo in range(6)])
UNEVEN = np.asarray([0.004, 0.009, 0.0165, 0.0192])
OPTIONS = ComplexFitOptions()


def signal(field_hz: Array, offset_rad: Array, times: Array, rate_per_s: float = 25.0) -> Array:
    phase = offset_rad[..., None] + TWO_PI * field_hz[..., None] * times
    return np.asarray(100 * np.exp(-rate_per_s * times) * np.exp(1j * phase))


def parts(complex_signal: Array) -> tuple[Array, Array]:
    return np.angle(complex_signal).astype(np.float32), np.abs(complex_signal).astype(np.float32)


@pytest.mark.parametrize(("times", "limit_hz"), [(EVEN, 99.0), (EVEN[:2], 99.0), (UNEVEN, 330.0)])
def test_an_exact_signal_gives_its_field_and_offset(times: Array, limit_hz: float) -> None:
    # Evenly spaced echoes alias at half the inverse spacing, 99.4 Hz; uneven ones here only far beyond 100 Hz.
    rng = np.random.default_rng(0)
    field_hz, offset = rng.uniform(-limit_hz, limit_hz, (7, 6, 5)), rng.uniform(-3.1, 3.1, (7, 6, 5))
    mask = rng.random(field_hz.shape) < 0.8
    phase, magnitude = parts(signal(field_hz, offset, times))
    fit = fit_complex(phase, magnitude, tuple(times), mask, OPTIONS)
    np.testing.assert_allclose(fit.frequency_hz[mask], field_hz[mask], atol=2e-4)
    np.testing.assert_allclose(fit.offset_rad[mask], offset[mask], atol=2e-5)
    assert fit.relative_residual[mask].max() < 1e-5
    for volume in (fit.frequency_hz, fit.offset_rad, fit.noise_gain, fit.relative_residual):
        assert volume.dtype == np.float32
        assert not volume[~mask].any()


@pytest.mark.parametrize("times", [EVEN, UNEVEN], ids=["even", "uneven"])
def test_the_noise_is_at_the_cramer_rao_bound_and_is_predicted(times: Array) -> None:
    rng, sigma, shape = np.random.default_rng(1), 1.0, (50, 40, 30)
    clean = signal(np.full(shape, 37.0), np.full(shape, 2.0), times)
    noisy = clean + sigma * (rng.standard_normal(clean.shape) + 1j * rng.standard_normal(clean.shape))
    phase, magnitude = parts(noisy)
    fit = fit_complex(phase, magnitude, tuple(times), np.ones(shape, np.bool_), OPTIONS)
    power = np.abs(clean[0, 0, 0]) ** 2
    information = np.array([[power.sum(), power @ times], [power @ times, power @ times**2]]) / sigma**2
    bound_hz = np.sqrt(np.linalg.inv(information)[1, 1]) / TWO_PI
    # 60000 samples know their deviation to 0.3 %.
    assert fit.frequency_hz.std() / bound_hz == pytest.approx(1.0, abs=0.012)
    assert np.median(fit.noise_gain) * sigma / bound_hz == pytest.approx(1.0, abs=0.005)
    # E − 2 degrees of freedom are left in the phase.
    expected = sigma * np.sqrt((len(times) - 2) / power.sum())
    assert np.sqrt(np.mean(fit.relative_residual**2)) == pytest.approx(expected, rel=0.01)


def test_one_wrong_echo_does_less_harm_than_to_a_linear_fit() -> None:
    rng, shape = np.random.default_rng(2), (20, 20, 20)
    clean = signal(np.full(shape, 12.0), np.zeros(shape), EVEN)
    clean[..., 4] *= np.exp(1j * rng.uniform(1.5, 3.0, shape))
    phase, magnitude = parts(clean)
    fit = fit_complex(phase, magnitude, tuple(EVEN), np.ones(shape, np.bool_), OPTIONS)
    error_hz = np.abs(fit.frequency_hz - 12.0)
    power = magnitude[0, 0, 0] ** 2
    unwrapped = TWO_PI * 12.0 * EVEN + np.where(np.arange(6) == 4, 1, 0) * rng.uniform(1.5, 3.0, (*shape, 1))
    slope = np.polynomial.polynomial.polyfit(EVEN, unwrapped.reshape(-1, 6).T, 1, w=np.sqrt(power))[1]
    linear_error_hz = np.abs(slope / TWO_PI - 12.0)
    assert np.median(error_hz) < 0.9 * np.median(linear_error_hz)
    # The echo that does not fit shows.
    assert fit.relative_residual.min() > 0.2


def test_the_field_is_unwrapped_once_in_space() -> None:
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in (21, 18, 15)), indexing="ij")
    field_hz = 260 * (x**2 + y**2 + 0.5 * z) - 60
    mask = x**2 + y**2 + z**2 < 0.9
    for times, turn_hz in ((EVEN, 1 / (EVEN[1] - EVEN[0])), (UNEVEN, 0.0)):
        phase, magnitude = parts(signal(field_hz, 2 * y, times))
        fit = complex_fit_field(phase, magnitude, tuple(times), mask, OPTIONS, Reporter())
        found = fit.frequency_hz
        shift = np.median((found - field_hz)[mask])
        assert abs(shift) < 1e-3 or (turn_hz and abs(shift / turn_hz - round(shift / turn_hz)) < 1e-4)
        np.testing.assert_allclose((found - shift)[mask], field_hz[mask], atol=5e-3)
        offset = 2 * y - TWO_PI * shift * times[0]
        np.testing.assert_allclose(np.exp(1j * fit.offset_rad[mask]), np.exp(1j * offset[mask]), atol=1e-3)


def test_voxels_without_signal_stay_finite() -> None:
    phase, magnitude = np.ones((3, 3, 3, 4), np.float32), np.zeros((3, 3, 3, 4), np.float32)
    fit = fit_complex(phase, magnitude, tuple(UNEVEN), np.ones((3, 3, 3), np.bool_), OPTIONS)
    assert np.isfinite(fit.frequency_hz).all()
    assert np.isfinite(fit.relative_residual).all()


def test_bad_input_is_refused() -> None:
    one, mask = np.ones((2, 2, 2, 1), np.float32), np.ones((2, 2, 2), np.bool_)
    with pytest.raises(InputError, match="at least two"):
        fit_complex(one, one, (0.01,), mask, OPTIONS)
    with pytest.raises(InputError, match="complex fit"):
        ComplexFitOptions(iterations=0)

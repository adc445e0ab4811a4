"""R2* by maximum likelihood: exact decays, Rician noise, the field's slope, smoothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import optimize, special

from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.relaxometry.decay import DecayFit
from ChiSepPreprocessLib.relaxometry.gradient import field_spread_hz
from ChiSepPreprocessLib.relaxometry.nonlinear import estimate_noise, fit_decay
from ChiSepPreprocessLib.relaxometry.r2star import R2StarOptions, r2star
from ChiSepPreprocessLib.relaxometry.smoothing import smooth_map

EVEN_S = tuple(0.0077 + 0.00503 * n for n in range(6))
UNEVEN_S = (0.004, 0.009, 0.013, 0.020, 0.026, 0.033)
RATES = np.array([0.5, 5.0, 20.0, 40.0, 80.0, 150.0, 300.0])
UNSMOOTHED = R2StarOptions(smoothing_s2=0.0)


def decays(rate_per_s: float, signal_to_noise: float, count: int, echo_times_s: tuple[float, ...] = EVEN_S) -> Array:
    """Rician magnitudes (N, E) of amplitude 1; the ratio holds at time zero."""
    generator = np.random.default_rng(11)
    noise = generator.normal(0, 1 / signal_to_noise, (count, len(echo_times_s), 2)) @ np.array([1, 1j])
    return np.abs(np.exp(-rate_per_s * np.array(echo_times_s)) + noise).astype(np.float32)


@pytest.mark.parametrize("method", ["ml", "nlls"])
@pytest.mark.parametrize("echo_times_s", [EVEN_S, UNEVEN_S, EVEN_S[:3]])
def test_exact_decays_give_exact_rates(method: str, echo_times_s: tuple[float, ...]) -> None:
    signal = (700 * np.exp(-RATES[:, None] * np.array(echo_times_s))).astype(np.float32)[:, None, None]
    options = R2StarOptions(method=method, smoothing_s2=0.0)  # type: ignore[arg-type]
    fit = r2star(signal, echo_times_s, np.ones((7, 1, 1), dtype=bool), options)
    np.testing.assert_allclose(fit.rate_per_s.ravel(), RATES, rtol=3e-5, atol=3e-5)
    assert fit.clamped_fraction == 0


def likelihood_rate(sample: Array, sigma: float) -> float:
    """Maximum of the Rice likelihood by scipy, in double precision."""
    times, measured = np.array(EVEN_S), sample.astype(np.float64)

    def loss(x: Array) -> float:
        expected = x[0] * np.exp(-x[1] * 100 * times)
        product = measured * expected / sigma**2
        return float(np.sum(expected**2 / (2 * sigma**2) - np.log(special.i0e(product)) - product))

    start = np.array([1.0, 0.5])
    return float(optimize.minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10}).x[1])


@pytest.mark.parametrize("rate_per_s", [20.0, 60.0])
def test_the_fit_is_the_maximum_of_the_likelihood(rate_per_s: float) -> None:
    samples = decays(rate_per_s, 20.0, 40)
    expected = [100 * likelihood_rate(sample, 1 / 20) for sample in samples]
    found = fit_decay(samples, np.array(EVEN_S), 1 / 20).rate_per_s
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=0.03)


def test_least_squares_equals_scipy() -> None:
    samples, times = decays(40.0, 20.0, 40), np.array(EVEN_S)
    expected = [
        optimize.curve_fit(lambda t, a, r: a * np.exp(-r * t), times, sample, p0=(1.0, 30.0))[0][1]
        for sample in samples.astype(np.float64)
    ]
    found = fit_decay(samples, times, 1 / 20, rician=False).rate_per_s
    np.testing.assert_allclose(found, expected, rtol=2e-4)


def cramer_rao_per_s(rate_per_s: float, signal_to_noise: float) -> float:
    """Bound for Gaussian noise: from the two-parameter Fisher matrix."""
    times = np.array(EVEN_S)
    unit = np.exp(-rate_per_s * times)
    slopes = np.stack([unit, -times * unit])
    return float(np.sqrt(np.linalg.inv(slopes @ slopes.T)[1, 1])) / signal_to_noise


@pytest.mark.parametrize("rate_per_s", [20.0, 40.0])
def test_the_spread_meets_the_cramer_rao_bound_and_is_reported(rate_per_s: float) -> None:
    fit = fit_decay(decays(rate_per_s, 40.0, 20_000), np.array(EVEN_S), 1 / 40)
    bound = cramer_rao_per_s(rate_per_s, 40.0)
    assert fit.rate_per_s.std() == pytest.approx(bound, rel=0.03)
    assert np.median(fit.deviation_per_s) == pytest.approx(bound, rel=0.02)


@pytest.mark.parametrize(
    ("rate_per_s", "least_squares_bias", "likelihood_bias"),
    [(40.0, -0.39, 0.11), (80.0, -4.27, 0.28), (150.0, -48.2, 1.8)],
)
def test_likelihood_removes_the_bias_of_the_noise_floor(
    rate_per_s: float, least_squares_bias: float, likelihood_bias: float
) -> None:
    samples, times = decays(rate_per_s, 20.0, 40_000), np.array(EVEN_S)
    squares = fit_decay(samples, times, 1 / 20, rician=False).rate_per_s
    likelihood = fit_decay(samples, times, 1 / 20).rate_per_s
    assert np.median(squares) - rate_per_s == pytest.approx(least_squares_bias, abs=0.25)
    assert np.median(likelihood) - rate_per_s == pytest.approx(likelihood_bias, abs=0.25)


@pytest.mark.parametrize("signal_to_noise", [20.0, 100.0])
@pytest.mark.parametrize("echoes", [3, 6])
def test_noise_is_found_from_the_residuals(signal_to_noise: float, echoes: int) -> None:
    samples = decays(20.0, signal_to_noise, 20_000, EVEN_S[:echoes])
    assert estimate_noise(samples, np.array(EVEN_S[:echoes])) == pytest.approx(1 / signal_to_noise, rel=0.03)


def sloping(
    spread_hz: tuple[float, float, float], rate_per_s: float, shape: tuple[int, int, int]
) -> tuple[Array, Array]:
    """Magnitude of voxels in a linear field, each the mean over 24³ cells; and the field in Hz."""
    times, cells = np.array(EVEN_S), (np.arange(24) + 0.5) / 24 - 0.5
    signal = np.exp(-rate_per_s * times).astype(np.complex128)
    for change in spread_hz:
        signal = signal * np.exp(2j * np.pi * times[:, None] * change * cells).mean(axis=1)
    field = sum(change * grid for change, grid in zip(spread_hz, np.indices(shape), strict=True))
    return np.broadcast_to(np.abs(signal), (*shape, 6)).astype(np.float32), np.asarray(field, dtype=np.float32)


@pytest.mark.parametrize("spread_hz", [(6.0, 0.0, 0.0), (-4.0, 7.0, 10.0), (0.0, -3.0, 22.0)])
def test_dephasing_by_the_fields_slope_is_removed(spread_hz: tuple[float, float, float]) -> None:
    magnitude, field = sloping(spread_hz, 25.0, (5, 7, 3))
    mask = np.ones((5, 7, 3), dtype=bool)
    corrected = r2star(magnitude, EVEN_S, mask, UNSMOOTHED, field_hz=field, noise_sigma=0.002)
    np.testing.assert_allclose(corrected.rate_per_s, 25.0, atol=0.1)
    assert r2star(magnitude, EVEN_S, mask, UNSMOOTHED, noise_sigma=0.002).rate_per_s.min() > 26.5


def test_the_slope_of_a_quadratic_field_is_exact_up_to_the_edge_of_an_oblique_mask() -> None:
    i, j, k = np.indices((9, 8, 7)).astype(np.float32)
    field = 0.5 * i**2 - 0.3 * j**2 + 2 * k + 0.1 * k**2
    mask = (i + j + k > 6) & (i + j + k < 17)
    long_enough = np.all([_run_length(mask, axis) >= 3 for axis in range(3)], axis=0)[mask]
    expected = np.stack([i, -0.6 * j, 2 + 0.2 * k], axis=-1)[mask]
    spread_hz = field_spread_hz(np.where(mask, field, np.nan), mask)
    assert np.count_nonzero(long_enough) > 100
    np.testing.assert_allclose(spread_hz[long_enough], expected[long_enough], atol=2e-5)


def _run_length(mask: Array, axis: int) -> Array:
    """Voxels of a convex mask in each voxel's row."""
    return np.broadcast_to(mask.sum(axis=axis, keepdims=True), mask.shape)


def test_a_voxel_alone_has_no_slope() -> None:
    mask = np.zeros((3, 3, 3), dtype=bool)
    mask[1, 1, 1] = True
    np.testing.assert_array_equal(field_spread_hz(np.full((3, 3, 3), np.nan), mask), np.zeros((1, 3)))


def head(signal_to_noise: float) -> tuple[Array, Array, Array, DecayFit]:
    """Truth, noisy magnitude and mask of a ball of 18 1/s with a nucleus of 32 1/s and a lesion of 13 1/s."""
    shape = (25, 23, 13)
    x = (np.indices(shape).astype(np.float32) - np.array([12, 11, 6])[:, None, None, None]) * np.array(
        [1, 1, 2], dtype=np.float32
    )[:, None, None, None]
    truth = np.full(shape, 18.0)
    truth[(x[0] - 5) ** 2 + x[1] ** 2 + x[2] ** 2 < 16] = 32
    truth[(x[0] + 5) ** 2 + x[1] ** 2 + x[2] ** 2 < 9] = 13
    mask = np.sum(x**2, axis=0) < 120
    generator = np.random.default_rng(5)
    noise = generator.normal(0, 1 / signal_to_noise, (*shape, 6, 2)) @ np.array([1, 1j])
    magnitude = np.abs(np.exp(-truth[..., None] * np.array(EVEN_S)) + noise).astype(np.float32)
    return truth, magnitude, mask, r2star(magnitude, EVEN_S, mask, voxel_size_mm=(1, 1, 2))


def test_smoothing_lowers_noise_and_keeps_nuclei_and_lesions() -> None:
    truth, magnitude, mask, smoothed = head(70.0)
    plain = r2star(magnitude, EVEN_S, mask, UNSMOOTHED)
    around = mask & (truth == 18)
    assert np.std(smoothed.rate_per_s[around]) < 0.92 * np.std(plain.rate_per_s[around])
    for value in (32, 13):
        inside = smoothed.rate_per_s[mask & (truth == value)].mean() - smoothed.rate_per_s[around].mean()
        assert inside / (value - 18) > 0.95


def test_a_voxel_without_signal_takes_its_neighbours_rate() -> None:
    _, magnitude, mask, _ = head(1000.0)
    magnitude[12, 16, 6] = 0
    fit = r2star(magnitude, EVEN_S, mask)
    assert fit.rate_per_s[12, 16, 6] == pytest.approx(18, abs=0.5)
    assert fit.deviation_per_s is not None
    assert np.isinf(fit.deviation_per_s[12, 16, 6])
    assert fit.clamped_fraction == pytest.approx(1 / mask.sum())


def test_smoothing_with_small_edges_solves_its_normal_equations() -> None:
    # Below the threshold Huber's function is a square and the minimum a linear system's.
    generator = np.random.default_rng(2)
    shape, weight, size = (5, 4, 3), 0.3, (1.0, 1.0, 2.0)
    values, deviations = generator.normal(20, 1, shape), generator.uniform(0.5, 2, shape)
    system = np.diag(deviations.ravel() ** -2)
    order = np.arange(values.size).reshape(shape)
    for axis, strength in enumerate((weight, weight, weight / 4)):
        pairs = np.moveaxis(order, axis, 0)
        for one, other in zip(pairs[:-1].ravel(), pairs[1:].ravel(), strict=True):
            for a, b in ((one, other), (other, one)):
                system[a, a] += strength
                system[a, b] -= strength
    expected = np.linalg.solve(system, values.ravel() / deviations.ravel() ** 2).reshape(shape)
    found = smooth_map(values, deviations, np.ones(shape, dtype=bool), size, weight, 100.0)
    np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.parametrize(
    ("values", "quantity"),
    [
        ({"smoothing_s2": -1.0}, "R2* smoothing"),
        ({"smoothing_s2": math.inf}, "R2* smoothing"),
        ({"edge_per_s": 0.0}, "R2* smoothing"),
        ({"edge_per_s": math.nan}, "R2* smoothing"),
        ({"method": "arlow"}, "R2* method"),
        ({"maximum_per_s": 0.0}, "largest rate"),
        ({"maximum_per_s": math.inf}, "largest rate"),
    ],
)
def test_bad_options_are_refused(values: dict[str, Any], quantity: str) -> None:
    with pytest.raises(InputError) as caught:
        R2StarOptions(**values)
    assert caught.value.quantity == quantity


def test_almost_no_signal_is_fitted_in_silence() -> None:
    """Beside noise that drowns it, a rate's deviation is near the largest float, and its multiples beyond."""
    magnitude = (1e-22 * np.exp(-20 * np.array(EVEN_S))).astype(np.float32).reshape(1, 1, 1, -1)
    fit = r2star(magnitude, EVEN_S, np.ones((1, 1, 1), dtype=bool), UNSMOOTHED, noise_sigma=3e14)
    assert fit.deviation_per_s is not None
    assert np.finfo(np.float32).max / 4 < fit.deviation_per_s.item() < np.inf


def test_a_field_of_another_shape_is_refused() -> None:
    magnitude, field = sloping((1.0, 1.0, 1.0), 20.0, (3, 3, 3))
    with pytest.raises(InputError, match="field"):
        r2star(magnitude, EVEN_S, np.ones((3, 3, 3), dtype=bool), field_hz=field[1:])

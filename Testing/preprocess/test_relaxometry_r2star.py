"""R2*: exact decays, noise, clamping and volumes of any layout."""

from __future__ import annotations

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter, Status
from ChiSepPreprocessLib.relaxometry.r2star import R2StarOptions, r2star

EVEN_S = tuple(0.0077 + 0.00503 * n for n in range(6))
UNEVEN_S = (0.004, 0.009, 0.013, 0.020, 0.026, 0.033)
RATES = np.array([5.0, 20.0, 40.0, 80.0, 150.0])


def decay(rates: Array, echo_times_s: tuple[float, ...], amplitude: float = 1000.0) -> Array:
    """Volume (N, 1, 1, E) of exact decays."""
    signal = amplitude * np.exp(-np.asarray(rates)[:, None] * np.array(echo_times_s))
    return signal[:, None, None].astype(np.float32)


def fitted(magnitude: Array, echo_times_s: tuple[float, ...], **options: object) -> Array:
    mask = np.ones(magnitude.shape[:3], dtype=bool)
    fit = r2star(magnitude, echo_times_s, mask, R2StarOptions(**options))  # type: ignore[arg-type]
    return fit.rate_per_s.ravel()


def test_arlo_is_nearly_exact_on_even_echoes() -> None:
    # The parabola's error: 0.17 % at 150 1/s for 5.03 ms spacing.
    np.testing.assert_allclose(fitted(decay(RATES, EVEN_S), EVEN_S, method="arlo"), RATES, rtol=0.002)


def test_arlo_is_nearly_exact_on_uneven_echoes() -> None:
    np.testing.assert_allclose(fitted(decay(RATES, UNEVEN_S), UNEVEN_S, method="arlo"), RATES, rtol=0.006)


def arlo_from_the_paper(signal: Array, spacing_s: float) -> float:
    """Pei 2015, the published closed form for even echoes, in double precision."""
    s = signal.astype(np.float64)
    integral = spacing_s / 3 * (s[:-2] + 4 * s[1:-1] + s[2:])
    drop = s[:-2] - s[2:]
    above = np.sum(integral * drop) + spacing_s / 3 * np.sum(drop**2)
    return float(above / (np.sum(integral**2) + spacing_s / 3 * np.sum(integral * drop)))


def test_arlo_equals_the_published_formula_on_noisy_even_echoes() -> None:
    generator = np.random.default_rng(1)
    magnitude = decay(np.full(200, 30.0), EVEN_S) + generator.normal(0, 20, (200, 1, 1, 6)).astype(np.float32)
    expected = [arlo_from_the_paper(signal, 0.00503) for signal in magnitude[:, 0, 0]]
    np.testing.assert_allclose(fitted(magnitude, EVEN_S, method="arlo"), expected, rtol=2e-5)


@pytest.mark.parametrize("echo_times_s", [EVEN_S, UNEVEN_S, EVEN_S[:2]])
def test_log_linear_is_exact(echo_times_s: tuple[float, ...]) -> None:
    found = fitted(decay(RATES, echo_times_s), echo_times_s, method="loglinear")
    np.testing.assert_allclose(found, RATES, rtol=2e-6, atol=2e-5)


def rician(rate_per_s: float, signal_to_noise: float, count: int) -> Array:
    """Magnitudes with complex Gaussian noise; the ratio holds at time zero."""
    generator = np.random.default_rng(7)
    noise = generator.normal(0, 1 / signal_to_noise, (count, 6, 2)) @ np.array([1, 1j])
    return np.abs(np.exp(-rate_per_s * np.array(EVEN_S)) + noise)[:, None, None].astype(np.float32)


@pytest.mark.parametrize(
    ("rate_per_s", "mean", "deviation"), [(20.0, 20.04, 3.7), (40.0, 39.75, 5.8), (80.0, 77.1, 13.0)]
)
def test_arlo_under_rician_noise_at_ratio_20(rate_per_s: float, mean: float, deviation: float) -> None:
    found = fitted(rician(rate_per_s, 20.0, 40_000), EVEN_S, method="arlo")
    assert found.mean() == pytest.approx(mean, abs=0.3)
    assert found.std() == pytest.approx(deviation, rel=0.06)


def test_auto_takes_maximum_likelihood_from_three_echoes_on() -> None:
    mask = np.ones((5, 1, 1), dtype=bool)
    assert r2star(decay(RATES, EVEN_S[:3]), EVEN_S[:3], mask).method == "ml"
    assert r2star(decay(RATES, EVEN_S[:2]), EVEN_S[:2], mask).method == "loglinear"


def test_rates_out_of_range_are_clamped_and_counted() -> None:
    magnitude = decay(np.array([-10.0, 30.0, 900.0, 30.0]), EVEN_S)
    magnitude[3] = 0.0
    options = R2StarOptions(maximum_per_s=200.0, method="arlo")
    fit = r2star(magnitude, EVEN_S, np.ones((4, 1, 1), dtype=bool), options)
    np.testing.assert_allclose(fit.rate_per_s.ravel(), [0.0, 30.0, 200.0, 0.0], rtol=1e-4)
    assert fit.clamped_fraction == 0.75


@pytest.mark.parametrize("order", ["C", "F"])
def test_every_layout_and_odd_shape_gives_the_same_map(order: str) -> None:
    generator = np.random.default_rng(3)
    truth = generator.uniform(5, 60, (7, 9, 5))
    magnitude = 500 * np.exp(-truth[..., None] * np.array(EVEN_S))
    mask = generator.random((7, 9, 5)) > 0.4
    laid_out = np.asarray(magnitude, dtype=np.float32, order=order)  # type: ignore[call-overload]
    fit = r2star(laid_out, EVEN_S, mask)
    np.testing.assert_allclose(fit.rate_per_s[mask], truth[mask], rtol=2e-4)
    assert not fit.rate_per_s[~mask].any()
    assert fit.rate_per_s.dtype == np.float32


@pytest.mark.parametrize(
    ("echo_times_s", "method", "quantity"),
    [
        (EVEN_S[:1], "auto", "gradient echoes"),
        (EVEN_S[:2], "arlo", "gradient echoes"),
        (EVEN_S[::-1], "auto", "echo times"),
        (EVEN_S[:5], "auto", "magnitude"),
        (EVEN_S, "nnls", "R2\\* method"),
    ],
)
def test_bad_input_is_named(echo_times_s: tuple[float, ...], method: str, quantity: str) -> None:
    magnitude = decay(RATES, EVEN_S)
    if len(echo_times_s) < 3:
        magnitude = magnitude[..., : len(echo_times_s)]
    with pytest.raises(InputError, match=quantity):
        fitted(magnitude, echo_times_s, method=method)


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(InputError, match="mask"):
        r2star(decay(RATES, EVEN_S), EVEN_S, np.zeros((5, 1, 1), dtype=bool))


METHODS = ("ml", "nlls", "arlo", "loglinear")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_inside_the_mask_alone(method: str, bad: float) -> None:
    magnitude, mask = decay(RATES, EVEN_S), np.ones((5, 1, 1), dtype=bool)
    magnitude[3, 0, 0, 2] = bad
    options = R2StarOptions(method=method)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="1 voxels that are NaN or infinite"):
        r2star(magnitude, EVEN_S, mask, options)
    mask[3] = False
    assert r2star(magnitude, EVEN_S, mask, options).rate_per_s[3] == 0


@pytest.mark.parametrize("method", METHODS)
def test_progress_is_reported_and_a_wish_to_stop_is_heard(method: str) -> None:
    magnitude, mask, options = decay(RATES, EVEN_S), np.ones((5, 1, 1), dtype=bool), R2StarOptions(method=method)  # type: ignore[arg-type]
    heard: list[Status] = []
    r2star(magnitude, EVEN_S, mask, options, report=Reporter(heard.append))
    fractions = [status.fraction for status in heard]
    assert fractions == sorted(fractions) and fractions[-1] == pytest.approx(1)
    assert {status.step for status in heard} == {"decay"}
    with pytest.raises(CancelledError):
        r2star(magnitude, EVEN_S, mask, options, report=Reporter(lambda status: False))

"""Echo combination: exact on linear phase, and its noise against the Cramér-Rao bound."""

from __future__ import annotations

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.fieldmap.combine import CombineOptions, FieldFit, Weighting, combine_echoes
from ChiSepPreprocessLib.quantities import TWO_PI

TIMES = np.asarray([0.0077 + 0.00503 * echo for echo in range(6)])


@pytest.mark.parametrize("weighting", ["wu2012", "magnitude"])
@pytest.mark.parametrize("times", [TIMES, TIMES[:1], np.asarray([0.004, 0.011, 0.013])])
def test_linear_phase_gives_its_field(weighting: Weighting, times: Array) -> None:
    rng = np.random.default_rng(0)
    field_hz = rng.uniform(-200, 200, (7, 6, 5))
    mask = rng.random(field_hz.shape) < 0.8
    magnitude = rng.uniform(0, 500, (*field_hz.shape, len(times)))
    magnitude[0, 0] = 0
    phase = (TWO_PI * field_hz[..., None] * times).astype(np.float32)
    fit = combine_echoes(phase, magnitude, tuple(times), mask, CombineOptions(weighting=weighting))
    assert fit.field_hz.dtype == np.float32
    np.testing.assert_allclose(fit.field_hz[mask], field_hz[mask], rtol=1e-6, atol=2e-5)
    assert fit.residual_rad[mask].max() < 2e-5
    assert not fit.field_hz[~mask].any() and not fit.residual_rad[~mask].any()


def test_wu2012_weights_follow_the_formula() -> None:
    phase = np.asarray([0.3, 0.9, 1.1]).reshape(1, 1, 1, 3)
    times, t2star_s = np.asarray([0.005, 0.012, 0.020]), 0.03
    weights = times * np.exp(-times / t2star_s)
    effective_s = (weights * times).sum() / weights.sum()
    expected = (weights * phase).sum() / weights.sum() / (TWO_PI * effective_s)
    mask = np.ones((1, 1, 1), np.bool_)
    fit = combine_echoes(
        phase, np.ones_like(phase), tuple(times), mask, CombineOptions(weighting="wu2012", t2star_s=t2star_s)
    )
    assert fit.field_hz.item() == pytest.approx(expected, rel=1e-6)
    misfit = phase.ravel() - TWO_PI * expected * times
    assert fit.residual_rad.item() == pytest.approx(np.sqrt(np.mean(misfit**2)), rel=1e-5)


def noisy_fit(weighting: Weighting, t2star_s: float, sigma: float) -> FieldFit:
    rng = np.random.default_rng(1)
    shape = (50, 50, 40)
    decay = np.exp(-TIMES / t2star_s)
    signal = decay + sigma * (rng.standard_normal((*shape, 6)) + 1j * rng.standard_normal((*shape, 6)))
    mask = np.ones(shape, np.bool_)
    return combine_echoes(np.angle(signal), np.abs(signal), tuple(TIMES), mask, CombineOptions(weighting=weighting))


@pytest.mark.parametrize(
    ("weighting", "t2star_s", "ratio"),
    [("magnitude", 0.040, 1.00), ("magnitude", 0.015, 1.00), ("wu2012", 0.040, 1.014), ("wu2012", 0.015, 1.335)],
)
def test_noise_against_the_cramer_rao_bound(weighting: Weighting, t2star_s: float, ratio: float) -> None:
    # The bound for a field with known zero offset: σ / (2π √Σ (|S| TE)²).
    sigma = 0.01
    bound_hz = sigma / (TWO_PI * np.sqrt(np.sum((np.exp(-TIMES / t2star_s) * TIMES) ** 2)))
    measured_hz = noisy_fit(weighting, t2star_s, sigma).field_hz.std()
    assert measured_hz / bound_hz == pytest.approx(ratio, abs=0.01)


def test_bad_options_are_refused() -> None:
    phase, mask = np.ones((2, 2, 2, 1), np.float32), np.ones((2, 2, 2), np.bool_)
    with pytest.raises(InputError, match="echo weighting"):
        combine_echoes(phase, phase, (0.01,), mask, CombineOptions(weighting="best"))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="positive time"):
        combine_echoes(phase, phase, (0.01,), mask, CombineOptions(t2star_s=0.0))

"""R2 from spin echoes, and R2′."""

from __future__ import annotations

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.relaxometry.r2 import R2Options, r2
from ChiSepPreprocessLib.relaxometry.r2prime import r2prime_measured, r2prime_pseudo

TRAIN_S = tuple(0.015 * n for n in range(1, 7))
RATES = np.array([0.5, 5.0, 12.5, 25.0, 60.0])


def decay(echo_times_s: tuple[float, ...]) -> Array:
    signal = 800.0 * np.exp(-RATES[:, None] * np.array(echo_times_s))
    return signal[:, None, None].astype(np.float32)


EVERYWHERE = np.ones((5, 1, 1), dtype=bool)


@pytest.mark.parametrize("echo_times_s", [TRAIN_S, (0.010, 0.100), (0.011, 0.030, 0.092)])
def test_r2_is_exact_on_exponentials(echo_times_s: tuple[float, ...]) -> None:
    fit = r2(decay(echo_times_s), echo_times_s, EVERYWHERE)
    np.testing.assert_allclose(fit.rate_per_s.ravel(), RATES, rtol=2e-6, atol=5e-6)
    assert fit.clamped_fraction == 0.0


def test_weights_are_the_signal_squared() -> None:
    generator = np.random.default_rng(5)
    magnitude = (decay(TRAIN_S) * generator.uniform(0.9, 1.1, (5, 1, 1, 6))).astype(np.float32)
    expected = [-np.polyfit(TRAIN_S, np.log(s), 1, w=s)[0] for s in magnitude[:, 0, 0].astype(np.float64)]
    found = r2(magnitude, TRAIN_S, EVERYWHERE).rate_per_s.ravel()
    np.testing.assert_allclose(found, np.maximum(expected, 0), rtol=1e-4)


def stimulated_train(flip_rad: float, rate_per_s: float) -> Array:
    """CPMG echoes of spins with one refocusing angle, by rotating an ensemble of dephased spins (T1 → ∞)."""
    angles = (np.arange(256) + 0.5) * 2 * np.pi / 256
    magnetisation = np.zeros((3, 256))
    magnetisation[0] = np.sin(flip_rad / 2)
    c, s = np.cos(flip_rad), np.sin(flip_rad)
    pulse = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    decay_half = np.exp(-0.0075 * rate_per_s)
    echoes = []
    for _ in TRAIN_S:
        for refocus in (True, False):
            transverse = (magnetisation[0] + 1j * magnetisation[1]) * np.exp(1j * angles) * decay_half
            magnetisation[0], magnetisation[1] = transverse.real, transverse.imag
            if refocus:
                magnetisation = pulse @ magnetisation
        echoes.append(abs(np.mean(transverse)))
    return np.array(echoes, dtype=np.float32).reshape(1, 1, 1, -1)


def test_skipping_the_first_echo_lessens_the_bias_of_imperfect_refocusing() -> None:
    # 80 % transmit field, T2 80 ms: −10.4 % with all echoes, +1.0 % without the first.
    magnitude, mask = stimulated_train(np.radians(144.0), 12.5), np.ones((1, 1, 1), dtype=bool)
    biased = r2(magnitude, TRAIN_S, mask).rate_per_s.item()
    better = r2(magnitude, TRAIN_S, mask, R2Options(skip_first_echo=True)).rate_per_s.item()
    assert biased / 12.5 == pytest.approx(0.896, abs=0.003)
    assert better / 12.5 == pytest.approx(1.010, abs=0.003)


def test_perfect_refocusing_has_no_bias() -> None:
    magnitude = stimulated_train(np.pi, 12.5)
    assert r2(magnitude, TRAIN_S, np.ones((1, 1, 1), dtype=bool)).rate_per_s.item() == pytest.approx(12.5, rel=1e-5)


def test_echoes_without_signal_are_left_out() -> None:
    magnitude = decay(TRAIN_S)
    magnitude[..., -1] = 0.0
    np.testing.assert_allclose(r2(magnitude, TRAIN_S, EVERYWHERE).rate_per_s.ravel(), RATES, rtol=1e-5, atol=5e-6)


@pytest.mark.parametrize(("count", "skip"), [(1, False), (2, True)])
def test_too_few_echoes_are_refused(count: int, skip: bool) -> None:
    with pytest.raises(InputError, match="spin echoes for R2"):
        r2(decay(TRAIN_S[:count]), TRAIN_S[:count], EVERYWHERE, R2Options(skip_first_echo=skip))


def test_r2prime_is_the_positive_difference_inside_the_mask() -> None:
    r2star_map = np.array([30.0, 10.0, 20.0, 50.0], dtype=np.float32).reshape(4, 1, 1)
    r2_map = np.array([12.0, 14.0, 20.0, 10.0], dtype=np.float32).reshape(4, 1, 1)
    mask = np.array([True, True, True, False]).reshape(4, 1, 1)
    values, negative = r2prime_measured(r2star_map, r2_map, mask)
    np.testing.assert_allclose(values.ravel(), [18.0, 0.0, 0.0, 0.0])
    assert negative == pytest.approx(1 / 3)


def test_pseudo_r2prime_subtracts_the_constant() -> None:
    r2star_map = np.array([30.0, 10.0, 40.0], dtype=np.float32).reshape(3, 1, 1)
    mask = np.array([True, True, False]).reshape(3, 1, 1)
    np.testing.assert_allclose(r2prime_pseudo(r2star_map, mask).ravel(), [17.0, 0.0, 0.0])
    np.testing.assert_allclose(r2prime_pseudo(r2star_map, mask, 5.0).ravel(), [25.0, 5.0, 0.0])


def test_r2prime_refuses_other_grids_and_negative_constants() -> None:
    volume, mask = np.ones((2, 2, 2), dtype=np.float32), np.ones((2, 2, 2), dtype=bool)
    with pytest.raises(InputError, match="r2"):
        r2prime_measured(volume, volume[:1], mask)
    with pytest.raises(InputError, match="mask"):
        r2prime_measured(volume, volume, np.zeros_like(mask))
    with pytest.raises(InputError, match="pseudo-R2"):
        r2prime_pseudo(volume, mask, -1.0)

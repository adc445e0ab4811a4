"""R2 from spin echoes, and R2′."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from bloch_train import bloch_train
from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.relaxometry.epg import slice_profile
from ChiSepPreprocessLib.relaxometry.r2 import R2Fit, R2Options, r2
from ChiSepPreprocessLib.relaxometry.r2prime import (
    negative_r2prime,
    r2prime_measured,
    r2prime_pseudo,
    r2prime_scaled,
)

TRAIN_S = tuple(0.015 * n for n in range(1, 7))
RATES = np.array([0.5, 5.0, 12.5, 25.0, 60.0])
MONO = R2Options(method="mono-exponential")
T2_S = (0.015, 0.030, 0.050, 0.080, 0.150, 0.300)
B1 = (0.70, 0.755, 0.83, 0.90, 0.965, 1.0)


def decay(echo_times_s: tuple[float, ...]) -> Array:
    signal = 800.0 * np.exp(-RATES[:, None] * np.array(echo_times_s))
    return signal[:, None, None].astype(np.float32)


EVERYWHERE = np.ones((5, 1, 1), dtype=bool)


def trains(
    rates: Sequence[float], b1: Sequence[float], *, angles_deg: Sequence[float] = (180.0,) * 6,
    spacing_s: float = 0.015, echoes: Sequence[int] = (1, 2, 3, 4, 5, 6), t1_s: float = 1.2,
) -> Array:  # fmt: skip
    """Volume (rate, B1, 1, echo) of rotating magnetisation vectors, which share nothing with the dictionary."""
    signals = [[bloch_train(rate, field, angles_deg, spacing_s, t1_s=t1_s) for field in b1] for rate in rates]
    return np.abs(800 * np.array(signals)[:, :, None, np.array(echoes) - 1]).astype(np.float32)


def errors_percent(fit: R2Fit, rates: Sequence[float]) -> Array:
    """Of R2, shape (rate, B1)."""
    return np.asarray(100 * (fit.rate_per_s[..., 0] / np.array(rates)[:, None] - 1))


@pytest.mark.parametrize("echo_times_s", [TRAIN_S, (0.010, 0.100), (0.011, 0.030, 0.092)])
def test_r2_is_exact_on_exponentials(echo_times_s: tuple[float, ...]) -> None:
    fit = r2(decay(echo_times_s), echo_times_s, EVERYWHERE, MONO)
    np.testing.assert_allclose(fit.rate_per_s.ravel(), RATES, rtol=2e-6, atol=5e-6)
    assert fit.clamped_fraction == 0.0


def test_weights_are_the_signal_squared() -> None:
    generator = np.random.default_rng(5)
    magnitude = (decay(TRAIN_S) * generator.uniform(0.9, 1.1, (5, 1, 1, 6))).astype(np.float32)
    expected = [-np.polyfit(TRAIN_S, np.log(s), 1, w=s)[0] for s in magnitude[:, 0, 0].astype(np.float64)]
    found = r2(magnitude, TRAIN_S, EVERYWHERE, MONO).rate_per_s.ravel()
    np.testing.assert_allclose(found, np.maximum(expected, 0), rtol=1e-4)


def test_skipping_the_first_echo_lessens_the_bias_of_imperfect_refocusing() -> None:
    # 80 % transmit field, T2 80 ms: −10 % with all echoes, +1.3 % without the first.
    magnitude = trains([12.5], [0.8])
    biased = r2(magnitude, TRAIN_S, magnitude[..., 0] > 0, MONO).rate_per_s.item()
    better = r2(magnitude, TRAIN_S, magnitude[..., 0] > 0, R2Options(skip_first_echo=True)).rate_per_s.item()
    assert biased / 12.5 == pytest.approx(0.901, abs=0.002)
    assert better / 12.5 == pytest.approx(1.013, abs=0.002)


def test_echoes_without_signal_are_left_out() -> None:
    magnitude = decay(TRAIN_S)
    magnitude[..., -1] = 0.0
    np.testing.assert_allclose(r2(magnitude, TRAIN_S, EVERYWHERE, MONO).rate_per_s.ravel(), RATES, rtol=1e-5, atol=5e-6)


def everywhere(magnitude: Array) -> Array:
    return np.ones(magnitude.shape[:3], dtype=bool)


def test_dictionary_finds_r2_and_b1_of_every_train() -> None:
    rates = [1 / t2 for t2 in T2_S]
    magnitude = trains(rates, B1)
    fit = r2(magnitude, TRAIN_S, everywhere(magnitude), R2Options(b1_smoothing_mm=0.0))
    assert fit.method == "epg" and fit.b1 is not None
    assert np.abs(errors_percent(fit, rates)).max() < 0.06
    assert np.abs(fit.b1[:-1, :, 0] - B1).max() < 0.005
    assert fit.clamped_fraction == 0.0 and fit.warnings == ()


@pytest.mark.parametrize("t1_s", [0.6, 4.0])
def test_r2_hardly_depends_on_t1(t1_s: float) -> None:
    magnitude = trains([12.5], [0.7, 0.8, 0.9], t1_s=t1_s)
    fit = r2(magnitude, TRAIN_S, everywhere(magnitude), R2Options(b1_smoothing_mm=0.0))
    assert np.abs(errors_percent(fit, [12.5])).max() < 0.6


def test_given_b1_also_beyond_1_leaves_r2_alone_to_find() -> None:
    rates, b1 = [1 / t2 for t2 in T2_S], (0.62, 0.70, 0.75, 0.883, 1.0, 1.13)
    magnitude = trains(rates, b1)
    given = np.broadcast_to(np.array(b1)[None, :, None], magnitude.shape[:3])
    fit = r2(magnitude, TRAIN_S, everywhere(magnitude), b1=given)
    assert np.abs(errors_percent(fit, rates)).max() < 0.05
    assert fit.b1 is not None
    np.testing.assert_allclose(fit.b1, given, rtol=1e-6)


def test_other_angles_and_t1_and_later_echoes_are_modelled() -> None:
    rates, b1, angles = [8.0, 20.0], (0.75, 0.9), (170.0, 150.0, 140.0, 140.0, 140.0, 140.0, 140.0, 140.0)
    magnitude = trains(rates, b1, angles_deg=angles, spacing_s=0.01, echoes=range(2, 9), t1_s=0.7)
    options = R2Options(echo_spacing_s=0.01, refocusing_angles_deg=(170.0, 150.0, 140.0), t1_s=0.7, b1_smoothing_mm=0.0)
    fit = r2(magnitude, [0.01 * n for n in range(2, 9)], everywhere(magnitude), options)
    assert "2, 3, 4, 5, 6, 7, 8" in fit.statement
    assert np.abs(errors_percent(fit, rates)).max() < 0.3


@pytest.mark.parametrize(("shape", "bias_percent"), [("gaussian", -25.9), ("sinc", -17.9)])
def test_slice_profile_is_modelled(shape: str, bias_percent: float) -> None:
    parts = slice_profile(shape, 1.2)  # type: ignore[arg-type]
    sums = [w * bloch_train(12.5, 0.9, [180] * 6, 0.015, excitation_scale=e, refocusing_scale=r) for w, e, r in parts]
    magnitude = (800 * np.sum(sums, axis=0)).reshape(1, 1, 1, 6).astype(np.float32)
    chosen = R2Options(slice_profile=shape, refocusing_slice_ratio=1.2, b1_smoothing_mm=0.0)  # type: ignore[arg-type]
    fit = r2(magnitude, TRAIN_S, everywhere(magnitude), chosen)
    assert fit.rate_per_s.item() == pytest.approx(12.5, rel=0.001)
    assert fit.b1 is not None and fit.b1.item() == pytest.approx(0.9, abs=0.005)
    given = R2Options(sub_slices=parts, b1_smoothing_mm=0.0)
    assert r2(magnitude, TRAIN_S, everywhere(magnitude), given).rate_per_s.item() == fit.rate_per_s.item()
    plain = r2(magnitude, TRAIN_S, everywhere(magnitude), MONO).rate_per_s.item()
    assert 100 * (plain / 12.5 - 1) == pytest.approx(bias_percent, abs=0.3)


SHAPE, SIZE_MM = (24, 25, 13), (2.0, 2.4, 4.0)


def noisy_head() -> tuple[Array, Array, Array, Array]:
    """Magnitudes at a signal-to-noise ratio of 40, R2, B1 (smooth, 0.75 to 0.97) and a mask."""
    generator = np.random.default_rng(11)
    i, j, k = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    b1 = 0.97 - 0.1 * i**2 - 0.1 * j**2 - 0.02 * k
    rates, nodes = np.linspace(9, 16, 8), np.linspace(0.7, 1.0, 61)
    which = generator.integers(0, rates.size, SHAPE)
    signal = np.empty((*SHAPE, 6))
    for n, rate in enumerate(rates):
        table = np.array([bloch_train(rate, node, [180.0] * 6, 0.015) for node in nodes])
        at = which == n
        signal[at] = np.stack([np.interp(b1[at], nodes, column) for column in table.T], axis=-1)
    noise = generator.normal(0, 1 / 40, (*signal.shape, 2)) @ np.array([1, 1j])
    return np.abs(signal + noise).astype(np.float32), rates[which], b1, i**2 + j**2 < 1.1


def test_one_b1_for_a_neighbourhood_is_as_good_as_a_known_one() -> None:
    """Noise of a voxelwise B1 goes into R2; that of a shared one does not. Plain R2 is biased by 4 %."""
    magnitude, rate, b1, mask = noisy_head()

    def error(fit: R2Fit) -> tuple[float, float]:
        difference = (fit.rate_per_s - rate)[mask]
        return float(difference.mean()), float(np.sqrt(np.mean(difference**2)))

    known = error(r2(magnitude, TRAIN_S, mask, b1=b1))
    shared_fit = r2(magnitude, TRAIN_S, mask, voxel_size_mm=SIZE_MM)
    shared, alone = error(shared_fit), error(r2(magnitude, TRAIN_S, mask, R2Options(b1_smoothing_mm=0.0)))
    plain = error(r2(magnitude, TRAIN_S, mask, MONO))
    assert shared_fit.b1 is not None
    assert np.sqrt(np.mean((shared_fit.b1 - b1)[mask] ** 2)) < 0.02
    assert abs(shared[0]) < 0.06
    assert shared[1] < 1.02 * known[1]
    assert alone[1] > 1.06 * known[1]
    assert plain[0] < -0.4


def test_b1_without_a_voxel_size_is_fitted_alone_and_that_is_said() -> None:
    magnitude, _, _, mask = noisy_head()
    fit = r2(magnitude, TRAIN_S, mask)
    assert any("Voxel size" in text for text in fit.warnings)
    alone = r2(magnitude, TRAIN_S, mask, R2Options(b1_smoothing_mm=0.0))
    np.testing.assert_array_equal(fit.rate_per_s, alone.rate_per_s)


def test_layout_in_memory_does_not_matter() -> None:
    magnitude, _, _, mask = noisy_head()
    one = r2(magnitude, TRAIN_S, mask, voxel_size_mm=SIZE_MM)
    other = r2(np.asfortranarray(magnitude), TRAIN_S, np.asfortranarray(mask), voxel_size_mm=SIZE_MM)
    np.testing.assert_array_equal(one.rate_per_s, other.rate_per_s)
    turned = r2(magnitude.transpose(2, 1, 0, 3), TRAIN_S, mask.T, voxel_size_mm=SIZE_MM[::-1])
    np.testing.assert_allclose(turned.rate_per_s.T, one.rate_per_s, rtol=1e-3)


def test_rates_beyond_the_range_are_clamped_and_counted() -> None:
    magnitude = trains([0.05, 12.5, 150.0, 12.5], [1.0])
    magnitude[3] = 0.0
    mask = np.ones((4, 1, 1), dtype=bool)
    fit = r2(magnitude, TRAIN_S, mask, R2Options(b1_smoothing_mm=0.0, maximum_per_s=60.0))
    np.testing.assert_allclose(fit.rate_per_s.ravel(), [0.5, 12.5, 60.0, 0.0], rtol=0.001)
    assert fit.clamped_fraction == 0.75


#: At 100 ms two echoes tell no shorter T2 apart: 0.7 % of the signal is left, mostly stimulated echoes.
T2_DUAL_S = (0.020, 0.030, 0.050, 0.080, 0.150, 0.300)


def dual_echo(angles_deg: Sequence[float], b1: Sequence[float]) -> Array:
    return trains([1 / t2 for t2 in T2_DUAL_S], b1, angles_deg=angles_deg, spacing_s=0.01, echoes=(1, 10))


DECLINING = (160.0, 145.0, 130.0, 120.0)


@pytest.mark.parametrize("angles_deg", [(180.0,), (150.0,), DECLINING], ids=str)
def test_dual_echo_is_exact_with_the_train_and_b1_given(angles_deg: tuple[float, ...]) -> None:
    magnitude = dual_echo((*angles_deg, *angles_deg[-1:] * 9)[:10], B1)
    given = np.broadcast_to(np.array(B1)[None, :, None], magnitude.shape[:3])
    options = R2Options(echo_spacing_s=0.01, refocusing_angles_deg=angles_deg)
    fit = r2(magnitude, (0.01, 0.1), everywhere(magnitude), options, b1=given, is_turbo=True)
    assert fit.method == "dual-echo"
    assert np.abs(errors_percent(fit, [1 / t2 for t2 in T2_DUAL_S])).max() < 0.25


@pytest.mark.parametrize(("angle_deg", "bias_percent"), [(180.0, 0.0), (150.0, -7.4), (120.0, -27.8)])
def test_the_actual_refocusing_angles_matter_most(angle_deg: float, bias_percent: float) -> None:
    """Two points at T2 80 ms: exact at 180°, 28 % low at 120°; the dictionary undoes it."""
    magnitude = trains([12.5], [1.0], angles_deg=[angle_deg] * 10, spacing_s=0.01, echoes=(1, 10))
    two_points = r2(magnitude, (0.01, 0.1), everywhere(magnitude), is_turbo=True)
    assert two_points.method == "mono-exponential"
    assert 100 * (two_points.rate_per_s.item() / 12.5 - 1) == pytest.approx(bias_percent, abs=0.2)
    options = R2Options(echo_spacing_s=0.01, refocusing_angles_deg=(angle_deg,))
    modelled = r2(magnitude, (0.01, 0.1), everywhere(magnitude), options, is_turbo=True)
    assert modelled.rate_per_s.item() == pytest.approx(12.5, rel=5e-4)


@pytest.mark.parametrize(
    ("echo_times_s", "is_turbo", "options", "method", "words"),
    [
        (TRAIN_S, False, {}, "epg", "echoes 1, 2, 3, 4, 5, 6"),
        (TRAIN_S, False, {"method": "mono-exponential"}, "mono-exponential", "as asked"),
        (TRAIN_S, False, {"skip_first_echo": True}, "mono-exponential", "as asked"),
        ((0.010, 0.025, 0.040), False, {}, "mono-exponential", "multiples of the echo spacing of 10 ms"),
        ((0.010, 0.025, 0.040), False, {"echo_spacing_s": 0.005}, "epg", "echoes 2, 5, 8"),
        ((0.011, 0.033, 0.055), True, {}, "mono-exponential", "echo spacing of the turbo train is not known"),
        ((0.010, 0.100), False, {}, "mono-exponential", "echo spacing of the train is not known"),
        ((0.010, 0.100), True, {"method": "dual-echo"}, "mono-exponential", "echo spacing of the turbo train"),
        ((0.011, 0.092), True, {"echo_spacing_s": 0.0115}, "dual-echo", "echoes 1, 8"),
    ],
)
def test_choice_of_the_method_is_stated(
    echo_times_s: tuple[float, ...], is_turbo: bool, options: dict[str, object], method: str, words: str
) -> None:
    fit = r2(decay(echo_times_s), echo_times_s, EVERYWHERE, R2Options(**options), is_turbo=is_turbo)  # type: ignore[arg-type]
    assert fit.method == method
    assert words in fit.statement
    if method == "mono-exponential" and "as asked" not in words:
        assert fit.warnings == (fit.statement,)


def test_dual_echo_says_what_it_assumes() -> None:
    options = R2Options(echo_spacing_s=0.01)
    fit = r2(decay((0.01, 0.1)), (0.01, 0.1), EVERYWHERE, options, is_turbo=True)
    assert [any(word in text for text in fit.warnings) for word in ("180°", "B1 = 1")] == [True, True]
    given = R2Options(echo_spacing_s=0.01, refocusing_angles_deg=(150.0,))
    fit = r2(decay((0.01, 0.1)), (0.01, 0.1), EVERYWHERE, given, b1=np.ones((5, 1, 1)), is_turbo=True)
    assert fit.warnings == ()


@pytest.mark.parametrize(
    ("echo_times_s", "options", "quantity"),
    [
        ((0.010, 0.025, 0.040), {"method": "epg"}, "echo times"),
        ((0.010, 0.100), {"method": "epg"}, "spin echoes for R2 and B1"),
        (TRAIN_S, {"method": "dual-echo"}, "dual-echo"),
        (TRAIN_S, {"method": "nnls"}, "R2 method"),
        (TRAIN_S, {"refocusing_angles_deg": ()}, "refocusing angles"),
        (TRAIN_S, {"echo_spacing_s": 0.0}, "spin-echo train"),
        (TRAIN_S, {"echo_spacing_s": 15.0}, "spin-echo train"),
        (TRAIN_S, {"sub_slices": ((-1.0, 1.0, 1.0),)}, "sub-slices"),
        (TRAIN_S, {"sub_slices": ((0.0, 1.0, 1.0),)}, "sub-slices"),
        (TRAIN_S, {"refocusing_slice_ratio": float("inf")}, "width ratio"),
        (TRAIN_S, {"b1_smoothing_mm": -1.0}, "R2 options"),
        (TRAIN_S, {"slice_profile": "box"}, "slice profile"),
    ],
)
def test_bad_choices_are_named(echo_times_s: tuple[float, ...], options: dict[str, object], quantity: str) -> None:
    with pytest.raises(InputError, match=quantity):
        r2(decay(echo_times_s), echo_times_s, EVERYWHERE, R2Options(**options))  # type: ignore[arg-type]


def test_bad_b1_maps_and_masks_are_named() -> None:
    magnitude = decay(TRAIN_S)
    with pytest.raises(InputError, match=r"B1 map.*per cent"):
        r2(magnitude, TRAIN_S, EVERYWHERE, b1=np.full((5, 1, 1), 95.0))
    with pytest.raises(InputError, match="B1 map"):
        r2(magnitude, TRAIN_S, EVERYWHERE, b1=np.ones((4, 1, 1)))
    with pytest.raises(InputError, match="mask"):
        r2(magnitude, TRAIN_S, ~EVERYWHERE)


def test_a_wish_to_stop_is_heard() -> None:
    magnitude = decay(TRAIN_S)
    with pytest.raises(CancelledError):
        r2(magnitude, TRAIN_S, EVERYWHERE, voxel_size_mm=(1, 1, 1), report=Reporter(lambda status: False))


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


def test_scaled_r2prime_is_a_share_of_r2star() -> None:
    r2star_map = np.array([30.0, -10.0, 40.0], dtype=np.float32).reshape(3, 1, 1)
    mask = np.array([True, True, False]).reshape(3, 1, 1)
    np.testing.assert_allclose(r2prime_scaled(r2star_map, mask).ravel(), [5.7, 0.0, 0.0], rtol=1e-6)
    np.testing.assert_allclose(r2prime_scaled(r2star_map, mask, 0.5).ravel(), [15.0, 0.0, 0.0])
    with pytest.raises(InputError, match="share"):
        r2prime_scaled(r2star_map, mask, 19.0)


def test_negative_differences_are_told_by_size_and_place() -> None:
    """A 9×9×9 mask has 5³ voxels more than two from its rim; one rim plane and one inner voxel are negative."""
    mask = np.zeros((11, 11, 11), dtype=bool)
    mask[1:-1, 1:-1, 1:-1] = True
    r2star_map = np.full(mask.shape, 20.0, dtype=np.float32)
    r2_map = np.full(mask.shape, 12.0, dtype=np.float32)
    r2_map[1] = 21.0
    r2_map[5, 5, 5] = 25.0
    found = negative_r2prime(r2star_map, r2_map, mask)
    assert found.fraction == pytest.approx(82 / 729)
    assert found.clear_fraction == pytest.approx(1 / 729)
    assert found.median_per_s == pytest.approx(-1.0)
    assert found.rim_fraction == pytest.approx(81 / (729 - 125))
    assert found.inner_fraction == pytest.approx(1 / 125)
    assert negative_r2prime(r2star_map, 0 * r2_map, mask).median_per_s == 0.0

"""A known phase of every second echo is found and removed, for any spacing of the echoes."""

from __future__ import annotations

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.coils.bipolar import BipolarOptions, bipolar_score, correct_bipolar, doubt_two_echoes
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.quantities import TWO_PI
from ChiSepPreprocessLib.unwrap.echoes import wrap

SHAPE = (45, 40, 27)
VOXEL_MM = (1.5, 1.5, 3.0)
EVEN = (0.004, 0.009, 0.014, 0.019, 0.024)
UNEVEN = (0.004, 0.008, 0.0145, 0.0185)
TELLING = (0.004, 0.009, 0.0153, 0.022)
SILENT = Reporter()


def coordinates_mm() -> list[Array]:
    axes = [(np.arange(n) - n / 2) * size for n, size in zip(SHAPE, VOXEL_MM, strict=True)]
    return list(np.meshgrid(*axes, indexing="ij"))


def head() -> Array:
    x, y, z = coordinates_mm()
    return np.asarray((x / 30) ** 2 + (y / 27) ** 2 + (z / 36) ** 2 < 1)


def readout_phase() -> Array:
    """Linear along the first axis, with a constant and a gentle curvature."""
    x, y, _ = coordinates_mm()
    return 0.4 + 0.05 * x + 0.0003 * x * y


def acquire(times: tuple[float, ...], extra: Array, noise: float, shift_hz: float = 0) -> tuple[Array, Array, Array]:
    """Magnitude, phase, and true phase if all readouts had the first one's polarity; offset included."""
    x, y, z = coordinates_mm()
    field_hz = 60 * np.exp(-((x - 5) ** 2 + (y + 9) ** 2 + z**2) / 300) + 0.8 * x - 0.5 * z + shift_hz
    true = TWO_PI * field_hz[..., None] * np.asarray(times) + (1.0 + 0.03 * y)[..., None]
    even = np.arange(len(times)) % 2
    signal = np.exp(1j * (true + extra[..., None] * even) - np.asarray(times) / 0.04)
    rng = np.random.default_rng(4)
    signal += noise * (rng.standard_normal(signal.shape) + 1j * rng.standard_normal(signal.shape))
    return np.abs(signal).astype(np.float32), np.angle(signal).astype(np.float32), true


@pytest.mark.parametrize("times", [EVEN, EVEN[:3], UNEVEN])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_the_phase_of_even_echoes_is_found_and_removed(times: tuple[float, ...], noise: float) -> None:
    magnitude, phase, true = acquire(times, readout_phase(), noise)
    mask = head()
    corrected, fit = correct_bipolar(magnitude, phase, times, mask, VOXEL_MM, BipolarOptions(), SILENT)
    assert fit.corrected
    np.testing.assert_array_equal(corrected[..., ::2], phase[..., ::2])
    error = wrap(fit.phase_rad - readout_phase())[mask]
    assert np.sqrt(np.mean(error**2)) < 0.0165  # 0.0150 measured: the curvature is smoothed at the border
    np.testing.assert_allclose(fit.slope_rad_per_mm, (0.05, 0, 0), atol=2e-3)
    if noise == 0:
        assert np.sqrt(np.mean(wrap(corrected - true)[mask] ** 2)) < 0.012  # even echoes only are touched


def test_monopolar_data_are_left_alone() -> None:
    magnitude, phase, _ = acquire(EVEN, np.zeros(SHAPE), 0.05)
    corrected, fit = correct_bipolar(magnitude, phase, EVEN, head(), VOXEL_MM, BipolarOptions(), SILENT)
    assert not fit.corrected
    assert fit.score_rad < 0.002  # 0.0014 measured
    np.testing.assert_array_equal(corrected, phase)
    # Corrected all the same, they would change by no more than the score says.
    forced, _ = correct_bipolar(magnitude, phase, EVEN, head(), VOXEL_MM, BipolarOptions(threshold_rad=0), SILENT)
    assert np.abs(wrap(forced - phase)[head()]).max() < 0.01


def test_the_score_is_the_median_size_of_the_extra_phase() -> None:
    magnitude, phase, _ = acquire(EVEN, readout_phase(), 0.05)
    score = bipolar_score(magnitude, phase, EVEN, head(), VOXEL_MM, BipolarOptions(), SILENT)
    assert score == pytest.approx(np.median(np.abs(wrap(readout_phase()))[head()]), rel=0.01)


def test_a_field_beyond_half_a_turn_between_odd_echoes_changes_a_constant_only() -> None:
    """For even spacing, π in all of g and one turn in the odd echoes' difference cannot be told apart."""
    magnitude, phase, _ = acquire(EVEN, readout_phase(), 0.0)
    shift = TWO_PI * np.asarray(EVEN, np.float32) * np.float32(0.7 / (EVEN[2] - EVEN[0]))
    shifted = wrap(phase + shift)
    _, one = correct_bipolar(magnitude, phase, EVEN, head(), VOXEL_MM, BipolarOptions(), SILENT)
    _, other = correct_bipolar(magnitude, shifted, EVEN, head(), VOXEL_MM, BipolarOptions(), SILENT)
    np.testing.assert_allclose(wrap(one.phase_rad - other.phase_rad)[head()], 0, atol=1e-4)


@pytest.mark.parametrize("shift_hz", [-250, -70, 0, 70, 250])
@pytest.mark.parametrize("constant_rad", [-2.5, 0.0, 0.4, 3.0])
def test_a_fourth_echo_tells_the_constant(shift_hz: float, constant_rad: float) -> None:
    """Unevenly spaced echoes lie on one line for one number of turns between the odd echoes only."""
    extra = readout_phase() - 0.4 + constant_rad
    magnitude, phase, true = acquire(TELLING, extra, 0.05, shift_hz)
    corrected, fit = correct_bipolar(magnitude, phase, TELLING, head(), VOXEL_MM, BipolarOptions(), SILENT)
    assert np.sqrt(np.mean(wrap(fit.phase_rad - extra)[head()] ** 2)) < 0.0165  # 0.0150 measured
    misfit = wrap(corrected - true)[head()]
    assert np.abs(misfit.mean(axis=0)).max() < 0.005


def test_three_uneven_echoes_leave_a_constant_open() -> None:
    """70 Hz are 0.8 turns between the odd echoes: of g and g + 2π a the one nearest zero is taken."""
    times = TELLING[:3]
    magnitude, phase, _ = acquire(times, readout_phase(), 0.0, 70)
    _, fit = correct_bipolar(magnitude, phase, times, head(), VOXEL_MM, BipolarOptions(), SILENT)
    share = (times[1] - times[0]) / (times[2] - times[0])
    left = wrap(fit.phase_rad - readout_phase())[head()]
    in_turns = np.angle(np.exp(1j * (left.mean() - TWO_PI * share * np.arange(-2, 3))))
    assert np.abs(in_turns).min() < 0.01
    assert abs(np.mean(fit.phase_rad[head()])) <= np.pi * share


def test_a_bad_threshold_is_refused() -> None:
    for threshold_rad in (-0.1, float("nan")):
        with pytest.raises(InputError, match="threshold_rad"):
            BipolarOptions(threshold_rad=threshold_rad)


def test_two_echoes_are_refused() -> None:
    magnitude, phase, _ = acquire(EVEN[:2], np.zeros(SHAPE), 0.0)
    with pytest.raises(InputError, match="at least three"):
        correct_bipolar(magnitude, phase, EVEN[:2], head(), VOXEL_MM, BipolarOptions(), SILENT)


@pytest.mark.parametrize(("echoes", "asked_for", "count"), [(2, True, 1), (2, False, 0), (3, True, 0), (6, True, 0)])
def test_correction_that_two_echoes_do_not_allow_is_said(echoes: int, asked_for: bool, count: int) -> None:
    said = doubt_two_echoes(echoes, asked_for)
    assert len(said) == count
    assert all("cannot be corrected with 2 echoes" in text for text in said)

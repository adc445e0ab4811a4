"""Channels with known sensitivities are combined to the known phase, at nearly the best noise."""

from __future__ import annotations

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.coils.combine import CoilOptions, combine_coils
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.quantities import TWO_PI
from ChiSepPreprocessLib.unwrap.echoes import wrap

SHAPE = (41, 38, 27)
VOXEL_MM = (2.0, 2.0, 3.0)
TIMES = (0.005, 0.011, 0.017)
N_CHANNELS = 8
NOISE = 0.05
SILENT = Reporter()


def coordinates_mm() -> list[Array]:
    axes = [(np.arange(n) - n / 2) * size for n, size in zip(SHAPE, VOXEL_MM, strict=True)]
    return list(np.meshgrid(*axes, indexing="ij"))


def head() -> Array:
    x, y, z = coordinates_mm()
    return np.asarray((x / 36) ** 2 + (y / 33) ** 2 + (z / 36) ** 2 < 1)


def sensitivities() -> Array:
    """Channels around the head: smooth magnitudes, each with its own constant and sloping phase."""
    x, y, z = coordinates_mm()
    channels = []
    for n in range(N_CHANNELS):
        angle = TWO_PI * n / N_CHANNELS
        distance2 = (x - 55 * np.cos(angle)) ** 2 + (y - 55 * np.sin(angle)) ** 2 + z**2
        slope = 0.02 * (x * np.sin(angle) - y * np.cos(angle)) + 0.01 * z + 3e-4 * x * y
        channels.append(np.exp(-distance2 / 4000 + 1j * (2.4 * n + slope)))
    return np.stack(channels, axis=-1)


def acquire(noise: float) -> tuple[Array, Array, Array]:
    """Magnitude and phase of all channels, and the true phase without offset."""
    x, y, z = coordinates_mm()
    field_hz = 90 * np.exp(-((x - 6) ** 2 + (y + 12) ** 2 + z**2) / 300) + 0.6 * x
    true = TWO_PI * field_hz[..., None] * np.asarray(TIMES)
    signal = (head()[..., None] * np.exp(1j * true - np.asarray(TIMES) / 0.04))[..., None]
    signal = signal * sensitivities()[:, :, :, None]
    rng = np.random.default_rng(2)
    signal += noise * (rng.standard_normal(signal.shape) + 1j * rng.standard_normal(signal.shape))
    return np.abs(signal).astype(np.float32), np.angle(signal).astype(np.float32), true


def test_phase_is_the_truth_and_noise_is_nearly_the_least_possible() -> None:
    magnitude, phase, true = acquire(NOISE)
    mask = head()
    _, combined = combine_coils(magnitude, phase, TIMES, mask, VOXEL_MM, CoilOptions(), SILENT)
    error = wrap(combined - true)[mask]
    decay = np.exp(-np.asarray(TIMES) / 0.04)
    strength = np.sqrt(np.sum(np.abs(sensitivities()) ** 2, axis=-1))[mask]
    bright = strength > np.median(strength)
    for echo in range(3):
        standardised = error[bright, echo] * strength[bright] * decay[echo] / NOISE
        # 1 is the matched filter with known sensitivities; 1.04 to 1.08 measured, most of it smoothed offsets.
        assert np.std(standardised) < 1.1
        assert abs(np.mean(error[:, echo])) < 0.002


def test_without_noise_only_the_smoothing_of_offsets_is_left() -> None:
    magnitude, phase, true = acquire(0.0)
    mask = head()
    whole, combined = combine_coils(magnitude, phase, TIMES, mask, VOXEL_MM, CoilOptions(), SILENT)
    error = wrap(combined - true)[mask]
    assert np.sqrt(np.mean(error**2)) < 0.013  # 0.012 measured
    expected = np.sqrt(np.sum(np.abs(sensitivities()) ** 2, axis=-1))[..., None] * np.exp(-np.asarray(TIMES) / 0.04)
    np.testing.assert_allclose(whole[mask], expected[mask], rtol=1e-5)


def test_a_plain_sum_of_channels_would_cancel() -> None:
    """The test's channels disagree: without offsets the signal is lost."""
    magnitude, phase, _ = acquire(0.0)
    mask = head()
    plain = np.abs(np.sum(magnitude**2 * np.exp(1j * phase), axis=-1))[mask, 0]
    assert np.median(plain / np.sum(magnitude**2, axis=-1)[mask, 0]) < 0.05  # 0.02 measured


def test_the_mask_is_found_where_none_is_given() -> None:
    magnitude, phase, true = acquire(NOISE)
    with_mask = combine_coils(magnitude, phase, TIMES, head(), VOXEL_MM, CoilOptions(), SILENT)
    without = combine_coils(magnitude, phase, TIMES, None, VOXEL_MM, CoilOptions(), SILENT)
    np.testing.assert_array_equal(with_mask[0], without[0])
    assert np.abs(wrap(with_mask[1] - without[1])[head()]).max() < 1e-3
    assert np.median(np.abs(wrap(without[1] - true)[head()])) < 0.04  # 0.035 measured


def test_a_dead_channel_and_nan_do_no_harm() -> None:
    magnitude, phase, true = acquire(NOISE)
    magnitude[..., 3] = 0
    phase[..., 3] = np.nan
    whole, combined = combine_coils(magnitude, phase, TIMES, head(), VOXEL_MM, CoilOptions(), SILENT)
    assert np.isfinite(whole).all() and np.isfinite(combined).all()
    assert np.median(np.abs(wrap(combined - true)[head()])) < 0.042  # 0.038 measured


def test_bad_input_is_named_and_cancel_works() -> None:
    magnitude, phase, _ = acquire(0.0)
    for change, quantity in (
        ({"phase": phase[..., 0]}, "phase"),
        ({"magnitude": magnitude[..., :2]}, "magnitude"),
        ({"magnitude": magnitude[:, :, :, :1], "phase": phase[:, :, :, :1], "echo_times_s": TIMES[:1]}, "echo times"),
        ({"magnitude": np.zeros_like(magnitude), "mask": None}, "magnitude"),
    ):
        given = {"magnitude": magnitude, "phase": phase, "echo_times_s": TIMES, "mask": head(),
                 "voxel_size_mm": VOXEL_MM, "options": CoilOptions(), "report": SILENT}  # fmt: skip
        with pytest.raises(InputError) as caught:
            combine_coils(**{**given, **change})  # type: ignore[arg-type]
        assert caught.value.quantity == quantity
    with pytest.raises(CancelledError):
        combine_coils(magnitude, phase, TIMES, head(), VOXEL_MM, CoilOptions(), Reporter(lambda s: s.fraction < 0.7))

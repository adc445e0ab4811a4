"""The sign of phase by vendor facts, and the alternating sign of slices."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from ChiSepPreprocessLib.dicom.polarity import sign_rule, slice_alternation, undo_alternation, undo_alternations
from ChiSepPreprocessLib.dicom.roles import Vendor
from ChiSepPreprocessLib.loading import load_acquisition
from dicom_writer_for_tests import Slab, write_siemens_gre


@pytest.mark.parametrize(
    ("vendor", "is_own", "negated", "warned"),
    [
        (Vendor.SIEMENS, False, False, False),
        (Vendor.PHILIPS, False, False, False),
        (Vendor.GE, False, True, True),
        (Vendor.CANON, False, False, True),
        (Vendor.UNITED_IMAGING, False, False, True),
        (Vendor.UNKNOWN, False, False, True),
        (Vendor.UNKNOWN, True, False, False),
        (Vendor.GE, True, False, False),  # a file of this project is in its convention, whatever the scanner was
    ],
)
def test_one_switch_reverses_each_rule(vendor: Vendor, is_own: bool, negated: bool, warned: bool) -> None:
    rule, flipped = sign_rule(vendor, False, is_own), sign_rule(vendor, True, is_own)
    assert (rule.negated, flipped.negated) == (negated, not negated)
    assert bool(rule.warnings) == warned
    assert flipped.warnings == ()  # the user has looked
    assert "reversed on request" in flipped.words


def _head(shape: tuple[int, int, int] = (24, 21, 13), seed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Magnitude and phase of an ellipsoid in noise, with a steep field at one end; SNR 20 inside."""
    random = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.linspace(-1.0, 1.0, n) for n in shape], indexing="ij")
    inside = sum((axis / 0.85) ** 2 for axis in axes) < 1.0
    phase = 2.0 * axes[0] - 1.5 * axes[1] ** 2 + 3.0 * np.exp(-8.0 * (axes[1] - 0.8) ** 2) * axes[2]
    noise = random.normal(size=(2, *shape))
    signal = 20.0 * inside * np.exp(1j * phase) + noise[0] + 1j * noise[1]
    return np.abs(signal).astype(np.float32), np.angle(signal).astype(np.float32)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_alternation_is_found_and_undone(axis: int) -> None:
    magnitude, phase = _head()
    alternating = phase.copy()
    undo_alternation(alternating, axis)  # adding π again is the same as taking it away
    assert np.abs(alternating).max() <= np.float32(np.pi)
    found = slice_alternation(magnitude, alternating)
    assert (found.present, found.axis) == (True, axis)
    assert found.angle_rad > 2.8
    undo_alternation(alternating, axis)
    assert np.abs(np.angle(np.exp(1j * (alternating - phase)))).max() < 1e-6


def test_phase_that_is_right_already_is_left_alone() -> None:
    found = slice_alternation(*_head())
    assert (found.present, found.unclear, found.axis) == (False, False, 2)
    assert found.angle_rad < 0.1
    assert found.coherence > 0.9


def test_noise_and_a_single_slice_prove_nothing() -> None:
    random = np.random.default_rng(0)
    magnitude, phase = random.uniform(0, 1, (40, 40, 9)), random.uniform(-np.pi, np.pi, (40, 40, 9))
    found = slice_alternation(magnitude, phase)
    assert (found.present, found.unclear) == (False, False)
    assert found.coherence < 0.1
    assert not slice_alternation(np.zeros((5, 5, 1)), np.zeros((5, 5, 1))).present


def test_coils_count_together() -> None:
    """Coils of different phase do not cancel: only differences of neighbours are summed."""
    magnitude, phase = _head()
    offsets = np.arange(8) * np.pi / 4
    coils = np.angle(np.exp(1j * (phase[..., None] + offsets)))
    one = slice_alternation(magnitude, phase)
    many = slice_alternation(np.repeat(magnitude[..., None], 8, axis=-1), coils)
    assert many.angle_rad == pytest.approx(one.angle_rad, abs=1e-5)
    assert many.coherence == pytest.approx(one.coherence, abs=1e-5)


@pytest.mark.parametrize("axes", [axes for count in range(4) for axes in combinations((2, 1, 0), count)])
def test_a_checkerboard_is_undone_along_each_of_its_axes(axes: tuple[int, ...]) -> None:
    """A Fourier transform without the shift of its centre multiplies by (−1)^(i + j + k)."""
    magnitude, phase = (np.repeat(part[..., None], 2, axis=-1) for part in _head())
    found_phase = phase.copy()
    for axis in axes:
        undo_alternation(found_phase, axis)
    found = undo_alternations(magnitude, found_phase)
    assert tuple(one.axis for one in found if one.present) == axes
    assert len(found) == max(len(axes), 1)
    assert np.abs(np.angle(np.exp(1j * (found_phase - phase)))).max() < 1e-6


@pytest.mark.parametrize(
    ("axes", "words"), [("", ""), ("k", "every other slice"), ("kj", "along k, j,"), ("kji", "along k, j, i,")]
)
def test_a_scan_with_a_checkerboard_is_loaded_as_one_without(tmp_path: Path, axes: str, words: str) -> None:
    slab, times_ms = Slab(shape=(12, 10, 9)), (5.0, 10.0)
    indices = np.indices(slab.shape)
    field = 0.3 + 0.2 * indices[0] - 0.15 * indices[1] + 0.1 * indices[2]
    board = sum((indices["ijk".index(axis)] for axis in axes), np.zeros(slab.shape))
    phase = np.stack([field, 2.0 * field], axis=-1)
    turned = np.mod(phase + np.pi * board[..., None] + np.pi, 2 * np.pi) / (2 * np.pi)  # from 0 to 1
    magnitude = np.full(phase.shape, 900)
    magnitude[0, 0, 0] = 1000
    write_siemens_gre(tmp_path, slab, times_ms, magnitude, np.minimum(np.round(turned * 4096), 4095).astype(int))
    loaded = load_acquisition([tmp_path])
    assert np.abs(np.angle(np.exp(1j * (loaded.gre_phase - phase)))).max() < 2e-3  # one stored step is 1.5e-3
    found = loaded.source["slice_alternation"]
    assert (found["axis"], found["corrected"], found["axes"]) == ("k", bool(axes), list(axes))
    assert [text for text in loaded.warnings if "alternates" in text and words in text] == list(loaded.warnings)
    assert len(loaded.warnings) == bool(axes)

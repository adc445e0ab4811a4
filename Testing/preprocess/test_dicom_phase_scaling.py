"""Stored phase becomes radians by stated facts, and the values must bear them out."""

from __future__ import annotations

import numpy as np
import pytest

from ChiSepPreprocessLib.dicom.phase import PHASE_UNITS, phase_to_radians
from ChiSepPreprocessLib.dicom.roles import Component, Role, Vendor
from ChiSepPreprocessLib.dicom.stack import Header
from ChiSepPreprocessLib.errors import InputError

TRUTH = np.linspace(-np.pi, np.pi, 5 * 7 * 3 * 2).reshape(5, 7, 3, 2)
SILENT = Header(role=Role.GRE, component=Component.PHASE)


def _header(vendor: Vendor, rescale_type: str = "", precise_divisor: float | None = None) -> Header:
    return Header(
        role=Role.GRE,
        component=Component.PHASE,
        vendor=vendor,
        rescale_type=rescale_type,
        precise_divisor=precise_divisor,
    )


@pytest.mark.parametrize("unit", sorted(PHASE_UNITS))
def test_stated_unit(unit: str) -> None:
    stored = TRUTH * {"rad": 1.0, "mrad": 1e3, "deg": 180 / np.pi, "cycles": 0.5 / np.pi, "siemens": 4096 / np.pi}[unit]
    scaled = phase_to_radians(stored, SILENT, unit)
    np.testing.assert_allclose(scaled.phase, TRUTH, atol=1e-6)
    assert scaled.phase.dtype == np.float32
    assert (scaled.rule, scaled.warnings) == (f"{unit} (stated)", ())


def test_siemens_without_rescale_is_recognised_by_its_range() -> None:
    """Anonymisers strip the rescale; 12 unsigned bits cannot be the rescaled −4096…4094."""
    stored = np.arange(4096.0).reshape(16, 16, 16, 1)
    scaled = phase_to_radians(stored, _header(Vendor.SIEMENS))
    np.testing.assert_allclose(scaled.phase, np.pi * (2.0 * stored - 4096.0) / 4096.0, atol=1e-6)


@pytest.mark.parametrize(
    ("header", "factor"),
    [
        (_header(Vendor.SIEMENS), 4096 / np.pi),
        (_header(Vendor.GE), 1000.0),
        (_header(Vendor.PHILIPS, "mrad"), 1000.0),
        (_header(Vendor.PHILIPS, "mrad", 1000.13), 1000.13),
        (_header(Vendor.UNKNOWN, "rad"), 1.0),
    ],
)
def test_unit_by_header(header: Header, factor: float) -> None:
    np.testing.assert_allclose(phase_to_radians(TRUTH * factor, header).phase, TRUTH, atol=1e-6)


def test_range_is_never_stretched() -> None:
    """Phase that reaches only 2.7 rad keeps its values; no voxel is moved to ±π."""
    scaled = phase_to_radians(TRUTH * (2.7 / np.pi) * 1000.0, _header(Vendor.GE))
    assert np.abs(scaled.phase).max() == pytest.approx(2.7, abs=1e-6)


def test_small_range_is_kept_and_said() -> None:
    scaled = phase_to_radians(TRUTH * 100.0, _header(Vendor.GE))
    assert np.abs(scaled.phase).max() == pytest.approx(np.pi / 10, abs=1e-6)
    assert "spans only -0.31 to 0.31 rad" in scaled.warnings[0]


def test_one_quantum_beyond_pi_is_clipped_and_more_is_refused() -> None:
    scaled = phase_to_radians(TRUTH * 1.0005, SILENT)
    assert np.abs(scaled.phase).max() == np.float32(np.pi)
    with pytest.raises(InputError, match=r"-3\.15\d* to 3\.15\d* in an unknown unit.*--phase-unit"):
        phase_to_radians(TRUTH * 1.004, SILENT)


def test_a_turn_that_starts_at_zero_is_wrapped() -> None:
    scaled = phase_to_radians(np.mod(TRUTH, 2 * np.pi), SILENT)
    np.testing.assert_allclose(np.exp(1j * scaled.phase.astype(complex)), np.exp(1j * TRUTH), atol=1e-6)


def test_lying_scale_of_the_file_is_detected() -> None:
    scaled = phase_to_radians(TRUTH * 0.00117, SILENT, unscaled=lambda: TRUTH)
    np.testing.assert_allclose(scaled.phase, TRUTH, atol=1e-6)
    assert "0.00368 rad" in scaled.warnings[0]
    assert "stored values" in scaled.rule


@pytest.mark.parametrize(
    ("stored", "advice"),
    [
        (TRUTH * 1000.0, "fits mrad"),
        (TRUTH * 4096 / np.pi, "fits siemens"),
        (TRUTH * 4095 / (2 * np.pi) + 2047.5, "fits siemens"),
        (TRUTH * 180 / np.pi, "fits deg"),
        (TRUTH * 0.5 / np.pi, "fits cycles"),
        (TRUTH * 0.0, "State the unit"),
    ],
)
def test_unknown_unit_is_refused_with_advice(stored: np.ndarray, advice: str) -> None:
    with pytest.raises(InputError, match=advice) as caught:
        phase_to_radians(stored, SILENT)
    assert f"{stored.max():.6g}" in str(caught.value)


def test_unsigned_siemens_values_that_fill_no_turn_are_refused() -> None:
    """8 bits taken for 12 would be a sliver at −π, where the largest absolute value looks right."""
    with pytest.raises(InputError, match="from 0 to 255 in an unknown unit"):
        phase_to_radians(np.arange(256.0).reshape(8, 8, 4, 1), _header(Vendor.SIEMENS))


def test_unit_against_the_values_is_refused() -> None:
    with pytest.raises(InputError, match="'mrad'"):
        phase_to_radians(TRUTH * 4096 / np.pi, SILENT, "mrad")
    with pytest.raises(InputError, match="one of rad, mrad"):
        phase_to_radians(TRUTH, SILENT, "furlong")
    with pytest.raises(InputError, match="1000, as the rescale type is mrad"):
        phase_to_radians(TRUTH, _header(Vendor.PHILIPS, "mrad", 651.7))

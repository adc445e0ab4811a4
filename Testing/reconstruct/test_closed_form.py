"""Two equations in two unknowns: consistent input comes back exactly."""

from __future__ import annotations

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import ScanParameters
from ChiSepPreprocessLib.quantities import PAPER_FIELD_STRENGTH_T
from ChiSepReconstructLib.physics.relaxation import r2prime_from_chi
from ChiSepReconstructLib.physics.relaxivity import Relaxivity
from ChiSepReconstructLib.solvers.closed_form import ClosedFormOptions, separate

_SPLIT = Relaxivity(para_hz_per_ppm=150.0, dia_hz_per_ppm=90.0, preset="given", field_strength_t=3.0)


def test_consistent_input_is_separated_exactly() -> None:
    rng = np.random.default_rng(5)
    para, dia = rng.uniform(0, 0.2, (2, 9, 8, 7))
    chi_para, chi_dia = separate(para - dia, r2prime_from_chi(para, dia, _SPLIT), _SPLIT)
    np.testing.assert_allclose(chi_para, para, atol=1e-8)
    np.testing.assert_allclose(chi_dia, dia, atol=1e-8)
    assert chi_para.dtype == chi_dia.dtype == np.float32


def test_an_offset_of_the_reference_moves_both_maps_as_documented() -> None:
    para, dia, offset = np.array([0.1]), np.array([0.05]), 0.02
    chi_para, chi_dia = separate(para - dia + offset, r2prime_from_chi(para, dia, _SPLIT), _SPLIT)
    assert chi_para[0] == pytest.approx(0.1 + offset * 90 / 240)
    assert chi_dia[0] == pytest.approx(0.05 - offset * 150 / 240)


def test_negative_results_become_zero() -> None:
    # R2′ of 3 1/s cannot explain 0.1 ppm: (3 + 9)/240 and (3 − 15)/240.
    chi_para, chi_dia = separate(np.array([0.1, -0.1]), np.array([3.0, 3.0]), _SPLIT)
    np.testing.assert_allclose(chi_para, [0.05, 0.0], atol=1e-8)
    np.testing.assert_allclose(chi_dia, [0.0, 0.075], atol=1e-8)


def test_constants_follow_the_frequency_before_the_nominal_field() -> None:
    nominal = ScanParameters(echo_times_s=(0.005,), field_strength_t=3.0, b0_direction_ijk=(0.0, 0.0, 1.0))
    trio = ScanParameters(echo_times_s=(0.005,), field_strength_t=3.0, b0_direction_ijk=(0.0, 0.0, 1.0),
                          imaging_frequency_hz=123_177_385.0)  # fmt: skip
    assert ClosedFormOptions().constants(trio).para_hz_per_ppm == pytest.approx(137.0)
    expected = 137.0 * 3.0 / PAPER_FIELD_STRENGTH_T
    assert ClosedFormOptions().constants(nominal).dia_hz_per_ppm == pytest.approx(expected)
    given = ClosedFormOptions(para_hz_per_ppm=300.0).constants(nominal)
    assert (given.para_hz_per_ppm, given.preset) == (300.0, "given, else shin2021")
    assert given.dia_hz_per_ppm == pytest.approx(expected)

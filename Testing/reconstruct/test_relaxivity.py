"""Relaxometric constants: published values, their scaling, and the static dephasing theory."""

from __future__ import annotations

import numpy as np
import pytest

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.quantities import PAPER_FIELD_STRENGTH_T
from ChiSepReconstructLib.physics.relaxation import r2prime_from_chi
from ChiSepReconstructLib.physics.relaxivity import PRESETS, Relaxivity, relaxivity


@pytest.mark.parametrize(
    ("preset", "field_strength_t", "expected"),
    [
        ("kim2025", PAPER_FIELD_STRENGTH_T, 114.0),
        ("shin2021", PAPER_FIELD_STRENGTH_T, 137.0),
        ("shin2021", 3.0, 142.06),
        ("kim2025", 1.5, 59.11),
        # 2π γ B0 / (9√3) with γ = 267.522 rad/(s·µT).
        ("theory", 3.0, 2 * np.pi * 267.522187 * 3.0 / (9 * np.sqrt(3))),
        ("theory", 7.0, 754.8),
    ],
)
def test_presets_scale_linearly_with_the_field(preset: str, field_strength_t: float, expected: float) -> None:
    constants = relaxivity(preset, field_strength_t)
    assert constants.para_hz_per_ppm == pytest.approx(expected, rel=1e-4)
    assert constants.dia_hz_per_ppm == constants.para_hz_per_ppm
    assert constants.field_strength_t == field_strength_t
    assert constants.preset == preset


def test_every_preset_is_cited() -> None:
    assert all(any(character.isdigit() for character in preset.citation) for preset in PRESETS.values())


def test_r2prime_sums_both_sources() -> None:
    constants = Relaxivity(para_hz_per_ppm=300.0, dia_hz_per_ppm=200.0, preset="given", field_strength_t=7.0)
    r2prime = r2prime_from_chi(np.array([0.1, 0.0, 0.02]), np.array([0.0, 0.05, 0.03]), constants)
    np.testing.assert_allclose(r2prime, [30.0, 10.0, 12.0])


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="kim2025, shin2021, theory"):
        relaxivity("kim", 3.0)
    with pytest.raises(InputError, match="dia relaxivity"):
        Relaxivity(para_hz_per_ppm=1.0, dia_hz_per_ppm=0.0, preset="given", field_strength_t=3.0)

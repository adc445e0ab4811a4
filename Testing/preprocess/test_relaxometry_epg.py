"""Extended phase graph against rotating magnetisation vectors and closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from bloch_train import bloch_train
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.relaxometry.epg import echo_amplitudes, slice_profile

SPACING_S = 0.012
RATES = np.array([0.5, 3.0, 12.5, 66.0])


def test_perfect_refocusing_is_a_plain_exponential() -> None:
    found = echo_amplitudes(RATES, 1.0, [180.0] * 9, SPACING_S)
    expected = np.exp(-RATES[:, None] * SPACING_S * np.arange(1, 10))
    np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.parametrize(
    "angles_deg",
    [[180.0] * 12, [150.0] * 12, [155, 130, 120, 110, 90, 60, 45, 60, 90, 120], [20.0, 300.0, 7.0]],
    ids=["constant", "150", "modulated", "odd"],
)
@pytest.mark.parametrize("b1", [0.55, 0.83, 1.0, 1.17])
def test_any_train_equals_rotating_vectors(angles_deg: list[float], b1: float) -> None:
    found = echo_amplitudes(RATES, b1, angles_deg, SPACING_S, t1_s=0.6)
    expected = [bloch_train(rate, b1, angles_deg, SPACING_S, t1_s=0.6) for rate in RATES]
    np.testing.assert_allclose(found, expected, atol=1e-13)


def test_second_echo_is_the_spin_echo_and_the_stimulated_echo() -> None:
    # S₂ = sin α_exc · (E2² sin⁴(α/2) + E1 E2 sin²(α)/2), E over one spacing.
    alpha, e1, e2 = np.radians(110.0), np.exp(-SPACING_S / 0.9), np.exp(-SPACING_S * RATES)
    expected = np.sin(np.radians(70.0)) * (e2**2 * np.sin(alpha / 2) ** 4 + e1 * e2 * np.sin(alpha) ** 2 / 2)
    found = echo_amplitudes(RATES, 1.0, [110.0, 110.0], SPACING_S, t1_s=0.9, excitation_angle_deg=70.0)
    np.testing.assert_allclose(found[:, 1], expected, rtol=1e-13)


def test_angles_about_180_degrees_are_alike_but_for_the_excitation() -> None:
    below, above = (echo_amplitudes(RATES, b1, [180.0] * 6, SPACING_S) for b1 in (0.85, 1.15))
    np.testing.assert_allclose(below, above, rtol=1e-12)


def test_rates_and_transmit_fields_broadcast() -> None:
    b1 = np.array([0.7, 0.9])
    found = echo_amplitudes(RATES[:, None], b1, [180.0] * 3, SPACING_S)
    assert found.shape == (4, 2, 3)
    np.testing.assert_allclose(found[2, 1], bloch_train(12.5, 0.9, [180.0] * 3, SPACING_S), atol=1e-13)


@pytest.mark.parametrize("shape", ["gaussian", "sinc"])
def test_parts_of_the_slice_add_up(shape: str) -> None:
    parts = slice_profile(shape, 1.3)  # type: ignore[arg-type]
    expected = sum(
        w * bloch_train(12.5, 0.9, [170.0] * 5, SPACING_S, excitation_scale=e, refocusing_scale=r) for w, e, r in parts
    )
    found = echo_amplitudes(12.5, 0.9, [170.0] * 5, SPACING_S, sub_slices=parts)
    np.testing.assert_allclose(found, expected, atol=1e-13)
    assert sum(weight for weight, _, _ in parts) == pytest.approx(1.0)


def small_tip(frequency: float) -> float:
    """Tip of a Hann-filtered sinc pulse with two zero crossings a side, by rotating one vector step by step."""
    time = np.linspace(-1, 1, 4001)
    pulse = np.sinc(2 * time) * np.cos(np.pi / 2 * time) ** 2
    angles = 1e-4 * pulse / pulse.sum()
    across, along = 0j, 1.0
    for angle in angles:
        across *= np.exp(2j * np.pi * frequency * (time[1] - time[0]))
        y = across.imag * np.cos(angle) + along * np.sin(angle)
        along, across = along * np.cos(angle) - across.imag * np.sin(angle), across.real + 1j * y
    return abs(across) / 1e-4


def test_sinc_profile_is_what_a_weak_pulse_tips() -> None:
    excitation = np.array([part[1] for part in slice_profile("sinc")])
    # Two zero crossings a side: the band is two turns per half pulse wide.
    places = (np.arange(excitation.size) + 0.5) / excitation.size * 1.25
    np.testing.assert_allclose(np.abs(excitation), [small_tip(2 * place) for place in places], atol=2e-4)
    assert np.interp(0.5, places, excitation) == pytest.approx(0.5, abs=0.02)


def test_gaussian_profile_halves_at_half_its_width_and_widens_with_the_ratio() -> None:
    parts = np.array(slice_profile("gaussian", 1.5))
    places = (np.arange(len(parts)) + 0.5) / len(parts) * 1.25
    np.testing.assert_allclose(parts[:, 1], np.exp(-4 * np.log(2) * places**2), rtol=1e-12)
    np.testing.assert_allclose(parts[:, 2], np.exp(-4 * np.log(2) * (places / 1.5) ** 2), rtol=1e-12)
    assert slice_profile("none", 1.5) == ((1.0, 1.0, 1.0),)


def test_bad_trains_and_profiles_are_named() -> None:
    with pytest.raises(InputError, match="spin-echo train"):
        echo_amplitudes(10.0, 1.0, [], SPACING_S)
    with pytest.raises(InputError, match="spin-echo train"):
        echo_amplitudes(10.0, 1.0, [180.0], -1.0)
    with pytest.raises(InputError, match="slice profile"):
        slice_profile("box")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="width ratio"):
        slice_profile("sinc", 0.0)

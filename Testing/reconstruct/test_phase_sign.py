"""The sign of the phase from a susceptibility map: fast decaying tissue must come out paramagnetic (simulated)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from ChiSepPreprocessLib.errors import InputError
from ChiSepReconstructLib.evaluation.phase_sign import INVERTED_BELOW, phase_sign_score, phase_sign_warnings
from ChiSepReconstructLib.physics.forward import field_from_chi
from ChiSepReconstructLib.physics.operators import Vector
from ChiSepReconstructLib.solvers.tkd import tkd

_VOXEL_MM: Vector = (2.5, 2.8, 3.1)
_B0: Vector = (0.36, -0.48, 0.8)

Volume = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Head:
    chi: Volume
    rate: Volume
    mask: Mask

    def inverted_by(self, sign: float, field_noise_ppm: float = 0.0, rate_noise_per_s: float = 0.0) -> float:
        """Score of the map that comes out when the phase is multiplied by ``sign``."""
        random = np.random.default_rng(1)
        field = sign * field_from_chi(self.chi, _VOXEL_MM, _B0)
        field += field_noise_ppm * random.standard_normal(field.shape).astype(np.float32)
        rate = np.abs(self.rate + rate_noise_per_s * random.standard_normal(field.shape))
        score = phase_sign_score(tkd(field, self.mask, _VOXEL_MM, _B0), rate, self.mask, _VOXEL_MM)
        assert score is not None
        return score


def _head(calcification_radius_mm: float = 0.0) -> Head:
    """Grey matter around white matter, which decays faster and is diamagnetic, with two iron-rich nuclei in it."""
    x, y, z = ((np.indices((57, 53, 45)).T - (28, 26, 22)) * _VOXEL_MM).T
    mask = np.sqrt(x**2 + y**2 + z**2) < 64.0
    nuclei = np.sqrt((np.abs(x) - 18) ** 2 + y**2 + z**2) < 9.0
    white = (np.sqrt(x**2 + y**2 + z**2) < 45.0) & ~nuclei
    chi, rate = np.where(white, -0.03, 0.01), np.where(white, 22.0, 15.0)
    chi[nuclei], rate[nuclei] = 0.12, 38.0
    calcified = np.sqrt(x**2 + (y - 25) ** 2 + z**2) < calcification_radius_mm
    chi[calcified], rate[calcified] = -0.5, 100.0
    rate[mask & (z > 50)] = 150.0  # beside air
    return Head((chi * mask).astype(np.float32), (rate * mask).astype(np.float32), mask)


@pytest.mark.parametrize(("field_noise_ppm", "rate_noise_per_s"), [(0.0, 0.0), (0.01, 5.0), (0.02, 10.0)])
def test_score_separates_right_from_inverted_phase(field_noise_ppm: float, rate_noise_per_s: float) -> None:
    head = _head()
    assert head.inverted_by(1.0, field_noise_ppm, rate_noise_per_s) > 0.9  # measured 0.98 to 1
    assert head.inverted_by(-1.0, field_noise_ppm, rate_noise_per_s) < -0.9  # measured −0.93 to −1


@pytest.mark.parametrize("field_noise_ppm", [0.0, 0.05])
def test_finer_voxels_give_the_same_score(field_noise_ppm: float) -> None:
    """The score is told by blocks of about 2 mm: repeated voxels of half the size are blocks of what they repeat."""
    head, (i, j, k) = _head(calcification_radius_mm=6.0), (2.2, 2.4, 2.6)
    chi = head.chi + field_noise_ppm * np.random.default_rng(2).standard_normal(head.chi.shape).astype(np.float32)
    coarse = phase_sign_score(chi, head.rate, head.mask, (i, j, k))
    fine_chi, fine_rate = (one.repeat(2, 0).repeat(2, 1).repeat(2, 2) for one in (chi, head.rate))
    fine_mask = head.mask.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    assert coarse is not None
    assert 0.1 < coarse < 0.9  # the calcification keeps it from 1, where any would be equal
    assert phase_sign_score(fine_chi, fine_rate, fine_mask, (i / 2, j / 2, k / 2)) == pytest.approx(coarse, abs=1e-6)


def test_reference_and_scale_do_not_matter() -> None:
    head = _head()
    score = phase_sign_score(head.chi, head.rate, head.mask, _VOXEL_MM)
    other = phase_sign_score(5.0 * head.chi - 0.3 * head.mask, head.rate, head.mask, _VOXEL_MM)
    assert score == other == 1.0


def test_small_calcification_does_not_raise_the_alarm_and_inverted_phase_still_does() -> None:
    """Of 0.9 ml beside 6 ml of nuclei."""
    head = _head(calcification_radius_mm=6.0)
    assert head.chi.min() < -0.4
    right, inverted = head.inverted_by(1.0), head.inverted_by(-1.0)
    assert phase_sign_warnings(right) == ()
    assert right > 0.3
    assert inverted == pytest.approx(-right)


def test_warning_says_what_to_do() -> None:
    (text,) = phase_sign_warnings(-0.9)
    assert "may be inverted" in text
    assert "--flip-phase-sign" in text
    assert phase_sign_warnings(INVERTED_BELOW) == phase_sign_warnings(0.0) == phase_sign_warnings(None) == ()


def test_too_small_a_core_gives_no_score() -> None:
    head = _head()
    thin = head.mask & (np.indices(head.mask.shape)[2] > 40)
    assert phase_sign_score(head.chi, head.rate, thin, _VOXEL_MM) is None


def test_constant_rate_gives_no_score() -> None:
    head = _head()
    constant = np.full_like(head.rate, 20.0)
    assert phase_sign_score(head.chi, constant, np.ones_like(head.mask), _VOXEL_MM) is None


def test_unusable_input_is_refused() -> None:
    head = _head()
    with pytest.raises(InputError, match="no voxel inside"):
        phase_sign_score(head.chi, head.rate, np.zeros_like(head.mask), _VOXEL_MM)
    with pytest.raises(InputError, match="shape"):
        phase_sign_score(head.chi[:-1], head.rate, head.mask, _VOXEL_MM)

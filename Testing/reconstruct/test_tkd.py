"""Thresholded division: exact where the kernel is large, attenuated by a known factor where it is small."""

from __future__ import annotations

import numpy as np
import pytest

from ChiSepPreprocessLib.dipole import dipole_kernel
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepReconstructLib.physics.forward import field_from_chi
from ChiSepReconstructLib.physics.fourier import Shape
from ChiSepReconstructLib.physics.operators import Vector
from ChiSepReconstructLib.solvers.tkd import TkdOptions, tkd

_OBLIQUE: Vector = (0.36, -0.48, 0.8)
_VOXEL_MM: Vector = (1.0, 1.2, 1.7)


@pytest.mark.parametrize("shape", [(15, 17, 21), (16, 12, 20)])
@pytest.mark.parametrize("threshold", [0.1, 0.2])
def test_each_frequency_returns_as_the_threshold_says(shape: Shape, threshold: float) -> None:
    chi = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    field = field_from_chi(chi, _VOXEL_MM, _OBLIQUE, padding=0.0)
    options = TkdOptions(threshold=threshold, padding=0.0)
    spectrum = np.fft.rfftn(tkd(field, np.ones(shape, dtype=bool), _VOXEL_MM, _OBLIQUE, options))
    kernel = np.abs(dipole_kernel(shape, _VOXEL_MM, _OBLIQUE))
    expected = np.fft.rfftn(chi) * np.minimum(kernel / threshold, 1.0)
    well_conditioned = kernel > threshold
    assert 0.3 < well_conditioned.mean() < 0.9
    np.testing.assert_allclose(spectrum[well_conditioned], np.fft.rfftn(chi)[well_conditioned], atol=2e-4)
    np.testing.assert_allclose(spectrum, expected, atol=2e-4)
    assert abs(spectrum[0, 0, 0]) < 1e-3


@pytest.mark.parametrize("shape", [(15, 17, 21), (16, 12, 20)])
def test_correction_restores_the_peak_of_a_point(shape: Shape) -> None:
    point = np.zeros(shape, dtype=np.float32)
    point[7, 6, 9] = 1.0
    field = field_from_chi(point, _VOXEL_MM, _OBLIQUE, padding=0.0)
    mask = np.ones(shape, dtype=bool)
    plain = tkd(field, mask, _VOXEL_MM, _OBLIQUE, TkdOptions(padding=0.0))
    corrected = tkd(field, mask, _VOXEL_MM, _OBLIQUE, TkdOptions(padding=0.0, correct_underestimation=True))
    assert plain[7, 6, 9] < 0.85
    assert corrected[7, 6, 9] == pytest.approx(1.0, abs=2e-6)
    np.testing.assert_allclose(corrected, plain / plain[7, 6, 9], atol=2e-6)


def test_bad_input_is_refused_and_cancel_works() -> None:
    field, mask = np.zeros((4, 4, 4)), np.ones((4, 4, 4), dtype=bool)
    for threshold in (0.0, 0.7, float("nan")):
        with pytest.raises(InputError, match="TKD threshold"):
            TkdOptions(threshold=threshold)
    with pytest.raises(InputError, match="shape"):
        tkd(field, mask[:3], _VOXEL_MM, _OBLIQUE)
    with pytest.raises(CancelledError):
        tkd(field, mask, _VOXEL_MM, _OBLIQUE, report=Reporter(lambda status: False))

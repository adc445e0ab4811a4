"""Spectrum of the field of a point of susceptibility."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..artifacts import Array
from ..errors import InputError


def dipole_spectrum(shape: Sequence[int], voxel_size_mm: Sequence[float], b0_direction_ijk: Sequence[float]) -> Array:
    """``D(k) = 1/3 − (k·b)²/|k|²`` on the half spectrum of a real volume, with ``D(0) = 0``.

    On an axis of even length, the last frequency stands for +N/2 and −N/2, which the products ``k_i k_j`` of two
    axes tell apart: they count 0 there, the mean of both. So D is even in k, and convolution with it is its own
    adjoint for every direction of B0.

    Parameters
    ----------
    shape : sequence of int
        (I, J, K) of the periodic volume.
    voxel_size_mm : sequence of float
        Along i, j, k, mm.
    b0_direction_ijk : sequence of float
        Unit vector of B0 in voxel axes.

    Returns
    -------
    ndarray of float32, shape (I, J, K // 2 + 1)
        ppm of field for ppm of susceptibility.

    Raises
    ------
    InputError
        If a voxel size is not positive or the direction is no unit vector.

    References
    ----------
    Salomir et al., Concepts Magn Reson B 19:26 (2003); Marques & Bowtell, ibid. 25:65 (2005).
    """
    if len(voxel_size_mm) != 3 or not all(0 < size < np.inf for size in voxel_size_mm):
        raise InputError("voxel size", f"{tuple(voxel_size_mm)} mm", "three positive lengths")
    if len(b0_direction_ijk) != 3 or not abs(np.linalg.norm(b0_direction_ijk) - 1) <= 1e-3:
        raise InputError("B0 direction", tuple(b0_direction_ijk), "a unit vector in voxel axes")
    ki, kj, kk = _frequencies_per_mm(shape, voxel_size_mm)
    (si, sj, sk), (bi, bj, bk) = map(_without_last, (ki, kj, kk), shape), map(float, b0_direction_ijk)
    along_b0 = (bi * ki) ** 2 + (bj * kj) ** 2 + (bk * kk) ** 2
    along_b0 = along_b0 + 2 * (bi * bj * si * sj + bj * bk * sj * sk + bk * bi * sk * si)
    square = ki**2 + kj**2 + kk**2
    square[0, 0, 0] = 1
    spectrum = np.float32(1 / 3) - along_b0 / square
    spectrum[0, 0, 0] = 0
    return spectrum


def _frequencies_per_mm(shape: Sequence[int], voxel_size_mm: Sequence[float]) -> list[Array]:
    axes = [np.fft.fftfreq(shape[0], voxel_size_mm[0]), np.fft.fftfreq(shape[1], voxel_size_mm[1]),
            np.fft.rfftfreq(shape[2], voxel_size_mm[2])]  # fmt: skip
    return list(np.meshgrid(*(axis.astype(np.float32) for axis in axes), indexing="ij", sparse=True))


def _without_last(frequencies: Array, length: int) -> Array:
    """Frequencies with 0 in place of ±N/2."""
    signed = frequencies.copy()
    if length % 2 == 0:
        signed.flat[length // 2] = 0
    return signed

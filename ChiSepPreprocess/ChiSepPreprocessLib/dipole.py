"""The dipole kernel: field of a point of susceptibility, in k-space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .errors import InputError


def dipole_kernel(
    shape: Sequence[int], voxel_size_mm: Sequence[float], b0_direction_ijk: Sequence[float]
) -> NDArray[np.float32]:
    """Dipole kernel ``D(k) = 1/3 − (k·b)²/|k|²`` with ``D(0) = 0``, for the half spectrum of a real volume.

    ``k_i = m_i / (N_i Δ_i)`` in cycles/mm. Without the value at ``k = 0`` the mean of the field is 0 and the mean of
    χ is left open. Along an axis of even length the index ``−N/2`` stands for ``+N/2`` as well, and the cross terms
    ``k_i k_j b_i b_j`` of the two differ in sign if B0 is oblique: their mean, 0, is taken. So the kernel is even in
    ``k``, real fields stay real, and the convolution is its own adjoint.

    Parameters
    ----------
    shape : sequence of int
        (I, J, K) of the periodic volume.
    voxel_size_mm : sequence of float
        Along i, j, k, mm.
    b0_direction_ijk : sequence of float
        Unit vector of B0 in voxel axes; its sign does not matter.

    Returns
    -------
    ndarray of float32, shape (I, J, K // 2 + 1)
        In the layout of ``rfftn``; dimensionless: ppm of field for ppm of susceptibility, from −2/3 to 1/3.

    Raises
    ------
    InputError
        If a voxel size is not positive or the direction is no unit vector.

    References
    ----------
    Salomir et al., Concepts Magn Reson B 19:26 (2003); Marques & Bowtell, ibid. 25:65 (2005).
    """
    _check_geometry(voxel_size_mm, b0_direction_ijk)
    b = [float(component) for component in b0_direction_ijk]
    frequencies = _frequencies_per_mm(shape, voxel_size_mm)
    signed = [_without_last(k, n) for k, n in zip(frequencies, shape, strict=True)]
    along_b0 = np.square(sum(s * a for s, a in zip(signed, b, strict=True)))
    along_b0 += sum((k**2 - s**2) * a**2 for k, s, a in zip(frequencies, signed, b, strict=True))
    length_squared = np.asarray(sum(k**2 for k in frequencies))
    length_squared[0, 0, 0] = 1
    kernel = np.float32(1 / 3) - along_b0 / length_squared
    kernel[0, 0, 0] = 0
    return kernel


def _frequencies_per_mm(shape: Sequence[int], voxel_size_mm: Sequence[float]) -> list[NDArray[np.float32]]:
    axes = [np.fft.fftfreq(shape[0], voxel_size_mm[0]), np.fft.fftfreq(shape[1], voxel_size_mm[1]),
            np.fft.rfftfreq(shape[2], voxel_size_mm[2])]  # fmt: skip
    return list(np.meshgrid(*(axis.astype(np.float32) for axis in axes), indexing="ij", sparse=True))


def _without_last(frequencies: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Frequencies with 0 in place of ±N/2."""
    signed = frequencies.copy()
    if length % 2 == 0:
        signed.flat[length // 2] = 0
    return signed


def _check_geometry(voxel_size_mm: Sequence[float], b0_direction_ijk: Sequence[float]) -> None:
    if len(voxel_size_mm) != 3 or not all(0 < size < np.inf for size in voxel_size_mm):
        raise InputError("voxel size", f"{tuple(voxel_size_mm)} mm", "three positive lengths")
    if len(b0_direction_ijk) != 3 or not abs(np.linalg.norm(b0_direction_ijk) - 1) <= 1e-3:
        raise InputError("B0 direction", tuple(b0_direction_ijk), "a unit vector in voxel axes")

"""The dipole kernel: field of a point of susceptibility, in k-space."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.errors import InputError

Shape = tuple[int, int, int]
Vector = tuple[float, float, float]


def dipole_kernel(
    shape: Shape, voxel_size_mm: Vector, b0_direction_ijk: Vector, *, half: bool = True
) -> NDArray[np.float32]:
    """Dipole kernel ``D(k) = 1/3 − (k·b)²/|k|²`` with ``D(0) = 0``.

    ``k_i = m_i / (N_i Δ_i)`` in cycles/mm. Without the value at ``k = 0`` the mean of the field is 0 and the mean of
    χ is left open. Along an axis of even length the index ``−N/2`` stands for ``+N/2`` as well, and the cross terms
    ``k_i k_j b_i b_j`` of the two differ in sign if B0 is oblique: their mean, 0, is taken. So the kernel is even in
    ``k``, real fields stay real, and the convolution is its own adjoint.

    Parameters
    ----------
    shape : tuple of int
        (I, J, K) of the image.
    voxel_size_mm : tuple of float
        Along i, j, k.
    b0_direction_ijk : tuple of float
        Unit vector of B0 in voxel axes; its sign does not matter.
    half : bool
        Layout of ``rfftn``, (I, J, K//2 + 1), in place of ``fftn``'s.

    Returns
    -------
    ndarray, float32
        Dimensionless: ppm of field for ppm of susceptibility; from −2/3 to 1/3.

    Raises
    ------
    InputError
        If a voxel size is not positive or the direction is no unit vector.

    References
    ----------
    Salomir et al., Concepts Magn Reson B 19:26 (2003); Marques & Bowtell, ibid. 25:65 (2005).
    """
    _check_geometry(voxel_size_mm, b0_direction_ijk)
    frequencies = _frequencies(shape, voxel_size_mm, half)
    signed = [_without_nyquist(k, n) for k, n in zip(frequencies, shape, strict=True)]
    along_b0 = np.square(_sum(k * b for k, b in zip(signed, b0_direction_ijk, strict=True)))
    along_b0 += _sum(
        (np.square(k) - np.square(s)) * b**2 for k, s, b in zip(frequencies, signed, b0_direction_ijk, strict=True)
    )
    squared_length = _sum(np.square(k) for k in frequencies)
    squared_length[0, 0, 0] = 1.0
    kernel = (1.0 / 3.0 - along_b0 / squared_length).astype(np.float32)
    kernel[0, 0, 0] = 0.0
    return kernel


def _sum(terms: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    return reduce(np.add, terms)


def _frequencies(shape: Shape, voxel_size_mm: Vector, half: bool) -> list[NDArray[np.float64]]:
    axes = [np.fft.fftfreq(n, size) for n, size in zip(shape, voxel_size_mm, strict=True)]
    if half:
        axes[2] = np.fft.rfftfreq(shape[2], voxel_size_mm[2])
    return list(np.meshgrid(*axes, indexing="ij", sparse=True))


def _without_nyquist(frequencies: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    signed = frequencies.copy()
    if length % 2 == 0:
        signed.flat[length // 2] = 0.0
    return signed


def _check_geometry(voxel_size_mm: Vector, b0_direction_ijk: Vector) -> None:
    if not np.all(np.isfinite(voxel_size_mm)) or min(voxel_size_mm) <= 0:
        raise InputError("voxel size", f"{voxel_size_mm} mm", "three positive lengths")
    if not abs(np.linalg.norm(b0_direction_ijk) - 1.0) <= 1e-3:
        raise InputError("B0 direction", b0_direction_ijk, "a unit vector in voxel axes")

"""The field of a susceptibility distribution, as a linear operator."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import check_volume
from ChiSepPreprocessLib.errors import InputError

from .dipole import Shape, Vector, dipole_kernel

#: Zeros added to each axis, as a share of its length, so that the field hardly wraps around.
DEFAULT_PADDING = 0.5


def padded_shape(shape: Shape, padding: float) -> Shape:
    """Shape with at least ``padding`` × length zeros on each axis, enlarged to a length that the FFT likes.

    Without padding the shape is left as it is: the convolution is then circular.

    Raises
    ------
    InputError
        If the padding is negative.
    """
    from scipy.fft import next_fast_len

    if not padding >= 0:
        raise InputError("padding", padding, "a share of the axis, 0 or more")
    if padding == 0:
        return shape
    i, j, k = (int(next_fast_len(int(np.ceil(n * (1.0 + padding))), real=True)) for n in shape)
    return i, j, k


def convolve(volume: NDArray[Any], kernel: NDArray[np.float32], padded: Shape) -> NDArray[np.float32]:
    """Pad with zeros, multiply with a kernel in k-space (``rfftn`` layout of ``padded``), crop back."""
    from scipy.fft import irfftn, rfftn

    spectrum = rfftn(volume.astype(np.float32, copy=False), s=padded)
    spectrum *= kernel
    i, j, k = volume.shape
    cropped: NDArray[np.float32] = np.ascontiguousarray(irfftn(spectrum, s=padded, overwrite_x=True)[:i, :j, :k])
    return cropped


class DipoleOperator:
    """Susceptibility to field, ``A = C F⁻¹ D F Cᵀ`` with ``Cᵀ`` the zero padding; symmetric, so its own adjoint.

    Parameters
    ----------
    shape : tuple of int
        (I, J, K).
    voxel_size_mm : tuple of float
        Along i, j, k.
    b0_direction_ijk : tuple of float
        Unit vector of B0 in voxel axes.
    padding : float
        Zeros added to each axis as a share of its length; 0 makes the convolution circular.
    """

    def __init__(
        self, shape: Shape, voxel_size_mm: Vector, b0_direction_ijk: Vector, *, padding: float = DEFAULT_PADDING
    ) -> None:
        self.shape = shape
        self.padded_shape = padded_shape(shape, padding)
        self.kernel = dipole_kernel(self.padded_shape, voxel_size_mm, b0_direction_ijk)

    def apply(self, chi_ppm: NDArray[Any]) -> NDArray[np.float32]:
        """Field in ppm of a susceptibility in ppm, both of ``shape``.

        Raises
        ------
        InputError
            If the shape differs or a voxel is not finite.
        """
        check_volume("susceptibility", chi_ppm, self.shape)
        return convolve(chi_ppm, self.kernel, self.padded_shape)

    def adjoint(self, field_ppm: NDArray[Any]) -> NDArray[np.float32]:
        """Adjoint of :meth:`apply`, which is the same operation."""
        return self.apply(field_ppm)


def field_from_chi(
    chi_ppm: NDArray[Any], voxel_size_mm: Vector, b0_direction_ijk: Vector, padding: float = DEFAULT_PADDING
) -> NDArray[np.float32]:
    """Field in ppm that a susceptibility distribution in ppm causes; see :class:`DipoleOperator`.

    Outside a paramagnetic sphere the field is positive along B0 and negative across it; inside it is 0.

    Raises
    ------
    InputError
        If the geometry is impossible or a voxel is not finite.
    """
    i, j, k = chi_ppm.shape
    return DipoleOperator((i, j, k), voxel_size_mm, b0_direction_ijk, padding=padding).apply(chi_ppm)

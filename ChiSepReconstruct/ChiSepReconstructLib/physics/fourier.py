"""Fourier transforms of zero-padded volumes, and models whose unknown is a spectrum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ChiSepPreprocessLib.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

Shape = tuple[int, int, int]

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

    if not 0 <= padding <= 4:
        raise InputError("padding", padding, "a share of the axis from 0 to 4")
    if padding == 0:
        return shape
    i, j, k = (int(next_fast_len(int(np.ceil(n * (1.0 + padding))), real=True)) for n in shape)
    return i, j, k


class PaddedFourier:
    """``F Cᵀ``, padding with zeros and transforming, and ``C F⁻¹``, transforming back and cropping.

    Parameters
    ----------
    shape : tuple of int
        (I, J, K) of volumes.
    padding : float
        Zeros added to each axis as a share of its length; 0 for none.
    device : str
        Of the tensors.
    """

    def __init__(self, shape: Shape, padding: float, device: str) -> None:
        import torch

        self.shape, self.padded_shape, self.device = shape, padded_shape(shape, padding), device
        # Padding by torch itself takes as long as the transform.
        self._padded = torch.zeros(self.padded_shape, device=device)

    @property
    def spectrum_shape(self) -> Shape:
        """Of half spectra, in the layout of ``rfftn``."""
        i, j, k = self.padded_shape
        return i, j, k // 2 + 1

    def spectrum(self, volume: Tensor) -> Tensor:
        """Half spectrum of a volume of ``shape``."""
        import torch

        i, j, k = self.shape
        self._padded[:i, :j, :k] = volume
        return torch.fft.rfftn(self._padded)

    def volume(self, spectrum: Tensor) -> Tensor:
        """Volume of ``shape``, contiguous; axis by axis, so that the padding of one is dropped before the next."""
        import torch

        i, j, k = self.shape
        planes = torch.fft.ifft(spectrum, dim=0)[:i]
        lines = torch.fft.ifft(planes, dim=1)[:, :j]
        return torch.fft.irfft(lines, n=self.padded_shape[2], dim=2)[..., :k].contiguous()

    def mean(self, response: Tensor) -> float:
        """Mean of a real half spectrum over all of k-space: the peak of its point spread function."""
        return float((response.double() * self.columns()).sum()) / float(np.prod(self.padded_shape))

    def columns(self) -> Tensor:
        """For how many of the whole spectrum's columns each of the half's stands: 2, but 1 for those at its ends."""
        import torch

        count = torch.full(self.spectrum_shape[2:], 2.0, device=self.device)
        count[0] = 1.0
        if self.padded_shape[2] % 2 == 0:
            count[-1] = 1.0
        return count


class SpectralModel:
    """``A X = C F⁻¹ R X``: from a spectrum, or its part where ``R`` is not 0, to an image; and the adjoint.

    ``X`` is scaled so that the sum of its ``|·|²`` is that of the padded volume's squares, which makes the adjoint
    simple: it is the half of a unitary transform, with columns that stand for two times √2.

    Parameters
    ----------
    fourier : PaddedFourier
        For the grids.
    response : Tensor
        ``R``, real, of ``spectrum_shape``.
    sparse : bool
        Whether ``R`` is 0 in most places, which are then left out of the unknown.
    """

    def __init__(self, fourier: PaddedFourier, response: Tensor, *, sparse: bool = False) -> None:
        self._fourier = fourier
        self._support = response.reshape(-1).nonzero().squeeze(1) if sparse else None
        self._scale = fourier.columns().rsqrt_().mul_(float(np.prod(fourier.padded_shape)) ** 0.5)
        # Complex, as torch multiplies a complex by a real tensor at a quarter of the speed.
        self._image_factor = self._part(response * self._scale) + 0j
        self._adjoint_factor = self._part(response / self._scale) + 0j
        self._product = self.zero()

    def _part(self, spectrum: Tensor) -> Tensor:
        return spectrum if self._support is None else spectrum.reshape(-1)[self._support]

    def _whole(self, values: Tensor) -> Tensor:
        if self._support is None:
            return values
        shape = self._fourier.spectrum_shape
        return values.new_zeros(int(np.prod(shape))).index_copy_(0, self._support, values).reshape(shape)

    def zero(self) -> Tensor:
        """``X`` = 0."""
        return self._image_factor.new_zeros(self._image_factor.shape)

    def image(self, values: Tensor) -> Tensor:
        """Apply ``A``: ``X`` to (I, J, K)."""
        import torch

        # Into the same memory each time, as touching new memory takes longer than the product.
        return self._fourier.volume(self._whole(torch.mul(values, self._image_factor, out=self._product)))

    def adjoint(self, image: Tensor) -> Tensor:
        """Apply ``Aᵀ``: (I, J, K) to the shape of ``X``."""
        return self._part(self._fourier.spectrum(image)).mul_(self._adjoint_factor)

    def spectrum(self, values: Tensor) -> Tensor:
        """``X`` as the half spectrum of a padded volume, ``X / R`` of what :meth:`image` crops."""
        return self._whole(values) * self._scale

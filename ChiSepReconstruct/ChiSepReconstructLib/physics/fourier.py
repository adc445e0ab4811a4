"""Fourier transforms of zero-padded volumes, and filters between the voxels of a region."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.errors import InputError

from .loops import in_parts

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
        self._hartley = torch.empty(self.padded_shape if device == "cpu" else (0, 0, 0))
        self._one = torch.ones(1, device=device).expand(self.spectrum_shape)

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

    def volume(self, spectrum: Tensor, response: Tensor | None = None, out: Tensor | None = None) -> Tensor:
        """``C F⁻¹ R X``, of ``shape``, contiguous; ``R`` is real and even, 1 if left out.

        On the processor a forward transform serves as the inverse one: ``Re − Im`` of the whole spectrum is the
        volume's Hartley transform, which is its own inverse. Torch's inverse takes twice as long, and the product and
        the crop come along with making one from the other.

        References
        ----------
        Bracewell, J Opt Soc Am 73:1832 (1983).
        """
        import torch

        response = self._one if response is None else response
        out = response.new_empty(self.shape) if out is None else out
        i, j, k = self.shape
        if self.device != "cpu":
            return out.copy_(torch.fft.irfftn(spectrum * response, s=self.padded_shape)[:i, :j, :k])
        from ._fourier_kernels import crop_hartley, hartley

        padded_i, _, padded_k = self.padded_shape
        in_parts(hartley, padded_i, self._hartley.numel(), _parts(spectrum), response.numpy(), self._hartley.numpy())
        in_parts(crop_hartley, i, out.numel(), _parts(torch.fft.rfftn(self._hartley)), padded_k,
                 np.float32(1.0 / self._hartley.numel()), out.numpy())  # fmt: skip
        return out

    def filtered(self, volume: Tensor, response: Tensor, out: Tensor | None = None) -> Tensor:
        """``C F⁻¹ R F Cᵀ v``, with ``R`` real and even, of ``spectrum_shape``; ``out`` may be the volume itself."""
        return self.volume(self.spectrum(volume), response, out)

    def mean(self, response: Tensor) -> float:
        """Mean of a real half spectrum over all of k-space: the peak of its point spread function."""
        count = np.full(self.spectrum_shape[2], 2.0)  # columns that each of the half's stands for
        count[0] = 1.0
        if self.padded_shape[2] % 2 == 0:
            count[-1] = 1.0
        return float((response.double() * response.new_tensor(count)).sum()) / float(np.prod(self.padded_shape))


def _parts(spectrum: Tensor) -> NDArray[Any]:
    """Real and imaginary part as a last axis."""
    import torch

    parts: NDArray[Any] = torch.view_as_real(spectrum.contiguous()).numpy()
    return parts


def blend(spectrum: Tensor, share: Tensor, one: Tensor, weight: Tensor, kernel: Tensor, other: Tensor) -> None:
    """``X ← a Y + b (D X + Z)`` in place, in one pass; ``a``, ``b`` and ``D`` are real half spectra."""
    if spectrum.is_cuda:
        spectrum.mul_(kernel).add_(other).mul_(weight).add_(one * share)
        return
    from ._fourier_kernels import blend as blend_part

    flat = [part.reshape(-1).numpy() for part in (share, one, weight, kernel, other, spectrum)]
    in_parts(blend_part, flat[0].size, flat[0].size, *flat)


class VoxelFilter:
    """``G C F⁻¹ R F Cᵀ Gᵀ`` between the values of a region's voxels, (N,), which ``G`` takes from a volume.

    Iterations on such values leave out what lies outside the region, half of a brain's box.

    Parameters
    ----------
    fourier : PaddedFourier
        For the grids.
    region : Tensor, shape (I, J, K)
        Not 0 in the region's voxels.
    response : Tensor
        ``R``, real, of ``spectrum_shape``.
    """

    def __init__(self, fourier: PaddedFourier, region: Tensor, response: Tensor) -> None:
        import torch

        self._fourier, self._response = fourier, response
        self._index = region.reshape(-1).nonzero().squeeze(1)
        self._spread, self._filtered = (torch.zeros(fourier.shape, device=fourier.device) for _ in range(2))

    def __call__(self, values: Tensor, out: Tensor) -> Tensor:
        """Filter ``values`` and write what it makes of them in the same voxels into ``out``."""
        self._fourier.filtered(self.volume(values), self._response, self._filtered)
        return self.values(self._filtered, out)

    def volume(self, values: Tensor) -> Tensor:
        """``Gᵀ``: volume with these values, 0 elsewhere; the next call changes it."""
        self._spread.view(-1).index_copy_(0, self._index, values)
        return self._spread

    def values(self, volume: Tensor, out: Tensor | None = None) -> Tensor:
        """``G``: values of a volume in the region."""
        import torch

        return torch.index_select(volume.reshape(-1), 0, self._index, out=out)

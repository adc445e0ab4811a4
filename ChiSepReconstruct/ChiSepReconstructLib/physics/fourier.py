"""Fourier transforms of zero-padded volumes and of vectors of their regions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.errors import InputError

from .loops import in_parts
from .region import Box, Region

if TYPE_CHECKING:
    from torch import Tensor

Shape = tuple[int, int, int]

#: What is transformed: a box, or a region in it.
Place = Box | Region

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
        self._box = Box(shape)
        self._filled = self._box.spans
        # Padding by torch itself takes as long as the transform.
        self._padded = torch.zeros(self.padded_shape, device=device)
        self._hartley = torch.empty(self.padded_shape if device == "cpu" else (0, 0, 0))
        self._one = torch.ones(1, device=device).expand(self.spectrum_shape)

    @property
    def spectrum_shape(self) -> Shape:
        """Of half spectra, in the layout of ``rfftn``."""
        i, j, k = self.padded_shape
        return i, j, k // 2 + 1

    def spectrum(self, given: Tensor, region: Place | None = None) -> Tensor:
        """Half spectrum of a volume of ``shape``, or of one that holds a region's vector and is 0 elsewhere."""
        import torch

        region = region or self._box
        if self.device != "cpu":
            i, j, k = self.shape
            self._padded[:i, :j, :k] = region.volume(given)
            return torch.fft.rfftn(self._padded)
        from ._kernels import scatter

        if region.spans is not self._filled:
            self._filled = region.spans
            self._padded.zero_()
        in_parts(scatter, self.shape[0], given.numel(), given.reshape(-1).numpy(), region.spans, region.starts,
                 self._padded.numpy())  # fmt: skip
        return torch.fft.rfftn(self._padded)

    def volume(
        self, spectrum: Tensor, response: Tensor | None = None, out: Tensor | None = None, region: Place | None = None
    ) -> Tensor:
        """``C F⁻¹ R X``, of ``shape``, or a region's vector of it; ``R`` is real and even, 1 if left out.

        On the processor a forward transform serves as the inverse one: ``Re − Im`` of the whole spectrum is the
        volume's Hartley transform, which is its own inverse. Torch's inverse takes twice as long, and the product and
        the crop come along with making one from the other.

        References
        ----------
        Bracewell, J Opt Soc Am 73:1832 (1983).
        """
        import torch

        response, region = self._one if response is None else response, region or self._box
        out = response.new_empty(region.shape) if out is None else out
        i, j, k = self.shape
        if self.device != "cpu":
            return region.values(torch.fft.irfftn(spectrum * response, s=self.padded_shape)[:i, :j, :k], out)
        from ._fourier_kernels import crop_hartley, hartley

        padded_i, _, padded_k = self.padded_shape
        in_parts(hartley, padded_i, self._hartley.numel(), _parts(spectrum), response.numpy(), self._hartley.numpy())
        in_parts(crop_hartley, i, out.numel(), _parts(torch.fft.rfftn(self._hartley)), padded_k,
                 np.float32(1.0 / self._hartley.numel()), region.spans, region.starts,
                 out.view(-1).numpy())  # fmt: skip
        return out

    def filtered(
        self, given: Tensor, response: Tensor, out: Tensor | None = None, region: Place | None = None
    ) -> Tensor:
        """``C F⁻¹ R F Cᵀ v``, with ``R`` real and even, of ``spectrum_shape``; ``out`` may be what is given.

        With a region, ``Cᵀ`` takes its vector and ``C`` gives one.
        """
        return self.volume(self.spectrum(given, region), response, out, region)

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
    if spectrum.device.type != "cpu":
        spectrum.mul_(kernel).add_(other).mul_(weight).add_(one * share)
        return
    from ._fourier_kernels import blend as blend_part

    flat = [part.reshape(-1).numpy() for part in (share, one, weight, kernel, other, spectrum)]
    in_parts(blend_part, flat[0].size, flat[0].size, *flat)
